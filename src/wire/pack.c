#include "wire/pack.h"

#include <assert.h>
#include <msgpack.h>
#include <string.h>

#define SKIP_DEPTH_MAX 16

/* First bytes of the MessagePack format (specification of 2013, "Formats"). */
enum {
    TAG_FIXMAP = 0x80,
    TAG_FIXARRAY = 0x90,
    TAG_FIXSTR = 0xa0,
    TAG_NIL = 0xc0,
    TAG_FALSE = 0xc2,
    TAG_TRUE = 0xc3,
    TAG_BIN8 = 0xc4,
    TAG_BIN32 = 0xc6,
    TAG_FLOAT32 = 0xca,
    TAG_U8 = 0xcc,
    TAG_U64 = 0xcf,
    TAG_I8 = 0xd0,
    TAG_I64 = 0xd3,
    TAG_STR8 = 0xd9,
    TAG_STR32 = 0xdb,
    TAG_ARRAY16 = 0xdc,
    TAG_ARRAY32 = 0xdd,
    TAG_MAP16 = 0xde,
    TAG_MAP32 = 0xdf,
    TAG_NEGATIVE_FIX = 0xe0
};

static int pack_write(void *data, const char *bytes, size_t len)
{
    buf_put(data, bytes, len);
    return 0; /* the buffer keeps its own error */
}

static msgpack_packer packer_of(struct buf *out)
{
    msgpack_packer packer;

    msgpack_packer_init(&packer, out, pack_write);
    return packer;
}

void pack_array(struct buf *out, uint32_t items_n)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_array(&packer, items_n);
}

void pack_map(struct buf *out, uint32_t pairs_n)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_map(&packer, pairs_n);
}

void pack_u64(struct buf *out, uint64_t value)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_uint64(&packer, value);
}

void pack_bool(struct buf *out, bool value)
{
    msgpack_packer packer = packer_of(out);

    if (value)
        msgpack_pack_true(&packer);
    else
        msgpack_pack_false(&packer);
}

void pack_nil(struct buf *out)
{
    msgpack_packer packer = packer_of(out);

    msgpack_pack_nil(&packer);
}

void pack_bin(struct buf *out, struct bytes bytes)
{
    msgpack_packer packer = packer_of(out);

    if (bytes.len > UINT32_MAX) {
        out->failed = QK_ERR_TOO_BIG;
        return;
    }
    msgpack_pack_bin(&packer, bytes.len);
    buf_put_bytes(out, bytes);
}

void pack_str(struct buf *out, struct bytes text)
{
    msgpack_packer packer = packer_of(out);

    if (text.len > UINT32_MAX) {
        out->failed = QK_ERR_TOO_BIG;
        return;
    }
    msgpack_pack_str(&packer, text.len);
    buf_put_bytes(out, text);
}

void pack_text(struct buf *out, const char *text)
{
    pack_str(out, bytes_str(text));
}

struct unpack unpack_of(struct bytes in)
{
    return (struct unpack){reader_of(in), QK_OK};
}

static void unpack_fail(struct unpack *unpack, enum qk_err err)
{
    if (unpack->failed == QK_OK)
        unpack->failed = err;
}

enum qk_err unpack_error(const struct unpack *unpack)
{
    return unpack->failed != QK_OK ? unpack->failed : reader_error(&unpack->in);
}

/* The next value's first byte; TAG_NIL after an error, which callers check at their end. */
static uint8_t unpack_tag(struct unpack *unpack)
{
    if (unpack_error(unpack) != QK_OK)
        return TAG_NIL;
    return reader_u8(&unpack->in);
}

/* A big-endian number of 1 << width_log2 bytes. */
static uint64_t unpack_number(struct unpack *unpack, unsigned width_log2)
{
    switch (width_log2) {
    case 0:
        return reader_u8(&unpack->in);
    case 1:
        return reader_u16(&unpack->in);
    case 2:
        return reader_u32(&unpack->in);
    default:
        return reader_u64(&unpack->in);
    }
}

/* A count or length is the value when nothing failed and it is within the limit, else 0. */
static uint64_t unpack_within(struct unpack *unpack, uint64_t value, uint64_t value_max)
{
    if (unpack_error(unpack) != QK_OK)
        return 0;
    if (value <= value_max)
        return value;
    unpack_fail(unpack, QK_ERR_TOO_BIG);
    return 0;
}

static uint32_t unpack_count(struct unpack *unpack, uint8_t fix, uint8_t tag16, uint32_t n_max)
{
    uint8_t tag = unpack_tag(unpack);
    uint64_t n = 0;

    if ((tag & 0xf0) == fix)
        n = tag & 0x0f;
    else if (tag == tag16 || tag == tag16 + 1)
        n = unpack_number(unpack, tag == tag16 ? 1 : 2);
    else
        unpack_fail(unpack, QK_ERR_INVALID);
    return (uint32_t)unpack_within(unpack, n, n_max);
}

uint32_t unpack_array(struct unpack *unpack, uint32_t items_max)
{
    return unpack_count(unpack, TAG_FIXARRAY, TAG_ARRAY16, items_max);
}

void unpack_array_of(struct unpack *unpack, uint32_t items_n)
{
    if (unpack_array(unpack, UINT32_MAX) != items_n)
        unpack_fail(unpack, QK_ERR_INVALID);
}

uint32_t unpack_map(struct unpack *unpack, uint32_t pairs_max)
{
    return unpack_count(unpack, TAG_FIXMAP, TAG_MAP16, pairs_max);
}

uint64_t unpack_u64_max(struct unpack *unpack, uint64_t value_max)
{
    uint8_t tag = unpack_tag(unpack);
    uint64_t value = 0;

    if (tag < TAG_FIXMAP)
        value = tag;
    else if (tag >= TAG_U8 && tag <= TAG_U64)
        value = unpack_number(unpack, tag - TAG_U8);
    else
        unpack_fail(unpack, QK_ERR_INVALID);
    return unpack_within(unpack, value, value_max);
}

uint64_t unpack_u64(struct unpack *unpack)
{
    return unpack_u64_max(unpack, UINT64_MAX);
}

bool unpack_bool(struct unpack *unpack)
{
    uint8_t tag = unpack_tag(unpack);

    if (tag != TAG_TRUE && tag != TAG_FALSE)
        unpack_fail(unpack, QK_ERR_INVALID);
    return tag == TAG_TRUE;
}

static struct bytes unpack_body(struct unpack *unpack, uint64_t len, size_t len_max)
{
    len = unpack_within(unpack, len, len_max);
    if (unpack_error(unpack) != QK_OK)
        return BYTES_NONE;
    return reader_bytes(&unpack->in, (size_t)len);
}

struct bytes unpack_bin(struct unpack *unpack, size_t len_max)
{
    uint8_t tag = unpack_tag(unpack);
    uint64_t len = 0;

    if (tag >= TAG_BIN8 && tag <= TAG_BIN32)
        len = unpack_number(unpack, tag - TAG_BIN8);
    else
        unpack_fail(unpack, QK_ERR_INVALID);
    return unpack_body(unpack, len, len_max);
}

void unpack_bin_copy(struct unpack *unpack, uint8_t *ret_out, size_t len)
{
    struct bytes in = unpack_bin(unpack, len);

    memset(ret_out, 0, len);
    if (in.len != len)
        unpack_fail(unpack, QK_ERR_INVALID);
    else if (len > 0)
        memcpy(ret_out, in.data, len);
}

/* How many bytes the UTF-8 character at `at` has, 0 if it is none (RFC 3629, section 4). */
static size_t utf8_length(const uint8_t *at, size_t left)
{
    size_t len = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    uint32_t code;

    if (at[0] == 0 || (at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4 || len > left)
        return 0;
    if (len == 1)
        return 1;
    code = at[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    if ((len == 3 && code < 0x800) || (len == 4 && code < 0x10000) || code > 0x10ffff ||
        (code >= 0xd800 && code <= 0xdfff))
        return 0;
    return len;
}

static bool utf8_valid(struct bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t len = utf8_length(text.data + at, text.len - at);

        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

struct bytes unpack_str(struct unpack *unpack, size_t len_max)
{
    uint8_t tag = unpack_tag(unpack);
    uint64_t len = 0;
    struct bytes text;

    if ((tag & 0xe0) == TAG_FIXSTR)
        len = tag & 0x1f;
    else if (tag >= TAG_STR8 && tag <= TAG_STR32)
        len = unpack_number(unpack, tag - TAG_STR8);
    else
        unpack_fail(unpack, QK_ERR_INVALID);
    text = unpack_body(unpack, len, len_max);
    if (utf8_valid(text))
        return text;
    unpack_fail(unpack, QK_ERR_INVALID);
    return BYTES_NONE;
}

void unpack_str_copy(struct unpack *unpack, char *ret_text, size_t size)
{
    struct bytes text;

    assert(size > 0);
    text = unpack_str(unpack, size - 1);
    if (text.len > 0)
        memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
}

/* Passes over a scalar's body, or tells how many values a container holds. */
static uint64_t unpack_skip_one(struct unpack *unpack, uint8_t tag)
{
    static const uint8_t ext_bytes[] = {1, 2, 4, 8, 16};

    if (tag < TAG_FIXMAP || tag >= TAG_NEGATIVE_FIX)
        return 0;
    if (tag < TAG_FIXARRAY)
        return 2 * (tag & 0x0fu);
    if (tag < TAG_FIXSTR)
        return tag & 0x0fu;
    if (tag < TAG_NIL) {
        (void)reader_bytes(&unpack->in, tag & 0x1f);
    } else if (tag >= TAG_BIN8 && tag <= TAG_BIN32) {
        (void)reader_bytes(&unpack->in, unpack_number(unpack, tag - TAG_BIN8));
    } else if (tag >= 0xc7 && tag <= 0xc9) { /* ext 8, 16, 32: a length, then a type byte */
        (void)reader_bytes(&unpack->in, unpack_number(unpack, tag - 0xc7u) + 1);
    } else if (tag == TAG_FLOAT32 || tag == TAG_FLOAT32 + 1) {
        (void)unpack_number(unpack, tag == TAG_FLOAT32 ? 2 : 3);
    } else if (tag >= TAG_U8 && tag <= TAG_I64) {
        (void)unpack_number(unpack, (tag - TAG_U8) & 3u);
    } else if (tag >= 0xd4 && tag <= 0xd8) { /* fixext 1 to 16, and their type byte */
        (void)reader_bytes(&unpack->in, ext_bytes[tag - 0xd4] + (size_t)1);
    } else if (tag >= TAG_STR8 && tag <= TAG_STR32) {
        (void)reader_bytes(&unpack->in, unpack_number(unpack, tag - TAG_STR8));
    } else if (tag >= TAG_ARRAY16) {
        uint64_t n = unpack_number(unpack, tag == TAG_ARRAY16 || tag == TAG_MAP16 ? 1 : 2);

        return tag >= TAG_MAP16 ? 2 * n : n;
    } else if (tag != TAG_NIL && tag != TAG_FALSE && tag != TAG_TRUE) {
        unpack_fail(unpack, QK_ERR_INVALID); /* 0xc1 is never used */
    }
    return 0;
}

void unpack_skip(struct unpack *unpack)
{
    uint64_t left[SKIP_DEPTH_MAX + 1] = {1};
    unsigned depth = 0;

    for (;;) {
        uint64_t inside;

        while (left[depth] == 0) {
            if (depth == 0)
                return;
            depth--;
        }
        left[depth]--;
        inside = unpack_skip_one(unpack, unpack_tag(unpack));
        if (inside > 0 && depth == SKIP_DEPTH_MAX)
            unpack_fail(unpack, QK_ERR_TOO_BIG);
        if (unpack_error(unpack) != QK_OK)
            return;
        if (inside > 0)
            left[++depth] = inside;
    }
}

enum qk_err unpack_end(const struct unpack *unpack)
{
    if (unpack->failed != QK_OK)
        return unpack->failed;
    return reader_end(&unpack->in);
}
