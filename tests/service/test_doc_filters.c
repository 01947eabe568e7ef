/* Filters of feeds of changes. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
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

TestSuite(feed_filters, .init = setup, .fini = teardown);

static void put(const char *id)
{
    char target[128], rev[64];

    snprintf(target, sizeof(target), "/db/%s", id);
    put_doc(&documents, target, "{\"n\":1}", rev);
}

static void rows_are(enum method method, const char *target, const char *body, const char *ids)
{
    struct call *made = call(&documents, method, target, body);
    json_t *json = call_json(made), *rows = json_object_get(json, "results");
    char got[512] = "";
    size_t i;

    cr_assert_eq(made->status, 200, "%s: %s", target, call_text(made));
    for (i = 0; i < json_array_size(rows); i++) {
        strncat(got, i == 0 ? "" : " ", 2);
        strncat(got, json_string_value(json_object_get(json_array_get(rows, i), "id")), 100);
    }
    cr_assert_str_eq(got, ids, "%s", target);
    json_decref(json);
    call_free(made);
}

Test(feed_filters, filters_of_ids_and_of_design_documents)
{
    struct call *made;

    rows_are(METHOD_POST, "/db/_changes?filter=_doc_ids", "{\"doc_ids\":[\"doc1\"]}", "");
    put("doc1");
    put("doc2");
    put("_design%2Ferlang");
    put("doc3");
    rows_are(METHOD_POST, "/db/_changes?filter=_doc_ids",
             "{\"doc_ids\":[\"doc4\",\"doc3\",\"doc1\",\"doc1\"]}", "doc1 doc3");
    rows_are(METHOD_GET, "/db/_changes?filter=_doc_ids&doc_ids=[%22doc3%22]", NULL, "doc3");
    rows_are(METHOD_GET, "/db/_changes?filter=_doc_ids&doc_ids=[]", NULL, "");
    rows_are(METHOD_GET, "/db/_changes?filter=_design", NULL, "_design/erlang");
    rows_are(METHOD_GET, "/db/_changes?filter=", NULL, "doc1 doc2 _design/erlang doc3");
    rows_are(METHOD_POST, "/db/_changes", "{\"doc_ids\":[\"doc1\"]}",
             "doc1 doc2 _design/erlang doc3");
    rows_are(METHOD_GET, "/db/_changes?filter=_doc_ids&doc_ids=[%22doc3%22,%22doc1%22]&limit=1",
             NULL, "doc1");

    made = call_begin(&documents, METHOD_POST,
                      "/db/_changes?filter=_doc_ids&feed=continuous&timeout=60000",
                      bytes_str("{\"doc_ids\":[\"doc1\",\"doc5\"]}"));
    call_start(made);
    call_run_until(made, "\"id\":\"doc1\"");
    put("doc4");
    put("doc5");
    call_run_until(made, "\"id\":\"doc5\"");
    cr_assert_null(strstr(call_text(made), "doc4"));
    call_leave(made);
}

Test(feed_filters, wrong_filters_are_refused_in_couchdbs_words)
{
    static const char IDS[] = "`doc_ids` filter parameter is not a list of doc ids.";

    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_doc_ids", NULL, 400, "bad_request",
                 IDS);
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_doc_ids&doc_ids=7", NULL, 400,
                 "bad_request", IDS);
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_doc_ids", "{\"doc_ids\":[1]}", 400,
                 "bad_request", IDS);
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_doc_ids", "{}", 400, "bad_request",
                 IDS);
    expect(&documents, METHOD_POST, "/db/_changes?filter=_doc_ids", "[", 400, NULL);
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_doc_ids", "[]", 400, "bad_request",
                 "Request body must be a JSON object");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_nothing", NULL, 400, "bad_request",
                 "unknown builtin filter name");
}

static void put_bop(const char *id, const char *bop)
{
    char target[128], rev[64], body[128];

    snprintf(target, sizeof(target), "/db/%s", id);
    snprintf(body, sizeof(body), "{\"bop\":%s,\"deep\":{\"a\":1,\"b\":2}}", bop);
    put_doc(&documents, target, body, rev);
}

Test(feed_filters, a_selector_decides_by_the_document)
{
    struct call *made;
    json_t *json, *doc;

    put_bop("one", "\"foom\"");
    put_bop("two", "false");
    put_bop("bingo", "\"bingo\"");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector",
             "{\"selector\":{\"bop\":{\"$type\":\"string\"}}}", "one bingo");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector", "{\"selector\":{\"_id\":\"two\"}}",
             "two");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector", "{\"selector\":{}}", "one two bingo");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector&style=all_docs&limit=1",
             "{\"selector\":{\"bop\":\"bingo\"}}", "bingo");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector",
             "{\"selector\":{\"_rev\":{\"$beginsWith\":\"2-\"}}}", "");

    made = call(&documents, METHOD_POST, "/db/_changes?filter=_selector&include_docs=true",
                "{\"selector\":{\"bop\":\"bingo\"},\"fields\":[\"_id\",\"deep.b\",\"none\"]}");
    json = call_json(made);
    doc = json_object_get(json_array_get(json_object_get(json, "results"), 0), "doc");
    cr_assert_eq(json_object_size(doc), 2);
    cr_assert_str_eq(json_string_value(json_object_get(doc, "_id")), "bingo");
    cr_assert_eq(json_object_size(json_object_get(doc, "deep")), 1);
    json_decref(json);
    call_free(made);
}

Test(feed_filters, documents_that_are_dear_to_judge_share_the_loop)
{
    struct buf body = BUF_INIT(4 * MIB);
    char target[64], rev[64];
    struct call *made;
    unsigned i;

    buf_put_str(&body, "{\"a\":[");
    for (i = 0; i < 20000; i++)
        buf_printf(&body, "%s%u", i == 0 ? "" : ",", i);
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    for (i = 0; i < 30; i++) {
        snprintf(target, sizeof(target), "/db/d%u", i);
        put_doc(&documents, target, (const char *)body.data, rev);
    }
    made = call(&documents, METHOD_POST, "/db/_changes?filter=_selector",
                "{\"selector\":{\"a\":{\"$elemMatch\":{\"$gt\":30000}}}}");
    cr_assert_eq(made->status, 200);
    cr_assert_geq(made->drains_n, 5, "%zu turns", made->drains_n);
    call_free(made);
    buf_fini(&body);
}

Test(feed_filters, a_longpoll_waits_for_a_document_that_matches)
{
    struct call *made = call_begin(&documents, METHOD_POST,
                                   "/db/_changes?filter=_selector&feed=longpoll&timeout=60000",
                                   bytes_str("{\"selector\":{\"bop\":\"bingo\"}}"));

    call_start(made);
    call_run_until(made, "results");
    put_bop("falsy", "\"\"");
    put_bop("other", "7");
    cr_assert_not(made->ended);
    put_bop("bingo", "\"bingo\"");
    call_run(made);
    cr_assert_not_null(strstr(call_text(made), "\"id\":\"bingo\""));
    cr_assert_null(strstr(call_text(made), "falsy"));
    cr_assert_not_null(strstr(call_text(made), "\"last_seq\":\"3-"));
    call_free(made);
}

Test(feed_filters, a_deleted_document_is_judged_by_what_its_tombstone_says)
{
    char target[128], rev[64];

    put_doc(&documents, "/db/a", "{\"bop\":1}", rev);
    snprintf(target, sizeof(target), "/db/a?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    rows_are(METHOD_POST, "/db/_changes?filter=_selector", "{\"selector\":{\"bop\":1}}", "");
    rows_are(METHOD_POST, "/db/_changes?filter=_selector", "{\"selector\":{\"_deleted\":true}}",
             "a");
}

Test(feed_filters, wrong_selectors_are_refused_in_couchdbs_words)
{
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_selector", NULL, 400, "bad_request",
                 "Selector must be specified in POST payload");
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_selector", "{\"selector\":7}", 400,
                 "bad_request", "Selector error: expected a JSON object");
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_selector", "{}", 400, "bad_request",
                 "Selector error: expected a JSON object");
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_selector",
                 "{\"selector\":{\"a\":{\"$nope\":1}}}", 400, "bad_request",
                 "Invalid operator: $nope");
    expect_error(&documents, METHOD_POST, "/db/_changes?filter=_selector",
                 "{\"selector\":{},\"fields\":\"a\"}", 400, "bad_request",
                 "Selector error: fields must be JSON array");
    expect(&documents, METHOD_POST, "/db/_changes?filter=_selector",
           "{\"selector\":{},\"fields\":[7]}", 400, NULL);
}

Test(feed_filters, a_view_lets_through_what_gives_a_row_in_it)
{
    char rev[64];

    put_doc(&documents, "/db/_design/d",
            "{\"language\":\"query\",\"views\":{\"blah\":{\"map\":{\"fields\":[\"bop\"],"
            "\"selector\":{\"bop\":\"plankton\"}}},\"all\":{\"map\":{\"fields\":[\"n\"]}}}}",
            rev);
    put_bop("blah", "\"plankton\"");
    put_bop("other", "1");
    put("numbered");
    rows_are(METHOD_GET, "/db/_changes?filter=_view&view=d/blah", NULL, "blah");
    rows_are(METHOD_GET, "/db/_changes?filter=_view&view=d/all", NULL, "numbered");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_view", NULL, 400, "bad_request",
                 "`view` filter parameter is not provided.");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_view&view=d", NULL, 400,
                 "bad_request", "`view` must be of the form `designname/viewname`");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_view&view=d/none", NULL, 404,
                 "not_found", "missing json key: none");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_view&view=none/none", NULL, 404,
                 "not_found", "missing");
}

Test(feed_filters, filters_that_are_programs_are_found_missing_or_not_run)
{
    char rev[64];

    put_doc(&documents, "/db/_design/f",
            "{\"filters\":{\"bop\":\"function(doc, req) { return (doc.bop);}\"}}", rev);
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=nothingtosee/bop", NULL, 404,
                 "not_found", "missing");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=f/movealong", NULL, 404, "not_found",
                 "missing json key: movealong");
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=_view&view=f/bop", NULL, 404,
                 "not_found", "missing json key: views");
    expect(&documents, METHOD_GET, "/db/_changes?filter=f/bop", NULL, 501, NULL);
    expect_error(&documents, METHOD_GET, "/db/_changes?filter=f", NULL, 400, "bad_request",
                 "`filter` must be of the form `designname/filtername`");
}
