/* The other end of outbox: puts the pieces of each channel together again. Pure. */
#ifndef LINK_INBOX_H
#define LINK_INBOX_H

#include <stdbool.h>

#include "base/bytes.h"
#include "link/link.h"

struct inbox {
    struct inbox_channel {
        struct buf buf; /* secret */
        bool open;      /* between a first piece and the whole message */
        uint32_t total;
    } channels[LINK_CHANNEL_MAX + 1];
};

void inbox_init(struct inbox *inbox);
void inbox_fini(struct inbox *inbox);
/* Takes a message's first piece / a further one. When the message is whole, `*ret_whole` is true
 * and `ret_message` borrows until inbox_done; a message of one piece borrows from `piece`.
 * QK_ERR_CORRUPT: not a channel, over LINK_MESSAGE_BYTES_MAX, out of place, or more than the
 * message has left. */
MUST_USE enum qk_err inbox_first(struct inbox *inbox, uint8_t channel, uint32_t total,
                                 struct bytes piece, bool *ret_whole, struct bytes *ret_message);
MUST_USE enum qk_err inbox_more(struct inbox *inbox, uint8_t channel, struct bytes piece,
                                bool *ret_whole, struct bytes *ret_message);
/* The whole message of `channel` was used: wipes it. */
void inbox_done(struct inbox *inbox, uint8_t channel);

#endif
