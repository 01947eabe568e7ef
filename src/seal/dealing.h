/* The leader's work on members and deals, as a pure machine. What is left to do is derived from
 * the replicated records each time, never from memory, so that a new leader goes on where the old
 * one fell:
 *
 *   a deal without FINAL            -> ask for acks, then FINAL
 *   a joining member not in Raft    -> add it as a standby
 *   a joining member without a deal -> DEAL_BEGIN, collect generations, build, DEAL
 *   a joining member in the deal    -> promote, then mark it as a member
 *   a standby that no record names  -> remove it from Raft
 *
 * and of a removal (src/seal/leaving.c), which a member record marked LEAVING begins:
 *
 *   this leader is leaving          -> hand leadership to one that stays and is unsealed
 *   a leaving member in the deal    -> DEAL_BEGIN, collect from those who stay, DEAL without it:
 *                                      fresh S, fresh MK; also over a deal that awaits its ack
 *   left out, FINAL, still in Raft  -> remove it from Raft
 *   left out, and out of Raft       -> delete its member record
 *   one that stays has a generation from before the newest MK, and is back
 *                                   -> a further deal, same MK
 *   all have new ones               -> ask all whether the older ones are erased, then DONE
 *
 * One step at a time, each asked again until its record shows it done; whatever fails starts over
 * from the records. Refresh and rotation are further reasons to deal (`wanted`, `rotate`). */
#ifndef SEAL_DEALING_H
#define SEAL_DEALING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/limits.h"

#define DEALING_RETRY_MS_MIN 50u
#define DEALING_RETRY_MS_MAX 1000u
/* How long a deal waits for the generations of members that are connected. */
#define DEALING_COLLECT_MS 10000u
/* A participant that went away is not waited for longer than this before FINAL, unless the deal
 * has a new MK: then FINAL means that all have erased, and all must say so. */
#define DEALING_WAIVE_MS 10000u
/* A deal that nobody joins by, and that failed, is tried again after this, doubling up to the
 * maximum: each attempt writes a generation into every node.sec. */
#define DEALING_AGAIN_MS_MIN 200u
#define DEALING_AGAIN_MS_MAX 30000u
#define DEALING_EFFECTS_MAX (NODES_MAX + 4)

enum dealing_role { DEALING_JOINING, DEALING_MEMBER, DEALING_LEAVING };

/* One member record, with what is known of it now. */
struct dealing_member {
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t raft_id;
    uint32_t x;
    enum dealing_role role;
    bool self;
    bool online;  /* a live session */
    bool in_raft; /* in the newest configuration */
    bool voter;   /* and with a vote */
    bool in_deal; /* in the current deal record */
    bool part;    /* and gave a new generation for it, so that its ack is awaited */
    bool stale;   /* and stands in it with a generation from before the newest MK */
    bool open;    /* online and unsealed: may lead */
};

struct dealing_facts {
    bool leader;            /* and everything committed before this term's start is applied */
    bool unsealed;          /* MK is in memory */
    bool changing;          /* a Raft configuration change is under way */
    uint64_t begin_attempt; /* version of the deal_begin record; 0: none */
    bool dealt;             /* there is a deal record */
    uint8_t deal_id[DEAL_ID_BYTES];
    bool deal_new_mk;   /* FINAL waits for all */
    bool final;         /* deal_final names it */
    bool wanted;        /* a deal is wanted for another reason than a join: refresh, threshold */
    bool rotate;        /* one with a new MK is, though nobody leaves */
    bool removal;       /* there is a record of a removal that is not done */
    unsigned fresh_min; /* fewer new generations make no deal with a new MK */
    uint64_t stray;     /* Raft id of a standby that no member record names; 0: none */
    unsigned threshold;
    unsigned voters_n;
    unsigned members_n;
    struct dealing_member members[NODES_MAX];
};

enum dealing_state {
    DEALING_IDLE,
    DEALING_ADD,      /* consensus_add is out */
    DEALING_BEGIN,    /* DEAL_BEGIN is out */
    DEALING_COLLECT,  /* waiting for generations */
    DEALING_PROPOSE,  /* the record is being built and proposed */
    DEALING_ACKS,     /* waiting for acks */
    DEALING_FINAL,    /* DEAL_FINAL is out */
    DEALING_PROMOTE,  /* consensus_promote is out */
    DEALING_MARK,     /* the member record is out */
    DEALING_REMOVE,   /* consensus_remove of a stray standby or a member that left is out */
    DEALING_TRANSFER, /* consensus_transfer is out: this leader is leaving */
    DEALING_FORGET,   /* the deletion of a member record is out */
    DEALING_ERASE,    /* asking whether older generations are erased */
    DEALING_DONE,     /* the end of the removal is out */
    DEALING_STATES_N
};

enum dealing_event_kind {
    DEALING_EV_FACTS, /* something replicated or connected changed */
    DEALING_EV_TICK,
    DEALING_EV_PART,   /* node, attempt: its D and P are kept by the hub */
    DEALING_EV_ACK,    /* node, deal_id */
    DEALING_EV_ERASED, /* node, deal_id: it holds no generation older than that deal's */
    DEALING_EV_DONE,   /* ticket, err: outcome of whatever is not COLLECT, CHECK or DROP */
    DEALING_EVENTS_N
};

/* Every event brings the facts as they are now. */
struct dealing_event {
    enum dealing_event_kind kind;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t deal_id[DEAL_ID_BYTES];
    uint64_t attempt;
    uint32_t ticket;
    enum qk_err err;
    const struct dealing_facts *facts;
};

enum dealing_effect_kind {
    DEALING_DO_ADD,      /* node, raft_id: add it as a standby */
    DEALING_DO_BEGIN,    /* propose DEAL_BEGIN */
    DEALING_DO_COLLECT,  /* ask node for its generation of `attempt` (self too) */
    DEALING_DO_PROPOSE,  /* build from the parts kept for `attempt`; others from the keyring.
                            `fresh`: with a new MK, and without joining members that are not yet in
                            the deal */
    DEALING_DO_CHECK,    /* ask node for its ack of the deal, and what is erased (self too) */
    DEALING_DO_FINAL,    /* propose DEAL_FINAL for the deal */
    DEALING_DO_PROMOTE,  /* node, raft_id */
    DEALING_DO_MARK,     /* node: its record says member */
    DEALING_DO_REMOVE,   /* raft_id */
    DEALING_DO_TRANSFER, /* leadership to raft_id */
    DEALING_DO_FORGET,   /* node: its record goes */
    DEALING_DO_END,      /* the record of the removal goes */
    DEALING_DO_DROP,     /* forget the parts kept */
};

struct dealing_effect {
    enum dealing_effect_kind kind;
    uint32_t ticket; /* of what ends with DEALING_EV_DONE */
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t raft_id;
    uint64_t attempt;
    uint8_t deal_id[DEAL_ID_BYTES];
    bool fresh;
};

struct dealing_effects {
    unsigned n;
    struct dealing_effect list[DEALING_EFFECTS_MAX];
};

struct dealing {
    enum dealing_state state;
    struct dealing_facts facts; /* of the newest event */
    uint32_t ticket;            /* of the operation that is out */
    uint64_t attempt;           /* of COLLECT and PROPOSE */
    unsigned parts_n;
    uint8_t parts[NODES_MAX][NODE_ID_BYTES]; /* who has given, for `attempt` */
    uint8_t deal_id[DEAL_ID_BYTES];          /* of ACKS */
    unsigned acks_n;
    uint8_t acks[NODES_MAX][NODE_ID_BYTES]; /* who has acked `deal_id` */
    bool acks_late; /* too few have, for too long: `deal_id` may be dealt anew */
    uint8_t erased_deal[DEAL_ID_BYTES]; /* of ERASE */
    unsigned erased_n;
    uint8_t erased[NODES_MAX][NODE_ID_BYTES]; /* who holds no older generation than its */
    uint64_t again_ms;                        /* not before: a deal that nobody joins by */
    uint32_t again_wait_ms;
    bool change_failed; /* the last step was a change of Raft's that has to wait, maybe for long */
    unsigned first;     /* where the search for work begins: moves on after a failure */
    uint64_t began_ms;  /* of COLLECT and ACKS */
    uint64_t next_ms;   /* when to ask again, or to look for work again */
    uint32_t wait_ms;
};

/* Is a deal made at `made_s` (0: unknown) to be made anew, with both times by the clocks of whoever
 * led then and leads now? One from the future is: else it would not be before that time comes. */
bool dealing_refresh_due(uint64_t now_s, uint64_t made_s, uint64_t interval_s);

void dealing_init(struct dealing *dealing);
/* `effects` is emptied first. */
void dealing_step(struct dealing *dealing, uint64_t now_ms, const struct dealing_event *event,
                  struct dealing_effects *effects);
/* When TICK is next due; UINT64_MAX: not before another event. */
uint64_t dealing_deadline(const struct dealing *dealing, uint64_t now_ms);
const char *dealing_state_text(enum dealing_state state);
/* On the leader: what a member that stays is still to do before the pending deal with a new MK is
 * final, or the removal done; NULL: nothing. For people. */
const char *dealing_awaits(const struct dealing *dealing, const uint8_t node_id[NODE_ID_BYTES]);
/* On the leader: is the ack of this member what the pending deal with a new MK waits for? */
bool dealing_awaits_ack(const struct dealing *dealing, const uint8_t node_id[NODE_ID_BYTES]);
/* On the leader: is the ack of anybody who is there awaited? If not, only members that are away
 * hold the deal up. */
bool dealing_awaits_present(const struct dealing *dealing);

/* --- The member's side: decisions on the generations in node.sec ------------------------------ */

/* A generation held. `attempt` is the one for which it was made or, if that was before this
 * process began, the first attempt that this process was asked for: never less than the true one.
 * 0: not asked yet. */
struct dealing_gen {
    uint64_t gen;
    uint64_t attempt;
    bool exact; /* made by this process, for exactly that attempt */
};

enum dealing_answer {
    DEALING_NOT_YET, /* that DEAL_BEGIN is not applied here: stay silent, it will be asked again */
    DEALING_KEEP,    /* ret_gen was made for it: give it again */
    DEALING_MAKE,    /* write a new generation, sync it, give it */
    DEALING_FULL,    /* node.sec holds its maximum: refuse */
    DEALING_PAST,    /* a newer attempt is known here: refuse */
};

/* What to answer to COLLECT of `attempt`, with `begin_attempt` the version of the deal_begin
 * record applied here. Sets the attempt of generations that had none. */
enum dealing_answer dealing_collect_answer(uint64_t attempt, uint64_t begin_attempt,
                                           struct dealing_gen *gens, unsigned gens_n,
                                           unsigned gens_max, uint64_t *ret_gen);

/* What is synced in the store, not merely applied. */
struct dealing_durable {
    uint64_t record_gen; /* own generation in the deal record; 0: none */
    bool final;          /* deal_final names that record */
    uint64_t begin_attempt;
};

/* May this generation be erased? Only if it is older than the record's and FINAL is durable too,
 * or if it is of an attempt that never became a deal and a newer DEAL_BEGIN is durable. */
bool dealing_may_erase(const struct dealing_gen *gen, const struct dealing_durable *durable);

#endif
