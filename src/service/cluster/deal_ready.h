/* May an order about deals (rotate, refresh, remove) be taken now? */
#ifndef SERVICE_CLUSTER_DEAL_READY_H
#define SERVICE_CLUSTER_DEAL_READY_H

#include "service/exchange.h"
#include "service/cluster/hub.h"

/* The leader, unsealed with the keys in force, all of its predecessors' entries applied. */
bool deal_may_order(const struct service *service);
/* Calls `order` once it may be, within this call or from the loop after a bounded time. Else the
 * exchange is answered with why not, and nothing was changed. */
void deal_when_ready(struct service *service, struct exchange *exchange,
                     void (*order)(struct service *service, struct exchange *exchange));

#endif
