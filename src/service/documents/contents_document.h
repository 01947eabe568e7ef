/* Documents in replies, with the contents of their attachments: inside the JSON as base64, or
 * behind it as parts of multipart/related. */
#ifndef SERVICE_DOCUMENTS_CONTENTS_DOCUMENT_H
#define SERVICE_DOCUMENTS_CONTENTS_DOCUMENT_H

#include "doc/document.h"
#include "service/documents/contents.h"
#include "service/exchange.h"
#include "service/leaf_write.h"

#define BOUNDARY_TEXT_BYTES 32

/* Which contents a request asks for: ?attachments=true, ?atts_since=["2-...",...]. */
struct contents_wish {
    bool contents;    /* else all attachments are stubs */
    struct buf since; /* revisions (revision_encode): contents that came after the newest of them
                       * that the document descends from; none: all */
};

/* The caller ends with contents_wish_fini, on errors too. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err contents_wish_parse(const struct request *request,
                                         struct contents_wish *ret_wish,
                                         struct doc_problem *ret_problem);
void contents_wish_fini(struct contents_wish *wish);
/* Which document is put, and what of it. */
struct contents_document {
    const struct leaf_at *at;
    const struct doc_leaf *leaf;
    const struct document_options *options;
    const struct contents_wish *wish;
    const char *boundary; /* of multipart/related, the last one's end included; NULL: JSON */
};
/* Opens it and puts it: as JSON with the contents in it, or as parts of which the first is the
 * JSON. Errors as stored_open; nothing of the arguments is needed afterwards. */
MUST_USE enum qk_err contents_put_document(struct contents *contents,
                                           const struct contents_document *document);
/* A boundary that is in no content but by a chance of 2^-128. */
void contents_boundary(char ret_text[static BOUNDARY_TEXT_BYTES + 1]);

#endif
