#include "link/outbox.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

/* With others waiting, bulk gets one record in so many: a snapshot goes on under a steady load of
 * Raft, and Raft waits for at most one record. */
#define BULK_TURN 8

/* Each message costs its header too, so that a flood of empty ones is bounded. */
#define MESSAGE_COST_BYTES sizeof(struct outbox_message)

struct outbox_message {
    struct outbox_message *next;
    size_t len, taken;
    uint8_t data[];
};

static void message_free(struct outbox_message *message)
{
    secret_wipe(message->data, message->len);
    free(message);
}

void outbox_fini(struct outbox *outbox)
{
    for (unsigned i = 1; i <= LINK_CHANNEL_MAX; i++) {
        while (outbox->queues[i].first != NULL) {
            struct outbox_message *message = outbox->queues[i].first;

            outbox->queues[i].first = message->next;
            message_free(message);
        }
    }
    *outbox = (struct outbox){.bytes = 0};
}

static enum qk_err parts_length(const struct bytes *parts, size_t parts_n, size_t *ret_len)
{
    size_t len = 0;

    for (size_t i = 0; i < parts_n; i++) {
        if (parts[i].len > LINK_MESSAGE_BYTES_MAX - len)
            return QK_ERR_TOO_BIG;
        len += parts[i].len;
    }
    *ret_len = len;
    return QK_OK;
}

static struct outbox_message *message_new(const struct bytes *parts, size_t parts_n, size_t len)
{
    struct outbox_message *message = malloc(sizeof *message + len);
    size_t at = 0;

    if (message == NULL)
        return NULL;
    *message = (struct outbox_message){.len = len};
    for (size_t i = 0; i < parts_n; i++) {
        if (parts[i].len > 0)
            memcpy(message->data + at, parts[i].data, parts[i].len);
        at += parts[i].len;
    }
    return message;
}

enum qk_err outbox_put(struct outbox *outbox, enum link_channel channel, const struct bytes *parts,
                       size_t parts_n)
{
    struct outbox_queue *queue = &outbox->queues[channel];
    struct outbox_message *message;
    size_t len;

    assert(channel >= 1 && channel <= LINK_CHANNEL_MAX);
    if (parts_length(parts, parts_n, &len) != QK_OK)
        return QK_ERR_TOO_BIG;
    if (outbox->bytes + len + MESSAGE_COST_BYTES > LINK_QUEUE_BYTES_MAX)
        return QK_ERR_BUSY;
    /* One message always fits, whatever its length. */
    if (channel == LINK_SNAPSHOT && outbox->bulk_bytes > 0 &&
        outbox->bulk_bytes + len > LINK_SNAPSHOT_QUEUE_BYTES_MAX)
        return QK_ERR_BUSY;
    message = message_new(parts, parts_n, len);
    if (message == NULL)
        return QK_ERR_NOMEM;
    if (queue->first == NULL)
        queue->first = message;
    else
        queue->last->next = message;
    queue->last = message;
    outbox->bytes += len + MESSAGE_COST_BYTES;
    if (channel == LINK_SNAPSHOT)
        outbox->bulk_bytes += len + MESSAGE_COST_BYTES;
    return QK_OK;
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->bytes == 0;
}

/* Round robin over the channels that have something, bulk only in its turn or alone. */
static enum link_channel pick_channel(struct outbox *outbox)
{
    bool bulk = outbox->queues[LINK_SNAPSHOT].first != NULL;
    unsigned channel = outbox->turn;

    if (bulk && ++outbox->bulk_turn >= BULK_TURN)
        return LINK_SNAPSHOT;
    for (unsigned i = 0; i < LINK_CHANNEL_MAX; i++) {
        channel = channel % LINK_CHANNEL_MAX + 1;
        if (channel != LINK_SNAPSHOT && outbox->queues[channel].first != NULL) {
            outbox->turn = channel;
            return (enum link_channel)channel;
        }
    }
    assert(bulk);
    return LINK_SNAPSHOT;
}

struct outbox_piece outbox_next(struct outbox *outbox, size_t len_max)
{
    enum link_channel channel = pick_channel(outbox);
    const struct outbox_message *message = outbox->queues[channel].first;
    size_t len = message->len - message->taken;

    return (struct outbox_piece){
        .channel = channel,
        .first = message->taken == 0,
        .total = (uint32_t)message->len,
        .data = {message->data + message->taken, len < len_max ? len : len_max},
    };
}

void outbox_taken(struct outbox *outbox, const struct outbox_piece *piece)
{
    struct outbox_queue *queue = &outbox->queues[piece->channel];
    struct outbox_message *message = queue->first;
    size_t cost = piece->data.len;

    message->taken += piece->data.len;
    if (message->taken == message->len) {
        cost += MESSAGE_COST_BYTES;
        queue->first = message->next;
        message_free(message);
    }
    outbox->bytes -= cost;
    if (piece->channel == LINK_SNAPSHOT) {
        outbox->bulk_bytes -= cost;
        outbox->bulk_turn = 0;
    }
}
