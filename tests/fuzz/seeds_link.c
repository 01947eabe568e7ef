/* Seeds of fuzz_link.c, whose first byte chooses what meets the rest: real first frames of a member
 * and of a joiner at the responder that the target is, and records. */
#include <string.h>

#include "fuzz.h"
#include "link/stream.h"
#include "secret/crypto.h"

static void first_frame(enum frame_kind kind, struct buf *out)
{
    static const uint8_t token_id[HANDSHAKE_TOKEN_ID_BYTES];
    struct handshake_self self = {.identity = fuzz_key(3), .psk = fuzz_key(2)};
    uint8_t responder_pk[NOISE_KEY_BYTES];
    struct link_stream stream;

    fuzz_must(x25519_public(fuzz_key(3), self.pk));
    fuzz_must(x25519_public(fuzz_key(1), responder_pk));
    fuzz_must(
        link_stream_dial(&stream, &self, kind, responder_pk, kind == FRAME_JOIN ? token_id : NULL));
    fuzz_must(link_stream_output(&stream, 1, 1 * MIB, out));
    link_stream_fini(&stream);
}

static void records(struct buf *out)
{
    static const char *const bodies[] = {"\x02\x00\x00\x00\x05hello", "12345678", "\x01rest"};

    for (uint8_t kind = 1; kind <= SESSION_KIND_MAX && kind <= 4; kind++) {
        const char *body = bodies[kind % 3];
        size_t len = kind % 3 == 0 ? 10 : strlen(body);

        buf_put_u16(out, (uint16_t)len);
        buf_put_u8(out, kind);
        buf_put(out, body, len);
    }
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct buf frame = BUF_INIT(64 * KIB);

    if (number >= 6)
        return false;
    buf_put_u8(out, number < 2 ? 0 : (uint8_t)(number - 1));
    first_frame(number % 2 == 0 ? FRAME_MEMBER : FRAME_JOIN, &frame);
    if (number == 5)
        records(out);
    else if (number == 2) { /* behind the header, without the mac1: the target makes both */
        buf_put_u8(out, 0);
        buf_put_bytes(out, bytes_slice(buf_bytes(&frame), FRAME_HEADER_BYTES,
                                       frame.len - FRAME_HEADER_BYTES - FRAME_MAC1_BYTES));
    } else {
        buf_put_bytes(out, buf_bytes(&frame));
    }
    buf_fini(&frame);
    return true;
}
