#include "service/put.h"

#include <assert.h>
#include <string.h>

#include "doc/id.h"
#include "secret/crypto.h"
#include "service/handlers.h"
#include "service/params.h"
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

enum qk_err request_wants_json(struct exchange *exchange)
{
    struct bytes type = exchange->request.content_type;
    const char wanted[] = "application/json";
    size_t len = strlen(wanted);

    if (type.len >= len && strncasecmp((const char *)type.data, wanted, len) == 0 &&
        (type.len == len || type.data[len] == ';' || type.data[len] == ' '))
        return QK_OK;
    exchange_reply_error(exchange, 415, "bad_content_type",
                         "Content-Type must be application/json");
    return QK_ERR_UNSUPPORTED;
}

/* The body as a document; `ret_document` is the caller's to end, on errors too. */
static enum qk_err parse_document(const struct request *request, struct document *ret_document,
                                  struct doc_problem *problem)
{
    json_t *json = NULL;
    enum qk_err err;

    memset(ret_document, 0, sizeof(*ret_document));
    err = json_parse(request->body, JSON_DEPTH_MAX, problem, &json);
    if (err == QK_OK)
        err = document_from_json(json, ret_document, problem);
    json_decref(json);
    if (err == QK_OK)
        err = request_revision(request, ret_document, problem);
    if (err == QK_OK)
        err = request_key(request, ret_document, problem);
    return err;
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

void handle_doc_put(struct service *service, struct exchange *exchange)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct doc_problem problem = {0};
    struct document document;
    enum qk_err err;

    request_doc_id(&exchange->request, &id);
    err = parse_document(&exchange->request, &document, &problem);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&id), &problem);
    if (err == QK_OK) {
        write_one(service, exchange, buf_bytes(&id), &document, document.deleted ? 200 : 201,
                  false);
    } else {
        document_fini(&document);
        reply_unparsed(exchange, buf_bytes(&id), &problem, err);
    }
    buf_fini(&id);
}

static void make_id(struct document *document)
{
    char text[DOC_ID_GENERATED_BYTES + 1];
    uint8_t random[16];

    random_fill(random, sizeof(random));
    doc_id_generate(random, text);
    buf_put_str(&document->id, text);
}

void handle_doc_post(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    struct document document;
    enum qk_err err;

    if (request_wants_json(exchange) != QK_OK)
        return;
    err = parse_document(&exchange->request, &document, &problem);
    if (err == QK_OK && document.id.len == 0)
        make_id(&document);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&document.id), &problem);
    if (err == QK_OK) {
        write_one(service, exchange, buf_bytes(&document.id), &document, 201, false);
    } else {
        reply_unparsed(exchange, buf_bytes(&document.id), &problem, err);
        document_fini(&document);
    }
}
