/* COPY of a document with long attachments: their contents are opened and uploaded again, chunk by
 * chunk, before the copy that will name them is written. A content belongs to one document, so none
 * is shared. */
#ifndef SERVICE_DOCUMENTS_COPY_LONG_H
#define SERVICE_DOCUMENTS_COPY_LONG_H

#include "service/exchange.h"
#include "service/read.h"

/* Longer ones are uploaded; those up to here are copied with the document. */
#define COPY_WHOLE_BYTES (1 * MIB)

struct copy_long;

/* Of a copy that `exchange` asks for. NULL without memory. */
struct copy_long *copy_long_new(struct service *service, struct exchange *exchange,
                                const uint8_t database[static DATABASE_ID_BYTES]);
/* Takes NULL. */
void copy_long_free(struct copy_long *copy);
/* A long one, whose wish will be that of the document's number `at`; makes the wish one that
 * follows. */
MUST_USE enum qk_err copy_long_add(struct copy_long *copy, const struct attachment *attachment,
                                   unsigned at, struct attachment_wish *ret_wish);
bool copy_long_is_needed(const struct copy_long *copy);
/* Uploads them, as long as the reader may decrypt what is under `key_id`, writes the document and
 * answers. Takes over the document, and itself. */
void copy_long_start(struct copy_long *copy, struct bytes id, struct document *document,
                     const uint8_t key_id[static KEY_ID_BYTES]);

#endif
