#include "service/documents/open_revs.h"

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"
#include "service/documents/contents_pump.h"
#include "service/params.h"
#include "service/documents/revs.h"
#include "service/stream.h"

#define BOUNDARY_BYTES 16

struct open_revs {
    struct stream stream;
    struct service *service;
    struct visible visible;
    struct document_options options;
    struct contents_wish contents;
    struct contents_pump pump;
    struct revs revs;
    struct buf id;
    json_t *names;
    bool latest;
    bool multipart;
    char boundary[2 * BOUNDARY_BYTES + 1];
    char type[64 + 2 * BOUNDARY_BYTES];
    size_t at;
};

static void open_revs_free(void *arg)
{
    struct open_revs *open = arg;

    pump_fini(&open->pump);
    contents_wish_fini(&open->contents);
    revs_fini(&open->revs);
    visible_fini(&open->visible);
    stream_fini(&open->stream);
    json_decref(open->names);
    buf_fini(&open->id);
    free(open);
}

static enum qk_err open_revs_turn(void *arg)
{
    return visible_turn(&((struct open_revs *)arg)->visible);
}

/* --- one revision --- */

static void put_missing(struct bytes revision, struct buf *out)
{
    buf_put_str(out, "{\"missing\":");
    json_write_string(revision, out);
    buf_put_u8(out, '}');
}

static enum qk_err put_leaf(struct open_revs *open, const struct doc_leaf *leaf,
                            const char *boundary, const char *tail)
{
    struct leaf_at at = {open->visible.database, record_key_name(record_key_bytes(&open->revs.key)),
                         buf_bytes(&open->id)};
    const struct contents_document document = {&at, leaf, &open->options, &open->contents,
                                               boundary};

    open->options.record = &open->revs.record;
    return pump_document(&open->pump, open->service, &document, tail, &open->stream.out);
}

static enum qk_err json_item(struct open_revs *open, const struct revs_item *item)
{
    struct buf *out = &open->stream.out;

    buf_put_str(out, open->at == 0 ? "" : ",");
    if (item->leaf == NULL) {
        put_missing(item->missing, out);
        return QK_OK;
    }
    buf_put_str(out, "{\"ok\":");
    return put_leaf(open, item->leaf, NULL, "}");
}

/* A document with attachments is multipart/related inside of its part, as in CouchDB. */
static enum qk_err part_leaf(struct open_revs *open, const struct doc_leaf *leaf, const char *tail)
{
    char boundary[BOUNDARY_TEXT_BYTES + 1];
    struct buf *out = &open->stream.out;

    if (leaf->attachments.len == 0) {
        buf_put_str(out, "\r\nContent-Type: application/json\r\n\r\n");
        return put_leaf(open, leaf, NULL, tail);
    }
    contents_boundary(boundary);
    buf_printf(out, "\r\nContent-Type: multipart/related; boundary=\"%s\"\r\n\r\n", boundary);
    return put_leaf(open, leaf, boundary, tail);
}

static enum qk_err part_item(struct open_revs *open, const struct revs_item *item)
{
    struct buf *out = &open->stream.out;
    char tail[2 * BOUNDARY_BYTES + 8];

    (void)snprintf(tail, sizeof(tail), "\r\n--%s", open->boundary);
    if (item->leaf != NULL)
        return part_leaf(open, item->leaf, tail);
    buf_put_str(out, "\r\nContent-Type: application/json; error=\"true\"\r\n\r\n");
    put_missing(item->missing, out);
    buf_put_str(out, tail);
    return QK_OK;
}

/* Behind the last one, once all of it has been put. */
static void open_revs_end(struct open_revs *open, bool *ret_end)
{
    *ret_end = !open->pump.active && open->at >= open->revs.items_n;
    if (*ret_end)
        buf_put_str(&open->stream.out, open->multipart ? "--" : "]\n");
}

static enum qk_err open_revs_step(void *arg, bool *ret_end)
{
    struct open_revs *open = arg;
    struct buf *out = &open->stream.out;
    enum qk_err err = QK_OK;

    if (open->pump.active) {
        err = pump_step(&open->pump, out);
        open_revs_end(open, ret_end);
        return err;
    }
    if (open->at == 0 && open->multipart)
        buf_printf(out, "--%s", open->boundary);
    else if (open->at == 0)
        buf_put_u8(out, '[');
    if (open->at < open->revs.items_n) {
        const struct revs_item *item = &open->revs.items[open->at];

        err = open->multipart ? part_item(open, item) : json_item(open, item);
        open->at++;
    }
    if (err == QK_OK)
        open_revs_end(open, ret_end);
    return err;
}

/* --- the request --- */

static bool accepts(struct bytes accept, const char *type)
{
    return accept.data != NULL && memmem(accept.data, accept.len, type, strlen(type)) != NULL;
}

/* As CouchDB: parts, for who says nothing or takes anything; JSON for who names it. */
static bool wants_multipart(const struct request *request)
{
    struct bytes accept = request->accept;

    if (accept.len == 0)
        return true;
    return !accepts(accept, "application/json") &&
           (accepts(accept, "multipart/") || accepts(accept, "*/*"));
}

static void begin_multipart(struct open_revs *open)
{
    uint8_t random[BOUNDARY_BYTES];

    random_fill(random, sizeof(random));
    hex_encode(random, sizeof(random), open->boundary);
    (void)snprintf(open->type, sizeof(open->type), "multipart/mixed; boundary=\"%s\"",
                   open->boundary);
    open->multipart = true;
    open->contents.contents = true; /* parts come with their attachments */
    open->stream.content_type = open->type;
}

static enum qk_err open_revs_wish(const struct request *request, struct open_revs *open,
                                  struct bytes wanted, struct doc_problem *problem)
{
    bool local_seq;
    enum qk_err err = leaf_options(request, &open->options, &local_seq, problem);

    if (err == QK_OK)
        err = param_bool(request, "latest", &open->latest, problem);
    if (err == QK_OK)
        err = contents_wish_parse(request, &open->contents, problem);
    if (err != QK_OK || bytes_equal(wanted, bytes_str("all")))
        return err;
    err = json_parse(wanted, JSON_DEPTH_MAX, problem, &open->names);
    return err == QK_OK ? revs_names_check(open->names, problem) : err;
}

static enum qk_err open_revs_begin(struct open_revs *open, const struct catalog_database *database,
                                   struct doc_problem *problem)
{
    enum qk_err err =
        revs_read(&open->visible, database->ids_hidden, buf_bytes(&open->id), &open->revs);

    if (err == QK_ERR_DENIED)
        return doc_problem_set(problem, 403, "forbidden",
                               "You have no grant to decrypt this document.");
    if (err == QK_OK && open->names == NULL && open->revs.record.leaves_n == 0)
        return doc_problem_set(problem, 404, "not_found", "missing");
    if (err == QK_OK)
        err = open->names == NULL ? revs_all(&open->revs)
                                  : revs_named(&open->revs, open->names, open->latest);
    return err;
}

void open_revs_reply(struct service *service, struct exchange *exchange,
                     const struct catalog_database *database, struct bytes id, struct bytes wanted)
{
    struct open_revs *open = calloc(1, sizeof(*open));
    struct doc_problem problem = {0};
    enum qk_err err;

    if (open == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    open->service = service;
    open->revs = REVS_EMPTY;
    open->id = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX);
    buf_put_bytes(&open->id, id);
    stream_init(&open->stream, service, exchange, open_revs_step, open_revs_free, open);
    open->stream.turn = open_revs_turn;
    err = visible_init(&open->visible, service, exchange, database);
    if (err == QK_OK)
        err = buf_error(&open->id);
    if (err == QK_OK)
        err = open_revs_wish(&exchange->request, open, wanted, &problem);
    if (err == QK_OK)
        err = open_revs_begin(open, database, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        open_revs_free(open);
        return;
    }
    if (wants_multipart(&exchange->request))
        begin_multipart(open);
    stream_start(&open->stream);
}
