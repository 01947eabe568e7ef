/* Which connection speaks for a peer.
 *
 * The happy path: a connection authenticates itself (peer_offer), becomes `up`, the owner hears
 * on_up; it closes, the owner hears on_down, and dialing starts again. When a second one arrives
 * while the first is up:
 *   - same boot, same dialer: the newer wins, since nobody dials while its own end is alive;
 *   - same boot, other dialer: that of the lower node id wins at both ends;
 *   - another boot: two processes with one key, or one that restarted before its old connection
 *     was missed. The newcomer is held and the first gets a ping with a fresh nonce. No answer in
 *     2 s: it is closed and the newcomer goes on. An answer: on_clone, the newcomer is closed.
 * The loser's frames are dropped from that moment; on_down and on_up tell the owner so. */
#include "link/peers_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/crypto.h"

void link_stranger_id(const uint8_t pk[static LINK_PK_BYTES], uint8_t ret_id[static NODE_ID_BYTES])
{
    const struct bytes parts[] = {bytes_str("quorumkeep stranger"), bytes_of(pk, LINK_PK_BYTES)};
    uint8_t hash[HASH_BYTES];

    hash_compute(parts, 2, hash);
    memcpy(ret_id, hash, NODE_ID_BYTES);
}

struct peer *peer_find(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        if (!peer->gone && memcmp(peer->info.node_id, node_id, NODE_ID_BYTES) == 0)
            return peer;
    return NULL;
}

struct peer *peer_find_pk(const struct link *link, const uint8_t pk[static LINK_PK_BYTES])
{
    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        if (!peer->gone && memcmp(peer->info.pk, pk, LINK_PK_BYTES) == 0)
            return peer;
    return NULL;
}

static struct peer *stranger_new(struct link *link, const uint8_t *pk)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL)
        return NULL;
    link_stranger_id(pk, peer->info.node_id);
    memcpy(peer->info.pk, pk, LINK_PK_BYTES);
    peer->next = link->peers;
    link->peers = peer;
    return peer;
}

static unsigned strangers_n(const struct link *link)
{
    unsigned n = 0;

    for (const struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        n += !peer->known && !peer->gone;
    return n;
}

enum qk_err peer_of_incoming(struct link *link, const struct conn *conn, struct peer **ret_peer)
{
    const uint8_t *pk = handshake_remote_pk(&conn->stream.handshake);
    const uint8_t *claimed = conn->stream.handshake.remote_node_id;
    struct peer *peer;

    if (memcmp(pk, link->self.pk, LINK_PK_BYTES) == 0) /* our own key at somebody else's hands */
        return QK_ERR_DENIED;
    peer = peer_find_pk(link, pk);
    if (peer != NULL && peer->known && memcmp(claimed, peer->info.node_id, NODE_ID_BYTES) != 0)
        return QK_ERR_DENIED;
    if (peer == NULL) {
        if (strangers_n(link) >= LINK_STRANGERS_MAX)
            return QK_ERR_BUSY;
        peer = stranger_new(link, pk);
    }
    *ret_peer = peer;
    return peer == NULL ? QK_ERR_NOMEM : QK_OK;
}

void peer_attach(struct peer *peer, struct conn *conn)
{
    assert(conn->peer == NULL);
    conn->peer = peer;
    peer->conns_n++;
}

/* --- up and down --- */

static void peer_announce_down(struct link *link, struct peer *peer)
{
    if (!peer->announced)
        return;
    peer->announced = false;
    peer->wants_drain = false;
    if (!link->closing)
        link->config.on_down(link->config.arg, peer->info.node_id);
}

/* Whoever had this id before: the peer itself through another connection, or one with an older key
 * whose connection is still closing. */
static void announce_down_by_id(struct link *link, const struct peer *newcomer)
{
    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        if (memcmp(peer->info.node_id, newcomer->info.node_id, NODE_ID_BYTES) == 0)
            peer_announce_down(link, peer);
}

static void peer_take(struct link *link, struct peer *peer, struct conn *conn)
{
    struct conn *old = peer->up;

    peer->up = conn;
    if (peer->dialing == conn)
        peer->dialing = NULL;
    if (peer->contender != NULL && peer->contender != conn)
        conn_close(peer->contender, QK_ERR_STALE);
    peer->contender = NULL;
    if (old != NULL)
        conn_close(old, QK_ERR_STALE);
    peer->dial_pause_ms = 0;
    peer->dial_err = QK_OK;
    link->stats.handshakes++;
    announce_down_by_id(link, peer);
    if (link->closing || conn->closing || peer->gone)
        return;
    peer->announced = true;
    link->config.on_up(link->config.arg, peer->info.node_id, peer->known);
}

static bool dialed_by_lower(const struct link *link, const struct peer *peer,
                            const struct conn *conn)
{
    bool self_is_lower = memcmp(link->self.node_id, peer->info.node_id, NODE_ID_BYTES) < 0;

    return conn->outgoing == self_is_lower;
}

static void peer_challenge(struct link *link, struct peer *peer, struct conn *conn)
{
    if (peer->contender != NULL)
        conn_close(peer->contender, QK_ERR_STALE);
    if (peer->dialing == conn)
        peer->dialing = NULL;
    peer->contender = conn;
    conn_pause(conn);
    random_fill(&peer->challenge_nonce, sizeof peer->challenge_nonce);
    peer->challenge_nonce |= 1; /* 0 is the keepalive's */
    peer->challenge_end_ms = link_now_ms(link) + LINK_CHALLENGE_MS;
    link_stream_ping(&peer->up->stream, peer->challenge_nonce);
    conn_flush(peer->up);
}

void peer_offer(struct link *link, struct peer *peer, struct conn *conn)
{
    const struct conn *up = peer->up;

    if (up == NULL || up->closing) {
        peer_take(link, peer, conn);
        return;
    }
    if (memcmp(up->stream.handshake.remote_boot_id, conn->stream.handshake.remote_boot_id,
               BOOT_ID_BYTES) != 0)
        peer_challenge(link, peer, conn);
    else if (up->outgoing == conn->outgoing || dialed_by_lower(link, peer, conn))
        peer_take(link, peer, conn);
    else
        conn_close(conn, QK_ERR_STALE);
}

void peer_pong(struct link *link, struct peer *peer, const struct conn *conn)
{
    struct conn *second = peer->contender;

    if (peer->up != conn || second == NULL || conn->stream.pong_nonce == 0 ||
        conn->stream.pong_nonce != peer->challenge_nonce)
        return;
    peer->contender = NULL;
    conn_close(second, QK_ERR_DENIED); /* closed and freed from the loop */
    link->stats.refused++;
    if (link->config.on_clone != NULL)
        link->config.on_clone(link->config.arg, peer->info.node_id, conn->address, second->address);
}

/* The contender's turn: the first session is over. */
static void peer_take_contender(struct link *link, struct peer *peer)
{
    struct conn *conn = peer->contender;

    peer_take(link, peer, conn);
    if (!conn->closing)
        conn_resume(conn);
}

void peer_conn_closed(struct link *link, struct conn *conn)
{
    struct peer *peer = conn->peer;

    if (peer == NULL)
        return;
    conn->peer = NULL;
    peer->conns_n--;
    if (peer->contender == conn)
        peer->contender = NULL;
    if (peer->dialing == conn) {
        peer->dialing = NULL;
        /* Reached, and closed by the other end before it answered. */
        peer->dial_err = conn->err == QK_ERR_CLOSED && conn->connected ? QK_ERR_FOREIGN : conn->err;
        peer_dial_later(link, peer, true);
    }
    if (peer->up != conn)
        return;
    peer->up = NULL;
    if (peer->contender != NULL && !peer->contender->closing && !peer->gone) {
        peer_take_contender(link, peer);
        return;
    }
    link->stats.reconnects++;
    peer_dial_later(link, peer, false);
    if (!peer->known)
        peer->gone = true;
    peer_announce_down(link, peer);
}

static void peers_reap(struct link *link)
{
    struct peer **at = &link->peers;

    while (*at != NULL) {
        struct peer *peer = *at;

        if (peer->gone && peer->conns_n == 0) {
            *at = peer->next;
            free(peer);
        } else
            at = &peer->next;
    }
}

void peers_tick(struct link *link)
{
    uint64_t now_ms = link_now_ms(link);

    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        if (peer->contender != NULL && peer->up != NULL && now_ms >= peer->challenge_end_ms)
            conn_close(peer->up, QK_ERR_TIMEOUT); /* peer_conn_closed does the rest */
    peers_reap(link);
}

void peers_free(struct link *link)
{
    while (link->peers != NULL) {
        struct peer *peer = link->peers;

        link->peers = peer->next;
        free(peer);
    }
}

/* --- the list --- */

static bool infos_are_distinct(const struct link_peer_info *infos, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(infos[i].node_id, infos[j].node_id, NODE_ID_BYTES) == 0 ||
                memcmp(infos[i].pk, infos[j].pk, LINK_PK_BYTES) == 0)
                return false;
    return true;
}

static const struct link_peer_info *info_find(const struct link_peer_info *infos, size_t n,
                                              const struct peer *peer)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(infos[i].node_id, peer->info.node_id, NODE_ID_BYTES) == 0)
            return &infos[i];
    return NULL;
}

static void peer_leave(struct peer *peer)
{
    peer->gone = true;
    if (peer->up != NULL)
        conn_close(peer->up, QK_ERR_CLOSED);
    if (peer->dialing != NULL)
        conn_close(peer->dialing, QK_ERR_CLOSED);
    if (peer->contender != NULL)
        conn_close(peer->contender, QK_ERR_CLOSED);
}

/* What `peer` becomes under the new list: kept (with its new address), or gone. */
static void peer_update(struct link *link, struct peer *peer, const struct link_peer_info *info,
                        bool key_is_listed)
{
    bool same_key = info != NULL && memcmp(info->pk, peer->info.pk, LINK_PK_BYTES) == 0;

    if (!peer->known) {
        if (key_is_listed)
            peer_leave(peer); /* comes back as a member */
        return;
    }
    if (!same_key) {
        peer_leave(peer);
        return;
    }
    if (strcmp(peer->info.address, info->address) != 0) {
        peer->info = *info;
        peer->dial_at_ms = link_now_ms(link);
        peer->dial_pause_ms = 0;
    }
}

static bool key_is_listed(const struct link_peer_info *infos, size_t n, const uint8_t *pk)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(infos[i].pk, pk, LINK_PK_BYTES) == 0)
            return true;
    return false;
}

static struct peer *member_new(struct link *link, const struct link_peer_info *info)
{
    struct peer *peer = calloc(1, sizeof *peer);

    if (peer == NULL)
        return NULL;
    peer->info = *info;
    peer->info.address[ADDRESS_BYTES_MAX] = '\0';
    peer->known = true;
    peer->dial_at_ms = link_now_ms(link);
    return peer;
}

/* Members of the list without a peer yet. Nothing is linked in when memory ends. */
static enum qk_err members_add(struct link *link, const struct link_peer_info *infos, size_t n)
{
    struct peer *made = NULL;

    for (size_t i = 0; i < n; i++) {
        const struct peer *old = peer_find(link, infos[i].node_id);
        struct peer *peer;

        if (memcmp(infos[i].node_id, link->self.node_id, NODE_ID_BYTES) == 0)
            continue;
        if (old != NULL && old->known && memcmp(old->info.pk, infos[i].pk, LINK_PK_BYTES) == 0)
            continue;
        peer = member_new(link, &infos[i]);
        if (peer == NULL) {
            while (made != NULL) {
                peer = made->next;
                free(made);
                made = peer;
            }
            return QK_ERR_NOMEM;
        }
        peer->next = made;
        made = peer;
    }
    for (struct peer *peer = link->peers; peer != NULL; peer = peer->next)
        if (!peer->gone)
            peer_update(link, peer, info_find(infos, n, peer),
                        key_is_listed(infos, n, peer->info.pk));
    while (made != NULL) {
        struct peer *peer = made;

        made = peer->next;
        peer->next = link->peers;
        link->peers = peer;
    }
    return QK_OK;
}

enum qk_err link_set_peers(struct link *link, const struct link_peer_info *peers, size_t peers_n)
{
    enum qk_err err;

    assert(!link->closing);
    if (peers_n > NODES_MAX || !infos_are_distinct(peers, peers_n))
        return QK_ERR_INVALID;
    err = members_add(link, peers, peers_n);
    if (err == QK_OK) /* dials from the loop, at once */
        link_tick_soon(link);
    return err;
}
