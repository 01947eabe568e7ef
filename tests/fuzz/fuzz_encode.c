/* Text encodings against others' code: base64 and hex against libsodium and OpenSSL, UTF-8 against
 * jansson, Bech32m against itself (no oracle is packaged): a text that decodes is written again the
 * same, and no text one character away decodes. By the first byte: 0 base64, 1 hex, 2 UTF-8,
 * 3 Bech32m text, 4 Bech32m payload. */
#include <ctype.h>
#include <openssl/evp.h>
#include <sodium.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "fuzz.h"

#define MODES 5
#define IN_MAX 2048

bool fuzz_seed(unsigned number, struct buf *out)
{
    static const char *const texts[MODES] = {"aGVsbG8gd29ybGQ=", "00ffAA",
                                             "\xc3\xa9\xf0\x9f\x98\x80", NULL, "payload"};

    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (texts[number] != NULL)
        buf_put_str(out, texts[number]);
    else
        fuzz_must(bech32m_encode("qkjoin", bytes_str("payload"), out));
    return true;
}

static bool is_ascii(struct bytes in)
{
    for (size_t i = 0; i < in.len; i++)
        if (in.data[i] >= 0x80)
            return false;
    return true;
}

/* libsodium 1.0.18 takes every byte from 0x80 on for '/' (its characters are signed); ours must
 * refuse them. */
static void fuzz_base64(struct bytes in)
{
    static char sodium[2 * IN_MAX];
    static unsigned char openssl[2 * IN_MAX], decoded[IN_MAX];
    struct buf ours = BUF_INIT(4 * IN_MAX), back = BUF_INIT(IN_MAX);
    size_t len = 0;
    bool sodium_takes = sodium_base642bin(decoded, sizeof decoded, (const char *)in.data, in.len,
                                          NULL, &len, NULL, sodium_base64_VARIANT_ORIGINAL) == 0;

    sodium_takes = sodium_takes && is_ascii(in);
    fuzz_require((base64_decode(in, &back) == QK_OK) == sodium_takes);
    fuzz_require(!sodium_takes || bytes_equal(buf_bytes(&back), bytes_of(decoded, len)));
    buf_reset(&back);
    base64_encode(in, &ours);
    (void)sodium_bin2base64(sodium, sizeof sodium, in.data, in.len, sodium_base64_VARIANT_ORIGINAL);
    fuzz_require(bytes_equal(buf_bytes(&ours), bytes_str(sodium)));
    len = (size_t)EVP_EncodeBlock(openssl, in.data, (int)in.len);
    fuzz_require(bytes_equal(buf_bytes(&ours), bytes_of(openssl, len)));
    fuzz_must(base64_decode(buf_bytes(&ours), &back));
    fuzz_require(bytes_equal(buf_bytes(&back), in));
    buf_fini(&ours);
    buf_fini(&back);
}

static void fuzz_hex(struct bytes in)
{
    static char ours[2 * IN_MAX + 1], theirs[2 * IN_MAX + 1];
    static uint8_t a[IN_MAX], b[IN_MAX];
    size_t len = 0;
    bool takes = in.len % 2 == 0 &&
                 sodium_hex2bin(b, sizeof b, (const char *)in.data, in.len, NULL, &len, NULL) == 0;

    fuzz_require((hex_decode(in, a, in.len / 2) == QK_OK) == takes);
    fuzz_require(!takes || memcmp(a, b, len) == 0);
    hex_encode(in.data, in.len, ours);
    (void)sodium_bin2hex(theirs, sizeof theirs, in.data, in.len);
    fuzz_require(strcmp(ours, theirs) == 0);
}

static void fuzz_utf8(struct bytes in)
{
    json_t *string = json_stringn((const char *)in.data, in.len);

    fuzz_require(utf8_is_valid(in) == (string != NULL));
    json_decref(string);
}

static void fuzz_bech32m(struct bytes text)
{
    struct buf payload = BUF_INIT(BECH32M_BYTES_MAX), again = BUF_INIT(8 * KIB);
    uint8_t *at;

    if (bech32m_decode("qkjoin", text, &payload) == QK_OK) {
        fuzz_must(bech32m_encode("qkjoin", buf_bytes(&payload), &again));
        fuzz_require(again.len == text.len);
        for (size_t i = 0; i < text.len; i++)
            fuzz_require(tolower(text.data[i]) == again.data[i]);
        for (size_t i = 7; i < again.len; i++) {
            at = again.data + i;
            *at = *at == 'q' ? 'p' : 'q';
            buf_reset(&payload);
            fuzz_require(bech32m_decode("qkjoin", buf_bytes(&again), &payload) != QK_OK ||
                         *at == tolower(text.data[i]));
            *at = (uint8_t)tolower(text.data[i]);
        }
    }
    buf_fini(&payload);
    buf_fini(&again);
}

static void fuzz_payload(struct bytes in)
{
    struct buf text = BUF_INIT(8 * KIB), back = BUF_INIT(BECH32M_BYTES_MAX);

    if (bech32m_encode("qkjoin", in, &text) == QK_OK) {
        fuzz_must(bech32m_decode("qkjoin", buf_bytes(&text), &back));
        fuzz_require(bytes_equal(buf_bytes(&back), in));
    }
    buf_fini(&text);
    buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    if (len == 0 || in.len > IN_MAX)
        return 0;
    switch (data[0] % MODES) {
    case 0:
        fuzz_base64(in);
        break;
    case 1:
        fuzz_hex(in);
        break;
    case 2:
        fuzz_utf8(in);
        break;
    case 3:
        fuzz_bech32m(in);
        break;
    default:
        fuzz_payload(in);
        break;
    }
    return 0;
}
