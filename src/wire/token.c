#include "wire/token.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "secret/secret.h"

#define TOKEN_HRP "qkjoin"
#define TOKEN_VERSION 1

/* version u8, cluster[16], token id[16], inviter's key[32], expiry u64, psk[32], n u8,
 * n times {len u8, address} */
#define TOKEN_BYTES_MAX                                                                            \
    (1 + CLUSTER_ID_BYTES + TOKEN_ID_BYTES + TOKEN_PK_BYTES + 8 + TOKEN_PSK_BYTES + 1 +            \
     TOKEN_ADDRESSES_MAX * (1 + ADDRESS_BYTES_MAX))

_Static_assert(ADDRESS_BYTES_MAX <= UINT8_MAX, "an address's length is one byte");
_Static_assert(TOKEN_BYTES_MAX <= BECH32M_BYTES_MAX, "every token can be written");
_Static_assert(sizeof TOKEN_HRP + TOKEN_BYTES_MAX * 8 / 5 + 8 <= TOKEN_TEXT_BYTES_MAX,
               "every text fits");

void token_fini(struct token *token)
{
    secret_free(token->psk);
    token->psk = NULL;
}

/* Printable ASCII without spaces: what is shown to people and given to the resolver. */
static bool address_is_clean(struct bytes address)
{
    for (size_t i = 0; i < address.len; i++)
        if (address.data[i] <= ' ' || address.data[i] > '~')
            return false;
    return address.len > 0 && address.len <= ADDRESS_BYTES_MAX;
}

static enum qk_err put_addresses(const struct token *token, struct buf *out)
{
    buf_put_u8(out, (uint8_t)token->addresses_n);
    for (unsigned i = 0; i < token->addresses_n; i++) {
        struct bytes address = bytes_str(token->addresses[i]);

        if (!address_is_clean(address))
            return QK_ERR_INVALID;
        buf_put_u8(out, (uint8_t)address.len);
        buf_put_bytes(out, address);
    }
    return buf_error(out);
}

enum qk_err token_encode(const struct token *token, struct buf *out)
{
    struct buf raw = BUF_SECRET_INIT(TOKEN_BYTES_MAX);
    enum qk_err err;

    assert(out->secret);
    assert(token->psk != NULL && secret_len(token->psk) == TOKEN_PSK_BYTES);
    if (token->addresses_n == 0 || token->addresses_n > TOKEN_ADDRESSES_MAX)
        return QK_ERR_INVALID;
    buf_put_u8(&raw, TOKEN_VERSION);
    buf_put(&raw, token->cluster_id, CLUSTER_ID_BYTES);
    buf_put(&raw, token->token_id, TOKEN_ID_BYTES);
    buf_put(&raw, token->inviter_pk, TOKEN_PK_BYTES);
    buf_put_u64(&raw, token->expiry_s);
    buf_put(&raw, secret_borrow(token->psk), TOKEN_PSK_BYTES);
    secret_return(token->psk);
    err = put_addresses(token, &raw);
    if (err == QK_OK)
        err = bech32m_encode(TOKEN_HRP, buf_bytes(&raw), out);
    buf_fini(&raw);
    return err;
}

static enum qk_err read_psk(struct reader *reader, struct token *token)
{
    struct bytes psk = reader_bytes(reader, TOKEN_PSK_BYTES);

    if (reader_error(reader) != QK_OK)
        return reader_error(reader);
    return secret_new_copy(psk.data, psk.len, &token->psk);
}

static enum qk_err read_addresses(struct reader *reader, struct token *token)
{
    token->addresses_n = reader_u8(reader);
    if (token->addresses_n == 0 || token->addresses_n > TOKEN_ADDRESSES_MAX)
        return QK_ERR_INVALID;
    for (unsigned i = 0; i < token->addresses_n; i++) {
        struct bytes address = reader_bytes(reader, reader_u8(reader));

        if (reader_error(reader) != QK_OK || !address_is_clean(address))
            return QK_ERR_INVALID;
        memcpy(token->addresses[i], address.data, address.len);
    }
    return reader_end(reader);
}

static enum qk_err token_parse(struct bytes raw, struct token *token)
{
    struct reader reader = reader_of(raw);
    uint8_t version = reader_u8(&reader);
    enum qk_err err;

    if (reader_error(&reader) != QK_OK)
        return QK_ERR_INVALID;
    if (version != TOKEN_VERSION)
        return QK_ERR_UNSUPPORTED;
    reader_copy(&reader, token->cluster_id, CLUSTER_ID_BYTES);
    reader_copy(&reader, token->token_id, TOKEN_ID_BYTES);
    reader_copy(&reader, token->inviter_pk, TOKEN_PK_BYTES);
    token->expiry_s = reader_u64(&reader);
    err = read_psk(&reader, token);
    return err == QK_OK ? read_addresses(&reader, token) : err;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static struct bytes trimmed(struct bytes text)
{
    while (text.len > 0 && is_space(text.data[text.len - 1]))
        text.len--;
    while (text.len > 0 && is_space(text.data[0]))
        text = bytes_slice(text, 1, text.len - 1);
    return text;
}

enum qk_err token_decode(struct bytes text, struct token *ret_token)
{
    struct buf raw = BUF_SECRET_INIT(BECH32M_BYTES_MAX);
    struct token token = {.expiry_s = 0};
    enum qk_err err = QK_ERR_INVALID;

    text = trimmed(text);
    if (text.len <= TOKEN_TEXT_BYTES_MAX)
        err = bech32m_decode(TOKEN_HRP, text, &raw);
    if (err == QK_OK)
        err = token_parse(buf_bytes(&raw), &token);
    buf_fini(&raw);
    if (err == QK_OK)
        *ret_token = token;
    else
        token_fini(&token);
    return err == QK_ERR_TOO_BIG ? QK_ERR_INVALID : err;
}
