#include <criterion/criterion.h>
#include <string.h>

#include "doc/collate.h"
#include "doc/json.h"

static void key_of(const char *text, struct buf *out)
{
    struct doc_problem problem = {0};
    json_t *value = NULL;

    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &value), QK_OK, "%s: %s",
                 text, problem.reason);
    cr_assert_eq(collate_key(value, out), QK_OK);
    json_decref(value);
}

static int sign(int value)
{
    return (value > 0) - (value < 0);
}

static int compare(const char *a, const char *b)
{
    struct buf key_a = BUF_SECRET_INIT(1 * MIB), key_b = BUF_SECRET_INIT(1 * MIB);
    int order;

    key_of(a, &key_a);
    key_of(b, &key_b);
    order = sign(bytes_compare(buf_bytes(&key_a), buf_bytes(&key_b)));
    if (order != 0) {
        cr_assert(!bytes_starts_with(buf_bytes(&key_a), buf_bytes(&key_b)), "%s %s", a, b);
        cr_assert(!bytes_starts_with(buf_bytes(&key_b), buf_bytes(&key_a)), "%s %s", a, b);
    }
    buf_fini(&key_a);
    buf_fini(&key_b);
    return order;
}

/* The values of CouchDB's view_collation test, strings put by code point. */
static const char *const ORDERED[] = {"null",
                                      "false",
                                      "true",
                                      "-9223372036854775808",
                                      "-9223372036854775807",
                                      "-1e18",
                                      "-2.5",
                                      "-1",
                                      "-0.5",
                                      "0",
                                      "5e-324",
                                      "1",
                                      "2",
                                      "3.0",
                                      "4",
                                      "9007199254740992",
                                      "9007199254740993",
                                      "9007199254740994.0",
                                      "9223372036854775295",
                                      "9223372036854775296",
                                      "9223372036854775806",
                                      "9223372036854775807",
                                      "9.3e18",
                                      "1e300",
                                      "\"\"",
                                      "\"A\"",
                                      "\"B\"",
                                      "\"a\"",
                                      "\"aa\"",
                                      "\"b\"",
                                      "\"ba\"",
                                      "\"bb\"",
                                      "\"\\u00e9\"",
                                      "\"\\uffff\"",
                                      "\"\\ud83d\\ude00\"",
                                      "[]",
                                      "[null]",
                                      "[\"a\"]",
                                      "[\"b\"]",
                                      "[\"b\",\"c\"]",
                                      "[\"b\",\"c\",\"a\"]",
                                      "[\"b\",\"d\"]",
                                      "[\"b\",\"d\",\"e\"]",
                                      "[[]]",
                                      "[{}]",
                                      "{}",
                                      "{\"a\":1}",
                                      "{\"a\":2}",
                                      "{\"b\":1}",
                                      "{\"b\":2}",
                                      "{\"b\":2,\"a\":1}",
                                      "{\"b\":2,\"c\":2}",
                                      "{\"\\ufff0\":null}"};

Test(collate, values_sort_by_type_then_value)
{
    size_t n = sizeof(ORDERED) / sizeof(ORDERED[0]), i, j;

    for (i = 0; i < n; i++)
        for (j = 0; j < n; j++)
            cr_expect_eq(compare(ORDERED[i], ORDERED[j]), (i > j) - (i < j), "%s against %s",
                         ORDERED[i], ORDERED[j]);
}

Test(collate, numbers_of_one_value_are_equal)
{
    cr_expect_eq(compare("1", "1.0"), 0);
    cr_expect_eq(compare("0", "-0.0"), 0);
    cr_expect_eq(compare("100", "1e2"), 0);
    cr_expect_eq(compare("[1,{\"a\":2}]", "[1.0,{\"a\":2.0}]"), 0);
}

/* A zero byte in a string neither ends it nor makes it sort wrong. */
Test(collate, a_zero_character_is_a_character)
{
    struct buf a = BUF_SECRET_INIT(1024), b = BUF_SECRET_INIT(1024);
    json_t *plain = json_string("a"), *zero = json_stringn("a\0", 2), *one = json_string("a\x01");

    cr_assert_eq(collate_key(plain, &a), QK_OK);
    cr_assert_eq(collate_key(zero, &b), QK_OK);
    cr_expect_lt(bytes_compare(buf_bytes(&a), buf_bytes(&b)), 0);
    buf_reset(&a);
    cr_assert_eq(collate_key(one, &a), QK_OK);
    cr_expect_gt(bytes_compare(buf_bytes(&a), buf_bytes(&b)), 0);
    buf_fini(&a);
    buf_fini(&b);
    json_decref(plain);
    json_decref(zero);
    json_decref(one);
}

static bool same_group(const char *a, const char *b, uint64_t levels)
{
    struct buf key_a = BUF_SECRET_INIT(1024), key_b = BUF_SECRET_INIT(1024);
    size_t len_a, len_b;
    bool same;

    key_of(a, &key_a);
    key_of(b, &key_b);
    len_a = collate_prefix(buf_bytes(&key_a), levels);
    len_b = collate_prefix(buf_bytes(&key_b), levels);
    same = bytes_equal(bytes_of(key_a.data, len_a), bytes_of(key_b.data, len_b));
    buf_fini(&key_a);
    buf_fini(&key_b);
    return same;
}

Test(collate, a_prefix_holds_so_many_members)
{
    cr_expect(same_group("[1,2]", "[1,3]", 1));
    cr_expect_not(same_group("[1,2]", "[1,3]", 2));
    cr_expect_not(same_group("[1]", "[1,3]", 2));
    cr_expect(same_group("[1]", "[1,3]", 1));
    cr_expect(same_group("[[1,2],\"a\\u0000b\",3]", "[[1,2],\"a\\u0000b\",4]", 2));
    cr_expect_not(same_group("[[1,2],3]", "[[1,3],3]", 1));
    cr_expect(same_group("[{\"a\":[1]},3]", "[{\"a\":[1]},4]", 1));
    cr_expect_not(same_group("\"a\"", "\"b\"", 1));
    cr_expect(same_group("[1,2]", "[1,2]", 9));
}

Test(collate, too_long_is_refused)
{
    struct buf out = BUF_SECRET_INIT(8);
    json_t *text = json_string("0123456789");

    cr_expect_eq(collate_key(text, &out), QK_ERR_TOO_BIG);
    buf_fini(&out);
    json_decref(text);
}
