/* One side of a replication: a database of this cluster, asked in its user's name with that user's
 * rights, or one of another server. Both are asked the same requests and give the same replies. */
#ifndef SERVICE_REPLICATION_ENDPOINT_H
#define SERVICE_REPLICATION_ENDPOINT_H

#include "doc/replication_spec.h"
#include "fetch/fetch.h"
#include "service/exchange.h"
#include "service/service.h"

struct inner_call;

struct endpoint {
    struct service *service;
    struct fetch *fetch;
    const struct replication_side *side; /* borrowed */
    struct principal who;                /* of a local side */
    struct inner_call *local;            /* under way; */
    struct fetch_call *remote;           /* or this one */
    fetch_cb cb;
    void *arg;
};

#define ENDPOINT_REPLY_BYTES_MAX (60 * MIB) /* so that it fits a request again */

/* `path`: what follows the database, with its slash or question mark; empty: the database. */
struct endpoint_request {
    enum method method;
    const char *path;
    struct bytes body;        /* JSON, of POST and PUT */
    const char *accept;       /* NULL: JSON */
    struct flow *from, *into; /* as those of a fetch_request */
    unsigned silence_ms;
};
/* One request at a time. `cb` as of fetch_start. */
MUST_USE enum qk_err endpoint_ask(struct endpoint *endpoint, const struct endpoint_request *request,
                                  fetch_cb cb, void *arg);
/* Drops what is under way, if anything. */
void endpoint_cancel(struct endpoint *endpoint);

#endif
