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

TestSuite(bulk, .init = setup, .fini = teardown);

Test(bulk, each_document_has_its_own_result_and_all_go_in_one_command)
{
    size_t before = documents.submitted_n;
    struct call *made;
    json_t *json;
    char rev[64];

    put_doc(&documents, "/db/old", "{}", rev);
    before = documents.submitted_n;
    made = call(&documents, METHOD_POST, "/db/_bulk_docs",
                "{\"docs\":[{\"_id\":\"a\",\"n\":1},{\"_id\":\"old\"},{\"n\":2},"
                "{\"_id\":\"a\",\"n\":3},{\"_id\":\"k\",\"_key_id\":\"none\"}]}");
    cr_assert_eq(made->status, 201);
    cr_assert_eq(documents.submitted_n, before + 1);
    json = call_json(made);
    cr_assert_eq(json_array_size(json), 5);
    cr_assert(json_is_true(json_object_get(json_array_get(json, 0), "ok")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(json, 1), "error")),
                     "conflict");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(json, 1), "id")), "old");
    cr_assert(json_is_true(json_object_get(json_array_get(json, 2), "ok")));
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(json, 3), "error")),
                     "conflict");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(json, 4), "error")),
                     "bad_request");
    json_decref(json);
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/a", NULL);
    cr_assert_not_null(strstr(call_text(made), "\"n\":1"));
    call_free(made);
}

Test(bulk, deletes_and_empty_requests_work)
{
    char rev[64], body[256];

    put_doc(&documents, "/db/a", "{}", rev);
    snprintf(body, sizeof(body), "{\"docs\":[{\"_id\":\"a\",\"_rev\":\"%s\",\"_deleted\":true}]}",
             rev);
    expect(&documents, METHOD_POST, "/db/_bulk_docs", body, 201, NULL);
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 404, "not_found", "deleted");
    expect(&documents, METHOD_POST, "/db/_bulk_docs", "{\"docs\":[]}", 201, "[]");
}

Test(bulk, wrong_requests_are_refused_whole)
{
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "{}", 400, "bad_request",
                 "POST body must include `docs` parameter.");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "{\"docs\":1}", 400, "bad_request",
                 "`docs` parameter must be an array.");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "[]", 400, "bad_request",
                 "Request body must be a JSON object");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "x", 400, "bad_request",
                 "invalid UTF-8 JSON");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "{\"docs\":[{},1]}", 400, "bad_request",
                 "Document must be a JSON object");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "{\"docs\":[{\"_id\":\"_x\"}]}", 400,
                 "illegal_docid", "Only reserved document ids may start with underscore.");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs", "{\"docs\":[],\"new_edits\":1}", 400,
                 "bad_request", "`new_edits` parameter must be a boolean.");
    expect_error(&documents, METHOD_POST, "/no/_bulk_docs", "{\"docs\":[]}", 404, "not_found",
                 "Database does not exist.");
    expect(&documents, METHOD_POST, "/db/_ensure_full_commit", NULL, 201,
           "{\"ok\":true,\"instance_start_time\":\"0\"}");
}

Test(bulk, local_documents_are_written_and_removed_beside_others)
{
    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           "{\"docs\":[{\"_id\":\"_local/a\",\"n\":1},{\"_id\":\"_local/a\",\"n\":2},"
           "{\"_id\":\"_local/none\",\"_deleted\":true}]}",
           201,
           "[{\"ok\":true,\"id\":\"_local/a\",\"rev\":\"0-1\"},"
           "{\"id\":\"_local/a\",\"error\":\"conflict\",\"reason\":\"Document update conflict.\"},"
           "{\"id\":\"_local/none\",\"error\":\"not_found\",\"reason\":\"missing\"}]");
    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           "{\"docs\":[{\"_id\":\"_local/a\",\"_rev\":\"0-1\",\"n\":3},"
           "{\"_id\":\"_local/b\",\"_revisions\":{\"start\":0,\"ids\":[\"1\"]}}]}",
           201,
           "[{\"ok\":true,\"id\":\"_local/a\",\"rev\":\"0-2\"},"
           "{\"ok\":true,\"id\":\"_local/b\",\"rev\":\"0-1\"}]");
    expect(&documents, METHOD_GET, "/db/_local/a", NULL, 200,
           "{\"_id\":\"_local/a\",\"_rev\":\"0-2\",\"n\":3}");
    expect(
        &documents, METHOD_POST, "/db/_bulk_docs",
        "{\"new_edits\":false,\"docs\":[{\"_id\":\"_local/a\",\"_rev\":\"0-1\"},"
        "{\"_id\":\"_local/b\",\"_rev\":\"0-1\",\"_deleted\":true}]}",
        201,
        "[{\"id\":\"_local/a\",\"error\":\"conflict\",\"reason\":\"Document update conflict.\"}]");
    expect_error(&documents, METHOD_GET, "/db/_local/b", NULL, 404, "not_found", "missing");
    expect(&documents, METHOD_GET, "/db/_all_docs", NULL, 200,
           "{\"total_rows\":0,\"offset\":0,\"rows\":[\n]}");
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs",
                 "{\"docs\":[{\"_id\":\"_local/a\",\"_attachments\":{\"x\":{\"data\":\"\"}}}]}",
                 400, "bad_request", "_local documents do not accept attachments.");
    expect_error(&documents, METHOD_POST, "/no/_bulk_docs", "{\"docs\":[{\"_id\":\"_local/a\"}]}",
                 404, "not_found", "Database does not exist.");
}

Test(bulk, who_asks_for_all_or_nothing_is_told_that_it_is_not_to_be_had)
{
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs",
                 "{\"all_or_nothing\":true,\"docs\":[{\"_id\":\"a\"}]}", 417, "not_implemented",
                 "all_or_nothing is not supported");
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 404, "not_found", "missing");
}

Test(bulk, documents_past_one_commands_size_go_in_several)
{
    size_t each = 3 * MIB, n = 6, i;
    struct buf body = BUF_INIT(64 * MIB);
    size_t before = documents.submitted_n;
    struct call *made;
    json_t *json;

    buf_put_str(&body, "{\"docs\":[");
    for (i = 0; i < n; i++) {
        uint8_t *text;

        buf_printf(&body, "%s{\"_id\":\"d%zu\",\"x\":\"", i == 0 ? "" : ",", i);
        text = buf_extend(&body, each);
        memset(text, 'y', each);
        buf_put_str(&body, "\"}");
    }
    buf_put_str(&body, "]}");
    made = call_begin(&documents, METHOD_POST, "/db/_bulk_docs", buf_bytes(&body));
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201);
    json = call_json(made);
    for (i = 0; i < n; i++)
        cr_assert(json_is_true(json_object_get(json_array_get(json, i), "ok")));
    cr_assert_eq(documents.submitted_n, before + 2);
    json_decref(json);
    call_free(made);
    buf_fini(&body);
}

static void bulk_of(size_t n, int status)
{
    struct buf body = BUF_INIT(64 * MIB);
    struct call *made;
    size_t i;

    buf_put_str(&body, "{\"docs\":[");
    for (i = 0; i < n; i++)
        buf_printf(&body, "%s{\"_id\":\"%zu\"}", i == 0 ? "" : ",", i);
    buf_put_str(&body, "]}");
    made = call_begin(&documents, METHOD_POST, "/db/_bulk_docs", buf_bytes(&body));
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, status, "%s", call_text(made));
    call_free(made);
    buf_fini(&body);
}

Test(bulk, most_documents_fit_and_one_more_is_413)
{
    bulk_of(BATCH_RECORDS_MAX, 201);
    bulk_of(BATCH_RECORDS_MAX + 1, 413);
}
