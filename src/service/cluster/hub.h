/* The inside of the hub: what its files (cluster.c, unseal.c, deal.c, members.c, init.c, invite.c,
 * join.c, joiner.c, seal_cmd.c, status.c) share. Nobody else includes this. */
#ifndef SERVICE_CLUSTER_HUB_H
#define SERVICE_CLUSTER_HUB_H

#include "seal/deal_record.h"
#include "seal/node_sec.h"
#include "service/cluster/cluster.h"
#include "service/cluster/recovery.h"
#include "service/system.h"
#include "service/timer_uv.h"
#include "wire/command.h"
#include "wire/records.h"

struct exchange;
struct json_t;
struct init;
struct record;
struct joiner;
struct hub_order;
struct recoveries;
struct recovery_pending;

#define HUB_OUTCOMES_MAX 8
#define HUB_JOINS_MAX 16
#define HUB_JOIN_FORWARD_MS 15000u
#define HUB_READ_MS 5000u
#define HUB_TRANSFER_MS 1000u
#define HUB_NO_DEAL "this node never became part of a deal"
#define HUB_ATTEST_ASKS_MAX NODES_MAX
#define HUB_ORDERS_MAX 4      /* `seal --all` under way at a time */
#define HUB_ORDER_MS 2000u    /* for the answers of peers */
#define HUB_HOLD_MS 6000u     /* for a leader and a majority to commit a hold */
#define HUB_ORDER_TICK_MS 50u /* while something of that is awaited */

/* One member record, or, on a joiner that has none yet, what the inviter told (`provisional`). */
struct hub_member {
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t version; /* of its record; 0: provisional */
    struct system_member info;
    bool by_record; /* named by a deal record that was taken over from a peer, not yet by the log */
    bool introduced; /* provisional, named by another member: see introduce.c */
    bool known;      /* connected now, as a member */
};

/* A generation's halves given to this leader for the attempt in progress. */
struct hub_part {
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t attempt;
    uint64_t gen;
    struct secret *d, *p;
};

/* A join passed on to the leader, or being decided here. */
struct hub_join {
    bool used;
    bool remote; /* came from the member `node_id` as its `request` */
    uint64_t join_id;
    uint32_t request;
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t until_ms;
};

/* A question to the attestation hook that is out; id 0: a free place. */
struct hub_attest_ask {
    uint32_t id;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES];
};

struct hub_attest {
    struct hub_attest_ask asks[HUB_ATTEST_ASKS_MAX];
    uint32_t last_id;
    uint64_t allowed_n, denied_n, deferred_n, failed_n;
};

/* Two processes with the key of one member were alive: since when, and from where, if known. */
struct hub_clone {
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t since_s; /* Unix time */
    char addresses[2][ADDRESS_BYTES_MAX + 1];
};

struct hub_counters {
    uint64_t releases_n, denials_n, clone_alarms_n, rate_alarms_n, deals_n, unsealed_us;
};

struct cluster {
    struct service *service;
    struct cluster_ops ops;
    struct cluster_settings settings;
    uint8_t boot_id[BOOT_ID_BYTES];
    bool self_writing; /* self_record.c */
    bool booted;       /* the member's parts are open and watched */
    bool founder;      /* of a cluster that has no deal yet, in this process */
    bool stopped;
    bool discarding;
    bool restoring; /* restore.c: the records are not yet what the cluster has applied */
    char restore_text[CLUSTER_REASON_BYTES];
    struct timer *seal_timer, *deal_timer, *refresh_timer, *join_timer, *recovery_timer,
        *order_timer;
    unsigned timers_open;
    timer_cb freed;
    void *freed_arg;

    /* records, as applied here */
    struct hub_member members[NODES_MAX];
    unsigned members_n;
    bool peers_dirty;
    bool has_settings;
    struct system_cluster info;
    uint64_t settings_version;
    struct system_control control;
    uint64_t control_version; /* of that record; 0: absent */
    struct hub_order *orders[HUB_ORDERS_MAX];
    uint32_t order_requests;
    bool hold_wanted, hold_proposing; /* seal_order.c */
    uint64_t hold_wanted_number, hold_until_ms;
    uint64_t unhold_audit_ms; /* no line for another refusal before */
    uint64_t control_pending; /* the log's index of a change of it that may be committed; 0: none */
    struct deal_record *record;          /* the newest: own log or adopted */
    uint64_t deal_version;               /* of the record "deal"; 0: none */
    uint8_t log_deal[DEAL_ID_BYTES];     /* which deal that record is */
    uint8_t durable_deal[DEAL_ID_BYTES]; /* and which one the store has synced */
    struct system_deal_info deal_info;
    struct system_removal removal;
    uint64_t removal_version; /* of its record; 0: none is under way */
    struct system_wanted wanted;
    uint64_t wanted_version;
    uint64_t refreshed_ms; /* when this process last began a refresh by itself; 0: never */
    uint64_t begin_version;
    uint64_t final_version;
    uint8_t final_deal[DEAL_ID_BYTES];

    /* seal */
    struct seal_machine seal;
    struct seal_effects effects;
    bool stepping;
    struct seal_event outcomes[HUB_OUTCOMES_MAX];
    unsigned outcomes_n;
    struct deal_record *candidate;
    struct secret *own_share;
    struct secret *shares[NODES_MAX];
    uint32_t shares_x[NODES_MAX];
    unsigned shares_n;
    struct secret *mk;
    struct secret *mk_opening; /* of `opening` */
    struct keyring *opening;   /* being filled */
    bool opening_again;        /* a record of it changed meanwhile */
    uint64_t combine_began_us;
    bool opened;  /* ops.opened was called */
    bool removed; /* it was logged that this node is no member any more */

    /* recovery shares */
    uint64_t recovery_version; /* of the record; 0: there is no set */
    struct recovery_set recovery;
    struct recoveries *recoveries;             /* attempts of people: recovery_attempt.c */
    struct recovery_pending *recovery_pending; /* shown, not confirmed: recovery_rotate.c */
    bool recovering;                           /* hub_open is under way for one of them */

    /* leadership */
    uint64_t leader_term; /* everything from before this term's start is applied */
    bool reading;
    bool transferring;
    uint64_t transfer_next_ms;
    bool discard_checked;

    /* dealing */
    struct dealing dealing;
    struct dealing_effects deal_effects;
    bool dealing_stepping;
    struct dealing_event deal_events[HUB_OUTCOMES_MAX];
    unsigned deal_events_n;
    bool changing;
    struct hub_part parts[NODES_MAX];
    unsigned parts_n;
    struct dealing_gen gens[NODE_SEC_GENERATIONS_MAX];
    unsigned gens_n;
    bool erasing, acking;

    /* joins */
    struct hub_join joins[HUB_JOINS_MAX];
    uint32_t join_requests;
    struct init *init;
    struct joiner *joiner;
    struct joiner_identity *kept; /* joiner.c: of a join that had no answer */
    unsigned inviting;
    uint64_t invited; /* tokens made since the start */

    uint64_t introduce_next_ms;

    bool versions_busy; /* a change of a member's version is being written */
    struct hub_attest attest;
    bool replacing; /* removal.c: of a member whose successor is here */
    struct hub_clone clones[NODES_MAX];
    unsigned clones_n;
    struct hub_counters counters;
};

/* --- cluster.c ------------------------------------------------------------------------------ */

uint64_t hub_now_ms(const struct cluster *cluster);
/* Opens the member's parts for service->node_sec: ops.start_member, watches, first reading. */
MUST_USE enum qk_err hub_start_member(struct cluster *cluster, bool founder, char *ret_reason);
/* Back to uninitialised, and why, for log and audit: keys wiped, node.sec destroyed, parts closed
 * and removed. */
void hub_discard(struct cluster *cluster, const char *why);
/* records.c: reads the small records again, now or in the loop's next turn. */
void hub_refresh(void *arg);
void hub_refresh_soon(struct cluster *cluster);
/* A record of RECORD_SYS. */
bool hub_sys_get(struct cluster *cluster, const char *name, struct record *ret_record);
MUST_USE enum qk_err hub_watch(struct cluster *cluster);
void hub_unwatch(struct cluster *cluster);
/* Sends one message; loss is fine. */
void hub_send(struct cluster *cluster, const uint8_t *node_id, bool by_record,
              const struct peer_message *message);
bool hub_has_final(const struct cluster *cluster);
/* What the store said of a system record: QK_ERR_CORRUPT is told. */
void hub_store_result(const struct cluster *cluster, enum qk_err err);
/* The current deal itself is final. */
bool hub_is_final(const struct cluster *cluster);
void hub_node_text(const struct cluster *cluster, const uint8_t *node_id, char *ret_text,
                   size_t size);

/* --- members.c ------------------------------------------------------------------------------ */

struct hub_member *hub_member_find(struct cluster *cluster, const uint8_t *node_id);
const struct hub_member *hub_member_of_raft(const struct cluster *cluster, uint64_t raft_id);
/* One record changed, or, with an empty key, any. */
void hub_members_changed(struct cluster *cluster, struct bytes key);
/* Reads all of them from the file. */
void hub_members_load(struct cluster *cluster);
/* Members told by the inviter, until their records arrive; kept across a restart. */
void hub_members_provisional(struct cluster *cluster, const struct peer_join_accept *accept);
/* Members that another one named; none that is known is changed. */
void hub_members_introduced(struct cluster *cluster, const struct peer_join_member *members,
                            unsigned n);
/* The members that the record taken over names are members from now on. */
void hub_members_adopt(struct cluster *cluster);
/* A HELLO tells the Raft id of a member that is known by a record only. */
void hub_members_heard(struct cluster *cluster, const struct peer_hello *hello);
void hub_members_publish(struct cluster *cluster); /* to link and seal machine */
/* A member that only <data>/members names. */
void hub_member_cached(struct cluster *cluster, const uint8_t *node_id,
                       const struct system_member *info);
/* The store is whole again: reads the records, lets go of what else was known. */
void hub_members_restored(struct cluster *cluster);

/* --- introduce.c ---------------------------------------------------------------------------- */

/* This node is no full member yet. */
bool hub_is_joining(const struct cluster *cluster);
/* Asks those that it knows who the unknown keys that have connected are. */
void hub_introduce(struct cluster *cluster);
/* It joins, or is held: members may tell it of others. */
bool hub_takes_introductions(const struct cluster *cluster);
void hub_introduce_message(struct cluster *cluster, const uint8_t *node_id,
                           const struct peer_members *message);

/* --- self_record.c -------------------------------------------------------------------------- */

/* Alone and leading: the own record says what the configuration says. */
void hub_self_record(struct cluster *cluster);

/* --- restore.c ------------------------------------------------------------------------------ */

/* From and to <data>/members. */
void hub_members_cached(struct cluster *cluster);
void hub_members_save(const struct cluster *cluster);

/* --- control.c ------------------------------------------------------------------------------ */

/* Reads the record of hold and suspensions. */
void hub_control_read(struct cluster *cluster);
/* What of it, and of the settings, the seal machine goes by; `config` has the members. */
void hub_control_fill(const struct cluster *cluster, struct seal_config *config);
/* Live members that a release needs, as the settings say, of so many that have a say. */
unsigned hub_unseal_quorum(const struct cluster *cluster, unsigned members_n);
/* Has it a part in the deal in use? */
bool hub_in_record(const struct cluster *cluster, const uint8_t *node_id);
/* Who has a say in a release: whoever has a part in the deal in use, and stays. */
unsigned hub_say_n(const struct cluster *cluster, const struct hub_member *without);
bool hub_is_suspended(const struct cluster *cluster, const uint8_t *node_id);
/* Has what the log held at the start been settled? */
void hub_control_settle(struct cluster *cluster);
/* Proposes `next` in place of the record as it was read; on the leader. */
MUST_USE enum qk_err hub_control_propose(struct cluster *cluster, const struct system_control *next,
                                         void (*cb)(void *arg, enum qk_err err, uint64_t index,
                                                    struct bytes result),
                                         void *arg);

/* --- marks.c -------------------------------------------------------------------------------- */

/* What is remembered of the peers (seal/watermark.h), from and to the store's local facts. */
void hub_marks_load(struct cluster *cluster);
void hub_marks_save(struct cluster *cluster);
/* The link to that member is about to be gone: notes how far it had followed. */
void hub_marks_lost(struct cluster *cluster, const uint8_t *node_id);
/* Puts into a HELLO to `node_id` what is committed here. */
void hub_fork_tell(const struct cluster *cluster, const uint8_t *node_id, struct peer_hello *hello);
/* What the speaker has committed contradicts what is committed here. */
bool hub_is_forked(const struct cluster *cluster, const struct peer_hello *hello);
/* Names of the peers that say that this node is below its mark; false if none does. */
bool hub_is_rolled_back(const struct cluster *cluster, struct buf *names);

/* --- routing.c ------------------------------------------------------------------------------- */

/* A sealed leader: to an unsealed voter, if there is one; at most once in HUB_TRANSFER_MS. */
/* Another one should: this node holds no master key in force, and can't get it as a leader. */
bool hub_cannot_lead(const struct cluster *cluster);
void hub_hand_on(struct cluster *cluster);

/* --- seal_order.c --------------------------------------------------------------------------- */

/* Seals this node, tells all others, wants a hold if `hold`; answers the exchange later. Not QK_OK:
 * it is the caller's to answer (QK_ERR_CONFLICT, QK_ERR_UNINITIALISED: nothing was sealed; others:
 * this node is, and nobody was told). */
MUST_USE enum qk_err hub_order_start(struct cluster *cluster, struct exchange *exchange, bool hold);
void hub_order_message(struct cluster *cluster, const uint8_t *node_id,
                       const struct peer_message *message);
/* What is awaited without an event: answers, a hold, a successor of a sealed leader. */
void hub_order_tick(void *arg);
void hub_orders_stop(struct cluster *cluster);
/* QK_OK, or why wiping would lose the master key for ever. */
MUST_USE enum qk_err hub_may_seal(const struct cluster *cluster);

/* --- alarms.c ------------------------------------------------------------------------------- */

/* The alarm is the seal machine's; this keeps what people want to know of it. Addresses may be "".
 */
void hub_clone_heard(struct cluster *cluster, const uint8_t *node_id, const char *first,
                     const char *second);
bool hub_clone_lasts(const struct cluster *cluster, const uint8_t *node_id);
unsigned hub_clones_n(const struct cluster *cluster);
struct json_t *hub_clones_json(const struct cluster *cluster);
/* Adds to a member's line what is known here of its identity: watermark, deal acked, clone. */
void hub_identity_json(const struct cluster *cluster, const struct hub_member *member,
                       struct json_t *json);

/* --- replace.c ------------------------------------------------------------------------------- */

/* A node that takes the place of another. On the leader: marks the old one as leaving, when that
 * may be. */
void hub_replace(struct cluster *cluster);
/* No id is all zeros. */
bool hub_id_is_set(const uint8_t *node_id);
/* The member that a token 'node invite --replace NAME' is to replace; NULL: none of that name. */
const struct hub_member *hub_replace_find(const struct cluster *cluster, const char *name);
/* removal.c: as `node remove`, by nobody's order; refused in silence where that would be. */
void hub_removal_begin(struct cluster *cluster, const struct hub_member *member);
/* Another one takes its place, so that it is there no more, or soon. */
bool hub_is_replaced(const struct cluster *cluster, const uint8_t *node_id);
/* What stands against `join`, whose token names `replaces`, for people: false if nothing. */
bool hub_replace_objection(const struct cluster *cluster, const uint8_t *replaces,
                           const uint8_t *gives_up, char *ret_reason);

/* --- open_or_why.c -------------------------------------------------------------------------- */

bool hub_is_self(const struct cluster *cluster, const uint8_t *node_id);
/* Self, or a peer that answered a fresh nonce. */
bool hub_is_live(const struct cluster *cluster, const uint8_t *node_id);
/* Live, and not below its mark: it may give its part in a deal. */
bool hub_may_help(const struct cluster *cluster, const uint8_t *node_id);
/* By its own log or, if it was away, by what its peers say: for people, nothing rests on it. */
bool hub_is_removed(const struct cluster *cluster);
/* Since its last sign of life; UINT64_MAX: never in this process. */
uint64_t hub_seen_ms(const struct cluster *cluster, const uint8_t *node_id);

/* --- unseal.c ------------------------------------------------------------------------------- */

/* Steps the seal machine and carries out what it says, outcomes included. */
void hub_seal(struct cluster *cluster, const struct seal_event *event);
void hub_seal_kind(struct cluster *cluster, enum seal_event_kind kind);
void hub_seal_tick(void *arg);
void hub_seal_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message);
/* The deal record of the own log changed. */
void hub_seal_deal(struct cluster *cluster);
/* The current or the candidate record, whichever has that id; NULL if neither. */
const struct deal_record *hub_record_of(const struct cluster *cluster, const uint8_t *deal_id);
void hub_seal_send(struct cluster *cluster, const struct seal_effect *effect);
void hub_combine_failed(struct cluster *cluster, enum qk_err err, uint32_t bad_x);
void hub_share_drop(struct cluster *cluster, uint32_t x);
/* Wipes every key that the hub holds; the machine is not asked. */
void hub_wipe(struct cluster *cluster);
/* Fills a keyring from the store and opens the catalog, then SEAL_EV_COMBINED, or, if `recovering`,
 * SEAL_EV_RECOVERED. `cluster->mk_opening` is of that version. */
void hub_open(struct cluster *cluster, uint32_t mk_version);
void hub_keyring_changed(struct cluster *cluster, struct bytes key);
/* Calls ops.opened or ops.closed when service_is_open has changed. */
void hub_note_open(struct cluster *cluster);

/* --- versions.c ------------------------------------------------------------------------------ */

/* Records what a member announces, on the leader. */
void hub_versions_drive(struct cluster *cluster);

/* --- key_policy_cmd.c ------------------------------------------------------------------------ */

/* The policy allows a suite that needs hardware which a member may lack. */
bool hub_needs_aes(const struct cluster *cluster);

/* --- attest.c ------------------------------------------------------------------------------- */

void hub_attest(struct cluster *cluster, const struct seal_effect *effect);
struct json_t *hub_attest_json(const struct cluster *cluster);

/* --- deal.c --------------------------------------------------------------------------------- */

void hub_deal(struct cluster *cluster, enum dealing_event_kind kind);
void hub_deal_tick(void *arg);
void hub_deal_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message);
/* The own slots of the current deal are good: acks, once the record is durable. */
void hub_deal_checked(struct cluster *cluster);
void hub_deal_gens_init(struct cluster *cluster);
/* Erases generations that are no longer needed, once what allows it is durable. */
void hub_deal_erase(struct cluster *cluster);
void hub_deal_wipe(struct cluster *cluster);
void hub_deal_event(struct cluster *cluster, struct dealing_event *event);
/* Keeps what a member gave for the attempt; takes over `d` and `p`. */
void hub_part_keep(struct cluster *cluster, const uint8_t *node_id, uint64_t attempt, uint64_t gen,
                   struct secret *d, struct secret *p);
void hub_part_arrived(struct cluster *cluster, const uint8_t *node_id, uint64_t attempt);
struct hub_part *hub_part_find(struct cluster *cluster, const uint8_t *node_id);
/* The version of a record; 0: absent. */
uint64_t hub_version_of(struct cluster *cluster, const struct record_key *key);
/* Proposes; the end of the command is the end of the dealing step `ticket`. */
void hub_deal_propose(struct cluster *cluster, uint32_t ticket, struct wire_command *command);
/* That step could not even be proposed. */
void hub_deal_failed(struct cluster *cluster, uint32_t ticket, enum qk_err err);

/* --- deal_leave.c --------------------------------------------------------------------------- */

/* What the machine must know of removals, rotation and refresh. */
void hub_leave_facts(const struct cluster *cluster, struct dealing_facts *facts);
/* FORGET and END. */
void hub_leave_forget(struct cluster *cluster, const struct dealing_effect *effect);
void hub_leave_end(struct cluster *cluster, const struct dealing_effect *effect);
/* The record of the removal has changed: logs and audits it. */
void hub_leave_changed(struct cluster *cluster, const struct system_removal *before);
void hub_leave_figures(const struct cluster *cluster, struct cluster_figures *figures);
/* Says once that this node was removed, when that has become known. */
void hub_leave_note(struct cluster *cluster);

/* --- deal_member.c -------------------------------------------------------------------------- */

/* This node's generation for the attempt, made if need be. QK_ERR_NOT_FOUND: nothing to say now. */
MUST_USE enum qk_err hub_deal_gen_for(struct cluster *cluster, uint64_t attempt, uint64_t *ret_gen);
/* The own share of that deal is open. */
bool hub_deal_is_checked(const struct cluster *cluster, const uint8_t *deal_id);
void hub_deal_ack_self(struct cluster *cluster);

/* --- deal_build.c --------------------------------------------------------------------------- */

/* Builds the record from the parts kept and the keyring, and proposes it. */
void hub_deal_build(struct cluster *cluster, const struct dealing_effect *effect);

/* --- master.c ------------------------------------------------------------------------------- */

/* `master rotate` with new data keys was asked for, and no deal has brought it yet. */
bool hub_wants_new_keys(const struct cluster *cluster);

/* --- init.c, join.c, joiner.c --------------------------------------------------------------- */

void hub_init_changed(struct cluster *cluster); /* leadership or records moved */
void hub_init_fail(struct cluster *cluster, enum qk_err err, const char *reason);
/* The token's record, if it is good: QK_ERR_NOT_FOUND, QK_ERR_EXPIRED. `ret_token` points into it.
 */
MUST_USE enum qk_err hub_join_token_read(struct cluster *cluster, const uint8_t *token_id,
                                         struct record *ret_record, struct system_token *ret_token);
/* Decides on the request of cluster->joins[slot] and answers it; on the leader. */
void hub_join_admit(struct cluster *cluster, unsigned slot, const uint8_t *token_id,
                    const struct peer_join_request *join);
/* `token_id` NULL: not audited. */
void hub_join_slot_refuse(struct cluster *cluster, unsigned at, const uint8_t *token_id,
                          enum qk_err err, const char *reason);
void hub_join_slot_accept(struct cluster *cluster, unsigned at, const struct system_member *info);
void hub_join_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message);
void hub_join_tick(void *arg);
/* Joins with the token of the request, and answers it. `wipes`: what this node is now is given up
 * when the cluster has accepted the new one. */
void hub_joiner_start(struct cluster *cluster, struct exchange *exchange, bool wipes);
/* What this node was is gone. */
void hub_joiner_discarded(struct cluster *cluster, enum qk_err err);
void hub_joiner_changed(struct cluster *cluster);
void hub_joiner_stop(struct cluster *cluster);
void hub_joiner_forget(struct cluster *cluster); /* the identity kept for a token */
/* Of what another life of this directory left: false, with the reason, if anything is there. */
bool hub_dir_is_clear(const struct cluster *cluster, char *ret_reason);
/* May an init or a join begin here? False: answered. `is_unfinished` judges what stopped half way,
 * which is then removed; `what` names that, `purpose` what an empty directory would be for. */
bool hub_may_begin(struct cluster *cluster, struct exchange *exchange,
                   bool (*is_unfinished)(const struct cluster *cluster), const char *what,
                   const char *purpose);

#endif
