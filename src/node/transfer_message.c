#include "node/transfer_message.h"

#include <string.h>

#include "node/transfer_uv.h"
#include "store/crc.h"

void transfer_message_write(const struct transfer_message *message, struct buf *out)
{
    buf_put_u8(out, (uint8_t)message->type);
    buf_put(out, message->stream, sizeof message->stream);
    switch (message->type) {
    case TRANSFER_OFFER:
        buf_put_u64(out, message->offset);
        buf_put_u64(out, message->total);
        buf_put_u32(out, (uint32_t)message->body.len);
        return;
    case TRANSFER_CHUNK:
        buf_put_u64(out, message->offset);
        buf_put_u32(out, crc32c(0, message->body));
        return;
    case TRANSFER_END:
    case TRANSFER_ACCEPT:
    case TRANSFER_CREDIT:
    case TRANSFER_ASK:
        buf_put_u64(out, message->offset);
        return;
    case TRANSFER_DONE:
        buf_put_u8(out, (uint8_t)message->outcome);
        return;
    case TRANSFER_ABORT:
        return;
    }
}

static enum qk_err read_chunk(struct reader *reader, struct transfer_message *message)
{
    uint32_t crc;

    message->offset = reader_u64(reader);
    crc = reader_u32(reader);
    message->body = reader_rest(reader);
    if (reader_error(reader) != QK_OK || message->body.len == 0 ||
        message->body.len > TRANSFER_CHUNK_BYTES)
        return QK_ERR_INVALID;
    return crc == crc32c(0, message->body) ? QK_OK : QK_ERR_CORRUPT;
}

static enum qk_err read_rest(struct reader *reader, struct transfer_message *message)
{
    uint8_t outcome;

    switch (message->type) {
    case TRANSFER_OFFER:
        message->offset = reader_u64(reader);
        message->total = reader_u64(reader);
        message->body = reader_blob(reader, TRANSFER_TOKEN_BYTES_MAX);
        break;
    case TRANSFER_CHUNK:
        return read_chunk(reader, message);
    case TRANSFER_END:
    case TRANSFER_ACCEPT:
    case TRANSFER_CREDIT:
    case TRANSFER_ASK:
        message->offset = reader_u64(reader);
        break;
    case TRANSFER_DONE:
        outcome = reader_u8(reader);
        if (outcome > TRANSFER_UNKNOWN)
            return QK_ERR_INVALID;
        message->outcome = (enum transfer_outcome)outcome;
        break;
    case TRANSFER_ABORT:
        break;
    }
    return reader_end(reader);
}

enum qk_err transfer_message_read(struct bytes in, struct transfer_message *ret_message)
{
    struct reader reader = reader_of(in);
    struct transfer_message message = {.body = BYTES_NONE};
    uint8_t type = reader_u8(&reader);
    enum qk_err err;

    if (type < TRANSFER_OFFER || type > TRANSFER_ASK)
        return QK_ERR_INVALID;
    message.type = (enum transfer_type)type;
    reader_copy(&reader, message.stream, sizeof message.stream);
    err = read_rest(&reader, &message);
    if (err == QK_OK)
        *ret_message = message;
    return err;
}
