/* Users: /_quorumkeep/users, and CouchDB's documents /_users/org.couchdb.user:NAME. */
#ifndef SERVICE_USERS_USERS_H
#define SERVICE_USERS_USERS_H

#include "service/exchange.h"
#include "service/service.h"

void handle_users(struct service *service, struct exchange *exchange);          /* GET, all */
void handle_user_add(struct service *service, struct exchange *exchange);       /* POST */
void handle_user_get(struct service *service, struct exchange *exchange);       /* GET {name} */
void handle_user_change(struct service *service, struct exchange *exchange);    /* PUT {name} */
void handle_user_delete(struct service *service, struct exchange *exchange);    /* DELETE {name} */
void handle_userdoc_get(struct service *service, struct exchange *exchange);    /* GET, HEAD */
void handle_userdoc_put(struct service *service, struct exchange *exchange);    /* PUT */
void handle_userdoc_delete(struct service *service, struct exchange *exchange); /* DELETE */

#endif
