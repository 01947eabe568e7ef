/* What an engine knows, for whoever asks. */
#include "consensus/engine_private.h"

uint64_t engine_term_at(const struct engine *e, uint64_t index)
{
    uint64_t term = entry_log_term(&e->log, index);

    return term == 0 && index == e->snapshot.index ? e->snapshot.term : term;
}

enum consensus_role engine_role(const struct engine *e)
{
    switch (e->raft.state) {
    case RAFT_LEADER:
        return CONSENSUS_LEADER;
    case RAFT_CANDIDATE:
        return CONSENSUS_CANDIDATE;
    default:
        return CONSENSUS_FOLLOWER;
    }
}

uint64_t engine_id(const struct engine *e)
{
    return e->config.id;
}

uint64_t engine_term(const struct engine *e)
{
    return e->raft.current_term;
}

uint64_t engine_leader(const struct engine *e)
{
    if (e->raft.state == RAFT_LEADER)
        return e->config.id;
    return e->raft.state == RAFT_FOLLOWER ? e->raft.follower_state.current_leader.id : 0;
}

uint64_t engine_commit(const struct engine *e)
{
    return e->raft.commit_index;
}

uint64_t engine_applied(const struct engine *e)
{
    if (!restore_is_done(e))
        return e->store_missing ? e->store_applied : e->replay_at;
    return e->applied > e->store_applied ? e->applied : e->store_applied;
}

uint64_t engine_stored_index(const struct engine *e)
{
    return e->raft.last_stored;
}

uint64_t engine_held_index(const struct engine *e)
{
    return engine_installing(e) ? e->stored_before : e->raft.last_stored;
}

/* This member votes, and nobody but `other` besides: no majority without it. */
static bool needs_self(const struct engine *e, const struct members *members, uint64_t other)
{
    const struct consensus_member *self = members_get(members, e->config.id);
    const struct consensus_member *peer = members_get(members, other);
    unsigned n = peer != NULL && peer->voter ? 2 : 1;

    return self != NULL && self->voter && members_voters_n(members) == n;
}

/* What may still be the committed one: all from the last that is known to be on. */
static bool all_need_self(const struct engine *e, uint64_t other)
{
    uint64_t from = e->raft.configuration_committed_index;
    struct members members = e->applied_members;

    if (entry_log_get(&e->log, from) == NULL) { /* trimmed: it was applied then */
        if (!needs_self(e, &members, other))
            return false;
        from = e->log.first;
    }
    for (uint64_t index = from; index <= entry_log_last(&e->log); index++) {
        const struct log_entry *entry = entry_log_get(&e->log, index);

        if (entry == NULL || entry->type != RAFT_CHANGE)
            continue;
        if (members_decode_entry(bytes_of(entry->data, entry->len), &members) != QK_OK ||
            !needs_self(e, &members, other))
            return false;
    }
    return true;
}

bool engine_is_pair(const struct engine *e, uint64_t other)
{
    struct members members;

    members_of_raft(&e->raft.configuration, &members);
    if (other == e->config.id || members_voters_n(&members) != 2 || !needs_self(e, &members, other))
        return false;
    return e->raft.configuration_uncommitted_index == 0 || all_need_self(e, other);
}

bool engine_transferring(const struct engine *e)
{
    return raft_transferee(&e->raft) != 0;
}

bool engine_installing(const struct engine *e)
{
    return e->raft.snapshot.installing;
}

bool engine_hears_leader(const struct engine *e, uint64_t now)
{
    return e->raft.state == RAFT_FOLLOWER && e->raft.follower_state.current_leader.id != 0 &&
           now < e->leader_contact + e->config.election_timeout_ms;
}

uint64_t engine_match(const struct engine *e, uint64_t peer)
{
    raft_index match = 0;

    if (raft_match_index(&e->raft, peer, &match) != 0)
        return 0;
    return match;
}

bool engine_has_own_commit(const struct engine *e)
{
    return e->raft.state == RAFT_LEADER &&
           engine_term_at(e, e->raft.commit_index) == e->raft.current_term;
}

const struct entry_log *engine_log(const struct engine *e)
{
    return &e->log;
}

const struct snapshot *engine_snapshot(const struct engine *e)
{
    return &e->snapshot;
}

void engine_members(const struct engine *e, struct members *ret_members)
{
    members_of_raft(&e->raft.configuration, ret_members);
}
