/* What requests say about the document and the write that they mean. */
#ifndef SERVICE_REQUEST_H
#define SERVICE_REQUEST_H

#include "doc/document.h"
#include "service/exchange.h"
#include "service/write.h"

/* The document id of the path, appended to `out`: segments[1], or both segments of _design/name. */
void request_doc_id(const struct request *request, struct buf *out);
/* Sets the revision that ?rev= or If-Match give, which must agree with each other and with the
 * document's own. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err request_revision(const struct request *request, struct document *document,
                                      struct doc_problem *ret_problem);
/* ?new_edits=false, ?batch=ok: how a PUT or POST is meant, and whether `document` can be written
 * so. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err request_how(const struct request *request, const struct document *document,
                                 struct write_how *how, struct doc_problem *ret_problem);
/* ?key_id= , which must agree with the document's own. */
MUST_USE enum qk_err request_key(const struct request *request, struct document *document,
                                 struct doc_problem *ret_problem);
/* Its Content-Type is that, with or without parameters. */
bool request_has_type(const struct request *request, const char *wanted);
bool request_is_json(const struct request *request);
/* QK_OK if the request says application/json; otherwise it was answered with 415. */
MUST_USE enum qk_err request_wants_json(struct exchange *exchange);

#endif
