/* The parts of struct transfer, for its files only. */
#ifndef NODE_TRANSFER_INTERNAL_H
#define NODE_TRANSFER_INTERNAL_H

#include <uv.h>

#include "node/transfer_message.h"
#include "node/transfer_uv.h"
#include "store/store.h"

struct transfer_piece {
    struct transfer_piece *next;
    uint64_t offset;
    size_t len;
    uint8_t data[];
};

/* One a node and some that only end; more than TRANSFERS_MAX wait. */
#define OUTGOING_SLOTS (2 * NODES_MAX)

/* One stream out. WAITING for its turn. FLUSHING: what is applied goes to the file first; OFFERED:
 * waits for ACCEPT; STREAMING; ENDING: all is sent, waits for DONE; OVER: its callback is due. */
enum outgoing_state {
    OUTGOING_NONE,
    OUTGOING_WAITING,
    OUTGOING_FLUSHING,
    OUTGOING_OFFERED,
    OUTGOING_STREAMING,
    OUTGOING_ENDING,
    OUTGOING_OVER
};

struct outgoing;

/* Outlives a stream that is given up while the store flushes, which may take long on a full disk.
 */
struct flushing {
    struct outgoing *outgoing; /* NULL: nobody is interested any more */
};

struct outgoing {
    struct transfer *transfer;
    enum outgoing_state state;
    bool asked;                /* by the peer itself, not by consensus: nobody waits for its end */
    bool abandoned;            /* replaced or shutting down: no callback */
    bool working;              /* the pool reads: it cannot be freed now */
    struct flushing *flushing; /* what the store calls back */
    enum qk_err outcome;
    uint64_t peer;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t stream[TRANSFER_STREAM_BYTES];
    struct buf token;
    struct store_snapshot *snapshot;
    uint64_t total;
    /* Read and not acknowledged, in order; `sent` is the offset of what goes out next. */
    struct transfer_piece *head, *tail;
    uint64_t acked, sent, produced;
    bool produced_all;
    uint64_t read_ms;                      /* when the pool last began */
    uint64_t heard_ms, probed_ms, away_ms; /* away_ms: since when the peer is gone, 0: it is here */
    uv_work_t work;
    struct buf read; /* what the pool read */
    enum qk_err read_err;
};

/* The one stream in. RECEIVING; FINISHING: all is here, being verified and synced; STAGED: waits
 * for transfer_install; SWAPPING. */
enum incoming_state {
    INCOMING_NONE,
    INCOMING_RECEIVING,
    INCOMING_FINISHING,
    INCOMING_STAGED,
    INCOMING_SWAPPING
};

struct incoming {
    struct transfer *transfer;
    enum incoming_state state;
    bool working;   /* the pool writes, or the store swaps */
    bool discarded; /* to be freed when the work is done */
    bool asked;     /* by transfer_ask: swapped in without consensus */
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t stream[TRANSFER_STREAM_BYTES];
    struct buf token;
    struct store_staging *staging;
    uint64_t total, end; /* `end` is known from END, UINT64_MAX before */
    uint64_t received, written;
    struct transfer_piece *head, *tail; /* received, not with the pool */
    struct transfer_piece *work_head;   /* with the pool */
    uint64_t heard_ms, told_ms;
    bool away;
    uv_work_t work;
    enum qk_err work_err;
};

/* The question that is open. */
struct asking {
    bool open;
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t mark[TRANSFER_STREAM_BYTES];
    uint64_t index;
    uint64_t since_ms;
};

struct transfer {
    struct transfer_config config;
    struct outgoing outgoing[OUTGOING_SLOTS];
    struct incoming incoming;
    struct asking asking;
    uv_timer_t timer, pace;
    uint64_t commands_n, busy_until_ms;
    unsigned handles_n;
    bool closing;
    void (*close_cb)(void *arg);
    void *close_arg;
};

/* Clients are writing: streams out wait for their pace. */
bool transfer_is_busy(struct transfer *transfer);
/* Ticks the streams out again in TRANSFER_PACE_MS. */
void transfer_pace(struct transfer *transfer);
uint64_t transfer_now(const struct transfer *transfer);
enum qk_err transfer_reply(struct transfer *transfer, const uint8_t *node_id,
                           const struct transfer_message *message);
void pieces_free(struct transfer_piece *piece);
/* Called whenever a piece of work ended: goes on with closing. */
void transfer_close_tick(struct transfer *transfer);

/* transfer_send_uv.c */
void outgoing_message(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *message);
void outgoing_tick(struct outgoing *outgoing);
void outgoing_second(struct outgoing *outgoing); /* once a second: silence, retries */
void outgoing_peer(struct outgoing *outgoing, bool up);
void outgoing_abandon(struct outgoing *outgoing);
/* Those that wait begin while there is room. */
void outgoing_start_waiting(struct transfer *transfer);
/* A peer asks for the store. */
void outgoing_asked(struct transfer *transfer, const uint8_t *node_id,
                    const struct transfer_message *ask);
/* How many have a snapshot open or are about to. */
size_t outgoing_active(const struct transfer *transfer);

/* transfer_receive_uv.c */
void incoming_message(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *message);
void incoming_second(struct incoming *incoming);
void incoming_peer(struct incoming *incoming, const uint8_t *node_id, bool up);
void incoming_discard(struct incoming *incoming);
/* The peer that was asked refuses. */
void incoming_refused(struct transfer *transfer, const uint8_t *node_id,
                      const struct transfer_message *done);
/* A swap waits until no own snapshot is open. */
void incoming_swap_tick(struct incoming *incoming);

#endif
