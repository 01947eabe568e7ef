/* Revisions: `N-<32 hex>`. The hash is keyed by a key of the keyring, so that it tells nothing
 * about content, and depends on database, document, parent and content alone: the same edit of the
 * same parent is the same revision, on every node and in every retry.
 *
 * Replication may bring others, `N-text`, as CouchDB allows them: a text of up to
 * REVISION_WORD_BYTES_MAX printable characters takes the place of the hash, filled up with zeros.
 * It is shown as that text again, and stands in CouchDB's order, which is that of the bytes. Of the
 * hashes that are made by chance one in 2^49 has that form; it would be shown as a text, and found
 * by it. */
#ifndef DOC_REVISION_H
#define DOC_REVISION_H

#include "base/bytes.h"
#include "base/limits.h"
#include "secret/secret.h"

#define REVISION_HASH_BYTES 16
#define REVISION_BYTES (4 + REVISION_HASH_BYTES) /* generation u32 ‖ hash */
#define REVISION_HASH_TEXT_BYTES (2 * REVISION_HASH_BYTES)
#define REVISION_WORD_BYTES_MAX 12
#define REVISION_TEXT_BYTES_MAX 43 /* ten digits, '-', 32 hex digits */

struct revision {
    uint32_t generation; /* 0: no revision; the first edit is 1 */
    uint8_t hash[REVISION_HASH_BYTES];
};

#define REVISION_NONE ((struct revision){0, {0}})

/* What stands behind the '-'. QK_ERR_INVALID: a text that cannot be kept. */
MUST_USE enum qk_err revision_hash_parse(struct bytes text,
                                         uint8_t ret_hash[static REVISION_HASH_BYTES]);
void revision_hash_format(const uint8_t hash[static REVISION_HASH_BYTES],
                          char ret_text[static REVISION_HASH_TEXT_BYTES + 1]);
/* QK_ERR_INVALID: not of the form `number-text`. QK_ERR_NOT_FOUND: of that form, but nothing that
 * this store can keep (so it is no document's current revision). */
MUST_USE enum qk_err revision_parse(struct bytes text, struct revision *ret_revision);
/* `0-N`, of a _local document; *ret_number stays as it is for any other text. */
void revision_parse_local(struct bytes text, uint32_t *ret_number);
void revision_format(const struct revision *revision,
                     char ret_text[static REVISION_TEXT_BYTES_MAX + 1]);
void revision_encode(const struct revision *revision, uint8_t ret_bytes[static REVISION_BYTES]);
bool revision_equal(const struct revision *a, const struct revision *b);
/* CouchDB's order of leaves: higher generation, then greater hash. <0, 0, >0 */
int revision_compare(const struct revision *a, const struct revision *b);

/* What a revision's hash depends on. */
struct revision_input {
    const uint8_t *database; /* DATABASE_ID_BYTES */
    struct bytes document_id;
    struct revision parent; /* REVISION_NONE for a first edit */
    bool deleted;
    struct bytes content; /* the sealed plaintext: attachments' digests and the body */
};

/* The revision that follows `input->parent`. QK_ERR_TOO_BIG after 2^32-1 generations; the errors of
 * mac_compute. */
MUST_USE enum qk_err revision_compute(const struct secret *key, const struct revision_input *input,
                                      struct revision *ret_revision);

#endif
