/* Are the contents of attachments all there, whole, and named? One database after the other, beside
 * a walk over its records in their order, in which documents come before chunks:
 *
 *     verify_contents_begin, before its first record · verify_contents_document, of each of its
 * documents, with verify_contents_step until it is not busy after each of these ·
 * verify_contents_end, behind its last record
 *
 * A chunk that a document names must be there and open, and none may be behind its last: each is
 * opened. A content that no document names must have a record that says so
 * (service/unnamed_record.h): what has none at the beginning, in the file, is named by a document
 * in that same file; if the walk has met none at the end, nobody names it, unless it has gone
 * since. For that the ids are held: VERIFY_IDS_MAX of them; in a larger database such are not
 * found. */
#ifndef SERVICE_INTEGRITY_VERIFY_CONTENTS_H
#define SERVICE_INTEGRITY_VERIFY_CONTENTS_H

#include "doc/record.h"
#include "service/service.h"
#include "wire/records.h"

#define VERIFY_IDS_MAX (1024 * 1024)

enum verify_harm { VERIFY_DAMAGED, VERIFY_MISSING, VERIFY_NAMELESS };
const char *verify_contents_harm_text(enum verify_harm harm);

/* `document`: the key of the record that names it; empty: none does. */
typedef void (*verify_contents_found_cb)(void *arg, enum verify_harm harm, struct bytes chunk,
                                         struct bytes document);

struct verify_contents;

/* The caller gives it back with verify_contents_free. NULL without memory. */
struct verify_contents *verify_contents_new(struct service *service, verify_contents_found_cb found,
                                            void *arg);
void verify_contents_free(struct verify_contents *check); /* takes NULL */
void verify_contents_begin(struct verify_contents *check,
                           const uint8_t database[static DATABASE_ID_BYTES]);
/* The record of that key: what its leaves name. */
void verify_contents_document(struct verify_contents *check, struct bytes key,
                              const struct doc_record *record);
/* One leaf of it: the section of its attachments (doc/attachment.h), copied. QK_ERR_NOMEM,
 * QK_ERR_CORRUPT. */
MUST_USE enum qk_err verify_contents_leaf(struct verify_contents *check, struct bytes section);
bool verify_contents_is_busy(const struct verify_contents *check);
/* A small piece: one chunk is opened, or one content noted. Errors of the store alone. */
MUST_USE enum qk_err verify_contents_step(struct verify_contents *check);
void verify_contents_end(struct verify_contents *check);
/* Chunks opened so far. */
uint64_t verify_contents_chunks_n(const struct verify_contents *check);

#endif
