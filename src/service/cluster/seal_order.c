/* `seal --all` and `seal --hold`: an operator's order that goes to every member.
 *
 * This node wipes first: nothing waits for the network. Then every peer that is connected is told
 * (PEER_SEAL_ALL), no quorum needed, and answers once it has wiped (PEER_SEALED). With a hold,
 * whichever node leads writes it to the record of control: Raft works sealed. All who heard of the
 * order want that for HUB_HOLD_MS, so that it does not matter who leads, or is elected meanwhile.
 *
 * The reply names who has sealed and who has not, as soon as all have answered and the hold, if one
 * was ordered, is applied here; else when the time is over. A hold that no majority took in that
 * time is given up and the reply says so: who was reached stays closed until restart or unseal. */
#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"

enum order_answer { ORDER_NOT_CONNECTED, ORDER_ASKED, ORDER_SEALED, ORDER_REFUSED };

struct hub_order {
    struct exchange *exchange;
    uint32_t request;
    bool hold;
    uint64_t hold_number; /* of the newest hold before this one */
    uint64_t answers_until_ms, until_ms;
    unsigned members_n;
    struct {
        uint8_t node_id[NODE_ID_BYTES];
        enum order_answer answer;
    } members[NODES_MAX];
};

/* --- the hold -------------------------------------------------------------------------------- */

static void hold_proposed(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct cluster *cluster = arg;

    (void)index;
    cluster->hold_proposing = false;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err != QK_OK && err != QK_ERR_CLOSED)
        log_warn("cluster", "the hold was not committed: %s", qk_err_text(err));
    if (!cluster->stopped && cluster->booted)
        hub_refresh_soon(cluster); /* another change came first: tried again from what it left */
}

static void hold_propose(struct cluster *cluster)
{
    struct system_control next = cluster->control;

    next.hold = true;
    next.hold_number = cluster->control_version + 1;
    next.hold_since_s = (uint64_t)time(NULL);
    cluster->hold_proposing = hub_control_propose(cluster, &next, hold_proposed, cluster) == QK_OK;
}

static void hold_want(struct cluster *cluster)
{
    cluster->hold_wanted = !cluster->control.hold;
    cluster->hold_wanted_number = cluster->control.hold_number;
    cluster->hold_until_ms = hub_now_ms(cluster) + HUB_HOLD_MS;
}

static void hold_drive(struct cluster *cluster)
{
    const struct consensus *consensus = cluster->service->consensus;

    if (cluster->control.hold || cluster->control.hold_number > cluster->hold_wanted_number ||
        hub_now_ms(cluster) >= cluster->hold_until_ms)
        cluster->hold_wanted = false;
    if (!cluster->hold_wanted || cluster->hold_proposing || consensus == NULL)
        return;
    /* What an earlier leader wrote must be known, or the write would be judged by an old version.
     */
    if (cluster_is_leader(cluster) && cluster->leader_term == consensus_term(consensus))
        hold_propose(cluster);
}

/* --- the reply ------------------------------------------------------------------------------- */

static json_t *order_json(struct cluster *cluster, const struct hub_order *order)
{
    static const char *const why[] = {
        [ORDER_NOT_CONNECTED] = "not connected",
        [ORDER_ASKED] = "no answer",
        [ORDER_REFUSED] = "it has no second member yet and would lose its master key",
    };
    json_t *sealed = json_array(), *rest = json_array();
    char name[NODE_NAME_BYTES_MAX + 1];

    (void)json_array_append_new(sealed, json_string(cluster->service->node_name));
    for (unsigned i = 0; i < order->members_n; i++) {
        hub_node_text(cluster, order->members[i].node_id, name, sizeof(name));
        if (order->members[i].answer == ORDER_SEALED)
            (void)json_array_append_new(sealed, json_string(name));
        else
            (void)json_array_append_new(
                rest, json_pack("{s:s, s:s}", "name", name, "why", why[order->members[i].answer]));
    }
    return json_pack("{s:o, s:o}", "sealed", sealed, "not_sealed", rest);
}

static bool order_is_held(const struct cluster *cluster, const struct hub_order *order)
{
    return cluster->control.hold || cluster->control.hold_number > order->hold_number;
}

static void order_reply(struct cluster *cluster, struct hub_order *order)
{
    bool held = order_is_held(cluster, order);
    json_t *json = order_json(cluster, order);

    if (order->hold)
        (void)json_object_set_new(json, "hold", json_boolean(held));
    if (order->hold && !held) {
        (void)json_object_set_new(json, "error", json_string("no_quorum"));
        (void)json_object_set_new(
            json, "reason",
            json_string("the hold is not committed: no majority of the members could be reached. "
                        "The nodes named as sealed are closed until a restart or 'unseal'; order "
                        "the hold again when a majority is there"));
    }
    exchange_reply_json(order->exchange, order->hold && !held ? 503 : 200, json);
    order->exchange = NULL;
    free(order);
}

static bool order_is_done(const struct cluster *cluster, const struct hub_order *order,
                          uint64_t now_ms)
{
    bool waits = false;

    if (now_ms >= order->until_ms)
        return true;
    for (unsigned i = 0; i < order->members_n; i++)
        waits = waits || order->members[i].answer == ORDER_ASKED;
    if (waits && now_ms < order->answers_until_ms)
        return false;
    return !order->hold || order_is_held(cluster, order);
}

static void orders_look(struct cluster *cluster)
{
    uint64_t now_ms = hub_now_ms(cluster);

    for (unsigned i = 0; i < HUB_ORDERS_MAX; i++) {
        struct hub_order *order = cluster->orders[i];

        if (order == NULL || !order_is_done(cluster, order, now_ms))
            continue;
        cluster->orders[i] = NULL;
        order_reply(cluster, order);
    }
}

static bool leads_sealed(const struct cluster *cluster)
{
    return cluster->service->consensus != NULL && cluster_is_leader(cluster) &&
           cluster->seal.state != SEAL_UNSEALED;
}

void hub_order_tick(void *arg)
{
    struct cluster *cluster = arg;
    bool more;

    if (cluster->stopped || !cluster->booted)
        return;
    hub_control_settle(cluster);
    hold_drive(cluster);
    orders_look(cluster);
    more = cluster->hold_wanted || cluster->control_pending > 0;
    for (unsigned i = 0; i < HUB_ORDERS_MAX; i++)
        more = more || cluster->orders[i] != NULL;
    if (leads_sealed(cluster)) /* until somebody can take over */
        hub_hand_on(cluster);
    if (more)
        timer_start(cluster->order_timer, HUB_ORDER_TICK_MS);
    else if (leads_sealed(cluster))
        timer_start(cluster->order_timer, HUB_TRANSFER_MS);
}

void hub_orders_stop(struct cluster *cluster)
{
    for (unsigned i = 0; i < HUB_ORDERS_MAX; i++) {
        struct hub_order *order = cluster->orders[i];

        cluster->orders[i] = NULL;
        if (order != NULL)
            exchange_reply_err(order->exchange, QK_ERR_CLOSED);
        free(order);
    }
    cluster->hold_wanted = false;
}

/* --- the order ------------------------------------------------------------------------------- */

static enum qk_err seal_self(struct cluster *cluster, bool hold)
{
    struct seal_event event = {.kind = SEAL_EV_SEAL, .for_hold = hold};
    enum qk_err err = hub_may_seal(cluster);

    if (err != QK_OK)
        return err;
    hub_seal(cluster, &event);
    if (hold)
        hold_want(cluster);
    timer_start(cluster->order_timer, 0);
    cluster_consensus_changed(cluster);
    return QK_OK;
}

static void order_ask(struct cluster *cluster, struct hub_order *order)
{
    struct peer_message message = {.kind = PEER_SEAL_ALL};

    message.as.seal_all.request = order->request;
    message.as.seal_all.hold = order->hold;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        unsigned at = order->members_n;

        if (hub_is_self(cluster, member->node_id))
            continue;
        memcpy(order->members[at].node_id, member->node_id, NODE_ID_BYTES);
        order->members_n++;
        if (!member->known || !link_is_up(cluster->service->link, member->node_id))
            continue;
        order->members[at].answer = ORDER_ASKED;
        hub_send(cluster, member->node_id, false, &message);
    }
}

enum qk_err hub_order_start(struct cluster *cluster, struct exchange *exchange, bool hold)
{
    uint64_t hold_number = cluster->control.hold_number;
    struct hub_order *order;
    enum qk_err err = seal_self(cluster, hold);
    unsigned at = 0;

    if (err != QK_OK)
        return err;
    log_warn("seal", "sealed by an operator%s, and all members told", hold ? " for a hold" : "");
    while (at < HUB_ORDERS_MAX && cluster->orders[at] != NULL)
        at++;
    order = at < HUB_ORDERS_MAX ? calloc(1, sizeof(*order)) : NULL;
    if (order == NULL)
        return at < HUB_ORDERS_MAX ? QK_ERR_NOMEM : QK_ERR_BUSY;
    order->exchange = exchange;
    order->hold = hold;
    order->hold_number = hold_number;
    order->request = ++cluster->order_requests;
    order->answers_until_ms = hub_now_ms(cluster) + HUB_ORDER_MS;
    order->until_ms = hub_now_ms(cluster) + (hold ? HUB_HOLD_MS : HUB_ORDER_MS);
    cluster->orders[at] = order;
    order_ask(cluster, order);
    return QK_OK;
}

/* --- at a peer ------------------------------------------------------------------------------- */

static void on_seal_all(struct cluster *cluster, const uint8_t *node_id,
                        const struct peer_seal_all *order)
{
    struct peer_message message = {.kind = PEER_SEALED};
    char name[NODE_NAME_BYTES_MAX + 1];
    enum qk_err err;

    hub_node_text(cluster, node_id, name, sizeof(name));
    if (!cluster_is_trusted(cluster, node_id)) {
        log_warn("seal", "%s orders to seal, but it is suspended or being removed: not heeded",
                 name);
        audit_event(cluster->service->audit, "seal_refused", "by", name, "why",
                    hub_is_suspended(cluster, node_id) ? "suspended" : "leaving", NULL);
        return;
    }
    err = seal_self(cluster, order->hold);
    audit_event(cluster->service->audit, "seal", "scope", order->hold ? "hold" : "all", "by", name,
                NULL);
    log_warn("seal", "sealed by an operator at %s%s", name, order->hold ? " for a hold" : "");
    message.as.sealed.request = order->request;
    message.as.sealed.sealed = err == QK_OK && cluster->mk == NULL;
    hub_send(cluster, node_id, false, &message);
}

static void on_sealed(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_sealed *sealed)
{
    for (unsigned i = 0; i < HUB_ORDERS_MAX; i++) {
        struct hub_order *order = cluster->orders[i];

        if (order == NULL || order->request != sealed->request)
            continue;
        for (unsigned k = 0; k < order->members_n; k++)
            if (memcmp(order->members[k].node_id, node_id, NODE_ID_BYTES) == 0)
                order->members[k].answer = sealed->sealed ? ORDER_SEALED : ORDER_REFUSED;
    }
    orders_look(cluster);
}

void hub_order_message(struct cluster *cluster, const uint8_t *node_id,
                       const struct peer_message *message)
{
    const struct hub_member *member = hub_member_find(cluster, node_id);

    /* A key that is no member's may use the record channel, and no more. */
    if (member == NULL || !member->known)
        return;
    if (message->kind == PEER_SEAL_ALL)
        on_seal_all(cluster, node_id, &message->as.seal_all);
    else
        on_sealed(cluster, node_id, &message->as.sealed);
}
