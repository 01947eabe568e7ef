/* A body on its way from the reply to one request into another: who writes and who reads know this
 * and not each other. It holds about a window; past that the writer waits, and so does his server.
 *
 *     writer: flow_begin · flow_put ... (while not flow_is_full) · flow_end, or never: it was cut
 *     reader: flow_waiting · flow_take ... until `ended` and nothing waits
 *
 * `room` and `came` are called from inside of the other side's calls: whoever sets one postpones
 * what it does then. Pure. */
#ifndef FETCH_FLOW_H
#define FETCH_FLOW_H

#include "base/bytes.h"
#include "base/limits.h"

#define FLOW_WINDOW_BYTES (512 * KIB)
#define FLOW_TYPE_BYTES 256
#define FLOW_LENGTH_UNKNOWN UINT64_MAX

struct flow {
    struct buf bytes; /* secret */
    size_t at;        /* in `bytes`: what is taken already */
    bool begun, ended;
    uint64_t length;            /* as it was announced */
    char type[FLOW_TYPE_BYTES]; /* Content-Type; cut if it is longer */
    void (*room)(void *arg);    /* of the writer: half a window is free again; NULL: nobody */
    void *room_arg;
    void (*came)(void *arg); /* of the reader: it has begun, there are bytes, or the end */
    void *came_arg;
};

void flow_init(struct flow *flow);
void flow_fini(struct flow *flow);
void flow_begin(struct flow *flow, struct bytes type, uint64_t length);
/* QK_ERR_TOO_BIG: the writer did not wait; QK_ERR_NOMEM. */
MUST_USE enum qk_err flow_put(struct flow *flow, struct bytes bytes);
void flow_end(struct flow *flow);
bool flow_is_full(const struct flow *flow);
/* What may be taken; valid until the next call. */
struct bytes flow_waiting(const struct flow *flow);
void flow_take(struct flow *flow, size_t len);
/* All of it has been taken. */
bool flow_is_over(const struct flow *flow);

#endif
