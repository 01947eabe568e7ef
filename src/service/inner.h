/* A request that this node makes of itself in somebody's name: through the table of routes, with
 * that user's rights, as if a client had asked, without a socket. `http` fills the hook. */
#ifndef SERVICE_INNER_H
#define SERVICE_INNER_H

#include "fetch/fetch.h"
#include "service/exchange.h"
#include "service/service.h"

struct inner_call;

struct inner_request {
    const struct principal *who;
    enum method method;
    struct bytes target; /* origin form: path and query, escaped */
    struct bytes body;   /* JSON */
    const char *accept;  /* NULL: JSON */
    /* As those of a fetch_request; a body from there is of the type that it names. */
    struct flow *from, *into;
    size_t reply_bytes_max;
};

struct inner_hook {
    void *arg;
    enum qk_err (*start)(void *arg, const struct inner_request *request, fetch_cb cb, void *cb_arg,
                         struct inner_call **ret_call);
    void (*cancel)(struct inner_call *call);
};

/* As fetch_start: all is copied, `cb` fires once, from the loop. QK_ERR_TOO_BIG in the reply: it is
 * larger than was asked for. */
MUST_USE enum qk_err inner_start(struct service *service, const struct inner_request *request,
                                 fetch_cb cb, void *arg, struct inner_call **ret_call);
/* The callback will not fire; not to be called once it has. */
void inner_cancel(struct service *service, struct inner_call *call);

#endif
