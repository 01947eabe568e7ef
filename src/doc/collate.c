#include "doc/collate.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "doc/json.h"

enum tag {
    TAG_END = 0,
    TAG_NULL = 2,
    TAG_FALSE = 3,
    TAG_TRUE = 4,
    TAG_NUMBER = 5,
    TAG_STRING = 6,
    TAG_ARRAY = 7,
    TAG_OBJECT = 8
};

#define NUMBER_BYTES (1 + 8 + 2)

struct level {
    const json_t *container;
    void *member; /* of an object: the next one */
    size_t next;  /* of an array */
};

static void put_string(struct bytes text, struct buf *out)
{
    size_t at = 0;

    buf_put_u8(out, TAG_STRING);
    while (at < text.len) {
        const uint8_t *zero = memchr(text.data + at, 0, text.len - at);
        size_t end = zero == NULL ? text.len : (size_t)(zero - text.data);

        buf_put(out, text.data + at, end - at);
        if (zero != NULL)
            buf_put_u16(out, 0x00ff);
        at = zero == NULL ? end : end + 1;
    }
    buf_put_u16(out, 0);
}

/* A positive float's bits sort as an integer; a negative one's do so turned around. */
static uint64_t sortable(double value)
{
    uint64_t bits;

    if (value == 0) /* -0 too */
        value = 0;
    memcpy(&bits, &value, sizeof(bits));
    return (bits & (1ull << 63)) != 0 ? ~bits : bits | 1ull << 63;
}

/* The greatest float that is not greater than `value`, and what is missing to it: the distance of
 * two floats below 2^63 is at most 1024. */
static double float_below(json_int_t value, uint16_t *ret_rest)
{
    double below = (double)value; /* rounded to the nearest, maybe up, maybe to 2^63 */

    if (below >= 0x1p63 || (json_int_t)below > value)
        below = nextafter(below, -INFINITY);
    *ret_rest = (uint16_t)(value - (json_int_t)below);
    return below;
}

static void put_number(const json_t *value, struct buf *out)
{
    uint16_t rest = 0;
    double number;

    if (json_is_integer(value))
        number = float_below(json_integer_value(value), &rest);
    else
        number = json_real_value(value);
    buf_put_u8(out, TAG_NUMBER);
    buf_put_u64(out, sortable(number));
    buf_put_u16(out, rest);
}

static void put_scalar(const json_t *value, struct buf *out)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        buf_put_u8(out, TAG_NULL);
        break;
    case JSON_FALSE:
        buf_put_u8(out, TAG_FALSE);
        break;
    case JSON_TRUE:
        buf_put_u8(out, TAG_TRUE);
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        put_number(value, out);
        break;
    case JSON_STRING:
        put_string(json_bytes(value), out);
        break;
    case JSON_ARRAY:
    case JSON_OBJECT:
        assert(!"a container is no scalar");
    }
}

/* jansson's iterators want a non-const object but do not change it. */
static struct level level_open(const json_t *container, struct buf *out)
{
    struct level level = {container, NULL, 0};

    buf_put_u8(out, json_is_array(container) ? TAG_ARRAY : TAG_OBJECT);
    if (json_is_object(container))
        level.member = json_object_iter((json_t *)(uintptr_t)container);
    return level;
}

/* The next member, its name put; NULL at the end, with the end put. */
static const json_t *level_next(struct level *level, struct buf *out)
{
    const json_t *value = NULL;

    if (json_is_array(level->container)) {
        value = json_array_get(level->container, level->next++);
    } else if (level->member != NULL) {
        put_string(
            bytes_of(json_object_iter_key(level->member), json_object_iter_key_len(level->member)),
            out);
        value = json_object_iter_value(level->member);
        level->member = json_object_iter_next((json_t *)(uintptr_t)level->container, level->member);
    }
    if (value == NULL)
        buf_put_u8(out, TAG_END);
    return value;
}

static bool is_container(const json_t *value)
{
    return json_is_array(value) || json_is_object(value);
}

enum qk_err collate_key(const json_t *value, struct buf *out)
{
    struct level levels[JSON_WRITE_DEPTH_MAX];
    unsigned depth = 0;

    assert(value != NULL);

    if (!is_container(value)) {
        put_scalar(value, out);
        return buf_error(out);
    }
    levels[depth++] = level_open(value, out);
    while (depth > 0 && buf_error(out) == QK_OK) {
        value = level_next(&levels[depth - 1], out);
        if (value == NULL)
            depth--;
        else if (!is_container(value))
            put_scalar(value, out);
        else if (depth == JSON_WRITE_DEPTH_MAX)
            return QK_ERR_TOO_BIG;
        else
            levels[depth++] = level_open(value, out);
    }
    return buf_error(out);
}

void collate_array_open(struct buf *out)
{
    buf_put_u8(out, TAG_ARRAY);
}

void collate_array_close(struct buf *out)
{
    buf_put_u8(out, TAG_END);
}

/* The end of the scalar or of the bracket that begins at `at`. */
static size_t token_end(struct bytes key, size_t at)
{
    switch (key.data[at]) {
    case TAG_NUMBER:
        return at + NUMBER_BYTES;
    case TAG_STRING:
        at++;
        while (key.data[at] != 0 || key.data[at + 1] != 0)
            at += key.data[at] == 0 ? 2 : 1;
        return at + 2;
    default: /* one byte */
        return at + 1;
    }
}

size_t collate_prefix(struct bytes key, uint64_t levels)
{
    unsigned depth = 1;
    uint64_t n = 0;
    size_t at = 1;

    assert(key.len > 0);

    if (key.data[0] != TAG_ARRAY)
        return key.len;
    while (n < levels && depth > 0) {
        uint8_t tag = key.data[at];

        at = token_end(key, at);
        assert(at <= key.len);
        if (tag == TAG_ARRAY || tag == TAG_OBJECT)
            depth++;
        else if (tag == TAG_END)
            depth--;
        if (depth == 1)
            n++;
    }
    return at;
}
