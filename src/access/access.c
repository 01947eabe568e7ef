#include "access/access.h"

#include <assert.h>
#include <string.h>

struct principal principal_control(void)
{
    struct principal who = {.kind = PRINCIPAL_CONTROL, .admin = true, .loopback = true};

    return who;
}

bool principal_has_token(const struct principal *who)
{
    static const uint8_t none[PRINCIPAL_TOKEN_BYTES];

    return memcmp(who->token_id, none, sizeof(none)) != 0;
}

/* An administrator's rights, of a user or of the control socket. Rights of other users come with
 * grants: until there are any, they have none. */
static enum qk_err access_check_admin(const struct principal *who)
{
    if (who->kind == PRINCIPAL_NONE)
        return QK_ERR_UNAUTHENTICATED;
    return who->admin ? QK_OK : QK_ERR_DENIED;
}

enum qk_err access_check(const struct principal *who, enum access_right right)
{
    assert(who != NULL);

    switch (right) {
    case ACCESS_PUBLIC:
        return QK_OK;
    case ACCESS_STATUS:
        return who->loopback || who->kind != PRINCIPAL_NONE ? QK_OK : QK_ERR_UNAUTHENTICATED;
    case ACCESS_USER:
        return who->kind != PRINCIPAL_NONE ? QK_OK : QK_ERR_UNAUTHENTICATED;
    case ACCESS_DB_READ:
    case ACCESS_DB_WRITE:
    case ACCESS_DB_ADMIN:
    case ACCESS_CLUSTER:
        return access_check_admin(who);
    case ACCESS_CONTROL_ONLY:
        return who->kind == PRINCIPAL_CONTROL ? QK_OK : QK_ERR_DENIED;
    }
    return QK_ERR_DENIED;
}
