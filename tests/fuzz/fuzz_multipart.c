/* A multipart body behind its Content-Type, which ends at the first line's end: each part lies
 * inside the body, behind the one before, and its content has no boundary in it. */
#include <string.h>

#include "doc/multipart.h"
#include "fuzz.h"

static const char *const SEEDS[] = {
    "multipart/related; boundary=\"b\"\n--b\r\nContent-Type: "
    "application/json\r\n\r\n{}\r\n--b\r\n\r\nab"
    "\r\n--b--",
    "multipart/mixed; boundary=x y\npreamble\r\n--x\r\n\r\n\r\n--x--\r\nepilogue",
    "multipart/form-data; boundary=b\n--b\r\ncontent-disposition: attachment; filename=\"a "
    "\\\"b\\\"\""
    "\r\n\r\n\r\n--b--",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof SEEDS / sizeof *SEEDS)
        return false;
    buf_put_str(out, SEEDS[number]);
    return true;
}

static bool has_boundary(struct bytes content, struct bytes boundary)
{
    for (size_t at = 0; at + 4 + boundary.len <= content.len; at++)
        if (memcmp(content.data + at, "\r\n--", 4) == 0 &&
            memcmp(content.data + at + 4, boundary.data, boundary.len) == 0)
            return true;
    return false;
}

static void look_at(const struct multipart_part *part)
{
    struct buf name = BUF_INIT(256);
    struct bytes value;

    if (multipart_field(part->head, "content-disposition", &value)) {
        fuzz_touch(value);
        if (multipart_param(value, "filename", &name))
            fuzz_touch(buf_bytes(&name));
    }
    fuzz_touch(part->head);
    fuzz_touch(part->content);
    buf_fini(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const uint8_t *line = len == 0 ? NULL : memchr(data, '\n', len);
    size_t head = line == NULL ? len : (size_t)(line - data);
    struct bytes body = bytes_slice(bytes_of(data, len), head + 1, len);
    const uint8_t *behind = body.data;
    struct multipart multipart;
    struct multipart_part part;
    struct bytes boundary;
    enum qk_err err;

    if (multipart_boundary(bytes_of(data, head), &boundary) != QK_OK)
        return 0;
    fuzz_require(boundary.len > 0 && boundary.len <= MULTIPART_BOUNDARY_BYTES_MAX);
    err = multipart_open(body, boundary, &multipart);
    while (err == QK_OK && (err = multipart_next(&multipart, &part)) == QK_OK) {
        look_at(&part);
        fuzz_require(part.content.len == 0 ||
                     (part.content.data >= behind &&
                      part.content.data + part.content.len <= body.data + body.len));
        fuzz_require(!has_boundary(part.content, boundary));
        behind = part.content.len == 0 ? behind : part.content.data + part.content.len;
    }
    fuzz_require(err == QK_ERR_NOT_FOUND || err == QK_ERR_INVALID);
    return 0;
}
