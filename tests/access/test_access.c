#include "access/access.h"

#include <criterion/criterion.h>

enum who { NOBODY, NEAR_NOBODY, USER, ADMIN, CONTROL, WHO_N };

static struct principal principal_of(enum who who)
{
    struct principal principal = {.kind = PRINCIPAL_NONE};

    if (who == CONTROL)
        return principal_control();
    principal.loopback = who == NEAR_NOBODY;
    principal.kind = who == USER || who == ADMIN ? PRINCIPAL_USER : PRINCIPAL_NONE;
    principal.admin = who == ADMIN;
    return principal;
}

/* Every right and every kind of principal: Y may, L must log in, N may not. */
static const struct {
    enum access_right right;
    const char *expected; /* nobody, nobody on this machine, user, admin, control */
} matrix[] = {
    {ACCESS_PUBLIC, "YYYYY"},  {ACCESS_STATUS, "LYYYY"},       {ACCESS_USER, "LLYYY"},
    {ACCESS_DB_READ, "LLNYY"}, {ACCESS_DB_WRITE, "LLNYY"},     {ACCESS_DB_ADMIN, "LLNYY"},
    {ACCESS_CLUSTER, "LLNYY"}, {ACCESS_CONTROL_ONLY, "NNNNY"},
};

Test(access, every_right_of_every_principal_is_as_written)
{
    size_t row;
    int who;

    for (row = 0; row < sizeof(matrix) / sizeof(matrix[0]); row++) {
        for (who = 0; who < WHO_N; who++) {
            struct principal principal = principal_of((enum who)who);
            enum qk_err err = access_check(&principal, matrix[row].right);
            char got = err == QK_OK ? 'Y' : err == QK_ERR_UNAUTHENTICATED ? 'L' : 'N';

            cr_assert_eq(got, matrix[row].expected[who], "right %d, principal %d: %c",
                         (int)matrix[row].right, who, got);
        }
    }
}

Test(access, a_right_that_does_not_exist_is_denied)
{
    struct principal control = principal_control();

    cr_assert_eq(access_check(&control, (enum access_right)99), QK_ERR_DENIED);
}
