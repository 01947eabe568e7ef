/* What the reading of secrets has in common. */
#ifndef SERVICE_SECRETS_KV_READ_H
#define SERVICE_SECRETS_KV_READ_H

#include "service/secrets/kv_store.h"

/* Where the path begins among the segments: behind /v1/secret/{verb}. */
#define KV_PATH_SEGMENT 3

/* May the exchange read in the database of secrets? Else it is answered, and NULL. At a read
 * point. */
const struct catalog_database *kv_read_database(struct service *service, struct exchange *exchange);
/* The reply to `err`, with the reason that fits secrets. */
void kv_reply_err(struct service *service, struct exchange *exchange, enum qk_err err);
/* May the exchange read what is under the record's key? */
MUST_USE enum qk_err kv_authorize_read(struct service *service, struct exchange *exchange,
                                       const struct stored *stored);

#endif
