/* What a stranger or a peer may send: the first byte chooses what the rest meets.
 *   0: a responder, raw         1: a responder behind a good header and mac1
 *   2: an initiator, raw        3: a joiner, raw
 *   4: records under the right key (kind, then plaintext body)
 * Built as a libFuzzer target with -Dfuzz=true (clang); tests/link/test_stream.c feeds it seeds. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "link/stream.h"
#include "secret/crypto.h"
#include "secret/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct handshake_self fuzz_self;
static uint8_t fuzz_remote_pk[NOISE_KEY_BYTES];

static void must(enum qk_err err)
{
    if (err != QK_OK)
        abort();
}

static struct secret *key_of(uint8_t seed)
{
    uint8_t raw[NOISE_KEY_BYTES];
    struct secret *key;

    memset(raw, seed, sizeof raw);
    must(secret_new_copy(raw, sizeof raw, &key));
    return key;
}

/* Once a process; the keys live as long as it does. */
static void fuzz_begin(void)
{
    struct secret *remote;

    if (fuzz_self.identity != NULL)
        return;
    if (secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT) == QK_ERR_NOMEM)
        abort();
    fuzz_self.psk = key_of(2);
    fuzz_self.identity = key_of(1);
    must(x25519_public(fuzz_self.identity, fuzz_self.pk));
    remote = key_of(3);
    must(x25519_public(remote, fuzz_remote_pk));
    secret_free(remote);
}

/* Everything a connection would do with the bytes, refusing or accepting tokens as it goes. */
static void feed_all(struct link_stream *stream, struct bytes in)
{
    struct buf out = BUF_INIT(4 * MIB);
    enum link_stream_event event = STREAM_QUIET;
    enum qk_err err = QK_OK;
    size_t used;

    while (err == QK_OK && event != STREAM_HUNGRY) {
        err = link_stream_feed(stream, 1, in, &used, &event);
        if (used > in.len)
            abort();
        in = bytes_slice(in, used, in.len - used);
        if (err == QK_OK && event == STREAM_TOKEN)
            err =
                link_stream_answer(stream, in.len % 2 == 0 ? QK_OK : QK_ERR_EXPIRED, fuzz_self.psk);
        if (err == QK_OK && event == STREAM_MESSAGE && stream->message.len > LINK_MESSAGE_BYTES_MAX)
            abort();
        if (err == QK_OK)
            err = link_stream_output(stream, 1, 1 * MIB, &out);
    }
    buf_fini(&out);
}

static void fuzz_framed_responder(struct link_stream *stream, struct bytes in)
{
    struct buf frame = BUF_INIT(64 * KIB);
    uint8_t header[FRAME_HEADER_BYTES], mac[FRAME_MAC1_BYTES];
    size_t len = in.len > 1 ? in.len - 1 : 0;

    if (len > FRAME_HANDSHAKE_BYTES_MAX)
        len = FRAME_HANDSHAKE_BYTES_MAX;
    frame_header(in.len > 0 && in.data[0] % 2 == 1 ? FRAME_JOIN : FRAME_MEMBER, len, header);
    buf_put(&frame, header, sizeof header);
    buf_put_bytes(&frame, bytes_slice(in, 1, len));
    frame_mac1(fuzz_self.pk, buf_bytes(&frame), mac);
    buf_put(&frame, mac, sizeof mac);
    feed_all(stream, buf_bytes(&frame));
    buf_fini(&frame);
}

/* The handshake is over; what comes is sealed under the right key, so the parser of records and
 * the inbox are what is met. The input is a list of length u16, kind, body. */
static void fuzz_records(struct link_stream *stream, struct bytes in)
{
    struct session peer;
    struct reader reader = reader_of(in);

    session_init(&stream->session, key_of(4), key_of(5), 1);
    stream->keyed = stream->up = true;
    session_init(&peer, key_of(5), key_of(4), 1);
    for (;;) {
        struct buf out = BUF_INIT(128 * KIB);
        size_t len = reader_u16(&reader);
        uint8_t kind = reader_u8(&reader) & SESSION_KIND_MAX;
        struct bytes body = reader_bytes(&reader, len);

        if (reader_error(&reader) != QK_OK || len > SESSION_BODY_BYTES_MAX || kind == 0)
            break;
        must(session_seal(&peer, 1, kind, BYTES_NONE, body, &out));
        feed_all(stream, buf_bytes(&out));
        buf_fini(&out);
    }
    session_fini(&peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const uint8_t token_id[HANDSHAKE_TOKEN_ID_BYTES];
    struct bytes in = bytes_of(data, len);
    struct bytes rest = bytes_slice(in, 1, len);
    struct link_stream stream;

    if (len == 0)
        return 0;
    fuzz_begin();
    link_stream_accept(&stream, &fuzz_self);
    if (in.data[0] % 5 == 1)
        fuzz_framed_responder(&stream, rest);
    else if (in.data[0] % 5 == 4)
        fuzz_records(&stream, rest);
    else {
        if (in.data[0] % 5 == 2)
            must(link_stream_dial(&stream, &fuzz_self, FRAME_MEMBER, fuzz_remote_pk, NULL));
        if (in.data[0] % 5 == 3)
            must(link_stream_dial(&stream, &fuzz_self, FRAME_JOIN, fuzz_remote_pk, token_id));
        feed_all(&stream, rest);
    }
    link_stream_fini(&stream);
    return 0;
}
