/* MessagePack to JSON text: a pull over the bytes with a stack of fixed depth. What an array's head
 * claims is only counted down, so that nothing is reserved for values that never come. */
#include "doc/msgpack.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct container {
    uint32_t left; /* values, of a map: names and values */
    bool is_map;
};

struct decode {
    struct reader in;
    struct buf *out;
    struct doc_problem *problem;
    struct container stack[JSON_DEPTH_MAX];
    unsigned depth, depth_max;
};

static enum qk_err refuse(struct decode *decode, const char *why)
{
    return doc_problem_set(decode->problem, 400, "bad_request", "invalid MessagePack: %s", why);
}

static void put_integer(struct decode *decode, int64_t value)
{
    buf_printf(decode->out, "%" PRId64, value);
}

static enum qk_err put_unsigned(struct decode *decode, uint64_t value)
{
    if (value > INT64_MAX)
        return refuse(decode, "an integer must fit 64 bits signed");
    put_integer(decode, (int64_t)value);
    return QK_OK;
}

static enum qk_err put_real(struct decode *decode, double value)
{
    if (!isfinite(value))
        return refuse(decode, "JSON has no infinite number and none that is no number");
    json_write_real(value, decode->out);
    return QK_OK;
}

static enum qk_err put_float32(struct decode *decode)
{
    uint32_t bits = reader_u32(&decode->in);
    float value;

    _Static_assert(sizeof value == sizeof bits, "a float has 32 bits");
    memcpy(&value, &bits, sizeof value);
    return put_real(decode, (double)value);
}

static enum qk_err put_float64(struct decode *decode)
{
    uint64_t bits = reader_u64(&decode->in);
    double value;

    _Static_assert(sizeof value == sizeof bits, "a double has 64 bits");
    memcpy(&value, &bits, sizeof value);
    return put_real(decode, value);
}

static enum qk_err put_string(struct decode *decode, size_t len)
{
    struct bytes text = reader_bytes(&decode->in, len);

    if (reader_error(&decode->in) != QK_OK)
        return QK_OK; /* told at the end of the step */
    if (!utf8_is_valid(text))
        return refuse(decode, "text must be UTF-8");
    json_write_string(text, decode->out);
    return QK_OK;
}

static enum qk_err open_container(struct decode *decode, uint32_t n, bool is_map)
{
    struct container *container;

    if (decode->depth == decode->depth_max)
        return doc_problem_set(decode->problem, 400, "bad_request",
                               "the MessagePack is nested deeper than %u levels",
                               decode->depth_max);
    if (n > UINT32_MAX / 2)
        return refuse(decode, "it ends early");
    container = &decode->stack[decode->depth++];
    container->is_map = is_map;
    container->left = is_map ? 2 * n : n;
    buf_put_u8(decode->out, is_map ? '{' : '[');
    return QK_OK;
}

static enum qk_err put_sized(struct decode *decode, uint8_t tag)
{
    struct reader *in = &decode->in;

    switch (tag) {
    case 0xca:
        return put_float32(decode);
    case 0xcb:
        return put_float64(decode);
    case 0xcc:
        return put_unsigned(decode, reader_u8(in));
    case 0xcd:
        return put_unsigned(decode, reader_u16(in));
    case 0xce:
        return put_unsigned(decode, reader_u32(in));
    case 0xcf:
        return put_unsigned(decode, reader_u64(in));
    case 0xd0:
        put_integer(decode, (int8_t)reader_u8(in));
        return QK_OK;
    case 0xd1:
        put_integer(decode, (int16_t)reader_u16(in));
        return QK_OK;
    case 0xd2:
        put_integer(decode, (int32_t)reader_u32(in));
        return QK_OK;
    case 0xd3:
        put_integer(decode, (int64_t)reader_u64(in));
        return QK_OK;
    case 0xd9:
        return put_string(decode, reader_u8(in));
    case 0xda:
        return put_string(decode, reader_u16(in));
    case 0xdb:
        return put_string(decode, reader_u32(in));
    case 0xdc:
        return open_container(decode, reader_u16(in), false);
    case 0xdd:
        return open_container(decode, reader_u32(in), false);
    case 0xde:
        return open_container(decode, reader_u16(in), true);
    case 0xdf:
        return open_container(decode, reader_u32(in), true);
    default:
        return refuse(decode, "bin and ext have no counterpart in JSON");
    }
}

static enum qk_err put_word(struct decode *decode, uint8_t tag)
{
    buf_put_str(decode->out, tag == 0xc0 ? "null" : tag == 0xc2 ? "false" : "true");
    return QK_OK;
}

/* The tags are those of the specification, section "Formats". */
static enum qk_err put_value(struct decode *decode, uint8_t tag)
{
    if (tag < 0x80 || tag >= 0xe0) {
        put_integer(decode, (int8_t)tag);
        return QK_OK;
    }
    if (tag < 0x90)
        return open_container(decode, tag & 0x0fu, true);
    if (tag < 0xa0)
        return open_container(decode, tag & 0x0fu, false);
    if (tag < 0xc0)
        return put_string(decode, tag & 0x1fu);
    if (tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
        return put_word(decode, tag);
    return put_sized(decode, tag);
}

static bool is_string_tag(uint8_t tag)
{
    return (tag >= 0xa0 && tag < 0xc0) || (tag >= 0xd9 && tag <= 0xdb);
}

/* What stands between two values; `ret_name` says that the next one is a member's name. */
static void put_between(struct decode *decode, bool *ret_name)
{
    struct container *top = decode->depth == 0 ? NULL : &decode->stack[decode->depth - 1];
    uint8_t last = decode->out->len == 0 ? 0 : decode->out->data[decode->out->len - 1];

    *ret_name = false;
    if (top == NULL)
        return;
    *ret_name = top->is_map && top->left % 2 == 0;
    if (top->is_map && !*ret_name)
        buf_put_u8(decode->out, ':');
    else if (last != '[' && last != '{')
        buf_put_u8(decode->out, ',');
    top->left--;
}

static void close_full(struct decode *decode)
{
    while (decode->depth > 0 && decode->stack[decode->depth - 1].left == 0)
        buf_put_u8(decode->out, decode->stack[--decode->depth].is_map ? '}' : ']');
}

static enum qk_err decode_step(struct decode *decode)
{
    enum qk_err err;
    uint8_t tag;
    bool name;

    put_between(decode, &name);
    tag = reader_u8(&decode->in);
    if (reader_error(&decode->in) != QK_OK)
        return refuse(decode, "it ends early");
    if (name && !is_string_tag(tag))
        return refuse(decode, "names of members must be text");
    err = put_value(decode, tag);
    if (err == QK_OK && reader_error(&decode->in) != QK_OK)
        err = refuse(decode, "it ends early");
    if (err != QK_OK)
        return err;
    close_full(decode);
    return buf_error(decode->out);
}

enum qk_err msgpack_to_json(struct bytes in, unsigned depth_max, struct doc_problem *ret_problem,
                            struct buf *out)
{
    struct decode decode = {
        .in = reader_of(in), .out = out, .problem = ret_problem, .depth_max = depth_max};
    enum qk_err err;

    assert(depth_max > 0 && depth_max <= JSON_DEPTH_MAX);

    do {
        err = decode_step(&decode);
    } while (err == QK_OK && decode.depth > 0);
    if (err == QK_OK && reader_end(&decode.in) != QK_OK)
        err = refuse(&decode, "bytes follow the value");
    return err;
}
