/* What the node and its launcher say to each other: one packet a message on a SOCK_SEQPACKET pair,
 * so that there are no frames to lose. Pure.
 *
 *   request   "QKL1" id u32 program u8 timeout_ms u32 input blob
 *   reply     "QKL2" id u32 end u8 code u32 output blob, errors blob */
#ifndef NODE_LAUNCHER_WIRE_H
#define NODE_LAUNCHER_WIRE_H

#include "base/bytes.h"
#include "service/cluster/attest.h"

#define LAUNCHER_PROGRAMS_MAX 4
#define LAUNCHER_INPUT_BYTES_MAX ATTEST_FACTS_BYTES_MAX
#define LAUNCHER_OUTPUT_BYTES_MAX ATTEST_OUTPUT_BYTES_MAX
#define LAUNCHER_ERRORS_BYTES_MAX 512
#define LAUNCHER_TIMEOUT_MS_MAX 30000u
#define LAUNCHER_PACKET_BYTES_MAX (LAUNCHER_INPUT_BYTES_MAX + 64)

struct launcher_request {
    uint32_t id;     /* not 0 */
    uint8_t program; /* number in the fixed list */
    uint32_t timeout_ms;
    struct bytes input;
};

struct launcher_reply {
    uint32_t id;
    struct attest_result result;
};

void launcher_request_encode(const struct launcher_request *request, struct buf *out);
/* Views into `in`. QK_ERR_INVALID. */
MUST_USE enum qk_err launcher_request_decode(struct bytes in, struct launcher_request *ret_request);
void launcher_reply_encode(const struct launcher_reply *reply, struct buf *out);
MUST_USE enum qk_err launcher_reply_decode(struct bytes in, struct launcher_reply *ret_reply);

#endif
