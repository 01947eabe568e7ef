/* What people do, as lines of the audit log: orders to the cluster, refusals, logins, uses of data
 * keys. Who it was stands there as an id, what it was about as the route that was asked for: names
 * of people, databases and keys are nowhere in clear on a disk, and so not here. */
#ifndef SERVICE_AUDIT_USE_H
#define SERVICE_AUDIT_USE_H

#include "keys/keyring.h"
#include "service/exchange.h"
#include "service/service.h"

#define AUDIT_REFUSALS_S 20 /* lines a second about refusals; the others are counted */
#define AUDIT_USES_MAX 65536

struct audit_use;

/* `all`: each use of a key is a line, else the first by each login. The caller frees; NULL is fine.
 */
MUST_USE enum qk_err audit_use_new(bool all, struct audit_use **ret_use);
void audit_use_free(struct audit_use *use);
/* Once a second: the refusals that were too many for lines of their own become one. */
void audit_use_tick(struct service *service);

/* An order that is about to be carried out. `ret_call` names its line. QK_ERR_UNRECORDED. */
MUST_USE enum qk_err audit_call(struct service *service, const struct exchange *exchange,
                                const char *method, const char *route, uint64_t *ret_call);
/* And it failed. */
void audit_call_failed(struct service *service, uint64_t call, int status);
void audit_refused(struct service *service, const struct exchange *exchange, const char *method,
                   const char *route, int status);
MUST_USE enum qk_err audit_login(const struct service *service, const struct principal *who,
                                 const char *from);
/* `user_id` NULL: no user has the name that was given. */
void audit_login_failed(const struct service *service, const uint8_t *user_id, const char *from);
/* `use` is "encrypt" or "decrypt"; QK_ERR_UNRECORDED. */
MUST_USE enum qk_err audit_key_use(const struct service *service, const struct principal *who,
                                   const uint8_t key_id[static KEY_ID_BYTES], const char *use);

#endif
