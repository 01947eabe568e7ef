/* JSON text to MessagePack, piece by piece. The number of a container's members stands before them,
 * and is known behind them: it is written into the room of the longest head when the container
 * closes, and small containers are then moved up to a head of one byte. */
#include "doc/msgpack.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

#define HEAD_BYTES 5             /* a tag and 32 bits */
#define MOVE_BYTES_MAX (4 * KIB) /* moving more costs more than four bytes are worth */
#define WORD_BYTES_MAX 400       /* the longest number that jansson reads */

void msgpack_encoder_init(struct msgpack_encoder *encoder, size_t bytes_max)
{
    *encoder = (struct msgpack_encoder){.out = BUF_SECRET_INIT(bytes_max),
                                        .text = BUF_SECRET_INIT(bytes_max)};
}

void msgpack_encoder_fini(struct msgpack_encoder *encoder)
{
    buf_fini(&encoder->out);
    buf_fini(&encoder->text);
}

struct bytes msgpack_encoder_whole(const struct msgpack_encoder *encoder)
{
    return bytes_of(encoder->out.data, encoder->whole);
}

void msgpack_encoder_drop(struct msgpack_encoder *encoder)
{
    assert(encoder->depth == 0); /* levels name places in `out` */

    buf_consume(&encoder->out, encoder->whole);
    encoder->whole = 0;
}

/* --- scalars --- */

static void put_sized(struct buf *out, uint8_t tag, uint64_t value, unsigned bytes)
{
    uint8_t raw[8];

    put_u64(raw, value);
    buf_put_u8(out, tag);
    buf_put(out, raw + sizeof raw - bytes, bytes);
}

static void put_integer(struct buf *out, int64_t value)
{
    if (value >= -32 && value < 128)
        buf_put_u8(out, (uint8_t)value);
    else if (value >= 0 && value <= UINT8_MAX)
        put_sized(out, 0xcc, (uint64_t)value, 1);
    else if (value >= 0 && value <= UINT16_MAX)
        put_sized(out, 0xcd, (uint64_t)value, 2);
    else if (value >= 0 && value <= UINT32_MAX)
        put_sized(out, 0xce, (uint64_t)value, 4);
    else if (value >= 0)
        put_sized(out, 0xcf, (uint64_t)value, 8);
    else if (value >= INT8_MIN)
        put_sized(out, 0xd0, (uint64_t)value, 1);
    else if (value >= INT16_MIN)
        put_sized(out, 0xd1, (uint64_t)value, 2);
    else if (value >= INT32_MIN)
        put_sized(out, 0xd2, (uint64_t)value, 4);
    else
        put_sized(out, 0xd3, (uint64_t)value, 8);
}

static enum qk_err put_number(const char *text, struct buf *out)
{
    bool is_real = strpbrk(text, ".eE") != NULL;
    char *end = NULL;
    uint64_t bits;
    double real;

    errno = 0;
    if (!is_real) {
        long long value = strtoll(text, &end, 10);

        if (*end == '\0' && end != text && errno == 0) {
            put_integer(out, value);
            return QK_OK;
        }
    }
    real = strtod(text, &end);
    if (*end != '\0' || end == text)
        return QK_ERR_INVALID;
    memcpy(&bits, &real, sizeof bits);
    put_sized(out, 0xcb, bits, 8);
    return QK_OK;
}

static enum qk_err put_word(struct msgpack_encoder *encoder)
{
    struct bytes word = buf_bytes(&encoder->text);
    char text[WORD_BYTES_MAX];
    enum qk_err err = QK_OK;

    if (word.len >= sizeof text)
        return QK_ERR_INVALID;
    memcpy(text, word.data, word.len);
    text[word.len] = '\0';
    if (strcmp(text, "null") == 0)
        buf_put_u8(&encoder->out, 0xc0);
    else if (strcmp(text, "false") == 0)
        buf_put_u8(&encoder->out, 0xc2);
    else if (strcmp(text, "true") == 0)
        buf_put_u8(&encoder->out, 0xc3);
    else if (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))
        err = put_number(text, &encoder->out);
    else
        err = QK_ERR_INVALID;
    secret_wipe(text, sizeof text);
    return err;
}

/* --- strings --- */

static void put_string(struct bytes text, struct buf *out)
{
    if (text.len < 32)
        buf_put_u8(out, (uint8_t)(0xa0u | text.len));
    else if (text.len <= UINT8_MAX)
        put_sized(out, 0xd9, text.len, 1);
    else if (text.len <= UINT16_MAX)
        put_sized(out, 0xda, text.len, 2);
    else
        put_sized(out, 0xdb, text.len, 4);
    buf_put_bytes(out, text);
}

/* jansson knows all about escapes: it reads the string alone. */
static enum qk_err put_escaped(struct msgpack_encoder *encoder)
{
    struct buf quoted = BUF_SECRET_INIT(encoder->text.max + 2);
    json_t *string = NULL;
    enum qk_err err;

    buf_put_u8(&quoted, '"');
    buf_put_bytes(&quoted, buf_bytes(&encoder->text));
    buf_put_u8(&quoted, '"');
    err = buf_error(&quoted);
    if (err == QK_OK) {
        string = json_loadb((const char *)quoted.data, quoted.len, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                            NULL);
        err = json_is_string(string) ? QK_OK : QK_ERR_INVALID;
    }
    if (err == QK_OK)
        put_string(json_bytes(string), &encoder->out);
    json_decref(string);
    buf_fini(&quoted);
    return err;
}

/* --- containers --- */

static void value_ended(struct msgpack_encoder *encoder)
{
    if (encoder->depth == 0) {
        encoder->whole = encoder->out.len;
        encoder->state = MSGPACK_VALUE;
        return;
    }
    if (!encoder->levels[encoder->depth - 1].is_map)
        encoder->levels[encoder->depth - 1].n++;
    encoder->state = MSGPACK_COMMA_OR_CLOSE;
}

static enum qk_err container_open(struct msgpack_encoder *encoder, bool is_map)
{
    struct msgpack_level *level;

    if (encoder->depth == JSON_WRITE_DEPTH_MAX)
        return QK_ERR_TOO_BIG;
    level = &encoder->levels[encoder->depth++];
    *level = (struct msgpack_level){.at = encoder->out.len, .is_map = is_map};
    put_sized(&encoder->out, is_map ? 0xdf : 0xdd, 0, 4);
    encoder->state = is_map ? MSGPACK_NAME_OR_CLOSE : MSGPACK_VALUE_OR_CLOSE;
    return buf_error(&encoder->out);
}

static enum qk_err container_close(struct msgpack_encoder *encoder, bool is_map)
{
    const struct msgpack_level *level;
    uint8_t *head;
    size_t len;

    if (encoder->depth == 0 || encoder->levels[encoder->depth - 1].is_map != is_map)
        return QK_ERR_INVALID;
    level = &encoder->levels[--encoder->depth];
    head = encoder->out.data + level->at;
    len = encoder->out.len - level->at - HEAD_BYTES;
    if (level->n < 16 && len <= MOVE_BYTES_MAX) {
        head[0] = (uint8_t)((is_map ? 0x80u : 0x90u) | level->n);
        memmove(head + 1, head + HEAD_BYTES, len);
        secret_wipe(head + 1 + len, HEAD_BYTES - 1);
        encoder->out.len -= HEAD_BYTES - 1;
    } else {
        put_u32(head + 1, level->n);
    }
    value_ended(encoder);
    return QK_OK;
}

/* --- the text --- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

static enum qk_err string_begin(struct msgpack_encoder *encoder, bool is_name)
{
    buf_reset(&encoder->text);
    encoder->is_name = is_name;
    encoder->escaped = false;
    encoder->has_escapes = false;
    encoder->state = MSGPACK_STRING;
    return QK_OK;
}

static enum qk_err string_end(struct msgpack_encoder *encoder)
{
    enum qk_err err = buf_error(&encoder->text);

    if (err == QK_OK && encoder->has_escapes)
        err = put_escaped(encoder);
    else if (err == QK_OK)
        put_string(buf_bytes(&encoder->text), &encoder->out);
    if (err == QK_OK)
        err = buf_error(&encoder->out);
    if (encoder->is_name) {
        encoder->levels[encoder->depth - 1].n++;
        encoder->state = MSGPACK_COLON;
    } else {
        value_ended(encoder);
    }
    return err;
}

/* Takes as much of `json` as belongs to the string. */
static enum qk_err string_feed(struct msgpack_encoder *encoder, struct bytes json, size_t *at)
{
    size_t start = *at;

    while (*at < json.len) {
        uint8_t byte = json.data[*at];

        if (!encoder->escaped && byte == '"')
            break;
        encoder->escaped = !encoder->escaped && byte == '\\';
        encoder->has_escapes = encoder->has_escapes || encoder->escaped;
        (*at)++;
    }
    buf_put(&encoder->text, json.data + start, *at - start);
    if (*at == json.len)
        return buf_error(&encoder->text);
    (*at)++;
    return string_end(encoder);
}

static enum qk_err word_end(struct msgpack_encoder *encoder)
{
    enum qk_err err = buf_error(&encoder->text);

    if (err == QK_OK)
        err = put_word(encoder);
    if (err == QK_OK)
        err = buf_error(&encoder->out);
    value_ended(encoder);
    return err;
}

static enum qk_err word_feed(struct msgpack_encoder *encoder, struct bytes json, size_t *at)
{
    while (*at < json.len) {
        uint8_t byte = json.data[*at];

        if (is_blank(byte) || byte == ',' || byte == ']' || byte == '}')
            return word_end(encoder);
        if (encoder->text.len >= WORD_BYTES_MAX)
            return QK_ERR_INVALID;
        buf_put_u8(&encoder->text, byte);
        (*at)++;
    }
    return buf_error(&encoder->text);
}

static enum qk_err value_begin(struct msgpack_encoder *encoder, uint8_t byte)
{
    encoder->line_used = true;
    if (byte == '{' || byte == '[')
        return container_open(encoder, byte == '{');
    if (byte == '"')
        return string_begin(encoder, false);
    buf_reset(&encoder->text);
    buf_put_u8(&encoder->text, byte);
    encoder->state = MSGPACK_WORD;
    return QK_OK;
}

static enum qk_err comma_or_close(struct msgpack_encoder *encoder, uint8_t byte)
{
    if (byte == '}' || byte == ']')
        return container_close(encoder, byte == '}');
    if (byte != ',' || encoder->depth == 0)
        return QK_ERR_INVALID;
    encoder->state = encoder->levels[encoder->depth - 1].is_map ? MSGPACK_NAME : MSGPACK_VALUE;
    return QK_OK;
}

static enum qk_err feed_byte(struct msgpack_encoder *encoder, uint8_t byte)
{
    switch (encoder->state) {
    case MSGPACK_VALUE_OR_CLOSE:
        return byte == ']' ? container_close(encoder, false) : value_begin(encoder, byte);
    case MSGPACK_VALUE:
        return value_begin(encoder, byte);
    case MSGPACK_NAME_OR_CLOSE:
        if (byte == '}')
            return container_close(encoder, true);
        return byte == '"' ? string_begin(encoder, true) : QK_ERR_INVALID;
    case MSGPACK_NAME:
        return byte == '"' ? string_begin(encoder, true) : QK_ERR_INVALID;
    case MSGPACK_COLON:
        encoder->state = MSGPACK_VALUE;
        return byte == ':' ? QK_OK : QK_ERR_INVALID;
    case MSGPACK_COMMA_OR_CLOSE:
        return comma_or_close(encoder, byte);
    case MSGPACK_STRING:
    case MSGPACK_WORD:
        break;
    }
    return QK_ERR_INVALID;
}

static void line_end(struct msgpack_encoder *encoder)
{
    if (encoder->depth > 0)
        return;
    if (!encoder->line_used) {
        buf_put_u8(&encoder->out, 0xc0);
        encoder->whole = encoder->out.len;
    }
    encoder->line_used = false;
}

static enum qk_err feed_step(struct msgpack_encoder *encoder, struct bytes json, size_t *at)
{
    uint8_t byte = json.data[*at];

    if (encoder->state == MSGPACK_STRING)
        return string_feed(encoder, json, at);
    if (encoder->state == MSGPACK_WORD)
        return word_feed(encoder, json, at);
    (*at)++;
    if (!is_blank(byte))
        return feed_byte(encoder, byte);
    if (byte == '\n')
        line_end(encoder);
    return buf_error(&encoder->out);
}

enum qk_err msgpack_encoder_feed(struct msgpack_encoder *encoder, struct bytes json)
{
    enum qk_err err = QK_OK;
    size_t at = 0;

    while (err == QK_OK && at < json.len)
        err = feed_step(encoder, json, &at);
    return err;
}

enum qk_err msgpack_encoder_end(struct msgpack_encoder *encoder)
{
    if (encoder->state == MSGPACK_WORD && encoder->depth == 0)
        return word_end(encoder);
    return encoder->state == MSGPACK_VALUE && encoder->depth == 0 ? QK_OK : QK_ERR_INVALID;
}
