#include "link/stream.h"

#include <assert.h>
#include <string.h>

enum record_kind { RECORD_PING = 1, RECORD_PONG = 2, RECORD_FIRST = 3, RECORD_MORE = 4 };

#define FIRST_HEAD_BYTES 5
#define MORE_HEAD_BYTES 1
#define NONCE_BYTES 8
#define GREETING_BYTES_MAX (2 * KIB)

static void link_stream_zero(struct link_stream *stream)
{
    *stream = (struct link_stream){.greeting = BUF_INIT(GREETING_BYTES_MAX)};
    inbox_init(&stream->inbox);
}

enum qk_err link_stream_dial(struct link_stream *stream, const struct handshake_self *self,
                             enum frame_kind kind, const uint8_t remote_pk[static NOISE_KEY_BYTES],
                             const uint8_t *token_id)
{
    link_stream_zero(stream);
    return handshake_begin(&stream->handshake, self, kind, remote_pk, token_id, &stream->greeting);
}

void link_stream_accept(struct link_stream *stream, const struct handshake_self *self)
{
    link_stream_zero(stream);
    handshake_await(&stream->handshake, self);
}

void link_stream_fini(struct link_stream *stream)
{
    handshake_fini(&stream->handshake);
    if (stream->keyed) /* stays set: the owner may still ask how far it came */
        session_fini(&stream->session);
    outbox_fini(&stream->outbox);
    inbox_fini(&stream->inbox);
    buf_fini(&stream->greeting);
}

/* The handshake is done: its keys make the session. A ping goes first, which is what the other end
 * may be waiting for. */
static enum qk_err make_session(struct link_stream *stream, uint64_t now_ms,
                                enum link_stream_event *ret_event)
{
    struct secret *send_key, *receive_key;
    enum qk_err err = handshake_finish(&stream->handshake, &send_key, &receive_key);

    if (err != QK_OK)
        return err;
    session_init(&stream->session, send_key, receive_key, now_ms);
    stream->keyed = true;
    link_stream_ping(stream, 0);
    if (!handshake_is_confirmed_by_record(&stream->handshake)) {
        stream->up = true;
        *ret_event = STREAM_UP;
    }
    return QK_OK;
}

static enum qk_err feed_handshake(struct link_stream *stream, uint64_t now_ms, struct bytes in,
                                  size_t *ret_used, enum link_stream_event *ret_event)
{
    enum handshake_step step;
    size_t len;
    enum qk_err err = handshake_scan(&stream->handshake, in, &len);

    if (err != QK_OK || len == 0)
        return err;
    err = handshake_read(&stream->handshake, bytes_slice(in, 0, len), &stream->greeting, &step);
    if (err != QK_OK)
        return err;
    *ret_used = len;
    *ret_event = step == HANDSHAKE_ASKS ? STREAM_TOKEN : STREAM_QUIET;
    return step == HANDSHAKE_DONE ? make_session(stream, now_ms, ret_event) : QK_OK;
}

static enum qk_err take_ping(struct link_stream *stream, struct bytes body, bool is_pong,
                             enum link_stream_event *ret_event)
{
    struct reader reader = reader_of(body);
    uint64_t nonce = reader_u64(&reader);

    if (reader_end(&reader) != QK_OK)
        return QK_ERR_CORRUPT;
    if (is_pong) {
        stream->pong_nonce = nonce;
        *ret_event = STREAM_PONG;
    } else {
        stream->pong_due = true; /* one at most: a flood of pings earns one pong a write */
        stream->pong_due_nonce = nonce;
    }
    return QK_OK;
}

static enum qk_err take_piece(struct link_stream *stream, struct bytes body, bool is_first,
                              enum link_stream_event *ret_event)
{
    struct reader reader = reader_of(body);
    uint8_t channel = reader_u8(&reader);
    uint32_t total = is_first ? reader_u32(&reader) : 0;
    struct bytes piece = reader_rest(&reader);
    enum qk_err err;
    bool whole;

    if (reader_error(&reader) != QK_OK)
        return QK_ERR_CORRUPT;
    if (is_first)
        err = inbox_first(&stream->inbox, channel, total, piece, &whole, &stream->message);
    else
        err = inbox_more(&stream->inbox, channel, piece, &whole, &stream->message);
    if (err != QK_OK || !whole)
        return err;
    stream->channel = (enum link_channel)channel;
    stream->message_out = true;
    *ret_event = STREAM_MESSAGE;
    return QK_OK;
}

static enum qk_err take_record(struct link_stream *stream, uint8_t kind, struct bytes body,
                               enum link_stream_event *ret_event)
{
    switch (kind) {
    case RECORD_PING:
    case RECORD_PONG:
        return take_ping(stream, body, kind == RECORD_PONG, ret_event);
    case RECORD_FIRST:
    case RECORD_MORE:
        return take_piece(stream, body, kind == RECORD_FIRST, ret_event);
    default: /* a byte from the network, not an enum */
        return QK_ERR_CORRUPT;
    }
}

static enum qk_err feed_record(struct link_stream *stream, struct bytes in, size_t *ret_used,
                               enum link_stream_event *ret_event)
{
    struct bytes body;
    uint8_t kind;
    size_t len;
    enum qk_err err = frame_scan(in, NOISE_MESSAGE_BYTES_MAX, &len);

    if (err != QK_OK || len == 0)
        return err;
    err = session_open(&stream->session,
                       bytes_slice(in, FRAME_LENGTH_BYTES, len - FRAME_LENGTH_BYTES), &kind, &body);
    if (err != QK_OK)
        return err;
    if (!stream->up) {
        /* What shows the peer is live must be a ping: up comes before any message. */
        if (kind != RECORD_PING)
            return QK_ERR_CORRUPT;
        stream->up = true;
        *ret_used = len;
        *ret_event = STREAM_UP;
        return take_ping(stream, body, false, ret_event);
    }
    *ret_used = len;
    *ret_event = STREAM_QUIET;
    return take_record(stream, kind, body, ret_event);
}

enum qk_err link_stream_feed(struct link_stream *stream, uint64_t now_ms, struct bytes in,
                             size_t *ret_used, enum link_stream_event *ret_event)
{
    *ret_used = 0;
    *ret_event = STREAM_HUNGRY;
    if (stream->message_out) {
        inbox_done(&stream->inbox, (uint8_t)stream->channel);
        stream->message_out = false;
    }
    if (!stream->keyed)
        return feed_handshake(stream, now_ms, in, ret_used, ret_event);
    return feed_record(stream, in, ret_used, ret_event);
}

enum qk_err link_stream_answer(struct link_stream *stream, enum qk_err answer,
                               const struct secret *psk)
{
    return handshake_answer(&stream->handshake, answer, psk, &stream->greeting);
}

void link_stream_ping(struct link_stream *stream, uint64_t nonce)
{
    stream->ping_due = true;
    stream->ping_nonce = nonce;
}

static enum qk_err put_nonce(struct link_stream *stream, uint64_t now_ms, uint8_t kind,
                             uint64_t nonce, struct buf *out)
{
    uint8_t raw[NONCE_BYTES];

    put_u64(raw, nonce);
    return session_seal(&stream->session, now_ms, kind, bytes_of(raw, sizeof raw), BYTES_NONE, out);
}

static enum qk_err put_piece(struct link_stream *stream, uint64_t now_ms, struct buf *out)
{
    struct outbox_piece piece =
        outbox_next(&stream->outbox, SESSION_BODY_BYTES_MAX - FIRST_HEAD_BYTES);
    uint8_t head[FIRST_HEAD_BYTES];
    enum qk_err err;

    head[0] = (uint8_t)piece.channel;
    put_u32(head + 1, piece.total);
    err = session_seal(&stream->session, now_ms, piece.first ? RECORD_FIRST : RECORD_MORE,
                       bytes_of(head, piece.first ? FIRST_HEAD_BYTES : MORE_HEAD_BYTES), piece.data,
                       out);
    outbox_taken(&stream->outbox, &piece);
    return err;
}

static enum qk_err output_records(struct link_stream *stream, uint64_t now_ms, size_t len_max,
                                  struct buf *out)
{
    enum qk_err err = QK_OK;

    if (stream->ping_due)
        err = put_nonce(stream, now_ms, RECORD_PING, stream->ping_nonce, out);
    stream->ping_due = false;
    if (err == QK_OK && stream->pong_due)
        err = put_nonce(stream, now_ms, RECORD_PONG, stream->pong_due_nonce, out);
    stream->pong_due = false;
    /* Messages wait until the other end is known to be who it should be. */
    while (err == QK_OK && stream->up && out->len < len_max && !outbox_is_empty(&stream->outbox))
        err = put_piece(stream, now_ms, out);
    return err;
}

enum qk_err link_stream_output(struct link_stream *stream, uint64_t now_ms, size_t len_max,
                               struct buf *out)
{
    buf_put_bytes(out, buf_bytes(&stream->greeting));
    buf_reset(&stream->greeting);
    if (buf_error(out) != QK_OK)
        return buf_error(out);
    return stream->keyed ? output_records(stream, now_ms, len_max, out) : QK_OK;
}

bool link_stream_has_output(const struct link_stream *stream)
{
    return stream->greeting.len > 0 ||
           (stream->keyed && (stream->ping_due || stream->pong_due ||
                              (stream->up && !outbox_is_empty(&stream->outbox))));
}
