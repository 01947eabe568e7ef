/* The attachments of one write: which a revision comes to have, what of them is new, and what of
 * the record's others nobody names any more. All goes into the batch that writes the record, so a
 * document never names a content that is not there, and no content is left that nobody names.
 *
 * A content gets a fresh id and a fresh key each time that a write is evaluated, so no key ever
 * seals two things. What is kept (a stub) is what the document has: its owner must be allowed to
 * read that, else a stub would carry it from under one key to another. */
#ifndef SERVICE_WRITE_ATTS_H
#define SERVICE_WRITE_ATTS_H

#include "doc/attachment_chunk.h"
#include "doc/document.h"
#include "service/catalog.h"
#include "service/read.h"
#include "wire/command.h"

struct write;

/* One that this write brings. */
struct write_content {
    struct bytes content; /* borrowed from the document or the request */
    size_t id_at, key_at; /* in `section` */
};

struct write_atts {
    bool any;            /* false: all is as the document has it */
    struct buf section;  /* secret: doc/attachment.h */
    struct buf plain;    /* secret: what is sealed */
    struct buf summary;  /* secret: what the revision's hash takes for it */
    struct buf ids;      /* of the leaf */
    struct buf before;   /* ids that the record names before the write */
    struct buf after;    /* and after it */
    struct buf uploaded; /* ids of the contents that this write makes named */
    struct write_content *contents;
    unsigned contents_n;
    uint8_t cluster[CLUSTER_ID_BYTES];
};

#define WRITE_ATTS_IDS_BYTES_MAX                                                                   \
    ((size_t)DOC_RECORD_LEAVES_MAX * ATTACHMENTS_MAX * ATTACHMENT_ID_BYTES)
#define WRITE_ATTS_INIT                                                                            \
    {                                                                                              \
        .section = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX),                                      \
        .plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX),                                        \
        .summary = BUF_SECRET_INIT(2 * DOCUMENT_PLAIN_BYTES_MAX),                                  \
        .ids = BUF_INIT(ATTACHMENTS_MAX * ATTACHMENT_ID_BYTES),                                    \
        .uploaded = BUF_INIT(ATTACHMENTS_MAX * ATTACHMENT_ID_BYTES),                               \
        .before = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX), .after = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX)  \
    }

void write_atts_fini(struct write_atts *atts);

/* What `write` makes of the attachments of `parent` (NULL: it has none) in `stored`.
 * QK_ERR_INVALID: `write->state` says what is missing; QK_ERR_DENIED: it is WRITE_NO_GRANT. */
MUST_USE enum qk_err write_atts_make(struct service *service,
                                     const struct catalog_database *database, struct write *write,
                                     struct bytes name, const struct stored *stored,
                                     const struct doc_leaf *parent, struct write_atts *atts);
/* What is sealed, and what its revision is the hash of. */
struct bytes write_atts_plain(const struct write_atts *atts, const struct write *write);
struct bytes write_atts_content(const struct write_atts *atts, const struct write *write);
/* Into the open batch: that what was uploaded for it is there still. */
void write_atts_conds(const struct write_atts *atts,
                      const uint8_t database[static DATABASE_ID_BYTES],
                      struct wire_command *command);
/* Into the open batch: the chunks of what is new, and the end of what the record `key` drops. */
void write_atts_put(struct service *service, const struct write_atts *atts,
                    const struct record_key *key, struct wire_command *command);

/* The ids of the attachments of all leaves, appended. */
void attachment_ids_put(const struct doc_record *record, struct buf *out);
/* Into the open batch: the end of those of `before` that are not in `after`, of the record `key`.
 * Short contents are deleted by the batch; long ones become unnamed (service/documents/unnamed.h),
 * since apply would hold up the node for as long as it takes. For who changes or removes a record
 * without a write. */
void attachment_ids_drop(struct service *service, const struct record_key *key, struct bytes before,
                         struct bytes after, struct wire_command *command);

#endif
