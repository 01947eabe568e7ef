/* Grants on data keys: who may encrypt, decrypt and manage. */
#ifndef SERVICE_GRANTS_H
#define SERVICE_GRANTS_H

#include "service/catalog.h"
#include "service/exchange.h"
#include "wire/command.h"

/* Into the batch that makes the data key `key_id`: its maker gets all three. Over the control
 * socket there is no user to get them. The batch must have authorize_conditions for `who`. */
MUST_USE enum qk_err grants_put_maker(const struct service *service, const struct principal *who,
                                      const uint8_t key_id[static KEY_ID_BYTES],
                                      struct wire_command *command);
/* Into the batch that destroys it whole. */
void grants_delete(const struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                   struct wire_command *command);

/* GET and POST /_quorumkeep/keys/{name}/grants */
void handle_grants(struct service *service, struct exchange *exchange);
void handle_grants_change(struct service *service, struct exchange *exchange);

#endif
