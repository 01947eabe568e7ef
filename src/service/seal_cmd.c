/* `seal` and `unseal` of this node. */
#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "service/audit.h"
#include "service/cluster_handlers.h"
#include "service/hub.h"

enum qk_err cluster_seal(struct cluster *cluster)
{
    if (cluster->seal.state == SEAL_UNINITIALISED)
        return QK_ERR_UNINITIALISED;
    /* MK is in memory only until the first deal is final or recovery shares were handed out: wiping
     * it would be for ever. */
    if (cluster->recovery_version == 0 &&
        (cluster->seal.founder_waits || (cluster->founder && !hub_has_final(cluster))))
        return QK_ERR_CONFLICT;
    log_warn("seal", "sealed by an operator: closed until restart or unseal");
    hub_seal_kind(cluster, SEAL_EV_SEAL);
    cluster_consensus_changed(cluster);
    return QK_OK;
}

enum qk_err cluster_unseal(struct cluster *cluster)
{
    if (cluster->seal.state == SEAL_UNINITIALISED)
        return QK_ERR_UNINITIALISED;
    hub_seal_kind(cluster, SEAL_EV_UNSEAL);
    return QK_OK;
}

static void reply_status(struct service *service, struct exchange *exchange, enum qk_err err)
{
    if (err == QK_ERR_CONFLICT)
        exchange_reply_error(exchange, 409, "conflict",
                             "no second node has joined yet: the master key is in this node's "
                             "memory only and sealing would lose it");
    else if (err == QK_ERR_UNINITIALISED)
        exchange_reply_error(exchange, 503, "uninitialised",
                             "this node is in no cluster: 'quorumkeep init' or 'node join'");
    else if (err != QK_OK)
        exchange_reply_err(exchange, err);
    else
        handle_seal_status(service, exchange);
}

/* {"scope": "node"}; sealing other nodes is not known to this version. */
static bool scope_good(struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json = body.len > 0 ? json_loadb((const char *)body.data, body.len, 0, NULL) : NULL;
    const char *scope = json_string_value(json_object_get(json, "scope"));
    bool good = scope == NULL || strcmp(scope, "node") == 0;

    json_decref(json);
    if (!good)
        exchange_reply_error(exchange, 501, "not_implemented",
                             "this version seals one node at a time: ask each");
    return good;
}

void handle_seal(struct service *service, struct exchange *exchange)
{
    if (!scope_good(exchange))
        return;
    audit_event(service->audit, "seal", "by", exchange->from, NULL);
    reply_status(service, exchange, cluster_seal(service->cluster));
}

void handle_unseal(struct service *service, struct exchange *exchange)
{
    audit_event(service->audit, "unseal", "by", exchange->from, NULL);
    reply_status(service, exchange, cluster_unseal(service->cluster));
}
