#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "secret/crypto.h"
#include "service/handlers.h"
#include "service/documents/local.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/documents/put_parts.h"
#include "service/request.h"
#include "service/write.h"

/* A document on its way from the body to a write. */
struct put {
    struct service *service;
    struct exchange *exchange;
    struct document document; /* owned */
    struct doc_problem problem;
    enum qk_err err; /* of the parsing */
    bool post;       /* the id is in the body, or is made */
};

/* On the pool, if the body is large: nothing but the body and what `put` owns. */
static void put_parse(void *arg)
{
    struct put *put = arg;

    put->err = put_document_parse(&put->exchange->request, &put->document, &put->problem);
}

static void reply_unparsed(struct exchange *exchange, struct bytes id,
                           const struct doc_problem *problem, enum qk_err err)
{
    if (err == QK_ERR_TOO_BIG)
        exchange_reply_error(exchange, 413, "document_too_large", "%.*s", (int)id.len,
                             (const char *)id.data);
    else
        exchange_reply_problem_or(exchange, problem, err);
}

static void make_id(struct document *document)
{
    char text[DOC_ID_GENERATED_BYTES + 1];
    uint8_t random[16];

    random_fill(random, sizeof(random));
    doc_id_generate(random, text);
    buf_put_str(&document->id, text);
}

/* PUT names the document in the path, POST in the body or not at all. */
static enum qk_err put_id(struct put *put, struct buf *out)
{
    if (!put->post) {
        request_doc_id(&put->exchange->request, out);
    } else {
        if (put->err == QK_OK && put->document.id.len == 0)
            make_id(&put->document);
        buf_put_bytes(out, buf_bytes(&put->document.id));
    }
    return buf_error(out);
}

static enum qk_err put_check(struct put *put, struct bytes id)
{
    return local_is_id(id) ? local_document_check(id, &put->document, &put->problem)
                           : doc_id_check(id, &put->problem);
}

static void put_parsed(void *arg, enum qk_err err)
{
    struct put *put = arg;
    const struct request *request = &put->exchange->request;
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct write_how how = {.status_ok = put->document.deleted && !put->post ? 200 : 201};

    if (err == QK_OK)
        err = put->err;
    if (err == QK_OK)
        err = request_revision(request, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_key(request, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_how(request, &put->document, &how, &put->problem);
    if (err == QK_OK || err == QK_ERR_TOO_BIG) {
        enum qk_err named = put_id(put, &id);

        err = err == QK_OK ? named : err;
    }
    if (err == QK_OK)
        err = put_check(put, buf_bytes(&id));
    if (err == QK_OK && local_is_id(buf_bytes(&id))) {
        local_write(put->service, put->exchange, buf_bytes(&id), &put->document);
    } else if (err == QK_OK) {
        write_one(put->service, put->exchange, buf_bytes(&id), &put->document, &how);
    } else {
        document_fini(&put->document);
        reply_unparsed(put->exchange, buf_bytes(&id), &put->problem, err);
    }
    buf_fini(&id);
    free(put);
}

static void put_start(struct service *service, struct exchange *exchange, bool post)
{
    struct put *put = calloc(1, sizeof(*put));

    if (put == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    put->service = service;
    put->exchange = exchange;
    put->post = post;
    offload_run(service, exchange->request.body.len, put_parse, put_parsed, put);
}

void doc_put_whole(struct service *service, struct exchange *exchange)
{
    put_start(service, exchange, false);
}

void handle_doc_put(struct service *service, struct exchange *exchange)
{
    if (exchange->body.streamed || (request_has_type(&exchange->request, "multipart/related") &&
                                    put_parts_may_be_packed(exchange->request.body)))
        parts_upload(service, exchange);
    else
        doc_put_whole(service, exchange);
}

void handle_doc_post(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        put_start(service, exchange, true);
}
