/* `seal` and `unseal` of this node. */
#include <jansson.h>
#include <string.h>

#include "base/log.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"

enum qk_err hub_may_seal(const struct cluster *cluster)
{
    if (cluster->seal.state == SEAL_UNINITIALISED)
        return QK_ERR_UNINITIALISED;
    /* Its reply, with the shares of recovery, would never come. */
    if (cluster->init != NULL)
        return QK_ERR_BUSY;
    /* MK is in memory only until the first deal is final or recovery shares were handed out: wiping
     * it would be for ever. */
    if (cluster->recovery_version == 0 &&
        (cluster->seal.founder_waits || (cluster->founder && !hub_has_final(cluster))))
        return QK_ERR_CONFLICT;
    return QK_OK;
}

enum qk_err cluster_seal(struct cluster *cluster)
{
    enum qk_err err = hub_may_seal(cluster);

    if (err != QK_OK)
        return err;
    log_warn("seal", "sealed by an operator: closed until restart or unseal");
    hub_seal_kind(cluster, SEAL_EV_SEAL);
    cluster_consensus_changed(cluster);
    return QK_OK;
}

enum qk_err cluster_unseal(struct cluster *cluster)
{
    if (cluster->seal.state == SEAL_UNINITIALISED)
        return QK_ERR_UNINITIALISED;
    if (cluster->seal.state == SEAL_HELD)
        return QK_ERR_DENIED;
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
    else if (err == QK_ERR_DENIED) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(service, reason, sizeof(reason));
        exchange_reply_error(exchange, 409, "held", "%s", reason);
    } else if (err != QK_OK)
        exchange_reply_err(exchange, err);
    else
        handle_seal_status(service, exchange);
}

/* {"scope": "node" | "all" | "hold"}, "node" where nothing is said. */
static bool scope_read(struct exchange *exchange, const char **ret_scope)
{
    static const char *const scopes[] = {"node", "all", "hold"};
    struct bytes body = exchange->request.body;
    json_t *json = body.len > 0 ? json_loadb((const char *)body.data, body.len, 0, NULL) : NULL;
    const json_t *scope = json_object_get(json, "scope");
    const char *text = scope == NULL ? "node" : json_string_value(scope);

    *ret_scope = NULL;
    for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]) && text != NULL; i++)
        if (strcmp(text, scopes[i]) == 0)
            *ret_scope = scopes[i];
    if (body.len > 0 && !json_is_object(json))
        *ret_scope = NULL;
    json_decref(json);
    if (*ret_scope == NULL)
        exchange_reply_error(exchange, 400, "bad_request",
                             "\"scope\" is \"node\", \"all\" or \"hold\"; nothing was sealed");
    return *ret_scope != NULL;
}

void handle_seal(struct service *service, struct exchange *exchange)
{
    const char *scope;
    enum qk_err err;

    if (!scope_read(exchange, &scope))
        return;
    audit_event(service->audit, "seal", "scope", scope, "by", exchange->from, NULL);
    if (strcmp(scope, "node") == 0) {
        reply_status(service, exchange, cluster_seal(service->cluster));
        return;
    }
    err = hub_order_start(service->cluster, exchange, strcmp(scope, "hold") == 0);
    if (err != QK_OK)
        reply_status(service, exchange, err);
}

void handle_unseal(struct service *service, struct exchange *exchange)
{
    audit_event(service->audit, "unseal", "by", exchange->from, NULL);
    reply_status(service, exchange, cluster_unseal(service->cluster));
}
