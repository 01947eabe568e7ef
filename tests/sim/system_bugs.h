/* Deliberate bugs, put between the machines and what surrounds them; each must be found. */
#ifndef SIM_SYSTEM_BUGS_H
#define SIM_SYSTEM_BUGS_H

#define BUG_MAP(X)                                                                                 \
    X(BUG_ERASE_AT_DEAL, "older generations are erased at DEAL, not at its FINAL")                 \
    X(BUG_ERASE_UNCOMMITTED, "a generation whose DEAL is not seen is erased at once")              \
    X(BUG_RELEASE_STRANGER, "a release goes to whoever asks in a member's name")                   \
    X(BUG_NO_SYNC, "D and P are given before node.sec is synced")                                  \
    X(BUG_ACK_EARLY, "a write is acknowledged before a majority has it")                           \
    X(BUG_APPLY_AGAIN, "the last entry is applied again after a restart")                          \
    X(BUG_OLD_ATTEMPT, "an attempt goes on, and is accepted, after leadership was lost")           \
    X(BUG_BEGIN_ORDER, "generations are given for a DEAL_BEGIN that is not applied here")          \
    X(BUG_NO_NONCE, "any nonce counts as fresh")                                                   \
    X(BUG_NO_NEWER, "a member releases though another one knows a newer deal")                     \
    X(BUG_DROP_WANTS, "after a reconnection nothing is asked of that peer")                        \
    X(BUG_FINAL_EARLY, "FINAL is proposed without acks")                                           \
    X(BUG_REUSE_X, "an x is given to two members")                                                 \
    X(BUG_PROMOTE_EARLY, "a joiner is promoted before a deal includes it")                         \
    X(BUG_CLOSED_ANSWERS, "a node that was sealed by a person releases")                           \
    X(BUG_VOTE_LOST, "the vote is not synced")                                                     \
    X(BUG_TORN_COMMIT, "the applied index is durable before the records are")                      \
    X(BUG_TRUST_RECORD, "a record shown by a peer is taken without proof")                         \
    X(BUG_FORGET_PEERS, "what a joiner was told of its peers is not kept")                         \
    X(BUG_SHARE_IN_CLEAR, "D and P are kept in the records unsealed")                              \
    X(BUG_HOLD_RELEASES, "a member releases on hold")                                              \
    X(BUG_HOLD_AT_START, "what the log holds of a hold at the start is not looked at")             \
    X(BUG_SUSPENDED_SERVED, "a member releases to a suspended one")                                \
    X(BUG_MARKS_LOST, "what is remembered of the peers is not kept over a restart")                \
    X(BUG_ROLLED_BACK_SERVED, "a member releases to one whose disk was put back")                  \
    X(BUG_ERASE_UNSYNCED, "older generations are erased before record and FINAL are on the disk")  \
    X(BUG_DONE_WITH_OLD, "a removal is done though a member stands with its old generation")       \
    X(BUG_DONE_UNASKED, "a removal is done before all have erased their older generations")        \
    X(BUG_SAME_MK, "the deal of a removal keeps the master key")                                   \
    X(BUG_ABSENT_SLOTS, "a new MK, and slots between two members that were away")                  \
    X(BUG_KEEPS_HALVES, "halves of older generations stay in the records")                         \
    X(BUG_FORK_UNSEEN, "nobody sees that what another one has committed is not what is here")      \
    X(BUG_PERIOD_UNSAID, "what is sealed names no limit of its key's period")                      \
    X(BUG_KEYS_BEHIND, "a write is sealed under the keys from before a removal")                   \
    X(BUG_REENCRYPT_BLIND, "re-encryption passes over records, and does not look again")           \
    X(BUG_OPENS_OLD, "what opened by an older deal is taken for the newer one")                    \
    X(BUG_CLONES_SERVED, "a member releases to one of two processes of a node")                    \
    X(BUG_LEAVING_SERVED, "one that leaves is trusted like any member")                            \
    X(BUG_QUORUM_UNASKED, "a member releases below the unseal quorum")                             \
    X(BUG_REPLACED_STAYS, "a member that was replaced stays one")

enum bug {
    BUG_NONE,
#define BUG_ENUM(code, text) code,
    BUG_MAP(BUG_ENUM)
#undef BUG_ENUM
        BUGS_N
};

struct machine;

const char *bug_text(enum bug bug);
/* What a process that falls takes with it. */
void bugs_crashed(struct machine *m);

#endif
