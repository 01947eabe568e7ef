/* Everything under old key versions is sealed again: found, opened, written, counted. The keyring
 * gets its new versions as a removal gives them; consensus is the fixture's. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doc/record.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/catalog.h"
#include "service/keys/reencrypt.h"
#include "service/reencrypt_record.h"
#include "service/keys/reencrypt_seal.h"

#define DOCS_N 700u /* more than two units */

static struct documents documents;
static uint32_t mk_version;

static void setup(void)
{
    char path[300];

    mk_version = 1;
    documents_init(&documents);
    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
}

static void teardown(void)
{
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(reencrypt, .init = setup, .fini = teardown);

/* --- what a removal does --- */

struct renewal {
    struct wire_command command;
    struct keyring *next;
};

static enum qk_err renew_one(void *arg, const struct keyring_record *record)
{
    struct renewal *renewal = arg;
    uint8_t space[DATABASE_ID_BYTES];
    struct record_key key;
    struct record before = {.version = 0};

    record_space_id(RECORD_KEYRING, space);
    key = record_document(space, bytes_of(record->name, record->name_len));
    (void)!store_get(documents.service.store, record_key_bytes(&key), &before);
    wire_command_put(&renewal->command, record_key_bytes(&key), before.version + 1, 0,
                     buf_bytes(&record->value));
    return keyring_add(renewal->next, bytes_of(record->name, record->name_len),
                       buf_bytes(&record->value));
}

static void renew(bool wanted)
{
    struct renewal renewal;
    struct secret *mk;

    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
    cr_assert_eq(keyring_open(documents.service.origin_id, mk, ++mk_version, &renewal.next), QK_OK);
    wire_command_begin(&renewal.command, WIRE_DEAL);
    wire_command_batch(&renewal.command);
    cr_assert_eq(
        keyring_rewrap(documents.service.keyring, mk, mk_version, true, 2000, renew_one, &renewal),
        QK_OK);
    cr_assert_eq(reencrypt_want(documents.service.store, wanted, &renewal.command), QK_OK);
    documents_apply(&documents, &renewal.command);
    keyring_close(documents.service.keyring);
    documents.service.keyring = renewal.next;
    secret_free(documents.mk);
    documents.mk = mk;
}

/* --- looking --- */

static void on_flushed(void *arg, enum qk_err err)
{
    cr_assert_eq(err, QK_OK);
    *(bool *)arg = true;
}

/* Records under old versions, by walking the file. */
static size_t old_n(void)
{
    struct store_cursor *cursor;
    struct store_row row;
    size_t n = 0;
    bool flushed = false;

    store_flush(documents.service.store, on_flushed, &flushed);
    documents_run_until(&documents, &flushed);
    cr_assert_eq(store_cursor_open(documents.service.store, BYTES_NONE, BYTES_NONE, false, &cursor),
                 QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK) {
        bool old = false;

        if (!reencrypt_concerns(row.key, row.record.flags))
            continue;
        cr_assert_eq(reencrypt_look(&documents.service, row.key, &row.record, 1, NULL, &old),
                     QK_OK);
        n += old;
    }
    store_cursor_close(cursor);
    return n;
}

static enum reencrypt_state state_now(struct reencrypt_record *ret_record)
{
    uint64_t version;

    cr_assert_eq(reencrypt_record_get(documents.service.store, ret_record, &version), QK_OK);
    return ret_record->state;
}

static void run_until_done(struct reencrypt_record *ret_record)
{
    uint64_t began = uv_hrtime();

    while (state_now(ret_record) != REENCRYPT_DONE) {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "it did not end");
    }
}

static void run_ms(uint64_t ms)
{
    uint64_t began = uv_hrtime();

    while ((uv_hrtime() - began) / 1000000 < ms)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
}

static void put_docs(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char target[32], rev[64];

        snprintf(target, sizeof(target), "/db/doc%04u", i);
        put_doc(&documents, target, "{\"n\":1}", rev);
    }
}

static char *text_of(const char *target)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);
    char *text = strdup(call_text(made));

    cr_assert_eq(made->status, 200, "%s: %s", target, text);
    call_free(made);
    return text;
}

/* How often the heads of envelopes under version 1 of the default key stand in the file. */
static size_t old_heads_n(void)
{
    uint8_t head[28] = {'Q', 'K', 'E', '1', 1, 0, 0, ENVELOPE_HEADER_BYTES};
    struct keyring_info info;
    struct buf file = BUF_INIT(64 * MIB);
    FILE *in = fopen(documents.path, "re");
    size_t n = 0, got;
    uint8_t *at;

    cr_assert_eq(keyring_info_at(documents.service.keyring, 0, &info), QK_OK);
    memcpy(head + 8, info.key_id, KEY_ID_BYTES);
    put_u32(head + 24, 1);
    cr_assert_not_null(in);
    while ((at = buf_extend(&file, 64 * KIB)) != NULL && (got = fread(at, 1, 64 * KIB, in)) > 0)
        file.len -= 64 * KIB - got;
    (void)fclose(in);
    for (at = file.data;
         (at = memmem(at, (size_t)(file.data + file.len - at), head, sizeof head)) != NULL; at++)
        n++;
    buf_fini(&file);
    return n;
}

/* --- tests --- */

Test(reencrypt, afterwards_the_file_is_compacted_and_no_old_envelope_stands_in_it)
{
    struct reencrypt_record record;

    put_docs(300);
    renew(true);
    (void)old_n(); /* flushes */
    cr_assert_geq(old_heads_n(), 300, "the search finds what is there");
    run_until_done(&record);
    run_ms(1500);
    cr_assert_eq(old_heads_n(), 0);
    cr_assert_eq(old_n(), 0);
    expect(&documents, METHOD_GET, "/db/doc0299", NULL, 200, NULL);
}

Test(reencrypt, all_records_come_under_the_active_versions_and_nobody_sees_it)
{
    struct reencrypt_record record;
    char *before, *after, *changes_before, *changes_after, rev[64], target[128];

    put_docs(DOCS_N);
    put_doc(&documents, "/db/gone", "{}", rev);
    snprintf(target, sizeof(target), "/db/gone?rev=%s", rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    before = text_of("/db/_all_docs?include_docs=true");
    changes_before = text_of("/db/_changes?include_docs=true");
    renew(true);
    cr_assert_eq(old_n(), DOCS_N + 1 + 3, "documents, a tombstone, database, its name, admin");
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
    cr_assert_eq(record.old_n, DOCS_N + 4);
    cr_assert_eq(record.done_n, DOCS_N + 4);
    cr_assert(record.ended_s >= record.began_s && record.began_s > 0 && record.index > 0);
    after = text_of("/db/_all_docs?include_docs=true");
    changes_after = text_of("/db/_changes?include_docs=true");
    cr_assert_str_eq(before, after);
    cr_assert_str_eq(changes_before, changes_after);
    documents_restart(&documents); /* the catalog opens again from what was written */
    free(after);
    after = text_of("/db/_all_docs?include_docs=true");
    cr_assert_str_eq(before, after);
    free(before);
    free(after);
    free(changes_before);
    free(changes_after);
}

/* A content has a key of its own, which stands in the sealed document: its chunks stay. */
Test(reencrypt, contents_of_attachments_are_read_after_a_removal_as_before)
{
    static const char doc[] = "{\"_attachments\":{\"a\":{\"data\":\"AAECAwQF\"}}}";
    static uint8_t content[2 * MIB + 7];
    struct reencrypt_record record;
    struct record_key before, after;
    struct call *made;
    char rev[64];

    memset(content, 'c', sizeof(content));
    put_doc(&documents, "/db/short", doc, rev);
    made = call_begin(&documents, METHOD_PUT, "/db/long/a", bytes_of(content, sizeof(content)));
    call_stream(made, true);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    call_free(made);
    cr_assert_eq(documents_chunks_n(&documents, &before), 1 + 9);
    renew(true);
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
    cr_assert_eq(record.done_n, 2 + 3, "documents, database, its name, admin: no chunk");
    documents_restart(&documents);
    made = call(&documents, METHOD_GET, "/db/long/a", NULL);
    cr_assert(bytes_equal(buf_bytes(&made->body), bytes_of(content, sizeof(content))));
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), "default/2");
    call_free(made);
    made = call(&documents, METHOD_GET, "/db/short/a", NULL);
    cr_assert(bytes_equal(buf_bytes(&made->body), bytes_of("\0\1\2\3\4\5", 6)));
    call_free(made);
    cr_assert_eq(documents_chunks_n(&documents, &after), 1 + 9);
    cr_assert(bytes_equal(record_key_bytes(&before), record_key_bytes(&after)));
}

Test(reencrypt, new_writes_are_under_the_new_version_and_old_documents_can_still_be_written)
{
    struct call *made;
    char rev[64], target[128];

    put_doc(&documents, "/db/a", "{}", rev);
    renew(false);
    made = call(&documents, METHOD_PUT, "/db/b", "{}");
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), "default/2");
    call_free(made);
    snprintf(target, sizeof(target), "/db/a?rev=%s", rev);
    made = call(&documents, METHOD_PUT, target, "{\"again\":true}");
    cr_assert_eq(made->status, 201);
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), "default/2");
    call_free(made);
}

Test(reencrypt, declined_it_counts_and_waits_until_somebody_asks)
{
    struct reencrypt_record record;
    struct call *made;
    json_t *json;
    json_t *version;

    put_docs(5);
    renew(false);
    run_ms(1500);
    cr_assert_eq(state_now(&record), REENCRYPT_DECLINED);
    cr_assert_eq(old_n(), 8);
    made = call(&documents, METHOD_GET, "/_quorumkeep/keys/default", NULL);
    json = call_json(made);
    cr_assert_eq(json_integer_value(json_object_get(json, "old_records")), 5);
    version = json_array_get(json_object_get(json, "versions"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(version, "state")), "decrypt-only");
    cr_assert_eq(json_integer_value(json_object_get(version, "records")), 5);
    json_decref(json);
    call_free(made);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", "{}", 200, NULL);
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
}

Test(reencrypt, paused_it_rests_and_resumed_it_ends)
{
    struct reencrypt_record record;

    put_docs(5);
    renew(true);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", "{\"pause\":true}", 200, NULL);
    run_ms(1500);
    cr_assert_eq(state_now(&record), REENCRYPT_WANTED);
    cr_assert(record.paused);
    cr_assert_eq(old_n(), 8);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", "{\"pause\":false}", 200, NULL);
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", "{\"pause\":1}", 400,
                 "bad_request", "the body is {} to begin, {\"pause\": true} or {\"pause\": false}");
}

/* Another leader's write of the same document, between evaluation and apply. */
static void another_write(struct documents *d)
{
    struct record_key key;
    struct record record;
    const struct catalog_database *database =
        catalog_database_find(d->service.catalog, bytes_str("db"));
    struct wire_command command;

    key = record_document(database->id, bytes_str("doc0000"));
    cr_assert_eq(store_get(d->service.store, record_key_bytes(&key), &record), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, record_key_bytes(&key));
    documents_apply(d, &command);
}

static unsigned ends_n;

/* The command that records the end of round 1 comes to nothing, once. */
static void fail_the_end(struct documents *d, struct bytes command)
{
    static const uint8_t done[] = {0x9c, 1, 1, REENCRYPT_DONE}; /* version, round, state */

    if (memmem(command.data, command.len, done, sizeof(done)) != NULL && ends_n++ == 0)
        d->submit_err = QK_ERR_TIMEOUT;
}

/* Simulator seed 10245706: it was taken for done here and stood as running in the record, until
 * leadership moved. */
Test(reencrypt, an_end_that_was_not_recorded_is_no_end)
{
    struct reencrypt_record record;

    put_docs(3);
    renew(true);
    ends_n = 0;
    documents.submitted = fail_the_end;
    run_until_done(&record);
    cr_assert_eq(ends_n, 2, "the first was refused");
    cr_assert_eq(old_n(), 0);
}

Test(reencrypt, a_lost_race_is_lost_and_the_rest_goes_on)
{
    struct reencrypt_record record;

    put_docs(3);
    renew(true);
    run_ms(0);
    while (state_now(&record) != REENCRYPT_WANTED || record.began_s == 0)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    documents.interfere = another_write;
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
    expect(&documents, METHOD_GET, "/db/doc0000", NULL, 404, NULL);
    expect(&documents, METHOD_GET, "/db/doc0001", NULL, 200, NULL);
}

Test(reencrypt, it_goes_on_after_leadership_was_lost_in_the_middle)
{
    struct reencrypt_record record;

    put_docs(DOCS_N);
    renew(true);
    do {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    } while (state_now(&record) != REENCRYPT_WANTED || record.began_s == 0);
    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME; /* the first unit is applied, nobody is told */
    documents.submit_apply_first = true;
    run_ms(50);
    documents.leader = false;
    documents.term++;
    run_ms(700);
    documents.leader = true;
    documents.term++;
    run_until_done(&record);
    cr_assert_eq(old_n(), 0);
    cr_assert_eq(record.old_n, DOCS_N + 3);
    cr_assert_eq(record.done_n, DOCS_N + 3);
}

Test(reencrypt, keys_that_are_renewed_in_the_middle_begin_a_new_round)
{
    struct reencrypt_record record;

    put_docs(DOCS_N);
    renew(true);
    do {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    } while (state_now(&record) != REENCRYPT_WANTED || record.began_s == 0);
    renew(true);
    run_until_done(&record);
    cr_assert_eq(record.round, 2);
    cr_assert_eq(old_n(), 0);
}

Test(reencrypt, a_body_that_does_not_open_is_told_and_never_called_done)
{
    struct reencrypt_record record;
    struct record stored;
    struct record_key key;
    struct wire_command command;
    struct buf value = BUF_INIT(64 * KIB);
    const struct catalog_database *database;

    put_docs(3);
    database = catalog_database_find(documents.service.catalog, bytes_str("db"));
    key = record_document(database->id, bytes_str("doc0001"));
    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &stored), QK_OK);
    buf_put_bytes(&value, stored.value);
    value.data[value.len - 1] ^= 1; /* of the ciphertext: the clear part still authenticates */
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, record_key_bytes(&key));
    documents_apply(&documents, &command);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), 1, WIRE_DOC | WIRE_KEYED, buf_bytes(&value));
    documents_apply(&documents, &command);
    buf_fini(&value);
    renew(true);
    run_ms(1500);
    cr_assert_eq(state_now(&record), REENCRYPT_WANTED);
    cr_assert_eq(old_n(), 1, "all but the damaged one");
}
