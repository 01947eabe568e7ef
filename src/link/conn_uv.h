/* One TCP connection that carries a stream (private to link/). The owner makes it with conn_new,
 * then conn_dial or conn_accepted; it learns what happens through `ops`, always from the loop and
 * never inside its own calls; the connection is freed right after `closed` returns. */
#ifndef LINK_CONN_UV_H
#define LINK_CONN_UV_H

#include <uv.h>

#include "link/stream.h"

#define CONN_ADDRESS_TEXT_BYTES 64
/* Ciphertext handed to the socket and not yet written: small, so that what is urgent does not wait
 * behind much bulk, and large enough to fill a fast network between two turns of the loop. */
#define CONN_IN_FLIGHT_BYTES_MAX (256 * KIB)

struct conn;
struct peer;

struct conn_ops {
    void (*event)(struct conn *conn, enum link_stream_event event);
    void (*sent)(struct conn *conn); /* something was written to the socket */
    void (*closed)(struct conn *conn);
};

struct conn {
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_getaddrinfo_t resolve;
    uv_shutdown_t shutdown;
    const struct conn_ops *ops;
    void *owner;
    struct conn *next, *prev; /* the owner's list */
    struct link_stream stream;
    struct buf in; /* ciphertext */
    size_t in_flight;
    unsigned attempt; /* of conn_dial, while resolving */
    enum qk_err err;  /* why it was closed */
    bool outgoing;
    bool connected;
    bool paused;    /* by conn_pause */
    bool feeding;   /* inside the loop over frames */
    bool finishing; /* nothing more is read; closed when all is sent and the peer has closed */
    bool shut;      /* our end of the stream is shut down */
    bool closing, resolving, handle_closed;
    uint64_t deadline_ms; /* of the handshake, or of finishing */
    uint64_t heard_ms, pinged_ms;
    char address[CONN_ADDRESS_TEXT_BYTES]; /* the other end's, numeric */
    /* of the link */
    struct peer *peer;
    uint64_t join_id;
};

/* NULL when out of memory. The handle is in the loop: only conn_close gets rid of it. */
struct conn *conn_new(uv_loop_t *loop, const struct conn_ops *ops, void *owner);
/* Connects to "host:port", then sends what link_stream_dial (before or after) made. Failures end in
 * `closed`. Of a name's several addresses the one of number `attempt` (modulo their count) is
 * tried.
 */
void conn_dial(struct conn *conn, const char *address, unsigned attempt);
/* After uv_accept into conn->tcp: starts to read. */
void conn_accepted(struct conn *conn);
void conn_flush(struct conn *conn);
/* The same after queueing a message: while a write is under way a short queue waits for its end, so
 * that many small messages of one turn of the loop go out in one write. */
void conn_flush_queued(struct conn *conn);
/* Ends it at once; the first `err` is kept. */
void conn_close(struct conn *conn, enum qk_err err);
/* Ends it after what is queued is sent and the peer has closed, at `deadline_ms` at the latest
 * (the owner's tick sees to that). */
void conn_finish(struct conn *conn, uint64_t deadline_ms);
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);
size_t conn_queued_bytes(const struct conn *conn);
uint64_t conn_now_ms(const struct conn *conn);

#endif
