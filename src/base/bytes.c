#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes bytes_str(const char *text)
{
    assert(text != NULL);
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0)
        return order;
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

bool bytes_starts_with(struct bytes all, struct bytes prefix)
{
    return all.len >= prefix.len && bytes_equal(bytes_slice(all, 0, prefix.len), prefix);
}

static void buf_release(const struct buf *buf, uint8_t *data, size_t len)
{
    if (data != NULL && buf->secret)
        explicit_bzero(data, len);
    free(data);
}

void buf_fini(struct buf *buf)
{
    assert(buf != NULL);
    buf_release(buf, buf->data, buf->cap);
    buf->data = NULL;
    buf->len = 0;
    buf->cap = 0;
    buf->failed = QK_OK;
}

void buf_reset(struct buf *buf)
{
    assert(buf != NULL);
    if (buf->secret && buf->len > 0)
        explicit_bzero(buf->data, buf->len);
    buf->len = 0;
    buf->failed = QK_OK;
}

static size_t buf_grown(const struct buf *buf, size_t need)
{
    size_t cap = buf->cap < 64 ? 64 : buf->cap;

    while (cap < need)
        cap = cap > buf->max / 2 ? buf->max : cap * 2;
    return cap > buf->max ? buf->max : cap;
}

enum qk_err buf_reserve(struct buf *buf, size_t more)
{
    uint8_t *data;
    size_t cap;

    assert(buf->len <= buf->cap);
    if (buf->failed != QK_OK)
        return buf->failed;
    if (more > buf->max || buf->len > buf->max - more)
        return buf->failed = QK_ERR_TOO_BIG;
    if (buf->len + more <= buf->cap)
        return QK_OK;
    cap = buf_grown(buf, buf->len + more);
    data = malloc(cap);
    if (data == NULL)
        return buf->failed = QK_ERR_NOMEM;
    if (buf->len > 0)
        memcpy(data, buf->data, buf->len);
    buf_release(buf, buf->data, buf->cap);
    buf->data = data;
    buf->cap = cap;
    return QK_OK;
}

uint8_t *buf_extend(struct buf *buf, size_t len)
{
    uint8_t *at;

    if (buf_reserve(buf, len) != QK_OK)
        return NULL;
    if (buf->data == NULL) /* a zero-length extension of an empty buffer still needs an address */
        return (uint8_t *)"";
    at = buf->data + buf->len;
    buf->len += len;
    return at;
}

void buf_put_grown(struct buf *buf, const void *data, size_t len)
{
    uint8_t *at;

    if (len == 0)
        return;
    at = buf_extend(buf, len);
    if (at != NULL)
        memcpy(at, data, len);
}

void buf_put_blob(struct buf *buf, struct bytes bytes)
{
    if (bytes.len > UINT32_MAX) {
        buf->failed = QK_ERR_TOO_BIG;
        return;
    }
    buf_put_u32(buf, (uint32_t)bytes.len);
    buf_put_bytes(buf, bytes);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    size_t room = buf->cap - buf->len;
    va_list args;
    int len;

    if (buf->failed != QK_OK)
        return;
    /* Mostly it fits into what there is. */
    va_start(args, format);
    len = vsnprintf(room == 0 ? NULL : (char *)buf->data + buf->len, room, format, args);
    va_end(args);
    if (len < 0) {
        buf->failed = QK_ERR_INVALID;
        return;
    }
    if ((size_t)len >= room) {
        if (buf_reserve(buf, (size_t)len + 1) != QK_OK)
            return;
        va_start(args, format);
        (void)vsnprintf((char *)buf->data + buf->len, (size_t)len + 1, format, args);
        va_end(args);
    }
    buf->len += (size_t)len;
}

void buf_consume(struct buf *buf, size_t len)
{
    if (len == 0 || buf->len == 0)
        return;
    if (len > buf->len)
        len = buf->len;
    memmove(buf->data, buf->data + len, buf->len - len);
    if (buf->secret)
        explicit_bzero(buf->data + buf->len - len, len);
    buf->len -= len;
}

void reader_copy(struct reader *reader, uint8_t *ret_out, size_t len)
{
    struct bytes in = reader_bytes(reader, len);

    memset(ret_out, 0, len);
    if (in.len > 0)
        memcpy(ret_out, in.data, in.len);
}

struct bytes reader_blob(struct reader *reader, size_t len_max)
{
    uint32_t len = reader_u32(reader);

    if (len > len_max) {
        reader->failed = QK_ERR_INVALID;
        return BYTES_NONE;
    }
    return reader_bytes(reader, len);
}
