/* The shapes of Vault's HTTP interface, for the routes under /v1/: its clients read the envelope of
 * a reply and `errors`, which take the place of {"error", "reason"} there. */
#ifndef SERVICE_VAULT_H
#define SERVICE_VAULT_H

#include "service/exchange.h"

/* The path is under /v1/. */
bool vault_is_request(const struct request *request);
/* The envelope: request_id, lease_id, ..., `data` and `auth` (references taken over; NULL: null),
 * and one warning (NULL: none). */
void vault_reply(struct exchange *exchange, int status, json_t *data, json_t *auth,
                 const char *warning);
/* The same with `data` as JSON text, which need not be parsed again. */
void vault_reply_text(struct exchange *exchange, int status, struct bytes data);
/* {"errors": [message]}; an empty message leaves the list empty, as Vault does for "no such
 * thing". */
void vault_reply_error(struct exchange *exchange, int status, const char *message_format, ...)
    __attribute__((format(printf, 3, 4)));
/* 204, the reply of most writes. */
void vault_reply_done(struct exchange *exchange);
/* What exchange_reply_error says, in this shape. Vault knows no 401: who is not logged in gets
 * 403, a wrong password at its own login 400. */
void vault_reply_refusal(struct exchange *exchange, int status, const char *error,
                         const char *reason);

#endif
