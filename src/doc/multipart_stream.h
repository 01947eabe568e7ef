/* A multipart body (doc/multipart.h, the same grammar) that comes in pieces: what of it is known is
 * told as events, contents in pieces as they come. Holds what is not told yet, which is less than a
 * head or a boundary once all events are taken. */
#ifndef DOC_MULTIPART_STREAM_H
#define DOC_MULTIPART_STREAM_H

#include "base/limits.h"
#include "doc/multipart.h"

enum multipart_event {
    MULTIPART_MORE,     /* nothing else is known yet */
    MULTIPART_HEAD,     /* a part begins: its head, without the empty line */
    MULTIPART_CONTENT,  /* some of its content */
    MULTIPART_PART_END, /* it was all of it */
    MULTIPART_END       /* the last boundary: what still comes is passed over */
};

enum multipart_state {
    MULTIPART_AT_START,
    MULTIPART_IN_PREAMBLE,
    MULTIPART_BEHIND_BOUNDARY,
    MULTIPART_BEHIND_BLANKS,
    MULTIPART_IN_HEAD,
    MULTIPART_IN_CONTENT,
    MULTIPART_ENDED
};

/* More than this is never fed at a time. */
#define MULTIPART_FEED_BYTES_MAX (4 * MIB)

struct multipart_stream {
    enum multipart_state state;
    uint8_t delimiter[4 + MULTIPART_BOUNDARY_BYTES_MAX]; /* CRLF--boundary */
    size_t delimiter_len;
    struct buf in; /* secret */
    size_t at;     /* in `in`: what is told already */
    bool last;     /* nothing more comes */
};

/* The boundary is copied. Ends with multipart_stream_fini. */
void multipart_stream_init(struct multipart_stream *stream, struct bytes boundary);
void multipart_stream_fini(struct multipart_stream *stream);
/* More of the body; `last`: and no more comes. After MULTIPART_MORE. QK_ERR_NOMEM. */
MUST_USE enum qk_err multipart_stream_feed(struct multipart_stream *stream, struct bytes piece,
                                           bool last);
/* The next event. `ret_bytes`, of a head or a content, is valid until the next call.
 * QK_ERR_INVALID: malformed, or cut short. */
MUST_USE enum qk_err multipart_stream_next(struct multipart_stream *stream,
                                           enum multipart_event *ret_event,
                                           struct bytes *ret_bytes);

#endif
