/* _find, _explain and _index over a real store. The documents and many of the queries are those of
 * CouchDB's own tests (src/mango/test: 02-basic-find, 05-index-selection, 12-use-correct-index,
 * 14-json-pagination, 16-index-selectors, 21-empty-selector, 23-explain-indexes). Over 500 lines:
 * all of it speaks through the same few helpers at the top. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(find, .init = setup, .fini = teardown, .timeout = 60);

static void put(const char *id, const char *body)
{
    char target[128], rev[64];

    snprintf(target, sizeof(target), "/db/%s", id);
    put_doc(&documents, target, body, rev);
}

/* Five people. */
static void put_people(void)
{
    put("a1",
        "{\"name\":\"Jimi\",\"age\":27,\"location\":{\"city\":\"Seattle\"},\"tags\":[\"x\"]}");
    put("a2", "{\"name\":\"Eddie\",\"age\":65,\"location\":{\"city\":\"Paris\"},\"tags\":[]}");
    put("b1", "{\"name\":\"Harry\",\"age\":21}");
    put("b2", "{\"name\":\"Eddie\",\"age\":37,\"twitter\":null}");
    put("c1", "{\"name\":\"Jones\",\"age\":\"old\",\"twitter\":\"@j\"}");
    put("_design/other", "{\"language\":\"query\",\"name\":\"Eddie\",\"age\":1}");
}

static struct call *query(const char *target, const char *body)
{
    struct call *made = call_begin(&documents, METHOD_POST, target, bytes_of(body, strlen(body)));

    call_start(made);
    call_run(made);
    return made;
}

/* The ids found, in their order, with blanks between. */
static void finds(const char *body, const char *expected)
{
    struct call *made = call(&documents, METHOD_POST, "/db/_find", body);
    char got[1024] = "";
    json_t *json;
    size_t i;

    cr_assert_eq(made->status, 200, "%s: %s", body, call_text(made));
    json = call_json(made);
    for (i = 0; i < json_array_size(json_object_get(json, "docs")); i++) {
        const json_t *doc = json_array_get(json_object_get(json, "docs"), i);
        const char *id = json_string_value(json_object_get(doc, "_id"));

        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", i == 0 ? "" : " ",
                 id == NULL ? "?" : id);
    }
    cr_expect_str_eq(got, expected, "%s: %s", body, call_text(made));
    json_decref(json);
    call_free(made);
}

static json_t *reply_of(const char *target, const char *body)
{
    struct call *made = query(target, body);
    json_t *json;

    cr_assert_eq(made->status, 200, "%s: %s", body, call_text(made));
    json = call_json(made);
    call_free(made);
    return json;
}

static void refuses(const char *target, const char *body, int status, const char *error,
                    const char *reason)
{
    expect_error(&documents, METHOD_POST, target, body, status, error, reason);
}

static void make_index(const char *body, const char *result)
{
    json_t *json = reply_of("/db/_index", body);

    cr_expect_str_eq(json_string_value(json_object_get(json, "result")), result, "%s", body);
    json_decref(json);
}

/* "ddoc/name" of the index that would be used. */
static void uses(const char *body, const char *expected)
{
    json_t *json = reply_of("/db/_explain", body), *index = json_object_get(json, "index");
    const char *ddoc = json_string_value(json_object_get(index, "ddoc"));
    char got[256];

    snprintf(got, sizeof(got), "%s/%s", ddoc == NULL ? "-" : ddoc + strlen("_design/"),
             json_string_value(json_object_get(index, "name")));
    cr_expect_str_eq(got, expected, "%s: %s", body, got);
    json_decref(json);
}

static void warns(const char *body, const char *expected)
{
    json_t *json = reply_of("/db/_find", body);
    const char *warning = json_string_value(json_object_get(json, "warning"));

    if (expected == NULL)
        cr_expect(warning == NULL, "%s: %s", body, warning);
    else
        cr_expect(warning != NULL && strstr(warning, expected) != NULL, "%s: %s", body,
                  warning == NULL ? "no warning" : warning);
    json_decref(json);
}

Test(find, documents_that_match_come_in_the_order_of_their_ids)
{
    put_people();
    finds("{\"selector\":{}}", "a1 a2 b1 b2 c1");
    finds("{\"selector\":{\"name\":\"Eddie\"}}", "a2 b2");
    finds("{\"selector\":{\"age\":{\"$gt\":30}}}", "a2 b2 c1");
    finds("{\"selector\":{\"location.city\":\"Paris\"}}", "a2");
    finds("{\"selector\":{\"location\":{\"city\":\"Paris\"}}}", "a2");
    finds("{\"selector\":{\"twitter\":{\"$exists\":false}}}", "a1 a2 b1");
    finds("{\"selector\":{\"twitter\":null}}", "b2");
    finds("{\"selector\":{\"$or\":[{\"age\":21},{\"age\":27}]}}", "a1 b1");
    finds("{\"selector\":{\"_rev\":{\"$regex\":\"^1-\"}}}", "a1 a2 b1 b2 c1");
    finds("{\"selector\":{\"$and\":[{\"age\":{\"$gt\":0}},{\"age\":{\"$lt\":0}}]}}", "");
    finds("{\"selector\":{\"$or\":[]}}", "");
    finds("{\"selector\":{\"age\":27,\"$or\":[]}}", "a1");
}

Test(find, ids_narrow_what_is_read)
{
    json_t *json, *stats;

    put_people();
    finds("{\"selector\":{\"_id\":\"b1\"}}", "b1");
    finds("{\"selector\":{\"_id\":{\"$gt\":\"a2\"}}}", "b1 b2 c1");
    finds("{\"selector\":{\"_id\":{\"$gte\":\"a2\",\"$lt\":\"c\"}}}", "a2 b1 b2");
    finds("{\"selector\":{\"_id\":{\"$gt\":null}},\"sort\":[\"_id\"]}", "a1 a2 b1 b2 c1");
    finds("{\"selector\":{\"_id\":{\"$gt\":\"a1\"}},\"sort\":[{\"_id\":\"desc\"}]}", "c1 b2 b1 a2");
    finds("{\"selector\":{\"_id\":{\"$beginsWith\":\"b\"}}}", "b1 b2");
    finds("{\"selector\":{\"_id\":{\"$lt\":[]}}}", "");
    json = reply_of("/db/_find", "{\"selector\":{\"_id\":{\"$gt\":\"a2\",\"$lt\":\"c\"}},"
                                 "\"execution_stats\":true}");
    stats = json_object_get(json, "execution_stats");
    cr_expect_eq(json_integer_value(json_object_get(stats, "total_docs_examined")), 3);
    cr_expect_eq(json_integer_value(json_object_get(stats, "results_returned")), 2);
    cr_expect(json_is_real(json_object_get(stats, "execution_time_ms")));
    json_decref(json);
}

Test(find, limit_skip_and_bookmarks_make_pages)
{
    const char *const bodies[] = {"{\"selector\":{},\"limit\":2%s}",
                                  "{\"selector\":{\"_id\":{\"$gt\":null}},\"sort\":[{\"_id\":"
                                  "\"desc\"}],\"limit\":2%s}"};
    const char *const pages[][4] = {{"a1 a2", "b1 b2", "c1", ""}, {"c1 b2", "b1 a2", "a1", ""}};
    size_t i, page;

    put_people();
    finds("{\"selector\":{},\"limit\":0}", "");
    finds("{\"selector\":{},\"limit\":3}", "a1 a2 b1");
    finds("{\"selector\":{},\"skip\":3}", "b2 c1");
    finds("{\"selector\":{},\"skip\":3,\"limit\":1}", "b2");
    finds("{\"selector\":{},\"skip\":9}", "");
    for (i = 0; i < 2; i++) {
        char bookmark[512] = "";

        for (page = 0; page < 4; page++) {
            char body[1024], member[600] = "";
            json_t *json;

            if (bookmark[0] != '\0')
                snprintf(member, sizeof(member), ",\"bookmark\":\"%s\"", bookmark);
            snprintf(body, sizeof(body), bodies[i], member);
            finds(body, pages[i][page]);
            json = reply_of("/db/_find", body);
            snprintf(bookmark, sizeof(bookmark), "%s",
                     json_string_value(json_object_get(json, "bookmark")));
            json_decref(json);
        }
    }
    refuses("/db/_find", "{\"selector\":{},\"bookmark\":\"bogus!\"}", 400, "invalid_bookmark",
            "Invalid bookmark value: \"bogus!\"");
    finds("{\"selector\":{},\"bookmark\":\"nil\"}", "a1 a2 b1 b2 c1");
}

Test(find, fields_are_cut_out)
{
    put_people();
    expect(&documents, METHOD_POST, "/db/_find",
           "{\"selector\":{\"_id\":\"a1\"},\"fields\":[\"name\",\"location.city\",\"tags.0\","
           "\"none\",\"name.first\"]}",
           200, NULL);
    {
        json_t *json = reply_of("/db/_find", "{\"selector\":{\"_id\":\"a1\"},\"fields\":[\"name\","
                                             "\"location.city\",\"tags.0\",\"none\"]}");
        json_t *expected = json_loads("{\"name\":\"Jimi\",\"location\":{\"city\":\"Seattle\"},"
                                      "\"tags\":{\"0\":\"x\"}}",
                                      0, NULL);

        cr_expect(json_equal(json_array_get(json_object_get(json, "docs"), 0), expected));
        json_decref(json);
        json_decref(expected);
    }
}

Test(find, a_wish_that_is_wrong_is_told_in_couchdbs_words)
{
    refuses("/db/_find", "[]", 400, "bad_request", "Request body must be a JSON object");
    refuses("/db/_find", "{}", 400, "missing_required_key", "Missing required key: selector");
    refuses("/db/_find", "{\"selector\":1}", 400, "invalid_selector_json",
            "Selector must be a JSON object, not: 1");
    refuses("/db/_find", "{\"selector\":{\"$gt\":2}}", 400, "invalid_selector",
            "One or more conditions is missing a field name.");
    refuses("/db/_find", "{\"selector\":{},\"limit\":-1}", 400, "invalid_non_neg_integer",
            "-1 is not an integer greater than or equal to zero");
    refuses("/db/_find", "{\"selector\":{},\"skip\":1.2}", 400, "invalid_non_neg_integer",
            "1.2 is not an integer greater than or equal to zero");
    refuses("/db/_find", "{\"selector\":{},\"r\":0}", 400, "invalid_pos_integer",
            "0 is not an integer greater than zero");
    refuses("/db/_find", "{\"selector\":{},\"conflicts\":\"x\"}", 400, "invalid_boolean",
            "Invalid boolean value: \"x\"");
    refuses("/db/_find", "{\"selector\":{},\"fields\":\"x\"}", 400, "invalid_fields",
            "Fields must be an array of strings, not: \"x\"");
    refuses("/db/_find", "{\"selector\":{},\"fields\":[\"foo\",2.0]}", 400, "invalid_field",
            "Invalid JSON for field spec: 2.0");
    refuses("/db/_find", "{\"selector\":{},\"sort\":{\"a\":\"asc\"}}", 400, "invalid_sort_json",
            "Sort must be an array of sort specs, not: {\"a\":\"asc\"}");
    refuses("/db/_find", "{\"selector\":{},\"sort\":[{\"a\":\"asc\"},{\"b\":\"desc\"}]}", 400,
            "unsupported_mixed_sort",
            "Sorts currently only support a single direction for all fields.");
    refuses("/db/_find", "{\"selector\":{},\"sort\":[2]}", 400, "invalid_sort_field",
            "Invalid sort field: 2");
    refuses("/db/_find", "{\"selector\":{},\"bogus\":1}", 400, "invalid_key",
            "Invalid key bogus for this request.");
    refuses("/db/_find", "{\"selector\":{\"a\":1},\"sort\":[\"a\"]}", 400, "no_usable_index",
            "No index exists for this sort, try indexing by the sort fields.");
    refuses("/db/_find", "{\"selector\":{},\"use_index\":[1]}", 400, "invalid_index_name",
            "Invalid index name: [1]");
    refuses("/none/_find", "{\"selector\":{}}", 404, "not_found", "Database does not exist.");
}

Test(find, indexes_are_made_listed_and_removed)
{
    struct call *made;
    char id[128], target[300];
    json_t *json;

    make_index("{\"index\":{\"fields\":[\"foo\",\"bar\"]},\"name\":\"idx_01\",\"ddoc\":\"d\"}",
               "created");
    make_index("{\"index\":{\"fields\":[\"foo\",\"bar\"]},\"name\":\"idx_01\",\"ddoc\":\"d\"}",
               "exists");
    make_index("{\"index\":{\"fields\":[{\"baz\":\"desc\"}]},\"name\":\"idx_02\",\"ddoc\":"
               "\"_design/d\"}",
               "created");
    json = reply_of("/db/_index", "{\"index\":{\"fields\":[\"auto\"],\"partial_filter_selector\":{"
                                  "\"a\":{\"$gt\":1}}}}");
    snprintf(id, sizeof(id), "%s", json_string_value(json_object_get(json, "id")));
    cr_expect_eq(strlen(id), strlen("_design/") + 40);
    cr_expect_str_eq(json_string_value(json_object_get(json, "name")), id + strlen("_design/"));
    json_decref(json);
    made = call(&documents, METHOD_GET, "/db/_index", NULL);
    json = call_json(made);
    cr_expect_eq(json_integer_value(json_object_get(json, "total_rows")), 4);
    {
        json_t *expected = json_loads(
            "[{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\",\"def\":{\"fields\":[{"
            "\"_id\":\"asc\"}]}},{\"ddoc\":\"_design/d\",\"name\":\"idx_01\",\"type\":\"json\","
            "\"partitioned\":false,\"def\":{\"fields\":[{\"foo\":\"asc\"},{\"bar\":\"asc\"}]}},{"
            "\"ddoc\":\"_design/d\",\"name\":\"idx_02\",\"type\":\"json\",\"partitioned\":false,"
            "\"def\":{\"fields\":[{\"baz\":\"desc\"}]}}]",
            0, NULL);
        json_t *rows = json_object_get(json, "indexes"), *found = json_array(), *row;
        size_t i;

        json_array_foreach(rows, i, row)
        {
            const char *ddoc = json_string_value(json_object_get(row, "ddoc"));

            if (ddoc == NULL || strcmp(ddoc, id) != 0)
                json_array_append(found, row);
        }
        cr_expect(json_equal(found, expected), "%s", call_text(made));
        json_decref(found);
        json_decref(expected);
    }
    json_decref(json);
    call_free(made);
    expect(&documents, METHOD_DELETE, "/db/_index/d/json/none", NULL, 404, NULL);
    expect(&documents, METHOD_DELETE, "/db/_index/none/json/idx_01", NULL, 404, NULL);
    expect(&documents, METHOD_DELETE, "/db/_index/d/text/idx_01", NULL, 404, NULL);
    expect(&documents, METHOD_DELETE, "/db/_index/d/json/idx_01", NULL, 200, "{\"ok\":true}");
    expect(&documents, METHOD_GET, "/db/_design/d", NULL, 200, NULL);
    expect(&documents, METHOD_DELETE, "/db/_index/_design%2Fd/json/idx_02", NULL, 200,
           "{\"ok\":true}");
    expect(&documents, METHOD_GET, "/db/_design/d", NULL, 404, NULL);
    snprintf(target, sizeof(target), "/db/_index/_design/%s/json/%s", id + strlen("_design/"),
             id + strlen("_design/"));
    expect(&documents, METHOD_DELETE, target, NULL, 200, "{\"ok\":true}");
    expect(&documents, METHOD_GET, "/db/_index", NULL, 200, NULL);
    make_index("{\"index\":{\"fields\":[\"foo\"]},\"ddoc\":\"d\",\"name\":\"again\"}", "created");
}

Test(find, several_indexes_go_at_once)
{
    json_t *json;

    make_index("{\"index\":{\"fields\":[\"a\"]},\"ddoc\":\"one\",\"name\":\"n\"}", "created");
    make_index("{\"index\":{\"fields\":[\"b\"]},\"ddoc\":\"one\",\"name\":\"m\"}", "created");
    make_index("{\"index\":{\"fields\":[\"c\"]},\"ddoc\":\"two\",\"name\":\"n\"}", "created");
    json = reply_of("/db/_index/_bulk_delete",
                    "{\"docids\":[\"_design/one\",\"two\",\"_design/none\"],\"w\":3}");
    cr_expect_eq(json_array_size(json_object_get(json, "success")), 2);
    cr_expect_str_eq(
        json_string_value(json_object_get(json_array_get(json_object_get(json, "fail"), 0), "id")),
        "_design/none");
    json_decref(json);
    expect(&documents, METHOD_GET, "/db/_design/one", NULL, 404, NULL);
}

Test(find, an_index_that_is_wrong_is_refused)
{
    refuses("/db/_index", "{}", 400, "missing_required_key", "Missing required key: index");
    refuses("/db/_index", "{\"index\":{}}", 400, "missing_required_key",
            "Missing required key: fields");
    refuses("/db/_index", "{\"index\":1}", 400, "invalid_index",
            "JSON indexes must be an object, not: 1");
    refuses("/db/_index", "{\"index\":{\"fields\":\"bing\"}}", 400, "invalid_sort_json",
            "Sort must be an array of sort specs, not: \"bing\"");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"\"]}}", 400, "invalid_sort_field",
            "Invalid sort field: \"\"");
    refuses("/db/_index", "{\"index\":{\"fields\":[{\"foo\":2}]}}", 400, "invalid_sort_dir",
            "Invalid sort direction: {\"foo\":2}");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"],\"selector\":{}}}", 400, "invalid_key",
            "Invalid key selector for this request.");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"],\"partial_filter_selector\":{\"$x\":1}}}",
            400, "invalid_operator", "Invalid operator: $x");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"]},\"type\":\"geo\"}", 400, "invalid_index",
            "Invalid type for index: geo");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"]},\"type\":\"text\"}", 503,
            "required index service unavailable", "text");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"]},\"name\":\"\"}", 400,
            "invalid_index_name", "Invalid index name: \"\"");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"]},\"ddoc\":true}", 400, "invalid_string",
            "Invalid string: true");
    put("_design/js", "{\"language\":\"javascript\"}");
    refuses("/db/_index", "{\"index\":{\"fields\":[\"a\"]},\"ddoc\":\"js\"}", 400,
            "invalid_ddoc_lang", "Existing design doc has an invalid language: \"javascript\"");
}

static void make_indexes(const char *const *fields, const char *const *ddocs, size_t n)
{
    char body[256];
    size_t i;

    for (i = 0; i < n; i++) {
        snprintf(body, sizeof(body), "{\"index\":{\"fields\":[%s]},\"ddoc\":\"%s\",\"name\":\"i\"}",
                 fields[i], ddocs[i]);
        make_index(body, "created");
    }
}

Test(find, the_index_is_chosen_as_couchdb_does)
{
    static const char *const fields[] = {"\"name\",\"age\",\"user_id\"", "\"name\",\"age\"",
                                         "\"name\"", "\"company\",\"manager\"", "\"rank\",\"_id\""};
    static const char *const ddocs[] = {"aaa", "bbb", "zzz", "cm", "rid"};

    make_indexes(fields, ddocs, 5);
    uses("{\"selector\":{\"name\":\"Eddie\"}}", "zzz/i");
    uses("{\"selector\":{\"name\":\"Eddie\",\"age\":{\"$gte\":12}}}", "bbb/i");
    uses("{\"selector\":{\"name\":\"Eddie\",\"age\":1,\"user_id\":{\"$gt\":0}}}", "aaa/i");
    uses("{\"selector\":{\"name\":\"Eddie\",\"number\":{\"$lte\":12}}}", "zzz/i");
    uses("{\"selector\":{\"name\":{\"$exists\":true}}}", "zzz/i");
    uses("{\"selector\":{\"company\":\"x\"}}", "-/_all_docs");
    uses("{\"selector\":{\"company\":\"x\",\"manager\":{\"$exists\":false}}}", "-/_all_docs");
    uses("{\"selector\":{\"company\":{\"$gt\":\"a\"},\"$or\":[{\"manager\":1},{\"manager\":2}]}}",
         "cm/i");
    uses("{\"selector\":{\"rank\":1}}", "rid/i");
    uses("{\"selector\":{}}", "-/_all_docs");
    uses("{\"selector\":{\"_id\":{\"$gt\":0},\"age\":1},\"sort\":[\"_id\"]}", "-/_all_docs");
    uses("{\"selector\":{\"name\":\"Eddie\"},\"sort\":[\"age\"]}", "bbb/i");
    uses("{\"selector\":{\"name\":{\"$gt\":\"a\"}},\"sort\":[\"name\",\"age\"]}", "bbb/i");
    uses("{\"selector\":{\"name\":\"Eddie\"},\"use_index\":\"aaa\"}", "zzz/i");
    uses("{\"selector\":{\"name\":\"Eddie\",\"age\":3},\"use_index\":\"_design/zzz\"}", "zzz/i");
    uses("{\"selector\":{\"name\":\"Eddie\",\"age\":3},\"use_index\":[\"zzz\",\"i\"]}", "zzz/i");
    refuses("/db/_find", "{\"selector\":{\"name\":{\"$gt\":1}},\"sort\":[\"age\"]}", 400,
            "no_usable_index", "No index exists for this sort, try indexing by the sort fields.");
    refuses("/db/_find",
            "{\"selector\":{\"company\":\"x\"},\"use_index\":\"cm\",\"allow_fallback\":false}", 400,
            "no_usable_index",
            "_design/cm was not used because it does not contain a valid index for this query.\nNo "
            "matching index found, create an index to optimize query time.");
}

Test(find, equal_indexes_are_chosen_by_name)
{
    static const char *const fields[] = {"\"name\"", "\"name\"", "\"name\""};
    static const char *const ddocs[] = {"bbb", "aaa", "zzz"};

    make_indexes(fields, ddocs, 3);
    uses("{\"selector\":{\"name\":\"Eddie\",\"age\":{\"$gte\":12}}}", "aaa/i");
}

Test(find, a_partial_index_is_used_only_when_it_is_wished_for)
{
    make_index("{\"index\":{\"fields\":[\"location\"],\"partial_filter_selector\":{\"location\":{"
               "\"$gte\":\"FRA\"}}},\"ddoc\":\"Selected\",\"name\":\"Selected\"}",
               "created");
    uses("{\"selector\":{\"location\":{\"$gte\":\"FRA\"}}}", "-/_all_docs");
    uses("{\"selector\":{\"location\":{\"$gte\":\"FRA\"}},\"use_index\":\"Selected\"}",
         "Selected/Selected");
    uses("{\"selector\":{\"location\":{\"$exists\":true}},\"use_index\":\"Selected\"}",
         "Selected/Selected");
}

Test(find, warnings)
{
    put_people();
    warns("{\"selector\":{\"name\":\"x\"}}",
          "No matching index found, create an index to optimize");
    warns("{\"selector\":{\"name\":\"Eddie\"},\"use_index\":\"nope\"}",
          "_design/nope was not used because it does not contain a valid index for this query.");
    warns("{\"selector\":{\"name\":\"Eddie\"},\"use_index\":[\"nope\",\"v\"]}",
          "_design/nope, v was not used because it is not a valid index for this query.");
}

Test(find, explain_tells_ranges_and_candidates)
{
    static const char *const fields[] = {"\"age\"", "\"twitter\"", "\"user_id\""};
    static const char *const ddocs[] = {"age", "twitter", "user_id"};
    json_t *json, *expected;

    make_indexes(fields, ddocs, 3);
    json =
        reply_of("/db/_explain", "{\"selector\":{\"age\":{\"$gt\":0}},\"fields\":[\"manager\"]}");
    expected = json_loads(
        "{\"include_docs\":true,\"view_type\":\"map\",\"reduce\":false,\"partition\":null,"
        "\"start_key\":[0],\"end_key\":[\"<MAX>\"],\"direction\":\"fwd\",\"stable\":false,"
        "\"update\":true,\"conflicts\":null}",
        0, NULL);
    cr_expect(json_equal(json_object_get(json, "mrargs"), expected));
    json_decref(expected);
    expected = json_loads(
        "[{\"index\":{\"ddoc\":\"_design/user_id\",\"name\":\"i\",\"type\":\"json\","
        "\"partitioned\":false,\"def\":{\"fields\":[{\"user_id\":\"asc\"}]}},\"analysis\":{"
        "\"usable\":false,\"reasons\":[{\"name\":\"field_mismatch\"}],\"ranking\":2,\"covering\":"
        "false}},{\"index\":{\"ddoc\":\"_design/twitter\",\"name\":\"i\",\"type\":\"json\","
        "\"partitioned\":false,\"def\":{\"fields\":[{\"twitter\":\"asc\"}]}},\"analysis\":{"
        "\"usable\":false,\"reasons\":[{\"name\":\"field_mismatch\"}],\"ranking\":2,\"covering\":"
        "false}},{\"index\":{\"ddoc\":null,\"name\":\"_all_docs\",\"type\":\"special\",\"def\":{"
        "\"fields\":[{\"_id\":\"asc\"}]}},\"analysis\":{\"usable\":true,\"reasons\":[{\"name\":"
        "\"unfavored_type\"}],\"ranking\":1,\"covering\":null}}]",
        0, NULL);
    cr_expect(json_equal(json_object_get(json, "index_candidates"), expected));
    json_decref(expected);
    cr_expect_str_eq(json_string_value(json_object_get(json, "dbname")), "db");
    json_decref(json);
    json = reply_of("/db/_explain", "{\"selector\":{\"foo\":{\"$beginsWith\":\"a\"}}}");
    cr_expect(json_is_null(json_object_get(json_object_get(json, "mrargs"), "start_key")));
    cr_expect_str_eq(json_string_value(json_object_get(json_object_get(json, "mrargs"), "end_key")),
                     "<MAX>");
    json_decref(json);
    json = reply_of("/db/_explain", "{\"selector\":{\"age\":1},\"sort\":[\"company\"]}");
    cr_expect(json_is_null(json_object_get(json, "index")));
    json_decref(json);
}

Test(find, an_index_answers_in_its_order)
{
    static const char *const fields[] = {"\"age\"", "\"name\",\"age\""};
    static const char *const ddocs[] = {"age", "na"};
    json_t *json, *stats;

    put_people();
    make_indexes(fields, ddocs, 2);
    finds("{\"selector\":{\"age\":{\"$gt\":0}}}", "b1 a1 b2 a2 c1");
    finds("{\"selector\":{\"age\":{\"$gt\":0}},\"sort\":[{\"age\":\"desc\"}]}", "c1 a2 b2 a1 b1");
    finds("{\"selector\":{\"age\":{\"$gt\":21,\"$lt\":65}}}", "a1 b2");
    finds("{\"selector\":{\"age\":{\"$gte\":21,\"$lte\":65}}}", "b1 a1 b2 a2");
    finds("{\"selector\":{\"age\":37}}", "b2");
    finds("{\"selector\":{\"age\":{\"$beginsWith\":\"o\"}}}", "c1");
    finds("{\"selector\":{\"name\":\"Eddie\",\"age\":{\"$gt\":1}}}", "b2 a2");
    finds("{\"selector\":{\"name\":\"Eddie\",\"age\":{\"$gt\":1}},\"sort\":[{\"age\":\"desc\"}]}",
          "a2 b2");
    finds("{\"selector\":{\"name\":{\"$gt\":\"F\"},\"age\":{\"$exists\":true}}}", "b1 a1 c1");
    finds("{\"selector\":{\"age\":{\"$gt\":0},\"twitter\":{\"$exists\":true}}}", "b2 c1");
    json = reply_of("/db/_find",
                    "{\"selector\":{\"age\":{\"$gt\":30}},\"execution_stats\":true,\"limit\":1}");
    stats = json_object_get(json, "execution_stats");
    cr_expect_eq(json_integer_value(json_object_get(stats, "total_keys_examined")), 1);
    cr_expect_eq(json_integer_value(json_object_get(stats, "total_docs_examined")), 1);
    cr_expect(json_object_get(json, "warning") == NULL);
    json_decref(json);
}

Test(find, an_index_is_current_and_its_pages_too)
{
    static const char *const fields[] = {"\"n\""};
    static const char *const ddocs[] = {"n"};
    char id[16], body[64], rev[64], target[128], bookmark[600] = "";
    json_t *json;
    int i;

    make_indexes(fields, ddocs, 1);
    finds("{\"selector\":{\"n\":{\"$gt\":0}}}", "");
    for (i = 1; i <= 6; i++) {
        snprintf(id, sizeof(id), "d%d", i);
        snprintf(body, sizeof(body), "{\"n\":%d}", i / 3 + 1); /* 1 1 2 2 2 3 */
        snprintf(target, sizeof(target), "/db/%s", id);
        put_doc(&documents, target, body, rev);
    }
    finds("{\"selector\":{\"n\":{\"$gt\":0}}}", "d1 d2 d3 d4 d5 d6");
    for (i = 0; i < 4; i++) {
        static const char *const pages[] = {"d1 d2", "d3 d4", "d5 d6", ""};
        char query_text[800];

        snprintf(query_text, sizeof(query_text),
                 "{\"selector\":{\"n\":{\"$gt\":0}},\"limit\":2,\"bookmark\":\"%s\"}", bookmark);
        finds(query_text, pages[i]);
        json = reply_of("/db/_find", query_text);
        snprintf(bookmark, sizeof(bookmark), "%s",
                 json_string_value(json_object_get(json, "bookmark")));
        json_decref(json);
    }
    finds("{\"selector\":{\"n\":{\"$gt\":0}},\"limit\":3,\"skip\":1,\"sort\":[{\"n\":\"desc\"}]}",
          "d5 d4 d3");
    snprintf(target, sizeof(target), "/db/d6?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    finds("{\"selector\":{\"n\":{\"$gte\":2}}}", "d3 d4 d5");
    snprintf(target, sizeof(target),
             "{\"selector\":{\"n\":{\"$gt\":0}},\"bookmark\":\"WyJhIl0=\"}"); /* ["a"] */
    refuses("/db/_find", target, 400, "invalid_bookmark", "Invalid bookmark value: \"WyJhIl0=\"");
}

Test(find, a_partial_index_has_only_its_documents)
{
    put_people();
    make_index("{\"index\":{\"fields\":[\"name\"],\"partial_filter_selector\":{\"age\":{\"$lt\":"
               "40}}},\"ddoc\":\"young\",\"name\":\"young\"}",
               "created");
    finds("{\"selector\":{\"name\":{\"$gt\":null}}}", "a1 a2 b1 b2 c1");
    finds("{\"selector\":{\"name\":{\"$gt\":null}},\"use_index\":\"young\"}", "b2 b1 a1");
}

Test(find, a_design_document_that_is_wrong_offers_no_index)
{
    put_people();
    make_index("{\"index\":{\"fields\":[\"name\"]},\"ddoc\":\"d\",\"name\":\"n\"}", "created");
    uses("{\"selector\":{\"name\":\"Eddie\"}}", "d/n");
    put("_design/wrong", "{\"language\":\"query\",\"views\":{\"a\":{\"map\":{\"fields\":{\"age\":"
                         "\"asc\"}},\"options\":{}},\"b\":{\"map\":{\"fields\":[]}}}}");
    uses("{\"selector\":{\"age\":21}}", "-/_all_docs");
    finds("{\"selector\":{\"age\":21}}", "b1");
}

Test(find, a_document_that_takes_too_long_is_left_out_and_told_of)
{
    struct buf body = BUF_INIT(4 * MIB), selector = BUF_INIT(4 * MIB);
    char rev[64];
    int i;

    buf_put_str(&body, "{\"a\":[0");
    for (i = 0; i < 50000; i++)
        buf_put_str(&body, ",0");
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    put_doc(&documents, "/db/heavy", (const char *)body.data, rev);
    put("light", "{\"a\":[-1]}");
    buf_put_str(&selector, "{\"selector\":{\"$or\":[{\"a\":{\"$elemMatch\":{\"$eq\":-1}}}");
    for (i = 2; i < 100; i++)
        buf_printf(&selector, ",{\"a\":{\"$elemMatch\":{\"$eq\":-%d}}}", i);
    buf_put_str(&selector, "]}}");
    buf_put_u8(&selector, 0);
    finds((const char *)selector.data, "light");
    warns((const char *)selector.data, "1 documents are left out");
    buf_fini(&body);
    buf_fini(&selector);
}
