/* A document as clients send and get it, and as it is sealed.
 *
 *     sealed plaintext = format u8 = 1 ‖ attachments_len u32 ‖ attachments ‖ body
 *
 * The body is a compact JSON object without the members that belong to CouchDB (`_id`, `_rev`,
 * ...), so that a reply is made by putting those in front of it, without parsing. `attachments` is
 * empty until attachments exist. */
#ifndef DOC_DOCUMENT_H
#define DOC_DOCUMENT_H

#include "doc/json.h"
#include "doc/record.h"

#define DOCUMENT_PLAIN_FORMAT 1
#define DOCUMENT_PLAIN_BYTES_MAX (DOC_BYTES_MAX + 64 * KIB)

struct document {
    struct buf id;            /* empty if the document has none */
    bool has_revision;        /* a `_rev` was given */
    bool revision_is_foreign; /* well-formed, but never made here: matches nothing */
    struct revision revision;
    bool deleted;
    struct buf key_name; /* of `_key_id`: the data key wanted; empty: the default */
    struct buf plain;    /* secret: the sealed plaintext */
};

/* Takes `object` apart: consumes its special members, leaves the rest as the plaintext. The caller
 * ends with document_fini, on errors too. QK_ERR_INVALID with the problem, QK_ERR_TOO_BIG (the
 * document, not the request), QK_ERR_NOMEM. */
MUST_USE enum qk_err document_from_json(json_t *object, struct document *ret_document,
                                        struct doc_problem *ret_problem);
/* A tombstone without members. The caller ends with document_fini. */
MUST_USE enum qk_err document_tombstone(struct document *ret_document);
void document_fini(struct document *document);

/* Appends the sealed plaintext of a body without attachments, a compact JSON object. */
void document_plain_put(struct bytes body, struct buf *out);
/* The JSON body inside a sealed plaintext, borrowed. QK_ERR_CORRUPT. */
MUST_USE enum qk_err document_plain_body(struct bytes plain, struct bytes *ret_body);

/* What a reply adds to the stored body. */
struct document_options {
    bool revs;                       /* _revisions */
    bool revs_info;                  /* _revs_info */
    bool conflicts;                  /* _conflicts and _deleted_conflicts, if there are any */
    const struct doc_record *record; /* for `conflicts`; may be NULL without it */
};
/* Appends {"_id":...,"_rev":...,...} to `out`. */
void document_write(struct bytes id, const struct doc_leaf *leaf, struct bytes body,
                    const struct document_options *options, struct buf *out);

#endif
