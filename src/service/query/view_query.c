/* A query of a view: read point -> design document -> group, up to date unless ?update= says else
 * -> rows. The rights to the database are asked again after the wait, and from then on at each
 * turn.
 */
#include <stdlib.h>
#include <string.h>

#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/query/view_handlers.h"
#include "service/query/view_load.h"
#include "service/query/view_read.h"

#define QUERIES_MAX 1000

struct view_query {
    struct service *service;
    struct exchange *exchange;
    uint8_t database[DATABASE_ID_BYTES];
    struct view_group *group;
    size_t view;
    enum view_kind kind;
    bool ids_hidden;
    struct view_wish *wishes;
    size_t wishes_n;
    bool many;
    enum view_update update; /* the most that any of its queries asks for */
};

static void query_free(struct view_query *query)
{
    while (query->wishes_n > 0)
        view_wish_fini(&query->wishes[--query->wishes_n]);
    free(query->wishes);
    views_release(query->group);
    free(query);
}

/* --- wishes --- */

static enum qk_err bad_body(struct doc_problem *problem, const char *reason)
{
    return doc_problem_set(problem, 400, "bad_request", "%s", reason);
}

/* NULL for a GET. */
static enum qk_err body_parse(const struct request *request, json_t **ret_body,
                              struct doc_problem *problem)
{
    enum qk_err err;

    if (request->method != METHOD_POST)
        return QK_OK;
    err = json_parse(request->body, JSON_DEPTH_MAX + 2, problem, ret_body);
    if (err == QK_OK && !json_is_object(*ret_body))
        err = bad_body(problem, "Request body must be a JSON object");
    return err;
}

/* Where rows lie as keyed hashes of their keys, those of one key can be found, and no others. */
static enum qk_err blind_check(const struct view_wish *wish, struct doc_problem *problem)
{
    bool one = wish->start != NULL && wish->end != NULL && json_equal(wish->start, wish->end) &&
               wish->inclusive_end;

    if (wish->keys != NULL || one)
        return QK_OK;
    return doc_problem_set(problem, 400, "query_parse_error",
                           "The index of this view is of kind blind: it can be asked for `key` or "
                           "`keys` alone, since no order of keys stands on the disk");
}

static enum qk_err kind_check(const struct view_query *query, const struct view_wish *wish,
                              struct doc_problem *problem)
{
    enum qk_err err = query->kind == VIEW_BLIND ? blind_check(wish, problem) : QK_OK;

    if (err == QK_OK && (wish->has_start_id || wish->has_end_id) &&
        (query->kind == VIEW_BLIND || (query->kind == VIEW_PLAIN && query->ids_hidden)))
        return doc_problem_set(problem, 400, "query_parse_error",
                               "The index of this view knows no order of document ids: "
                               "`startkey_docid` and `endkey_docid` cannot be used");
    return err;
}

static enum qk_err wish_check(const struct view_query *query, struct view_wish *wish,
                              const struct view *view, struct doc_problem *problem)
{
    bool has_reduce = view->reduce_text.len > 0 || view->reduce != REDUCE_NONE;
    enum qk_err err = view_wish_check(wish, has_reduce, problem);

    if (err == QK_OK)
        err = kind_check(query, wish, problem);
    return err == QK_OK ? view_range_check(wish, problem) : err;
}

/* One query, by URL and body together. */
static enum qk_err wishes_one(struct view_query *query, const struct view *view, const json_t *body,
                              struct doc_problem *problem)
{
    enum qk_err err;

    query->wishes = calloc(1, sizeof(*query->wishes));
    if (query->wishes == NULL)
        return QK_ERR_NOMEM;
    view_wish_init(&query->wishes[0]);
    query->wishes_n = 1;
    if (json_object_get(body, "queries") != NULL)
        return bad_body(problem, "The `queries` parameter is no longer supported at this endpoint");
    /* What the URL says counts, where the body says it too: so the body comes first. */
    err = body == NULL ? QK_OK : view_wish_body(&query->wishes[0], body, problem);
    if (err == QK_OK)
        err = view_wish_query(&query->wishes[0], &query->exchange->request, problem);
    query->update = query->wishes[0].update;
    return err == QK_OK ? wish_check(query, &query->wishes[0], view, problem) : err;
}

static enum qk_err wish_next(struct view_query *query, const struct view_wish *base,
                             const struct view *view, const json_t *json,
                             struct doc_problem *problem)
{
    struct view_wish *wish = &query->wishes[query->wishes_n];
    enum qk_err err = view_wish_copy(base, wish);

    query->wishes_n++;
    if (err == QK_OK && !json_is_object(json))
        err = bad_body(problem, "each of `queries` must be an object");
    if (err == QK_OK)
        err = view_wish_body(wish, json, problem);
    if (err == QK_OK)
        err = wish_check(query, wish, view, problem);
    if (wish->update == VIEW_UPDATE_TRUE || query->wishes_n == 1)
        query->update = wish->update;
    return err;
}

static enum qk_err wishes_many(struct view_query *query, const struct view *view,
                               const json_t *body, struct doc_problem *problem)
{
    const json_t *queries = json_object_get(body, "queries");
    struct view_wish base;
    enum qk_err err;
    size_t i;

    if (queries == NULL)
        return bad_body(problem, "POST body must include `queries` parameter.");
    if (!json_is_array(queries))
        return bad_body(problem, "`queries` member must be an array.");
    if (json_array_size(queries) > QUERIES_MAX)
        return bad_body(problem, "`queries` has more than 1000 members.");
    query->wishes = calloc(json_array_size(queries) + 1, sizeof(*query->wishes));
    if (query->wishes == NULL)
        return QK_ERR_NOMEM;
    view_wish_init(&base);
    err = view_wish_query(&base, &query->exchange->request, problem);
    for (i = 0; err == QK_OK && i < json_array_size(queries); i++)
        err = wish_next(query, &base, view, json_array_get(queries, i), problem);
    view_wish_fini(&base);
    return err;
}

static enum qk_err wishes_parse(struct view_query *query, const struct view *view,
                                struct doc_problem *problem)
{
    json_t *body = NULL;
    enum qk_err err = body_parse(&query->exchange->request, &body, problem);

    if (err == QK_OK)
        err = query->many ? wishes_many(query, view, body, problem)
                          : wishes_one(query, view, body, problem);
    json_decref(body);
    return err;
}

/* --- the wait --- */

static void reply_err(struct service *service, struct exchange *exchange, enum qk_err err)
{
    if (err == QK_ERR_FULL)
        exchange_reply_error(exchange, 507, "insufficient_storage",
                             "the rows of this design document's views need more room than "
                             "[index] memory_mib allows on this node, or of kind plain or blind, "
                             "than its disk has");
    else if (err == QK_ERR_UNSUPPORTED)
        exchange_reply_error(exchange, 400, "key_too_long", "%s", VIEWS_KEY_TOO_LONG);
    else if (err == QK_ERR_TIMEOUT)
        exchange_reply_error(exchange, 500, "os_process_error",
                             "the maps of this design document were too slow, or took too much "
                             "memory, for several documents");
    else if (err == QK_ERR_CLOSED)
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
    else
        submit_reply_err(service, exchange, err);
}

/* Whoever may read it now: rights and the database may have gone during the wait. */
static void query_show(struct view_query *query)
{
    struct service *service = query->service;
    struct exchange *exchange = query->exchange;
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct view_read *read;
    enum qk_err err;

    if (database == NULL || memcmp(database->id, query->database, DATABASE_ID_BYTES) != 0) {
        if (database != NULL)
            exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
        query_free(query);
        return;
    }
    err = view_read_new(service, exchange, database, query->group, query->view, query->wishes,
                        query->wishes_n, query->many, &read);
    if (query->update == VIEW_UPDATE_LAZY)
        views_refresh(query->group);
    free(query); /* the rest of it was taken over */
    if (err == QK_OK)
        view_read_start(read);
    else
        submit_reply_err(service, exchange, err);
}

static void query_current(void *arg, enum qk_err err)
{
    struct view_query *query = arg;

    if (err == QK_OK && !service_is_open(query->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK) {
        query_show(query);
        return;
    }
    reply_err(query->service, query->exchange, err);
    query_free(query);
}

static enum qk_err query_open(struct view_query *query, const struct catalog_database *database,
                              struct doc_problem *problem)
{
    const struct request *request = &query->exchange->request;
    struct buf name = BUF_INIT(DOC_ID_BYTES_MAX);
    struct view_design *design;
    const struct view *view;
    enum qk_err err = view_load_runnable(query->service, query->exchange, database,
                                         request->segments[2], problem, &design);

    if (err != QK_OK)
        return err;
    view = view_find(design, request->segments[4]);
    if (view == NULL)
        err = doc_problem_set(problem, 404, "not_found", "missing_named_view");
    else
        query->view = (size_t)(view - design->views);
    query->kind = design->kind;
    query->ids_hidden = database->ids_hidden;
    if (err == QK_OK)
        err = wishes_parse(query, view, problem);
    buf_put_str(&name, "_design/");
    buf_put_bytes(&name, request->segments[2]);
    if (err == QK_OK)
        err = views_open(query->service, database, buf_bytes(&name), design, &query->group);
    if (err != QK_OK)
        view_design_free(design);
    buf_fini(&name);
    return err;
}

static void query_ready(struct service *service, struct exchange *exchange, bool many)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct view_query *query;
    struct doc_problem problem = {0};
    struct store_stats stats;
    enum qk_err err;

    if (database == NULL)
        return;
    query = calloc(1, sizeof(*query));
    if (query == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *query = (struct view_query){.service = service, .exchange = exchange, .many = many};
    memcpy(query->database, database->id, DATABASE_ID_BYTES);
    err = query_open(query, database, &problem);
    if (err != QK_OK) {
        if (err == QK_ERR_FULL)
            reply_err(service, exchange, err);
        else
            exchange_reply_problem_or(exchange, &problem, err);
        query_free(query);
        return;
    }
    if (query->update != VIEW_UPDATE_TRUE && views_is_ready(query->group)) {
        query_show(query);
        return;
    }
    store_database_stats(service->store, query->database, &stats);
    err = views_wait(query->group, query->update == VIEW_UPDATE_TRUE ? stats.seq : 0, query_current,
                     query);
    if (err != QK_OK)
        query_current(query, err);
}

static void one_ready(struct service *service, struct exchange *exchange)
{
    query_ready(service, exchange, false);
}

static void many_ready(struct service *service, struct exchange *exchange)
{
    query_ready(service, exchange, true);
}

void handle_view(struct service *service, struct exchange *exchange)
{
    if (exchange->request.method == METHOD_POST && request_wants_json(exchange) != QK_OK)
        return;
    read_begin(service, exchange, one_ready);
}

void handle_view_queries(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, many_ready);
}
