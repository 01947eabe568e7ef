/* May this write be made? Asked by write.c when a write is evaluated; what it was decided by goes
 * with the write as conditions. */
#ifndef SERVICE_WRITE_RIGHT_H
#define SERVICE_WRITE_RIGHT_H

#include "service/write.h"

/* The right to write in the database (NULL: there is none), and to replace what is there now: a
 * grant to encrypt under the key of each of its leaves. To be asked before anything is told of
 * revisions. Not QK_OK: `write->state` says which (WRITE_DENIED, WRITE_NO_GRANT), unless it is an
 * error of the whole request. */
MUST_USE enum qk_err write_authorize(struct service *service, struct write *write,
                                     const struct catalog_database *database,
                                     const struct doc_record *record);
/* The grant for the key that it is written under; the same. */
MUST_USE enum qk_err write_authorize_key(struct service *service, struct write *write,
                                         const uint8_t key_id[static KEY_ID_BYTES]);
/* The key ids of the leaves, appended to `out`: they are changed by the making of the new record.
 */
void write_replaced_keys(const struct doc_record *record, struct buf *out);
/* Into the open batch: user, grants on the new key and on each of `replaced`. */
void write_right_conds(struct service *service, const struct write *write,
                       const uint8_t key_id[static KEY_ID_BYTES], struct bytes replaced,
                       struct wire_command *command);
/* The document names a key that is not there: who may not know which keys there are gets the same
 * answer as for one without a grant. */
enum write_state write_state_no_key(struct service *service, const struct write *write);

#endif
