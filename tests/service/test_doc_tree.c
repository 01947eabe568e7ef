/* Revision trees over the real handlers: new_edits=false, conflicts, open_revs. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Hashes of 32 digits, from one letter each. */
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccc"
#define D "dddddddddddddddddddddddddddddddd"
#define E "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

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

TestSuite(doc_tree, .init = setup, .fini = teardown);

/* {"_id":"d","_rev":REV,"_revisions":...,MORE} of "3-a,b,c". */
static void replicate(unsigned start, const char *ids, const char *more)
{
    char body[1024], revision[64], target[64] = "/db/d?new_edits=false";

    snprintf(revision, sizeof(revision), "%u-%.32s", start, ids + 1);
    snprintf(body, sizeof(body), "{\"_revisions\":{\"start\":%u,\"ids\":[%s]}%s}", start, ids,
             more);
    expect(&documents, METHOD_PUT, target, body, strstr(more, "_deleted") != NULL ? 200 : 201,
           NULL);
}

Test(doc_tree, replicated_revision_is_kept_as_it_is)
{
    replicate(3, "\"" C "\",\"" B "\",\"" A "\"", ",\"n\":1");
    expect(&documents, METHOD_GET, "/db/d?revs=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"3-" C "\",\"_revisions\":{\"start\":3,\"ids\":[\"" C "\",\"" B
           "\",\"" A "\"]},\"n\":1}");
}

Test(doc_tree, known_revision_is_done_without_a_write)
{
    size_t before;

    replicate(2, "\"" B "\",\"" A "\"", ",\"n\":1");
    before = documents.submitted_n;
    replicate(2, "\"" B "\",\"" A "\"", ",\"n\":2");
    replicate(1, "\"" A "\"", "");
    cr_assert_eq(documents.submitted_n, before);
    expect(&documents, METHOD_GET, "/db/d", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}");
}

Test(doc_tree, conflicts_stand_beside_each_other_and_one_wins)
{
    replicate(2, "\"" B "\",\"" A "\"", ",\"n\":1");
    replicate(2, "\"" C "\",\"" A "\"", ",\"n\":2");
    expect(&documents, METHOD_GET, "/db/d?conflicts=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" C "\",\"_conflicts\":[\"2-" B "\"],\"n\":2}");
    expect(&documents, METHOD_GET, "/db/d?rev=2-" B, NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}");
    replicate(3, "\"" D "\",\"" C "\",\"" A "\"", ",\"_deleted\":true");
    expect(&documents, METHOD_GET, "/db/d?conflicts=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}");
}

Test(doc_tree, edit_of_a_losing_leaf_leaves_the_winner)
{
    char revision[64];

    replicate(2, "\"" B "\",\"" A "\"", ",\"n\":1");
    replicate(2, "\"" C "\",\"" A "\"", ",\"n\":2");
    put_doc(&documents, "/db/d?rev=2-" B, "{\"n\":3}", revision);
    cr_assert_eq(strncmp(revision, "3-", 2), 0);
    expect_error(&documents, METHOD_PUT, "/db/d?rev=2-" B, "{}", 409, "conflict",
                 "Document update conflict.");
    put_doc(&documents, "/db/d?rev=2-" C, "{\"n\":4}", revision);
    expect_error(&documents, METHOD_PUT, "/db/d?rev=1-" A, "{}", 409, "conflict",
                 "Document update conflict.");
}

Test(doc_tree, revisions_of_one_document_in_one_request_are_all_written)
{
    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           "{\"new_edits\":false,\"docs\":["
           "{\"_id\":\"d\",\"_rev\":\"1-" A "\"},"
           "{\"_id\":\"d\",\"_rev\":\"1-" B "\"},"
           "{\"_id\":\"d\",\"_rev\":\"1-" B "\"},"
           "{\"_id\":\"e\",\"_rev\":\"1-" B "\"},"
           "{\"_id\":\"d\",\"_revisions\":{\"start\":2,\"ids\":[\"" C "\",\"" B "\"]}}]}",
           201, "[]");
    expect(&documents, METHOD_GET, "/db/d?conflicts=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" C "\",\"_conflicts\":[\"1-" A "\"]}");
    expect(&documents, METHOD_GET, "/db/e", NULL, 200, "{\"_id\":\"e\",\"_rev\":\"1-" B "\"}");
}

Test(doc_tree, replication_needs_a_revision_that_can_be_kept)
{
    expect_error(&documents, METHOD_POST, "/db/_bulk_docs",
                 "{\"new_edits\":false,\"docs\":[{\"_id\":\"d\"}]}", 400, "bad_request",
                 "When `new_edits: false`, the document needs `_rev` or `_revisions` specified");
    expect_error(&documents, METHOD_PUT, "/db/d?new_edits=false", "{\"_rev\":\"1-thirteenchars\"}",
                 400, "bad_request",
                 "Invalid rev format: behind the number of a revision there must be 32 hexadecimal "
                 "digits, or a text of at most 12 printable characters");
    expect_error(&documents, METHOD_POST, "/none/_bulk_docs",
                 "{\"new_edits\":false,\"docs\":[{\"_id\":\"d\",\"_rev\":\"1-" A "\"}]}", 404,
                 "not_found", "Database does not exist.");
}

Test(doc_tree, revisions_that_are_short_texts_are_kept_as_they_came)
{
    replicate(2, "\"b\",\"a\"", ",\"n\":1");
    replicate(2, "\"c-c\",\"a\"", ",\"n\":2");
    expect(&documents, METHOD_GET, "/db/d?conflicts=true&revs=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-c-c\",\"_revisions\":{\"start\":2,\"ids\":[\"c-c\",\"a\"]},"
           "\"_conflicts\":[\"2-b\"],\"n\":2}");
    expect(&documents, METHOD_GET, "/db/d?rev=2-b", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-b\",\"n\":1}");
    expect(&documents, METHOD_POST, "/db/_revs_diff", "{\"d\":[\"1-a\",\"2-b\",\"3-x\"]}", 200,
           "{\"d\":{\"missing\":[\"3-x\"],\"possible_ancestors\":[\"2-c-c\",\"2-b\"]}}");
}

Test(doc_tree, batch_ok_is_accepted_and_written)
{
    struct call *made = call(&documents, METHOD_PUT, "/db/b?batch=ok", "{\"n\":1}");

    cr_assert_eq(made->status, 202);
    cr_assert_str_eq(call_text(made), "{\"ok\":true,\"id\":\"b\"}\n");
    call_free(made);
    expect(&documents, METHOD_GET, "/db/b", NULL, 200, NULL);
}

/* --- reading revisions --- */

static void two_leaves(void)
{
    replicate(2, "\"" B "\",\"" A "\"", ",\"n\":1");
    replicate(3, "\"" D "\",\"" C "\",\"" A "\"", ",\"n\":2");
    replicate(2, "\"" E "\",\"" A "\"", ",\"_deleted\":true");
}

/* GET with an Accept header. */
static struct call *get_as(const char *target, const char *accept)
{
    struct call *made = call_begin(&documents, METHOD_GET, target, BYTES_NONE);

    made->exchange.request.accept = bytes_str(accept);
    call_start(made);
    call_run(made);
    return made;
}

static void expect_json(const char *target, const char *reply)
{
    struct call *made = get_as(target, "application/json");

    cr_assert_eq(made->status, 200, "%s", call_text(made));
    cr_assert_str_eq(call_text(made), reply);
    call_free(made);
}

Test(doc_tree, open_revs_gives_all_leaves_or_those_named)
{
    two_leaves();
    expect_json("/db/d?open_revs=all",
                "[{\"ok\":{\"_id\":\"d\",\"_rev\":\"3-" D "\",\"n\":2}},"
                "{\"ok\":{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}},"
                "{\"ok\":{\"_id\":\"d\",\"_rev\":\"2-" E "\",\"_deleted\":true}}]\n");
    expect_json("/db/d?open_revs=[\"2-" B "\",\"1-" A "\",\"7-x\"]",
                "[{\"ok\":{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}},"
                "{\"missing\":\"1-" A "\"},{\"missing\":\"7-x\"}]\n");
    expect_json("/db/d?open_revs=[\"2-" C "\",\"3-" D "\"]&latest=true",
                "[{\"ok\":{\"_id\":\"d\",\"_rev\":\"3-" D "\",\"n\":2}}]\n");
    expect_json("/db/none?open_revs=[\"2-" C "\"]", "[{\"missing\":\"2-" C "\"}]\n");
    expect_json("/db/d?open_revs=[]", "[]\n");
    expect_error(&documents, METHOD_GET, "/db/none?open_revs=all", NULL, 404, "not_found",
                 "missing");
    expect_error(&documents, METHOD_GET, "/db/d?open_revs=[\"x\"]", NULL, 400, "bad_request",
                 "Invalid rev format");
    expect_error(&documents, METHOD_GET, "/db/d?open_revs=[", NULL, 400, "bad_request",
                 "invalid UTF-8 JSON");
}

Test(doc_tree, open_revs_comes_in_parts)
{
    struct call *made;
    const char *boundary;
    char expected[1024];

    two_leaves();
    made = get_as("/db/d?open_revs=[\"2-" B "\",\"1-" A "\"]", "multipart/mixed");
    cr_assert_eq(made->status, 200);
    cr_assert_eq(strncmp(made->content_type, "multipart/mixed; boundary=\"", 27), 0);
    boundary = made->content_type + 27;
    snprintf(expected, sizeof(expected),
             "--%.32s\r\nContent-Type: application/json\r\n\r\n"
             "{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}\r\n--%.32s\r\n"
             "Content-Type: application/json; error=\"true\"\r\n\r\n{\"missing\":\"1-" A
             "\"}\r\n--%.32s--",
             boundary, boundary, boundary);
    cr_assert_str_eq(call_text(made), expected);
    call_free(made);
}

Test(doc_tree, get_tells_of_the_tree)
{
    struct call *made;

    two_leaves();
    expect(&documents, METHOD_GET, "/db/d?deleted_conflicts=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"3-" D "\",\"_deleted_conflicts\":[\"2-" E "\"],\"n\":2}");
    expect(&documents, METHOD_GET, "/db/d?meta=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"3-" D "\",\"_revs_info\":["
           "{\"rev\":\"3-" D "\",\"status\":\"available\"},"
           "{\"rev\":\"2-" C "\",\"status\":\"missing\"},"
           "{\"rev\":\"1-" A "\",\"status\":\"missing\"}],"
           "\"_conflicts\":[\"2-" B "\"],\"_deleted_conflicts\":[\"2-" E "\"],\"n\":2}");
    expect(&documents, METHOD_GET, "/db/d?rev=2-" B "&latest=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"3-" D "\",\"n\":2}");
    made = call(&documents, METHOD_GET, "/db/d?local_seq=true", NULL);
    cr_assert_not_null(strstr(call_text(made), "\"_local_seq\":\""));
    cr_assert_null(call_field(made, "ETag"));
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/d?revs=true", NULL);
    cr_assert_str_eq(call_field(made, "ETag"), "\"3-" D "\"");
    call_free(made);
}

Test(doc_tree, bulk_get_answers_each_in_its_place)
{
    two_leaves();
    expect(&documents, METHOD_POST, "/db/_bulk_get?revs=true&latest=true",
           "{\"docs\":[{\"id\":\"d\",\"rev\":\"2-" C "\"},{\"id\":\"d\",\"rev\":\"5-" A
           "\"},{\"id\":\"none\"},{},{\"id\":\"d\",\"rev\":\"x\"}]}",
           200,
           "{\"results\":[{\"id\":\"d\",\"docs\":[{\"ok\":{\"_id\":\"d\",\"_rev\":\"3-" D
           "\",\"_revisions\":{\"start\":3,\"ids\":[\"" D "\",\"" C "\",\"" A "\"]},\"n\":2}}]},"
           "{\"id\":\"d\",\"docs\":[{\"error\":{\"id\":\"d\",\"rev\":\"5-" A
           "\",\"error\":\"not_found\",\"reason\":\"missing\"}}]},"
           "{\"id\":\"none\",\"docs\":[{\"error\":{\"id\":\"none\",\"rev\":\"undefined\","
           "\"error\":\"not_found\",\"reason\":\"missing\"}}]},"
           "{\"id\":null,\"docs\":[{\"error\":{\"id\":null,\"rev\":null,\"error\":\"bad_request\","
           "\"reason\":\"document id missed\"}}]},"
           "{\"id\":\"d\",\"docs\":[{\"error\":{\"id\":\"d\",\"rev\":\"x\",\"error\":"
           "\"bad_request\",\"reason\":\"Invalid rev format\"}}]}]}");
    expect(&documents, METHOD_POST, "/db/_bulk_get", "{\"docs\":[]}", 200, "{\"results\":[]}");
    expect_error(&documents, METHOD_POST, "/db/_bulk_get", "{}", 400, "bad_request",
                 "Missing JSON list of 'docs'.");
    expect_error(&documents, METHOD_POST, "/db/_bulk_get?rev=1-x", "{\"docs\":[]}", 400,
                 "bad_request", "\"rev\" query parameter is not acceptable");
}

Test(doc_tree, revs_diff_names_what_is_missing)
{
    two_leaves();
    expect(&documents, METHOD_POST, "/db/_revs_diff",
           "{\"d\":[\"1-" A "\",\"2-" B "\",\"3-" A "\",\"1-x\"],\"none\":[\"1-" A "\"],\"e\":[]}",
           200,
           "{\"d\":{\"missing\":[\"3-" A "\",\"1-x\"],\"possible_ancestors\":[\"2-" B "\",\"2-" E
           "\"]},\"none\":{\"missing\":[\"1-" A "\"]}}");
    expect(&documents, METHOD_POST, "/db/_missing_revs",
           "{\"d\":[\"1-" A "\",\"3-" A "\"],\"e\":[\"1-" A "\"]}", 200,
           "{\"missing_revs\":{\"d\":[\"3-" A "\"],\"e\":[\"1-" A "\"]}}");
    expect(&documents, METHOD_POST, "/db/_revs_diff", "{}", 200, "{}");
    expect_error(&documents, METHOD_POST, "/db/_revs_diff", "{\"d\":1}", 400, "bad_request",
                 "`revs` must be an array.");
    expect_error(&documents, METHOD_POST, "/db/_revs_diff", "[]", 400, "bad_request",
                 "Request body must be a JSON object");
}

/* --- _local documents --- */

Test(doc_tree, local_documents_count_their_writes_and_are_in_no_list)
{
    struct call *feed;

    expect(&documents, METHOD_PUT, "/db/_local/x", "{\"n\":1}", 201,
           "{\"ok\":true,\"id\":\"_local/x\",\"rev\":\"0-1\"}");
    expect(&documents, METHOD_GET, "/db/_local/x", NULL, 200,
           "{\"_id\":\"_local/x\",\"_rev\":\"0-1\",\"n\":1}");
    expect(&documents, METHOD_PUT, "/db/_local%2Fx", "{\"_rev\":\"0-1\",\"n\":2}", 201,
           "{\"ok\":true,\"id\":\"_local/x\",\"rev\":\"0-2\"}");
    expect_error(&documents, METHOD_PUT, "/db/_local/x", "{\"_rev\":\"0-1\"}", 409, "conflict",
                 "Document update conflict.");
    expect(&documents, METHOD_GET, "/db/_all_docs", NULL, 200,
           "{\"total_rows\":0,\"offset\":0,\"rows\":[\n]}");
    feed = call(&documents, METHOD_GET, "/db/_changes", NULL);
    cr_assert_eq(strncmp(call_text(feed), "{\"results\":[\n],", 15), 0);
    call_free(feed);
    documents_restart(&documents);
    expect(&documents, METHOD_GET, "/db/_local/x", NULL, 200,
           "{\"_id\":\"_local/x\",\"_rev\":\"0-2\",\"n\":2}");
    expect(&documents, METHOD_DELETE, "/db/_local/x?rev=0-2", NULL, 200,
           "{\"ok\":true,\"id\":\"_local/x\",\"rev\":\"0-0\"}");
    expect_error(&documents, METHOD_GET, "/db/_local/x", NULL, 404, "not_found", "missing");
    expect_error(&documents, METHOD_DELETE, "/db/_local/x", NULL, 404, "not_found", "missing");
    expect_error(&documents, METHOD_PUT, "/none/_local/x", "{}", 404, "not_found",
                 "Database does not exist.");
}

/* --- limits and purge --- */

Test(doc_tree, revisions_are_forgotten_at_the_limit)
{
    char revision[64], target[128];
    struct call *made;
    json_t *json;

    expect(&documents, METHOD_GET, "/db/_revs_limit", NULL, 200, "1000");
    expect(&documents, METHOD_PUT, "/db/_revs_limit", "3", 200, "{\"ok\":true}");
    expect(&documents, METHOD_GET, "/db/_revs_limit", NULL, 200, "3");
    expect_error(&documents, METHOD_PUT, "/db/_revs_limit", "0", 400, "bad_request",
                 "`revs_limit` must be a positive integer of at most 1000");
    expect_error(&documents, METHOD_PUT, "/db/_revs_limit", "\"5\"", 400, "bad_request",
                 "`revs_limit` must be a positive integer of at most 1000");
    put_doc(&documents, "/db/d", "{}", revision);
    for (int i = 2; i <= 6; i++) {
        snprintf(target, sizeof(target), "/db/d?rev=%s", revision);
        put_doc(&documents, target, "{}", revision);
    }
    made = call(&documents, METHOD_GET, "/db/d?revs=true", NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json_object_get(json, "_revisions"), "ids")), 3);
    json_decref(json);
    call_free(made);
}

Test(doc_tree, purge_takes_leaves_and_at_last_the_document)
{
    two_leaves();
    expect(&documents, METHOD_POST, "/db/_purge",
           "{\"d\":[\"3-" D "\",\"1-" A "\",\"9-" A "\"],\"none\":[\"1-" A "\"]}", 201,
           "{\"purge_seq\":null,\"purged\":{\"d\":[\"3-" D "\"],\"none\":[]}}");
    expect(&documents, METHOD_GET, "/db/d?conflicts=true", NULL, 200,
           "{\"_id\":\"d\",\"_rev\":\"2-" B "\",\"n\":1}");
    expect(&documents, METHOD_POST, "/db/_purge", "{\"d\":[\"2-" B "\",\"2-" E "\"]}", 201,
           "{\"purge_seq\":null,\"purged\":{\"d\":[\"2-" B "\",\"2-" E "\"]}}");
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
    expect(&documents, METHOD_GET, "/db/_all_docs", NULL, 200,
           "{\"total_rows\":0,\"offset\":0,\"rows\":[\n]}");
    replicate(1, "\"" A "\"", "");
    expect(&documents, METHOD_GET, "/db/d", NULL, 200, "{\"_id\":\"d\",\"_rev\":\"1-" A "\"}");
    expect_error(&documents, METHOD_POST, "/db/_purge", "{\"d\":1}", 400, "bad_request",
                 "`revs` must be an array.");
    expect_error(&documents, METHOD_POST, "/none/_purge", "{}", 404, "not_found",
                 "Database does not exist.");
}

/* --- lists --- */

#define NO_ROWS "\"rows\":[\n]}"

Test(doc_tree, local_documents_are_listed_by_themselves)
{
    expect(&documents, METHOD_GET, "/db/_local_docs", NULL, 200,
           "{\"total_rows\":null,\"offset\":null," NO_ROWS);
    expect(&documents, METHOD_PUT, "/db/_local/a", "{\"n\":1}", 201, NULL);
    expect(&documents, METHOD_PUT, "/db/_local/b", "{}", 201, NULL);
    expect(&documents, METHOD_PUT, "/db/doc", "{}", 201, NULL);
    expect(&documents, METHOD_GET, "/db/_local_docs?include_docs=true&limit=1", NULL, 200,
           "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"id\":\"_local/a\",\"key\":"
           "\"_local/a\",\"value\":{\"rev\":\"0-1\"},\"doc\":{\"_id\":\"_local/a\",\"_rev\":"
           "\"0-1\",\"n\":1}}\n]}");
    expect(&documents, METHOD_POST, "/db/_local_docs", "{\"keys\":[\"_local/b\",\"doc\"]}", 200,
           "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"id\":\"_local/b\",\"key\":"
           "\"_local/b\",\"value\":{\"rev\":\"0-1\"}},\n{\"key\":\"doc\",\"error\":"
           "\"not_found\"}\n]}");
    expect(&documents, METHOD_GET, "/db/_local_docs?startkey=\"_local/b\"&descending=true&skip=1",
           NULL, 200,
           "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"id\":\"_local/a\",\"key\":"
           "\"_local/a\",\"value\":{\"rev\":\"0-1\"}}\n]}");
    expect(&documents, METHOD_POST, "/db/_local_docs?limit=0",
           "{\"keys\":[\"_local/a\"],\"limit\":2}", 200,
           "{\"total_rows\":null,\"offset\":null," NO_ROWS);
}

Test(doc_tree, queries_are_answered_in_turn)
{
    char a[64], b[64], expected[1024];

    put_doc(&documents, "/db/a", "{}", a);
    put_doc(&documents, "/db/b", "{}", b);
    snprintf(expected, sizeof(expected),
             "{\"results\":[\r\n{\"total_rows\":2,\"offset\":0,\"rows\":[\n{\"id\":\"a\",\"key\":"
             "\"a\",\"value\":{\"rev\":\"%s\"}}\n]},\r\n{\"total_rows\":2,\"offset\":1,\"rows\":["
             "\n{\"id\":\"b\",\"key\":\"b\",\"value\":{\"rev\":\"%s\"}}\n]},\r\n{\"total_rows\":2,"
             "\"offset\":null,\"rows\":[\n{\"key\":\"c\",\"error\":\"not_found\"}\n]}\r\n]}",
             a, b);
    expect(&documents, METHOD_POST, "/db/_all_docs/queries",
           "{\"queries\":[{\"limit\":1},{\"startkey\":\"b\"},{\"keys\":[\"c\"]}]}", 200, expected);
    expect(&documents, METHOD_POST, "/db/_all_docs/queries", "{\"queries\":[]}", 200,
           "{\"results\":[]}");
    expect_error(&documents, METHOD_POST, "/db/_all_docs/queries", "{}", 400, "bad_request",
                 "POST body must include `queries` parameter.");
    expect_error(&documents, METHOD_POST, "/db/_all_docs/queries", "{\"queries\":[{\"limit\":-1}]}",
                 400, "query_parse_error",
                 "Invalid value for limit: it must be a positive integer");
}

Test(doc_tree, design_documents_are_listed_by_themselves)
{
    char a[64], expected[512];

    put_doc(&documents, "/db/_design/a", "{}", a);
    put_doc(&documents, "/db/_design/b", "{}", expected);
    put_doc(&documents, "/db/x", "{}", expected);
    put_doc(&documents, "/db/Z", "{}", expected);
    snprintf(expected, sizeof(expected),
             "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"id\":\"_design/a\",\"key\":"
             "\"_design/a\",\"value\":{\"rev\":\"%s\"}}\n]}",
             a);
    expect(&documents, METHOD_GET, "/db/_design_docs?endkey=\"_design/aa\"", NULL, 200, expected);
    expect(&documents, METHOD_GET, "/db/_design_docs?descending=true&startkey=\"_design/a\"", NULL,
           200, expected);
    expect(&documents, METHOD_GET, "/db/_design_docs?limit=1", NULL, 200, expected);
    expect(&documents, METHOD_GET, "/db/_design_docs?keys=[\"x\"]", NULL, 200,
           "{\"total_rows\":null,\"offset\":null,\"rows\":[\n{\"key\":\"x\",\"error\":"
           "\"not_found\"}\n]}");
}

/* --- COPY --- */

static struct call *copy(const char *target, const char *destination)
{
    struct call *made = call_begin(&documents, METHOD_COPY, target, BYTES_NONE);

    made->exchange.request.destination = bytes_str(destination);
    call_start(made);
    call_run(made);
    return made;
}

static void copy_refused(const char *target, const char *destination, int status,
                         const char *reason)
{
    struct call *made = copy(target, destination);

    cr_assert_eq(made->status, status, "%s", call_text(made));
    cr_assert_not_null(strstr(call_text(made), reason), "%s", call_text(made));
    call_free(made);
}

Test(doc_tree, copy_is_a_document_of_its_own)
{
    char rev[64], destination[128];
    struct call *made;

    replicate(2, "\"" B "\",\"" A "\"",
              ",\"n\":1,\"_attachments\":{\"a\":{\"data\":\"aGVsbG8=\"}}");
    made = copy("/db/d", "c%2Fopy");
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    cr_assert_str_eq(call_field(made, "Location"), "http://localhost:7601/db/c%2Fopy");
    snprintf(rev, sizeof(rev), "%.34s", strstr(call_text(made), "\"rev\":\"") + 7);
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/c%2Fopy", NULL);
    cr_assert_not_null(
        strstr(call_text(made), "\"revpos\":1,\"digest\":\"md5-XUFAKrxLKna5cZ2REBfFkg==\""), "%s",
        call_text(made));
    cr_assert_not_null(strstr(call_text(made), "\"n\":1"));
    call_free(made);
    copy_refused("/db/d", "c%2Fopy", 409, "Document update conflict.");
    snprintf(destination, sizeof(destination), "c%%2Fopy?rev=%s", rev);
    made = copy("/db/d?rev=2-" B, destination);
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    cr_assert_not_null(strstr(call_text(made), "\"rev\":\"2-"));
    call_free(made);
    copy_refused("/db/d", "", 400, "Destination header is mandatory for COPY.");
    copy_refused("/db/d", "http://other/db/x", 400, "Destination URL must be relative.");
    copy_refused("/db/d", "x?rev=1", 400, "Invalid rev format");
    copy_refused("/db/d", "_x", 400, "Only reserved document ids may start with underscore.");
    copy_refused("/db/none", "x", 404, "missing");
    copy_refused("/db/d?rev=1-" A, "x", 404, "missing");
    copy_refused("/none/d", "x", 404, "Database does not exist.");
}
