/* What is known of each database in memory: its statistics, and up to which stamp its rows were
 * dropped. One entry a database that ever had documents or was dropped and is not yet freed. */
#ifndef STORE_SPACES_H
#define STORE_SPACES_H

#include "store/store.h"

struct space {
    uint8_t id[DATABASE_ID_BYTES];
    struct store_stats stats;
    uint64_t drop_stamp; /* 0: not dropped, or all is freed */
    bool used;           /* the slot of the table */
    bool dirty;          /* statistics changed since the last batch took them */
};

struct spaces {
    struct space *slots; /* open addressing, a power of two */
    size_t slots_n, used_n;
    size_t dropping_n; /* how many have a drop_stamp */
};

void spaces_init(struct spaces *spaces);
void spaces_fini(struct spaces *spaces);
/* NULL if there is none. The pointer lives until the next spaces_make. */
struct space *spaces_find(const struct spaces *spaces, const uint8_t *id);
/* Finds or makes. QK_ERR_NOMEM. */
MUST_USE enum qk_err spaces_make(struct spaces *spaces, const uint8_t *id,
                                 struct space **ret_space);
/* A row of this key with this stamp is there, not dropped. */
bool spaces_visible(const struct spaces *spaces, struct bytes key, uint64_t stamp);
void spaces_drop(struct spaces *spaces, struct space *space, uint64_t stamp);
/* The rows up to that stamp are freed; nothing if it was dropped again since. */
void spaces_freed(struct spaces *spaces, const uint8_t *id, uint64_t stamp);

#endif
