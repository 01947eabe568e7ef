/* The link as a whole: opening, closing, sending, and what happens on its connections.
 *
 * The happy path: the tick dials who is to be dialed; a connection's handshake ends in STREAM_UP
 * and it is offered to its peer (peers_uv.c); messages go up, link_send queues and flushes. Every
 * failure of a connection is one conn_close, whose callback on_conn_closed tells the peer, which
 * tells the owner. */
#include "link/peers_uv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEPALIVE_MS 1000
#define KEEPALIVES_MISSED_MAX 3
#define DIAL_MS_MAX 1000
#define ADDRESS_BURST 64
#define ADDRESS_PER_SEC 16
#define TICK_MS_MIN 5
#define TICK_MS_MAX 100

uint64_t link_now_ms(const struct link *link)
{
    return uv_now(link->config.loop);
}

/* --- connections --- */

void link_add_conn(struct link *link, struct conn *conn)
{
    conn->next = link->conns;
    if (conn->next != NULL)
        conn->next->prev = conn;
    link->conns = conn;
}

static void link_remove_conn(struct link *link, struct conn *conn)
{
    if (conn->next != NULL)
        conn->next->prev = conn->prev;
    if (conn->prev != NULL)
        conn->prev->next = conn->next;
    else
        link->conns = conn->next;
}

static void conn_is_up(struct link *link, struct conn *conn)
{
    enum qk_err err;

    if (conn->stream.handshake.kind == FRAME_JOIN)
        return; /* its first message says what it wants */
    if (!conn->outgoing) {
        struct peer *peer = NULL;

        err = peer_of_incoming(link, conn, &peer);
        if (err != QK_OK) {
            conn_close(conn, err);
            return;
        }
        peer_attach(peer, conn);
    }
    if (conn->peer->gone)
        conn_close(conn, QK_ERR_CLOSED);
    else
        peer_offer(link, conn->peer, conn);
}

static bool channel_is_allowed(const struct peer *peer, enum link_channel channel)
{
    return peer->known ? channel != LINK_JOIN : channel == LINK_RECORD;
}

/* Frames of a superseded connection, and what a peer may not send, are dropped. A member that we
 * do not know yet cannot know that, so it is not closed for it. */
static void conn_message(struct link *link, struct conn *conn)
{
    struct peer *peer = conn->peer;

    if (conn->stream.handshake.kind == FRAME_JOIN) {
        join_message(link, conn);
        return;
    }
    if (peer == NULL || peer->up != conn || !channel_is_allowed(peer, conn->stream.channel))
        return;
    link->stats.messages_in++;
    link->stats.bytes_in += conn->stream.message.len;
    link->config.on_message(link->config.arg, peer->info.node_id, conn->stream.channel,
                            conn->stream.message);
}

static void on_conn_event(struct conn *conn, enum link_stream_event event)
{
    struct link *link = conn->owner;

    switch (event) {
    case STREAM_TOKEN:
        join_token_shown(link, conn);
        break;
    case STREAM_UP:
        conn_is_up(link, conn);
        break;
    case STREAM_MESSAGE:
        conn_message(link, conn);
        break;
    case STREAM_PONG:
        if (conn->peer != NULL)
            peer_pong(link, conn->peer, conn);
        break;
    case STREAM_HUNGRY:
    case STREAM_QUIET:
        break;
    }
}

static void on_conn_sent(struct conn *conn)
{
    struct link *link = conn->owner;
    struct peer *peer = conn->peer;

    if (peer == NULL || peer->up != conn || !peer->wants_drain ||
        conn_queued_bytes(conn) >= LINK_DRAIN_BYTES)
        return;
    peer->wants_drain = false;
    if (link->config.on_drain != NULL)
        link->config.on_drain(link->config.arg, peer->info.node_id);
}

static void link_free_when_over(struct link *link)
{
    void (*cb)(void *arg) = link->close_cb;
    void *arg = link->close_arg;

    if (!link->closing || link->handles_n > 0 || link->conns != NULL)
        return;
    peers_free(link);
    free(link);
    if (cb != NULL)
        cb(arg);
}

static void on_conn_closed(struct conn *conn)
{
    struct link *link = conn->owner;

    if (conn->peer != NULL && conn->peer->up == conn) {
        conn->peer->heard = true;
        conn->peer->heard_ms = conn->heard_ms;
    }
    link_remove_conn(link, conn);
    if (!conn->outgoing && (!conn->stream.up || conn->err == QK_ERR_DENIED))
        link_refused(link, conn);
    join_closed(link, conn);
    peer_conn_closed(link, conn);
    link_free_when_over(link);
}

const struct conn_ops link_conn_ops = {on_conn_event, on_conn_sent, on_conn_closed};

/* --- time --- */

static void conn_tick(struct link *link, struct conn *conn, uint64_t now_ms)
{
    unsigned keepalive_ms = link->config.keepalive_ms;

    if (conn->closing)
        return;
    if (!conn->stream.up || conn->finishing) {
        if (now_ms >= conn->deadline_ms)
            conn_close(conn, QK_ERR_TIMEOUT);
        return;
    }
    if (conn->paused) /* a contender: peers_tick decides */
        return;
    if (now_ms - conn->heard_ms > (uint64_t)keepalive_ms * KEEPALIVES_MISSED_MAX) {
        conn_close(conn, QK_ERR_TIMEOUT);
        return;
    }
    if (now_ms - conn->pinged_ms >= keepalive_ms) {
        conn->pinged_ms = now_ms;
        /* A challenge under way must keep its nonce. */
        if (conn->peer == NULL || conn->peer->contender == NULL) {
            link_stream_ping(&conn->stream, 0);
            conn_flush(conn);
        }
    }
}

/* If this process stood still, silence was our own: the sockets are read before anyone is judged.
 */
static void forgive_silence(struct link *link, uint64_t now_ms)
{
    for (struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        conn->heard_ms = now_ms;
}

static void on_tick(uv_timer_t *timer)
{
    struct link *link = timer->data;
    uint64_t now_ms = link_now_ms(link);

    if (now_ms - link->ticked_ms > link->config.keepalive_ms)
        forgive_silence(link, now_ms);
    link->ticked_ms = now_ms;
    for (struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        conn_tick(link, conn, now_ms);
    peers_tick(link);
    peers_dial(link);
}

void link_tick_soon(struct link *link)
{
    (void)uv_timer_start(&link->timer, on_tick, 0, link->tick_ms);
}

/* --- opening and closing --- */

static void config_defaults(struct link_config *config)
{
    if (config->handshake_ms == 0)
        config->handshake_ms = LINK_HANDSHAKE_MS_MAX;
    if (config->half_open_max == 0)
        config->half_open_max = LINK_HALF_OPEN_MAX;
    if (config->keepalive_ms == 0)
        config->keepalive_ms = KEEPALIVE_MS;
    if (config->dial_ms_max == 0)
        config->dial_ms_max = DIAL_MS_MAX;
    if (config->address_burst == 0)
        config->address_burst = ADDRESS_BURST;
    if (config->address_per_sec == 0)
        config->address_per_sec = ADDRESS_PER_SEC;
}

/* A tenth of the shortest time that the tick measures. */
static unsigned tick_of(const struct link_config *config)
{
    unsigned ms =
        config->keepalive_ms < config->handshake_ms ? config->keepalive_ms : config->handshake_ms;

    if (config->dial_ms_max < ms)
        ms = config->dial_ms_max;
    ms /= 10;
    return ms < TICK_MS_MIN ? TICK_MS_MIN : ms > TICK_MS_MAX ? TICK_MS_MAX : ms;
}

static void link_init(struct link *link, const struct link_config *config)
{
    link->config = *config;
    config_defaults(&link->config);
    link->self.identity = config->identity;
    link->self.psk = config->psk;
    memcpy(link->self.pk, config->pk, sizeof link->self.pk);
    memcpy(link->self.cluster_id, config->cluster_id, sizeof link->self.cluster_id);
    memcpy(link->self.node_id, config->node_id, sizeof link->self.node_id);
    memcpy(link->self.boot_id, config->boot_id, sizeof link->self.boot_id);
    if (config->allow != NULL)
        link->allow = *config->allow;
    link->config.allow = NULL; /* borrowed during link_open only */
    bucket_init(&link->buckets, link->config.address_burst, link->config.address_per_sec);
    link->tick_ms = tick_of(&link->config);
    link->ticked_ms = uv_now(config->loop);
}

enum qk_err link_open(const struct link_config *config, struct link **ret_link)
{
    struct link *link = calloc(1, sizeof *link);
    enum qk_err err = QK_OK;

    assert(config->on_up != NULL && config->on_down != NULL && config->on_message != NULL);
    if (link == NULL)
        return QK_ERR_NOMEM;
    link_init(link, config);
    if (uv_timer_init(config->loop, &link->timer) != 0 ||
        uv_tcp_init(config->loop, &link->listener) != 0) {
        free(link); /* neither call fails once the loop exists and without a socket yet */
        return QK_ERR_NOMEM;
    }
    link->timer.data = link->listener.data = link;
    link->handles_n = 2;
    if (config->listen != NULL)
        err = link_listen(link);
    if (err != QK_OK) {
        link_close(link, NULL, NULL);
        return err;
    }
    link_tick_soon(link);
    link->config.listen = NULL; /* borrowed during this call only */
    *ret_link = link;
    return QK_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;

    link->handles_n--;
    link_free_when_over(link);
}

void link_close(struct link *link, void (*cb)(void *arg), void *arg)
{
    assert(!link->closing);
    link->closing = true;
    link->close_cb = cb;
    link->close_arg = arg;
    for (struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        conn_close(conn, QK_ERR_CLOSED);
    uv_close((uv_handle_t *)&link->timer, on_handle_closed);
    uv_close((uv_handle_t *)&link->listener, on_handle_closed);
}

uint16_t link_port(const struct link *link)
{
    struct sockaddr_storage address;
    struct sockaddr_in v4;
    int len = sizeof address;

    if (!link->listening ||
        uv_tcp_getsockname(&link->listener, (struct sockaddr *)&address, &len) != 0)
        return 0;
    memcpy(&v4, &address, sizeof v4); /* the port lies at the same place for IPv4 and IPv6 */
    return ntohs(v4.sin_port);
}

/* --- sending and looking --- */

static struct conn *conn_to(const struct link *link, const uint8_t *node_id)
{
    const struct peer *peer = peer_find(link, node_id);

    if (peer == NULL || !peer->announced || peer->up == NULL || peer->up->closing)
        return NULL;
    return peer->up;
}

enum qk_err link_send(struct link *link, const uint8_t node_id[static NODE_ID_BYTES],
                      enum link_channel channel, const struct bytes *parts, size_t parts_n)
{
    struct conn *conn = conn_to(link, node_id);
    enum qk_err err;
    size_t waiting;

    if (conn == NULL)
        return QK_ERR_CLOSED;
    waiting = conn->stream.outbox.bytes;
    if (!channel_is_allowed(conn->peer, channel))
        return QK_ERR_DENIED;
    err = outbox_put(&conn->stream.outbox, channel, parts, parts_n);
    if (err == QK_OK) {
        link->stats.messages_out++;
        link->stats.bytes_out += conn->stream.outbox.bytes - waiting;
        conn_flush_queued(conn);
    }
    if (err == QK_ERR_BUSY || conn_queued_bytes(conn) >= LINK_DRAIN_BYTES)
        conn->peer->wants_drain = true;
    return err;
}

void link_address(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES],
                  char *ret_text, size_t size)
{
    const struct conn *conn = conn_to(link, node_id);

    snprintf(ret_text, size, "%s", conn != NULL ? conn->address : "");
}

size_t link_queued_bytes(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    const struct conn *conn = conn_to(link, node_id);

    return conn == NULL ? 0 : conn_queued_bytes(conn);
}

bool link_is_up(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    return conn_to(link, node_id) != NULL;
}

uint64_t link_seen_ms(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    const struct peer *peer = peer_find(link, node_id);

    if (peer == NULL)
        return UINT64_MAX;
    if (peer->up != NULL)
        return link_now_ms(link) - peer->up->heard_ms;
    return peer->heard ? link_now_ms(link) - peer->heard_ms : UINT64_MAX;
}

enum qk_err link_dial_error(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    const struct peer *peer = peer_find(link, node_id);

    if (peer == NULL)
        return QK_ERR_NOT_FOUND;
    return peer->announced ? QK_OK : peer->dial_err;
}

void link_drop(struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    struct conn *conn = conn_to(link, node_id);

    if (conn != NULL)
        conn_close(conn, QK_ERR_CLOSED);
}

void link_stats_get(const struct link *link, struct link_stats *ret_stats)
{
    *ret_stats = link->stats;
    ret_stats->connections = 0;
    ret_stats->half_open = link_half_open(link);
    for (const struct conn *conn = link->conns; conn != NULL; conn = conn->next)
        ret_stats->connections += conn->stream.up && !conn->closing;
}
