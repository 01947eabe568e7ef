/* Who is asking: name and password against the catalog, argon2id on the pool, failures limited per
 * account and per address. */
#ifndef SERVICE_LOGIN_H
#define SERVICE_LOGIN_H

#include "access/access.h"
#include "base/bytes.h"
#include "service/service.h"

/* QK_OK with the principal, valid during the call only; QK_ERR_UNAUTHENTICATED; QK_ERR_SEALED;
 * QK_ERR_CLOSED when login_free came first. `retry_after_s` is 0 unless `err` is QK_ERR_BUSY. */
typedef void (*login_cb)(void *arg, enum qk_err err, const struct principal *who,
                         unsigned retry_after_s);

struct login;
struct user;

/* Each try takes 64 MiB and a whole processor while it runs, so only half of the processors (at
 * least one) run any, and the pool keeps threads for others. */
#define LOGIN_RUNNING_MAX 3
unsigned login_running_max(void);

/* Compares a password with a hash (PASSWORD_HASH_BYTES), or makes it if that is empty. On a thread
 * of the pool; never two at once with the same `slot`, which is under login_running_max(). */
struct login_hasher {
    enum qk_err (*check)(void *arg, unsigned slot, struct bytes password, char *hash);
    void *arg;
};
/* What it is by default, in the calling thread. */
MUST_USE enum qk_err login_password_check(struct bytes password, char *hash);

/* One a process; the caller (node) keeps it for http. */
MUST_USE enum qk_err login_new(struct service *service, struct login **ret_login);
/* Before the first login. */
void login_use_hasher(struct login *login, const struct login_hasher *hasher);
/* Stops accepting, answers what waits with QK_ERR_CLOSED and frees when the last worker is back;
 * NULL is fine. */
void login_free(struct login *login);
/* Checks a name and password, both copied (the copy is wiped). `address` is the client's, without
 * the port. `cb` fires from the loop, never inside this call, and only if QK_OK is returned.
 * QK_ERR_BUSY: too many wrong passwords for this account or from this address, or too many logins
 * wait: 429, and Retry-After is login_retry_after_s. */
MUST_USE enum qk_err login_check(struct login *login, struct bytes name, struct bytes password,
                                 const char *address, login_cb cb, void *arg);
unsigned login_retry_after_s(const struct login *login, struct bytes name, const char *address);
/* Who has shown this text as a login token. QK_ERR_UNAUTHENTICATED: it is none; QK_ERR_NOT_FOUND:
 * none that is good here and now; QK_ERR_SEALED. */
MUST_USE enum qk_err login_by_token(const struct service *service, struct bytes text,
                                    struct principal *ret_who);
/* `cb` fires once, from the loop, when all that is committed now is applied here: a token that is
 * not good then is not good. QK_ERR_NO_QUORUM and others: that could not be found out. */
MUST_USE enum qk_err login_catch_up(struct service *service, void (*cb)(void *arg, enum qk_err err),
                                    void *arg);
/* The user that `who` is, as the catalog has it now, if the login still holds; else NULL. Valid
 * until control returns to the loop. */
const struct user *login_user(const struct service *service, const struct principal *who);
/* A principal cached by http is good only as long as this is true: the user still exists with the
 * same credential version and the node is open. */
bool login_is_current(const struct service *service, const struct principal *who);

#endif
