#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/attachment_chunk.h"
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

TestSuite(attachments, .init = setup, .fini = teardown);

static struct call *request(enum method method, const char *target, struct bytes body,
                            const char *type)
{
    struct call *made = call_begin(&documents, method, target, body);

    made->exchange.request.content_type = bytes_str(type);
    call_start(made);
    call_run(made);
    return made;
}

static void put(const char *target, struct bytes body, const char *type, int status,
                char ret_rev[static 64])
{
    struct call *made = request(METHOD_PUT, target, body, type);
    const char *rev = strstr(call_text(made), "\"rev\":\"");

    cr_assert_eq(made->status, status, "%s: %d %s", target, made->status, call_text(made));
    snprintf(ret_rev, 64, "%.34s", rev == NULL ? "" : rev + 7);
    call_free(made);
}

static struct call *get(const char *target, const char *accept, const char *range, int status)
{
    struct call *made = call_begin(&documents, METHOD_GET, target, BYTES_NONE);

    made->exchange.request.accept = bytes_str(accept);
    made->exchange.request.range = bytes_str(range);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, status, "%s: %d %s", target, made->status, call_text(made));
    return made;
}

static void reads(const char *target, const char *range, int status, const char *body)
{
    struct call *made = get(target, "", range, status);

    cr_assert_str_eq(call_text(made), body);
    call_free(made);
}

#define TEXT "This is a base64 encoded text"
#define TEXT64 "VGhpcyBpcyBhIGJhc2U2NCBlbmNvZGVkIHRleHQ="
#define TYPE "application/octet-stream"
#define INLINE                                                                                     \
    "{\"_attachments\":{\"foo.txt\":{\"content_type\":\"" TYPE "\",\"data\":\"" TEXT64 "\"}}}"

Test(attachments, inline_content_comes_back_as_couchdb_sends_it)
{
    char rev[64], body[512];
    struct call *made;

    put("/db/bin_doc", bytes_str(INLINE), "application/json", 201, rev);
    made = get("/db/bin_doc/foo.txt", "", "", 200);
    cr_assert_str_eq(call_text(made), TEXT);
    cr_assert_str_eq(made->content_type, TYPE);
    cr_assert_str_eq(call_field(made, "ETag"), "\"aEI7pOYCRBLTRQvvqYrrJQ==\"");
    cr_assert_str_eq(call_field(made, "Content-MD5"), "aEI7pOYCRBLTRQvvqYrrJQ==");
    cr_assert_str_eq(call_field(made, "Accept-Ranges"), "bytes");
    call_free(made);
    snprintf(body, sizeof(body),
             "{\"_id\":\"bin_doc\",\"_rev\":\"%s\",\"_attachments\":{\"foo.txt\":{\"content_type\":"
             "\"" TYPE "\",\"revpos\":1,\"digest\":\"md5-aEI7pOYCRBLTRQvvqYrrJQ==\",\"length\":29,"
             "\"stub\":true}}}",
             rev);
    expect(&documents, METHOD_GET, "/db/bin_doc", NULL, 200, body);
    made = get("/db/bin_doc?attachments=true", "application/json", "", 200);
    cr_assert_not_null(strstr(call_text(made), ",\"data\":\"" TEXT64 "\"}}}\n"));
    cr_assert_str_eq(made->content_type, "application/json");
    call_free(made);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1);
}

Test(attachments, same_edit_has_the_same_revision_whatever_keys_are_drawn)
{
    char first[64], second[64], third[64];

    put("/db/a", bytes_str(INLINE), "application/json", 201, first);
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    expect(&documents, METHOD_PUT, "/db2", NULL, 201, NULL);
    put("/db2/a", bytes_str(INLINE), "application/json", 201, first);
    put("/db2/b", bytes_str("{}"), "application/json", 201, third);
    expect_error(&documents, METHOD_PUT, "/db2/a", INLINE, 409, "conflict",
                 "Document update conflict.");
    put("/db2/a", bytes_str("{\"_attachments\":{}}"), "application/json", 409, second);
    cr_assert_str_neq(first, third);
}

Test(attachments, ranges_are_those_of_couchdbs_tests)
{
    char rev[64];
    struct call *made;

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    reads("/db/d/foo.txt", "bytes=0-28", 206, TEXT);
    reads("/db/d/foo.txt", "bytes=0-", 200, TEXT);
    reads("/db/d/foo.txt", "bytes=10-15", 206, "base64");
    reads("/db/d/foo.txt", "bytes=-3", 206, "ext");
    made = get("/db/d/foo.txt", "", "bytes=2-", 206);
    cr_assert_str_eq(call_field(made, "Content-Range"), "bytes 2-28/29");
    call_free(made);
    made = get("/db/d/foo.txt", "", "bytes=5-3", 416);
    cr_assert_str_eq(call_text(made), "{\"error\":\"requested_range_not_satisfiable\",\"reason\":"
                                      "\"Requested range not satisfiable\"}\n");
    call_free(made);
    made = get("/db/d/foo.txt", "", "bytes=0-3,-4", 206);
    cr_assert_eq(strncmp(made->content_type, "multipart/byteranges; boundary=\"", 32), 0);
    cr_assert_not_null(strstr(call_text(made),
                              "\r\nContent-Type: " TYPE
                              "\r\nContent-Range: bytes 0-3/29\r\n\r\nThis\r\n--"));
    cr_assert_not_null(
        strstr(call_text(made), "\r\nContent-Range: bytes 25-28/29\r\n\r\ntext\r\n--"));
    call_free(made);
}

/* Larger than two chunks, and of no length that base64 or a chunk likes. */
static struct bytes large(void)
{
    static uint8_t content[2 * ATTACHMENT_CHUNK_BYTES + 1001];

    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 31 + i / 253);
    return bytes_of(content, sizeof(content));
}

Test(attachments, large_content_is_put_and_read_in_chunks)
{
    struct bytes content = large();
    struct buf text = BUF_INIT(4 * MIB);
    char rev[64], range[64];
    struct call *made;

    put("/db/d/a/b%20c.bin", content, "x/y;z=1", 201, rev);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 3);
    made = get("/db/d/a/b%20c.bin", "", "", 200);
    cr_assert(bytes_equal(buf_bytes(&made->body), content));
    cr_assert_eq(made->length, content.len);
    cr_assert_str_eq(made->content_type, "x/y;z=1");
    cr_assert_geq(made->drains_n, 2);
    call_free(made);
    snprintf(range, sizeof(range), "bytes=%zu-%zu", ATTACHMENT_CHUNK_BYTES - 2,
             2 * ATTACHMENT_CHUNK_BYTES + 4);
    made = get("/db/d/a/b%20c.bin", "", range, 206);
    cr_assert(bytes_equal(buf_bytes(&made->body), bytes_slice(content, ATTACHMENT_CHUNK_BYTES - 2,
                                                              ATTACHMENT_CHUNK_BYTES + 7)));
    call_free(made);
    base64_encode(content, &text);
    buf_put_u8(&text, '"');
    made = get("/db/d?attachments=true", "application/json", "", 200);
    cr_assert_not_null(memmem(made->body.data, made->body.len, text.data, text.len));
    call_free(made);
    buf_fini(&text);
}

Test(attachments, head_tells_the_length_and_304_spares_the_content)
{
    char rev[64];
    struct call *made;

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    made = call(&documents, METHOD_HEAD, "/db/d/foo.txt", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->length, strlen(TEXT));
    cr_assert_eq(made->body.len, 0);
    call_free(made);
    made = call_begin(&documents, METHOD_GET, "/db/d/foo.txt", BYTES_NONE);
    made->exchange.request.if_none_match = bytes_str("aEI7pOYCRBLTRQvvqYrrJQ==");
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 304);
    call_free(made);
}

Test(attachments, edits_of_one_keep_the_body_and_the_others)
{
    char rev[64], target[256];
    struct call *made;

    put("/db/d", bytes_str("{\"x\":1}"), "application/json", 201, rev);
    snprintf(target, sizeof(target), "/db/d/one?rev=%s", rev);
    put(target, bytes_str("1"), "text/plain", 201, rev);
    snprintf(target, sizeof(target), "/db/d/two?rev=%s", rev);
    made = request(METHOD_PUT, target, bytes_str("22"), "text/plain");
    cr_assert_str_eq(call_field(made, "Location"), "http://localhost:7601/db/d/two");
    snprintf(rev, sizeof(rev), "%.34s", strstr(call_text(made), "\"rev\":\"") + 7);
    call_free(made);
    reads("/db/d/one", "", 200, "1");
    made = get("/db/d", "", "", 200);
    cr_assert_not_null(strstr(call_text(made), "\"x\":1"));
    cr_assert_not_null(
        strstr(call_text(made), "\"two\":{\"content_type\":\"text/plain\",\"revpos\":3"));
    cr_assert_not_null(
        strstr(call_text(made), "\"one\":{\"content_type\":\"text/plain\",\"revpos\":2"));
    call_free(made);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 2);
    snprintf(target, sizeof(target), "/db/d/one?rev=%s", rev);
    made = request(METHOD_DELETE, target, BYTES_NONE, "");
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    cr_assert_null(call_field(made, "Location"));
    call_free(made);
    expect_error(&documents, METHOD_GET, "/db/d/one", NULL, 404, "not_found",
                 "Document is missing attachment");
    reads("/db/d/two", "", 200, "22");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1);
}

/* CouchDB's attachments tests: delete attachment, saves binary, reserved ids. */
Test(attachments, edits_are_refused_as_couchdb_refuses_them)
{
    char rev[64], target[256];

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    expect_error(&documents, METHOD_DELETE, "/db/d/foo.txt", NULL, 409, "conflict",
                 "Document update conflict.");
    expect_error(&documents, METHOD_DELETE, "/db/d/foo.txt?rev=4-garbage", NULL, 409, "not_found",
                 "missing_rev");
    snprintf(target, sizeof(target), "/db/d/notexisting.txt?rev=%s", rev);
    expect_error(&documents, METHOD_DELETE, target, NULL, 404, "not_found",
                 "Document is missing attachment");
    expect_error(&documents, METHOD_DELETE, "/db/nosuch/foo.txt", NULL, 404, "not_found",
                 "missing");
    expect_error(&documents, METHOD_PUT, "/db/d/foo.txt", "x", 409, "conflict",
                 "Document update conflict.");
    expect_error(&documents, METHOD_PUT, "/db/_nonexistant/attachment.txt", "x", 400,
                 "illegal_docid", "Only reserved document ids may start with underscore.");
    expect_error(&documents, METHOD_PUT, "/db/d/_foo", "x", 400, "bad_request",
                 "Attachment name '_foo' starts with prohibited character '_'");
    expect_error(&documents, METHOD_GET, "/db/d/foo.txt?rev=x", NULL, 400, "bad_request",
                 "Invalid rev format");
    expect_error(&documents, METHOD_GET, "/db/nosuch/foo.txt", NULL, 404, "not_found", "missing");
}

Test(attachments, stubs_keep_contents_and_what_is_not_named_goes)
{
    char rev[64], body[512];

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    snprintf(body, sizeof(body),
             "{\"_rev\":\"%s\",\"n\":2,\"_attachments\":{\"foo.txt\":{\"stub\":true},"
             "\"bar\":{\"data\":\"\"}}}",
             rev);
    put("/db/d", bytes_str(body), "application/json", 201, rev);
    reads("/db/d/foo.txt", "", 200, TEXT);
    reads("/db/d/bar", "", 200, "");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 2);
    snprintf(body, sizeof(body),
             "{\"_rev\":\"%s\",\"_attachments\":{\"foo.txt\":{\"stub\":true,\"revpos\":10}}}", rev);
    expect_error(&documents, METHOD_PUT, "/db/d", body, 412, "missing_stub",
                 "Invalid attachment stub in d for foo.txt");
    expect_error(&documents, METHOD_PUT, "/db/new",
                 "{\"_attachments\":{\"foo.txt\":{\"stub\":true}}}", 412, "missing_stub",
                 "Invalid attachment stub in new for foo.txt");
    snprintf(body, sizeof(body), "{\"_rev\":\"%s\"}", rev);
    put("/db/d", bytes_str(body), "application/json", 201, rev);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

Test(attachments, deleted_documents_and_databases_leave_no_chunk)
{
    char rev[64], target[256];

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    put("/db/e", bytes_str(INLINE), "application/json", 201, target);
    snprintf(target, sizeof(target), "/db/d?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1);
    put("/db/d/foo.txt", bytes_str("again"), "text/plain", 201, rev);
    reads("/db/d/foo.txt", "", 200, "again");
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

#define PART "\r\n--abc123\r\n\r\n"
#define FOLLOWS(name, length)                                                                      \
    "\"" name "\":{\"follows\":true,\"content_type\":\"application/test\",\"length\":" length "}"

/* CouchDB's attachments_multipart test. */
Test(attachments, multipart_documents_come_and_go)
{
    const char *type = "multipart/related;boundary=\"abc123\"";
    char rev[64], first[64], body[1024];
    struct call *made;

    put("/db/m",
        bytes_str(
            "--abc123\r\ncontent-type: application/json\r\n\r\n{\"body\":\"This is a body.\","
            "\"_attachments\":{" FOLLOWS("foo.txt", "21") "," FOLLOWS("bar.txt", "20") "," FOLLOWS(
                "baz.txt", "19") "}}" PART "this is 21 chars long" PART "this is 20 chars lon" PART
                                 "this is 19 chars lo\r\n--abc123--epilogue"),
        type, 201, first);
    reads("/db/m/foo.txt", "", 200, "this is 21 chars long");
    reads("/db/m/bar.txt", "", 200, "this is 20 chars lon");
    reads("/db/m/baz.txt", "", 200, "this is 19 chars lo");
    snprintf(
        body, sizeof(body),
        "--abc123\r\n\r\n{\"_rev\":\"%s\",\"_attachments\":{\"foo.txt\":{\"stub\":true},%s}}%s%s",
        first, FOLLOWS("bar.txt", "18"), PART, "this is 18 chars l\r\n--abc123--");
    put("/db/m", bytes_str(body), type, 201, rev);
    reads("/db/m/bar.txt", "", 200, "this is 18 chars l");
    expect_error(&documents, METHOD_GET, "/db/m/baz.txt", NULL, 404, "not_found",
                 "Document is missing attachment");
    made = get("/db/m?attachments=true", "multipart/related,*/*;", "", 200);
    cr_assert_eq(strncmp(made->content_type, "multipart/related; boundary=\"", 29), 0);
    cr_assert_not_null(strstr(call_text(made),
                              "\r\nContent-Disposition: attachment; filename=\"foo.txt\"\r\n"
                              "Content-Type: application/test\r\nContent-Length: 21\r\n\r\n"
                              "this is 21 chars long\r\n--"));
    cr_assert_not_null(strstr(call_text(made), "\"follows\":true"));
    call_free(made);
    snprintf(body, sizeof(body), "/db/m?atts_since=[%%22%s%%22]", first);
    made = get(body, "multipart/related", "", 200);
    cr_assert_null(strstr(call_text(made), "this is 21 chars long"));
    cr_assert_not_null(strstr(call_text(made), "this is 18 chars l\r\n--"));
    cr_assert_not_null(strstr(call_text(made), "\"length\":21,\"stub\":true}"));
    call_free(made);
}

Test(attachments, broken_multipart_is_refused_and_leaves_nothing)
{
    static const char *const bodies[] = {
        "",
        "--abc123\r\n\r\n{",
        "--abc123\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true}}}\r\n--abc123--",
        "--abc123\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true}}}" PART "x",
        "--abc123\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true}}}" PART "x" PART
        "y\r\n--abc123--",
        "--abc123\r\n\r\n{\"_attachments\":{\"a\":{\"follows\":true,\"length\":2}}}" PART
        "x\r\n--abc123--",
    };
    char rev[64];

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++)
        put("/db/m", bytes_str(bodies[i]), "multipart/related; boundary=abc123", 400, rev);
    put("/db/m", bytes_str("--\r\n\r\n{}\r\n----"), "multipart/related", 400, rev);
    put("/db/m", bytes_str("{\"_attachments\":{\"a\":{\"follows\":true}}}"), "application/json",
        400, rev);
    expect_error(&documents, METHOD_GET, "/db/m", NULL, 404, "not_found", "missing");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

Test(attachments, design_documents_and_restarts_keep_theirs)
{
    char rev[64];

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    documents_restart(&documents);
    reads("/db/d/foo.txt", "", 200, TEXT);
    put("/db/_design/d/a/b", bytes_str("in a design"), "text/plain", 201, rev);
    reads("/db/_design/d/a/b", "", 200, "in a design");
    reads("/db/_design%2Fd/a/b", "", 200, "in a design");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 2);
}

Test(attachments, damaged_chunk_is_an_error_and_not_a_content)
{
    char rev[64];
    struct wire_command command;
    struct record_key key = {.len = 0};

    put("/db/d", bytes_str(INLINE), "application/json", 201, rev);
    cr_assert_neq(documents_chunks_n(&documents, &key), 0);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), 2, 0, bytes_str("not what was put there"));
    documents_apply(&documents, &command);
    expect_error(&documents, METHOD_GET, "/db/d/foo.txt", NULL, 500, "corrupt",
                 "the stored record does not authenticate");
}

static long long size_of_db(void)
{
    struct call *made = get("/db", "", "", 200);
    const char *at = strstr(call_text(made), "\"active\":");
    long long size;

    cr_assert_not_null(at);
    size = strtoll(at + strlen("\"active\":"), NULL, 10);
    call_free(made);
    return size;
}

/* Of what lies there now: after a restart, and once it is gone. */
Test(attachments, contents_count_in_the_size_of_their_database)
{
    static uint8_t content[700000];
    char rev[64], target[128];
    long long empty = size_of_db(), full;

    put("/db/a/x", bytes_of(content, sizeof(content)), "a/b", 201, rev);
    full = size_of_db();
    cr_assert_geq(full - empty, (long long)sizeof(content));
    cr_assert_lt(full - empty, (long long)sizeof(content) + 4096);
    documents_restart(&documents);
    cr_assert_eq(size_of_db(), full);
    snprintf(target, sizeof(target), "/db/a/x?rev=%s", rev);
    put(target, bytes_of(content, 1), "a/b", 201, rev);
    cr_assert_lt(size_of_db() - empty, 4096);
}
