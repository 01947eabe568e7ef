/* Long attachments: written before the document that names them, and gone if none ever does. Over
 * 500 lines, since all of it is about one course of events, with one set of helpers. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "doc/attachment_chunk.h"
#include "service/documents/unnamed.h"
#include "service/unnamed_record.h"
#include "service/documents/upload.h"
#include "wire/records.h"

#define LONG_BYTES (3 * MIB + 1001)
#define WAIT_MS 20000

static struct documents documents;
static uint8_t content[LONG_BYTES];

static void setup(void)
{
    documents_init(&documents);
    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)(i * 31 + i / 253);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(upload, .init = setup, .fini = teardown, .timeout = 120);

static struct bytes part(size_t len)
{
    return bytes_of(content, len);
}

static struct call *begin(const char *target, size_t len, bool known)
{
    struct call *made = call_begin(&documents, METHOD_PUT, target, part(len));

    made->exchange.request.content_type = bytes_str("x/y");
    call_stream(made, known);
    return made;
}

static int end(struct call *made)
{
    int status;

    call_run(made);
    status = made->status;
    call_free(made);
    return status;
}

static int put(const char *target, size_t len, bool known)
{
    struct call *made = begin(target, len, known);

    call_start(made);
    return end(made);
}

static void reads(const char *target, size_t len)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);

    cr_assert_eq(made->status, 200, "%s", target);
    cr_assert(bytes_equal(buf_bytes(&made->body), part(len)));
    call_free(made);
}

static void wait_ms(uint64_t ms)
{
    uint64_t until = uv_hrtime() + ms * 1000000;

    while (uv_hrtime() < until)
        (void)uv_run(&documents.loop, UV_RUN_NOWAIT);
}

/* Until what nobody names is gone. */
static void settle(void)
{
    uint64_t began = uv_hrtime();

    unnamed_soon(documents.service.unnamed);
    do {
        wait_ms(20);
        cr_assert_lt((uv_hrtime() - began) / 1000000, WAIT_MS, "an unnamed content stays");
    } while (documents_unnamed_n(&documents, NULL) > 0);
}

/* Of what has come, less than this may wait in the connection for more. */
#define FEED_BYTES (512 * KIB)

/* Runs until so many chunks are written: those of one command come when more than a command's
 * worth, and FEED_BYTES, have been sent. */
static void run_to(size_t chunks_n)
{
    while (documents_chunks_n(&documents, NULL) < chunks_n)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
}

/* Runs until all has come up to where it stops, and nothing comes by itself any more. */
static void run_to_stop(const struct call *made)
{
    while (made->announced - made->coming.len < made->stop_at ||
           uv_is_active((const uv_handle_t *)&made->body_timer))
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
}

static size_t command_max;

static void note_command(struct documents *of, struct bytes command)
{
    (void)of;
    if (command.len > command_max)
        command_max = command.len;
}

Test(upload, long_content_is_written_by_small_commands_before_its_document)
{
    command_max = 0;
    documents.submitted = note_command;
    cr_assert_eq(put("/db/d/a", LONG_BYTES, true), 201);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
    cr_assert_leq(command_max, UPLOAD_COMMAND_BYTES + 4 * KIB);
    reads("/db/d/a", LONG_BYTES);
    cr_assert_eq(put("/db/e/a", 2 * MIB, false), 201);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13 + 8);
    reads("/db/e/a", 2 * MIB);
    documents_restart(&documents);
    reads("/db/d/a", LONG_BYTES);
}

Test(upload, a_short_one_of_unknown_length_is_one_command)
{
    size_t before;

    cr_assert_eq(put("/db/d/a", 100, false), 201);
    before = documents.submitted_n;
    cr_assert_eq(put("/db/e/a", 300 * KIB, false), 201);
    cr_assert_eq(documents.submitted_n, before + 1);
    reads("/db/e/a", 300 * KIB);
}

Test(upload, a_write_that_would_not_be_made_is_refused_before_its_body_is_taken)
{
    struct call *made;
    char rev[64];

    put_doc(&documents, "/db/d", "{}", rev);
    made = begin("/db/d/a?rev=1-00000000000000000000000000000000", LONG_BYTES, true);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 409);
    cr_assert_str_eq(call_text(made), "{\"error\":\"not_found\",\"reason\":\"missing_rev\"}\n");
    call_free(made);
    cr_assert_eq(put("/nosuch/d/a", LONG_BYTES, true), 404);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
}

Test(upload, more_than_the_setting_allows_is_413_and_leaves_nothing)
{
    struct call *made;

    documents.service.attachment_bytes_max = 2 * MIB;
    made = begin("/db/d/a%2Fb", LONG_BYTES, true);
    call_start(made);
    cr_assert(made->ended, "announced, so refused at once");
    cr_assert_str_eq(call_text(made), "{\"error\":\"attachment_too_large\",\"reason\":\"a/b\"}\n");
    cr_assert_eq(end(made), 413);
    cr_assert_eq(put("/db/d/a", LONG_BYTES, false), 413);
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    cr_assert_eq(put("/db/d/a", 2 * MIB, true), 201);
}

Test(upload, another_digest_than_announced_leaves_nothing)
{
    struct call *made = begin("/db/d/a", LONG_BYTES, true);

    made->exchange.request.content_md5 = bytes_str("aEI7pOYCRBLTRQvvqYrrJQ==");
    call_start(made);
    cr_assert_eq(end(made), 400);
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

Test(upload, whose_client_goes_away_leaves_nothing)
{
    for (size_t stop = 1; stop <= 3; stop++) {
        struct call *made = begin("/db/d/a", LONG_BYTES, true);

        made->stop_at = stop < 3 ? stop * MIB + FEED_BYTES : LONG_BYTES - 1;
        call_start(made);
        run_to(stop == 1 ? 4 : 8);
        cr_assert_eq(documents_unnamed_n(&documents, NULL), 1);
        wait_ms(1500); /* one that is under way is not taken for dead */
        cr_assert_eq(documents_unnamed_n(&documents, NULL), 1);
        call_vanish(made);
        (void)end(made);
        settle();
        cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    }
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
}

/* Chunks that were applied and not yet in the file once stayed for ever, when the upload ended
 * after the look's first flush. A look comes some second after the one before. */
Test(upload, one_that_ends_while_it_is_looked_for_leaves_nothing)
{
    for (unsigned i = 0; i < 5; i++) {
        struct call *made = begin("/db/d/a", LONG_BYTES, true);

        settle();
        made->stop_at = 1 * MIB + FEED_BYTES;
        call_start(made);
        run_to(4);
        unnamed_soon(documents.service.unnamed);
        wait_ms(900 + 25 * i);
        made->stop_at = 2 * MIB + 7;
        call_go_on(made);
        run_to_stop(made);
        wait_ms(10 * i);
        call_vanish(made);
        (void)end(made);
        settle();
        cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    }
}

Test(upload, of_two_at_once_one_is_written_and_the_other_leaves_nothing)
{
    struct call *first = begin("/db/d/a", LONG_BYTES, true);
    struct call *second = begin("/db/d/a", LONG_BYTES - 5, true);

    first->stop_at = second->stop_at = 2 * MIB;
    call_start(first);
    call_start(second);
    run_to(8);
    run_to_stop(first); /* or it goes on by itself, and may be the one */
    first->stop_at = second->stop_at = LONG_BYTES;
    call_go_on(second);
    cr_assert_eq(end(second), 201);
    call_go_on(first);
    cr_assert_eq(end(first), 409);
    settle();
    reads("/db/d/a", LONG_BYTES - 5);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
}

Test(upload, a_database_that_goes_meanwhile_takes_it_along)
{
    struct call *made = begin("/db/d/a", LONG_BYTES, true);

    made->stop_at = 2 * MIB;
    call_start(made);
    run_to(4);
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    made->stop_at = LONG_BYTES;
    call_go_on(made);
    cr_assert_eq(end(made), 404);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
}

/* What another leader does that takes the upload for dead. */
static void delete_unnamed(void)
{
    struct record_key key, prefix;
    struct wire_command command;
    uint8_t id[ATTACHMENT_ID_BYTES];

    cr_assert_eq(documents_unnamed_n(&documents, &key), 1);
    cr_assert(record_key_unnamed(record_key_bytes(&key), id));
    prefix = record_attachment(key.data, id);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_cond(&command, record_key_bytes(&key), 1);
    wire_command_delete_range(&command, record_key_bytes(&prefix));
    wire_command_delete(&command, record_key_bytes(&key));
    documents_apply(&documents, &command);
}

Test(upload, one_that_another_leader_took_for_dead_is_not_gone_on_with)
{
    static const size_t stops[] = {2 * MIB, LONG_BYTES - 1};

    for (size_t i = 0; i < 2; i++) {
        struct call *made = begin("/db/d/a", LONG_BYTES, true);

        made->stop_at = stops[i];
        call_start(made);
        run_to(i == 0 ? 4 : 8);
        wait_ms(100);
        delete_unnamed();
        made->stop_at = LONG_BYTES;
        call_go_on(made);
        cr_assert_eq(end(made), 503);
        settle();
        cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    }
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
}

static void interfere_delete(struct documents *of)
{
    (void)of;
    delete_unnamed();
}

static void interfere_last(struct documents *of, struct bytes command)
{
    if (command.len < 64 * KIB) /* the document's */
        of->interfere = interfere_delete;
}

Test(upload, a_deletion_that_is_first_in_the_log_wins_over_the_document)
{
    struct call *made = begin("/db/d/a", LONG_BYTES, true);

    documents.submitted = interfere_last;
    call_start(made);
    cr_assert_eq(end(made), 503);
    documents.submitted = NULL;
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
}

Test(upload, what_a_leader_left_behind_is_deleted_by_the_next)
{
    struct call *made = begin("/db/d/a", LONG_BYTES, true);

    cr_assert_eq(put("/db/kept/a", LONG_BYTES, true), 201);
    made->stop_at = 2 * MIB;
    call_start(made);
    run_to(13 + 4);
    documents.leader = false;
    made->stop_at = LONG_BYTES;
    call_go_on(made);
    cr_assert_eq(end(made), 503);
    documents_restart(&documents);
    wait_ms(1200);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 1, "only a leader may");
    documents.leader = true;
    documents.term++;
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
    reads("/db/kept/a", LONG_BYTES);
}

static size_t fail_at, seen_n;

static void fail_command(struct documents *of, struct bytes command)
{
    (void)command;
    if (++seen_n == fail_at)
        of->submit_err = QK_ERR_UNKNOWN_OUTCOME;
}

/* At each command of an upload: it is lost, or it is applied and the leader does not know. */
Test(upload, a_crash_at_any_command_leaves_the_whole_or_nothing)
{
    for (int applied = 0; applied < 2; applied++)
        for (fail_at = 1; fail_at <= 5; fail_at++) {
            char target[64], doc[64];
            struct call *made;
            int status;

            snprintf(target, sizeof(target), "/db/d%d%zu/a", applied, fail_at);
            snprintf(doc, sizeof(doc), "/db/d%d%zu", applied, fail_at);
            seen_n = 0;
            documents.submit_apply_first = applied != 0;
            documents.submitted = fail_command;
            made = begin(target, LONG_BYTES, true);
            call_start(made);
            status = end(made);
            documents.submitted = NULL;
            settle();
            made = call(&documents, METHOD_GET, doc, NULL);
            if (fail_at == 5) /* the document's own: its outcome is unknown */
                cr_assert_eq(made->status, applied ? 200 : 404);
            else
                cr_assert_eq(made->status, 404);
            cr_assert_eq(status, 503);
            call_free(made);
            cr_assert_eq(documents_chunks_n(&documents, NULL), applied && fail_at == 5 ? 13 : 0);
        }
    reads("/db/d15/a", LONG_BYTES);
}

Test(upload, dropped_content_of_many_chunks_is_deleted_in_pieces)
{
    struct call *made;
    char rev[64];

    cr_assert_eq(put("/db/d/a", LONG_BYTES, true), 201);
    for (int i = 0; i < 2; i++) { /* an edit, a purge */
        static uint8_t longer[5 * MIB];

        made = call_begin(&documents, METHOD_PUT, "/db/long/a", bytes_of(longer, sizeof(longer)));
        call_stream(made, true);
        call_start(made);
        call_run(made);
        cr_assert_eq(made->status, 201, "%s", call_text(made));
        snprintf(rev, sizeof(rev), "%.34s", strstr(call_text(made), "\"rev\":\"") + 7);
        call_free(made);
        cr_assert_eq(documents_chunks_n(&documents, NULL), 13 + 20);
        if (i == 0) {
            char target[128];

            snprintf(target, sizeof(target), "/db/long?rev=%s", rev);
            expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
        } else {
            char body[128];

            snprintf(body, sizeof(body), "{\"long\":[\"%s\"]}", rev);
            expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
        }
        settle();
        cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
    }
    reads("/db/d/a", LONG_BYTES);
}

/* --- records that were forged or put back ------------------------------------------------------
 */

static void put_unnamed(const uint8_t *database, const uint8_t *id, struct bytes value)
{
    struct record_key key = record_unnamed(database, id);
    struct wire_command command;

    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), 1, 0, value);
    documents_apply(&documents, &command);
}

Test(upload, a_record_that_comes_back_deletes_nothing_that_a_document_names)
{
    struct buf value = BUF_INIT(UNNAMED_RECORD_BYTES_MAX);
    uint8_t id[ATTACHMENT_ID_BYTES];
    struct unnamed_figures figures;
    struct record_key chunk;
    uint32_t at;

    cr_assert_eq(put("/db/d/a", LONG_BYTES, true), 201);
    cr_assert_eq(documents_chunks_n(&documents, &chunk), 13);
    cr_assert(record_key_chunk(record_key_bytes(&chunk), id, &at));
    cr_assert_eq(unnamed_record_encode(&documents.service, chunk.data, id, bytes_str("d"), &value),
                 QK_OK);
    put_unnamed(chunk.data, id, buf_bytes(&value));
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
    /* Of another document, which does not name it: the mac is over the name. */
    value.data[value.len - 1] = 'e';
    put_unnamed(chunk.data, id, buf_bytes(&value));
    unnamed_soon(documents.service.unnamed);
    wait_ms(2500);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13);
    unnamed_figures(documents.service.unnamed, &figures);
    cr_assert_geq(figures.damaged_n, 1);
    reads("/db/d/a", LONG_BYTES);
    buf_fini(&value);
}

Test(unnamed_record, damage_of_any_byte_is_found)
{
    struct buf value = BUF_INIT(UNNAMED_RECORD_BYTES_MAX);
    uint8_t database[DATABASE_ID_BYTES] = {1}, id[ATTACHMENT_ID_BYTES] = {2};
    struct bytes name;

    documents_init(&documents);
    cr_assert_eq(unnamed_record_encode(&documents.service, database, id, bytes_str("name"), &value),
                 QK_OK);
    cr_assert_eq(unnamed_record_decode(&documents.service, database, id, buf_bytes(&value), &name),
                 QK_OK);
    cr_assert(bytes_equal(name, bytes_str("name")));
    for (size_t i = 0; i < value.len; i++) {
        value.data[i] ^= 1;
        cr_assert_eq(
            unnamed_record_decode(&documents.service, database, id, buf_bytes(&value), &name),
            QK_ERR_CORRUPT);
        value.data[i] ^= 1;
        cr_assert_eq(unnamed_record_decode(&documents.service, database, id,
                                           bytes_slice(buf_bytes(&value), 0, i), &name),
                     QK_ERR_CORRUPT);
    }
    id[0]++;
    cr_assert_eq(unnamed_record_decode(&documents.service, database, id, buf_bytes(&value), &name),
                 QK_ERR_CORRUPT);
    buf_fini(&value);
    documents_fini(&documents);
}

/* --- multipart/related -------------------------------------------------------------------------
 */

#define PARTS_JSON                                                                                 \
    "{\"a\":1,\"_attachments\":{\"long\":{\"follows\":true,\"content_type\":\"x/"                  \
    "y\",\"length\":%zu},"                                                                         \
    "\"short\":{\"follows\":true,\"content_type\":\"text/plain\"},\"empty\":{\"follows\":true}}}"

/* A document with a long, a short and an empty attachment. */
static void make_parts(size_t announced, struct buf *out)
{
    buf_put_str(out, "--bound\r\nContent-Type: application/json\r\n\r\n");
    buf_printf(out, PARTS_JSON, announced);
    buf_put_str(out, "\r\n--bound\r\n\r\n");
    buf_put_bytes(out, part(LONG_BYTES));
    buf_put_str(out, "\r\n--bound\r\nContent-Disposition: attachment; filename=\"short\"\r\n\r\n");
    buf_put_str(out, "some text\r\n--bound\r\n\r\n\r\n--bound--epilogue");
}

static struct call *begin_parts(const char *target, struct bytes body)
{
    struct call *made = call_begin(&documents, METHOD_PUT, target, body);

    made->exchange.request.content_type = bytes_str("multipart/related; boundary=\"bound\"");
    call_stream(made, true);
    return made;
}

static int put_parts(const char *target, struct bytes body)
{
    struct call *made = begin_parts(target, body);

    call_start(made);
    return end(made);
}

Test(upload, parts_of_a_document_go_each_to_its_attachment)
{
    struct buf body = BUF_INIT(8 * MIB);
    struct call *made;

    make_parts(LONG_BYTES, &body);
    cr_assert_eq(put_parts("/db/d", buf_bytes(&body)), 201);
    reads("/db/d/long", LONG_BYTES);
    made = call(&documents, METHOD_GET, "/db/d/short", NULL);
    cr_assert_str_eq(call_text(made), "some text");
    cr_assert_str_eq(made->content_type, "text/plain");
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/d/empty", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->body.len, 0);
    call_free(made);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13 + 2);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
    cr_assert_eq(put_parts("/db/d", buf_bytes(&body)), 409);
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 13 + 2);
    buf_fini(&body);
}

Test(upload, parts_that_are_not_as_announced_leave_nothing)
{
    struct buf body = BUF_INIT(8 * MIB);

    make_parts(LONG_BYTES - 1, &body);
    cr_assert_eq(put_parts("/db/d", buf_bytes(&body)), 400);
    buf_reset(&body);
    make_parts(LONG_BYTES, &body);
    for (size_t cut = body.len - 60; cut < body.len - 8; cut += 5)
        cr_assert_eq(put_parts("/db/d", bytes_slice(buf_bytes(&body), 0, cut)), 400);
    documents.service.attachment_bytes_max = 2 * MIB;
    cr_assert_eq(put_parts("/db/d", buf_bytes(&body)), 413);
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    buf_fini(&body);
}

Test(upload, parts_of_a_client_that_goes_away_leave_nothing)
{
    struct buf body = BUF_INIT(8 * MIB);
    struct call *made;

    make_parts(LONG_BYTES, &body);
    made = begin_parts("/db/d", buf_bytes(&body));
    made->stop_at = 2 * MIB;
    call_start(made);
    run_to(4);
    call_vanish(made);
    (void)end(made);
    settle();
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
    documents.leader = false; /* found out by the probe, inside the call that asks */
    cr_assert_eq(put_parts("/db/d", buf_bytes(&body)), 503);
    documents.leader = true;
    buf_fini(&body);
}

static int copy(const char *target, const char *destination)
{
    struct call *made = call_begin(&documents, METHOD_COPY, target, BYTES_NONE);

    made->exchange.request.destination = bytes_str(destination);
    call_start(made);
    return end(made);
}

/* Longer than what one command may bring, and in databases that hide ids. */
Test(upload, a_copy_has_long_contents_of_its_own)
{
    static const char *const databases[] = {"/db", "/hidden"};
    char target[64];
    size_t before;

    expect(&documents, METHOD_PUT, "/hidden?ids=hidden", NULL, 201, NULL);
    for (size_t i = 0; i < 2; i++) {
        snprintf(target, sizeof(target), "%s/d/a", databases[i]);
        before = documents_chunks_n(&documents, NULL);
        command_max = 0;
        documents.submitted = note_command;
        cr_assert_eq(put(target, LONG_BYTES, true), 201);
        snprintf(target, sizeof(target), "%s/d", databases[i]);
        cr_assert_eq(copy(target, "e"), 201);
        documents.submitted = NULL;
        cr_assert_lt(command_max, 2 * UPLOAD_COMMAND_BYTES);
        cr_assert_eq(documents_chunks_n(&documents, NULL) - before,
                     2 * attachment_chunks_n(LONG_BYTES));
        cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
        snprintf(target, sizeof(target), "%s/e/a", databases[i]);
        reads(target, LONG_BYTES);
    }
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    reads("/hidden/e/a", LONG_BYTES);
}

Test(upload, a_copy_that_would_not_be_written_uploads_nothing)
{
    size_t chunks_n;

    cr_assert_eq(put("/db/d/a", LONG_BYTES, true), 201);
    cr_assert_eq(put("/db/e/b", 10, true), 201);
    chunks_n = documents_chunks_n(&documents, NULL);
    cr_assert_eq(copy("/db/d", "e"), 409);
    cr_assert_eq(copy("/db/nosuch", "f"), 404);
    cr_assert_eq(documents_chunks_n(&documents, NULL), chunks_n);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
}
