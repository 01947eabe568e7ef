/* The members as the rest of the process sees them. */
#include <stdio.h>
#include <string.h>

#include "link/link.h"
#include "service/cluster/hub.h"

static void put_self(const struct service *service, struct cluster_peer *ret_peer)
{
    *ret_peer = (struct cluster_peer){.self = true};
    memcpy(ret_peer->node_id, service->node_id, NODE_ID_BYTES);
    (void)snprintf(ret_peer->name, sizeof(ret_peer->name), "%s", service->node_name);
}

unsigned cluster_peers(const struct cluster *cluster,
                       struct cluster_peer ret_peers[static NODES_MAX])
{
    const struct service *service = cluster->service;
    unsigned n = 1;

    put_self(service, &ret_peers[0]);
    for (unsigned i = 0; i < cluster->members_n && n < NODES_MAX; i++) {
        const struct hub_member *member = &cluster->members[i];
        struct cluster_peer *peer = &ret_peers[n];

        if (hub_is_self(cluster, member->node_id)) {
            (void)snprintf(ret_peers[0].name, sizeof(ret_peers[0].name), "%s", member->info.name);
            continue;
        }
        *peer = (struct cluster_peer){.connected = service->link != NULL &&
                                                   link_is_up(service->link, member->node_id)};
        memcpy(peer->node_id, member->node_id, NODE_ID_BYTES);
        (void)snprintf(peer->name, sizeof(peer->name), "%s", member->info.name);
        n++;
    }
    return n;
}
