/* What lifts a hold: an operator's signature over the cluster and the hold's number. Nobody can be
 * logged in while all nodes are sealed, so the signature alone gives the right, by any door. */
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "secret/crypto.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/control_write.h"
#include "service/cluster/hub.h"
#include "service/cluster/recovery.h"
#include "wire/unhold.h"

#define UNHOLD_AUDIT_MS 1000

void handle_hold(struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;
    char id[2 * CLUSTER_ID_BYTES + 1];

    if (service->node_sec == NULL) {
        exchange_reply_err(exchange, QK_ERR_UNINITIALISED);
        return;
    }
    hex_encode(service->cluster_id, CLUSTER_ID_BYTES, id);
    exchange_reply_json(exchange, 200,
                        json_pack("{s:s, s:b, s:b, s:I, s:I}", "cluster_id", id, "hold",
                                  cluster->control.hold, "pending", cluster->control_pending > 0,
                                  "hold_number", (json_int_t)cluster->control.hold_number,
                                  "since_s", (json_int_t)cluster->control.hold_since_s));
}

struct unhold {
    uint64_t number;
    uint8_t signature[ED25519_SIGNATURE_BYTES];
};

static bool unhold_read(struct exchange *exchange, struct unhold *ret_unhold)
{
    struct bytes body = exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, 0, NULL);
    const json_t *number = json_object_get(json, "hold_number");
    const char *signature = json_string_value(json_object_get(json, "signature"));
    bool good = json_is_integer(number) && json_integer_value(number) > 0 && signature != NULL &&
                hex_decode(bytes_str(signature), ret_unhold->signature,
                           sizeof(ret_unhold->signature)) == QK_OK;

    if (good)
        ret_unhold->number = (uint64_t)json_integer_value(number);
    json_decref(json);
    if (!good)
        exchange_reply_error(
            exchange, 400, "bad_request",
            "the body is {\"hold_number\": NUMBER, \"signature\": 128 hex digits}");
    return good;
}

/* Who signed: "operator", "recovery", or NULL. */
static const char *signer(const struct cluster *cluster, const struct unhold *unhold)
{
    const struct recovery_set *set = hub_recovery_set(cluster);
    uint8_t text[UNHOLD_MESSAGE_BYTES];
    struct bytes message = bytes_of(text, sizeof(text));

    unhold_message(cluster->service->cluster_id, unhold->number, text);
    if (ed25519_verify(cluster->info.operator_pk, message, unhold->signature) == QK_OK)
        return "operator";
    if (set != NULL && ed25519_verify(set->public.sign_pk, message, unhold->signature) == QK_OK)
        return "recovery";
    return NULL;
}

/* Anybody may ask without login, so refusals write a line a second at most. */
static void audit_signature(struct cluster *cluster, const struct exchange *exchange,
                            const char *who)
{
    uint64_t now_ms = hub_now_ms(cluster);

    if (who == NULL && now_ms < cluster->unhold_audit_ms)
        return;
    if (who == NULL)
        cluster->unhold_audit_ms = now_ms + UNHOLD_AUDIT_MS;
    audit_event(cluster->service->audit, who != NULL ? "unhold_signed" : "unhold_refused", "key",
                who, "by", exchange->from, NULL);
}

/* An old signature is told apart from a wrong one only where it is about this hold. */
static bool unhold_allowed(struct cluster *cluster, struct exchange *exchange,
                           const struct unhold *unhold)
{
    const struct system_control *control = &cluster->control;
    const char *who;

    if (!control->hold) {
        exchange_reply_error(exchange, 409, "conflict", "the cluster is not on hold");
        return false;
    }
    who = unhold->number == control->hold_number ? signer(cluster, unhold) : NULL;
    audit_signature(cluster, exchange, who);
    if (who != NULL)
        return true;
    if (unhold->number != control->hold_number)
        exchange_reply_error(exchange, 409, "conflict",
                             "the hold in force has another number: the signature is of an earlier "
                             "one. 'quorumkeep unhold' signs the present one");
    else
        exchange_reply_error(exchange, 403, "forbidden",
                             "the signature is not by this cluster's operator key nor by its "
                             "recovery shares");
    return false;
}

void handle_unhold(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    struct system_control next;
    struct unhold unhold;

    if (!control_ready(cluster, exchange) || !unhold_read(exchange, &unhold) ||
        !unhold_allowed(cluster, exchange, &unhold))
        return;
    next = cluster->control;
    next.hold = false;
    log_warn("cluster", "an operator lifts the hold");
    control_write(cluster, exchange, &next, json_pack("{s:b}", "hold", 0), "unhold", NULL);
}
