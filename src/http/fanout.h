/* One GET to several members over the links, for an answer made of all of theirs. The routes it may
 * name are those with ROUTE_PEER: they run on whichever member is asked. */
#ifndef HTTP_FANOUT_H
#define HTTP_FANOUT_H

#include "http/server.h"
#include "service/cluster/cluster.h"

#define FANOUT_MS 8000 /* for all answers */
#define FANOUT_REPLY_BYTES_MAX (5 * MIB)

struct fanout;

/* What came from one member. */
struct fanout_reply {
    struct cluster_peer peer;
    int status;        /* 0: none came, or not to its end */
    uint64_t last;     /* AUDIT_LAST_FIELD; 0 if there was none */
    struct bytes body; /* borrowed for the call of `done` */
};

struct fanout_ops {
    /* Appends path and query for that member. */
    void (*target)(void *arg, const struct cluster_peer *peer, struct buf *out);
    /* Fires once, maybe inside fanout_start. */
    void (*done)(void *arg, enum qk_err err, const struct fanout_reply *replies, unsigned n);
};

/* Asks those of `peers` that are connected, in the name of this node, which has judged who asked
 * it; those that are not stand in the replies too. */
void fanout_start(struct http *http, const struct cluster_peer *peers, unsigned n,
                  const struct fanout_ops *ops, void *arg);

#endif
