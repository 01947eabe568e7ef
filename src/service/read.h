/* Reading documents: the point in time, the record, the body. */
#ifndef SERVICE_READ_H
#define SERVICE_READ_H

#include "doc/document.h"
#include "keys/envelope.h"
#include "service/catalog.h"
#include "service/exchange.h"

/* How long a read waits for a leader and a majority. */
#define READ_TIMEOUT_MS 5000

/* Finds the point in time that the request asks for and then calls `ready` (from the loop or inside
 * this call): linearizable, or with ?consistency=local what this node has, the reply then saying
 * how stale that may be. If there is no such point, or the node closed meanwhile, it answers
 * itself. */
void read_begin(struct service *service, struct exchange *exchange,
                void (*ready)(struct service *service, struct exchange *exchange));

/* The database that segments[0] names, if the principal has that right to it as of now; or NULL
 * after a 404, 403 or 401. To be called after the read point. Valid until the loop. */
const struct catalog_database *read_database(struct service *service, struct exchange *exchange,
                                             enum access_right right);

/* A record as it stands, authenticated. Ends with stored_fini. */
struct stored {
    uint64_t version; /* 0: there is none, and no leaves */
    uint64_t seq;
    struct doc_record record;
};

/* All of these know a record by its name, which is what follows the database id in its key: of a
 * document's doc_name_of_id makes it. QK_OK also when there is none. QK_ERR_CORRUPT is logged with
 * database id and name. */
MUST_USE enum qk_err stored_get(struct service *service,
                                const uint8_t database[static DATABASE_ID_BYTES], struct bytes name,
                                struct stored *ret_stored);
void stored_fini(struct stored *stored);
/* The body of a leaf and its attachments, in `plain` (secret). Errors as stored_get. */
MUST_USE enum qk_err stored_open(struct service *service,
                                 const uint8_t database[static DATABASE_ID_BYTES],
                                 struct bytes name, const struct doc_leaf *leaf, struct buf *plain,
                                 struct document_parts *ret_parts);
/* What the envelope of `leaf` binds; `revision` is memory for it and must live as long. */
struct envelope_aad stored_aad(const struct service *service,
                               const uint8_t database[static DATABASE_ID_BYTES], struct bytes name,
                               const struct doc_leaf *leaf,
                               uint8_t revision[static REVISION_BYTES]);
/* The record of a row that a cursor brought. */
MUST_USE enum qk_err stored_decode(struct service *service,
                                   const uint8_t database[static DATABASE_ID_BYTES],
                                   struct bytes name, uint64_t version, struct bytes value,
                                   struct doc_record *ret_record);
/* For the log: a record that does not authenticate. */
void stored_damaged(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                    struct bytes name);

#endif
