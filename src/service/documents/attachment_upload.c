/* PUT of an attachment that is long: its body is taken as it comes.
 *
 *     FIRST: a window, or all there is (then as any other PUT) --> PROBE: would it be written? -->
 *     FEED: body -> upload, piece by piece --> the end --> the edit of the document
 *
 * A client that goes away, or an error, ends it; what was written of it is deleted. */
#include <stdlib.h>

#include "service/documents/attachment.h"
#include "service/doc_name.h"
#include "service/params.h"
#include "service/request.h"
#include "service/submit.h"
#include "service/documents/upload.h"
#include "service/write_probe.h"

#define FEED_BYTES (512 * KIB)

struct attachment_upload {
    struct service *service;
    struct exchange *exchange;
    struct buf id, name;
    struct document document;
    struct doc_problem problem;
    struct write_how how;
    struct write_probe probe;
    struct upload *upload;
    struct buf piece; /* secret */
    bool ended;       /* `piece` is the last */
};

static void put_free(void *arg)
{
    struct attachment_upload *put = arg;

    upload_free(put->upload);
    buf_fini(&put->id);
    buf_fini(&put->name);
    buf_fini(&put->piece);
    free(put);
}

static void put_fail(struct attachment_upload *put, enum qk_err err)
{
    struct exchange *exchange = put->exchange;

    document_fini(&put->document);
    if (err == QK_ERR_INVALID)
        exchange_reply_problem_or(exchange, &put->problem, err);
    else
        upload_reply_err(put->service, exchange, buf_bytes(&put->name), err);
    put_free(put);
}

/* --- FEED ------------------------------------------------------------------------------------ */

static void on_more(void *arg);

static void on_whole(void *arg, enum qk_err err)
{
    struct attachment_upload *put = arg;
    struct attachment_wish *wish = &put->document.attachments.items[0];

    if (err == QK_OK && put->exchange->closed)
        err = QK_ERR_CLOSED;
    if (err == QK_OK)
        err = upload_wish(put->upload, wish, &put->problem);
    if (err == QK_OK)
        err = attachment_check_md5(&put->exchange->request, wish->md5, &put->problem);
    if (err != QK_OK) {
        put_fail(put, err);
        return;
    }
    put->how.ended = put_free;
    put->how.ended_arg = put;
    write_one(put->service, put->exchange, buf_bytes(&put->id), &put->document, &put->how);
}

static void on_put(void *arg, enum qk_err err)
{
    struct attachment_upload *put = arg;

    if (err != QK_OK)
        put_fail(put, err);
    else if (put->ended)
        upload_end(put->upload, on_whole, put);
    else
        exchange_body_wait(put->exchange, FEED_BYTES, on_more, put);
}

static void on_more(void *arg)
{
    struct attachment_upload *put = arg;

    if (put->exchange->closed) {
        put_fail(put, QK_ERR_CLOSED);
        return;
    }
    buf_reset(&put->piece);
    put->ended = put->exchange->body.ended;
    exchange_body_take(put->exchange, &put->piece);
    if (buf_error(&put->piece) != QK_OK)
        put_fail(put, buf_error(&put->piece));
    else
        upload_put(put->upload, buf_bytes(&put->piece), on_put, put);
}

/* --- PROBE ---------------------------------------------------------------------------- */

static void put_refused(void *arg)
{
    struct attachment_upload *put = arg;

    document_fini(&put->document);
    put_free(put);
}

static enum qk_err put_open(struct attachment_upload *put)
{
    const struct catalog_database *database;
    struct record_key key;
    enum qk_err err;

    if (!service_is_open(put->service))
        return QK_ERR_SEALED;
    database = catalog_database_find(put->service->catalog, put->exchange->request.segments[0]);
    if (database == NULL)
        return QK_ERR_NOT_FOUND;
    err =
        doc_name_of_id(put->service, database->id, database->ids_hidden, buf_bytes(&put->id), &key);
    return err == QK_OK ? upload_new(put->service, &key, &put->upload) : err;
}

static void on_probed(void *arg)
{
    struct attachment_upload *put = arg;
    enum qk_err err;

    if (!write_probe_is_yes(&put->probe)) {
        write_probe_refuse(&put->probe, put_refused, put);
        return;
    }
    err = put_open(put);
    if (err == QK_OK)
        on_more(put);
    else
        put_fail(put, err);
}

/* --- FIRST ----------------------------------------------------------------------------------- */

static enum qk_err put_parse(struct attachment_upload *put)
{
    const struct request *request = &put->exchange->request;
    struct bytes type = request->content_type;
    enum qk_err err;

    if (type.len == 0)
        type = bytes_str(ATTACHMENT_TYPE_DEFAULT);
    err = attachment_type_check(type, &put->problem);
    if (err == QK_OK)
        err = attachment_wishes_of_name(buf_bytes(&put->name), type, &put->document.attachments);
    if (err == QK_OK)
        err = request_revision(request, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_key(request, &put->document, &put->problem);
    put->how = (struct write_how){.status_ok = 201, .attachment = buf_bytes(&put->name)};
    return err;
}

static void on_first(void *arg)
{
    struct attachment_upload *put = arg;
    struct service *service = put->service;
    struct exchange *exchange = put->exchange;
    enum qk_err err;

    if (exchange->body.ended && !exchange->closed) {
        exchange->request.body = buf_bytes(exchange->body.bytes);
        document_fini(&put->document);
        put_free(put);
        attachment_put_whole(service, exchange);
        return;
    }
    err = exchange->closed ? QK_ERR_CLOSED : put_parse(put);
    if (err == QK_OK)
        write_probe_start(&put->probe, service, exchange, buf_bytes(&put->id), &put->document,
                          &put->how, on_probed, put);
    else
        put_fail(put, err);
}

void attachment_upload(struct service *service, struct exchange *exchange)
{
    struct attachment_upload *put = calloc(1, sizeof(*put));
    enum qk_err err;

    if (put == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    put->service = service;
    put->exchange = exchange;
    put->id = BUF_INIT(HTTP_URI_BYTES_MAX);
    put->name = BUF_INIT(HTTP_URI_BYTES_MAX);
    put->piece = BUF_SECRET_INIT(2 * EXCHANGE_BODY_WINDOW_BYTES);
    err = attachment_path(&exchange->request, &put->id, &put->name, &put->problem);
    if (err == QK_OK)
        err = document_tombstone(&put->document);
    put->document.deleted = false;
    if (err == QK_OK && exchange->body.length != UINT64_MAX &&
        exchange->body.length > upload_bytes_max(service))
        err = QK_ERR_TOO_BIG;
    if (err == QK_OK)
        exchange_body_wait(exchange, EXCHANGE_BODY_WINDOW_BYTES, on_first, put);
    else
        put_fail(put, err);
}
