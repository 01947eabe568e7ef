/* A user's record in the catalog, with its list of roles; what reads is written again as one that
 * reads the same. The list is the one of databases' rights and of grants too. */
#include <string.h>

#include "access/user.h"
#include "fuzz.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct user user = {.name = "ada", .credential_version = 3, .admin = number == 1};

    if (number >= 3)
        return false;
    if (number == 2) {
        fuzz_must(access_list_add_role(&user.roles, bytes_str("staff"), 1));
        fuzz_must(access_list_add_role(&user.roles, bytes_str("night"), 1));
    }
    user_encode(&user, out);
    user_fini(&user);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf out = BUF_SECRET_INIT(64 * KIB);
    struct user user, again;

    if (user_decode(bytes_of(data, len), &user) != QK_OK)
        return 0;
    fuzz_require(user.roles.n <= USER_ROLES_MAX);
    user_encode(&user, &out);
    fuzz_must(user_decode(buf_bytes(&out), &again));
    fuzz_require(strcmp(user.name, again.name) == 0 && user.roles.n == again.roles.n);
    for (unsigned i = 0; i < user.roles.n; i++)
        fuzz_require(strcmp(user.roles.items[i].role, again.roles.items[i].role) == 0);
    user_fini(&user);
    user_fini(&again);
    buf_fini(&out);
    return 0;
}
