/* The replicated log: the libuv-facing driver of libraft's core (docs/design.md, Consensus).
 *
 * One loop thread owns everything. Every callback below, in the configuration or of a request,
 * fires from the loop and never inside the call that started it; each request's callback fires
 * exactly once, at the latest (with QK_ERR_CLOSED) before the callback of consensus_close. It is
 * safe to call any consensus_* function from a callback except consensus_free (only from the close
 * callback or later).
 *
 * It knows nothing of links, stores or seals. Ids are never 0 and never used twice in the cluster's
 * life: a node that was wiped comes back under a new id. */
#ifndef CONSENSUS_CONSENSUS_H
#define CONSENSUS_CONSENSUS_H

#include <uv.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "consensus/types.h" /* roles, members */

/* Nothing that consensus hands to `send` is longer: larger Raft messages leave in fragments. */
#define CONSENSUS_MESSAGE_BYTES_MAX (4 * MIB)
/* Commands accepted and not yet answered; past it consensus_submit says QK_ERR_BUSY. */
#define CONSENSUS_INFLIGHT_BYTES_MAX (COMMAND_BYTES_MAX + 64 * MIB)
#define CONSENSUS_TOKEN_BYTES_MAX 8192 /* a snapshot token */

/* Everything is copied by consensus_new, `dir` too. Every `struct bytes` given to a callback is
 * borrowed for the time of the call. */
struct consensus_config {
    uv_loop_t *loop;
    const char *dir;              /* <data>/raft, created 0700 if absent */
    uint64_t id;                  /* own id, not 0 */
    unsigned election_timeout_ms; /* 0: 1000 */
    unsigned heartbeat_ms;        /* 0: 100 */
    size_t log_keep_bytes;        /* log kept for followers that were away; 0: 64 MiB */
    void *arg;                    /* first argument of all callbacks below */

    /* Sends one message over the link to `peer`, in the order of the calls. Loss is fine,
     * reordering costs speed only; a link that was replaced must drop what it still had queued. */
    void (*send)(void *arg, uint64_t peer, struct bytes message);

    /* Applies one committed command: in log order, each exactly once past what the store holds
     * (`applied_start` of consensus_start, `applied` of consensus_snapshot_installed). Pure and
     * keyless. What it appends to `result` is handed to the submitter's callback, if the command
     * was submitted here. Several commands may share one index and term (they were coalesced);
     * `last` is true at the last of an index: only then is the index complete, so that a store must
     * record it as applied together with, or after, that command's effects. Not QK_OK only for what
     * must stop the node. */
    enum qk_err (*apply)(void *arg, uint64_t index, uint64_t term, bool last, struct bytes command,
                         struct buf *result);

    /* May this command be proposed here and now? QK_OK, or what consensus_submit returns. NULL:
     * yes. */
    enum qk_err (*may_submit)(void *arg, struct bytes command);

    /* Highest index whose effects are durable in the store; the log is kept past it. */
    uint64_t (*synced)(void *arg);

    /* Role, term, leader or membership may have changed. */
    void (*state_changed)(void *arg);

    /* The disk or the engine failed: the process must end without touching the log again. `what`
     * names the file. Fires once; nothing else fires afterwards. It is the one callback that may
     * fire inside a consensus_* call. */
    void (*fatal)(void *arg, const char *what);

    /* Leader: stream the own store to `peer`, labelled with `token`, then call
     * consensus_snapshot_sent. The store may meanwhile be newer than the token: never older. Not
     * repeated while one to the same peer is under way. */
    void (*snapshot_send)(void *arg, uint64_t peer, struct bytes token);

    /* Follower: is staged data complete and durable for exactly `token`? Asked before the install
     * is accepted; must not change anything. May fire inside consensus_receive. */
    bool (*snapshot_staged)(void *arg, struct bytes token);

    /* Follower: swap the staged store in now (nothing is applied meanwhile), then call
     * consensus_snapshot_installed. */
    void (*snapshot_install)(void *arg, struct bytes token);
};

struct consensus;

/* QK_ERR_NOMEM, QK_ERR_INVALID. The caller frees with consensus_free. */
MUST_USE enum qk_err consensus_new(const struct consensus_config *config,
                                   struct consensus **ret_consensus);
/* Takes NULL. Not between consensus_open and the callback of consensus_close. */
void consensus_free(struct consensus *c);

/* Reads the directory, which is then locked by this process. QK_ERR_CORRUPT, QK_ERR_IO,
 * QK_ERR_FULL, QK_ERR_BUSY (another process has it); `ret_reason` (NULL or at least 512 bytes) then
 * names file and offset. */
MUST_USE enum qk_err consensus_open(struct consensus *c, char *ret_reason);
/* True if the directory held no Raft state at open (and none was bootstrapped since). */
bool consensus_is_empty(const struct consensus *c);
/* Between open and start: would a store that holds `applied` lack what was applied here before? */
bool consensus_outruns(const struct consensus *c, uint64_t applied);
/* Between open and start: the index of the last entry past `applied` that holds a command of which
 * `is_wanted` says so; 0 if none. Committed or not: that is not known before a leader tells. */
uint64_t consensus_find_unapplied(const struct consensus *c, uint64_t applied,
                                  bool (*is_wanted)(struct bytes command));
/* Makes this node the only voter of a new cluster, durable on return and atomic. Between open and
 * start; QK_ERR_EXISTS if the directory is not empty. */
MUST_USE enum qk_err consensus_bootstrap(struct consensus *c, const char *address);
/* Starts timers and elections. A node that joins starts empty, without bootstrap, and waits for the
 * leader. `applied_start` is the index that the store holds durably: commands at or below it are
 * not applied again. It may be less than at the last end (the store was lost): what the log still
 * holds is applied again, and if it does not reach back so far, see consensus_wants_store. */
MUST_USE enum qk_err consensus_start(struct consensus *c, uint64_t applied_start);
/* Finishes queued disk writes, ends the worker, fails what waits with QK_ERR_CLOSED, then `cb`. */
void consensus_close(struct consensus *c, void (*cb)(void *arg), void *arg);

/* A message from `peer`, as it left its `send`. Anything malformed is dropped. */
void consensus_receive(struct consensus *c, uint64_t peer, struct bytes message);
/* The connection to `peer` broke: if it leads, an election begins sooner unless it is heard. */
void consensus_peer_lost(struct consensus *c, uint64_t peer);

/* `result` is what `apply` appended for this command; empty unless `err` is QK_OK. */
typedef void (*consensus_submit_cb)(void *arg, enum qk_err err, uint64_t index,
                                    struct bytes result);
/* Proposes one command (1 byte to COMMAND_BYTES_MAX), copied. `cb` fires only if QK_OK is returned:
 * QK_OK committed in the submitted term and applied here; QK_ERR_UNKNOWN_OUTCOME leadership was
 * lost after submission: never submit again by yourself; QK_ERR_NOT_LEADER certainly not proposed;
 * QK_ERR_FULL no room on disk, certainly not proposed. Returned at once: QK_ERR_NOT_LEADER,
 * QK_ERR_BUSY, QK_ERR_FULL, QK_ERR_TOO_BIG, QK_ERR_NOMEM, QK_ERR_CLOSED. */
MUST_USE enum qk_err consensus_submit(struct consensus *c, struct bytes command,
                                      consensus_submit_cb cb, void *arg);

typedef void (*consensus_read_cb)(void *arg, enum qk_err err, uint64_t index);
/* A linearizable read point, on any member: `cb` fires with QK_OK once everything that was
 * committed when this was called is applied here. QK_ERR_NO_QUORUM after `timeout_ms` without a
 * leader and a majority. Returned at once: QK_ERR_BUSY (too many wait), QK_ERR_NOMEM,
 * QK_ERR_CLOSED. */
MUST_USE enum qk_err consensus_read(struct consensus *c, unsigned timeout_ms, consensus_read_cb cb,
                                    void *arg);

typedef void (*consensus_change_cb)(void *arg, enum qk_err err);
/* Membership, on the leader, one change at a time. The callback's QK_OK means committed and applied
 * here. Both returned and called back: QK_ERR_NOT_LEADER, QK_ERR_BUSY (another change is under way,
 * or a voter has not yet seen the last one: try later), QK_ERR_EXISTS, QK_ERR_NOT_FOUND,
 * QK_ERR_TOO_BIG (too many), QK_ERR_UNKNOWN_OUTCOME, QK_ERR_TIMEOUT, QK_ERR_CLOSED. */
MUST_USE enum qk_err consensus_add(struct consensus *c, uint64_t id, const char *address,
                                   consensus_change_cb cb, void *arg); /* as a standby */
/* Waits until the standby has caught up (at most a minute, else QK_ERR_TIMEOUT), then gives it a
 * vote. */
MUST_USE enum qk_err consensus_promote(struct consensus *c, uint64_t id, consensus_change_cb cb,
                                       void *arg);
/* Of the leader itself: leadership is handed to another voter and the callback says
 * QK_ERR_NOT_LEADER: ask the new leader. QK_ERR_DENIED: the last voter cannot be removed. */
MUST_USE enum qk_err consensus_remove(struct consensus *c, uint64_t id, consensus_change_cb cb,
                                      void *arg);
/* Hands leadership to voter `id`, or to the best one with 0. QK_OK once this node is no leader,
 * QK_ERR_TIMEOUT after an election timeout, QK_ERR_NOT_FOUND if there is no such voter. */
MUST_USE enum qk_err consensus_transfer(struct consensus *c, uint64_t id, consensus_change_cb cb,
                                        void *arg);

/* The stream to `peer` for `token` ended. With QK_OK the peer holds it staged and durable, and is
 * now told to install; otherwise it is tried again later. */
void consensus_snapshot_sent(struct consensus *c, uint64_t peer, struct bytes token,
                             enum qk_err err);
/* The answer to snapshot_install: the store now holds `applied` (at least the token's index),
 * durably. An error is fatal: the store is neither the old nor the new one. */
void consensus_snapshot_installed(struct consensus *c, enum qk_err err, uint64_t applied);
/* True while the store is short of the log's first entry: a peer's store that holds at least
 * `ret_index` is needed. Until then nothing is applied, no read served, nothing submitted, and
 * leadership is handed on. */
bool consensus_wants_store(const struct consensus *c, uint64_t *ret_index);
/* Such a store is in place, durably, and holds `applied`. */
void consensus_restored(struct consensus *c, uint64_t applied);
/* What a token names. QK_ERR_INVALID if it is malformed. */
MUST_USE enum qk_err consensus_token_index(struct bytes token, uint64_t *ret_index,
                                           uint64_t *ret_term);

enum consensus_role consensus_role(const struct consensus *c);
uint64_t consensus_leader(const struct consensus *c); /* 0: unknown */
uint64_t consensus_term(const struct consensus *c);
uint64_t consensus_commit(const struct consensus *c);
uint64_t consensus_applied(const struct consensus *c);
uint64_t consensus_last_index(const struct consensus *c);
/* The term of the entry there; 0: the log does not hold it any more, or not yet. */
uint64_t consensus_term_at(const struct consensus *c, uint64_t index);
/* Up to where the log on this disk reaches. */
uint64_t consensus_stored(const struct consensus *c);
/* Leader: what `peer` has said that it holds durably, as far as it is committed; else 0. */
uint64_t consensus_peer_holds(const struct consensus *c, uint64_t peer);
/* This node and `other` are the only voters in the newest configuration, and each that may still be
 * the committed one has no majority without this node: so it holds all that is committed. */
bool consensus_is_pair(const struct consensus *c, uint64_t other);
enum consensus_message { CONSENSUS_REQUEST, CONSENSUS_VOTE, CONSENSUS_ANSWER };
/* What a message is: of a candidate or leader, a vote given or refused, or another answer. */
enum consensus_message consensus_message_kind(struct bytes message);
/* The newest configuration known here, committed or not; writes at most `max`, returns the count.
 */
size_t consensus_members(const struct consensus *c, struct consensus_member *ret_members,
                         size_t max);
/* True if this node leads and heard a majority of voters within an election timeout, or follows a
 * leader that it heard within one. */
bool consensus_has_majority_contact(const struct consensus *c);
/* 0 while a majority is in contact; else how long ago it was, at most; UINT64_MAX: never in this
 * process. What this node has applied is no staler than that. */
uint64_t consensus_alone_ms(const struct consensus *c);
/* Milliseconds since the last message of `peer`, UINT64_MAX if none since the start. */
uint64_t consensus_peer_contact_ms(const struct consensus *c, uint64_t peer);
/* Leader: how many entries `peer` is behind; UINT64_MAX if unknown here. */
uint64_t consensus_peer_lag(const struct consensus *c, uint64_t peer);

struct consensus_stats {
    uint64_t entries_n, commands_n, syncs_n, bytes_n; /* written since the start */
    uint64_t log_bytes, log_first;                    /* kept in memory */
    uint64_t inflight_bytes, snapshots_sent_n, snapshots_installed_n, elections_n;
};
void consensus_stats(const struct consensus *c, struct consensus_stats *ret_stats);

#endif
