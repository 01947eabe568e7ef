#include "service/authorize.h"

#include <assert.h>

#include "service/audit_use.h"
#include "service/login.h"

static enum qk_err authorize(const struct service *service, const struct principal *who,
                             const struct access_list *database, const struct access_list *key,
                             enum access_right right)
{
    struct access_facts facts = {
        .who = who, .user = login_user(service, who), .database = database, .key = key};
    enum qk_err err = access_check(&facts, right);

    /* 503 comes before 401, and before a yes by a record that has changed. */
    if (who->kind != PRINCIPAL_USER || access_admit(who, right) != QK_OK || right == ACCESS_PUBLIC)
        return err;
    if (service->catalog == NULL)
        return QK_ERR_SEALED;
    return catalog_is_current(service->catalog) ? err : QK_ERR_BUSY;
}

enum qk_err authorize_user(const struct service *service, const struct principal *who,
                           enum access_right right)
{
    return authorize(service, who, NULL, NULL, right);
}

enum qk_err authorize_database(const struct service *service, const struct principal *who,
                               const struct catalog_database *database, enum access_right right)
{
    return authorize(service, who, database == NULL ? NULL : &database->rights, NULL, right);
}

enum qk_err authorize_key_unused(const struct service *service, const struct principal *who,
                                 const uint8_t key_id[static KEY_ID_BYTES], enum access_right right)
{
    const struct catalog_grants *grants =
        service->catalog == NULL ? NULL : catalog_grants_find(service->catalog, key_id);

    return authorize(service, who, NULL, grants == NULL ? NULL : &grants->list, right);
}

enum qk_err authorize_key(const struct service *service, const struct principal *who,
                          const uint8_t key_id[static KEY_ID_BYTES], enum access_right right)
{
    enum qk_err err = authorize_key_unused(service, who, key_id, right);

    if (err == QK_OK && right == ACCESS_KEY_ENCRYPT)
        err = audit_key_use(service, who, key_id, "encrypt");
    else if (err == QK_OK && right == ACCESS_KEY_DECRYPT)
        err = audit_key_use(service, who, key_id, "decrypt");
    return err;
}

enum qk_err authorize_exchange(struct service *service, struct exchange *exchange,
                               const struct catalog_database *database, enum access_right right)
{
    enum qk_err err = authorize_database(service, &exchange->request.who, database, right);

    if (err == QK_OK)
        exchange->undecided = false;
    return err;
}

enum qk_err authorize_exchange_key(struct service *service, struct exchange *exchange,
                                   const uint8_t key_id[static KEY_ID_BYTES],
                                   enum access_right right)
{
    enum qk_err err = authorize_key(service, &exchange->request.who, key_id, right);

    if (err == QK_OK)
        exchange->undecided = false;
    return err;
}

enum qk_err authorize_route(struct service *service, struct exchange *exchange,
                            enum access_right right)
{
    const struct principal *who = &exchange->request.who;

    exchange->right = right;
    switch (right) {
    case ACCESS_PUBLIC:
    case ACCESS_STATUS:
    case ACCESS_USER:
    case ACCESS_CLUSTER:
    case ACCESS_CONTROL_ONLY:
    case ACCESS_KEY_CREATE:
        return authorize_user(service, who, right);
    case ACCESS_DB_READ:
    case ACCESS_DB_WRITE:
    case ACCESS_DB_ADMIN:
    case ACCESS_KEY_ENCRYPT:
    case ACCESS_KEY_DECRYPT:
    case ACCESS_KEY_MANAGE:
        exchange->undecided = true;
        return authorize_user(service, who, ACCESS_USER);
    }
    return QK_ERR_DENIED;
}

void authorize_conditions(const struct service *service, const struct principal *who,
                          const uint8_t *key_id, struct wire_command *command)
{
    const struct user *user;

    if (who->kind == PRINCIPAL_CONTROL)
        return;
    user = login_user(service, who);
    assert(user != NULL);
    catalog_user_cond(service->catalog, bytes_str(user->name), command);
    if (principal_has_token(who))
        catalog_token_cond(service->catalog, who->token_id, command);
    if (key_id != NULL && !user->admin)
        catalog_grants_cond(service->catalog, key_id, command);
}
