/* Request bodies that come with Content-Encoding: gzip (RFC 1952), as CouchDB takes them. */
#ifndef HTTP_GZIP_H
#define HTTP_GZIP_H

#include "http/server.h"

/* Appends what `in` holds to `out`, which must be secret. QK_ERR_INVALID: not gzip, cut short, or
 * something behind it; QK_ERR_TOO_BIG past out->max, before more is unpacked; QK_ERR_NOMEM. Pure.
 */
MUST_USE enum qk_err gzip_expand(struct bytes in, struct buf *out);
bool gzip_is_coding(struct bytes content_coding);
/* Unpacks hx->body, to at most the route's size, then goes on with `next`, now or later; or answers
 * what is wrong with it. */
void gzip_take_body(struct http_exchange *hx, void (*next)(struct http_exchange *hx));

#endif
