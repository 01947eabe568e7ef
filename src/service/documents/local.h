/* _local documents: CouchDB's documents that are never replicated, in no feed, list or count. They
 * are sealed as documents are and lie behind them (doc_name_of_local); their revisions are 0-N, and
 * the last write is all there is. */
#ifndef SERVICE_DOCUMENTS_LOCAL_H
#define SERVICE_DOCUMENTS_LOCAL_H

#include "doc/document.h"
#include "service/catalog.h"
#include "service/exchange.h"
#include "service/write.h"

#define LOCAL_PREFIX "_local/"

bool local_is_id(struct bytes id);
/* An id with the prefix. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err local_id_check(struct bytes id, struct doc_problem *ret_problem);

/* The same of one that is to be written. */
MUST_USE enum qk_err local_document_check(struct bytes id, const struct document *document,
                                          struct doc_problem *ret_problem);

/* GET: with a read point, in the turn in which `database` was found. Answers. */
void local_get(struct service *service, struct exchange *exchange,
               const struct catalog_database *database, struct bytes id);
/* PUT, and DELETE (`document` deleted): answers. Takes over `document`. */
void local_write(struct service *service, struct exchange *exchange, struct bytes id,
                 struct document *document);
/* As write_evaluate, write_latch and write_put_result, of a write whose id is a _local one; N of
 * the new revision is the generation of `write->revision`. */
MUST_USE enum qk_err local_evaluate(struct service *service, struct write *write,
                                    struct wire_command *command);
MUST_USE enum qk_err local_latch(struct service *service, const struct write *write,
                                 struct record_key *ret_key);
void local_put_result(const struct write *write, struct buf *out);
/* {"_id":...,"_rev":"0-N",...} of an open plaintext. */
void local_put_json(struct bytes id, const struct doc_leaf *leaf,
                    const struct document_parts *parts, struct buf *out);

#endif
