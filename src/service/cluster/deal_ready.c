/* An order that comes while its leader was just elected, or while a new master key was dealt that
 * this node has not opened yet, is one that came a moment too early: a deal can be final, and so
 * look done, before the leader has opened it. It waits for that, as a write does, in place of
 * being refused. */
#include "service/cluster/deal_ready.h"

#include <stdlib.h>

#include "consensus/consensus.h"
#include "service/keys_current.h"

#define ROUNDS_MAX 4 /* a read point, the keys; and either again */

struct order_wait {
    struct service *service;
    struct exchange *exchange;
    void (*order)(struct service *service, struct exchange *exchange);
    unsigned rounds;
};

static bool is_settled(const struct service *service)
{
    const struct cluster *cluster = service->cluster;

    return cluster->has_settings && cluster->leader_term == consensus_term(service->consensus);
}

bool deal_may_order(const struct service *service)
{
    const struct cluster *cluster = service->cluster;

    return cluster_is_leader(cluster) && is_settled(service) &&
           cluster->seal.state == SEAL_UNSEALED && service->keyring != NULL &&
           keys_are_current(service);
}

/* False: answered, with what no waiting changes. */
static bool can_come_to_it(struct service *service, struct exchange *exchange)
{
    char reason[CLUSTER_REASON_BYTES];

    if (service->cluster->stopped)
        exchange_reply_err(exchange, QK_ERR_CLOSED);
    else if (service->node_sec == NULL)
        exchange_reply_err(exchange, QK_ERR_UNINITIALISED);
    else if (service->keyring == NULL || service->cluster->seal.state != SEAL_UNSEALED) {
        service_closed_reason(service, reason, sizeof(reason));
        exchange_reply_error(exchange, 503, "sealed", "%s", reason);
    } else if (!cluster_is_leader(service->cluster))
        exchange_reply_err(exchange, QK_ERR_NOT_LEADER);
    else
        return true;
    return false;
}

static void too_early(const struct service *service, struct exchange *exchange)
{
    exchange_field(exchange, "Retry-After", "1");
    exchange_reply_error(exchange, 503, "busy", "%s",
                         is_settled(service)
                             ? "a new master key was dealt and this node has not opened it yet; "
                               "nothing was changed, try again"
                             : "a leader was just elected; nothing was changed, try again");
}

static void round_begin(struct order_wait *wait);

/* What waited in vain is not waited for again. */
static void waited(struct order_wait *wait, enum qk_err err)
{
    if (err != QK_OK)
        wait->rounds = ROUNDS_MAX;
    round_begin(wait);
}

static void keys_waited(void *arg, enum qk_err err)
{
    waited(arg, err);
}

static void point_waited(void *arg, enum qk_err err, uint64_t index)
{
    (void)index;
    waited(arg, err);
}

static enum qk_err round_wait(struct order_wait *wait)
{
    struct service *service = wait->service;

    return is_settled(service)
               ? keys_wait(service, keys_waited, wait)
               : consensus_read(service->consensus, HUB_READ_MS, point_waited, wait);
}

/* Ends `wait`, or has it called again. */
static void round_begin(struct order_wait *wait)
{
    struct order_wait it = *wait;

    if (!can_come_to_it(it.service, it.exchange)) {
        free(wait);
    } else if (deal_may_order(it.service)) {
        free(wait);
        it.order(it.service, it.exchange);
    } else if (wait->rounds++ == ROUNDS_MAX || round_wait(wait) != QK_OK) {
        free(wait);
        too_early(it.service, it.exchange);
    }
}

void deal_when_ready(struct service *service, struct exchange *exchange,
                     void (*order)(struct service *service, struct exchange *exchange))
{
    struct order_wait *wait = calloc(1, sizeof(*wait));

    if (wait == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *wait = (struct order_wait){.service = service, .exchange = exchange, .order = order};
    round_begin(wait);
}
