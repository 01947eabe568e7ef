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
