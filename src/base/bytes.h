/* `struct bytes` borrows, `struct buf` owns, `struct reader` walks. All integers big-endian.
 *
 * What each codec calls for each field stands here inline: called, it was a fifth of the
 * instructions of a listing and of applying an entry (tests/guard). */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* A borrowed view. `data` may be NULL only when `len` is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_NONE ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const void *data, size_t len)
{
    assert(data != NULL || len == 0);
    return (struct bytes){data, len};
}

struct bytes bytes_str(const char *text); /* without the final zero */

/* Clamped to `all`. */
static inline struct bytes bytes_slice(struct bytes all, size_t at, size_t len)
{
    if (at > all.len)
        at = all.len;
    if (len > all.len - at)
        len = all.len - at;
    return (struct bytes){all.data == NULL ? NULL : all.data + at, len};
}

/* Not for secrets: sodium_memcmp. */
static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int bytes_compare(struct bytes a, struct bytes b); /* memcmp order, shorter first */
bool bytes_starts_with(struct bytes all, struct bytes prefix);

static inline void put_u16(uint8_t out[static 2], uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static inline void put_u32(uint8_t out[static 4], uint32_t value)
{
    put_u16(out, (uint16_t)(value >> 16));
    put_u16(out + 2, (uint16_t)value);
}

static inline void put_u64(uint8_t out[static 8], uint64_t value)
{
    put_u32(out, (uint32_t)(value >> 32));
    put_u32(out + 4, (uint32_t)value);
}

static inline uint16_t get_u16(const uint8_t in[static 2])
{
    return (uint16_t)((uint16_t)in[0] << 8 | in[1]);
}

static inline uint32_t get_u32(const uint8_t in[static 4])
{
    return (uint32_t)get_u16(in) << 16 | get_u16(in + 2);
}

static inline uint64_t get_u64(const uint8_t in[static 8])
{
    return (uint64_t)get_u32(in) << 32 | get_u32(in + 4);
}

/* A growing buffer with a hard maximum. A secret one is wiped before any free and grows by
 * copy and wipe, never by realloc. A failed append sets `failed` and is returned by each later
 * call, so that a chain of appends needs one check (buf_error) at its end. */
struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    bool secret;
    enum qk_err failed;
};

#define BUF_INIT(max_) ((struct buf){NULL, 0, 0, (max_), false, QK_OK})
#define BUF_SECRET_INIT(max_) ((struct buf){NULL, 0, 0, (max_), true, QK_OK})

/* Frees what `buf` owns (wiped if secret) and leaves it empty and usable with the same maximum. */
void buf_fini(struct buf *buf);
/* Empties without freeing; wiped if secret. */
void buf_reset(struct buf *buf);

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->len};
}

static inline enum qk_err buf_error(const struct buf *buf)
{
    return buf->failed;
}

/* Makes room for `more` bytes. QK_ERR_TOO_BIG past max, QK_ERR_NOMEM. */
MUST_USE enum qk_err buf_reserve(struct buf *buf, size_t more);
/* buf_put where there is no room yet. */
void buf_put_grown(struct buf *buf, const void *data, size_t len);

/* Appends; errors stick in `failed`, see buf_error. Nearly always there is room, and often the
 * compiler knows the length: so all that append a few bytes are inline. */
static inline void buf_put(struct buf *buf, const void *data, size_t len)
{
    if (buf->failed != QK_OK || len == 0 || len > buf->cap - buf->len) {
        buf_put_grown(buf, data, len);
        return;
    }
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

static inline void buf_put_bytes(struct buf *buf, struct bytes bytes)
{
    buf_put(buf, bytes.data, bytes.len);
}

static inline void buf_put_str(struct buf *buf, const char *text)
{
    buf_put(buf, text, strlen(text));
}

static inline void buf_put_u8(struct buf *buf, uint8_t value)
{
    if (buf->failed == QK_OK && buf->len < buf->cap)
        buf->data[buf->len++] = value;
    else
        buf_put_grown(buf, &value, 1);
}

static inline void buf_put_u16(struct buf *buf, uint16_t value)
{
    uint8_t raw[2];

    put_u16(raw, value);
    buf_put(buf, raw, sizeof raw);
}

static inline void buf_put_u32(struct buf *buf, uint32_t value)
{
    uint8_t raw[4];

    put_u32(raw, value);
    buf_put(buf, raw, sizeof raw);
}

static inline void buf_put_u64(struct buf *buf, uint64_t value)
{
    uint8_t raw[8];

    put_u64(raw, value);
    buf_put(buf, raw, sizeof raw);
}

/* len32 then the bytes. */
void buf_put_blob(struct buf *buf, struct bytes bytes);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends `len` bytes left for the caller to fill; NULL (and `failed` set) when there is no room.
 */
uint8_t *buf_extend(struct buf *buf, size_t len);
/* Drops the first `len` bytes (clamped), moving the rest down; wiped if secret. */
void buf_consume(struct buf *buf, size_t len);

/* A cursor over borrowed bytes. A read past the end sets `failed` (QK_ERR_INVALID) and yields
 * zeros or an empty view, so that a parser checks once, with reader_end or reader_error. */
struct reader {
    struct bytes in;
    size_t at;
    enum qk_err failed;
};

static inline struct reader reader_of(struct bytes in)
{
    return (struct reader){in, 0, QK_OK};
}

static inline struct bytes reader_bytes(struct reader *reader, size_t len)
{
    struct bytes out;

    assert(reader->at <= reader->in.len);
    if (reader->failed != QK_OK || len > reader->in.len - reader->at) {
        reader->failed = QK_ERR_INVALID;
        return BYTES_NONE;
    }
    out = bytes_slice(reader->in, reader->at, len);
    reader->at += len;
    return out;
}

static inline uint8_t reader_u8(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 1);

    return in.len == 0 ? 0 : in.data[0];
}

static inline uint16_t reader_u16(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 2);

    return in.len == 0 ? 0 : get_u16(in.data);
}

static inline uint32_t reader_u32(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 4);

    return in.len == 0 ? 0 : get_u32(in.data);
}

static inline uint64_t reader_u64(struct reader *reader)
{
    struct bytes in = reader_bytes(reader, 8);

    return in.len == 0 ? 0 : get_u64(in.data);
}

void reader_copy(struct reader *reader, uint8_t *ret_out, size_t len);
struct bytes reader_blob(struct reader *reader, size_t len_max);

static inline struct bytes reader_rest(struct reader *reader)
{
    return reader_bytes(reader, reader->in.len - reader->at);
}

static inline enum qk_err reader_error(const struct reader *reader)
{
    return reader->failed;
}

/* QK_OK only if nothing failed and nothing is left over. */
MUST_USE static inline enum qk_err reader_end(const struct reader *reader)
{
    if (reader->failed != QK_OK)
        return reader->failed;
    return reader->at == reader->in.len ? QK_OK : QK_ERR_INVALID;
}

#endif
