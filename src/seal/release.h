/* May this node release to that member now? Every rule of the design (Sealed and unsealed) by
 * name, all checked at each release. Pure: the machine gathers the facts, this decides. */
#ifndef SEAL_RELEASE_H
#define SEAL_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#define RELEASE_WINDOW_MS (10u * 60u * 1000u)
#define RELEASE_LIMIT_DEFAULT 20
#define RELEASE_LIMIT_MAX 64
#define RELEASE_DELAY_MS_MIN 1000u
#define RELEASE_UNRECORDED_MS 2000u
#define RELEASE_DELAY_MS_MAX 30000u

/* In the order in which they are checked; the text is what a person reads after "denied: ". */
#define RELEASE_RULE_MAP(X)                                                                        \
    X(RELEASE_ALLOWED, "allowed")                                                                  \
    X(RELEASE_CLOSED, "this node was sealed by an operator")                                       \
    X(RELEASE_HOLD, "the cluster is on hold")                                                      \
    X(RELEASE_MEMBER, "not a member in the newest configuration")                                  \
    X(RELEASE_NEWER, "another member knows a newer deal")                                          \
    X(RELEASE_RECORD, "not a member in the newest deal")                                           \
    X(RELEASE_SUSPENDED, "suspended by an operator")                                               \
    X(RELEASE_ONE_BOOT, "two live instances of one node: a clone")                                 \
    X(RELEASE_WATERMARK, "its disk is older than what its peers remember")                         \
    X(RELEASE_FRESH, "no fresh answer from it")                                                    \
    X(RELEASE_DEAL, "its deal is another")                                                         \
    X(RELEASE_GENERATION, "its generation is another")                                             \
    X(RELEASE_QUORUM, "fewer live members than the unseal quorum")                                 \
    X(RELEASE_ATTESTATION, "the attestation hook said no")                                         \
    X(RELEASE_DEFERRED, "the attestation hook has not said yes yet")                               \
    X(RELEASE_RATE, "too many releases in ten minutes, delayed")                                   \
    X(RELEASE_UNRECORDED, "it cannot write its audit log") /* checked before RATE */

enum release_rule {
#define RELEASE_RULE_ENUM(code, text) code,
    RELEASE_RULE_MAP(RELEASE_RULE_ENUM)
#undef RELEASE_RULE_ENUM
        RELEASE_RULES_N
};

/* The answer of a rule whose facts come from outside the machine. ABSENT is a rule that this
 * build or configuration does not have: it does not deny, and the decision names it in `absent`,
 * so that status shows what is not being checked. */
enum release_answer { RELEASE_ABSENT, RELEASE_PASS, RELEASE_FAIL };

struct release_facts {
    bool closed;    /* this node was sealed by its operator */
    bool member;    /* the requester is in the newest configuration */
    bool in_record; /* and in the record of the newest deal */
    bool fresh;     /* its request echoes the newest nonce, answered recently */
    bool clone;     /* two boot ids of it are live */
    bool same_deal;
    bool same_gen;
    bool newer;      /* somebody in the view reports a newer deal or control change */
    unsigned view_n; /* live members known, self and requester included */
    unsigned quorum; /* unseal_quorum */
    enum release_answer hold;
    enum release_answer suspended;
    enum release_answer watermark;
    enum release_answer attestation;
    bool unrecorded; /* a release made now could not be written to this node's audit log */
    bool deferred;   /* with RELEASE_FAIL: no answer of the hook yet, or "not now" */
};

/* Releases to one member: the times of the last ones, and the delay that the limit brings. */
struct release_rate {
    uint64_t times_ms[RELEASE_LIMIT_MAX];
    unsigned count; /* ever */
    uint32_t delay_ms;
    uint64_t next_ms; /* no release before */
};

struct release_decision {
    enum release_rule rule; /* RELEASE_ALLOWED or what denies */
    uint32_t retry_ms;      /* when asking again may help; 0: when something changes */
    uint32_t absent;        /* bit of each rule that is not present */
};

/* Of so many members as many must be there for a release. `setting` is the unseal quorum as it is
 * set, 0 a majority; members that are gone since cannot be waited for; two is the least. */
unsigned release_quorum(unsigned setting, unsigned members_n);
struct release_decision release_decide(const struct release_facts *facts,
                                       const struct release_rate *rate, uint64_t now_ms);
/* Counts a release made now. True if it is over the limit: the alarm. */
bool release_count(struct release_rate *rate, unsigned limit, uint64_t now_ms);
const char *release_rule_text(enum release_rule rule);

#endif
