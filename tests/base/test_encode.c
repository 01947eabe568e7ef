#include <criterion/criterion.h>

#include <string.h>

#include "base/encode.h"

/* RFC 4648, section 10. */
static const char *const base64_vectors[][2] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
};

Test(encode, base64_follows_rfc_4648)
{
    for (size_t i = 0; i < sizeof base64_vectors / sizeof base64_vectors[0]; i++) {
        struct buf text = BUF_INIT(64);
        struct buf back = BUF_INIT(64);

        base64_encode(bytes_str(base64_vectors[i][0]), &text);
        cr_assert(bytes_equal(buf_bytes(&text), bytes_str(base64_vectors[i][1])));
        cr_assert_eq(base64_decode(bytes_str(base64_vectors[i][1]), &back), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&back), bytes_str(base64_vectors[i][0])));
        buf_fini(&text);
        buf_fini(&back);
    }
}

Test(encode, base64_of_every_byte_comes_back)
{
    struct buf text = BUF_INIT(1024);
    struct buf back = BUF_INIT(1024);
    uint8_t all[256];

    for (unsigned i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    base64_encode(bytes_of(all, sizeof all), &text);
    cr_assert_eq(base64_decode(buf_bytes(&text), &back), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&back), bytes_of(all, sizeof all)));
    buf_fini(&text);
    buf_fini(&back);
}

Test(encode, base64_refuses_what_is_not_canonical)
{
    static const char *const bad[] = {
        "Zg=", "Zg", "Zh==", "Zm9=", "Z===", "====", "Zg==Zg==", "Z g=", "Zm8\x80"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf back = BUF_INIT(64);

        cr_expect_eq(base64_decode(bytes_str(bad[i]), &back), QK_ERR_INVALID, "%s", bad[i]);
        buf_fini(&back);
    }
}

/* BIP 350, valid Bech32m: the empty payload under prefix "a" is "a1lqfn3a". */
Test(encode, bech32m_follows_bip_350)
{
    struct buf text = BUF_INIT(64);
    struct buf back = BUF_INIT(64);

    cr_assert_eq(bech32m_encode("a", BYTES_NONE, &text), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&text), bytes_str("a1lqfn3a")));
    cr_assert_eq(bech32m_decode("a", bytes_str("a1lqfn3a"), &back), QK_OK);
    cr_assert_eq(bech32m_decode("a", bytes_str("a1lqfn3q"), &back), QK_ERR_INVALID);
    buf_fini(&text);
    buf_fini(&back);
}

Test(encode, bech32m_round_trips_and_finds_every_single_change)
{
    struct buf text = BUF_INIT(4096);
    uint8_t payload[100];

    for (unsigned i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 37);
    cr_assert_eq(bech32m_encode("qkjoin", bytes_of(payload, sizeof payload), &text), QK_OK);
    for (size_t i = 0; i <= text.len; i++) {
        struct buf back = BUF_INIT(4096);
        uint8_t kept = i < text.len ? text.data[i] : 0;

        if (i < text.len)
            text.data[i] = kept == 'q' ? 'p' : 'q';
        if (i == text.len) {
            cr_assert_eq(bech32m_decode("qkjoin", buf_bytes(&text), &back), QK_OK);
            cr_assert(bytes_equal(buf_bytes(&back), bytes_of(payload, sizeof payload)));
        } else {
            cr_assert_eq(bech32m_decode("qkjoin", buf_bytes(&text), &back), QK_ERR_INVALID);
            text.data[i] = kept;
        }
        buf_fini(&back);
    }
    buf_fini(&text);
}

Test(encode, percent_leaves_what_rfc_3986_calls_unreserved)
{
    struct buf out = BUF_INIT(64);

    percent_encode(bytes_of("az AZ09-._~/+%\xc3\xa9\0", 17), &out);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("az%20AZ09-._~%2F%2B%25%C3%A9%00")));
    buf_fini(&out);
}

Test(encode, hex_round_trips_and_refuses_other_lengths)
{
    uint8_t in[4] = {0x00, 0x9f, 0xab, 0xff};
    uint8_t out[4];
    char text[9];

    hex_encode(in, sizeof in, text);
    cr_assert_str_eq(text, "009fabff");
    cr_assert_eq(hex_decode(bytes_str(text), out, sizeof out), QK_OK);
    cr_assert_eq(memcmp(in, out, sizeof in), 0);
    cr_assert_eq(hex_decode(bytes_str("009fab"), out, sizeof out), QK_ERR_INVALID);
    cr_assert_eq(hex_decode(bytes_str("009fabfg"), out, sizeof out), QK_ERR_INVALID);
}
