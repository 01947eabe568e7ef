#include "node/transfer_uv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/transfer_internal.h"

#define SILENCE_MS 30000
#define AWAY_MS 60000
#define TICK_MS 1000

uint64_t transfer_now(const struct transfer *transfer)
{
    return uv_now(transfer->config.loop);
}

enum qk_err transfer_reply(struct transfer *transfer, const uint8_t *node_id,
                           const struct transfer_message *message)
{
    struct buf head = BUF_INIT(TRANSFER_HEAD_BYTES_MAX);
    struct bytes parts[2];
    enum qk_err err;

    transfer_message_write(message, &head);
    err = buf_error(&head);
    parts[0] = buf_bytes(&head);
    parts[1] = message->body;
    if (err == QK_OK)
        err = transfer->config.send(transfer->config.arg, node_id, parts,
                                    message->body.len > 0 ? 2 : 1);
    buf_fini(&head);
    return err;
}

void pieces_free(struct transfer_piece *piece)
{
    while (piece != NULL) {
        struct transfer_piece *next = piece->next;

        free(piece);
        piece = next;
    }
}

static void on_second(uv_timer_t *timer)
{
    struct transfer *transfer = timer->data;

    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        outgoing_second(&transfer->outgoing[i]);
    outgoing_start_waiting(transfer);
    incoming_second(&transfer->incoming);
    incoming_swap_tick(&transfer->incoming);
}

bool transfer_is_busy(struct transfer *transfer)
{
    uint64_t now = transfer_now(transfer), n = 0;

    if (transfer->config.commands != NULL)
        n = transfer->config.commands(transfer->config.arg);
    if (n != transfer->commands_n)
        transfer->busy_until_ms = now + TRANSFER_BUSY_MS;
    transfer->commands_n = n;
    return now < transfer->busy_until_ms;
}

static void on_pace(uv_timer_t *timer)
{
    struct transfer *transfer = timer->data;

    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        outgoing_tick(&transfer->outgoing[i]);
}

void transfer_pace(struct transfer *transfer)
{
    if (!uv_is_active((uv_handle_t *)&transfer->pace))
        (void)uv_timer_start(&transfer->pace, on_pace, TRANSFER_PACE_MS, 0);
}

enum qk_err transfer_create(const struct transfer_config *config, struct transfer **ret_transfer)
{
    struct transfer *transfer = calloc(1, sizeof *transfer);

    if (transfer == NULL)
        return QK_ERR_NOMEM;
    transfer->config = *config;
    if (transfer->config.silence_ms == 0)
        transfer->config.silence_ms = SILENCE_MS;
    if (transfer->config.away_ms == 0)
        transfer->config.away_ms = AWAY_MS;
    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        transfer->outgoing[i].transfer = transfer;
    transfer->incoming.transfer = transfer;
    transfer->timer.data = transfer->pace.data = transfer;
    (void)uv_timer_init(config->loop, &transfer->timer); /* cannot fail in libuv 1 */
    (void)uv_timer_init(config->loop, &transfer->pace);
    transfer->handles_n = 2;
    (void)uv_timer_start(&transfer->timer, on_second, TICK_MS, TICK_MS);
    *ret_transfer = transfer;
    return QK_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct transfer *transfer = handle->data;
    void (*cb)(void *arg) = transfer->close_cb;
    void *arg = transfer->close_arg;

    if (--transfer->handles_n > 0)
        return;
    free(transfer);
    cb(arg);
}

void transfer_close_tick(struct transfer *transfer)
{
    if (!transfer->closing || uv_is_closing((uv_handle_t *)&transfer->timer))
        return;
    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        if (transfer->outgoing[i].state != OUTGOING_NONE)
            return;
    if (transfer->incoming.state != INCOMING_NONE)
        return;
    uv_close((uv_handle_t *)&transfer->timer, on_closed);
    uv_close((uv_handle_t *)&transfer->pace, on_closed);
}

void transfer_free(struct transfer *transfer, void (*cb)(void *arg), void *arg)
{
    assert(!transfer->closing);
    transfer->closing = true;
    transfer->close_cb = cb;
    transfer->close_arg = arg;
    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        outgoing_abandon(&transfer->outgoing[i]);
    incoming_discard(&transfer->incoming);
    transfer_close_tick(transfer);
}

static bool is_for(const struct outgoing *outgoing, const uint8_t *node_id)
{
    return outgoing->state != OUTGOING_NONE && !outgoing->abandoned &&
           memcmp(outgoing->node_id, node_id, NODE_ID_BYTES) == 0;
}

static void peer_changed(struct transfer *transfer, const uint8_t *node_id, bool up)
{
    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        if (is_for(&transfer->outgoing[i], node_id))
            outgoing_peer(&transfer->outgoing[i], up);
    incoming_peer(&transfer->incoming, node_id, up);
}

void transfer_peer_up(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES])
{
    if (transfer != NULL && !transfer->closing)
        peer_changed(transfer, node_id, true);
}

void transfer_peer_down(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES])
{
    if (transfer != NULL && !transfer->closing)
        peer_changed(transfer, node_id, false);
}

void transfer_drained(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES])
{
    if (transfer == NULL || transfer->closing)
        return;
    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        if (is_for(&transfer->outgoing[i], node_id))
            outgoing_tick(&transfer->outgoing[i]);
}

/* A damaged chunk is dropped like a lost one: the sender is asked again from where we stand. */
void transfer_receive(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                      struct bytes in)
{
    struct transfer_message message;

    if (transfer == NULL || transfer->closing || transfer_message_read(in, &message) != QK_OK)
        return;
    switch (message.type) {
    case TRANSFER_OFFER:
    case TRANSFER_CHUNK:
    case TRANSFER_END:
    case TRANSFER_ABORT:
        incoming_message(transfer, node_id, &message);
        return;
    case TRANSFER_ACCEPT:
    case TRANSFER_CREDIT:
        outgoing_message(transfer, node_id, &message);
        return;
    case TRANSFER_DONE:
        incoming_refused(transfer, node_id, &message);
        outgoing_message(transfer, node_id, &message);
        return;
    case TRANSFER_ASK:
        outgoing_asked(transfer, node_id, &message);
        return;
    }
}

size_t transfer_progress(const struct transfer *transfer,
                         struct transfer_progress ret_progress[static TRANSFERS_MAX + 1])
{
    const struct incoming *incoming = &transfer->incoming;
    size_t n = 0;

    for (size_t i = 0; i < OUTGOING_SLOTS; i++) {
        const struct outgoing *outgoing = &transfer->outgoing[i];

        if (outgoing->state <= OUTGOING_WAITING || outgoing->abandoned || n == TRANSFERS_MAX)
            continue;
        ret_progress[n] = (struct transfer_progress){
            .sending = true, .bytes = outgoing->acked, .total = outgoing->total};
        memcpy(ret_progress[n++].node_id, outgoing->node_id, NODE_ID_BYTES);
    }
    if (incoming->state == INCOMING_NONE || incoming->discarded)
        return n;
    ret_progress[n] =
        (struct transfer_progress){.bytes = incoming->written, .total = incoming->total};
    memcpy(ret_progress[n++].node_id, incoming->node_id, NODE_ID_BYTES);
    return n;
}
