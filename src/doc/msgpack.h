/* MessagePack in the place of JSON: what comes in is turned into the JSON text of the same value,
 * before anything else looks at it; what goes out is turned from JSON text, as it is written.
 *
 * Types that JSON does not have (bin, ext, floats that are no number, integers past 64 bits signed)
 * are refused; names of members must be text. Nothing recurses; depth and size are bounded. */
#ifndef DOC_MSGPACK_H
#define DOC_MSGPACK_H

#include "base/bytes.h"
#include "doc/json.h"

/* Appends the JSON text of the one value that `in` holds. QK_ERR_INVALID with the problem;
 * QK_ERR_TOO_BIG past out->max; QK_ERR_NOMEM. Nothing is checked that json_parse will check: equal
 * names in one object. */
MUST_USE enum qk_err msgpack_to_json(struct bytes in, unsigned depth_max,
                                     struct doc_problem *ret_problem, struct buf *out);

/* --- from JSON text --- */

struct msgpack_level {
    size_t at;  /* of its first byte in `out` */
    uint32_t n; /* values, of a map: pairs */
    bool is_map;
};

enum msgpack_state {
    MSGPACK_VALUE,          /* of a member, of an array behind a comma, or the outermost */
    MSGPACK_VALUE_OR_CLOSE, /* behind `[` */
    MSGPACK_NAME_OR_CLOSE,  /* behind `{` */
    MSGPACK_NAME,
    MSGPACK_COLON,
    MSGPACK_COMMA_OR_CLOSE,
    MSGPACK_STRING,
    MSGPACK_WORD /* a number, true, false, null */
};

/* Turns JSON values, one behind the other, into MessagePack values, in whatever pieces the text
 * comes. A line without a value (the heartbeat of a feed) becomes nil. */
struct msgpack_encoder {
    struct buf out;  /* secret: whole values, then what there is of the next one */
    size_t whole;    /* bytes of `out` that are whole values */
    struct buf text; /* secret: of the string or word in progress, as JSON has it */
    struct msgpack_level levels[JSON_WRITE_DEPTH_MAX];
    unsigned depth;
    enum msgpack_state state;
    bool is_name;     /* of the string in progress */
    bool escaped;     /* the byte before was a backslash */
    bool has_escapes; /* of the string in progress */
    bool line_used;   /* a value began in this line */
};

void msgpack_encoder_init(struct msgpack_encoder *encoder, size_t bytes_max);
/* QK_ERR_INVALID: no JSON; QK_ERR_TOO_BIG: a value is larger than `bytes_max`; QK_ERR_NOMEM. After
 * an error nothing more may be fed. */
MUST_USE enum qk_err msgpack_encoder_feed(struct msgpack_encoder *encoder, struct bytes json);
/* The text has ended: QK_ERR_INVALID if in the midst of a value. */
MUST_USE enum qk_err msgpack_encoder_end(struct msgpack_encoder *encoder);
/* The whole values so far, borrowed until the next call; then they may be dropped. */
struct bytes msgpack_encoder_whole(const struct msgpack_encoder *encoder);
void msgpack_encoder_drop(struct msgpack_encoder *encoder);
void msgpack_encoder_fini(struct msgpack_encoder *encoder); /* wipes */

#endif
