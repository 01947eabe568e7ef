#include <criterion/criterion.h>

#include <string.h>

#include "base/bytes.h"

Test(bytes, integers_round_trip_big_endian)
{
    struct buf buf = BUF_INIT(64);
    struct reader reader;

    buf_put_u8(&buf, 1);
    buf_put_u16(&buf, 0x0203);
    buf_put_u32(&buf, 0x04050607);
    buf_put_u64(&buf, 0x08090a0b0c0d0e0fULL);
    for (size_t i = 0; i < buf.len; i++)
        cr_assert_eq(buf.data[i], i + 1);
    reader = reader_of(buf_bytes(&buf));
    cr_assert_eq(reader_u8(&reader), 1);
    cr_assert_eq(reader_u16(&reader), 0x0203);
    cr_assert_eq(reader_u32(&reader), 0x04050607);
    cr_assert_eq(reader_u64(&reader), 0x08090a0b0c0d0e0fULL);
    cr_assert_eq(reader_end(&reader), QK_OK);
    buf_fini(&buf);
}

Test(bytes, append_past_the_maximum_fails_and_sticks)
{
    struct buf buf = BUF_INIT(4);

    buf_put(&buf, "abcd", 4);
    cr_assert_eq(buf_error(&buf), QK_OK);
    buf_put_u8(&buf, 1);
    cr_assert_eq(buf_error(&buf), QK_ERR_TOO_BIG);
    cr_assert_eq(buf.len, 4);
    buf_put(&buf, "", 0);
    cr_assert_eq(buf_error(&buf), QK_ERR_TOO_BIG);
    buf_fini(&buf);
}

Test(bytes, a_read_past_the_end_fails_and_yields_zero)
{
    struct reader reader = reader_of(bytes_str("abc"));

    cr_assert_eq(reader_u32(&reader), 0);
    cr_assert_eq(reader_error(&reader), QK_ERR_INVALID);
    cr_assert_eq(reader_u8(&reader), 0);
    cr_assert_eq(reader_end(&reader), QK_ERR_INVALID);
}

Test(bytes, leftover_input_is_an_error_at_the_end)
{
    struct reader reader = reader_of(bytes_str("ab"));

    cr_assert_eq(reader_u8(&reader), 'a');
    cr_assert_eq(reader_end(&reader), QK_ERR_INVALID);
}

Test(bytes, a_blob_longer_than_its_limit_is_refused)
{
    struct buf buf = BUF_INIT(64);
    struct reader reader;

    buf_put_blob(&buf, bytes_str("hello"));
    reader = reader_of(buf_bytes(&buf));
    cr_assert(bytes_equal(reader_blob(&reader, 5), bytes_str("hello")));
    cr_assert_eq(reader_end(&reader), QK_OK);
    reader = reader_of(buf_bytes(&buf));
    (void)reader_blob(&reader, 4);
    cr_assert_eq(reader_error(&reader), QK_ERR_INVALID);
    buf_fini(&buf);
}

Test(bytes, a_secret_buffer_grows_to_its_maximum_and_keeps_its_content)
{
    struct buf buf = BUF_SECRET_INIT(100000);

    for (unsigned i = 0; i < 100000; i++)
        buf_put_u8(&buf, (uint8_t)i);
    cr_assert_eq(buf_error(&buf), QK_OK);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert_eq(buf.data[i], (uint8_t)i);
    buf_consume(&buf, 99999);
    cr_assert_eq(buf.len, 1);
    cr_assert_eq(buf.data[0], (uint8_t)99999);
    buf_fini(&buf);
}

Test(bytes, order_is_that_of_memcmp_with_the_shorter_first)
{
    cr_assert(bytes_compare(bytes_str("a"), bytes_str("ab")) < 0);
    cr_assert(bytes_compare(bytes_str("b"), bytes_str("ab")) > 0);
    cr_assert(bytes_compare(bytes_str("ab"), bytes_str("ab")) == 0);
    cr_assert(bytes_starts_with(bytes_str("abc"), bytes_str("ab")));
    cr_assert(!bytes_starts_with(bytes_str("a"), bytes_str("ab")));
}
