/* The name of a document's record, from its id and back: the only place that knows how the two
 * belong together. In most databases the name is the id. Where ids are hidden the name is sealed,
 * and nobody else can tell an id from it or find it.
 *
 * A record is authenticated, and its envelopes are bound, by its name (doc_place, stored_*), so
 * that what walks over records (verify, re-encryption, integrity) never needs an id. */
#ifndef SERVICE_DOC_NAME_H
#define SERVICE_DOC_NAME_H

#include "service/catalog.h"
#include "wire/records.h"

/* The key of the record of the document with that id in `database`, whose ids are hidden or not.
 * QK_ERR_TOO_BIG: no document of this database can have an id of this length (hidden ones have at
 * most DOC_NAME_HIDDEN_ID_BYTES_MAX). QK_ERR_SEALED, QK_ERR_NOMEM. */
#define DOC_NAME_HIDDEN_ID_BYTES_MAX (RECORD_NAME_BYTES_MAX - 1 - 16 - 1)
MUST_USE enum qk_err doc_name_of_id(const struct service *service,
                                    const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                                    struct bytes id, struct record_key *ret_key);
/* The id in the name of a record, borrowed from `name` or, where ids are hidden, from `scratch`,
 * which must be secret and is emptied first. QK_ERR_CORRUPT: a name that this cluster never made.
 * QK_ERR_SEALED, QK_ERR_NOMEM. */
MUST_USE enum qk_err doc_name_to_id(const struct service *service,
                                    const uint8_t database[static DATABASE_ID_BYTES], bool hidden,
                                    struct bytes name, struct buf *scratch, struct bytes *ret_id);
/* The same of a _local document, its id without the `_local/`. */
MUST_USE enum qk_err doc_name_of_local(const struct service *service,
                                       const uint8_t database[static DATABASE_ID_BYTES],
                                       bool hidden, struct bytes id, struct record_key *ret_key);
MUST_USE enum qk_err doc_name_to_local(const struct service *service,
                                       const uint8_t database[static DATABASE_ID_BYTES],
                                       bool hidden, struct bytes name, struct buf *scratch,
                                       struct bytes *ret_id);
/* False for the records beside documents (parts of attachments, _local documents): their names
 * begin with the byte 0xff, which no UTF-8 text does, and so lie behind all documents. */
bool doc_name_is_document(struct bytes name);
/* The first record key behind all documents of `database`: where cursors over them end. */
struct record_key doc_name_end(const uint8_t database[static DATABASE_ID_BYTES]);

#endif
