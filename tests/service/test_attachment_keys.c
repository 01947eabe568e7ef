/* Contents of attachments, a short and a long one, through what happens to the data key of their
 * document: rotated, sealed again, shredded, another one's by COPY. A content has a key of its own,
 * so that its chunks stay as they are; and who cannot open the document opens no content. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "audit/audit.h"
#include "doc/attachment_chunk.h"
#include "service/catalog.h"
#include "service/documents/unnamed.h"
#include "service/integrity/verify_contents.h"
#include "service/keys/reencrypt.h"
#include "service/read.h"
#include "service/reencrypt_record.h"
#include "wire/records.h"

#define LONG_BYTES (2 * MIB + 1001)
#define SHORT_TEXT "short-canary-2f90 of a few bytes"
#define SHORT_BASE64 "c2hvcnQtY2FuYXJ5LTJmOTAgb2YgYSBmZXcgYnl0ZXM="
#define LONG_CANARY "long-canary-81d3"
#define DESTROYED "the data key is destroyed"

static struct documents documents;
static uint8_t content[LONG_BYTES];

static void setup(void)
{
    char path[300];

    documents_init(&documents);
    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    documents_watch_keyring(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"k\"}", 201, NULL);
    for (size_t i = 0; i < sizeof(content); i++)
        content[i] = (uint8_t)LONG_CANARY[i % (sizeof(LONG_CANARY) - 1)];
}

static void teardown(void)
{
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(attachment_keys, .init = setup, .fini = teardown, .timeout = 120);

/* --- both kinds of contents ------------------------------------------------------------------ */

/* The document with a short content in its JSON, and then the long one by itself. */
static void put_both(const char *target, const char *params, const char *long_name)
{
    char rev[64], with[256];
    struct call *made;

    snprintf(with, sizeof(with), "%s%s", target, params);
    put_doc(&documents, with,
            "{\"_attachments\":{\"short\":{\"content_type\":\"x/y\",\"data\":\"" SHORT_BASE64
            "\"}}}",
            rev);
    snprintf(with, sizeof(with), "%s/%s?rev=%s", target, long_name, rev);
    made = call_begin(&documents, METHOD_PUT, with, bytes_of(content, sizeof(content)));
    made->exchange.request.content_type = bytes_str("x/y");
    call_stream(made, true);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    call_free(made);
}

static void reads(const char *target, struct bytes expected, const char *key)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);

    cr_assert_eq(made->status, 200, "%s: %d", target, made->status);
    cr_assert(bytes_equal(buf_bytes(&made->body), expected), "%s", target);
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), key);
    call_free(made);
}

static void reads_both(const char *document, const char *key)
{
    char target[256];

    snprintf(target, sizeof(target), "%s/short", document);
    reads(target, bytes_str(SHORT_TEXT), key);
    snprintf(target, sizeof(target), "%s/long", document);
    reads(target, bytes_of(content, sizeof(content)), key);
}

/* Of all chunks: where they lie and what they are. */
static void chunks_digest(uint8_t ret_digest[static crypto_generichash_BYTES])
{
    crypto_generichash_state state;
    uint8_t id[ATTACHMENT_ID_BYTES];
    struct store_cursor *cursor;
    struct store_row row;
    uint32_t chunk;

    (void)documents_chunks_n(&documents, NULL); /* flushes */
    crypto_generichash_init(&state, NULL, 0, crypto_generichash_BYTES);
    cr_assert_eq(store_cursor_open(documents.service.store, BYTES_NONE, BYTES_NONE, false, &cursor),
                 QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK) {
        if (!record_key_chunk(row.key, id, &chunk))
            continue;
        crypto_generichash_update(&state, row.key.data, row.key.len);
        crypto_generichash_update(&state, row.record.value.data, row.record.value.len);
    }
    store_cursor_close(cursor);
    crypto_generichash_final(&state, ret_digest, crypto_generichash_BYTES);
}

static void reencrypt_all(void)
{
    struct reencrypt_record record = {.round = 0};
    uint64_t version, began = uv_hrtime();

    expect(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", NULL, 200, NULL);
    do {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_eq(reencrypt_record_get(documents.service.store, &record, &version), QK_OK);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "it did not end");
    } while (record.round == 0 || record.state != REENCRYPT_DONE);
}

static void copy(const char *target, const char *destination, int status)
{
    struct call *made = call_begin(&documents, METHOD_COPY, target, BYTES_NONE);

    made->exchange.request.destination = bytes_str(destination);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, status, "%s: %d %s", target, made->status, call_text(made));
    call_free(made);
}

static void shred(const char *key)
{
    char target[64];

    snprintf(target, sizeof(target), "/_quorumkeep/keys/%s/destroy", key);
    expect(&documents, METHOD_POST, target, "{\"shred\":true}", 200, NULL);
}

/* --- the document's key ---------------------------------------------------------------------- */

Test(attachment_keys, a_rotated_key_and_its_old_versions_end_leave_every_chunk_as_it_is)
{
    uint8_t before[crypto_generichash_BYTES], after[crypto_generichash_BYTES];

    put_both("/db/d", "?key_id=k", "long");
    reads_both("/db/d", "k/1");
    chunks_digest(before);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/rotate", NULL, 200, NULL);
    reads_both("/db/d", "k/1");
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1}", 409,
                 "in_use",
                 "1 bodies of documents are under 'k/1': seal them again first ('quorumkeep key "
                 "reencrypt'), or shred it, which makes them unreadable for ever");
    reencrypt_all();
    reads_both("/db/d", "k/2");
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1}", 200, NULL);
    documents_restart(&documents);
    reads_both("/db/d", "k/2");
    chunks_digest(after);
    cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 1 + attachment_chunks_n(LONG_BYTES));
}

Test(attachment_keys, a_document_moved_under_another_key_takes_its_contents_along)
{
    uint8_t before[crypto_generichash_BYTES], after[crypto_generichash_BYTES];
    struct call *made;
    char rev[64];

    put_both("/db/d", "", "long");
    chunks_digest(before);
    made = call(&documents, METHOD_GET, "/db/d", NULL);
    put_doc(&documents, "/db/d?key_id=k", call_text(made), rev);
    call_free(made);
    reads_both("/db/d", "k/1");
    chunks_digest(after);
    cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
    shred("k");
    expect_error(&documents, METHOD_GET, "/db/d/long", NULL, 410, "key_destroyed", DESTROYED);
}

Test(attachment_keys, under_a_shredded_key_no_content_is_read_by_any_way)
{
    static const char *const ways[] = {
        "/db/d/long",
        "/db/d/short",
        "/db/d",
        "/db/d?attachments=true",
        "/db/d?open_revs=all&attachments=true",
    };

    put_both("/db/d", "?key_id=k", "long");
    put_both("/db/other", "", "long");
    shred("k");
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
            struct call *made = call(&documents, METHOD_GET, ways[i], NULL);

            cr_assert_eq(made->status, 410, "%s: %d %s", ways[i], made->status, call_text(made));
            cr_assert_null(strstr(call_text(made), "canary"));
            call_free(made);
        }
        copy("/db/d", "e", 410);
        copy("/db/d?key_id=default", "e", 410);
        documents_restart(&documents);
    }
    reads_both("/db/other", "default/1");
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 0);
}

static void on_harm(void *arg, enum verify_harm harm, struct bytes chunk, struct bytes document)
{
    (void)chunk;
    (void)document;
    cr_assert_fail("%s", verify_contents_harm_text(harm));
    (void)arg;
}

static void steps(struct verify_contents *check)
{
    while (verify_contents_is_busy(check))
        cr_assert_eq(verify_contents_step(check), QK_OK);
}

/* As integrity/verify_record.c does with a document that is shredded. */
static void meet_shredded(struct verify_contents *check, const struct store_row *row)
{
    struct doc_record record = DOC_RECORD_EMPTY;
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct bytes name = record_key_name(row->key);
    struct document_parts parts;

    cr_assert_eq(stored_decode(&documents.service, row->key.data, name, row->record.version,
                               row->record.value, &record),
                 QK_OK);
    verify_contents_document(check, row->key, &record);
    cr_assert_eq(
        stored_open(&documents.service, row->key.data, name, &record.leaves[0], &plain, &parts),
        QK_ERR_DESTROYED);
    buf_fini(&plain);
    doc_record_fini(&record);
    steps(check);
}

/* Its chunks are named by what is clear in its record, and stay until it goes. */
Test(attachment_keys, contents_under_a_shredded_key_are_no_harm_and_go_by_a_purge)
{
    struct verify_contents *check = verify_contents_new(&documents.service, on_harm, NULL);
    struct store_cursor *cursor;
    struct store_row row;
    struct call *made;
    char body[256];
    uint64_t began;
    json_t *json;

    put_both("/db/d", "?key_id=k", "long");
    made = call(&documents, METHOD_GET, "/db/d", NULL);
    json = call_json(made);
    snprintf(body, sizeof(body), "{\"d\":[\"%s\"]}",
             json_string_value(json_object_get(json, "_rev")));
    json_decref(json);
    call_free(made);
    shred("k");
    (void)documents_chunks_n(&documents, NULL); /* flushes */
    verify_contents_begin(check,
                          catalog_database_find(documents.service.catalog, bytes_str("db"))->id);
    steps(check);
    cr_assert_eq(store_cursor_open(documents.service.store, BYTES_NONE, BYTES_NONE, false, &cursor),
                 QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK)
        if ((row.record.flags & WIRE_DOC) != 0)
            meet_shredded(check, &row);
    store_cursor_close(cursor);
    verify_contents_end(check);
    verify_contents_free(check);
    expect(&documents, METHOD_POST, "/db/_purge", body, 201, NULL);
    expect_error(&documents, METHOD_GET, "/db/d", NULL, 404, "not_found", "missing");
    began = uv_hrtime();
    unnamed_soon(documents.service.unnamed);
    while (documents_chunks_n(&documents, NULL) > 0) {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "its chunks stay");
    }
}

/* --- COPY ------------------------------------------------------------------------------------ */

Test(attachment_keys, a_copy_is_under_the_same_or_the_named_key_and_outlives_the_others_end)
{
    size_t each = 1 + attachment_chunks_n(LONG_BYTES);

    put_both("/db/d", "?key_id=k", "long");
    copy("/db/d", "same", 201);
    copy("/db/d?key_id=default", "named", 201);
    reads_both("/db/same", "k/1");
    reads_both("/db/named", "default/1");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 3 * each);
    cr_assert_eq(documents_unnamed_n(&documents, NULL), 0);
    copy("/db/d?key_id=nosuch", "f", 400);
    cr_assert_eq(documents_chunks_n(&documents, NULL), 3 * each);
    shred("k");
    expect_error(&documents, METHOD_GET, "/db/same/long", NULL, 410, "key_destroyed", DESTROYED);
    reads_both("/db/named", "default/1");
}

/* --- hidden ids ------------------------------------------------------------------------------ */

static size_t seen_n;

static void holds_no_canary(struct bytes bytes)
{
    static const char *const canaries[] = {"canary", SHORT_BASE64, "doc-name-77", "att-name-52"};

    for (size_t i = 0; i < sizeof(canaries) / sizeof(*canaries); i++)
        cr_assert_null(memmem(bytes.data, bytes.len, canaries[i], strlen(canaries[i])), "%s",
                       canaries[i]);
}

/* What goes into the log. */
static void look_at_command(struct documents *d, struct bytes command)
{
    (void)d;
    seen_n++;
    holds_no_canary(command);
}

static void look_at_file(void)
{
    struct buf file = BUF_INIT(64 * MIB);
    FILE *in = fopen(documents.path, "re");
    uint8_t *at;
    size_t got;

    cr_assert_not_null(in);
    while ((at = buf_extend(&file, 64 * KIB)) != NULL && (got = fread(at, 1, 64 * KIB, in)) > 0)
        file.len -= 64 * KIB - got;
    (void)fclose(in);
    cr_assert_geq(file.len, LONG_BYTES);
    holds_no_canary(buf_bytes(&file));
    buf_fini(&file);
}

Test(attachment_keys, where_ids_are_hidden_neither_file_nor_log_has_a_name_or_a_content)
{
    seen_n = 0;
    documents.submitted = look_at_command;
    expect(&documents, METHOD_PUT, "/hidden?ids=hidden", NULL, 201, NULL);
    put_both("/hidden/doc-name-77", "?key_id=k", "att-name-52");
    copy("/hidden/doc-name-77?key_id=default", "doc-name-77-copy", 201);
    cr_assert_geq(seen_n, 4);
    reads("/hidden/doc-name-77/att-name-52", bytes_of(content, sizeof(content)), "k/1");
    reads("/hidden/doc-name-77-copy/short", bytes_str(SHORT_TEXT), "default/1");
    cr_assert_eq(documents_chunks_n(&documents, NULL), 2 * (1 + attachment_chunks_n(LONG_BYTES)));
    look_at_file();
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/rotate", NULL, 200, NULL);
    reencrypt_all();
    look_at_file();
    reads("/hidden/doc-name-77/att-name-52", bytes_of(content, sizeof(content)), "k/2");
    reads("/hidden/doc-name-77-copy/att-name-52", bytes_of(content, sizeof(content)), "default/1");
}
