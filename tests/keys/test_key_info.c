#include <criterion/criterion.h>

#include <string.h>

#include "keys/envelope.h"
#include "keys/key_info.h"

static const struct key_version_info some[] = {
    {1, KEY_DESTROYED, ENVELOPE_XCHACHA20POLY1305, 1700000000},
    {2, KEY_DECRYPT_ONLY, ENVELOPE_AES256GCM, 1700000001},
    {9, KEY_ACTIVE, ENVELOPE_XCHACHA20POLY1305, UINT64_MAX},
};
#define SOME_N (sizeof some / sizeof some[0])

static void encode(uint32_t active, const struct key_version_info *versions, size_t n,
                   struct buf *out)
{
    struct key_info info = {.active = active, .limits = {1000, 1ull << 40, 86400}, .versions_n = n};

    key_info_put(&info, out);
    for (size_t i = 0; i < n; i++)
        key_info_put_version(&versions[i], out);
    cr_assert_eq(buf_error(out), QK_OK);
}

static enum qk_err decode(struct bytes in, struct key_info *ret_info)
{
    struct reader reader = reader_of(in);
    enum qk_err err = key_info_read(&reader, ret_info);

    if (err == QK_OK)
        cr_assert_leq(reader.at, in.len);
    return err;
}

Test(key_info, what_is_written_is_read_and_no_byte_more)
{
    struct buf out = BUF_INIT(KIB);
    struct key_info info;
    struct reader reader;

    encode(9, some, SOME_N, &out);
    cr_assert_eq(out.len, KEY_INFO_HEAD_BYTES + SOME_N * KEY_INFO_VERSION_BYTES);
    buf_put_str(&out, "the sealed part");
    reader = reader_of(buf_bytes(&out));
    cr_assert_eq(key_info_read(&reader, &info), QK_OK);
    cr_assert(bytes_equal(reader_rest(&reader), bytes_str("the sealed part")));
    cr_assert(info.active == 9 && info.versions_n == SOME_N);
    cr_assert(info.limits.records == 1000 && info.limits.bytes == 1ull << 40 &&
              info.limits.age_s == 86400);
    for (size_t i = 0; i < SOME_N; i++) {
        struct key_version_info version = key_info_version(&info, i);

        cr_assert(version.version == some[i].version && version.state == some[i].state);
        cr_assert(version.suite == some[i].suite && version.created_s == some[i].created_s);
    }
    buf_fini(&out);
}

Test(key_info, cut_at_any_byte_it_is_refused)
{
    struct buf out = BUF_INIT(KIB);
    struct key_info info;

    encode(9, some, SOME_N, &out);
    for (size_t len = 0; len < out.len; len++)
        cr_assert_eq(decode(bytes_of(out.data, len), &info), QK_ERR_CORRUPT, "%zu", len);
    buf_fini(&out);
}

Test(key_info, a_flipped_byte_is_refused_or_read_as_it_stands)
{
    struct buf out = BUF_INIT(KIB), again = BUF_INIT(KIB);
    struct key_info info;

    encode(9, some, SOME_N, &out);
    for (size_t at = 0; at < out.len; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            out.data[at] ^= (uint8_t)(1u << bit);
            if (decode(buf_bytes(&out), &info) == QK_OK) {
                key_info_put(&info, &again);
                buf_put_bytes(&again, info.versions);
                cr_assert_eq(memcmp(again.data, out.data, again.len), 0, "byte %zu", at);
                buf_reset(&again);
            }
            out.data[at] ^= (uint8_t)(1u << bit);
        }
    buf_fini(&again);
    buf_fini(&out);
}

Test(key_info, another_format_is_named_as_such)
{
    struct buf out = BUF_INIT(KIB);
    struct key_info info;

    encode(9, some, SOME_N, &out);
    out.data[0] = KEY_INFO_FORMAT + 1;
    cr_assert_eq(decode(buf_bytes(&out), &info), QK_ERR_UNSUPPORTED);
    buf_fini(&out);
}

static enum qk_err read_of(uint32_t active, struct key_version_info a, struct key_version_info b)
{
    struct key_version_info two[] = {a, b};
    struct buf out = BUF_INIT(KIB);
    struct key_info info;
    enum qk_err err;

    encode(active, two, 2, &out);
    err = decode(buf_bytes(&out), &info);
    buf_fini(&out);
    return err;
}

Test(key_info, versions_ascend_and_one_at_most_is_active)
{
    const struct key_version_info active = {2, KEY_ACTIVE, 1, 0}, old = {1, KEY_DECRYPT_ONLY, 1, 0};
    struct key_version_info other;

    cr_assert_eq(read_of(2, old, active), QK_OK);
    cr_assert_eq(read_of(1, old, active), QK_ERR_CORRUPT, "the head names another");
    cr_assert_eq(read_of(0, old, active), QK_ERR_CORRUPT, "the head names none");
    cr_assert_eq(read_of(2, active, old), QK_ERR_CORRUPT, "out of order");
    other = old;
    other.state = KEY_ACTIVE;
    cr_assert_eq(read_of(2, other, active), QK_ERR_CORRUPT, "two active");
    other = old;
    other.version = 2;
    cr_assert_eq(read_of(2, other, active), QK_ERR_CORRUPT, "one number twice");
    other = old;
    other.version = 0;
    cr_assert_eq(read_of(2, other, active), QK_ERR_CORRUPT, "number 0");
    other = old;
    other.state = KEY_DESTROYED + 1;
    cr_assert_eq(read_of(2, other, active), QK_ERR_CORRUPT, "no such state");
    other = old;
    other.suite = 0;
    cr_assert_eq(read_of(2, other, active), QK_ERR_CORRUPT, "no suite");
    other = active;
    other.state = KEY_DESTROYED;
    cr_assert_eq(read_of(0, old, other), QK_OK, "a key that is destroyed has no active version");
    cr_assert_eq(read_of(2, old, other), QK_ERR_CORRUPT, "a destroyed one is not active");
}

Test(key_info, the_longest_list_fits_and_one_more_is_refused)
{
    struct buf out = BUF_INIT(2 * KEY_INFO_BYTES_MAX);
    struct key_info info = {.active = KEY_VERSIONS_MAX, .versions_n = KEY_VERSIONS_MAX};

    key_info_put(&info, &out);
    for (uint32_t i = 1; i <= KEY_VERSIONS_MAX + 1; i++) {
        struct key_version_info one = {i, i == KEY_VERSIONS_MAX ? KEY_ACTIVE : KEY_DESTROYED, 1, 0};

        key_info_put_version(&one, &out);
    }
    cr_assert_eq(decode(buf_bytes(&out), &info), QK_OK);
    cr_assert_eq(info.versions_n, KEY_VERSIONS_MAX);
    put_u16(out.data + KEY_INFO_HEAD_BYTES - 2, KEY_VERSIONS_MAX + 1);
    cr_assert_eq(decode(buf_bytes(&out), &info), QK_ERR_CORRUPT);
    put_u16(out.data + KEY_INFO_HEAD_BYTES - 2, 0);
    cr_assert_eq(decode(buf_bytes(&out), &info), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(key_info, zeros_are_the_default_limits)
{
    struct key_limits set = {7, 0, 9}, force = key_limits_in_force(&set);

    cr_assert(force.records == 7 && force.bytes == KEY_LIMIT_BYTES_DEFAULT && force.age_s == 9);
    set = (struct key_limits){0};
    force = key_limits_in_force(&set);
    cr_assert(force.records == KEY_LIMIT_RECORDS_DEFAULT && force.age_s == 7776000);
}
