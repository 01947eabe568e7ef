/* The requests of a connection, one after another. */
#include "http/connection_uv.h"

#include <stddef.h>

void connection_request_ended(struct connection *c, bool reusable)
{
    c->exchange = NULL;
    c->used = true;
    c->timing = TIME_NONE;
    (void)uv_timer_stop(&c->timer);
    if (reusable && !c->last) {
        /* A request that was refused before its (empty) body was taken is at its head still. */
        if (c->parse.phase == PARSE_AT_HEAD)
            (void)parse_take_body(&c->parse, 0);
        parse_next(&c->parse);
        c->state = READING;
    } else {
        c->state = LINGERING;
        buf_fini(&c->pending);
        c->pending_at = 0;
    }
    http_later(c->http, &c->flush_later);
    if (!c->pumping)
        http_later(c->http, &c->pump_later);
}

/* Bytes that are no request: they get an answer of their own, and the connection ends. */
void connection_reply_failure(struct connection *c)
{
    struct parse_failure failure = c->parse.failure;

    c->http->metrics.malformed_n++;
    if (c->exchange == NULL)
        c->exchange = socket_exchange_new(c->http, c, &c->parse, c->from);
    if (c->exchange == NULL) {
        connection_abort(c);
        return;
    }
    c->exchange->unread = true;
    c->state = HANDLING;
    c->exchange->running = true;
    exchange_reply_error(&c->exchange->hx.base, failure.status, failure.error, "%s",
                         failure.reason);
}

static void dispatch(struct connection *c)
{
    struct socket_exchange *exchange = c->exchange;

    buf_fini(&exchange->hx.body);
    exchange->hx.body = c->parse.body;
    c->parse.body = BUF_SECRET_INIT(0);
    exchange->unread = false;
    exchange->running = true;
    c->state = HANDLING;
    http_dispatch(&exchange->hx);
}

static void say_continue(struct connection *c)
{
    if (!c->parse.expects_continue || c->pending.len != c->pending_at)
        return;
    buf_put_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    http_later(c->http, &c->flush_later);
}

static uint64_t body_length(const struct parse *parse)
{
    return parse->chunked ? UINT64_MAX : parse->body_left;
}

/* The handler runs while the body still comes; it may answer at once. */
static void begin_stream(struct connection *c)
{
    struct socket_exchange *exchange = c->exchange;
    enum qk_err err = http_body_begin(&exchange->hx, body_length(&c->parse), CONNECTION_READ_BYTES);

    c->state = READING;
    exchange->running = true;
    if (err != QK_OK) {
        exchange_reply_err(&exchange->hx.base, err);
        return;
    }
    (void)parse_stream_body(&c->parse, CONNECTION_READ_BYTES);
    http_dispatch(&exchange->hx);
    if (c->exchange != NULL)
        say_continue(c);
}

static bool streams(const struct connection *c)
{
    return c->exchange != NULL && c->exchange->hx.base.body.streamed;
}

/* What has come of a streamed body goes to its handler. */
static void stream_piece(struct connection *c, enum parse_event event)
{
    struct socket_exchange *exchange = c->exchange;

    buf_put_bytes(&exchange->hx.body, buf_bytes(&c->parse.body));
    buf_reset(&c->parse.body);
    if (event == PARSE_FAILED || buf_error(&exchange->hx.body) != QK_OK) {
        c->http->metrics.malformed_n++;
        connection_abort(c); /* the handler has the answer, and sees the client gone */
        return;
    }
    if (event == PARSE_DONE) {
        exchange->unread = false;
        exchange->hx.base.body.ended = true;
        c->state = HANDLING;
    }
    http_body_came(&exchange->hx);
}

void connection_resume(struct connection *c)
{
    http_later(c->http, &c->pump_later);
}

/* The request may go on: its body is read, or it has none. */
static void admitted(struct connection *c)
{
    enum parse_event event;

    if (c->parse.has_body && http_body_streams(&c->exchange->hx, body_length(&c->parse))) {
        begin_stream(c);
        return;
    }
    event = parse_take_body(&c->parse, c->exchange->hx.route->body_bytes_max);

    c->state = READING;
    if (event == PARSE_FAILED) {
        connection_reply_failure(c);
    } else if (event == PARSE_DONE) {
        dispatch(c);
    } else {
        say_continue(c);
    }
}

static void on_admitted(struct admission *admission)
{
    struct socket_exchange *exchange = (struct socket_exchange *)(void *)admission->hx;
    struct connection *c = exchange->connection;

    exchange->waiting_login = false;
    if (c == NULL) {
        socket_exchange_orphan(exchange);
        return;
    }
    admitted(c);
    connection_pump(c);
}

static void begin(struct connection *c)
{
    struct socket_exchange *exchange = socket_exchange_new(c->http, c, &c->parse, c->from);
    enum admit verdict;

    if (exchange == NULL) {
        connection_abort(c);
        return;
    }
    c->exchange = exchange;
    c->state = ADMITTING;
    exchange->admission.control = c->control;
    exchange->admission.loopback = c->loopback;
    exchange->hx.base.request.tls = c->tls != NULL;
    exchange->admission.cache = &c->cache;
    exchange->admission.admitted = on_admitted;
    exchange->waiting_login = true;
    verdict = admit_begin(&exchange->admission);
    if (verdict == ADMIT_PENDING || verdict == ADMIT_REFUSED)
        return;
    exchange->waiting_login = false;
    admitted(c);
}

static void count_body(struct connection *c)
{
    struct http_exchange *hx;

    if (c->exchange == NULL || c->state != READING)
        return;
    hx = &c->exchange->hx;
    if (http_exchange_count_body(hx, c->parse.body.len) == QK_OK)
        return;
    c->exchange->running = true;
    c->state = HANDLING;
    exchange_reply_err(&hx->base, QK_ERR_BUSY);
}

static void step(struct connection *c)
{
    struct bytes in = bytes_slice(buf_bytes(&c->pending), c->pending_at, c->pending.len);
    size_t taken = 0;
    enum parse_event event = parse_feed(&c->parse, in, &taken);

    c->pending_at += taken;
    if (streams(c)) {
        stream_piece(c, event);
        return;
    }
    count_body(c);
    if (c->state != READING)
        return;
    switch (event) {
    case PARSE_MORE:
        return;
    case PARSE_HEAD:
        begin(c);
        return;
    case PARSE_DONE:
        dispatch(c);
        return;
    case PARSE_FAILED:
        connection_reply_failure(c);
        return;
    }
}

/* The client is a window ahead of the handler that takes its body. */
bool connection_is_ahead(const struct connection *c)
{
    return streams(c) && c->exchange->hx.body.len >= EXCHANGE_BODY_WINDOW_BYTES;
}

static bool may_step(const struct connection *c)
{
    return c->state == READING && c->pending_at < c->pending.len && !connection_is_ahead(c) &&
           connection_queued(c) < CONNECTION_PIPELINE_BYTES;
}

/* Drops what has been taken; an idle connection holds no memory for it. */
static void compact(struct connection *c)
{
    if (c->pending_at == c->pending.len)
        buf_fini(&c->pending);
    else
        buf_consume(&c->pending, c->pending_at);
    c->pending_at = 0;
}

/* Nothing more will come from the client. */
static void check_end(struct connection *c)
{
    if (c->state == LINGERING && c->shut && c->eof)
        connection_abort(c);
    else if (c->state == READING && c->pending.len == 0 && (c->eof || c->last)) {
        if (c->exchange != NULL || !parse_is_idle(&c->parse)) {
            if (c->eof)
                connection_abort(c);
        } else {
            c->state = LINGERING;
        }
    }
}

void connection_pump(struct connection *c)
{
    bool more;

    if (c->pumping || c->state == CLOSED)
        return;
    c->pumping = true;
    do {
        more = connection_fill(c);
        while (may_step(c))
            step(c);
        if (c->state != CLOSED)
            compact(c);
    } while (more && c->state == READING);
    c->pumping = false;
    if (c->state == CLOSED)
        return;
    check_end(c);
    if (c->state == CLOSED)
        return;
    connection_send(c);
    connection_update_reading(c);
    connection_arm(c, false);
}

static struct connection *of_later(struct later *later, size_t offset)
{
    return (struct connection *)(void *)((char *)later - offset);
}

void connection_pump_later(struct later *later)
{
    connection_pump(of_later(later, offsetof(struct connection, pump_later)));
}

void connection_finish(struct connection *c)
{
    c->last = true;
    http_later(c->http, &c->pump_later);
}
