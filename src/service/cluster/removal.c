/* `node remove`: marks a member as leaving, if the cluster can do without it; the dealing machine
 * does all the rest from the records (seal/leaving.c, deal_leave.c).
 *
 * Happy path: the leader looks at who stays and who is there -> one command marks the member record
 * and writes the record of the removal, under conditions that nobody changed either meanwhile, so
 * that of two orders at once one is decided again with the other in place -> 200 with what is
 * pending. An order for a member whose removal is under way answers the same and changes nothing.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/deal_ready.h"
#include "service/cluster/deal_view.h"
#include "service/cluster/hub.h"
#include "store/store.h"

#define REMOVAL_ROUNDS_MAX 8

struct order {
    struct service *service;
    struct exchange *exchange; /* NULL: its successor is here (replace.c), nobody waits */
    uint8_t node_id[NODE_ID_BYTES];
    char name[NODE_NAME_BYTES_MAX + 1];
    bool reencrypt;
    unsigned rounds;
};

/* --- may it be? ------------------------------------------------------------------------------ */

/* The members that would stay. */
struct rest {
    unsigned members_n, live_n, say_n, voters_n, voters_live_n, heirs_n;
    unsigned holders_n; /* who have a part in the deal in use */
    char away[512];     /* who is not there, and why */
};

static void rest_away(const struct cluster *cluster, const struct hub_member *member,
                      struct rest *rest)
{
    size_t len = strlen(rest->away);

    snprintf(rest->away + len, sizeof(rest->away) - len, "%s%s %s", len > 0 ? ", " : "",
             member->info.name,
             hub_is_suspended(cluster, member->node_id)  ? "is suspended"
             : hub_is_replaced(cluster, member->node_id) ? "is being replaced"
                                                         : "is away");
}

/* One that another takes the place of may have wiped its disk a moment ago: it helps nobody. */
static bool may_help(const struct cluster *cluster, const uint8_t *node_id)
{
    return hub_may_help(cluster, node_id) && !hub_is_suspended(cluster, node_id) &&
           !hub_is_replaced(cluster, node_id);
}

static void rest_count(const struct cluster *cluster, const struct hub_member *leaves,
                       struct rest *rest)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t raft_n = consensus_members(cluster->service->consensus, raft, CONSENSUS_MEMBERS_MAX);

    memset(rest, 0, sizeof(*rest));
    rest->say_n = hub_say_n(cluster, leaves);
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);
        bool live = may_help(cluster, member->node_id);

        if (member->version == 0 || member == leaves || member->info.state != MEMBER_ACTIVE)
            continue;
        rest->members_n++;
        rest->live_n += live;
        rest->holders_n +=
            hub_in_record(cluster, member->node_id) && !hub_is_replaced(cluster, member->node_id);
        if (!live)
            rest_away(cluster, member, rest);
        for (size_t k = 0; k < raft_n; k++)
            if (raft[k].id == member->info.raft_id && raft[k].voter) {
                rest->voters_n++;
                rest->voters_live_n += live;
                rest->heirs_n += live && peer != NULL && peer->hello.state == SEAL_UNSEALED;
            }
    }
}

/* Of the deal in use, which has to be opened until there is another, and of that one. */
static unsigned rest_quorum(const struct cluster *cluster, const struct rest *rest)
{
    return hub_unseal_quorum(cluster,
                             rest->say_n > rest->members_n ? rest->say_n : rest->members_n);
}

/* Of a deal with a new MK that is under way or wanted; false: none stands against it. */
static bool is_pending(const struct cluster *cluster, const struct hub_member *leaves,
                       char *ret_reason)
{
    bool fresh = cluster->record != NULL && !hub_is_final(cluster) && cluster->deal_info.new_mk;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        if (member == leaves || member->info.state != MEMBER_LEAVING ||
            !hub_in_record(cluster, member->node_id))
            continue;
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "the removal of %s has just begun: order this one when that is done",
                 member->info.name);
        return true;
    }
    if (!fresh || dealing_awaits_ack(&cluster->dealing, leaves->node_id))
        return false;
    /* A rotation that waits for nobody but who is away: the removal's own deal finishes it, too. */
    if (cluster->removal.n == 0 && !dealing_awaits_present(&cluster->dealing))
        return false;
    snprintf(ret_reason, CLUSTER_REASON_BYTES,
             "a deal with a new master key is not final yet: order this removal when it is, or "
             "remove the members that it waits for ('quorumkeep node list' names them)");
    return true;
}

/* Too few would be left to open anything, or to agree on anything. */
static bool locks_out(const struct cluster *cluster, const struct hub_member *leaves,
                      const struct rest *rest, char *ret_reason)
{
    unsigned quorum = rest_quorum(cluster, rest);
    unsigned least = cluster->info.threshold > quorum ? cluster->info.threshold : quorum;

    if (rest->members_n < 2)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s cannot be removed: a single member opens nothing; let another node join "
                 "first, or begin anew with 'quorumkeep recover --new-cluster'",
                 leaves->info.name);
    else if (rest->members_n < cluster->info.threshold)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s cannot be removed: the threshold is %u, and %u would stay; lower the "
                 "threshold or let another node join first",
                 leaves->info.name, cluster->info.threshold, rest->members_n);
    else if (cluster->record != NULL && rest->holders_n < cluster->record->t)
        snprintf(
            ret_reason, CLUSTER_REASON_BYTES,
            "%s cannot be removed now: the deal in use opens with %zu members, and %u of those "
            "who stay have a part in it; order this again when a new deal is made "
            "('quorumkeep master refresh')",
            leaves->info.name, cluster->record->t, rest->holders_n);
    else if (rest->members_n < cluster->info.unseal_quorum)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s cannot be removed: the unseal quorum is %u, and %u would stay; lower it or "
                 "let another node join first",
                 leaves->info.name, cluster->info.unseal_quorum, rest->members_n);
    else if (rest->live_n < least)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s cannot be removed now: %u of those who stay must be there to open the new "
                 "deal, and %u are (%s)",
                 leaves->info.name, least, rest->live_n, rest->away);
    else if (rest->voters_live_n < rest->voters_n / 2 + 1)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s cannot be removed now: without it %u of %u voters are there, which is no "
                 "majority (%s)",
                 leaves->info.name, rest->voters_live_n, rest->voters_n, rest->away);
    else if (hub_is_self(cluster, leaves->node_id) && rest->heirs_n == 0)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "%s leads, and no other voter is unsealed that could take over",
                 leaves->info.name);
    else
        return false;
    return true;
}

static bool has_foreign_keyslot(const struct cluster *cluster, char *ret_reason)
{
    for (size_t i = 0; cluster->record != NULL && i < cluster->record->keyslots_n; i++) {
        unsigned type = cluster->record->keyslots[i].type;

        if (type == DEAL_KEYSLOT_CLUSTER || type == DEAL_KEYSLOT_RECOVERY)
            continue;
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "the deal has a keyslot of type %u, which this version cannot wrap for a new "
                 "master key: remove that keyslot first",
                 type);
        return true;
    }
    return false;
}

bool hub_fresh_objection(const struct cluster *cluster, const struct hub_member *leaves,
                         char *ret_reason)
{
    struct rest rest;

    rest_count(cluster, leaves, &rest);
    if (leaves != NULL)
        return is_pending(cluster, leaves, ret_reason) ||
               has_foreign_keyslot(cluster, ret_reason) ||
               locks_out(cluster, leaves, &rest, ret_reason);
    if (has_foreign_keyslot(cluster, ret_reason))
        return true;
    if (rest.live_n >= cluster->record->t && rest.live_n >= 2 &&
        rest.live_n >= rest_quorum(cluster, &rest))
        return false;
    snprintf(ret_reason, CLUSTER_REASON_BYTES,
             "too few members are there to open a deal with a new master key (%s)", rest.away);
    return true;
}

/* --- the order ------------------------------------------------------------------------------- */

static void order_end(struct order *order)
{
    if (order->exchange == NULL)
        order->service->cluster->replacing = false;
    free(order);
}

static const char *order_by(const struct order *order)
{
    return order->exchange != NULL ? order->exchange->from : "its successor";
}

static void order_refuse(struct order *order, const char *reason)
{
    if (order->exchange == NULL) { /* it is tried again until it may be */
        order_end(order);
        return;
    }
    audit_event(order->service->audit, "removal_refused", "name", order->name, "by",
                order_by(order), "why", reason, NULL);
    exchange_reply_error(order->exchange, 409, "refused", "%s", reason);
    order_end(order);
}

static void order_fail(struct order *order, enum qk_err err)
{
    if (order->exchange != NULL)
        exchange_reply_err(order->exchange, err);
    order_end(order);
}

static void order_reply(struct order *order)
{
    if (order->exchange != NULL)
        exchange_reply_json(order->exchange, 200, deal_view_json(order->service->cluster));
    order_end(order);
}

static void order_round(struct order *order);

static void order_applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct order *order = arg;
    struct cluster *cluster = order->service->cluster;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (cluster->stopped)
        err = QK_ERR_CLOSED;
    else
        hub_refresh(cluster);
    if (err == QK_ERR_CONFLICT && ++order->rounds < REMOVAL_ROUNDS_MAX) {
        order_round(order);
        return;
    }
    if (err != QK_OK) {
        order_fail(order, err);
        return;
    }
    audit_event(order->service->audit, "removal_begun", "name", order->name, "by", order_by(order),
                NULL);
    order_reply(order);
}

static void put_removal(const struct order *order, struct wire_command *command, struct buf *value)
{
    const struct cluster *cluster = order->service->cluster;
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REMOVAL);
    struct system_removal *removal = calloc(1, sizeof(*removal));
    struct system_removed *entry;

    buf_reset(value);
    if (removal == NULL || cluster->removal.n == NODES_MAX) {
        free(removal);
        return;
    }
    *removal = cluster->removal;
    removal->reencrypt = (cluster->removal_version > 0 && removal->reencrypt) || order->reencrypt;
    entry = &removal->list[removal->n++];
    memcpy(entry->node_id, order->node_id, NODE_ID_BYTES);
    snprintf(entry->name, sizeof(entry->name), "%s", order->name);
    entry->begun_s = (uint64_t)time(NULL);
    system_removal_encode(removal, value);
    wire_command_put(command, record_key_bytes(&key), cluster->removal_version + 1, 0,
                     buf_bytes(value));
    free(removal);
}

static enum qk_err order_command(const struct order *order, const struct hub_member *member,
                                 struct wire_command *command)
{
    struct cluster *cluster = order->service->cluster;
    struct record_key key = record_member(order->node_id);
    struct record_key settings = record_system(RECORD_SYS, RECORD_CLUSTER);
    struct record_key next = record_system(RECORD_SYS, RECORD_NEXT);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member info = member->info;
    enum qk_err err;

    info.state = MEMBER_LEAVING;
    system_member_encode(&info, &value);
    wire_command_batch(command);
    wire_command_cond(command, record_key_bytes(&settings), hub_version_of(cluster, &settings));
    /* Each admission changes it: one may let another member give up what it is. */
    wire_command_cond(command, record_key_bytes(&next), hub_version_of(cluster, &next));
    wire_command_put(command, record_key_bytes(&key), member->version + 1, 0, buf_bytes(&value));
    put_removal(order, command, &value);
    err = value.len == 0 ? QK_ERR_TOO_BIG : buf_error(&value);
    buf_fini(&value);
    return err;
}

static void order_submit(struct order *order, const struct hub_member *member)
{
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    wire_command_begin(&command, WIRE_MEMBER);
    err = order_command(order, member, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(order->service->consensus, bytes, order_applied, order);
    wire_command_fini(&command);
    if (err != QK_OK)
        order_fail(order, err);
}

static bool is_listed(const struct cluster *cluster, const char *name)
{
    for (unsigned i = 0; i < cluster->removal.n; i++)
        if (strcmp(cluster->removal.list[i].name, name) == 0)
            return true;
    return false;
}

/* By name or by id. Of two with one name, one of which replaces the other, the one that leaves. */
static struct hub_member *member_named(struct cluster *cluster, const char *name)
{
    struct hub_member *found = NULL;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        struct hub_member *member = &cluster->members[i];
        char id[2 * NODE_ID_BYTES + 1];

        hex_encode(member->node_id, NODE_ID_BYTES, id);
        if (member->version > 0 &&
            (strcmp(member->info.name, name) == 0 || strcmp(id, name) == 0) &&
            (found == NULL || member->info.state == MEMBER_LEAVING))
            found = member;
    }
    return found;
}

static void order_round(struct order *order)
{
    struct cluster *cluster = order->service->cluster;
    struct hub_member *member = member_named(cluster, order->name);
    char reason[CLUSTER_REASON_BYTES];

    if (!deal_may_order(order->service)) {
        order_fail(order, QK_ERR_NOT_LEADER);
        return;
    }
    /* By name it is the one whose removal is pending, also when a new node has that name. */
    if (is_listed(cluster, order->name) ||
        (member != NULL && member->info.state == MEMBER_LEAVING)) {
        order_reply(order);
        return;
    }
    if (member == NULL && order->exchange == NULL) {
        order_end(order);
        return;
    }
    if (member == NULL) {
        exchange_reply_error(order->exchange, 404, "not_found",
                             "no member is called '%s': see 'quorumkeep node list'", order->name);
        order_end(order);
        return;
    }
    memcpy(order->node_id, member->node_id, NODE_ID_BYTES);
    snprintf(order->name, sizeof(order->name), "%s", member->info.name);
    if (hub_fresh_objection(cluster, member, reason))
        order_refuse(order, reason);
    else
        order_submit(order, member);
}

/* --- the request ----------------------------------------------------------------------------- */

static bool body_read(struct exchange *exchange, bool *ret_reencrypt)
{
    struct bytes body = exchange->request.body;
    json_t *json, *value;
    bool good;

    *ret_reencrypt = true;
    if (body.len == 0)
        return true;
    json = json_loadb((const char *)body.data, body.len, 0, NULL);
    value = json_object_get(json, "reencrypt");
    good = json_is_object(json) && (value == NULL || json_is_boolean(value));
    if (good && value != NULL)
        *ret_reencrypt = json_is_true(value);
    json_decref(json);
    if (!good)
        exchange_reply_error(exchange, 400, "bad_request", "\"reencrypt\" is true or false");
    return good;
}

static void remove_node(struct service *service, struct exchange *exchange)
{
    struct bytes name = exchange->request.segments[2];
    struct order *order;
    bool reencrypt;

    if (!body_read(exchange, &reencrypt))
        return;
    if (name.len > NODE_NAME_BYTES_MAX) {
        exchange_reply_err(exchange, QK_ERR_NOT_FOUND);
        return;
    }
    order = calloc(1, sizeof(*order));
    if (order == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    order->service = service;
    order->exchange = exchange;
    order->reencrypt = reencrypt;
    memcpy(order->name, name.data, name.len);
    order_round(order);
}

void handle_node_remove(struct service *service, struct exchange *exchange)
{
    deal_when_ready(service, exchange, remove_node);
}

void hub_removal_begin(struct cluster *cluster, const struct hub_member *member)
{
    struct order *order;

    if (cluster->replacing)
        return;
    order = calloc(1, sizeof(*order));
    if (order == NULL)
        return;
    cluster->replacing = true;
    order->service = cluster->service;
    order->reencrypt = true;
    hex_encode(member->node_id, NODE_ID_BYTES, order->name);
    order_round(order);
}
