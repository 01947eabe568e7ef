/* The insides of a connection, for its own files. */
#ifndef HTTP_CONNECTION_UV_H
#define HTTP_CONNECTION_UV_H

#include <uv.h>

#include "http/connection.h"
#include "http/parse.h"
#include "http/tls.h"

#define CONNECTION_CIPHER_BYTES (16 * KIB) /* read at a time under TLS */
#define CONNECTION_OUT_BYTES_MAX (256 * MIB)
/* No request is begun while more of earlier replies waits for the client. */
#define CONNECTION_PIPELINE_BYTES (1 * MIB)

enum connection_state { READING, ADMITTING, HANDLING, LINGERING, CLOSED };
enum connection_timing { TIME_NONE, TIME_HEAD, TIME_IDLE, TIME_BODY, TIME_WRITE, TIME_LINGER };

struct connection {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    uv_timer_t timer;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct connection *next, *previous;
    struct http *http;
    enum connection_state state;
    enum connection_timing timing;
    unsigned handles_open;
    bool control, loopback;
    bool reading;    /* uv_read_start is in force */
    bool pumping;    /* pump is on the stack */
    bool writing;    /* `write` is under way, with `sending` */
    bool shut;       /* `shutdown` was begun */
    bool eof;        /* the client will send no more */
    bool used;       /* a request was answered: the next may take idle_ms to come */
    bool last;       /* close after the present reply */
    size_t progress; /* write_queue_size when the write timer was set */
    struct buf pending;
    size_t pending_at;
    struct buf out, sending;
    size_t out_at;   /* what of `out` has been encrypted; 0 without TLS */
    struct tls *tls; /* NULL: none */
    bool tls_ended;  /* its end was said */
    struct parse parse;
    struct socket_exchange *exchange;
    struct auth_cache cache;
    struct later pump_later, flush_later;
    char from[64];
};

/* Sets the timer for what the connection waits for now; only `again` prolongs the same wait. */
void connection_arm(struct connection *connection, bool again);
/* The client has sent a window more of its body than the handler has taken: it is not waited for.
 */
bool connection_is_ahead(const struct connection *connection);
/* Takes steps as long as there are bytes and room, then sends, reads and waits. */
void connection_pump(struct connection *connection);
/* Hands `out` to the socket: at once what it takes, the rest as one write. May close it. */
void connection_send(struct connection *connection);
/* connection_tls_uv.c: what has come from the socket is taken, and wiped if it is in clear.
 * QK_ERR_NOMEM. */
MUST_USE enum qk_err connection_received(struct connection *connection, struct bytes bytes);
/* Decrypts what there is room for; whether there was any. May close it. */
bool connection_fill(struct connection *connection);
bool connection_next_piece(struct connection *connection);
bool connection_say_end(struct connection *connection);
/* Reads, or not, as the state wants it. */
void connection_update_reading(struct connection *connection);
/* Answers what could not be parsed (parse.failure) and lets the connection end. */
void connection_reply_failure(struct connection *connection);
/* For `later` members. */
void connection_pump_later(struct later *later);
void connection_flush_later(struct later *later);

#endif
