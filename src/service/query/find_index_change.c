/* POST /{db}/_index, DELETE /{db}/_index/{design}/json/{name}, POST /{db}/_index/_bulk_delete.
 *
 * An index is a view of a design document, so each change is a write of that document as any other,
 * with the same rights (its administrators'): read, changed and written in one evaluation, and
 * again if another write came between. Several (_bulk_delete) are done one after the other. */
#include <assert.h>
#include <stdlib.h>

#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/query/find_index_wish.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write.h"

struct index_change {
    struct service *service;
    struct exchange *exchange;
    struct find_index_wish wish; /* view NULL: to be removed; no name: all of the document */
    struct write write;
    struct document document;
    struct doc_problem problem; /* status 0: none */
    bool same;                  /* nothing is to be done: it is there, or not there */

    json_t *ids; /* _bulk_delete: those to go */
    size_t id_at;
    json_t *success, *fail;
};

static void change_free(struct index_change *change)
{
    find_index_wish_fini(&change->wish);
    document_fini(&change->document);
    json_decref(change->ids);
    json_decref(change->success);
    json_decref(change->fail);
    free(change);
}

/* --- evaluation --- */

/* The design document as it stands, with its _id, _rev and attachments as stubs; NULL: none. */
static enum qk_err design_read(struct index_change *change, const struct catalog_database *database,
                               struct bytes name, const struct doc_leaf *leaf, json_t **ret_design)
{
    static const struct document_options no_options = {0};
    struct buf plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    struct buf text = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    struct doc_problem problem = {0};
    struct document_parts parts;
    enum qk_err err;

    err =
        authorize_exchange_key(change->service, change->exchange, leaf->key_id, ACCESS_KEY_DECRYPT);
    if (err == QK_OK)
        err = stored_open(change->service, database->id, name, leaf, &plain, &parts);
    if (err == QK_OK) {
        document_write(change->write.id, leaf, &parts, &no_options, &text);
        err = buf_error(&text);
    }
    if (err == QK_OK)
        err = json_parse(buf_bytes(&text), JSON_DEPTH_MAX + 2, &problem, ret_design);
    buf_fini(&plain);
    buf_fini(&text);
    return err;
}

static enum qk_err design_find(struct index_change *change, json_t **ret_design)
{
    const struct catalog_database *database;
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key;
    enum qk_err err;

    database = catalog_database_find(change->service->catalog, change->write.database_name);
    err = authorize_exchange(change->service, change->exchange, database, ACCESS_DB_ADMIN);
    if (err != QK_OK || database == NULL)
        return err;
    err =
        doc_name_of_id(change->service, database->id, database->ids_hidden, change->write.id, &key);
    if (err == QK_OK)
        err = stored_get(change->service, database->id, record_key_name(record_key_bytes(&key)),
                         &stored);
    if (err == QK_OK && stored.record.leaves_n > 0 && !stored.record.leaves[0].deleted)
        err = design_read(change, database, record_key_name(record_key_bytes(&key)),
                          &stored.record.leaves[0], ret_design);
    stored_fini(&stored);
    return err;
}

/* What the design document is to become; NULL: it is so already. */
static enum qk_err design_make(struct index_change *change, json_t **ret_made)
{
    const struct find_index_wish *wish = &change->wish;
    json_t *design = NULL;
    enum qk_err err = design_find(change, &design);

    *ret_made = NULL;
    if (err == QK_OK && wish->view != NULL)
        err = find_design_add(design, change->write.id, buf_bytes(&wish->name), wish->view,
                              wish->kind, &change->problem, ret_made);
    else if (err == QK_OK && design != NULL)
        err = find_design_remove(design, buf_bytes(&wish->name), ret_made);
    json_decref(design);
    return err;
}

/* Problems of the client's end the change; they are told after the read point. */
static enum qk_err note(struct index_change *change, enum qk_err err)
{
    if (err == QK_ERR_INVALID && change->problem.status != 0)
        return QK_OK;
    if (err == QK_ERR_DENIED) {
        (void)doc_problem_set(&change->problem, 403, "forbidden",
                              "You may not change this design document.");
        return QK_OK;
    }
    return err;
}

static enum qk_err change_evaluate(void *arg, struct wire_command *command)
{
    struct index_change *change = arg;
    json_t *made = NULL;
    enum qk_err err;

    if (change->write.state != WRITE_OPEN || change->problem.status != 0 || change->same)
        return QK_OK;
    err = design_make(change, &made);
    change->same = err == QK_OK && made == NULL;
    document_fini(&change->document);
    if (err == QK_OK && made != NULL)
        err = document_from_json(made, &change->document, &change->problem);
    if (err == QK_OK && made != NULL) /* ?key_id=: whoever may decrypt under it has the index */
        err = request_key(&change->exchange->request, &change->document, &change->problem);
    json_decref(made);
    if (err != QK_OK || change->same)
        return note(change, err);
    return write_evaluate(change->service, &change->write, command);
}

static void change_result(void *arg, size_t at, const struct wire_result *result)
{
    struct index_change *change = arg;

    (void)at;
    if (result->ok)
        change->write.state = WRITE_DONE;
}

static void change_done(void *arg, enum qk_err err);
static const struct submit_ops change_ops = {change_evaluate, change_result, change_done};

static enum qk_err change_start(struct index_change *change)
{
    struct record_key key;
    struct bytes view;
    enum qk_err err = buf_error(&change->wish.design);

    change->same = false;
    change->problem.status = 0;
    change->write = (struct write){.exchange = change->exchange,
                                   .database_name = change->exchange->request.segments[0],
                                   .id = buf_bytes(&change->wish.design),
                                   .document = &change->document};
    if (err == QK_OK && !service_is_open(change->service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = write_latch(change->service, change->write.database_name, change->write.id, &key);
    if (err != QK_OK)
        return err;
    view = record_key_bytes(&key);
    return submit_start(change->service, &view, 1, &change_ops, change);
}

/* --- replies --- */

static void reply_made(struct index_change *change)
{
    const struct find_index_wish *wish = &change->wish;
    bool memory = wish->kind == VIEW_MEMORY;
    const struct catalog *catalog = change->service->catalog;
    const struct catalog_database *database =
        catalog == NULL ? NULL
                        : catalog_database_find(catalog, change->exchange->request.segments[0]);

    exchange_reply_json(
        change->exchange, 200,
        json_pack("{s:s,s:s%,s:s%,s:s*,s:s*}", "result", change->same ? "exists" : "created", "id",
                  (const char *)wish->design.data, wish->design.len, "name",
                  (const char *)wish->name.data, wish->name.len, "kind",
                  memory ? NULL : view_kind_text(wish->kind), "at_rest",
                  view_kind_leaks(wish->kind, database != NULL && database->ids_hidden)));
}

static void reply_one(struct index_change *change, enum qk_err err)
{
    bool done = change->write.state == WRITE_DONE;

    if (change->problem.status != 0)
        exchange_reply_problem(change->exchange, &change->problem);
    else if (err == QK_OK && change->same && change->wish.view == NULL)
        exchange_reply_error(change->exchange, 404, "not_found", "missing");
    else if (err == QK_OK && (done || change->same) && change->wish.view != NULL)
        reply_made(change);
    else if (err == QK_OK && done)
        exchange_reply_json(change->exchange, 200, json_pack("{s:b}", "ok", 1));
    else
        write_reply(change->service, change->exchange, &change->write, 200, err);
    change_free(change);
}

static const char *why_not(const struct index_change *change)
{
    if (change->problem.status != 0)
        return change->problem.error;
    if (change->same)
        return "not_found";
    return change->write.state == WRITE_NO_GRANT || change->write.state == WRITE_DENIED
               ? "forbidden"
               : "conflict";
}

static void bulk_next(struct index_change *change)
{
    enum qk_err err;

    if (change->id_at >= json_array_size(change->ids)) {
        exchange_reply_json(
            change->exchange, 200,
            json_pack("{s:O,s:O}", "success", change->success, "fail", change->fail));
        change_free(change);
        return;
    }
    buf_reset(&change->wish.design);
    find_design_id(json_bytes(json_array_get(change->ids, change->id_at)), &change->wish.design);
    err = change_start(change);
    if (err != QK_OK)
        change_done(change, err);
}

static void bulk_one(struct index_change *change, enum qk_err err)
{
    const struct buf *id = &change->wish.design;

    if (err != QK_OK) { /* of the whole request: those before it are done */
        submit_reply_err(change->service, change->exchange, err);
        change_free(change);
        return;
    }
    if (change->write.state == WRITE_DONE)
        json_array_append_new(change->success, json_pack("{s:s%,s:b}", "id", (const char *)id->data,
                                                         id->len, "ok", 1));
    else
        json_array_append_new(change->fail, json_pack("{s:s%,s:s}", "id", (const char *)id->data,
                                                      id->len, "error", why_not(change)));
    change->id_at++;
    bulk_next(change);
}

static void change_done(void *arg, enum qk_err err)
{
    struct index_change *change = arg;

    /* Sealed or no longer leading right after it was applied: it is written all the same. */
    if (change->write.state == WRITE_DONE)
        err = QK_OK;
    if (change->ids != NULL)
        bulk_one(change, err);
    else
        reply_one(change, err);
}

/* --- requests --- */

static struct index_change *change_new(struct service *service, struct exchange *exchange)
{
    struct index_change *change = calloc(1, sizeof(*change));

    if (change == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return NULL;
    }
    change->service = service;
    change->exchange = exchange;
    change->wish = (struct find_index_wish){.design = BUF_INIT(FIND_DESIGN_ID_BYTES_MAX),
                                            .name = BUF_INIT(FIND_INDEX_NAME_BYTES_MAX)};
    return change;
}

static void change_fail(struct index_change *change, const struct doc_problem *problem,
                        enum qk_err err)
{
    exchange_reply_problem_or(change->exchange, problem, err);
    change_free(change);
}

void handle_index_make(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    struct index_change *change;
    enum qk_err err;

    if (request_wants_json(exchange) != QK_OK)
        return;
    change = change_new(service, exchange);
    if (change == NULL)
        return;
    err = service_is_open(service) ? QK_OK : QK_ERR_SEALED;
    if (err == QK_OK)
        err = find_index_wish_parse(service, &exchange->request, &change->wish, &problem);
    if (err != QK_OK) {
        change_fail(change, &problem, err);
        return;
    }
    err = change_start(change);
    if (err != QK_OK)
        change_done(change, err);
}

/* /{db}/_index/{design}/{type}/{name}, the design document maybe as two segments. */
void handle_index_remove(struct service *service, struct exchange *exchange)
{
    const struct request *request = &exchange->request;
    struct index_change *change = change_new(service, exchange);
    bool json = bytes_equal(request->segments[request->segments_n - 2], bytes_str("json"));
    enum qk_err err;

    assert(request->segments_n == 5 || request->segments_n == 6);

    if (change == NULL)
        return;
    find_design_id(request->segments[request->segments_n - 3], &change->wish.design);
    buf_put_bytes(&change->wish.name, request->segments[request->segments_n - 1]);
    if (!json || buf_error(&change->wish.name) != QK_OK ||
        buf_error(&change->wish.design) != QK_OK || change->wish.name.len == 0) {
        /* No index has such a type or name; the right to ask is looked at all the same. */
        buf_reset(&change->wish.name);
        buf_put_str(&change->wish.name, "\xff");
        change->wish.design.failed = QK_OK;
    }
    err = change_start(change);
    if (err != QK_OK)
        change_done(change, err);
}

void handle_index_bulk_remove(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    struct index_change *change;
    enum qk_err err;

    if (request_wants_json(exchange) != QK_OK)
        return;
    change = change_new(service, exchange);
    if (change == NULL)
        return;
    err = find_bulk_wish_parse(&exchange->request, &change->ids, &problem);
    change->success = json_array();
    change->fail = json_array();
    if (err == QK_OK && (change->success == NULL || change->fail == NULL))
        err = QK_ERR_NOMEM;
    if (err == QK_OK)
        err = authorize_exchange(
            service, exchange,
            catalog_database_find(service->catalog, exchange->request.segments[0]),
            ACCESS_DB_ADMIN);
    if (err != QK_OK) {
        change_fail(change, &problem, err);
        return;
    }
    bulk_next(change);
}
