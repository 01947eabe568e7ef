/* Snapshots between the node's own parts: consensus asks, the link carries, the store reads and is
 * swapped. */
#include <string.h>

#include "consensus/consensus.h"
#include "link/link.h"
#include "node/node.h"
#include "node/transfer_uv.h"
#include "service/integrity/integrity.h"
#include "store/store.h"

static enum qk_err wire_send(void *arg, const uint8_t node_id[NODE_ID_BYTES],
                             const struct bytes *parts, size_t parts_n)
{
    struct node *node = arg;

    if (node->service.link == NULL)
        return QK_ERR_CLOSED;
    return link_send(node->service.link, node_id, LINK_SNAPSHOT, parts, parts_n);
}

static void wire_sent(void *arg, uint64_t peer, struct bytes token, enum qk_err err)
{
    struct node *node = arg;

    consensus_snapshot_sent(node->service.consensus, peer, token, err);
}

static void wire_installed(void *arg, enum qk_err err)
{
    struct node *node = arg;

    consensus_snapshot_installed(node->service.consensus, err, store_applied(node->service.store));
}

static bool wire_gives(void *arg, uint64_t index)
{
    return restore_gives(arg, index);
}

static void wire_restored(void *arg, enum qk_err err)
{
    restore_installed(arg, err);
}

static bool wire_may_swap(void *arg)
{
    struct node *node = arg;

    bool free = backups_let_go(node->service.backups, QK_ERR_BUSY, NULL, NULL);

    return integrity_let_go(node->service.integrity, NULL, NULL) && free;
}

static uint64_t wire_commands(void *arg)
{
    const struct node *node = arg;
    struct consensus_stats stats;

    consensus_stats(node->service.consensus, &stats);
    return stats.commands_n;
}

enum qk_err transfer_new(struct node *node, struct transfer **ret_transfer)
{
    struct transfer_config config = {.loop = &node->loop,
                                     .store = node->service.store,
                                     .arg = node,
                                     .send = wire_send,
                                     .sent = wire_sent,
                                     .installed = wire_installed,
                                     .gives = wire_gives,
                                     .restored = wire_restored,
                                     .may_swap = wire_may_swap,
                                     .commands = wire_commands};

    return transfer_create(&config, ret_transfer);
}

static void consensus_wants_send(void *arg, uint64_t peer, struct bytes token)
{
    struct node *node = arg;
    uint8_t node_id[NODE_ID_BYTES];

    /* Of a peer whose record is not applied yet nothing is known: the id stays zero, the offer goes
     * nowhere, and the stream ends in a while as for one that is away; consensus asks again. */
    if (cluster_node_of_raft(node->service.cluster, peer, node_id) != QK_OK)
        memset(node_id, 0, sizeof node_id);
    transfer_send(node->transfer, node_id, peer, token);
}

static bool consensus_asks_staged(void *arg, struct bytes token)
{
    struct node *node = arg;

    return node->transfer != NULL && transfer_staged(node->transfer, token);
}

static void consensus_wants_install(void *arg, struct bytes token)
{
    struct node *node = arg;

    transfer_install(node->transfer, token);
}

void transfer_consensus_callbacks(struct consensus_config *config)
{
    config->snapshot_send = consensus_wants_send;
    config->snapshot_staged = consensus_asks_staged;
    config->snapshot_install = consensus_wants_install;
}
