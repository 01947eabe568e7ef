/* Joins at the inviter: a joiner shows its token's id; the owner answers with the token's psk or a
 * refusal; message 3 proves that the joiner knows the psk; then its messages go up. */
#include "link/peers_uv.h"

#include <assert.h>

static struct conn *join_find(const struct link *link, uint64_t join_id)
{
    for (struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        if (conn->join_id == join_id && join_id != 0 && !conn->closing && !conn->finishing)
            return conn;
    return NULL;
}

void join_token_shown(struct link *link, struct conn *conn)
{
    if (link->config.on_join_token == NULL) {
        conn_close(conn, QK_ERR_UNSUPPORTED);
        return;
    }
    conn->join_id = ++link->last_join_id;
    link->config.on_join_token(link->config.arg, conn->join_id, conn->stream.handshake.token_id,
                               conn->address);
}

void link_join_answer(struct link *link, uint64_t join_id, enum qk_err err,
                      const struct secret *psk)
{
    struct conn *conn = join_find(link, join_id);
    enum qk_err rc;

    if (conn == NULL || !conn->stream.handshake.asking)
        return;
    rc = link_stream_answer(&conn->stream, err, psk);
    if (rc != QK_OK)
        conn_close(conn, rc);
    else if (err != QK_OK)
        conn_finish(conn, link_now_ms(link) + link->config.handshake_ms);
    else
        conn_flush(conn);
}

void join_message(struct link *link, struct conn *conn)
{
    const struct handshake *handshake = &conn->stream.handshake;

    if (conn->stream.channel != LINK_JOIN)
        conn_close(conn, QK_ERR_DENIED);
    else if (link->config.on_join_message != NULL)
        link->config.on_join_message(link->config.arg, conn->join_id,
                                     handshake_remote_pk(handshake), handshake->token_id,
                                     conn->stream.message);
}

void join_closed(struct link *link, struct conn *conn)
{
    uint64_t join_id = conn->join_id;

    conn->join_id = 0;
    if (join_id != 0 && link->config.on_join_closed != NULL && !link->closing)
        link->config.on_join_closed(link->config.arg, join_id);
}

enum qk_err link_join_reply(struct link *link, uint64_t join_id, const struct bytes *parts,
                            size_t parts_n)
{
    struct conn *conn = join_find(link, join_id);
    enum qk_err err;

    if (conn == NULL || !conn->stream.up)
        return QK_ERR_CLOSED;
    err = outbox_put(&conn->stream.outbox, LINK_JOIN, parts, parts_n);
    if (err == QK_OK)
        conn_flush(conn);
    return err;
}

void link_join_end(struct link *link, uint64_t join_id)
{
    struct conn *conn = join_find(link, join_id);

    if (conn == NULL)
        return;
    if (conn->stream.up)
        conn_finish(conn, link_now_ms(link) + link->config.handshake_ms);
    else
        conn_close(conn, QK_ERR_CLOSED);
}
