#include "service/stream.h"

#include <assert.h>

#include "doc/json.h"
#include "service/keys_current.h"
#include "service/submit.h"

/* One row is a document at most, and its head. */
#define STREAM_OUT_BYTES_MAX (STREAM_PIECE_BYTES + DOC_BYTES_MAX + 1 * MIB)

void stream_init(struct stream *stream, struct service *service, struct exchange *exchange,
                 enum qk_err (*step)(void *arg, bool *ret_end), void (*ended)(void *arg), void *arg)
{
    *stream = (struct stream){.service = service,
                              .exchange = exchange,
                              .out = BUF_SECRET_INIT(STREAM_OUT_BYTES_MAX),
                              .status = 200,
                              .content_type = "application/json",
                              .length = SIZE_MAX,
                              .step = step,
                              .ended = ended,
                              .arg = arg};
}

void stream_fini(struct stream *stream)
{
    buf_fini(&stream->out);
}

static void stream_begin(struct stream *stream)
{
    if (!stream->started)
        exchange_start_length(stream->exchange, stream->status, stream->content_type,
                              stream->length);
    stream->started = true;
}

static void stream_hand_on(struct stream *stream)
{
    stream_begin(stream);
    stream->turn_bytes += stream->out.len;
    exchange_write(stream->exchange, buf_bytes(&stream->out));
    /* A large row's buffer is not kept for the small ones after it. */
    if (stream->out.cap > 4 * STREAM_PIECE_BYTES)
        buf_fini(&stream->out);
    else
        buf_reset(&stream->out);
}

static const char *break_word(enum qk_err err)
{
    if (err == QK_ERR_DENIED)
        return "forbidden";
    if (err == QK_ERR_UNAUTHENTICATED)
        return "unauthorized";
    return err == QK_ERR_SEALED ? "sealed" : "internal_error";
}

/* Once the status is sent the reason goes where CouchDB puts it, after the rows (those before the
 * step that failed, which may have left half of one). The list stays open: no client can take
 * it, cut short as it is, for the whole. */
static void stream_break(struct stream *stream, enum qk_err err)
{
    const struct doc_problem *problem = &stream->problem;
    bool told = problem->status != 0;

    buf_put_str(&stream->out, "\n{\"error\":");
    json_write_string(bytes_str(told ? problem->error : break_word(err)), &stream->out);
    buf_put_str(&stream->out, ",\"reason\":");
    json_write_string(bytes_str(told ? problem->reason : qk_err_text(err)), &stream->out);
    buf_put_str(&stream->out, "}\n");
    stream_hand_on(stream);
}

static void stream_finish(struct stream *stream)
{
    exchange_end(stream->exchange);
    stream->ended(stream->arg);
}

/* The end by an error: with its own status as long as none was sent. */
static void stream_fail(struct stream *stream, enum qk_err err)
{
    if (stream->started) {
        if (stream->length == SIZE_MAX)
            stream_break(stream, err);
        stream_finish(stream);
        return;
    }
    if (stream->problem.status != 0)
        exchange_reply_error(stream->exchange, stream->problem.status, stream->problem.error, "%s",
                             stream->problem.reason);
    else
        submit_reply_err(stream->service, stream->exchange, err);
    stream->ended(stream->arg);
}

/* One step; what a failed one left behind is cut off again. */
static enum qk_err stream_step(struct stream *stream, bool *ret_end)
{
    size_t whole = stream->out.len;
    enum qk_err err = QK_ERR_SEALED;

    stream->turn_steps++;
    if (service_is_open(stream->service))
        err = stream->step(stream->arg, ret_end);
    if (err == QK_OK)
        err = buf_error(&stream->out);
    if (err != QK_OK) {
        stream->out.len = whole;
        stream->out.failed = QK_OK;
    }
    return err;
}

static enum qk_err stream_turn(struct stream *stream)
{
    if (!service_is_open(stream->service))
        return QK_ERR_SEALED;
    return stream->turn == NULL ? QK_OK : stream->turn(stream->arg);
}

static void stream_run(void *arg);

static void stream_keys(void *arg, enum qk_err err)
{
    struct stream *stream = arg;

    if (err == QK_OK || stream->exchange->closed)
        stream_run(stream);
    else
        stream_fail(stream, err);
}

/* The rows to come may be sealed under keys that are not open yet. True if it waits. */
static bool stream_waits(struct stream *stream)
{
    return !keys_are_current(stream->service) && !stream->exchange->closed &&
           keys_wait(stream->service, stream_keys, stream) == QK_OK;
}

/* Goes on when the client has taken what it got. */
static void stream_pause(struct stream *stream)
{
    if (stream->hand_on && stream->out.len > 0)
        stream_hand_on(stream);
    stream->hand_on = false;
    exchange_on_drain(stream->exchange, stream_run, stream);
}

/* At rest it holds no memory for rows. */
static void stream_settle(struct stream *stream)
{
    stream->hand_on = false;
    buf_fini(&stream->out);
}

static void stream_run(void *arg)
{
    struct stream *stream = arg;
    enum qk_err err = QK_OK;
    bool end = false;

    if (stream_waits(stream))
        return;
    stream->turn_bytes = 0;
    stream->turn_steps = 0;
    if (!stream->exchange->closed)
        err = stream_turn(stream);
    while (!end && !stream->exchange->closed && err == QK_OK) {
        if (stream->turn_bytes >= STREAM_TURN_BYTES || stream->turn_steps >= STREAM_TURN_STEPS) {
            stream_pause(stream);
            return;
        }
        err = stream_step(stream, &end);
        if (err == QK_OK && stream->wait)
            return;
        if (err == QK_OK && (end || stream->rest || stream->out.len >= STREAM_PIECE_BYTES))
            stream_hand_on(stream);
        if (err == QK_OK && stream->rest) {
            stream_settle(stream);
            return;
        }
    }
    if (err != QK_OK && !stream->exchange->closed) {
        stream_fail(stream, err);
        return;
    }
    stream_begin(stream);
    stream_finish(stream);
}

void stream_start(struct stream *stream)
{
    assert(stream->step != NULL && stream->ended != NULL);

    if (stream->exchange->request.method != METHOD_HEAD) {
        stream_run(stream);
        return;
    }
    stream_begin(stream);
    stream_finish(stream);
}

void stream_spend(struct stream *stream, size_t steps)
{
    stream->turn_steps += steps < STREAM_TURN_STEPS ? (unsigned)steps : STREAM_TURN_STEPS;
}

void stream_wake(struct stream *stream)
{
    assert(stream->rest);

    stream->rest = false;
    stream_run(stream);
}

static void stream_end(struct stream *stream, enum qk_err err)
{
    if (!stream->exchange->closed) {
        stream_fail(stream, err);
        return;
    }
    stream_begin(stream);
    stream_finish(stream);
}

void stream_abandon(struct stream *stream, enum qk_err err)
{
    assert(stream->rest && err != QK_OK);

    stream_end(stream, err);
}

void stream_go_on(struct stream *stream, enum qk_err err)
{
    assert(stream->wait);

    stream->wait = false;
    if (err == QK_OK)
        stream_run(stream);
    else
        stream_end(stream, err);
}
