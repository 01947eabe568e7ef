/* The wires of the servers that the product is measured against, for the product's own load
 * generator (cli/load.h). */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

#include "cli/load_http.h"

/* plan->arg of all of them. */
struct peer {
    struct load_http http; /* the gateway's, first */
    bool reads;
    uint64_t docs; /* keys 0 to docs - 1 are there */
    uint64_t next, turn;
    struct buf value; /* what is written, the same each time */
    struct buf body;
};

/* The next key: of a read one that is there, of a write a new one. */
void peer_key(struct peer *peer, char ret_key[static LOAD_KEY_BYTES]);

extern const struct load_wire peer_grpc_wire;  /* etcd's own: gRPC over HTTP/2 in clear */
extern const struct load_wire peer_redis_wire; /* SET and GET */
/* etcd's JSON gateway, over load_http_wire. */
uint64_t peer_gateway_build(struct load_http *http, struct buf *out);

#endif
