/* The interface for clients: HTTP/1.1 on a TCP address and on the control socket, requests of
 * peers' clients that come over the links, and the counters of all that.
 *
 * One `struct http` a process, on one loop, all calls on the loop's thread. Callbacks of the hooks
 * fire as their comments say. The parts that depend on what the rest of the process is doing are
 * hooks: `http_product_hooks` (product.c) fills them for a node, tests bring their own. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "access/access.h"
#include "base/bytes.h"
#include "base/limits.h"
#include "http/routes.h"

struct uv_loop_s;
struct service;
struct exchange;
struct http;

#define HTTP_REASON_BYTES 512

/* The answer to a login; `who` is borrowed and read only if `err` is QK_OK. QK_ERR_UNAUTHENTICATED:
 * wrong name or password; QK_ERR_BUSY: too many attempts; QK_ERR_SEALED. The same as login_cb. */
typedef void (*http_login_cb)(void *arg, enum qk_err err, const struct principal *who,
                              unsigned retry_after_s);

struct http_hooks {
    void *arg;
    /* Document routes may be served; if not, `closed_reason` says why, for people. */
    bool (*is_open)(void *arg);
    void (*closed_reason)(void *arg, char *ret_text, size_t len);
    /* Passwords can be checked now (the catalog is open). */
    bool (*can_login)(void *arg);
    /* Checks a name and password, borrowed for the call; calls `cb` exactly once, later. `from` is
     * the client's address, for the limit on failures. Not QK_OK: `cb` will not be called. */
    enum qk_err (*login)(void *arg, struct bytes name, struct bytes password, const char *from,
                         http_login_cb cb, void *cb_arg);
    /* Who has shown this text as a login token. QK_ERR_UNAUTHENTICATED; QK_ERR_NOT_FOUND: not good
     * as far as is known here, which `catch_up` may change; QK_ERR_SEALED. */
    enum qk_err (*login_token)(void *arg, struct bytes text, struct principal *ret_who);
    /* Calls `cb` once, from the loop, when all that is committed now is known here, or with why
     * that could not be reached. Not QK_OK: it will not be called. */
    enum qk_err (*catch_up)(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg);
    /* The credentials that `who` was logged in with are still the current ones. */
    bool (*login_is_current)(void *arg, const struct principal *who);
    /* Whether the exchange's principal may, asked before each handler on the node that runs it:
     * QK_OK, QK_ERR_UNAUTHENTICATED, QK_ERR_DENIED, or why it cannot be told (QK_ERR_SEALED). */
    enum qk_err (*authorize)(void *arg, struct exchange *exchange, enum access_right right);
    /* Before the handler runs, on the node that runs it: QK_ERR_UNRECORDED if it must not, because
     * it could not be recorded. `ret_call` (0 before) names what was. NULL: nothing is. */
    enum qk_err (*record)(void *arg, const struct exchange *exchange, const struct route *route,
                          uint64_t *ret_call);
    /* After a refusal (401, 403, 429), and when what was recorded has failed; NULL: nobody cares.
     * `route` NULL: there was none. */
    void (*refused)(void *arg, const struct exchange *exchange, const struct route *route,
                    int status, uint64_t call);
    /* This node leads: routes that must run on the leader run here. */
    bool (*is_leader)(void *arg);
    /* It leads, and knows all that was committed before it did. */
    bool (*leads)(void *arg);
    /* The leader, when it is another node and its link is up. */
    bool (*leader)(void *arg, uint8_t ret_node_id[static NODE_ID_BYTES]);
    bool (*is_member)(void *arg, const uint8_t node_id[static NODE_ID_BYTES]);
    /* A member whose requests are to be served: not suspended, not leaving. NULL: all are. */
    bool (*may_forward)(void *arg, const uint8_t node_id[static NODE_ID_BYTES]);
    /* One message on LINK_FORWARD; QK_ERR_BUSY: the queue is full, try again. */
    enum qk_err (*send)(void *arg, const uint8_t node_id[static NODE_ID_BYTES],
                        struct bytes message);
    /* Appends the gauges of the rest of the process to /metrics; may be NULL. */
    void (*gauges)(void *arg, struct buf *out);
    /* Appends what administrators must be told with every reply, if anything; may be NULL. */
    void (*alarms)(void *arg, struct buf *out);
};

/* 0 means the product's value; tests shorten them. */
struct http_timing {
    unsigned header_ms; /* 10,000: from the first byte (or the connection) to the end of the head */
    unsigned idle_ms;   /* 60,000: between two requests */
    unsigned body_ms;   /* 30,000: without a byte of the body */
    unsigned write_ms;  /* 60,000: without the client taking a byte of the reply */
    unsigned linger_ms; /* 2,000: for a client to read a reply that came before its body ended */
    unsigned forward_ms; /* 60,000: for a forwarded request without a sign of its peer */
};

struct http_config {
    struct uv_loop_s *loop;
    struct service *service;  /* handed to the handlers, not looked into here */
    const char *listen;       /* "127.0.0.1:7601", "[::1]:0"; NULL: no TCP address */
    const char *control_path; /* <data>/control.sock; NULL: none */
    bool insecure_http;       /* clients without TLS on an address that is not loopback */
    /* PEM files: certificate, its key, and whose certificates clients must show; NULL: no TLS, and
     * no demand of clients. */
    const char *tls_cert, *tls_key, *tls_client_ca;
    struct http_hooks hooks;
    const struct route *routes; /* http_product_routes, or a test's; borrowed */
    unsigned routes_n;
    struct http_timing timing;
    unsigned connections_max; /* 0: HTTP_CONNECTIONS_MAX */
    size_t bodies_bytes_max;  /* 0: HTTP_BODIES_BYTES_MAX */
    bool status_public;       /* status and metrics without login from other machines too */
};

/* Listens at once on all addresses, or on none and returns an error with `ret_reason` for people
 * (at least HTTP_REASON_BYTES). The caller gives `*ret_http` back with http_close.
 * QK_ERR_INVALID: no address; QK_ERR_DENIED: it needs TLS; QK_ERR_EXISTS: in use; QK_ERR_IO. */
MUST_USE enum qk_err http_new(const struct http_config *config, char *ret_reason,
                              struct http **ret_http);
/* Reads the TLS files again, for connections to come. On an error the old ones stay in use. QK_OK
 * without TLS. */
MUST_USE enum qk_err http_reload_tls(struct http *http, char *ret_reason);
/* Fills the hooks that a node uses, with `service` as their argument. */
void http_product_hooks(struct service *service, struct http_hooks *ret_hooks);
const struct route *http_product_routes(unsigned *ret_n);

/* Stops listening, closes idle connections at once and the others after their present request; `cb`
 * runs from the loop once none is left or `grace_ms` have passed. For SIGTERM, before http_close.
 */
void http_drain(struct http *http, unsigned grace_ms, void (*cb)(void *arg), void *arg);
/* Closes everything; `http` is void after this call and `cb` (may be NULL) runs from the loop when
 * no connection is left. Requests still in progress see exchange->closed and must still end, which
 * may be later than `cb`: what they wait for may be closed after it. */
void http_close(struct http *http, void (*cb)(void *arg), void *arg);

/* The TCP port listened on; 0 without one. */
uint16_t http_port(const struct http *http);

/* A message of `peer` on LINK_FORWARD, borrowed for the call. Anything malformed, and anything from
 * a node that is no member, is dropped and logged. */
void http_forward_receive(struct http *http, const uint8_t peer[static NODE_ID_BYTES],
                          struct bytes message);
/* The link to `peer` is gone: requests sent to it end with "unknown_outcome". */
void http_forward_peer_down(struct http *http, const uint8_t peer[static NODE_ID_BYTES]);
/* There is room to send to `peer` again. */
void http_forward_drained(struct http *http, const uint8_t peer[static NODE_ID_BYTES]);

#endif
