#include "doc/gunzip.h"

#include <criterion/criterion.h>
#include <string.h>
#include <zlib.h>

#include "base/limits.h"

#define PLAIN_BYTES (100 * KIB + 7)

static uint8_t plain[PLAIN_BYTES], packed[2 * PLAIN_BYTES];

/* Every value comes with `spread` zeros: the more, the better it packs. */
static size_t pack(size_t spread)
{
    z_stream stream = {0};
    uint32_t at = 12345;

    for (size_t i = 0; i < PLAIN_BYTES; i++) {
        at = at * 1103515245u + 12345u;
        plain[i] = i % (spread + 1) == 0 ? (uint8_t)(at >> 16) : 0;
    }
    cr_assert_eq(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = plain;
    stream.avail_in = PLAIN_BYTES;
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&stream);
    return sizeof(packed) - stream.avail_out;
}

/* In pieces of so many bytes, each unpacked by at most `max` at a time. */
static enum qk_err unpack(size_t len, size_t piece, size_t max, struct buf *out, bool *ret_whole)
{
    struct gunzip *gunzip;
    enum qk_err err = gunzip_new(&gunzip);

    for (size_t at = 0; err == QK_OK && at < len; at += piece) {
        struct bytes in = bytes_slice(bytes_of(packed, len), at, piece);
        size_t before;

        do {
            before = out->len;
            err = gunzip_some(gunzip, &in, max, out);
            cr_assert_leq(out->len - before, max);
            cr_assert(err != QK_OK || in.len == 0 || out->len - before == max);
        } while (err == QK_OK && out->len - before == max);
    }
    *ret_whole = gunzip_is_whole(gunzip);
    gunzip_free(gunzip);
    return err;
}

Test(gunzip, pieces_of_any_size_come_out_as_the_whole)
{
    static const size_t pieces[] = {1, 7, 1000, PLAIN_BYTES * 2}, maxes[] = {1, 1000, MIB};

    for (size_t spread = 0; spread <= 5000; spread += 2500) {
        size_t len = pack(spread);

        for (size_t i = 0; i < 4; i++)
            for (size_t k = 0; k < 3; k++) {
                struct buf out = BUF_SECRET_INIT(MIB);
                bool whole;

                cr_assert_eq(unpack(len, pieces[i], maxes[k], &out, &whole), QK_OK);
                cr_assert(whole);
                cr_assert(bytes_equal(buf_bytes(&out), bytes_of(plain, PLAIN_BYTES)));
                buf_fini(&out);
            }
    }
}

Test(gunzip, cut_anywhere_it_is_not_whole_and_with_more_behind_it_invalid)
{
    size_t len = pack(5000);
    bool whole;

    for (size_t cut = 0; cut < len; cut++) {
        struct buf out = BUF_SECRET_INIT(MIB);

        cr_assert_eq(unpack(cut, 64, MIB, &out, &whole), QK_OK, "%zu", cut);
        cr_assert_not(whole, "%zu", cut);
        buf_fini(&out);
    }
    for (size_t piece = 1; piece <= len + 1; piece += len) {
        struct buf out = BUF_SECRET_INIT(MIB);

        packed[len] = 'x';
        cr_assert_eq(unpack(len + 1, piece, MIB, &out, &whole), QK_ERR_INVALID);
        buf_fini(&out);
    }
}

Test(gunzip, with_any_byte_flipped_it_is_never_another_content)
{
    size_t len = pack(5000);
    bool whole;

    for (size_t at = 0; at < len; at++) {
        struct buf out = BUF_SECRET_INIT(MIB);

        packed[at] ^= 0x55;
        if (unpack(len, 64, MIB, &out, &whole) == QK_OK && whole)
            cr_assert(bytes_equal(buf_bytes(&out), bytes_of(plain, PLAIN_BYTES)), "%zu", at);
        packed[at] ^= 0x55;
        buf_fini(&out);
    }
}

Test(gunzip, more_than_the_buffer_may_hold_is_too_big)
{
    struct buf out = BUF_SECRET_INIT(PLAIN_BYTES - 1);
    size_t len = pack(5000);
    bool whole;

    cr_assert_eq(unpack(len, len, SIZE_MAX, &out, &whole), QK_ERR_TOO_BIG);
    buf_fini(&out);
}
