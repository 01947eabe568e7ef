/* A reply that has contents of attachments in it: text and contents in turn, handed on chunk by
 * chunk, so that memory does not grow with what is sent.
 *
 *     contents_init · append to `text` · contents_put · append · ... · contents_step until the end
 *
 * What is appended to `text` between two contents_put stands between these contents. */
#ifndef SERVICE_DOCUMENTS_CONTENTS_H
#define SERVICE_DOCUMENTS_CONTENTS_H

#include "doc/attachment_chunk.h"
#include "service/service.h"

struct contents_piece {
    size_t text_to;    /* text up to here goes first */
    bool has_content;  /* false: text alone, the last */
    bool base64;       /* or as it is */
    uint64_t length;   /* of the whole content */
    uint64_t from, to; /* what of it is sent */
    size_t facts_at;   /* id ‖ key, in `facts` */
};

struct contents {
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    struct buf text;  /* secret */
    struct buf facts; /* secret */
    struct contents_piece *pieces;
    size_t pieces_n, pieces_cap;
    enum qk_err failed;
    /* How far it is handed on. */
    size_t piece, text_at;
    uint64_t done; /* of the piece's content, from its beginning */
    uint8_t carry[3];
    size_t carry_n; /* bytes that wait for a group of three */
};

void contents_init(struct contents *contents, struct service *service,
                   const uint8_t database[static DATABASE_ID_BYTES]);
void contents_fini(struct contents *contents);
/* Bytes `from` to `to` (excluded) of the attachment's content, behind the text so far. Errors stick
 * and come out of contents_step. */
void contents_put(struct contents *contents, const struct attachment *attachment, uint64_t from,
                  uint64_t to, bool base64);
/* After the last piece of text. How many bytes all of it has. QK_ERR_NOMEM. */
MUST_USE enum qk_err contents_seal(struct contents *contents, uint64_t *ret_length);
/* Appends some 256 KiB at most to `out`. QK_ERR_NOT_FOUND: a content has gone since (its document
 * was written); QK_ERR_CORRUPT is logged. */
MUST_USE enum qk_err contents_step(struct contents *contents, struct buf *out, bool *ret_end);

#endif
