/* What people order about data keys; keys_handlers.c tells what is. */
#ifndef SERVICE_KEYS_KEYS_ADMIN_H
#define SERVICE_KEYS_KEYS_ADMIN_H

#include "service/exchange.h"
#include "service/service.h"

void handle_keys_post(struct service *service, struct exchange *exchange);
void handle_key_rotate(struct service *service, struct exchange *exchange);
void handle_key_destroy(struct service *service, struct exchange *exchange);
void handle_key_limits(struct service *service, struct exchange *exchange);

#endif
