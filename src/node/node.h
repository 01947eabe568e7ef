/* One node: what the process is made of, and in which order it starts and ends.
 *
 * Start: configuration, process hardened, data directory locked, arena locked, audit log, hub,
 * member (if the directory holds one: store, consensus, link), then the interface for clients.
 * End (TERM, INT): the interface drains, leadership is handed on, keys are wiped, then link,
 * consensus and store close, each after the one above it. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <uv.h>

#include "http/http.h"
#include "node/config.h"
#include "node/transfer_uv.h"
#include "service/audit.h"
#include "service/cluster.h"
#include "service/login.h"
#include "service/service.h"

#define NODE_REASON_BYTES 1024
#define NODE_DRAIN_MS 5000
#define NODE_SIGNALS_N 4

enum node_end { NODE_RUNNING, NODE_DRAINING, NODE_CLOSING, NODE_ENDED };

struct node {
    uv_loop_t loop;
    struct config config;
    struct service service;
    struct http *http;
    struct transfer *transfer; /* with the member: snapshots over the link */
    uv_signal_t signals[NODE_SIGNALS_N];
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

/* member.c: store, consensus and link of an initialised node. */
enum qk_err member_start(void *arg, bool founder, const uint8_t boot_id[BOOT_ID_BYTES],
                         char *ret_reason);
void member_discard(void *arg);
/* Closes what is open (maybe nothing), then calls `closed` from the loop. */
void member_close(struct node *node, void (*closed)(struct node *node));

/* data_dir.c: makes, checks and locks the data directory. */
MUST_USE enum qk_err data_dir_open(struct node *node, char *ret_reason);
/* Removes <data>/raft and <data>/store.mdb*: of a founder before its first deal. */
MUST_USE enum qk_err data_dir_discard(const struct node *node);

#endif
