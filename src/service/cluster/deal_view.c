#include "service/cluster/deal_view.h"

#include <stdlib.h>
#include <string.h>

#include "consensus/consensus.h"
#include "service/cluster/cluster_handlers.h"

/* Whom the deal, or the removal, waits for. Only the leader knows who has acked and erased. */
static json_t *missing_json(const struct cluster *cluster)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < cluster->members_n && cluster_is_leader(cluster); i++) {
        const struct hub_member *member = &cluster->members[i];
        const char *what = dealing_awaits(&cluster->dealing, member->node_id);

        if (what != NULL)
            (void)json_array_append_new(
                list, json_pack("{s:s, s:s, s:b, s:b}", "name", member->info.name, "what", what,
                                "live", hub_is_live(cluster, member->node_id), "suspended",
                                hub_is_suspended(cluster, member->node_id)));
    }
    return list;
}

static const char *removed_state(const struct cluster *cluster, const uint8_t *node_id)
{
    size_t i;

    if (cluster->record != NULL && deal_record_find(cluster->record, node_id, &i) == QK_OK)
        return "waiting for a deal without it";
    if (!hub_is_final(cluster))
        return "left out of a deal that is not final yet";
    for (i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return "left out of the deal";
    return "removed; not all others have new generations alone yet";
}

json_t *deal_view_removal(const struct cluster *cluster)
{
    json_t *nodes;

    if (cluster->removal_version == 0)
        return json_null();
    nodes = json_array();
    for (unsigned i = 0; i < cluster->removal.n; i++) {
        const struct system_removed *removed = &cluster->removal.list[i];

        (void)json_array_append_new(nodes,
                                    json_pack("{s:s, s:s, s:I}", "name", removed->name, "state",
                                              removed_state(cluster, removed->node_id), "begun",
                                              (json_int_t)removed->begun_s));
    }
    return json_pack("{s:o, s:b, s:o}", "nodes", nodes, "reencrypt", cluster->removal.reencrypt,
                     "missing", missing_json(cluster));
}

static json_t *wanted_json(const struct cluster *cluster)
{
    json_t *list = json_array();

    if (cluster->record != NULL && cluster->record->epoch <= cluster->wanted.refresh_epoch)
        (void)json_array_append_new(list, json_string("refresh"));
    if (cluster->record != NULL && cluster->record->mk_version <= cluster->wanted.rotate_mk)
        (void)json_array_append_new(list, json_string("rotate"));
    return list;
}

json_t *deal_view_json(const struct cluster *cluster)
{
    const struct deal_record *record = cluster->record;

    return json_pack("{s:I, s:I, s:i, s:i, s:b, s:b, s:I, s:s, s:o, s:o, s:o}", "epoch",
                     (json_int_t)(record != NULL ? record->epoch : 0), "mk_version",
                     (json_int_t)(record != NULL ? record->mk_version : 0), "threshold",
                     (int)(record != NULL ? record->t : 0), "members",
                     (int)(record != NULL ? record->n : 0), "final", hub_is_final(cluster),
                     "new_mk", cluster->deal_info.new_mk, "created",
                     (json_int_t)cluster->deal_info.created_s, "work",
                     dealing_state_text(cluster->dealing.state), "wanted", wanted_json(cluster),
                     "removal", deal_view_removal(cluster), "missing", missing_json(cluster));
}

struct view {
    struct service *service;
    struct exchange *exchange;
};

static void view_reached(void *arg, enum qk_err err, uint64_t index)
{
    struct view view = *(struct view *)arg;
    struct cluster *cluster = view.service->cluster;

    (void)index;
    free(arg);
    if (err == QK_OK && cluster->stopped)
        err = QK_ERR_CLOSED;
    if (err != QK_OK) {
        exchange_reply_err(view.exchange, err);
        return;
    }
    hub_refresh(cluster);
    exchange_reply_json(view.exchange, 200, deal_view_json(cluster));
}

/* GET /_quorumkeep/deal. At a read point: one who was just elected may have an order in its log and
 * not know yet that it is committed, and "no removal is pending" would be taken for done. */
void handle_deal(struct service *service, struct exchange *exchange)
{
    struct view *view = NULL;
    enum qk_err err = QK_OK;

    if (service->node_sec == NULL)
        err = QK_ERR_UNINITIALISED;
    else if (!cluster_is_leader(service->cluster))
        err = QK_ERR_NOT_LEADER;
    if (err == QK_OK) {
        view = malloc(sizeof(*view));
        err = view == NULL ? QK_ERR_NOMEM : QK_OK;
    }
    if (err == QK_OK) {
        *view = (struct view){service, exchange};
        err = consensus_read(service->consensus, HUB_READ_MS, view_reached, view);
    }
    if (err != QK_OK) {
        free(view);
        exchange_reply_err(exchange, err);
    }
}
