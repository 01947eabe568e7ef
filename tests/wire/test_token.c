#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "secret/secret.h"
#include "wire/token.h"

static void arena_open(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
}

static void arena_close(void)
{
    cr_expect_eq(secret_stats().secrets_n, 0, "a secret was not freed");
    secret_arena_fini();
}

TestSuite(token, .init = arena_open, .fini = arena_close, .timeout = 60);

static void token_sample(struct token *token, unsigned addresses_n)
{
    *token = (struct token){.expiry_s = 1893456000, .addresses_n = addresses_n};
    memset(token->cluster_id, 1, sizeof token->cluster_id);
    memset(token->token_id, 2, sizeof token->token_id);
    memset(token->inviter_pk, 3, sizeof token->inviter_pk);
    for (unsigned i = 0; i < addresses_n; i++)
        (void)snprintf(token->addresses[i], sizeof token->addresses[i], "node-%u.example:770%u", i,
                       i);
    cr_assert_eq(secret_new_random(TOKEN_PSK_BYTES, &token->psk), QK_OK);
}

Test(token, what_is_written_comes_back)
{
    for (unsigned n = 1; n <= TOKEN_ADDRESSES_MAX; n++) {
        struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX);
        struct token token, back;

        token_sample(&token, n);
        cr_assert_eq(token_encode(&token, &text), QK_OK);
        cr_assert(bytes_starts_with(buf_bytes(&text), bytes_str("qkjoin1")));
        cr_assert_eq(token_decode(buf_bytes(&text), &back), QK_OK);
        cr_assert(secret_equal(token.psk, back.psk));
        cr_assert_eq(token.expiry_s, back.expiry_s);
        cr_assert_eq(memcmp(token.cluster_id, back.cluster_id, CLUSTER_ID_BYTES), 0);
        cr_assert_eq(memcmp(token.token_id, back.token_id, TOKEN_ID_BYTES), 0);
        cr_assert_eq(memcmp(token.inviter_pk, back.inviter_pk, TOKEN_PK_BYTES), 0);
        cr_assert_eq(back.addresses_n, n);
        for (unsigned i = 0; i < n; i++)
            cr_assert_str_eq(token.addresses[i], back.addresses[i]);
        token_fini(&token);
        token_fini(&back);
        buf_fini(&text);
    }
}

Test(token, longest_addresses_fit_and_white_space_around_is_ignored)
{
    struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX + 16);
    struct token token, back;

    token_sample(&token, TOKEN_ADDRESSES_MAX);
    for (unsigned i = 0; i < TOKEN_ADDRESSES_MAX; i++) {
        memset(token.addresses[i], 'a', ADDRESS_BYTES_MAX);
        token.addresses[i][ADDRESS_BYTES_MAX] = '\0';
    }
    buf_put_str(&text, " \n");
    cr_assert_eq(token_encode(&token, &text), QK_OK);
    buf_put_str(&text, "\r\n\t ");
    cr_assert_eq(token_decode(buf_bytes(&text), &back), QK_OK);
    cr_assert_str_eq(back.addresses[2], token.addresses[2]);
    token_fini(&token);
    token_fini(&back);
    buf_fini(&text);
}

Test(token, cut_at_each_byte_or_with_each_byte_altered_is_invalid)
{
    struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX);
    struct token token, back;

    token_sample(&token, 2);
    cr_assert_eq(token_encode(&token, &text), QK_OK);
    for (size_t i = 0; i < text.len; i++) {
        uint8_t kept = text.data[i];

        cr_assert_eq(token_decode(bytes_slice(buf_bytes(&text), 0, i), &back), QK_ERR_INVALID);
        text.data[i] = kept == 'q' ? 'p' : 'q';
        cr_assert_eq(token_decode(buf_bytes(&text), &back), QK_ERR_INVALID, "byte %zu", i);
        text.data[i] = kept;
    }
    buf_put_u8(&text, 'q');
    cr_assert_eq(token_decode(buf_bytes(&text), &back), QK_ERR_INVALID);
    token_fini(&token);
    buf_fini(&text);
}

/* A payload with a right checksum and a wrong inside. */
static enum qk_err decode_payload(struct bytes payload)
{
    struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX * 2);
    struct token back;
    enum qk_err err;

    cr_assert_eq(bech32m_encode("qkjoin", payload, &text), QK_OK);
    err = token_decode(buf_bytes(&text), &back);
    if (err == QK_OK)
        token_fini(&back);
    buf_fini(&text);
    return err;
}

#define FIXED_BYTES (1 + 16 + 16 + 32 + 8 + 32)

Test(token, a_wrong_inside_is_refused_at_each_length)
{
    struct buf raw = BUF_SECRET_INIT(BECH32M_BYTES_MAX);
    uint8_t *at;

    buf_put_u8(&raw, 1);
    at = buf_extend(&raw, FIXED_BYTES - 1);
    cr_assert_not_null(at);
    memset(at, 5, FIXED_BYTES - 1);
    buf_put_u8(&raw, 1);
    buf_put_u8(&raw, 3);
    buf_put_str(&raw, "a:1");
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_OK);
    for (size_t i = 0; i < raw.len; i++)
        cr_assert_eq(decode_payload(bytes_slice(buf_bytes(&raw), 0, i)), QK_ERR_INVALID);
    buf_put_u8(&raw, 0); /* something after the end */
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_ERR_INVALID);
    raw.len--;
    raw.data[FIXED_BYTES] = 0; /* no address */
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_ERR_INVALID);
    raw.data[FIXED_BYTES] = TOKEN_ADDRESSES_MAX + 1;
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_ERR_INVALID);
    raw.data[FIXED_BYTES] = 1;
    raw.data[FIXED_BYTES + 2] = 0x1b; /* an escape in the address */
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_ERR_INVALID);
    raw.data[FIXED_BYTES + 2] = 'a';
    raw.data[0] = 2;
    cr_assert_eq(decode_payload(buf_bytes(&raw)), QK_ERR_UNSUPPORTED);
    buf_fini(&raw);
}

Test(token, longest_payload_and_one_byte_more)
{
    uint8_t payload[BECH32M_BYTES_MAX];
    struct token back;
    struct buf text = BUF_SECRET_INIT(4096);

    memset(payload, 1, sizeof payload);
    cr_assert_eq(decode_payload(bytes_of(payload, sizeof payload)), QK_ERR_INVALID);
    for (size_t i = 0; i <= TOKEN_TEXT_BYTES_MAX; i++)
        buf_put_u8(&text, 'q');
    cr_assert_eq(token_decode(buf_bytes(&text), &back), QK_ERR_INVALID);
    buf_fini(&text);
}

Test(token, addresses_that_are_empty_or_unclean_are_not_written)
{
    struct buf text = BUF_SECRET_INIT(TOKEN_TEXT_BYTES_MAX);
    struct token token;

    token_sample(&token, 1);
    token.addresses[0][0] = '\0';
    cr_assert_eq(token_encode(&token, &text), QK_ERR_INVALID);
    token.addresses[0][0] = '\n';
    cr_assert_eq(token_encode(&token, &text), QK_ERR_INVALID);
    token.addresses_n = 0;
    cr_assert_eq(token_encode(&token, &text), QK_ERR_INVALID);
    token_fini(&token);
    buf_fini(&text);
}
