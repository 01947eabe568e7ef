/* The seal machine of one node: event in, effects out. It knows no key, no clock, no socket:
 * time and randomness come with each event, keys stay with whoever carries out the effects
 * (service/cluster/unseal.c), and the same events always give the same effects.
 *
 *   uninitialised -> sealed -> unsealing -> unsealed -> sealing -> sealed | held
 *
 * Happy path: links come up, HELLOs with nonces cross, WANT goes to every live member with the
 * same deal, the first RELEASE opens the own share (unsealing), it is sent to those who want it,
 * with a threshold of shares COMBINE gives the master key (unsealed). Whatever is lost on the way
 * is asked for again by seal_step(TICK), 50 ms doubling to 1 s. */
#ifndef SEAL_MACHINE_H
#define SEAL_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "seal/release.h"
#include "seal/watermark.h"
#include "wire/peer.h"

#define SEAL_RETRY_MS_MIN 50u
#define SEAL_RETRY_MS_MAX 1000u
#define SEAL_HELLO_MS 5000u     /* a new nonce for each live peer */
#define SEAL_FRESH_MS 15000u    /* an echo older than this does not count as live */
#define SEAL_CLONE_MS 600000u   /* both are denied this long after both were last seen */
#define SEAL_CANDIDATE_MS 3000u /* for the release that proves a record */
#define SEAL_ATTEST_MS                                                                             \
    60000u /* an answer of the hook that is not here by then is asked for anew                     \
            */
#define SEAL_EFFECTS_MAX 512
#define SEAL_RANDOM_BYTES 32

enum seal_state {
    SEAL_UNINITIALISED,
    SEAL_SEALED,
    SEAL_UNSEALING, /* the own share is open */
    SEAL_UNSEALED,
    SEAL_SEALING, /* keys are being wiped */
    SEAL_HELD,
    SEAL_STATES_N
};

/* What the machine must know of a deal record. */
struct seal_deal_member {
    uint8_t node_id[NODE_ID_BYTES];
    uint32_t x;
    uint64_t gen;
};

struct seal_deal {
    uint8_t id[DEAL_ID_BYTES];
    uint64_t epoch; /* 0: there is no deal */
    uint32_t mk_version;
    unsigned threshold;
    unsigned members_n;
    struct seal_deal_member members[NODES_MAX];
};

struct seal_config_member {
    uint8_t node_id[NODE_ID_BYTES];
    enum release_answer suspended;
    bool leaving; /* it is being removed: nothing is released to it, and it counts for no quorum */
};

/* The newest configuration that this node has applied. */
struct seal_config {
    unsigned members_n;
    struct seal_config_member members[NODES_MAX];
    unsigned unseal_quorum; /* as it is set: of those who have a say; 0: a majority of them */
    unsigned release_limit;
    uint64_t control; /* count of hold and suspend changes, one more while another lies in the log
                         and may be committed */
    enum release_answer hold;
    uint64_t hold_number; /* of the newest hold, in force or lifted; 0: none ever */
    bool recoverable;     /* recovery shares open this cluster, with or without a deal */
    bool attest;          /* there is a hook: every member must be attested before a release */
};

enum seal_event_kind {
    SEAL_EV_STARTED,     /* this node is a member: uninitialised -> sealed */
    SEAL_EV_CREATED,     /* this node founded the cluster, its MK is in memory: -> unsealed */
    SEAL_EV_CONFIG,      /* config: members, quorum, hold */
    SEAL_EV_DEAL,        /* deal: a record from the own committed log */
    SEAL_EV_LINK_UP,     /* node, known */
    SEAL_EV_LINK_DOWN,   /* node */
    SEAL_EV_CLONE,       /* node: the link has seen two live boot ids of it */
    SEAL_EV_HELLO,       /* node, message */
    SEAL_EV_WANT,        /* node, message */
    SEAL_EV_RELEASE,     /* node, message */
    SEAL_EV_SHARE,       /* node, message */
    SEAL_EV_DENY,        /* node, message */
    SEAL_EV_RECORD_WANT, /* node, message */
    SEAL_EV_RECORD,      /* node, deal, x: parsed from its RECORD; x is the sender's in it */
    SEAL_EV_OPENED,      /* ok, deal_id, node: outcome of OPEN_SHARE */
    SEAL_EV_COMBINED,    /* ok, x (whose share is bad; 0: none named): outcome of COMBINE */
    SEAL_EV_RECOVERED, /* mk_version: recovery shares opened that MK, the keyring and the catalog */
    SEAL_EV_ATTESTED,  /* node, boot_id, attested, until_ms: outcome of ATTEST */
    SEAL_EV_SEAL,      /* an operator seals this node; for_hold */
    SEAL_EV_UNSEAL,    /* an operator lets it open again */
    SEAL_EV_WIPED,     /* outcome of WIPE */
    SEAL_EV_TICK,
    SEAL_EVENTS_N
};

/* What the attestation hook says of one member in one boot. */
enum seal_attested {
    SEAL_ATTEST_UNKNOWN,
    SEAL_ATTEST_ASKED,
    SEAL_ATTEST_ALLOW,
    SEAL_ATTEST_DENY,
    SEAL_ATTEST_DEFER, /* not now: asked again later */
};

struct seal_event {
    enum seal_event_kind kind;
    uint8_t node_id[NODE_ID_BYTES];
    bool known; /* LINK_UP: the key is a member's */
    bool ok;
    uint32_t x;
    uint32_t mk_version;
    bool for_hold; /* SEAL: a hold is to follow, and then takes over from the closing */
    uint8_t deal_id[DEAL_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES];
    enum seal_attested attested; /* ALLOW, DENY or DEFER */
    uint64_t until_ms;           /* the answer holds until then; ATTEST comes again after it */
    const struct seal_config *config;
    const struct seal_deal *deal;
    const struct peer_message *message;
    bool forked; /* HELLO: what is committed there is not what is committed here */
};

enum seal_effect_kind {
    SEAL_DO_SEND,       /* message (keys of RELEASE and SHARE are for the hub to fill) to node;
                           by the record channel if `by_record` */
    SEAL_DO_OPEN_SHARE, /* open the own slot of the deal `deal_id` with `key`, released by x */
    SEAL_DO_KEEP_SHARE, /* keep `key` as the share of x of the deal */
    SEAL_DO_DROP_SHARE, /* forget the share of x */
    SEAL_DO_COMBINE,    /* own share and those kept: S, MAC, MK, keyring, catalog */
    SEAL_DO_ADOPT,      /* the record of deal_id from `node` is now the current one */
    SEAL_DO_WIPE,       /* MK, S, shares, keyring, catalog, sessions; then SEAL_EV_WIPED */
    SEAL_DO_ACK,        /* the own slots of deal_id are good: tell who asked (dealing) */
    SEAL_DO_STATE,      /* the state changed to `state` */
    SEAL_DO_AUDIT,      /* `audit`, node, rule */
    SEAL_DO_ATTEST,     /* ask the hook about node with boot_id, which wants `as.want`; always
                           followed by SEAL_EV_ATTESTED, sooner or later */
    SEAL_DO_REMEMBER,   /* keep the marks durably: they say more than before */
};

enum seal_audit {
    SEAL_AUDIT_RELEASE,
    SEAL_AUDIT_DENIAL,
    SEAL_AUDIT_CLONE,
    SEAL_AUDIT_RATE,
    SEAL_AUDIT_BAD_SHARE,
    SEAL_AUDIT_BAD_SLOT,
    SEAL_AUDIT_ROLLED_BACK,
};

struct seal_effect {
    enum seal_effect_kind kind;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t deal_id[DEAL_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES];
    uint32_t x;
    uint64_t gen;
    bool by_record;
    bool candidate; /* OPEN_SHARE of a record that is not the own log's */
    struct bytes key;
    enum seal_state state;
    enum seal_audit audit;
    enum release_rule rule;
    enum peer_kind message_kind;
    union {
        struct peer_hello hello;
        struct peer_want want;
        struct peer_release release;
        struct peer_share share;
        struct peer_deny deny;
        struct peer_record_want record_want;
    } as;
};

struct seal_effects {
    unsigned n;
    struct seal_effect list[SEAL_EFFECTS_MAX];
};

/* An answer is for one boot: a member that restarts is attested anew. */
struct seal_attestation {
    enum seal_attested state;
    uint8_t boot_id[BOOT_ID_BYTES];
    uint64_t until_ms;
    bool waits; /* `want` is answered when the hook has spoken */
    struct peer_want want;
};

struct seal_peer {
    bool used;
    bool connected;
    bool known;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t nonce[PEER_NONCE_BYTES]; /* mine to it */
    bool answered;                   /* it has been echoed */
    uint64_t hello_next_ms;
    uint32_t hello_wait_ms;
    bool echoed;        /* it has answered that or an earlier nonce of this session */
    uint64_t echoed_ms; /* when it last did */
    bool greeted;       /* `hello` is of this session */
    struct peer_hello hello;
    bool marked; /* `mark` is what was remembered of it as the session began */
    struct watermark mark;
    enum watermark_answer below; /* in this session: WATERMARK_GOOD, or what it lacks */
    bool told_below;             /* it says the same of this node */
    bool seen;
    uint64_t seen_ms; /* last HELLO of any session */
    bool booted;      /* boot_id is valid */
    uint8_t boot_id[BOOT_ID_BYTES];
    bool replaced; /* old_boot_id is valid */
    uint8_t old_boot_id[BOOT_ID_BYTES];
    uint64_t clone_until_ms; /* 0: none */
    struct release_rate rate;
    bool by_record;   /* it listens to LINK_RECORD only: one of us does not know the other */
    bool wants_share; /* `want` asked for the own share before it was open */
    struct peer_want want;
    bool has_share;  /* its share of the current deal is kept */
    bool bad_share;  /* it was bad: not asked for again in this deal */
    bool bad_slot;   /* its release did not open the own slot: likewise */
    bool bad_record; /* the record it sent was not proven in time: none is asked of it again */
    uint64_t record_next_ms;
    uint32_t record_wait_ms;
    uint64_t want_next_ms;
    uint32_t want_wait_ms;
    struct seal_attestation attestation;
    enum release_rule denied;  /* its last DENY, for status */
    enum release_rule audited; /* the last denial of ours that was audited */
    uint64_t audited_ms;
};

struct seal_machine {
    enum seal_state state;
    bool closed;          /* by an operator */
    bool closed_for_hold; /* until a hold is in force that is newer than hold_number */
    uint64_t hold_number;
    bool founder_waits; /* unsealed, but there is no deal yet */
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES];
    uint64_t boot_counter;
    uint64_t raft_id;
    uint64_t term;
    uint64_t index;
    uint64_t stored;
    uint64_t made;
    bool unrecorded;  /* see seal_unrecorded */
    bool rolled_back; /* a member has told so, in this life of the process */
    struct watermark marks[NODES_MAX];
    unsigned marks_n;
    struct seal_config config;
    struct seal_deal deal;
    bool own_share;             /* of `deal` */
    bool opening;               /* OPEN_SHARE is out */
    bool combining;             /* COMBINE is out */
    uint32_t mk_version;        /* of the MK in memory; 0: none */
    struct seal_deal candidate; /* a newer record from candidate_from, not yet proven */
    uint8_t candidate_from[NODE_ID_BYTES];
    uint32_t candidate_x;        /* the sender's */
    uint64_t candidate_until_ms; /* given up then, so that a false one cannot stay */
    uint64_t combine_next_ms;    /* not before, after one that failed */
    struct seal_peer peers[NODES_MAX];
};

/* Caller's memory; large (about 40 KiB): on the heap. */
void seal_init(struct seal_machine *machine, const uint8_t node_id[static NODE_ID_BYTES],
               const uint8_t boot_id[static BOOT_ID_BYTES], uint64_t boot_counter,
               uint64_t raft_id);
/* Where this node's disk stands, for its HELLOs: to be set before each step, since what a peer
 * knows from the log itself may be as new. `term`, `index` (committed and durable here) and
 * `stored` (the end of the log on the disk) are Raft's, `made` is node.sec's count of generations.
 */
void seal_position(struct seal_machine *machine, uint64_t term, uint64_t index, uint64_t stored,
                   uint64_t made);
/* Whether a release could not be recorded now; before each step. */
void seal_unrecorded(struct seal_machine *machine, bool unrecorded);
/* Effects are appended in the order in which they must be carried out; `effects` is emptied
 * first. Views in them live as long as the event's message. */
void seal_step(struct seal_machine *machine, uint64_t now_ms,
               const uint8_t random[static SEAL_RANDOM_BYTES], const struct seal_event *event,
               struct seal_effects *effects);
/* When seal_step(TICK) is next due; UINT64_MAX: not before another event. */
uint64_t seal_deadline(const struct seal_machine *machine, uint64_t now_ms);
/* Releases the machine would decide now for that member, for status and tests. */
struct release_decision seal_release_check(const struct seal_machine *machine, uint64_t now_ms,
                                           const uint8_t node_id[static NODE_ID_BYTES],
                                           const struct peer_want *want);
/* Shares still missing for an unseal: 0 when unsealed or none. */
unsigned seal_shares_missing(const struct seal_machine *machine);
const struct seal_peer *seal_peer_find(const struct seal_machine *machine,
                                       const uint8_t node_id[static NODE_ID_BYTES]);
bool seal_peer_live(const struct seal_peer *peer, uint64_t now_ms);
/* Live, and not below its mark: it counts in a view and may take part in a deal. */
bool seal_peer_counts(const struct seal_peer *peer, uint64_t now_ms);
const char *seal_state_text(enum seal_state state);

/* The marks kept by an earlier life of this process; before the first event. */
void seal_marks_set(struct seal_machine *machine, const struct watermark *marks, unsigned marks_n);
/* NULL: nothing is remembered of it. */
const struct watermark *seal_mark_find(const struct seal_machine *machine,
                                       const uint8_t node_id[static NODE_ID_BYTES]);
/* The peer, while this node led it, has said that it holds all up to `index`, which is committed.
 * True if that is news: keep the marks. */
bool seal_mark_matched(struct seal_machine *machine, const uint8_t node_id[static NODE_ID_BYTES],
                       uint64_t index);
/* What Raft between this node and that peer must heed; `pair` is the caller's to know. */
struct watermark_raft_facts seal_raft_facts(const struct seal_machine *machine,
                                            const uint8_t node_id[static NODE_ID_BYTES], bool pair);
/* A member has said that this node's disk is older than what it remembers; it need not be there any
 * more: who has forgotten votes must not give others. */
bool seal_is_rolled_back(const struct seal_machine *machine);

#endif
