#include "service/documents/db_encryption.h"

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/problem.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/bodies.h"
#include "service/keys_current.h"
#include "service/kv.h"
#include "service/params.h"
#include "service/read.h"
#include "service/reencrypt_record.h"
#include "service/submit.h"

static const uint8_t no_key[KEY_ID_BYTES];

_Static_assert(sizeof(((struct db_encryption *)NULL)->key_name) == KEY_NAME_BYTES_MAX + 1, "names");

/* --- telling --------------------------------------------------------------------------------- */

static const char *bodies_text(enum catalog_bodies bodies)
{
    switch (bodies) {
    case BODIES_SEALED:
        return "encrypted";
    case BODIES_CLEAR:
        return "clear";
    case BODIES_WERE_CLEAR:
        return "being encrypted";
    }
    return "unknown";
}

json_t *db_encryption_json(const struct service *service, const struct catalog_database *database)
{
    struct bytes name = keyring_name(service->keyring, database->default_key);
    bool has_key = memcmp(database->default_key, no_key, KEY_ID_BYTES) != 0;

    return json_pack("{s:s, s:o, s:s}", "bodies", bodies_text(database->bodies), "key_id",
                     has_key ? json_stringn((const char *)name.data, name.len) : json_null(), "ids",
                     database->ids_hidden ? "hidden" : "clear");
}

static void encryption_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);

    if (database == NULL)
        return;
    if (bodies_are_clear(database))
        exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
    exchange_reply_json(exchange, 200, db_encryption_json(service, database));
}

void handle_db_encryption(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, encryption_ready);
}

struct listing {
    const struct service *service;
    json_t *list;
};

static bool list_one(void *arg, const struct catalog_database *database)
{
    struct listing *listing = arg;
    json_t *one = db_encryption_json(listing->service, database);

    (void)json_object_set_new(one, "name", json_string(database->name));
    return json_array_append_new(listing->list, one) == 0;
}

static void databases_ready(struct service *service, struct exchange *exchange)
{
    struct listing listing = {service, json_array()};

    catalog_databases_each(service->catalog, list_one, &listing);
    exchange_reply_json(exchange, 200, json_pack("{s:o}", "databases", listing.list));
}

void handle_databases(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, databases_ready);
}

/* --- a wish ---------------------------------------------------------------------------------- */

static bool take_key(struct db_encryption *wish, struct bytes name)
{
    if (name.len > KEY_NAME_BYTES_MAX || (name.len > 0 && memchr(name.data, 0, name.len) != NULL))
        return false;
    wish->has_key = true;
    if (name.len > 0)
        memcpy(wish->key_name, name.data, name.len);
    wish->key_name[name.len] = '\0';
    return true;
}

enum qk_err db_encryption_params(const struct request *request, struct db_encryption *ret_wish,
                                 struct doc_problem *ret_problem)
{
    struct bytes name;

    *ret_wish = (struct db_encryption){.has_key = false};
    if (request_param(request, "key_id", &name) && (name.len == 0 || !take_key(ret_wish, name)))
        return doc_problem_set(ret_problem, 400, "bad_request", "key_id must be a key's name");
    if (request_param(request, "ids", &name)) {
        ret_wish->ids_hidden = bytes_equal(name, bytes_str("hidden"));
        if (!ret_wish->ids_hidden && !bytes_equal(name, bytes_str("clear")))
            return doc_problem_set(ret_problem, 400, "bad_request", "ids must be clear or hidden");
    }
    ret_wish->has_clear = request_param(request, "clear", &name);
    return param_bool(request, "clear", &ret_wish->clear, ret_problem);
}

enum qk_err db_encryption_apply(const struct service *service, const struct db_encryption *wish,
                                bool is_new, struct catalog_database *database)
{
    struct key_policy policy = key_policy_of(service);
    uint32_t version;
    enum qk_err err = QK_OK;

    if (database->name[0] == '_' && wish->has_clear && wish->clear)
        return QK_ERR_DENIED; /* the system's own are never clear */
    if (wish->has_key && wish->key_name[0] == '\0')
        memset(database->default_key, 0, KEY_ID_BYTES);
    else if (wish->has_key)
        err = keyring_find(service->keyring, bytes_str(wish->key_name), database->default_key,
                           &version);
    if (err != QK_OK)
        return err;
    if (is_new)
        database->ids_hidden = wish->ids_hidden;
    if (is_new)
        database->bodies =
            (wish->has_clear && wish->clear) ||
                    (!wish->has_clear && !wish->has_key && !policy.encrypt_by_default)
                ? BODIES_CLEAR
                : BODIES_SEALED;
    else if (wish->has_clear && wish->clear)
        database->bodies = BODIES_CLEAR;
    else if (wish->has_clear && database->bodies == BODIES_CLEAR)
        database->bodies = BODIES_WERE_CLEAR;
    return QK_OK;
}

/* --- changing it ----------------------------------------------------------------------------- */

struct change {
    struct service *service;
    struct exchange *exchange;
    struct db_encryption wish;
    struct buf name;
    json_t *reply;
    enum qk_err refused;
    bool done, clear;
};

static enum qk_err change_put(struct change *change, const struct catalog_database *next,
                              bool reencrypts, struct wire_command *command)
{
    struct service *service = change->service;
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err = catalog_database_seal(service, next, next->record_version + 1, &value);

    if (err == QK_OK) {
        wire_command_batch(command);
        keys_cond(service, command, keyring_catalog_id);
        authorize_conditions(service, &change->exchange->request.who, NULL, command);
        wire_command_put(command, bytes_of(next->key, CATALOG_KEY_BYTES), next->record_version + 1,
                         0, buf_bytes(&value));
        if (reencrypts)
            err = reencrypt_want(service->store, true, command);
    }
    buf_fini(&value);
    return err;
}

/* The older bodies of a database that was clear are sealed by re-encryption, whose order stands in
 * the same batch. */
static enum qk_err change_evaluate(void *arg, struct wire_command *command)
{
    struct change *change = arg;
    struct service *service = change->service;
    const struct catalog_database *database =
        catalog_database_find(service->catalog, buf_bytes(&change->name));
    struct catalog_database next;
    enum qk_err err;

    if (change->done)
        return QK_OK;
    err = authorize_user(service, &change->exchange->request.who, ACCESS_CLUSTER);
    if (err == QK_OK && database == NULL)
        err = QK_ERR_NOT_FOUND;
    if (err == QK_OK) {
        next = *database; /* its lists stay the catalog's */
        err = db_encryption_apply(service, &change->wish, false, &next);
        if (err == QK_ERR_NOT_FOUND)
            err = QK_ERR_INVALID;
    }
    change->refused = err;
    if (err != QK_OK)
        return err == QK_ERR_SEALED || err == QK_ERR_NOMEM ? err : QK_OK;
    json_decref(change->reply);
    change->reply = db_encryption_json(service, &next);
    change->clear = bodies_are_clear(&next);
    return change_put(change, &next,
                      next.bodies == BODIES_WERE_CLEAR && database->bodies == BODIES_CLEAR,
                      command);
}

static void change_result(void *arg, size_t at, const struct wire_result *result)
{
    struct change *change = arg;

    (void)at;
    change->done = change->done || result->ok;
}

static void change_reply(struct change *change, enum qk_err err)
{
    struct exchange *exchange = change->exchange;

    if (change->done) {
        audit_event(change->service->audit, "db_encryption", "by", exchange->from, "bodies",
                    change->clear ? "clear" : "encrypted", NULL);
        if (change->clear)
            exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
        exchange_reply_json(exchange, 200, json_incref(change->reply));
    } else if (err != QK_OK) {
        submit_reply_err(change->service, exchange, err);
    } else if (change->refused == QK_ERR_INVALID) {
        exchange_reply_error(exchange, 400, "bad_request", "there is no data key of that name");
    } else if (change->refused == QK_ERR_NOT_FOUND) {
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
    } else {
        submit_reply_err(change->service, exchange,
                         change->refused != QK_OK ? change->refused : QK_ERR_CONFLICT);
    }
}

static void change_done(void *arg, enum qk_err err)
{
    struct change *change = arg;

    change_reply(change, err);
    json_decref(change->reply);
    buf_fini(&change->name);
    free(change);
}

static const struct submit_ops change_ops = {change_evaluate, change_result, change_done};

/* False: answered. */
static bool change_read(struct change *change)
{
    struct bytes body = change->exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(json) && json_object_size(json) > 0;
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        if (strcmp(name, "key_id") == 0 && json_is_null(value))
            good = good && take_key(&change->wish, BYTES_NONE);
        else if (strcmp(name, "key_id") == 0 && json_is_string(value))
            good = good && json_string_length(value) > 0 &&
                   take_key(&change->wish,
                            bytes_of(json_string_value(value), json_string_length(value)));
        else if (strcmp(name, "clear") == 0 && json_is_boolean(value)) {
            change->wish.has_clear = true;
            change->wish.clear = json_is_true(value);
        } else
            good = false;
    }
    json_decref(json);
    if (!good)
        exchange_reply_error(change->exchange, 400, "bad_request",
                             "the body is {\"key_id\": NAME or null, \"clear\": true or false}, or "
                             "one of the two");
    return good;
}

static enum qk_err change_start(struct change *change)
{
    uint8_t key[CATALOG_KEY_BYTES];
    struct bytes view = bytes_of(key, sizeof(key));
    enum qk_err err = buf_error(&change->name);

    if (err == QK_OK)
        err = catalog_name_key(change->service, buf_bytes(&change->name), key);
    return err != QK_OK ? err : submit_start(change->service, &view, 1, &change_ops, change);
}

void handle_db_encryption_put(struct service *service, struct exchange *exchange)
{
    struct change *change;
    enum qk_err err;

    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    change = calloc(1, sizeof(*change));
    if (change == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *change = (struct change){
        .service = service, .exchange = exchange, .name = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX)};
    if (!change_read(change)) {
        free(change);
        return;
    }
    buf_put_bytes(&change->name, kv_database_name(&exchange->request));
    err = change_start(change);
    if (err != QK_OK)
        change_done(change, err);
}
