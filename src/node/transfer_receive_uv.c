/* The receiving end: one stream at a time. Chunks in order are queued and written by the pool; each
 * piece of work done is acknowledged, which lets the sender go on, so that no more than its window
 * is ever queued here. After END and the last write the file is verified and synced, on the pool,
 * and DONE is said; it is said again whenever the stream is offered again.
 *
 * A gap (something was lost): ACCEPT names the offset wanted. Another stream offered: the one
 * before is dropped, unless it is just being swapped in. The sender silent or away for long:
 * dropped. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/transfer_internal.h"

#define TELL_MS 1000
/* As long as a sender waits for us we wait for it, and a while more. */
#define PATIENCE 2
/* So long one peer has to begin with what it was asked for; a flush may take its time. */
#define ASKING_MS 5000

static void incoming_release(struct incoming *incoming)
{
    struct transfer *transfer = incoming->transfer;

    if (incoming->working)
        return;
    store_staging_free(incoming->staging);
    pieces_free(incoming->head);
    pieces_free(incoming->work_head);
    buf_fini(&incoming->token);
    *incoming = (struct incoming){.transfer = transfer};
    transfer_close_tick(transfer);
}

void incoming_discard(struct incoming *incoming)
{
    if (incoming->state == INCOMING_NONE)
        return;
    incoming->discarded = true;
    incoming_release(incoming);
}

static void incoming_tell(struct incoming *incoming, enum transfer_type type)
{
    struct transfer_message message = {.type = type,
                                       .offset = type == TRANSFER_ACCEPT ? incoming->received
                                                                         : incoming->written,
                                       .outcome = TRANSFER_STAGED};

    memcpy(message.stream, incoming->stream, sizeof message.stream);
    incoming->told_ms = transfer_now(incoming->transfer);
    if (transfer_reply(incoming->transfer, incoming->node_id, &message) != QK_OK)
        log_debug("transfer", "an answer waits for the connection"); /* the sender asks again */
}

static void tell_outcome(struct transfer *transfer, const uint8_t *node_id, const uint8_t *stream,
                         enum transfer_outcome outcome)
{
    struct transfer_message message = {.type = TRANSFER_DONE, .outcome = outcome};

    memcpy(message.stream, stream, sizeof message.stream);
    if (transfer_reply(transfer, node_id, &message) != QK_OK)
        log_debug("transfer", "an outcome could not be told"); /* the sender asks again */
}

static void incoming_fail(struct incoming *incoming, enum qk_err err)
{
    log_warn("transfer", "a snapshot could not be received: %s", qk_err_text(err));
    tell_outcome(incoming->transfer, incoming->node_id, incoming->stream, TRANSFER_FAILED);
    incoming_discard(incoming);
}

/* --- writing, on the pool -------------------------------------------------------------------- */

static void write_work(uv_work_t *work)
{
    struct incoming *incoming = work->data;

    incoming->work_err = QK_OK;
    for (const struct transfer_piece *piece = incoming->work_head;
         piece != NULL && incoming->work_err == QK_OK; piece = piece->next)
        incoming->work_err =
            store_staging_write(incoming->staging, bytes_of(piece->data, piece->len));
}

static void finish_work(uv_work_t *work)
{
    struct incoming *incoming = work->data;

    incoming->work_err = store_staging_finish(incoming->staging);
}

static void incoming_tick(struct incoming *incoming);

static void on_written(uv_work_t *work, int status)
{
    struct incoming *incoming = work->data;

    (void)status; /* never cancelled */
    incoming->working = false;
    for (const struct transfer_piece *piece = incoming->work_head; piece != NULL;
         piece = piece->next)
        incoming->written += piece->len;
    pieces_free(incoming->work_head);
    incoming->work_head = NULL;
    if (incoming->discarded) {
        incoming_release(incoming);
        return;
    }
    if (incoming->work_err != QK_OK) {
        incoming_fail(incoming, incoming->work_err);
        return;
    }
    incoming_tell(incoming, TRANSFER_CREDIT);
    incoming_tick(incoming);
}

static void on_finished(uv_work_t *work, int status)
{
    struct incoming *incoming = work->data;

    (void)status;
    incoming->working = false;
    if (incoming->discarded) {
        incoming_release(incoming);
        return;
    }
    if (incoming->work_err != QK_OK) {
        incoming_fail(incoming, incoming->work_err);
        return;
    }
    incoming->state = INCOMING_STAGED;
    log_info("transfer", "a snapshot of %llu bytes is staged",
             (unsigned long long)incoming->written);
    incoming_tell(incoming, TRANSFER_DONE);
    if (incoming->asked) {
        incoming->state = INCOMING_SWAPPING;
        incoming_swap_tick(incoming);
    }
}

static void incoming_work(struct incoming *incoming, uv_work_cb work, uv_after_work_cb after)
{
    incoming->working = true;
    incoming->work.data = incoming;
    if (uv_queue_work(incoming->transfer->config.loop, &incoming->work, work, after) == 0)
        return;
    incoming->working = false;
    incoming_fail(incoming, QK_ERR_IO);
}

static void incoming_tick(struct incoming *incoming)
{
    if (incoming->state != INCOMING_RECEIVING || incoming->working)
        return;
    if (incoming->head != NULL) {
        incoming->work_head = incoming->head;
        incoming->head = NULL;
        incoming->tail = NULL;
        incoming_work(incoming, write_work, on_written);
    } else if (incoming->written == incoming->end) {
        incoming->state = INCOMING_FINISHING;
        incoming_work(incoming, finish_work, on_finished);
    }
}

/* --- messages -------------------------------------------------------------------------------- */

static bool is_this(const struct incoming *incoming, const uint8_t *node_id,
                    const struct transfer_message *message)
{
    return incoming->state != INCOMING_NONE && !incoming->discarded &&
           memcmp(incoming->node_id, node_id, NODE_ID_BYTES) == 0 &&
           memcmp(incoming->stream, message->stream, sizeof message->stream) == 0;
}

/* An offer that answers the open question, or one that a leader makes by itself; those that answer
 * a question taken back are labelled with nothing that means anything any more. */
static bool is_wanted(const struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *offer)
{
    const struct asking *asking = &transfer->asking;

    if (offer->body.len != TRANSFER_STREAM_BYTES)
        return true;
    return asking->open && memcmp(asking->node_id, node_id, NODE_ID_BYTES) == 0 &&
           bytes_equal(offer->body, bytes_of(asking->mark, sizeof asking->mark));
}

static enum qk_err incoming_begin(struct incoming *incoming, const uint8_t *node_id,
                                  const struct transfer_message *offer)
{
    enum qk_err err;

    incoming->token = BUF_INIT(TRANSFER_TOKEN_BYTES_MAX);
    buf_put_bytes(&incoming->token, offer->body);
    err = buf_error(&incoming->token);
    if (err == QK_OK)
        err = store_staging_begin(store_path(incoming->transfer->config.store), &incoming->staging);
    if (err != QK_OK) {
        buf_fini(&incoming->token);
        return err;
    }
    memcpy(incoming->node_id, node_id, NODE_ID_BYTES);
    memcpy(incoming->stream, offer->stream, sizeof incoming->stream);
    incoming->state = INCOMING_RECEIVING;
    incoming->asked = offer->body.len == TRANSFER_STREAM_BYTES;
    incoming->total = offer->total;
    incoming->end = UINT64_MAX;
    return QK_OK;
}

/* The stream at hand again: say where we stand. */
static void offered_again(struct incoming *incoming)
{
    switch (incoming->state) {
    case INCOMING_RECEIVING:
        incoming_tell(incoming, TRANSFER_ACCEPT);
        return;
    case INCOMING_FINISHING:
        incoming_tell(incoming, TRANSFER_CREDIT);
        return;
    case INCOMING_STAGED:
    case INCOMING_SWAPPING:
        incoming_tell(incoming, TRANSFER_DONE);
        return;
    case INCOMING_NONE:
        return;
    }
}

static void on_offer(struct incoming *incoming, const uint8_t *node_id,
                     const struct transfer_message *offer)
{
    enum qk_err err;

    if (is_this(incoming, node_id, offer)) {
        offered_again(incoming);
        return;
    }
    if (offer->offset > 0 || !is_wanted(incoming->transfer, node_id,
                                        offer)) { /* we had some of it once, or asked once */
        tell_outcome(incoming->transfer, node_id, offer->stream, TRANSFER_UNKNOWN);
        return;
    }
    if (incoming->state != INCOMING_SWAPPING)
        incoming_discard(incoming);
    if (incoming->state != INCOMING_NONE) /* its work is not done: the offer comes again soon */
        return;
    err = incoming_begin(incoming, node_id, offer);
    if (err != QK_OK) {
        log_warn("transfer", "a snapshot cannot be received: %s", qk_err_text(err));
        tell_outcome(incoming->transfer, node_id, offer->stream, TRANSFER_FAILED);
        return;
    }
    log_info("transfer", "receiving a snapshot of about %llu bytes",
             (unsigned long long)offer->total);
    incoming_tell(incoming, TRANSFER_ACCEPT);
}

static void on_chunk(struct incoming *incoming, const struct transfer_message *chunk)
{
    struct transfer_piece *piece;

    if (incoming->state != INCOMING_RECEIVING || chunk->offset < incoming->received)
        return; /* sent twice */
    if (chunk->offset > incoming->received) {
        if (incoming->told_ms != transfer_now(incoming->transfer))
            incoming_tell(incoming, TRANSFER_ACCEPT);
        return;
    }
    if (incoming->received - incoming->written + chunk->body.len > 2 * TRANSFER_WINDOW_BYTES)
        return; /* a sender that ignores the window is not heard */
    piece = malloc(sizeof *piece + chunk->body.len);
    if (piece == NULL) {
        incoming_fail(incoming, QK_ERR_NOMEM);
        return;
    }
    piece->next = NULL;
    piece->offset = chunk->offset;
    piece->len = chunk->body.len;
    memcpy(piece->data, chunk->body.data, piece->len);
    if (incoming->tail == NULL)
        incoming->head = piece;
    else
        incoming->tail->next = piece;
    incoming->tail = piece;
    incoming->received += piece->len;
    incoming_tick(incoming);
}

static void on_end(struct incoming *incoming, const struct transfer_message *end)
{
    if (incoming->state != INCOMING_RECEIVING)
        return;
    if (end->offset < incoming->received) {
        incoming_fail(incoming, QK_ERR_CORRUPT);
    } else if (end->offset > incoming->received) {
        incoming_tell(incoming, TRANSFER_ACCEPT);
    } else {
        incoming->end = end->offset;
        incoming_tick(incoming);
    }
}

void incoming_message(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *message)
{
    struct incoming *incoming = &transfer->incoming;

    if (is_this(incoming, node_id, message))
        incoming->heard_ms = transfer_now(transfer);
    if (message->type == TRANSFER_OFFER) {
        on_offer(incoming, node_id, message);
        incoming->heard_ms = transfer_now(transfer);
        return;
    }
    if (!is_this(incoming, node_id, message)) {
        if (message->type != TRANSFER_ABORT)
            tell_outcome(transfer, node_id, message->stream, TRANSFER_UNKNOWN);
        return;
    }
    if (message->type == TRANSFER_CHUNK)
        on_chunk(incoming, message);
    else if (message->type == TRANSFER_END)
        on_end(incoming, message);
    else if (incoming->state != INCOMING_STAGED && incoming->state != INCOMING_SWAPPING)
        incoming_discard(incoming); /* ABORT; what is staged is whole and may still be wanted */
}

void incoming_peer(struct incoming *incoming, const uint8_t *node_id, bool up)
{
    if (incoming->state == INCOMING_NONE || memcmp(incoming->node_id, node_id, NODE_ID_BYTES) != 0)
        return;
    incoming->away = !up;
    incoming->heard_ms = transfer_now(incoming->transfer);
}

void incoming_second(struct incoming *incoming)
{
    const struct transfer_config *config = &incoming->transfer->config;
    uint64_t now = transfer_now(incoming->transfer);
    uint64_t patience =
        PATIENCE * (uint64_t)(incoming->away ? config->away_ms : config->silence_ms);

    if (incoming->discarded ||
        (incoming->state != INCOMING_RECEIVING && incoming->state != INCOMING_FINISHING))
        return;
    if (incoming->state == INCOMING_RECEIVING && now - incoming->heard_ms >= patience) {
        log_warn("transfer", "the sender of a snapshot is gone, what was received is dropped");
        incoming_discard(incoming);
    } else if (incoming->working && now - incoming->told_ms >= TELL_MS) {
        incoming_tell(incoming, TRANSFER_CREDIT); /* slow, not dead */
    }
}

/* --- what consensus asks ---------------------------------------------------------------------- */

bool transfer_staged(const struct transfer *transfer, struct bytes token)
{
    const struct incoming *incoming = &transfer->incoming;

    return (incoming->state == INCOMING_STAGED || incoming->state == INCOMING_SWAPPING) &&
           !incoming->discarded && bytes_equal(buf_bytes(&incoming->token), token);
}

static void on_durable(void *arg, enum qk_err err)
{
    struct incoming *incoming = arg;
    struct transfer *transfer = incoming->transfer;
    bool closing = transfer->closing;
    bool asked = incoming->asked;

    incoming->working = false;
    incoming_discard(incoming);
    if (closing)
        return;
    if (asked)
        transfer->config.restored(transfer->config.arg, err);
    else
        transfer->config.installed(transfer->config.arg, err);
}

static void on_swapped(void *arg, enum qk_err err)
{
    struct incoming *incoming = arg;

    /* The log brought as much in the meantime: then that must be durable, since consensus lets go
     * of the log before the snapshot. */
    if (err == QK_ERR_STALE)
        store_flush(incoming->transfer->config.store, on_durable, incoming);
    else
        on_durable(incoming, err);
}

void incoming_swap_tick(struct incoming *incoming)
{
    struct transfer *transfer = incoming->transfer;

    if (incoming->state != INCOMING_SWAPPING || incoming->working || incoming->discarded ||
        outgoing_active(transfer) > 0 ||
        (transfer->config.may_swap != NULL && !transfer->config.may_swap(transfer->config.arg)))
        return;
    incoming->working = true;
    store_swap(transfer->config.store, incoming->staging, on_swapped, incoming);
}

void transfer_install(struct transfer *transfer, struct bytes token)
{
    struct incoming *incoming = &transfer->incoming;

    if (!transfer_staged(transfer, token) || incoming->state != INCOMING_STAGED) {
        transfer->config.installed(transfer->config.arg, QK_ERR_NOT_FOUND);
        return;
    }
    for (size_t i = 0; i < OUTGOING_SLOTS; i++) /* who installs does not lead: no one waits */
        outgoing_abandon(&transfer->outgoing[i]);
    incoming->state = INCOMING_SWAPPING;
    incoming_swap_tick(incoming);
}

/* --- asking for a store ----------------------------------------------------------------------- */

void transfer_ask(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                  uint64_t index)
{
    struct asking *asking = &transfer->asking;
    struct transfer_message ask = {.type = TRANSFER_ASK, .offset = index};

    assert(!transfer->closing);
    asking->index = index;
    asking->since_ms = transfer_now(transfer);
    memcpy(asking->node_id, node_id, NODE_ID_BYTES);
    randombytes_buf(asking->mark, sizeof asking->mark);
    memcpy(ask.stream, asking->mark, sizeof ask.stream);
    asking->open = transfer_reply(transfer, node_id, &ask) == QK_OK;
}

bool transfer_is_asking(const struct transfer *transfer)
{
    const struct incoming *incoming = &transfer->incoming;
    uint64_t now = transfer_now(transfer);

    /* What a leader had staged here and never had installed does not count for long. */
    if (incoming->state != INCOMING_NONE &&
        (incoming->state != INCOMING_STAGED || now - incoming->heard_ms < ASKING_MS))
        return true;
    return transfer->asking.open && now - transfer->asking.since_ms < ASKING_MS;
}

void incoming_refused(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *done)
{
    struct asking *asking = &transfer->asking;

    if (asking->open && memcmp(asking->node_id, node_id, NODE_ID_BYTES) == 0 &&
        memcmp(asking->mark, done->stream, sizeof asking->mark) == 0)
        asking->open = false;
}
