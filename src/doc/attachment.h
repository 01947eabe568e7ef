/* The attachments of a document, as they stand in its sealed plaintext (doc/document.h):
 *
 *     attachments = empty, or: n u16 (at least 1) ‖ n x attachment
 *     attachment  = name (len32, bytes) ‖ content type (len32, bytes) ‖ length u64 ‖ md5[16] ‖
 *                   encoding u8 = 0 ‖ revpos u32 ‖ id[16] ‖ key[32]
 *
 * The content lies in chunk records of its own (doc/attachment_chunk.h), named after the random id
 * and sealed under the random key, which stand here and nowhere else. So whoever opens the document
 * opens its attachments, and who changes a document's data key or seals it again leaves the
 * content where it is. A content never changes under its id. */
#ifndef DOC_ATTACHMENT_H
#define DOC_ATTACHMENT_H

#include "base/bytes.h"
#include "base/limits.h"

#define ATTACHMENT_ID_BYTES 16
#define ATTACHMENT_KEY_BYTES 32
#define ATTACHMENT_MD5_BYTES 16
#define ATTACHMENT_NAME_BYTES_MAX 1024
#define ATTACHMENT_TYPE_BYTES_MAX 255
#define ATTACHMENTS_MAX 4096 /* of one revision of a document */
/* "md5-", and base64 of sixteen bytes. */
#define ATTACHMENT_DIGEST_TEXT_BYTES 28

struct attachment {
    struct bytes name, content_type; /* borrowed, as the rest is */
    uint64_t length;
    const uint8_t *md5; /* ATTACHMENT_MD5_BYTES */
    uint32_t revpos;    /* generation of the revision that brought it */
    const uint8_t *id;  /* ATTACHMENT_ID_BYTES */
    const uint8_t *key; /* ATTACHMENT_KEY_BYTES: inside the secret buffer of the plaintext */
};

/* A list that was found well-formed. A plain value: a copy is a bookmark. */
struct attachments {
    struct reader in;
    unsigned left;
};

/* The list in a section, checked from end to end; an empty section is an empty list.
 * QK_ERR_CORRUPT. */
MUST_USE enum qk_err attachments_open(struct bytes section, struct attachments *ret_list);
/* The next; false at the end. */
bool attachments_next(struct attachments *list, struct attachment *ret_attachment);
/* The one of that name; false if there is none. */
bool attachments_find(struct attachments list, struct bytes name,
                      struct attachment *ret_attachment);

/* The head of a section of `n` (1 to ATTACHMENTS_MAX), then each of them. `out` is secret. */
void attachments_put_head(unsigned n, struct buf *out);
void attachment_put(const struct attachment *attachment, struct buf *out);

/* MD5 is what CouchDB's clients know contents by. It protects nothing here. */
MUST_USE enum qk_err attachment_md5(struct bytes content,
                                    uint8_t ret_md5[static ATTACHMENT_MD5_BYTES]);
/* The same piece by piece. NULL without memory. The caller ends with attachment_digest_free. */
struct attachment_digest;
struct attachment_digest *attachment_digest_begin(void);
MUST_USE enum qk_err attachment_digest_add(struct attachment_digest *digest, struct bytes piece);
/* After the last piece, once. */
MUST_USE enum qk_err attachment_digest_end(struct attachment_digest *digest,
                                           uint8_t ret_md5[static ATTACHMENT_MD5_BYTES]);
void attachment_digest_free(struct attachment_digest *digest);
/* "md5-<base64>", terminated. */
void attachment_digest_format(const uint8_t md5[static ATTACHMENT_MD5_BYTES],
                              char ret_text[static ATTACHMENT_DIGEST_TEXT_BYTES + 1]);
/* QK_ERR_INVALID: not of that form. */
MUST_USE enum qk_err attachment_digest_parse(struct bytes text,
                                             uint8_t ret_md5[static ATTACHMENT_MD5_BYTES]);

#endif
