/* The inside of an index: the ordered rows. Nobody outside of this folder includes this. */
#ifndef INDEX_ROWS_H
#define INDEX_ROWS_H

#include "index/index.h"

#define INDEX_HEIGHT_MAX 16 /* one of four rows stands one higher: enough for 4^16 */

struct index_node;

struct index_link {
    struct index_node *next;
    uint64_t span; /* rows from here to `next`, that one included; NULL: all that follow */
};

struct index_doc {
    struct index_doc *next; /* of the bucket */
    struct index_node *first;
    uint32_t id_len;
    uint8_t id[];
};

/* The links are followed by sort key, key and value. */
struct index_node {
    struct index_node *prev; /* NULL: the first */
    struct index_node *same; /* the next of the document */
    const struct index_doc *doc;
    uint32_t slot, nth; /* which of the document's rows */
    uint32_t sort_len, key_len, value_len;
    uint32_t height;
    struct index_link links[];
};

struct index_slot {
    uint8_t key_id[INDEX_KEY_ID_BYTES];
    uint64_t rows_n;
};

struct index {
    struct index_node *head; /* no row: its links alone count */
    unsigned height;
    uint64_t heights; /* what the next row's is drawn from */
    uint64_t rows_n, changes;
    struct index_doc **buckets;
    size_t buckets_n, docs_n;
    struct index_slot *slots;
    uint32_t slots_n, slots_cap, slot_last;
    size_t bytes;
    uint8_t hash_key[16];
    struct index_disk *disk; /* where its rows are; then there is none of the above but the slots */
    size_t view;
};

/* A place as in index_bound, or before or behind one row. */
struct index_place {
    struct index_bound bound;
    bool has_nth;
    uint32_t nth;
};

/* The slot of a data key, a new one if it has none. */
MUST_USE enum qk_err rows_slot_of(struct index *index, const uint8_t *key_id, uint32_t *ret_slot);
struct index_row rows_node_row(const struct index *index, const struct index_node *node);
MUST_USE enum qk_err rows_node_new(struct index *index, struct index_doc *doc, uint32_t slot,
                                   uint32_t nth, const struct index_emit *emit,
                                   struct index_node **ret_node);
void rows_node_free(struct index *index, struct index_node *node);
/* Into the list and the document's. */
void rows_insert(struct index *index, struct index_node *node);
/* Out of the list, and freed. */
void rows_remove(struct index *index, struct index_node *node);
/* <0: the row stands before the place, >0: behind it. */
int rows_compare(const struct index_node *node, const struct index_place *place);
/* The last row before the place, and how many there are up to it; NULL, 0: none. */
const struct index_node *rows_before(const struct index *index, const struct index_place *place,
                                     uint64_t *ret_n);
/* The row with so many before it; NULL past the end. */
const struct index_node *rows_at(const struct index *index, uint64_t rank);

#endif
