/* What the files of this module share: the server, requests in whatever way they came, and calls
 * postponed to the loop. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http/auth.h"
#include "http/credentials.h"
#include "http/http.h"
#include "http/metrics.h"
#include "http/target.h"
#include "service/exchange.h"

struct listener;
struct connection;
struct forward;
struct runner;
struct tls_server;

#define HTTP_LISTENERS_N 2
#define CONNECTION_READ_BYTES (64 * KIB) /* at a time, and so much may wait */

/* A call to be made from the loop, outside whatever is running now. */
struct later {
    struct later *next;
    void (*run)(struct later *later);
    bool queued;
};

struct http {
    struct http_config config; /* limits and timing filled in; `listen` and `control_path` unset */
    struct listener *listeners[HTTP_LISTENERS_N];
    unsigned listeners_n; /* those not yet closed */
    struct connection *connections;
    unsigned connections_n;
    uint8_t *read_buffer; /* CONNECTION_READ_BYTES, of whichever connection reads now */
    struct runner *runner;
    struct forward *forward;
    struct tls_server *tls; /* NULL: the TCP address speaks in clear */
    struct auth auth;
    struct metrics metrics;
    size_t bodies_bytes;  /* of all requests in progress */
    unsigned exchanges_n; /* requests not yet ended: each keeps this struct alive */
    bool draining;
    bool closing;
    bool announced; /* `closed` was called */
    void (*drained)(void *arg);
    void *drained_arg;
    uint64_t drain_until_ms;
    void (*closed)(void *arg);
    void *closed_arg;
};

/* A request and the way back, the part that does not depend on how it came. */
struct http_exchange {
    struct exchange base; /* first: handlers have its address */
    struct http *http;
    const struct route *route; /* NULL: none matched */
    struct buf head;           /* what the request's fields and target point to */
    struct buf decoded;        /* segments and parameters */
    struct buf body;
    struct bytes origin; /* of the page that a browser sends it for, in `head`; empty: not said */
    size_t counted;      /* of `body`, in http->bodies_bytes */
    int status;          /* of the reply */
    uint64_t call;       /* its line in the audit log; 0: none */
    bool told;           /* a refusal has a line of its own, or belongs to another node */
    bool zipped;         /* the body is gzip: http_dispatch unpacks it */
    bool packed;         /* the body is MessagePack: http_dispatch turns it into JSON */
    bool broken; /* set before the end: the reply is cut short, and the client must see it */
    struct later later;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* --- server_uv.c --- */
void http_later(struct http *http, struct later *later);
void http_later_cancel(struct http *http, struct later *later);
uint64_t http_now_ms(const struct http *http);
/* Something ended: finish a drain or a close if it was the last. */
void http_settle(struct http *http);

/* --- exchange.c --- */
/* Zeroed memory of an embedding struct; counts the exchange in. */
void http_exchange_init(struct http_exchange *hx, struct http *http,
                        const struct exchange_ops *ops);
/* Counts it out of server and metrics, wipes and frees what it owns (not itself). */
void http_exchange_fini(struct http_exchange *hx);
/* Accounts for `len` bytes of body read so far. QK_ERR_BUSY when all bodies together are too much.
 */
MUST_USE enum qk_err http_exchange_count_body(struct http_exchange *hx, size_t len);
/* A streamed body (exchange_body). Whether a body of that length (UINT64_MAX: unknown) is one; from
 * then on it lies in hx->body, at most a window and `more`. QK_ERR_BUSY as above. */
#define HTTP_WHOLE_BYTES_MAX (1 * MIB) /* a shorter body costs less as a whole */
bool http_body_streams(const struct http_exchange *hx, uint64_t length);
MUST_USE enum qk_err http_body_begin(struct http_exchange *hx, uint64_t length, size_t more);
/* Some of it has come, or its end, or the handler waits: it is told, if that is enough. */
void http_body_came(struct http_exchange *hx);
/* For ops.on_drain: remembers the callback; calls it from the loop when `ready`. */
void http_exchange_wait(struct http_exchange *hx, bool ready, void (*drained)(void *arg),
                        void *arg);
/* The socket took enough, or the client is gone: the callback, if one waits, from the loop. */
void http_exchange_wake(struct http_exchange *hx);
/* The rule for `ready`. */
#define HTTP_DRAINED_BYTES (256 * KIB)

/* --- admit.c --- */
enum admit { ADMIT_OK, ADMIT_REFUSED, ADMIT_PENDING };
struct admission {
    struct http_exchange *hx;
    bool method_known;
    bool control;                /* came over the control socket */
    bool loopback;               /* from this machine */
    struct credentials shown;    /* in hx->head */
    struct bytes content_coding; /* the same */
    struct auth_cache *cache;    /* the connection's; NULL once that is gone */
    /* After ADMIT_PENDING, from the loop, unless it was refused (then the exchange has ended). */
    void (*admitted)(struct admission *admission);
};
/* Everything that must hold before a request's body is read: its target, its route, an open node,
 * who asks, and whether they may. A refusal has been answered: the exchange may be gone. The
 * admission lives in the exchange. */
enum admit admit_begin(struct admission *admission);
/* The same for a request that a peer forwards and has admitted already, and for the node's own
 * (inner.c): a login is not checked again, everything else is. */
enum admit admit_forwarded(struct http_exchange *hx);
/* Before the handler, on the node that runs it: may they? False: answered. */
bool admit_authorized(struct http_exchange *hx);
/* Answers 503 with the reason why documents are not served. */
void admit_reply_closed(struct http_exchange *hx);
/* Answers a login that failed. */
void admit_reply_login(struct http_exchange *hx, enum qk_err err, unsigned retry_after_s);

/* --- dispatch.c --- */
/* The whole request is there: runs its handler, or sends it to the leader. */
void http_dispatch(struct http_exchange *hx);
/* Who asks is known. */
void http_run(struct http_exchange *hx);

/* --- login_body.c --- */
/* The body holds name and password: checks them and goes on with http_run, without the body. */
void http_login(struct http_exchange *hx);

#endif
