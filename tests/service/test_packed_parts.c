/* Attachments that come packed by gzip in multipart/related, as CouchDB sends those whose type it
 * takes for text: what is kept is the content, whatever length came. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "doc/attachment_chunk.h"
#include "service/documents/unnamed.h"
#include "service/documents/upload.h"

#define LONG_BYTES (5 * MIB + 1001)
#define WAIT_MS 20000
#define REV "3-cccccccccccccccccccccccccccccccc"

static struct documents documents;
static uint8_t content[LONG_BYTES], packed[LONG_BYTES + 64 * KIB];

static void setup(void)
{
    documents_init(&documents);
    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(packed_parts, .init = setup, .fini = teardown, .timeout = 120);

/* Zeros pack to a thousandth, noise to more than it is. */
static struct bytes pack(size_t len, bool noise)
{
    z_stream stream = {0};
    uint32_t at = 99;

    for (size_t i = 0; i < len; i++) {
        at = at * 1103515245u + 12345u;
        content[i] = noise ? (uint8_t)(at >> 16) : 0;
    }
    cr_assert_eq(deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    stream.next_in = content;
    stream.avail_in = (uInt)len;
    stream.next_out = packed;
    stream.avail_out = sizeof(packed);
    cr_assert_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    (void)deflateEnd(&stream);
    return bytes_of(packed, sizeof(packed) - stream.avail_out);
}

/* What CouchDB's replicator sends: the digest is of the gzip. */
static void make_body(const char *encoding, size_t length, struct bytes gzip, struct buf *out)
{
    buf_put_str(out, "--bound\r\nContent-Type: application/json\r\n\r\n{\"_rev\":\"" REV "\","
                     "\"_attachments\":{\"a.txt\":{\"follows\":true,\"content_type\":"
                     "\"text/plain\",\"revpos\":2,\"digest\":\"md5-aEI7pOYCRBLTRQvvqYrrJQ==\",");
    buf_printf(out,
               "\"length\":%zu,\"encoding\":\"%s\",\"encoded_length\":%zu},"
               "\"plain\":{\"follows\":true,\"length\":4}}}",
               length, encoding, gzip.len);
    buf_put_str(out, "\r\n--bound\r\nContent-Encoding: gzip\r\nContent-Disposition: attachment; "
                     "filename=\"a.txt\"\r\n\r\n");
    buf_put_bytes(out, gzip);
    buf_put_str(out, "\r\n--bound\r\n\r\nmore\r\n--bound--");
}

static bool streamed = true;

static int put(const char *target, const char *encoding, size_t length, struct bytes gzip)
{
    struct buf body = BUF_INIT(16 * MIB);
    struct call *made;
    int status;

    make_body(encoding, length, gzip, &body);
    cr_assert_eq(buf_error(&body), QK_OK);
    made = call_begin(&documents, METHOD_PUT, target, buf_bytes(&body));
    made->exchange.request.content_type = bytes_str("multipart/related; boundary=\"bound\"");
    if (streamed)
        call_stream(made, true);
    call_start(made);
    call_run(made);
    status = made->status;
    cr_assert_null(strstr(call_text(made), "internal"), "%s", call_text(made));
    call_free(made);
    buf_fini(&body);
    return status;
}

static void reads(const char *target, struct bytes expected)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);

    cr_assert_eq(made->status, 200, "%s", target);
    cr_assert(bytes_equal(buf_bytes(&made->body), expected), "%s", target);
    cr_assert_null(call_field(made, "Content-Encoding"));
    call_free(made);
}

/* Nothing is left of it. */
static void left_nothing(void)
{
    uint64_t began = uv_hrtime();

    unnamed_soon(documents.service.unnamed);
    while (documents_unnamed_n(&documents, NULL) > 0) {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, WAIT_MS, "an unnamed content stays");
    }
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

Test(packed_parts, what_is_kept_is_the_content_of_any_length_and_any_ratio)
{
    static const size_t lengths[] = {0,         1,       1000,          ATTACHMENT_CHUNK_BYTES,
                                     512 * KIB, 1 * MIB, 512 * KIB + 1, LONG_BYTES};
    size_t chunks_n = 0;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
        for (int noise = 0; noise < 2; noise++) {
            char target[64], id[32];
            struct bytes gzip = pack(lengths[i], noise != 0);

            snprintf(id, sizeof(id), "/db/d%zu-%d", i, noise);
            snprintf(target, sizeof(target), "%s?new_edits=false", id);
            cr_assert_eq(put(target, "gzip", lengths[i], gzip), 201, "%s", target);
            snprintf(target, sizeof(target), "%s/a.txt", id);
            reads(target, bytes_of(content, lengths[i]));
            snprintf(target, sizeof(target), "%s/plain", id);
            reads(target, bytes_str("more"));
            chunks_n += attachment_chunks_n(lengths[i]) + 1;
            cr_assert_eq(documents_chunks_n(&documents, NULL), chunks_n, "%s", target);
        }
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
}

Test(packed_parts, what_is_no_whole_gzip_or_not_of_that_length_leaves_nothing)
{
    static const size_t lengths[] = {1000, LONG_BYTES};

    for (size_t i = 0; i < 2; i++) {
        struct bytes gzip = pack(lengths[i], true);

        cr_assert_eq(put("/db/d?new_edits=false", "gzip", lengths[i] - 1, gzip), 400);
        cr_assert_eq(
            put("/db/d?new_edits=false", "gzip", lengths[i], bytes_slice(gzip, 0, gzip.len - 1)),
            400);
        cr_assert_eq(put("/db/d?new_edits=false", "gzip", lengths[i], BYTES_NONE), 400);
        cr_assert_eq(
            put("/db/d?new_edits=false", "gzip", lengths[i], bytes_of(content, lengths[i])), 400);
        packed[gzip.len] = 'x';
        gzip.len++;
        cr_assert_eq(put("/db/d?new_edits=false", "gzip", lengths[i], gzip), 400);
        left_nothing();
    }
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
}

Test(packed_parts, other_encodings_and_what_the_document_does_not_tell_are_refused)
{
    struct bytes gzip = pack(1000, false);

    cr_assert_eq(put("/db/d?new_edits=false", "br", 1000, gzip), 415);
    cr_assert_eq(put("/db/d?new_edits=false", "identity", 1000, gzip), 415);
    left_nothing();
}

/* A short body is there as a whole, however long what it unpacks to. */
Test(packed_parts, bodies_that_are_not_streamed_do_as_well)
{
    streamed = false;
    cr_assert_eq(put("/db/d?new_edits=false", "gzip", 1000, pack(1000, true)), 201);
    reads("/db/d/a.txt", bytes_of(content, 1000));
    cr_assert_eq(put("/db/e?new_edits=false", "gzip", LONG_BYTES, pack(LONG_BYTES, false)), 201);
    reads("/db/e/a.txt", bytes_of(content, LONG_BYTES));
    reads("/db/e/plain", bytes_str("more"));
    cr_assert_eq(put("/db/f?new_edits=false", "gzip", 999, pack(1000, true)), 400);
    cr_assert_eq(put("/db/f?new_edits=false", "br", 1000, pack(1000, true)), 415);
    expect_error(&documents, METHOD_GET, "/db/f", NULL, 404, "not_found", "missing");
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
}

static size_t command_max;

static void note_command(struct documents *of, struct bytes command)
{
    (void)of;
    if (command.len > command_max)
        command_max = command.len;
}

/* Five KiB that are five MiB. */
Test(packed_parts, what_unpacks_to_much_goes_piece_by_piece_and_ends_at_the_limit)
{
    struct bytes gzip = pack(LONG_BYTES, false);

    cr_assert_lt(gzip.len, LONG_BYTES / 100);
    command_max = 0;
    documents.submitted = note_command;
    cr_assert_eq(put("/db/d?new_edits=false", "gzip", LONG_BYTES, gzip), 201);
    documents.submitted = NULL;
    cr_assert_leq(command_max, UPLOAD_COMMAND_BYTES + 4 * KIB);
    expect(&documents, METHOD_DELETE, "/db/d?rev=" REV, NULL, 200, NULL);
    left_nothing();
    documents.service.attachment_bytes_max = 2 * MIB;
    cr_assert_eq(put("/db/e?new_edits=false", "gzip", LONG_BYTES, gzip), 413);
    left_nothing();
}
