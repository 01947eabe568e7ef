/* Views by their handlers, over a real store: what CouchDB's own tests of views ask for. More than
 * 500 lines, since all of it begins with the same design document. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "documents_fixture.h"
#include "doc/json.h"
#include "audit/audit.h"
#include "service/keys/reencrypt.h"
#include "service/tasks.h"
#include "service/query/views.h"

static struct documents documents;

static const char DESIGN[] =
    "{\"language\":\"query\",\"views\":{"
    "\"n\":{\"map\":{\"fields\":\"n\"}},"
    "\"pair\":{\"map\":{\"fields\":[\"a\",\"b\"],\"value\":\"n\"},\"reduce\":\"_sum\"},"
    "\"count\":{\"map\":{\"fields\":\"a\"},\"reduce\":\"_count\"},"
    "\"big\":{\"map\":{\"fields\":\"n\",\"selector\":{\"n\":{\"$gt\":5}}}},"
    "\"link\":{\"map\":{\"fields\":\"n\",\"value\":\"to\"}}}}";

static void setup(void)
{
    char rev[64];

    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    put_doc(&documents, "/db/_design/d", DESIGN, rev);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(views, .init = setup, .fini = teardown);

/* Documents 0 to n-1 with {"n":i, "a":i%2, "b":"x" or "y"}. */
static void put_numbers(unsigned n)
{
    char target[32], body[128], rev[64];
    unsigned i;

    for (i = 0; i < n; i++) {
        snprintf(target, sizeof(target), "/db/d%02u", i);
        snprintf(body, sizeof(body), "{\"n\":%u,\"a\":%u,\"b\":\"%c\"}", i, i % 2,
                 i % 3 == 0 ? 'x' : 'y');
        put_doc(&documents, target, body, rev);
    }
}

/* For the caller's free(). */
static char *json_text(const json_t *json)
{
    struct buf out = BUF_INIT(1 * MIB);
    char *text;

    cr_assert_eq(json_write(json, &out), QK_OK);
    buf_put_u8(&out, '\0');
    cr_assert_eq(buf_error(&out), QK_OK);
    text = strdup((const char *)out.data);
    buf_fini(&out);
    return text;
}

static void compact_rows(json_t *rows, char *out, size_t size)
{
    size_t i;
    json_t *row;

    out[0] = '\0';
    json_array_foreach(rows, i, row)
    {
        char *key = json_text(json_object_get(row, "key"));
        char *value = json_text(json_object_get(row, "value"));
        const char *id = json_string_value(json_object_get(row, "id"));

        snprintf(out + strlen(out), size - strlen(out), "%s%s%s%s=%s", i == 0 ? "" : " ",
                 id == NULL ? "" : id, id == NULL ? "" : ":", key, value);
        free(key);
        free(value);
    }
}

/* "total offset rows", of a reduced view "rows": each "id:key=value". */
static void view_is_by(enum method method, const char *target, const char *body,
                       const char *expected)
{
    struct call *made = call(&documents, method, target, body);
    char rows[4096], got[4200];
    json_t *json;

    cr_assert_eq(made->status, 200, "%s: %d %s", target, made->status, call_text(made));
    json = call_json(made);
    compact_rows(json_object_get(json, "rows"), rows, sizeof(rows));
    if (json_object_get(json, "total_rows") == NULL)
        snprintf(got, sizeof(got), "%s", rows);
    else
        snprintf(got, sizeof(got), "%lld %lld %s",
                 json_integer_value(json_object_get(json, "total_rows")),
                 json_integer_value(json_object_get(json, "offset")), rows);
    cr_expect_str_eq(got, expected, "%s", target);
    json_decref(json);
    call_free(made);
}

static void view_is(const char *target, const char *expected)
{
    char path[512];

    snprintf(path, sizeof(path), "/db/_design/d/_view/%s", target);
    view_is_by(METHOD_GET, path, NULL, expected);
}

static void view_fails(const char *target, int status, const char *error, const char *reason)
{
    char path[512];

    snprintf(path, sizeof(path), "/db/_design/d/_view/%s", target);
    expect_error(&documents, METHOD_GET, path, NULL, status, error, reason);
}

Test(views, rows_come_by_key)
{
    put_numbers(4);
    view_is("n", "4 0 d00:0=null d01:1=null d02:2=null d03:3=null");
    view_is("n?descending=true", "4 0 d03:3=null d02:2=null d01:1=null d00:0=null");
    view_is("n?limit=1", "4 0 d00:0=null");
    view_is("n?skip=1&limit=2", "4 1 d01:1=null d02:2=null");
    view_is("n?limit=0", "4 0 ");
    view_is("n?skip=9", "4 4 ");
    view_is("n?key=2", "4 2 d02:2=null");
    view_is("n?key=2.0", "4 2 d02:2=null");
    view_is("n?key=%222%22", "4 4 ");
    view_is("n?startkey=1&endkey=2", "4 1 d01:1=null d02:2=null");
    view_is("n?start_key=1&end_key=2&inclusive_end=false", "4 1 d01:1=null");
    view_is("n?startkey=2&endkey=1&descending=true", "4 1 d02:2=null d01:1=null");
    view_is("n?startkey=2&endkey=1&descending=true&inclusive_end=false", "4 1 d02:2=null");
    view_is("n?keys=[3,1,9,1]", "4 3 d03:3=null d01:1=null d01:1=null");
    view_is("n?keys=[]", "4 0 ");
}

Test(views, rows_of_one_key_are_told_apart_by_document)
{
    put_numbers(6);
    view_is("count?reduce=false&key=0", "6 0 d00:0=null d02:0=null d04:0=null");
    view_is("count?reduce=false&startkey=0&startkey_docid=d02&endkey=0",
            "6 1 d02:0=null d04:0=null");
    view_is("count?reduce=false&startkey=0&endkey=0&endkey_docid=d02", "6 0 d00:0=null d02:0=null");
    view_is("count?reduce=false&startkey=0&endkey=0&endkey_docid=d02&inclusive_end=false",
            "6 0 d00:0=null");
    view_is("count?reduce=false&descending=true&startkey=0&startkey_docid=d02&endkey=0",
            "6 4 d02:0=null d00:0=null");
}

Test(views, a_view_follows_what_is_written)
{
    char rev[64], target[128];

    put_numbers(2);
    view_is("n", "2 0 d00:0=null d01:1=null");
    put_doc(&documents, "/db/new", "{\"n\":0.5}", rev);
    view_is("n", "3 0 d00:0=null new:0.5=null d01:1=null");
    snprintf(target, sizeof(target), "/db/new?rev=%s", rev);
    put_doc(&documents, target, "{\"n\":7}", rev);
    view_is("n?update=false", "3 0 d00:0=null new:0.5=null d01:1=null");
    view_is("n?stale=ok", "3 0 d00:0=null new:0.5=null d01:1=null");
    view_is("n?update=lazy", "3 0 d00:0=null new:0.5=null d01:1=null");
    view_is("n", "3 0 d00:0=null d01:1=null new:7=null");
    view_is("big", "1 0 new:7=null");
    snprintf(target, sizeof(target), "/db/new?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    view_is("n", "2 0 d00:0=null d01:1=null");
}

Test(views, reduces_are_by_group)
{
    put_numbers(6);
    view_is("count", "null=6");
    view_is("count?group=true", "0=3 1=3");
    view_is("count?group=true&descending=true", "1=3 0=3");
    view_is("count?group=true&skip=1", "1=3");
    view_is("count?group=true&limit=1", "0=3");
    view_is("count?group=true&keys=[1,0,5]", "1=3 0=3");
    view_is("count?key=1", "null=3");
    view_is("count?key=5", "");
    view_is("pair", "null=15");
    view_is("pair?group_level=1", "[0]=6 [1]=9");
    view_is("pair?group_level=2", "[0,\"x\"]=0 [0,\"y\"]=6 [1,\"x\"]=3 [1,\"y\"]=6");
    view_is("pair?group=true&startkey=[0,\"y\"]&endkey=[1,\"x\"]", "[0,\"y\"]=6 [1,\"x\"]=3");
    view_is("pair?group_level=1&startkey=[0,\"y\"]", "[0]=6 [1]=9");
    view_is("pair?reduce=false&limit=1", "6 0 d00:[0,\"x\"]=0");
}

/* A reduce over more rows than a turn of the loop takes. */
Test(views, a_large_group_is_summed_over_many_turns)
{
    struct buf body = BUF_INIT(4 * MIB);
    unsigned round, i;

    for (round = 0; round < 2; round++) {
        buf_put_str(&body, "{\"docs\":[");
        for (i = 0; i < 10000; i++)
            buf_printf(&body, "%s{\"_id\":\"%u\",\"a\":0,\"b\":0,\"n\":1}", i == 0 ? "" : ",",
                       round * 10000 + i);
        buf_put_str(&body, "]}");
        buf_put_u8(&body, 0);
        expect(&documents, METHOD_POST, "/db/_bulk_docs", (const char *)body.data, 201, NULL);
        buf_reset(&body);
    }
    view_is("pair", "null=20000");
    view_is("pair?group=true", "[0,0]=20000");
    view_is("pair?reduce=false&skip=19999", "20000 19999 9999:[0,0]=1");
    buf_fini(&body);
}

static void count_turns(uv_check_t *check)
{
    unsigned *turns = check->data;

    *turns += 1;
}

/* An index of 10,000 documents once took one turn of the loop: a timer of 0 that a timer starts
 * fires in the same turn. */
Test(views, a_build_gives_the_loop_back_between_its_slices)
{
    struct buf body = BUF_INIT(4 * MIB);
    unsigned i, turns = 0, before;
    uv_check_t check;

    buf_put_str(&body, "{\"docs\":[");
    for (i = 0; i < 10000; i++)
        buf_printf(&body, "%s{\"_id\":\"%u\",\"n\":1}", i == 0 ? "" : ",", i);
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    expect(&documents, METHOD_POST, "/db/_bulk_docs", (const char *)body.data, 201, NULL);
    buf_fini(&body);
    cr_assert_eq(uv_check_init(&documents.loop, &check), 0);
    check.data = &turns;
    cr_assert_eq(uv_check_start(&check, count_turns), 0);
    view_is("n?limit=0&update=lazy", "0 0 ");
    before = turns;
    view_is("n?limit=0", "10000 0 ");
    cr_expect_geq(turns - before, 5); /* 2,048 documents a slice at most */
    uv_close((uv_handle_t *)&check, NULL);
    uv_run(&documents.loop, UV_RUN_NOWAIT);
}

Test(views, documents_come_along)
{
    struct call *made;
    char rev[64];

    put_doc(&documents, "/db/a", "{\"n\":1,\"to\":{\"_id\":\"b\"}}", rev);
    put_doc(&documents, "/db/b", "{\"n\":2,\"to\":{\"_id\":\"gone\"},\"body\":\"here\"}", rev);
    made = call(&documents, METHOD_GET, "/db/_design/d/_view/link?include_docs=true", NULL);
    cr_assert_eq(made->status, 200);
    cr_expect_not_null(strstr(call_text(made), "{\"id\":\"a\",\"key\":1,\"value\":{\"_id\":\"b\"},"
                                               "\"doc\":{\"_id\":\"b\",\"_rev\":\""));
    cr_expect_not_null(strstr(call_text(made), "\"body\":\"here\"}},"));
    cr_expect_not_null(strstr(call_text(made), "\"value\":{\"_id\":\"gone\"},\"doc\":null}"));
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/_design/d/_view/n?include_docs=true&key=2", NULL);
    cr_expect_not_null(strstr(call_text(made), "\"doc\":{\"_id\":\"b\",\"_rev\":\""));
    call_free(made);
}

Test(views, a_body_asks_as_the_url_does)
{
    put_numbers(4);
    view_is_by(METHOD_POST, "/db/_design/d/_view/n", "{\"keys\":[2,0]}",
               "4 2 d02:2=null d00:0=null");
    view_is_by(METHOD_POST, "/db/_design/d/_view/n?limit=1", "{\"startkey\":1}", "4 1 d01:1=null");
    /* The URL counts where both speak, as in CouchDB (and for _all_docs). */
    view_is_by(METHOD_POST, "/db/_design/d/_view/n?limit=2", "{\"startkey\":1,\"limit\":1}",
               "4 1 d01:1=null d02:2=null");
    expect_error(&documents, METHOD_POST, "/db/_design/d/_view/n", "{\"keys\":{}}", 400,
                 "bad_request", "`keys` member must be an array.");
    expect_error(&documents, METHOD_POST, "/db/_design/d/_view/n", "{\"queries\":[]}", 400,
                 "bad_request", "The `queries` parameter is no longer supported at this endpoint");
    expect_error(&documents, METHOD_POST, "/db/_design/d/_view/n", "[]", 400, "bad_request",
                 "Request body must be a JSON object");
}

Test(views, several_queries_have_several_results)
{
    struct call *made;
    json_t *json;
    char rows[256];

    put_numbers(3);
    made = call(&documents, METHOD_POST, "/db/_design/d/_view/count/queries",
                "{\"queries\":[{\"reduce\":false,\"limit\":1},{\"group\":true},{\"key\":9}]}");
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 3);
    compact_rows(json_object_get(json_array_get(json_object_get(json, "results"), 0), "rows"), rows,
                 sizeof(rows));
    cr_expect_str_eq(rows, "d00:0=null");
    compact_rows(json_object_get(json_array_get(json_object_get(json, "results"), 1), "rows"), rows,
                 sizeof(rows));
    cr_expect_str_eq(rows, "0=2 1=1");
    json_decref(json);
    call_free(made);
    expect_error(&documents, METHOD_POST, "/db/_design/d/_view/n/queries", "{}", 400, "bad_request",
                 "POST body must include `queries` parameter.");
    expect(&documents, METHOD_POST, "/db/_design/d/_view/n/queries", "{\"queries\":[]}", 200,
           "{\"results\":[]}");
}

Test(views, what_makes_no_sense_is_refused_in_couchdbs_words)
{
    view_fails("n?reduce=true", 400, "query_parse_error", "Reduce is invalid for map-only views.");
    view_fails("n?group=true", 400, "query_parse_error", "Invalid use of grouping on a map view.");
    view_fails("n?group_level=1", 400, "query_parse_error",
               "Invalid use of grouping on a map view.");
    view_fails("count?keys=[1]", 400, "query_parse_error",
               "Multi-key fetches for reduce views must use `group=true`");
    view_fails("count?include_docs=true", 400, "query_parse_error",
               "`include_docs` is invalid for reduce");
    view_fails("count?conflicts=true", 400, "query_parse_error",
               "`conflicts` is invalid for reduce views.");
    view_fails("n?keys=[1]&key=1", 400, "query_parse_error",
               "`keys` is incompatible with `key`, `start_key` and `end_key`");
    view_fails("n?startkey=2&endkey=1", 400, "query_parse_error",
               "No rows can match your key range, reverse your start_key and end_key or set "
               "descending=true");
    view_fails("n?startkey=1&endkey=2&descending=true", 400, "query_parse_error",
               "No rows can match your key range, reverse your start_key and end_key or set "
               "descending=false");
    view_fails("n?limit=-1", 400, "query_parse_error",
               "Invalid value for positive integer: \"-1\"");
    view_fails("n?limit=foo", 400, "query_parse_error", "Invalid value for integer: \"foo\"");
    view_fails("n?descending=si", 400, "query_parse_error", "Invalid boolean parameter: \"si\"");
    view_fails("n?update=maybe", 400, "query_parse_error", "Invalid value for `update`.");
    view_fails("n?stale=foo", 400, "query_parse_error", "Invalid value for `stale`.");
    view_fails("nosuch", 404, "not_found", "missing_named_view");
    expect_error(&documents, METHOD_GET, "/db/_design/x/_view/n", NULL, 404, "not_found",
                 "missing");
    expect_error(&documents, METHOD_GET, "/nosuch/_design/x/_view/n", NULL, 404, "not_found",
                 "Database does not exist.");
}

Test(views, design_documents_that_are_wrong_are_refused_when_written_or_asked)
{
    char rev[64];

    expect_error(&documents, METHOD_PUT, "/db/_design/js", "{\"views\":{\"v\":{\"map\":7}}}", 400,
                 "invalid_design_doc", "`views.v.map` field must have string type");
    put_doc(&documents, "/db/_design/q",
            "{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":[]}}}}", rev);
    expect_error(&documents, METHOD_GET, "/db/_design/q/_view/v", NULL, 400, "invalid_design_doc",
                 "View `v`: fields must be the name of a field, or an array or object of names");
    put_doc(&documents, "/db/_design/e", "{\"language\":\"erlang\"}", rev);
    expect_error(&documents, METHOD_GET, "/db/_design/e/_view/v", NULL, 400,
                 "unknown_query_language",
                 "The language of a design document must be query or javascript.");
    put_doc(&documents, "/db/_design/p",
            "{\"language\":\"query\",\"options\":{\"index\":\"fast\"},\"views\":{}}", rev);
    expect_error(&documents, METHOD_GET, "/db/_design/p/_view/v", NULL, 400, "invalid_design_doc",
                 "`options.index` must be memory, plain or blind.");
    put_doc(&documents, "/db/_design/j", "{\"views\":{\"v\":{\"map\":\"function(d){}\"}}}", rev);
    expect_error(&documents, METHOD_GET, "/db/_design/j/_view/v", NULL, 501, "not_implemented",
                 "this node runs no JavaScript: views of language query alone");
}

static json_t *info_of(const char *name)
{
    struct call *made = call(&documents, METHOD_GET, name, NULL);
    json_t *json;

    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    call_free(made);
    return json;
}

Test(views, a_design_document_tells_of_its_index_and_is_cleaned_up)
{
    json_t *info = info_of("/db/_design/d/_info"), *index = json_object_get(info, "view_index");
    char rev[64];

    cr_expect_str_eq(json_string_value(json_object_get(info, "name")), "d");
    cr_expect_str_eq(json_string_value(json_object_get(index, "language")), "query");
    cr_expect_eq(json_integer_value(json_object_get(index, "update_seq")), 0);
    json_decref(info);
    put_numbers(2);
    view_is("n", "2 0 d00:0=null d01:1=null");
    info = info_of("/db/_design/d/_info");
    index = json_object_get(info, "view_index");
    cr_expect_eq(json_integer_value(json_object_get(index, "update_seq")), 3);
    json_decref(info);
    cr_expect_eq(views_groups_n(&documents.service), 1);
    expect(&documents, METHOD_POST, "/db/_view_cleanup", "{}", 202, "{\"ok\":true}");
    cr_expect_eq(views_groups_n(&documents.service), 1);
    expect(&documents, METHOD_POST, "/db/_compact/d", "{}", 202, "{\"ok\":true}");
    expect(&documents, METHOD_POST, "/db/_compact/none", "{}", 404, NULL);
    (void)rev;
}

Test(views, a_changed_design_document_is_another_index)
{
    struct call *made = call(&documents, METHOD_GET, "/db/_design/d", NULL);
    json_t *design = call_json(made), *rows;
    char rev[64], *text;

    call_free(made);
    put_numbers(2);
    view_is("n", "2 0 d00:0=null d01:1=null");
    rows = json_object_get(json_object_get(design, "views"), "n");
    json_object_set_new(rows, "map", json_pack("{s:s}", "fields", "b"));
    text = json_text(design);
    put_doc(&documents, "/db/_design/d", text, rev);
    free(text);
    json_decref(design);
    view_is("n", "2 0 d00:\"x\"=null d01:\"y\"=null");
    cr_expect_eq(views_groups_n(&documents.service), 2);
    expect(&documents, METHOD_POST, "/db/_view_cleanup", "{}", 202, "{\"ok\":true}");
    cr_expect_eq(views_groups_n(&documents.service), 1);
}

Test(views, all_is_gone_when_the_node_seals_or_the_database_goes)
{
    put_numbers(2);
    view_is("n", "2 0 d00:0=null d01:1=null");
    documents_restart(&documents);
    cr_expect_eq(views_groups_n(&documents.service), 0);
    view_is("n", "2 0 d00:0=null d01:1=null");
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    cr_expect_eq(views_groups_n(&documents.service), 0);
}

/* Nothing in the sequence tells of it. */
Test(views, a_purged_document_leaves_its_rows_behind)
{
    char rev[64], body[128];

    put_numbers(2);
    put_doc(&documents, "/db/gone", "{\"n\":5}", rev);
    view_is("n", "3 0 d00:0=null d01:1=null gone:5=null");
    snprintf(body, sizeof(body), "{\"gone\":[\"%s\"]}", rev);
    expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
    view_is("n?update=false", "2 0 d00:0=null d01:1=null");
    view_is("n", "2 0 d00:0=null d01:1=null");
}

Test(views, what_a_destroyed_key_sealed_is_in_no_index)
{
    char rev[64], path[300];

    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    documents_watch_keyring(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"k\"}", 201, NULL);
    put_numbers(1);
    put_doc(&documents, "/db/dark?key_id=k", "{\"n\":5}", rev);
    view_is("n", "2 0 d00:0=null dark:5=null");
    cr_expect_eq(views_groups_n(&documents.service), 1);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"shred\":true}", 200, NULL);
    cr_expect_eq(views_groups_n(&documents.service), 0);
    view_is("n", "1 0 d00:0=null");
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
}

static void replicate_leaf(const char *target, const char *rev)
{
    char body[128];

    snprintf(body, sizeof(body), "{\"_rev\":\"%s\"}", rev);
    expect(&documents, METHOD_PUT, target, body, 201, NULL);
}

/* The idiom that lists all conflicts. Rows are for who may decrypt the winner, so what is under
 * another data key is not told of. */
Test(views, maps_are_told_of_conflicts_under_the_documents_own_key)
{
    char rev[64], path[300];

    documents_watch_keyring(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"k\"}", 201, NULL);
    put_doc(&documents, "/db/_design/c",
            "{\"language\":\"query\",\"views\":{\"c\":{\"map\":{\"fields\":\"_conflicts\"}},"
            "\"d\":{\"map\":{\"fields\":\"_deleted_conflicts\"}}}}",
            rev);
    put_numbers(1);
    replicate_leaf("/db/x?new_edits=false", "2-c");
    view_is_by(METHOD_GET, "/db/_design/c/_view/c", NULL, "0 0 ");
    replicate_leaf("/db/x?new_edits=false&key_id=k", "2-b");
    view_is_by(METHOD_GET, "/db/_design/c/_view/c", NULL, "0 0 ");
    replicate_leaf("/db/x?new_edits=false", "2-a");
    view_is_by(METHOD_GET, "/db/_design/c/_view/c", NULL, "1 0 x:[\"2-a\"]=null");
    expect(&documents, METHOD_PUT, "/db/x?new_edits=false", "{\"_rev\":\"1-d\",\"_deleted\":true}",
           200, NULL);
    view_is_by(METHOD_GET, "/db/_design/c/_view/d", NULL, "1 0 x:[\"1-d\"]=null");
    /* Now the leaf under the other key wins: the others are not for who sees its row. */
    replicate_leaf("/db/x?new_edits=false&key_id=k", "3-e");
    view_is_by(METHOD_GET, "/db/_design/c/_view/c", NULL, "1 0 x:[\"2-b\"]=null");
    view_is_by(METHOD_GET, "/db/_design/c/_view/d", NULL, "0 0 ");
    audit_close(documents.service.audit);
}

Test(views, databases_that_hide_ids_have_views_with_ids)
{
    char rev[64];

    expect(&documents, METHOD_PUT, "/h?ids=hidden", NULL, 201, NULL);
    put_doc(&documents, "/h/_design/d", DESIGN, rev);
    put_doc(&documents, "/h/one", "{\"n\":2,\"to\":{\"_id\":\"two\"}}", rev);
    put_doc(&documents, "/h/two", "{\"n\":1}", rev);
    view_is_by(METHOD_GET, "/h/_design/d/_view/n", NULL, "2 0 two:1=null one:2=null");
    view_is_by(METHOD_GET, "/h/_design/d/_view/n?startkey=1&startkey_docid=u", NULL,
               "2 1 one:2=null");
}

/* The node seals while a query waits for its index. */
Test(views, who_waits_is_told_of_the_seal)
{
    struct call *made;

    put_numbers(3);
    made = call_begin(&documents, METHOD_GET, "/db/_design/d/_view/n", BYTES_NONE);
    call_start(made);
    while (views_groups_n(&documents.service) == 0)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    documents.open = false;
    views_close(&documents.service);
    call_run(made);
    cr_expect_eq(made->status, 503, "%s", call_text(made));
    call_free(made);
    documents.open = true;
    view_is("n", "3 0 d00:0=null d01:1=null d02:2=null");
}

Test(views, a_head_has_no_body)
{
    struct call *made = call(&documents, METHOD_HEAD, "/db/_design/d/_view/n", NULL);

    cr_expect_eq(made->status, 200);
    cr_expect_eq(made->body.len, 0);
    call_free(made);
}

Test(views, more_memory_than_the_setting_allows_is_refused_and_idle_groups_give_way)
{
    char rev[64];

    put_doc(&documents, "/db/_design/e",
            "{\"language\":\"query\",\"views\":{\"n\":{\"map\":{"
            "\"fields\":\"n\"}}}}",
            rev);
    put_numbers(20);
    view_is("n?limit=0", "20 0 ");
    view_is_by(METHOD_GET, "/db/_design/e/_view/n?limit=0", NULL, "20 0 ");
    cr_expect_eq(views_groups_n(&documents.service), 2);
    documents.service.view_bytes_max = views_bytes_all(&documents.service) - 1;
    put_doc(&documents, "/db/x", "{\"n\":1}", rev);
    view_is_by(METHOD_GET, "/db/_design/e/_view/n?limit=0", NULL, "21 0 ");
    cr_expect_eq(views_groups_n(&documents.service), 1);
    documents.service.view_bytes_max = 1;
    put_doc(&documents, "/db/y", "{\"n\":1}", rev);
    expect(&documents, METHOD_GET, "/db/_design/e/_view/n", NULL, 507, NULL);
    cr_expect_eq(views_groups_n(&documents.service), 0);
}

Test(views, tasks_are_listed_while_they_run)
{
    struct task *task;
    json_t *list;

    cr_assert_eq(task_begin(&documents.service, "indexer", &task), QK_OK);
    task_set(task, "database", json_string("db"));
    task_progress(task, 25, 100);
    list = tasks_json(&documents.service);
    cr_assert_eq(json_array_size(list), 1);
    cr_expect_eq(json_integer_value(json_object_get(json_array_get(list, 0), "progress")), 25);
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "type")),
                     "indexer");
    json_decref(list);
    task_end(task);
    list = tasks_json(&documents.service);
    cr_expect_eq(json_array_size(list), 0);
    json_decref(list);
}
