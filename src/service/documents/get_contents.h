/* GET of a document with the contents of its attachments. */
#ifndef SERVICE_DOCUMENTS_GET_CONTENTS_H
#define SERVICE_DOCUMENTS_GET_CONTENTS_H

#include "service/catalog.h"
#include "service/documents/contents_document.h"

/* Answers with multipart/related if the client takes that (CouchDB's choice wherever Accept does
 * not say otherwise), else with JSON. Everything is copied or handed on in this turn. */
void get_contents_reply(struct service *service, struct exchange *exchange,
                        const struct catalog_database *database, const struct leaf_at *at,
                        const struct doc_leaf *leaf, const struct document_options *options,
                        const struct contents_wish *wish);

#endif
