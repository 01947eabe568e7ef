#include "access/access.h"

#include <criterion/criterion.h>
#include <string.h>

#include "access/list.h"
#include "access/user.h"

enum who {
    NOBODY,
    NEAR_NOBODY,
    GONE, /* logged in, but the record says otherwise by now */
    DISABLED,
    USER,
    READER,
    WRITER,
    DB_ADMIN,
    CREATOR,
    ENCRYPT,
    DECRYPT,
    MANAGE,
    BY_ROLE, /* reads and decrypts, by a role */
    OTHER_ROLE,
    ADMIN,
    CONTROL,
    WHO_N
};

struct facts {
    struct principal who;
    struct user user;
    struct access_list database, key;
};

static void facts_of(enum who who, struct facts *facts, struct access_facts *ret_facts)
{
    memset(facts, 0, sizeof(*facts));
    facts->who.loopback = who == NEAR_NOBODY;
    facts->who.kind = who <= NEAR_NOBODY ? PRINCIPAL_NONE : PRINCIPAL_USER;
    if (who == CONTROL)
        facts->who = principal_control();
    memset(facts->user.id, 1 + (int)who, USER_ID_BYTES);
    facts->user.admin = who == ADMIN || who == DISABLED;
    facts->user.disabled = who == DISABLED;
    facts->user.key_creator = who == CREATOR;
    facts->who.admin = who == GONE || who == USER; /* of the login: must not count */
    *ret_facts = (struct access_facts){&facts->who, &facts->user, &facts->database, &facts->key};
    if (who <= GONE || who == CONTROL)
        ret_facts->user = NULL;
}

static void give(struct access_list *list, enum who who, uint8_t bits)
{
    uint8_t id[USER_ID_BYTES];

    memset(id, 1 + (int)who, sizeof(id));
    cr_assert_eq(access_list_add_user(list, id, bits), QK_OK);
}

static void give_all(struct facts *facts, enum who who)
{
    give(&facts->database, READER, RIGHT_READ);
    give(&facts->database, WRITER, RIGHT_WRITE);
    give(&facts->database, DB_ADMIN, RIGHT_ADMIN);
    give(&facts->key, ENCRYPT, GRANT_ENCRYPT);
    give(&facts->key, DECRYPT, GRANT_DECRYPT);
    give(&facts->key, MANAGE, GRANT_MANAGE);
    cr_assert_eq(access_list_add_role(&facts->database, bytes_str("staff"), RIGHT_READ), QK_OK);
    cr_assert_eq(access_list_add_role(&facts->key, bytes_str("staff"), GRANT_DECRYPT), QK_OK);
    if (who == BY_ROLE || who == OTHER_ROLE)
        cr_assert_eq(access_list_add_role(&facts->user.roles,
                                          bytes_str(who == BY_ROLE ? "staff" : "staf"), 1),
                     QK_OK);
}

static void facts_end(struct facts *facts)
{
    access_list_fini(&facts->database);
    access_list_fini(&facts->key);
    user_fini(&facts->user);
}

static char check(enum who who, enum access_right right, bool there)
{
    struct access_facts asked;
    struct facts facts;
    enum qk_err err;

    facts_of(who, &facts, &asked);
    give_all(&facts, who);
    if (!there)
        asked.database = asked.key = NULL;
    err = access_check(&asked, right);
    facts_end(&facts);
    return err == QK_OK ? 'Y' : err == QK_ERR_UNAUTHENTICATED ? 'L' : 'N';
}

/* Every right and every kind of principal: Y may, L must log in, N may not. */
static const struct {
    enum access_right right;
    const char *expected; /* in the order of the enum */
} matrix[] = {
    /*                    nobody, near, gone, disabled | user, reader, writer, database admin,
     * creator | encrypt, decrypt, manage, by role, other role | admin, control */
    {ACCESS_PUBLIC, "YYYY"
                    "YYYYY"
                    "YYYYY"
                    "YY"},
    {ACCESS_STATUS, "LYLL"
                    "YYYYY"
                    "YYYYY"
                    "YY"},
    {ACCESS_USER, "LLLL"
                  "YYYYY"
                  "YYYYY"
                  "YY"},
    {ACCESS_DB_READ, "LLLL"
                     "NYNYN"
                     "NNNYN"
                     "YY"},
    {ACCESS_DB_WRITE, "LLLL"
                      "NNYYN"
                      "NNNNN"
                      "YY"},
    {ACCESS_DB_ADMIN, "LLLL"
                      "NNNYN"
                      "NNNNN"
                      "YY"},
    {ACCESS_CLUSTER, "LLLL"
                     "NNNNN"
                     "NNNNN"
                     "YY"},
    {ACCESS_CONTROL_ONLY, "NNNN"
                          "NNNNN"
                          "NNNNN"
                          "NY"},
    {ACCESS_KEY_CREATE, "LLLL"
                        "NNNNY"
                        "NNNNN"
                        "YY"},
    {ACCESS_KEY_ENCRYPT, "LLLL"
                         "NNNNN"
                         "YNNNN"
                         "YY"},
    {ACCESS_KEY_DECRYPT, "LLLL"
                         "NNNNN"
                         "NYNYN"
                         "YY"},
    {ACCESS_KEY_MANAGE, "LLLL"
                        "NNNNN"
                        "NNYNN"
                        "YY"},
};

Test(access, every_right_of_every_principal_is_as_written)
{
    size_t row;
    int who;

    cr_assert_eq(sizeof(matrix) / sizeof(matrix[0]), ACCESS_KEY_MANAGE + 1);
    for (row = 0; row < sizeof(matrix) / sizeof(matrix[0]); row++) {
        for (who = 0; who < WHO_N; who++) {
            char got = check((enum who)who, matrix[row].right, true);

            cr_assert_eq(got, matrix[row].expected[who], "right %d, principal %d: %c",
                         (int)matrix[row].right, who, got);
        }
    }
}

Test(access, what_is_not_there_is_denied_to_all_but_administrators)
{
    enum access_right right;
    int who;

    for (right = ACCESS_DB_READ; right <= ACCESS_KEY_MANAGE; right++) {
        if (right == ACCESS_CLUSTER || right == ACCESS_CONTROL_ONLY || right == ACCESS_KEY_CREATE)
            continue;
        for (who = USER; who < WHO_N; who++)
            cr_assert_eq(check((enum who)who, right, false), who >= ADMIN ? 'Y' : 'N');
    }
}

Test(access, a_right_that_does_not_exist_is_denied)
{
    cr_assert_eq(check(CONTROL, (enum access_right)99, true), 'N');
    cr_assert_eq(check(ADMIN, (enum access_right)99, true), 'N');
}

Test(access, admitting_asks_for_a_login_and_for_nothing_else)
{
    struct principal nobody = {.kind = PRINCIPAL_NONE}, user = {.kind = PRINCIPAL_USER},
                     control = principal_control();
    enum access_right right;

    for (right = ACCESS_PUBLIC; right <= ACCESS_KEY_MANAGE; right++) {
        bool only_control = right == ACCESS_CONTROL_ONLY;

        cr_assert_eq(access_admit(&control, right), QK_OK);
        cr_assert_eq(access_admit(&user, right), only_control ? QK_ERR_DENIED : QK_OK);
        cr_assert_eq(access_admit(&nobody, right), right == ACCESS_PUBLIC ? QK_OK
                                                   : only_control         ? QK_ERR_DENIED
                                                                          : QK_ERR_UNAUTHENTICATED);
    }
}
