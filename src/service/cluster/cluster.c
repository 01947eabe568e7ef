#include "service/cluster/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/keys_current.h"
#include "service/period.h"
#include "store/store.h"

uint64_t hub_now_ms(const struct cluster *cluster)
{
    return timer_now_ms(cluster->service->loop);
}

bool hub_has_final(const struct cluster *cluster)
{
    return cluster->final_version > 0 && cluster->deal_version > 0;
}

void hub_store_result(const struct cluster *cluster, enum qk_err err)
{
    const char *what = store_error(cluster->service->store);

    if (err != QK_ERR_CORRUPT)
        return;
    log_error("cluster", "%s", what);
    if (cluster->ops.damaged != NULL)
        cluster->ops.damaged(cluster->ops.arg, what);
}

bool hub_is_final(const struct cluster *cluster)
{
    return cluster->record != NULL && hub_has_final(cluster) &&
           memcmp(cluster->final_deal, cluster->record->deal, DEAL_ID_BYTES) == 0;
}

void hub_node_text(const struct cluster *cluster, const uint8_t *node_id, char *ret_text,
                   size_t size)
{
    char hex[2 * NODE_ID_BYTES + 1];

    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0 &&
            cluster->members[i].info.name[0] != '\0') {
            snprintf(ret_text, size, "%s", cluster->members[i].info.name);
            return;
        }
    hex_encode(node_id, NODE_ID_BYTES, hex);
    snprintf(ret_text, size, "%s", hex);
}

void hub_send(struct cluster *cluster, const uint8_t *node_id, bool by_record,
              const struct peer_message *message)
{
    struct buf out = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    enum qk_err err = peer_encode(message, &out);

    if (err == QK_OK && cluster->service->link != NULL) {
        struct bytes bytes = buf_bytes(&out);

        err = link_send(cluster->service->link, node_id, by_record ? LINK_RECORD : LINK_SEAL,
                        &bytes, 1);
    }
    /* Whatever is lost is asked for again by a timer. */
    if (err != QK_OK && err != QK_ERR_CLOSED)
        log_debug("cluster", "message of kind %d not sent: %s", (int)message->kind,
                  qk_err_text(err));
    buf_fini(&out);
}

/* --- life ------------------------------------------------------------------------------------ */

/* What goes by time, on whichever node leads. */
static void pulse(void *arg)
{
    struct cluster *cluster = arg;

    clock_tick(cluster->service);
    period_tick(cluster->service);
}

static enum qk_err timers_new(struct cluster *cluster)
{
    struct uv_loop_s *loop = cluster->service->loop;
    enum qk_err err = timer_new(loop, hub_seal_tick, cluster, &cluster->seal_timer);

    if (err == QK_OK)
        err = timer_new(loop, hub_deal_tick, cluster, &cluster->deal_timer);
    if (err == QK_OK)
        err = timer_new(loop, hub_refresh, cluster, &cluster->refresh_timer);
    if (err == QK_OK)
        err = timer_new(loop, hub_join_tick, cluster, &cluster->join_timer);
    if (err == QK_OK)
        err = timer_new(loop, hub_order_tick, cluster, &cluster->order_timer);
    if (err == QK_OK)
        err = timer_new(loop, hub_recovery_tick, cluster, &cluster->recovery_timer);
    if (err == QK_OK)
        err = timer_new(loop, keys_tick, cluster->service, &cluster->service->keys.timer);
    if (err == QK_OK)
        err = timer_new(loop, pulse, cluster, &cluster->service->clock.timer);
    return err;
}

enum qk_err cluster_new(struct service *service, const struct cluster_ops *ops,
                        const struct cluster_settings *settings, struct cluster **ret_cluster)
{
    struct cluster *cluster;
    enum qk_err err;

    assert(service != NULL && service->loop != NULL && ops != NULL && ret_cluster != NULL);
    assert(ops->start_member != NULL && ops->discard_member != NULL);

    cluster = calloc(1, sizeof(*cluster));
    if (cluster == NULL)
        return QK_ERR_NOMEM;
    cluster->service = service;
    cluster->ops = *ops;
    if (settings != NULL)
        cluster->settings = *settings;
    if (cluster->settings.threshold == 0)
        cluster->settings.threshold = THRESHOLD_DEFAULT;
    random_fill(cluster->boot_id, sizeof(cluster->boot_id));
    dealing_init(&cluster->dealing);
    seal_init(&cluster->seal, service->node_id, cluster->boot_id, 0, 0);
    err = timers_new(cluster);
    if (err != QK_OK) {
        cluster_free(cluster, NULL, NULL);
        return err;
    }
    service->cluster = cluster;
    *ret_cluster = cluster;
    return QK_OK;
}

static void identity_set(struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    memcpy(cluster->service->cluster_id, sec->cluster_id, CLUSTER_ID_BYTES);
    memcpy(cluster->service->origin_id, sec->cluster_id, CLUSTER_ID_BYTES);
    memcpy(cluster->service->node_id, sec->node_id, NODE_ID_BYTES);
    seal_init(&cluster->seal, sec->node_id, cluster->boot_id, sec->boot_counter, sec->raft_id);
    if (cluster->settings.release_limit > 0)
        cluster->seal.config.release_limit = cluster->settings.release_limit;
    hub_deal_gens_init(cluster);
}

enum qk_err hub_start_member(struct cluster *cluster, bool founder, char *ret_reason)
{
    enum qk_err err;

    assert(cluster->service->node_sec != NULL);

    identity_set(cluster);
    err = cluster->ops.start_member(cluster->ops.arg, founder, cluster->boot_id, ret_reason);
    if (err != QK_OK)
        return err;
    err = hub_watch(cluster);
    if (err != QK_OK) {
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "the records could not be watched: %s",
                 qk_err_text(err));
        return err;
    }
    cluster->booted = true;
    cluster->founder = founder;
    clock_tick(cluster->service);
    hub_marks_load(cluster);
    hub_members_load(cluster);
    hub_seal_kind(cluster, founder ? SEAL_EV_CREATED : SEAL_EV_STARTED);
    hub_refresh_soon(cluster);
    return QK_OK;
}

static void node_sec_path(const struct cluster *cluster, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/node.sec", cluster->service->data_dir);
}

static void node_sec_reason(const char *path, enum qk_err err, const struct node_sec_fault *fault,
                            char *ret_reason)
{
    if (err == QK_ERR_CORRUPT && fault->half != 0)
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "'%.200s': half %c %s: this node's keys are damaged; wipe it and join it again",
                 path, fault->half, fault->what != NULL ? fault->what : "is damaged");
    else
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "'%.200s': %s%s%s", path, qk_err_text(err),
                 fault->what != NULL ? ": " : "", fault->what != NULL ? fault->what : "");
}

/* Without node.sec nobody can say whose they are, so they are not taken over and not removed. */
bool hub_dir_is_clear(const struct cluster *cluster, char *ret_reason)
{
    static const char *const names[] = {"raft", "store.mdb"};
    char path[sizeof(cluster->service->data_dir) + 16];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", cluster->service->data_dir, names[i]);
        if (access(path, F_OK) != 0)
            continue;
        snprintf(
            ret_reason, CLUSTER_REASON_BYTES,
            "data dir: '%.200s' is of a member, but there is no node.sec beside it: bring that "
            "back and restart, or start with an empty directory",
            path);
        return false;
    }
    return true;
}

static void forget(struct cluster *cluster)
{
    deal_record_free(cluster->record);
    deal_record_free(cluster->candidate);
    cluster->record = NULL;
    cluster->candidate = NULL;
    cluster->members_n = 0;
    cluster->has_settings = false;
    cluster->settings_version = 0;
    memset(&cluster->control, 0, sizeof(cluster->control));
    cluster->control_version = 0;
    cluster->control_pending = 0;
    cluster->deal_version = 0;
    memset(cluster->log_deal, 0, DEAL_ID_BYTES);
    memset(cluster->durable_deal, 0, DEAL_ID_BYTES);
    cluster->begin_version = 0;
    cluster->final_version = 0;
    cluster->recovery_version = 0;
    free(cluster->recovery_pending);
    cluster->recovery_pending = NULL;
    cluster->leader_term = 0;
    cluster->founder = false;
    cluster->booted = false;
    cluster->discard_checked = false;
    cluster->restoring = false;
    memset(&cluster->deal_info, 0, sizeof(cluster->deal_info));
    memset(&cluster->removal, 0, sizeof(cluster->removal));
    memset(&cluster->wanted, 0, sizeof(cluster->wanted));
    cluster->removal_version = cluster->wanted_version = 0;
    dealing_init(&cluster->dealing);
}

/* Before the first deal the master key was in memory only, and a node that comes back as a new one
 * needs nothing of the old: what is on the disk is void. The store and the log are removed by node,
 * whether they are open or not. */
void hub_discard(struct cluster *cluster, const char *why)
{
    char path[sizeof(cluster->service->data_dir) + 16];

    if (cluster->discarding)
        return;
    cluster->discarding = true;
    log_warn("cluster", "%s: back to uninitialised", why);
    audit_event(cluster->service->audit, "discarded", "why", why, NULL);
    hub_unwatch(cluster);
    hub_wipe(cluster);
    timer_stop(cluster->seal_timer);
    timer_stop(cluster->deal_timer);
    timer_stop(cluster->refresh_timer);
    timer_stop(cluster->service->clock.timer);
    clock_forget(cluster->service);
    forget(cluster);
    seal_init(&cluster->seal, cluster->service->node_id, cluster->boot_id, 0, 0);
    node_sec_path(cluster, path, sizeof(path));
    if (node_sec_destroy(path) != QK_OK) /* QK_ERR_NOT_FOUND: it was never made */
        log_debug("cluster", "'%s' could not be removed", path);
    cluster->ops.discard_member(cluster->ops.arg);
}

void cluster_discarded(struct cluster *cluster, enum qk_err err)
{
    char path[sizeof(cluster->service->data_dir) + 16];

    node_sec_path(cluster, path, sizeof(path));
    if (err == QK_OK)
        err = node_sec_forget(path);
    if (err != QK_OK)
        log_error("cluster", "the data directory could not be emptied: %s", qk_err_text(err));
    node_sec_free(cluster->service->node_sec);
    cluster->service->node_sec = NULL;
    memset(cluster->service->cluster_id, 0, CLUSTER_ID_BYTES);
    memset(cluster->service->node_id, 0, NODE_ID_BYTES);
    cluster->discarding = false;
    hub_joiner_discarded(cluster, err);
}

/* A founder that has never given a generation to a deal, and has no recovery shares either. */
static bool is_void(const struct node_sec *sec)
{
    return sec->x == 1 && sec->gens_n == 0 && sec->gen_last == 0 && !sec->founded;
}

/* A joiner that ended after its identity was written, and before what its inviter told of the
 * members was: it can dial nobody, and takes those who dial it for strangers. It has to join anew.
 */
static bool knows_nobody(const struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    return sec->x != 1 && sec->gen_last == 0 && cluster->members_n == 0 &&
           cluster->deal_version == 0 && !cluster->restoring;
}

enum qk_err cluster_boot(struct cluster *cluster, char *ret_reason)
{
    struct node_sec_fault fault = {0};
    char path[sizeof(cluster->service->data_dir) + 16];
    enum qk_err err;

    assert(cluster->service->node_sec == NULL);

    node_sec_path(cluster, path, sizeof(path));
    err = node_sec_load(path, &cluster->service->node_sec, &fault);
    if (err == QK_ERR_NOT_FOUND) {
        if (node_sec_is_destroyed(path)) /* the last process ended in the middle of it */
            hub_discard(cluster, "what this node was had begun to be wiped");
        return QK_OK;
    }
    if (err != QK_OK) {
        node_sec_reason(path, err, &fault, ret_reason);
        return err;
    }
    if (is_void(cluster->service->node_sec)) {
        hub_discard(cluster, HUB_NO_DEAL);
        return QK_OK;
    }
    err = node_sec_count_boot(cluster->service->node_sec);
    if (err != QK_OK) {
        node_sec_reason(path, err, &fault, ret_reason);
        return err;
    }
    err = hub_start_member(cluster, false, ret_reason);
    if (err == QK_OK && knows_nobody(cluster))
        hub_discard(cluster, HUB_NO_DEAL);
    return err;
}

void cluster_stop(struct cluster *cluster)
{
    if (cluster == NULL || cluster->stopped)
        return;
    hub_init_fail(cluster, QK_ERR_CLOSED, "the node is stopping");
    hub_joiner_stop(cluster);
    hub_joiner_forget(cluster);
    hub_orders_stop(cluster);
    cluster->stopped = true;
    if (cluster->booted)
        hub_unwatch(cluster);
    timer_stop(cluster->seal_timer);
    timer_stop(cluster->deal_timer);
    timer_stop(cluster->refresh_timer);
    timer_stop(cluster->join_timer);
    timer_stop(cluster->order_timer);
    timer_stop(cluster->recovery_timer);
    timer_stop(cluster->service->keys.timer);
    timer_stop(cluster->service->clock.timer);
    hub_wipe(cluster);
}

static void timer_gone(void *arg)
{
    struct cluster *cluster = arg;

    if (--cluster->timers_open > 0)
        return;
    if (cluster->freed != NULL)
        cluster->freed(cluster->freed_arg);
    free(cluster);
}

void cluster_free(struct cluster *cluster, void (*cb)(void *arg), void *arg)
{
    struct timer *timers[8];

    if (cluster == NULL) {
        if (cb != NULL)
            cb(arg);
        return;
    }
    if (cluster->seal_timer != NULL && cluster->service->clock.timer != NULL)
        cluster_stop(cluster);
    hub_recovery_free(cluster);
    forget(cluster);
    node_sec_free(cluster->service->node_sec);
    cluster->service->node_sec = NULL;
    cluster->service->cluster = NULL;
    cluster->freed = cb;
    cluster->freed_arg = arg;
    memcpy(timers,
           (struct timer *[8]){cluster->seal_timer, cluster->deal_timer, cluster->refresh_timer,
                               cluster->join_timer, cluster->recovery_timer, cluster->order_timer,
                               cluster->service->keys.timer, cluster->service->clock.timer},
           sizeof(timers));
    cluster->timers_open = 1; /* for the call below, so that it frees also without any timer */
    for (unsigned i = 0; i < 8; i++)
        if (timers[i] != NULL) {
            cluster->timers_open++;
            timer_free(timers[i], timer_gone, cluster);
        }
    timer_gone(cluster);
}

/* --- who is who, and state ------------------------------------------------------------------- */

enum qk_err cluster_node_of_raft(const struct cluster *cluster, uint64_t raft_id,
                                 uint8_t ret_node_id[static NODE_ID_BYTES])
{
    const struct hub_member *member = hub_member_of_raft(cluster, raft_id);

    if (member == NULL)
        return QK_ERR_NOT_FOUND;
    memcpy(ret_node_id, member->node_id, NODE_ID_BYTES);
    return QK_OK;
}

enum qk_err cluster_raft_of_node(const struct cluster *cluster,
                                 const uint8_t node_id[static NODE_ID_BYTES], uint64_t *ret_raft_id)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0 &&
            cluster->members[i].info.raft_id != 0) {
            *ret_raft_id = cluster->members[i].info.raft_id;
            return QK_OK;
        }
    return QK_ERR_NOT_FOUND;
}

enum qk_err cluster_leader(const struct cluster *cluster, uint8_t ret_node_id[static NODE_ID_BYTES])
{
    uint64_t raft_id;

    if (cluster->service->consensus == NULL)
        return QK_ERR_NOT_FOUND;
    raft_id = consensus_leader(cluster->service->consensus);
    return raft_id == 0 ? QK_ERR_NOT_FOUND : cluster_node_of_raft(cluster, raft_id, ret_node_id);
}

bool cluster_is_member(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES])
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

bool cluster_is_leader(const struct cluster *cluster)
{
    return cluster->service->consensus != NULL &&
           consensus_role(cluster->service->consensus) == CONSENSUS_LEADER;
}

bool cluster_leads(const struct cluster *cluster)
{
    return cluster_is_leader(cluster) &&
           cluster->leader_term == consensus_term(cluster->service->consensus);
}

enum seal_state cluster_seal_state(const struct cluster *cluster)
{
    return cluster->seal.state;
}

const uint8_t *cluster_boot_id(const struct cluster *cluster)
{
    return cluster->boot_id;
}
