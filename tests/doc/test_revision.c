#include "doc/revision.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "secret/crypto.h"

#define HASH_TEXT "967a00dff5e02add41819138abb3284d"

static void setup(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
}

static void teardown(void)
{
    secret_arena_fini();
}

TestSuite(revision, .init = setup, .fini = teardown);

Test(revision, text_comes_back_as_it_was)
{
    char text[REVISION_TEXT_BYTES_MAX + 1];
    struct revision revision;

    cr_assert_eq(revision_parse(bytes_str("1-" HASH_TEXT), &revision), QK_OK);
    cr_assert_eq(revision.generation, 1);
    revision_format(&revision, text);
    cr_assert_str_eq(text, "1-" HASH_TEXT);
    cr_assert_eq(revision_parse(bytes_str("4294967295-" HASH_TEXT), &revision), QK_OK);
    revision_format(&revision, text);
    cr_assert_str_eq(text, "4294967295-" HASH_TEXT);
}

Test(revision, malformed_text_is_invalid_and_foreign_text_is_not_found)
{
    static const char *const bad[] = {"", "-", "-" HASH_TEXT, "1", "x-" HASH_TEXT, "1.0-a", " 1-a"};
    static const char *const foreign[] = {"0-" HASH_TEXT,
                                          "1-",
                                          "1-thirteenchars",
                                          "1-a b",
                                          "1-a\"b",
                                          "1-a\\b",
                                          "1-a\nb",
                                          "1-\xc3\xa9",
                                          "4294967296-" HASH_TEXT,
                                          "99999999999999999999999-" HASH_TEXT,
                                          "1-" HASH_TEXT "0",
                                          "1-z67a00dff5e02add41819138abb3284d"};
    struct revision revision;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(revision_parse(bytes_str(bad[i]), &revision), QK_ERR_INVALID, "%s", bad[i]);
    for (i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        cr_assert_eq(revision_parse(bytes_str(foreign[i]), &revision), QK_ERR_NOT_FOUND, "%s",
                     foreign[i]);
}

Test(revision, a_short_text_is_kept_and_stands_in_the_order_of_its_bytes)
{
    static const char *const words[] = {"1", "Z", "a", "a-b", "abc", "abcdefghijkl", "b", "~"};
    struct revision last = REVISION_NONE, revision;
    char text[REVISION_TEXT_BYTES_MAX + 1], given[20];
    size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        (void)snprintf(given, sizeof(given), "7-%s", words[i]);
        cr_assert_eq(revision_parse(bytes_str(given), &revision), QK_OK, "%s", given);
        revision_format(&revision, text);
        cr_assert_str_eq(text, given);
        cr_assert_gt(revision_compare(&revision, &last), 0, "%s", given);
        last = revision;
    }
}

/* What is almost a text is a hash: bytes behind a zero, and texts of more bytes than may be kept.
 */
Test(revision, a_hash_that_is_no_text_is_shown_in_hex)
{
    static const char *const hashes[] = {
        "61620000000000000000000000000001", "61620063000000000000000000000000",
        "00000000000000000000000000000000", "61616161616161616161616161000000",
        "61616161616161616161616161616161", "61220000000000000000000000000000"};
    uint8_t hash[REVISION_HASH_BYTES];
    char text[REVISION_HASH_TEXT_BYTES + 1];
    size_t i;

    for (i = 0; i < sizeof(hashes) / sizeof(hashes[0]); i++) {
        cr_assert_eq(revision_hash_parse(bytes_str(hashes[i]), hash), QK_OK);
        revision_hash_format(hash, text);
        cr_assert_str_eq(text, hashes[i]);
    }
    cr_assert_eq(revision_hash_parse(bytes_str("61626300000000000000000000000000"), hash), QK_OK);
    revision_hash_format(hash, text);
    cr_assert_str_eq(text, "abc");
}

Test(revision, same_edit_of_same_parent_is_same_revision_and_any_other_is_not)
{
    uint8_t a[DATABASE_ID_BYTES] = {1}, b[DATABASE_ID_BYTES] = {2};
    struct revision_input input = {a, bytes_str("id"), REVISION_NONE, false, bytes_str("{}")};
    struct revision first, other;
    struct secret *key, *key2;

    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    cr_assert_eq(secret_new_random(32, &key2), QK_OK);
    cr_assert_eq(revision_compute(key, &input, &first), QK_OK);
    cr_assert_eq(first.generation, 1);
    cr_assert_eq(revision_compute(key, &input, &other), QK_OK);
    cr_assert(revision_equal(&first, &other));
    cr_assert_eq(revision_compute(key2, &input, &other), QK_OK);
    cr_assert_not(revision_equal(&first, &other));

    input.database = b;
    cr_assert_eq(revision_compute(key, &input, &other), QK_OK);
    cr_assert_not(revision_equal(&first, &other));
    input.database = a;
    input.deleted = true;
    cr_assert_eq(revision_compute(key, &input, &other), QK_OK);
    cr_assert_not(revision_equal(&first, &other));
    input.deleted = false;
    input.content = bytes_str("{ }");
    cr_assert_eq(revision_compute(key, &input, &other), QK_OK);
    cr_assert_not(revision_equal(&first, &other));
    input.content = bytes_str("{}");
    input.parent = first;
    cr_assert_eq(revision_compute(key, &input, &other), QK_OK);
    cr_assert_eq(other.generation, 2);
    cr_assert(memcmp(other.hash, first.hash, REVISION_HASH_BYTES) != 0);
    input.parent.generation = UINT32_MAX;
    cr_assert_eq(revision_compute(key, &input, &other), QK_ERR_TOO_BIG);
    secret_free(key);
    secret_free(key2);
}

Test(revision, order_is_generation_then_hash)
{
    struct revision a = {2, {0}}, b = {10, {0}}, c = {10, {1}};

    cr_assert_lt(revision_compare(&a, &b), 0);
    cr_assert_lt(revision_compare(&b, &c), 0);
    cr_assert_eq(revision_compare(&c, &c), 0);
    cr_assert_gt(revision_compare(&c, &a), 0);
}
