/* DELETE: the write of a tombstone. CouchDB looks first, so that a document that is not there is a
 * 404 and not a conflict. */
#include "doc/id.h"
#include "service/handlers.h"
#include "service/documents/local.h"
#include "service/params.h"
#include "service/request.h"
#include "service/write.h"

void handle_doc_delete(struct service *service, struct exchange *exchange)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct doc_problem problem = {0};
    static const struct write_how how = {.status_ok = 200, .must_exist = true};
    struct document document;
    enum qk_err err;

    request_doc_id(&exchange->request, &id);
    err = document_tombstone(&document);
    if (err == QK_OK)
        err = request_revision(&exchange->request, &document, &problem);
    if (err == QK_OK)
        err = local_is_id(buf_bytes(&id)) ? local_id_check(buf_bytes(&id), &problem)
                                          : doc_id_check(buf_bytes(&id), &problem);
    if (err != QK_OK) {
        document_fini(&document);
        exchange_reply_problem_or(exchange, &problem, err);
    } else if (local_is_id(buf_bytes(&id))) {
        local_write(service, exchange, buf_bytes(&id), &document);
    } else {
        write_one(service, exchange, buf_bytes(&id), &document, &how);
    }
    buf_fini(&id);
}
