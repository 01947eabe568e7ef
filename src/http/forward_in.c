/* Requests received from a peer, answered here if this node leads.
 *
 * The head makes the exchange and is admitted like a client's; the body is collected and
 * acknowledged piece by piece; then the handler runs. Its reply is queued here and leaves at most a
 * window of bytes ahead of what the requester's client has taken. If the requester is gone or
 * cancels, the handler sees `closed` and what it still writes is dropped. */
#include "http/forward.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

#define REPLY_BYTES_MAX (256 * MIB)

_Static_assert(FORWARD_WINDOW_BYTES >= EXCHANGE_BODY_WINDOW_BYTES,
               "what the requester may send ahead has room");

struct forward_in {
    struct http_exchange hx; /* first */
    struct forward_in *next, *previous;
    struct forward *forward;
    uint8_t peer[NODE_ID_BYTES];
    uint64_t id;
    uint64_t body_len;     /* UINT64_MAX: an empty piece ends it */
    uint64_t got;          /* of the body */
    uint64_t acked;        /* of the body, told to the requester */
    uint64_t heard_ms;     /* last sign of the requester */
    struct buf reply_head; /* encoded, until it is sent */
    struct buf reply;      /* body bytes not yet sent, from `reply_at` */
    size_t reply_at;
    uint64_t sent, taken;    /* of the reply's body */
    struct later push_later; /* small writes leave together */
    bool running;            /* the handler has it */
    bool begun;              /* the reply has */
    bool ended;              /* the handler has written all */
};

static struct forward_in *in_of(struct exchange *exchange)
{
    return (struct forward_in *)(void *)exchange;
}

static void in_free(struct forward_in *in)
{
    struct forward *forward = in->forward;

    if (in->previous != NULL)
        in->previous->next = in->next;
    else
        forward->ins = in->next;
    if (in->next != NULL)
        in->next->previous = in->previous;
    forward->ins_n--;
    http_later_cancel(forward->http, &in->push_later);
    buf_fini(&in->reply_head);
    buf_fini(&in->reply);
    http_exchange_fini(&in->hx);
    secret_wipe(in, sizeof *in); /* a cookie among the fields of the reply */
    free(in);
}

/* --- the reply --- */

static size_t in_queued(const struct forward_in *in)
{
    return in->reply.len - in->reply_at + (size_t)(in->sent - in->taken);
}

static void in_gone(struct forward_in *in)
{
    in->hx.base.closed = true;
    buf_fini(&in->reply);
    in->reply_at = 0;
    in->sent = in->taken;
    http_exchange_wake(&in->hx);
}

static enum qk_err send_reply_head(struct forward_in *in)
{
    const struct http_hooks *hooks = &in->forward->http->config.hooks;
    enum qk_err err;

    if (in->reply_head.len == 0)
        return QK_OK;
    err = hooks->send(hooks->arg, in->peer, buf_bytes(&in->reply_head));
    if (err == QK_OK)
        buf_fini(&in->reply_head);
    return err;
}

static enum qk_err send_reply_piece(struct forward_in *in)
{
    size_t room = FORWARD_WINDOW_BYTES - (size_t)(in->sent - in->taken);
    struct forward_message message = {.kind = FORWARD_REPLY_BODY, .id = in->id};
    enum qk_err err;

    if (room > FORWARD_PIECE_BYTES)
        room = FORWARD_PIECE_BYTES;
    message.body = bytes_slice(buf_bytes(&in->reply), in->reply_at, room);
    err = forward_post(in->forward, in->peer, &message);
    if (err != QK_OK)
        return err;
    in->sent += message.body.len;
    in->reply_at += message.body.len;
    if (in->reply_at == in->reply.len) {
        buf_fini(&in->reply);
        in->reply_at = 0;
    }
    return QK_OK;
}

/* Sends what may be sent now and frees the request when all is: `in` may be gone afterwards. */
static void in_push(struct forward_in *in)
{
    struct forward_message end = {.kind = FORWARD_REPLY_END, .id = in->id};
    enum qk_err err = QK_OK;

    if (in->begun && !in->hx.base.closed) {
        err = send_reply_head(in);
        while (err == QK_OK && in->reply.len > 0 && in->sent - in->taken < FORWARD_WINDOW_BYTES)
            err = send_reply_piece(in);
        if (err == QK_OK && in->ended && in->reply.len == 0)
            err = forward_post(in->forward, in->peer, &end);
        else if (err == QK_OK)
            return; /* the window is full, or the handler goes on */
        if (err == QK_ERR_BUSY)
            return; /* again when there is room */
        if (err != QK_OK)
            in_gone(in);
    }
    if (in->ended)
        in_free(in);
}

static void on_push_later(struct later *later)
{
    in_push((struct forward_in *)(void *)((char *)later - offsetof(struct forward_in, push_later)));
}

static void in_start(struct exchange *exchange, int status, const char *content_type,
                     const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct forward_in *in = in_of(exchange);
    struct forward_message message = {.kind = FORWARD_REPLY, .id = in->id};
    struct forward_reply *reply = &message.reply;

    reply->status = (uint16_t)status;
    reply->length = length == SIZE_MAX ? UINT64_MAX : length;
    reply->content_type = bytes_str(content_type == NULL ? "" : content_type);
    reply->fields_n = fields_n;
    for (unsigned i = 0; i < fields_n; i++) {
        reply->fields[i].name = bytes_str(fields[i].name);
        reply->fields[i].value = bytes_str(fields[i].value);
    }
    forward_encode(&message, &in->reply_head);
    in->hx.status = status;
    in->begun = true;
    if (buf_error(&in->reply_head) != QK_OK)
        in_gone(in);
}

static void in_write(struct exchange *exchange, struct bytes body)
{
    struct forward_in *in = in_of(exchange);

    if (exchange->closed)
        return;
    buf_put_bytes(&in->reply, body);
    if (buf_error(&in->reply) != QK_OK)
        in_gone(in);
    else if (in->reply.len - in->reply_at >= FORWARD_PIECE_BYTES)
        in_push(in);
    else
        http_later(in->forward->http, &in->push_later);
}

static void in_end(struct exchange *exchange)
{
    struct forward_in *in = in_of(exchange);

    assert(!in->ended);
    in->ended = true;
    in_push(in);
}

static size_t in_queued_op(const struct exchange *exchange)
{
    return in_queued((const struct forward_in *)(const void *)exchange);
}

static void in_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    struct forward_in *in = in_of(exchange);

    http_exchange_wait(&in->hx, in_queued(in) < HTTP_DRAINED_BYTES, drained, arg);
}

static void in_acknowledge(struct forward_in *in)
{
    struct forward_message message = {.kind = FORWARD_REQUEST_ACK, .id = in->id, .taken = in->got};

    if (in->hx.base.body.streamed) /* what the handler has not taken is in the window still */
        message.taken -= in->hx.body.len;
    if (in->acked < message.taken && forward_post(in->forward, in->peer, &message) == QK_OK)
        in->acked = message.taken;
}

static void in_body(struct exchange *exchange)
{
    struct forward_in *in = in_of(exchange);

    if (!exchange->closed)
        in_acknowledge(in);
    http_body_came(&in->hx);
}

static const struct exchange_ops FORWARD_OPS = {
    .start = in_start,
    .write = in_write,
    .end = in_end,
    .queued = in_queued_op,
    .on_drain = in_on_drain,
    .body = in_body,
};

/* --- the request --- */

static struct bytes keep(struct http_exchange *hx, struct bytes text)
{
    size_t at = hx->head.len;

    buf_put_bytes(&hx->head, text);
    return bytes_slice(buf_bytes(&hx->head), at, text.len);
}

/* Copies what the message only lends. One reservation first: the views must stay where they are. */
static enum qk_err take_head(struct http_exchange *hx, const struct forward_request *from)
{
    struct request *request = &hx->base.request;
    size_t len = from->target.len + from->destination.len + from->if_match.len +
                 from->if_none_match.len + from->content_type.len + from->accept.len +
                 from->host.len + from->content_md5.len;
    enum qk_err err;

    hx->head = BUF_SECRET_INIT(FORWARD_HEAD_BYTES_MAX);
    err = buf_reserve(&hx->head, len);
    if (err != QK_OK)
        return err;
    request->method = from->method;
    request->who = from->who;
    request->forwarded = true;
    request->target = keep(hx, from->target);
    request->if_match = keep(hx, from->if_match);
    request->if_none_match = keep(hx, from->if_none_match);
    request->destination = keep(hx, from->destination);
    request->content_type = keep(hx, from->content_type);
    request->accept = keep(hx, from->accept);
    request->host = keep(hx, from->host);
    request->content_md5 = keep(hx, from->content_md5);
    request->tls = from->tls;
    (void)snprintf(hx->base.from, sizeof hx->base.from, "%.*s", (int)from->from.len,
                   from->from.len == 0 ? "" : (const char *)from->from.data);
    return QK_OK;
}

static struct forward_in *in_new(struct forward *forward, const uint8_t *peer, uint64_t id)
{
    struct forward_in *in;

    in = forward->ins_n < NODES_MAX * FORWARD_REQUESTS_MAX ? calloc(1, sizeof *in) : NULL;
    if (in == NULL)
        return NULL;
    http_exchange_init(&in->hx, forward->http, &FORWARD_OPS);
    in->forward = forward;
    memcpy(in->peer, peer, NODE_ID_BYTES);
    in->id = id;
    in->heard_ms = http_now_ms(forward->http);
    in->push_later.run = on_push_later;
    in->reply_head = BUF_SECRET_INIT(FORWARD_HEAD_BYTES_MAX); /* maybe with a cookie */
    in->reply = BUF_SECRET_INIT(REPLY_BYTES_MAX);
    in->next = forward->ins;
    if (in->next != NULL)
        in->next->previous = in;
    forward->ins = in;
    forward->ins_n++;
    forward->http->metrics.received_n++;
    return in;
}

static void in_run(struct forward_in *in)
{
    in->running = true;
    http_dispatch(&in->hx);
}

/* The handler runs while the body still comes. */
static void in_stream(struct forward_in *in)
{
    enum qk_err err =
        http_body_begin(&in->hx, in->body_len, FORWARD_WINDOW_BYTES - EXCHANGE_BODY_WINDOW_BYTES);

    if (err == QK_OK)
        in_run(in);
    else
        exchange_reply_err(&in->hx.base, err);
}

static void in_begin(struct forward *forward, const uint8_t *peer,
                     const struct forward_message *message)
{
    const struct http_hooks *hooks = &forward->http->config.hooks;
    struct forward_in *in = in_new(forward, peer, message->id);

    if (in == NULL)
        return; /* the requester gives up in its time */
    if (take_head(&in->hx, &message->request) != QK_OK) {
        in_free(in);
        return;
    }
    in->body_len = message->request.body_len;
    in->running = true; /* refusals answer through the exchange like handlers */
    if (hooks->may_forward != NULL && !hooks->may_forward(hooks->arg, peer)) {
        exchange_reply_error(&in->hx.base, 403, "suspended",
                             "the node that took this request is suspended or being removed: ask "
                             "another member");
        return;
    }
    if (admit_forwarded(&in->hx) != ADMIT_OK)
        return;
    if (http_body_streams(&in->hx, in->body_len)) {
        in_stream(in);
        return;
    }
    in->running = false;
    if (in->body_len > in->hx.route->body_bytes_max) {
        in->running = true;
        exchange_reply_err(&in->hx.base, QK_ERR_TOO_BIG);
        return;
    }
    in->hx.body = BUF_SECRET_INIT((size_t)in->body_len);
    if (in->body_len == 0)
        in_run(in);
}

/* More than the head announced, or than the window has room for: no requester of ours does that. */
static void in_take_piece(struct forward_in *in, struct bytes body)
{
    struct exchange_body *stream = &in->hx.base.body;

    if (in->begun || stream->ended || in->hx.base.closed)
        return; /* answered already: what was under way is dropped */
    in->got += body.len;
    buf_put_bytes(&in->hx.body, body);
    if (buf_error(&in->hx.body) != QK_OK || in->got > in->body_len) {
        in_gone(in);
        return;
    }
    stream->ended = in->body_len == UINT64_MAX ? body.len == 0 : in->got == in->body_len;
    http_body_came(&in->hx);
}

static void in_take_body(struct forward_in *in, struct bytes body)
{
    if (in->hx.base.body.streamed) {
        in_take_piece(in, body);
        return;
    }
    if (in->running)
        return; /* refused already: what was under way is dropped */
    in->got += body.len;
    buf_put_bytes(&in->hx.body, body);
    if (buf_error(&in->hx.body) != QK_OK ||
        http_exchange_count_body(&in->hx, in->hx.body.len) != QK_OK) {
        in->running = true;
        exchange_reply_err(&in->hx.base, QK_ERR_BUSY);
        return;
    }
    if (in->hx.body.len == in->body_len)
        in_run(in);
    else
        in_acknowledge(in);
}

/* The requester is gone. */
static void in_orphan(struct forward_in *in)
{
    in_gone(in);
    if (!in->running || in->ended)
        in_free(in);
}

static void in_take(struct forward_in *in, const struct forward_message *message)
{
    in->heard_ms = http_now_ms(in->forward->http);
    if (message->kind == FORWARD_REQUEST_BODY) {
        in_take_body(in, message->body);
    } else if (message->kind == FORWARD_CANCEL) {
        in_orphan(in);
    } else if (message->kind == FORWARD_REPLY_ACK && message->taken >= in->taken &&
               message->taken <= in->sent) {
        in->taken = message->taken;
        if (in_queued(in) < HTTP_DRAINED_BYTES)
            http_exchange_wake(&in->hx);
        in_push(in);
    }
}

void forward_in_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                        const struct forward_message *message)
{
    struct forward_in *in = forward->ins;

    while (in != NULL && (in->id != message->id || memcmp(in->peer, peer, NODE_ID_BYTES) != 0))
        in = in->next;
    if (in != NULL)
        in_take(in, message);
    else if (message->kind == FORWARD_REQUEST)
        in_begin(forward, peer, message);
}

/* --- its end --- */

void forward_in_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES])
{
    struct forward_in *next;

    for (struct forward_in *in = forward->ins; in != NULL; in = next) {
        next = in->next;
        if (memcmp(in->peer, peer, NODE_ID_BYTES) == 0)
            in_orphan(in);
    }
}

void forward_in_tick(struct forward *forward)
{
    uint64_t now_ms = http_now_ms(forward->http);
    struct forward_in *next;

    for (struct forward_in *in = forward->ins; in != NULL; in = next) {
        next = in->next;
        if (in->hx.base.body.streamed && !in->hx.base.closed)
            in_acknowledge(in);
        if (in->running)
            in_push(in);
        else if (now_ms - in->heard_ms > forward->http->config.timing.forward_ms)
            in_orphan(in);
        else
            in_acknowledge(in);
    }
}

void forward_in_close(struct forward *forward)
{
    struct forward_in *next;

    for (struct forward_in *in = forward->ins; in != NULL; in = next) {
        next = in->next;
        in_orphan(in);
    }
}
