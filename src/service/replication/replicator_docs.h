/* The documents of `_replicator`: what may be shown of them is the document, the rest is its member
 * "credentials". */
#ifndef SERVICE_REPLICATION_REPLICATOR_DOCS_H
#define SERVICE_REPLICATION_REPLICATOR_DOCS_H

#include "doc/replication_spec.h"
#include "service/replication/replicator.h"

/* Whoever wrote the document, and what it named of passwords. */
struct replicator_owner {
    char name[USER_NAME_BYTES_MAX + 1]; /* empty: the control socket */
    uint8_t user_id[USER_ID_BYTES];
};

/* Puts "credentials" into `public`, sealed for the document `id`. */
MUST_USE enum qk_err replicator_seal(const struct service *service, struct bytes id,
                                     const struct replicator_owner *owner, json_t *secret,
                                     json_t *public);
/* What replicator_seal put there; the caller owns `ret_secret`. QK_ERR_CORRUPT: they are of another
 * document, other addresses, or none. */
MUST_USE enum qk_err replicator_open(const struct service *service, struct bytes id,
                                     const json_t *public, struct replicator_owner *ret_owner,
                                     json_t **ret_secret);

#endif
