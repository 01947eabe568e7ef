/* One content of an attachment, written before the document that will name it: sealed chunk by
 * chunk as it comes, by commands of at most UPLOAD_COMMAND_BYTES each, in constant memory.
 *
 *     upload_new · upload_put, each after the end of the one before · upload_end · the document's
 *     write with upload_wish, whose batch makes it named · upload_free
 *
 * It runs on the leader. Whatever ends it early (its client, leadership, an error), upload_free
 * lets go of it, and what it wrote is deleted (service/documents/unnamed.h). Its first command puts
 * its record, every later one and the write that names it have that as a condition: what was
 * deleted meanwhile is not gone on with. Sealing and digest run on the pool. */
#ifndef SERVICE_DOCUMENTS_UPLOAD_H
#define SERVICE_DOCUMENTS_UPLOAD_H

#include "doc/attachment_chunk.h"
#include "doc/attachment_wish.h"
#include "service/exchange.h"
#include "service/service.h"
#include "wire/records.h"

struct upload;

#define UPLOAD_COMMAND_BYTES (4 * ATTACHMENT_CHUNK_BYTES)
/* At a time: each has some MiB of memory. */
#define UPLOADS_MAX 64

typedef void (*upload_cb)(void *arg, enum qk_err err);

/* For the document whose record has the key `name`. QK_ERR_BUSY: there are too many. */
MUST_USE enum qk_err upload_new(struct service *service, const struct record_key *name,
                                struct upload **ret_upload);
/* Takes the bytes (copied); `cb` fires once, later or inside this call, when it can take more. Its
 * errors end the upload: QK_ERR_TOO_BIG past the limit of one content, QK_ERR_NOT_FOUND when the
 * database has gone, QK_ERR_BUSY when the upload was taken for dead, those of a write. */
void upload_put(struct upload *upload, struct bytes bytes, upload_cb cb, void *arg);
/* The same after the last byte: all of it is written. */
void upload_end(struct upload *upload, upload_cb cb, void *arg);
/* After upload_end: makes the wish, which follows, one for this content. QK_ERR_INVALID with the
 * problem: it was announced otherwise; QK_ERR_NOMEM. */
MUST_USE enum qk_err upload_wish(const struct upload *upload, struct attachment_wish *wish,
                                 struct doc_problem *ret_problem);
/* Lets go of it. No callback fires any more. NULL is fine. */
void upload_free(struct upload *upload);

/* The reply to an upload, of an attachment of that name, that ended with `err`. */
void upload_reply_err(struct service *service, struct exchange *exchange, struct bytes name,
                      enum qk_err err);
/* The most bytes of one content: the setting, or its default. */
uint64_t upload_bytes_max(const struct service *service);

#endif
