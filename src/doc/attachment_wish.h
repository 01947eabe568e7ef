/* What a client says of a document's attachments when it writes one: the member `_attachments`.
 *
 *     {"name": {"content_type": "text/plain", "data": "<base64>", "revpos": 1}}       the content
 *     {"name": {"content_type": "text/plain", "follows": true, "length": 5}}   it comes in a part
 *     {..., "follows": true, "encoding": "gzip", "length": 5}}      the same, packed; 5 unpacked
 *     {"name": {"stub": true, "digest": "md5-...", "revpos": 1}}           as the document has it
 *
 * Those that a document had and that are not named are gone. */
#ifndef DOC_ATTACHMENT_WISH_H
#define DOC_ATTACHMENT_WISH_H

#include <jansson.h>

#include "doc/attachment.h"
#include "doc/problem.h"

#define ATTACHMENT_TYPE_DEFAULT "application/octet-stream"

enum attachment_source {
    ATTACHMENT_STUB,
    ATTACHMENT_DATA,
    ATTACHMENT_FOLLOWS,
    ATTACHMENT_STORED /* its chunks are written already, under `id`; `data` is the key */
};

struct attachment_wish {
    enum attachment_source source;
    struct buf name, content_type;
    bool has_revpos, has_length, has_digest;
    bool packed; /* what follows is a gzip of it */
    uint32_t revpos;
    uint64_t length;
    uint8_t md5[ATTACHMENT_MD5_BYTES]; /* as given; once there is a content, of that */
    uint8_t id[ATTACHMENT_ID_BYTES];
    struct buf data; /* secret: what was in the JSON */
    bool has_content;
    struct bytes content; /* borrowed: from `data`, or from the request */
};

struct attachment_wishes {
    struct attachment_wish *items; /* owned */
    unsigned n;
};

/* From the value of `_attachments`. The caller ends with attachment_wishes_fini, on errors too.
 * QK_ERR_INVALID with the problem in CouchDB's words, QK_ERR_NOMEM. */
MUST_USE enum qk_err attachment_wishes_from_json(const json_t *value,
                                                 struct attachment_wishes *ret_wishes,
                                                 struct doc_problem *ret_problem);
/* One attachment alone, with its content (borrowed): what a PUT of an attachment brings. */
MUST_USE enum qk_err attachment_wishes_of(struct bytes name, struct bytes content_type,
                                          struct bytes content,
                                          struct attachment_wishes *ret_wishes);
/* The same without a content as yet: one that follows. */
MUST_USE enum qk_err attachment_wishes_of_name(struct bytes name, struct bytes content_type,
                                               struct attachment_wishes *ret_wishes);
/* Gives one that follows its content, which must be as it was announced: QK_ERR_INVALID with the
 * problem. */
MUST_USE enum qk_err attachment_wish_content(struct attachment_wish *wish, struct bytes content,
                                             struct doc_problem *ret_problem);
/* The same when the content is stored: its length and digest as they are, id and key (secret) of
 * where it lies. */
MUST_USE enum qk_err attachment_wish_stored(struct attachment_wish *wish,
                                            const struct attachment *stored,
                                            struct doc_problem *ret_problem);
/* The first that follows and has no content; NULL if there is none. */
struct attachment_wish *attachment_wishes_awaited(const struct attachment_wishes *wishes);
void attachment_wishes_fini(struct attachment_wishes *wishes);

/* A name that a client may give. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err attachment_name_check(struct bytes name, struct doc_problem *ret_problem);
/* The same of a content type: it becomes a line of a reply's head. */
MUST_USE enum qk_err attachment_type_check(struct bytes type, struct doc_problem *ret_problem);

#endif
