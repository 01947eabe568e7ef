#include "fetch/flow.h"

#include <assert.h>
#include <string.h>

/* A writer looks after each of his pieces whether it is full; the largest is a step of a reply. */
#define FLOW_BYTES_MAX (FLOW_WINDOW_BYTES + 8 * MIB)

void flow_init(struct flow *flow)
{
    *flow =
        (struct flow){.bytes = BUF_SECRET_INIT(2 * FLOW_BYTES_MAX), .length = FLOW_LENGTH_UNKNOWN};
}

void flow_fini(struct flow *flow)
{
    buf_fini(&flow->bytes);
}

static void flow_tell(const struct flow *flow)
{
    if (flow->came != NULL)
        flow->came(flow->came_arg);
}

void flow_begin(struct flow *flow, struct bytes type, uint64_t length)
{
    size_t len = type.len < sizeof flow->type ? type.len : sizeof flow->type - 1;

    assert(!flow->begun);

    if (len > 0)
        memcpy(flow->type, type.data, len);
    flow->type[len] = '\0';
    flow->length = length;
    flow->begun = true;
    flow_tell(flow);
}

/* What was taken is moved away only once it is as much as what waits at most, so that each byte is
 * moved about once. */
enum qk_err flow_put(struct flow *flow, struct bytes bytes)
{
    assert(flow->begun && !flow->ended);

    if (flow_waiting(flow).len > FLOW_BYTES_MAX - FLOW_WINDOW_BYTES)
        return QK_ERR_TOO_BIG;
    if (flow->at == flow->bytes.len || flow->at >= FLOW_WINDOW_BYTES) {
        buf_consume(&flow->bytes, flow->at);
        flow->at = 0;
    }
    buf_put_bytes(&flow->bytes, bytes);
    if (buf_error(&flow->bytes) == QK_OK)
        flow_tell(flow);
    return buf_error(&flow->bytes);
}

void flow_end(struct flow *flow)
{
    assert(flow->begun && !flow->ended);

    flow->ended = true;
    flow_tell(flow);
}

bool flow_is_full(const struct flow *flow)
{
    return flow_waiting(flow).len >= FLOW_WINDOW_BYTES;
}

struct bytes flow_waiting(const struct flow *flow)
{
    return bytes_slice(buf_bytes(&flow->bytes), flow->at, flow->bytes.len);
}

void flow_take(struct flow *flow, size_t len)
{
    size_t before = flow_waiting(flow).len;

    assert(len <= before);

    flow->at += len;
    if (before >= FLOW_WINDOW_BYTES / 2 && before - len < FLOW_WINDOW_BYTES / 2 &&
        flow->room != NULL)
        flow->room(flow->room_arg);
}

bool flow_is_over(const struct flow *flow)
{
    return flow->ended && flow_waiting(flow).len == 0;
}
