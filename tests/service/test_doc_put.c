#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_REV "1-00112233445566778899aabbccddeeff"
#define CONFLICT "{\"error\":\"conflict\",\"reason\":\"Document update conflict.\"}"

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

TestSuite(put, .init = setup, .fini = teardown);

static void with_rev(char *out, const char *format, const char *rev)
{
    char *at = strstr(format, "REV");

    snprintf(out, 512, "%.*s%s%s", (int)(at - format), format, rev, at + 3);
}

Test(put, document_is_stored_and_read_back)
{
    char rev[64], reply[512];
    struct call *made;

    made = call(&documents, METHOD_PUT, "/db/a", "{\"x\":1,\"y\":[\"\\u00e4\"]}");
    cr_assert_eq(made->status, 201);
    cr_assert_str_eq(call_field(made, "Location"), "http://localhost:7601/db/a");
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), "default/1");
    snprintf(rev, sizeof(rev), "%.34s", strstr(call_text(made), "\"rev\":\"") + 7);
    cr_assert_eq(strlen(rev), 34);
    cr_assert_eq(strncmp(rev, "1-", 2), 0);
    snprintf(reply, sizeof(reply), "\"%s\"", rev);
    cr_assert_str_eq(call_field(made, "ETag"), reply);
    call_free(made);
    with_rev(reply, "{\"_id\":\"a\",\"_rev\":\"REV\",\"x\":1,\"y\":[\"\u00e4\"]}", rev);
    expect(&documents, METHOD_GET, "/db/a", NULL, 200, reply);
    made = call(&documents, METHOD_HEAD, "/db/a", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->body.len, 0);
    cr_assert_eq(made->length, strlen(reply) + 1);
    call_free(made);
}

Test(put, update_needs_the_current_revision)
{
    char first[64], second[64], target[512], body[512];

    put_doc(&documents, "/db/a", "{\"n\":1}", first);
    expect(&documents, METHOD_PUT, "/db/a", "{\"n\":2}", 409, CONFLICT);
    with_rev(body, "{\"n\":2,\"_rev\":\"REV\"}", UNKNOWN_REV);
    expect(&documents, METHOD_PUT, "/db/a", body, 409, CONFLICT);
    expect(&documents, METHOD_PUT, "/db/a?rev=1-abc", "{}", 409, CONFLICT);
    expect(&documents, METHOD_PUT, "/db/new?rev=" UNKNOWN_REV, "{}", 409, CONFLICT);
    with_rev(body, "{\"n\":2,\"_rev\":\"REV\"}", first);
    put_doc(&documents, "/db/a", body, second);
    cr_assert_eq(strncmp(second, "2-", 2), 0);
    expect(&documents, METHOD_PUT, "/db/a", body, 409, CONFLICT);
    with_rev(target, "/db/a?rev=REV", second);
    put_doc(&documents, target, "{\"n\":3}", first);
    cr_assert_eq(strncmp(first, "3-", 2), 0);
    with_rev(target, "/db/a?rev=REV", second);
    expect_error(&documents, METHOD_GET, target, NULL, 404, "not_found", "missing");
    with_rev(target, "/db/a?revs=true&revs_info=true&rev=REV", first);
    expect(&documents, METHOD_GET, target, NULL, 200, NULL);
}

Test(put, revision_comes_from_body_query_or_header_and_must_agree)
{
    char first[64], body[512];
    struct call *made;

    put_doc(&documents, "/db/a", "{}", first);
    with_rev(body, "{\"_rev\":\"REV\"}", first);
    expect_error(&documents, METHOD_PUT, "/db/a?rev=" UNKNOWN_REV, body, 400, "bad_request",
                 "Document rev from request body and query string have different values");
    made = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str(body));
    made->exchange.request.if_match = bytes_str(UNKNOWN_REV);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 400);
    cr_assert_not_null(strstr(call_text(made), "Document rev and etag have different values"));
    call_free(made);
    made = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str("{\"n\":2}"));
    made->exchange.request.if_match = bytes_str(first);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201);
    call_free(made);
    expect_error(&documents, METHOD_PUT, "/db/a?rev=x", "{}", 400, "bad_request",
                 "Invalid rev format");
    expect_error(&documents, METHOD_GET, "/db/a?rev=x", NULL, 400, "bad_request",
                 "Invalid rev format");
}

Test(put, delete_leaves_a_tombstone_and_the_document_may_come_back)
{
    char first[64], target[512], reply[512];
    struct call *made;

    expect_error(&documents, METHOD_DELETE, "/db/a?rev=" UNKNOWN_REV, NULL, 404, "not_found",
                 "missing");
    put_doc(&documents, "/db/a", "{\"n\":1}", first);
    expect(&documents, METHOD_DELETE, "/db/a", NULL, 409, CONFLICT);
    expect(&documents, METHOD_DELETE, "/db/a?rev=" UNKNOWN_REV, NULL, 409, CONFLICT);
    with_rev(target, "/db/a?rev=REV", first);
    made = call(&documents, METHOD_DELETE, target, NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_not_null(strstr(call_text(made), "\"rev\":\"2-"));
    snprintf(first, sizeof(first), "%.34s", strstr(call_text(made), "\"rev\":\"") + 7);
    call_free(made);
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 404, "not_found", "deleted");
    expect_error(&documents, METHOD_DELETE, target, NULL, 404, "not_found", "deleted");
    with_rev(target, "/db/a?rev=REV", first);
    with_rev(reply, "{\"_id\":\"a\",\"_rev\":\"REV\",\"_deleted\":true}", first);
    expect(&documents, METHOD_GET, target, NULL, 200, reply);
    put_doc(&documents, "/db/a", "{\"n\":2}", first);
    cr_assert_eq(strncmp(first, "3-", 2), 0);
}

Test(put, put_of_a_tombstone_is_200)
{
    char rev[64], body[512];

    put_doc(&documents, "/db/a", "{}", rev);
    with_rev(body, "{\"_rev\":\"REV\",\"_deleted\":true,\"why\":1}", rev);
    expect(&documents, METHOD_PUT, "/db/a", body, 200, NULL);
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 404, "not_found", "deleted");
}

Test(put, same_edit_of_the_same_parent_has_the_same_revision)
{
    char a[64], b[64];

    put_doc(&documents, "/db/a", "{\"n\":1}", a);
    put_doc(&documents, "/db/b", "{\"n\":1}", b);
    cr_assert_str_neq(a, b, "equal bodies of two documents can be told from outside");
}

Test(put, unchanged_document_is_304_and_not_opened)
{
    char rev[64];
    struct call *made;

    put_doc(&documents, "/db/a", "{}", rev);
    made = call_begin(&documents, METHOD_GET, "/db/a", BYTES_NONE);
    made->exchange.request.if_none_match = bytes_str(rev);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 304);
    cr_assert_eq(made->body.len, 0);
    call_free(made);
    made = call_begin(&documents, METHOD_GET, "/db/a", BYTES_NONE);
    made->exchange.request.if_none_match = bytes_str(UNKNOWN_REV);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 200);
    call_free(made);
}

Test(put, bad_bodies_and_ids_are_refused_in_couchdbs_words)
{
    expect_error(&documents, METHOD_PUT, "/db/a", "", 400, "bad_request", "invalid UTF-8 JSON");
    expect_error(&documents, METHOD_PUT, "/db/a", "{", 400, "bad_request", "invalid UTF-8 JSON");
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"x\":\"\xff\"}", 400, "bad_request",
                 "invalid UTF-8 JSON");
    expect_error(&documents, METHOD_PUT, "/db/a", "[]", 400, "bad_request",
                 "Document must be a JSON object");
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"_rev\":7}", 400, "bad_request",
                 "Invalid rev format");
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"_x\":1}", 400, "doc_validation",
                 "Bad special document member: _x");
    expect_error(&documents, METHOD_PUT, "/db/_x", "{}", 400, "illegal_docid",
                 "Only reserved document ids may start with underscore.");
    expect_error(&documents, METHOD_GET, "/db/_x", NULL, 400, "illegal_docid",
                 "Only reserved document ids may start with underscore.");
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"n\":18446744073709551616}", 400,
                 "bad_request",
                 "the number at line 1, column 25 cannot be kept: integers must fit 64 bits, "
                 "others a 64-bit float");
    expect_error(&documents, METHOD_PUT, "/db/a?key_id=nokey", "{}", 400, "bad_request",
                 "there is no data key of that name");
    expect(&documents, METHOD_PUT, "/db/a?key_id=default", "{}", 201, NULL);
    expect_error(&documents, METHOD_GET, "/db/missing", NULL, 404, "not_found", "missing");
    expect_error(&documents, METHOD_GET, "/db/a?consistency=x", NULL, 400, "query_parse_error",
                 "consistency must be linearizable or local");
}

Test(put, design_documents_are_documents)
{
    char rev[64], reply[512];

    put_doc(&documents, "/db/_design/view", "{\"language\":\"query\"}", rev);
    with_rev(reply, "{\"_id\":\"_design/view\",\"_rev\":\"REV\",\"language\":\"query\"}", rev);
    expect(&documents, METHOD_GET, "/db/_design/view", NULL, 200, reply);
}

Test(put, ids_with_slashes_dots_zeros_and_umlauts_are_kept)
{
    static const char *const targets[] = {"/db/a%2Fb", "/db/..", "/db/%00", "/db/%C3%A4",
                                          "/db/%22%5C%0A"};
    char rev[64];
    size_t i;

    for (i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct call *made;
        json_t *json;

        put_doc(&documents, targets[i], "{}", rev);
        made = call(&documents, METHOD_GET, targets[i], NULL);
        cr_assert_eq(made->status, 200);
        json = json_loads(call_text(made), JSON_ALLOW_NUL, NULL);
        cr_assert_eq(json_string_length(json_object_get(json, "_id")),
                     made->exchange.request.segments[1].len);
        json_decref(json);
        call_free(made);
    }
}

Test(put, post_makes_an_id_or_takes_the_given_one)
{
    struct call *made;
    json_t *json;

    made = call(&documents, METHOD_POST, "/db", "{\"x\":1}");
    cr_assert_eq(made->status, 201);
    json = call_json(made);
    cr_assert_eq(json_string_length(json_object_get(json, "id")), 32);
    json_decref(json);
    call_free(made);
    expect(&documents, METHOD_POST, "/db", "{\"_id\":\"mine\"}", 201, NULL);
    expect(&documents, METHOD_POST, "/db", "{\"_id\":\"mine\"}", 409, CONFLICT);
    expect(&documents, METHOD_GET, "/db/mine", NULL, 200, NULL);
    made = call_begin(&documents, METHOD_POST, "/db", bytes_str("{}"));
    made->exchange.request.content_type = bytes_str("text/plain");
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 415);
    call_free(made);
}

static char *large_body(size_t body_len)
{
    char *body = malloc(body_len + 1);

    memset(body, 'x', body_len);
    memcpy(body, "{\"a\":\"", 6);
    memcpy(body + body_len - 2, "\"}", 3);
    return body;
}

Test(put, sixteen_mebibytes_are_stored_and_one_byte_more_is_413)
{
    char *body = large_body(DOC_BYTES_MAX + 1), rev[64];
    struct call *made;

    expect_error(&documents, METHOD_PUT, "/db/big", body, 413, "document_too_large", "big");
    free(body);
    body = large_body(DOC_BYTES_MAX);
    put_doc(&documents, "/db/big", body, rev);
    made = call(&documents, METHOD_GET, "/db/big", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_gt(made->body.len, DOC_BYTES_MAX);
    call_free(made);
    free(body);
}

Test(put, a_large_body_is_parsed_while_others_are_answered)
{
    char *body = large_body(8 * MIB);
    struct call *large = call_begin(&documents, METHOD_PUT, "/db/big", bytes_str(body));

    call_start(large);
    cr_assert_eq(documents.submitted_n, 1, "parsed in the loop");
    cr_assert_not(large->ended);
    expect(&documents, METHOD_PUT, "/db/small", "{}", 201, NULL);
    call_run(large);
    cr_assert_eq(large->status, 201);
    call_free(large);
    free(body);
}

Test(put, a_node_that_is_sealed_while_it_parses_writes_nothing)
{
    char *body = large_body(MIB), *bulk = large_body(MIB);
    struct call *put = call_begin(&documents, METHOD_PUT, "/db/big", bytes_str(body));
    struct call *many;

    memcpy(bulk, "{\"docs\":[]         ,\"a\":\"", 25);
    many = call_begin(&documents, METHOD_POST, "/db/_bulk_docs", bytes_str(bulk));
    call_start(put);
    call_start(many);
    documents.open = false;
    call_run(put);
    call_run(many);
    cr_assert_eq(put->status, 503);
    cr_assert_eq(many->status, 503);
    documents.open = true;
    expect_error(&documents, METHOD_GET, "/db/big", NULL, 404, "not_found", "missing");
    call_free(put);
    call_free(many);
    free(body);
    free(bulk);
}

Test(put, local_read_says_how_stale_it_is)
{
    struct call *made;
    char rev[64];

    put_doc(&documents, "/db/a", "{}", rev);
    made = call(&documents, METHOD_GET, "/db/a?consistency=local", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(strncmp(call_field(made, "X-Quorumkeep-Staleness"), "ms=0; applied=", 14), 0);
    call_free(made);
    documents.leader = false;
    made = call(&documents, METHOD_GET, "/db/a?consistency=local", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(strncmp(call_field(made, "X-Quorumkeep-Staleness"), "ms=1234;", 8), 0);
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/a", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_null(call_field(made, "X-Quorumkeep-Staleness"));
    call_free(made);
    documents.leader = true;
}

Test(put, revision_path_is_kept_across_edits)
{
    char rev[64], target[512];
    struct call *made;
    json_t *json, *revisions;
    int i;

    put_doc(&documents, "/db/a", "{\"n\":0}", rev);
    for (i = 1; i < 5; i++) {
        with_rev(target, "/db/a?rev=REV", rev);
        put_doc(&documents, target, "{}", rev);
    }
    made = call(&documents, METHOD_GET, "/db/a?revs=true", NULL);
    json = call_json(made);
    revisions = json_object_get(json, "_revisions");
    cr_assert_eq(json_integer_value(json_object_get(revisions, "start")), 5);
    cr_assert_eq(json_array_size(json_object_get(revisions, "ids")), 5);
    json_decref(json);
    call_free(made);
}
