/* Attachments among several revisions: open_revs, _bulk_get, _purge, replication. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "wire/records.h"

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

TestSuite(attachment_revisions, .init = setup, .fini = teardown);

#define TEXT "This is a base64 encoded text"
#define TEXT64 "VGhpcyBpcyBhIGJhc2U2NCBlbmNvZGVkIHRleHQ="
#define INLINE "{\"_attachments\":{\"foo.txt\":{\"data\":\"" TEXT64 "\"}}}"

static struct call *get(const char *target, const char *accept)
{
    struct call *made = call_begin(&documents, METHOD_GET, target, BYTES_NONE);

    made->exchange.request.accept = bytes_str(accept);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 200, "%s: %d %s", target, made->status, call_text(made));
    return made;
}

static void reads(const char *target, const char *body)
{
    struct call *made = get(target, "");

    cr_assert_str_eq(call_text(made), body);
    call_free(made);
}

Test(attachment_revisions, several_revisions_come_with_their_contents)
{
    char rev[64];
    struct call *made;

    put_doc(&documents, "/db/d", INLINE, rev);
    made = get("/db/d?open_revs=all", "multipart/mixed");
    cr_assert_not_null(strstr(call_text(made), "\r\nContent-Type: multipart/related; boundary=\""));
    cr_assert_not_null(strstr(call_text(made), "\"length\":29,\"follows\":true}"));
    cr_assert_not_null(strstr(call_text(made), "\r\n\r\n" TEXT "\r\n--"));
    call_free(made);
    made = get("/db/d?open_revs=all&attachments=true", "application/json");
    cr_assert_not_null(strstr(call_text(made), ",\"data\":\"" TEXT64 "\"}}}}]\n"));
    call_free(made);
    made = get("/db/d?open_revs=all", "application/json");
    cr_assert_not_null(strstr(call_text(made), "\"stub\":true}}}}]\n"));
    call_free(made);
    made = call(&documents, METHOD_POST, "/db/_bulk_get?attachments=true",
                "{\"docs\":[{\"id\":\"d\"},{\"id\":\"nosuch\"},{\"id\":\"d\"}]}");
    cr_assert_eq(made->status, 200);
    cr_assert_not_null(
        strstr(call_text(made), ",\"data\":\"" TEXT64 "\"}}}}]},{\"id\":\"nosuch\""));
    cr_assert_not_null(strstr(call_text(made), ",\"data\":\"" TEXT64 "\"}}}}]}]}\n"));
    call_free(made);
}

Test(attachment_revisions, all_docs_and_changes_come_with_contents)
{
    char rev[64];
    struct call *made;

    put_doc(&documents, "/db/d", INLINE, rev);
    put_doc(&documents, "/db/e", "{}", rev);
    made = get("/db/_all_docs?include_docs=true&attachments=true", "");
    cr_assert_not_null(strstr(call_text(made), "\"data\":\"" TEXT64 "\"}}}},\n{\"id\":\"e\""));
    call_free(made);
    made = get("/db/_all_docs?include_docs=true", "");
    cr_assert_not_null(strstr(call_text(made), "\"stub\":true}}}},\n{\"id\":\"e\""));
    call_free(made);
    made = get("/db/_changes?include_docs=true&attachments=true", "");
    cr_assert_not_null(strstr(call_text(made), "\"data\":\"" TEXT64 "\"}}}}"));
    call_free(made);
}

/* In rows of views, and of several queries, too; rows after them stand as they should. */
Test(attachment_revisions, views_come_with_contents)
{
    char rev[64];
    struct call *made;

    put_doc(&documents, "/db/_design/v",
            "{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":\"_id\"}}}}", rev);
    put_doc(&documents, "/db/d", INLINE, rev);
    put_doc(&documents, "/db/e", "{}", rev);
    made = get("/db/_design/v/_view/v?include_docs=true&attachments=true", "");
    cr_assert_not_null(strstr(call_text(made), "\"data\":\"" TEXT64 "\"}}}},\n{\"id\":\"e\""));
    json_decref(call_json(made));
    call_free(made);
    made = get("/db/_design/v/_view/v?include_docs=true", "");
    cr_assert_not_null(strstr(call_text(made), "\"stub\":true}}}},\n{\"id\":\"e\""));
    json_decref(call_json(made));
    call_free(made);
    made = call(&documents, METHOD_POST, "/db/_design/v/_view/v/queries?attachments=true",
                "{\"queries\":[{\"include_docs\":true,\"limit\":1},{\"key\":\"e\"}]}");
    cr_assert_not_null(strstr(call_text(made), "\"data\":\"" TEXT64 "\"}}}}\n]},\n{"));
    json_decref(call_json(made));
    call_free(made);
}

Test(attachment_revisions, purged_documents_leave_no_chunk)
{
    char rev[64], body[128];

    put_doc(&documents, "/db/d", INLINE, rev);
    snprintf(body, sizeof(body), "{\"d\":[\"%s\"]}", rev);
    expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
    expect_error(&documents, METHOD_GET, "/db/d/foo.txt", NULL, 404, "not_found", "missing");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

/* What replication brings: revisions with their own paths, contents and stubs of contents. */
Test(attachment_revisions, replicated_revisions_bring_theirs)
{
#define REPLICA(rev, ids, atts)                                                                    \
    "{\"new_edits\":false,\"docs\":[{\"_id\":\"d\",\"_rev\":\"" rev                                \
    "\",\"_revisions\":{\"start\":2,\"ids\":[" ids "]},\"_attachments\":{" atts "}}]}"
#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define C "cccccccccccccccccccccccccccccccc"
    struct call *made;

    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           REPLICA("2-" A, "\"" A "\",\"" B "\"", "\"f\":{\"data\":\"YWJj\",\"revpos\":1}"), 201,
           NULL);
    expect(&documents, METHOD_POST, "/db/_bulk_docs",
           REPLICA("2-" C, "\"" C "\",\"" B "\"", "\"f\":{\"stub\":true,\"revpos\":1}"), 201, NULL);
    reads("/db/d/f", "abc");
    reads("/db/d/f?rev=2-" A, "abc");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1);
    made = get("/db/d", "");
    cr_assert_not_null(strstr(call_text(made), "\"revpos\":1,"));
    call_free(made);
    expect(&documents, METHOD_DELETE, "/db/d?rev=2-" C, NULL, 200, NULL);
    reads("/db/d/f", "abc");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1);
    expect(&documents, METHOD_DELETE, "/db/d?rev=2-" A, NULL, 200, NULL);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

Test(attachment_revisions, sixteen_mebibytes_are_taken_and_one_byte_more_is_too_large)
{
    static uint8_t content[ATTACHMENTS_WRITE_BYTES_MAX + 1];
    struct call *made;

    for (size_t over = 0; over < 2; over++) {
        made = call_begin(&documents, METHOD_PUT, over == 0 ? "/db/d/a" : "/db/e/a",
                          bytes_of(content, ATTACHMENTS_WRITE_BYTES_MAX + over));
        call_start(made);
        call_run(made);
        cr_assert_eq(made->status, over == 0 ? 201 : 413, "%s", call_text(made));
        call_free(made);
    }
}
