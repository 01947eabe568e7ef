/* What the log holds of hold and suspensions, and the store not yet: see service/cluster/control.c.
 */
#include "consensus/consensus.h"
#include "node/node.h"
#include "store/store.h"
#include "wire/command.h"

static bool is_control(struct bytes command)
{
    struct wire_reader reader;

    return wire_reader_open(command, &reader) == QK_OK && reader.kind == WIRE_HOLD;
}

void control_find(struct node *node)
{
    uint64_t index = consensus_find_unapplied(node->service.consensus,
                                              store_applied(node->service.store), is_control);

    if (index > 0)
        cluster_control_pending(node->service.cluster, index);
}
