/* _bulk_get: named revisions of many documents, or all leaves of those that name none. What is
 * wrong with one of them is said in its place and does not hinder the others. */
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "service/documents/contents_pump.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/documents/revs.h"
#include "service/stream.h"

#define BULK_GET_DOCS_MAX 10000 /* CouchDB's max_bulk_get_count */

struct bulk_get {
    struct stream stream;
    struct service *service;
    struct visible visible;
    bool hidden; /* of the database: ids */
    struct document_options options;
    struct contents_wish contents;
    struct contents_pump pump;
    bool latest;
    json_t *body;
    const json_t *docs;
    size_t at;        /* next of docs */
    bool begun;       /* the reply */
    bool open;        /* `revs` is of docs[at] */
    size_t item;      /* next of revs.items */
    json_t *one_name; /* the array that `revs` borrows from */
    struct revs revs;
};

static void one_close(struct bulk_get *bulk)
{
    revs_fini(&bulk->revs);
    json_decref(bulk->one_name);
    bulk->one_name = NULL;
    bulk->open = false;
}

static void bulk_get_free(void *arg)
{
    struct bulk_get *bulk = arg;

    pump_fini(&bulk->pump);
    contents_wish_fini(&bulk->contents);
    one_close(bulk);
    visible_fini(&bulk->visible);
    stream_fini(&bulk->stream);
    json_decref(bulk->body);
    free(bulk);
}

static enum qk_err bulk_get_turn(void *arg)
{
    return visible_turn(&((struct bulk_get *)arg)->visible);
}

/* --- one document --- */

static const json_t *one_member(const struct bulk_get *bulk, const char *name)
{
    return json_object_get(json_array_get(bulk->docs, bulk->at), name);
}

static void put_text(const json_t *string, const char *otherwise, struct buf *out)
{
    if (json_is_string(string))
        json_write_string(json_bytes(string), out);
    else
        buf_put_str(out, otherwise);
}

/* `revision`: its text, "" for null, or NULL for the one that the request names. */
static void put_error(struct bulk_get *bulk, const char *revision, const char *error,
                      const char *reason)
{
    struct buf *out = &bulk->stream.out;

    buf_put_str(out, "{\"error\":{\"id\":");
    put_text(one_member(bulk, "id"), "null", out);
    buf_put_str(out, ",\"rev\":");
    if (revision != NULL && revision[0] == '\0')
        buf_put_str(out, "null");
    else if (revision != NULL)
        json_write_string(bytes_str(revision), out);
    else
        put_text(one_member(bulk, "rev"), "\"undefined\"", out); /* as CouchDB writes it */
    buf_printf(out, ",\"error\":\"%s\",\"reason\":", error);
    json_write_string(bytes_str(reason), out);
    buf_put_str(out, "}}");
}

static void put_failed(struct bulk_get *bulk, const char *revision, enum qk_err err)
{
    if (err == QK_ERR_DENIED)
        put_error(bulk, revision, "forbidden", "You have no grant to decrypt this document.");
    else if (err == QK_ERR_DESTROYED)
        put_error(bulk, revision, "key_destroyed", qk_err_text(err));
    else
        put_error(bulk, revision, "corrupt", "the stored record does not authenticate");
}

static bool is_own_trouble(enum qk_err err)
{
    return err == QK_ERR_DENIED || err == QK_ERR_DESTROYED || err == QK_ERR_CORRUPT;
}

/* Reads it and finds what is asked for; false if an error was put in its place. */
static enum qk_err one_read(struct bulk_get *bulk, bool *ret_good)
{
    const json_t *id = one_member(bulk, "id"), *rev = one_member(bulk, "rev");
    struct doc_problem problem = {0};
    struct revision revision;
    enum qk_err err;

    *ret_good = false;
    bulk->revs = REVS_EMPTY;
    if (!json_is_string(id)) {
        put_error(bulk, "", "bad_request", "document id missed");
        return QK_OK;
    }
    if (doc_id_check(json_bytes(id), &problem) != QK_OK) {
        put_error(bulk, NULL, "illegal_docid", problem.reason);
        return QK_OK;
    }
    if (rev != NULL && revision_parse(json_bytes(rev), &revision) == QK_ERR_INVALID) {
        put_error(bulk, NULL, "bad_request", "Invalid rev format");
        return QK_OK;
    }
    err = revs_read(&bulk->visible, bulk->hidden, json_bytes(id), &bulk->revs);
    if (is_own_trouble(err)) {
        put_failed(bulk, NULL, err);
        return QK_OK;
    }
    if (err == QK_OK && rev != NULL) {
        bulk->one_name = json_pack("[O]", rev);
        err = bulk->one_name == NULL ? QK_ERR_NOMEM
                                     : revs_named(&bulk->revs, bulk->one_name, bulk->latest);
    } else if (err == QK_OK) {
        err = revs_all(&bulk->revs);
    }
    *ret_good = err == QK_OK;
    if (*ret_good && bulk->revs.items_n == 0) {
        put_error(bulk, NULL, "not_found", "missing");
        *ret_good = false;
    }
    return err;
}

static enum qk_err one_leaf(struct bulk_get *bulk, const struct doc_leaf *leaf)
{
    struct leaf_at at = {bulk->visible.database, record_key_name(record_key_bytes(&bulk->revs.key)),
                         json_bytes(one_member(bulk, "id"))};
    const struct contents_document document = {&at, leaf, &bulk->options, &bulk->contents, NULL};
    char revision[REVISION_TEXT_BYTES_MAX + 1];
    struct buf *out = &bulk->stream.out;
    size_t before = out->len;
    enum qk_err err;

    buf_put_str(out, "{\"ok\":");
    bulk->options.record = &bulk->revs.record;
    err = pump_document(&bulk->pump, bulk->service, &document, "}", out);
    if (!is_own_trouble(err))
        return err;
    out->len = before;
    revision_format(&leaf->revision, revision);
    put_failed(bulk, revision, err);
    return QK_OK;
}

static enum qk_err one_begin(struct bulk_get *bulk)
{
    struct buf *out = &bulk->stream.out;
    bool good;
    enum qk_err err;

    buf_put_str(out, bulk->at == 0 ? "{\"id\":" : ",{\"id\":");
    put_text(one_member(bulk, "id"), "null", out);
    buf_put_str(out, ",\"docs\":[");
    err = one_read(bulk, &good);
    bulk->open = err == QK_OK;
    bulk->item = 0;
    if (err == QK_OK && !good)
        bulk->item = bulk->revs.items_n; /* nothing more of this one */
    return err;
}

static enum qk_err one_item(struct bulk_get *bulk)
{
    const struct revs_item *item = &bulk->revs.items[bulk->item];

    buf_put_str(&bulk->stream.out, bulk->item++ == 0 ? "" : ",");
    if (item->leaf != NULL)
        return one_leaf(bulk, item->leaf);
    put_error(bulk, NULL, "not_found", "missing");
    return QK_OK;
}

static enum qk_err bulk_get_step(void *arg, bool *ret_end)
{
    struct bulk_get *bulk = arg;
    struct buf *out = &bulk->stream.out;

    if (!bulk->begun) {
        buf_put_str(out, "{\"results\":[");
        bulk->begun = true;
    }
    if (bulk->pump.active)
        return pump_step(&bulk->pump, out);
    if (bulk->at == json_array_size(bulk->docs)) {
        buf_put_str(out, "]}\n");
        *ret_end = true;
        return QK_OK;
    }
    if (!bulk->open)
        return one_begin(bulk);
    if (bulk->item < bulk->revs.items_n)
        return one_item(bulk);
    buf_put_str(out, "]}");
    one_close(bulk);
    bulk->at++;
    return QK_OK;
}

/* --- the request --- */

static enum qk_err check_params(const struct request *request, struct doc_problem *problem)
{
    static const char *const wrong[] = {"open_revs", "new_edits", "w", "rev", "atts_since"};
    struct bytes ignored;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (request_param(request, wrong[i], &ignored))
            return doc_problem_set(problem, 400, "bad_request",
                                   "\"%s\" query parameter is not acceptable", wrong[i]);
    }
    return QK_OK;
}

static enum qk_err bulk_get_parse(const struct request *request, struct bulk_get *bulk,
                                  struct doc_problem *problem)
{
    bool local_seq;
    enum qk_err err = check_params(request, problem);

    if (err == QK_OK)
        err = leaf_options(request, &bulk->options, &local_seq, problem);
    if (err == QK_OK)
        err = contents_wish_parse(request, &bulk->contents, problem);
    if (err == QK_OK)
        err = param_bool(request, "latest", &bulk->latest, problem);
    if (err == QK_OK)
        err = json_parse(request->body, JSON_DEPTH_MAX, problem, &bulk->body);
    if (err != QK_OK)
        return err;
    bulk->docs = json_object_get(bulk->body, "docs");
    if (!json_is_object(bulk->body))
        return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    if (!json_is_array(bulk->docs))
        return doc_problem_set(problem, 400, "bad_request", "Missing JSON list of 'docs'.");
    if (json_array_size(bulk->docs) > BULK_GET_DOCS_MAX)
        return doc_problem_set(problem, 413, "too_large",
                               "at most %d documents fit one _bulk_get request", BULK_GET_DOCS_MAX);
    return QK_OK;
}

static void bulk_get_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct bulk_get *bulk;
    enum qk_err err;

    if (database == NULL)
        return;
    bulk = calloc(1, sizeof(*bulk));
    if (bulk == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    bulk->service = service;
    bulk->hidden = database->ids_hidden;
    bulk->revs = REVS_EMPTY;
    stream_init(&bulk->stream, service, exchange, bulk_get_step, bulk_get_free, bulk);
    bulk->stream.turn = bulk_get_turn;
    err = visible_init(&bulk->visible, service, exchange, database);
    if (err == QK_OK)
        err = bulk_get_parse(&exchange->request, bulk, &problem);
    if (err == QK_OK) {
        stream_start(&bulk->stream);
        return;
    }
    exchange_reply_problem_or(exchange, &problem, err);
    bulk_get_free(bulk);
}

void handle_bulk_get(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, bulk_get_ready);
}
