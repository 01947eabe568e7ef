/* Transport after a handshake: records of one kind byte and a body, each one Noise message behind
 * its length, and the rekeying of both directions. Pure; time is an argument. */
#ifndef LINK_SESSION_H
#define LINK_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "link/noise.h"

/* Each direction gets a new key after so many messages or so much time, whichever is first. */
#define SESSION_REKEY_MESSAGES ((uint64_t)1 << 16)
#define SESSION_REKEY_MS ((uint64_t)15 * 60 * 1000)
/* On the wire: length u16, then at most 65,535 bytes, of which kind and tag take 17. */
#define SESSION_LENGTH_BYTES 2
#define SESSION_BODY_BYTES_MAX (65535 - NOISE_TAG_BYTES - 1)
/* Kinds are 1 to 0x7f: the top bit of the byte tells the receiver to rekey after the record. */
#define SESSION_KIND_MAX 0x7f

struct session {
    struct noise_cipher send, receive;
    uint64_t sent_n, received_n; /* under the present keys */
    uint64_t keyed_ms;           /* when the sending key was made */
    struct buf scratch;          /* secret: the plaintext of the record at hand */
};

/* Takes the two keys over. */
void session_init(struct session *session, struct secret *send_key, struct secret *receive_key,
                  uint64_t now_ms);
void session_fini(struct session *session);
/* Appends one record, length included, to `out`. The body is head ‖ tail. QK_ERR_TOO_BIG. */
MUST_USE enum qk_err session_seal(struct session *session, uint64_t now_ms, uint8_t kind,
                                  struct bytes head, struct bytes tail, struct buf *out);
/* Opens one record, given without its length. `ret_body` borrows from the session until the next
 * call. QK_ERR_CORRUPT: altered, cut, replayed, out of order, or its sender never rekeys. */
MUST_USE enum qk_err session_open(struct session *session, struct bytes sealed, uint8_t *ret_kind,
                                  struct bytes *ret_body);

#endif
