/* RESP, version 2: one command at a time on a connection. */
#include <stdlib.h>
#include <string.h>

#include "peers.h"

#define REPLY_BYTES_MAX (64 * MIB)

static enum qk_err redis_open(struct load_conn *conn)
{
    struct buf *in = malloc(sizeof(*in));

    if (in == NULL)
        return QK_ERR_NOMEM;
    *in = BUF_INIT(REPLY_BYTES_MAX);
    conn->state = in;
    return QK_OK;
}

static void redis_ask(struct load_conn *conn, unsigned slot)
{
    struct peer *peer = conn->arg;
    char key[LOAD_KEY_BYTES];

    (void)slot;
    peer_key(peer, key);
    if (peer->reads) {
        buf_printf(&conn->out, "*2\r\n$3\r\nGET\r\n$16\r\n%s\r\n", key);
        return;
    }
    buf_printf(&conn->out, "*3\r\n$3\r\nSET\r\n$16\r\n%s\r\n$%zu\r\n", key, peer->value.len);
    buf_put_bytes(&conn->out, buf_bytes(&peer->value));
    buf_put_str(&conn->out, "\r\n");
}

/* How long the reply at the beginning of `in` is, 0: not whole yet. */
static size_t reply_len(const struct buf *in)
{
    const uint8_t *end = in->len == 0 ? NULL : memchr(in->data, '\n', in->len);
    size_t line, len;

    if (end == NULL)
        return 0;
    line = (size_t)(end - in->data) + 1;
    if (in->data[0] != '$' || in->data[1] == '-')
        return line;
    len = line + strtoul((const char *)in->data + 1, NULL, 10) + 2;
    return in->len >= len ? len : 0;
}

static bool redis_take(struct load_conn *conn, struct bytes bytes)
{
    struct buf *in = conn->state;
    size_t len;

    buf_put_bytes(in, bytes);
    len = reply_len(in);
    if (buf_error(in) != QK_OK)
        return false;
    if (len == 0)
        return true;
    if (in->data[0] == '-')
        load_done(conn, 0, 1, "an error of redis");
    else if (in->data[0] == '$' && in->data[1] == '-')
        load_done(conn, 0, 1, "a key that is not there");
    else
        load_done(conn, 0, 1, NULL);
    buf_consume(in, len);
    return in->len == 0;
}

static void redis_close(struct load_conn *conn)
{
    if (conn->state != NULL)
        buf_fini(conn->state);
    free(conn->state);
    conn->state = NULL;
}

const struct load_wire peer_redis_wire = {
    .open = redis_open, .ask = redis_ask, .take = redis_take, .close = redis_close};
