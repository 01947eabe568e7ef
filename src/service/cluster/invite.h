/* Join tokens at rest: between invite.c, which makes them, and join.c, which honours them. */
#ifndef SERVICE_CLUSTER_INVITE_H
#define SERVICE_CLUSTER_INVITE_H

#include "secret/secret.h"
#include "service/service.h"
#include "service/system.h"

/* The psk of a stored token. QK_ERR_SEALED, QK_ERR_CORRUPT. The caller frees it. */
MUST_USE enum qk_err invite_open_psk(const struct service *service, const uint8_t *token_id,
                                     const struct system_token *record, struct secret **ret_psk);

#endif
