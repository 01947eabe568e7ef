/* The filters that keep out the faults of libraft 0.22.1's core: one function a fault, numbered as
 * in docs/design.md (Consensus, Guards), where each fault is described. Production has all of them
 * on; only the simulator clears a bit, to show which seed then fails. */
#ifndef CONSENSUS_GUARD_H
#define CONSENSUS_GUARD_H

#include "consensus/messages.h"

enum guard {
    GUARD_STALE_REPLY = 1,
    GUARD_BELOW_SNAPSHOT = 2,
    GUARD_LATE_REJECTION = 3,
    GUARD_SELF_ELECTION = 4,
    GUARD_PRE_VOTE_TERM = 5,
    GUARD_COMMIT_BACK = 6,
    GUARD_CHANGE_FIRST = 7,
    GUARD_CHANGE_EARLY = 8,
    GUARD_INSTALL_BUSY = 9,
    GUARD_VOTE_RESULT = 10,
    GUARD_UNKNOWING_VOTER = 11,
    GUARD_FORGET_LEADER = 12,
    GUARD_LEADER_STAYS = 13,
    GUARD_UNSTORED_CHANGE = 14,
    GUARD_SECOND_CHANGE = 15,
    GUARD_DISRUPTIVE_CANDIDATE = 16,
    GUARD_STRANDING_CHANGE = 17,
    GUARD_LOSING_VOTER = 18,
    GUARD_MAX = 18,
};

struct guards {
    uint32_t off; /* bit 1 << guard; 0 in production */
};

/* When which peer was last heard, milliseconds of the engine's clock. */
struct contacts {
    uint64_t ids[CONSENSUS_MEMBERS_MAX]; /* 0: free */
    uint64_t at[CONSENSUS_MEMBERS_MAX];
};

/* The one not heard for longest gives way. */
void contacts_note(struct contacts *contacts, uint64_t peer, uint64_t now);

bool guard_on(const struct guards *guards, enum guard guard);

/* 1. Call on the reply to a message whose term is older than ours. */
void guard_stale_reply(const struct guards *guards, struct raft_append_entries_result *result);
/* 2. Trims what lies at or below the follower's snapshot; returns how many entries were skipped. */
unsigned guard_below_snapshot(const struct guards *guards, const struct raft *raft,
                              struct raft_append_entries *append);
/* 3. False if the result must be dropped; raises a hint that is too low. */
bool guard_late_rejection(const struct guards *guards, const struct raft *raft, uint64_t peer,
                          struct raft_append_entries_result *result);
/* 4. True if this server is the only voter of its newest configuration, so that the core would
 * elect it without a new term. */
bool guard_self_election(const struct guards *guards, const struct raft *raft);
/* 5. Puts the real term in a refused pre-vote. */
void guard_pre_vote_term(const struct guards *guards, const struct raft *raft,
                         struct raft_request_vote_result *result);
/* 6. */
void guard_commit_back(const struct guards *guards, const struct raft *raft,
                       struct raft_append_entries *append);
/* 7. How many of the first `n` entries may go in one step. */
unsigned guard_change_first(const struct guards *guards, const struct raft_entry *entries,
                            unsigned n);
/* 8. May a configuration be submitted now? */
bool guard_change_early(const struct guards *guards, const struct raft *raft,
                        uint64_t term_of_commit);
/* 9. False if an InstallSnapshot must be dropped. */
bool guard_install_busy(const struct guards *guards, const struct raft *raft);
/* 10. False if a vote's result must be dropped. */
bool guard_vote_result(const struct guards *guards, const struct raft *raft);
/* 11. Lends the server a voter's role for one step; guard_unknowing_voter_end takes it back. */
bool guard_unknowing_voter(const struct guards *guards, struct raft *raft);
void guard_unknowing_voter_end(struct raft *raft);
/* 12. True if the request must be processed although the core still remembers a leader. */
bool guard_forget_leader(const struct guards *guards, const struct raft *raft, uint64_t now,
                         uint64_t leader_contact);
/* 13. False if the leader `id` would be no voter in `members`. */
bool guard_leader_stays(const struct guards *guards, const struct members *members, uint64_t id);
/* 14. How many of the `n` entries from `first` on may leave. */
size_t guard_unstored_change(const struct guards *guards, const struct raft *raft,
                             const struct entry_log *log, uint64_t first, size_t n);
/* 15. A follower that gets a second configuration before it knows that the first is committed never
 * notes the first: rolling the second back, it goes back too far. The leader had committed the
 * first before it made the second, so if `append` starts with a configuration and will be accepted,
 * the index of the one that is thereby known to be committed is returned, else 0. */
uint64_t guard_second_change(const struct guards *guards, const struct raft *raft,
                             const struct entry_log *log, const struct raft_append_entries *append);
/* 16. A candidate made by TimeoutNow keeps its permission to disrupt, and skips the pre-vote, in
 * every later round: once removed, it deposes leaders for ever. Call before each TIMEOUT. */
void guard_disruptive_candidate(const struct guards *guards, struct raft *raft);
/* 17. False if `members`, the newest configuration, or `next`, what it would become, has no
 * majority of voters that were heard within an election timeout and have that newest configuration
 * and nearly all of the log. Without one nobody could commit the change, nor take it back, until
 * those come back that are away. */
bool guard_stranding_change(const struct guards *guards, const struct raft *raft,
                            const struct contacts *contacts, uint64_t now, uint64_t last_index,
                            const struct members *members, const struct members *next);

/* 18. A voter that an uncommitted configuration makes a standby neither stands for election nor
 * votes for a shorter log: if the leader is gone for good and the others lack that configuration,
 * nobody can be elected. Returns how many of the `n` entries from `first` on may go to `peer`: it
 * gets such a configuration once it is committed. */
size_t guard_losing_voter(const struct guards *guards, const struct raft *raft, uint64_t peer,
                          uint64_t first, size_t n);

#endif
