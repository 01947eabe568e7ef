/* MessagePack for clients: what a request's headers say about it, the way in for a body, and the
 * way out for a reply. All of it happens on the node that the client asked: handlers, and other
 * nodes, see JSON alone. */
#ifndef HTTP_PACKED_H
#define HTTP_PACKED_H

#include "doc/msgpack.h"
#include "http/server.h"

#define PACKED_TYPE "application/msgpack"
/* MessagePack has a container's size in front of it, so a reply is held until it is whole. */
#define PACKED_REPLY_BYTES_MAX (64 * MIB)

/* application/msgpack, or the names it had before it was registered. */
bool packed_is_type(struct bytes content_type);
/* The client names MessagePack in its Accept, and does not like JSON better. */
bool packed_is_wanted(struct bytes accept);
/* JSON may be called so: nothing is said, or JSON, or a range that it lies in. */
bool packed_accepts_json(struct bytes accept);

/* Turns hx->body into JSON, of at most the route's size, then goes on with `next`, now or later; or
 * answers what is wrong with it. */
void packed_take_body(struct http_exchange *hx, void (*next)(struct http_exchange *hx));

/* A reply on its way to a client who wants MessagePack. The ops are those that lead on to the
 * socket; a reply that is no JSON passes through them as it is. */
struct packed_reply {
    struct http *http;
    const struct exchange_ops *ops;
    size_t counted; /* of what is held, in http->bodies_bytes */
    struct msgpack_encoder encoder;
    int status;
    /* Copies: whoever starts a reply keeps its fields for that call only. A cookie may be there. */
    struct reply_field fields[REPLY_FIELDS_MAX];
    char names[REPLY_FIELDS_MAX][64];
    unsigned fields_n;
    bool streamed;   /* its length was not known */
    bool held;       /* JSON: the head is not sent yet */
    bool packs;      /* JSON */
    enum qk_err err; /* of the encoder */
};

/* NULL: out of memory. */
struct packed_reply *packed_reply_new(struct http *http, const struct exchange_ops *ops);
void packed_reply_free(struct packed_reply *reply); /* takes NULL; before `http` may go */
void packed_reply_start(struct packed_reply *reply, struct exchange *exchange, int status,
                        const char *content_type, const struct reply_field *fields,
                        unsigned fields_n, size_t length);
void packed_reply_write(struct packed_reply *reply, struct exchange *exchange, struct bytes body);
/* Sends what is left, but does not end the exchange. False: the reply is cut short. */
bool packed_reply_end(struct packed_reply *reply, struct exchange *exchange);

#endif
