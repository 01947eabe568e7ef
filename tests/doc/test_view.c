#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/view.h"

static json_t *json_of(const char *text)
{
    struct doc_problem problem = {0};
    json_t *value = NULL;

    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &value), QK_OK, "%s: %s",
                 text, problem.reason);
    return value;
}

static struct view_design *design_of(const char *text)
{
    struct doc_problem problem = {0};
    struct view_design *design;
    json_t *json = json_of(text);

    cr_assert_eq(view_design_parse(json, &problem, &design), QK_OK, "%s: %s", text, problem.reason);
    json_decref(json);
    return design;
}

static void fails_with(const char *text, int status, const char *reason)
{
    struct doc_problem problem = {0};
    struct view_design *design;
    json_t *json = json_of(text);

    cr_assert_eq(view_design_parse(json, &problem, &design), QK_ERR_INVALID, "%s", text);
    cr_expect_eq(problem.status, status, "%s: %d", text, problem.status);
    cr_expect_not_null(strstr(problem.reason, reason), "%s: %s", text, problem.reason);
    json_decref(json);
}

/* "view key=value;" for each row. */
static void map_is(const char *design_text, const char *doc_text, const char *expected)
{
    struct view_design *design = design_of(design_text);
    struct view_rows rows = VIEW_ROWS_INIT;
    json_t *doc = json_of(doc_text);
    char got[1024] = "";
    size_t i, at = 0;

    cr_assert_eq(view_map(design, doc, &rows), QK_OK);
    for (i = 0; i < rows.n; i++) {
        const char *key = (const char *)rows.data.data + at + rows.rows[i].sort_len;

        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%zu %.*s=%.*s;", rows.rows[i].view,
                 (int)rows.rows[i].key_len, key, (int)rows.rows[i].value_len,
                 key + rows.rows[i].key_len);
        at += rows.rows[i].sort_len + rows.rows[i].key_len + rows.rows[i].value_len;
    }
    cr_expect_str_eq(got, expected, "%s", doc_text);
    json_decref(doc);
    view_rows_fini(&rows);
    view_design_free(design);
}

#define QUERY(views) "{\"language\":\"query\",\"views\":{" views "}}"

Test(view, fields_make_keys)
{
    map_is(QUERY("\"v\":{\"map\":{\"fields\":\"a.b\"}}"), "{\"a\":{\"b\":1}}", "0 1=null;");
    map_is(QUERY("\"v\":{\"map\":{\"fields\":[\"a\"]}}"), "{\"a\":null}", "0 [null]=null;");
    map_is(QUERY("\"v\":{\"map\":{\"fields\":{\"b\":\"asc\",\"a\":\"asc\"}}}"),
           "{\"a\":1,\"b\":\"x\"}", "0 [\"x\",1]=null;");
    map_is(QUERY("\"v\":{\"map\":{\"fields\":[\"a\",\"b\"]}}"), "{\"a\":1}", "");
    map_is(QUERY("\"v\":{\"map\":{\"fields\":\"_id\"}}"), "{\"_id\":\"x\"}", "0 \"x\"=null;");
}

Test(view, values_are_what_is_named_or_null)
{
    map_is(QUERY("\"v\":{\"map\":{\"fields\":\"a\",\"value\":\"b\"}}"), "{\"a\":1,\"b\":{\"c\":2}}",
           "0 1={\"c\":2};");
    map_is(QUERY("\"v\":{\"map\":{\"fields\":\"a\",\"value\":[\"b\",\"a\"]}}"), "{\"a\":1}",
           "0 1=[null,1];");
}

Test(view, a_selector_leaves_documents_out)
{
    const char *design =
        QUERY("\"u\":{\"map\":{\"fields\":\"a\",\"selector\":{\"a\":{\"$gt\":1}}}},"
              "\"v\":{\"map\":{\"fields\":\"a\",\"partial_filter_selector\":{}}}");

    map_is(design, "{\"a\":1}", "1 1=null;");
    map_is(design, "{\"a\":2}", "0 2=null;1 2=null;");
}

Test(view, what_is_no_view_is_refused)
{
    fails_with("{\"language\":\"query\",\"views\":[]}", 400, "`views` must be an object");
    fails_with(QUERY("\"v\":{}"), 400, "View `v`: map must be an object");
    fails_with(QUERY("\"v\":{\"map\":{\"fields\":7}}"), 400, "fields must be");
    fails_with(QUERY("\"v\":{\"map\":{\"fields\":\"a\",\"value\":{}}}"), 400, "value must be");
    fails_with(QUERY("\"v\":{\"map\":{\"fields\":\"a\"},\"reduce\":\"_max\"}"), 400,
               "reduce must be _count");
    fails_with(QUERY("\"v\":{\"map\":{\"fields\":\"a\"},\"reduce\":7}"), 400,
               "reduce must be a string");
    fails_with(QUERY("\"v\":{\"map\":{\"fields\":\"a\",\"selector\":{\"$foo\":1}}}"), 400, "");
    fails_with("{\"views\":{\"v\":{\"map\":{}}}}", 400, "map must be a string");
    fails_with("{\"language\":\"coffee\"}", 400, "query or javascript");
    fails_with("{\"options\":{\"index\":\"fast\"}}", 400, "memory, plain or blind");
}

Test(view, a_change_of_what_decides_about_rows_changes_the_signature)
{
    static const char *const designs[] = {
        QUERY("\"v\":{\"map\":{\"fields\":\"a\"}}"), QUERY("\"v\":{\"map\":{\"fields\":\"b\"}}"),
        QUERY("\"w\":{\"map\":{\"fields\":\"a\"}}"),
        "{\"language\":\"query\",\"options\":{\"include_design\":true},"
        "\"views\":{\"v\":{\"map\":{\"fields\":\"a\"}}}}",
        "{\"language\":\"javascript\",\"views\":{\"v\":{\"map\":\"a\"}}}"};
    struct view_design *a, *b;
    size_t i, j;

    for (i = 0; i < 5; i++) {
        for (j = 0; j < 5; j++) {
            a = design_of(designs[i]);
            b = design_of(designs[j]);
            cr_expect_eq(memcmp(a->signature, b->signature, HASH_BYTES) == 0, i == j);
            view_design_free(a);
            view_design_free(b);
        }
    }
    a = design_of("{\"language\":\"query\",\"_rev\":\"1-a\",\"note\":1,\"views\":{\"v\":{\"map\":{"
                  "\"fields\":\"a\"}}}}");
    b = design_of(designs[0]);
    cr_expect_eq(memcmp(a->signature, b->signature, HASH_BYTES), 0);
    view_design_free(a);
    view_design_free(b);
}

Test(view, a_row_that_is_too_large_is_left_out_alone)
{
    struct view_design *design =
        design_of(QUERY("\"v\":{\"map\":{\"fields\":\"a\"}},\"w\":{\"map\":{\"fields\":\"b\"}}"));
    struct view_rows rows = VIEW_ROWS_INIT;
    json_t *doc = json_object();
    char *large = calloc(1, VIEW_KEY_BYTES_MAX + 1);

    memset(large, 'x', VIEW_KEY_BYTES_MAX);
    json_object_set_new(doc, "a", json_stringn(large, VIEW_KEY_BYTES_MAX));
    json_object_set_new(doc, "b", json_integer(1));
    cr_assert_eq(view_map(design, doc, &rows), QK_OK);
    cr_expect_eq(rows.n, 1);
    cr_expect_eq(rows.rows[0].view, 1);
    free(large);
    json_decref(doc);
    view_rows_fini(&rows);
    view_design_free(design);
}
