#include "consensus/guard.h"

#include <assert.h>

/* A voter this far behind the leader's log would hold up the commit of a change. */
#define CHANGE_LAG_ENTRIES_MAX 4096

bool guard_on(const struct guards *guards, enum guard guard)
{
    assert(guard >= 1 && guard <= GUARD_MAX);
    return (guards->off & (1u << guard)) == 0;
}

/* The server `id` in the newest configuration, NULL if it is not there. */
static struct raft_server *server_get(const struct raft *raft, uint64_t id)
{
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].id == id)
            return &raft->configuration.servers[i];
    }
    return NULL;
}

void guard_stale_reply(const struct guards *guards, struct raft_append_entries_result *result)
{
    if (!guard_on(guards, GUARD_STALE_REPLY)) {
        /* The packaged core leaves whatever was on its stack; the simulator takes the worst of it,
         * the same at each run. */
        result->last_log_index = UINT64_MAX / 2;
        return;
    }
    result->rejected = 0;
    result->last_log_index = 0;
}

unsigned guard_below_snapshot(const struct guards *guards, const struct raft *raft,
                              struct raft_append_entries *append)
{
    uint64_t behind;
    unsigned skipped;

    if (!guard_on(guards, GUARD_BELOW_SNAPSHOT) ||
        append->prev_log_index >= raft->trail.snapshot.index)
        return 0;
    /* All of it up to the snapshot is committed, so the leader has the same entry there. */
    behind = raft->trail.snapshot.index - append->prev_log_index;
    skipped = behind < append->n_entries ? (unsigned)behind : append->n_entries;
    append->prev_log_index = raft->trail.snapshot.index;
    append->prev_log_term = raft->trail.snapshot.term;
    append->entries += skipped;
    append->n_entries -= skipped;
    return skipped;
}

bool guard_late_rejection(const struct guards *guards, const struct raft *raft, uint64_t peer,
                          struct raft_append_entries_result *result)
{
    raft_index match = 0;

    if (!guard_on(guards, GUARD_LATE_REJECTION) || result->rejected == 0 ||
        raft->state != RAFT_LEADER || raft_match_index(raft, peer, &match) != 0)
        return true;
    if (result->rejected <= match)
        return false;
    if (result->last_log_index < match)
        result->last_log_index = match;
    return true;
}

bool guard_self_election(const struct guards *guards, const struct raft *raft)
{
    unsigned voters = 0;
    bool self = false;

    if (!guard_on(guards, GUARD_SELF_ELECTION))
        return false;
    for (unsigned i = 0; i < raft->configuration.n; i++) {
        if (raft->configuration.servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        self = self || raft->configuration.servers[i].id == raft->id;
    }
    return self && voters == 1;
}

void guard_pre_vote_term(const struct guards *guards, const struct raft *raft,
                         struct raft_request_vote_result *result)
{
    if (guard_on(guards, GUARD_PRE_VOTE_TERM) && result->pre_vote && !result->vote_granted)
        result->term = raft->current_term;
}

void guard_commit_back(const struct guards *guards, const struct raft *raft,
                       struct raft_append_entries *append)
{
    if (guard_on(guards, GUARD_COMMIT_BACK) && append->leader_commit > raft->commit_index &&
        append->prev_log_index + append->n_entries < raft->commit_index)
        append->leader_commit = raft->commit_index;
}

unsigned guard_change_first(const struct guards *guards, const struct raft_entry *entries,
                            unsigned n)
{
    if (!guard_on(guards, GUARD_CHANGE_FIRST))
        return n;
    for (unsigned i = 1; i < n; i++) {
        if (entries[i].type == RAFT_CHANGE)
            return i;
    }
    return n;
}

bool guard_change_early(const struct guards *guards, const struct raft *raft,
                        uint64_t term_of_commit)
{
    return !guard_on(guards, GUARD_CHANGE_EARLY) ||
           (raft->state == RAFT_LEADER && term_of_commit == raft->current_term &&
            raft->configuration_uncommitted_index == 0);
}

bool guard_install_busy(const struct guards *guards, const struct raft *raft)
{
    return !guard_on(guards, GUARD_INSTALL_BUSY) || !raft->snapshot.installing;
}

bool guard_vote_result(const struct guards *guards, const struct raft *raft)
{
    return !guard_on(guards, GUARD_VOTE_RESULT) || raft->state == RAFT_CANDIDATE;
}

bool guard_unknowing_voter(const struct guards *guards, struct raft *raft)
{
    struct raft_server *self = server_get(raft, raft->id);

    if (!guard_on(guards, GUARD_UNKNOWING_VOTER) || raft->state != RAFT_FOLLOWER || self == NULL ||
        self->role == RAFT_VOTER)
        return false;
    self->role = RAFT_VOTER;
    return true;
}

void guard_unknowing_voter_end(struct raft *raft)
{
    struct raft_server *self = server_get(raft, raft->id);

    /* A vote changes no configuration, so it is still the same server. */
    assert(self != NULL && self->role == RAFT_VOTER);
    self->role = RAFT_STANDBY;
}

bool guard_forget_leader(const struct guards *guards, const struct raft *raft, uint64_t now,
                         uint64_t leader_contact)
{
    const struct raft_server *self = server_get(raft, raft->id);

    return guard_on(guards, GUARD_FORGET_LEADER) && raft->state == RAFT_FOLLOWER && self != NULL &&
           self->role != RAFT_VOTER && now - leader_contact >= raft->election_timeout;
}

bool guard_leader_stays(const struct guards *guards, const struct members *members, uint64_t id)
{
    const struct consensus_member *self = members_get(members, id);

    return !guard_on(guards, GUARD_LEADER_STAYS) || (self != NULL && self->voter);
}

size_t guard_unstored_change(const struct guards *guards, const struct raft *raft,
                             const struct entry_log *log, uint64_t first, size_t n)
{
    if (!guard_on(guards, GUARD_UNSTORED_CHANGE))
        return n;
    for (size_t i = 0; i < n; i++) {
        const struct log_entry *entry = entry_log_get(log, first + i);
        if (first + i > raft->last_stored && entry != NULL && entry->type == RAFT_CHANGE)
            return i;
    }
    return n;
}

uint64_t guard_second_change(const struct guards *guards, const struct raft *raft,
                             const struct entry_log *log, const struct raft_append_entries *append)
{
    uint64_t first = raft->configuration_uncommitted_index;

    if (!guard_on(guards, GUARD_SECOND_CHANGE) || first == 0 || append->n_entries == 0 ||
        append->entries[0].type != RAFT_CHANGE || append->prev_log_index < first ||
        entry_log_term(log, append->prev_log_index) != append->prev_log_term ||
        entry_log_term(log, append->prev_log_index + 1) == append->entries[0].term)
        return 0;
    return first;
}

void guard_disruptive_candidate(const struct guards *guards, struct raft *raft)
{
    if (!guard_on(guards, GUARD_DISRUPTIVE_CANDIDATE) || raft->state != RAFT_CANDIDATE ||
        !raft->candidate_state.disrupt_leader)
        return;
    raft->candidate_state.disrupt_leader = false;
    raft->candidate_state.in_pre_vote = raft->pre_vote;
}

void contacts_note(struct contacts *contacts, uint64_t peer, uint64_t now)
{
    size_t slot = 0;

    for (size_t i = 0; i < CONSENSUS_MEMBERS_MAX; i++) {
        if (contacts->ids[i] == peer) {
            slot = i;
            break;
        }
        if (contacts->at[i] < contacts->at[slot])
            slot = i;
    }
    contacts->ids[slot] = peer;
    contacts->at[slot] = now;
}

static bool was_heard(const struct contacts *contacts, uint64_t id, uint64_t since)
{
    for (size_t i = 0; i < CONSENSUS_MEMBERS_MAX; i++)
        if (contacts->ids[i] == id)
            return contacts->at[i] >= since;
    return false;
}

/* More than half of the voters of `members` are there, heard since then. */
static bool majority_is_there(const struct raft *raft, const struct contacts *contacts,
                              uint64_t since, uint64_t last_index, const struct members *members)
{
    size_t there_n = 0;

    for (size_t i = 0; i < members->n; i++) {
        uint64_t id = members->list[i].id;
        raft_index match = 0;

        if (!members->list[i].voter)
            continue;
        if (id != raft->id &&
            (raft_match_index(raft, id, &match) != 0 ||
             match < raft->configuration_committed_index ||
             match + CHANGE_LAG_ENTRIES_MAX < last_index || !was_heard(contacts, id, since)))
            continue;
        there_n++;
    }
    return 2 * there_n > members_voters_n(members);
}

bool guard_stranding_change(const struct guards *guards, const struct raft *raft,
                            const struct contacts *contacts, uint64_t now, uint64_t last_index,
                            const struct members *members, const struct members *next)
{
    uint64_t since = now > raft->election_timeout ? now - raft->election_timeout : 0;

    return !guard_on(guards, GUARD_STRANDING_CHANGE) ||
           (majority_is_there(raft, contacts, since, last_index, members) &&
            majority_is_there(raft, contacts, since, last_index, next));
}

static bool is_voter(const struct raft_configuration *configuration, uint64_t id)
{
    for (unsigned i = 0; i < configuration->n; i++)
        if (configuration->servers[i].id == id)
            return configuration->servers[i].role == RAFT_VOTER;
    return false;
}

size_t guard_losing_voter(const struct guards *guards, const struct raft *raft, uint64_t peer,
                          uint64_t first, size_t n)
{
    uint64_t change = raft->configuration_uncommitted_index;

    if (!guard_on(guards, GUARD_LOSING_VOTER) || change < first || change >= first + n ||
        change <= raft->commit_index || !is_voter(&raft->configuration_committed, peer) ||
        is_voter(&raft->configuration, peer))
        return n;
    return (size_t)(change - first);
}
