/* Logging in by a token: its record is in the catalog of each node, so no other node is asked, and
 * nothing of the token is kept. A node that is a little behind may not know a token yet that
 * another one has just given out, so one that is not good here is looked at again after a read
 * point. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "access/login_token.h"
#include "access/user.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "service/catalog.h"
#include "service/clock.h"
#include "service/keys_current.h"
#include "service/login.h"
#include "service/read.h"

enum qk_err login_by_token(const struct service *service, struct bytes text,
                           struct principal *ret_who)
{
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];
    const struct login_token *token;
    const struct user *user;
    enum qk_err err;

    assert(ret_who != NULL);

    if (service->catalog == NULL || service->keyring == NULL)
        return QK_ERR_SEALED;
    err = login_token_read(keyring_index_key(service->keyring), text, id, hash);
    if (err != QK_OK)
        return err == QK_ERR_INVALID ? QK_ERR_UNAUTHENTICATED : err;
    token = catalog_token_find(service->catalog, id);
    if (token == NULL)
        return QK_ERR_NOT_FOUND;
    if (sodium_memcmp(token->hash, hash, sizeof(hash)) != 0)
        return QK_ERR_UNAUTHENTICATED;
    user = catalog_user_find(service->catalog, bytes_str(token->user_name));
    if (!login_token_is_good(token, user, service_time_s(service)))
        return QK_ERR_NOT_FOUND;
    *ret_who = login_token_principal(token, user);
    return QK_OK;
}

/* --- whether a login still holds --- */

const struct user *login_user(const struct service *service, const struct principal *who)
{
    const struct login_token *token;
    const struct user *user;

    if (who->kind != PRINCIPAL_USER || service->catalog == NULL)
        return NULL;
    user = catalog_user_find(service->catalog, bytes_str(who->name));
    if (user == NULL || user->disabled || memcmp(user->id, who->user_id, USER_ID_BYTES) != 0 ||
        user->credential_version != who->credential_version)
        return NULL;
    if (principal_has_token(who)) {
        token = catalog_token_find(service->catalog, who->token_id);
        if (token == NULL || !login_token_is_good(token, user, service_time_s(service)))
            return NULL;
    }
    return user;
}

bool login_is_current(const struct service *service, const struct principal *who)
{
    return who->kind == PRINCIPAL_CONTROL || login_user(service, who) != NULL;
}

/* --- catching up --- */

struct catch_up {
    struct service *service;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
};

static void caught_up(void *arg, enum qk_err err)
{
    struct catch_up up = *(struct catch_up *)arg;

    free(arg);
    if (err == QK_OK && up.service->catalog == NULL)
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = catalog_check(up.service->catalog);
    up.cb(up.arg, err);
}

static void reached(void *arg, enum qk_err err, uint64_t index)
{
    struct catch_up *up = arg;

    (void)index;
    /* What was applied may be sealed under keys that are not open yet. */
    if (err == QK_OK && !keys_are_current(up->service)) {
        err = keys_wait(up->service, caught_up, up);
        if (err == QK_OK)
            return;
    }
    caught_up(up, err);
}

enum qk_err login_catch_up(struct service *service, void (*cb)(void *arg, enum qk_err err),
                           void *arg)
{
    struct catch_up *up = malloc(sizeof(*up));
    enum qk_err err = QK_ERR_NOMEM;

    if (up != NULL) {
        *up = (struct catch_up){service, cb, arg};
        err = service->consensus == NULL
                  ? QK_ERR_CLOSED
                  : consensus_read(service->consensus, READ_TIMEOUT_MS, reached, up);
    }
    if (err != QK_OK)
        free(up);
    return err;
}
