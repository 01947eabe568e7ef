#include "wire/pack.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/limits.h"

static struct buf sample(void)
{
    struct buf out = BUF_INIT(64 * KIB);

    pack_map(&out, 3);
    pack_text(&out, "name");
    pack_text(&out, "n1 \xc3\xa9\xe2\x82\xac\xf0\x9f\x94\x91");
    pack_text(&out, "unknown");
    pack_array(&out, 4);
    pack_nil(&out);
    pack_bool(&out, true);
    pack_map(&out, 1);
    pack_u64(&out, 70000);
    pack_array(&out, 0);
    pack_bin(&out, bytes_str("0123456789012345678901234567890123456789"));
    pack_text(&out, "x");
    pack_u64(&out, UINT64_MAX);
    cr_assert_eq(buf_error(&out), QK_OK);
    return out;
}

static enum qk_err sample_read(struct bytes in)
{
    struct unpack unpack = unpack_of(in);
    char name[32];
    uint64_t x = 0;

    if (unpack_map(&unpack, 8) != 3)
        return QK_ERR_INVALID;
    for (int i = 0; i < 3; i++) {
        struct bytes key = unpack_str(&unpack, 16);

        if (bytes_equal(key, bytes_str("name")))
            unpack_str_copy(&unpack, name, sizeof name);
        else if (bytes_equal(key, bytes_str("x")))
            x = unpack_u64(&unpack);
        else
            unpack_skip(&unpack);
    }
    (void)x;
    return unpack_end(&unpack);
}

Test(pack, a_map_is_read_back_and_unknown_keys_are_passed_over)
{
    struct buf out = sample();

    cr_assert_eq(sample_read(buf_bytes(&out)), QK_OK);
    buf_fini(&out);
}

Test(pack, truncated_at_each_byte_is_an_error)
{
    struct buf out = sample();

    for (size_t len = 0; len < out.len; len++) {
        uint8_t *copy = malloc(len + 1); /* its own block, so that a read past it is seen */

        memcpy(copy, out.data, len);
        cr_assert_neq(sample_read(bytes_of(copy, len)), QK_OK, "at %zu", len);
        free(copy);
    }
    buf_fini(&out);
}

Test(pack, each_byte_changed_to_anything_never_crashes)
{
    struct buf out = sample();

    for (size_t at = 0; at < out.len; at++) {
        uint8_t was = out.data[at];

        for (unsigned value = 0; value < 256; value++) {
            out.data[at] = (uint8_t)value;
            (void)sample_read(buf_bytes(&out));
        }
        out.data[at] = was;
    }
    buf_fini(&out);
}

Test(pack, every_first_byte_is_skipped_within_bounds)
{
    uint8_t in[64] = {0};

    for (unsigned tag = 0; tag < 256; tag++) {
        struct unpack unpack = unpack_of(bytes_of(in, sizeof in));

        memset(in, 0, sizeof in);
        in[0] = (uint8_t)tag;
        unpack_skip(&unpack);
        cr_assert_eq(unpack_error(&unpack), tag == 0xc1 ? QK_ERR_INVALID : QK_OK, "tag %02x", tag);
    }
}

Test(pack, deep_nesting_is_refused_without_recursion)
{
    static uint8_t in[100000];
    struct unpack unpack = unpack_of(bytes_of(in, sizeof in));

    memset(in, 0x91, sizeof in);
    unpack_skip(&unpack);
    cr_assert_eq(unpack_error(&unpack), QK_ERR_TOO_BIG);
}

Test(pack, sixteen_levels_are_passed)
{
    uint8_t in[17] = {0};
    struct unpack unpack = unpack_of(bytes_of(in, sizeof in));

    memset(in, 0x91, 16);
    in[16] = 0xc0;
    unpack_skip(&unpack);
    cr_assert_eq(unpack_end(&unpack), QK_OK);
}

Test(pack, a_count_or_length_over_the_limit_is_too_big)
{
    static const uint8_t array[] = {0xdd, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t bin[] = {0xc4, 3, 1, 2, 3};
    struct unpack unpack = unpack_of(bytes_of(array, sizeof array));

    cr_assert_eq(unpack_array(&unpack, 1000), 0);
    cr_assert_eq(unpack_error(&unpack), QK_ERR_TOO_BIG);
    unpack = unpack_of(bytes_of(bin, sizeof bin));
    cr_assert_eq(unpack_bin(&unpack, 2).len, 0);
    cr_assert_eq(unpack_error(&unpack), QK_ERR_TOO_BIG);
    unpack = unpack_of(bytes_of(bin, sizeof bin));
    cr_assert_eq(unpack_bin(&unpack, 3).len, 3);
    cr_assert_eq(unpack_end(&unpack), QK_OK);
}

Test(pack, text_that_is_no_utf8_is_invalid)
{
    static const char *const bad[] = {
        "\xa1\x80",     "\xa2\xc0\x80",     "\xa3\xed\xa0\x80",     "\xa4\xf4\x90\x80\x80",
        "\xa2\xe2\x82", "\xa3\xe0\x80\x80", "\xa4\xf0\x80\x80\x80", "\xa1\xff"};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct unpack unpack = unpack_of(bytes_str(bad[i]));

        (void)unpack_str(&unpack, 100);
        cr_assert_eq(unpack_error(&unpack), QK_ERR_INVALID, "case %zu", i);
    }
    {
        struct unpack unpack = unpack_of(bytes_of("\xa1\x00", 2));

        (void)unpack_str(&unpack, 100);
        cr_assert_eq(unpack_error(&unpack), QK_ERR_INVALID);
    }
}

Test(pack, numbers_of_every_width_are_read)
{
    static const uint64_t values[] = {
        0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX, UINT32_MAX + 1ull, UINT64_MAX};

    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct buf out = BUF_INIT(16);
        struct unpack unpack;

        pack_u64(&out, values[i]);
        unpack = unpack_of(buf_bytes(&out));
        cr_assert_eq(unpack_u64(&unpack), values[i]);
        cr_assert_eq(unpack_end(&unpack), QK_OK);
        buf_fini(&out);
    }
}

Test(pack, fixed_length_bytes_of_another_length_are_invalid_and_leave_zeros)
{
    uint8_t out[4] = {1, 2, 3, 4};
    static const uint8_t bin[] = {0xc4, 3, 9, 9, 9};
    struct unpack unpack = unpack_of(bytes_of(bin, sizeof bin));

    unpack_bin_copy(&unpack, out, sizeof out);
    cr_assert_eq(unpack_error(&unpack), QK_ERR_INVALID);
    cr_assert_eq(out[0] | out[1] | out[2] | out[3], 0);
}
