/* GET /_quorumkeep/keys, GET /_quorumkeep/keys/{name}, POST /_quorumkeep/keys/reencrypt. */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/key_policy.h"
#include "service/period.h"
#include "service/keys/reencrypt_private.h"
#include "service/submit.h"
#include "store/store.h"

/* --- what is told ---------------------------------------------------------------------------- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Seconds to the end as the last ten seconds went; null while there is nothing to go by. */
static json_t *estimate(const struct reencrypt *job, const struct reencrypt_record *record)
{
    uint64_t left = record->old_n > record->done_n ? record->old_n - record->done_n : 0;

    if (job == NULL || job->phase != PHASE_WALK || job->rate < 1)
        return json_null();
    return json_integer((json_int_t)((double)left / job->rate) + 1);
}

static json_t *record_json(const struct reencrypt *job, const struct reencrypt_record *record)
{
    bool rates = job != NULL && job->phase == PHASE_WALK;
    const char *state = record->state == REENCRYPT_WANTED && record->paused
                            ? "paused"
                            : reencrypt_state_text(record->state);

    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "state", state, "round",
                     (json_int_t)record->round, "old", (json_int_t)record->old_n, "done",
                     (json_int_t)record->done_n, "damaged", (json_int_t)record->damaged_n, "began",
                     record->began_s == 0 ? json_null() : number(record->began_s), "ended",
                     record->ended_s == 0 ? json_null() : number(record->ended_s), "rate",
                     rates ? json_integer((json_int_t)job->rate) : json_null(), "eta_s",
                     estimate(job, record));
}

json_t *reencrypt_json(const struct service *service)
{
    const struct reencrypt *job = service->reencrypt;
    struct reencrypt_record record;
    uint64_t version;

    if (service->store == NULL ||
        reencrypt_record_get(service->store, &record, &version) != QK_OK || version == 0)
        return NULL;
    if (job != NULL && job->phase != PHASE_IDLE && job->record.round == record.round)
        record.done_n = job->record.done_n; /* newer than what was stored last */
    return record_json(job, &record);
}

static const char *state_text(unsigned state)
{
    switch (state) {
    case KEY_ACTIVE:
        return "active";
    case KEY_DECRYPT_ONLY:
        return "decrypt-only";
    case KEY_DESTROYED:
        return "destroyed";
    }
    return "unknown";
}

/* null until this leader has counted. */
static json_t *old_records(const struct reencrypt *job, const uint8_t *key_id, uint32_t version)
{
    if (job == NULL || !job->counted)
        return json_null();
    return number(reencrypt_counts_of(&job->counts, key_id, version));
}

static json_t *versions_json(const struct service *service, const struct keyring_info *info,
                             uint64_t *ret_old)
{
    const struct reencrypt *job = service->reencrypt;
    json_t *list = json_array();

    *ret_old = 0;
    for (size_t i = 0; i < info->versions_n; i++) {
        struct key_version_info about = keyring_version_at(service->keyring, info, i);
        struct store_key_stats stats;
        json_t *one;

        store_key_stats(service->store, info->key_id, about.version, &stats);
        one = json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I}", "version", (json_int_t)about.version,
                        "state", state_text(about.state), "suite", key_suite_text(about.suite),
                        "created", (json_int_t)about.created_s, "bodies", (json_int_t)stats.bodies,
                        "sealed", (json_int_t)stats.sealed, "sealed_bytes",
                        (json_int_t)stats.sealed_bytes);

        if (about.state != KEY_ACTIVE) {
            (void)json_object_set_new(one, "records",
                                      old_records(job, info->key_id, about.version));
            *ret_old +=
                job == NULL ? 0 : reencrypt_counts_of(&job->counts, info->key_id, about.version);
        }
        (void)json_array_append_new(list, one);
    }
    return list;
}

/* --- GET ------------------------------------------------------------------------------------- */

static json_t *key_json(const struct service *service, const struct keyring_info *info, bool whole)
{
    const struct reencrypt *job = service->reencrypt;
    char id[2 * KEY_ID_BYTES + 1];
    uint64_t old_n;
    json_t *versions = versions_json(service, info, &old_n);
    json_t *json;

    hex_encode(info->key_id, KEY_ID_BYTES, id);
    json = json_pack("{s:s%, s:s, s:I, s:I, s:o}", "name", (const char *)info->name.data,
                     info->name.len, "key_id", id, "active", (json_int_t)info->active, "versions_n",
                     (json_int_t)info->versions_n, "old_records",
                     job != NULL && job->counted ? number(old_n) : json_null());
    if (whole) {
        (void)json_object_set_new(json, "versions", versions);
        (void)json_object_set_new(json, "period", period_json(service, info->key_id));
    } else {
        json_decref(versions);
    }
    return json;
}

/* Whoever has any grant on a key is told of it; the catalog's is the administrators'. */
static bool is_told(const struct service *service, const struct exchange *exchange,
                    const uint8_t *key_id)
{
    const struct principal *who = &exchange->request.who;

    if (memcmp(key_id, keyring_catalog_id, KEY_ID_BYTES) == 0)
        return authorize_user(service, who, ACCESS_CLUSTER) == QK_OK;
    return authorize_key_unused(service, who, key_id, ACCESS_KEY_MANAGE) == QK_OK ||
           authorize_key_unused(service, who, key_id, ACCESS_KEY_DECRYPT) == QK_OK ||
           authorize_key_unused(service, who, key_id, ACCESS_KEY_ENCRYPT) == QK_OK;
}

/* Re-encryption is about all keys and databases: its figures are the administrators'. */
static void reply_with_progress(struct service *service, struct exchange *exchange, json_t *body)
{
    json_t *progress = authorize_user(service, &exchange->request.who, ACCESS_CLUSTER) == QK_OK
                           ? reencrypt_json(service)
                           : NULL;

    (void)json_object_set_new(body, "reencrypt", progress != NULL ? progress : json_null());
    exchange_reply_json(exchange, 200, body);
}

static bool is_open(struct service *service, struct exchange *exchange)
{
    if (service_is_open(service))
        return true;
    submit_reply_err(service, exchange, QK_ERR_SEALED);
    return false;
}

void handle_keys(struct service *service, struct exchange *exchange)
{
    struct keyring_info info;
    json_t *list;

    if (!is_open(service, exchange))
        return;
    list = json_array();
    for (size_t i = 0; keyring_info_at(service->keyring, i, &info) == QK_OK; i++)
        if (is_told(service, exchange, info.key_id))
            (void)json_array_append_new(list, key_json(service, &info, false));
    reply_with_progress(service, exchange, json_pack("{s:o}", "keys", list));
}

/* The catalog's key, which is no data key, can be looked at under its own name. */
static enum qk_err find(const struct keyring *keyring, struct bytes name,
                        struct keyring_info *ret_info)
{
    uint8_t key_id[KEY_ID_BYTES];
    enum qk_err err = QK_OK;

    if (bytes_equal(name, bytes_str("catalog")))
        return keyring_info_of(keyring, keyring_catalog_id, ret_info);
    err = keyring_id_of(keyring, name, key_id);
    return err == QK_OK ? keyring_info_of(keyring, key_id, ret_info) : err;
}

void handle_key(struct service *service, struct exchange *exchange)
{
    struct bytes name = exchange->request.segments[2];
    struct keyring_info info;
    bool found;

    if (!is_open(service, exchange))
        return;
    found = find(service->keyring, name, &info) == QK_OK;
    if (found ? !is_told(service, exchange, info.key_id)
              : authorize_user(service, &exchange->request.who, ACCESS_CLUSTER) != QK_OK) {
        exchange_reply_err(exchange, QK_ERR_DENIED); /* the same whether there is one or not */
        return;
    }
    if (!found) {
        exchange_reply_error(exchange, 404, "not_found", "there is no data key of that name");
        return;
    }
    reply_with_progress(service, exchange, key_json(service, &info, true));
}

/* --- POST ------------------------------------------------------------------------------------ */

struct order {
    struct service *service;
    struct exchange *exchange;
    bool has_pause, pause;
};

static enum qk_err order_evaluate(void *arg, struct wire_command *command)
{
    struct order *order = arg;
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct buf value = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record;
    uint64_t version;
    enum qk_err err;

    if (order->exchange == NULL) /* applied */
        return QK_OK;
    err = reencrypt_record_get(order->service->store, &record, &version);
    if (err != QK_OK)
        return err;
    if (!order->has_pause && (record.state != REENCRYPT_WANTED || record.paused)) {
        record = (struct reencrypt_record){.round = record.round + 1, .state = REENCRYPT_WANTED};
    } else if (order->has_pause && record.state == REENCRYPT_WANTED) {
        record.paused = order->pause;
    } else {
        return QK_OK; /* as asked already */
    }
    reencrypt_record_encode(&record, &value);
    err = buf_error(&value);
    if (err == QK_OK) {
        wire_command_batch(command);
        wire_command_put(command, record_key_bytes(&key), version + 1, 0, buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static void order_end(struct order *order, enum qk_err err)
{
    struct exchange *exchange = order->exchange;
    struct service *service = order->service;
    json_t *progress;

    order->exchange = NULL;
    if (err != QK_OK) {
        submit_reply_err(service, exchange, err);
        return;
    }
    audit_event(service->audit, "reencrypt", "by", exchange->from, "order",
                !order->has_pause ? "begin"
                : order->pause    ? "pause"
                                  : "resume",
                NULL);
    progress = reencrypt_json(service);
    exchange_reply_json(exchange, 200,
                        progress != NULL ? progress : json_pack("{s:s}", "state", "none"));
}

static void order_result(void *arg, size_t at, const struct wire_result *result)
{
    struct order *order = arg;

    (void)at;
    if (result->ok && order->exchange != NULL)
        order_end(order, QK_OK);
}

static void order_done(void *arg, enum qk_err err)
{
    struct order *order = arg;

    if (order->exchange != NULL)
        order_end(order, err);
    free(order);
}

static const struct submit_ops order_ops = {order_evaluate, order_result, order_done};

/* {} or {"pause": bool}. */
static bool order_parse(struct exchange *exchange, struct order *order)
{
    struct bytes body = exchange->request.body;
    json_t *json = body.len > 0
                       ? json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL)
                       : json_object();
    const json_t *pause = json_object_get(json, "pause");
    bool good = json_is_object(json) && (pause == NULL || json_is_boolean(pause)) &&
                json_object_size(json) == (pause != NULL ? 1u : 0u);

    order->has_pause = pause != NULL;
    order->pause = json_is_true(pause);
    json_decref(json);
    if (!good)
        exchange_reply_error(exchange, 400, "bad_request",
                             "the body is {} to begin, {\"pause\": true} or {\"pause\": false}");
    return good;
}

void handle_keys_reencrypt(struct service *service, struct exchange *exchange)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REENCRYPT);
    struct bytes view = record_key_bytes(&key);
    struct order *order;
    enum qk_err err;

    if (!is_open(service, exchange))
        return;
    order = calloc(1, sizeof(*order));
    if (order == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    order->service = service;
    order->exchange = exchange;
    if (!order_parse(exchange, order)) {
        free(order);
        return;
    }
    err = submit_start(service, &view, 1, &order_ops, order);
    if (err == QK_OK)
        return;
    free(order);
    exchange_reply_err(exchange, err);
}
