/* A multipart body behind its boundary's length, the boundary, and the size of its pieces: the
 * parser of pieces and that of whole bodies tell the same of it. */
#include <string.h>

#include "doc/multipart_stream.h"
#include "fuzz.h"

static const char *const SEEDS[] = {
    "\001b\003--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\n\r\nab\r\n--b--",
    "\003x y\001preamble\r\n--x y\r\n\r\n\r\n--x y--\r\nepilogue",
    "\002--\007\r\n----\r\n\r\n\r\n---\r\n------",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof SEEDS / sizeof *SEEDS)
        return false;
    buf_put_str(out, SEEDS[number]);
    return true;
}

static bool tell_whole(struct bytes body, struct bytes boundary, struct buf *out)
{
    struct multipart multipart;
    struct multipart_part part;
    enum qk_err err = multipart_open(body, boundary, &multipart);

    while (err == QK_OK && (err = multipart_next(&multipart, &part)) == QK_OK) {
        buf_put_blob(out, part.head);
        buf_put_bytes(out, part.content);
        buf_put_u8(out, '|');
    }
    return err == QK_ERR_NOT_FOUND;
}

static bool tell_stream(struct bytes body, struct bytes boundary, size_t step, struct buf *out)
{
    struct multipart_stream stream;
    enum multipart_event event = MULTIPART_MORE;
    struct bytes bytes;
    enum qk_err err = QK_OK;

    multipart_stream_init(&stream, boundary);
    while (err == QK_OK && event != MULTIPART_END) {
        err = multipart_stream_next(&stream, &event, &bytes);
        if (err == QK_OK && event == MULTIPART_MORE) {
            err = multipart_stream_feed(&stream, bytes_slice(body, 0, step), body.len <= step);
            body = bytes_slice(body, step, body.len);
        } else if (err == QK_OK && event == MULTIPART_HEAD) {
            buf_put_blob(out, bytes);
        } else if (err == QK_OK && event == MULTIPART_CONTENT) {
            buf_put_bytes(out, bytes);
        } else if (err == QK_OK && event == MULTIPART_PART_END) {
            buf_put_u8(out, '|');
        }
    }
    multipart_stream_fini(&stream);
    return err == QK_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes all = bytes_of(data, len);
    size_t boundary_len = len == 0 ? 0 : data[0];
    struct bytes boundary = bytes_slice(all, 1, boundary_len);
    size_t step = len < 2 + boundary_len ? 0 : data[1 + boundary_len];
    struct bytes body = bytes_slice(all, 2 + boundary_len, len);
    struct buf whole = BUF_INIT(4 * MIB), pieces = BUF_INIT(4 * MIB);
    bool good;

    if (boundary.len == 0 || boundary.len > MULTIPART_BOUNDARY_BYTES_MAX || step == 0)
        return 0;
    good = tell_whole(body, boundary, &whole);
    fuzz_require(tell_stream(body, boundary, step, &pieces) == good);
    fuzz_require(!good || bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
