/* What became of a write, told to the client. */
#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "doc/view.h"
#include "service/bodies.h"
#include "service/submit.h"
#include "service/write.h"

void write_put_done(struct bytes id, const char *revision, struct buf *out)
{
    buf_put_str(out, "{\"ok\":true,\"id\":");
    json_write_string(id, out);
    buf_put_str(out, ",\"rev\":\"");
    buf_put_str(out, revision); /* never with anything to escape */
    buf_put_str(out, "\"}");
}

void write_put_result(const struct write *write, struct buf *out)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];

    assert(write->state == WRITE_DONE);

    revision_format(&write->revision, revision);
    write_put_done(write->id, revision, out);
}

static json_t *write_result_json(const struct write *write)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];

    assert(write->state == WRITE_DONE);

    revision_format(&write->revision, revision);
    return json_pack("{s:b, s:s%, s:s}", "ok", 1, "id", (const char *)write->id.data, write->id.len,
                     "rev", revision);
}

static void reply_location(struct exchange *exchange, const struct write *write)
{
    struct buf path = BUF_INIT(sizeof(exchange->fields[0].value));
    struct bytes host = exchange->request.host;

    if (host.len == 0)
        return;
    percent_encode(write->database_name, &path);
    buf_put_u8(&path, '/');
    percent_encode(write->id, &path);
    if (write->attachment.len > 0) {
        buf_put_u8(&path, '/');
        percent_encode(write->attachment, &path);
    }
    if (buf_error(&path) == QK_OK)
        exchange_field(exchange, "Location", "%s://%.*s/%.*s",
                       exchange->request.tls ? "https" : "http", (int)host.len,
                       (const char *)host.data, (int)path.len, (const char *)path.data);
    buf_fini(&path);
}

/* A design document whose rows go to the disk: what they tell there. */
static void put_at_rest(struct service *service, const struct write *write, json_t *result)
{
    const struct catalog_database *database =
        service->catalog == NULL ? NULL
                                 : catalog_database_find(service->catalog, write->database_name);
    struct document_parts parts;
    struct doc_problem problem;
    enum view_kind kind;
    json_t *design = NULL;

    if (write->document->deleted ||
        document_plain_open(buf_bytes(&write->document->plain), &parts) != QK_OK ||
        json_parse(parts.body, JSON_DEPTH_MAX, &problem, &design) != QK_OK)
        return;
    if (view_kind_parse(json_object_get(json_object_get(design, "options"), "index"), &kind) ==
            QK_OK &&
        kind != VIEW_MEMORY) {
        json_object_set_new(result, "index", json_string(view_kind_text(kind)));
        json_object_set_new(
            result, "at_rest",
            json_string(view_kind_leaks(kind, database != NULL && database->ids_hidden)));
    }
    json_decref(design);
}

/* The usual one, without a tree of it. */
static void reply_plain(struct exchange *exchange, const struct write *write, const char *revision,
                        int status)
{
    struct buf text = BUF_SECRET_INIT(8 * KIB);

    write_put_done(write->id, revision, &text);
    exchange_reply_text(exchange, status, &text);
}

static void reply_done(struct service *service, struct exchange *exchange,
                       const struct write *write, int status)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];
    json_t *result;

    revision_format(&write->revision, revision);
    exchange_field(exchange, "ETag", "\"%s\"", revision);
    if (write->key_name[0] != '\0') /* else it was known, and nothing was sealed */
        exchange_field(exchange, "X-Quorumkeep-Key", "%s/%u", write->key_name, write->key_version);
    if (write->clear)
        exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
    if (!write->must_exist)
        reply_location(exchange, write);
    if (!bytes_starts_with(write->id, bytes_str("_design/"))) {
        reply_plain(exchange, write, revision, status);
        return;
    }
    result = write_result_json(write);
    put_at_rest(service, write, result);
    exchange_reply_json(exchange, status, result);
}

void write_no_stub_reason(const struct write *write, char ret_reason[static DOC_REASON_BYTES_MAX])
{
    struct doc_problem problem;

    (void)doc_problem_set(&problem, 412, "missing_stub", "Invalid attachment stub in %.*s for %.*s",
                          (int)write->id.len, (const char *)write->id.data, (int)write->missing.len,
                          (const char *)write->missing.data);
    memcpy(ret_reason, problem.reason, DOC_REASON_BYTES_MAX);
}

static void reply_no_stub(struct exchange *exchange, const struct write *write)
{
    char reason[DOC_REASON_BYTES_MAX];

    write_no_stub_reason(write, reason);
    exchange_reply_error(exchange, 412, "missing_stub", "%s", reason);
}

void write_reply(struct service *service, struct exchange *exchange, const struct write *write,
                 int status_ok, enum qk_err err)
{
    if (err == QK_OK && write->state == WRITE_FAILED)
        err = write->err;
    if (err == QK_ERR_TOO_BIG) {
        exchange_reply_error(exchange, 413, "document_too_large", "%.*s", (int)write->id.len,
                             (const char *)write->id.data);
        return;
    }
    if (err != QK_OK) {
        submit_reply_err(service, exchange, err);
        return;
    }
    switch (write->state) {
    case WRITE_DONE:
        reply_done(service, exchange, write, status_ok);
        break;
    case WRITE_CONFLICT:
        if (write->attachment.len > 0 && write->revision_is_unknown)
            exchange_reply_error(exchange, 409, "not_found", "missing_rev"); /* as CouchDB */
        else
            exchange_reply_err(exchange, QK_ERR_CONFLICT);
        break;
    case WRITE_MISSING:
        exchange_reply_error(exchange, 404, "not_found", "missing");
        break;
    case WRITE_DELETED:
        exchange_reply_error(exchange, 404, "not_found", "deleted");
        break;
    case WRITE_NO_STUB:
        reply_no_stub(exchange, write);
        break;
    case WRITE_NO_ATTACHMENT:
        exchange_reply_error(exchange, 404, "not_found", "Document is missing attachment");
        break;
    case WRITE_NO_DATABASE:
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
        break;
    case WRITE_NO_KEY:
        exchange_reply_error(exchange, 400, "bad_request", "there is no data key of that name");
        break;
    case WRITE_DENIED:
        exchange_reply_err(exchange, write->err);
        break;
    case WRITE_REFUSED:
        exchange_reply_error(exchange, write->verdict.refusal.status, write->verdict.refusal.error,
                             "%s", write->verdict.refusal.reason);
        break;
    case WRITE_NO_GRANT:
        exchange_reply_error(exchange, 403, "forbidden", WRITE_NO_GRANT_REASON);
        break;
    case WRITE_OPEN:
    case WRITE_FAILED:
        exchange_reply_error(exchange, 500, "internal_error", "the write ended undecided");
        break;
    }
}
