/* DELETE: CouchDB looks first, so that a document that is not there is a 404 and not a conflict;
 * then it is a write of a tombstone like any other. */
#include <assert.h>

#include "doc/id.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/put.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write.h"

/* True if the document is there; otherwise the exchange was answered. */
static bool delete_look(struct service *service, struct exchange *exchange, struct bytes id)
{
    const struct catalog_database *database;
    struct stored stored;
    const char *reason = NULL;
    enum qk_err err;

    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return false;
    }
    database = read_database(service, exchange);
    if (database == NULL)
        return false;
    err = stored_get(service, database->id, id, &stored);
    if (err == QK_OK && stored.record.leaves_n == 0)
        reason = "missing";
    else if (err == QK_OK && stored.record.leaves[0].deleted)
        reason = "deleted";
    stored_fini(&stored);
    if (err != QK_OK)
        exchange_reply_err(exchange, err);
    else if (reason != NULL)
        exchange_reply_error(exchange, 404, "not_found", "%s", reason);
    return err == QK_OK && reason == NULL;
}

void handle_doc_delete(struct service *service, struct exchange *exchange)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct doc_problem problem = {0};
    struct document document;
    enum qk_err err;

    request_doc_id(&exchange->request, &id);
    err = document_tombstone(&document);
    if (err == QK_OK)
        err = request_revision(&exchange->request, &document, &problem);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&id), &problem);
    if (err != QK_OK) {
        document_fini(&document);
        exchange_reply_problem_or(exchange, &problem, err);
    } else if (delete_look(service, exchange, buf_bytes(&id))) {
        write_one(service, exchange, buf_bytes(&id), &document, 200);
    } else {
        document_fini(&document);
    }
    buf_fini(&id);
}
