/* Requests of the node's own use cases (service/inner.h), answered as those of clients are.
 *
 * The reply is gathered in memory up to the caller's limit and handed over from the loop once the
 * handler has ended, or goes into a flow, at the pace of whoever reads that. A body that comes by a
 * flow is taken as one from a socket is: as it comes, where the route does, else as a whole first.
 * Who cancels, or asks for less than what comes, makes the exchange `closed`, as a client does that
 * goes away. */
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
    struct flow *from, *into;
    struct later body; /* more of it has come */
    uint64_t length;   /* of the reply, as announced */
    uint64_t written;
    bool flows;     /* the reply goes into `into` */
    bool gathering; /* the body, before the handler has it */
    bool running;   /* the handler has it */
    bool too_big;
};

static struct inner_call *call_of(struct exchange *exchange)
{
    return (struct inner_call *)(void *)exchange;
}

static void call_free(struct inner_call *call)
{
    http_later_cancel(call->hx.http, &call->done);
    http_later_cancel(call->hx.http, &call->body);
    buf_fini(&call->reply);
    http_exchange_fini(&call->hx);
    secret_wipe(call, sizeof *call);
    free(call);
}

/* The flows know nothing of it any more. */
static void call_let_go(struct inner_call *call)
{
    if (call->from != NULL)
        call->from->came = NULL;
    if (call->into != NULL)
        call->into->room = NULL;
    call->from = call->into = NULL;
}

/* A handler that finds something wrong in the midst of a reply says less than it announced. */
static bool call_is_cut(const struct inner_call *call)
{
    return call->flows && (call->hx.broken ||
                           (call->length != FLOW_LENGTH_UNKNOWN && call->written != call->length));
}

static void on_done(struct later *later)
{
    struct inner_call *call =
        (struct inner_call *)(void *)((char *)later - offsetof(struct inner_call, done));
    struct fetch_reply reply = {.status = call->hx.status, .body = buf_bytes(&call->reply)};
    struct buf body = call->reply;
    fetch_cb cb = call->cb;
    void *arg = call->arg;

    reply.err = call->too_big ? QK_ERR_TOO_BIG : call_is_cut(call) ? QK_ERR_IO : QK_OK;
    reply.why = call->too_big            ? "its reply is too large"
                : reply.err == QK_ERR_IO ? "its reply was cut short"
                                         : "";
    if (call->flows && reply.err == QK_OK && cb != NULL)
        flow_end(call->into);
    call_let_go(call);
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

    (void)fields;
    (void)fields_n;
    call->hx.status = status;
    call->flows = call->into != NULL && status == 200;
    call->length = length == SIZE_MAX ? FLOW_LENGTH_UNKNOWN : length;
    if (call->flows)
        flow_begin(call->into, bytes_str(content_type == NULL ? "" : content_type), call->length);
}

static void inner_op_write(struct exchange *exchange, struct bytes body)
{
    struct inner_call *call = call_of(exchange);

    enum qk_err err = QK_OK;

    if (exchange->closed)
        return;
    call->written += body.len;
    if (call->flows)
        err = flow_put(call->into, body);
    else
        buf_put_bytes(&call->reply, body);
    if (err != QK_OK || buf_error(&call->reply) != QK_OK) {
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
    const struct inner_call *call = (const struct inner_call *)(const void *)exchange;

    return call->flows && !exchange->closed ? flow_waiting(call->into).len : 0;
}

static void inner_op_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    http_exchange_wait(&call_of(exchange)->hx, inner_op_queued(exchange) < HTTP_DRAINED_BYTES,
                       drained, arg);
}

static void on_room(void *arg)
{
    struct inner_call *call = arg;

    http_exchange_wake(&call->hx);
}

/* --- a body that comes by a flow ---------------------------------------------------------------
 */

/* Up to `max` bytes in all in the exchange's body. */
static void body_move(struct inner_call *call, size_t max)
{
    size_t room = max > call->hx.body.len ? max - call->hx.body.len : 0;
    struct bytes bytes = bytes_slice(flow_waiting(call->from), 0, room);

    buf_put_bytes(&call->hx.body, bytes);
    flow_take(call->from, bytes.len);
}

static void body_stream(struct inner_call *call)
{
    struct exchange_body *body = &call->hx.base.body;

    if (body->ended || call->from == NULL)
        return;
    body_move(call, EXCHANGE_BODY_WINDOW_BYTES);
    body->ended = flow_is_over(call->from);
    http_body_came(&call->hx);
}

static void body_refuse(struct inner_call *call, enum qk_err err)
{
    call->gathering = false;
    call->running = true;
    exchange_reply_err(&call->hx.base, err);
}

static void body_gather(struct inner_call *call)
{
    body_move(call, call->hx.route->body_bytes_max + 1);
    if (buf_error(&call->hx.body) != QK_OK)
        body_refuse(call, QK_ERR_NOMEM);
    else if (call->hx.body.len > call->hx.route->body_bytes_max)
        body_refuse(call, QK_ERR_TOO_BIG);
    else if (http_exchange_count_body(&call->hx, call->hx.body.len) != QK_OK)
        body_refuse(call, QK_ERR_BUSY);
    else if (flow_is_over(call->from)) {
        call->gathering = false;
        call->running = true;
        http_dispatch(&call->hx);
    }
}

static void on_body(struct later *later)
{
    struct inner_call *call =
        (struct inner_call *)(void *)((char *)later - offsetof(struct inner_call, body));

    if (call->gathering)
        body_gather(call);
    else
        body_stream(call);
}

static void on_came(void *arg)
{
    struct inner_call *call = arg;

    http_later(call->hx.http, &call->body);
}

static void inner_op_body(struct exchange *exchange)
{
    struct inner_call *call = call_of(exchange);

    if (!exchange->closed)
        body_stream(call);
    http_body_came(&call->hx);
}

/* As for a request from a socket, once its head is admitted. */
static void body_begin(struct inner_call *call)
{
    struct http_exchange *hx = &call->hx;

    if (!http_body_streams(hx, call->from->length)) {
        call->running = false;
        call->gathering = true;
        hx->body = BUF_SECRET_INIT(hx->route->body_bytes_max + 1);
        on_came(call);
    } else if (http_body_begin(hx, call->from->length, 0) != QK_OK) {
        exchange_reply_err(&hx->base, QK_ERR_BUSY);
    } else {
        http_dispatch(hx);
    }
}

static const struct exchange_ops INNER_OPS = {
    .start = inner_op_start,
    .write = inner_op_write,
    .end = inner_op_end,
    .queued = inner_op_queued,
    .on_drain = inner_op_on_drain,
    .body = inner_op_body,
};

static struct bytes keep(struct buf *head, struct bytes text)
{
    size_t at = head->len;

    buf_put_bytes(head, text);
    return bytes_slice(buf_bytes(head), at, text.len);
}

static void take_flows(struct inner_call *call, const struct inner_request *from)
{
    call->from = from->from;
    call->into = from->into;
    if (call->from != NULL) {
        call->from->came = on_came;
        call->from->came_arg = call;
    }
    if (call->into != NULL) {
        call->into->room = on_room;
        call->into->room_arg = call;
    }
}

/* One reservation first: the views must stay where they are. */
static enum qk_err take_request(struct inner_call *call, const struct inner_request *from)
{
    struct request *request = &call->hx.base.request;
    struct bytes accept = bytes_str(from->accept == NULL ? "application/json" : from->accept);
    const char *type = from->body.len > 0 ? "application/json" : "";
    struct bytes content_type = bytes_str(from->from != NULL ? from->from->type : type);
    enum qk_err err = buf_reserve(&call->hx.head, from->target.len + accept.len + content_type.len);

    if (err != QK_OK)
        return err;
    call->hx.body = BUF_SECRET_INIT(from->body.len);
    buf_put_bytes(&call->hx.body, from->body);
    request->method = from->method;
    request->target = keep(&call->hx.head, from->target);
    request->content_type = keep(&call->hx.head, content_type);
    request->accept = keep(&call->hx.head, accept);
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
    if (call->from != NULL)
        body_begin(call);
    else if (hx->body.len > hx->route->body_bytes_max)
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
    call->body.run = on_body;
    call->cb = cb;
    call->arg = cb_arg;
    err = take_request(call, request);
    if (err != QK_OK) {
        call_free(call);
        return err;
    }
    *ret_call = call;
    take_flows(call, request);
    inner_run(call);
    return QK_OK;
}

static void hook_cancel(struct inner_call *call)
{
    call->cb = NULL;
    call_let_go(call);
    if (call->gathering)
        call_free(call);
    else if (call->running)
        call_gone(call);
}

void http_inner_hook(struct http *http, struct inner_hook *ret_hook)
{
    *ret_hook = (struct inner_hook){http, hook_start, hook_cancel};
}
