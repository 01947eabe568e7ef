/* The hub: drives the seal machine and the dealing machine with what link, store, consensus and
 * operators bring, and carries out their effects. It owns all key material of the cluster on this
 * node (own share, MK handle, keyring) and the life from uninitialised to member.
 *
 * One a process, made by `node` at start, on the loop's thread. All callbacks of struct cluster_ops
 * fire from the loop or from inside the calls named; none is reentrant.
 *
 * What `node` routes here:
 *
 *   link       on_up, on_down, on_clone, on_refused, on_join_token, on_join_message, on_join_closed
 *              and on_message of LINK_SEAL and LINK_RECORD: the functions of the same name below
 *              (on_message of LINK_RAFT: cluster_raft_of_node, consensus_receive)
 *   consensus  state_changed -> cluster_consensus_changed
 *              send(peer)    -> cluster_node_of_raft, link_send
 *   store      nothing: watches are registered here
 *
 * The order at start of the process: cluster_new, then cluster_boot, which loads node.sec if there
 * is one and calls ops.start_member. `service->cluster` is set by cluster_new. */
#ifndef SERVICE_CLUSTER_CLUSTER_H
#define SERVICE_CLUSTER_CLUSTER_H

#include "seal/dealing.h"
#include "seal/machine.h"
#include "service/service.h"
#include "wire/command.h"

struct attest_result;
struct secret;

#define CLUSTER_REASON_BYTES 512
#define CLUSTER_NAME_BYTES_MAX 64

struct cluster_ops {
    void *arg;
    /* Opens and starts store, consensus and link in service->data_dir for service->node_sec (set,
     * with service->cluster_id and node_id) and sets service->store, consensus and link. Raft id:
     * node_sec->raft_id. `founder`: consensus_bootstrap with the node id in hex before
     * consensus_start. The link gets `boot_id`. Nothing stays open on failure; `ret_reason`
     * (CLUSTER_REASON_BYTES) is for people. The hub calls link_set_peers itself. */
    enum qk_err (*start_member)(void *arg, bool founder, const uint8_t boot_id[BOOT_ID_BYTES],
                                char *ret_reason);
    /* Closes whatever start_member opened (maybe nothing), sets service->store, consensus and link
     * to NULL, removes <data>/raft and <data>/store.mdb* and then calls cluster_discarded, from
     * the loop. For a founder before the first deal, and for a failed init or join. */
    void (*discard_member)(void *arg);
    /* A system record of the store does not match its checksum: the process must end, so that the
     * next start walks the file, sets it aside and gets a sound one. `what` names file and record.
     * May be NULL: it is only logged. */
    void (*damaged)(void *arg, const char *what);
    /* The node opened (keyring and catalog are there) or closed (they are gone: forget sessions,
     * cached logins, plaintext). May be NULL. */
    void (*opened)(void *arg);
    void (*closed)(void *arg);
    /* NULL: there is no attestation hook. Runs it with the JSON text `facts`; cluster_attested with
     * `id` follows from the loop. QK_ERR_CLOSED: the launcher is gone; QK_ERR_BUSY. */
    enum qk_err (*attest)(void *arg, uint32_t id, struct bytes facts);
    /* From which address that member is connected now, numeric; empty: not known. May be NULL. */
    void (*attest_from)(void *arg, const uint8_t node_id[NODE_ID_BYTES], char *ret_text,
                        unsigned long size);
};

struct cluster_settings {
    unsigned release_limit;   /* 0: RELEASE_LIMIT_DEFAULT */
    unsigned threshold;       /* of new deals; 0: THRESHOLD_DEFAULT */
    const char *attest_hook;  /* its path, for people; lives as long as the cluster */
    unsigned attest_cache_ms; /* an answer of the hook holds so long */
};

struct cluster;

/* The caller frees with cluster_free, after link, consensus and store are closed. */
MUST_USE enum qk_err cluster_new(struct service *service, const struct cluster_ops *ops,
                                 const struct cluster_settings *settings,
                                 struct cluster **ret_cluster);
/* Loads <data>/node.sec, if any, counts the boot, starts the member. QK_OK also when there is none:
 * uninitialised. `ret_reason` (CLUSTER_REASON_BYTES) names file and half on QK_ERR_CORRUPT. */
MUST_USE enum qk_err cluster_boot(struct cluster *cluster, char *ret_reason);
/* Wipes all keys now and stops all timers; no callback of the hub fires afterwards. To be called
 * first at shutdown (before link, consensus and store are closed) and again is harmless. */
void cluster_stop(struct cluster *cluster);
/* Takes NULL. `cb` (may be NULL) runs from the loop when the timers are closed and all is freed. */
void cluster_free(struct cluster *cluster, void (*cb)(void *arg), void *arg);
/* The answer to ops.discard_member. */
void cluster_discarded(struct cluster *cluster, enum qk_err err);

/* --- what comes from below ------------------------------------------------------------------ */

/* `arg` is the cluster, so that they can stand in struct link_config if its arg is the cluster. */
void cluster_link_up(void *arg, const uint8_t node_id[NODE_ID_BYTES], bool known);
void cluster_link_down(void *arg, const uint8_t node_id[NODE_ID_BYTES]);
void cluster_link_clone(void *arg, const uint8_t node_id[NODE_ID_BYTES], const char *first,
                        const char *second);
void cluster_link_refused(void *arg, const char *address, const uint8_t *token_id, enum qk_err err);
/* `n` connections from addresses that may not connect, this one's the last. */
void cluster_link_not_allowed(void *arg, const char *address, uint64_t n);
/* LINK_SEAL and LINK_RECORD. */
void cluster_link_message(void *arg, const uint8_t node_id[NODE_ID_BYTES], struct bytes message);
void cluster_join_token(void *arg, uint64_t join_id, const uint8_t token_id[16],
                        const char *address);
void cluster_join_message(void *arg, uint64_t join_id, const uint8_t pk[32],
                          const uint8_t token_id[16], struct bytes message);
void cluster_join_closed(void *arg, uint64_t join_id);
void cluster_consensus_changed(void *arg);
/* What came of the run `id` of the attestation hook. */
void cluster_attested(struct cluster *cluster, uint32_t id, const struct attest_result *result);

/* The log holds, at `index`, a change of hold or suspensions that the store has not: until it is
 * applied or another entry has its place, this node neither releases nor opens. Inside
 * ops.start_member. */
void cluster_control_pending(struct cluster *cluster, uint64_t index);

/* --- a store that was lost ------------------------------------------------------------------- */

/* The store is empty or behind, though this node is a member: nothing in it is to be gone by until
 * cluster_restore_end. `text` says why and how far, for people. Inside ops.start_member. */
void cluster_restore_begin(struct cluster *cluster, const char *text);
void cluster_restore_note(struct cluster *cluster, const char *text);
void cluster_restore_end(struct cluster *cluster);
bool cluster_is_restoring(const struct cluster *cluster);
/* A member's name, or its id where no name is known. */
void cluster_node_text(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES],
                       char *ret_text, unsigned long size);

/* --- who is who ----------------------------------------------------------------------------- */

/* From the member records applied here, and the Raft configuration. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err cluster_node_of_raft(const struct cluster *cluster, uint64_t raft_id,
                                          uint8_t ret_node_id[static NODE_ID_BYTES]);
MUST_USE enum qk_err cluster_raft_of_node(const struct cluster *cluster,
                                          const uint8_t node_id[static NODE_ID_BYTES],
                                          uint64_t *ret_raft_id);
/* The leader, if it is known and its record is applied. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err cluster_leader(const struct cluster *cluster,
                                    uint8_t ret_node_id[static NODE_ID_BYTES]);
bool cluster_is_member(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES]);
bool cluster_is_leader(const struct cluster *cluster);
/* And what was committed before its term is applied here. */
bool cluster_leads(const struct cluster *cluster);
/* This node first, then the other members. */
struct cluster_peer {
    uint8_t node_id[NODE_ID_BYTES];
    char name[NODE_NAME_BYTES_MAX + 1];
    bool self, connected;
};
unsigned cluster_peers(const struct cluster *cluster,
                       struct cluster_peer ret_peers[static NODES_MAX]);
/* A member whose word counts: neither suspended nor being removed. A disk that was reported stolen
 * must neither pass on requests in a user's name nor give orders. */
bool cluster_is_trusted(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES]);
/* May this Raft message be sent to, or taken from, that member? Not where a disk was restored from
 * an older copy: seal/watermark.h. `message` may be a fragment. */
bool cluster_raft_may_send(const struct cluster *cluster,
                           const uint8_t node_id[static NODE_ID_BYTES], struct bytes message);
bool cluster_raft_may_receive(const struct cluster *cluster,
                              const uint8_t node_id[static NODE_ID_BYTES], struct bytes message);
/* The version of the formats that every member knows, also those that are away. */
unsigned cluster_version(const struct cluster *cluster);
/* May a command of that kind be proposed? Asked before each kind newer than the first version. */
bool cluster_knows(const struct cluster *cluster, enum wire_kind kind);

/* --- state ---------------------------------------------------------------------------------- */

enum seal_state cluster_seal_state(const struct cluster *cluster);
/* This process, new at each start. */
const uint8_t *cluster_boot_id(const struct cluster *cluster);
/* Wipes and closes this node until restart or cluster_unseal (also for SIGUSR1). QK_ERR_CONFLICT:
 * there is no deal yet, so that nothing could ever open it again. */
MUST_USE enum qk_err cluster_seal(struct cluster *cluster);
MUST_USE enum qk_err cluster_unseal(struct cluster *cluster);

/* A sentence for each alarm that lasts (a node that runs twice), for whoever administers the
 * cluster; nothing if there is none. */
void cluster_alarms(const struct cluster *cluster, struct buf *out);

/* Gauges for /metrics. */
struct cluster_figures {
    enum seal_state state;
    unsigned members_n, members_live_n, shares_missing_n;
    uint64_t releases_n, denials_n, clone_alarms_n, rate_alarms_n, deals_n;
    uint64_t attest_allowed_n, attest_denied_n, attest_deferred_n, attest_failed_n;
    unsigned clones_n;    /* alarms that last */
    uint64_t unsealed_us; /* from the share that completed the threshold to unsealed, last time */
    uint64_t epoch;
    unsigned removals_n; /* not done yet */
    unsigned stale_n;    /* members with a generation from before the newest MK */
    bool deal_pending;   /* the deal in force is not final */
    uint32_t mk_version; /* of the deal in force; 0: none */
    uint64_t deal_age_s; /* by this node's clock */
};
void cluster_figures(const struct cluster *cluster, struct cluster_figures *ret_figures);

#endif
