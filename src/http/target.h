/* The request target: path and query, percent-decoded into segments and parameters. Pure. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include "base/bytes.h"
#include "service/exchange.h"

/* Fills segments and params of `request` from `target`, in origin form (`/db/doc?rev=1-a`) or
 * absolute form (`http://host/db/doc`). Decoded bytes are appended to `decoded`, which must be
 * empty and outlive the request. A slash at the end is no segment; `%2F` stays inside its segment;
 * `.` and `..` are segments like others. A plus is a space in the query and a plus in the path.
 * QK_ERR_INVALID with `ret_reason` (static) for people: a bad escape, a zero byte, an empty
 * segment, a fragment, too many segments or parameters. */
MUST_USE enum qk_err target_parse(struct bytes target, struct buf *decoded, struct request *request,
                                  const char **ret_reason);

#endif
