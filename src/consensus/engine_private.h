/* What engine.c, receive.c, change.c and round.c share. */
#ifndef CONSENSUS_ENGINE_PRIVATE_H
#define CONSENSUS_ENGINE_PRIVATE_H

#include "consensus/engine.h"
#include "consensus/read_index.h"

struct pending_effect {
    struct effect effect;
    uint8_t *owned; /* effect.bytes, freed with the effect */
};

enum change_state { CHANGE_NONE, CHANGE_CATCHING_UP, CHANGE_SUBMITTED };

struct change {
    enum change_state state;
    enum change_kind kind;
    uint64_t id;
    uint64_t cookie;
    uint64_t index;
    uint64_t term;
    uint64_t deadline;
};

struct engine {
    struct engine_config config;
    struct raft raft;
    bool raft_open;
    struct guards guards;
    struct entry_log log;
    struct snapshot snapshot;   /* the newest taken or installed */
    struct snapshot installing; /* while raft.snapshot.installing */
    uint64_t now;
    uint64_t applied;               /* walked over; at least the snapshot */
    uint64_t store_applied;         /* what the store holds may be ahead of it */
    bool store_missing;             /* restore.c: it holds less than the log was trimmed to */
    uint64_t replay_at, replay_to;  /* restore.c: entries that it lacks up to `applied` */
    uint64_t stored_before;         /* last_stored as the install under way began */
    uint64_t yield_at;              /* restore.c: when leadership is handed on (again) */
    struct members applied_members; /* as of `applied` */
    uint64_t applied_members_index;
    bool hurries;            /* short_election_ms is in force, until a leader is known */
    uint64_t lost;           /* that one aside, unless it is heard again; 0: none */
    uint64_t leader_contact; /* last AppendEntries or InstallSnapshot of this term or later */
    struct contacts contacts;
    uint64_t unstored_change; /* guard 14 held entries back from this index on; 0: none */
    bool step_took_entries;   /* the last step kept the entries that it was given */
    bool barrier_due;         /* leading, without an entry of the own term */
    struct change change;
    struct read_index reads;
    struct snapshot_peer streams[CONSENSUS_MEMBERS_MAX];
    size_t streams_n;
    struct pending_effect *effects;
    size_t effects_head, effects_n, effects_cap;
    uint8_t *effect_taken; /* freed at the next engine_next_effect */
};

/* Runs one event through the core and turns what it wants into effects. `stale_reply` marks the
 * reply to a message of an older term (guard 1). */
/* `peer` leads and was heard: whatever broke, it is there. */
void engine_found(struct engine *e, uint64_t peer);
MUST_USE enum qk_err engine_step(struct engine *e, struct raft_event *event, bool stale_reply,
                                 int *ret_rv);
MUST_USE enum qk_err engine_submit_entry(struct engine *e, uint8_t type, struct bytes payload,
                                         uint64_t *ret_index, uint64_t *ret_term);
MUST_USE enum qk_err engine_emit(struct engine *e, struct effect effect, struct buf *bytes);
MUST_USE enum qk_err engine_send(struct engine *e, uint64_t peer, struct buf *message);
MUST_USE enum qk_err engine_send_message(struct engine *e, struct raft_message *message,
                                         bool stale_reply);
/* Once a change that guard 14 held back is stored, sends it and what follows without waiting for a
 * heartbeat to be refused. */
MUST_USE enum qk_err engine_send_held_change(struct engine *e);
/* An AppendEntries message or several, within the limits and guard 14. */
MUST_USE enum qk_err engine_send_append(struct engine *e, uint64_t peer,
                                        const struct raft_append_entries *append);
MUST_USE enum qk_err engine_offer_snapshot(struct engine *e, uint64_t peer);
struct snapshot_peer *engine_stream(struct engine *e, uint64_t peer, bool create);
/* Moves the clock, never back. */
void engine_advance(struct engine *e, uint64_t now);
/* The end of every event: what has become due because of it. Passes `err` on. */
MUST_USE enum qk_err engine_finish(struct engine *e, enum qk_err err);
bool engine_has_own_commit(const struct engine *e);

/* change.c */
MUST_USE enum qk_err change_tick(struct engine *e);
MUST_USE enum qk_err change_applied(struct engine *e, uint64_t index, uint64_t term);
MUST_USE enum qk_err change_role_lost(struct engine *e);

/* restore.c: a store that was lost. `e->applied` is set before. */
void restore_begin(struct engine *e, uint64_t store_applied);
/* The store holds all that `applied` says. */
bool restore_is_done(const struct engine *e);
/* The next command that the store lacks; false when there is none, or none may be applied. */
bool restore_next(struct engine *e, struct engine_apply *ret_apply);
MUST_USE enum qk_err restore_tick(struct engine *e);

/* round.c: the engine's side of the read index */
MUST_USE enum qk_err round_tick(struct engine *e);
MUST_USE enum qk_err round_receive(struct engine *e, uint64_t peer, const struct message *message);
MUST_USE enum qk_err round_applied(struct engine *e, uint64_t applied);
uint64_t round_deadline(const struct engine *e);

#endif
