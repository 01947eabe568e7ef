/* One node: what the process is made of, and in which order it starts and ends.
 *
 * Start: configuration, process hardened, launcher forked (if anything is to be executed), data
 * directory locked, arena locked, audit log, hub,
 * member (if the directory holds one: store, consensus, link), then the interface for clients.
 * End (TERM, INT): the interface drains, leadership is handed on, keys are wiped, then link,
 * consensus and store close, each after the one above it. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <uv.h>

#include "http/http.h"
#include "node/attester_uv.h"
#include "node/config.h"
#include "node/hasher.h"
#include "node/scripter.h"
#include "node/transfer_uv.h"
#include "audit/audit.h"
#include "service/backup/backup.h"
#include "service/cluster/cluster.h"
#include "service/inner.h"
#include "service/login.h"
#include "service/service.h"
#include "service/timer_uv.h"

#define NODE_REASON_BYTES 1024
#define NODE_DRAIN_MS 5000
#define NODE_SIGNALS_N 4
#define NODE_AUDIT_SYNC_MS 1000

#define RESTORE_WHY_BYTES 384

/* restore.c: the store of a member was lost. */
struct restore {
    bool active;
    bool reading; /* a read point was asked for: the last step */
    char why[RESTORE_WHY_BYTES];
    char said[CLUSTER_REASON_BYTES]; /* the last line in the log, without figures */
    struct timer *timer;
    uint8_t peers[NODES_MAX][NODE_ID_BYTES]; /* connected, as members */
    unsigned peers_n, next;
};

/* audit_log.c: the audit log reaches the disk within NODE_AUDIT_SYNC_MS. */
struct node_audit {
    uv_timer_t timer;
    uv_work_t work;
    struct audit_sync_job job;
    enum qk_err err;    /* of the job */
    bool failed;        /* said once */
    uint64_t marked_ms; /* a mark was put, or none was due */
};

enum node_end { NODE_RUNNING, NODE_DRAINING, NODE_CLOSING, NODE_ENDED };

struct node {
    uv_loop_t loop;
    struct config config;
    struct service service;
    struct http *http;
    struct inner_hook inner;
    struct hasher hasher;
    struct scripter scripter;
    struct launcher_process launcher; /* pid 0: none is needed */
    struct attester *attester;
    struct transfer *transfer; /* with the member: snapshots over the link */
    struct restore restore;
    uv_signal_t signals[NODE_SIGNALS_N];
    uv_prepare_t rest; /* before each wait of the loop no key's page stays open */
    struct node_audit audit;
    int lock_fd; /* <data>/lock: one process a directory */
    enum node_end end;
    bool failed; /* the exit status is 1 */
    /* member_close is under way: what to do when link, consensus and store are gone. */
    bool member_closing;
    bool member_started;
    void (*member_closed)(struct node *node);
};

/* Makes everything and starts it; on an error `ret_reason` (NODE_REASON_BYTES) is for people and
 * the caller runs node_stop and the loop as after a normal run. `node` is zeroed, its configuration
 * filled. */
MUST_USE enum qk_err node_start(struct node *node, char *ret_reason);
/* Begins the end; the loop returns when all is closed. Harmless when called again. */
void node_stop(struct node *node);
/* After the loop has returned. */
void node_fini(struct node *node);

/* audit_log.c */
MUST_USE enum qk_err audit_init(struct node *node);
MUST_USE enum qk_err audit_start(struct node *node, char *ret_reason);

/* attestation.c. First of all, before node_start: checks the hook and forks its launcher. */
MUST_USE enum qk_err attestation_prepare(struct node *node, char *ret_reason);
MUST_USE enum qk_err attestation_start(struct node *node, char *ret_reason);
enum qk_err attestation_ask(void *arg, uint32_t id, struct bytes facts);
void attestation_from(void *arg, const uint8_t node_id[NODE_ID_BYTES], char *ret_text,
                      unsigned long size);

/* member.c: store, consensus and link of an initialised node. */
enum qk_err member_start(void *arg, bool founder, const uint8_t boot_id[BOOT_ID_BYTES],
                         char *ret_reason);
void member_discard(void *arg);
/* member_store.c: `ret_why` (RESTORE_WHY_BYTES) is written if the file was missing or damaged. */
MUST_USE enum qk_err member_store_start(struct node *node, char *ret_why, char *ret_reason);
void member_damaged(void *arg, const char *what);
/* Closes what is open (maybe nothing), then calls `closed` from the loop. */
void member_close(struct node *node, void (*closed)(struct node *node));

/* control.c: between the log's open and its start. */
void control_find(struct node *node);

/* restore.c. Between consensus_open and consensus_start: finds out whether the store was lost;
 * `why` (may be empty) is what is known of it, else it is told by what is missing. */
MUST_USE enum qk_err restore_check(struct node *node, bool founder, const char *why);
void restore_peer(struct node *node, const uint8_t node_id[NODE_ID_BYTES], bool up);
/* A store that was asked for is in place, or could not be put there. */
void restore_installed(struct node *node, enum qk_err err);
/* May this node give its store to one that needs `index`? */
bool restore_gives(const struct node *node, uint64_t index);
void restore_close(struct node *node);

/* owner.c: QK_ERR_FOREIGN, with the reason, if what lies in the directory belongs to another
 * cluster than node.sec does. The store is open. */
MUST_USE enum qk_err owner_check(struct node *node, char *ret_reason);
/* QK_ERR_CORRUPT, with the reason, if the log of a member is gone. The log is open, not started. */
MUST_USE enum qk_err owner_check_log(struct node *node, char *ret_reason);

/* data_dir.c: makes, checks and locks the data directory. */
MUST_USE enum qk_err data_dir_open(struct node *node, char *ret_reason);
/* Removes <data>/raft, <data>/store.mdb* and <data>/members: of a founder before its first deal. */
MUST_USE enum qk_err data_dir_discard(const struct node *node);

#endif
