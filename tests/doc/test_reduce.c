#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/reduce.h"

/* Values are JSON texts, apart by ';'. */
static void reduce_is(const char *name, const char *values, const char *expected)
{
    struct buf out = BUF_SECRET_INIT(4096);
    struct reducer *reducer;
    enum reduce_kind kind;
    char copy[1024], *at = copy, *word;

    cr_assert_eq(reduce_kind_of(bytes_str(name), &kind), QK_OK);
    cr_assert_eq(reducer_new(kind, &reducer), QK_OK);
    snprintf(copy, sizeof(copy), "%s", values);
    while ((word = strsep(&at, ";")) != NULL && *word != '\0')
        cr_assert_eq(reducer_add(reducer, bytes_str(word), bytes_str(word)), QK_OK);
    cr_assert_eq(reducer_write(reducer, &out), QK_OK);
    buf_put_u8(&out, 0);
    if (strchr(expected, '*') != NULL)
        cr_expect_eq(strncmp((char *)out.data, expected, strlen(expected) - 1), 0, "%s: %s", values,
                     (char *)out.data);
    else
        cr_expect_str_eq((char *)out.data, expected, "%s", values);
    buf_fini(&out);
    reducer_free(reducer);
}

Test(reduce, count_counts_rows)
{
    reduce_is("_count", "", "0");
    reduce_is("_count", "1;\"a\";null", "3");
}

Test(reduce, sums_are_of_numbers_arrays_and_objects)
{
    reduce_is("_sum", "", "0");
    reduce_is("_sum", "1;2;39", "42");
    reduce_is("_sum", "1;0.5", "1.5");
    reduce_is("_sum", "[1,2];[10];[100,200,300]", "[111,202,300]");
    reduce_is("_sum", "1;[10,2]", "[11,2]");
    reduce_is("_sum", "[10,2];1", "[11,2]");
    reduce_is("_sum", "{\"a\":1};{\"a\":2,\"b\":{\"c\":[1]}};{\"b\":{\"c\":[1,5]}}",
              "{\"a\":3,\"b\":{\"c\":[2,5]}}");
    reduce_is("_sum", "[];[]", "[]");
    reduce_is("_sum", "[];7", "[7]");
    reduce_is("_sum", "0;{\"a\":1}", "{\"a\":1}");
    reduce_is("_sum", "0;[1,2]", "[1,2]");
    reduce_is("_sum", "{\"a\":0};{\"a\":{\"b\":2}}", "{\"a\":{\"b\":2}}");
    reduce_is("_sum", "-1.7e308;-1.7e308", "-1.797693134862315*");
    reduce_is("_sum", "1.7e308;1.7e308", "1.797693134862315*");
}

Test(reduce, a_number_finds_its_place_however_deep_the_first_array_is)
{
    char values[256] = "", expected[256] = "";

    for (unsigned i = 0; i < 60; i++) {
        values[i] = expected[i] = '[';
        values[61 + i] = expected[61 + i] = ']';
    }
    values[60] = '1';
    expected[60] = '8';
    memcpy(values + 121, ";7", 2);
    reduce_is("_sum", values, expected);
}

Test(reduce, integer_sums_are_exact_and_leave_64_bits_as_floats)
{
    reduce_is("_sum", "9007199254740992;1", "9007199254740993");
    reduce_is("_sum", "9223372036854775806;1", "9223372036854775807");
    reduce_is("_sum", "9223372036854775807;1", "9.2233720368547*");
}

Test(reduce, what_cannot_be_summed_is_an_error_of_the_row)
{
    reduce_is("_sum", "1;\"a\"", "{\"error\":\"builtin_reduce_error\",\"reason\":\"The _sum *");
    reduce_is("_sum", "1;{\"a\":1}", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "{\"a\":\"x\"}", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "{\"a\":1};1", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "{\"a\":1};[1]", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "{\"a\":1};{\"a\":{\"b\":2}}", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "[1,true]", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "null;1", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_sum", "null", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_stats", "1;\"a\"", "{\"error\":\"builtin_reduce_error\",\"reason\":\"The _stats *");
}

Test(reduce, stats_are_of_numbers_and_of_the_places_of_arrays)
{
    reduce_is("_stats", "2;3;-1", "{\"sum\":4,\"count\":3,\"min\":-1,\"max\":3,\"sumsqr\":14}");
    reduce_is("_stats", "[1,10];[2,20]",
              "[{\"sum\":3,\"count\":2,\"min\":1,\"max\":2,\"sumsqr\":5},"
              "{\"sum\":30,\"count\":2,\"min\":10,\"max\":20,\"sumsqr\":500}]");
    reduce_is("_stats", "2;{\"sum\":10,\"count\":4,\"min\":1,\"max\":5,\"sumsqr\":30}",
              "{\"sum\":12,\"count\":5,\"min\":1,\"max\":5,\"sumsqr\":34}");
    reduce_is("_stats", "1.5;2", "{\"sum\":3.5,\"count\":2,\"min\":1.5,\"max\":2,\"sumsqr\":6.25}");
    reduce_is("_stats", "4294967296",
              "{\"sum\":4294967296,\"count\":1,\"min\":4294967296,\"max\":4294967296,"
              "\"sumsqr\":1.844674407370955*");
    reduce_is("_stats", "[1,2];[1]", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_stats", "1;[1]", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_stats", "[1];1", "{\"error\":\"builtin_reduce_error\"*");
    reduce_is("_stats", "[\"a\"]", "{\"error\":\"builtin_reduce_error\"*");
}

Test(reduce, figures_that_lack_one_are_no_figures)
{
    static const char *const names[] = {"sum", "count", "min", "max", "sumsqr"};
    const size_t n = sizeof(names) / sizeof(names[0]);

    for (size_t without = 0; without < n; without++) {
        char text[256] = "{";

        for (size_t i = 0; i < n; i++) {
            size_t len = strlen(text);

            snprintf(text + len, sizeof(text) - len, "\"%s\":%s,", names[i],
                     i == without ? "null" : "1");
        }
        text[strlen(text) - 1] = '}';
        reduce_is("_stats", text, "{\"error\":\"builtin_reduce_error\"*");
    }
}

static uint64_t distinct_of(unsigned n, unsigned times)
{
    struct buf out = BUF_SECRET_INIT(64);
    struct reducer *reducer;
    uint64_t found;
    char text[32];
    unsigned i;

    cr_assert_eq(reducer_new(REDUCE_DISTINCT, &reducer), QK_OK);
    for (i = 0; i < n * times; i++) {
        snprintf(text, sizeof(text), "\"%u\"", i % n);
        cr_assert_eq(reducer_add(reducer, bytes_str(text), bytes_str("null")), QK_OK);
    }
    cr_assert_eq(reducer_write(reducer, &out), QK_OK);
    buf_put_u8(&out, 0);
    found = strtoull((char *)out.data, NULL, 10);
    buf_fini(&out);
    reducer_free(reducer);
    return found;
}

Test(reduce, distinct_keys_are_counted_about)
{
    cr_expect_eq(distinct_of(1, 5), 1);
    cr_expect_eq(distinct_of(10, 3), 10);
    cr_expect_leq(llabs((long long)distinct_of(1000, 2) - 1000), 30);
    cr_expect_leq(llabs((long long)distinct_of(100000, 1) - 100000), 6000);
}

Test(reduce, other_names_are_none)
{
    enum reduce_kind kind;

    cr_expect_eq(reduce_kind_of(bytes_str("_su"), &kind), QK_ERR_NOT_FOUND);
    cr_expect_eq(reduce_kind_of(bytes_str("_statsorama"), &kind), QK_OK);
    cr_expect_eq(kind, REDUCE_STATS);
    cr_expect_eq(reduce_kind_of(bytes_str("function(){}"), &kind), QK_ERR_NOT_FOUND);
}
