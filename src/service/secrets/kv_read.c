/* Reading secrets: their values, the shape of a value, what is known of them, the settings.
 *
 * After the read point: may they read the database, is there such a secret, may they read what its
 * key seals; only then is anything told of it. */
#include "service/secrets/kv_read.h"

#include <string.h>

#include "doc/json.h"
#include "service/authorize.h"
#include "service/clock.h"
#include "service/params.h"
#include "service/submit.h"
#include "service/vault.h"

#define SUBKEYS_DEPTH_MAX JSON_DEPTH_MAX

/* --- who may --- */

void kv_reply_err(struct service *service, struct exchange *exchange, enum qk_err err)
{
    if (err == QK_ERR_NOT_FOUND)
        vault_reply_error(exchange, 404, "the data key of this secret is gone");
    else
        submit_reply_err(service, exchange, err);
}

const struct catalog_database *kv_read_database(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database =
        catalog_database_find(service->catalog, bytes_str(KV_DATABASE));
    enum qk_err err = authorize_exchange(service, exchange, database, ACCESS_DB_READ);

    if (err == QK_OK)
        return kv_database(service, exchange);
    submit_reply_err(service, exchange, err);
    return NULL;
}

enum qk_err kv_authorize_read(struct service *service, struct exchange *exchange,
                              const struct stored *stored)
{
    enum qk_err err = QK_OK;

    for (unsigned i = 0; i < stored->record.leaves_n && err == QK_OK; i++)
        err = authorize_key(service, &exchange->request.who, stored->record.leaves[i].key_id,
                            ACCESS_KEY_DECRYPT);
    return err;
}

/* --- one secret --- */

struct kv_get {
    struct service *service;
    struct exchange *exchange;
    const struct catalog_database *database;
    struct buf path;
    struct kv_found found;
    uint64_t number; /* the version wanted */
};

/* Finds the secret that the path names; false after an answer. Ends with get_close in any case. */
static bool get_open(struct kv_get *get, struct service *service, struct exchange *exchange)
{
    const char *reason;
    enum qk_err err;

    *get = (struct kv_get){
        .service = service, .exchange = exchange, .path = BUF_SECRET_INIT(KV_PATH_BYTES_MAX)};
    get->database = kv_read_database(service, exchange);
    if (get->database == NULL)
        return false;
    if (kv_path_take(&exchange->request, KV_PATH_SEGMENT, &get->path, &reason) != QK_OK) {
        vault_reply_error(exchange, 400, "%s", reason);
        return false;
    }
    err = kv_find(service, get->database, buf_bytes(&get->path), &get->found);
    if (err == QK_OK)
        err = kv_authorize_read(service, exchange, &get->found.record.stored);
    if (err != QK_OK)
        kv_reply_err(service, exchange, err);
    else if (get->found.record.stored.version == 0)
        vault_reply_error(exchange, 404, "%s", "");
    return err == QK_OK && get->found.record.stored.version != 0;
}

static void get_close(struct kv_get *get)
{
    kv_found_fini(&get->found);
    buf_fini(&get->path);
}

/* The version wanted, in the list of those that are kept; NULL after an answer. */
static const struct kv_version *get_version(struct kv_get *get)
{
    const struct kv_version *version;
    struct doc_problem problem = {0};
    uint64_t wanted = 0;

    if (param_u64(&get->exchange->request, "version", &wanted, &problem) != QK_OK) {
        vault_reply_error(get->exchange, 400, "%s", problem.reason);
        return NULL;
    }
    get->number = wanted == 0 ? get->found.meta.current : wanted;
    version = kv_meta_version(&get->found.meta, get->number);
    if (version == NULL)
        vault_reply_error(get->exchange, 404, "%s", "");
    return version;
}

/* A version that is gone is a 404 that tells what is known of it. `name` is where the value would
 * stand. */
static void reply_gone(struct kv_get *get, const char *name)
{
    vault_reply(get->exchange, 404,
                json_pack("{s:n, s:o}", name, "metadata",
                          kv_version_json(&get->found.meta, get->number, true)),
                NULL, NULL);
}

/* The value's record. QK_ERR_CORRUPT if it is not there: what is listed and not gone is. */
static enum qk_err get_value(struct kv_get *get, struct kv_record *ret_record)
{
    struct kv_id id;
    enum qk_err err =
        kv_id_version(get->service, get->database->id, buf_bytes(&get->path), get->number, &id);

    *ret_record = (struct kv_record){.stored = {0, 0, DOC_RECORD_EMPTY}};
    if (err == QK_OK)
        err = kv_record_get(get->service, get->database, &id, ret_record);
    if (err == QK_OK && ret_record->stored.version == 0)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK)
        err = kv_authorize_read(get->service, get->exchange, &ret_record->stored);
    return err;
}

/* --- GET data --- */

static enum qk_err put_value(struct kv_get *get, struct bytes value, struct buf *out)
{
    json_t *metadata = kv_version_json(&get->found.meta, get->number, true);
    enum qk_err err = QK_ERR_NOMEM;

    buf_put_str(out, "{\"data\":");
    buf_put_bytes(out, value);
    buf_put_str(out, ",\"metadata\":");
    if (metadata != NULL)
        err = json_write(metadata, out);
    buf_put_u8(out, '}');
    json_decref(metadata);
    return err == QK_OK ? buf_error(out) : err;
}

static void data_reply(struct kv_get *get)
{
    struct buf text = BUF_SECRET_INIT(KV_VALUE_BYTES_MAX + KV_BODY_BYTES_MAX);
    struct kv_record value;
    enum qk_err err = get_value(get, &value);

    if (err == QK_OK)
        err = put_value(get, value.body, &text);
    if (err == QK_OK)
        vault_reply_text(get->exchange, 200, buf_bytes(&text));
    else
        kv_reply_err(get->service, get->exchange, err);
    kv_record_fini(&value);
    buf_fini(&text);
}

static void data_ready(struct service *service, struct exchange *exchange)
{
    const struct kv_version *version;
    struct kv_get get;

    if (get_open(&get, service, exchange) && (version = get_version(&get)) != NULL) {
        if (kv_version_is_gone(version, service_time_s(service)))
            reply_gone(&get, "data");
        else
            data_reply(&get);
    }
    get_close(&get);
}

void handle_kv_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, data_ready);
}

/* --- GET subkeys --- */

/* Every value but an object that is not empty becomes null, and so do objects `depth` deep. Without
 * recursion: `stack` holds the objects still to be looked at. */
static enum qk_err values_remove(json_t *data, uint64_t depth)
{
    struct level {
        json_t *object;
        void *at;
    } stack[SUBKEYS_DEPTH_MAX + 1];
    size_t n = 1;

    stack[0] = (struct level){data, json_object_iter(data)};
    while (n > 0) {
        struct level *level = &stack[n - 1];
        json_t *value;

        if (level->at == NULL) {
            n--;
            continue;
        }
        value = json_object_iter_value(level->at);
        if (json_object_size(value) > 0 && n < depth && n <= SUBKEYS_DEPTH_MAX) {
            level->at = json_object_iter_next(level->object, level->at);
            stack[n++] = (struct level){value, json_object_iter(value)};
            continue;
        }
        if (json_object_iter_set_new(level->object, level->at, json_null()) != 0)
            return QK_ERR_NOMEM;
        level->at = json_object_iter_next(level->object, level->at);
    }
    return QK_OK;
}

static void subkeys_reply(struct kv_get *get, uint64_t depth)
{
    struct doc_problem problem = {0};
    struct kv_record value;
    json_t *data = NULL;
    enum qk_err err = get_value(get, &value);

    if (err == QK_OK)
        err = json_parse(value.body, JSON_DEPTH_MAX, &problem, &data);
    if (err == QK_OK)
        err = values_remove(data, depth == 0 ? UINT64_MAX : depth);
    if (err == QK_OK)
        vault_reply(get->exchange, 200,
                    json_pack("{s:O, s:o}", "subkeys", data, "metadata",
                              kv_version_json(&get->found.meta, get->number, true)),
                    NULL, NULL);
    else
        kv_reply_err(get->service, get->exchange, err);
    json_decref(data);
    kv_record_fini(&value);
}

static void subkeys_ready(struct service *service, struct exchange *exchange)
{
    const struct kv_version *version;
    struct doc_problem problem = {0};
    struct kv_get get;
    uint64_t depth = 0;

    if (get_open(&get, service, exchange) && (version = get_version(&get)) != NULL) {
        if (param_u64(&exchange->request, "depth", &depth, &problem) != QK_OK)
            vault_reply_error(exchange, 400, "%s", problem.reason);
        else if (kv_version_is_gone(version, service_time_s(service)))
            reply_gone(&get, "subkeys");
        else
            subkeys_reply(&get, depth);
    }
    get_close(&get);
}

void handle_kv_subkeys(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, subkeys_ready);
}

/* --- GET metadata --- */

static void meta_ready(struct service *service, struct exchange *exchange)
{
    struct kv_get get;

    if (get_open(&get, service, exchange))
        vault_reply(exchange, 200, kv_meta_json(&get.found.meta), NULL, NULL);
    get_close(&get);
}

void handle_kv_meta_get(struct service *service, struct exchange *exchange)
{
    struct bytes list;

    if (request_param(&exchange->request, "list", &list) &&
        (bytes_equal(list, bytes_str("true")) || bytes_equal(list, bytes_str("1"))))
        handle_kv_list(service, exchange);
    else
        read_begin(service, exchange, meta_ready);
}

/* --- GET config --- */

static void config_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = kv_read_database(service, exchange);
    struct kv_record record;
    struct kv_config config;
    enum qk_err err;

    if (database == NULL)
        return;
    err = kv_config_get(service, database, &record, &config);
    if (err == QK_OK)
        err = kv_authorize_read(service, exchange, &record.stored);
    if (err == QK_OK)
        vault_reply(exchange, 200, kv_config_json(&config), NULL, NULL);
    else
        kv_reply_err(service, exchange, err);
    kv_record_fini(&record);
}

void handle_kv_config(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, config_ready);
}
