#include "doc/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static struct doc_problem problem;

static enum qk_err parse(const char *text, json_t **ret_value)
{
    memset(&problem, 0, sizeof(problem));
    *ret_value = NULL;
    return json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, ret_value);
}

static void keeps(const char *text, const char *expected)
{
    struct buf out = BUF_SECRET_INIT(1 * MIB);
    json_t *value;

    cr_assert_eq(parse(text, &value), QK_OK, "%s: %s", text, problem.reason);
    cr_assert_eq(json_write(value, &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_assert_str_eq((const char *)out.data, expected);
    json_decref(value);
    buf_fini(&out);
}

static void refuses(const char *text, const char *reason)
{
    json_t *value;

    cr_assert_eq(parse(text, &value), QK_ERR_INVALID, "%s was accepted", text);
    cr_assert_eq(problem.status, 400);
    cr_assert_str_eq(problem.error, "bad_request");
    cr_assert(strstr(problem.reason, reason) != NULL, "%s: %s", text, problem.reason);
}

Test(json, values_come_back_as_they_were)
{
    keeps("{\"b\":1,\"a\":[true,false,null,\"x\",{}],\"c\":{\"d\":[]}}",
          "{\"b\":1,\"a\":[true,false,null,\"x\",{}],\"c\":{\"d\":[]}}");
    keeps(" [ 1 , 2 ] \n", "[1,2]");
    keeps("\"only\"", "\"only\"");
    keeps("\"\\u00e4\\u20ac\\ud83d\\ude00\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\\\/\"",
          "\"\u00e4\u20ac\U0001F600\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\"");
}

Test(json, integers_of_64_bits_are_exact)
{
    keeps("[9223372036854775807,-9223372036854775808,9007199254740993]",
          "[9223372036854775807,-9223372036854775808,9007199254740993]");
}

Test(json, floats_are_written_as_the_shortest_text_that_reads_back)
{
    keeps("[0.1,1.0,-0.0,1e300,5e-324,0.30000000000000004,123456.789]",
          "[0.1,1.0,-0.0,1e+300,4.94065645841247e-324,0.30000000000000004,123456.789]");
}

Test(json, a_number_that_cannot_be_kept_is_an_error_that_says_so)
{
    refuses("9223372036854775808", "cannot be kept");
    refuses("[-9223372036854775809]", "cannot be kept");
    refuses("1e400", "cannot be kept");
    refuses("-1e400", "cannot be kept");
    refuses("1e-400", "too small");
    refuses("0.123456789012345678", "more than 17 significant digits");
    keeps("[0e-400,0.12345678901234567,1.500000000000000000000]", "[0.0,0.12345678901234566,1.5]");
}

Test(json, what_is_no_json_gets_couchdbs_words)
{
    static const char *const bad[] = {"",       "{",           "}",   "[1,]",       "{\"a\"}",
                                      "nul",    "\"\\x\"",     "01",  "{a:1}",      "[1] 2",
                                      "\"\n\"", "\"\\ud800\"", "'a'", "{\"a\":1,}", "-"};
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        refuses(bad[i], "invalid UTF-8 JSON");
    refuses("\"\xff\"", "invalid UTF-8 JSON");
    refuses("\"\xc0\x80\"", "invalid UTF-8 JSON");
    refuses("\"\xed\xa0\x80\"", "invalid UTF-8 JSON");
}

Test(json, a_member_twice_is_refused)
{
    refuses("{\"a\":1,\"a\":2}", "duplicate member");
    refuses("{\"a\\u0000b\":1}", "\\u0000");
}

/* The fuzz target `oracle` found [1\0] taken: jansson loses such a byte. */
Test(json, a_zero_byte_is_refused_wherever_it_stands)
{
    static const char *const texts[] = {
        "1@",      "@1",         "[1@]",   "[1@,2]",    "{\"a\":true@}",
        "\"a@b\"", "{\"a\"@:1}", "null@@", "[-1.5e3@ ]"};
    char text[32];

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t len = strlen(texts[i]);
        json_t *value = NULL;

        for (size_t at = 0; at < len; at++)
            text[at] = texts[i][at] == '@' ? '\0' : texts[i][at];
        cr_assert_eq(json_parse(bytes_of(text, len), JSON_DEPTH_MAX, &problem, &value),
                     QK_ERR_INVALID, "%s", texts[i]);
        cr_assert_str_eq(problem.reason, "invalid UTF-8 JSON");
    }
}

static char *nested(unsigned depth)
{
    char *text = calloc(2 * (size_t)depth + 1, 1);

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return text;
}

Test(json, depth_64_is_kept_and_65_refused)
{
    char *deep = nested(64), *deeper = nested(65);

    keeps(deep, deep);
    refuses(deeper, "nested deeper than 64");
    refuses("{\"x\":\"[[[[\",\"y\":", "invalid UTF-8 JSON");
    free(deep);
    free(deeper);
}

Test(json, brackets_in_strings_do_not_count)
{
    char text[300];

    memset(text, '[', sizeof(text));
    text[0] = '"';
    text[2] = '\\';
    text[3] = '"';
    text[sizeof(text) - 2] = '"';
    text[sizeof(text) - 1] = '\0';
    keeps(text, text);
}

Test(json, too_many_values_are_refused)
{
    size_t n = (size_t)JSON_VALUES_MAX + 2;
    char *text = malloc(2 * n + 2);
    json_t *value = NULL;
    size_t i;

    text[0] = '[';
    for (i = 0; i < n; i++) {
        text[1 + 2 * i] = '0';
        text[2 + 2 * i] = ',';
    }
    text[2 * n] = ']';
    cr_assert_eq(json_parse(bytes_of(text, 2 * n + 1), JSON_DEPTH_MAX, &problem, &value),
                 QK_ERR_INVALID);
    cr_assert_eq(problem.status, 413);
    free(text);
}

Test(json, every_cut_and_every_flipped_byte_ends_in_a_value_or_an_error)
{
    const char text[] = "{\"a\":[1,-2.5e3,\"\\u00e4\xc3\xa4\",null],\"b\":{\"c\":true}}";
    size_t len = sizeof(text) - 1, at;
    unsigned bit;
    json_t *value;

    for (at = 0; at < len; at++) {
        value = NULL;
        cr_assert_eq(json_parse(bytes_of(text, at), JSON_DEPTH_MAX, &problem, &value),
                     QK_ERR_INVALID);
        for (bit = 0; bit < 8; bit++) {
            char copy[sizeof(text)];
            enum qk_err err;

            memcpy(copy, text, sizeof(text));
            copy[at] = (char)(copy[at] ^ (1 << bit));
            value = NULL;
            err = json_parse(bytes_of(copy, len), JSON_DEPTH_MAX, &problem, &value);
            cr_assert_eq(err == QK_OK, value != NULL);
            json_decref(value);
        }
    }
}

Test(json, a_full_output_is_too_big)
{
    struct buf out = BUF_SECRET_INIT(8);
    json_t *value;

    cr_assert_eq(parse("[\"longer than eight\"]", &value), QK_OK);
    cr_assert_eq(json_write(value, &out), QK_ERR_TOO_BIG);
    json_decref(value);
    buf_fini(&out);
}

Test(json, utf8_is_checked_strictly)
{
    cr_assert(utf8_is_valid(bytes_str("a\u00e4\u20ac\U0010FFFF")));
    cr_assert(utf8_is_valid(BYTES_NONE));
    cr_assert_not(utf8_is_valid(bytes_str("\x80")));
    cr_assert_not(utf8_is_valid(bytes_str("\xc3")));
    cr_assert_not(utf8_is_valid(bytes_str("\xe0\x80\x80")));
    cr_assert_not(utf8_is_valid(bytes_str("\xf0\x8f\xbf\xbf")));
    cr_assert_not(utf8_is_valid(bytes_str("\xf4\x90\x80\x80")));
    cr_assert_not(utf8_is_valid(bytes_str("\xed\xbf\xbf")));
}

Test(json, a_long_reason_is_cut_between_characters)
{
    char text[2 * DOC_REASON_BYTES_MAX];
    size_t i;

    for (i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\u00e4", 2);
    text[i] = '\0';
    cr_assert_eq(doc_problem_set(&problem, 400, "x", "a%s", text), QK_ERR_INVALID);
    cr_assert(utf8_is_valid(bytes_str(problem.reason)));
    cr_assert_eq(doc_problem_set(&problem, 400, "x", "%s", text), QK_ERR_INVALID);
    cr_assert(utf8_is_valid(bytes_str(problem.reason)));
}

Test(json, a_lack_of_memory_is_not_called_bad_json)
{
    size_t len = 4 * MIB;
    char *text = malloc(len + 1);
    struct rlimit limit;
    json_t *value;
    enum qk_err err;

#ifdef __SANITIZE_ADDRESS__
    free(text);
    cr_skip_test("AddressSanitizer ends the process where memory is refused");
#endif
    cr_assert_not_null(text);
    memset(text, 'x', len);
    memcpy(text, "[\"", 2);
    memcpy(text + len - 2, "\"]", 3);
    cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = 1; /* nothing further can be mapped: a copy of 4 MiB fits nowhere */
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    err = parse(text, &value);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_eq(err, QK_ERR_NOMEM);
    cr_assert_eq(parse(text, &value), QK_OK);
    json_decref(value);
    free(text);
}
