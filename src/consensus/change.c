/* Membership changes on the leader: one at a time, each an entry of its own.
 *
 * A standby is added at once; a promotion first lets the core measure that the standby has caught
 * up, again and again until it has or a minute is over; then the entry is submitted. The change is
 * done when its entry is applied in the term it was submitted in. Guards 8, 13 and 17 decide what
 * may be submitted when. */
#include "consensus/engine_private.h"

#include <assert.h>

#define CATCH_UP_MS_MAX 60000

static enum qk_err finish_change(struct engine *e, enum qk_err outcome)
{
    uint64_t cookie = e->change.cookie;

    e->change.state = CHANGE_NONE;
    return engine_emit(e, (struct effect){.kind = EFFECT_CHANGE, .cookie = cookie, .err = outcome},
                       NULL);
}

static bool may_change(const struct engine *e, const struct members *next)
{
    struct members members;

    engine_members(e, &members);
    return guard_change_early(&e->guards, &e->raft, engine_term_at(e, e->raft.commit_index)) &&
           guard_stranding_change(&e->guards, &e->raft, &e->contacts, e->now,
                                  entry_log_last(&e->log), &members, next);
}

static enum qk_err submit(struct engine *e, const struct members *members)
{
    struct buf payload = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    enum qk_err err;

    members_encode_entry(members, &payload);
    err = buf_error(&payload);
    /* Set before the step: a single voter may commit in it. */
    e->change.state = CHANGE_SUBMITTED;
    e->change.index = entry_log_last(&e->log) + 1;
    e->change.term = e->raft.current_term;
    if (err == QK_OK) {
        uint64_t index, term;
        err = engine_submit_entry(e, RAFT_CHANGE, buf_bytes(&payload), &index, &term);
    }
    if (err != QK_OK)
        e->change.state = CHANGE_NONE;
    buf_fini(&payload);
    return err;
}

/* The core only notices that a server has caught up when its match moves: one that has everything
 * already is given a barrier to store. */
static enum qk_err catch_up(struct engine *e)
{
    static const uint8_t barrier[8] = {0};
    struct raft_event event = {.type = RAFT_CATCH_UP, .catch_up = {.server_id = e->change.id}};
    uint64_t index, term;
    int rv = 0;
    enum qk_err err = engine_step(e, &event, false, &rv);

    if (err == QK_OK && engine_match(e, e->change.id) == entry_log_last(&e->log))
        err =
            engine_submit_entry(e, RAFT_BARRIER, bytes_of(barrier, sizeof(barrier)), &index, &term);
    return err == QK_ERR_NOT_LEADER ? QK_OK : err;
}

/* Checks a change and, unless it is a promotion, makes the configuration that it leads to. */
static enum qk_err plan(const struct engine *e, const char *address, struct members *members)
{
    uint64_t id = e->change.id;
    const struct consensus_member *member = members_get(members, id);

    if (e->change.kind == CHANGE_ADD)
        return members_add(members, id, bytes_str(address), false);
    if (member == NULL)
        return QK_ERR_NOT_FOUND;
    if (e->change.kind == CHANGE_PROMOTE) {
        if (member->voter)
            return QK_ERR_EXISTS;
        return members_voters_n(members) >= VOTERS_MAX ? QK_ERR_TOO_BIG : QK_OK;
    }
    if (member->voter && members_voters_n(members) == 1)
        return QK_ERR_DENIED;
    if (e->change.kind == CHANGE_DEMOTE)
        (void)members_set_voter(members, id, false);
    else
        (void)members_remove(members, id);
    return guard_leader_stays(&e->guards, members, e->config.id) ? QK_OK : QK_ERR_DENIED;
}

enum qk_err engine_change(struct engine *e, uint64_t now, enum change_kind kind, uint64_t id,
                          const char *address, uint64_t cookie)
{
    struct members members;
    enum qk_err err;

    engine_advance(e, now);
    if (e->raft.state != RAFT_LEADER || engine_transferring(e) || e->store_missing)
        return QK_ERR_NOT_LEADER;
    if (e->change.state != CHANGE_NONE || e->raft.leader_state.promotee_id != 0 ||
        e->raft.configuration_uncommitted_index != 0)
        return QK_ERR_BUSY;
    e->change = (struct change){.kind = kind, .id = id, .cookie = cookie};
    engine_members(e, &members);
    err = plan(e, address, &members);
    if (err != QK_OK)
        return err;
    if (!may_change(e, &members))
        return QK_ERR_BUSY;
    if (kind == CHANGE_PROMOTE) {
        e->change.state = CHANGE_CATCHING_UP;
        e->change.deadline = e->now + CATCH_UP_MS_MAX;
        err = catch_up(e);
    } else {
        err = submit(e, &members);
    }
    if (err == QK_ERR_BUSY || err == QK_ERR_NOT_LEADER)
        return err;
    return engine_finish(e, err);
}

/* The standby has caught up: give it its vote, or wait until the guards allow it. */
static enum qk_err promote(struct engine *e)
{
    struct members members;
    enum qk_err err;

    engine_members(e, &members);
    (void)members_set_voter(&members, e->change.id, true);
    if (e->raft.leader_state.promotee_id != 0 || !may_change(e, &members) || engine_transferring(e))
        return QK_OK;
    err = submit(e, &members);
    if (err == QK_ERR_BUSY || err == QK_ERR_NOT_LEADER)
        return finish_change(e, err);
    return err;
}

enum qk_err change_tick(struct engine *e)
{
    int status = 0;

    if (e->change.state != CHANGE_CATCHING_UP)
        return QK_OK;
    if (e->raft.state != RAFT_LEADER)
        return finish_change(e, QK_ERR_NOT_LEADER);
    if (raft_catch_up(&e->raft, e->change.id, &status) != 0)
        return finish_change(e, QK_ERR_NOT_FOUND);
    if (e->now >= e->change.deadline)
        return finish_change(e, QK_ERR_TIMEOUT);
    switch (status) {
    case RAFT_CATCH_UP_RUNNING:
        return QK_OK;
    case RAFT_CATCH_UP_FINISHED:
        return promote(e);
    default:
        return e->raft.leader_state.promotee_id == 0 ? catch_up(e) : QK_OK;
    }
}

enum qk_err change_applied(struct engine *e, uint64_t index, uint64_t term)
{
    if (e->change.state != CHANGE_SUBMITTED || index != e->change.index)
        return QK_OK;
    return finish_change(e, term == e->change.term ? QK_OK : QK_ERR_UNKNOWN_OUTCOME);
}

enum qk_err change_role_lost(struct engine *e)
{
    switch (e->change.state) {
    case CHANGE_NONE:
        return QK_OK;
    case CHANGE_CATCHING_UP:
        return finish_change(e, QK_ERR_NOT_LEADER);
    case CHANGE_SUBMITTED:
        return finish_change(e, QK_ERR_UNKNOWN_OUTCOME);
    }
    return QK_OK;
}
