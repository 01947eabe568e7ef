/* Messages on LINK_SNAPSHOT, all integers big-endian; the first byte says which:
 *
 *     1 OFFER   stream[16] acked u64 total u64 token (len u32, bytes)  sender: also asked again
 *     2 CHUNK   stream[16] offset u64 crc u32 data                      CRC-32C of the data
 *     3 END     stream[16] total u64
 *     4 ACCEPT  stream[16] offset u64      receiver: send (again) from here
 *     5 CREDIT  stream[16] offset u64      receiver: all before this is written
 *     6 DONE    stream[16] outcome u8      receiver: 0 staged and durable, 1 failed, 2 unknown
 *     7 ABORT   stream[16]                 sender: given up
 *     8 ASK     stream[16] index u64       receiver: send me your store, if it holds so much; the
 *                                          stream is the asker's mark, which is the offer's token,
 *                                          or comes back in a DONE that refuses */
#ifndef NODE_TRANSFER_MESSAGE_H
#define NODE_TRANSFER_MESSAGE_H

#include "base/bytes.h"

#define TRANSFER_STREAM_BYTES 16
#define TRANSFER_TOKEN_BYTES_MAX 8192
#define TRANSFER_HEAD_BYTES_MAX 48

enum transfer_type {
    TRANSFER_OFFER = 1,
    TRANSFER_CHUNK = 2,
    TRANSFER_END = 3,
    TRANSFER_ACCEPT = 4,
    TRANSFER_CREDIT = 5,
    TRANSFER_DONE = 6,
    TRANSFER_ABORT = 7,
    TRANSFER_ASK = 8
};

enum transfer_outcome { TRANSFER_STAGED = 0, TRANSFER_FAILED = 1, TRANSFER_UNKNOWN = 2 };

struct transfer_message {
    enum transfer_type type;
    uint8_t stream[TRANSFER_STREAM_BYTES];
    uint64_t offset; /* OFFER: acked; CHUNK, ACCEPT, CREDIT; END: total; ASK: index */
    uint64_t total;  /* OFFER */
    enum transfer_outcome outcome;
    struct bytes body; /* OFFER: token; CHUNK: data */
};

/* Appends the head; the body (if any) goes after it as a part of its own. */
void transfer_message_write(const struct transfer_message *message, struct buf *out);
/* QK_ERR_INVALID: malformed; QK_ERR_CORRUPT: a chunk's checksum is wrong. `body` points into `in`.
 */
MUST_USE enum qk_err transfer_message_read(struct bytes in, struct transfer_message *ret_message);

#endif
