#include "http/chunk.h"

#include <assert.h>

void chunk_init(struct chunk *chunk)
{
    *chunk = (struct chunk){.state = CHUNK_SIZE};
}

bool chunk_is_end(const struct chunk *chunk)
{
    return chunk->state == CHUNK_END;
}

static int hex_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

static enum qk_err step_size(struct chunk *chunk, uint8_t byte)
{
    int value = hex_value(byte);

    if (value >= 0) {
        /* 15 digits: far over any body, and `left` cannot overflow. */
        if (++chunk->digits > 15)
            return QK_ERR_TOO_BIG;
        chunk->left = chunk->left << 4 | (uint64_t)value;
        return QK_OK;
    }
    if (chunk->digits == 0)
        return QK_ERR_INVALID;
    if (byte == '\r')
        chunk->state = CHUNK_SIZE_LF;
    else if (byte == ';')
        chunk->state = CHUNK_EXTENSION;
    else
        return QK_ERR_INVALID;
    return QK_OK;
}

/* Visible bytes, blanks and tabs: no line break can hide in what is skipped. */
static enum qk_err step_extra(struct chunk *chunk, uint8_t byte)
{
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f)
        return QK_ERR_INVALID;
    return ++chunk->extra > CHUNK_EXTRA_BYTES_MAX ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err step_extension(struct chunk *chunk, uint8_t byte)
{
    if (byte != '\r')
        return step_extra(chunk, byte);
    chunk->state = CHUNK_SIZE_LF;
    return QK_OK;
}

static enum qk_err step_size_lf(struct chunk *chunk, uint8_t byte)
{
    if (byte != '\n')
        return QK_ERR_INVALID;
    chunk->state = chunk->left == 0 ? CHUNK_TRAILER : CHUNK_DATA;
    return QK_OK;
}

static enum qk_err step_trailer(struct chunk *chunk, uint8_t byte)
{
    if (byte == '\r') {
        chunk->state = CHUNK_TRAILER_LF;
        return QK_OK;
    }
    chunk->trailer_len++;
    return step_extra(chunk, byte);
}

static enum qk_err step_trailer_lf(struct chunk *chunk, uint8_t byte)
{
    if (byte != '\n')
        return QK_ERR_INVALID;
    if (chunk->trailer_len == 0) {
        chunk->state = CHUNK_END;
        return QK_OK;
    }
    chunk->trailer_len = 0;
    chunk->state = CHUNK_TRAILER;
    return ++chunk->trailers_n > CHUNK_TRAILERS_MAX ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err step_data_end(struct chunk *chunk, uint8_t byte)
{
    if (chunk->state == CHUNK_DATA_CR) {
        chunk->state = CHUNK_DATA_LF;
        return byte == '\r' ? QK_OK : QK_ERR_INVALID;
    }
    chunk->state = CHUNK_SIZE;
    chunk->digits = 0;
    chunk->left = 0;
    return byte == '\n' ? QK_OK : QK_ERR_INVALID;
}

static enum qk_err chunk_step(struct chunk *chunk, uint8_t byte)
{
    switch (chunk->state) {
    case CHUNK_SIZE:
        return step_size(chunk, byte);
    case CHUNK_EXTENSION:
        return step_extension(chunk, byte);
    case CHUNK_SIZE_LF:
        return step_size_lf(chunk, byte);
    case CHUNK_TRAILER:
        return step_trailer(chunk, byte);
    case CHUNK_TRAILER_LF:
        return step_trailer_lf(chunk, byte);
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
        return step_data_end(chunk, byte);
    case CHUNK_DATA:
    case CHUNK_END:
        break;
    }
    return QK_ERR_INVALID;
}

static size_t chunk_take_data(struct chunk *chunk, struct bytes in, struct buf *body)
{
    size_t len = in.len < chunk->left ? in.len : (size_t)chunk->left;

    buf_put(body, in.data, len);
    chunk->left -= len;
    if (chunk->left == 0)
        chunk->state = CHUNK_DATA_CR;
    return len;
}

enum qk_err chunk_feed(struct chunk *chunk, struct bytes in, struct buf *body, size_t *ret_taken)
{
    enum qk_err err = QK_OK;
    size_t at = 0;

    assert(chunk != NULL && body != NULL);
    while (at < in.len && err == QK_OK && chunk->state != CHUNK_END) {
        if (chunk->state == CHUNK_DATA) {
            at += chunk_take_data(chunk, bytes_slice(in, at, in.len), body);
            err = buf_error(body);
        } else {
            err = chunk_step(chunk, in.data[at++]);
        }
        /* Refused before its bytes come. */
        if (err == QK_OK && chunk->state == CHUNK_DATA && !chunk->streamed &&
            chunk->left > body->max - body->len)
            err = QK_ERR_TOO_BIG;
    }
    *ret_taken = at;
    return err;
}
