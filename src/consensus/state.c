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

static bool are_pair(const struct members *members, uint64_t one, uint64_t other)
{
    const struct consensus_member *a = members_get(members, one), *b = members_get(members, other);

    return one != other && a != NULL && a->voter && b != NULL && b->voter &&
           members_voters_n(members) == 2;
}

bool engine_is_pair(const struct engine *e, uint64_t other)
{
    const struct log_entry *entry = entry_log_get(&e->log, e->raft.configuration_committed_index);
    struct members members;

    members_of_raft(&e->raft.configuration, &members);
    if (!are_pair(&members, e->config.id, other))
        return false;
    if (e->raft.configuration_uncommitted_index == 0)
        return true;
    if (entry == NULL) /* trimmed: it was applied then */
        members = e->applied_members;
    else if (entry->type != RAFT_CHANGE ||
             members_decode_entry(bytes_of(entry->data, entry->len), &members) != QK_OK)
        return false;
    return are_pair(&members, e->config.id, other);
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
