/* Reads frames into the stream, writes what the stream has to say. A connection is born, dials or
 * is accepted, and ends in conn_close, whatever the reason: the socket failed or ended, the stream
 * found a frame bad, or the owner wished it. `closed` runs from uv_close's callback, once no
 * request of the connection is under way any more. */
#include "link/conn_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/address_uv.h"

#define IN_HANDSHAKE_BYTES (1 * KIB)
#define IN_BYTES_MAX (128 * KIB)
/* One write: a piece more than this may be added to what is below it. */
#define WRITE_BYTES (128 * KIB)
#define WRITE_BYTES_MAX (256 * KIB)

_Static_assert(IN_HANDSHAKE_BYTES >
                   FRAME_HEADER_BYTES + FRAME_HANDSHAKE_BYTES_MAX + FRAME_MAC1_BYTES,
               "a whole handshake frame fits");
_Static_assert(IN_BYTES_MAX > NOISE_MESSAGE_BYTES_MAX + FRAME_LENGTH_BYTES, "a whole frame fits");

struct conn_write {
    uv_write_t req;
    struct conn *conn;
    struct buf out;
};

static void conn_feed(struct conn *conn);

uint64_t conn_now_ms(const struct conn *conn)
{
    return uv_now(conn->tcp.loop);
}

struct conn *conn_new(uv_loop_t *loop, const struct conn_ops *ops, void *owner)
{
    struct conn *conn = calloc(1, sizeof *conn);

    if (conn == NULL)
        return NULL;
    if (uv_tcp_init(loop, &conn->tcp) != 0) {
        free(conn);
        return NULL;
    }
    conn->tcp.data = conn;
    conn->ops = ops;
    conn->owner = owner;
    conn->in = (struct buf){.max = IN_BYTES_MAX};
    conn->heard_ms = conn->pinged_ms = uv_now(loop);
    return conn;
}

/* --- the end --- */

static void conn_free_when_over(struct conn *conn)
{
    if (!conn->handle_closed || conn->resolving)
        return;
    link_stream_fini(&conn->stream); /* keys first: `closed` may be the end of everything */
    conn->ops->closed(conn);
    buf_fini(&conn->in);
    free(conn);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;

    conn->handle_closed = true;
    conn_free_when_over(conn);
}

void conn_close(struct conn *conn, enum qk_err err)
{
    if (conn->closing)
        return;
    conn->closing = true;
    conn->err = err;
    if (conn->resolving)
        (void)uv_cancel((uv_req_t *)&conn->resolve); /* its callback comes in any case */
    uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
}

static void on_shutdown(uv_shutdown_t *req, int status)
{
    struct conn *conn = req->data;

    if (status != 0 && status != UV_ECANCELED)
        conn_close(conn, QK_ERR_CLOSED);
}

static void finish_if_sent(struct conn *conn)
{
    if (!conn->finishing || conn->shut || conn->closing || conn->in_flight > 0 ||
        link_stream_has_output(&conn->stream))
        return;
    conn->shut = true;
    conn->shutdown.data = conn;
    if (uv_shutdown(&conn->shutdown, (uv_stream_t *)&conn->tcp, on_shutdown) != 0)
        conn_close(conn, QK_ERR_CLOSED);
}

/* Closing at once with bytes unread would make the kernel reset the connection, and the peer lose
 * what it has not read yet: so our half is shut down and the peer's end awaited. */
void conn_finish(struct conn *conn, uint64_t deadline_ms)
{
    conn->finishing = true;
    conn->deadline_ms = deadline_ms;
    conn_flush(conn);
    finish_if_sent(conn);
}

/* --- writing --- */

static void on_written(uv_write_t *req, int status)
{
    struct conn_write *writing = req->data;
    struct conn *conn = writing->conn;

    conn->in_flight -= writing->out.len;
    buf_fini(&writing->out);
    free(writing);
    if (conn->closing)
        return;
    if (status != 0) {
        conn_close(conn, QK_ERR_CLOSED);
        return;
    }
    conn_flush(conn);
    finish_if_sent(conn);
    if (!conn->closing)
        conn->ops->sent(conn);
}

static enum qk_err write_some(struct conn *conn)
{
    struct conn_write *writing = calloc(1, sizeof *writing);
    enum qk_err err;
    uv_buf_t buf;

    if (writing == NULL)
        return QK_ERR_NOMEM;
    writing->conn = conn;
    writing->req.data = writing;
    writing->out.max = WRITE_BYTES_MAX;
    err = link_stream_output(&conn->stream, conn_now_ms(conn), WRITE_BYTES, &writing->out);
    if (err == QK_OK) {
        buf = uv_buf_init((char *)writing->out.data, (unsigned)writing->out.len);
        if (uv_write(&writing->req, (uv_stream_t *)&conn->tcp, &buf, 1, on_written) != 0)
            err = QK_ERR_CLOSED;
    }
    if (err != QK_OK) {
        buf_fini(&writing->out);
        free(writing);
        return err;
    }
    conn->in_flight += writing->out.len;
    return QK_OK;
}

void conn_flush(struct conn *conn)
{
    enum qk_err err = QK_OK;

    if (!conn->connected || conn->shut)
        return;
    while (err == QK_OK && !conn->closing && conn->in_flight < CONN_IN_FLIGHT_BYTES_MAX &&
           link_stream_has_output(&conn->stream))
        err = write_some(conn);
    if (err != QK_OK)
        conn_close(conn, err);
}

void conn_flush_queued(struct conn *conn)
{
    if (conn->in_flight == 0 || conn->stream.outbox.bytes >= WRITE_BYTES)
        conn_flush(conn);
}

size_t conn_queued_bytes(const struct conn *conn)
{
    return conn->stream.outbox.bytes + conn->in_flight;
}

/* --- reading --- */

/* One event at a time; the owner may pause or close the connection in any of them. */
static void conn_feed(struct conn *conn)
{
    enum link_stream_event event = STREAM_QUIET;
    size_t at = 0;

    conn->feeding = true;
    while (event != STREAM_HUNGRY && !conn->closing && !conn->paused && !conn->finishing) {
        size_t used;
        enum qk_err err = link_stream_feed(&conn->stream, conn_now_ms(conn),
                                           bytes_slice(buf_bytes(&conn->in), at, conn->in.len - at),
                                           &used, &event);

        if (err != QK_OK) {
            conn_close(conn, err);
            break;
        }
        at += used;
        if (event != STREAM_HUNGRY && event != STREAM_QUIET)
            conn->ops->event(conn, event);
    }
    conn->feeding = false;
    if (conn->finishing)
        at = conn->in.len;
    buf_consume(&conn->in, at);
    if (!conn->closing)
        conn_flush(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    struct conn *conn = handle->data;
    size_t cap = conn->stream.keyed ? IN_BYTES_MAX : IN_HANDSHAKE_BYTES;

    (void)suggested;
    *ret_buf = uv_buf_init(NULL, 0); /* uv reports UV_ENOBUFS */
    if (conn->in.len >= cap || buf_reserve(&conn->in, cap - conn->in.len) != QK_OK)
        return;
    *ret_buf = uv_buf_init((char *)conn->in.data + conn->in.len, (unsigned)(cap - conn->in.len));
}

static void on_read(uv_stream_t *handle, ssize_t len, const uv_buf_t *buf)
{
    struct conn *conn = handle->data;

    (void)buf;
    if (conn->closing || len == 0)
        return;
    if (len < 0) {
        conn_close(conn, len == UV_ENOBUFS ? QK_ERR_NOMEM : QK_ERR_CLOSED);
        return;
    }
    conn->in.len += (size_t)len;
    conn->heard_ms = conn_now_ms(conn);
    conn_feed(conn);
}

static void conn_start(struct conn *conn)
{
    conn->connected = true;
    (void)uv_tcp_nodelay(&conn->tcp, 1);
    if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) != 0) {
        conn_close(conn, QK_ERR_IO);
        return;
    }
    conn_flush(conn);
}

void conn_pause(struct conn *conn)
{
    conn->paused = true;
    (void)uv_read_stop((uv_stream_t *)&conn->tcp);
}

void conn_resume(struct conn *conn)
{
    assert(!conn->feeding);
    conn->paused = false;
    if (conn->closing)
        return;
    if (uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read) != 0) {
        conn_close(conn, QK_ERR_IO);
        return;
    }
    conn->heard_ms = conn_now_ms(conn);
    conn_feed(conn); /* what had arrived before the pause */
}

void conn_accepted(struct conn *conn)
{
    struct sockaddr_storage address;
    int len = sizeof address;

    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&address, &len) == 0)
        address_text(&address, conn->address, sizeof conn->address);
    conn_start(conn);
}

/* --- dialing --- */

static void on_connect(uv_connect_t *req, int status)
{
    struct conn *conn = req->data;

    if (conn->closing)
        return;
    if (status != 0) {
        conn_close(conn, QK_ERR_IO);
        return;
    }
    conn->heard_ms = conn_now_ms(conn);
    conn_start(conn);
}

static void connect_to(struct conn *conn, const struct sockaddr *address)
{
    conn->connect.data = conn;
    if (uv_tcp_connect(&conn->connect, &conn->tcp, address, on_connect) != 0)
        conn_close(conn, QK_ERR_IO);
}

/* A name may stand for several addresses, and a socket can try but one: each attempt takes the
 * next, so that a name whose IPv6 address nobody listens on still leads to its IPv4 address. */
static const struct addrinfo *resolved_pick(const struct addrinfo *found, unsigned attempt)
{
    unsigned n = 0;

    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next)
        n++;
    attempt = n == 0 ? 0 : attempt % n;
    while (attempt-- > 0)
        found = found->ai_next;
    return found;
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct conn *conn = req->data;
    struct sockaddr_storage address = {0};
    const struct addrinfo *picked = resolved_pick(found, conn->attempt);

    conn->resolving = false;
    if (conn->closing)
        conn_free_when_over(conn);
    else if (status != 0 || picked == NULL || picked->ai_addrlen > sizeof address)
        conn_close(conn, QK_ERR_IO);
    else {
        memcpy(&address, picked->ai_addr, picked->ai_addrlen);
        address_text(&address, conn->address, sizeof conn->address);
        connect_to(conn, (const struct sockaddr *)&address);
    }
    uv_freeaddrinfo(found);
}

void conn_dial(struct conn *conn, const char *address, unsigned attempt)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    struct sockaddr_storage numeric;
    char host[ADDRESS_HOST_BYTES], port[ADDRESS_PORT_BYTES];

    conn->outgoing = true;
    if (address_split(address, host, port) != QK_OK) {
        conn_close(conn, QK_ERR_IO);
        return;
    }
    if (address_numeric(host, port, &numeric) == QK_OK) {
        address_text(&numeric, conn->address, sizeof conn->address);
        connect_to(conn, (const struct sockaddr *)&numeric);
        return;
    }
    conn->resolve.data = conn;
    conn->resolving = true;
    conn->attempt = attempt;
    if (uv_getaddrinfo(conn->tcp.loop, &conn->resolve, on_resolved, host, port, &hints) != 0) {
        conn->resolving = false;
        conn_close(conn, QK_ERR_IO);
    }
}
