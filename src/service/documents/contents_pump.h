/* A document among the rows of a streamed reply, with contents of attachments if they are asked
 * for: those leave in further steps of the stream, so that memory does not grow with them. */
#ifndef SERVICE_DOCUMENTS_CONTENTS_PUMP_H
#define SERVICE_DOCUMENTS_CONTENTS_PUMP_H

#include "service/documents/contents_document.h"

struct contents_pump {
    bool active; /* a document is under way */
    struct contents contents;
};

/* Appends the document and then `tail` to `out`, or only begins to: then the pump is active, and
 * the following steps of the stream are pump_step's. Errors as stored_open, with `out` as it was.
 */
MUST_USE enum qk_err pump_document(struct contents_pump *pump, struct service *service,
                                   const struct contents_document *document, const char *tail,
                                   struct buf *out);
/* Of an active one: some more of it. */
MUST_USE enum qk_err pump_step(struct contents_pump *pump, struct buf *out);
void pump_fini(struct contents_pump *pump);

#endif
