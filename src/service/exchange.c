#include "service/exchange.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "doc/json.h"
#include "service/vault.h"

/* Replies made whole in memory: lists of names and results of bulk writes; documents are larger. */
#define REPLY_BYTES_MAX (64 * MIB)
#define JSON_TYPE "application/json"

void exchange_field(struct exchange *exchange, const char *name, const char *format, ...)
{
    struct reply_field *field;
    va_list args;
    int len;

    assert(!exchange->started);
    assert(exchange->fields_n < REPLY_FIELDS_MAX);

    field = &exchange->fields[exchange->fields_n];
    va_start(args, format);
    len = vsnprintf(field->value, sizeof(field->value), format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(field->value))
        return; /* half a value would be wrong; every field here is optional */
    field->name = name;
    exchange->fields_n++;
}

/* A handler that forgot to ask must not become a hole. */
static void exchange_withhold(struct exchange *exchange)
{
    static const char TEXT[] =
        "{\"error\":\"internal_error\",\"reason\":\"nobody asked whether you may\"}\n";

    log_error("exchange", "a handler answered without asking for the right of its route");
    exchange->withheld = true;
    exchange->ops->start(exchange, 500, JSON_TYPE, exchange->fields, 0, sizeof(TEXT) - 1);
    if (exchange->request.method != METHOD_HEAD)
        exchange->ops->write(exchange, bytes_str(TEXT));
}

static void exchange_begin(struct exchange *exchange, int status, const char *content_type,
                           size_t length)
{
    assert(!exchange->started);

    exchange->started = true;
    if (exchange->undecided && status < 400) {
        exchange_withhold(exchange);
        return;
    }
    exchange->ops->start(exchange, status, content_type, exchange->fields, exchange->fields_n,
                         length);
}

void exchange_start(struct exchange *exchange, int status, const char *content_type)
{
    exchange_begin(exchange, status, content_type, SIZE_MAX);
}

void exchange_start_length(struct exchange *exchange, int status, const char *content_type,
                           size_t length)
{
    exchange_begin(exchange, status, content_type, length);
}

void exchange_write(struct exchange *exchange, struct bytes body)
{
    assert(exchange->started);

    if (body.len > 0 && exchange->request.method != METHOD_HEAD && !exchange->withheld)
        exchange->ops->write(exchange, body);
}

void exchange_end(struct exchange *exchange)
{
    assert(exchange->started);

    exchange->ops->end(exchange);
}

void exchange_reply_bytes(struct exchange *exchange, int status, const char *content_type,
                          struct bytes body)
{
    exchange_begin(exchange, status, content_type, body.len);
    exchange_write(exchange, body);
    exchange_end(exchange);
}

void exchange_reply_text(struct exchange *exchange, int status, struct buf *text)
{
    buf_put_u8(text, '\n'); /* CouchDB's do, for terminals */
    if (buf_error(text) == QK_OK)
        exchange_reply_bytes(exchange, status, JSON_TYPE, buf_bytes(text));
    else
        exchange_reply_bytes(exchange, 503, JSON_TYPE,
                             bytes_str("{\"error\":\"busy\",\"reason\":\"out of memory\"}\n"));
    buf_fini(text);
}

void exchange_reply_json(struct exchange *exchange, int status, json_t *body)
{
    struct buf text = BUF_SECRET_INIT(REPLY_BYTES_MAX);

    if (body == NULL || json_write(body, &text) != QK_OK)
        text.failed = QK_ERR_NOMEM;
    json_decref(body);
    exchange_reply_text(exchange, status, &text);
}

void exchange_reply_error(struct exchange *exchange, int status, const char *error,
                          const char *reason_format, ...)
{
    struct buf text = BUF_INIT(8 * KIB);
    char reason[1024];
    va_list args;

    va_start(args, reason_format);
    if (vsnprintf(reason, sizeof(reason), reason_format, args) < 0)
        reason[0] = '\0';
    va_end(args);
    if (!utf8_is_valid(bytes_str(reason)))
        reason[0] = '\0'; /* cut inside a character, or a name that is no text */
    if (vault_is_request(&exchange->request)) {
        buf_fini(&text);
        vault_reply_refusal(exchange, status, error, reason);
        return;
    }
    buf_put_str(&text, "{\"error\":");
    json_write_string(bytes_str(error), &text);
    buf_put_str(&text, ",\"reason\":");
    json_write_string(bytes_str(reason), &text);
    buf_put_str(&text, "}\n");
    exchange_reply_bytes(exchange, status, JSON_TYPE, buf_bytes(&text));
    buf_fini(&text);
}

struct err_reply {
    int status;
    const char *error;
    const char *reason;
    bool retry; /* the same request may succeed soon */
};

static struct err_reply err_reply_of(enum qk_err err)
{
    switch (err) {
    case QK_OK:
        break;
    case QK_ERR_NOMEM:
        return (struct err_reply){503, "busy", "out of memory", true};
    case QK_ERR_INVALID:
        return (struct err_reply){400, "bad_request", qk_err_text(err), false};
    case QK_ERR_TOO_BIG:
        return (struct err_reply){413, "too_large", "the request entity is too large", false};
    case QK_ERR_CORRUPT:
        return (struct err_reply){500, "corrupt", "the stored record does not authenticate", false};
    case QK_ERR_NOT_FOUND:
        return (struct err_reply){404, "not_found", "missing", false};
    case QK_ERR_EXISTS:
        return (struct err_reply){412, "file_exists", qk_err_text(err), false};
    case QK_ERR_CONFLICT:
        return (struct err_reply){409, "conflict", "Document update conflict.", false};
    case QK_ERR_DENIED:
        return (struct err_reply){403, "forbidden", "You are not allowed to do this.", false};
    case QK_ERR_UNAUTHENTICATED:
        return (struct err_reply){401, "unauthorized", "Name or password is incorrect.", false};
    case QK_ERR_SEALED:
    case QK_ERR_UNINITIALISED:
        return (struct err_reply){503, "sealed", qk_err_text(err), true};
    case QK_ERR_NOT_LEADER:
        return (struct err_reply){503, "no_leader",
                                  "the leader changed; nothing was written, try again", true};
    case QK_ERR_UNKNOWN_OUTCOME:
        return (struct err_reply){503, "unknown_outcome",
                                  "the leader was lost while it wrote; read before writing again",
                                  false};
    case QK_ERR_TIMEOUT:
        return (struct err_reply){503, "timeout", qk_err_text(err), true};
    case QK_ERR_BUSY:
        return (struct err_reply){503, "busy", "too much is waiting; try again", true};
    case QK_ERR_FULL:
        return (struct err_reply){507, "insufficient_storage",
                                  "the disk has no room for further writes", false};
    case QK_ERR_NO_QUORUM:
        return (struct err_reply){503, "no_quorum",
                                  "no leader with a majority of the members can be reached; "
                                  "?consistency=local reads what this node has",
                                  true};
    case QK_ERR_UNRECORDED:
        return (struct err_reply){503, "unrecorded",
                                  "this node cannot write its audit log, and nothing is done that "
                                  "it would not record: see its log",
                                  true};
    case QK_ERR_CLOSED:
        return (struct err_reply){503, "closing", "the node is stopping", true};
    case QK_ERR_DESTROYED:
        return (struct err_reply){410, "key_destroyed", qk_err_text(err), false};
    case QK_ERR_KEY_FULL:
        return (struct err_reply){
            503, "key_full",
            "the data key has sealed as much as its limits allow, and can have "
            "no further version: create another key, or raise its limits",
            false};
    case QK_ERR_IO:
    case QK_ERR_LOCKED_MEMORY:
    case QK_ERR_FOREIGN:
    case QK_ERR_STALE:
    case QK_ERR_EXPIRED:
    case QK_ERR_UNSUPPORTED:
        break;
    }
    return (struct err_reply){500, "internal_error", qk_err_text(err), false};
}

void exchange_reply_err(struct exchange *exchange, enum qk_err err)
{
    struct err_reply reply = err_reply_of(err);

    assert(err != QK_OK);

    if (reply.retry)
        exchange_field(exchange, "Retry-After", "1");
    exchange_reply_error(exchange, reply.status, reply.error, "%s", reply.reason);
}

size_t exchange_queued(const struct exchange *exchange)
{
    return exchange->ops->queued(exchange);
}

void exchange_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    exchange->ops->on_drain(exchange, drained, arg);
}

void exchange_on_gone(struct exchange *exchange, void (*gone)(void *arg), void *arg)
{
    assert(gone != NULL);

    exchange->gone = gone;
    exchange->gone_arg = arg;
}

bool request_param(const struct request *request, const char *name, struct bytes *ret_value)
{
    unsigned i;

    for (i = 0; i < request->params_n; i++) {
        if (bytes_equal(request->params[i].name, bytes_str(name))) {
            *ret_value = request->params[i].value;
            return true;
        }
    }
    return false;
}

void exchange_body_wait(struct exchange *exchange, size_t enough, void (*more)(void *arg),
                        void *arg)
{
    assert(exchange->body.streamed && exchange->body.more == NULL && more != NULL);
    assert(enough <= EXCHANGE_BODY_WINDOW_BYTES);

    exchange->body.enough = enough;
    exchange->body.more = more;
    exchange->body.arg = arg;
    exchange->ops->body(exchange);
}

void exchange_body_take(struct exchange *exchange, struct buf *out)
{
    assert(out->secret);

    buf_put_bytes(out, buf_bytes(exchange->body.bytes));
    exchange_body_taken(exchange);
}

void exchange_body_taken(struct exchange *exchange)
{
    assert(exchange->body.streamed);

    buf_reset(exchange->body.bytes);
    exchange->ops->body(exchange);
}

bool exchange_body_is_ready(const struct exchange *exchange)
{
    const struct exchange_body *body = &exchange->body;

    return exchange->closed || body->ended || body->bytes->len >= body->enough;
}
