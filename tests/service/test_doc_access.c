/* What users may see and do who are no administrators, by the handlers themselves. More
 * than 500 lines, since all of it begins with the same database, keys and users. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "documents_fixture.h"
#include "keys/change.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/users/grants.h"
#include "service/seq.h"
#include "service/users/users.h"
#include "wire/command.h"

static struct documents documents;

/* --- a database with documents under two keys, and users --- */

static void make_key(const char *name)
{
    struct key_limits limits = {0};
    struct wire_command command;
    struct key_change change;

    cr_assert_eq(keyring_change_create(documents.service.keyring, bytes_str(name),
                                       ENVELOPE_XCHACHA20POLY1305, &limits, 1000, &change),
                 QK_OK);
    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    for (size_t i = 0; i < change.puts_n; i++) {
        uint8_t space[DATABASE_ID_BYTES];
        struct record_key key;

        record_space_id(RECORD_KEYRING, space);
        key = record_document(space, bytes_of(change.puts[i].name, change.puts[i].name_len));
        wire_command_put(&command, record_key_bytes(&key), 1, 0, buf_bytes(&change.puts[i].value));
    }
    documents_apply(&documents, &command);
    for (size_t i = 0; i < change.puts_n; i++)
        cr_assert_eq(keyring_add(documents.service.keyring,
                                 bytes_of(change.puts[i].name, change.puts[i].name_len),
                                 buf_bytes(&change.puts[i].value)),
                     QK_OK);
    key_change_fini(&change);
}

static struct principal principal_of(const char *name)
{
    const struct user *user = catalog_user_find(documents.service.catalog, bytes_str(name));

    cr_assert_not_null(user, "%s", name);
    return user_principal(user);
}

static enum access_right right_of(enum method method, const char *target)
{
    bool read = method == METHOD_GET || method == METHOD_HEAD;

    if (strncmp(target, "/_", 2) == 0)
        return strstr(target, "/grants") != NULL ? ACCESS_KEY_MANAGE : ACCESS_USER;
    if (strstr(target, "/_security") != NULL)
        return read ? ACCESS_DB_READ : ACCESS_DB_ADMIN;
    if (strstr(target, "/_index") != NULL)
        return read ? ACCESS_DB_READ : ACCESS_DB_ADMIN;
    read = read || strstr(target, "/_revs_diff") != NULL || strstr(target, "/_bulk_get") != NULL;
    read = read || strstr(target, "/_all_docs") != NULL || strstr(target, "/_find") != NULL ||
           strstr(target, "/_explain") != NULL;
    return read ? ACCESS_DB_READ : ACCESS_DB_WRITE;
}

static struct call *start_as(struct principal who, enum method method, const char *target,
                             const char *body)
{
    struct call *made =
        call_begin(&documents, method, target, body == NULL ? BYTES_NONE : bytes_str(body));

    made->exchange.request.who = who;
    cr_assert_eq(authorize_route(&documents.service, &made->exchange, right_of(method, target)),
                 QK_OK);
    call_start(made);
    return made;
}

static struct call *call_as(const char *name, enum method method, const char *target,
                            const char *body)
{
    struct call *made = start_as(principal_of(name), method, target, body);

    call_run(made);
    return made;
}

static void expect_as(const char *name, enum method method, const char *target, const char *body,
                      int status, const char *part)
{
    struct call *made = call_as(name, method, target, body);

    cr_assert_eq(made->status, status, "%s %s: %d %s", name, target, made->status, call_text(made));
    if (part != NULL)
        cr_assert_not_null(strstr(call_text(made), part), "%s %s: %s", name, target,
                           call_text(made));
    call_free(made);
}

static void add_user(const char *name)
{
    char body[128];

    snprintf(body, sizeof(body), "{\"name\":\"%s\"}", name);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", body, 201, NULL);
}

static void grant(const char *key, const char *user, const char *change)
{
    char target[128], body[256];

    snprintf(target, sizeof(target), "/_quorumkeep/keys/%s/grants", key);
    snprintf(body, sizeof(body), "{\"user\":\"%s\",%s}", user, change);
    expect(&documents, METHOD_POST, target, body, 200, NULL);
}

static void db_right(const char *user, const char *change)
{
    char body[256];

    snprintf(body, sizeof(body), "{\"user\":\"%s\",%s}", user, change);
    expect(&documents, METHOD_POST, "/db/_security", body, 200, NULL);
}

#define ALL_GRANTS "\"add\":[\"encrypt\",\"decrypt\"]"

/* open1, open2 under "default"; dark1, dark2, dark3 under "dark". Anna may use "default" alone. */
static void start(void)
{
    char rev[64], path[300];

    documents_init(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    make_key("dark");
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    put_doc(&documents, "/db/dark1", "{\"_key_id\":\"dark\",\"secret\":1}", rev);
    put_doc(&documents, "/db/open1", "{\"a\":1}", rev);
    put_doc(&documents, "/db/dark2", "{\"_key_id\":\"dark\",\"secret\":1}", rev);
    put_doc(&documents, "/db/open2", "{\"a\":1}", rev);
    put_doc(&documents, "/db/dark3", "{\"_key_id\":\"dark\",\"secret\":1}", rev);
    add_user("anna");
    db_right("anna", "\"add\":[\"read\",\"write\"]");
    grant("default", "anna", ALL_GRANTS);
}

static void end(void)
{
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

/* --- reading --- */

Test(doc_access, documents_under_a_key_without_a_grant_are_forbidden)
{
    start();
    expect_as("anna", METHOD_GET, "/db/open1", NULL, 200, "\"a\":1");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 403, "no grant to decrypt");
    expect_as("anna", METHOD_HEAD, "/db/dark1", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/db/dark1?rev=1-00000000000000000000000000000000", NULL, 403,
              NULL);
    expect_as("anna", METHOD_GET, "/db/none", NULL, 404, NULL);
    grant("dark", "anna", "\"add\":[\"encrypt\",\"manage\"]");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 403, NULL);
    grant("dark", "anna", "\"add\":[\"decrypt\"]");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 200, "\"secret\":1");
    grant("dark", "anna", "\"remove\":[\"decrypt\"]");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 403, NULL);
    end();
}

Test(doc_access, lists_have_neither_rows_nor_counts_of_what_is_hidden)
{
    start();
    expect_as("anna", METHOD_GET, "/db/_all_docs", NULL, 200,
              "{\"total_rows\":2,\"offset\":0,\"rows\":[\n{\"id\":\"open1\"");
    expect_as("anna", METHOD_GET, "/db/_all_docs?startkey=%22open2%22", NULL, 200,
              "{\"total_rows\":2,\"offset\":1,\"rows\":[\n{\"id\":\"open2\"");
    expect_as("anna", METHOD_GET, "/db/_all_docs?limit=1&skip=1", NULL, 200, "\"id\":\"open2\"");
    expect_as("anna", METHOD_GET, "/db/_all_docs?include_docs=true&descending=true", NULL, 200,
              "\"rows\":[\n{\"id\":\"open2\"");
    expect_as("anna", METHOD_POST, "/db/_all_docs", "{\"keys\":[\"dark1\",\"none\",\"open1\"]}",
              200, "{\"key\":\"dark1\",\"error\":\"not_found\"},\n{\"key\":\"none\",\"error\":");
    expect_as("anna", METHOD_GET, "/db", NULL, 200, "\"doc_del_count\":0,\"doc_count\":2");
    expect(&documents, METHOD_DELETE, "/db/none", NULL, 404, NULL);
    db_right("anna", "\"remove\":[\"read\"]");
    expect_as("anna", METHOD_GET, "/db/_all_docs", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/db", NULL, 403, NULL);
    end();
}

static json_t *changes_of(const char *name, const char *query)
{
    char target[512];
    struct call *made;
    json_t *json;

    snprintf(target, sizeof(target), "/db/_changes%s", query);
    made = call_as(name, METHOD_GET, target, NULL);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    call_free(made);
    return json;
}

static const char *text_in(const json_t *json, const char *name)
{
    return json_string_value(json_object_get(json, name));
}

Test(doc_access, a_feed_has_no_hidden_row_and_its_sequences_tell_no_number_of_writes)
{
    char query[512];
    json_t *first, *again, *rest;
    const json_t *rows;

    start();
    first = changes_of("anna", "?limit=1");
    rows = json_object_get(first, "results");
    cr_assert_eq(json_array_size(rows), 1);
    cr_assert_str_eq(text_in(json_array_get(rows, 0), "id"), "open1");
    cr_assert_eq(json_integer_value(json_object_get(first, "pending")), 1);
    cr_assert_eq(strncmp(text_in(first, "last_seq"), "0-", 2), 0);
    again = changes_of("anna", "?limit=1");
    cr_assert_str_neq(text_in(first, "last_seq"), text_in(again, "last_seq"));

    snprintf(query, sizeof(query), "?since=%s", text_in(first, "last_seq"));
    rest = changes_of("anna", query);
    rows = json_object_get(rest, "results");
    cr_assert_eq(json_array_size(rows), 1);
    cr_assert_str_eq(text_in(json_array_get(rows, 0), "id"), "open2");
    cr_assert_eq(json_integer_value(json_object_get(rest, "pending")), 0);
    expect_as("anna", METHOD_GET, "/db/_changes?since=2", NULL, 400, "Malformed sequence");
    expect_as("anna", METHOD_GET, "/db/_changes?since=now", NULL, 200, "\"results\":[\n]");
    json_decref(first);
    json_decref(again);
    json_decref(rest);
    end();
}

/* The ids found, and the figures, without those that the reader may not know. */
static void anna_finds(const char *body, const char *ids, const char *part)
{
    struct call *made = call_as("anna", METHOD_POST, "/db/_find", body);
    char got[256] = "";
    json_t *json, *doc;
    size_t i;

    cr_assert_eq(made->status, 200, "%s: %s", body, call_text(made));
    cr_expect_null(strstr(call_text(made), "dark"), "%s", call_text(made));
    cr_expect_not_null(strstr(call_text(made), part), "%s", call_text(made));
    json = call_json(made);
    json_array_foreach(json_object_get(json, "docs"), i, doc)
    {
        strncat(got, json_string_value(json_object_get(doc, "_id")), sizeof(got) / 2);
        strncat(got, " ", 2);
    }
    cr_expect_str_eq(got, ids);
    json_decref(json);
    call_free(made);
}

/* Its last byte, at the version that it has: only who opens the body notices. */
static void spoil_body(const char *id)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str("db"));
    struct record_key key = record_document(database->id, bytes_str(id));
    struct buf value = BUF_INIT(1 * MIB);
    struct wire_command command;
    struct record record;
    uint8_t flags;

    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&key), &record), QK_OK);
    cr_assert_eq(record.version, 1);
    flags = record.flags;
    buf_put_bytes(&value, record.value);
    value.data[value.len - 1] ^= 0x01;
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, record_key_bytes(&key));
    documents_apply(&documents, &command);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), 1, flags, buf_bytes(&value));
    documents_apply(&documents, &command);
    buf_fini(&value);
}

/* So the time that a list or a query takes tells nothing of how large what is hidden is, or of what
 * is in it. What is opened, and is damaged, would break off the reply, as the administrator's is.
 */
Test(doc_access, what_is_hidden_is_never_opened)
{
    static const struct {
        enum method method;
        const char *target, *body;
    } doors[] = {
        {METHOD_GET, "/db/_all_docs?include_docs=true", NULL},
        {METHOD_POST, "/db/_all_docs?include_docs=true", "{\"keys\":[\"dark2\",\"open2\"]}"},
        {METHOD_GET, "/db/_changes?include_docs=true", NULL},
        {METHOD_POST, "/db/_find", "{\"selector\":{\"a\":{\"$exists\":true}}}"},
        {METHOD_POST, "/db/_bulk_get", "{\"docs\":[{\"id\":\"dark2\"},{\"id\":\"open2\"}]}"},
    };

    start();
    spoil_body("dark2");
    expect_as("anna", METHOD_GET, "/db/dark2", NULL, 403, "no grant to decrypt");
    expect_as("anna", METHOD_PUT, "/db/dark2", "{}", 403, "no grant to encrypt");
    expect_error(&documents, METHOD_GET, "/db/dark2", NULL, 500, "corrupt",
                 "the stored record does not authenticate");
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        struct call *made = call_as("anna", doors[i].method, doors[i].target, doors[i].body);
        json_t *json = call_json(made);

        cr_assert_eq(made->status, 200, "%s: %s", doors[i].target, call_text(made));
        cr_assert_not_null(json, "%s: %s", doors[i].target, call_text(made));
        cr_assert_not_null(strstr(call_text(made), "open2"), "%s", call_text(made));
        cr_assert_null(strstr(call_text(made), "corrupt"), "%s", call_text(made));
        cr_assert_null(strstr(call_text(made), "internal_error"), "%s", call_text(made));
        json_decref(json);
        call_free(made);
    }
    end();
}

Test(doc_access, a_query_finds_and_counts_only_what_the_reader_may_decrypt)
{
    start();
    anna_finds("{\"selector\":{},\"execution_stats\":true}", "open1 open2 ",
               "\"total_docs_examined\":2,");
    expect(&documents, METHOD_POST, "/db/_index",
           "{\"index\":{\"fields\":[\"_id\"]},\"ddoc\":\"d\",\"name\":\"n\"}", 200, NULL);
    anna_finds("{\"selector\":{\"_id\":{\"$gt\":null}},\"execution_stats\":true}", "open1 open2 ",
               "\"total_keys_examined\":2,\"total_docs_examined\":2,");
    grant("default", "anna", "\"remove\":[\"decrypt\"]");
    anna_finds("{\"selector\":{},\"execution_stats\":true}", "", "\"total_docs_examined\":0,");
    db_right("anna", "\"remove\":[\"read\",\"write\"]");
    expect_as("anna", METHOD_POST, "/db/_find", "{\"selector\":{}}", 403, NULL);
    expect_as("anna", METHOD_POST, "/db/_explain", "{\"selector\":{}}", 403, NULL);
    expect_as("anna", METHOD_GET, "/db/_index", NULL, 403, NULL);
    end();
}

Test(doc_access, an_index_under_a_key_without_a_grant_is_not_there)
{
    static const char query[] = "{\"selector\":{\"a\":1}}";

    start();
    expect(&documents, METHOD_PUT, "/db/_design/d",
           "{\"_key_id\":\"dark\",\"language\":\"query\",\"views\":{\"n\":{\"map\":{\"fields\":{"
           "\"a\":\"asc\"}},\"reduce\":\"_count\",\"options\":{\"def\":{\"fields\":[\"a\"]}}}}}",
           201, NULL);
    expect_as("admin", METHOD_GET, "/db/_index", NULL, 200, "\"total_rows\":2");
    expect_as("anna", METHOD_GET, "/db/_index", NULL, 200, "\"total_rows\":1");
    expect_as("admin", METHOD_POST, "/db/_explain", query, 200, "_design/d");
    expect_as("anna", METHOD_POST, "/db/_explain", query, 200, "\"name\":\"_all_docs\"");
    anna_finds(query, "open1 open2 ", "No matching index");
    db_right("anna", "\"add\":[\"admin\"]");
    expect_as("anna", METHOD_POST, "/db/_index", "{\"index\":{\"fields\":[\"b\"]},\"ddoc\":\"d\"}",
              403, "may not change");
    expect_as("anna", METHOD_DELETE, "/db/_index/d/json/n", NULL, 403, "may not change");
    expect_as("anna", METHOD_POST, "/db/_index", "{\"index\":{\"fields\":[\"b\"]},\"ddoc\":\"e\"}",
              200, "created");
    end();
}

Test(doc_access, a_feed_that_is_open_ends_when_a_grant_it_used_is_revoked)
{
    struct call *made;
    char target[64], rev[64];
    unsigned i;

    start();
    for (i = 0; i < 3000; i++) { /* more than a turn of the loop */
        snprintf(target, sizeof(target), "/db/open%04u", i);
        put_doc(&documents, target, "{\"a\":1}", rev);
    }
    made = start_as(principal_of("anna"), METHOD_GET, "/db/_changes", NULL);
    while (made->body.len == 0)
        uv_run(&documents.loop, UV_RUN_ONCE);
    cr_assert_not(made->ended);
    grant("default", "anna", "\"remove\":[\"decrypt\"]");
    call_run(made);
    cr_assert_not_null(strstr(call_text(made), "{\"error\":\"forbidden\""));
    cr_assert_null(strstr(call_text(made), "last_seq"));
    call_free(made);

    made = start_as(principal_of("anna"), METHOD_GET, "/db/_all_docs", NULL);
    cr_assert_not(made->ended);
    expect(&documents, METHOD_DELETE, "/_quorumkeep/users/anna", NULL, 200, NULL);
    call_run(made);
    cr_assert(made->status == 401 || strstr(call_text(made), "\"error\":\"unauthorized\"") != NULL);
    call_free(made);
    end();
}

Test(doc_access, a_download_ends_when_the_grant_it_used_is_revoked)
{
    const size_t groups = 1 << 20; /* of base64: 3 MiB */
    char *body = calloc(1, groups * 4 + 64), rev[64];
    struct call *made;
    size_t at;

    cr_assert_not_null(body);
    at = (size_t)snprintf(body, 64, "{\"_attachments\":{\"x\":{\"data\":\"");
    memset(body + at, 'A', groups * 4);
    memcpy(body + at + groups * 4, "\"}}}", 4);
    start();
    put_doc(&documents, "/db/long", body, rev);
    made = start_as(principal_of("anna"), METHOD_GET, "/db/long/x", NULL);
    while (made->body.len == 0)
        uv_run(&documents.loop, UV_RUN_ONCE);
    cr_assert_eq(made->status, 200);
    cr_assert_not(made->ended);
    made->is_cut = true;
    grant("default", "anna", "\"remove\":[\"decrypt\"]");
    call_run(made);
    cr_assert_lt(made->body.len, groups * 3, "all of it came");
    call_free(made);
    free(body);
    end();
}

static struct call *follow_as(const char *name)
{
    struct call *made = start_as(principal_of(name), METHOD_GET,
                                 "/db/_changes?feed=continuous&heartbeat=60000&since=now", NULL);

    while (made->body.len == 0)
        uv_run(&documents.loop, UV_RUN_ONCE);
    return made;
}

static void end_follow(struct call *made, const char *with)
{
    call_run(made);
    cr_assert_not_null(strstr(call_text(made), with), "%s", call_text(made));
    cr_assert_null(strstr(call_text(made), "last_seq"));
    call_free(made);
}

Test(doc_access, a_feed_that_waits_tells_nothing_of_hidden_writes)
{
    size_t secrets_n;
    struct call *made;
    char rev[64];

    start();
    made = follow_as("anna");
    secrets_n = secret_stats().secrets_n;
    put_doc(&documents, "/db/dark9", "{\"_key_id\":\"dark\"}", rev);
    put_doc(&documents, "/db/open9", "{}", rev);
    call_run_until(made, "\"id\":\"open9\"");
    cr_assert_null(strstr(call_text(made), "dark9"));
    /* Sealed after the rest as before it. */
    cr_assert_not_null(strstr(call_text(made), "{\"seq\":\"0-"));
    cr_assert_eq(secret_stats().secrets_n, secrets_n, "a feed at rest holds no secret");
    grant("dark", "anna", "\"add\":[\"decrypt\"]");
    put_doc(&documents, "/db/dark8", "{\"_key_id\":\"dark\"}", rev);
    call_run_until(made, "\"id\":\"dark8\"");
    cr_assert_null(strstr(call_text(made), "dark9"));
    grant("dark", "anna", "\"remove\":[\"decrypt\"]");
    end_follow(made, "{\"error\":\"forbidden\"");
    end();
}

Test(doc_access, a_feed_that_waits_ends_at_once_with_the_right_or_the_login)
{
    struct call *made;

    start();
    made = follow_as("anna");
    db_right("anna", "\"remove\":[\"read\"]");
    end_follow(made, "{\"error\":\"forbidden\"");
    db_right("anna", "\"add\":[\"read\"]");
    made = follow_as("anna");
    expect(&documents, METHOD_DELETE, "/_quorumkeep/users/anna", NULL, 200, NULL);
    end_follow(made, "\"error\":\"unauthorized\"");
    end();
}

/* --- writing --- */

Test(doc_access, writes_need_the_right_and_a_grant_on_the_new_key_and_on_the_present_one)
{
    start();
    expect_as("anna", METHOD_PUT, "/db/new", "{}", 201, NULL);
    expect_as("anna", METHOD_PUT, "/db/new2", "{\"_key_id\":\"dark\"}", 403, "no grant to encrypt");
    expect_as("anna", METHOD_PUT, "/db/new2", "{\"_key_id\":\"none\"}", 403, "no grant to encrypt");
    /* Not a conflict: of what is there she learns nothing. */
    expect_as("anna", METHOD_PUT, "/db/dark1", "{}", 403, "no grant to encrypt");
    expect_as("anna", METHOD_DELETE, "/db/dark1", NULL, 403, "no grant to encrypt");
    expect_as("anna", METHOD_PUT, "/db/open1", "{}", 409, NULL);
    expect_as("anna", METHOD_PUT, "/db/_design/d", "{}", 403, NULL);
    expect_as("anna", METHOD_POST, "/db/_bulk_docs",
              "{\"docs\":[{\"_id\":\"b1\"},{\"_id\":\"dark2\"},{\"_id\":\"b2\",\"_key_id\":"
              "\"dark\"}]}",
              201, "{\"id\":\"dark2\",\"error\":\"forbidden\"");
    expect_as("anna", METHOD_GET, "/db/b1", NULL, 200, NULL);
    expect_as("anna", METHOD_GET, "/db/b2", NULL, 404, NULL);
    db_right("anna", "\"remove\":[\"write\"]");
    expect_as("anna", METHOD_PUT, "/db/new3", "{}", 403, NULL);
    expect_as("anna", METHOD_POST, "/db/_bulk_docs", "{\"docs\":[]}", 403, NULL);
    expect_as("anna", METHOD_PUT, "/no_such/doc", "{}", 403, NULL);
    end();
}

#define LEAF_A "1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LEAF_B "1-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* Two leaves, one under a key of hers and one under another: all of the document is closed to her,
 * and replication tells her of no revision and gets none in. */
Test(doc_access, a_document_with_one_leaf_under_a_foreign_key_is_closed)
{
    start();
    expect(&documents, METHOD_PUT, "/db/two?new_edits=false", "{\"_rev\":\"" LEAF_A "\"}", 201,
           NULL);
    expect_as("anna", METHOD_GET, "/db/two?open_revs=all", NULL, 200, LEAF_A);
    expect(&documents, METHOD_PUT, "/db/two?new_edits=false",
           "{\"_rev\":\"" LEAF_B "\",\"_key_id\":\"dark\"}", 201, NULL);
    expect_as("anna", METHOD_GET, "/db/two?rev=" LEAF_A, NULL, 403, "no grant to decrypt");
    expect_as("anna", METHOD_GET, "/db/two?open_revs=all", NULL, 403, "no grant to decrypt");
    expect_as("anna", METHOD_POST, "/db/_bulk_get",
              "{\"docs\":[{\"id\":\"two\",\"rev\":\"" LEAF_A "\"}]}", 200,
              "\"error\":\"forbidden\"");
    expect_as("anna", METHOD_POST, "/db/_revs_diff",
              "{\"two\":[\"" LEAF_A "\",\"2-cccccccccccccccccccccccccccccccc\"]}", 200,
              "{\"two\":{\"missing\":[\"" LEAF_A "\",\"2-cccccccccccccccccccccccccccccccc\"]}}");
    expect_as("anna", METHOD_PUT, "/db/two?new_edits=false", "{\"_rev\":\"" LEAF_A "\"}", 403,
              "no grant to encrypt");
    expect_as("anna", METHOD_PUT, "/db/two?rev=" LEAF_A, "{}", 403, "no grant to encrypt");
    expect_as("anna", METHOD_PUT, "/db/_local/x", "{\"_key_id\":\"dark\"}", 403, NULL);
    expect(&documents, METHOD_PUT, "/db/_local/x", "{\"_key_id\":\"dark\"}", 201, NULL);
    expect_as("anna", METHOD_GET, "/db/_local/x", NULL, 403, NULL);
    expect_as("anna", METHOD_PUT, "/db/_local/x", "{}", 403, NULL);
    expect_as("anna", METHOD_GET, "/db/_local_docs", NULL, 200, "\"rows\":[\n]}");
    end();
}

/* The write would else carry a revision that she may not read under a key that she can open. */
Test(doc_access, a_conflict_moves_under_another_key_only_for_who_may_read_it)
{
    start();
    expect(&documents, METHOD_PUT, "/db/two?new_edits=false&key_id=dark",
           "{\"_rev\":\"" LEAF_A "\",\"secret\":1}", 201, NULL);
    expect(&documents, METHOD_PUT, "/db/two?new_edits=false", "{\"_rev\":\"" LEAF_B "\"}", 201,
           NULL);
    grant("dark", "anna", "\"add\":[\"encrypt\"]");
    expect_as("anna", METHOD_PUT, "/db/two?key_id=default&rev=" LEAF_B, "{}", 403,
              "or to decrypt what it keeps");
    expect_as("anna", METHOD_GET, "/db/two?rev=" LEAF_A, NULL, 403, "no grant to decrypt");
    expect_as("anna", METHOD_POST, "/db/_bulk_docs",
              "{\"docs\":[{\"_id\":\"two\",\"_key_id\":\"default\",\"_rev\":\"" LEAF_B "\"}]}", 201,
              "\"error\":\"forbidden\"");
    grant("dark", "anna", "\"add\":[\"decrypt\"]");
    expect_as("anna", METHOD_PUT, "/db/two?key_id=default&rev=" LEAF_B, "{}", 201, NULL);
    grant("dark", "anna", "\"remove\":[\"encrypt\",\"decrypt\"]");
    expect_as("anna", METHOD_GET, "/db/two?rev=" LEAF_A, NULL, 200, "\"secret\":1");
    end();
}

Test(doc_access, a_deletion_stays_under_the_documents_key)
{
    struct call *made;
    char rev[64], target[128];

    start();
    grant("dark", "anna", ALL_GRANTS);
    grant("default", "anna", "\"remove\":[\"encrypt\",\"decrypt\"]");
    made = call_as("anna", METHOD_GET, "/db/dark1", NULL);
    snprintf(rev, sizeof(rev), "%s", call_field(made, "ETag") + 1);
    rev[strlen(rev) - 1] = '\0';
    call_free(made);
    snprintf(target, sizeof(target), "/db/dark1?rev=%s", rev);
    made = call_as("anna", METHOD_DELETE, target, NULL);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    cr_assert_str_eq(call_field(made, "X-Quorumkeep-Key"), "dark/1");
    call_free(made);
    end();
}

/* Evaluated with the right, committed after it was taken away: another leader's command, applied
 * between the two. */
static void revoke_grant(struct documents *at)
{
    const struct catalog *catalog = at->service.catalog;
    struct catalog_grants next = {.list = {NULL, 0}};
    struct buf value = BUF_INIT(64 * KIB);
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command command;
    uint32_t version;

    cr_assert_eq(keyring_default(at->service.keyring, next.key_id, &version), QK_OK);
    cr_assert_eq(catalog_grants_key(&at->service, next.key_id, key), QK_OK);
    cr_assert_eq(catalog_grants_seal(&at->service, &next,
                                     catalog_grants_version(catalog, next.key_id) + 1, &value),
                 QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(key, sizeof(key)),
                     catalog_grants_version(catalog, next.key_id) + 1, 0, buf_bytes(&value));
    documents_apply(at, &command);
    buf_fini(&value);
}

static void delete_user(struct documents *at)
{
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command command;

    cr_assert_eq(catalog_user_key(&at->service, bytes_str("anna"), key), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, bytes_of(key, sizeof(key)));
    documents_apply(at, &command);
}

static void strip_database(struct documents *at)
{
    struct catalog_database next = *catalog_database_find(at->service.catalog, bytes_str("db"));
    struct buf value = BUF_INIT(64 * KIB);
    struct wire_command command;

    next.rights = (struct access_list){NULL, 0};
    cr_assert_eq(catalog_database_seal(&at->service, &next, next.record_version + 1, &value),
                 QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(next.key, CATALOG_KEY_BYTES), next.record_version + 1, 0,
                     buf_bytes(&value));
    documents_apply(at, &command);
    buf_fini(&value);
}

static void write_after(void (*revoke)(struct documents *), int status)
{
    start();
    documents.interfere = revoke;
    expect_as("anna", METHOD_PUT, "/db/late", "{}", status, NULL);
    cr_assert_null(documents.interfere);
    expect(&documents, METHOD_GET, "/db/late", NULL, 404, NULL);
    end();
}

Test(doc_access, a_write_that_the_log_has_after_the_revocation_of_its_grant_is_not_done)
{
    write_after(revoke_grant, 403);
}

Test(doc_access, a_write_that_the_log_has_after_the_loss_of_its_right_is_not_done)
{
    write_after(strip_database, 403);
}

Test(doc_access, a_write_that_the_log_has_after_the_end_of_its_user_is_not_done)
{
    write_after(delete_user, 401);
}

/* --- users, grants, rights --- */

Test(doc_access, only_administrators_make_and_change_users)
{
    start();
    expect_as("anna", METHOD_POST, "/_quorumkeep/users", "{\"name\":\"bert\"}", 403, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/users", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/users/admin", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/users/nobody", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/users/anna", NULL, 200, "\"admin\":false");
    expect_as("anna", METHOD_PUT, "/_quorumkeep/users/anna", "{\"admin\":true}", 403, NULL);
    expect_as("anna", METHOD_PUT, "/_quorumkeep/users/anna", "{\"roles\":[\"x\"]}", 403, NULL);
    expect_as("anna", METHOD_PUT, "/_quorumkeep/users/admin", "{\"password\":\"x\"}", 403, NULL);
    expect_as("anna", METHOD_DELETE, "/_quorumkeep/users/anna", NULL, 403, NULL);
    expect_as("anna", METHOD_PUT, "/_quorumkeep/users/anna", "{\"password\":\"new\"}", 200, NULL);
    end();
}

Test(doc_access, a_new_password_or_a_disabled_user_ends_the_logins_there_are)
{
    struct principal before;

    start();
    before = principal_of("anna");
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/anna", "{\"password\":\"p\"}", 200, NULL);
    cr_assert_eq(authorize_user(&documents.service, &before, ACCESS_USER), QK_ERR_UNAUTHENTICATED);
    before = principal_of("anna");
    cr_assert_eq(authorize_user(&documents.service, &before, ACCESS_USER), QK_OK);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/anna", "{\"disabled\":true}", 200, NULL);
    cr_assert_eq(authorize_user(&documents.service, &before, ACCESS_USER), QK_ERR_UNAUTHENTICATED);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/anna", "{\"disabled\":false}", 200, NULL);
    cr_assert_eq(authorize_user(&documents.service, &before, ACCESS_USER), QK_OK);
    /* Deleted and made again: another user, with none of the rights. */
    expect(&documents, METHOD_DELETE, "/_quorumkeep/users/anna", NULL, 200, NULL);
    add_user("anna");
    cr_assert_eq(authorize_user(&documents.service, &before, ACCESS_USER), QK_ERR_UNAUTHENTICATED);
    expect_as("anna", METHOD_GET, "/db/open1", NULL, 403, NULL);
    end();
}

Test(doc_access, the_last_administrator_stays)
{
    start();
    expect(&documents, METHOD_DELETE, "/_quorumkeep/users/admin", NULL, 409, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/admin", "{\"admin\":false}", 409, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/admin", "{\"disabled\":true}", 409, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/anna", "{\"admin\":true}", 200, NULL);
    expect(&documents, METHOD_DELETE, "/_quorumkeep/users/admin", NULL, 200, NULL);
    end();
}

Test(doc_access, a_password_is_taken_and_never_given)
{
    struct call *made;

    start();
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/anna", "{\"password\":\"hunter2\"}", 200,
           NULL);
    made = call(&documents, METHOD_GET, "/_quorumkeep/users", NULL);
    cr_assert_null(strstr(call_text(made), "hunter2"));
    cr_assert_null(strstr(call_text(made), "argon2"));
    call_free(made);
    made = call(&documents, METHOD_GET, "/_users/org.couchdb.user:anna", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_null(strstr(call_text(made), "argon2"));
    call_free(made);
    end();
}

Test(doc_access, documents_of_users_follow_couchdb)
{
    struct call *made;
    json_t *json;
    char target[256], body[256];

    start();
    made = call(&documents, METHOD_PUT, "/_users/org.couchdb.user:bert",
                "{\"name\":\"bert\",\"password\":\"p\",\"roles\":[\"staff\"],\"type\":\"user\"}");
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    json = call_json(made);
    call_free(made);
    expect(&documents, METHOD_PUT, "/_users/org.couchdb.user:bert",
           "{\"name\":\"bert\",\"roles\":[],\"type\":\"user\"}", 409, NULL);
    snprintf(
        body, sizeof(body),
        "{\"_rev\":\"%s\",\"name\":\"bert\",\"roles\":[\"staff\",\"night\"],\"type\":\"user\"}",
        text_in(json, "rev"));
    expect(&documents, METHOD_PUT, "/_users/org.couchdb.user:bert", body, 201, NULL);
    expect(&documents, METHOD_PUT, "/_users/org.couchdb.user:bert", body, 409, NULL);
    snprintf(target, sizeof(target), "/_users/org.couchdb.user:bert?rev=%s", text_in(json, "rev"));
    expect(&documents, METHOD_DELETE, target, NULL, 409, NULL);
    json_decref(json);
    made = call(&documents, METHOD_GET, "/_users/org.couchdb.user:bert", NULL);
    json = call_json(made);
    cr_assert_str_eq(text_in(json, "type"), "user");
    cr_assert_eq(json_array_size(json_object_get(json, "roles")), 2);
    snprintf(target, sizeof(target), "/_users/org.couchdb.user:bert?rev=%s", text_in(json, "_rev"));
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
    json_decref(json);
    call_free(made);
    expect(&documents, METHOD_GET, "/_users/org.couchdb.user:bert", NULL, 404, NULL);
    expect_as("anna", METHOD_GET, "/_users/org.couchdb.user:admin", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/_users/org.couchdb.user:anna", NULL, 200, NULL);
    expect_as("anna", METHOD_GET, "/_users/other", NULL, 404, NULL);
    end();
}

Test(doc_access, security_maps_onto_rights)
{
    start();
    expect(&documents, METHOD_PUT, "/db2", NULL, 201, NULL);
    expect(&documents, METHOD_GET, "/db2/_security", NULL, 200,
           "{\"admins\":{\"names\":[],\"roles\":[\"_admin\"]},\"members\":{\"names\":[],\"roles\":"
           "[\"_admin\"]}}");
    expect_as("anna", METHOD_GET, "/db2/_security", NULL, 403, NULL);
    expect(&documents, METHOD_PUT, "/db2/_security",
           "{\"admins\":{\"names\":[\"anna\"],\"roles\":[\"_admin\"]},\"members\":{\"roles\":["
           "\"staff\"]},\"readers\":{\"names\":[\"admin\"]}}",
           200, NULL);
    expect_as("anna", METHOD_GET, "/db2/_security", NULL, 200,
              "{\"admins\":{\"names\":[\"anna\"],\"roles\":[]},\"members\":{\"names\":[],\"roles\":"
              "[\"staff\"]},\"readers\":{\"names\":[\"admin\"],\"roles\":[]}}");
    expect_as("anna", METHOD_PUT, "/db2/_design/d", "{}", 201, NULL);
    expect_as("anna", METHOD_PUT, "/db/_security", "{}", 403, NULL);
    expect(&documents, METHOD_PUT, "/db2/_security", "{\"admins\":{\"names\":[\"nobody\"]}}", 404,
           NULL);
    expect(&documents, METHOD_PUT, "/db2/_security", "{\"other\":1}", 400, NULL);
    expect(&documents, METHOD_PUT, "/db2/_security", "{\"admins\":[]}", 400, NULL);
    expect_as("anna", METHOD_PUT, "/db2/_security", "{}", 200, NULL);
    expect_as("anna", METHOD_GET, "/db2/_security", NULL, 403, NULL);
    end();
}

Test(doc_access, roles_carry_rights_and_grants)
{
    start();
    add_user("bert");
    expect(&documents, METHOD_POST, "/db/_security", "{\"role\":\"staff\",\"add\":[\"read\"]}", 200,
           NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/dark/grants",
           "{\"role\":\"staff\",\"add\":[\"decrypt\"]}", 200, NULL);
    expect_as("bert", METHOD_GET, "/db/dark1", NULL, 403, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/bert", "{\"roles\":[\"staff\"]}", 200, NULL);
    expect_as("bert", METHOD_GET, "/db/dark1", NULL, 200, NULL);
    expect_as("bert", METHOD_GET, "/db", NULL, 200, "\"doc_count\":3");
    expect_as("bert", METHOD_PUT, "/db/x", "{}", 403, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/bert", "{\"roles\":[]}", 200, NULL);
    expect_as("bert", METHOD_GET, "/db/dark1", NULL, 403, NULL);
    end();
}

Test(doc_access, whoever_manages_a_key_grants_it_and_nothing_else)
{
    start();
    expect_as("anna", METHOD_GET, "/_quorumkeep/keys/default/grants", NULL, 403, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/keys/none/grants", NULL, 403, NULL);
    expect(&documents, METHOD_GET, "/_quorumkeep/keys/none/grants", NULL, 404, NULL);
    grant("dark", "anna", "\"add\":[\"manage\"]");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 403, NULL);
    expect_as("anna", METHOD_POST, "/_quorumkeep/keys/dark/grants",
              "{\"user\":\"anna\",\"add\":[\"decrypt\"]}", 200,
              "{\"user\":\"anna\",\"rights\":[\"decrypt\",\"manage\"]}");
    expect_as("anna", METHOD_GET, "/db/dark1", NULL, 200, NULL);
    expect_as("anna", METHOD_POST, "/_quorumkeep/keys/default/grants",
              "{\"user\":\"anna\",\"add\":[\"manage\"]}", 403, NULL);
    expect_as("anna", METHOD_POST, "/_quorumkeep/keys/dark/grants",
              "{\"user\":\"anna\",\"remove\":[\"manage\"]}", 200, NULL);
    expect_as("anna", METHOD_GET, "/_quorumkeep/keys/dark/grants", NULL, 403, NULL);
    end();
}

Test(doc_access, orders_that_make_no_sense_are_refused)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"user\":\"anna\"}",
        "{\"user\":\"anna\",\"add\":[]}",
        "{\"user\":\"anna\",\"add\":\"decrypt\"}",
        "{\"user\":\"anna\",\"add\":[\"read\"]}",
        "{\"user\":\"anna\",\"role\":\"staff\",\"add\":[\"decrypt\"]}",
        "{\"add\":[\"decrypt\"]}",
        "{\"role\":\"_admin\",\"add\":[\"decrypt\"]}",
        "{\"user\":\"anna\",\"add\":[\"decrypt\"],\"remove\":[\"decrypt\"]}",
        "{\"user\":\"anna\",\"add\":[\"decrypt\"],\"other\":1}",
    };

    start();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        expect(&documents, METHOD_POST, "/_quorumkeep/keys/default/grants", bad[i], 400, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/default/grants",
           "{\"user\":\"nobody\",\"add\":[\"decrypt\"]}", 404, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{\"name\":\"a:b\"}", 400, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{}", 400, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{\"name\":\"anna\"}", 409, NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{\"name\":\"c\",\"password\":\"\"}", 400,
           NULL);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{\"name\":\"c\",\"roles\":[\"_admin\"]}",
           400, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/users/nobody", "{\"disabled\":true}", 404, NULL);
    end();
}

/* --- the net under it all --- */

static void careless(struct service *service, struct exchange *exchange)
{
    (void)service;
    exchange_reply_json(exchange, 200, json_pack("{s:s}", "secret", "told"));
}

Test(doc_access, a_handler_that_forgets_to_ask_answers_nothing)
{
    struct call *made;

    start();
    made = call_begin(&documents, METHOD_GET, "/db/open1", BYTES_NONE);
    made->exchange.request.who = principal_of("anna");
    cr_assert_eq(authorize_route(&documents.service, &made->exchange, ACCESS_DB_READ), QK_OK);
    careless(&documents.service, &made->exchange);
    cr_assert_eq(made->status, 500);
    cr_assert_null(strstr(call_text(made), "told"));
    call_free(made);
    end();
}

Test(doc_access, sealed_sequences_open_for_their_database_alone)
{
    uint8_t one[DATABASE_ID_BYTES] = {1}, two[DATABASE_ID_BYTES] = {2};
    struct secret *index, *key, *other;
    char text[SEQ_TEXT_BYTES_MAX + 1];
    uint64_t seq;

    documents_init(&documents);
    cr_assert_eq(secret_new_random(KEY_BYTES, &index), QK_OK);
    cr_assert_eq(seq_key_derive(index, one, &key), QK_OK);
    cr_assert_eq(seq_key_derive(index, two, &other), QK_OK);
    cr_assert_eq(seq_format_sealed(key, one, 77, text), QK_OK);
    cr_assert_eq(seq_parse_sealed(key, one, bytes_str(text), &seq), QK_OK);
    cr_assert_eq(seq, 77);
    cr_assert_eq(seq_parse_sealed(other, two, bytes_str(text), &seq), QK_OK);
    cr_assert_eq(seq, 0);
    for (size_t at = 0; at < strlen(text); at++) {
        cr_assert_neq(seq_parse_sealed(key, one, bytes_of(text, at), &seq), at == 1 ? -1 : QK_OK);
        text[at] ^= 1;
        if (seq_parse_sealed(key, one, bytes_str(text), &seq) == QK_OK)
            cr_assert_eq(seq, 0);
        text[at] ^= 1;
    }
    secret_free(index);
    secret_free(key);
    secret_free(other);
    documents_fini(&documents);
}
