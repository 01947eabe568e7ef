/* What the routes of one attachment share. */
#ifndef SERVICE_DOCUMENTS_ATTACHMENT_H
#define SERVICE_DOCUMENTS_ATTACHMENT_H

#include "doc/attachment.h"
#include "doc/problem.h"
#include "service/exchange.h"
#include "service/service.h"

/* What /{db}/{doc}/{name...} and /{db}/_design/{doc}/{name...} name: a document's id and the name
 * of an attachment, which may have slashes in it. Both appended. QK_ERR_INVALID with the problem,
 * QK_ERR_NOMEM. */
MUST_USE enum qk_err attachment_path(const struct request *request, struct buf *ret_id,
                                     struct buf *ret_name, struct doc_problem *ret_problem);
/* Content-MD5, if the client sent it, is of what arrived. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err attachment_check_md5(const struct request *request,
                                          const uint8_t md5[static ATTACHMENT_MD5_BYTES],
                                          struct doc_problem *problem);
/* PUT with a body that is there as a whole, and with one that comes as it is taken. */
void attachment_put_whole(struct service *service, struct exchange *exchange);
void attachment_upload(struct service *service, struct exchange *exchange);

#endif
