/* Clear bodies: authentic, and readable on every disk that holds them. Whether a database's are is
 * said by its record in the catalog, which is sealed: an envelope that calls itself clear opens
 * nowhere else. */
#ifndef SERVICE_BODIES_H
#define SERVICE_BODIES_H

#include "service/catalog.h"

/* The field of a reply to whoever writes or reads a clear body. */
#define BODIES_CLEAR_FIELD "X-Quorumkeep-Clear"

/* New bodies of that database are written in the clear. */
bool bodies_are_clear(const struct catalog_database *database);
/* That envelope may be clear, if it is: a database that was clear may hold some until
 * re-encryption is through. */
bool bodies_may_be_clear(const struct service *service,
                         const uint8_t database[static DATABASE_ID_BYTES], struct bytes envelope);
/* It is clear, and is not to be any more: to be sealed again. */
bool bodies_are_to_seal(const struct service *service,
                        const uint8_t database[static DATABASE_ID_BYTES], struct bytes envelope);
/* When no clear envelope is left to seal: adds to the batch begun that the databases which were
 * clear are sealed, under the condition that their records are as they are now. */
MUST_USE enum qk_err bodies_put_sealed(const struct service *service, struct wire_command *command);

/* The body of one leaf, opened. Errors as keyring_open_envelope. */
MUST_USE enum qk_err bodies_open(const struct service *service,
                                 const uint8_t database[static DATABASE_ID_BYTES],
                                 const struct envelope_aad *aad, struct bytes envelope,
                                 struct buf *out);

#endif
