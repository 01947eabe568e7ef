/* The operators and the normal form of CouchDB's mango_selector (its module tests and
 * src/mango/test/03-operator-test.py, 17-multi-type-value-test.py, 25-beginswith-test.py), as
 * cases. */
#include "doc/selector.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct doc_problem problem;

static json_t *value_of(const char *text)
{
    json_t *value = json_loads(text, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);

    cr_assert_not_null(value, "%s is no JSON", text);
    return value;
}

static enum qk_err parse(const char *text, struct selector **ret_selector)
{
    json_t *json = value_of(text);
    enum qk_err err;

    memset(&problem, 0, sizeof(problem));
    *ret_selector = NULL;
    err = selector_parse(json, &problem, ret_selector);
    json_decref(json);
    return err;
}

static bool matches(const char *text, const char *document)
{
    json_t *doc = value_of(document);
    struct selector *selector;
    bool match = false;

    cr_assert_eq(parse(text, &selector), QK_OK, "%s: %s", text, problem.reason);
    cr_assert_eq(selector_match(selector, doc, &match), QK_OK);
    selector_free(selector);
    json_decref(doc);
    return match;
}

#define YES(selector_, document_)                                                                  \
    cr_expect(matches(selector_, document_), "%s should match %s", selector_, document_)
#define NO(selector_, document_)                                                                   \
    cr_expect(!matches(selector_, document_), "%s should not match %s", selector_, document_)

static void normal(const char *text, const char *expected)
{
    struct buf out = BUF_INIT(1 * MIB);
    struct selector *selector;
    json_t *json;

    cr_assert_eq(parse(text, &selector), QK_OK, "%s: %s", text, problem.reason);
    json = selector_json(selector);
    cr_assert_not_null(json);
    cr_assert_eq(json_write(json, &out), QK_OK);
    buf_put_u8(&out, 0);
    cr_expect_str_eq((const char *)out.data, expected, "%s: %s", text, (const char *)out.data);
    json_decref(json);
    buf_fini(&out);
    selector_free(selector);
}

static void refuses(const char *text, const char *error, const char *reason)
{
    struct selector *selector;

    cr_assert_eq(parse(text, &selector), QK_ERR_INVALID, "%s was accepted", text);
    cr_expect_eq(problem.status, 400);
    cr_expect_str_eq(problem.error, error, "%s: %s", text, problem.error);
    cr_expect_str_eq(problem.reason, reason, "%s: %s", text, problem.reason);
}

Test(selector, the_normal_form_is_couchdbs)
{
    normal("{}", "{}");
    normal("{\"a\":1}", "{\"a\":{\"$eq\":1}}");
    normal("{\"a\":{}}", "{\"a\":{\"$eq\":{}}}");
    normal("{\"a\":[1]}", "{\"a\":{\"$eq\":[1]}}");
    normal("{\"a\":1,\"b\":{\"$gt\":2}}", "{\"$and\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$gt\":2}}]}");
    normal("{\"foo\":{\"$and\":[{\"$gt\":5},{\"$lt\":10}]}}",
           "{\"$and\":[{\"foo\":{\"$gt\":5}},{\"foo\":{\"$lt\":10}}]}");
    normal("{\"foo\":{\"$gt\":5,\"$lt\":10}}",
           "{\"$and\":[{\"foo\":{\"$gt\":5}},{\"foo\":{\"$lt\":10}}]}");
    normal("{\"foo\":{\"bar\":{\"$gt\":10}}}", "{\"foo.bar\":{\"$gt\":10}}");
    normal("{\"foo\":{\"bar\":{\"baz\":1},\"bam.bum\":2}}",
           "{\"$and\":[{\"foo.bar.baz\":{\"$eq\":1}},{\"foo.bam.bum\":{\"$eq\":2}}]}");
}

Test(selector, a_negation_is_pushed_down_to_the_conditions)
{
    normal("{\"$not\":{\"foo\":{\"$gt\":10}}}", "{\"foo\":{\"$lte\":10}}");
    normal("{\"foo\":{\"$not\":{\"$gt\":10}}}", "{\"foo\":{\"$lte\":10}}");
    normal("{\"$not\":{\"$and\":[{\"foo\":{\"$gt\":10}},{\"foo\":{\"$lt\":5}}]}}",
           "{\"$or\":[{\"foo\":{\"$lte\":10}},{\"foo\":{\"$gte\":5}}]}");
    normal("{\"$nor\":[{\"a\":1},{\"b\":{\"$ne\":2}}]}",
           "{\"$and\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$eq\":2}}]}");
    normal("{\"$not\":{\"$nor\":[{\"a\":1},{\"b\":2}]}}",
           "{\"$or\":[{\"a\":{\"$eq\":1}},{\"b\":{\"$eq\":2}}]}");
    normal("{\"$not\":{\"$not\":{\"a\":{\"$in\":[1]}}}}", "{\"a\":{\"$in\":[1]}}");
    normal("{\"$not\":{\"a\":{\"$in\":[1]}}}", "{\"a\":{\"$nin\":[1]}}");
    normal("{\"$not\":{\"a\":{\"$exists\":true}}}", "{\"a\":{\"$exists\":false}}");
    normal("{\"$not\":{\"a\":{\"$regex\":\"x\"}}}", "{\"a\":{\"$not\":{\"$regex\":\"x\"}}}");
    normal("{\"$not\":{\"a\":1,\"b\":2}}", "{\"$or\":[{\"a\":{\"$ne\":1}},{\"b\":{\"$ne\":2}}]}");
    /* Not below $elemMatch. */
    normal("{\"a\":{\"$elemMatch\":{\"$not\":{\"b\":1}}}}",
           "{\"a\":{\"$elemMatch\":{\"$not\":{\"b\":{\"$eq\":1}}}}}");
    normal("{\"$not\":{\"a\":{\"$elemMatch\":{\"b\":1}}}}",
           "{\"a\":{\"$not\":{\"$elemMatch\":{\"b\":{\"$eq\":1}}}}}");
}

Test(selector, what_is_wrong_is_said_in_couchdbs_words)
{
    refuses("1", "invalid_selector_json", "Selector must be a JSON object, not: 1");
    refuses("[]", "invalid_selector_json", "Selector must be a JSON object, not: []");
    refuses("{\"$and\":1}", "bad_arg", "Bad argument for operator $and: 1");
    refuses("{\"$or\":{\"a\":1}}", "bad_arg", "Bad argument for operator $or: {\"a\":1}");
    refuses("{\"$nor\":null}", "bad_arg", "Bad argument for operator $nor: null");
    refuses("{\"$not\":[]}", "bad_arg", "Bad argument for operator $not: []");
    refuses("{\"a\":{\"$in\":\"x\"}}", "bad_arg", "Bad argument for operator $in: \"x\"");
    refuses("{\"a\":{\"$nin\":1}}", "bad_arg", "Bad argument for operator $nin: 1");
    refuses("{\"a\":{\"$exists\":1}}", "bad_arg", "Bad argument for operator $exists: 1");
    refuses("{\"a\":{\"$type\":1}}", "bad_arg", "Bad argument for operator $type: 1");
    refuses("{\"a\":{\"$mod\":[1]}}", "bad_arg", "Bad argument for operator $mod: [1]");
    refuses("{\"a\":{\"$mod\":[2,1.0]}}", "bad_arg", "Bad argument for operator $mod: [2,1.0]");
    refuses("{\"a\":{\"$mod\":[0,1]}}", "bad_arg", "Bad argument for operator $mod: [0,1]");
    refuses("{\"a\":{\"$regex\":\"(\"}}", "bad_arg", "Bad argument for operator $regex: \"(\"");
    refuses("{\"a\":{\"$regex\":1}}", "bad_arg", "Bad argument for operator $regex: 1");
    refuses("{\"a\":{\"$all\":1}}", "bad_arg", "Bad argument for operator $all: 1");
    refuses("{\"a\":{\"$size\":-1}}", "bad_arg", "Bad argument for operator $size: -1");
    refuses("{\"a\":{\"$elemMatch\":1}}", "bad_arg", "Bad argument for operator $elemMatch: 1");
    refuses("{\"a\":{\"$allMatch\":[]}}", "bad_arg", "Bad argument for operator $allMatch: []");
    refuses("{\"a\":{\"$keyMapMatch\":1}}", "bad_arg", "Bad argument for operator $keyMapMatch: 1");
    refuses("{\"a\":{\"$beginsWith\":true}}", "invalid_operator", "Invalid operator: $beginsWith");
    refuses("{\"a\":{\"$bogus\":1}}", "invalid_operator", "Invalid operator: $bogus");
    refuses("{\"a\":{\"$where\":1}}", "not_supported", "Unsupported operator: $where");
    refuses("{\"$text\":\"x\"}", "not_supported", "Unsupported operator: $text");
    refuses("{\"$eq\":1}", "invalid_selector", "One or more conditions is missing a field name.");
    refuses("{\"\":1}", "invalid_selector", "One or more conditions is missing a field name.");
    refuses("{\"$not\":{\"$gt\":1}}", "invalid_selector",
            "One or more conditions is missing a field name.");
    refuses("{\"a..b\":1}", "invalid_field_name",
            "One or more conditions has an empty part in a field name.");
}

Test(selector, an_empty_one_matches_everything)
{
    YES("{}", "{}");
    YES("{}", "{\"a\":1}");
    YES("{\"$and\":[]}", "{\"a\":1}");
    YES("{\"$or\":[]}", "{\"a\":1}");
    YES("{\"$nor\":[]}", "{\"a\":1}");
}

Test(selector, comparisons_follow_the_order_of_types)
{
    YES("{\"a\":{\"$lt\":1}}", "{\"a\":null}");
    YES("{\"a\":{\"$lt\":1}}", "{\"a\":false}");
    YES("{\"a\":{\"$gt\":1}}", "{\"a\":\"0\"}");
    YES("{\"a\":{\"$gt\":\"z\"}}", "{\"a\":[]}");
    YES("{\"a\":{\"$gt\":[9]}}", "{\"a\":{}}");
    YES("{\"a\":{\"$gt\":null}}", "{\"a\":false}");
    YES("{\"a\":{\"$gte\":null}}", "{\"a\":null}");
    NO("{\"a\":{\"$gt\":null}}", "{\"a\":null}");
    NO("{\"a\":{\"$lt\":1}}", "{}");
    YES("{\"a\":{\"$eq\":1}}", "{\"a\":1.0}");
    YES("{\"a\":{\"$lt\":9007199254740993}}", "{\"a\":9007199254740992.0}");
    NO("{\"a\":{\"$eq\":9007199254740993}}", "{\"a\":9007199254740992.0}");
    YES("{\"a\":{\"$lte\":\"ab\"}}", "{\"a\":\"a\"}");
    YES("{\"a\":{\"$gt\":\"a\"}}", "{\"a\":\"\u00e4\"}");
    YES("{\"a\":{\"$eq\":{\"x\":1,\"y\":[2]}}}", "{\"a\":{\"x\":1,\"y\":[2]}}");
    NO("{\"a\":{\"$eq\":{\"x\":1}}}", "{\"a\":{\"x\":1,\"y\":2}}");
    YES("{\"a\":{\"$lt\":[1,3]}}", "{\"a\":[1,2,9]}");
    YES("{\"a\":{\"$lt\":[1,2,0]}}", "{\"a\":[1,2]}");
}

Test(selector, an_id_is_more_than_all_that_is_no_string)
{
    YES("{\"_id\":{\"$gt\":null}}", "{\"_id\":\"a\"}");
    YES("{\"_id\":{\"$gt\":[]}}", "{\"_id\":\"a\"}");
    YES("{\"_id\":{\"$gt\":{}}}", "{\"_id\":\"a\"}");
    NO("{\"_id\":{\"$lt\":[]}}", "{\"_id\":\"a\"}");
    YES("{\"_id\":{\"$lt\":\"b\"}}", "{\"_id\":\"a\"}");
    YES("{\"a\":{\"$lt\":[]}}", "{\"a\":\"a\"}");
}

Test(selector, what_is_missing_matches_only_exists_false)
{
    YES("{\"a\":{\"$exists\":false}}", "{}");
    NO("{\"a\":{\"$exists\":false}}", "{\"a\":null}");
    YES("{\"a\":{\"$exists\":true}}", "{\"a\":null}");
    NO("{\"a\":{\"$exists\":true}}", "{}");
    NO("{\"a\":null}", "{}");
    YES("{\"a\":null}", "{\"a\":null}");
    NO("{\"a\":{\"$ne\":1}}", "{}");
    NO("{\"$not\":{\"a\":1}}", "{}");
    NO("{\"a\":{\"$not\":{\"$regex\":\"x\"}}}", "{}");
    NO("{\"a\":{\"$nin\":[1]}}", "{}");
    /* A way that leads through something else is not "missing". */
    NO("{\"a.b\":{\"$exists\":false}}", "{\"a\":1}");
    YES("{\"a.b\":{\"$exists\":false}}", "{\"a\":{}}");
    NO("{\"a.b\":{\"$exists\":false}}", "{\"a\":[]}");
}

Test(selector, names_lead_into_objects_and_arrays)
{
    YES("{\"a.b.c\":1}", "{\"a\":{\"b\":{\"c\":1}}}");
    YES("{\"a\":{\"b\":{\"c\":1}}}", "{\"a\":{\"b\":{\"c\":1,\"d\":2}}}");
    YES("{\"a.1\":\"y\"}", "{\"a\":[\"x\",\"y\"]}");
    NO("{\"a.2\":\"y\"}", "{\"a\":[\"x\",\"y\"]}");
    YES("{\"a\\\\.b\":1}", "{\"a.b\":1}");
    YES("{\"a.b\\\\.c\":1}", "{\"a\":{\"b.c\":1}}");
}

Test(selector, lists_of_values)
{
    YES("{\"a\":{\"$in\":[1,2]}}", "{\"a\":2}");
    NO("{\"a\":{\"$in\":[1,2]}}", "{\"a\":3}");
    YES("{\"a\":{\"$in\":[\"Ruby\",\"Python\"]}}", "{\"a\":[\"C\",\"Python\"]}");
    NO("{\"a\":{\"$in\":[[1,2]]}}", "{\"a\":[1,2]}");
    YES("{\"a\":{\"$in\":[[1,2]]}}", "{\"a\":[[1,2]]}");
    NO("{\"a\":{\"$in\":[]}}", "{\"a\":1}");
    YES("{\"a\":{\"$nin\":[]}}", "{\"a\":1}");
    YES("{\"a\":{\"$nin\":[\"Erlang\"]}}", "{\"a\":[\"C\"]}");
    NO("{\"a\":{\"$nin\":[\"Erlang\"]}}", "{\"a\":[\"C\",\"Erlang\"]}");
    YES("{\"a\":{\"$nin\":[1]}}", "{\"a\":[]}");
    YES("{\"a\":{\"$in\":[9,1,8,2,7,3]}}", "{\"a\":1.0}");
}

Test(selector, arrays)
{
    YES("{\"a\":{\"$all\":[\"Lisp\",\"C\"]}}", "{\"a\":[\"C\",\"x\",\"Lisp\"]}");
    NO("{\"a\":{\"$all\":[\"Lisp\",\"C\"]}}", "{\"a\":[\"C\"]}");
    NO("{\"a\":{\"$all\":[]}}", "{\"a\":[]}");
    NO("{\"a\":{\"$all\":[\"C\"]}}", "{\"a\":\"C\"}");
    YES("{\"a\":{\"$all\":[[1,2]]}}", "{\"a\":[1,2]}");
    YES("{\"a\":{\"$all\":[[1,2]]}}", "{\"a\":[[1,2],3]}");
    NO("{\"a\":{\"$all\":[1]}}", "{\"a\":[1.0]}");
    YES("{\"a\":{\"$size\":2}}", "{\"a\":[1,2]}");
    NO("{\"a\":{\"$size\":2}}", "{\"a\":[1]}");
    NO("{\"a\":{\"$size\":1}}", "{\"a\":{\"x\":1}}");
    YES("{\"a\":{\"$elemMatch\":{\"foo\":{\"$gte\":1},\"bam\":true}}}",
        "{\"a\":[{\"foo\":0,\"bam\":true},{\"foo\":2,\"bam\":true}]}");
    NO("{\"a\":{\"$elemMatch\":{\"foo\":{\"$gte\":1},\"bam\":true}}}", "{\"a\":[{\"foo\":1}]}");
    YES("{\"a\":{\"$elemMatch\":{\"$gte\":80,\"$lt\":85}}}", "{\"a\":[70,82,90]}");
    NO("{\"a\":{\"$elemMatch\":{\"$gte\":80,\"$lt\":85}}}", "{\"a\":[70,90]}");
    NO("{\"a\":{\"$elemMatch\":{\"$gte\":80}}}", "{\"a\":[]}");
    NO("{\"a\":{\"$elemMatch\":{\"$gte\":80}}}", "{\"a\":90}");
    YES("{\"a\":{\"$elemMatch\":{\"$not\":{\"b\":1}}}}", "{\"a\":[{\"c\":1}]}");
    YES("{\"a\":{\"$elemMatch\":{\"$nor\":[{\"b\":1},{\"b\":2}]}}}", "{\"a\":[{\"b\":3}]}");
    NO("{\"a\":{\"$elemMatch\":{\"$nor\":[{\"b\":1},{\"b\":2}]}}}", "{\"a\":[{\"b\":2}]}");
    YES("{\"a\":{\"$elemMatch\":{\"$elemMatch\":{\"$eq\":3}}}}", "{\"a\":[[1],[2,3]]}");
    YES("{\"a\":{\"$allMatch\":{\"foo\":{\"$mod\":[2,1]},\"bar\":{\"$mod\":[2,0]}}}}",
        "{\"a\":[{\"foo\":1,\"bar\":2},{\"foo\":3,\"bar\":4}]}");
    NO("{\"a\":{\"$allMatch\":{\"foo\":{\"$mod\":[2,1]},\"bar\":{\"$mod\":[2,0]}}}}",
       "{\"a\":[{\"foo\":1,\"bar\":2},{\"foo\":4,\"bar\":4}]}");
    NO("{\"a\":{\"$allMatch\":{\"foo\":{\"$eq\":2}}}}", "{\"a\":[]}");
    NO("{\"$not\":{\"a\":{\"$elemMatch\":{\"$eq\":1}}}}", "{\"a\":[1]}");
    YES("{\"$not\":{\"a\":{\"$elemMatch\":{\"$eq\":1}}}}", "{\"a\":[2]}");
}

Test(selector, names_of_members)
{
    YES("{\"a\":{\"$keyMapMatch\":{\"$eq\":\"secret\"}}}", "{\"a\":{\"x\":1,\"secret\":2}}");
    NO("{\"a\":{\"$keyMapMatch\":{\"$eq\":\"secret\"}}}", "{\"a\":{\"x\":1}}");
    NO("{\"a\":{\"$keyMapMatch\":{\"$eq\":\"secret\"}}}", "{\"a\":[\"secret\"]}");
    NO("{\"a\":{\"$keyMapMatch\":{\"$eq\":\"secret\"}}}", "{\"a\":{}}");
    YES("{\"a\":{\"$keyMapMatch\":{\"$regex\":\"^s\"}}}", "{\"a\":{\"x\":1,\"s\":2,\"y\":3}}");
}

Test(selector, conditions_on_one_value)
{
    YES("{\"a\":{\"$type\":\"null\"}}", "{\"a\":null}");
    YES("{\"a\":{\"$type\":\"boolean\"}}", "{\"a\":true}");
    YES("{\"a\":{\"$type\":\"number\"}}", "{\"a\":1.5}");
    YES("{\"a\":{\"$type\":\"string\"}}", "{\"a\":\"\"}");
    YES("{\"a\":{\"$type\":\"array\"}}", "{\"a\":[]}");
    YES("{\"a\":{\"$type\":\"object\"}}", "{\"a\":{}}");
    NO("{\"a\":{\"$type\":\"bogus\"}}", "{\"a\":{}}");
    YES("{\"a\":{\"$mod\":[3,1]}}", "{\"a\":7}");
    YES("{\"a\":{\"$mod\":[3,-1]}}", "{\"a\":-7}");
    NO("{\"a\":{\"$mod\":[3,1]}}", "{\"a\":7.0}");
    YES("{\"a\":{\"$mod\":[-1,0]}}", "{\"a\":-9223372036854775808}");
    YES("{\"a\":{\"$beginsWith\":\"\"}}", "{\"a\":\"x\"}");
    YES("{\"a\":{\"$beginsWith\":\"J\"}}", "{\"a\":\"Jimi\"}");
    NO("{\"a\":{\"$beginsWith\":\"j\"}}", "{\"a\":\"Jimi\"}");
    NO("{\"a\":{\"$beginsWith\":\"a\"}}", "{\"a\":27}");
    YES("{\"a\":{\"$regex\":\"(?i)new.*\"}}", "{\"a\":\"New York\"}");
    NO("{\"a\":{\"$regex\":\"^b\"}}", "{\"a\":\"ab\"}");
    NO("{\"a\":{\"$regex\":\"1\"}}", "{\"a\":1}");
}

Test(selector, combinations)
{
    YES("{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"b\":2}");
    NO("{\"$or\":[{\"a\":1},{\"b\":2}]}", "{\"b\":1}");
    YES("{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":2,\"b\":1}");
    NO("{\"$nor\":[{\"a\":1},{\"b\":2}]}", "{\"a\":1,\"b\":1}");
    YES("{\"a\":{\"$or\":[1,{\"$gt\":5}]}}", "{\"a\":6}");
    NO("{\"$and\":[{\"a\":1},{\"$or\":[{\"b\":1},{\"b\":2}]}]}", "{\"a\":1,\"b\":3}");
    YES("{\"$and\":[{\"a\":1},{\"$or\":[{\"b\":1},{\"b\":2}]}]}", "{\"a\":1,\"b\":2}");
}

/* Each of these takes a backtracking engine exponential or at least quadratic time. */
Test(selector, a_hostile_regex_is_cut_off, .timeout = 30)
{
    static const char *const patterns[] = {
        "^(a+)+$",        "^(a|aa)+$",    "(a*)*b",           "a*[bc]",
        "a*+[bc]",        "(.*)*x",       "(?=(a+))a*b\\\\1", "^(([a-z])+.)+[A-Z]([a-z])+$",
        "(a?){60}a{60}c", "(?:(?R)?a)*d",
    };
    const size_t len = 200000;
    char *document = malloc(len + 32);
    size_t i;

    cr_assert_not_null(document);
    memcpy(document, "{\"a\":\"", 6);
    memset(document + 6, 'a', len);
    memcpy(document + 6 + len, "!\"}", 4);
    for (i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        char text[128];

        snprintf(text, sizeof text, "{\"a\":{\"$regex\":\"%s\"}}", patterns[i]);
        NO(text, document);
    }
    free(document);
}

Test(selector, one_document_costs_no_more_than_a_bound, .timeout = 60)
{
    json_t *list = json_array(), *conditions = json_array(), *json, *doc;
    struct selector *selector;
    bool match;
    int i;

    for (i = 0; i < 100000; i++)
        json_array_append_new(list, json_integer(i));
    for (i = 0; i < 4000; i++)
        json_array_append_new(conditions, json_pack("{s:{s:{s:i}}}", "a", "$elemMatch", "$lt", -1));
    json = json_pack("{s:o}", "$or", conditions);
    doc = json_pack("{s:o}", "a", list);
    cr_assert_eq(selector_parse(json, &problem, &selector), QK_OK);
    cr_expect_eq(selector_match(selector, doc, &match), QK_ERR_TOO_BIG);
    cr_expect(selector_steps(selector) <= SELECTOR_STEPS_MAX + 100000);
    selector_free(selector);
    json_decref(json);
    json_decref(doc);
}

Test(selector, too_many_or_too_deep_conditions_are_refused)
{
    json_t *list = json_array(), *json, *deep = json_integer(1);
    struct selector *selector;
    int i;

    for (i = 0; i <= SELECTOR_NODES_MAX / 2; i++)
        json_array_append_new(list, json_pack("{s:i}", "a", i));
    json = json_pack("{s:o}", "$or", list);
    cr_expect_eq(selector_parse(json, &problem, &selector), QK_ERR_INVALID);
    json_decref(json);
    for (i = 0; i < 61; i++)
        deep = json_pack("{s:o}", i % 2 == 0 ? "a" : "$elemMatch", deep);
    json = deep;
    cr_expect_eq(selector_parse(json, &problem, &selector), QK_OK, "%s", problem.reason);
    selector_free(selector);
    for (i = 0; i < 301; i++)
        deep = json_pack("{s:o}", i % 2 == 0 ? "a" : "$elemMatch", deep);
    cr_expect_eq(selector_parse(deep, &problem, &selector), QK_ERR_INVALID);
    json_decref(deep);
}
