#include "link/inbox.h"

#include <assert.h>

/* A bigger buffer is given back after its message, so that an idle link stays small. */
#define CHANNEL_KEPT_BYTES (8 * KIB)

void inbox_init(struct inbox *inbox)
{
    for (unsigned i = 0; i <= LINK_CHANNEL_MAX; i++)
        inbox->channels[i] = (struct inbox_channel){.buf = BUF_SECRET_INIT(LINK_MESSAGE_BYTES_MAX)};
}

void inbox_fini(struct inbox *inbox)
{
    for (unsigned i = 0; i <= LINK_CHANNEL_MAX; i++)
        buf_fini(&inbox->channels[i].buf);
}

static enum qk_err append(struct inbox_channel *channel, struct bytes piece, bool *ret_whole,
                          struct bytes *ret_message)
{
    if (piece.len == 0 || piece.len > channel->total - channel->buf.len)
        return QK_ERR_CORRUPT;
    buf_put_bytes(&channel->buf, piece);
    if (buf_error(&channel->buf) != QK_OK)
        return buf_error(&channel->buf);
    if (channel->buf.len == channel->total) {
        channel->open = false;
        *ret_whole = true;
        *ret_message = buf_bytes(&channel->buf);
    }
    return QK_OK;
}

enum qk_err inbox_first(struct inbox *inbox, uint8_t channel, uint32_t total, struct bytes piece,
                        bool *ret_whole, struct bytes *ret_message)
{
    struct inbox_channel *at;

    *ret_whole = false;
    if (channel < 1 || channel > LINK_CHANNEL_MAX || total > LINK_MESSAGE_BYTES_MAX)
        return QK_ERR_CORRUPT;
    at = &inbox->channels[channel];
    if (at->open || piece.len > total)
        return QK_ERR_CORRUPT;
    if (piece.len == total) {
        *ret_whole = true;
        *ret_message = piece;
        return QK_OK;
    }
    at->open = true;
    at->total = total;
    return append(at, piece, ret_whole, ret_message);
}

enum qk_err inbox_more(struct inbox *inbox, uint8_t channel, struct bytes piece, bool *ret_whole,
                       struct bytes *ret_message)
{
    *ret_whole = false;
    if (channel < 1 || channel > LINK_CHANNEL_MAX || !inbox->channels[channel].open)
        return QK_ERR_CORRUPT;
    return append(&inbox->channels[channel], piece, ret_whole, ret_message);
}

void inbox_done(struct inbox *inbox, uint8_t channel)
{
    struct buf *buf;

    assert(channel >= 1 && channel <= LINK_CHANNEL_MAX);
    if (inbox->channels[channel].open)
        return;
    buf = &inbox->channels[channel].buf;
    if (buf->cap > CHANNEL_KEPT_BYTES)
        buf_fini(buf);
    else
        buf_reset(buf);
}
