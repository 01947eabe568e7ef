/* Join tokens. First byte even: the rest is a token's text; odd: its payload, under a right
 * checksum. What is read is written again as the same text. */
#include <ctype.h>
#include <string.h>

#include "base/encode.h"
#include "fuzz.h"
#include "secret/secret.h"
#include "wire/token.h"

static void seed_token(struct buf *out)
{
    struct token token;

    memset(&token, 0, sizeof token);
    token.cluster_id[0] = 1;
    token.expiry_s = 1800000000;
    token.psk = fuzz_key(1);
    token.addresses_n = 2;
    memcpy(token.addresses[0], "127.0.0.1:7701", 15);
    memcpy(token.addresses[1], "[fe80::1]:7701", 15);
    fuzz_must(token_encode(&token, out));
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX);

    if (number >= 2)
        return false;
    seed_token(&text);
    buf_put_u8(out, (uint8_t)number);
    if (number == 0)
        buf_put_bytes(out, buf_bytes(&text));
    else
        fuzz_must(bech32m_decode("qkjoin", buf_bytes(&text), out));
    buf_fini(&text);
    return true;
}

/* Bech32m may be all upper case; ours is written in lower case. */
static bool same_text(struct bytes in, struct bytes out)
{
    while (in.len > 0 && isspace(in.data[in.len - 1]))
        in.len--;
    while (in.len > 0 && isspace(in.data[0]))
        in = bytes_slice(in, 1, in.len);
    if (in.len != out.len)
        return false;
    for (size_t i = 0; i < in.len; i++)
        if (tolower(in.data[i]) != out.data[i])
            return false;
    return true;
}

static void fuzz_text(struct bytes text)
{
    struct buf again = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX);
    struct token token;

    if (token_decode(text, &token) != QK_OK)
        return;
    fuzz_must(token_encode(&token, &again));
    fuzz_require(same_text(text, buf_bytes(&again)));
    token_fini(&token);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    struct buf text = BUF_INIT(8 * KIB);

    if (len > 0 && data[0] % 2 == 0)
        fuzz_text(in);
    else if (bech32m_encode("qkjoin", in, &text) == QK_OK)
        fuzz_text(buf_bytes(&text));
    buf_fini(&text);
    return 0;
}
