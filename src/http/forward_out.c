/* Requests sent to the leader.
 *
 * The request goes out as a head and pieces of its body, at most a window of bytes ahead of what
 * the leader has taken. Then the reply comes: its head starts the client's reply, its pieces are
 * written and acknowledged as the client takes them, its end ends it. Losing the link ends it with
 * `unknown_outcome` if the last piece had been handed over and no reply had begun; with `no_leader`
 * if not; and by breaking the client's connection if the reply had begun. */
#include "http/forward.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

struct forward_out {
    struct forward_out *next, *previous;
    struct forward *forward;
    struct http_exchange *hx;
    uint8_t peer[NODE_ID_BYTES];
    uint64_t id;
    uint64_t sent, taken; /* bytes of the request's body */
    uint64_t got, acked;  /* bytes of the reply's body */
    uint64_t heard_ms;    /* last sign of the leader */
    bool head_sent;       /* the request's head is with the link */
    bool replied;         /* the reply has begun */
    bool waiting;         /* for the client to take what it has */
    size_t body_at;       /* of hx->body, what is with the link */
    bool end_sent;        /* of a body whose length nobody announced */
};

/* All that has come of the body is with the link. */
static bool is_caught_up(const struct forward_out *out)
{
    return out->head_sent && out->body_at == out->hx->body.len;
}

static bool is_whole(const struct forward_out *out)
{
    const struct exchange_body *body = &out->hx->base.body;

    return is_caught_up(out) &&
           (!body->streamed || (body->ended && (out->end_sent || body->length != UINT64_MAX)));
}

/* The exchange has ended or is about to: forgets it. */
static void out_free(struct forward_out *out)
{
    struct forward *forward = out->forward;

    if (out->previous != NULL)
        out->previous->next = out->next;
    else
        forward->outs = out->next;
    if (out->next != NULL)
        out->next->previous = out->previous;
    forward->outs_n--;
    out->hx->base.body.more = NULL;
    free(out);
}

static void reply_lost(struct exchange *exchange, bool whole)
{
    if (whole) {
        exchange_reply_err(exchange, QK_ERR_UNKNOWN_OUTCOME);
        return;
    }
    exchange_field(exchange, "Retry-After", "1");
    exchange_reply_error(exchange, 503, "no_leader",
                         "the leader was lost before it had the request; nothing was written");
}

/* Ends it without an answer of the leader. */
static void out_lose(struct forward_out *out)
{
    struct http_exchange *hx = out->hx;
    bool whole = is_whole(out), replied = out->replied;

    if (whole && !replied && !hx->base.closed)
        out->forward->http->metrics.unknown_outcomes_n++;
    out_free(out);
    if (!replied) {
        reply_lost(&hx->base, whole);
    } else {
        hx->broken = true;
        exchange_end(&hx->base);
    }
}

/* --- the request --- */

static enum qk_err send_head(struct forward_out *out)
{
    const struct request *request = &out->hx->base.request;
    const struct exchange_body *body = &out->hx->base.body;
    struct forward_message message = {
        .kind = FORWARD_REQUEST,
        .id = out->id,
        .request = {.method = request->method,
                    .body_len = body->streamed ? body->length : out->hx->body.len,
                    .tls = request->tls,
                    .who = request->who,
                    .target = request->target,
                    .if_match = request->if_match,
                    .if_none_match = request->if_none_match,
                    .destination = request->destination,
                    .content_type = request->content_type,
                    .accept = request->accept,
                    .content_md5 = request->content_md5,
                    .host = request->host,
                    .from = bytes_str(out->hx->base.from)}};

    return forward_post(out->forward, out->peer, &message);
}

static enum qk_err send_piece(struct forward_out *out)
{
    size_t room = FORWARD_WINDOW_BYTES - (size_t)(out->sent - out->taken);
    struct forward_message message = {.kind = FORWARD_REQUEST_BODY, .id = out->id};
    enum qk_err err;

    if (room > FORWARD_PIECE_BYTES)
        room = FORWARD_PIECE_BYTES;
    message.body = bytes_slice(buf_bytes(&out->hx->body), out->body_at, room);
    err = forward_post(out->forward, out->peer, &message);
    if (err == QK_OK) {
        out->sent += message.body.len;
        out->body_at += message.body.len;
    }
    return err;
}

/* The end of a body whose length was not announced: a piece of nothing. */
static enum qk_err send_end(struct forward_out *out)
{
    struct forward_message message = {.kind = FORWARD_REQUEST_BODY, .id = out->id};
    enum qk_err err = forward_post(out->forward, out->peer, &message);

    out->end_sent = err == QK_OK;
    return err;
}

static void on_body(void *arg);

/* Of a streamed body, with all that has come sent on: makes room, and waits for more. */
static enum qk_err next_of_stream(struct forward_out *out)
{
    struct exchange *exchange = &out->hx->base;

    if (exchange->body.ended)
        return exchange->body.length == UINT64_MAX ? send_end(out) : QK_OK;
    if (exchange->body.more != NULL)
        return QK_OK;
    out->body_at = 0;
    exchange_body_taken(exchange);
    exchange_body_wait(exchange, FORWARD_PIECE_BYTES, on_body, out);
    return QK_OK;
}

/* Sends what may be sent now. Anything but a full queue ends the request. */
static void out_push(struct forward_out *out)
{
    enum qk_err err = QK_OK;

    if (!out->head_sent) {
        err = send_head(out);
        out->head_sent = err == QK_OK;
    }
    while (err == QK_OK && !is_caught_up(out) && out->sent - out->taken < FORWARD_WINDOW_BYTES)
        err = send_piece(out);
    if (err == QK_OK && out->hx->base.body.streamed && !out->end_sent && is_caught_up(out))
        err = next_of_stream(out);
    if (err != QK_OK && err != QK_ERR_BUSY)
        out_lose(out);
}

static void on_body(void *arg)
{
    struct forward_out *out = arg;

    if (!out->hx->base.closed) /* else the next tick gives it up */
        out_push(out);
}

static void reply_busy(struct http_exchange *hx)
{
    exchange_reply_err(&hx->base, QK_ERR_BUSY);
}

void forward_send(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                  struct http_exchange *hx)
{
    struct forward_out *out;

    out = forward->outs_n < FORWARD_REQUESTS_MAX ? calloc(1, sizeof *out) : NULL;
    if (out == NULL) {
        reply_busy(hx);
        return;
    }
    out->forward = forward;
    out->hx = hx;
    memcpy(out->peer, peer, NODE_ID_BYTES);
    out->id = ++forward->id_last;
    out->heard_ms = http_now_ms(forward->http);
    out->next = forward->outs;
    if (out->next != NULL)
        out->next->previous = out;
    forward->outs = out;
    forward->outs_n++;
    forward->http->metrics.forwarded_n++;
    out_push(out);
}

/* --- the reply --- */

static void out_acknowledge(struct forward_out *out)
{
    struct forward_message message = {.kind = FORWARD_REPLY_ACK, .id = out->id, .taken = out->got};

    if (out->got > out->acked && forward_post(out->forward, out->peer, &message) == QK_OK)
        out->acked = out->got;
}

static void on_drained(void *arg)
{
    struct forward_out *out = arg;

    out->waiting = false;
    out_acknowledge(out);
}

static void copy_text(struct bytes text, char *ret_out, size_t size)
{
    size_t len = text.len < size ? text.len : size - 1;

    if (len > 0)
        memcpy(ret_out, text.data, len);
    ret_out[len] = '\0';
}

static void out_reply(struct forward_out *out, const struct forward_reply *reply)
{
    struct exchange *exchange = &out->hx->base;
    struct reply_field fields[REPLY_FIELDS_MAX];
    char names[REPLY_FIELDS_MAX][64];
    char content_type[128];

    for (unsigned i = 0; i < reply->fields_n; i++) {
        copy_text(reply->fields[i].name, names[i], sizeof names[i]);
        copy_text(reply->fields[i].value, fields[i].value, sizeof fields[i].value);
        fields[i].name = names[i];
    }
    copy_text(reply->content_type, content_type, sizeof content_type);
    out->replied = true;
    exchange->started = true;
    exchange->ops->start(exchange, reply->status, content_type, fields, reply->fields_n,
                         reply->length == UINT64_MAX ? SIZE_MAX : (size_t)reply->length);
    secret_wipe(fields, sizeof fields); /* a cookie, maybe */
}

static void out_reply_body(struct forward_out *out, struct bytes body)
{
    struct exchange *exchange = &out->hx->base;

    out->got += body.len;
    exchange_write(exchange, body);
    if (exchange_queued(exchange) < HTTP_DRAINED_BYTES) {
        out_acknowledge(out);
    } else if (!out->waiting) {
        out->waiting = true;
        exchange_on_drain(exchange, on_drained, out);
    }
}

/* The leader's messages must come in their order and within what it was allowed. */
static bool is_due(const struct forward_out *out, const struct forward_message *message)
{
    switch (message->kind) {
    case FORWARD_REQUEST_ACK:
        return message->taken >= out->taken && message->taken <= out->sent;
    case FORWARD_REPLY:
        return !out->replied && out->head_sent;
    case FORWARD_REPLY_BODY:
        return out->replied && out->got - out->acked + message->body.len <= FORWARD_WINDOW_BYTES;
    case FORWARD_REPLY_END:
        return out->replied;
    case FORWARD_REQUEST:
    case FORWARD_REQUEST_BODY:
    case FORWARD_REPLY_ACK:
    case FORWARD_CANCEL:
        break;
    }
    return false;
}

static void out_end(struct forward_out *out)
{
    struct exchange *exchange = &out->hx->base;

    out_free(out);
    exchange_end(exchange);
}

static void out_cancel(struct forward_out *out)
{
    struct forward_message message = {.kind = FORWARD_CANCEL, .id = out->id};

    if (out->head_sent && forward_post(out->forward, out->peer, &message) == QK_ERR_BUSY)
        return; /* again at the next tick */
    out_lose(out);
}

static void out_take(struct forward_out *out, const struct forward_message *message)
{
    if (!is_due(out, message)) {
        out_cancel(out);
        return;
    }
    out->heard_ms = http_now_ms(out->forward->http);
    if (message->kind == FORWARD_REQUEST_ACK) {
        out->taken = message->taken;
        out_push(out);
    } else if (message->kind == FORWARD_REPLY) {
        out_reply(out, &message->reply);
    } else if (message->kind == FORWARD_REPLY_BODY) {
        out_reply_body(out, message->body);
    } else {
        out_end(out);
    }
}

void forward_out_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                         const struct forward_message *message)
{
    struct forward_out *out = forward->outs;

    while (out != NULL && (out->id != message->id || memcmp(out->peer, peer, NODE_ID_BYTES) != 0))
        out = out->next;
    if (out != NULL) /* else given up meanwhile */
        out_take(out, message);
}

/* --- its end --- */

void forward_out_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES])
{
    struct forward_out *next;

    for (struct forward_out *out = forward->outs; out != NULL; out = next) {
        next = out->next;
        if (memcmp(out->peer, peer, NODE_ID_BYTES) == 0)
            out_lose(out);
    }
}

void forward_out_tick(struct forward *forward)
{
    uint64_t now_ms = http_now_ms(forward->http);
    struct forward_out *next;

    for (struct forward_out *out = forward->outs; out != NULL; out = next) {
        next = out->next;
        /* The leader owes nothing while the client has sent nothing. */
        if (is_caught_up(out) && !is_whole(out) && out->sent == out->taken)
            out->heard_ms = now_ms;
        if (out->hx->base.closed ||
            (!out->waiting && now_ms - out->heard_ms > forward->http->config.timing.forward_ms)) {
            out_cancel(out);
        } else if (!is_whole(out)) {
            out_push(out);
        } else if (!out->waiting) {
            out_acknowledge(out);
        }
    }
}

void forward_out_close(struct forward *forward)
{
    while (forward->outs != NULL)
        out_lose(forward->outs);
}
