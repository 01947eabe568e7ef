#include "access/access.h"

#include <assert.h>
#include <string.h>

#include "access/list.h"
#include "access/user.h"

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

enum qk_err access_admit(const struct principal *who, enum access_right right)
{
    assert(who != NULL);

    if (right == ACCESS_PUBLIC)
        return QK_OK;
    if (right == ACCESS_CONTROL_ONLY)
        return who->kind == PRINCIPAL_CONTROL ? QK_OK : QK_ERR_DENIED;
    if (right == ACCESS_STATUS && who->loopback)
        return QK_OK;
    return who->kind == PRINCIPAL_NONE ? QK_ERR_UNAUTHENTICATED : QK_OK;
}

/* What the entries of a list give to a user, by name or by role. */
static uint8_t bits_of(const struct access_list *list, const struct user *user)
{
    uint8_t bits;
    unsigned i;

    if (list == NULL)
        return 0;
    bits = access_list_bits_of_user(list, user->id);
    for (i = 0; i < user->roles.n; i++)
        bits |= access_list_bits_of_role(list, bytes_str(user->roles.items[i].role));
    return bits;
}

static enum qk_err check_bits(const struct access_list *list, const struct user *user, unsigned any)
{
    return (bits_of(list, user) & any) != 0 ? QK_OK : QK_ERR_DENIED;
}

/* The rights of a user who is no administrator. */
static enum qk_err check_user(const struct access_facts *facts, enum access_right right)
{
    const struct user *user = facts->user;

    switch (right) {
    case ACCESS_PUBLIC:
    case ACCESS_STATUS:
    case ACCESS_USER:
        return QK_OK;
    case ACCESS_DB_READ:
        return check_bits(facts->database, user, RIGHT_READ | RIGHT_ADMIN);
    case ACCESS_DB_WRITE:
        return check_bits(facts->database, user, RIGHT_WRITE | RIGHT_ADMIN);
    case ACCESS_DB_ADMIN:
        return check_bits(facts->database, user, RIGHT_ADMIN);
    case ACCESS_KEY_CREATE:
        return user->key_creator ? QK_OK : QK_ERR_DENIED;
    case ACCESS_KEY_ENCRYPT:
        return check_bits(facts->key, user, GRANT_ENCRYPT);
    case ACCESS_KEY_DECRYPT:
        return check_bits(facts->key, user, GRANT_DECRYPT);
    case ACCESS_KEY_MANAGE:
        return check_bits(facts->key, user, GRANT_MANAGE);
    case ACCESS_CLUSTER:
    case ACCESS_CONTROL_ONLY:
        return QK_ERR_DENIED;
    }
    return QK_ERR_DENIED;
}

enum qk_err access_check(const struct access_facts *facts, enum access_right right)
{
    const struct principal *who = facts->who;
    enum qk_err err = access_admit(who, right);

    if (right > ACCESS_KEY_MANAGE)
        return QK_ERR_DENIED;
    if (err != QK_OK || right == ACCESS_PUBLIC || (right == ACCESS_STATUS && who->loopback))
        return err;
    if (who->kind == PRINCIPAL_CONTROL)
        return QK_OK;
    if (facts->user == NULL || facts->user->disabled)
        return QK_ERR_UNAUTHENTICATED;
    return facts->user->admin ? QK_OK : check_user(facts, right);
}
