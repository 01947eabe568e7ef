/* Unpacks gzip (RFC 1952) piece by piece: request bodies, and contents of attachments that CouchDB
 * keeps and sends packed. */
#ifndef DOC_GUNZIP_H
#define DOC_GUNZIP_H

#include "base/bytes.h"
#include "base/err.h"

struct gunzip; /* some 40 KiB, wiped when it is freed: it holds plaintext */

MUST_USE enum qk_err gunzip_new(struct gunzip **ret_gunzip); /* QK_ERR_NOMEM */
void gunzip_free(struct gunzip *gunzip);                     /* NULL is fine */
/* Appends what comes next to `out`, which must be secret: at most `max` bytes; `in` keeps what was
 * not used. Without `max` bytes appended, all of `in` was. QK_ERR_INVALID: not gzip, or something
 * behind its end; QK_ERR_TOO_BIG past out->max; QK_ERR_NOMEM. */
MUST_USE enum qk_err gunzip_some(struct gunzip *gunzip, struct bytes *in, size_t max,
                                 struct buf *out);
/* Its end was met, and length and checksum are as it says. */
bool gunzip_is_whole(const struct gunzip *gunzip);

#endif
