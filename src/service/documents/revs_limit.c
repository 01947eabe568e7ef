/* GET, PUT /{db}/_revs_limit: how many revisions of each branch are remembered. */
#include <stdlib.h>

#include "doc/json.h"
#include "doc/record.h"
#include "service/authorize.h"
#include "service/change.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/read.h"

static void limit_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);

    if (database != NULL)
        exchange_reply_json(exchange, 200, json_integer(database->revs_limit));
}

void handle_revs_limit(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, limit_ready);
}

struct limit_change {
    struct change change; /* first */
    uint32_t limit;
};

static const struct catalog_database *database_find(const struct change *change)
{
    return catalog_database_find(change->service->catalog, change->exchange->request.segments[0]);
}

static enum qk_err limit_evaluate(struct change *change, struct wire_command *command)
{
    const struct catalog_database *now = database_find(change);
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    struct catalog_database next;
    enum qk_err err = authorize_exchange(change->service, change->exchange, now, ACCESS_DB_ADMIN);

    if (err != QK_OK) {
        change_refuse_err(change, err);
        return QK_OK;
    }
    if (now == NULL) {
        change_refuse(change, 404, "not_found", "Database does not exist.");
        return QK_OK;
    }
    next = *now; /* its lists stay the catalog's */
    next.revs_limit = ((const struct limit_change *)(const void *)change)->limit;
    err = catalog_database_seal(change->service, &next, now->record_version + 1, &value);
    if (err == QK_OK) {
        change_batch(change, NULL, command);
        wire_command_put(command, bytes_of(now->key, CATALOG_KEY_BYTES), now->record_version + 1, 0,
                         buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static void limit_applied(struct change *change)
{
    exchange_reply_json(change->exchange, 200, json_pack("{s:b}", "ok", 1));
}

static void limit_free(struct change *change)
{
    free(change);
}

static const struct change_ops LIMIT_OPS = {limit_evaluate, limit_applied, limit_free};

static enum qk_err limit_parse(const struct request *request, uint32_t *ret_limit,
                               struct doc_problem *problem)
{
    json_t *value = NULL;
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, problem, &value);
    json_int_t limit = json_integer_value(value);

    if (err == QK_OK && (!json_is_integer(value) || limit < 1 || limit > DOC_RECORD_PATH_MAX))
        err = doc_problem_set(problem, 400, "bad_request",
                              "`revs_limit` must be a positive integer of at most %d",
                              DOC_RECORD_PATH_MAX);
    if (err == QK_OK)
        *ret_limit = (uint32_t)limit;
    json_decref(value);
    return err;
}

void handle_revs_limit_put(struct service *service, struct exchange *exchange)
{
    struct limit_change *work = calloc(1, sizeof(*work));
    struct doc_problem problem = {0};
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = work == NULL ? QK_ERR_NOMEM : QK_OK;

    if (err == QK_OK)
        err = limit_parse(&exchange->request, &work->limit, &problem);
    if (err == QK_OK && !service_is_open(service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = catalog_name_key(service, exchange->request.segments[0], key);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        free(work);
        return;
    }
    work->change.service = service;
    work->change.exchange = exchange;
    work->change.ops = &LIMIT_OPS;
    change_start(&work->change, key);
}
