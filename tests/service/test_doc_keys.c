/* Data keys as documents meet them: what is proposed again is sealed again, what a command was
 * decided by holds when it is applied, and no record stands in for another. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/envelope.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/catalog.h"
#include "service/keys/reencrypt.h"
#include "service/reencrypt_record.h"
#include "service/submit.h"

static struct documents documents;

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
}

static void teardown(void)
{
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(doc_keys, .init = setup, .fini = teardown);

/* --- salts ----------------------------------------------------------------------------------- */

#define SALTS_MAX 20000u

static uint8_t salts[SALTS_MAX][ENVELOPE_SALT_BYTES];
static size_t salts_n, rounds_left;

/* Each envelope of a command that was proposed, applied or not. */
static void collect(struct documents *d, struct bytes command)
{
    const uint8_t *at = command.data, *end = command.data + command.len;

    (void)d;
    while ((at = memmem(at, (size_t)(end - at), "QKE1\x01\x00\x00\x54", 8)) != NULL) {
        cr_assert_lt(salts_n, SALTS_MAX);
        memcpy(salts[salts_n++], at + 28, ENVELOPE_SALT_BYTES);
        at += ENVELOPE_HEADER_BYTES;
    }
}

/* Another leader changes the database's record, again and again: the condition of every write. */
static void spoil(struct documents *d)
{
    const struct catalog_database *database =
        catalog_database_find(d->service.catalog, bytes_str("db"));
    struct catalog_database next = *database;
    struct buf value = BUF_INIT(64 * KIB);
    struct wire_command command;

    next.revs_limit = database->revs_limit == 900 ? 901 : 900;
    cr_assert_eq(catalog_database_seal(&d->service, &next, database->record_version + 1, &value),
                 QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(next.key, CATALOG_KEY_BYTES), database->record_version + 1,
                     0, buf_bytes(&value));
    documents_apply(d, &command);
    buf_fini(&value);
    d->interfere = --rounds_left > 0 ? spoil : NULL;
}

static void spoil_rounds(size_t rounds)
{
    rounds_left = rounds;
    documents.interfere = spoil;
}

static int compare_salts(const void *a, const void *b)
{
    return memcmp(a, b, ENVELOPE_SALT_BYTES);
}

static void expect_all_different(size_t at_least)
{
    cr_assert_geq(salts_n, at_least);
    qsort(salts, salts_n, ENVELOPE_SALT_BYTES, compare_salts);
    for (size_t i = 0; i + 1 < salts_n; i++)
        cr_assert_neq(memcmp(salts[i], salts[i + 1], ENVELOPE_SALT_BYTES), 0);
}

Test(doc_keys, what_is_proposed_again_is_sealed_under_a_fresh_salt)
{
    enum { DOCS = 300, ROUNDS = SUBMIT_ROUNDS_MAX - 1 };
    char target[64];

    salts_n = 0;
    documents.submitted = collect;
    for (unsigned i = 0; i < DOCS; i++) {
        spoil_rounds(ROUNDS);
        snprintf(target, sizeof(target), "/db/%u", i);
        expect(&documents, METHOD_PUT, target, "{\"the\":\"same\"}", 201, NULL);
    }
    fprintf(stderr, "[----] %zu envelopes of %d documents, proposed %d times each\n", salts_n, DOCS,
            ROUNDS + 1);
    expect_all_different((size_t)DOCS * (ROUNDS + 1));
}

Test(doc_keys, so_is_a_whole_batch_of_documents)
{
    enum { DOCS = 200, ROUNDS = 8 };
    struct buf body = BUF_INIT(64 * KIB);

    salts_n = 0;
    documents.submitted = collect;
    buf_put_str(&body, "{\"docs\":[");
    for (unsigned i = 0; i < DOCS; i++)
        buf_printf(&body, "%s{\"_id\":\"%u\"}", i == 0 ? "" : ",", i);
    buf_put_bytes(&body, bytes_of("]}", 3));
    spoil_rounds(ROUNDS);
    expect(&documents, METHOD_POST, "/db/_bulk_docs", (const char *)body.data, 201, NULL);
    expect_all_different((size_t)DOCS * (ROUNDS + 1));
    buf_fini(&body);
}

/* --- conditions ------------------------------------------------------------------------------ */

static void make_key(const char *name)
{
    char body[128];

    snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", body, 201, NULL);
}

static void expect_key(const char *target, const char *body, const char *rev, const char *used,
                       char ret_rev[static 64])
{
    struct call *made = call_begin(&documents, METHOD_PUT, target, bytes_str(body));
    json_t *json;

    made->exchange.request.if_match = bytes_str(rev);
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), used);
    json = call_json(made);
    snprintf(ret_rev, 64, "%s", json_string_value(json_object_get(json, "rev")));
    json_decref(json);
    call_free(made);
}

/* What another leader did in between, by the product's own handlers. */
static void rotate_now(struct documents *d)
{
    struct call *made = call_begin(d, METHOD_POST, "/_quorumkeep/keys/k/rotate", BYTES_NONE);

    call_start(made);
    documents_overtake(d, &made->ended);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    call_free(made);
}

Test(doc_keys, a_write_that_a_rotation_overtakes_is_under_the_new_version)
{
    char rev[64];

    make_key("k");
    expect_key("/db/a?key_id=k", "{}", "", "k/1", rev);
    documents.interfere = rotate_now;
    expect_key("/db/a", "{\"n\":2}", rev, "k/2", rev);
    documents.interfere = rotate_now;
    expect_key("/db/b?key_id=k", "{}", "", "k/3", rev);
}

Test(doc_keys, a_document_keeps_its_key_until_another_is_named)
{
    char rev[64];

    make_key("k");
    expect_key("/db/a", "{}", "", "default/1", rev);
    expect_key("/db/a", "{\"_key_id\":\"k\"}", rev, "k/1", rev);
    expect_key("/db/a", "{\"n\":1}", rev, "k/1", rev);
    expect_key("/db/a?key_id=default", "{\"n\":2}", rev, "default/1", rev);
}

#define LEAF_A "2-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LEAF_B "2-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void expect_leaf(const char *rev, const char *used, const char *part)
{
    char target[64];
    struct call *made;

    snprintf(target, sizeof(target), "/db/a?rev=%s", rev);
    made = call(&documents, METHOD_GET, target, NULL);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), used, "%s", rev);
    cr_assert_not_null(strstr(call_text(made), part), "%s", call_text(made));
    call_free(made);
}

/* An edit that names no key moves nothing; one that does moves what it conflicts with, attachments
 * too, so that nothing of the document is left under the old key. */
Test(doc_keys, conflicting_revisions_follow_a_document_to_another_key)
{
    struct call *made;
    char rev[64];

    make_key("k");
    expect_key("/db/a?new_edits=false&key_id=k", "{\"_rev\":\"" LEAF_B "\"}", "", "k/1", rev);
    expect_key("/db/a?new_edits=false",
               "{\"_rev\":\"" LEAF_A "\",\"n\":7,\"_attachments\":{\"t\":{\"data\":"
               "\"aGVsbG8=\"}}}",
               "", "k/1", rev);
    expect_key("/db/a", "{\"n\":1}", LEAF_B, "k/1", rev);
    expect_leaf(LEAF_A, "k/1", "\"n\":7");
    expect_key("/db/a", "{\"n\":2,\"_key_id\":\"default\"}", rev, "default/1", rev);
    expect_leaf(LEAF_A, "default/1", "\"n\":7");
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", NULL, 200, NULL);
    documents_restart(&documents);
    expect_leaf(LEAF_A, "default/1", "\"n\":7");
    made = call(&documents, METHOD_GET, "/db/a/t?rev=" LEAF_A, NULL);
    cr_assert_str_eq(call_text(made), "hello");
    call_free(made);
    expect_leaf(rev, "default/1", "\"n\":2");
}

/* Nobody can open what is under a destroyed key: it stays, and keeps no other revision back. */
Test(doc_keys, a_revision_under_a_destroyed_key_stays_where_it_is)
{
    char rev[64];

    make_key("k");
    expect_key("/db/a?new_edits=false&key_id=k", "{\"_rev\":\"" LEAF_A "\"}", "", "k/1", rev);
    expect_key("/db/a?new_edits=false&key_id=default", "{\"_rev\":\"" LEAF_B "\"}", "", "default/1",
               rev);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"shred\":true}", 200, NULL);
    make_key("other");
    expect_key("/db/a?key_id=other", "{\"n\":1}", LEAF_B, "other/1", rev);
    expect_leaf(rev, "other/1", "\"n\":1");
    expect_error(&documents, METHOD_GET, "/db/a?rev=" LEAF_A, NULL, 410, "key_destroyed",
                 "the data key is destroyed");
}

static void remove_doc(const char *target, const char *rev)
{
    char with[128];

    snprintf(with, sizeof(with), "%s?rev=%s", target, rev);
    expect(&documents, METHOD_DELETE, with, NULL, 200, NULL);
}

Test(doc_keys, a_tombstone_is_in_use_and_a_new_life_is_under_the_default)
{
    char rev[64];

    make_key("k");
    expect_key("/db/a?key_id=k", "{}", "", "k/1", rev);
    remove_doc("/db/a", rev);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", NULL, 409, "in_use",
                 "1 bodies of documents are under 'k': write them under another key first "
                 "(--key-id), or shred it, which makes them unreadable for ever");
    expect_key("/db/a", "{}", "", "default/1", rev);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", NULL, 200, NULL);
    expect_error(&documents, METHOD_PUT, "/db/b?key_id=k", "{}", 410, "key_destroyed",
                 "the data key is destroyed");
}

Test(doc_keys, destroying_what_is_in_use_counts_every_database_and_no_dropped_one)
{
    char rev[64];

    make_key("k");
    expect(&documents, METHOD_PUT, "/more", NULL, 201, NULL);
    expect_key("/db/a?key_id=k", "{}", "", "k/1", rev);
    expect_key("/more/a?key_id=k", "{}", "", "k/1", rev);
    expect_key("/more/b?key_id=k", "{}", "", "k/1", rev);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/rotate", NULL, 200, NULL);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1}", 409,
                 "in_use",
                 "3 bodies of documents are under 'k/1': seal them again first ('quorumkeep key "
                 "reencrypt'), or shred it, which makes them unreadable for ever");
    expect(&documents, METHOD_DELETE, "/more", NULL, 200, NULL);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1}", 409,
                 "in_use",
                 "1 bodies of documents are under 'k/1': seal them again first ('quorumkeep key "
                 "reencrypt'), or shred it, which makes them unreadable for ever");
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1,\"shred\":true}",
           200, NULL);
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 410, "key_destroyed",
                 "the data key is destroyed");
}

Test(doc_keys, orders_that_are_none_are_refused_in_words)
{
    static const char *const bad[] = {"[]",
                                      "{\"name\":7}",
                                      "{\"name\":\"k\",\"suite\":\"rot13\"}",
                                      "{\"name\":\"k\",\"limits\":{\"records\":-1}}",
                                      "{\"name\":\"k\",\"limits\":{\"weeks\":1}}",
                                      "{\"name\":\"k\",\"more\":1}",
                                      "{\"name\":\"k\\u0000x\"}",
                                      "{\"name\":\"\"}",
                                      "{}",
                                      "{\"name\":\"catalog\"}",
                                      "{"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        expect(&documents, METHOD_POST, "/_quorumkeep/keys", bad[i], 400, NULL);
    make_key("k");
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"k\"}", 409, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys",
           "{\"name\":\"f\",\"suite\":\"aes-256-gcm\"}", 409, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/none/rotate", NULL, 404, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":0}", 400, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":2}", 404, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/k/destroy", "{\"version\":1}", 409, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/default/destroy", NULL, 409, NULL);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/catalog/destroy", "{\"shred\":true}",
                 409, "refused",
                 "'catalog' is the key of databases and users: only its older versions can be "
                 "destroyed");
    expect(&documents, METHOD_PUT, "/_quorumkeep/keys/k/limits", "{\"records\":1.5}", 400, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/keys/k/limits", "{\"records\":1000}", 200, NULL);
}

/* The catalog's key has versions as others have; an old one goes when nothing can be under it. */
Test(doc_keys, the_catalogs_old_version_is_destroyed_after_re_encryption_alone)
{
    struct reencrypt_record record = {.round = 0};
    uint64_t version;

    expect(&documents, METHOD_POST, "/_quorumkeep/keys/catalog/rotate", NULL, 200, NULL);
    expect_error(&documents, METHOD_POST, "/_quorumkeep/keys/catalog/destroy",
                 "{\"version\":1,\"shred\":true}", 409, "refused",
                 "records may be under it until a re-encryption is done: 'quorumkeep key "
                 "reencrypt' and try again");
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/reencrypt", NULL, 200, NULL);
    while (record.state != REENCRYPT_DONE) {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_eq(reencrypt_record_get(documents.service.store, &record, &version), QK_OK);
    }
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/catalog/destroy", "{\"version\":1}", 200,
           NULL);
    expect(&documents, METHOD_PUT, "/db2", NULL, 201, NULL);
    expect(&documents, METHOD_GET, "/db", NULL, 200, NULL);
}

/* --- clear ----------------------------------------------------------------------------------- */

static struct buf value_of(const char *database_name, const char *id)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str(database_name));
    struct record_key key = record_document(database->id, bytes_str(id));
    struct buf out = BUF_INIT(1 * MIB);
    struct record record;

    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &record), QK_OK);
    buf_put_bytes(&out, record.value);
    return out;
}

static uint64_t replace(const char *database_name, const char *id, struct bytes value)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str(database_name));
    struct record_key key = record_document(database->id, bytes_str(id));
    struct wire_command command;
    struct record record;

    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &record), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), record.version + 1, record.flags, value);
    documents_apply(&documents, &command);
    return record.version + 1;
}

Test(doc_keys, a_clear_body_is_authentic_all_the_same)
{
    struct buf value;
    uint8_t *at;
    char rev[64];

    expect(&documents, METHOD_PUT, "/open?clear=true", NULL, 201, NULL);
    expect_key("/open/a", "{\"amount\":\"100\"}", "", "default/1", rev);
    value = value_of("open", "a");
    at = memmem(value.data, value.len, "100", 3);
    cr_assert_not_null(at);
    *at = '9';
    replace("open", "a", buf_bytes(&value));
    expect_error(&documents, METHOD_GET, "/open/a", NULL, 500, "corrupt",
                 "the stored record does not authenticate");
    buf_fini(&value);
}

/* Records of two databases, one of them clear, and two revisions: none passes for another. */
Test(doc_keys, no_record_stands_in_for_another)
{
    static const char *const places[][2] = {{"db", "a"}, {"db", "b"}, {"open", "a"}, {"open", "b"}};
    struct buf values[5];
    char rev[64], target[32];

    expect(&documents, METHOD_PUT, "/open?clear=true", NULL, 201, NULL);
    expect_key("/db/a", "{\"n\":1}", "", "default/1", rev);
    values[4] = value_of("db", "a"); /* of the revision before */
    expect_key("/db/a", "{\"n\":2}", rev, "default/1", rev);
    expect_key("/db/b", "{\"n\":1}", "", "default/1", rev);
    expect_key("/open/a", "{\"n\":1}", "", "default/1", rev);
    expect_key("/open/b", "{\"n\":1}", "", "default/1", rev);
    for (unsigned i = 0; i < 4; i++)
        values[i] = value_of(places[i][0], places[i][1]);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 5; k++) {
            if (i == k)
                continue;
            replace(places[i][0], places[i][1], buf_bytes(&values[k]));
            snprintf(target, sizeof(target), "/%s/%s", places[i][0], places[i][1]);
            expect(&documents, METHOD_GET, target, NULL, 500, NULL);
        }
    for (unsigned i = 0; i < 5; i++)
        buf_fini(&values[i]);
}
