/* PUT and DELETE of one attachment: an edit of its document, whose body and other attachments stay.
 * As in CouchDB a PUT makes the document if there is none. */
#include <stdlib.h>

#include "base/encode.h"
#include "doc/id.h"
#include "service/documents/attachment.h"
#include "service/handlers.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/write.h"

#define MD5_TEXT_BYTES_MAX 64

enum qk_err attachment_path(const struct request *request, struct buf *ret_id, struct buf *ret_name,
                            struct doc_problem *ret_problem)
{
    bool design = bytes_equal(request->segments[1], bytes_str("_design"));
    unsigned at = design ? 3 : 2;
    enum qk_err err;

    buf_put_bytes(ret_id, request->segments[1]);
    if (design) {
        buf_put_u8(ret_id, '/');
        buf_put_bytes(ret_id, request->segments[2]);
    }
    for (unsigned first = at; at < request->segments_n; at++) {
        if (at > first)
            buf_put_u8(ret_name, '/');
        buf_put_bytes(ret_name, request->segments[at]);
    }
    err = buf_error(ret_id);
    if (err == QK_OK)
        err = buf_error(ret_name);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(ret_id), ret_problem);
    return err == QK_OK ? attachment_name_check(buf_bytes(ret_name), ret_problem) : err;
}

struct attachment_put {
    struct service *service;
    struct exchange *exchange;
    struct buf id, name;
    struct document document; /* owned: an empty one, for a PUT with the attachment */
    struct doc_problem problem;
    enum qk_err err;
    bool remove;
};

static void put_free(struct attachment_put *put)
{
    buf_fini(&put->id);
    buf_fini(&put->name);
    free(put);
}

enum qk_err attachment_check_md5(const struct request *request,
                                 const uint8_t md5[static ATTACHMENT_MD5_BYTES],
                                 struct doc_problem *problem)
{
    struct buf given = BUF_INIT(MD5_TEXT_BYTES_MAX);
    bool equal;

    if (request->content_md5.len == 0)
        return QK_OK;
    equal = base64_decode(request->content_md5, &given) == QK_OK &&
            bytes_equal(buf_bytes(&given), bytes_of(md5, ATTACHMENT_MD5_BYTES));
    buf_fini(&given);
    return equal ? QK_OK
                 : doc_problem_set(problem, 400, "content_md5_mismatch",
                                   "Possible message corruption.");
}

/* On the pool, if the content is large: the digest of it. */
static void put_digest(void *arg)
{
    struct attachment_put *put = arg;
    const struct request *request = &put->exchange->request;
    struct bytes type = request->content_type;

    if (type.len == 0)
        type = bytes_str(ATTACHMENT_TYPE_DEFAULT);
    put->err = attachment_type_check(type, &put->problem);
    if (put->err == QK_OK)
        put->err = attachment_wishes_of(buf_bytes(&put->name), type, request->body,
                                        &put->document.attachments);
    if (put->err == QK_OK)
        put->err =
            attachment_check_md5(request, put->document.attachments.items[0].md5, &put->problem);
}

static void put_go(void *arg, enum qk_err err)
{
    struct attachment_put *put = arg;
    struct write_how how = {.status_ok = put->remove ? 200 : 201,
                            .must_exist = put->remove,
                            .attachment = buf_bytes(&put->name)};

    if (err == QK_OK)
        err = put->err;
    if (err == QK_OK)
        err = request_revision(&put->exchange->request, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_key(&put->exchange->request, &put->document, &put->problem);
    if (err == QK_OK) {
        write_one(put->service, put->exchange, buf_bytes(&put->id), &put->document, &how);
    } else {
        document_fini(&put->document);
        exchange_reply_problem_or(put->exchange, &put->problem, err);
    }
    put_free(put);
}

static struct attachment_put *put_new(struct service *service, struct exchange *exchange,
                                      bool remove)
{
    struct attachment_put *put = calloc(1, sizeof(*put));
    enum qk_err err;

    if (put == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return NULL;
    }
    *put = (struct attachment_put){.service = service,
                                   .exchange = exchange,
                                   .id = BUF_INIT(HTTP_URI_BYTES_MAX),
                                   .name = BUF_INIT(HTTP_URI_BYTES_MAX),
                                   .remove = remove};
    err = attachment_path(&exchange->request, &put->id, &put->name, &put->problem);
    if (err == QK_OK)
        err = document_tombstone(&put->document);
    put->document.deleted = false;
    if (err == QK_OK)
        return put;
    document_fini(&put->document);
    exchange_reply_problem_or(exchange, &put->problem, err);
    put_free(put);
    return NULL;
}

void handle_attachment_put(struct service *service, struct exchange *exchange)
{
    if (exchange->body.streamed)
        attachment_upload(service, exchange);
    else
        attachment_put_whole(service, exchange);
}

void attachment_put_whole(struct service *service, struct exchange *exchange)
{
    struct attachment_put *put = put_new(service, exchange, false);

    if (put != NULL)
        offload_run(service, exchange->request.body.len, put_digest, put_go, put);
}

void handle_attachment_delete(struct service *service, struct exchange *exchange)
{
    struct attachment_put *put = put_new(service, exchange, true);

    if (put != NULL)
        put_go(put, QK_OK);
}
