/* Update sequences as clients see them: `N-<16 hex>`, opaque to them. The text names the database
 * by its id, so that a sequence of a database that was dropped and made again starts from 0. They
 * are the same on every node and after every restart. */
#ifndef SERVICE_SEQ_H
#define SERVICE_SEQ_H

#include "base/bytes.h"
#include "base/limits.h"
#include "secret/crypto.h"

#define SEQ_SEALED_BYTES (AEAD_NONCE_BYTES + 8 + AEAD_TAG_BYTES)
#define SEQ_TEXT_BYTES_MAX (2 + 2 * SEQ_SEALED_BYTES) /* more than twenty digits, '-', 16 more */

void seq_format(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                char ret_text[static SEQ_TEXT_BYTES_MAX + 1]);
/* Takes `N`, `N-<16 hex>` and the same as a JSON string in quotes; 0 for another database's.
 * QK_ERR_INVALID. */
MUST_USE enum qk_err seq_parse(const uint8_t database[static DATABASE_ID_BYTES], struct bytes text,
                               uint64_t *ret_seq);

/* The same for readers who must not learn how many writes there were: `0-<96 hex>`, the sequence
 * sealed with a random nonce under a key of the database, which the caller frees. */
MUST_USE enum qk_err seq_key_derive(const struct secret *index_key,
                                    const uint8_t database[static DATABASE_ID_BYTES],
                                    struct secret **ret_key);
MUST_USE enum qk_err seq_format_sealed(const struct secret *key,
                                       const uint8_t database[static DATABASE_ID_BYTES],
                                       uint64_t seq, char ret_text[static SEQ_TEXT_BYTES_MAX + 1]);
/* Takes such texts and `0`, also in quotes; 0 for what another database's key sealed.
 * QK_ERR_INVALID for anything else, sequences in clear included. */
MUST_USE enum qk_err seq_parse_sealed(const struct secret *key,
                                      const uint8_t database[static DATABASE_ID_BYTES],
                                      struct bytes text, uint64_t *ret_seq);

#endif
