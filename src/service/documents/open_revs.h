/* GET /{db}/{docid}?open_revs=all|[...]: several revisions in one reply, JSON or multipart/mixed
 * (docs.couchdb.org, "Obtaining multiple revisions"). */
#ifndef SERVICE_DOCUMENTS_OPEN_REVS_H
#define SERVICE_DOCUMENTS_OPEN_REVS_H

#include "service/catalog.h"
#include "service/exchange.h"

/* To be called with a read point, in the turn in which `database` was found. Answers. */
void open_revs_reply(struct service *service, struct exchange *exchange,
                     const struct catalog_database *database, struct bytes id, struct bytes wanted);

#endif
