/* Writing secrets, on the leader: parse -> in line with other writes to the same -> evaluate
 * (kv_evaluate.c) -> one batch of a command -> answer. */
#include "service/secrets/kv_write.h"

#include <stdlib.h>
#include <string.h>

#include "service/secrets/kv_read.h"
#include "service/offload_uv.h"
#include "service/request.h"
#include "service/submit.h"
#include "service/vault.h"
#include "store/store.h"

static enum qk_err kv_write_evaluate(void *arg, struct wire_command *command)
{
    struct kv_write *write = arg;

    return write->done ? QK_OK : kv_evaluate(write, command);
}

static void kv_write_result(void *arg, size_t at, const struct wire_result *result)
{
    struct kv_write *write = arg;

    (void)at;
    write->done = write->done || result->ok;
}

static void write_free(struct kv_write *write)
{
    json_decref(write->answer.data);
    kv_wish_fini(&write->wish);
    buf_fini(&write->path);
    free(write);
}

static void reply_answer(struct kv_write *write)
{
    struct kv_answer *answer = &write->answer;

    if (answer->data != NULL || answer->warning != NULL) {
        vault_reply(write->exchange, answer->status == 204 ? 200 : answer->status, answer->data,
                    NULL, answer->warning);
        answer->data = NULL;
    } else if (answer->status == 204) {
        vault_reply_done(write->exchange);
    } else if (answer->status == 200) {
        exchange_reply_err(write->exchange, QK_ERR_NOMEM); /* written, but not told */
    } else {
        vault_reply_error(write->exchange, answer->status, "%s", answer->message);
    }
}

static void write_done(void *arg, enum qk_err err)
{
    struct kv_write *write = arg;

    if (write->done)
        err = QK_OK;
    if (err == QK_OK)
        reply_answer(write);
    else if (err == QK_ERR_TOO_BIG)
        vault_reply_error(write->exchange, 413, "the value is larger than %zu bytes",
                          (size_t)KV_VALUE_BYTES_MAX);
    else
        kv_reply_err(write->service, write->exchange, err);
    write_free(write);
}

static const struct submit_ops write_ops = {kv_write_evaluate, kv_write_result, write_done};

/* --- in line --- */

#define LATCHES_MAX (KV_PATH_PARTS_MAX + 1)

/* The records that are written over, so that writes to them stand in line; for the folders only if
 * they seem to change: a new version of what is there touches none. */
static enum qk_err latches_make(struct kv_write *write, const struct catalog_database *database,
                                struct record_key *keys, size_t *ret_n)
{
    struct bytes path = buf_bytes(&write->path);
    struct kv_id id = kv_id_config();
    struct record record;
    enum qk_err err = QK_OK;
    size_t n = 0;

    if (path.len > 0)
        err = kv_id_name(write->service, database->id, path, &id);
    if (err != QK_OK)
        return err;
    keys[n++] = record_document(database->id, kv_id_bytes(&id));
    if (write->wish.verb != KV_META_DELETE &&
        store_get(write->service->store, record_key_bytes(&keys[0]), &record) == QK_OK)
        path = BYTES_NONE;
    for (path = kv_path_folder(path); path.len > 0 && err == QK_OK; path = kv_path_folder(path)) {
        err = kv_id_name(write->service, database->id, path, &id);
        keys[n++] = record_document(database->id, kv_id_bytes(&id));
    }
    *ret_n = n;
    return err;
}

static enum qk_err write_submit(struct kv_write *write)
{
    const struct catalog_database *database;
    struct bytes views[LATCHES_MAX];
    struct record_key *keys;
    size_t n = 0;
    enum qk_err err = QK_OK;

    if (!service_is_open(write->service))
        return QK_ERR_SEALED;
    database = catalog_database_find(write->service->catalog, bytes_str(KV_DATABASE));
    keys = calloc(LATCHES_MAX, sizeof(*keys));
    if (keys == NULL)
        return QK_ERR_NOMEM;
    if (database != NULL)
        err = latches_make(write, database, keys, &n);
    for (size_t i = 0; i < n; i++)
        views[i] = record_key_bytes(&keys[i]);
    if (err == QK_OK)
        err = submit_start(write->service, views, n, &write_ops, write);
    free(keys);
    return err;
}

/* --- the request --- */

static void write_parse(void *arg)
{
    struct kv_write *write = arg;

    write->err = kv_wish_parse(write->wish.verb, write->exchange->request.body, &write->wish,
                               &write->problem);
}

static void write_parsed(void *arg, enum qk_err err)
{
    struct kv_write *write = arg;

    if (err == QK_OK)
        err = write->err;
    if (err == QK_ERR_INVALID && write->problem.status != 0) {
        vault_reply_error(write->exchange, 400, "%s", write->problem.reason);
        write_free(write);
        return;
    }
    if (err == QK_OK)
        err = write_submit(write);
    if (err != QK_OK)
        write_done(write, err);
}

/* A page of another site can have a browser POST a form, with the password that the browser keeps;
 * but not as JSON. Tokens are sent by who knows them, and Vault's clients name no type. */
static const char *type_problem(const struct request *request, enum kv_verb verb)
{
    if (verb == KV_PATCH || verb == KV_META_PATCH)
        return request_has_type(request, "application/merge-patch+json")
                   ? NULL
                   : "PATCH requires Content-Type: application/merge-patch+json";
    if (request->method == METHOD_POST && request->who.kind == PRINCIPAL_USER &&
        !principal_has_token(&request->who) && !request_is_json(request))
        return "with a password, Content-Type must be application/json";
    return NULL;
}

static void write_begin(struct service *service, struct exchange *exchange, enum kv_verb verb)
{
    const char *reason = type_problem(&exchange->request, verb);
    struct kv_write *write;

    if (reason != NULL) {
        vault_reply_error(exchange, 415, "%s", reason);
        return;
    }
    write = calloc(1, sizeof(*write));
    if (write == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    write->service = service;
    write->exchange = exchange;
    write->wish.verb = verb;
    write->path = BUF_SECRET_INIT(KV_PATH_BYTES_MAX);
    if (verb != KV_CONFIG_PUT &&
        kv_path_take(&exchange->request, KV_PATH_SEGMENT, &write->path, &reason) != QK_OK) {
        vault_reply_error(exchange, 400, "%s", reason);
        write_free(write);
        return;
    }
    offload_run(service, exchange->request.body.len, write_parse, write_parsed, write);
}

void handle_kv_put(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_PUT);
}

void handle_kv_patch(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_PATCH);
}

void handle_kv_delete(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_DELETE);
}

void handle_kv_delete_versions(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_DELETE_VERSIONS);
}

void handle_kv_undelete(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_UNDELETE);
}

void handle_kv_destroy(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_DESTROY);
}

void handle_kv_meta_put(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_META_PUT);
}

void handle_kv_meta_patch(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_META_PATCH);
}

void handle_kv_meta_delete(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_META_DELETE);
}

void handle_kv_config_put(struct service *service, struct exchange *exchange)
{
    write_begin(service, exchange, KV_CONFIG_PUT);
}
