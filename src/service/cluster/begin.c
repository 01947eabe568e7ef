/* What init and join ask first: whether this node, with what its directory holds, may begin. */
#include "base/encode.h"
#include "service/cluster/hub.h"

bool hub_may_begin(struct cluster *cluster, struct exchange *exchange,
                   bool (*is_unfinished)(const struct cluster *cluster), const char *what,
                   const char *purpose)
{
    char reason[CLUSTER_REASON_BYTES];
    char id[2 * CLUSTER_ID_BYTES + 1];

    if (cluster->init != NULL || cluster->joiner != NULL || cluster->discarding) {
        exchange_reply_error(exchange, 503, "busy",
                             "an init or join of this node is under way: try again");
        return false;
    }
    if (cluster->service->node_sec == NULL && hub_dir_is_clear(cluster, reason))
        return true;
    if (cluster->service->node_sec == NULL) {
        exchange_reply_error(exchange, 409, "conflict", "%s", reason);
        return false;
    }
    if (is_unfinished(cluster)) {
        hub_discard(cluster, HUB_NO_DEAL);
        exchange_reply_error(exchange, 503, "busy",
                             "the unfinished %s of this node is being removed: try again", what);
        return false;
    }
    hex_encode(cluster->service->cluster_id, CLUSTER_ID_BYTES, id);
    exchange_reply_error(exchange, 409, "conflict",
                         "this node belongs to cluster %s already: start with an empty data "
                         "directory to %s",
                         id, purpose);
    return false;
}
