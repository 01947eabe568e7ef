/* `node rejoin --wipe`: this node gives up its identity and comes back as a new one. The cluster is
 * asked first, with a token that replaces it; only its answer has node.sec, log and store wiped
 * (joiner.c). Killed before that, nothing has changed; killed after that, the directory is blank at
 * the next start, and `node join` with another token goes on. */
#include <string.h>

#include "base/encode.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"

static bool wipe_is_meant(struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json = body.len > 0 ? json_loadb((const char *)body.data, body.len, 0, NULL) : NULL;
    bool meant = json_is_true(json_object_get(json, "wipe"));

    json_decref(json);
    if (!meant)
        exchange_reply_error(exchange, 400, "bad_request",
                             "rejoining wipes this node's identity, log and store: say "
                             "\"wipe\":true (node rejoin --wipe)");
    return meant;
}

void handle_rejoin(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    char node[2 * NODE_ID_BYTES + 1];

    if (cluster->init != NULL || cluster->joiner != NULL || cluster->discarding) {
        exchange_reply_error(exchange, 503, "busy",
                             "an init or join of this node is under way: try again");
        return;
    }
    if (service->node_sec == NULL || !cluster->booted) {
        exchange_reply_error(exchange, 409, "conflict",
                             "this node is in no cluster: 'quorumkeep node join' is enough");
        return;
    }
    if (cluster->seal.state == SEAL_UNSEALED) {
        exchange_reply_error(exchange, 409, "conflict",
                             "this node is open and in good standing: 'quorumkeep seal' it first, "
                             "if it really is to be wiped");
        return;
    }
    if (!wipe_is_meant(exchange))
        return;
    hex_encode(service->node_id, NODE_ID_BYTES, node);
    audit_event(service->audit, "rejoin", "node", node, "by", exchange->from, NULL);
    hub_joiner_start(cluster, exchange, true);
}
