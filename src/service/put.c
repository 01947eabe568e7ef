#include "service/put.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "secret/crypto.h"
#include "service/handlers.h"
#include "service/local.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/put_parts.h"
#include "service/write.h"

void request_doc_id(const struct request *request, struct buf *out)
{
    assert(request->segments_n >= 2);

    buf_put_bytes(out, request->segments[1]);
    if (request->segments_n > 2) {
        buf_put_u8(out, '/');
        buf_put_bytes(out, request->segments[2]);
    }
}

static enum qk_err give_revision(struct document *document, struct bytes text,
                                 const char *difference, struct doc_problem *problem)
{
    struct revision revision = REVISION_NONE;
    enum qk_err err = revision_parse(text, &revision);
    bool foreign = err == QK_ERR_NOT_FOUND;

    if (err == QK_ERR_INVALID)
        return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
    if (document->has_revision && (foreign != document->revision_is_foreign ||
                                   !revision_equal(&revision, &document->revision)))
        return doc_problem_set(problem, 400, "bad_request", "%s", difference);
    document->has_revision = true;
    document->revision_is_foreign = foreign;
    document->revision = revision;
    revision_parse_local(text, &document->local_revision);
    return QK_OK;
}

enum qk_err request_revision(const struct request *request, struct document *document,
                             struct doc_problem *ret_problem)
{
    enum qk_err err = QK_OK;
    struct bytes text;

    if (request_param(request, "rev", &text))
        err = give_revision(document, text,
                            "Document rev from request body and query string have different values",
                            ret_problem);
    if (err == QK_OK && request->if_match.len > 0)
        err = give_revision(document, request->if_match,
                            "Document rev and etag have different values", ret_problem);
    return err;
}

enum qk_err request_how(const struct request *request, const struct document *document,
                        struct write_how *how, struct doc_problem *ret_problem)
{
    struct bytes value;

    how->replicated =
        request_param(request, "new_edits", &value) && bytes_equal(value, bytes_str("false"));
    how->batch = request_param(request, "batch", &value) && bytes_equal(value, bytes_str("ok"));
    return how->replicated ? document_check_replicated(document, ret_problem) : QK_OK;
}

enum qk_err request_key(const struct request *request, struct document *document,
                        struct doc_problem *ret_problem)
{
    struct bytes name;

    if (!request_param(request, "key_id", &name))
        return QK_OK;
    if (name.len == 0)
        return doc_problem_set(ret_problem, 400, "bad_request", "key_id must be a key's name");
    if (document->key_name.len > 0 && !bytes_equal(buf_bytes(&document->key_name), name))
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "_key_id and key_id have different values");
    buf_reset(&document->key_name);
    buf_put_bytes(&document->key_name, name);
    if (buf_error(&document->key_name) != QK_OK)
        return doc_problem_set(ret_problem, 400, "bad_request", "key_id must be a key's name");
    return QK_OK;
}

bool request_has_type(const struct request *request, const char *wanted)
{
    struct bytes type = request->content_type;
    size_t len = strlen(wanted);

    return type.len >= len && strncasecmp((const char *)type.data, wanted, len) == 0 &&
           (type.len == len || type.data[len] == ';' || type.data[len] == ' ');
}

bool request_is_json(const struct request *request)
{
    return request_has_type(request, "application/json");
}

enum qk_err request_wants_json(struct exchange *exchange)
{
    if (request_is_json(&exchange->request))
        return QK_OK;
    exchange_reply_error(exchange, 415, "bad_content_type",
                         "Content-Type must be application/json");
    return QK_ERR_UNSUPPORTED;
}

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
    if (!local_is_id(id))
        return doc_id_check(id, &put->problem);
    if (put->document.attachments.n > 0)
        return doc_problem_set(&put->problem, 400, "bad_request",
                               "_local documents do not accept attachments.");
    return local_id_check(id, &put->problem);
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
    if (exchange->body.streamed)
        parts_upload(service, exchange);
    else
        doc_put_whole(service, exchange);
}

void handle_doc_post(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        put_start(service, exchange, true);
}
