/* jansson's own writer prints 0.1 as 0.10000000000000001 and recurses; this one prints the shortest
 * decimal that reads back as the same float, and walks with a stack of fixed depth. It writes
 * straight into the caller's buffer, which is secret for documents. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "secret/secret.h"

struct level {
    const json_t *container;
    void *member; /* of an object: the next one */
    size_t next;  /* members written */
};

static bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte != '"' && byte != '\\';
}

static void write_escaped(uint8_t byte, struct buf *out)
{
    static const char letters[] = "btn\0fr";

    if (byte == '"' || byte == '\\') {
        buf_put_u8(out, '\\');
        buf_put_u8(out, byte);
    } else if (byte >= 8 && byte <= 13 && byte != 11) {
        buf_put_u8(out, '\\');
        buf_put_u8(out, (uint8_t)letters[byte - 8]);
    } else {
        buf_printf(out, "\\u%04x", byte);
    }
}

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* True if any of the eight bytes is below `than`, which is at most 0x80 (a borrow may tell of one
 * more beside it, never of none). */
static bool any_below(uint64_t eight, uint64_t than)
{
    return ((eight - EACH_BYTE(than)) & ~eight & EACH_BYTE(0x80)) != 0;
}

static bool all_plain(const uint8_t *at)
{
    uint64_t eight;

    memcpy(&eight, at, sizeof(eight));
    return !any_below(eight, 0x20) && !any_below(eight ^ EACH_BYTE('"'), 1) &&
           !any_below(eight ^ EACH_BYTE('\\'), 1);
}

/* The end of what stands as it is, from `at` on. */
static size_t plain_end(struct bytes text, size_t at)
{
    while (text.len - at >= 8 && all_plain(text.data + at))
        at += 8;
    while (at < text.len && is_plain(text.data[at]))
        at++;
    return at;
}

void json_write_text(struct bytes text, struct buf *out)
{
    size_t at = 0;

    while (at < text.len) {
        size_t start = at;

        at = plain_end(text, at);
        buf_put(out, text.data + start, at - start);
        if (at < text.len)
            write_escaped(text.data[at++], out);
    }
}

void json_write_string(struct bytes text, struct buf *out)
{
    buf_put_u8(out, '"');
    json_write_text(text, out);
    buf_put_u8(out, '"');
}

void json_write_real(double value, struct buf *out)
{
    char text[40];
    int digits;

    /* 15 digits always survive text -> float -> text, 17 always the other way: the fewest that
     * read back as the same float are the number that was meant. */
    for (digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) /* exact on purpose */
            break;
    }
    buf_put_str(out, text);
    if (strpbrk(text, ".e") == NULL)
        buf_put_str(out, ".0"); /* a float stays one */
    secret_wipe(text, sizeof(text));
}

static void write_integer(json_int_t value, struct buf *out)
{
    char text[24];

    snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, value);
    buf_put_str(out, text);
    secret_wipe(text, sizeof(text));
}

static void write_scalar(const json_t *value, struct buf *out)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        json_write_string(json_bytes(value), out);
        break;
    case JSON_INTEGER:
        write_integer(json_integer_value(value), out);
        break;
    case JSON_REAL:
        json_write_real(json_real_value(value), out);
        break;
    case JSON_TRUE:
        buf_put_str(out, "true");
        break;
    case JSON_FALSE:
        buf_put_str(out, "false");
        break;
    case JSON_NULL:
        buf_put_str(out, "null");
        break;
    case JSON_OBJECT:
    case JSON_ARRAY:
        assert(!"a container is no scalar");
    }
}

/* The next member of `level`, its name and comma written; NULL at the end, with the bracket
 * closed. jansson's iterators want a non-const object but do not change it. */
static const json_t *write_next(struct level *level, struct buf *out)
{
    const json_t *value;

    if (json_is_array(level->container)) {
        value = json_array_get(level->container, level->next);
        if (value == NULL) {
            buf_put_u8(out, ']');
            return NULL;
        }
        if (level->next++ > 0)
            buf_put_u8(out, ',');
        return value;
    }
    if (level->member == NULL) {
        buf_put_u8(out, '}');
        return NULL;
    }
    if (level->next++ > 0)
        buf_put_u8(out, ',');
    json_write_string(
        bytes_of(json_object_iter_key(level->member), json_object_iter_key_len(level->member)),
        out);
    buf_put_u8(out, ':');
    value = json_object_iter_value(level->member);
    level->member = json_object_iter_next((json_t *)(uintptr_t)level->container, level->member);
    return value;
}

static struct level level_open(const json_t *container, struct buf *out)
{
    struct level level = {container, NULL, 0};

    buf_put_u8(out, json_is_array(container) ? '[' : '{');
    if (json_is_object(container))
        level.member = json_object_iter((json_t *)(uintptr_t)container);
    return level;
}

static bool is_container(const json_t *value)
{
    return json_is_array(value) || json_is_object(value);
}

enum qk_err json_write(const json_t *value, struct buf *out)
{
    struct level stack[JSON_WRITE_DEPTH_MAX];
    unsigned depth = 0;

    assert(value != NULL && out != NULL);

    if (!is_container(value)) {
        write_scalar(value, out);
        return buf_error(out);
    }
    stack[depth++] = level_open(value, out);
    while (depth > 0 && buf_error(out) == QK_OK) {
        const json_t *member = write_next(&stack[depth - 1], out);

        if (member == NULL)
            depth--;
        else if (!is_container(member))
            write_scalar(member, out);
        else if (depth == JSON_WRITE_DEPTH_MAX)
            return QK_ERR_TOO_BIG;
        else
            stack[depth++] = level_open(member, out);
    }
    return buf_error(out);
}
