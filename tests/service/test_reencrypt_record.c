#include <criterion/criterion.h>

#include <string.h>

#include "service/reencrypt_record.h"
#include "wire/pack.h"

static struct reencrypt_record sample(void)
{
    struct reencrypt_record record = {.round = 3,
                                      .state = REENCRYPT_WANTED,
                                      .paused = true,
                                      .cursor = "0123456789abcdef/doc",
                                      .cursor_len = 20,
                                      .old_n = 1000000,
                                      .done_n = 777,
                                      .damaged_n = 1,
                                      .began_s = 1700000000,
                                      .ended_s = 1700000060,
                                      .index = 12345,
                                      .fresh_n = REENCRYPT_FRESH_MAX};

    for (unsigned i = 0; i < REENCRYPT_FRESH_MAX; i++)
        record.fresh[i] = (struct reencrypt_fresh){.key_id = {(uint8_t)i, 7}, .version = i + 1};
    return record;
}

Test(reencrypt_record, comes_back_as_it_was)
{
    struct buf out = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record = sample(), back;

    reencrypt_record_encode(&record, &out);
    cr_assert_eq(buf_error(&out), QK_OK);
    cr_assert_eq(reencrypt_record_decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(memcmp(&record, &back, sizeof record), 0);
    buf_fini(&out);
}

Test(reencrypt_record, with_the_longest_cursor_it_fits)
{
    struct buf out = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record = sample(), back;

    memset(record.cursor, 'x', sizeof record.cursor);
    record.cursor_len = sizeof record.cursor;
    reencrypt_record_encode(&record, &out);
    cr_assert_eq(buf_error(&out), QK_OK);
    cr_assert_eq(reencrypt_record_decode(buf_bytes(&out), &back), QK_OK);
    buf_fini(&out);
}

Test(reencrypt_record, cut_anywhere_or_without_a_state_it_is_damaged)
{
    struct buf out = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record = sample(), back;

    reencrypt_record_encode(&record, &out);
    for (size_t at = 0; at < out.len; at++)
        cr_assert_eq(reencrypt_record_decode(bytes_of(out.data, at), &back), QK_ERR_CORRUPT);
    for (size_t at = 0; at < out.len; at++) /* flipped: refused or read, never worse */
        for (unsigned bit = 0; bit < 8; bit++) {
            out.data[at] ^= (uint8_t)(1u << bit);
            if (reencrypt_record_decode(buf_bytes(&out), &back) == QK_OK)
                cr_assert_leq(back.cursor_len, sizeof back.cursor);
            out.data[at] ^= (uint8_t)(1u << bit);
        }
    buf_put_u8(&out, 0);
    cr_assert_eq(reencrypt_record_decode(buf_bytes(&out), &back), QK_ERR_CORRUPT);
    buf_reset(&out);
    record.state = REENCRYPT_NONE;
    reencrypt_record_encode(&record, &out);
    cr_assert_eq(reencrypt_record_decode(buf_bytes(&out), &back), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(reencrypt_record, fields_of_a_newer_version_are_passed_over)
{
    struct buf out = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record = sample(), back;

    reencrypt_record_encode(&record, &out);
    cr_assert_eq(out.data[0], 0x9c); /* twelve items in one byte: thirteen now */
    out.data[0] = 0x9d;
    pack_text(&out, "new");
    cr_assert_eq(reencrypt_record_decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(back.index, record.index);
    buf_fini(&out);
}

Test(reencrypt_record, a_version_is_fresh_from_the_one_that_was_rotated_on)
{
    struct reencrypt_record record = sample();
    const uint8_t listed[KEY_ID_BYTES] = {4, 7}, other[KEY_ID_BYTES] = {4, 8};

    cr_assert_not(reencrypt_is_fresh(&record, listed, 4));
    cr_assert(reencrypt_is_fresh(&record, listed, 5));
    cr_assert(reencrypt_is_fresh(&record, listed, 9));
    cr_assert_not(reencrypt_is_fresh(&record, other, 9));
}
