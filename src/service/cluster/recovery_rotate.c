/* `recovery rotate`: a new secret, new shares, and the old ones are void.
 *
 * Two steps, so that no lost reply can leave a cluster whose shares nobody has: the leader makes
 * the set and shows its shares, which changes nothing yet; who has them confirms, and only that
 * commits the record, under the condition that neither it nor the deal has moved. What was not
 * confirmed is forgotten after ten minutes, by a new rotate, or with the leader. The leader keeps
 * the public part alone meanwhile: neither secret nor shares. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sodium.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "service/keys_current.h"

#define PENDING_MS (10u * 60 * 1000)
#define NONCE_BYTES 16
#define REPLY_BYTES_MAX (8 * KIB)

struct recovery_pending {
    uint8_t nonce[NONCE_BYTES];
    enum principal_kind kind;
    uint8_t user_id[USER_ID_BYTES];
    uint64_t until_ms;
    uint64_t version; /* of the record that it replaces */
    struct recovery_set set;
};

/* One confirmation under way. */
struct confirm {
    struct cluster *cluster;
    struct exchange *exchange;
    struct recovery_set set;
};

/* The keyring in memory, the deal and the live set are all of one master key, as far as this node
 * has read; that nothing newer has been applied is for the command's conditions to say. Between a
 * deal with a new MK and its opening here a set would be made over the old one, and its record, in
 * step with the new deal's version, would lock out whoever has its shares. */
static bool keys_settled(const struct cluster *cluster)
{
    uint32_t mk_version = keyring_mk_version(cluster->service->keyring);

    return keys_are_current(cluster->service) && cluster->opening == NULL &&
           (cluster->record == NULL || cluster->record->mk_version == mk_version) &&
           (cluster->recovery_version == 0 || cluster->recovery.mk_version == mk_version);
}

static bool may_rotate(struct cluster *cluster, struct exchange *exchange)
{
    if (cluster->mk == NULL || cluster->service->keyring == NULL ||
        cluster->seal.state != SEAL_UNSEALED) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(cluster->service, reason, sizeof(reason));
        exchange_reply_error(exchange, 503, "sealed", "%s", reason);
        return false;
    }
    if (!cluster_is_leader(cluster)) {
        exchange_reply_err(exchange, QK_ERR_NOT_LEADER);
        return false;
    }
    return true;
}

static enum qk_err pending_make(struct cluster *cluster, const struct principal *who, unsigned n,
                                unsigned t, struct buf *texts)
{
    struct recovery_pending *pending = calloc(1, sizeof(*pending));
    uint32_t number = cluster->recovery_version > 0 ? cluster->recovery.number + 1 : 1;
    enum qk_err err;

    if (pending == NULL)
        return QK_ERR_NOMEM;
    err = recovery_set_make(cluster->service->cluster_id, number, (uint64_t)time(NULL), n, t,
                            keyring_mk_version(cluster->service->keyring), cluster->mk,
                            &pending->set, texts);
    if (err != QK_OK) {
        free(pending);
        return err;
    }
    random_fill(pending->nonce, sizeof(pending->nonce));
    pending->kind = who->kind;
    memcpy(pending->user_id, who->user_id, USER_ID_BYTES);
    pending->until_ms = hub_now_ms(cluster) + PENDING_MS;
    pending->version = cluster->recovery_version;
    free(cluster->recovery_pending);
    cluster->recovery_pending = pending;
    return QK_OK;
}

/* By hand, so that the shares stay in a buffer that is wiped; every value is hexadecimal, a number
 * or Bech32m: nothing to escape. */
static enum qk_err reply_write(const struct recovery_pending *pending, struct bytes texts,
                               struct buf *out)
{
    char nonce[2 * NONCE_BYTES + 1], set[2 * RECOVERY_TAG_BYTES + 1];

    hex_encode(pending->nonce, NONCE_BYTES, nonce);
    hex_encode(pending->set.id, RECOVERY_TAG_BYTES, set);
    buf_printf(out,
               "{\"nonce\":\"%s\",\"set\":\"%s\",\"set_number\":%u,\"threshold\":%u,"
               "\"timeout_s\":%u,\"recovery_shares\":",
               nonce, set, (unsigned)pending->set.number, pending->set.t, PENDING_MS / 1000);
    hub_recovery_list(texts, out);
    buf_put_str(out, "}\n");
    return buf_error(out);
}

void handle_recovery_rotate(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    struct bytes body = exchange->request.body;
    struct buf texts = BUF_SECRET_INIT(REPLY_BYTES_MAX), out = BUF_SECRET_INIT(REPLY_BYTES_MAX);
    json_t *json;
    unsigned n, t;
    bool good;
    enum qk_err err;

    if (!may_rotate(cluster, exchange))
        return;
    if (!keys_settled(cluster)) {
        exchange_field(exchange, "Retry-After", "1");
        exchange_reply_error(exchange, 503, "busy",
                             "the master key is being changed: try again in a moment");
        return;
    }
    json = json_loadb((const char *)body.data, body.len, 0, NULL);
    good = hub_recovery_counts(exchange, json, &n, &t);
    json_decref(json);
    if (!good)
        return;
    if (n == 0) {
        exchange_reply_error(exchange, 400, "bad_request", "a set has 2 to %d shares",
                             RECOVERY_SHARES_MAX);
        return;
    }
    err = pending_make(cluster, &exchange->request.who, n, t, &texts);
    if (err == QK_OK)
        err = reply_write(cluster->recovery_pending, buf_bytes(&texts), &out);
    audit_event(service->audit, "recovery_rotate", "by", exchange->from, NULL);
    if (err == QK_OK)
        exchange_reply_bytes(exchange, 200, "application/json", buf_bytes(&out));
    else
        exchange_reply_err(exchange, err);
    buf_fini(&texts);
    buf_fini(&out);
}

/* --- confirming ------------------------------------------------------------------------------ */

static void confirmed(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct confirm *confirm = arg;
    char set[2 * RECOVERY_TAG_BYTES + 1];

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    hex_encode(confirm->set.id, RECOVERY_TAG_BYTES, set);
    if (err == QK_OK) {
        audit_event(confirm->cluster->service->audit, "recovery_rotated", "set", set, "by",
                    confirm->exchange->from, NULL);
        log_warn("recovery", "a new set of recovery shares, %s: older shares are void", set);
        exchange_reply_json(confirm->exchange, 200,
                            json_pack("{s:b, s:s, s:I, s:i, s:i}", "done", 1, "set", set,
                                      "set_number", (json_int_t)confirm->set.number, "shares",
                                      (int)confirm->set.n, "threshold", (int)confirm->set.t));
    } else if (err == QK_ERR_CONFLICT)
        exchange_reply_error(
            confirm->exchange, 409, "conflict",
            "the master key or the set was changed meanwhile: the shares shown are "
            "void, rotate again");
    else
        exchange_reply_err(confirm->exchange, err);
    free(confirm);
}

static enum qk_err confirm_submit(struct cluster *cluster, const struct recovery_pending *pending,
                                  struct confirm *confirm)
{
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    wire_command_cond(&command, record_key_bytes(&deal), cluster->deal_version);
    err = hub_recovery_put(&pending->set, pending->version + 1, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, confirmed, confirm);
    wire_command_fini(&command);
    return err;
}

/* NULL: there is none that this nonce and door may confirm. */
static struct recovery_pending *pending_find(struct cluster *cluster, struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    const struct principal *who = &exchange->request.who;
    struct recovery_pending *pending = cluster->recovery_pending;
    json_t *json = json_loadb((const char *)body.data, body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(json, "nonce"));
    uint8_t nonce[NONCE_BYTES];
    bool good = pending != NULL && text != NULL &&
                hex_decode(bytes_str(text), nonce, sizeof(nonce)) == QK_OK &&
                sodium_memcmp(nonce, pending->nonce, sizeof(nonce)) == 0 &&
                pending->kind == who->kind &&
                (who->kind != PRINCIPAL_USER ||
                 memcmp(pending->user_id, who->user_id, USER_ID_BYTES) == 0) &&
                hub_now_ms(cluster) <= pending->until_ms;

    json_decref(json);
    return good ? pending : NULL;
}

void handle_recovery_confirm(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    struct recovery_pending *pending;
    struct confirm *confirm;
    enum qk_err err;

    if (!may_rotate(cluster, exchange))
        return;
    pending = pending_find(cluster, exchange);
    if (pending == NULL || !keys_settled(cluster) ||
        pending->set.mk_version != keyring_mk_version(cluster->service->keyring)) {
        exchange_reply_error(exchange, 409, "conflict",
                             "there is no such rotation any more (the leader or the master key "
                             "changed, or it timed out): the shares shown are void, the set before "
                             "stays; rotate again");
        return;
    }
    confirm = calloc(1, sizeof(*confirm));
    if (confirm == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *confirm = (struct confirm){cluster, exchange, pending->set};
    err = confirm_submit(cluster, pending, confirm);
    free(pending); /* one confirmation each, whatever comes of it */
    cluster->recovery_pending = NULL;
    if (err != QK_OK)
        confirmed(confirm, err, 0, BYTES_NONE);
}
