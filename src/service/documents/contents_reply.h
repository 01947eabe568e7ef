/* A reply made of contents (service/documents/contents.h), streamed at the pace of its client. */
#ifndef SERVICE_DOCUMENTS_CONTENTS_REPLY_H
#define SERVICE_DOCUMENTS_CONTENTS_REPLY_H

#include "service/catalog.h"
#include "service/documents/contents.h"
#include "service/exchange.h"

struct contents_how {
    int status;
    struct bytes content_type;
    const uint8_t *key_id; /* the reader's right to it is asked for again as the reply goes on */
    bool is_json;          /* ends with a line break, and with the error if one comes between */
};

/* Takes over `contents`, in every case, and answers. The reader has been let in in this turn. */
void contents_reply(struct service *service, struct exchange *exchange,
                    const struct catalog_database *database, const struct contents_how *how,
                    struct contents *contents);

#endif
