/* What rows.c and rows_merge.c share. */
#ifndef STORE_ROWS_PRIVATE_H
#define STORE_ROWS_PRIVATE_H

#include <sodium.h>

#include "store/rows.h"
#include "store/snapshot.h"

struct rows {
    bool increment, done;
    enum qk_err failed;
    const char *fault;
    struct rows_moment moment;
    crypto_generichash_state hash;
    uint64_t rows_n;
    /* A stream of bytes. */
    rows_pull pull;
    void *arg;
    struct bytes chunk;
    struct buf have;
    enum rows_table table;
    uint8_t last[RECORD_KEY_BYTES_MAX]; /* key of the last row of the table */
    size_t last_len;
    struct buf kept; /* stamps still to be told */
    size_t kept_at;
    /* Or two that are merged. */
    struct rows *base, *top;
    struct rows_item base_item, top_item;
    bool base_here, top_here;
};

enum qk_err rows_failed(struct rows *rows, enum qk_err err, const char *fault);
/* The hash of the full stream that goes on with `item`; ROWS_END ends it. */
void rows_hash_begin(struct rows *rows);
void rows_hash_item(struct rows *rows, const struct rows_item *item);
/* Does the end's own count and hash agree? */
bool rows_hash_agrees(struct rows *rows, const struct rows_item *end);
MUST_USE enum qk_err rows_merge_next(struct rows *rows, struct rows_item *ret_item);

#endif
