/* The two handshakes of the product in their frames. Pure: frames in, frames out.
 *
 * Members (IKpsk2):  1 → node id ‖ boot id    2 ← boot id
 * Joins (XKpsk3):    1 → token id             2 ← status u8       3 → (empty)
 *
 * At a join the responder stops after message 1, shows the token id and goes on with
 * handshake_answer. Whoever wrote the last message does not know yet that the other end is live and
 * holds the psk: the first transport record shows it (handshake_is_confirmed_by_record). */
#ifndef LINK_HANDSHAKE_H
#define LINK_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "link/frame.h"
#include "link/noise.h"

#define HANDSHAKE_TOKEN_ID_BYTES 16

/* Who we are; borrowed for the life of the handshake. */
struct handshake_self {
    const struct secret *identity;
    const struct secret *psk; /* the cluster's; at a joiner the token's */
    uint8_t pk[NOISE_KEY_BYTES];
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES]; /* unused by joins */
    uint8_t boot_id[BOOT_ID_BYTES];
};

enum handshake_step {
    HANDSHAKE_WAITS, /* for the next frame */
    HANDSHAKE_ASKS,  /* handshake_answer is due: token_id is set */
    HANDSHAKE_DONE,  /* handshake_finish is due */
};

struct handshake {
    const struct handshake_self *self;
    struct noise noise;
    enum frame_kind kind;
    bool initiator;
    bool begun;   /* the first frame was written or read */
    bool asking;  /* between HANDSHAKE_ASKS and its answer */
    bool refused; /* a refusal was written: close when it is sent */
    uint8_t token_id[HANDSHAKE_TOKEN_ID_BYTES];
    uint8_t remote_node_id[NODE_ID_BYTES]; /* claimed by an initiating member */
    uint8_t remote_boot_id[BOOT_ID_BYTES];
    struct secret *token_psk; /* owned */
};

/* Initiator: appends the first frame to `out`. `token_id` is for FRAME_JOIN alone. The caller ends
 * with handshake_fini in any case. */
MUST_USE enum qk_err handshake_begin(struct handshake *handshake, const struct handshake_self *self,
                                     enum frame_kind kind,
                                     const uint8_t remote_pk[static NOISE_KEY_BYTES],
                                     const uint8_t *token_id, struct buf *out);
/* Responder. */
void handshake_await(struct handshake *handshake, const struct handshake_self *self);
void handshake_fini(struct handshake *handshake);

/* Length of the next whole frame in `in`, or 0: frame_first_scan, frame_scan. */
MUST_USE enum qk_err handshake_scan(const struct handshake *handshake, struct bytes in,
                                    size_t *ret_len);
/* Takes one whole frame, appends what is to be sent. QK_ERR_CORRUPT, or the inviter's refusal. */
MUST_USE enum qk_err handshake_read(struct handshake *handshake, struct bytes frame,
                                    struct buf *out, enum handshake_step *ret_step);
/* Join, responder: QK_OK and the token's psk (cloned), or why it is refused. */
MUST_USE enum qk_err handshake_answer(struct handshake *handshake, enum qk_err answer,
                                      const struct secret *psk, struct buf *out);
/* True if the other end is only known to be live once a transport record of it has opened. */
bool handshake_is_confirmed_by_record(const struct handshake *handshake);
/* The peer's authenticated key, or NULL. */
const uint8_t *handshake_remote_pk(const struct handshake *handshake);
/* The transport keys; the caller frees. */
MUST_USE enum qk_err handshake_finish(struct handshake *handshake, struct secret **ret_send,
                                      struct secret **ret_receive);

#endif
