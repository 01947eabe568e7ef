#include "doc/compare.h"

#include <criterion/criterion.h>

/* CouchDB's order (couch_ejson_compare), strings by code point. */
static const char *const ascending[] = {
    "null",
    "false",
    "true",
    "-1e300",
    "-9223372036854775808",
    "-1",
    "-0.5",
    "0",
    "0.5",
    "1",
    "9007199254740991",
    "9007199254740992.0",
    "9007199254740993",
    "9223372036854775806",
    "9223372036854775807",
    "9223372036854775808.0",
    "1e300",
    "\"\"",
    "\"A\"",
    "\"a\"",
    "\"aa\"",
    "\"b\"",
    "\"\u00e4\"",
    "\"\uffee\"",
    "\"\U0001F600\"",
    "[]",
    "[null]",
    "[\"a\"]",
    "[\"a\",0]",
    "[\"b\"]",
    "[[]]",
    "[{}]",
    "{}",
    "{\"a\":1}",
    "{\"a\":2}",
    "{\"a\":2,\"b\":0}",
    "{\"b\":0}",
    "{\"b\":{\"c\":[1,2,{\"d\":1}]}}",
    "{\"b\":{\"c\":[1,2,{\"d\":2}]}}",
};
#define ASCENDING_N (sizeof ascending / sizeof ascending[0])

Test(compare, values_stand_in_couchdbs_order)
{
    size_t i, j;

    for (i = 0; i < ASCENDING_N; i++) {
        for (j = 0; j < ASCENDING_N; j++) {
            json_t *a = json_loads(ascending[i], JSON_DECODE_ANY, NULL);
            json_t *b = json_loads(ascending[j], JSON_DECODE_ANY, NULL);
            int order = json_compare(a, b, NULL);

            cr_expect_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s and %s", ascending[i],
                         ascending[j]);
            json_decref(a);
            json_decref(b);
        }
    }
}

Test(compare, numbers_are_equal_by_value_and_the_same_by_type)
{
    json_t *whole = json_integer(1), *real = json_real(1.0);
    size_t steps = 0;

    cr_expect_eq(json_compare(whole, real, &steps), 0);
    cr_expect(!json_same(whole, real, &steps));
    cr_expect(json_same(real, real, &steps));
    cr_expect_eq(steps, 3);
    json_decref(whole);
    json_decref(real);
}
