/* A cluster made from the records of another, whose recovery shares have opened them: another
 * cluster id, node, psk and MK, fresh versions of all keys and fresh recovery shares, so that old
 * nodes can never merge back and old shares or keys open nothing new. Users, databases, documents
 * and data keys stay; their envelopes go on binding the old cluster (system_cluster.origin).
 * Members, tokens, deals, parts and orders (hold, suspensions) of the old one are dropped.
 *
 * The result is a data directory of a founder: alone, opened by its recovery shares, joined by
 * others. */
#ifndef SERVICE_BACKUP_NEW_CLUSTER_H
#define SERVICE_BACKUP_NEW_CLUSTER_H

#include "keyslot/recovery.h"
#include "service/system.h"
#include "store/store.h"

/* What the records of the old cluster say. */
struct old_cluster {
    struct system_cluster info;
    struct recovery_set recovery;
};

struct new_cluster {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t index;    /* of the record that made it */
    unsigned t, n;     /* of the recovery shares */
    struct buf shares; /* secret: their texts, a line each; shown once */
};

/* QK_ERR_NOT_FOUND, with a sentence: there are no recovery shares, or this is no cluster's store.
 */
MUST_USE enum qk_err old_cluster_read(struct store *store, struct old_cluster *ret_old,
                                      struct buf *message);

/* Its keys; the caller closes the keyring. */
struct keyring;
MUST_USE enum qk_err old_cluster_keyring(struct store *store, const struct old_cluster *old,
                                         const struct secret *mk, struct keyring **ret_keyring);

/* Rewrites the records of the store, which holds the old cluster's and is flushed, and makes
 * node.sec, raft/ and audit.log in `dir`. `old_mk` is MK of the old cluster. `how` ("backup",
 * "disk") is for the audit log. A sentence is appended to `message` on errors: QK_ERR_CORRUPT (a
 * key record does not open), others. `ret_new` ends with new_cluster_fini, also after an error. */
MUST_USE enum qk_err new_cluster_make(struct store *store, const char *dir,
                                      const struct old_cluster *old, const struct secret *old_mk,
                                      const char *how, struct new_cluster *ret_new,
                                      struct buf *message);
void new_cluster_fini(struct new_cluster *made);

#endif
