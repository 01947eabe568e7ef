/* Requests around the engine as src/consensus/requests_uv.c makes them: queued by the calls, given
 * to the engine together in the loop's next turn, many commands to an entry. */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/apply.h"
#include "consensus/consensus.h"

#define TRANSFER_LOOK_MS 100

static struct engine *engine_of(const struct consensus *c)
{
    const struct machine *m = machine_of(c);

    return m->raft != NULL && m->raft->alive ? m->raft->engine : NULL;
}

static void pump_soon(struct machine *m)
{
    if (m->pumping || machine_mute(m))
        return;
    m->pumping = true;
    system_push(m, 0, SYS_PUMP, 0, NULL, 0);
}

enum consensus_role consensus_role(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_role(engine_of(c)) : CONSENSUS_FOLLOWER;
}

uint64_t consensus_leader(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_leader(engine_of(c)) : 0;
}

uint64_t consensus_term(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_term(engine_of(c)) : 0;
}

uint64_t consensus_commit(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_commit(engine_of(c)) : 0;
}

uint64_t consensus_applied(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_applied(engine_of(c)) : 0;
}

uint64_t consensus_last_index(const struct consensus *c)
{
    return engine_of(c) != NULL ? entry_log_last(engine_log(engine_of(c))) : 0;
}

uint64_t consensus_term_at(const struct consensus *c, uint64_t index)
{
    return engine_of(c) != NULL ? engine_term_at(engine_of(c), index) : 0;
}

uint64_t consensus_stored(const struct consensus *c)
{
    return engine_of(c) != NULL ? engine_held_index(engine_of(c)) : 0;
}

uint64_t consensus_peer_holds(const struct consensus *c, uint64_t peer)
{
    uint64_t match = engine_of(c) != NULL ? engine_match(engine_of(c), peer) : 0;

    return match < consensus_commit(c) ? match : consensus_commit(c);
}

bool consensus_is_pair(const struct consensus *c, uint64_t other)
{
    return engine_of(c) != NULL && engine_is_pair(engine_of(c), other);
}

enum consensus_message consensus_message_kind(struct bytes message)
{
    return message_is_answer(message)        ? CONSENSUS_ANSWER
           : message_is_vote_result(message) ? CONSENSUS_VOTE
                                             : CONSENSUS_REQUEST;
}

bool consensus_has_majority_contact(const struct consensus *c)
{
    return engine_of(c) != NULL && engine_leader(engine_of(c)) != 0;
}

size_t consensus_members(const struct consensus *c, struct consensus_member *ret_members,
                         size_t max)
{
    struct members members = {0};

    if (engine_of(c) == NULL)
        return 0;
    engine_members(engine_of(c), &members);
    assert(members.n <= max);
    memcpy(ret_members, members.list, members.n * sizeof(members.list[0]));
    return members.n;
}

enum qk_err consensus_submit(struct consensus *c, struct bytes command, consensus_submit_cb cb,
                             void *arg)
{
    struct machine *m = machine_of(c);
    struct proposal *proposal, **tail = &m->proposals;

    if (machine_mute(m) || engine_of(c) == NULL)
        return QK_ERR_CLOSED;
    if (consensus_role(c) != CONSENSUS_LEADER || engine_transferring(engine_of(c)))
        return QK_ERR_NOT_LEADER;
    proposal = calloc(1, sizeof(*proposal));
    assert(proposal != NULL);
    m->commands_n++;
    proposal->cb = cb;
    proposal->arg = arg;
    proposal->command = blob_new(command);
    proposal->result = BUF_INIT(64 * KIB);
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = proposal;
    pump_soon(m);
    return QK_OK;
}

void consensus_stats(const struct consensus *c, struct consensus_stats *ret_stats)
{
    *ret_stats = (struct consensus_stats){.commands_n = machine_of(c)->commands_n};
}

enum qk_err consensus_read(struct consensus *c, unsigned timeout_ms, consensus_read_cb cb,
                           void *arg)
{
    struct machine *m = machine_of(c);
    struct reading *reading, **tail = &m->readings;

    if (machine_mute(m) || engine_of(c) == NULL)
        return QK_ERR_CLOSED;
    reading = calloc(1, sizeof(*reading));
    assert(reading != NULL);
    reading->cb = cb;
    reading->arg = arg;
    reading->cookie = ++m->cookies;
    reading->deadline = m->sys->w->now + timeout_ms;
    while (*tail != NULL)
        tail = &(*tail)->next;
    *tail = reading;
    pump_soon(m);
    system_push(m, timeout_ms, SYS_PUMP, 1, NULL, 0);
    return QK_OK;
}

static enum qk_err request(struct machine *m, struct wish *at, int kind, uint64_t id,
                           const char *address, consensus_change_cb cb, void *arg)
{
    const struct consensus *c = m->service.consensus;

    if (machine_mute(m) || engine_of(c) == NULL)
        return QK_ERR_CLOSED;
    if (consensus_role(c) != CONSENSUS_LEADER)
        return QK_ERR_NOT_LEADER;
    if (at->wanted || at->running)
        return QK_ERR_BUSY;
    *at = (struct wish){.cb = cb, .arg = arg, .kind = kind, .id = id, .wanted = true};
    if (address != NULL)
        snprintf(at->address, sizeof(at->address), "%s", address);
    pump_soon(m);
    return QK_OK;
}

enum qk_err consensus_add(struct consensus *c, uint64_t id, const char *address,
                          consensus_change_cb cb, void *arg)
{
    struct machine *m = machine_of(c);

    system_raft_place(m->sys, id);
    return request(m, &m->change, CHANGE_ADD, id, address, cb, arg);
}

enum qk_err consensus_promote(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    struct machine *m = machine_of(c);

    return request(m, &m->change, CHANGE_PROMOTE, id, NULL, cb, arg);
}

enum qk_err consensus_remove(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    struct machine *m = machine_of(c);

    if (m->raft != NULL && m->raft->id == id)
        return QK_ERR_NOT_LEADER; /* the machine hands leadership on first */
    return request(m, &m->change, CHANGE_REMOVE, id, NULL, cb, arg);
}

enum qk_err consensus_transfer(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    struct machine *m = machine_of(c);

    return request(m, &m->transfer, 0, id, NULL, cb, arg);
}

/* --- answers --------------------------------------------------------------------------------- */

static void proposal_free(struct proposal *proposal)
{
    blob_drop(proposal->command);
    buf_fini(&proposal->result);
    free(proposal);
}

static void proposal_answer(struct machine *m, struct proposal *proposal, enum qk_err err)
{
    struct proposal **at = &m->proposals;

    while (*at != proposal)
        at = &(*at)->next;
    *at = proposal->next;
    proposal->cb(proposal->arg, err, proposal->index,
                 err == QK_OK ? buf_bytes(&proposal->result) : BYTES_NONE);
    proposal_free(proposal);
}

static struct proposal *proposal_find(struct machine *m, bool sent, uint64_t below)
{
    for (struct proposal *p = m->proposals; p != NULL; p = p->next)
        if (p->sent == sent && p->index < below)
            return p;
    return NULL;
}

static void role_changed(struct machine *m)
{
    bool leads = consensus_role(m->service.consensus) == CONSENSUS_LEADER;
    uint64_t term = consensus_term(m->service.consensus);
    struct proposal *p;

    while (!leads && (p = proposal_find(m, false, UINT64_MAX)) != NULL)
        proposal_answer(m, p, QK_ERR_NOT_LEADER);
    while ((p = proposal_find(m, true, UINT64_MAX)) != NULL && (!leads || p->term != term))
        proposal_answer(m, p, QK_ERR_UNKNOWN_OUTCOME);
}

static void request_end(struct wish *request, enum qk_err err)
{
    struct wish done = *request;

    *request = (struct wish){0};
    if (done.cb != NULL)
        done.cb(done.arg, err);
}

static void reading_end(struct machine *m, struct reading *reading, enum qk_err err)
{
    struct reading **at = &m->readings;

    while (*at != reading)
        at = &(*at)->next;
    *at = reading->next;
    reading->cb(reading->arg, err, consensus_applied(m->service.consensus));
    free(reading);
}

static void changed(void *arg, struct bytes key)
{
    store_sim_told(arg, key);
}

void consensus_sim_apply(struct machine *m, const struct engine_apply *apply)
{
    struct apply_cursor cursor;
    struct bytes command;
    unsigned position = 0;
    bool last;
    enum qk_err err = apply_cursor_open(apply->payload, &cursor);

    assert(err == QK_OK);
    while (apply_cursor_next(&cursor, &command, &last)) {
        struct proposal *p = m->proposals;
        struct buf result = BUF_INIT(64 * KIB);

        while (p != NULL && !(p->sent && p->index == apply->index && p->position == position))
            p = p->next;
        if (apply->index > m->mem.index)
            err = table_apply(&m->mem, command, p != NULL ? &p->result : &result, changed, m);
        if (last) {
            m->mem.index = apply->index;
            m->mem.term = apply->term;
        }
        assert(err == QK_OK);
        system_check_result(m, apply->index, position, buf_bytes(p != NULL ? &p->result : &result));
        buf_fini(&result);
        if (p != NULL)
            proposal_answer(m, p, p->term == apply->term ? QK_OK : QK_ERR_UNKNOWN_OUTCOME);
        position++;
    }
    store_sim_applied(m);
    system_check_applied(m);
}

void consensus_sim_effect(struct machine *m, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_READ:
        for (struct reading *r = m->readings; r != NULL; r = r->next)
            if (r->cookie == effect->cookie) {
                reading_end(m, r, QK_OK);
                return;
            }
        break;
    case EFFECT_CHANGE:
        if (m->change.running)
            request_end(&m->change, effect->err);
        break;
    case EFFECT_STATE:
        role_changed(m);
        if (!m->state_told) {
            m->state_told = true;
            pump_soon(m);
        }
        break;
    case EFFECT_TERM:
    case EFFECT_SEND:
    case EFFECT_APPEND:
    case EFFECT_SNAPSHOT:
    case EFFECT_TRIM:
    case EFFECT_SNAPSHOT_SEND:
    case EFFECT_INSTALL:
        break;
    }
}

/* --- the loop's turn ------------------------------------------------------------------------- */

static void propose(struct machine *m)
{
    struct buf payload = BUF_INIT(ENTRY_BYTES_MAX);
    uint64_t index = 0, term = 0;
    unsigned n = 0;
    enum qk_err err;

    apply_frame_start(&payload);
    for (struct proposal *p = m->proposals; p != NULL; p = p->next)
        if (!p->sent) {
            apply_frame_add(&payload, blob_bytes(p->command));
            n++;
        }
    if (n == 0) {
        buf_fini(&payload);
        return;
    }
    err = engine_submit(m->raft->engine, m->sys->w->now, buf_bytes(&payload), &index, &term);
    buf_fini(&payload);
    if (err != QK_OK) {
        struct proposal *p;
        assert(err == QK_ERR_NOT_LEADER);
        while ((p = proposal_find(m, false, UINT64_MAX)) != NULL)
            proposal_answer(m, p, err);
        return;
    }
    n = 0;
    for (struct proposal *p = m->proposals; p != NULL; p = p->next)
        if (!p->sent) {
            p->sent = true;
            p->index = index;
            p->term = term;
            p->position = n++;
        }
}

static bool refused(enum qk_err err)
{
    return err == QK_ERR_NOT_LEADER || err == QK_ERR_BUSY || err == QK_ERR_EXISTS ||
           err == QK_ERR_NOT_FOUND || err == QK_ERR_TOO_BIG || err == QK_ERR_INVALID ||
           err == QK_ERR_DENIED;
}

static void ask(struct machine *m)
{
    struct engine *e = m->raft->engine;
    uint64_t now = m->sys->w->now;
    struct reading *reading = m->readings;

    while (reading != NULL) {
        struct reading *next = reading->next;
        if (!reading->asked) {
            reading->asked = true;
            if (engine_read(e, now, reading->cookie) == QK_ERR_BUSY)
                reading_end(m, reading, QK_ERR_BUSY);
        } else if (reading->deadline <= now) {
            engine_read_cancel(e, reading->cookie);
            reading_end(m, reading, QK_ERR_NO_QUORUM);
        }
        reading = next;
    }
}

static void run_change(struct machine *m)
{
    enum qk_err err;

    if (!m->change.wanted)
        return;
    m->change.wanted = false;
    m->change.running = true;
    err = engine_change(m->raft->engine, m->sys->w->now, (enum change_kind)m->change.kind,
                        m->change.id, m->change.address, 1);
    if (refused(err))
        request_end(&m->change, err);
}

static void run_transfer(struct machine *m)
{
    enum qk_err err;

    if (m->transfer.wanted) {
        m->transfer.wanted = false;
        m->transfer.running = true;
        err = engine_transfer(m->raft->engine, m->sys->w->now, m->transfer.id);
        if (refused(err))
            request_end(&m->transfer, err);
    } else if (m->transfer.running) {
        if (engine_role(m->raft->engine) != CONSENSUS_LEADER)
            request_end(&m->transfer, QK_OK);
        else if (!engine_transferring(m->raft->engine))
            request_end(&m->transfer, QK_ERR_TIMEOUT);
    }
}

void consensus_sim_pump(struct machine *m)
{
    m->pumping = false;
    if (m->raft == NULL || !m->raft->alive)
        return;
    if (m->state_told) {
        m->state_told = false;
        cluster_consensus_changed(m->cluster);
    }
    propose(m);
    ask(m);
    run_change(m);
    run_transfer(m);
    if (m->transfer.running) /* its end is looked for */
        system_push(m, TRANSFER_LOOK_MS, SYS_PUMP, 1, NULL, 0);
    world_settle(m->sys->w, m->raft, QK_OK);
}

void consensus_sim_close(struct machine *m)
{
    while (m->proposals != NULL)
        proposal_answer(m, m->proposals, QK_ERR_CLOSED);
    while (m->readings != NULL)
        reading_end(m, m->readings, QK_ERR_CLOSED);
    request_end(&m->change, QK_ERR_CLOSED);
    request_end(&m->transfer, QK_ERR_CLOSED);
}
