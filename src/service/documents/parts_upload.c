/* PUT of a document as multipart/related that is long: its body is taken as it comes.
 *
 *     FIRST: a window, or all there is (then as any other PUT) --> JSON: the first part, whole -->
 *     PROBE: would it be written? --> PARTS: each to its attachment --> the end --> the write
 *
 * A part that CouchDB packed is unpacked as it comes, FEED_BYTES at a time, each taken before the
 * next. A part of one chunk at most is kept for the command that writes the document; a longer one
 * is uploaded (service/documents/upload.h). Whatever ends it early, what was uploaded is deleted.
 */
#include <assert.h>
#include <stdlib.h>

#include "doc/gunzip.h"
#include "doc/id.h"
#include "doc/multipart_stream.h"
#include "service/doc_name.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/documents/put_parts.h"
#include "service/submit.h"
#include "service/documents/upload.h"
#include "service/write_probe.h"

#define FEED_BYTES (512 * KIB)
/* Of parts that are kept for the document's command. */
#define SMALL_BYTES_MAX ATTACHMENT_CHUNK_BYTES
#define SMALL_BYTES_ALL (8 * MIB)

enum parts_state { PARTS_BEGIN, PARTS_JSON, PARTS_PROBE, PARTS_CONTENTS, PARTS_REST };

struct parts {
    struct service *service;
    struct exchange *exchange;
    enum parts_state state;
    struct multipart_stream stream;
    struct buf piece; /* secret */
    struct buf json;  /* secret */
    struct buf id;
    struct document document;
    struct doc_problem problem;
    enum qk_err err; /* of parsing, or of an upload's step that ended at once */
    struct write_how how;
    struct write_probe probe;
    struct attachment_wish *wish; /* of the part under way */
    struct gunzip *gunzip;        /* it is packed */
    struct bytes packed;          /* what came of it last, as far as it is not unpacked */
    struct buf unpacked;          /* secret: the piece under way */
    struct buf small;             /* secret: its content, until it is uploaded */
    size_t small_bytes;           /* of all parts kept */
    struct upload *upload;        /* of the part under way; NULL: it is small so far */
    struct upload **uploads;      /* all of them */
    unsigned uploads_n;
    bool pumping, again; /* a step ended inside the pump */
    bool refused;        /* by the probe, which has the answer */
};

static void parts_free(void *arg)
{
    struct parts *parts = arg;

    for (unsigned i = 0; i < parts->uploads_n; i++)
        upload_free(parts->uploads[i]);
    free(parts->uploads);
    multipart_stream_fini(&parts->stream);
    buf_fini(&parts->piece);
    buf_fini(&parts->json);
    gunzip_free(parts->gunzip);
    buf_fini(&parts->unpacked);
    buf_fini(&parts->small);
    buf_fini(&parts->id);
    free(parts);
}

static void parts_refused(void *arg)
{
    struct parts *parts = arg;

    document_fini(&parts->document);
    parts_free(parts);
}

static void parts_fail(struct parts *parts, enum qk_err err)
{
    struct exchange *exchange = parts->exchange;
    struct bytes name = parts->wish == NULL ? buf_bytes(&parts->id) : buf_bytes(&parts->wish->name);

    if (parts->refused) {
        write_probe_refuse(&parts->probe, parts_refused, parts);
        return;
    }
    if (err == QK_ERR_INVALID)
        exchange_reply_problem_or(exchange, &parts->problem, err);
    else if (err == QK_ERR_TOO_BIG && parts->wish == NULL)
        exchange_reply_error(exchange, 413, "document_too_large", "%.*s", (int)name.len,
                             (const char *)name.data);
    else
        upload_reply_err(parts->service, exchange, name, err);
    document_fini(&parts->document);
    parts_free(parts);
}

static void parts_pump(struct parts *parts);

static void parts_go_on(struct parts *parts, enum qk_err err)
{
    parts->err = err;
    if (parts->pumping)
        parts->again = true; /* it ended inside of its own call */
    else if (err != QK_OK)
        parts_fail(parts, err);
    else
        parts_pump(parts);
}

/* --- the first part -------------------------------------------------------------------------- */

static void json_parse_work(void *arg)
{
    struct parts *parts = arg;
    json_t *json = NULL;

    parts->err = json_parse(buf_bytes(&parts->json), JSON_DEPTH_MAX, &parts->problem, &json);
    if (parts->err == QK_OK)
        parts->err = document_from_json(json, &parts->document, &parts->problem);
    json_decref(json);
}

static void on_probed(void *arg)
{
    struct parts *parts = arg;

    parts->state = PARTS_CONTENTS;
    parts->refused = !write_probe_is_yes(&parts->probe);
    parts_go_on(parts, parts->refused ? QK_ERR_DENIED : QK_OK);
}

static void on_parsed(void *arg, enum qk_err err)
{
    struct parts *parts = arg;
    const struct request *request = &parts->exchange->request;

    if (err == QK_OK)
        err = parts->err;
    buf_fini(&parts->json);
    parts->how.status_ok = parts->document.deleted ? 200 : 201;
    if (err == QK_OK)
        err = request_revision(request, &parts->document, &parts->problem);
    if (err == QK_OK)
        err = request_key(request, &parts->document, &parts->problem);
    if (err == QK_OK)
        err = request_how(request, &parts->document, &parts->how, &parts->problem);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&parts->id), &parts->problem);
    if (err == QK_OK && parts->document.attachments.n > 0) {
        parts->uploads = calloc(parts->document.attachments.n, sizeof(struct upload *));
        err = parts->uploads == NULL ? QK_ERR_NOMEM : QK_OK;
    }
    if (err == QK_OK)
        write_probe_start(&parts->probe, parts->service, parts->exchange, buf_bytes(&parts->id),
                          &parts->document, &parts->how, on_probed, parts);
    else
        parts_go_on(parts, err);
}

/* --- a part ---------------------------------------------------------------------------------- */

static void on_put(void *arg, enum qk_err err)
{
    parts_go_on(arg, err);
}

/* The part is longer than what is kept: what was kept of it is the first that is uploaded. */
static enum qk_err part_upload(struct parts *parts)
{
    const struct catalog_database *database;
    struct record_key key;
    enum qk_err err;

    if (!service_is_open(parts->service))
        return QK_ERR_SEALED;
    database = catalog_database_find(parts->service->catalog, parts->exchange->request.segments[0]);
    if (database == NULL)
        return QK_ERR_NOT_FOUND;
    err = doc_name_of_id(parts->service, database->id, database->ids_hidden, buf_bytes(&parts->id),
                         &key);
    if (err == QK_OK)
        err = upload_new(parts->service, &key, &parts->upload);
    if (err == QK_OK)
        parts->uploads[parts->uploads_n++] = parts->upload;
    return err;
}

/* `*ret_waits`: a callback is to come. */
static enum qk_err part_content(struct parts *parts, struct bytes bytes, bool *ret_waits)
{
    enum qk_err err;

    if (parts->upload == NULL) {
        buf_put_bytes(&parts->small, bytes);
        if (buf_error(&parts->small) != QK_OK)
            return buf_error(&parts->small);
        if (parts->small.len <= SMALL_BYTES_MAX &&
            parts->small_bytes + parts->small.len <= SMALL_BYTES_ALL)
            return QK_OK;
        err = part_upload(parts);
        if (err != QK_OK)
            return err;
        bytes = buf_bytes(&parts->small);
    }
    *ret_waits = true;
    upload_put(parts->upload, bytes, on_put, parts);
    return QK_OK;
}

static enum qk_err no_gzip(struct parts *parts)
{
    return doc_problem_set(&parts->problem, 400, "bad_request", "attachment %.*s is no whole gzip",
                           (int)parts->wish->name.len, (const char *)parts->wish->name.data);
}

/* The next piece of what came. */
static enum qk_err part_unpack(struct parts *parts, bool *ret_waits)
{
    enum qk_err err;

    buf_reset(&parts->unpacked);
    err = gunzip_some(parts->gunzip, &parts->packed, FEED_BYTES, &parts->unpacked);
    if (err == QK_ERR_INVALID)
        return no_gzip(parts);
    if (err != QK_OK || parts->unpacked.len == 0)
        return err;
    return part_content(parts, buf_bytes(&parts->unpacked), ret_waits);
}

/* There may be more of what came: in it, or in what is unpacked of it. */
static bool part_unpacks(const struct parts *parts)
{
    return parts->gunzip != NULL && (parts->packed.len > 0 || parts->unpacked.len == FEED_BYTES);
}

static void on_part(void *arg, enum qk_err err)
{
    struct parts *parts = arg;

    if (err == QK_OK)
        err = upload_wish(parts->upload, parts->wish, &parts->problem);
    parts->upload = NULL;
    parts_go_on(parts, err);
}

static enum qk_err part_end(struct parts *parts, bool *ret_waits)
{
    struct attachment_wish *wish = parts->wish;

    if (parts->gunzip != NULL && !gunzip_is_whole(parts->gunzip))
        return no_gzip(parts);
    gunzip_free(parts->gunzip);
    parts->gunzip = NULL;
    if (parts->upload != NULL) {
        *ret_waits = true;
        upload_end(parts->upload, on_part, parts);
        return QK_OK;
    }
    parts->small_bytes += parts->small.len;
    buf_fini(&wish->data);
    wish->data = parts->small;
    parts->small = BUF_SECRET_INIT(2 * EXCHANGE_BODY_WINDOW_BYTES);
    return attachment_wish_content(wish, buf_bytes(&wish->data), &parts->problem);
}

/* --- the pump -------------------------------------------------------------------------------- */

static void on_more(void *arg);

static enum qk_err on_head(struct parts *parts, struct bytes head)
{
    enum qk_err err;

    buf_reset(&parts->small);
    if (parts->state == PARTS_BEGIN) {
        parts->state = PARTS_JSON;
        return QK_OK;
    }
    err = put_part_find(head, &parts->document.attachments, &parts->wish, &parts->problem);
    if (err == QK_OK && parts->wish->packed)
        err = gunzip_new(&parts->gunzip);
    return err;
}

static enum qk_err on_content(struct parts *parts, struct bytes bytes, bool *ret_waits)
{
    if (parts->gunzip != NULL) {
        parts->packed = bytes;
        return part_unpack(parts, ret_waits);
    }
    if (parts->state != PARTS_JSON)
        return part_content(parts, bytes, ret_waits);
    buf_put_bytes(&parts->json, bytes);
    return buf_error(&parts->json);
}

static enum qk_err on_part_end(struct parts *parts, bool *ret_waits)
{
    if (parts->state != PARTS_JSON)
        return part_end(parts, ret_waits);
    parts->state = PARTS_PROBE;
    *ret_waits = true;
    offload_run(parts->service, parts->json.len, json_parse_work, on_parsed, parts);
    return QK_OK;
}

static void parts_write(struct parts *parts)
{
    parts->how.ended = parts_free;
    parts->how.ended_arg = parts;
    write_one(parts->service, parts->exchange, buf_bytes(&parts->id), &parts->document,
              &parts->how);
}

/* One event. `*ret_waits`: a callback is to come, or has come. */
static enum qk_err parts_step(struct parts *parts, bool *ret_waits)
{
    enum multipart_event event;
    struct bytes bytes;
    enum qk_err err;

    if (part_unpacks(parts))
        return part_unpack(parts, ret_waits);
    err = multipart_stream_next(&parts->stream, &event, &bytes);
    if (err == QK_ERR_INVALID)
        return put_parts_malformed(&parts->problem);
    if (err != QK_OK)
        return err;
    switch (event) {
    case MULTIPART_HEAD:
        return on_head(parts, bytes);
    case MULTIPART_CONTENT:
        return on_content(parts, bytes, ret_waits);
    case MULTIPART_PART_END:
        return on_part_end(parts, ret_waits);
    case MULTIPART_END:
        if (parts->state != PARTS_CONTENTS && parts->state != PARTS_REST)
            return put_parts_malformed(&parts->problem);
        parts->state = PARTS_REST;
        break;
    case MULTIPART_MORE:
        break;
    }
    *ret_waits = true;
    if (parts->state != PARTS_REST || !parts->stream.last)
        exchange_body_wait(parts->exchange, FEED_BYTES, on_more, parts);
    return QK_OK;
}

static void parts_pump(struct parts *parts)
{
    bool waits = false;
    enum qk_err err = QK_OK;

    parts->pumping = true;
    while (err == QK_OK && !waits) {
        parts->again = false;
        err = parts_step(parts, &waits);
        if (waits && parts->again) {
            waits = false;
            err = parts->err;
        }
    }
    parts->pumping = false;
    if (err == QK_OK && parts->state == PARTS_REST && parts->stream.last)
        err = put_parts_check(&parts->document.attachments, &parts->problem);
    if (err != QK_OK)
        parts_fail(parts, err);
    else if (parts->state == PARTS_REST && parts->stream.last)
        parts_write(parts);
}

static void on_more(void *arg)
{
    struct parts *parts = arg;
    bool last = parts->exchange->body.ended;
    enum qk_err err = parts->exchange->closed ? QK_ERR_CLOSED : QK_OK;

    buf_reset(&parts->piece);
    exchange_body_take(parts->exchange, &parts->piece);
    if (err == QK_OK)
        err = buf_error(&parts->piece);
    if (err == QK_OK)
        err = multipart_stream_feed(&parts->stream, buf_bytes(&parts->piece), last);
    parts_go_on(parts, err);
}

/* --- FIRST ----------------------------------------------------------------------------------- */

static void on_first(void *arg)
{
    struct parts *parts = arg;
    struct service *service = parts->service;
    struct exchange *exchange = parts->exchange;

    if (!exchange->body.ended || exchange->closed ||
        put_parts_may_be_packed(buf_bytes(exchange->body.bytes))) {
        on_more(parts);
        return;
    }
    exchange->request.body = buf_bytes(exchange->body.bytes);
    parts_free(parts);
    doc_put_whole(service, exchange);
}

static void parts_take_whole(struct parts *parts)
{
    parts_go_on(parts, multipart_stream_feed(&parts->stream, parts->exchange->request.body, true));
}

void parts_upload(struct service *service, struct exchange *exchange)
{
    struct parts *parts = calloc(1, sizeof(*parts));
    struct bytes boundary;
    enum qk_err err;

    if (parts == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    parts->service = service;
    parts->exchange = exchange;
    parts->piece = BUF_SECRET_INIT(2 * EXCHANGE_BODY_WINDOW_BYTES);
    parts->small = BUF_SECRET_INIT(2 * EXCHANGE_BODY_WINDOW_BYTES);
    parts->unpacked = BUF_SECRET_INIT(FEED_BYTES);
    parts->json = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX);
    parts->id = BUF_INIT(HTTP_URI_BYTES_MAX);
    parts->document = (struct document){.id = BUF_INIT(0)};
    request_doc_id(&exchange->request, &parts->id);
    err = buf_error(&parts->id);
    if (err == QK_OK)
        err = put_parts_boundary(exchange->request.content_type, &boundary, &parts->problem);
    if (err == QK_OK) {
        multipart_stream_init(&parts->stream, boundary);
        if (exchange->body.streamed)
            exchange_body_wait(exchange, EXCHANGE_BODY_WINDOW_BYTES, on_first, parts);
        else
            parts_take_whole(parts);
    } else {
        parts_fail(parts, err);
    }
}
