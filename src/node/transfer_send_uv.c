/* The sending end. A stream runs: flush, open the snapshot, OFFER; at ACCEPT it streams from the
 * offset the peer names; the pool reads ahead while less than the window is unacknowledged; after
 * the last chunk END, and DONE of the peer ends it.
 *
 * A lost connection: the stream stands still, what is unacknowledged stays; at the next connection
 * it is offered again. Silence for some seconds: it is offered again, too, which the peer answers
 * with where it stands, so that any lost message is made good. Silence for silence_ms, or absence
 * for away_ms, or DONE with a failure, or damage in the own file: `sent` tells the error. */
#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/transfer_internal.h"

#define PROBE_MS 3000

/* Frees what can be freed now; the rest when the work at hand is done. */
static void outgoing_release(struct outgoing *outgoing)
{
    struct transfer *transfer = outgoing->transfer;

    if (outgoing->working)
        return;
    store_snapshot_close(outgoing->snapshot);
    pieces_free(outgoing->head);
    buf_fini(&outgoing->token);
    buf_fini(&outgoing->read);
    if (outgoing->flushing != NULL)
        outgoing->flushing->outgoing = NULL;
    *outgoing = (struct outgoing){.transfer = transfer};
    incoming_swap_tick(&transfer->incoming);
    transfer_close_tick(transfer);
}

void outgoing_abandon(struct outgoing *outgoing)
{
    struct transfer_message abort_message = {.type = TRANSFER_ABORT};

    if (outgoing->state == OUTGOING_NONE)
        return;
    if (!outgoing->abandoned && outgoing->state > OUTGOING_FLUSHING) {
        memcpy(abort_message.stream, outgoing->stream, sizeof abort_message.stream);
        /* If it is lost, the peer drops the stream after a while by itself. */
        if (transfer_reply(outgoing->transfer, outgoing->node_id, &abort_message) != QK_OK)
            log_debug("transfer", "the peer could not be told that a stream ends");
    }
    outgoing->abandoned = true;
    outgoing_release(outgoing);
}

/* Ends it with `err`; the callback comes once no work is under way, from the loop. */
static void outgoing_over(struct outgoing *outgoing, enum qk_err err)
{
    if (outgoing->state == OUTGOING_OVER)
        return;
    outgoing->state = OUTGOING_OVER;
    outgoing->outcome = err;
}

static void outgoing_conclude(struct outgoing *outgoing)
{
    struct transfer *transfer = outgoing->transfer;
    struct buf token = outgoing->token;
    uint64_t peer = outgoing->peer;
    enum qk_err err = outgoing->outcome;
    bool asked = outgoing->asked;

    if (outgoing->abandoned) {
        outgoing_release(outgoing);
        return;
    }
    if (outgoing->state != OUTGOING_OVER || outgoing->working)
        return;
    outgoing->token = BUF_INIT(TRANSFER_TOKEN_BYTES_MAX);
    if (err != QK_OK)
        outgoing_abandon(outgoing); /* tells the peer, too */
    else
        outgoing_release(outgoing);
    if (!asked)
        transfer->config.sent(transfer->config.arg, peer, buf_bytes(&token), err);
    buf_fini(&token);
    outgoing_start_waiting(transfer);
}

static void outgoing_offer(struct outgoing *outgoing)
{
    struct transfer_message offer = {.type = TRANSFER_OFFER,
                                     .offset = outgoing->acked,
                                     .total = outgoing->total,
                                     .body = buf_bytes(&outgoing->token)};

    memcpy(offer.stream, outgoing->stream, sizeof offer.stream);
    outgoing->probed_ms = transfer_now(outgoing->transfer);
    if (transfer_reply(outgoing->transfer, outgoing->node_id, &offer) != QK_OK)
        log_debug("transfer", "an offer waits for the connection"); /* the next second asks again */
}

static void on_flushed(void *arg, enum qk_err err)
{
    struct flushing *flushing = arg;
    struct outgoing *outgoing = flushing->outgoing;

    free(flushing);
    if (outgoing == NULL)
        return;
    outgoing->flushing = NULL;
    if (err == QK_OK)
        err = store_snapshot_open(outgoing->transfer->config.store, &outgoing->snapshot);
    if (err != QK_OK) {
        outgoing_over(outgoing, err);
        outgoing_conclude(outgoing);
        return;
    }
    outgoing->state = OUTGOING_OFFERED;
    outgoing->total = store_snapshot_estimate(outgoing->snapshot);
    outgoing->heard_ms = transfer_now(outgoing->transfer);
    outgoing_offer(outgoing);
}

static void outgoing_start(struct outgoing *outgoing)
{
    struct flushing *flushing = calloc(1, sizeof *flushing);

    if (flushing == NULL) {
        outgoing_over(outgoing, QK_ERR_NOMEM); /* told within the second */
        return;
    }
    flushing->outgoing = outgoing;
    outgoing->flushing = flushing;
    outgoing->state = OUTGOING_FLUSHING;
    store_flush(outgoing->transfer->config.store, on_flushed, flushing);
}

size_t outgoing_active(const struct transfer *transfer)
{
    size_t n = 0;

    for (size_t i = 0; i < OUTGOING_SLOTS; i++)
        n += transfer->outgoing[i].state > OUTGOING_WAITING;
    return n;
}

void outgoing_start_waiting(struct transfer *transfer)
{
    size_t active = outgoing_active(transfer);

    if (transfer->closing || transfer->incoming.state == INCOMING_SWAPPING)
        return;
    for (size_t i = 0; i < OUTGOING_SLOTS && active < TRANSFERS_MAX; i++)
        if (transfer->outgoing[i].state == OUTGOING_WAITING) {
            outgoing_start(&transfer->outgoing[i]);
            active++;
        }
}

static struct outgoing *outgoing_slot(struct transfer *transfer, const uint8_t *node_id)
{
    struct outgoing *slot = NULL;

    for (size_t i = 0; i < OUTGOING_SLOTS; i++) {
        struct outgoing *outgoing = &transfer->outgoing[i];

        if (outgoing->state != OUTGOING_NONE && !outgoing->abandoned &&
            memcmp(outgoing->node_id, node_id, NODE_ID_BYTES) == 0)
            outgoing_abandon(outgoing);
        if (outgoing->state == OUTGOING_NONE)
            slot = outgoing;
    }
    return slot;
}

static void outgoing_begin(struct transfer *transfer, const uint8_t *node_id, uint64_t peer,
                           struct bytes token, bool asked)
{
    struct outgoing *outgoing = outgoing_slot(transfer, node_id);

    assert(!transfer->closing);
    assert(token.len <= TRANSFER_TOKEN_BYTES_MAX);
    assert(outgoing != NULL); /* one a node, and fewer that only end */
    outgoing->token = BUF_INIT(TRANSFER_TOKEN_BYTES_MAX);
    outgoing->read = BUF_INIT(TRANSFER_CHUNK_BYTES);
    outgoing->peer = peer;
    outgoing->asked = asked;
    outgoing->work.data = outgoing;
    memcpy(outgoing->node_id, node_id, NODE_ID_BYTES);
    randombytes_buf(outgoing->stream, sizeof outgoing->stream);
    outgoing->state = OUTGOING_WAITING;
    buf_put_bytes(&outgoing->token, token);
    if (buf_error(&outgoing->token) != QK_OK)
        outgoing_over(outgoing, QK_ERR_NOMEM); /* told within the second */
    outgoing_start_waiting(transfer);
}

void transfer_send(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                   uint64_t peer, struct bytes token)
{
    outgoing_begin(transfer, node_id, peer, token, false);
}

/* Does consensus stream to that peer already? Then that store will do. */
static bool is_streaming(const struct transfer *transfer, const uint8_t *node_id)
{
    for (size_t i = 0; i < OUTGOING_SLOTS; i++) {
        const struct outgoing *outgoing = &transfer->outgoing[i];

        if (outgoing->state != OUTGOING_NONE && !outgoing->abandoned && !outgoing->asked &&
            memcmp(outgoing->node_id, node_id, NODE_ID_BYTES) == 0)
            return true;
    }
    return false;
}

void outgoing_asked(struct transfer *transfer, const uint8_t *node_id,
                    const struct transfer_message *ask)
{
    struct transfer_message refusal = {.type = TRANSFER_DONE, .outcome = TRANSFER_UNKNOWN};

    if (transfer->incoming.state == INCOMING_NONE && !is_streaming(transfer, node_id) &&
        transfer->config.gives(transfer->config.arg, ask->offset)) {
        log_info("transfer", "a member has lost its store and asks for this one");
        outgoing_begin(transfer, node_id, 0, bytes_of(ask->stream, sizeof ask->stream), true);
        return;
    }
    memcpy(refusal.stream, ask->stream, sizeof refusal.stream);
    if (transfer_reply(transfer, node_id, &refusal) != QK_OK)
        log_debug("transfer", "a refusal could not be told"); /* the asker goes on by itself */
}

/* --- reading ahead, on the pool -------------------------------------------------------------- */

static void read_work(uv_work_t *work)
{
    struct outgoing *outgoing = work->data;

    outgoing->read_err =
        store_snapshot_read(outgoing->snapshot, TRANSFER_CHUNK_BYTES, &outgoing->read);
}

static enum qk_err read_take(struct outgoing *outgoing)
{
    struct transfer_piece *piece;

    if (outgoing->read_err != QK_OK)
        return outgoing->read_err;
    if (outgoing->read.len == 0) {
        outgoing->produced_all = true;
        return QK_OK;
    }
    piece = malloc(sizeof *piece + outgoing->read.len);
    if (piece == NULL)
        return QK_ERR_NOMEM;
    piece->next = NULL;
    piece->offset = outgoing->produced;
    piece->len = outgoing->read.len;
    memcpy(piece->data, outgoing->read.data, piece->len);
    if (outgoing->tail == NULL)
        outgoing->head = piece;
    else
        outgoing->tail->next = piece;
    outgoing->tail = piece;
    outgoing->produced += piece->len;
    return QK_OK;
}

static void on_read(uv_work_t *work, int status)
{
    struct outgoing *outgoing = work->data;

    (void)status; /* never cancelled */
    outgoing->working = false;
    if (!outgoing->abandoned && outgoing->state != OUTGOING_OVER) {
        enum qk_err err = read_take(outgoing);

        if (err != QK_OK) {
            log_error("transfer", "%s", store_snapshot_error(outgoing->snapshot));
            outgoing_over(outgoing, err);
        }
        buf_reset(&outgoing->read);
        outgoing_tick(outgoing);
    }
    outgoing_conclude(outgoing);
}

static void outgoing_read_ahead(struct outgoing *outgoing)
{
    if (outgoing->working || outgoing->produced_all ||
        outgoing->produced - outgoing->acked + TRANSFER_CHUNK_BYTES > TRANSFER_WINDOW_BYTES)
        return;
    if (transfer_is_busy(outgoing->transfer) &&
        transfer_now(outgoing->transfer) - outgoing->read_ms < TRANSFER_PACE_MS) {
        transfer_pace(outgoing->transfer);
        return;
    }
    outgoing->read_ms = transfer_now(outgoing->transfer);
    outgoing->working = true;
    if (uv_queue_work(outgoing->transfer->config.loop, &outgoing->work, read_work, on_read) != 0) {
        outgoing->working = false;
        outgoing_over(outgoing, QK_ERR_IO);
    }
}

/* --- streaming ------------------------------------------------------------------------------- */

static const struct transfer_piece *piece_at(const struct outgoing *outgoing, uint64_t offset)
{
    const struct transfer_piece *piece = outgoing->head;

    while (piece != NULL && piece->offset + piece->len <= offset)
        piece = piece->next;
    return piece;
}

/* False when the link takes no more for now. */
static bool outgoing_chunk(struct outgoing *outgoing)
{
    const struct transfer_piece *piece = piece_at(outgoing, outgoing->sent);
    struct transfer_message chunk = {.type = TRANSFER_CHUNK, .offset = outgoing->sent};
    size_t skip;

    if (piece == NULL)
        return false;
    skip = (size_t)(outgoing->sent - piece->offset);
    chunk.body = bytes_of(piece->data + skip, piece->len - skip);
    memcpy(chunk.stream, outgoing->stream, sizeof chunk.stream);
    if (transfer_reply(outgoing->transfer, outgoing->node_id, &chunk) != QK_OK)
        return false;
    outgoing->sent += chunk.body.len;
    return true;
}

static void outgoing_end(struct outgoing *outgoing)
{
    struct transfer_message end = {.type = TRANSFER_END, .offset = outgoing->produced};

    memcpy(end.stream, outgoing->stream, sizeof end.stream);
    if (transfer_reply(outgoing->transfer, outgoing->node_id, &end) == QK_OK)
        outgoing->state = OUTGOING_ENDING;
}

void outgoing_tick(struct outgoing *outgoing)
{
    if (outgoing->state != OUTGOING_STREAMING || outgoing->abandoned || outgoing->away_ms != 0)
        return;
    while (outgoing->sent < outgoing->produced && outgoing_chunk(outgoing))
        continue;
    outgoing_read_ahead(outgoing);
    if (outgoing->produced_all && outgoing->sent == outgoing->produced)
        outgoing_end(outgoing);
}

static void outgoing_acked(struct outgoing *outgoing, uint64_t offset)
{
    if (offset <= outgoing->acked)
        return;
    outgoing->acked = offset;
    while (outgoing->head != NULL && outgoing->head->offset + outgoing->head->len <= offset) {
        struct transfer_piece *piece = outgoing->head;

        outgoing->head = piece->next;
        free(piece);
    }
    if (outgoing->head == NULL)
        outgoing->tail = NULL;
    if (outgoing->sent < offset) /* what it asked for again had arrived after all */
        outgoing->sent = offset;
}

static void outgoing_done(struct outgoing *outgoing, enum transfer_outcome outcome)
{
    switch (outcome) {
    case TRANSFER_STAGED:
        outgoing_over(outgoing, QK_OK);
        return;
    case TRANSFER_FAILED:
        outgoing_over(outgoing, QK_ERR_IO);
        return;
    case TRANSFER_UNKNOWN:
        outgoing_over(outgoing, QK_ERR_CLOSED);
        return;
    }
}

static void outgoing_take(struct outgoing *outgoing, const struct transfer_message *message)
{
    outgoing->heard_ms = transfer_now(outgoing->transfer);
    if (message->type == TRANSFER_DONE) {
        outgoing_done(outgoing, message->outcome);
    } else if (message->offset > outgoing->produced ||
               (message->type == TRANSFER_ACCEPT && message->offset < outgoing->acked)) {
        outgoing_over(outgoing, QK_ERR_CLOSED); /* it has lost what it had: from the start, then */
    } else {
        outgoing_acked(outgoing, message->offset);
        if (message->type == TRANSFER_ACCEPT) {
            outgoing->sent = message->offset;
            outgoing->state = OUTGOING_STREAMING;
        }
        outgoing_tick(outgoing);
    }
    outgoing_conclude(outgoing);
}

void outgoing_message(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *message)
{
    for (size_t i = 0; i < OUTGOING_SLOTS; i++) {
        struct outgoing *outgoing = &transfer->outgoing[i];

        if (outgoing->state < OUTGOING_OFFERED || outgoing->state == OUTGOING_OVER ||
            outgoing->abandoned || memcmp(outgoing->node_id, node_id, NODE_ID_BYTES) != 0 ||
            memcmp(outgoing->stream, message->stream, sizeof message->stream) != 0)
            continue;
        outgoing_take(outgoing, message);
        return;
    }
}

void outgoing_peer(struct outgoing *outgoing, bool up)
{
    uint64_t now = transfer_now(outgoing->transfer);

    if (outgoing->state < OUTGOING_OFFERED || outgoing->state == OUTGOING_OVER)
        return;
    outgoing->away_ms = up ? 0 : now == 0 ? 1 : now;
    outgoing->heard_ms = now;
    if (!up)
        return;
    outgoing->state = OUTGOING_OFFERED;
    outgoing_offer(outgoing);
}

void outgoing_second(struct outgoing *outgoing)
{
    struct transfer *transfer = outgoing->transfer;
    uint64_t now = transfer_now(transfer);

    if (outgoing->state < OUTGOING_OFFERED || outgoing->abandoned)
        return;
    if (outgoing->away_ms != 0) {
        if (now - outgoing->away_ms >= transfer->config.away_ms)
            outgoing_over(outgoing, QK_ERR_CLOSED);
    } else if (now - outgoing->heard_ms >= transfer->config.silence_ms) {
        outgoing_over(outgoing, QK_ERR_TIMEOUT);
    } else if (now - outgoing->heard_ms >= PROBE_MS && now - outgoing->probed_ms >= PROBE_MS) {
        outgoing_offer(outgoing);
    }
    outgoing_tick(outgoing);
    outgoing_conclude(outgoing);
}
