/* Asks the attestation hook for the seal machine, and tells it the answer.
 *
 * SEAL_DO_ATTEST -> the facts as JSON -> ops.attest (the launcher runs the program) ->
 * cluster_attested -> attest_judge -> SEAL_EV_ATTESTED, which answers the WANT that waits. Where
 * the program cannot be run at all, the answer is no, at once: there is always one answer a
 * question. */
#include "service/cluster/attest.h"

#include <jansson.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"

/* --- the facts ------------------------------------------------------------------------------- */

static json_t *id_json(const uint8_t *id, size_t len)
{
    char hex[2 * 32 + 1];

    hex_encode(id, len, hex);
    return json_string(hex);
}

static json_t *node_json(const struct cluster *cluster, const struct seal_effect *effect)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, effect->node_id);
    char name[NODE_NAME_BYTES_MAX + 1], from[ADDRESS_BYTES_MAX + 1] = "";
    const char *address = "", *client_address = "";

    hub_node_text(cluster, effect->node_id, name, sizeof(name));
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, effect->node_id, NODE_ID_BYTES) == 0) {
            address = cluster->members[i].info.peer_address;
            client_address = cluster->members[i].info.client_address;
        }
    if (cluster->ops.attest_from != NULL)
        cluster->ops.attest_from(cluster->ops.arg, effect->node_id, from, sizeof(from));
    return json_pack("{s:o, s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I}", "id",
                     id_json(effect->node_id, NODE_ID_BYTES), "name", name, "address", address,
                     "client_address", client_address, "connected_from", from, "boot_id",
                     id_json(effect->boot_id, BOOT_ID_BYTES), "boot_counter",
                     (json_int_t)(peer != NULL ? peer->hello.boot_counter : 0), "generation",
                     (json_int_t)effect->gen, "x", (json_int_t)effect->x);
}

static json_t *wants_json(unsigned what)
{
    json_t *list = json_array();

    if ((what & PEER_WANT_RELEASE) != 0)
        (void)json_array_append_new(list, json_string("key"));
    if ((what & PEER_WANT_SHARE) != 0)
        (void)json_array_append_new(list, json_string("share"));
    return list;
}

static json_t *facts_json(const struct cluster *cluster, const struct seal_effect *effect)
{
    const struct service *service = cluster->service;

    return json_pack(
        "{s:i, s:s, s:{s:o, s:s}, s:o, s:{s:o, s:I}, s:o, s:{s:o, s:s}}", "version", 1, "kind",
        "release", "cluster", "id", id_json(service->cluster_id, CLUSTER_ID_BYTES), "name",
        cluster->has_settings ? cluster->info.name : "", "node", node_json(cluster, effect), "deal",
        "id", id_json(effect->deal_id, DEAL_ID_BYTES), "epoch",
        (json_int_t)cluster->seal.deal.epoch, "wants", wants_json(effect->as.want.what), "asked_by",
        "id", id_json(service->node_id, NODE_ID_BYTES), "name", service->node_name);
}

/* --- the answer ------------------------------------------------------------------------------ */

static void count(struct hub_attest *attest, const struct attest_judgement *judgement)
{
    attest->failed_n += judgement->failed;
    attest->allowed_n += judgement->answer == SEAL_ATTEST_ALLOW;
    attest->deferred_n += judgement->answer == SEAL_ATTEST_DEFER;
    attest->denied_n += judgement->answer == SEAL_ATTEST_DENY && !judgement->failed;
}

static void tell(struct cluster *cluster, const struct hub_attest_ask *ask,
                 const struct attest_judgement *judgement)
{
    char node[2 * NODE_ID_BYTES + 1], boot[2 * BOOT_ID_BYTES + 1], name[NODE_NAME_BYTES_MAX + 1];
    const char *why = judgement->reason[0] != '\0' ? judgement->reason : NULL;

    hex_encode(ask->node_id, NODE_ID_BYTES, node);
    hex_encode(ask->boot_id, BOOT_ID_BYTES, boot);
    hub_node_text(cluster, ask->node_id, name, sizeof(name));
    audit_event(cluster->service->audit, "attestation", "node", node, "name", name, "boot", boot,
                "answer", attest_answer_text(judgement), "why", why, NULL);
    if (judgement->answer == SEAL_ATTEST_ALLOW)
        log_info("attestation", "%s: allow%s%s", name, why != NULL ? ": " : "",
                 why != NULL ? why : "");
    else
        log_warn("attestation", "%s: %s%s%s", name, attest_answer_text(judgement),
                 why != NULL ? ": " : "", why != NULL ? why : "");
}

static void answer(struct cluster *cluster, const struct hub_attest_ask *ask,
                   const struct attest_result *result)
{
    struct seal_event event = {.kind = SEAL_EV_ATTESTED};
    struct attest_judgement judgement;
    uint64_t now_ms = hub_now_ms(cluster);

    attest_judge(result, &judgement);
    count(&cluster->attest, &judgement);
    tell(cluster, ask, &judgement);
    memcpy(event.node_id, ask->node_id, NODE_ID_BYTES);
    memcpy(event.boot_id, ask->boot_id, BOOT_ID_BYTES);
    event.attested = judgement.answer;
    event.until_ms =
        now_ms + (judgement.answer == SEAL_ATTEST_DEFER ? ATTEST_DEFER_MS
                                                        : cluster->settings.attest_cache_ms);
    hub_seal(cluster, &event);
}

static struct hub_attest_ask *ask_find(struct hub_attest *attest, uint32_t id)
{
    for (unsigned i = 0; i < HUB_ATTEST_ASKS_MAX; i++)
        if (attest->asks[i].id == id)
            return &attest->asks[i];
    return NULL;
}

/* QK_ERR_BUSY: too many questions are out; else as the launcher says. */
static enum qk_err ask_send(struct cluster *cluster, const struct seal_effect *effect,
                            struct hub_attest_ask *ask)
{
    struct hub_attest *attest = &cluster->attest;
    struct hub_attest_ask *place = ask_find(attest, 0);
    char text[ATTEST_FACTS_BYTES_MAX];
    json_t *json;
    size_t len;
    enum qk_err err = QK_ERR_NOMEM;

    if (place == NULL)
        return QK_ERR_BUSY;
    json = facts_json(cluster, effect);
    len = json_dumpb(json, text, sizeof(text), JSON_COMPACT); /* 0: there is no object */
    json_decref(json);
    if (++attest->last_id == 0)
        attest->last_id = 1;
    ask->id = attest->last_id;
    if (len > 0 && len <= sizeof(text))
        err = cluster->ops.attest(cluster->ops.arg, ask->id, bytes_of(text, len));
    if (err == QK_OK)
        *place = *ask;
    return err;
}

void hub_attest(struct cluster *cluster, const struct seal_effect *effect)
{
    struct attest_result failed = {.end = ATTEST_FAILED};
    struct hub_attest_ask ask = {0};
    enum qk_err err;

    memcpy(ask.node_id, effect->node_id, NODE_ID_BYTES);
    memcpy(ask.boot_id, effect->boot_id, BOOT_ID_BYTES);
    err = ask_send(cluster, effect, &ask);
    if (err == QK_OK)
        return;
    failed.errors = bytes_str(err == QK_ERR_CLOSED ? "the launcher has ended: restart this node"
                                                   : qk_err_text(err));
    answer(cluster, &ask, &failed);
}

void cluster_attested(struct cluster *cluster, uint32_t id, const struct attest_result *result)
{
    struct hub_attest_ask *place = id != 0 ? ask_find(&cluster->attest, id) : NULL;
    struct hub_attest_ask ask;

    if (place == NULL || cluster->stopped)
        return;
    ask = *place;
    memset(place, 0, sizeof(*place));
    answer(cluster, &ask, result);
}

json_t *hub_attest_json(const struct cluster *cluster)
{
    const struct hub_attest *attest = &cluster->attest;

    if (cluster->ops.attest == NULL)
        return json_null();
    return json_pack("{s:s, s:I, s:I, s:I, s:I}", "hook", cluster->settings.attest_hook, "allowed",
                     (json_int_t)attest->allowed_n, "denied", (json_int_t)attest->denied_n,
                     "deferred", (json_int_t)attest->deferred_n, "failed",
                     (json_int_t)attest->failed_n);
}
