/* A document that comes as multipart/related: the JSON in the first part, and then a part for each
 * attachment that the JSON says `"follows": true` of. */
#ifndef SERVICE_PUT_PARTS_H
#define SERVICE_PUT_PARTS_H

#include "doc/document.h"
#include "service/exchange.h"

/* Parses the body of a PUT, JSON or multipart/related. The attachments borrow from the request's
 * body. Touches nothing else, so that it may run on the pool. The caller ends with document_fini,
 * on errors too. Errors as document_from_json. */
MUST_USE enum qk_err put_document_parse(const struct request *request,
                                        struct document *ret_document,
                                        struct doc_problem *ret_problem);
/* The same of one JSON object, when nothing can follow: a document of a list. Consumes members. */
MUST_USE enum qk_err put_document_from_json(json_t *object, struct document *ret_document,
                                            struct doc_problem *ret_problem);
#endif
