/* A compressed body: unpacked, it never passes its limit, and is what zlib, asked at once, says. */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "fuzz.h"
#include "http/gzip.h"

#define LIMIT (64 * KIB)

static void pack(const char *text, struct buf *out)
{
    z_stream stream = {0};
    uint8_t packed[512];

    if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    stream.next_in = (uint8_t *)(uintptr_t)text;
    stream.avail_in = (uInt)strlen(text);
    stream.next_out = packed;
    stream.avail_out = sizeof packed;
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        abort();
    buf_put(out, packed, sizeof packed - stream.avail_out);
    (void)deflateEnd(&stream);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    static const char *const TEXTS[] = {"", "{}",
                                        "{\"docs\":[{\"_id\":\"a\",\"text\":\"aaaaaaaaaaaa\"}]}"};

    if (number >= sizeof TEXTS / sizeof *TEXTS)
        return false;
    pack(TEXTS[number], out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf out = BUF_SECRET_INIT(LIMIT);
    static uint8_t whole[LIMIT + 1];
    z_stream stream = {0};
    enum qk_err err = gzip_expand(bytes_of(data, len), &out);
    int rc;

    fuzz_require(out.len <= LIMIT);
    if (inflateInit2(&stream, 15 + 16) != Z_OK)
        abort();
    stream.next_in = (uint8_t *)(uintptr_t)data;
    stream.avail_in = (uInt)len;
    stream.next_out = whole;
    stream.avail_out = sizeof whole;
    rc = inflate(&stream, Z_FINISH);
    if (err == QK_OK) {
        fuzz_require(rc == Z_STREAM_END && stream.avail_in == 0);
        fuzz_require(out.len == stream.total_out);
        fuzz_require(out.len == 0 || memcmp(out.data, whole, out.len) == 0);
    } else {
        fuzz_require(rc != Z_STREAM_END || stream.avail_in > 0 || stream.total_out > LIMIT);
    }
    (void)inflateEnd(&stream);
    buf_fini(&out);
    return 0;
}
