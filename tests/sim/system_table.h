/* Records in memory: what the simulator's store is made of. */
#ifndef SIM_SYSTEM_TABLE_H
#define SIM_SYSTEM_TABLE_H

#include "wire/command.h"

#define TABLE_SEQUENCES_MAX 8

struct blob {
    unsigned refs;
    uint64_t hash; /* for whoever computes one; 0: not yet */
    size_t len;
    uint8_t data[];
};

struct row {
    struct blob *key, *value;
    uint64_t version;
    uint64_t seq; /* of its database; 0 unless a document */
    uint8_t flags;
};

/* Sorted by key. */
struct table {
    struct row *rows;
    size_t n, cap;
    uint64_t index, term; /* applied */
    struct {
        uint8_t database[DATABASE_ID_BYTES];
        uint64_t seq;
    } sequences[TABLE_SEQUENCES_MAX];
    size_t sequences_n;
    struct table_key { /* what stands, and was ever sealed, under a version of a data key */
        uint8_t id[WIRE_TAG_BYTES];
        uint64_t bodies, sealed, sealed_bytes;
    } * keys;
    size_t keys_n, keys_cap;
};

void table_fini(struct table *table);
void table_copy(const struct table *from, struct table *to);
/* The first row not below `key`. */
size_t table_place(const struct table *table, struct bytes key);
const struct row *table_find(const struct table *table, struct bytes key);
/* NULL: nothing was ever sealed under it. */
const struct table_key *table_key_find(const struct table *table,
                                       const uint8_t id[static WIRE_TAG_BYTES]);
/* The rule of store_apply. `changed` is called for each key, after each batch. */
MUST_USE enum qk_err table_apply(struct table *table, struct bytes command, struct buf *result,
                                 void (*changed)(void *arg, struct bytes key), void *arg);

struct blob *blob_new(struct bytes bytes);
struct blob *blob_hold(struct blob *blob);
void blob_drop(struct blob *blob); /* takes NULL */
static inline struct bytes blob_bytes(const struct blob *blob)
{
    return bytes_of(blob->data, blob->len);
}

#endif
