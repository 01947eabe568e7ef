/* What the routes of one attachment share. */
#ifndef SERVICE_ATTACHMENT_H
#define SERVICE_ATTACHMENT_H

#include "doc/problem.h"
#include "service/exchange.h"

/* What /{db}/{doc}/{name...} and /{db}/_design/{doc}/{name...} name: a document's id and the name
 * of an attachment, which may have slashes in it. Both appended. QK_ERR_INVALID with the problem,
 * QK_ERR_NOMEM. */
MUST_USE enum qk_err attachment_path(const struct request *request, struct buf *ret_id,
                                     struct buf *ret_name, struct doc_problem *ret_problem);

#endif
