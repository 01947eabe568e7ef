/* What whoever holds whole data directories can make of them together: every key of every node.sec,
 * on every slot of a deal record. For the programs of this folder. */
#ifndef TESTS_SECRECY_POOL_H
#define TESTS_SECRECY_POOL_H

#include "keys/keyring.h"
#include "seal/deal_record.h"
#include "seal/node_sec.h"
#include "store/store.h"

#define POOL_DIRS_MAX 16

struct pool {
    struct node_sec *secs[POOL_DIRS_MAX];
    size_t secs_n;
    struct deal_record *deal;
    char deal_dir[512];
    uint8_t cluster[CLUSTER_ID_BYTES];
    struct secret *shares[NODES_MAX];
    uint32_t x[NODES_MAX];
    size_t shares_n;
    uint64_t tried, opened;
    struct secret *s, *mk;
};

/* The keys of DIR/node.sec. */
MUST_USE enum qk_err pool_add_keys(struct pool *pool, const char *dir);
/* The deal record of DIR/store.mdb: taken when there is none yet or, with `newest`, when its epoch
 * is higher. QK_ERR_NOT_FOUND: the store has none. */
MUST_USE enum qk_err pool_add_deal(struct pool *pool, const char *dir, bool newest);
/* Each key on each slot, and S and MK of what opened; both stay NULL where that is not enough.
 * QK_ERR_CORRUPT: the shares opened and do not combine. */
MUST_USE enum qk_err pool_open(struct pool *pool);
/* The keyring of DIR/store.mdb under MK. The caller closes it. */
MUST_USE enum qk_err pool_keyring(struct pool *pool, const char *dir, struct keyring **ret_keyring);
void pool_fini(struct pool *pool);

#endif
