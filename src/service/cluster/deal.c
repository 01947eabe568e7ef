/* Carries out what the dealing machine says, on the leader, and answers the leader, on every
 * member.
 *
 * Leader: facts from the records -> DEAL_BEGIN -> each online member's D and P over its link ->
 * the record, built and verified by seal/deal_record -> DEAL, which also keeps the new D and P for
 * deals made while their owner is away -> acks -> DEAL_FINAL -> promote -> the member record.
 * Member: COLLECT -> a new generation in node.sec, synced, then given; CHECK -> ack once the own
 * share has opened with a release; after FINAL is durable the older generations are erased.
 *
 * Any failure ends the step with an error: the machine starts over from the records. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "store/store.h"

/* --- facts ----------------------------------------------------------------------------------- */

static void member_facts(const struct cluster *cluster, const struct hub_member *member,
                         const struct consensus_member *raft, size_t raft_n, uint64_t now_ms,
                         struct dealing_member *ret_facts)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);
    size_t i;

    memset(ret_facts, 0, sizeof(*ret_facts));
    memcpy(ret_facts->node_id, member->node_id, NODE_ID_BYTES);
    ret_facts->raft_id = member->info.raft_id;
    ret_facts->x = member->info.x;
    ret_facts->role = member->info.state == MEMBER_JOINING   ? DEALING_JOINING
                      : member->info.state == MEMBER_LEAVING ? DEALING_LEAVING
                                                             : DEALING_MEMBER;
    ret_facts->self = memcmp(member->node_id, cluster->service->node_id, NODE_ID_BYTES) == 0;
    ret_facts->online = ret_facts->self || (peer != NULL && seal_peer_counts(peer, now_ms) &&
                                            !hub_is_suspended(cluster, member->node_id));
    ret_facts->open = !ret_facts->self && ret_facts->online && peer->hello.state == SEAL_UNSEALED;
    for (i = 0; i < raft_n; i++)
        if (raft[i].id == member->info.raft_id) {
            ret_facts->in_raft = true;
            ret_facts->voter = raft[i].voter;
        }
    ret_facts->in_deal =
        cluster->record != NULL && deal_record_find(cluster->record, member->node_id, &i) == QK_OK;
    for (i = 0; i < cluster->deal_info.parts_n; i++)
        if (memcmp(cluster->deal_info.parts[i], member->node_id, NODE_ID_BYTES) == 0)
            ret_facts->part = ret_facts->in_deal;
}

/* A standby whose member record was replaced before it ever took part: see admission.c. */
static uint64_t stray_standby(const struct cluster *cluster, const struct consensus_member *raft,
                              size_t raft_n)
{
    for (size_t i = 0; i < raft_n; i++) {
        const struct hub_member *member = hub_member_of_raft(cluster, raft[i].id);

        if (!raft[i].voter && (member == NULL || member->version == 0) &&
            raft[i].id != cluster->service->node_sec->raft_id)
            return raft[i].id;
    }
    return 0;
}

static void facts_fill(const struct cluster *cluster, struct dealing_facts *facts)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    const struct consensus *consensus = cluster->service->consensus;
    uint64_t now_ms = hub_now_ms(cluster);
    size_t raft_n = consensus_members(consensus, raft, CONSENSUS_MEMBERS_MAX);

    memset(facts, 0, sizeof(*facts));
    facts->leader = consensus_role(consensus) == CONSENSUS_LEADER &&
                    cluster->leader_term == consensus_term(consensus) && cluster->has_settings;
    facts->unsealed = cluster->seal.state == SEAL_UNSEALED && cluster->mk != NULL &&
                      cluster->service->keyring != NULL && !cluster->service->keys.behind &&
                      (cluster->record == NULL || keyring_mk_version(cluster->service->keyring) ==
                                                      cluster->record->mk_version);
    facts->changing = cluster->changing;
    facts->begin_attempt = cluster->begin_version;
    facts->dealt = cluster->deal_version > 0 && cluster->record != NULL;
    facts->threshold = cluster->settings.threshold;
    if (facts->dealt) {
        memcpy(facts->deal_id, cluster->record->deal, DEAL_ID_BYTES);
        facts->final = cluster->final_version > 0 &&
                       memcmp(cluster->final_deal, facts->deal_id, DEAL_ID_BYTES) == 0;
        facts->threshold = (unsigned)cluster->record->t;
    }
    facts->deal_new_mk = cluster->deal_info.new_mk;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].version > 0)
            member_facts(cluster, &cluster->members[i], raft, raft_n, now_ms,
                         &facts->members[facts->members_n++]);
    for (size_t i = 0; i < raft_n; i++)
        facts->voters_n += raft[i].voter;
    facts->stray = stray_standby(cluster, raft, raft_n);
    hub_leave_facts(cluster, facts);
}

/* --- parts ----------------------------------------------------------------------------------- */

struct hub_part *hub_part_find(struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->parts_n; i++)
        if (memcmp(cluster->parts[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &cluster->parts[i];
    return NULL;
}

void hub_deal_wipe(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->parts_n; i++) {
        secret_free(cluster->parts[i].d);
        secret_free(cluster->parts[i].p);
    }
    cluster->parts_n = 0;
}

/* Takes over `d` and `p`. */
void hub_part_keep(struct cluster *cluster, const uint8_t *node_id, uint64_t attempt, uint64_t gen,
                   struct secret *d, struct secret *p)
{
    struct hub_part *part = hub_part_find(cluster, node_id);

    if (part == NULL && cluster->parts_n == NODES_MAX) {
        secret_free(d);
        secret_free(p);
        return;
    }
    if (part == NULL) {
        part = &cluster->parts[cluster->parts_n++];
        memset(part, 0, sizeof(*part));
        memcpy(part->node_id, node_id, NODE_ID_BYTES);
    }
    secret_free(part->d);
    secret_free(part->p);
    part->attempt = attempt;
    part->gen = gen;
    part->d = d;
    part->p = p;
}

void hub_part_arrived(struct cluster *cluster, const uint8_t *node_id, uint64_t attempt)
{
    struct dealing_event event = {.kind = DEALING_EV_PART, .attempt = attempt};

    memcpy(event.node_id, node_id, NODE_ID_BYTES);
    hub_deal_event(cluster, &event);
}

/* --- outcomes of what was proposed ----------------------------------------------------------- */

/* One operation in progress: which one, so that an earlier one's callback is told apart. */
struct operation {
    struct cluster *cluster;
    uint32_t ticket;
    bool change; /* of the Raft configuration */
};

static struct operation *operation_new(struct cluster *cluster, uint32_t ticket, bool change)
{
    struct operation *operation = calloc(1, sizeof(*operation));

    if (operation == NULL)
        return NULL;
    operation->cluster = cluster;
    operation->ticket = ticket;
    operation->change = change;
    if (change)
        cluster->changing = true;
    return operation;
}

static void operation_end(struct operation *operation, enum qk_err err)
{
    struct cluster *cluster = operation->cluster;
    struct dealing_event event = {.kind = DEALING_EV_DONE, .ticket = operation->ticket, .err = err};

    if (operation->change)
        cluster->changing = false;
    free(operation);
    if (err != QK_OK && err != QK_ERR_CLOSED)
        log_info("deal", "%s: %s, to be tried again", dealing_state_text(cluster->dealing.state),
                 qk_err_text(err));
    if (!cluster->stopped && cluster->booted)
        hub_deal_event(cluster, &event);
}

void hub_deal_failed(struct cluster *cluster, uint32_t ticket, enum qk_err err)
{
    struct operation *operation = operation_new(cluster, ticket, false);

    if (operation != NULL)
        operation_end(operation, err);
}

static void submitted(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct operation *operation = arg;
    struct cluster *cluster = operation->cluster;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    hub_refresh(cluster); /* the machine must see what it made: the attempt's number is a fact */
    operation_end(operation, err);
}

static void changed(void *arg, enum qk_err err)
{
    operation_end(arg, err == QK_ERR_EXISTS ? QK_OK : err);
}

void hub_deal_propose(struct cluster *cluster, uint32_t ticket, struct wire_command *command)
{
    struct operation *operation = NULL;
    struct bytes bytes;
    enum qk_err err = wire_command_end(command, &bytes);

    if (err == QK_OK)
        operation = operation_new(cluster, ticket, false);
    if (err == QK_OK && operation == NULL)
        err = QK_ERR_NOMEM;
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, submitted, operation);
    if (err == QK_OK)
        return;
    free(operation);
    hub_deal_failed(cluster, ticket, err);
}

/* --- the leader's steps ---------------------------------------------------------------------- */

uint64_t hub_version_of(struct cluster *cluster, const struct record_key *key)
{
    struct record record;

    return store_get(cluster->service->store, record_key_bytes(key), &record) == QK_OK
               ? record.version
               : 0;
}

static void do_begin(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct wire_command command;

    wire_command_begin(&command, WIRE_DEAL_BEGIN);
    wire_command_batch(&command);
    wire_command_cond(&command, record_key_bytes(&deal), hub_version_of(cluster, &deal));
    wire_command_put(&command, record_key_bytes(&begin), hub_version_of(cluster, &begin) + 1, 0,
                     bytes_of(cluster->service->node_id, NODE_ID_BYTES));
    hub_deal_propose(cluster, effect->ticket, &command);
    wire_command_fini(&command);
}

static void do_collect(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct peer_message message = {.kind = PEER_COLLECT};
    const struct node_sec_generation *gen;
    struct secret *d = NULL, *p = NULL;
    uint64_t number;

    message.as.collect.attempt = effect->attempt;
    if (memcmp(effect->node_id, cluster->service->node_id, NODE_ID_BYTES) != 0) {
        hub_send(cluster, effect->node_id, false, &message);
        return;
    }
    if (hub_deal_gen_for(cluster, effect->attempt, &number) != QK_OK)
        return;
    gen = node_sec_find(cluster->service->node_sec, number);
    assert(gen != NULL);
    if (secret_new_clone(gen->d, &d) != QK_OK || secret_new_clone(gen->p, &p) != QK_OK) {
        secret_free(d);
        return;
    }
    hub_part_keep(cluster, effect->node_id, effect->attempt, number, d, p);
    hub_part_arrived(cluster, effect->node_id, effect->attempt);
}

static void do_check(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct peer_message message = {.kind = PEER_CHECK};

    if (memcmp(effect->node_id, cluster->service->node_id, NODE_ID_BYTES) == 0) {
        if (!hub_deal_is_checked(cluster, effect->deal_id))
            return;
        hub_deal_erase(cluster);
        hub_deal_checked(cluster);
        return;
    }
    memcpy(message.as.check.deal_id, effect->deal_id, DEAL_ID_BYTES);
    message.as.check.epoch = cluster->record != NULL ? cluster->record->epoch : 0;
    hub_send(cluster, effect->node_id, false, &message);
}

/* Not if a newer attempt has begun: then members that took part may have been let go. */
static void do_final(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct record_key final = record_system(RECORD_SYS, RECORD_DEAL_FINAL);
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct wire_command command;

    wire_command_begin(&command, WIRE_DEAL_FINAL);
    wire_command_batch(&command);
    wire_command_cond(&command, record_key_bytes(&begin), cluster->begin_version);
    wire_command_cond(&command, record_key_bytes(&deal), cluster->deal_version);
    wire_command_put(&command, record_key_bytes(&final), hub_version_of(cluster, &final) + 1, 0,
                     bytes_of(effect->deal_id, DEAL_ID_BYTES));
    hub_deal_propose(cluster, effect->ticket, &command);
    wire_command_fini(&command);
}

static void do_mark(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct record_key key = record_member(effect->node_id);
    const struct hub_member *member = hub_member_find(cluster, effect->node_id);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member info;
    struct wire_command command;

    if (member == NULL) {
        hub_deal_failed(cluster, effect->ticket, QK_ERR_NOT_FOUND);
        return;
    }
    info = member->info;
    info.state = MEMBER_ACTIVE;
    system_member_encode(&info, &value);
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), member->version + 1, 0, buf_bytes(&value));
    hub_deal_propose(cluster, effect->ticket, &command);
    wire_command_fini(&command);
    buf_fini(&value);
    audit_event(cluster->service->audit, "joined", "name", info.name, NULL);
}

static void do_change(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct operation *operation = operation_new(cluster, effect->ticket, true);
    char address[2 * NODE_ID_BYTES + 1];
    enum qk_err err;

    if (operation == NULL) {
        hub_deal_failed(cluster, effect->ticket, QK_ERR_NOMEM);
        return;
    }
    hex_encode(effect->node_id, NODE_ID_BYTES, address);
    if (effect->kind == DEALING_DO_ADD)
        err = consensus_add(cluster->service->consensus, effect->raft_id, address, changed,
                            operation);
    else if (effect->kind == DEALING_DO_PROMOTE)
        err = consensus_promote(cluster->service->consensus, effect->raft_id, changed, operation);
    else if (effect->kind == DEALING_DO_TRANSFER)
        err = consensus_transfer(cluster->service->consensus, effect->raft_id, changed, operation);
    else
        err = consensus_remove(cluster->service->consensus, effect->raft_id, changed, operation);
    if (err != QK_OK)
        changed(operation, err);
}

static void perform(struct cluster *cluster, const struct dealing_effect *effect)
{
    switch (effect->kind) {
    case DEALING_DO_ADD:
    case DEALING_DO_PROMOTE:
    case DEALING_DO_REMOVE:
    case DEALING_DO_TRANSFER:
        do_change(cluster, effect);
        break;
    case DEALING_DO_FORGET:
        hub_leave_forget(cluster, effect);
        break;
    case DEALING_DO_END:
        hub_leave_end(cluster, effect);
        break;
    case DEALING_DO_BEGIN:
        do_begin(cluster, effect);
        break;
    case DEALING_DO_COLLECT:
        do_collect(cluster, effect);
        break;
    case DEALING_DO_PROPOSE:
        hub_deal_build(cluster, effect);
        break;
    case DEALING_DO_CHECK:
        do_check(cluster, effect);
        break;
    case DEALING_DO_FINAL:
        do_final(cluster, effect);
        break;
    case DEALING_DO_MARK:
        do_mark(cluster, effect);
        break;
    case DEALING_DO_DROP:
        hub_deal_wipe(cluster);
        break;
    }
}

/* --- stepping -------------------------------------------------------------------------------- */

static void step(struct cluster *cluster, struct dealing_event *event)
{
    struct dealing_facts *facts = malloc(sizeof(*facts));

    if (facts == NULL)
        return; /* the next event or tick tries again */
    facts_fill(cluster, facts);
    event->facts = facts;
    dealing_step(&cluster->dealing, hub_now_ms(cluster), event, &cluster->deal_effects);
    event->facts = NULL;
    free(facts);
    for (unsigned i = 0; i < cluster->deal_effects.n; i++)
        perform(cluster, &cluster->deal_effects.list[i]);
}

static void arm(struct cluster *cluster)
{
    uint64_t now_ms = hub_now_ms(cluster);
    uint64_t at = dealing_deadline(&cluster->dealing, now_ms);

    if (at == UINT64_MAX)
        timer_stop(cluster->deal_timer);
    else
        timer_start(cluster->deal_timer, at > now_ms ? at - now_ms : 0);
}

/* An event that an effect brought about is stepped after the effects of its step. */
void hub_deal_event(struct cluster *cluster, struct dealing_event *event)
{
    if (cluster->stopped || !cluster->booted || cluster->restoring ||
        cluster->service->consensus == NULL)
        return;
    assert(cluster->deal_events_n < HUB_OUTCOMES_MAX);
    cluster->deal_events[cluster->deal_events_n++] = *event;
    if (cluster->dealing_stepping)
        return;
    cluster->dealing_stepping = true;
    while (cluster->deal_events_n > 0) {
        struct dealing_event next = cluster->deal_events[0];

        cluster->deal_events_n--;
        memmove(&cluster->deal_events[0], &cluster->deal_events[1],
                cluster->deal_events_n * sizeof(cluster->deal_events[0]));
        step(cluster, &next);
    }
    cluster->dealing_stepping = false;
    arm(cluster);
}

void hub_deal(struct cluster *cluster, enum dealing_event_kind kind)
{
    struct dealing_event event = {.kind = kind};

    hub_deal_event(cluster, &event);
}

void hub_deal_tick(void *arg)
{
    hub_deal(arg, DEALING_EV_TICK);
}
