/* What CouchDB has and this server has not, where a client would else take the path for that of an
 * attachment, or a plain 404 for a mistake of its own. docs/couchdb.md has the reasons. */
#include "service/handlers.h"

void handle_not_implemented(struct service *service, struct exchange *exchange)
{
    (void)service;
    exchange_reply_error(exchange, 501, "not_implemented",
                         "show, list and update functions, text search and partitions are not part "
                         "of this server");
}
