/* The life of an engine, and the only caller of raft_step.
 *
 * What one step of the core wants becomes effects in this order: term and vote to disk, the entries
 * into our log (messages are filled from it), messages, the entries to disk. Commits need no
 * effect: the driver walks them with engine_next_apply.
 *
 * Over 500 lines: start, step and outcome are one sequence. */
#include "consensus/engine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/engine_private.h"

/* Bytes of entries that the core may have under way to one peer. */
#define INFLIGHT_BYTES (8 * MIB)
#define INFLIGHT_ENTRIES_MIN 2

enum qk_err engine_new(const struct engine_config *config, struct engine **ret_engine)
{
    struct engine *e = calloc(1, sizeof(*e));

    assert(config->id != 0);
    if (e == NULL)
        return QK_ERR_NOMEM;
    e->config = *config;
    e->hurries = config->short_election_ms != 0;
    e->guards.off = config->guards_off;
    entry_log_init(&e->log, 1);
    read_index_init(&e->reads, config->random);
    *ret_engine = e;
    return QK_OK;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    if (e->raft_open)
        raft_close(&e->raft, NULL);
    for (size_t i = 0; i < e->effects_n; i++)
        free(e->effects[e->effects_head + i].owned);
    free(e->effects);
    free(e->effect_taken);
    for (size_t i = 0; i < e->streams_n; i++)
        buf_fini(&e->streams[i].token);
    entry_log_fini(&e->log);
    read_index_fini(&e->reads);
    free(e);
}

/* --- effects ------------------------------------------------------------------------------- */

enum qk_err engine_emit(struct engine *e, struct effect effect, struct buf *bytes)
{
    struct pending_effect pending = {.effect = effect, .owned = NULL};

    if (bytes != NULL && buf_error(bytes) != QK_OK)
        return buf_error(bytes);
    if (e->effects_head + e->effects_n == e->effects_cap) {
        size_t cap = e->effects_n < 32 ? 64 : e->effects_n * 2;
        struct pending_effect *effects = malloc(cap * sizeof(*effects));
        if (effects == NULL)
            return QK_ERR_NOMEM;
        if (e->effects_n > 0)
            memcpy(effects, e->effects + e->effects_head, e->effects_n * sizeof(*effects));
        free(e->effects);
        e->effects = effects;
        e->effects_head = 0;
        e->effects_cap = cap;
    }
    if (bytes != NULL) {
        pending.owned = bytes->data;
        pending.effect.bytes = buf_bytes(bytes);
        bytes->data = NULL; /* taken */
        bytes->len = 0;
        bytes->cap = 0;
    }
    e->effects[e->effects_head + e->effects_n++] = pending;
    return QK_OK;
}

bool engine_next_effect(struct engine *e, struct effect *ret_effect)
{
    free(e->effect_taken);
    e->effect_taken = NULL;
    if (e->effects_n == 0) {
        e->effects_head = 0;
        return false;
    }
    *ret_effect = e->effects[e->effects_head].effect;
    e->effect_taken = e->effects[e->effects_head].owned;
    e->effects_head++;
    e->effects_n--;
    return true;
}

static enum qk_err emit_state(struct engine *e)
{
    return engine_emit(e, (struct effect){.kind = EFFECT_STATE}, NULL);
}

/* --- one step of the core ------------------------------------------------------------------ */

/* Copies the entries that the core accepted into our log, replacing what conflicts. */
static enum qk_err take_entries(struct engine *e, const struct raft_update *update)
{
    uint64_t index = update->entries.index;
    enum qk_err err = QK_OK;

    if (index < e->log.first || index > entry_log_last(&e->log) + 1)
        return QK_ERR_CORRUPT;
    if (index <= e->applied)
        return QK_ERR_CORRUPT; /* what was applied can never be replaced */
    entry_log_truncate(&e->log, index);
    for (unsigned i = 0; i < update->entries.n && err == QK_OK; i++) {
        const struct raft_entry *entry = &update->entries.batch[i];
        err = entry_log_append(&e->log, entry->term, (uint8_t)entry->type,
                               bytes_of(entry->buf.base, entry->buf.len));
        if (err == QK_OK && entry->type == RAFT_CHANGE)
            err = emit_state(e);
    }
    if (update->entries.batch == &e->raft.barrier)
        raft_free(e->raft.barrier.batch); /* the core's own, ours to free once copied */
    return err;
}

static enum qk_err perform(struct engine *e, struct raft_update *update, bool stale_reply)
{
    enum qk_err err = QK_OK;

    if (update->flags & (RAFT_UPDATE_CURRENT_TERM | RAFT_UPDATE_VOTED_FOR))
        err = engine_emit(e,
                          (struct effect){.kind = EFFECT_TERM,
                                          .term = e->raft.current_term,
                                          .vote = e->raft.voted_for},
                          NULL);
    if (err == QK_OK && (update->flags & (RAFT_UPDATE_ENTRIES)))
        err = take_entries(e, update);
    if (update->flags & (RAFT_UPDATE_SNAPSHOT)) {
        struct buf token = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
        raft_configuration_close(&update->snapshot.metadata.configuration);
        snapshot_encode(&e->installing, &token);
        if (err == QK_OK)
            err = engine_emit(e, (struct effect){.kind = EFFECT_INSTALL}, &token);
        buf_fini(&token);
    }
    if (update->flags & (RAFT_UPDATE_MESSAGES)) {
        for (unsigned i = 0; i < update->messages.n && err == QK_OK; i++)
            err = engine_send_message(e, &update->messages.batch[i], stale_reply);
    }
    if (err == QK_OK && (update->flags & (RAFT_UPDATE_ENTRIES)))
        err = engine_emit(e,
                          (struct effect){.kind = EFFECT_APPEND,
                                          .index = update->entries.index,
                                          .n = update->entries.n},
                          NULL);
    return err;
}

/* A new role, term or leader: what was gathered under the old one is worth nothing. */
static enum qk_err note_change(struct engine *e, bool was_leader)
{
    bool leads = e->raft.state == RAFT_LEADER;
    enum qk_err err = read_index_discard(&e->reads);

    if (err == QK_OK && was_leader)
        err = change_role_lost(e);
    if (err == QK_OK)
        err = emit_state(e);
    /* Reads and changes need an entry of the own term; the core adds one only sometimes. */
    e->barrier_due = leads && engine_term_at(e, entry_log_last(&e->log)) != e->raft.current_term;
    e->unstored_change = 0;
    return err;
}

void engine_found(struct engine *e, uint64_t peer)
{
    if (e->lost == peer)
        e->lost = 0;
}

/* After a loss only pre-votes are hurried, which change nothing at others. Each further try of a
 * candidate for real raises the term, and whoever did that at a shorter interval than the others
 * wait would keep them from ever standing: seed 20909 with --break, whose candidate had too short a
 * log. */
static void hurry_end(struct engine *e)
{
    uint64_t leader = engine_leader(e);
    bool stands =
        e->lost != 0 && e->raft.state == RAFT_CANDIDATE && !e->raft.candidate_state.in_pre_vote;

    if (!e->hurries || (!stands && (leader == 0 || leader == e->lost)))
        return;
    e->hurries = false;
    e->lost = 0;
    raft_set_election_timeout(&e->raft, e->config.election_timeout_ms);
}

enum qk_err engine_step(struct engine *e, struct raft_event *event, bool stale_reply, int *ret_rv)
{
    struct raft_update update;
    unsigned short state = e->raft.state;
    uint64_t term = e->raft.current_term;
    uint64_t leader = engine_leader(e);
    uint64_t held = engine_held_index(e);
    bool moved;
    enum qk_err err;

    memset(&update, 0, sizeof(update));
    event->time = e->now;
    *ret_rv = raft_step(&e->raft, event, &update);
    e->step_took_entries = (update.flags & (RAFT_UPDATE_ENTRIES)) != 0;
    if (*ret_rv != 0)
        return QK_OK;
    e->stored_before = held;
    err = perform(e, &update, stale_reply);
    moved = state != e->raft.state || term != e->raft.current_term || leader != engine_leader(e);
    if (err == QK_OK && moved)
        err = note_change(e, state == RAFT_LEADER &&
                                 (e->raft.state != RAFT_LEADER || term != e->raft.current_term));
    hurry_end(e);
    return err;
}

void engine_heard(struct engine *e, uint64_t now, uint64_t peer)
{
    if (e->raft.state != RAFT_FOLLOWER || e->raft.follower_state.current_leader.id != peer ||
        now < e->now)
        return;
    e->now = now;
    e->raft.election_timer_start = now;
    e->leader_contact = now;
    engine_found(e, peer);
    hurry_end(e);
}

void engine_lost(struct engine *e, uint64_t now, uint64_t peer)
{
    if (e->config.short_election_ms == 0 || e->raft.state != RAFT_FOLLOWER ||
        e->raft.follower_state.current_leader.id != peer || now < e->now)
        return;
    e->now = now;
    e->lost = peer;
    e->hurries = true;
    raft_set_election_timeout(&e->raft, e->config.short_election_ms);
}

/* For events that may not fail. */
static enum qk_err step(struct engine *e, struct raft_event *event)
{
    int rv = 0;
    enum qk_err err = engine_step(e, event, false, &rv);

    if (err == QK_OK && rv != 0)
        err = rv == RAFT_NOMEM ? QK_ERR_NOMEM : QK_ERR_CORRUPT;
    return err;
}

enum qk_err engine_submit_entry(struct engine *e, uint8_t type, struct bytes payload,
                                uint64_t *ret_index, uint64_t *ret_term)
{
    struct raft_entry entry = {
        .term = e->raft.current_term,
        .type = (enum raft_entry_type)type,
        .buf = {.base = (void *)(uintptr_t)payload.data, .len = payload.len}, /* only read */
        .batch = e, /* not NULL; never freed by the core on this path */
    };
    struct raft_event event = {.type = RAFT_SUBMIT, .submit = {.entries = &entry, .n = 1}};
    uint64_t index = entry_log_last(&e->log) + 1;
    int rv = 0;
    enum qk_err err;

    if (e->raft.state != RAFT_LEADER)
        return QK_ERR_NOT_LEADER;
    err = engine_step(e, &event, false, &rv);
    if (err != QK_OK)
        return err;
    switch (rv) {
    case 0:
        *ret_index = index;
        *ret_term = entry.term;
        return QK_OK;
    case RAFT_NOTLEADER: /* a transfer is under way */
        return QK_ERR_NOT_LEADER;
    case RAFT_CANTCHANGE:
        return QK_ERR_BUSY;
    default:
        return rv == RAFT_NOMEM ? QK_ERR_NOMEM : QK_ERR_CORRUPT;
    }
}

enum qk_err engine_finish(struct engine *e, enum qk_err err)
{
    static const uint8_t barrier[8] = {0};
    size_t mean = e->log.n == 0 ? 0 : e->log.bytes / e->log.n;
    size_t inflight = mean == 0 ? MESSAGE_ENTRIES_MAX : INFLIGHT_BYTES / mean;

    if (inflight < INFLIGHT_ENTRIES_MIN)
        inflight = INFLIGHT_ENTRIES_MIN;
    if (inflight > MESSAGE_ENTRIES_MAX)
        inflight = MESSAGE_ENTRIES_MAX;
    raft_set_max_inflight_entries(&e->raft, (unsigned)inflight);
    if (err == QK_OK && e->barrier_due) {
        uint64_t index, term;
        e->barrier_due = false;
        err =
            engine_submit_entry(e, RAFT_BARRIER, bytes_of(barrier, sizeof(barrier)), &index, &term);
        if (err == QK_ERR_NOT_LEADER)
            err = QK_OK;
    }
    if (err == QK_OK)
        err = engine_send_held_change(e);
    if (err == QK_OK)
        err = change_tick(e);
    if (err == QK_OK)
        err = restore_tick(e);
    if (err == QK_OK)
        err = round_tick(e);
    return err;
}

void engine_advance(struct engine *e, uint64_t now)
{
    if (now > e->now)
        e->now = now;
}

/* --- start --------------------------------------------------------------------------------- */

enum qk_err engine_load(struct engine *e, const struct snapshot *snapshot, uint64_t first)
{
    assert(!e->raft_open);
    if (first == 0 || (snapshot == NULL && first != 1) ||
        (snapshot != NULL && first > snapshot->index + 1))
        return QK_ERR_INVALID;
    if (snapshot != NULL)
        e->snapshot = *snapshot;
    entry_log_init(&e->log, first);
    return QK_OK;
}

enum qk_err engine_load_entry(struct engine *e, uint64_t term, uint8_t type, struct bytes payload)
{
    struct members members;

    assert(!e->raft_open);
    if (term == 0 || payload.len == 0 || term < entry_log_term(&e->log, entry_log_last(&e->log)))
        return QK_ERR_INVALID;
    if (type != RAFT_COMMAND && type != RAFT_BARRIER && type != RAFT_CHANGE)
        return QK_ERR_INVALID;
    if (type == RAFT_CHANGE && members_decode_entry(payload, &members) != QK_OK)
        return QK_ERR_INVALID;
    return entry_log_append(&e->log, term, type, payload);
}

static enum qk_err open_raft(struct engine *e)
{
    char address[CONSENSUS_ADDRESS_BYTES_MAX];

    if (e->raft_open)
        raft_close(&e->raft, NULL);
    e->raft_open = false;
    memset(&e->raft, 0, sizeof(e->raft));
    snprintf(address, sizeof(address), "%016" PRIx64, e->config.id);
    if (raft_init(&e->raft, NULL, NULL, e->config.id, address) != 0)
        return QK_ERR_NOMEM;
    e->raft_open = true;
    e->raft.tracer = NULL;
    raft_seed(&e->raft, (unsigned)e->config.random);
    e->config.random = e->config.random * 6364136223846793005u + 1442695040888963407u;
    raft_set_election_timeout(&e->raft, e->hurries ? e->config.short_election_ms
                                                   : e->config.election_timeout_ms);
    raft_set_heartbeat_timeout(&e->raft, e->config.heartbeat_ms);
    raft_set_install_snapshot_timeout(&e->raft, e->config.install_timeout_ms);
    raft_set_max_catch_up_round_duration(&e->raft, 5 * e->config.election_timeout_ms);
    raft_set_pre_vote(&e->raft, true);
    return QK_OK;
}

/* The newest configuration in snapshot and log. */
static enum qk_err newest_members(const struct engine *e, struct members *ret_members)
{
    for (uint64_t i = entry_log_last(&e->log); i >= e->log.first && i > 0; i--) {
        const struct log_entry *entry = entry_log_get(&e->log, i);
        if (entry != NULL && entry->type == RAFT_CHANGE)
            return members_decode_entry(bytes_of(entry->data, entry->len), ret_members);
    }
    *ret_members = e->snapshot.members;
    return QK_OK;
}

/* Guard 4: the only voter elects itself at START, so it must do so in a term of its own. */
static enum qk_err claim_term(struct engine *e, uint64_t *term, uint64_t *vote)
{
    const struct consensus_member *self;
    struct members members;
    enum qk_err err = newest_members(e, &members);

    if (err != QK_OK)
        return err;
    self = members_get(&members, e->config.id);
    if (!guard_on(&e->guards, GUARD_SELF_ELECTION) || self == NULL || !self->voter ||
        members_voters_n(&members) != 1)
        return QK_OK;
    *term += 1;
    *vote = e->config.id;
    return engine_emit(e, (struct effect){.kind = EFFECT_TERM, .term = *term, .vote = *vote}, NULL);
}

static enum qk_err run_start(struct engine *e, uint64_t term, uint64_t vote)
{
    struct raft_snapshot_metadata metadata;
    struct raft_event event = {.type = RAFT_START};
    struct raft_entry *entries = NULL;
    enum qk_err err = claim_term(e, &term, &vote);

    if (err == QK_OK && e->snapshot.index > 0)
        err = snapshot_to_raft(&e->snapshot, &metadata);
    if (err != QK_OK)
        return err;
    if (e->log.n > 0) {
        entries = calloc(e->log.n, sizeof(*entries));
        if (entries == NULL)
            return QK_ERR_NOMEM;
    }
    for (size_t i = 0; i < e->log.n; i++) {
        const struct log_entry *entry = entry_log_get(&e->log, e->log.first + i);
        entries[i].term = entry->term;
        entries[i].type = (enum raft_entry_type)entry->type;
        entries[i].buf = (struct raft_buffer){.base = entry->data, .len = entry->len};
        entries[i].batch = entry->data;
    }
    event.start.term = term;
    event.start.voted_for = vote;
    event.start.metadata = e->snapshot.index > 0 ? &metadata : NULL;
    event.start.start_index = e->log.first;
    event.start.entries = entries;
    event.start.n_entries = (unsigned)e->log.n;
    err = step(e, &event);
    free(entries);
    return err;
}

enum qk_err engine_start(struct engine *e, uint64_t now, uint64_t term, uint64_t vote,
                         uint64_t store_applied)
{
    uint64_t last = entry_log_last(&e->log);
    enum qk_err err;

    if (last > 0 && term < engine_term_at(e, last))
        return QK_ERR_CORRUPT;
    e->now = now;
    e->leader_contact = now;
    e->applied = e->snapshot.index;
    restore_begin(e, store_applied);
    e->applied_members = e->snapshot.members;
    e->applied_members_index = e->snapshot.members_index;
    err = open_raft(e);
    if (err == QK_OK)
        err = run_start(e, term, vote);
    return engine_finish(e, err);
}

/* Guard 4: the core would lead a term that may have had another leader. A fresh start of the core
 * over the same log, in a new term, elects it properly. */
static enum qk_err restart(struct engine *e)
{
    uint64_t term = e->raft.current_term;
    enum qk_err err = open_raft(e);

    if (err == QK_OK)
        err = run_start(e, term, 0);
    /* A start takes the newest configuration for uncommitted; what was applied is not applied
     * again, so it is told now. */
    if (err == QK_OK && e->raft.configuration_uncommitted_index != 0 &&
        e->raft.configuration_uncommitted_index == e->applied_members_index) {
        struct raft_event event = {.type = RAFT_CONFIGURATION};
        event.configuration.index = e->applied_members_index;
        err = members_to_raft(&e->applied_members, &event.configuration.conf);
        if (err == QK_OK)
            err = step(e, &event);
    }
    return err;
}

/* --- time ---------------------------------------------------------------------------------- */

uint64_t engine_deadline(const struct engine *e)
{
    uint64_t deadline = raft_timeout(&e->raft);
    uint64_t round = round_deadline(e);

    if (e->change.state == CHANGE_CATCHING_UP && e->now + e->config.heartbeat_ms < deadline)
        deadline = e->now + e->config.heartbeat_ms;
    return round < deadline ? round : deadline;
}

enum qk_err engine_tick(struct engine *e, uint64_t now)
{
    struct raft_event event = {.type = RAFT_TIMEOUT};
    enum qk_err err = QK_OK;

    engine_advance(e, now);
    if (e->now >= raft_timeout(&e->raft)) {
        bool settled = e->raft.last_stored == entry_log_last(&e->log) && !engine_installing(e);
        if (e->raft.state == RAFT_FOLLOWER && settled && guard_self_election(&e->guards, &e->raft))
            err = restart(e);
        else {
            guard_disruptive_candidate(&e->guards, &e->raft);
            err = step(e, &event);
        }
    }
    return engine_finish(e, err);
}

/* --- outcomes ------------------------------------------------------------------------------ */

enum qk_err engine_stored(struct engine *e, uint64_t now, uint64_t index, uint64_t term)
{
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES};
    enum qk_err err = QK_OK;

    engine_advance(e, now);
    /* What was written may since have been replaced; its replacement is reported later. */
    if (!engine_installing(e) && index > e->raft.last_stored &&
        entry_log_term(&e->log, index) == term) {
        event.persisted_entries.index = index;
        err = step(e, &event);
    }
    return engine_finish(e, err);
}

enum qk_err engine_installed(struct engine *e, uint64_t now, uint64_t store_applied)
{
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT};
    enum qk_err err;

    engine_advance(e, now);
    assert(engine_installing(e));
    assert(store_applied >= e->installing.index);
    err = snapshot_to_raft(&e->installing, &event.persisted_snapshot.metadata);
    if (err != QK_OK)
        return err;
    event.persisted_snapshot.last = true;
    e->snapshot = e->installing;
    entry_log_reset(&e->log, e->snapshot.index + 1);
    e->applied = e->snapshot.index;
    e->applied_members = e->snapshot.members;
    e->applied_members_index = e->snapshot.members_index;
    restore_begin(e, store_applied);
    err = step(e, &event);
    if (err == QK_OK)
        err = emit_state(e);
    return engine_finish(e, err);
}

enum qk_err engine_submit(struct engine *e, uint64_t now, struct bytes payload, uint64_t *ret_index,
                          uint64_t *ret_term)
{
    enum qk_err err;

    engine_advance(e, now);
    if (e->store_missing)
        return QK_ERR_NOT_LEADER;
    err = engine_submit_entry(e, RAFT_COMMAND, payload, ret_index, ret_term);
    return err == QK_OK ? engine_finish(e, err) : err;
}

enum qk_err engine_transfer(struct engine *e, uint64_t now, uint64_t id)
{
    struct raft_event event = {.type = RAFT_TRANSFER, .transfer = {.server_id = id}};
    int rv = 0;
    enum qk_err err;

    engine_advance(e, now);
    if (e->raft.state != RAFT_LEADER)
        return QK_ERR_NOT_LEADER;
    err = engine_step(e, &event, false, &rv);
    if (err == QK_OK && rv == RAFT_NOTLEADER)
        return QK_ERR_BUSY; /* one is under way */
    if (err == QK_OK && (rv == RAFT_NOTFOUND || rv == RAFT_BADID))
        return QK_ERR_NOT_FOUND;
    if (err == QK_OK && rv != 0)
        err = QK_ERR_NOMEM;
    return engine_finish(e, err);
}

/* --- apply --------------------------------------------------------------------------------- */

static enum qk_err apply_change(struct engine *e, uint64_t index, const struct log_entry *entry)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION, .configuration = {.index = index}};
    uint64_t term = entry->term;
    struct members members;
    enum qk_err err = members_decode_entry(bytes_of(entry->data, entry->len), &members);

    if (err == QK_OK)
        err = members_to_raft(&members, &event.configuration.conf);
    if (err != QK_OK)
        return err;
    e->applied_members = members;
    e->applied_members_index = index;
    err = step(e, &event);
    if (err == QK_OK)
        err = change_applied(e, index, term);
    if (err == QK_OK)
        err = emit_state(e);
    return err;
}

enum qk_err engine_next_apply(struct engine *e, uint64_t now, bool *ret_some,
                              struct engine_apply *ret_apply)
{
    enum qk_err err = QK_OK;

    engine_advance(e, now);
    *ret_some = false;
    if (restore_next(e, ret_apply)) {
        *ret_some = true;
        return QK_OK;
    }
    while (err == QK_OK && e->applied < e->raft.commit_index && !e->store_missing &&
           !engine_installing(e)) {
        uint64_t index = e->applied + 1;
        const struct log_entry *entry = entry_log_get(&e->log, index);
        if (entry == NULL)
            return QK_ERR_CORRUPT;
        e->applied = index;
        if (entry->type == RAFT_CHANGE)
            err = apply_change(e, index, entry);
        if (entry->type == RAFT_COMMAND && index > e->store_applied) {
            ret_apply->index = index;
            ret_apply->term = entry->term;
            ret_apply->payload = bytes_of(entry->data, entry->len);
            *ret_some = true;
            return round_applied(e, index - 1);
        }
    }
    if (err == QK_OK)
        err = engine_finish(e, round_applied(e, e->applied));
    return err;
}
