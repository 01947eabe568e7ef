#include "access/user.h"

#include <assert.h>
#include <string.h>

#include "doc/json.h"
#include "wire/pack.h"

#define USER_MEMBERS_MAX 64

enum qk_err user_name_check(struct bytes name)
{
    size_t i;

    if (name.len == 0 || name.len > USER_NAME_BYTES_MAX || !utf8_is_valid(name))
        return QK_ERR_INVALID;
    for (i = 0; i < name.len; i++) {
        if (name.data[i] < 0x20 || name.data[i] == 0x7f || name.data[i] == ':')
            return QK_ERR_INVALID;
    }
    return QK_OK;
}

void user_fini(struct user *user)
{
    access_list_fini(&user->roles);
    secret_wipe(user, sizeof(*user));
}

void user_encode(const struct user *user, struct buf *out)
{
    assert(user != NULL && out != NULL);

    pack_map(out, 9);
    pack_text(out, "kind");
    pack_text(out, "user");
    pack_text(out, "id");
    pack_bin(out, bytes_of(user->id, sizeof(user->id)));
    pack_text(out, "name");
    pack_text(out, user->name);
    pack_text(out, "password");
    pack_text(out, user->password_hash);
    pack_text(out, "credential");
    pack_u64(out, user->credential_version);
    pack_text(out, "admin");
    pack_bool(out, user->admin);
    pack_text(out, "key_creator");
    pack_bool(out, user->key_creator);
    pack_text(out, "disabled");
    pack_bool(out, user->disabled);
    pack_text(out, "roles");
    access_list_encode(&user->roles, out);
}

/* Which members were there, so that one that is missing is noticed. */
#define HAS_ID 0x01u
#define HAS_NAME 0x02u
#define HAS_PASSWORD 0x04u
#define HAS_CREDENTIAL 0x08u
#define HAS_ADMIN 0x10u
#define HAS_KIND 0x20u
#define HAS_KEY_CREATOR 0x40u
#define HAS_DISABLED 0x80u
#define HAS_ROLES 0x100u
#define HAS_ALL 0x1ffu

static void roles_decode(struct unpack *in, struct access_list *roles)
{
    unsigned i;

    access_list_fini(roles); /* a member that comes twice must not leak */
    access_list_decode(in, roles);
    for (i = 0; i < roles->n; i++) {
        if (!roles->items[i].is_role && in->failed == QK_OK)
            in->failed = QK_ERR_INVALID;
    }
    if (roles->n > USER_ROLES_MAX && in->failed == QK_OK)
        in->failed = QK_ERR_TOO_BIG;
}

static unsigned user_decode_member(struct unpack *in, struct user *user)
{
    struct bytes name = unpack_str(in, 32);

    if (bytes_equal(name, bytes_str("kind")))
        return bytes_equal(unpack_str(in, 32), bytes_str("user")) ? HAS_KIND : 0;
    if (bytes_equal(name, bytes_str("id"))) {
        unpack_bin_copy(in, user->id, sizeof(user->id));
        return HAS_ID;
    }
    if (bytes_equal(name, bytes_str("name"))) {
        unpack_str_copy(in, user->name, sizeof(user->name));
        return HAS_NAME;
    }
    if (bytes_equal(name, bytes_str("password"))) {
        unpack_str_copy(in, user->password_hash, sizeof(user->password_hash));
        return HAS_PASSWORD;
    }
    if (bytes_equal(name, bytes_str("credential"))) {
        user->credential_version = unpack_u64(in);
        return HAS_CREDENTIAL;
    }
    if (bytes_equal(name, bytes_str("admin"))) {
        user->admin = unpack_bool(in);
        return HAS_ADMIN;
    }
    if (bytes_equal(name, bytes_str("key_creator"))) {
        user->key_creator = unpack_bool(in);
        return HAS_KEY_CREATOR;
    }
    if (bytes_equal(name, bytes_str("disabled"))) {
        user->disabled = unpack_bool(in);
        return HAS_DISABLED;
    }
    if (bytes_equal(name, bytes_str("roles"))) {
        roles_decode(in, &user->roles);
        return HAS_ROLES;
    }
    unpack_skip(in);
    return 0;
}

enum qk_err user_decode(struct bytes in, struct user *ret_user)
{
    struct unpack unpack = unpack_of(in);
    struct user user = {0};
    unsigned has = 0;
    uint32_t n;

    assert(ret_user != NULL);

    for (n = unpack_map(&unpack, USER_MEMBERS_MAX); n > 0 && unpack_error(&unpack) == QK_OK; n--)
        has |= user_decode_member(&unpack, &user);
    if (unpack_end(&unpack) != QK_OK || has != HAS_ALL ||
        user_name_check(bytes_str(user.name)) != QK_OK) {
        user_fini(&user);
        return QK_ERR_CORRUPT;
    }
    *ret_user = user;
    return QK_OK;
}

struct principal user_principal(const struct user *user)
{
    struct principal who = {.kind = PRINCIPAL_USER,
                            .credential_version = user->credential_version,
                            .admin = user->admin};

    memcpy(who.user_id, user->id, sizeof(who.user_id));
    memcpy(who.name, user->name, sizeof(who.name));
    return who;
}
