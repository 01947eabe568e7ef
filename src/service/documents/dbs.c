/* Lists of databases: their names, and what is known of each. Both are the administrators', who see
 * all of them. */
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "service/documents/db.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/tasks.h"

/* As many at a time as CouchDB tells of (max_db_number_for_dbs_info_req). */
#define DBS_INFO_KEYS_MAX 100

/* --- GET /_all_dbs --- */

struct all_dbs {
    struct buf start, end;
    bool has_start, has_end, descending;
    uint64_t limit, skip;
    json_t *names; /* ascending */
    bool failed;
};

static bool all_dbs_each(void *arg, const struct catalog_database *database)
{
    struct all_dbs *all = arg;
    struct bytes name = bytes_str(database->name);
    /* Descending, startkey is the greater end. */
    const struct buf *low = all->descending ? &all->end : &all->start;
    const struct buf *high = all->descending ? &all->start : &all->end;
    bool has_low = all->descending ? all->has_end : all->has_start;
    bool has_high = all->descending ? all->has_start : all->has_end;

    if (database->name[0] == '_') /* the system's own: no route leads to it */
        return true;
    if (has_low && bytes_compare(name, buf_bytes(low)) < 0)
        return true;
    if (has_high && bytes_compare(name, buf_bytes(high)) > 0)
        return false;
    all->failed = json_array_append_new(all->names, json_string(database->name)) != 0;
    return !all->failed;
}

static enum qk_err all_dbs_params(const struct request *request, struct all_dbs *all,
                                  struct doc_problem *problem)
{
    static const char *const start[] = {"startkey", "start_key"};
    static const char *const end[] = {"endkey", "end_key"};
    enum qk_err err;

    err = param_json_string(request, start, 2, &all->start, &all->has_start, problem);
    if (err == QK_OK)
        err = param_json_string(request, end, 2, &all->end, &all->has_end, problem);
    if (err == QK_OK)
        err = param_bool(request, "descending", &all->descending, problem);
    if (err == QK_OK)
        err = param_u64(request, "limit", &all->limit, problem);
    if (err == QK_OK)
        err = param_u64(request, "skip", &all->skip, problem);
    return err;
}

/* The page of `names` that was asked for; NULL without memory. */
static json_t *all_dbs_page(const struct all_dbs *all)
{
    size_t n = json_array_size(all->names);
    json_t *page = json_array();
    size_t i;

    for (i = all->skip < n ? (size_t)all->skip : n; i < n; i++) {
        size_t at = all->descending ? n - 1 - i : i;

        if (i - all->skip >= all->limit)
            break;
        if (json_array_append(page, json_array_get(all->names, at)) != 0) {
            json_decref(page);
            return NULL;
        }
    }
    return page;
}

/* {"key": name, "info": {...}}; NULL without memory. */
static json_t *info_row(struct service *service, struct exchange *exchange, json_t *name)
{
    const struct catalog_database *database =
        catalog_database_find(service->catalog, json_bytes(name));
    json_t *info;

    if (database == NULL || database->name[0] == '_')
        return json_pack("{s:O, s:s}", "key", name, "error", "not_found");
    info = db_info(service, exchange, database);
    return info == NULL ? NULL : json_pack("{s:O, s:o}", "key", name, "info", info);
}

/* Of each of `names`; NULL without memory. */
static json_t *info_rows(struct service *service, struct exchange *exchange, const json_t *names)
{
    json_t *rows = json_array();
    size_t i;

    for (i = 0; i < json_array_size(names); i++) {
        if (json_array_append_new(rows, info_row(service, exchange, json_array_get(names, i))) !=
            0) {
            json_decref(rows);
            return NULL;
        }
    }
    return rows;
}

/* Takes over `page`. */
static void dbs_reply(struct service *service, struct exchange *exchange, json_t *page,
                      bool with_info)
{
    json_t *rows = with_info ? info_rows(service, exchange, page) : json_incref(page);

    json_decref(page);
    exchange_reply_json(exchange, 200, rows);
}

static bool is_info(const struct exchange *exchange)
{
    return bytes_equal(exchange->request.segments[0], bytes_str("_dbs_info"));
}

static void all_dbs_ready(struct service *service, struct exchange *exchange)
{
    struct all_dbs all = {.start = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX),
                          .end = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX),
                          .limit = UINT64_MAX,
                          .names = json_array()};
    struct doc_problem problem = {0};
    json_t *page = NULL;
    enum qk_err err;

    err = all_dbs_params(&exchange->request, &all, &problem);
    if (err == QK_OK) {
        catalog_databases_each(service->catalog, all_dbs_each, &all);
        page = all.failed ? NULL : all_dbs_page(&all);
        err = page == NULL ? QK_ERR_NOMEM : QK_OK;
    }
    if (err == QK_OK)
        dbs_reply(service, exchange, page, is_info(exchange));
    else
        exchange_reply_problem_or(exchange, &problem, err);
    json_decref(all.names);
    buf_fini(&all.start);
    buf_fini(&all.end);
}

void handle_all_dbs(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, all_dbs_ready);
}

/* --- POST /_dbs_info --- */

static enum qk_err keys_read(const struct request *request, struct doc_problem *problem,
                             json_t **ret_keys)
{
    json_t *body, *keys, *key;
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, problem, &body);
    size_t i;

    if (err != QK_OK)
        return err;
    keys = json_object_get(body, "keys");
    if (keys == NULL)
        err = doc_problem_set(problem, 400, "bad_request", "`keys` member must exist.");
    else if (!json_is_array(keys))
        err = doc_problem_set(problem, 400, "bad_request", "`keys` member must be an array.");
    else if (json_array_size(keys) > DBS_INFO_KEYS_MAX)
        err = doc_problem_set(problem, 400, "bad_request", "too_many_keys");
    json_array_foreach(keys, i, key)
    {
        if (err == QK_OK && !json_is_string(key))
            err = doc_problem_set(problem, 400, "bad_request", "each of `keys` must be a text");
    }
    if (err == QK_OK)
        *ret_keys = json_incref(keys);
    json_decref(body);
    return err;
}

static void dbs_info_ready(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    json_t *keys;
    enum qk_err err = keys_read(&exchange->request, &problem, &keys);

    if (err == QK_OK)
        dbs_reply(service, exchange, keys, true);
    else
        exchange_reply_problem_or(exchange, &problem, err);
}

void handle_dbs_info(struct service *service, struct exchange *exchange)
{
    if (exchange->request.method != METHOD_POST)
        read_begin(service, exchange, all_dbs_ready);
    else if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, dbs_info_ready);
}

/* --- GET /_active_tasks, POST /{db}/_compact --- */

void handle_active_tasks(struct service *service, struct exchange *exchange)
{
    exchange_reply_json(exchange, 200, tasks_json(service));
}

static void compact_ready(struct service *service, struct exchange *exchange)
{
    if (read_database(service, exchange, ACCESS_DB_ADMIN) != NULL)
        exchange_reply_json(exchange, 202, json_pack("{s:b}", "ok", 1));
}

/* Nothing is to be done: a page of the store that is free is used again. */
void handle_compact(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, compact_ready);
}
