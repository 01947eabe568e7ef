/* People enter recovery shares, to open this node (`unseal --recovery`) or to see whether they
 * would (`recovery verify`).
 *
 * begin gives a nonce, which is the right to go on: each share and a cancel come with it, over the
 * same door (control socket, or the same user) that began. Each share is checked as it is entered;
 * a wrong one is named and counted. With the threshold the secret is rebuilt, the keyslot opened,
 * and, to unseal, keyring and catalog after it; only then is the last share answered. Several
 * attempts may run side by side: they share nothing, and none can end another. An attempt ends by
 * its success, its cancel, ten wrong shares, a quarter of an hour without a share, a new set, or
 * the sealing of the node; what was entered is wiped then. */
#include "service/cluster/recovery_attempt.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/encode.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"

static const char *purpose_text(enum purpose purpose)
{
    return purpose == PURPOSE_UNSEAL ? "unseal" : "verify";
}

/* --- the end of an attempt ------------------------------------------------------------------- */

void attempt_end(struct cluster *cluster, struct attempt *attempt, const char *why)
{
    audit_event(cluster->service->audit, "recovery_end", "attempt", attempt->id, "purpose",
                purpose_text(attempt->purpose), "why", why, NULL);
    for (unsigned i = 0; i < attempt->shares_n; i++)
        recovery_share_fini(&attempt->shares[i]);
    memset(attempt, 0, sizeof(*attempt));
}

void hub_recovery_wipe(struct cluster *cluster, const char *why)
{
    for (unsigned i = 0; cluster->recoveries != NULL && i < RECOVERY_ATTEMPTS_MAX; i++) {
        struct attempt *attempt = &cluster->recoveries->attempts[i];
        struct exchange *waiting = attempt->waiting;

        if (!attempt->used)
            continue;
        attempt_end(cluster, attempt, why);
        cluster->recovering = false;
        if (waiting != NULL)
            exchange_reply_error(waiting, 409, "conflict", "%s: begin anew", why);
    }
}

static void arm(struct cluster *cluster)
{
    uint64_t now_ms = hub_now_ms(cluster), at = UINT64_MAX;

    for (unsigned i = 0; i < RECOVERY_ATTEMPTS_MAX; i++) {
        const struct attempt *attempt = &cluster->recoveries->attempts[i];

        if (attempt->used && attempt->waiting == NULL && attempt->until_ms < at)
            at = attempt->until_ms;
    }
    if (at != UINT64_MAX)
        timer_start(cluster->recovery_timer, at > now_ms ? at - now_ms : 1);
}

void hub_recovery_tick(void *arg)
{
    struct cluster *cluster = arg;
    uint64_t now_ms = hub_now_ms(cluster);

    for (unsigned i = 0; cluster->recoveries != NULL && i < RECOVERY_ATTEMPTS_MAX; i++) {
        struct attempt *attempt = &cluster->recoveries->attempts[i];

        if (attempt->used && attempt->waiting == NULL && attempt->until_ms <= now_ms)
            attempt_end(cluster, attempt, "timed out");
    }
    if (cluster->recoveries != NULL)
        arm(cluster);
}

void hub_recovery_free(struct cluster *cluster)
{
    hub_recovery_wipe(cluster, "the node is stopping");
    free(cluster->recoveries);
    cluster->recoveries = NULL;
}

unsigned hub_recovery_progress(const struct cluster *cluster,
                               char ret_id[static RECOVERY_ATTEMPT_ID_CHARS + 1])
{
    const struct attempt *newest = NULL;

    ret_id[0] = '\0';
    for (unsigned i = 0; cluster->recoveries != NULL && i < RECOVERY_ATTEMPTS_MAX; i++) {
        const struct attempt *attempt = &cluster->recoveries->attempts[i];

        if (attempt->used && attempt->purpose == PURPOSE_UNSEAL &&
            (newest == NULL || attempt->began_ms >= newest->began_ms))
            newest = attempt;
    }
    if (newest == NULL)
        return 0;
    memcpy(ret_id, newest->id, sizeof(newest->id));
    return newest->shares_n;
}

/* --- replies --------------------------------------------------------------------------------- */

static json_t *progress_json(const struct cluster *cluster, const struct attempt *attempt)
{
    return json_pack("{s:s, s:s, s:i, s:i, s:i}", "id", attempt->id, "purpose",
                     purpose_text(attempt->purpose), "progress", (int)attempt->shares_n, "t",
                     (int)cluster->recovery.t, "n", (int)cluster->recovery.n);
}

void attempt_reply(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                   unsigned x, bool quorum, bool done)
{
    json_t *json = progress_json(cluster, attempt);

    (void)json_object_set_new(json, "share", json_integer((json_int_t)x));
    (void)json_object_set_new(json, "quorum", json_boolean(quorum));
    (void)json_object_set_new(json, "done", json_boolean(done));
    if (attempt->purpose == PURPOSE_UNSEAL)
        (void)json_object_set_new(json, "sealed",
                                  json_boolean(cluster->seal.state != SEAL_UNSEALED));
    if (done)
        attempt_end(cluster, attempt, "done");
    exchange_reply_json(exchange, 200, json);
}

/* --- beginning ------------------------------------------------------------------------------- */

/* False, with the refusal sent, if nothing could come of it. */
static bool may_begin(struct cluster *cluster, struct exchange *exchange, enum purpose purpose)
{
    enum seal_state state = cluster->seal.state;

    if (cluster->restoring || !cluster->booted || cluster->service->node_sec == NULL) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(cluster->service, reason, sizeof(reason));
        exchange_reply_error(exchange, 503, "unavailable", "%s", reason);
    } else if (cluster->recovery_version == 0) {
        exchange_reply_error(exchange, 409, "conflict", "this cluster has no recovery shares");
    } else if (purpose == PURPOSE_UNSEAL && state == SEAL_HELD) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(cluster->service, reason, sizeof(reason));
        exchange_reply_error(exchange, 409, "conflict", "shares do not open it: %s", reason);
    } else if (purpose == PURPOSE_UNSEAL && state != SEAL_SEALED && state != SEAL_UNSEALING)
        exchange_reply_error(exchange, 409, "conflict", "this node is %s: there is nothing to open",
                             seal_state_text(state));
    else
        return true;
    return false;
}

static struct attempt *attempt_new(struct cluster *cluster, const struct principal *who,
                                   enum purpose purpose)
{
    uint8_t id[RECOVERY_ATTEMPT_ID_CHARS / 2];

    if (cluster->recoveries == NULL)
        cluster->recoveries = calloc(1, sizeof(*cluster->recoveries));
    if (cluster->recoveries == NULL)
        return NULL;
    for (unsigned i = 0; i < RECOVERY_ATTEMPTS_MAX; i++) {
        struct attempt *attempt = &cluster->recoveries->attempts[i];

        if (attempt->used)
            continue;
        attempt->used = true;
        attempt->purpose = purpose;
        random_fill(attempt->nonce, sizeof(attempt->nonce));
        random_fill(id, sizeof(id));
        hex_encode(id, sizeof(id), attempt->id);
        attempt->kind = who->kind;
        memcpy(attempt->user_id, who->user_id, USER_ID_BYTES);
        attempt->began_ms = hub_now_ms(cluster);
        attempt->until_ms = attempt->began_ms + RECOVERY_IDLE_MS;
        return attempt;
    }
    return NULL;
}

json_t *attempt_body(struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json =
        body.len == 0 ? json_object() : json_loadb((const char *)body.data, body.len, 0, NULL);

    if (json_is_object(json))
        return json;
    json_decref(json);
    exchange_reply_error(exchange, 400, "bad_request", "the body is not an object");
    return NULL;
}

void handle_recovery_begin(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    char nonce[2 * RECOVERY_NONCE_BYTES + 1], set[2 * RECOVERY_TAG_BYTES + 1];
    json_t *json = attempt_body(exchange);
    const char *what = json_string_value(json_object_get(json, "purpose"));
    enum purpose purpose =
        what != NULL && strcmp(what, "verify") == 0 ? PURPOSE_VERIFY : PURPOSE_UNSEAL;
    bool good = what == NULL || strcmp(what, purpose_text(purpose)) == 0;
    struct attempt *attempt;

    if (json == NULL)
        return;
    json_decref(json);
    if (!good) {
        exchange_reply_error(exchange, 400, "bad_request",
                             "\"purpose\" is \"unseal\" or \"verify\"");
        return;
    }
    if (!may_begin(cluster, exchange, purpose))
        return;
    attempt = attempt_new(cluster, &exchange->request.who, purpose);
    if (attempt == NULL) {
        exchange_reply_error(exchange, 429, "too_many_requests",
                             "%d attempts with recovery shares are under way: cancel one or wait "
                             "until one has timed out",
                             RECOVERY_ATTEMPTS_MAX);
        return;
    }
    arm(cluster);
    audit_event(service->audit, "recovery_begin", "attempt", attempt->id, "purpose",
                purpose_text(purpose), "by", exchange->from, NULL);
    hex_encode(attempt->nonce, RECOVERY_NONCE_BYTES, nonce);
    hex_encode(cluster->recovery.id, RECOVERY_TAG_BYTES, set);
    json = progress_json(cluster, attempt);
    (void)json_object_set_new(json, "nonce", json_string(nonce));
    (void)json_object_set_new(json, "set", json_string(set));
    (void)json_object_set_new(json, "set_number", json_integer(cluster->recovery.number));
    (void)json_object_set_new(json, "timeout_s", json_integer(RECOVERY_IDLE_MS / 1000));
    exchange_reply_json(exchange, 200, json);
}

/* --- going on -------------------------------------------------------------------------------- */

static bool is_owner(const struct attempt *attempt, const struct principal *who)
{
    return attempt->kind == who->kind &&
           (who->kind != PRINCIPAL_USER ||
            memcmp(attempt->user_id, who->user_id, USER_ID_BYTES) == 0);
}

struct attempt *attempt_find(struct cluster *cluster, struct exchange *exchange, const json_t *json)
{
    const char *text = json_string_value(json_object_get(json, "nonce"));
    struct attempt *found = NULL;
    uint8_t nonce[RECOVERY_NONCE_BYTES];

    if (text != NULL && hex_decode(bytes_str(text), nonce, sizeof(nonce)) == QK_OK)
        for (unsigned i = 0; cluster->recoveries != NULL && i < RECOVERY_ATTEMPTS_MAX; i++) {
            struct attempt *attempt = &cluster->recoveries->attempts[i];

            if (attempt->used && sodium_memcmp(attempt->nonce, nonce, sizeof(nonce)) == 0 &&
                is_owner(attempt, &exchange->request.who))
                found = attempt;
        }
    if (found == NULL)
        exchange_reply_error(exchange, 404, "not_found",
                             "no attempt of yours has this nonce: it is over, or was begun by "
                             "another");
    else if (found->waiting != NULL) {
        exchange_reply_error(exchange, 409, "conflict", "the node is being opened: wait");
        return NULL;
    }
    return found;
}

void handle_recovery_cancel(struct service *service, struct exchange *exchange)
{
    json_t *json = attempt_body(exchange);
    struct attempt *attempt;

    if (json == NULL)
        return;
    attempt = attempt_find(service->cluster, exchange, json);
    json_decref(json);
    if (attempt == NULL)
        return;
    attempt_end(service->cluster, attempt, "cancelled");
    exchange_reply_json(exchange, 200, json_pack("{s:b}", "cancelled", 1));
}
