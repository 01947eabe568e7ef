/* `master refresh` and `master rotate`: a wish in a record, which the dealing machine fulfils: a
 * deal of a higher epoch, or one of a higher MK version (deal_leave.c). Asked for twice, it is
 * fulfilled once. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/deal_ready.h"
#include "service/cluster/deal_view.h"

struct wish {
    struct service *service;
    struct exchange *exchange;
    bool rotate, new_keys;
};

bool hub_wants_new_keys(const struct cluster *cluster)
{
    return cluster->wanted.new_keys && cluster->record != NULL &&
           cluster->record->mk_version <= cluster->wanted.rotate_mk;
}

static void wish_applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct wish *wish = arg;
    struct cluster *cluster = wish->service->cluster;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (cluster->stopped)
        err = QK_ERR_CLOSED;
    if (err == QK_OK) {
        audit_event(wish->service->audit, wish->rotate ? "master_rotate" : "master_refresh", "by",
                    wish->exchange->from, NULL);
        exchange_reply_json(wish->exchange, 200, deal_view_json(cluster));
        hub_refresh(cluster);
    } else
        exchange_reply_err(wish->exchange, err);
    free(wish);
}

static enum qk_err wish_submit(struct wish *wish)
{
    struct cluster *cluster = wish->service->cluster;
    struct record_key key = record_system(RECORD_SYS, SYSTEM_WANTED);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_wanted wanted = cluster->wanted;
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    wanted.new_keys = hub_wants_new_keys(cluster) || wish->new_keys;
    if (wish->rotate)
        wanted.rotate_mk = cluster->record->mk_version;
    else
        wanted.refresh_epoch = cluster->record->epoch;
    system_wanted_encode(&wanted, &value);
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    wire_command_cond(&command, record_key_bytes(&deal), cluster->deal_version);
    wire_command_put(&command, record_key_bytes(&key), hub_version_of(cluster, &key) + 1, 0,
                     buf_bytes(&value));
    err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(wish->service->consensus, bytes, wish_applied, wish);
    wire_command_fini(&command);
    buf_fini(&value);
    return err;
}

static unsigned live_n(const struct cluster *cluster)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cluster->members_n; i++)
        n += cluster->members[i].info.state == MEMBER_ACTIVE &&
             hub_is_live(cluster, cluster->members[i].node_id);
    return n;
}

static bool objection(const struct cluster *cluster, bool rotate, char *ret_reason)
{
    const char *text = NULL;

    if (cluster->record == NULL || cluster->deal_version == 0)
        text = "there is no deal yet: the master key lies in this node's memory alone until a "
               "second node has joined";
    else if (!hub_is_final(cluster))
        text = "a deal is under way: try again when it is final ('quorumkeep node list' names "
               "whom it waits for)";
    else if (!rotate && live_n(cluster) < 2)
        text = "no other member is there to deal with";
    if (text == NULL)
        return rotate && hub_fresh_objection(cluster, NULL, ret_reason);
    memcpy(ret_reason, text, strlen(text) + 1);
    return true;
}

static void wish(struct service *service, struct exchange *exchange, bool rotate, bool new_keys)
{
    char reason[CLUSTER_REASON_BYTES];
    struct wish *wish;
    enum qk_err err;

    if (objection(service->cluster, rotate, reason)) {
        exchange_reply_error(exchange, 409, "refused", "%s", reason);
        return;
    }
    wish = calloc(1, sizeof(*wish));
    if (wish == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *wish = (struct wish){service, exchange, rotate, new_keys};
    err = wish_submit(wish);
    if (err == QK_OK)
        return;
    free(wish);
    exchange_reply_err(exchange, err);
}

static void refresh(struct service *service, struct exchange *exchange)
{
    wish(service, exchange, false, false);
}

void handle_master_refresh(struct service *service, struct exchange *exchange)
{
    deal_when_ready(service, exchange, refresh);
}

static void rotate(struct service *service, struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json = body.len > 0 ? json_loadb((const char *)body.data, body.len, 0, NULL) : NULL;
    const json_t *new_keys = json_object_get(json, "new_keys");
    bool good =
        body.len == 0 || (json_is_object(json) && (new_keys == NULL || json_is_boolean(new_keys)));
    bool renew = json_is_true(new_keys);

    json_decref(json);
    if (good)
        wish(service, exchange, true, renew);
    else
        exchange_reply_error(exchange, 400, "bad_request",
                             "the body is an object; \"new_keys\" is true or false");
}

void handle_master_rotate(struct service *service, struct exchange *exchange)
{
    deal_when_ready(service, exchange, rotate);
}
