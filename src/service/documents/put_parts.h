/* A document that comes as multipart/related: the JSON in the first part, and then a part for each
 * attachment that the JSON says `"follows": true` of. */
#ifndef SERVICE_DOCUMENTS_PUT_PARTS_H
#define SERVICE_DOCUMENTS_PUT_PARTS_H

#include "doc/document.h"
#include "service/exchange.h"
#include "service/service.h"

/* Parses the body of a PUT, JSON or multipart/related. The attachments borrow from the request's
 * body. Touches nothing else, so that it may run on the pool. The caller ends with document_fini,
 * on errors too. Errors as document_from_json. */
MUST_USE enum qk_err put_document_parse(const struct request *request,
                                        struct document *ret_document,
                                        struct doc_problem *ret_problem);
/* The same of one JSON object, when nothing can follow: a document of a list. Consumes members. */
MUST_USE enum qk_err put_document_from_json(json_t *object, struct document *ret_document,
                                            struct doc_problem *ret_problem);
/* The attachment that a part with that head is of: the one that it names, if it does, else the
 * first that waits. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err put_part_find(struct bytes head, const struct attachment_wishes *wishes,
                                   struct attachment_wish **ret_wish,
                                   struct doc_problem *ret_problem);
/* Each that follows has come. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err put_parts_check(const struct attachment_wishes *wishes,
                                     struct doc_problem *ret_problem);
/* The boundary of a request's Content-Type. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err put_parts_boundary(struct bytes content_type, struct bytes *ret_boundary,
                                        struct doc_problem *ret_problem);
MUST_USE enum qk_err put_parts_malformed(struct doc_problem *ret_problem);
/* One of the parts of this body may be a gzip, and long however short the body is. */
bool put_parts_may_be_packed(struct bytes body);
/* PUT of a document whose parts come as they are taken (handle_doc_put with a streamed body, or one
 * with packed parts). */
void parts_upload(struct service *service, struct exchange *exchange);
/* PUT of a document that is there as a whole. */
void doc_put_whole(struct service *service, struct exchange *exchange);

#endif
