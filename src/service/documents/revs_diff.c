/* _revs_diff and _missing_revs: of the revisions that a replicator names, those that are not here.
 * A document that the reader may not decrypt is as none: all its revisions are missing. */
#include <stdlib.h>

#include "doc/json.h"
#include "doc/tree.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/documents/revs.h"
#include "service/stream.h"

struct diff {
    struct stream stream;
    struct service *service;
    struct visible visible;
    bool hidden; /* of the database: ids */
    bool plain;  /* _missing_revs */
    json_t *body;
    void *member; /* the next */
    bool begun, some;
};

static void diff_free(void *arg)
{
    struct diff *diff = arg;

    visible_fini(&diff->visible);
    stream_fini(&diff->stream);
    json_decref(diff->body);
    free(diff);
}

static enum qk_err diff_turn(void *arg)
{
    return visible_turn(&((struct diff *)arg)->visible);
}

/* --- one document --- */

/* Appends what is missing as JSON strings; the highest generation of it in `ret_generation`. */
static size_t put_missing(const struct doc_record *record, const json_t *names, struct buf *out,
                          uint32_t *ret_generation)
{
    size_t i, n = 0;

    *ret_generation = 0;
    for (i = 0; i < json_array_size(names); i++) {
        struct bytes name = json_bytes(json_array_get(names, i));
        struct revision revision = REVISION_NONE;
        bool known = revision_parse(name, &revision) == QK_OK && doc_tree_knows(record, &revision);

        if (known)
            continue;
        buf_put_str(out, n++ == 0 ? "" : ",");
        json_write_string(name, out);
        if (revision.generation > *ret_generation)
            *ret_generation = revision.generation;
    }
    return n;
}

/* Leaves that one of the missing could descend from. */
static void put_ancestors(const struct doc_record *record, uint32_t below, struct buf *out)
{
    char text[REVISION_TEXT_BYTES_MAX + 1];
    unsigned i, n = 0;

    for (i = 0; i < record->leaves_n; i++) {
        if (record->leaves[i].revision.generation >= below)
            continue;
        revision_format(&record->leaves[i].revision, text);
        buf_printf(out, "%s\"%s\"", n++ == 0 ? ",\"possible_ancestors\":[" : ",", text);
    }
    buf_put_str(out, n > 0 ? "]" : "");
}

static void put_document(struct diff *diff, struct bytes id, const json_t *names,
                         const struct doc_record *record)
{
    struct buf *out = &diff->stream.out;
    size_t before = out->len;
    uint32_t generation;

    buf_put_str(out, diff->some ? "," : "");
    json_write_string(id, out);
    buf_put_str(out, diff->plain ? ":[" : ":{\"missing\":[");
    if (put_missing(record, names, out, &generation) == 0) {
        if (buf_error(out) == QK_OK)
            out->len = before;
        return;
    }
    diff->some = true;
    buf_put_u8(out, ']');
    if (diff->plain)
        return;
    put_ancestors(record, generation, out);
    buf_put_u8(out, '}');
}

static enum qk_err diff_document(struct diff *diff, struct bytes id, const json_t *names)
{
    static const struct doc_record nothing = {NULL, 0};
    struct revs revs = REVS_EMPTY;
    enum qk_err err = QK_OK;

    if (id.len > 0 && id.len <= DOC_ID_BYTES_MAX)
        err = revs_read(&diff->visible, diff->hidden, id, &revs);
    if (err == QK_ERR_DENIED || err == QK_ERR_TOO_BIG)
        put_document(diff, id, names, &nothing);
    else if (err == QK_OK)
        put_document(diff, id, names, &revs.record);
    if (err == QK_ERR_DENIED || err == QK_ERR_TOO_BIG)
        err = QK_OK;
    revs_fini(&revs);
    return err;
}

static enum qk_err diff_step(void *arg, bool *ret_end)
{
    struct diff *diff = arg;
    enum qk_err err = QK_OK;

    if (!diff->begun)
        buf_put_str(&diff->stream.out, diff->plain ? "{\"missing_revs\":{" : "{");
    diff->begun = true;
    if (diff->member != NULL) {
        err = diff_document(diff, bytes_str(json_object_iter_key(diff->member)),
                            json_object_iter_value(diff->member));
        diff->member = json_object_iter_next(diff->body, diff->member);
    }
    *ret_end = diff->member == NULL;
    if (*ret_end)
        buf_put_str(&diff->stream.out, diff->plain ? "}}\n" : "}\n");
    return err;
}

/* --- the request --- */

static enum qk_err diff_parse(const struct request *request, struct diff *diff,
                              struct doc_problem *problem)
{
    enum qk_err err = json_parse(request->body, JSON_DEPTH_MAX, problem, &diff->body);
    void *member;

    if (err == QK_OK && !json_is_object(diff->body))
        err = doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    if (err != QK_OK)
        return err;
    diff->member = json_object_iter(diff->body);
    for (member = diff->member; err == QK_OK && member != NULL;
         member = json_object_iter_next(diff->body, member))
        err = revs_names_check(json_object_iter_value(member), problem);
    return err;
}

static void diff_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct diff *diff;
    enum qk_err err;

    if (database == NULL)
        return;
    diff = calloc(1, sizeof(*diff));
    if (diff == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    diff->service = service;
    diff->hidden = database->ids_hidden;
    diff->plain = bytes_equal(exchange->request.segments[1], bytes_str("_missing_revs"));
    stream_init(&diff->stream, service, exchange, diff_step, diff_free, diff);
    diff->stream.turn = diff_turn;
    err = visible_init(&diff->visible, service, exchange, database);
    if (err == QK_OK)
        err = diff_parse(&exchange->request, diff, &problem);
    if (err == QK_OK) {
        stream_start(&diff->stream);
        return;
    }
    exchange_reply_problem_or(exchange, &problem, err);
    diff_free(diff);
}

void handle_revs_diff(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        read_begin(service, exchange, diff_ready);
}
