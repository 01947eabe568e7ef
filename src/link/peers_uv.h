/* The link's own state and its peers (private to link/). */
#ifndef LINK_PEERS_UV_H
#define LINK_PEERS_UV_H

#include "link/bucket.h"
#include "link/conn_uv.h"
#include "link/link.h"

/* Strangers: keys that hold the cluster's psk and are no member's, as far as this node knows. */
#define LINK_STRANGERS_MAX 16
/* How long the first session has to answer when a second boot of its node appears. */
#define LINK_CHALLENGE_MS 2000

struct peer {
    struct peer *next;
    struct link_peer_info info;
    bool known;
    bool gone;        /* left the list, or a stranger without connection: freed when conns_n is 0 */
    bool announced;   /* the owner was told on_up, and not yet on_down */
    bool wants_drain; /* on_drain is due when the queue is short */
    unsigned conns_n; /* that point here */
    struct conn *up;
    struct conn *dialing;
    struct conn *contender; /* of another boot, held until `up` has answered or not */
    uint64_t challenge_nonce, challenge_end_ms;
    uint64_t dial_at_ms;
    unsigned dial_pause_ms, dials_n;
    enum qk_err dial_err; /* of the last that failed */
    bool heard;
    uint64_t heard_ms;
};

struct link {
    struct link_config config;
    struct handshake_self self;
    uv_tcp_t listener;
    uv_timer_t timer;
    bool listening, closing;
    unsigned handles_n; /* listener and timer, until closed */
    unsigned tick_ms;
    uint64_t ticked_ms;
    struct conn *conns;
    struct peer *peers;
    struct bucket_table buckets;
    struct link_allow allow;
    uint64_t not_allowed_told, not_allowed_next_ms; /* of stats.not_allowed, to the owner */
    uint64_t last_join_id;
    struct link_stats stats;
    void (*close_cb)(void *arg);
    void *close_arg;
};

uint64_t link_now_ms(const struct link *link);

/* peers_uv.c */
struct peer *peer_find(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
struct peer *peer_find_pk(const struct link *link, const uint8_t pk[static LINK_PK_BYTES]);
/* A connection has authenticated itself as `peer`: takes it, holds it, or closes it. */
void peer_offer(struct link *link, struct peer *peer, struct conn *conn);
/* What an incoming connection with an authenticated key belongs to, made for a stranger if need be.
 * QK_ERR_DENIED: claims another's id; QK_ERR_BUSY: too many strangers; QK_ERR_NOMEM. */
MUST_USE enum qk_err peer_of_incoming(struct link *link, const struct conn *conn,
                                      struct peer **ret_peer);
void peer_attach(struct peer *peer, struct conn *conn);
void peer_pong(struct link *link, struct peer *peer, const struct conn *conn);
void peer_conn_closed(struct link *link, struct conn *conn);
/* Challenges whose time is over, peers that may be freed. */
void peers_tick(struct link *link);
void peers_free(struct link *link);

/* dial_uv.c */
void peers_dial(struct link *link);
void peer_dial_later(const struct link *link, struct peer *peer, bool failed);

/* incoming_uv.c */
MUST_USE enum qk_err link_listen(struct link *link);
unsigned link_half_open(const struct link *link);
void link_refused(struct link *link, const struct conn *conn);

/* link_uv.c */
extern const struct conn_ops link_conn_ops;
void link_add_conn(struct link *link, struct conn *conn);
/* The tick runs in the next turn of the loop. */
void link_tick_soon(struct link *link);

/* join_inviter_uv.c */
void join_token_shown(struct link *link, struct conn *conn);
void join_message(struct link *link, struct conn *conn);
void join_closed(struct link *link, struct conn *conn);

#endif
