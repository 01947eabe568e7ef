/* The TLS between a connection's socket and its buffers. Without TLS each is the other. */
#include "http/connection_uv.h"

#include "secret/secret.h"

/* So much is encrypted at a time: what waits for a slow client waits once, as plaintext. */
#define SLICE_BYTES (256 * KIB)

bool connection_fill(struct connection *c)
{
    size_t room = CONNECTION_READ_BYTES - c->pending.len;
    size_t before = c->pending.len;
    enum tls_state state;
    bool some;

    if (c->tls == NULL || c->state == CLOSED || room == 0)
        return false;
    state = tls_read(c->tls, room, &c->pending);
    some = c->pending.len > before;
    if (c->state == LINGERING)
        buf_fini(&c->pending);
    if (state == TLS_ENDED)
        c->eof = true;
    if (state == TLS_FAILED) { /* an alert may say why */
        c->http->metrics.tls_failed_n++;
        connection_send(c);
        connection_abort(c);
    }
    return some;
}

enum qk_err connection_received(struct connection *c, struct bytes bytes)
{
    if (c->tls != NULL)
        return tls_feed(c->tls, bytes);
    if (c->state != LINGERING)
        buf_put_bytes(&c->pending, bytes);
    secret_wipe(c->http->read_buffer, bytes.len);
    return buf_error(&c->pending);
}

/* The next bytes for the socket, in `sending`; false if there are none. */
bool connection_next_piece(struct connection *c)
{
    if (c->tls == NULL) {
        if (c->out.len == 0)
            return false;
        c->sending = c->out;
        c->out = BUF_SECRET_INIT(CONNECTION_OUT_BYTES_MAX);
        return true;
    }
    if (c->out.len > 0 && tls_is_ready(c->tls)) {
        struct bytes slice = bytes_slice(buf_bytes(&c->out), c->out_at, SLICE_BYTES);

        if (tls_write(c->tls, slice) != QK_OK) {
            connection_abort(c);
            return false;
        }
        c->out_at += slice.len;
        if (c->out_at == c->out.len) {
            buf_fini(&c->out);
            c->out_at = 0;
        }
    }
    tls_take(c->tls, &c->sending);
    return c->sending.len > 0;
}

/* True if there is something to send before the socket is shut: the end of the session. */
bool connection_say_end(struct connection *c)
{
    if (c->tls == NULL || c->tls_ended)
        return false;
    c->tls_ended = true;
    tls_end(c->tls);
    return true;
}
