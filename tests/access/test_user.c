#include "access/user.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "wire/pack.h"

static struct user user_of(const char *name)
{
    struct user user = {.credential_version = 3, .admin = true};

    memset(user.id, 5, sizeof(user.id));
    strncpy(user.name, name, sizeof(user.name) - 1);
    strncpy(user.password_hash, "$argon2id$v=19$m=65536,t=2,p=1$c2FsdA$aGFzaA",
            sizeof(user.password_hash) - 1);
    user.key_creator = true;
    cr_assert_eq(access_list_add_role(&user.roles, bytes_str("staff"), 1), QK_OK);
    cr_assert_eq(access_list_add_role(&user.roles, bytes_str("night"), 1), QK_OK);
    return user;
}

Test(user, comes_back_as_it_was)
{
    struct user user = user_of("\u00e4nna"), back;
    struct buf out = BUF_SECRET_INIT(4 * KIB);
    struct principal who;

    user_encode(&user, &out);
    cr_assert_eq(buf_error(&out), QK_OK);
    cr_assert_eq(user_decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(memcmp(&user.id, &back.id, sizeof(user.id)), 0);
    cr_assert_str_eq(back.name, user.name);
    cr_assert_str_eq(back.password_hash, user.password_hash);
    cr_assert_eq(back.credential_version, 3);
    cr_assert(back.admin && back.key_creator && !back.disabled);
    cr_assert_eq(back.roles.n, 2);
    cr_assert_str_eq(back.roles.items[1].role, "night");
    who = user_principal(&back);
    cr_assert_eq(who.kind, PRINCIPAL_USER);
    cr_assert(who.admin && who.credential_version == 3);
    cr_assert_str_eq(who.name, user.name);
    buf_fini(&out);
    user_fini(&user);
    user_fini(&back);
}

Test(user, truncated_or_changed_is_corrupt_or_a_user)
{
    struct user user = user_of("anna"), back;
    struct buf out = BUF_SECRET_INIT(4 * KIB);
    size_t at;
    unsigned bit;

    user_encode(&user, &out);
    for (at = 0; at < out.len; at++) {
        cr_assert_eq(user_decode(bytes_of(out.data, at), &back), QK_ERR_CORRUPT);
        for (bit = 0; bit < 8; bit++) {
            enum qk_err err;

            out.data[at] ^= (uint8_t)(1u << bit);
            err = user_decode(buf_bytes(&out), &back);
            cr_assert(err == QK_OK || err == QK_ERR_CORRUPT);
            if (err == QK_OK)
                user_fini(&back);
            out.data[at] ^= (uint8_t)(1u << bit);
        }
    }
    buf_put_u8(&out, 0xc0);
    cr_assert_eq(user_decode(buf_bytes(&out), &back), QK_ERR_CORRUPT);
    buf_fini(&out);
    user_fini(&user);
}

static enum qk_err decode_with_roles(const struct access_list *roles)
{
    struct user user = user_of("anna"), back;
    struct buf out = BUF_SECRET_INIT(64 * KIB);
    enum qk_err err;

    access_list_fini(&user.roles);
    user.roles = *roles;
    user_encode(&user, &out);
    err = user_decode(buf_bytes(&out), &back);
    if (err == QK_OK)
        user_fini(&back);
    buf_fini(&out);
    return err;
}

Test(user, has_so_many_roles_and_nothing_else_among_them)
{
    static const uint8_t id[USER_ID_BYTES] = {1};
    struct access_list roles = {NULL, 0};
    char name[16];

    for (unsigned i = 0; i < USER_ROLES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "role%u", i);
        cr_assert_eq(access_list_add_role(&roles, bytes_str(name), 1), QK_OK);
    }
    cr_assert_eq(decode_with_roles(&roles), QK_OK);
    cr_assert_eq(access_list_add_role(&roles, bytes_str("more"), 1), QK_OK);
    cr_assert_eq(decode_with_roles(&roles), QK_ERR_CORRUPT);
    access_list_fini(&roles);
    cr_assert_eq(access_list_add_user(&roles, id, 1), QK_OK);
    cr_assert_eq(decode_with_roles(&roles), QK_ERR_CORRUPT);
    access_list_fini(&roles);
}

Test(user, a_member_of_a_newer_version_is_passed_over)
{
    struct user user = user_of("anna"), back;
    struct buf out = BUF_SECRET_INIT(4 * KIB);

    user_encode(&user, &out);
    out.data[0] = (uint8_t)(out.data[0] + 1); /* one pair more */
    pack_text(&out, "later");
    pack_array(&out, 2);
    pack_u64(&out, 1);
    pack_nil(&out);
    cr_assert_eq(user_decode(buf_bytes(&out), &back), QK_OK);
    buf_fini(&out);
    user_fini(&user);
    user_fini(&back);
}

Test(user, names_have_limits)
{
    char longest[USER_NAME_BYTES_MAX + 1];

    memset(longest, 'a', sizeof(longest));
    cr_assert_eq(user_name_check(bytes_of(longest, USER_NAME_BYTES_MAX)), QK_OK);
    cr_assert_eq(user_name_check(bytes_of(longest, sizeof(longest))), QK_ERR_INVALID);
    cr_assert_eq(user_name_check(BYTES_NONE), QK_ERR_INVALID);
    cr_assert_eq(user_name_check(bytes_str("a:b")), QK_ERR_INVALID);
    cr_assert_eq(user_name_check(bytes_str("a\nb")), QK_ERR_INVALID);
    cr_assert_eq(user_name_check(bytes_str("a\xff")), QK_ERR_INVALID);
}
