#include "doc/id.h"

#include <criterion/criterion.h>
#include <string.h>

static struct doc_problem problem;

static void refuses(struct bytes id, const char *reason)
{
    cr_assert_eq(doc_id_check(id, &problem), QK_ERR_INVALID);
    cr_assert_eq(problem.status, 400);
    cr_assert_str_eq(problem.error, "illegal_docid");
    cr_assert_str_eq(problem.reason, reason);
}

Test(id, ordinary_and_design_ids_are_good)
{
    cr_assert_eq(doc_id_check(bytes_str("a"), &problem), QK_OK);
    cr_assert_eq(doc_id_check(bytes_str("a/b ../\u00e4"), &problem), QK_OK);
    cr_assert_eq(doc_id_check(bytes_str("_design/x"), &problem), QK_OK);
}

Test(id, illegal_ids_get_couchdbs_words)
{
    refuses(BYTES_NONE, "Document id must not be empty");
    refuses(bytes_str("_x"), "Only reserved document ids may start with underscore.");
    refuses(bytes_str("_local/x"), "Only reserved document ids may start with underscore.");
    refuses(bytes_str("_design/"), "Illegal document id `_design/`");
    refuses(bytes_str("a\xff"), "Document id must be UTF-8");
}

Test(id, length_480_is_good_and_481_is_not)
{
    char text[DOC_ID_BYTES_MAX + 2];

    memset(text, 'a', sizeof(text));
    cr_assert_eq(doc_id_check(bytes_of(text, DOC_ID_BYTES_MAX), &problem), QK_OK);
    refuses(bytes_of(text, DOC_ID_BYTES_MAX + 1), "Document id is too long: at most 480 bytes");
}

Test(id, database_names_follow_couchdbs_rule)
{
    static const char *const good[] = {"a", "az09_$()+-/x", "languages"};
    static const char *const bad[] = {"",   "A",   "1a",  "_users", "a.b",
                                      "aB", "a b", "a\\", "\u00e4", "v1"};
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_assert_eq(database_name_check(bytes_str(good[i]), &problem), QK_OK, "%s", good[i]);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(database_name_check(bytes_str(bad[i]), &problem), QK_ERR_INVALID);
        cr_assert_str_eq(problem.error, "illegal_database_name");
    }
    cr_assert_eq(database_name_check(bytes_of("a\0b", 3), &problem), QK_ERR_INVALID);
}

Test(id, database_name_of_128_is_good_and_129_is_not)
{
    char text[DATABASE_NAME_BYTES_MAX + 1];

    memset(text, 'a', sizeof(text));
    cr_assert_eq(database_name_check(bytes_of(text, DATABASE_NAME_BYTES_MAX), &problem), QK_OK);
    cr_assert_eq(database_name_check(bytes_of(text, sizeof(text)), &problem), QK_ERR_INVALID);
    cr_assert_str_eq(problem.error, "database_name_too_long");
}
