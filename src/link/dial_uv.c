/* Dialing: at once when a member is new, its address changed or its connection was lost; after
 * failures with pauses that double up to a maximum. Each pause is drawn from its upper half, so
 * that nodes that lost power together do not dial in step. */
#include "link/peers_uv.h"

#include <string.h>

#include "secret/crypto.h"

#define DIAL_PAUSE_MS_MIN 50

static unsigned jitter_ms(unsigned span_ms)
{
    uint32_t random;

    random_fill(&random, sizeof random);
    return span_ms == 0 ? 0 : random % span_ms;
}

void peer_dial_later(const struct link *link, struct peer *peer, bool failed)
{
    unsigned pause_ms = DIAL_PAUSE_MS_MIN;

    if (failed)
        pause_ms = peer->dial_pause_ms == 0 ? DIAL_PAUSE_MS_MIN : peer->dial_pause_ms * 2;
    if (pause_ms > link->config.dial_ms_max)
        pause_ms = link->config.dial_ms_max;
    peer->dial_pause_ms = pause_ms;
    peer->dial_at_ms = link_now_ms(link) + pause_ms / 2 + jitter_ms(pause_ms / 2);
    /* After a loss the lower node id dials first: its dial would win anyway. */
    if (!failed && memcmp(link->self.node_id, peer->info.node_id, NODE_ID_BYTES) > 0)
        peer->dial_at_ms += DIAL_PAUSE_MS_MIN;
}

static void peer_dial(struct link *link, struct peer *peer)
{
    struct conn *conn = conn_new(link->config.loop, &link_conn_ops, link);

    if (conn == NULL) {
        peer_dial_later(link, peer, true);
        return;
    }
    link_add_conn(link, conn);
    peer_attach(peer, conn);
    peer->dialing = conn;
    conn->deadline_ms = link_now_ms(link) + link->config.handshake_ms;
    if (link_stream_dial(&conn->stream, &link->self, FRAME_MEMBER, peer->info.pk, NULL) != QK_OK)
        conn_close(conn, QK_ERR_INVALID); /* the member's key is no usable point */
    else
        conn_dial(conn, peer->info.address, peer->dials_n++);
}

void peers_dial(struct link *link)
{
    uint64_t now_ms = link_now_ms(link);

    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next) {
        if (!peer->known || peer->gone || peer->up != NULL || peer->dialing != NULL ||
            peer->info.address[0] == '\0' || now_ms < peer->dial_at_ms)
            continue;
        peer_dial(link, peer);
    }
}
