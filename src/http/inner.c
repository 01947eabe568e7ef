/* Requests of the node's own use cases (service/inner.h), answered as those of clients are.
 *
 * The reply is gathered in memory up to the caller's limit and handed over from the loop once the
 * handler has ended. Who cancels, or asks for less than what comes, makes the exchange `closed`, as
 * a client does that goes away. */
#include "http/inner.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/server.h"
#include "secret/secret.h"
#include "service/inner.h"

struct inner_call {
    struct http_exchange hx; /* first */
    struct buf reply;
    struct later done;
    fetch_cb cb; /* NULL: cancelled */
    void *arg;
    bool running; /* the handler has it */
    bool too_big;
};

static struct inner_call *call_of(struct exchange *exchange)
{
    return (struct inner_call *)(void *)exchange;
}

static void call_free(struct inner_call *call)
{
    http_later_cancel(call->hx.http, &call->done);
    buf_fini(&call->reply);
    http_exchange_fini(&call->hx);
    secret_wipe(call, sizeof *call);
    free(call);
}

static void on_done(struct later *later)
{
    struct inner_call *call =
        (struct inner_call *)(void *)((char *)later - offsetof(struct inner_call, done));
    struct fetch_reply reply = {.err = call->too_big ? QK_ERR_TOO_BIG : QK_OK,
                                .status = call->hx.status,
                                .body = buf_bytes(&call->reply),
                                .why = call->too_big ? "its reply is too large" : ""};
    struct buf body = call->reply;
    fetch_cb cb = call->cb;
    void *arg = call->arg;

    call->reply = BUF_SECRET_INIT(0);
    call_free(call);
    if (cb != NULL)
        cb(arg, &reply);
    buf_fini(&body);
}

static void call_gone(struct inner_call *call)
{
    call->hx.base.closed = true;
    buf_fini(&call->reply);
    http_exchange_wake(&call->hx);
}

static void inner_op_start(struct exchange *exchange, int status, const char *content_type,
                           const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct inner_call *call = call_of(exchange);

    (void)content_type;
    (void)fields;
    (void)fields_n;
    (void)length;
    call->hx.status = status;
}

static void inner_op_write(struct exchange *exchange, struct bytes body)
{
    struct inner_call *call = call_of(exchange);

    if (exchange->closed)
        return;
    buf_put_bytes(&call->reply, body);
    if (buf_error(&call->reply) != QK_OK) {
        call->too_big = true;
        call_gone(call);
    }
}

static void inner_op_end(struct exchange *exchange)
{
    struct inner_call *call = call_of(exchange);

    call->running = false;
    http_later(call->hx.http, &call->done);
}

static size_t inner_op_queued(const struct exchange *exchange)
{
    (void)exchange;
    return 0;
}

static void inner_op_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    http_exchange_wait(&call_of(exchange)->hx, true, drained, arg);
}

static const struct exchange_ops INNER_OPS = {
    .start = inner_op_start,
    .write = inner_op_write,
    .end = inner_op_end,
    .queued = inner_op_queued,
    .on_drain = inner_op_on_drain,
};

static enum qk_err take_request(struct inner_call *call, const struct inner_request *from)
{
    struct request *request = &call->hx.base.request;

    buf_put_bytes(&call->hx.head, from->target);
    call->hx.body = BUF_SECRET_INIT(from->body.len);
    buf_put_bytes(&call->hx.body, from->body);
    request->method = from->method;
    request->target = buf_bytes(&call->hx.head);
    request->content_type = bytes_str(from->body.len > 0 ? "application/json" : "");
    request->accept = bytes_str("application/json");
    request->who = *from->who;
    request->who.loopback = false;
    (void)snprintf(call->hx.base.from, sizeof call->hx.base.from, "replication");
    if (buf_error(&call->hx.head) != QK_OK)
        return buf_error(&call->hx.head);
    return buf_error(&call->hx.body);
}

static void inner_run(struct inner_call *call)
{
    struct http_exchange *hx = &call->hx;

    call->running = true;
    if (admit_forwarded(hx) != ADMIT_OK)
        return;
    if (hx->body.len > hx->route->body_bytes_max)
        exchange_reply_err(&hx->base, QK_ERR_TOO_BIG);
    else if (http_exchange_count_body(hx, hx->body.len) != QK_OK)
        exchange_reply_err(&hx->base, QK_ERR_BUSY);
    else
        http_dispatch(hx);
}

static enum qk_err hook_start(void *arg, const struct inner_request *request, fetch_cb cb,
                              void *cb_arg, struct inner_call **ret_call)
{
    struct http *http = arg;
    struct inner_call *call;
    enum qk_err err;

    if (http->closing || http->draining)
        return QK_ERR_CLOSED;
    call = calloc(1, sizeof *call);
    if (call == NULL)
        return QK_ERR_NOMEM;
    http_exchange_init(&call->hx, http, &INNER_OPS);
    call->reply = BUF_SECRET_INIT(request->reply_bytes_max);
    call->done.run = on_done;
    call->cb = cb;
    call->arg = cb_arg;
    err = take_request(call, request);
    if (err != QK_OK) {
        call_free(call);
        return err;
    }
    *ret_call = call;
    inner_run(call);
    return QK_OK;
}

static void hook_cancel(struct inner_call *call)
{
    call->cb = NULL;
    if (call->running)
        call_gone(call);
}

void http_inner_hook(struct http *http, struct inner_hook *ret_hook)
{
    *ret_hook = (struct inner_hook){http, hook_start, hook_cancel};
}
