/* Authenticated, encrypted connections between the nodes of a cluster (docs/design.md, Links).
 *
 * One `struct link` a process: it listens, dials every peer it was told of, keeps one connection a
 * pair, and carries messages of up to LINK_MESSAGE_BYTES_MAX on numbered channels. Messages of one
 * channel arrive in order or not at all: whatever was under way when a connection ends is lost, and
 * the loss is always visible as on_down (and a later on_up). Messages of different channels may
 * overtake each other, so that Raft never waits behind a snapshot.
 *
 * Rules for all callbacks: they run on the loop's thread, from the loop, never inside a call of
 * this header; any function of this header may be called from within them; every pointer they get
 * is borrowed and valid only until they return. `arg` and all that the configuration points to must
 * live until the close callback has run.
 */
#ifndef LINK_LINK_H
#define LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "link/allow.h"

struct uv_loop_s;
struct secret;
struct link;

#define LINK_PK_BYTES 32
#define LINK_TOKEN_ID_BYTES 16

/* Bounds of what waits to be sent to one peer. */
#define LINK_QUEUE_BYTES_MAX (64 * MIB)         /* all channels: QK_ERR_BUSY past it */
#define LINK_SNAPSHOT_QUEUE_BYTES_MAX (4 * MIB) /* LINK_SNAPSHOT alone: QK_ERR_BUSY past it */
#define LINK_DRAIN_BYTES (1 * MIB)              /* on_drain when the queue falls below */

#define LINK_NOT_ALLOWED_MS 10000

enum link_channel {
    LINK_SEAL = 1,     /* HELLO, releases, shares, dealing */
    LINK_RAFT = 2,     /* consensus messages */
    LINK_FORWARD = 3,  /* client requests forwarded to the leader */
    LINK_SNAPSHOT = 4, /* bulk: sent when nothing else waits, and one turn in eight otherwise */
    LINK_RECORD = 5,   /* deal records; the only channel for a key that is no member's */
    LINK_JOIN = 6,     /* a joiner's request and its replies: on join connections only */
};
#define LINK_CHANNEL_MAX 6

struct link_config {
    struct uv_loop_s *loop;
    const struct secret *identity; /* X25519 private key, 32 bytes */
    const struct secret *psk;      /* the cluster's, 32 bytes */
    uint8_t pk[LINK_PK_BYTES];     /* public half of `identity` */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES]; /* random, new at each start of the process */
    const struct link_allow *allow; /* who may connect; NULL: everybody. Copied */
    const char *listen;             /* "host:port", "[v6]:port"; port 0 picks one; NULL: none */

    /* 0 means the product's value; tests shorten them. */
    unsigned handshake_ms;    /* LINK_HANDSHAKE_MS_MAX */
    unsigned half_open_max;   /* LINK_HALF_OPEN_MAX */
    unsigned keepalive_ms;    /* 1000: a ping each, dead after three without a sign */
    unsigned dial_ms_max;     /* 1000: longest pause between two dials of one peer */
    unsigned address_burst;   /* 64 connections at once from one address, */
    unsigned address_per_sec; /* 16 a second after that */

    void *arg;
    /* A connection to `node_id` is up. `known`: its key is a member's (link_set_peers). A key that
     * is no member's gets the id link_stranger_id(its key), whatever it claims to be, and has
     * LINK_RECORD only. */
    void (*on_up)(void *arg, const uint8_t node_id[NODE_ID_BYTES], bool known);
    /* It is gone; what was queued or under way is lost. */
    void (*on_down)(void *arg, const uint8_t node_id[NODE_ID_BYTES]);
    /* One whole message. Its bytes lie in a secret buffer that is wiped after the return. */
    void (*on_message)(void *arg, const uint8_t node_id[NODE_ID_BYTES], enum link_channel channel,
                       struct bytes message);
    /* What waits for `node_id` fell below LINK_DRAIN_BYTES after having been above. May be NULL. */
    void (*on_drain)(void *arg, const uint8_t node_id[NODE_ID_BYTES]);
    /* Two processes with the key of `node_id` and different boot ids are alive: the first session
     * answered a challenge made because of the second, which is closed. Numeric addresses of both.
     * May be NULL. */
    void (*on_clone)(void *arg, const uint8_t node_id[NODE_ID_BYTES], const char *first,
                     const char *second);
    /* An incoming connection was refused; `token_id` is NULL unless it was a join that had shown
     * one. For the audit log: `address` is numeric, without secrets. May be NULL. */
    void (*on_refused)(void *arg, const char *address, const uint8_t *token_id, enum qk_err err);

    /* `n` connections were closed unread since this was last told, at most once in
     * LINK_NOT_ALLOWED_MS: their addresses may not connect; `address` is the last one's. May be
     * NULL. */
    void (*on_not_allowed)(void *arg, const char *address, uint64_t n);

    /* Joins at the inviter. NULL on_join_token: joins are refused (QK_ERR_UNSUPPORTED).
     * A joiner names its token: answer with link_join_answer, inside the callback or later. */
    void (*on_join_token)(void *arg, uint64_t join_id, const uint8_t token_id[LINK_TOKEN_ID_BYTES],
                          const char *address);
    /* A message of a joiner that has proved to know the token's psk. `pk` is its identity. */
    void (*on_join_message)(void *arg, uint64_t join_id, const uint8_t pk[LINK_PK_BYTES],
                            const uint8_t token_id[LINK_TOKEN_ID_BYTES], struct bytes message);
    /* The join connection is gone (either side, any reason); `join_id` is void from now on. Called
     * once for each on_join_token. May be NULL. */
    void (*on_join_closed)(void *arg, uint64_t join_id);
};

/* Listens at once. The process must ignore SIGPIPE. After an error the loop must still turn once,
 * to free what was begun. The caller owns `*ret_link` and gives it back with link_close. The
 * configuration is copied; what it points to is borrowed until the close callback has run.
 * QK_ERR_INVALID: `listen` is no numeric address and port; QK_ERR_EXISTS: address in use;
 * QK_ERR_IO; QK_ERR_NOMEM. */
MUST_USE enum qk_err link_open(const struct link_config *config, struct link **ret_link);
/* Closes every connection and the listener, without any further callback but `cb` (may be NULL),
 * which runs from the loop when all is freed. `link` is void after this call. */
void link_close(struct link *link, void (*cb)(void *arg), void *arg);
/* The port listened on; 0 without a listener. */
uint16_t link_port(const struct link *link);

struct link_peer_info {
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t pk[LINK_PK_BYTES];
    char address[ADDRESS_BYTES_MAX + 1]; /* "host:port"; empty: never dialed, may dial us */
};

/* The members, self excluded or included (it is ignored). Replaces the earlier list: a peer that is
 * new is dialed, one whose address changed is dialed there, one that left or whose key changed
 * loses its connection (on_down), a stranger that is a member now loses its connection too and
 * comes back as a member. QK_ERR_INVALID: more than NODES_MAX, or two with one id or one key;
 * nothing is changed then. */
MUST_USE enum qk_err link_set_peers(struct link *link, const struct link_peer_info *peers,
                                    size_t peers_n);

/* Queues one message made of `parts` (copied into a secret buffer). QK_OK says queued, not arrived.
 * QK_ERR_CLOSED: no connection; QK_ERR_BUSY: the queue is full, wait for on_drain;
 * QK_ERR_TOO_BIG: over LINK_MESSAGE_BYTES_MAX; QK_ERR_DENIED: a channel this peer may not use;
 * QK_ERR_NOMEM. Empty messages are allowed. */
MUST_USE enum qk_err link_send(struct link *link, const uint8_t node_id[static NODE_ID_BYTES],
                               enum link_channel channel, const struct bytes *parts,
                               size_t parts_n);
/* Bytes that wait for `node_id`, those handed to the socket included; 0 when not connected. */
size_t link_queued_bytes(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
/* The address of the other end of the connection to `node_id`, numeric; empty: not connected. */
void link_address(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES],
                  char *ret_text, size_t size);
bool link_is_up(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
/* Milliseconds since the last sign of life of `node_id` in this process; UINT64_MAX: never. */
uint64_t link_seen_ms(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
/* Why the last dial of `node_id` failed, for people who ask: QK_OK (none failed since it was up),
 * QK_ERR_IO (cannot be reached), QK_ERR_TIMEOUT, QK_ERR_FOREIGN (who answers has another key or is
 * of another cluster, or refused us), QK_ERR_CORRUPT (another cluster psk), QK_ERR_NOT_FOUND (no
 * such member). */
enum qk_err link_dial_error(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
/* Ends the connection to `node_id`, if any; on_down follows from the loop, and a peer is dialed
 * again as after any loss. */
void link_drop(struct link *link, const uint8_t node_id[static NODE_ID_BYTES]);
/* The id under which a key that is no member's appears. */
void link_stranger_id(const uint8_t pk[static LINK_PK_BYTES], uint8_t ret_id[static NODE_ID_BYTES]);

struct link_stats {
    uint64_t bytes_in, bytes_out, messages_in, messages_out;
    uint64_t handshakes, refused, reconnects, not_allowed;
    unsigned connections, half_open;
};
void link_stats_get(const struct link *link, struct link_stats *ret_stats);

/* --- Joins, at the inviter ------------------------------------------------------------------ */

/* Answers on_join_token. QK_OK: `psk` is the token's (32 bytes; the link keeps its own copy). Any
 * other error refuses the join; QK_ERR_NOT_FOUND, _EXPIRED, _EXISTS (used), _DENIED, _SEALED, _BUSY
 * and _NOT_LEADER reach the joiner as they are, others as QK_ERR_DENIED. Does nothing if the
 * connection is gone. */
void link_join_answer(struct link *link, uint64_t join_id, enum qk_err err,
                      const struct secret *psk);
/* Sends to the joiner. Errors as link_send. */
MUST_USE enum qk_err link_join_reply(struct link *link, uint64_t join_id, const struct bytes *parts,
                                     size_t parts_n);
/* Closes after what is queued has been sent. */
void link_join_end(struct link *link, uint64_t join_id);

/* --- Joins, at the joiner: needs no struct link and no node of its own ------------------------ */

struct link_join;

struct link_join_config {
    struct uv_loop_s *loop;
    const struct secret *identity; /* the joiner's own new X25519 key */
    uint8_t pk[LINK_PK_BYTES];     /* public half of `identity` */
    /* from the token (wire/token.h) */
    const struct secret *psk;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t token_id[LINK_TOKEN_ID_BYTES];
    uint8_t inviter_pk[LINK_PK_BYTES];
    const char *const *addresses; /* tried in turn; borrowed during link_join_open only */
    size_t addresses_n;
    unsigned handshake_ms; /* 0: LINK_HANDSHAKE_MS_MAX */

    void *arg;
    /* The inviter has accepted the token. */
    void (*on_up)(void *arg);
    /* One message of the inviter, in a secret buffer. */
    void (*on_message)(void *arg, struct bytes message);
    /* The join connection has ended; called exactly once unless link_join_close came first, and
     * nothing comes after it. QK_ERR_IO: no address could be reached; QK_ERR_TIMEOUT;
     * QK_ERR_FOREIGN: who answers is not the inviter of this token (other cluster or key);
     * QK_ERR_NOT_FOUND, _EXPIRED, _EXISTS (used), _DENIED, _SEALED, _BUSY, _NOT_LEADER: the
     * inviter's refusal; QK_ERR_DENIED also when the token's secret is wrong; QK_ERR_CORRUPT: a
     * damaged message; QK_ERR_CLOSED: ended after on_up. */
    void (*on_end)(void *arg, enum qk_err err);
};

#define LINK_JOIN_ADDRESSES_MAX 16

/* Starts to dial. The caller owns `*ret_join` and must give it back with link_join_close, also
 * after on_end. */
MUST_USE enum qk_err link_join_open(const struct link_join_config *config,
                                    struct link_join **ret_join);
/* Queues a message for the inviter; before on_up it waits for the handshake. Errors as link_send.
 */
MUST_USE enum qk_err link_join_send(struct link_join *join, const struct bytes *parts,
                                    size_t parts_n);
/* No further callback but `cb` (may be NULL), from the loop, when all is freed. */
void link_join_close(struct link_join *join, void (*cb)(void *arg), void *arg);

#endif
