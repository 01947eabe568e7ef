/* One connection without its socket: handshake, session, queues. Bytes go in with link_stream_feed,
 * which reports one event at a time, and out with link_stream_output. Pure; time is an argument.
 *
 * Records after the handshake:  PING nonce u64 · PONG nonce u64 ·
 *     FIRST channel u8, total u32, data · MORE channel u8, data */
#ifndef LINK_STREAM_H
#define LINK_STREAM_H

#include "link/handshake.h"
#include "link/inbox.h"
#include "link/outbox.h"
#include "link/session.h"

enum link_stream_event {
    STREAM_HUNGRY,  /* nothing more can be done without more bytes */
    STREAM_QUIET,   /* a frame was taken; there may be output */
    STREAM_TOKEN,   /* a joiner showed stream.handshake.token_id: link_stream_answer is due */
    STREAM_UP,      /* the peer is authenticated and live */
    STREAM_MESSAGE, /* stream.message on stream.channel, until the next call */
    STREAM_PONG,    /* stream.pong_nonce came back */
};

struct link_stream {
    struct handshake handshake;
    struct session session;
    struct outbox outbox;
    struct inbox inbox;
    struct buf greeting;     /* handshake frames to be sent */
    bool keyed;              /* the handshake is done */
    bool up;                 /* STREAM_UP was reported */
    bool ping_due, pong_due; /* to be sent */
    uint64_t ping_nonce, pong_due_nonce;
    /* of the last event */
    enum link_channel channel;
    struct bytes message;
    bool message_out; /* `message` may lie in the inbox: wiped at the next call */
    uint64_t pong_nonce;
};

/* Both: the caller ends with link_stream_fini in any case. `self` is borrowed until then. */
MUST_USE enum qk_err link_stream_dial(struct link_stream *stream, const struct handshake_self *self,
                                      enum frame_kind kind,
                                      const uint8_t remote_pk[static NOISE_KEY_BYTES],
                                      const uint8_t *token_id);
void link_stream_accept(struct link_stream *stream, const struct handshake_self *self);
void link_stream_fini(struct link_stream *stream);

/* Takes at most one frame from the front of `in`; `ret_used` bytes of it are done with. Any error
 * ends the stream: QK_ERR_CORRUPT, QK_ERR_UNSUPPORTED, QK_ERR_NOMEM, at a joiner the refusal. */
MUST_USE enum qk_err link_stream_feed(struct link_stream *stream, uint64_t now_ms, struct bytes in,
                                      size_t *ret_used, enum link_stream_event *ret_event);
/* After STREAM_TOKEN. */
MUST_USE enum qk_err link_stream_answer(struct link_stream *stream, enum qk_err answer,
                                        const struct secret *psk);
/* Queues a ping; its pong is reported. Only one is under way: a later one replaces it. */
void link_stream_ping(struct link_stream *stream, uint64_t nonce);
/* Appends frames to `out` until it holds `len_max` bytes or nothing is left to send. */
MUST_USE enum qk_err link_stream_output(struct link_stream *stream, uint64_t now_ms, size_t len_max,
                                        struct buf *out);
bool link_stream_has_output(const struct link_stream *stream);

#endif
