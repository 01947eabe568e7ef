/* What is applied but not yet in the file: a table from key to its newest write, and the batches
 * of writes in their order. An entry belongs to one batch and is freed with it. */
#ifndef STORE_PENDING_H
#define STORE_PENDING_H

#include "store/format.h"

enum pending_type { PENDING_PUT, PENDING_REMOVE, PENDING_DROP, PENDING_LOCAL };

struct pending_entry {
    struct pending_entry *next; /* of its batch */
    struct pending_entry *same; /* of its bucket */
    enum pending_type type;
    bool newest; /* it stands in the table */
    uint8_t flags;
    uint16_t key_len;
    uint64_t version, seq, stamp;
    uint64_t seq_before; /* the change row that this write takes away; 0: none */
    size_t value_len;
    uint8_t data[]; /* key, then value */
};

struct pending_stats {
    uint8_t id[DATABASE_ID_BYTES];
    struct store_stats stats;
};

struct pending_tally {
    uint8_t id[TALLY_ID_BYTES];
    struct store_key_stats stats;
};

/* What one transaction writes. Filled on the loop's thread, then only read by the writer's. */
struct pending_batch {
    uint64_t number;
    struct pending_entry *head, *tail;
    size_t bytes;
    struct format_state state;
    bool dirty; /* something to write, if only the index */
    bool soon;  /* and not documents alone, see store_options */
    struct pending_stats *stats;
    size_t stats_n;
    struct pending_tally *tallies;
    size_t tallies_n;
};

struct pending {
    struct pending_entry **buckets;
    size_t buckets_n, entries_n;
    size_t bytes; /* of all batches */
    uint8_t hash_key[16];
};

MUST_USE enum qk_err pending_init(struct pending *pending);
void pending_fini(struct pending *pending);

struct bytes pending_key(const struct pending_entry *entry);
struct bytes pending_value(const struct pending_entry *entry);

/* The newest write of a record (PUT or REMOVE), or of a local fact; NULL if there is none. */
const struct pending_entry *pending_find(const struct pending *pending, struct bytes key,
                                         bool local);
/* A copy of `what` (its type, numbers, flags) with key and value, appended to the batch and
 * entered in the table (a DROP is not). QK_ERR_NOMEM. */
MUST_USE enum qk_err pending_add(struct pending *pending, struct pending_batch *batch,
                                 const struct pending_entry *what, struct bytes key,
                                 struct bytes value);
/* Takes the batch's entries out of the table and frees them. */
void pending_batch_fini(struct pending *pending, struct pending_batch *batch);

#endif
