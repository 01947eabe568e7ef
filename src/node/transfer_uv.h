/* Snapshots on their way: a leader streams its store to a peer over LINK_SNAPSHOT, the peer stages
 * it beside its own and, when consensus says so, swaps it in.
 *
 * The sender flushes, opens one read transaction and offers the stream; the receiver accepts with
 * the offset it has. Chunks of 256 KiB, each with a checksum, go out while less than 4 MiB is not
 * acknowledged; what is not acknowledged is kept, so that after a reconnect the same stream goes on
 * where the receiver stands. A receiver that does not know the stream (it was restarted), or a
 * sender that died, means a new stream from the start. Reading and writing run on the pool. Memory
 * at each end: a few MiB and the largest record, whatever the store's size.
 *
 * A node whose own store was lost asks a peer for its store (transfer_ask); that stream is labelled
 * with the mark of the question, and is swapped in as soon as it is staged. */
#ifndef NODE_TRANSFER_UV_H
#define NODE_TRANSFER_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

struct uv_loop_s;
struct store;
struct node;
struct consensus_config;
struct transfer;

#define TRANSFER_CHUNK_BYTES (256 * KIB)
#define TRANSFER_WINDOW_BYTES (4 * MIB)
/* While clients write, a chunk in so many milliseconds: 52 MB/s a stream at the most. */
#define TRANSFER_PACE_MS 5
#define TRANSFER_BUSY_MS 50 /* clients that have not written for so long do not count */
#define TRANSFERS_MAX 3     /* outgoing at a time; one comes in at a time */

struct transfer_config {
    struct uv_loop_s *loop;
    struct store *store;
    void *arg;
    /* Queues a message on LINK_SNAPSHOT: link_send's results. */
    enum qk_err (*send)(void *arg, const uint8_t node_id[NODE_ID_BYTES], const struct bytes *parts,
                        size_t parts_n);
    /* A stream begun with transfer_send ended: QK_OK, the peer holds it staged and durable. From
     * the loop, never inside transfer_send. */
    void (*sent)(void *arg, uint64_t peer, struct bytes token, enum qk_err err);
    /* The answer to transfer_install. */
    void (*installed)(void *arg, enum qk_err err);
    /* May this node give its store to one that needs at least `index`? */
    bool (*gives)(void *arg, uint64_t index);
    /* A store that was asked for came and is in place (QK_OK), or could not be put there. */
    void (*restored)(void *arg, enum qk_err err);
    /* May the store be replaced now? Ends what else reads it; asked again each second. May be NULL:
     * always. */
    bool (*may_swap)(void *arg);
    /* Counts commands that this node's clients have submitted: while it moves, streams out go
     * slower, since a write waits for the same processor and disk. May be NULL. */
    uint64_t (*commands)(void *arg);
    unsigned silence_ms; /* 0: 30000; no sign of the peer for so long ends a stream */
    unsigned away_ms;    /* 0: 60000; so long a stream waits for a peer that is not connected */
};

MUST_USE enum qk_err transfer_create(const struct transfer_config *config,
                                     struct transfer **ret_transfer);
/* Ends all streams without their callbacks, then calls `cb` from the loop and is gone. Before
 * store_close. */
void transfer_free(struct transfer *transfer, void (*cb)(void *arg), void *arg);

/* From the link. */
void transfer_peer_up(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES]);
void transfer_peer_down(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES]);
void transfer_receive(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                      struct bytes message);
void transfer_drained(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES]);

/* Streams the own store, as it is now or newer, to a peer; `sent` tells the end, with `peer` and
 * `token` as given here. One to the same node is replaced (its `sent` is not called). When
 * TRANSFERS_MAX are under way it waits for its turn. */
void transfer_send(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                   uint64_t peer, struct bytes token);
/* Is the stream labelled with exactly `token` here, whole and durable? */
bool transfer_staged(const struct transfer *transfer, struct bytes token);
/* Puts it in the store's place; `installed` tells the end. QK_OK also when the store already holds
 * at least as much. QK_ERR_NOT_FOUND: nothing staged for it. */
void transfer_install(struct transfer *transfer, struct bytes token);

/* Asks one peer for its store, which must hold `index`; `restored` tells the end. Asking another
 * one is taking back the first question. */
void transfer_ask(struct transfer *transfer, const uint8_t node_id[static NODE_ID_BYTES],
                  uint64_t index);
/* A question is open for less than some seconds, or a store comes in. */
bool transfer_is_asking(const struct transfer *transfer);

struct transfer_progress {
    uint8_t node_id[NODE_ID_BYTES];
    bool sending;   /* else receiving */
    uint64_t bytes; /* acknowledged, or written */
    uint64_t total; /* about */
};
/* What is under way; at most TRANSFERS_MAX + 1 entries. Returns how many. */
size_t transfer_progress(const struct transfer *transfer,
                         struct transfer_progress ret_progress[static TRANSFERS_MAX + 1]);

/* --- transfer_wire.c: the node's own wiring ------------------------------------------------- */

/* Over the node's link, store and consensus. */
MUST_USE enum qk_err transfer_new(struct node *node, struct transfer **ret_transfer);
/* Sets snapshot_send, snapshot_staged and snapshot_install; `arg` must be the struct node. */
void transfer_consensus_callbacks(struct consensus_config *config);

#endif
