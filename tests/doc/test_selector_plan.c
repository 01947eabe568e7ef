/* CouchDB's module tests of mango_selector and mango_idx_view, as cases. */
#include "doc/selector_plan.h"

#include <criterion/criterion.h>
#include <string.h>

static struct selector *selector_of(const char *text)
{
    json_t *json = json_loads(text, 0, NULL);
    struct doc_problem problem = {0};
    struct selector *selector = NULL;

    cr_assert_not_null(json, "%s", text);
    cr_assert_eq(selector_parse(json, &problem, &selector), QK_OK, "%s: %s", text, problem.reason);
    json_decref(json);
    return selector;
}

static bool requires(const char *text, const char *a, const char *b, const char *c)
{
    struct selector *selector = selector_of(text);
    struct bytes fields[3];
    size_t n = 0;
    bool result;

    fields[n++] = bytes_str(a);
    if (b != NULL)
        fields[n++] = bytes_str(b);
    if (c != NULL)
        fields[n++] = bytes_str(c);
    result = selector_requires(selector, fields, n);
    selector_free(selector);
    return result;
}

Test(selector_plan, members_that_every_match_has)
{
    cr_expect(requires("{\"A\":\"foo\"}", "A", NULL, NULL));
    cr_expect(!requires("{\"A\":\"foo\"}", "B", NULL, NULL));
    cr_expect(!requires("{}", "A", NULL, NULL));
    cr_expect(!requires("{\"A\":{\"$exists\":false}}", "A", NULL, NULL));
    cr_expect(requires("{\"A\":{\"$exists\":true}}", "A", NULL, NULL));
    cr_expect(requires("{\"$and\":[{\"A\":1},{\"B\":1}]}", "A", NULL, NULL));
    cr_expect(
        requires("{\"$and\":[{\"$and\":[{\"A\":1}]},{\"$and\":[{\"B\":1}]}]}", "A", "B", NULL));
    cr_expect(!requires("{\"$and\":[{\"A\":1},{\"B\":1}]}", "A", "C", NULL));
    cr_expect(!requires("{\"$or\":[{\"A\":1},{\"B\":1}]}", "A", NULL, NULL));
    cr_expect(requires("{\"$or\":[{\"A\":1},{\"A\":2,\"B\":1}]}", "A", NULL, NULL));
    cr_expect(requires("{\"A\":1,\"$or\":[{\"B\":1},{\"B\":2}],\"C\":3}", "A", "B", "C"));
    cr_expect(!requires("{\"$nor\":[{\"A\":{\"$exists\":true}}]}", "A", NULL, NULL));
}

Test(selector_plan, members_with_one_value)
{
    struct selector *selector = selector_of("{\"$and\":[{\"cars\":\"2\"},{\"age\":{\"$gt\":10}}]}");

    cr_expect(selector_is_constant(selector, bytes_str("cars")));
    cr_expect(!selector_is_constant(selector, bytes_str("age")));
    cr_expect(!selector_is_constant(selector, bytes_str("wrong")));
    selector_free(selector);
    selector = selector_of("{\"$or\":[{\"A\":1},{\"A\":1}]}");
    cr_expect(!selector_is_constant(selector, bytes_str("A")));
    selector_free(selector);
}

/* low, "(" or "[", high, ")" or "]"; "-" for no bound. */
static void range(const char *text, const char *field, const char *expected)
{
    struct selector *selector = selector_of(text);
    struct selector_ranges ranges;
    const struct selector_range *found;
    struct buf out = BUF_INIT(1 * MIB);

    cr_assert_eq(selector_ranges(selector, &ranges), QK_OK);
    found = selector_range_of(&ranges, bytes_str(field));
    if (found == NULL) {
        buf_put_str(&out, "none");
    } else if (found->empty) {
        buf_put_str(&out, "empty");
    } else {
        buf_put_str(&out, found->low_excluded ? "(" : "[");
        if (found->low == NULL)
            buf_put_str(&out, "-");
        else
            cr_assert_eq(json_write(found->low, &out), QK_OK);
        buf_put_str(&out, " ");
        if (found->high == NULL)
            buf_put_str(&out, "-");
        else
            cr_assert_eq(json_write(found->high, &out), QK_OK);
        buf_put_str(&out, found->high_excluded ? ")" : "]");
    }
    buf_put_u8(&out, 0);
    cr_expect_str_eq((const char *)out.data, expected, "%s: %s", text, (const char *)out.data);
    buf_fini(&out);
    selector_ranges_fini(&ranges);
    selector_free(selector);
}

Test(selector_plan, conditions_narrow_a_range)
{
    range("{\"a\":5}", "a", "[5 5]");
    range("{\"a\":{\"$gt\":5}}", "a", "(5 -]");
    range("{\"a\":{\"$gte\":5,\"$lt\":9}}", "a", "[5 9)");
    range("{\"a\":{\"$gte\":5,\"$gt\":5,\"$lte\":9}}", "a", "(5 9]");
    range("{\"a\":{\"$gt\":5}}", "b", "none");
}

Test(selector_plan, ranges_of_several_kinds)
{
    range("{\"$and\":[{\"a\":{\"$gt\":0}},{\"a\":{\"$lt\":0}}]}", "a", "empty");
    range("{\"a\":{\"$gt\":1,\"$lt\":1}}", "a", "empty");
    range("{\"a\":{\"$gte\":1,\"$lte\":1}}", "a", "[1 1]");
    range("{\"$or\":[{\"a\":1},{\"a\":2}]}", "a", "none");
    range("{\"a\":{\"$ne\":1}}", "a", "none");
    range("{\"a\":{\"$regex\":\"x\"}}", "a", "none");
    range("{\"$not\":{\"a\":{\"$gt\":3}}}", "a", "[- 3]");
    range("{\"a\":{\"b\":{\"$gt\":3}}}", "a.b", "(3 -]");
    range("{\"a\":{\"$elemMatch\":{\"b\":3}}}", "a", "none");
}

Test(selector_plan, a_prefix_is_a_range_of_texts)
{
    range("{\"a\":{\"$beginsWith\":\"A\"}}", "a", "[\"A\" \"B\")");
    range("{\"a\":{\"$beginsWith\":\"A\\u007f\"}}", "a", "[\"A\x7f\" \"A\xc2\x80\")");
    range("{\"a\":{\"$beginsWith\":\"A\\ud7ff\"}}", "a", "[\"A\xed\x9f\xbf\" \"A\xee\x80\x80\")");
    range("{\"a\":{\"$beginsWith\":\"\"}}", "a", "[\"\" [])");
    range("{\"a\":{\"$beginsWith\":\"\\udbff\\udfff\"}}", "a", "[\"\U0010FFFF\" [])");
    range("{\"a\":{\"$beginsWith\":\"b\\udbff\\udfff\"}}", "a", "[\"b\U0010FFFF\" \"c\")");
}
