/* What waits to be sent to one peer: a queue a channel, cut into records when the socket takes
 * more. Records of different channels interleave, so that no message waits behind a long one of
 * another channel. Pure. */
#ifndef LINK_OUTBOX_H
#define LINK_OUTBOX_H

#include "base/bytes.h"
#include "link/link.h"

struct outbox_message; /* plaintext, wiped when freed */

struct outbox {
    struct outbox_queue {
        struct outbox_message *first, *last;
    } queues[LINK_CHANNEL_MAX + 1]; /* index 0 is unused */
    size_t bytes;                   /* not yet cut, all channels */
    size_t bulk_bytes;              /* of LINK_SNAPSHOT */
    unsigned turn;                  /* the channel served last */
    unsigned bulk_turn;             /* records since bulk had one */
};

/* A zeroed outbox is empty. Frees and wipes what waits. */
void outbox_fini(struct outbox *outbox);
/* Copies a message in. QK_ERR_TOO_BIG, QK_ERR_BUSY (bounds in link.h), QK_ERR_NOMEM. */
MUST_USE enum qk_err outbox_put(struct outbox *outbox, enum link_channel channel,
                                const struct bytes *parts, size_t parts_n);
bool outbox_is_empty(const struct outbox *outbox);

/* The next piece to send, at most `len_max` bytes; borrowed until outbox_taken. */
struct outbox_piece {
    enum link_channel channel;
    bool first; /* of its message, whose length is `total` */
    uint32_t total;
    struct bytes data;
};
/* The outbox must not be empty. */
struct outbox_piece outbox_next(struct outbox *outbox, size_t len_max);
void outbox_taken(struct outbox *outbox, const struct outbox_piece *piece);

#endif
