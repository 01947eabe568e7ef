#include "http/connection_uv.h"

#include <stddef.h>

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct connection *c = req->handle->data;

    if (c->state != CLOSED && (status != 0 || c->eof))
        connection_abort(c);
}

/* All is sent: what comes next. */
static void on_sent(struct connection *c)
{
    if (c->state != LINGERING || c->shut)
        return;
    if (connection_say_end(c)) {
        connection_send(c); /* comes here again */
        return;
    }
    c->shut = true;
    if (uv_shutdown(&c->shutdown, &c->stream, on_shutdown) != 0)
        connection_abort(c);
}

static void on_written(uv_write_t *req, int status)
{
    struct connection *c = req->handle->data;

    c->writing = false;
    buf_fini(&c->sending);
    if (c->state == CLOSED)
        return;
    if (status != 0) {
        connection_abort(c);
        return;
    }
    connection_send(c);
    if (c->state == CLOSED)
        return;
    if (c->state == READING)
        http_later(c->http, &c->pump_later);
    connection_arm(c, true);
}

/* `sending`: at once what the socket takes, the rest as one write. */
static void send_piece(struct connection *c)
{
    uv_buf_t piece = uv_buf_init((char *)c->sending.data, (unsigned)c->sending.len);
    int sent = uv_try_write(&c->stream, &piece, 1);

    if (sent < 0 && sent != UV_EAGAIN) {
        connection_abort(c);
        return;
    }
    if (sent == (int)c->sending.len) {
        buf_fini(&c->sending);
        return;
    }
    piece.base += sent > 0 ? sent : 0;
    piece.len -= sent > 0 ? (size_t)sent : 0;
    c->writing = uv_write(&c->write, &c->stream, &piece, 1, on_written) == 0;
    if (!c->writing)
        connection_abort(c);
}

/* Hands `out` to the socket. */
void connection_send(struct connection *c)
{
    if (c->state == CLOSED || c->writing)
        return;
    if (buf_error(&c->out) != QK_OK) {
        connection_abort(c);
        return;
    }
    while (c->state != CLOSED && !c->writing && connection_next_piece(c))
        send_piece(c);
    if (c->state == CLOSED)
        return;
    if (c->exchange != NULL && connection_queued(c) < HTTP_DRAINED_BYTES)
        http_exchange_wake(&c->exchange->hx);
    if (!c->writing)
        on_sent(c);
}

static struct connection *of_later(struct later *later, size_t offset)
{
    return (struct connection *)(void *)((char *)later - offset);
}

void connection_flush_later(struct later *later)
{
    struct connection *c = of_later(later, offsetof(struct connection, flush_later));

    connection_send(c);
    connection_arm(c, false);
}

struct buf *connection_out(struct connection *c)
{
    return &c->out;
}

size_t connection_queued(const struct connection *c)
{
    return c->out.len - c->out_at + c->stream.write_queue_size;
}

void connection_flush(struct connection *c)
{
    /* Many small writes of a handler become one; a large one goes at once. An error of the buffer
     * or the socket ends the connection from the loop, not inside the handler's call. */
    http_later(c->http, &c->flush_later);
}
