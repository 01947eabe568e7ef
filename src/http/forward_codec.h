/* Messages of LINK_FORWARD. Pure: what a peer sends is checked here, every length against a limit.
 *
 *     requester                          leader
 *     REQUEST, BODY ...            -->
 *                                  <--   ACK (of body bytes)
 *                                  <--   REPLY, BODY ..., END
 *     ACK (of body bytes)          -->
 *     CANCEL (its client is gone)  -->
 *
 * A request's body may be longer than is known, body_len UINT64_MAX: a BODY of nothing ends it.
 *
 * Layout: version u8, kind u8, id u64, then by kind. The id is the requester's, never used twice in
 * its life; `from_requester` tells the two directions apart, since both ends ask and answer. */
#ifndef HTTP_FORWARD_CODEC_H
#define HTTP_FORWARD_CODEC_H

#include "base/bytes.h"
#include "service/exchange.h"

#define FORWARD_VERSION 1
#define FORWARD_HEAD_BYTES_MAX (64 * KIB) /* of a message without its body bytes */
#define FORWARD_PIECE_BYTES (256 * KIB)   /* body bytes a message */
#define FORWARD_WINDOW_BYTES (1 * MIB)    /* body bytes sent and not acknowledged */

enum forward_kind {
    FORWARD_REQUEST = 1,
    FORWARD_REQUEST_BODY = 2,
    FORWARD_REQUEST_ACK = 3, /* leader to requester */
    FORWARD_REPLY = 4,
    FORWARD_REPLY_BODY = 5,
    FORWARD_REPLY_ACK = 6, /* requester to leader */
    FORWARD_REPLY_END = 7,
    FORWARD_CANCEL = 8,
};

struct forward_request {
    enum method method;
    uint64_t body_len;
    bool tls;
    struct principal who;
    struct bytes destination;
    struct bytes target, if_match, if_none_match, content_type, accept, host, from;
    struct bytes content_md5;
};

struct forward_field {
    struct bytes name, value;
};

struct forward_reply {
    uint16_t status;
    uint64_t length; /* UINT64_MAX: streamed */
    struct bytes content_type;
    struct forward_field fields[REPLY_FIELDS_MAX];
    unsigned fields_n;
};

struct forward_message {
    enum forward_kind kind;
    uint64_t id;
    struct forward_request request; /* FORWARD_REQUEST */
    struct forward_reply reply;     /* FORWARD_REPLY */
    uint64_t taken;                 /* the ACKs */
    struct bytes body;              /* the BODYs */
};

/* Whether a message of this kind goes from requester to leader. */
bool forward_kind_is_request(enum forward_kind kind);
/* Appends the message; errors stick in `out`. */
void forward_encode(const struct forward_message *message, struct buf *out);
/* The views point into `in`. QK_ERR_INVALID for anything that forward_encode does not write,
 * QK_ERR_UNSUPPORTED for another version. */
MUST_USE enum qk_err forward_decode(struct bytes in, struct forward_message *ret_message);

#endif
