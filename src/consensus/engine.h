/* One member's consensus, pure: events in, effects out. No clock, disk, socket or randomness: time,
 * seeds and outcomes are arguments, so that the simulator runs exactly what production runs.
 *
 * After each call the driver takes effects with engine_next_effect until there are none, performing
 * each before it takes the next, then applies with engine_next_apply. Calls that return anything
 * but the errors named here leave the engine unusable: the process must end. Times are milliseconds
 * that never go back. */
#ifndef CONSENSUS_ENGINE_H
#define CONSENSUS_ENGINE_H

#include "consensus/guard.h"
#include "consensus/log.h"
#include "consensus/members.h"
#include "consensus/snapshot.h"

struct engine_config {
    uint64_t id;
    unsigned election_timeout_ms;
    /* Instead of that while no leader is known yet, and when the one known is lost; 0: no other. */
    unsigned short_election_ms;
    unsigned heartbeat_ms;
    unsigned install_timeout_ms; /* a snapshot unanswered this long is offered again */
    size_t log_keep_bytes;
    uint64_t random; /* differs at each start */
    uint32_t guards_off;
};

enum effect_kind {
    EFFECT_TERM,          /* persist `term` and `vote` now, before anything else */
    EFFECT_SEND,          /* `bytes` to `peer` */
    EFFECT_APPEND,        /* queue entries index .. index + n - 1 of the log to the disk; they
                             replace all that is there from `index` on */
    EFFECT_SNAPSHOT,      /* persist the token `bytes` before the next EFFECT_TRIM */
    EFFECT_TRIM,          /* entries up to `index` may leave the disk */
    EFFECT_SNAPSHOT_SEND, /* stream the store to `peer` under the token `bytes` */
    EFFECT_INSTALL,       /* swap the store in, then replace log and token on disk by `bytes` in one
                             step, then engine_installed */
    EFFECT_READ,          /* the read `cookie` may be served */
    EFFECT_CHANGE,        /* the membership change `cookie` ended with `err` */
    EFFECT_STATE,         /* role, term, leader or members may have changed */
};

struct effect {
    enum effect_kind kind;
    uint64_t peer;
    uint64_t term;
    uint64_t vote;
    uint64_t index;
    size_t n;
    uint64_t cookie;
    enum qk_err err;
    struct bytes bytes; /* valid until the next call of engine_next_effect */
};

struct engine;

/* The caller frees with engine_free. QK_ERR_NOMEM. */
MUST_USE enum qk_err engine_new(const struct engine_config *config, struct engine **ret_engine);
void engine_free(struct engine *e);

/* Before engine_start, what the disk holds: the token (NULL if none), then each entry in order, the
 * first at `first`. QK_ERR_INVALID if a payload is not sound, QK_ERR_NOMEM. */
MUST_USE enum qk_err engine_load(struct engine *e, const struct snapshot *snapshot, uint64_t first);
MUST_USE enum qk_err engine_load_entry(struct engine *e, uint64_t term, uint8_t type,
                                       struct bytes payload);
/* `store_applied`: what the store holds already; it is not handed out again. With less than the log
 * was trimmed to, engine_store_missing is true, and nothing is applied before engine_restored. */
MUST_USE enum qk_err engine_start(struct engine *e, uint64_t now, uint64_t term, uint64_t vote,
                                  uint64_t store_applied);

/* When engine_tick is due. */
uint64_t engine_deadline(const struct engine *e);
MUST_USE enum qk_err engine_tick(struct engine *e, uint64_t now);
/* A part of a message of `peer` that is too long for one: a sign of life if `peer` leads. It only
 * puts an election off, and by no more than the message is long. */
void engine_heard(struct engine *e, uint64_t now, uint64_t peer);
/* The connection to `peer` broke. If it leads, its process has most likely ended, and an election
 * begins sooner unless it is heard again: the pre-vote keeps that harmless where it lives. */
void engine_lost(struct engine *e, uint64_t now, uint64_t peer);
/* A message of `peer`. `staged` tells whether the snapshot that it asks to install, if it does, is
 * here (engine_wants_install). Malformed ones are dropped. */
MUST_USE enum qk_err engine_receive(struct engine *e, uint64_t now, uint64_t peer,
                                    struct bytes message, bool staged);
/* The token that `message` would have this member install; false if it is no such message. The
 * token borrows from `message`. */
bool engine_wants_install(struct bytes message, struct bytes *ret_token);
/* The disk holds all that was queued up to the entry at `index`, written in `term`. Reports come in
 * the order of the effects. */
MUST_USE enum qk_err engine_stored(struct engine *e, uint64_t now, uint64_t index, uint64_t term);
/* EFFECT_INSTALL is done; the store now holds `store_applied`. */
MUST_USE enum qk_err engine_installed(struct engine *e, uint64_t now, uint64_t store_applied);
/* A store that holds `store_applied` has taken the place of one that was lost. It may be ahead of
 * the log; one that is still short of it changes nothing. */
MUST_USE enum qk_err engine_restored(struct engine *e, uint64_t now, uint64_t store_applied);
/* The stream to `peer` ended. */
MUST_USE enum qk_err engine_snapshot_sent(struct engine *e, uint64_t now, uint64_t peer,
                                          struct bytes token, bool ok);
/* The store holds everything up to `index` durably: the log may be trimmed, as far as wanted. */
MUST_USE enum qk_err engine_synced(struct engine *e, uint64_t now, uint64_t index);

/* Proposes a command payload (apply.h). QK_ERR_NOT_LEADER leaves the engine fine. */
MUST_USE enum qk_err engine_submit(struct engine *e, uint64_t now, struct bytes payload,
                                   uint64_t *ret_index, uint64_t *ret_term);
/* Asks for a read point; EFFECT_READ follows. QK_ERR_BUSY leaves the engine fine. */
MUST_USE enum qk_err engine_read(struct engine *e, uint64_t now, uint64_t cookie);
void engine_read_cancel(struct engine *e, uint64_t cookie);

enum change_kind { CHANGE_ADD, CHANGE_PROMOTE, CHANGE_DEMOTE, CHANGE_REMOVE };
/* One membership change; EFFECT_CHANGE follows QK_OK. QK_ERR_NOT_LEADER, QK_ERR_BUSY,
 * QK_ERR_EXISTS, QK_ERR_NOT_FOUND, QK_ERR_TOO_BIG, QK_ERR_INVALID, QK_ERR_DENIED (the leader
 * itself, or the last voter) leave the engine fine. */
MUST_USE enum qk_err engine_change(struct engine *e, uint64_t now, enum change_kind kind,
                                   uint64_t id, const char *address, uint64_t cookie);
/* QK_ERR_NOT_LEADER, QK_ERR_NOT_FOUND leave the engine fine. */
MUST_USE enum qk_err engine_transfer(struct engine *e, uint64_t now, uint64_t id);

/* The next effect to perform; false when there is none. */
bool engine_next_effect(struct engine *e, struct effect *ret_effect);

struct engine_apply {
    uint64_t index;
    uint64_t term;
    struct bytes payload; /* valid until the next event */
};
/* The next committed command entry to apply; false when there is none. Configurations and barriers
 * are passed over here, which may leave effects. */
MUST_USE enum qk_err engine_next_apply(struct engine *e, uint64_t now, bool *ret_some,
                                       struct engine_apply *ret_apply);

/* engine_next_apply would hand something out, or pass something over. */
bool engine_has_apply(const struct engine *e);

enum consensus_role engine_role(const struct engine *e);
uint64_t engine_id(const struct engine *e);
uint64_t engine_term(const struct engine *e);
/* Of the entry there; 0: the log does not hold it. */
uint64_t engine_term_at(const struct engine *e, uint64_t index);
uint64_t engine_leader(const struct engine *e);
uint64_t engine_commit(const struct engine *e);
uint64_t engine_applied(const struct engine *e);
uint64_t engine_stored_index(const struct engine *e);
/* The disk's log ends there or later; the core says 0 while the disk's still is the old one. */
uint64_t engine_held_index(const struct engine *e);
bool engine_transferring(const struct engine *e);
/* This member and `other` are the only voters in the newest configuration, and each that may still
 * be the committed one has no majority without this member: so it holds all that is committed. */
bool engine_is_pair(const struct engine *e, uint64_t other);
bool engine_installing(const struct engine *e);
/* The store is short of the log's first entry: see restore.c. */
bool engine_store_missing(const struct engine *e);
bool engine_hears_leader(const struct engine *e, uint64_t now);
uint64_t engine_match(const struct engine *e, uint64_t peer); /* 0 if unknown */
const struct entry_log *engine_log(const struct engine *e);
const struct snapshot *engine_snapshot(const struct engine *e);
void engine_members(const struct engine *e, struct members *ret_members);

#endif
