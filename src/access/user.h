/* A user as kept in the catalog: pure encoding. */
#ifndef ACCESS_USER_H
#define ACCESS_USER_H

#include "access/access.h"
#include "access/list.h"
#include "base/bytes.h"
#include "secret/crypto.h"

#define USER_ROLES_MAX 32

struct user {
    uint8_t id[USER_ID_BYTES];
    char name[USER_NAME_BYTES_MAX + 1];
    char password_hash[PASSWORD_HASH_BYTES]; /* PHC text; empty: no password login */
    uint64_t credential_version;             /* rises with each change of password */
    bool admin;
    bool key_creator;         /* may make data keys */
    bool disabled;            /* may not log in; what is logged in ends */
    struct access_list roles; /* roles only, owned: user_fini */
};

/* 1 to USER_NAME_BYTES_MAX bytes of UTF-8 without control characters and without ':', which Basic
 * authentication uses to end the name. */
MUST_USE enum qk_err user_name_check(struct bytes name);
void user_fini(struct user *user);
/* A MessagePack map, appended to `out` (which should be secret: it holds the password's hash). */
void user_encode(const struct user *user, struct buf *out);
/* QK_ERR_CORRUPT unless it is exactly what user_encode makes. Unknown members are skipped, so that
 * a newer version may add some. The caller ends it with user_fini. */
MUST_USE enum qk_err user_decode(struct bytes in, struct user *ret_user);
/* The principal that a successful login yields. */
struct principal user_principal(const struct user *user);

#endif
