/* Requests that must run on the leader, from a node that is not.
 *
 * The follower has authenticated and admitted the request; it sends {principal, method, target,
 * some fields, body} over the link and relays the reply. One hop: what comes from a peer runs here
 * or is refused. Nothing is ever sent twice: if leader or link is lost once the whole request was
 * handed to the link, the outcome is unknown and the reply says so; lost before, nothing can have
 * run. */
#ifndef HTTP_FORWARD_H
#define HTTP_FORWARD_H

#include "http/forward_codec.h"
#include "http/server.h"

/* Requests in progress between two nodes, each way; past it 503. */
#define FORWARD_REQUESTS_MAX 4096

struct forward;

MUST_USE enum qk_err forward_new(struct http *http, struct forward **ret_forward);
/* Ends what was sent (its clients are gone) and what was received (nobody waits for it). */
void forward_close(struct forward *forward);
/* After forward_close, when no request is left. NULL is fine. */
void forward_free(struct forward *forward);

/* Sends the request and answers it some time later. */
void forward_send(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                  struct http_exchange *hx);
void forward_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                     struct bytes message);
void forward_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES]);
void forward_drained(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES]);
/* A few times a second: what could not be sent is tried again, what is too old is given up. */
void forward_tick(struct forward *forward);

/* --- within forward*.c --- */

struct forward_out;
struct forward_in;

struct forward {
    struct http *http;
    struct forward_out *outs; /* requests sent */
    struct forward_in *ins;   /* requests received */
    unsigned outs_n, ins_n;
    uint64_t id_last;
};

/* Sends one message to `peer`; errors as link_send. */
MUST_USE enum qk_err forward_post(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                                  const struct forward_message *message);

void forward_out_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                         const struct forward_message *message);
void forward_out_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES]);
void forward_out_tick(struct forward *forward);
void forward_out_close(struct forward *forward);

void forward_in_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                        const struct forward_message *message);
void forward_in_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES]);
void forward_in_tick(struct forward *forward);
void forward_in_close(struct forward *forward);

#endif
