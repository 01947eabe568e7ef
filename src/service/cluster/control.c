/* What operators have ordered of the whole cluster: the record of hold and suspensions as applied
 * here, and how the seal machine is told.
 *
 * A change of it may lie in this node's log and not yet in its store when it starts: committed or
 * not, nobody here can say before a leader does. Two nodes that both stand so, after a power loss,
 * would meet and open each other before there is a leader; so such a node counts itself as held,
 * and tells its peers that it knows of one change more than it has applied. */
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "store/store.h"

static void audit_changes(struct cluster *cluster, const struct system_control *next)
{
    char name[NODE_NAME_BYTES_MAX + 1];

    if (next->hold != cluster->control.hold)
        audit_event(cluster->service->audit, next->hold ? "hold" : "unhold", NULL);
    for (unsigned i = 0; i < next->suspended_n; i++)
        if (!system_is_suspended(&cluster->control, next->suspended[i])) {
            hub_node_text(cluster, next->suspended[i], name, sizeof(name));
            audit_event(cluster->service->audit, "suspended", "name", name, NULL);
        }
    for (unsigned i = 0; i < cluster->control.suspended_n; i++)
        if (!system_is_suspended(next, cluster->control.suspended[i])) {
            hub_node_text(cluster, cluster->control.suspended[i], name, sizeof(name));
            audit_event(cluster->service->audit, "resumed", "name", name, NULL);
        }
}

void hub_control_read(struct cluster *cluster)
{
    struct system_control next;
    struct record record;

    hub_control_settle(cluster);
    if (!hub_sys_get(cluster, RECORD_CONTROL, &record) ||
        record.version == cluster->control_version)
        return;
    if (system_control_decode(record.value, &next) != QK_OK) {
        /* Closed rather than open: an unhold writes it anew. */
        log_error("cluster", "store.mdb: the record of hold and suspensions is damaged");
        next = cluster->control;
        next.hold = true;
        next.hold_number = record.version;
    }
    audit_changes(cluster, &next);
    if (next.hold != cluster->control.hold)
        log_warn("cluster", next.hold ? "the cluster is on hold" : "the hold is lifted");
    cluster->control = next;
    cluster->control_version = record.version;
    cluster->peers_dirty = true;
}

static unsigned quorum_setting(const struct cluster *cluster)
{
    return cluster->has_settings ? cluster->info.unseal_quorum : 2;
}

unsigned hub_unseal_quorum(const struct cluster *cluster, unsigned members_n)
{
    return release_quorum(quorum_setting(cluster), members_n);
}

bool hub_in_record(const struct cluster *cluster, const uint8_t *node_id)
{
    size_t i;

    return cluster->record != NULL && deal_record_find(cluster->record, node_id, &i) == QK_OK;
}

unsigned hub_say_n(const struct cluster *cluster, const struct hub_member *without)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        n += member != without && member->info.state != MEMBER_LEAVING &&
             hub_in_record(cluster, member->node_id);
    }
    return n;
}

bool hub_is_suspended(const struct cluster *cluster, const uint8_t *node_id)
{
    return system_is_suspended(&cluster->control, node_id);
}

static unsigned release_limit(const struct cluster *cluster)
{
    if (cluster->has_settings && cluster->info.release_limit > 0)
        return cluster->info.release_limit;
    return cluster->settings.release_limit > 0 ? cluster->settings.release_limit
                                               : RELEASE_LIMIT_DEFAULT;
}

void hub_control_fill(const struct cluster *cluster, struct seal_config *config)
{
    bool pending = cluster->control_pending > 0;

    config->unseal_quorum = quorum_setting(cluster);
    config->release_limit = release_limit(cluster);
    config->control = cluster->control_version + (pending ? 1 : 0);
    config->hold_number = cluster->control.hold_number;
    config->hold = cluster->control.hold || pending ? RELEASE_FAIL : RELEASE_PASS;
    for (unsigned i = 0; i < config->members_n; i++)
        config->members[i].suspended =
            hub_is_suspended(cluster, config->members[i].node_id) ? RELEASE_FAIL : RELEASE_PASS;
}

/* --- what the log held at the start ---------------------------------------------------------- */

void cluster_control_pending(struct cluster *cluster, uint64_t index)
{
    cluster->control_pending = index;
    cluster->peers_dirty = true;
    log_warn("cluster", "the log ends with a change of hold or suspensions that may be in force: "
                        "closed until a majority of the members has settled it");
}

void hub_control_settle(struct cluster *cluster)
{
    if (cluster->control_pending == 0 || cluster->service->consensus == NULL ||
        consensus_applied(cluster->service->consensus) < cluster->control_pending)
        return;
    cluster->control_pending = 0;
    cluster->peers_dirty = true;
    hub_refresh_soon(cluster);
}

/* --- changes --------------------------------------------------------------------------------- */

enum qk_err hub_control_propose(struct cluster *cluster, const struct system_control *next,
                                consensus_submit_cb cb, void *arg)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CONTROL);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    system_control_encode(next, &value);
    wire_command_begin(&command, WIRE_HOLD);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), cluster->control_version + 1, 0,
                     buf_bytes(&value));
    err = buf_error(&value);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, cb, arg);
    wire_command_fini(&command);
    buf_fini(&value);
    return err;
}
