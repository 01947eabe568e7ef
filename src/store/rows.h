/* Reading the streams of snapshot.c row by row, without a store: a full one, an increment, and an
 * increment on top of what it goes on from. Blocking: for tools, not for the loop. In constant
 * memory (one row of each stream). Nothing is to be trusted before ROWS_END has come. */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "base/bytes.h"
#include "store/store.h"

#define ROWS_HASH_BYTES 32

enum rows_kind { ROWS_ROW, ROWS_KEPT, ROWS_END };
/* As the streams number them. An increment has statistics and keys whole, as they are neither
 * stamped nor many. */
enum rows_table { ROWS_STATS = 1, ROWS_KEYS = 2, ROWS_RECORDS = 3, ROWS_CHANGES = 4 };

/* Borrowed until the next call on its stream. */
struct rows_item {
    enum rows_kind kind;
    enum rows_table table;
    struct bytes key, row;            /* ROWS_ROW: as they lie in the file */
    struct record record;             /* of a ROWS_RECORDS row */
    struct store_stats stats;         /* of a ROWS_STATS row */
    struct store_key_stats key_stats; /* of a ROWS_KEYS row */
    uint64_t stamp;                   /* of the row, or of the kept one */
    uint64_t rows_n;                  /* ROWS_END, and the hash: of the full stream */
    uint8_t hash[ROWS_HASH_BYTES];
};

/* The moment that a stream is of. */
struct rows_moment {
    uint64_t index, term, stamp;
};

struct rows;

/* The next bytes of the stream, at least one, borrowed until the next call; none at its end. */
typedef enum qk_err (*rows_pull)(void *arg, struct bytes *ret_bytes);

/* Reads the head. QK_ERR_CORRUPT, or what `pull` says. The caller frees with rows_free. */
MUST_USE enum qk_err rows_open(rows_pull pull, void *arg, struct rows **ret_rows);
/* An increment's `rows` and those of what it goes on from become one full stream; it owns both. */
MUST_USE enum qk_err rows_merge(struct rows *base, struct rows *increment, struct rows **ret_rows);
void rows_free(struct rows *rows); /* takes NULL */
bool rows_is_increment(const struct rows *rows);
struct rows_moment rows_moment(const struct rows *rows);

/* QK_ERR_CORRUPT: malformed, a checksum is wrong, out of order, or, at the end of a full or merged
 * stream, its hash or count is: rows_fault says what, static text. Errors stick. */
MUST_USE enum qk_err rows_next(struct rows *rows, struct rows_item *ret_item);
/* What rows_next failed with; QK_OK: it did not. */
enum qk_err rows_error(const struct rows *rows);
const char *rows_fault(const struct rows *rows);

/* Appends the full stream's bytes: its head, then each item, the end included. */
void rows_write_head(const struct rows_moment *moment, struct buf *out);
void rows_write_item(const struct rows_item *item, struct buf *out);

#endif
