/* Update sequences as clients see them: `N-<16 hex>`, opaque to them. The text names the database
 * by its id, so that a sequence of a database that was dropped and made again starts from 0. They
 * are the same on every node and after every restart. */
#ifndef SERVICE_SEQ_H
#define SERVICE_SEQ_H

#include "base/bytes.h"
#include "base/limits.h"

#define SEQ_TEXT_BYTES_MAX 37 /* twenty digits, '-', 16 hex digits */

void seq_format(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                char ret_text[static SEQ_TEXT_BYTES_MAX + 1]);
/* Takes `N`, `N-<16 hex>` and the same as a JSON string in quotes; 0 for another database's.
 * QK_ERR_INVALID. */
MUST_USE enum qk_err seq_parse(const uint8_t database[static DATABASE_ID_BYTES], struct bytes text,
                               uint64_t *ret_seq);

#endif
