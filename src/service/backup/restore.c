/* The hub of a node whose store was lost: until it is whole again (node/restore.c), the records are
 * not what the cluster has applied, so nothing is concluded from them: no deal, no generation, no
 * opening, no member. Links go by <data>/members. Then everything is read anew. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/cluster/hub.h"
#include "service/cluster/members_file.h"
#include "store/store.h"

void cluster_restore_begin(struct cluster *cluster, const char *text)
{
    cluster->restoring = true;
    cluster_restore_note(cluster, text);
}

void cluster_restore_note(struct cluster *cluster, const char *text)
{
    snprintf(cluster->restore_text, sizeof(cluster->restore_text), "%s", text);
}

bool cluster_is_restoring(const struct cluster *cluster)
{
    return cluster->restoring;
}

static void restored(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;

    if (err != QK_OK || cluster->stopped || !cluster->booted)
        return;
    hub_members_restored(cluster);
    hub_refresh(cluster);
    cluster_consensus_changed(cluster);
}

/* What changes from now on is told by the watches; what was applied before is read from the file,
 * once it is there. */
void cluster_restore_end(struct cluster *cluster)
{
    assert(cluster->restoring);
    cluster->restoring = false;
    cluster->leader_term = 0; /* what leadership entails was held back */
    store_flush(cluster->service->store, restored, cluster);
}

void cluster_node_text(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES],
                       char *ret_text, unsigned long size)
{
    hub_node_text(cluster, node_id, ret_text, size);
}

/* --- <data>/members -------------------------------------------------------------------------- */

void hub_members_cached(struct cluster *cluster)
{
    struct member_facts *facts = calloc(1, sizeof(*facts));
    enum qk_err err = QK_ERR_NOMEM;

    if (facts != NULL)
        err = members_file_load(cluster->service->data_dir, facts);
    if (err != QK_OK)
        log_error("cluster", "'%s/members' cannot be used: %s: the peers are not known here",
                  cluster->service->data_dir, qk_err_text(err));
    else if (memcmp(facts->cluster_id, cluster->service->cluster_id, CLUSTER_ID_BYTES) == 0)
        for (unsigned i = 0; i < facts->n; i++)
            hub_member_cached(cluster, facts->list[i].node_id, &facts->list[i].info);
    free(facts);
}

void hub_members_save(const struct cluster *cluster)
{
    struct member_facts *facts = calloc(1, sizeof(*facts));
    enum qk_err err = QK_ERR_NOMEM;

    if (facts != NULL) {
        memcpy(facts->cluster_id, cluster->service->cluster_id, CLUSTER_ID_BYTES);
        for (unsigned i = 0; i < cluster->members_n; i++) {
            if (cluster->members[i].version == 0)
                continue;
            memcpy(facts->list[facts->n].node_id, cluster->members[i].node_id, NODE_ID_BYTES);
            facts->list[facts->n++].info = cluster->members[i].info;
        }
        err = facts->n == 0 ? QK_OK : members_file_save(cluster->service->data_dir, facts);
    }
    if (err != QK_OK)
        log_warn("cluster", "'%s/members' could not be written: %s", cluster->service->data_dir,
                 qk_err_text(err));
    free(facts);
}
