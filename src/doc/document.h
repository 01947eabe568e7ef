/* A document as clients send and get it, and as it is sealed.
 *
 *     sealed plaintext = format u8 = 1 ‖ attachments_len u32 ‖ attachments ‖ body
 *
 * The body is a compact JSON object without the members that belong to CouchDB (`_id`, `_rev`,
 * ...), so that a reply is made by putting those in front of it, without parsing. `attachments` is
 * the section of doc/attachment.h. */
#ifndef DOC_DOCUMENT_H
#define DOC_DOCUMENT_H

#include "doc/attachment_wish.h"
#include "doc/json.h"
#include "doc/record.h"

#define DOCUMENT_PLAIN_FORMAT 1
#define DOCUMENT_SPECIAL_BYTES_MAX 32 /* of the names of members that are CouchDB's own */
#define DOCUMENT_PLAIN_BYTES_MAX (DOC_BYTES_MAX + 64 * KIB)

struct document {
    struct buf id;            /* empty if the document has none */
    bool has_revision;        /* a `_rev` was given */
    bool revision_is_foreign; /* well-formed, but never made here: matches nothing */
    struct revision revision;
    uint32_t local_revision; /* N of a `_rev` 0-N, of _local documents */
    struct buf revisions;    /* of `_revisions`: the hashes of its ancestors, the parent's first */
    bool deleted;
    struct buf key_name; /* of `_key_id`: the data key wanted; empty: the default */
    struct buf plain;    /* secret: the sealed plaintext, without attachments */
    struct attachment_wishes attachments; /* those that it is to have */
};

/* Takes `object` apart: consumes its special members, leaves the rest as the plaintext. The caller
 * ends with document_fini, on errors too. QK_ERR_INVALID with the problem, QK_ERR_TOO_BIG (the
 * document, not the request), QK_ERR_NOMEM. */
MUST_USE enum qk_err document_from_json(json_t *object, struct document *ret_document,
                                        struct doc_problem *ret_problem);
/* The same from text, strictly JSON. */
MUST_USE enum qk_err document_from_text(struct bytes text, struct document *ret_document,
                                        struct doc_problem *ret_problem);
/* The short cut of it, for a document within a longer text: takes the object that comes next, with
 * what document_from_json would return for it in `ret_err`. False: it says nothing, json_parse has
 * to be asked (doc/json_walk.h). The caller begins with document_init and ends with document_fini,
 * whatever is answered. */
struct json_walk;
bool document_walk(struct json_walk *walk, struct document *document, enum qk_err *ret_err,
                   struct doc_problem *ret_problem);
/* Room for a body from that much text: grown from the smallest, one of usual size would be copied
 * and wiped three times. False: there is none. */
bool document_reserve(struct document *document, size_t text_bytes);
/* What new_edits=false needs: a revision, of hashes that can be kept. QK_ERR_INVALID with the
 * problem. */
MUST_USE enum qk_err document_check_replicated(const struct document *document,
                                               struct doc_problem *ret_problem);
/* One without anything. The caller ends with document_fini. */
void document_init(struct document *document);
/* A tombstone without members. The caller ends with document_fini. */
MUST_USE enum qk_err document_tombstone(struct document *ret_document);
void document_fini(struct document *document);

/* Appends the sealed plaintext of a body without attachments, a compact JSON object. */
void document_plain_put(struct bytes body, struct buf *out);
/* The same with a section of attachments in front. */
void document_plain_put_with(struct bytes attachments, struct bytes body, struct buf *out);

/* A sealed plaintext, taken apart; borrowed from it. */
struct document_parts {
    struct bytes attachments; /* a section that was found well-formed: attachments_open */
    struct bytes body;        /* the JSON object */
};
/* QK_ERR_CORRUPT. */
MUST_USE enum qk_err document_plain_open(struct bytes plain, struct document_parts *ret_parts);

/* What a reply adds to the stored body. */
struct document_options {
    bool revs;                       /* _revisions */
    bool revs_info;                  /* _revs_info */
    bool conflicts;                  /* _conflicts, if there are any */
    bool deleted_conflicts;          /* _deleted_conflicts, the same */
    const char *local_seq;           /* _local_seq; NULL: without */
    const struct doc_record *record; /* for both kinds of conflicts; may be NULL without */
    bool conflicts_of_key;           /* of these, leaves under the key of the one shown alone */
};
/* Appends {"_id":...,"_rev":...,...} to `out`, attachments as stubs. */
void document_write(struct bytes id, const struct doc_leaf *leaf,
                    const struct document_parts *parts, const struct document_options *options,
                    struct buf *out);
/* The two ends of it, between which a caller puts `_attachments` or nothing. */
void document_write_head(struct bytes id, const struct doc_leaf *leaf,
                         const struct document_options *options, struct buf *out);
void document_write_body(const struct document_parts *parts, struct buf *out);
/* Appends the head of one attachment as JSON, "name":{"content_type":...,"revpos":...,"digest":...
 * without its end. */
void document_write_attachment(const struct attachment *attachment, struct buf *out);

#endif
