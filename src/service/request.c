#include "service/request.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "doc/id.h"
#include "service/params.h"

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
