/* A connection's life.
 *
 *     READING --head--> ADMITTING --may--> READING (body) --whole--> HANDLING --ended--> READING
 * ... |                  |                                            |
 *        +--malformed-------+--refused with bytes to come----------------+--> LINGERING --> CLOSED
 *
 * One request at a time: what a client pipelines waits in `pending`, at most CONNECTION_READ_BYTES,
 * past which the socket is not read. Replies are queued in `out` and sent one write at a time; a
 * client that takes nothing for write_ms is dropped, and no request is begun while more than
 * CONNECTION_PIPELINE_BYTES wait for it. A refused request whose body is still coming is answered,
 * then the connection is half-closed and read into nothing for linger_ms, so that the client sees
 * the answer instead of a reset. */
#include "http/connection_uv.h"

#include <assert.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/listener.h"

/* A lost client is noticed within a minute, CouchDB's longest time between heartbeats. */
#define LOSS_IDLE_S 30
#define LOSS_PROBE_S 10
#define LOSS_PROBES_N 3
#define LOSS_UNACKED_MS 50000

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct http *http = c->http;

    if (--c->handles_open > 0)
        return;
    parse_fini(&c->parse);
    buf_fini(&c->pending);
    buf_fini(&c->out);
    buf_fini(&c->sending);
    tls_free(c->tls);
    auth_cache_drop(&c->cache);
    free(c);
    assert(http->connections_n > 0);
    http->connections_n--;
    http_settle(http);
}

static void unlink_connection(struct connection *c)
{
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        c->http->connections = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
}

void connection_abort(struct connection *c)
{
    struct socket_exchange *exchange = c->exchange;

    if (c->state == CLOSED)
        return;
    c->state = CLOSED;
    c->exchange = NULL;
    unlink_connection(c);
    http_later_cancel(c->http, &c->pump_later);
    http_later_cancel(c->http, &c->flush_later);
    uv_close(&c->handle, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
    if (exchange != NULL)
        socket_exchange_orphan(exchange);
}

struct connection *connection_next(const struct connection *c)
{
    return c->next;
}

static enum connection_timing timing_due(const struct connection *c)
{
    if (c->writing)
        return TIME_WRITE;
    switch (c->state) {
    case READING:
        if (c->exchange != NULL)
            return connection_is_ahead(c) ? TIME_NONE : TIME_BODY;
        return parse_is_idle(&c->parse) && c->used ? TIME_IDLE : TIME_HEAD;
    case LINGERING:
        return TIME_LINGER;
    case ADMITTING:
    case HANDLING:
    case CLOSED:
        break;
    }
    return TIME_NONE;
}

static unsigned timing_ms(const struct connection *c, enum connection_timing timing)
{
    const struct http_timing *ms = &c->http->config.timing;

    switch (timing) {
    case TIME_HEAD:
        return ms->header_ms;
    case TIME_IDLE:
        return ms->idle_ms;
    case TIME_BODY:
        return ms->body_ms;
    case TIME_WRITE:
        return ms->write_ms;
    case TIME_LINGER:
        return ms->linger_ms;
    case TIME_NONE:
        break;
    }
    return 0;
}

static void on_timer(uv_timer_t *timer);

/* Sets the timer for what the connection waits for now. Only `again` prolongs the same wait. */
void connection_arm(struct connection *c, bool again)
{
    enum connection_timing due = timing_due(c);

    if (c->state == CLOSED || (due == c->timing && !again))
        return;
    c->timing = due;
    if (due == TIME_WRITE)
        c->progress = c->stream.write_queue_size;
    if (due == TIME_NONE)
        (void)uv_timer_stop(&c->timer);
    else
        (void)uv_timer_start(&c->timer, on_timer, timing_ms(c, due), 0);
}

static void on_timer(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    bool progressed = c->timing == TIME_WRITE && c->stream.write_queue_size != c->progress;

    if (c->state == CLOSED)
        return;
    if (progressed) {
        connection_arm(c, true);
    } else if (c->timing == TIME_HEAD && !parse_is_idle(&c->parse)) {
        c->parse.failure =
            (struct parse_failure){408, "request_timeout", "the request's header came too slowly"};
        connection_reply_failure(c);
        connection_send(c);
        connection_arm(c, false);
    } else {
        connection_abort(c);
    }
}

/* All connections read into one buffer, from which what came is taken at once: a connection has as
 * much memory as bytes wait, and no 64 KiB are made, wiped and freed for a request of 300. */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct connection *c = handle->data;
    size_t len = c->tls != NULL || c->state == LINGERING ? CONNECTION_CIPHER_BYTES
                                                         : CONNECTION_READ_BYTES - c->pending.len;

    (void)suggested;
    *ret_buf = uv_buf_init((char *)c->http->read_buffer, (unsigned)len);
}

static void on_end(struct connection *c)
{
    c->eof = true;
    c->reading = false;
    (void)uv_read_stop(&c->stream);
    if (c->state == HANDLING && c->exchange->hx.base.gone != NULL)
        connection_abort(c);
    else
        connection_pump(c);
}

static void received(struct connection *c, struct bytes bytes)
{
    if (connection_received(c, bytes) != QK_OK) {
        connection_abort(c);
        return;
    }
    if (c->state == LINGERING && c->tls == NULL)
        return;
    if (c->timing == TIME_BODY)
        connection_arm(c, true);
    connection_pump(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct connection *c = stream->data;

    if (c->state == CLOSED || n == 0)
        return;
    if (n > 0)
        received(c, bytes_of(buf->base, (size_t)n));
    else if (n == UV_EOF)
        on_end(c);
    else
        connection_abort(c);
}

void connection_update_reading(struct connection *c)
{
    bool wanted = !c->eof && (c->state == LINGERING || c->pending.len < CONNECTION_READ_BYTES);

    if (c->state == CLOSED || wanted == c->reading)
        return;
    c->reading = wanted;
    if (!wanted)
        (void)uv_read_stop(&c->stream);
    else if (uv_read_start(&c->stream, on_alloc, on_read) != 0)
        connection_abort(c);
}

/* A client whose machine is gone says nothing: the kernel asks after a quiet while, and gives up
 * what was sent and not acknowledged, so that a feed that only sends heartbeats ends too. */
static void notice_loss(struct connection *c)
{
    static const struct {
        int name, value;
    } OPTIONS[] = {{TCP_KEEPIDLE, LOSS_IDLE_S},
                   {TCP_KEEPINTVL, LOSS_PROBE_S},
                   {TCP_KEEPCNT, LOSS_PROBES_N},
                   {TCP_USER_TIMEOUT, LOSS_UNACKED_MS}};
    const int on = 1;
    uv_os_fd_t fd;

    if (uv_fileno(&c->handle, &fd) != 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    for (size_t i = 0; i < sizeof OPTIONS / sizeof OPTIONS[0]; i++)
        (void)setsockopt(fd, IPPROTO_TCP, OPTIONS[i].name, &OPTIONS[i].value,
                         sizeof OPTIONS[i].value);
}

static void name_peer(struct connection *c)
{
    struct sockaddr_storage address;
    int len = sizeof address;

    if (c->control) {
        (void)snprintf(c->from, sizeof c->from, "control socket");
        c->loopback = true;
        return;
    }
    (void)snprintf(c->from, sizeof c->from, "unknown");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &len) != 0)
        return;
    (void)uv_ip_name((const struct sockaddr *)&address, c->from, sizeof c->from);
    c->loopback = listener_is_loopback((const struct sockaddr *)&address);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    notice_loss(c);
}

/* Over the limit: said without waiting for the request. */
static void refuse(struct connection *c)
{
    static const char TEXT[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                               "Retry-After: 1\r\nConnection: close\r\n\r\n";

    c->http->metrics.refused_n++;
    if (c->tls != NULL) { /* a handshake would cost more than it is worth */
        connection_abort(c);
        return;
    }
    buf_put_str(&c->out, TEXT);
    c->state = LINGERING;
    connection_pump(c);
}

static void link_connection(struct connection *c)
{
    struct http *http = c->http;

    c->next = http->connections;
    if (c->next != NULL)
        c->next->previous = c;
    http->connections = c;
    http->connections_n++;
    http->metrics.connections_n++;
}

static struct connection *connection_new(struct http *http, bool control)
{
    struct connection *c = calloc(1, sizeof *c);
    int rc;

    if (c == NULL)
        return NULL;
    c->http = http;
    c->control = control;
    rc = control ? uv_pipe_init(http->config.loop, &c->pipe, 0)
                 : uv_tcp_init(http->config.loop, &c->tcp);
    if (rc != 0) {
        free(c);
        return NULL;
    }
    (void)uv_timer_init(http->config.loop, &c->timer);
    c->handle.data = c;
    c->timer.data = c;
    c->handles_open = 2;
    c->pending = BUF_SECRET_INIT(CONNECTION_READ_BYTES);
    c->out = BUF_SECRET_INIT(CONNECTION_OUT_BYTES_MAX);
    c->sending = BUF_SECRET_INIT(CONNECTION_OUT_BYTES_MAX);
    c->pump_later.run = connection_pump_later;
    c->flush_later.run = connection_flush_later;
    parse_init(&c->parse);
    return c;
}

void connection_accept(struct http *http, struct uv_stream_s *listener, bool control)
{
    struct connection *c = connection_new(http, control);

    if (c == NULL)
        return; /* the client waits in the backlog */
    link_connection(c);
    if (!control && http->tls != NULL)
        c->tls = tls_new(http->tls);
    if (uv_accept(listener, &c->stream) != 0 || (!control && http->tls != NULL && c->tls == NULL)) {
        connection_abort(c);
        return;
    }
    name_peer(c);
    if (http->connections_n > http->config.connections_max)
        refuse(c);
    else
        connection_pump(c);
}
