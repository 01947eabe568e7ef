/* Writes to secrets that meet, leaders that go, and what is left in the store. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "service/catalog.h"
#include "service/kv.h"
#include "wire/command.h"

static struct documents documents;

static void setup(void)
{
    struct wire_command command;

    documents_init(&documents);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    cr_assert_eq(kv_mount_put(&documents.service, &command), QK_OK);
    documents_apply(&documents, &command);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(kv_write, .init = setup, .fini = teardown);

static int status_of(enum method method, const char *target, const char *body)
{
    struct call *made = call(&documents, method, target, body);
    int status = made->status;

    call_free(made);
    return status;
}

static size_t records_n(void)
{
    const struct catalog_database *database =
        catalog_database_find(documents.service.catalog, bytes_str(KV_DATABASE));
    struct store_stats stats;

    store_database_stats(documents.service.store, database->id, &stats);
    return (size_t)(stats.doc_count + stats.del_count);
}

Test(kv_write, what_goes_leaves_no_record_behind)
{
    static const char body[] = "{\"data\":{\"a\":1}}";
    size_t before = records_n();

    for (int i = 0; i < 12; i++)
        cr_assert_eq(status_of(METHOD_POST, "/v1/secret/data/x/y", body), 200);
    cr_assert_eq(records_n(), before + 12); /* ten values, the secret, the folder */
    cr_assert_eq(status_of(METHOD_POST, "/v1/secret/destroy/x/y", "{\"versions\":[5,6]}"), 204);
    cr_assert_eq(records_n(), before + 10);
    cr_assert_eq(status_of(METHOD_DELETE, "/v1/secret/metadata/x/y", NULL), 204);
    cr_assert_eq(records_n(), before);
}

/* All begun before any is applied: each finds its turn. */
Test(kv_write, many_at_once_into_one_folder_are_all_there)
{
    struct call *calls[40];
    char target[64];
    struct call *made;
    json_t *json;

    for (int i = 0; i < 40; i++) {
        snprintf(target, sizeof(target), "/v1/secret/data/f/g/s%d", i % 20);
        calls[i] = call_begin(&documents, METHOD_POST, target, bytes_str("{\"data\":{\"a\":1}}"));
        call_start(calls[i]);
    }
    for (int i = 0; i < 40; i++) {
        call_run(calls[i]);
        cr_assert_eq(calls[i]->status, 200, "%s", call_text(calls[i]));
        call_free(calls[i]);
    }
    made = call(&documents, METHOD_LIST, "/v1/secret/metadata/f/g", NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json_object_get(json, "data"), "keys")), 20);
    json_decref(json);
    call_free(made);
    for (int i = 0; i < 20; i++) {
        snprintf(target, sizeof(target), "/v1/secret/metadata/f/g/s%d", i);
        cr_assert_eq(status_of(METHOD_DELETE, target, NULL), 204);
    }
    cr_assert_eq(status_of(METHOD_LIST, "/v1/secret/metadata/f", NULL), 404);
    cr_assert_eq(records_n(), 0);
}

Test(kv_write, of_two_with_the_same_cas_one_is_refused)
{
    struct call *calls[2];
    int good_n = 0;

    for (int i = 0; i < 2; i++) {
        calls[i] = call_begin(&documents, METHOD_POST, "/v1/secret/data/a",
                              bytes_str("{\"options\":{\"cas\":0},\"data\":{}}"));
        call_start(calls[i]);
    }
    for (int i = 0; i < 2; i++) {
        call_run(calls[i]);
        good_n += calls[i]->status == 200;
        cr_assert(calls[i]->status == 200 || calls[i]->status == 400);
        call_free(calls[i]);
    }
    cr_assert_eq(good_n, 1);
}

/* Another leader's write of the same secret, applied between evaluation and application. */
static struct wire_command elsewhere;
static bool taken;

static void write_elsewhere(struct documents *at)
{
    documents_apply(at, &elsewhere);
    taken = true;
}

/* The command of a write that is not applied here and now. */
static void take_command(const char *target, const char *body)
{
    struct call *made;

    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    made = call(&documents, METHOD_POST, target, body);
    cr_assert_eq(made->status, 503);
    cr_assert(strstr(call_text(made), "\"errors\"") != NULL, "%s", call_text(made));
    call_free(made);
}

Test(kv_write, a_lost_leader_is_said_and_nothing_is_done_twice)
{
    take_command("/v1/secret/data/a", "{\"data\":{\"v\":1}}");
    cr_assert_eq(status_of(METHOD_GET, "/v1/secret/data/a", NULL), 404);
    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    documents.submit_apply_first = true;
    cr_assert_eq(status_of(METHOD_POST, "/v1/secret/data/a", "{\"data\":{\"v\":1}}"), 503);
    documents.submit_apply_first = false;
    cr_assert_eq(status_of(METHOD_GET, "/v1/secret/data/a", NULL), 200);
    cr_assert_eq(
        status_of(METHOD_POST, "/v1/secret/data/a", "{\"options\":{\"cas\":0},\"data\":{}}"), 400);
}

/* The settings of all change between the evaluation of a write and its application: it is evaluated
 * again under the new ones. */
static void settings_change(struct documents *at)
{
    const struct catalog_database *database =
        catalog_database_find(at->service.catalog, bytes_str(KV_DATABASE));
    struct record_key key = record_document(database->id, bytes_str("config"));

    wire_command_begin(&elsewhere, WIRE_WRITE);
    wire_command_batch(&elsewhere);
    wire_command_delete(&elsewhere, record_key_bytes(&key));
    write_elsewhere(at);
}

Test(kv_write, a_write_goes_by_the_settings_that_hold_when_it_is_applied)
{
    cr_assert_eq(status_of(METHOD_POST, "/v1/secret/config", "{\"max_versions\":1}"), 204);
    cr_assert_eq(status_of(METHOD_POST, "/v1/secret/data/a", "{\"data\":{}}"), 200);
    documents.interfere = settings_change;
    cr_assert_eq(status_of(METHOD_POST, "/v1/secret/data/a", "{\"data\":{}}"), 200);
    cr_assert(taken);
    /* One version was to be kept when it was evaluated first. */
    cr_assert_eq(status_of(METHOD_GET, "/v1/secret/data/a?version=1", NULL), 200);
}

Test(kv_write, sealed_says_why_in_vaults_words)
{
    documents.open = false;
    expect(&documents, METHOD_POST, "/v1/secret/data/a", "{\"data\":{}}", 503,
           "{\"errors\":[\"waiting for 1 more node: n2 (never)\"],\"error\":\"sealed\"}");
    expect(&documents, METHOD_GET, "/v1/secret/data/a", NULL, 503,
           "{\"errors\":[\"waiting for 1 more node: n2 (never)\"],\"error\":\"sealed\"}");
}
