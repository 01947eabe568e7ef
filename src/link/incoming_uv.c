/* The listener, and what keeps a flood of connections from hurting: who may connect at all, a token
 * bucket an address, a
 * maximum of half-open handshakes of which the oldest that has shown nothing makes room, and a time
 * limit on each (link_uv.c). */
#include "link/peers_uv.h"

#include <string.h>

#include "link/address_uv.h"

#define BACKLOG 128

static bool is_half_open(const struct conn *conn)
{
    return !conn->outgoing && !conn->closing && !conn->stream.up;
}

unsigned link_half_open(const struct link *link)
{
    unsigned n = 0;

    for (const struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        n += is_half_open(conn);
    return n;
}

/* The oldest that has not even sent a first frame with a good mac1: new ones are put in front of
 * the list, so it is the last. An honest peer passes this within a round trip. */
static bool make_room(struct link *link, const struct conn *newcomer)
{
    struct conn *oldest = NULL;

    if (link_half_open(link) < link->config.half_open_max)
        return true;
    for (struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        if (conn != newcomer && is_half_open(conn) && !conn->stream.handshake.begun)
            oldest = conn;
    if (oldest == NULL)
        return false;
    conn_close(oldest, QK_ERR_BUSY);
    link->stats.refused++;
    return true;
}

/* Whoever knocks all day long is worth a line now and then. */
static void tell_not_allowed(struct link *link, const struct sockaddr_storage *address)
{
    uint64_t now_ms = link_now_ms(link);
    char text[CONN_ADDRESS_TEXT_BYTES];

    link->stats.not_allowed++;
    if (link->config.on_not_allowed == NULL || now_ms < link->not_allowed_next_ms)
        return;
    link->not_allowed_next_ms = now_ms + LINK_NOT_ALLOWED_MS;
    address_text(address, text, sizeof text);
    link->config.on_not_allowed(link->config.arg, text,
                                link->stats.not_allowed - link->not_allowed_told);
    link->not_allowed_told = link->stats.not_allowed;
}

static bool address_may_connect(struct link *link, const struct conn *conn)
{
    struct sockaddr_storage address;
    uint8_t key[BUCKET_ADDRESS_BYTES];
    int len = sizeof address;

    if (uv_tcp_getpeername(&conn->tcp, (struct sockaddr *)&address, &len) != 0)
        return false; /* it is gone already */
    if (!address_mapped(&address, key) || !link_allow_has(&link->allow, key)) {
        tell_not_allowed(link, &address);
        return false;
    }
    address_bucket(&address, key);
    return bucket_take(&link->buckets, key, link_now_ms(link));
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct link *link = listener->data;
    struct conn *conn;

    if (status != 0 || link->closing)
        return;
    conn = conn_new(link->config.loop, &link_conn_ops, link);
    if (conn == NULL)
        return;
    link_stream_accept(&conn->stream, &link->self);
    conn->deadline_ms = link_now_ms(link) + link->config.handshake_ms;
    if (uv_accept(listener, (uv_stream_t *)&conn->tcp) != 0 || !address_may_connect(link, conn) ||
        !make_room(link, conn)) {
        link->stats.refused++;
        link_add_conn(link, conn);
        conn_close(conn, QK_ERR_BUSY);
        return;
    }
    link_add_conn(link, conn);
    conn_accepted(conn);
}

enum qk_err link_listen(struct link *link)
{
    char host[ADDRESS_HOST_BYTES], port[ADDRESS_PORT_BYTES];
    struct sockaddr_storage address;
    int rc;

    if (address_split(link->config.listen, host, port) != QK_OK ||
        address_numeric(host, port, &address) != QK_OK)
        return QK_ERR_INVALID;
    rc = uv_tcp_bind(&link->listener, (const struct sockaddr *)&address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&link->listener, BACKLOG, on_connection);
    if (rc != 0)
        return rc == UV_EADDRINUSE ? QK_ERR_EXISTS : QK_ERR_IO;
    link->listening = true;
    return QK_OK;
}

/* Called when an incoming connection has ended before it was up. Who connects and leaves without a
 * word is not worth a line; a refused joiner was refused by the owner, who knows. */
void link_refused(struct link *link, const struct conn *conn)
{
    const struct handshake *handshake = &conn->stream.handshake;
    bool join = handshake->kind == FRAME_JOIN && conn->join_id != 0;

    if (conn->err != QK_ERR_CORRUPT && conn->err != QK_ERR_UNSUPPORTED &&
        conn->err != QK_ERR_DENIED)
        return;
    link->stats.refused++;
    if (link->config.on_refused != NULL && !link->closing)
        link->config.on_refused(link->config.arg, conn->address, join ? handshake->token_id : NULL,
                                conn->err);
}
