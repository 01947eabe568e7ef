#include "doc/multipart_stream.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define BODY                                                                                       \
    "preamble\r\n--b \t\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--b\r\n\r\nab\r\n-"  \
    "\r\n--b\r\nContent-Disposition: x\r\n\r\n\r\n--b--\r\nepilogue"

/* What the stream tells of `body` fed in pieces of `step` bytes: heads in brackets, contents, ends
 * as bars; each piece on the heap and of the exact size. */
static bool tells(struct bytes body, const char *boundary, size_t step, struct buf *out)
{
    struct multipart_stream stream;
    enum multipart_event event = MULTIPART_MORE;
    struct bytes bytes;
    size_t at = 0;
    enum qk_err err = QK_OK;

    multipart_stream_init(&stream, bytes_str(boundary));
    do {
        err = multipart_stream_next(&stream, &event, &bytes);
        if (err == QK_OK && event == MULTIPART_MORE) {
            struct bytes piece = bytes_slice(body, at, step);
            uint8_t *copy = malloc(piece.len + 1);

            if (piece.len > 0)
                memcpy(copy, piece.data, piece.len);
            at += piece.len;
            err = multipart_stream_feed(&stream, bytes_of(copy, piece.len), at == body.len);
            free(copy);
        } else if (err == QK_OK && event == MULTIPART_HEAD) {
            buf_put_u8(out, '[');
            buf_put_bytes(out, bytes);
            buf_put_u8(out, ']');
        } else if (err == QK_OK && event == MULTIPART_CONTENT) {
            cr_assert_gt(bytes.len, 0);
            buf_put_bytes(out, bytes);
        } else if (err == QK_OK && event == MULTIPART_PART_END) {
            buf_put_u8(out, '|');
        }
    } while (err == QK_OK && event != MULTIPART_END);
    multipart_stream_fini(&stream);
    cr_assert(err == QK_OK || err == QK_ERR_INVALID);
    return err == QK_OK;
}

/* The same by the parser of bodies in memory. */
static bool whole(struct bytes body, const char *boundary, struct buf *out)
{
    struct multipart multipart;
    struct multipart_part part;
    enum qk_err err = multipart_open(body, bytes_str(boundary), &multipart);

    while (err == QK_OK && (err = multipart_next(&multipart, &part)) == QK_OK) {
        buf_put_u8(out, '[');
        buf_put_bytes(out, part.head);
        buf_put_u8(out, ']');
        buf_put_bytes(out, part.content);
        buf_put_u8(out, '|');
    }
    return err == QK_ERR_NOT_FOUND;
}

static void expect_same(struct bytes body, const char *boundary)
{
    struct buf one = BUF_INIT(1 << 20), other = BUF_INIT(1 << 20);
    bool good = whole(body, boundary, &one);

    for (size_t step = 1; step <= body.len + 1; step = step < 8 ? step + 1 : 3 * step) {
        buf_reset(&other);
        cr_assert_eq(tells(body, boundary, step, &other), good, "in steps of %zu", step);
        if (good)
            cr_assert(bytes_equal(buf_bytes(&one), buf_bytes(&other)), "in steps of %zu", step);
    }
    buf_fini(&one);
    buf_fini(&other);
}

Test(multipart_stream, parts_in_pieces_of_any_size_are_those_of_the_whole)
{
    struct buf out = BUF_INIT(1024);

    cr_assert(tells(bytes_str(BODY), "b", 1, &out));
    buf_put_u8(&out, 0);
    cr_assert_str_eq((char *)out.data, "[Content-Type: application/json]{\"a\":1}|[]ab\r\n-|"
                                       "[Content-Disposition: x]|");
    buf_fini(&out);
    expect_same(bytes_str(BODY), "b");
    expect_same(bytes_str("--x\r\n\r\nab\r\n--x--"), "x");
    expect_same(bytes_str("--x\r\n\r\n--x--"), "x");
    expect_same(bytes_str("--x--"), "x");
    expect_same(bytes_str("\r\n--long boundary\r\n\r\n\r\n--long boundar\r\n--long boundary--"),
                "long boundary");
}

Test(multipart_stream, cut_at_each_byte_is_as_the_whole_cut_there)
{
    for (size_t len = 0; len <= strlen(BODY); len++)
        expect_same(bytes_of(BODY, len), "b");
}

Test(multipart_stream, with_each_bit_flipped_is_as_the_whole)
{
    char body[] = BODY;

    for (size_t at = 0; at < 8 * (sizeof(body) - 1); at++) {
        body[at / 8] = (char)(body[at / 8] ^ (1 << at % 8));
        expect_same(bytes_of(body, sizeof(body) - 1), "b");
        body[at / 8] = (char)(body[at / 8] ^ (1 << at % 8));
    }
}

Test(multipart_stream, head_has_a_longest_length)
{
    struct buf body = BUF_INIT(64 * 1024);

    for (size_t len = MULTIPART_HEAD_BYTES_MAX - 10; len < MULTIPART_HEAD_BYTES_MAX + 3; len++) {
        buf_reset(&body);
        buf_put_str(&body, "--b\r\nX: ");
        for (size_t i = 3; i < len; i++)
            buf_put_u8(&body, 'x');
        buf_put_str(&body, "\r\n\r\n\r\n--b--");
        expect_same(buf_bytes(&body), "b");
    }
    buf_fini(&body);
}
