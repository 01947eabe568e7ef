/* Requests to other servers, over HTTP and TLS: libcurl on the loop.
 *
 * One `struct fetch` a process, all calls on the loop's thread. Addresses are judged when a
 * connection is made, whatever name they were found by: without a list of those that are allowed,
 * every one but loopback, private and other special ones. Redirections are not followed, no proxy
 * and no file of the machine's user is looked at, certificates are always checked. What libcurl
 * keeps of a request (passwords too) is wiped when it frees it. */
#ifndef FETCH_FETCH_H
#define FETCH_FETCH_H

#include "base/bytes.h"
#include "fetch/flow.h"
#include "link/allow.h"

struct uv_loop_s;
struct fetch;
struct fetch_call;

#define FETCH_WHY_BYTES 256
#define FETCH_FIELDS_MAX 16
#define FETCH_CALLS_MAX 1024

struct fetch_settings {
    struct link_allow allow; /* n 0: the default */
    const char *ca_file; /* PEM: who may have signed servers' certificates; NULL: the system's */
};

struct fetch_request {
    const char *method;
    const char *url;
    const char *fields[FETCH_FIELDS_MAX]; /* "Name: value" */
    unsigned fields_n;
    const char *user, *password; /* NULL: none */
    const char *accept;          /* NULL: JSON */
    struct bytes body;           /* of POST and PUT */
    struct flow *from;           /* of PUT: the body, as it comes, in place of `body`; NULL: none */
    struct flow *into;           /* where the body of a reply 200 goes; NULL: into the reply */
    size_t reply_bytes_max;
    unsigned silence_ms; /* an end without a byte for so long */
};

/* `err` QK_OK: any status of the server's. QK_ERR_DENIED: the address may not be reached;
 * QK_ERR_TOO_BIG: the reply; QK_ERR_UNAUTHENTICATED: its certificate is not trusted, or another's;
 * QK_ERR_TIMEOUT; QK_ERR_IO: everything else; `why` is then a sentence for people without a secret
 * in it. All is borrowed for the call. */
struct fetch_reply {
    enum qk_err err;
    int status;
    struct bytes body;
    const char *why;
};
typedef void (*fetch_cb)(void *arg, const struct fetch_reply *reply);

/* The caller gives it back with fetch_free. */
MUST_USE enum qk_err fetch_new(struct uv_loop_s *loop, const struct fetch_settings *settings,
                               struct fetch **ret_fetch);
/* Drops all calls without a callback; the memory goes when the loop has closed its handles. NULL is
 * fine. */
void fetch_free(struct fetch *fetch);
/* Everything in `request` is copied, but flows, which live until the callback or fetch_cancel. One
 * that is cut is not ended: the callback has the error. `cb` fires exactly once, from the loop,
 * never inside this call. QK_ERR_INVALID: no http or https URL; QK_ERR_BUSY: FETCH_CALLS_MAX are
 * under way. */
MUST_USE enum qk_err fetch_start(struct fetch *fetch, const struct fetch_request *request,
                                 fetch_cb cb, void *arg, struct fetch_call **ret_call);
/* The callback will not fire; not to be called once it has. */
void fetch_cancel(struct fetch_call *call);

/* Whether `address` (IPv4 mapped into IPv6) may be reached by these settings. Pure. */
bool fetch_may_reach(const struct link_allow *allow,
                     const uint8_t address[static LINK_ALLOW_ADDRESS_BYTES]);

#endif
