/* What stands for a content of an attachment that no document names: one that is being uploaded, or
 * one whose last leaf is gone and whose chunks are yet to be deleted (service/documents/unnamed.h).
 *
 *     value = format u8 = 1 ‖ mac[32] ‖ name of the document's record
 *
 * Of each content there is at every moment either this record or a leaf that names it: who makes it
 * named deletes the record in the same batch, and who drops the last leaf either deletes the chunks
 * in the same batch or puts the record. The mac is keyed by the integrity key and binds cluster,
 * database and id; with the name it tells the one record whose leaves may name the content, which
 * is asked before anything is deleted: a record that was forged or put back deletes nothing that
 * is in use. Clear: the name is what a document's record has (sealed where ids are hidden). */
#ifndef SERVICE_UNNAMED_RECORD_H
#define SERVICE_UNNAMED_RECORD_H

#include "doc/attachment.h"
#include "secret/crypto.h"
#include "service/service.h"
#include "wire/records.h"

#define UNNAMED_RECORD_BYTES_MAX (1 + HASH_BYTES + RECORD_NAME_BYTES_MAX)

/* Appends the value. The errors of mac_compute; QK_ERR_SEALED. */
MUST_USE enum qk_err unnamed_record_encode(const struct service *service,
                                           const uint8_t database[static DATABASE_ID_BYTES],
                                           const uint8_t id[static ATTACHMENT_ID_BYTES],
                                           struct bytes name, struct buf *out);
/* QK_ERR_CORRUPT: this cluster never made it for that place. `ret_name` borrows from `value`. */
MUST_USE enum qk_err unnamed_record_decode(const struct service *service,
                                           const uint8_t database[static DATABASE_ID_BYTES],
                                           const uint8_t id[static ATTACHMENT_ID_BYTES],
                                           struct bytes value, struct bytes *ret_name);

#endif
