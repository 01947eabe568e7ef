/* Whose directory it is: node.sec, the store and the members file must be of one cluster. A file of
 * another one was copied here by mistake, or the configuration names the wrong directory; going on
 * would mix two clusters' records. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "consensus/consensus.h"
#include "node/node.h"
#include "service/cluster/members_file.h"
#include "store/store.h"
#include "wire/records.h"

#define LOCAL_NAME "cluster"

/* From the node-local fact, or, in a directory made before there was one, the cluster's record. */
static bool owner_of_store(struct store *store, uint8_t ret_id[static CLUSTER_ID_BYTES])
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CLUSTER);
    struct system_cluster info;
    struct record record;
    struct bytes value;

    if (store_local_get(store, LOCAL_NAME, &value) == QK_OK && value.len == CLUSTER_ID_BYTES) {
        memcpy(ret_id, value.data, CLUSTER_ID_BYTES);
        return true;
    }
    if (store_get(store, record_key_bytes(&key), &record) != QK_OK ||
        system_cluster_decode(record.value, &info) != QK_OK)
        return false;
    memcpy(ret_id, info.id, CLUSTER_ID_BYTES);
    return true;
}

static bool owner_of_members(const char *data_dir, uint8_t ret_id[static CLUSTER_ID_BYTES])
{
    struct member_facts *facts = calloc(1, sizeof *facts);
    bool known = facts != NULL && members_file_load(data_dir, facts) == QK_OK;

    if (known)
        memcpy(ret_id, facts->cluster_id, CLUSTER_ID_BYTES);
    free(facts);
    return known;
}

enum qk_err owner_check(struct node *node, char *ret_reason)
{
    const struct service *service = &node->service;
    uint8_t owner[CLUSTER_ID_BYTES];
    char theirs[2 * CLUSTER_ID_BYTES + 1], ours[sizeof theirs];
    bool known = owner_of_store(service->store, owner);

    if (!known && !owner_of_members(service->data_dir, owner))
        memcpy(owner, service->cluster_id, sizeof owner);
    if (memcmp(owner, service->cluster_id, sizeof owner) == 0)
        return known ? QK_OK
                     : store_local_put(service->store, LOCAL_NAME, bytes_of(owner, sizeof owner),
                                       NULL, NULL);
    hex_encode(owner, sizeof owner, theirs);
    hex_encode(service->cluster_id, sizeof owner, ours);
    snprintf(ret_reason, CLUSTER_REASON_BYTES,
             "data dir: '%.200s' belongs to cluster %.8s…, not %.8s… as its node.sec says: start "
             "with an empty directory or the right --data",
             service->data_dir, theirs, ours);
    return QK_ERR_FOREIGN;
}

/* Whoever forgot term and vote may not vote under the same id again: that could elect two leaders
 * of one term, or lose what was acknowledged. */
enum qk_err owner_check_log(struct node *node, char *ret_reason)
{
    const struct service *service = &node->service;
    uint8_t owner[CLUSTER_ID_BYTES];

    if (!consensus_is_empty(service->consensus) ||
        (store_applied(service->store) == 0 && !owner_of_members(service->data_dir, owner)))
        return QK_OK;
    snprintf(
        ret_reason, CLUSTER_REASON_BYTES,
        "'%.200s/raft' is gone, and with it the votes of this node: wipe the directory and join "
        "it again",
        service->data_dir);
    return QK_ERR_CORRUPT;
}
