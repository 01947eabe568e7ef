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
    expect_error(&documents, METHOD_PUT, "/db/d?new_edits=false", "{\"_rev\":\"1-abc\"}", 400,
                 "bad_request",
                 "Invalid rev format: the hash of a revision must be 32 hexadecimal digits");
    expect_error(&documents, METHOD_POST, "/none/_bulk_docs",
                 "{\"new_edits\":false,\"docs\":[{\"_id\":\"d\",\"_rev\":\"1-" A "\"}]}", 404,
                 "not_found", "Database does not exist.");
}

Test(doc_tree, batch_ok_is_accepted_and_written)
{
    struct call *made = call(&documents, METHOD_PUT, "/db/b?batch=ok", "{\"n\":1}");

    cr_assert_eq(made->status, 202);
    cr_assert_str_eq(call_text(made), "{\"ok\":true,\"id\":\"b\"}\n");
    call_free(made);
    expect(&documents, METHOD_GET, "/db/b", NULL, 200, NULL);
}
