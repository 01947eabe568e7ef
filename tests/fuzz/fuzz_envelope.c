/* Envelopes. First byte even: the rest is taken as an envelope. Odd: the rest is sealed, in the
 * suite that the byte's other bits choose, opens as it was, and no longer opens after the change of
 * one bit that the second byte chooses. A clear one never opens where none may be, nor another
 * where one may. */
#include "fuzz.h"
#include "keys/envelope.h"

static const uint8_t key_id[KEY_ID_BYTES] = {7};

static struct envelope_aad aad_of(uint8_t version)
{
    struct envelope_aad aad = {.record_version = version, .record_kind = ENVELOPE_DOCUMENT};

    aad.document_id = bytes_str("doc");
    aad.revision = bytes_str("1-a");
    return aad;
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct envelope_aad aad = aad_of(0);

    if (number >= 6)
        return false;
    if (number < 2) {
        buf_put_u8(out, 0);
        fuzz_must(envelope_seal_in(number == 0 ? ENVELOPE_XCHACHA20POLY1305 : ENVELOPE_CLEAR,
                                   fuzz_key(1), key_id, 1, &aad, bytes_str("{\"a\":1}"), out));
    } else {
        buf_put_u8(out, (uint8_t)(2 * (number - 2) + 1));
        buf_put_str(out, number % 2 == 0 ? "x{\"a\":1}" : "y");
    }
    return true;
}

static void fuzz_raw(struct bytes in)
{
    struct envelope_aad aad = aad_of(0);
    struct buf plain = BUF_SECRET_INIT(1 * MIB);
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    if (envelope_peek(in, id, &version) == QK_OK &&
        envelope_open(fuzz_key(1), &aad, in, &plain) == QK_OK)
        fuzz_require(plain.len + ENVELOPE_OVERHEAD_BYTES == in.len && !envelope_is_clear(in));
    else if (envelope_open_clear(fuzz_key(1), &aad, in, &plain) == QK_OK)
        fuzz_require(plain.len + ENVELOPE_OVERHEAD_BYTES == in.len && envelope_is_clear(in));
    buf_fini(&plain);
}

static enum envelope_suite suite_of(uint8_t choice)
{
    if (choice % 4 == 1)
        return ENVELOPE_CLEAR;
    return choice % 4 == 2 && aead_has_aes256gcm() ? ENVELOPE_AES256GCM
                                                   : ENVELOPE_XCHACHA20POLY1305;
}

static enum qk_err open_as(bool clear, const struct envelope_aad *aad, const struct buf *sealed,
                           struct buf *plain)
{
    return clear ? envelope_open_clear(fuzz_key(1), aad, buf_bytes(sealed), plain)
                 : envelope_open(fuzz_key(1), aad, buf_bytes(sealed), plain);
}

static void fuzz_changed(enum envelope_suite suite, struct bytes in)
{
    bool clear = suite == ENVELOPE_CLEAR;
    struct envelope_aad aad = aad_of(1), other = aad_of(2);
    struct buf sealed = BUF_INIT(1 * MIB), plain = BUF_SECRET_INIT(1 * MIB);
    uint8_t choice = in.len > 0 ? in.data[0] : 0;
    struct bytes body = bytes_slice(in, 1, in.len);

    fuzz_must(envelope_seal_in(suite, fuzz_key(1), key_id, 1, &aad, body, &sealed));
    fuzz_must(open_as(clear, &aad, &sealed, &plain));
    fuzz_require(bytes_equal(buf_bytes(&plain), body));
    fuzz_require(open_as(!clear, &aad, &sealed, &plain) == QK_ERR_CORRUPT);
    fuzz_require(open_as(clear, &other, &sealed, &plain) == QK_ERR_CORRUPT);
    sealed.data[(size_t)choice * 31 % sealed.len] ^= (uint8_t)(1u << (choice & 7));
    fuzz_require(open_as(clear, &aad, &sealed, &plain) != QK_OK);
    fuzz_require(open_as(!clear, &aad, &sealed, &plain) != QK_OK);
    fuzz_require(plain.len == body.len);
    buf_fini(&sealed);
    buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len);

    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_raw(bytes_slice(in, 1, len));
    else
        fuzz_changed(suite_of(data[0] >> 1), bytes_slice(in, 1, len));
    return 0;
}
