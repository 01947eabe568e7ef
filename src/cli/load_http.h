/* HTTP/1.1 for the load generator: one request at a time on a connection, as most clients do. */
#ifndef CLI_LOAD_HTTP_H
#define CLI_LOAD_HTTP_H

#include "cli/load.h"

/* plan->arg begins with this. */
struct load_http {
    /* Appends a whole request; returns what its reply counts for. */
    uint64_t (*build)(struct load_http *http, struct buf *out);
};

extern const struct load_wire load_http_wire;

/* Appends head and body. `authorization` and `body` may be empty. */
void load_http_put(struct buf *out, const char *method, struct bytes path,
                   struct bytes authorization, struct bytes body);

#endif
