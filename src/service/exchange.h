/* One request being answered, whatever it came in by: a client's connection, the control socket,
 * or a peer that forwarded it. `http` makes it and reads it; a use case (a handler) answers it.
 *
 * A handler may answer at once or later, and does so exactly once: either exchange_reply*, or
 * exchange_start, any number of exchange_write, then exchange_end. After the end the exchange is
 * gone. If the client went away first, `closed` is true: a streaming handler stops producing and
 * still calls exchange_end; one that waits for something else than the client asks to be told
 * (exchange_on_gone). Nothing here blocks. */
#ifndef SERVICE_EXCHANGE_H
#define SERVICE_EXCHANGE_H

#include <jansson.h>
#include <stdbool.h>

#include "access/access.h"
#include "base/bytes.h"
#include "base/limits.h"

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_PUT,
    METHOD_POST,
    METHOD_DELETE,
    METHOD_COPY,
    METHOD_LIST,
    METHOD_PATCH
};

#define REQUEST_SEGMENTS_MAX 32 /* paths of secrets are deep */
#define REQUEST_PARAMS_MAX 64
#define REPLY_FIELD_BYTES 256 /* with its end; the longest is a cookie with all its attributes */
#define REPLY_FIELDS_MAX 10

struct request_param {
    struct bytes name;  /* percent-decoded */
    struct bytes value; /* percent-decoded */
};

struct request {
    enum method method;
    struct bytes target; /* as it came: path and query, for forwarding and messages */
    struct bytes segments[REQUEST_SEGMENTS_MAX]; /* percent-decoded path segments, no slashes */
    unsigned segments_n;
    struct request_param params[REQUEST_PARAMS_MAX];
    unsigned params_n;
    struct bytes if_match;      /* without quotes; empty if absent */
    struct bytes if_none_match; /* without quotes; empty if absent */
    struct bytes last_event_id; /* of an EventSource that connects again; empty if absent */
    struct bytes destination;   /* of COPY */
    struct bytes content_type;
    struct bytes accept;
    struct bytes range; /* of a request that came to this node itself */
    struct bytes content_md5;
    struct bytes host;
    struct bytes body; /* plaintext in a secret buffer owned by the exchange */
    struct principal who;
    bool forwarded; /* came from a peer: never forwarded again */
    bool tls;       /* the client speaks TLS with the node that it asked */
};

struct reply_field {
    const char *name;
    char value[REPLY_FIELD_BYTES];
};

struct exchange;

/* The body of a request that is long, to a route whose handler takes it as it comes. Else the body
 * is in `request`, as a whole, before the handler runs. */
#define EXCHANGE_BODY_WINDOW_BYTES (1 * MIB) /* past this the client waits */

struct exchange_body {
    bool streamed;
    bool ended;        /* all of it has come */
    uint64_t length;   /* as the client announced it; UINT64_MAX: it did not */
    size_t enough;     /* so much is worth a call of `more` */
    struct buf *bytes; /* what has come and was not taken; secret, whoever made the exchange owns */
    void (*more)(void *arg);
    void *arg;
};

struct exchange_ops {
    /* `length` is the body's size, or SIZE_MAX when it is streamed. */
    void (*start)(struct exchange *exchange, int status, const char *content_type,
                  const struct reply_field *fields, unsigned fields_n, size_t length);
    void (*write)(struct exchange *exchange, struct bytes body);
    void (*end)(struct exchange *exchange);
    size_t (*queued)(const struct exchange *exchange); /* bytes not yet taken by the socket */
    /* Calls `drained` once, later, when less than 256 KiB is queued or the client is gone. */
    void (*on_drain)(struct exchange *exchange, void (*drained)(void *arg), void *arg);
    /* The handler waits for more of a streamed body, or has taken what was there. NULL where bodies
     * are whole. */
    void (*body)(struct exchange *exchange);
};

struct exchange {
    const struct exchange_ops *ops;
    struct request request;
    struct reply_field fields[REPLY_FIELDS_MAX];
    unsigned fields_n;
    bool started;
    bool closed; /* the client is gone */
    struct exchange_body body;
    enum access_right right; /* of the route: asked before the handler, and after a read point */
    /* The route's right is for the handler to ask for, and it has not yet: no success may be
     * answered (service/authorize.h). */
    bool undecided;
    bool withheld; /* and it was answered all the same: 500, and what follows is dropped */
    /* See exchange_on_gone; NULL: it is not asked for. */
    void (*gone)(void *arg);
    void *gone_arg;
    /* Names the client's address or "control socket", for audit and messages. */
    char from[64];
    /* http's: the instant the request was complete, for the latency metric. */
    uint64_t began_ns;
};

/* Adds a header field to the reply; before start only. */
void exchange_field(struct exchange *exchange, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A whole reply; takes over the reference of `body`. HEAD sends the head alone. */
void exchange_reply_json(struct exchange *exchange, int status, json_t *body);
/* The same of JSON as text, which is freed; a new line is put behind it. */
void exchange_reply_text(struct exchange *exchange, int status, struct buf *text);
void exchange_reply_bytes(struct exchange *exchange, int status, const char *content_type,
                          struct bytes body);
/* {"error": error, "reason": reason}, CouchDB's shape; Vault's for a path under /v1/. */
void exchange_reply_error(struct exchange *exchange, int status, const char *error,
                          const char *reason_format, ...) __attribute__((format(printf, 4, 5)));
/* The usual status, error word and reason of `err` (409 conflict, 503 sealed, ...). */
void exchange_reply_err(struct exchange *exchange, enum qk_err err);

void exchange_start(struct exchange *exchange, int status, const char *content_type);
/* The same with the body's length. Less than that tells the client that something went wrong. */
void exchange_start_length(struct exchange *exchange, int status, const char *content_type,
                           size_t length);
void exchange_write(struct exchange *exchange, struct bytes body);
void exchange_end(struct exchange *exchange);
size_t exchange_queued(const struct exchange *exchange);
void exchange_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg);

/* Asks for `gone` to be called, once, from the loop, when the client has gone away and no callback
 * of exchange_on_drain is there to find it out. A client that will send no more counts as gone from
 * then on: who waits for an answer without end has nothing else by which it would be noticed. */
void exchange_on_gone(struct exchange *exchange, void (*gone)(void *arg), void *arg);

/* Of a streamed body: `more` is called once, from the loop, when `enough` bytes (a window at most)
 * are there or the last of it, or the client is gone (`closed`). Who answers needs not wait for the
 * end: what still comes is dropped. */
void exchange_body_wait(struct exchange *exchange, size_t enough, void (*more)(void *arg),
                        void *arg);
/* Moves what is in body.bytes behind what is in `out` (secret), or drops it: there is room again.
 */
void exchange_body_take(struct exchange *exchange, struct buf *out);
void exchange_body_taken(struct exchange *exchange);
/* For who makes exchanges: `more` is due. */
bool exchange_body_is_ready(const struct exchange *exchange);

/* The first query parameter of that name. */
bool request_param(const struct request *request, const char *name, struct bytes *ret_value);

#endif
