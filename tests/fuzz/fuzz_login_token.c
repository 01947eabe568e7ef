/* Login tokens. First byte even: the rest is a record, which is written again as one that reads the
 * same; odd: what a client shows as its token. */
#include <string.h>

#include "access/login_token.h"
#include "fuzz.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct login_token token = {.user_name = "ada", .kind = LOGIN_TOKEN_API, .label = "backup"};
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];
    struct buf text = BUF_SECRET_INIT(256);

    if (number >= 2)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number == 0) {
        login_token_encode(&token, out);
    } else {
        fuzz_must(login_token_make(fuzz_key(1), id, hash, &text));
        buf_put_bytes(out, buf_bytes(&text));
        buf_fini(&text);
    }
    return true;
}

static void fuzz_record(struct bytes in)
{
    struct login_token token, again;
    struct buf out = BUF_INIT(4 * KIB);

    if (login_token_decode(in, &token) != QK_OK)
        return;
    login_token_encode(&token, &out);
    fuzz_must(login_token_decode(buf_bytes(&out), &again));
    fuzz_require(memcmp(&token, &again, sizeof token) == 0);
    buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];
    static struct secret *key;

    if (key == NULL)
        key = fuzz_key(2);
    if (len > 0 && data[0] % 2 == 0)
        fuzz_record(in);
    else if (login_token_read(key, in, id, hash) == QK_OK)
        fuzz_require(in.len == LOGIN_TOKEN_TEXT_BYTES);
    return 0;
}
