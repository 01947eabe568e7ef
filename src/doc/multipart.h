/* The parts of a multipart body (RFC 2046, 5.1), which lies in memory as a whole: each part is a
 * view into it. Pure, without memory of its own, in time linear in the body.
 *
 *     --boundary CRLF head CRLF CRLF content CRLF --boundary CRLF ... CRLF --boundary--
 *
 * What stands before the first boundary and after the last is passed over. */
#ifndef DOC_MULTIPART_H
#define DOC_MULTIPART_H

#include "base/bytes.h"

#define MULTIPART_BOUNDARY_BYTES_MAX 200 /* RFC 2046 says 70; some clients take more */
#define MULTIPART_HEAD_BYTES_MAX 8192

struct multipart {
    struct bytes rest; /* behind the last boundary read */
    struct bytes boundary;
    bool ended;
};

struct multipart_part {
    struct bytes head; /* its lines, without the empty one */
    struct bytes content;
};

/* The boundary in the value of a Content-Type such as `multipart/related; boundary="x"`, borrowed.
 * QK_ERR_INVALID: there is none, or it is none. */
MUST_USE enum qk_err multipart_boundary(struct bytes content_type, struct bytes *ret_boundary);
/* Goes to the first boundary. QK_ERR_INVALID: it never comes. */
MUST_USE enum qk_err multipart_open(struct bytes body, struct bytes boundary,
                                    struct multipart *ret_multipart);
/* The next part. QK_ERR_NOT_FOUND behind the last; QK_ERR_INVALID: cut short, or malformed. */
MUST_USE enum qk_err multipart_next(struct multipart *multipart, struct multipart_part *ret_part);
/* The value of a field of a part's head, trimmed; false if it has none of that name. */
bool multipart_field(struct bytes head, const char *name, struct bytes *ret_value);
/* The parameter of a field's value, `filename` of `attachment; filename="a b"`, unquoted into
 * `out`. False: there is none, or it is malformed, or too long for `out`. */
bool multipart_param(struct bytes value, const char *name, struct buf *out);

#endif
