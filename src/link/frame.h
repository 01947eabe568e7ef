/* How a connection begins on the wire. The first frame:
 *
 *     "QKLK" version u8 kind u8 length u16 | Noise message 1 (length bytes) | mac1[16]
 *
 * and all later ones: length u16 | Noise message. The eight bytes of the header are part of the
 * prologue, so that they are authenticated with everything else.
 *
 * mac1 = BLAKE2b-128(key = BLAKE2b-256("quorumkeep mac1" ‖ responder's public key), header ‖
 * message), in the manner of WireGuard: whoever does not know whom it is talking to is dropped for
 * the price of one hash, before any Diffie-Hellman. It is no secret and proves nothing else. */
#ifndef LINK_FRAME_H
#define LINK_FRAME_H

#include "base/bytes.h"
#include "base/limits.h"
#include "link/noise.h"

#define FRAME_VERSION 1
#define FRAME_HEADER_BYTES 8
#define FRAME_MAC1_BYTES 16
#define FRAME_LENGTH_BYTES 2
/* Longest Noise message of a handshake; a header that claims more is refused at once. */
#define FRAME_HANDSHAKE_BYTES_MAX 512
#define FRAME_PROLOGUE_BYTES_MAX 64

enum frame_kind {
    FRAME_MEMBER = 1, /* IKpsk2 */
    FRAME_JOIN = 2,   /* XKpsk3 */
};

void frame_header(enum frame_kind kind, size_t message_len,
                  uint8_t ret_header[static FRAME_HEADER_BYTES]);
/* protocol ‖ cluster id ‖ header, appended to `out`. */
void frame_prologue(const uint8_t cluster_id[static CLUSTER_ID_BYTES],
                    const uint8_t header[static FRAME_HEADER_BYTES], struct buf *out);
void frame_mac1(const uint8_t responder_pk[static NOISE_KEY_BYTES], struct bytes header_and_message,
                uint8_t ret_mac[static FRAME_MAC1_BYTES]);

/* The whole length of the frame that `in` begins with, 0 if too little is there to tell.
 * QK_ERR_CORRUPT: not our protocol; QK_ERR_UNSUPPORTED: another version or kind of it. */
MUST_USE enum qk_err frame_first_scan(struct bytes in, size_t *ret_len);
/* The same for later frames, whose Noise message is at most `message_len_max` bytes. */
MUST_USE enum qk_err frame_scan(struct bytes in, size_t message_len_max, size_t *ret_len);
/* Checks mac1 of a whole first frame and takes it apart; `ret_message` borrows from it.
 * QK_ERR_CORRUPT. */
MUST_USE enum qk_err frame_first_open(struct bytes frame,
                                      const uint8_t own_pk[static NOISE_KEY_BYTES],
                                      enum frame_kind *ret_kind, struct bytes *ret_message);

#endif
