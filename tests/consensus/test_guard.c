#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "consensus/guard.h"

static const struct guards all_on = {0};

static struct guards without(enum guard guard)
{
    return (struct guards){.off = 1u << guard};
}

Test(guard, stale_reply_says_nothing)
{
    struct raft_append_entries_result result = {.term = 9, .rejected = 4, .last_log_index = 1234};

    guard_stale_reply(&all_on, &result);
    cr_assert_eq(result.rejected, 0);
    cr_assert_eq(result.last_log_index, 0);
}

Test(guard, entries_below_the_snapshot_are_trimmed)
{
    struct raft raft = {.trail = {.snapshot = {.index = 10, .term = 3}}};
    struct raft_entry entries[4] = {{.term = 3}, {.term = 3}, {.term = 3}, {.term = 4}};
    struct raft_append_entries append = {
        .prev_log_index = 8, .prev_log_term = 3, .entries = entries, .n_entries = 4};
    struct guards off = without(GUARD_BELOW_SNAPSHOT);

    cr_assert_eq(guard_below_snapshot(&off, &raft, &append), 0);
    cr_assert_eq(guard_below_snapshot(&all_on, &raft, &append), 2);
    cr_assert_eq(append.prev_log_index, 10);
    cr_assert_eq(append.n_entries, 2);
    append.prev_log_index = 2;
    cr_assert_eq(guard_below_snapshot(&all_on, &raft, &append), 2);
    cr_assert_eq(append.n_entries, 0);
    cr_assert_eq(append.prev_log_index, 10);
}

Test(guard, a_refused_pre_vote_carries_the_real_term)
{
    struct raft raft = {.current_term = 7};
    struct raft_request_vote_result result = {.term = 3, .pre_vote = true};

    guard_pre_vote_term(&all_on, &raft, &result);
    cr_assert_eq(result.term, 7);
    result = (struct raft_request_vote_result){.term = 3, .pre_vote = true, .vote_granted = true};
    guard_pre_vote_term(&all_on, &raft, &result);
    cr_assert_eq(result.term, 3);
}

Test(guard, a_commit_never_goes_back)
{
    struct raft raft = {.commit_index = 20};
    struct raft_append_entries append = {.prev_log_index = 10, .leader_commit = 30};

    guard_commit_back(&all_on, &raft, &append);
    cr_assert_eq(append.leader_commit, 20);
    append = (struct raft_append_entries){.prev_log_index = 25, .leader_commit = 30};
    guard_commit_back(&all_on, &raft, &append);
    cr_assert_eq(append.leader_commit, 30);
}

Test(guard, a_configuration_comes_first_in_its_step)
{
    struct raft_entry entries[3] = {
        {.type = RAFT_COMMAND}, {.type = RAFT_CHANGE}, {.type = RAFT_CHANGE}};
    struct guards off = without(GUARD_CHANGE_FIRST);

    cr_assert_eq(guard_change_first(&all_on, entries, 3), 1);
    cr_assert_eq(guard_change_first(&all_on, entries + 1, 2), 1);
    cr_assert_eq(guard_change_first(&all_on, entries + 2, 1), 1);
    cr_assert_eq(guard_change_first(&all_on, entries, 0), 0);
    cr_assert_eq(guard_change_first(&off, entries, 3), 3);
}

Test(guard, vote_results_reach_candidates_and_installs_idle_followers)
{
    struct raft raft = {.state = RAFT_FOLLOWER};

    cr_assert(!guard_vote_result(&all_on, &raft));
    raft.state = RAFT_CANDIDATE;
    cr_assert(guard_vote_result(&all_on, &raft));
    cr_assert(guard_install_busy(&all_on, &raft));
    raft.snapshot.installing = true;
    cr_assert(!guard_install_busy(&all_on, &raft));
}

Test(guard, a_standby_votes_and_forgets_a_silent_leader)
{
    struct raft_server server = {.id = 4, .role = RAFT_STANDBY};
    struct raft raft = {.id = 4,
                        .state = RAFT_FOLLOWER,
                        .election_timeout = 100,
                        .configuration = {.servers = &server, .n = 1}};

    cr_assert(!guard_forget_leader(&all_on, &raft, 199, 100));
    cr_assert(guard_forget_leader(&all_on, &raft, 200, 100));
    cr_assert(guard_unknowing_voter(&all_on, &raft));
    cr_assert_eq(server.role, RAFT_VOTER);
    cr_assert(!guard_unknowing_voter(&all_on, &raft), "already a voter");
    guard_unknowing_voter_end(&raft);
    cr_assert_eq(server.role, RAFT_STANDBY);
}

Test(guard, the_only_voter_is_recognised)
{
    struct raft_server servers[2] = {{.id = 4, .role = RAFT_VOTER},
                                     {.id = 5, .role = RAFT_STANDBY}};
    struct raft raft = {.id = 4, .configuration = {.servers = servers, .n = 2}};

    cr_assert(guard_self_election(&all_on, &raft));
    servers[1].role = RAFT_VOTER;
    cr_assert(!guard_self_election(&all_on, &raft));
}

Test(guard, an_unstored_configuration_stays_here)
{
    struct raft raft = {.last_stored = 2};
    struct entry_log log;

    entry_log_init(&log, 1);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_CHANGE, bytes_str("x")), QK_OK);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_COMMAND, bytes_str("x")), QK_OK);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_COMMAND, bytes_str("x")), QK_OK);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_CHANGE, bytes_str("x")), QK_OK);
    cr_assert_eq(guard_unstored_change(&all_on, &raft, &log, 1, 4), 3);
    raft.last_stored = 4;
    cr_assert_eq(guard_unstored_change(&all_on, &raft, &log, 1, 4), 4);
    entry_log_fini(&log);
}

Test(guard, a_candidate_of_a_transfer_goes_back_to_pre_vote)
{
    struct raft raft = {.state = RAFT_CANDIDATE, .pre_vote = true};

    raft.candidate_state.disrupt_leader = true;
    guard_disruptive_candidate(&all_on, &raft);
    cr_assert(!raft.candidate_state.disrupt_leader);
    cr_assert(raft.candidate_state.in_pre_vote);
}

/* What libraft keeps of each server, 0.22.1 exactly: raft_match_index reads it. */
struct progress_view {
    unsigned short state, catch_up, features, capacity;
    raft_index next_index, match_index;
    raft_time last_send, last_recv;
    struct {
        raft_index index;
        raft_time last_send;
    } snapshot;
};

/* A leader, 1, of the voters 1 to 4 and the standby 5; the configuration is entry 10 of 20. */
struct leader {
    struct raft_server servers[5];
    struct progress_view progress[5];
    struct raft raft;
    struct contacts contacts;
    struct members members;
};

static void leader_init(struct leader *l)
{
    *l = (struct leader){.raft = {.id = 1,
                                  .state = RAFT_LEADER,
                                  .election_timeout = 100,
                                  .configuration_committed_index = 10}};
    for (unsigned i = 0; i < 5; i++) {
        char address[8];

        snprintf(address, sizeof(address), "n%u", i + 1);
        l->servers[i] =
            (struct raft_server){.id = i + 1, .role = i < 4 ? RAFT_VOTER : RAFT_STANDBY};
        l->progress[i].match_index = 20;
        contacts_note(&l->contacts, i + 1, 1000);
        cr_assert_eq(members_add(&l->members, i + 1, bytes_str(address), i < 4), QK_OK);
    }
    l->raft.configuration.servers = l->servers;
    l->raft.configuration.n = 5;
    l->raft.leader_state.progress = (struct raft_progress *)(void *)l->progress;
}

static bool may(struct leader *l, const struct members *next)
{
    return guard_stranding_change(&all_on, &l->raft, &l->contacts, 1050, 20, &l->members, next);
}

Test(guard, a_voter_that_is_away_keeps_no_joiner_from_its_vote)
{
    struct members next;
    struct leader l;

    leader_init(&l);
    next = l.members;
    cr_assert(members_set_voter(&next, 5, true));
    cr_assert(may(&l, &next));
    l.progress[3].match_index = 9; /* since before the newest configuration */
    contacts_note(&l.contacts, 4, 900);
    cr_assert(may(&l, &next));
    contacts_note(&l.contacts, 5, 900); /* now two of five: three are there */
    cr_assert(may(&l, &next));
    contacts_note(&l.contacts, 3, 900);
    cr_assert(!may(&l, &next));
}

Test(guard, no_change_that_would_leave_a_majority_of_voters_away)
{
    struct guards off = without(GUARD_STRANDING_CHANGE);
    struct members next;
    struct leader l;

    leader_init(&l);
    contacts_note(&l.contacts, 4, 949); /* longer ago than an election timeout */
    next = l.members;
    cr_assert(members_remove(&next, 4));
    cr_assert(may(&l, &next), "the one that is away may be removed");
    next = l.members;
    cr_assert(members_set_voter(&next, 3, false));
    cr_assert(may(&l, &next), "1 and 2 of 1, 2, 4");
    cr_assert(members_remove(&next, 2));
    cr_assert(!may(&l, &next), "1 of 1 and 4");
    cr_assert(guard_stranding_change(&off, &l.raft, &l.contacts, 1050, 20, &l.members, &next));
    contacts_note(&l.contacts, 4, 950);
    cr_assert(may(&l, &next));
    l.progress[3].match_index = 9;
    cr_assert(!may(&l, &next), "heard, but without the newest configuration");
}

Test(guard, who_was_not_heard_for_longest_gives_way)
{
    struct contacts contacts = {0};

    for (uint64_t id = 1; id <= CONSENSUS_MEMBERS_MAX + 1; id++)
        contacts_note(&contacts, id, id == 3 ? 1 : 10 + id);
    for (size_t i = 0; i < CONSENSUS_MEMBERS_MAX; i++)
        cr_assert_neq(contacts.ids[i], 3);
    contacts_note(&contacts, 1, 500);
    cr_assert_eq(contacts.at[0], 500, "one entry a peer");
}

Test(guard, who_loses_its_vote_learns_of_it_once_that_is_committed)
{
    struct raft_server before[2] = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_VOTER}};
    struct raft_server after[2] = {{.id = 1, .role = RAFT_VOTER}, {.id = 2, .role = RAFT_STANDBY}};
    struct guards off = without(GUARD_LOSING_VOTER);
    struct raft raft = {.commit_index = 10,
                        .configuration_uncommitted_index = 12,
                        .configuration = {.servers = after, .n = 2},
                        .configuration_committed = {.servers = before, .n = 2}};

    cr_assert_eq(guard_losing_voter(&all_on, &raft, 2, 11, 5), 1);
    cr_assert_eq(guard_losing_voter(&all_on, &raft, 2, 13, 5), 5, "it has it, or is refused it");
    cr_assert_eq(guard_losing_voter(&all_on, &raft, 1, 11, 5), 5);
    cr_assert_eq(guard_losing_voter(&off, &raft, 2, 11, 5), 5);
    raft.commit_index = 12;
    cr_assert_eq(guard_losing_voter(&all_on, &raft, 2, 11, 5), 5);
}
