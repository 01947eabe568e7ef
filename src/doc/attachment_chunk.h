/* The content of an attachment at rest: chunks of 256 KiB, each sealed with XChaCha20-Poly1305
 * under the attachment's own key, which encrypts nothing else.
 *
 *     nonce = 19 zero bytes ‖ chunk u32 ‖ last u8          (STREAM: Hoang, Reyhanitabar, Rogaway,
 *     aad   = cluster ‖ database ‖ id ‖ chunk u32           Vizár, CRYPTO 2015)
 *
 * So chunks cannot be left out, put in another order, cut off at the end, or moved to another
 * attachment. An empty content has one empty chunk. Pure. */
#ifndef DOC_ATTACHMENT_CHUNK_H
#define DOC_ATTACHMENT_CHUNK_H

#include "doc/attachment.h"
#include "secret/secret.h"

#define ATTACHMENT_CHUNK_BYTES (256 * KIB)
#define ATTACHMENT_SEALED_BYTES_MAX (ATTACHMENT_CHUNK_BYTES + 16)

/* Where a content lies. */
struct attachment_place {
    const uint8_t *cluster;  /* CLUSTER_ID_BYTES */
    const uint8_t *database; /* DATABASE_ID_BYTES */
    const uint8_t *id;       /* ATTACHMENT_ID_BYTES */
};

/* How many chunks a content of that length has: at least one. */
uint64_t attachment_chunks_n(uint64_t length);
/* How many bytes of it are in chunk `at`. */
size_t attachment_chunk_len(uint64_t length, uint64_t at);

/* Chunk `at` of `content`, sealed and appended to `out`. Each chunk once under one key. */
MUST_USE enum qk_err attachment_chunk_seal(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                           const struct attachment_place *place,
                                           struct bytes content, uint32_t at, struct buf *out);
/* The same of a content that is not all there: `part` is what chunk `at` holds, a whole chunk
 * unless it is the `last`. */
MUST_USE enum qk_err attachment_part_seal(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                          const struct attachment_place *place, struct bytes part,
                                          uint32_t at, bool last, struct buf *out);
/* Its plaintext, appended to `out`, a secret buffer; `length` is the whole content's.
 * QK_ERR_CORRUPT. */
MUST_USE enum qk_err attachment_chunk_open(const uint8_t key[static ATTACHMENT_KEY_BYTES],
                                           const struct attachment_place *place, uint64_t length,
                                           uint32_t at, struct bytes sealed, struct buf *out);

#endif
