/* Grants on data keys: who may encrypt, decrypt and manage. */
#ifndef SERVICE_USERS_GRANTS_H
#define SERVICE_USERS_GRANTS_H

#include "service/exchange.h"
#include "service/service.h"

/* GET and POST /_quorumkeep/keys/{name}/grants */
void handle_grants(struct service *service, struct exchange *exchange);
void handle_grants_change(struct service *service, struct exchange *exchange);

#endif
