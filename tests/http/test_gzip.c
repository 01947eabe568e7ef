#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "http/gzip.h"

static uint8_t packed[256 * 1024];

static size_t pack(const void *data, size_t len)
{
    z_stream stream = {0};

    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = (uint8_t *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = packed;
    stream.avail_out = sizeof packed;
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&stream);
    return sizeof packed - stream.avail_out;
}

static enum qk_err expand(size_t len, size_t max)
{
    struct buf out = BUF_SECRET_INIT(max);
    enum qk_err err = gzip_expand(bytes_of(packed, len), &out);

    buf_fini(&out);
    return err;
}

Test(gzip, what_was_packed_comes_out)
{
    static const char TEXT[] = "{\"a\":\"text text text text\"}";
    struct buf out = BUF_SECRET_INIT(KIB);
    size_t len = pack(TEXT, sizeof TEXT - 1);

    cr_assert_eq(gzip_expand(bytes_of(packed, len), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str(TEXT)));
    buf_fini(&out);
    cr_assert_eq(expand(pack("", 0), KIB), QK_OK);
}

Test(gzip, cut_anywhere_flipped_anywhere_or_longer_is_refused)
{
    static const char TEXT[] = "{\"a\":\"text text text text\",\"b\":[1,2,3,4,5,6]}";
    size_t len = pack(TEXT, sizeof TEXT - 1);

    for (size_t cut = 0; cut < len; cut++)
        cr_assert_eq(expand(cut, KIB), QK_ERR_INVALID, "%zu", cut);
    packed[len] = 'x';
    cr_assert_eq(expand(len + 1, KIB), QK_ERR_INVALID);
    for (size_t at = 10; at < len; at++) { /* flags, time and system stand in front */
        packed[at] ^= 0x55;
        cr_assert_neq(expand(len, KIB), QK_OK, "%zu", at);
        packed[at] ^= 0x55;
    }
}

/* A thousandth of its size: no more of it is unpacked than may be kept. */
Test(gzip, what_unpacks_to_more_than_may_be_is_too_big)
{
    static uint8_t zeros[64 * 1024 * 1024];
    size_t len = pack(zeros, sizeof zeros);

    cr_assert_lt(len, 128 * KIB);
    cr_assert_eq(expand(len, sizeof zeros), QK_OK);
    cr_assert_eq(expand(len, sizeof zeros - 1), QK_ERR_TOO_BIG);
    cr_assert_eq(expand(len, KIB), QK_ERR_TOO_BIG);
}

Test(gzip, codings_are_told_by_name)
{
    cr_assert(gzip_is_coding(bytes_str("gzip")) && gzip_is_coding(bytes_str("X-GZip")));
    cr_assert(!gzip_is_coding(bytes_str("")) && !gzip_is_coding(bytes_str("deflate")) &&
              !gzip_is_coding(bytes_str("gzip, gzip")));
}
