#include "doc/multipart_stream.h"

#include <assert.h>
#include <string.h>

void multipart_stream_init(struct multipart_stream *stream, struct bytes boundary)
{
    assert(boundary.len > 0 && boundary.len <= MULTIPART_BOUNDARY_BYTES_MAX);

    *stream = (struct multipart_stream){
        .state = MULTIPART_AT_START,
        .delimiter_len = 4 + boundary.len,
        .in = BUF_SECRET_INIT(MULTIPART_FEED_BYTES_MAX + MULTIPART_HEAD_BYTES_MAX)};
    memcpy(stream->delimiter, "\r\n--", 4);
    memcpy(stream->delimiter + 4, boundary.data, boundary.len);
}

void multipart_stream_fini(struct multipart_stream *stream)
{
    buf_fini(&stream->in);
}

enum qk_err multipart_stream_feed(struct multipart_stream *stream, struct bytes piece, bool last)
{
    assert(!stream->last && piece.len <= MULTIPART_FEED_BYTES_MAX);

    buf_consume(&stream->in, stream->at);
    stream->at = 0;
    stream->last = last;
    buf_put_bytes(&stream->in, piece);
    return buf_error(&stream->in);
}

static struct bytes rest_of(const struct multipart_stream *stream)
{
    return bytes_slice(buf_bytes(&stream->in), stream->at, SIZE_MAX);
}

/* Where `what` begins in `all`; all.len if nowhere. */
static size_t find(struct bytes all, const void *what, size_t len)
{
    const uint8_t *at = all.len == 0 ? NULL : memmem(all.data, all.len, what, len);

    return at == NULL ? all.len : (size_t)(at - all.data);
}

/* Not enough is there to go on: more may come, or the body is cut short. */
static enum qk_err wants_more(const struct multipart_stream *stream)
{
    return stream->last ? QK_ERR_INVALID : QK_OK;
}

/* How much of `rest` can be no part of a delimiter that goes on in the next piece. */
static size_t certain(const struct multipart_stream *stream, struct bytes rest)
{
    return rest.len < stream->delimiter_len ? 0 : rest.len - (stream->delimiter_len - 1);
}

/* --- a step each: `*ret_on`, there is something to go on with -------------------------------- */

/* A body that begins with a boundary has no line before it. */
static enum qk_err step_start(struct multipart_stream *stream, bool *ret_on)
{
    struct bytes rest = rest_of(stream);
    struct bytes first = bytes_of(stream->delimiter + 2, stream->delimiter_len - 2);

    if (rest.len < first.len)
        return wants_more(stream);
    stream->state = MULTIPART_IN_PREAMBLE;
    if (bytes_starts_with(rest, first)) {
        stream->at += first.len;
        stream->state = MULTIPART_BEHIND_BOUNDARY;
    }
    *ret_on = true;
    return QK_OK;
}

static enum qk_err step_preamble(struct multipart_stream *stream, bool *ret_on)
{
    struct bytes rest = rest_of(stream);
    size_t at = find(rest, stream->delimiter, stream->delimiter_len);

    if (at == rest.len) {
        stream->at += certain(stream, rest);
        return wants_more(stream);
    }
    stream->at += at + stream->delimiter_len;
    stream->state = MULTIPART_BEHIND_BOUNDARY;
    *ret_on = true;
    return QK_OK;
}

static enum qk_err step_boundary(struct multipart_stream *stream, bool *ret_on)
{
    struct bytes rest = rest_of(stream);

    if (rest.len < 2)
        return wants_more(stream);
    stream->state =
        bytes_starts_with(rest, bytes_str("--")) ? MULTIPART_ENDED : MULTIPART_BEHIND_BLANKS;
    *ret_on = true;
    return QK_OK;
}

static enum qk_err step_blanks(struct multipart_stream *stream, bool *ret_on)
{
    struct bytes rest = rest_of(stream);

    while (rest.len > 0 && (rest.data[0] == ' ' || rest.data[0] == '\t')) {
        rest = bytes_slice(rest, 1, rest.len);
        stream->at++;
    }
    if (rest.len < 2)
        return rest.len == 0 || rest.data[0] == '\r' ? wants_more(stream) : QK_ERR_INVALID;
    if (!bytes_starts_with(rest, bytes_str("\r\n")))
        return QK_ERR_INVALID;
    stream->at += 2;
    stream->state = MULTIPART_IN_HEAD;
    *ret_on = true;
    return QK_OK;
}

static enum qk_err step_head(struct multipart_stream *stream, enum multipart_event *ret_event,
                             struct bytes *ret_bytes)
{
    struct bytes rest = rest_of(stream);
    struct bytes looked = bytes_slice(rest, 0, MULTIPART_HEAD_BYTES_MAX);
    size_t at = find(looked, "\r\n\r\n", 4);

    if (rest.len < 2)
        return wants_more(stream);
    if (bytes_starts_with(rest, bytes_str("\r\n"))) { /* no lines at all */
        *ret_bytes = BYTES_NONE;
        stream->at += 2;
    } else if (at < looked.len) {
        *ret_bytes = bytes_slice(rest, 0, at);
        stream->at += at + 4;
    } else {
        return looked.len == MULTIPART_HEAD_BYTES_MAX ? QK_ERR_INVALID : wants_more(stream);
    }
    *ret_event = MULTIPART_HEAD;
    stream->state = MULTIPART_IN_CONTENT;
    return QK_OK;
}

static enum qk_err step_content(struct multipart_stream *stream, enum multipart_event *ret_event,
                                struct bytes *ret_bytes)
{
    struct bytes rest = rest_of(stream);
    size_t at = find(rest, stream->delimiter, stream->delimiter_len);
    bool ends = at < rest.len;
    size_t len = ends ? at : certain(stream, rest);

    if (len > 0) {
        *ret_event = MULTIPART_CONTENT;
        *ret_bytes = bytes_slice(rest, 0, len);
        stream->at += len;
    } else if (ends) {
        *ret_event = MULTIPART_PART_END;
        stream->at += stream->delimiter_len;
        stream->state = MULTIPART_BEHIND_BOUNDARY;
    } else {
        return wants_more(stream);
    }
    return QK_OK;
}

enum qk_err multipart_stream_next(struct multipart_stream *stream, enum multipart_event *ret_event,
                                  struct bytes *ret_bytes)
{
    enum qk_err err = QK_OK;
    bool on = true;

    *ret_event = MULTIPART_MORE;
    *ret_bytes = BYTES_NONE;
    while (on && err == QK_OK) {
        on = false;
        switch (stream->state) {
        case MULTIPART_AT_START:
            err = step_start(stream, &on);
            break;
        case MULTIPART_IN_PREAMBLE:
            err = step_preamble(stream, &on);
            break;
        case MULTIPART_BEHIND_BOUNDARY:
            err = step_boundary(stream, &on);
            break;
        case MULTIPART_BEHIND_BLANKS:
            err = step_blanks(stream, &on);
            break;
        case MULTIPART_IN_HEAD:
            return step_head(stream, ret_event, ret_bytes);
        case MULTIPART_IN_CONTENT:
            return step_content(stream, ret_event, ret_bytes);
        case MULTIPART_ENDED:
            stream->at = stream->in.len;
            *ret_event = MULTIPART_END;
            return QK_OK;
        }
    }
    return err;
}
