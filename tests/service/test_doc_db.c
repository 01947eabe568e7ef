#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "service/catalog.h"
#include "store/internal.h"

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(db, .init = setup, .fini = teardown);

/* A database that came with the snapshot may have a name not read yet: "busy", never "not there".
 */
Test(db, while_the_names_are_read_anew_nothing_is_said_to_be_missing)
{
    struct call *made;

    expect(&documents, METHOD_PUT, "/words", NULL, 201, NULL);
    store_notify(documents.service.store, BYTES_NONE); /* as a snapshot swapped in does */
    made = call(&documents, METHOD_GET, "/words?consistency=local", NULL);
    cr_assert_eq(made->status, 503);
    cr_assert_not_null(call_field(made, "Retry-After"));
    call_free(made);
    made = call_begin(&documents, METHOD_PUT, "/words/a", bytes_str("{}"));
    call_start(made);
    cr_assert_eq(made->status, 503);
    call_free(made);
    while (catalog_check(documents.service.catalog) == QK_ERR_BUSY)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    expect(&documents, METHOD_GET, "/words", NULL, 200, NULL);
    expect(&documents, METHOD_PUT, "/words/a", "{}", 201, NULL);
}

Test(db, is_made_once_shown_and_dropped)
{
    struct call *made;
    json_t *info;

    expect_error(&documents, METHOD_GET, "/words", NULL, 404, "not_found",
                 "Database does not exist.");
    made = call(&documents, METHOD_PUT, "/words", NULL);
    cr_assert_eq(made->status, 201);
    cr_assert_str_eq(call_text(made), "{\"ok\":true}\n");
    cr_assert_str_eq(call_field(made, "Location"), "http://localhost:7601/words");
    call_free(made);
    expect_error(&documents, METHOD_PUT, "/words", NULL, 412, "file_exists",
                 "The database could not be created, the file already exists.");
    made = call(&documents, METHOD_GET, "/words", NULL);
    cr_assert_eq(made->status, 200);
    info = call_json(made);
    cr_assert_str_eq(json_string_value(json_object_get(info, "db_name")), "words");
    cr_assert_eq(json_integer_value(json_object_get(info, "doc_count")), 0);
    cr_assert_str_eq(json_string_value(json_object_get(info, "instance_start_time")), "0");
    cr_assert(json_is_false(json_object_get(info, "compact_running")));
    cr_assert(json_is_string(json_object_get(info, "update_seq")));
    cr_assert(json_is_integer(json_object_get(json_object_get(info, "sizes"), "active")));
    json_decref(info);
    call_free(made);
    made = call(&documents, METHOD_HEAD, "/words", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->body.len, 0);
    cr_assert_gt(made->length, 0);
    call_free(made);
    expect(&documents, METHOD_DELETE, "/words", NULL, 200, "{\"ok\":true}");
    expect_error(&documents, METHOD_DELETE, "/words", NULL, 404, "not_found",
                 "Database does not exist.");
}

Test(db, illegal_names_are_refused)
{
    struct call *made = call(&documents, METHOD_PUT, "/Words", NULL);

    cr_assert_eq(made->status, 400);
    cr_assert_str_eq(call_text(made),
                     "{\"error\":\"illegal_database_name\",\"reason\":\"Name: 'Words'. Only "
                     "lowercase characters (a-z), digits (0-9), and any of the characters _, $, (, "
                     "), +, -, and / are allowed. Must begin with a letter.\"}\n");
    call_free(made);
    expect(&documents, METHOD_PUT, "/a%00b", NULL, 400, NULL);
    expect(&documents, METHOD_PUT, "/_users", NULL, 400, NULL);
    expect(&documents, METHOD_PUT, "/a%2Fb", NULL, 201, "{\"ok\":true}");
}

Test(db, a_partitioned_one_is_refused_and_not_made)
{
    expect_error(&documents, METHOD_PUT, "/p?partitioned=true", NULL, 501, "not_implemented",
                 "partitioned databases are not part of this server");
    expect(&documents, METHOD_GET, "/p", NULL, 404, NULL);
    expect(&documents, METHOD_PUT, "/p?partitioned=false", NULL, 201, NULL);
}

Test(db, dropped_one_is_empty_when_made_again)
{
    char rev[64];

    expect(&documents, METHOD_PUT, "/words", NULL, 201, NULL);
    put_doc(&documents, "/words/a", "{}", rev);
    expect(&documents, METHOD_DELETE, "/words", NULL, 200, NULL);
    expect_error(&documents, METHOD_GET, "/words/a", NULL, 404, "not_found",
                 "Database does not exist.");
    expect_error(&documents, METHOD_PUT, "/words/a", "{}", 404, "not_found",
                 "Database does not exist.");
    expect(&documents, METHOD_PUT, "/words", NULL, 201, NULL);
    expect_error(&documents, METHOD_GET, "/words/a", NULL, 404, "not_found", "missing");
}

Test(db, names_are_listed_in_order_and_by_page)
{
    expect(&documents, METHOD_GET, "/_all_dbs", NULL, 200, "[]");
    expect(&documents, METHOD_PUT, "/c", NULL, 201, NULL);
    expect(&documents, METHOD_PUT, "/a", NULL, 201, NULL);
    expect(&documents, METHOD_PUT, "/b", NULL, 201, NULL);
    expect(&documents, METHOD_GET, "/_all_dbs", NULL, 200, "[\"a\",\"b\",\"c\"]");
    expect(&documents, METHOD_GET, "/_all_dbs?limit=1&skip=1", NULL, 200, "[\"b\"]");
    expect(&documents, METHOD_GET, "/_all_dbs?skip=9", NULL, 200, "[]");
    expect(&documents, METHOD_GET, "/_all_dbs?descending=true&startkey=%22b%22", NULL, 200,
           "[\"b\",\"a\"]");
    expect(&documents, METHOD_GET, "/_all_dbs?start_key=%22b%22", NULL, 200, "[\"b\",\"c\"]");
    expect(&documents, METHOD_GET, "/_all_dbs?limit=x", NULL, 400, NULL);
}

Test(db, catalog_is_the_same_after_a_restart)
{
    char rev[64];

    expect(&documents, METHOD_PUT, "/a", NULL, 201, NULL);
    expect(&documents, METHOD_PUT, "/b", NULL, 201, NULL);
    put_doc(&documents, "/b/x", "{\"n\":1}", rev);
    expect(&documents, METHOD_DELETE, "/a", NULL, 200, NULL);
    documents_restart(&documents);
    expect(&documents, METHOD_GET, "/_all_dbs", NULL, 200, "[\"b\"]");
    expect(&documents, METHOD_GET, "/b/x", NULL, 200, NULL);
    cr_assert_eq(catalog_users_n(documents.service.catalog), 1);
}

static bool file_has(const char *path, const char *needle)
{
    static char data[32 * 1024 * 1024];
    FILE *file = fopen(path, "rb");
    size_t len;

    cr_assert_not_null(file);
    len = fread(data, 1, sizeof(data), file);
    fclose(file);
    return memmem(data, len, needle, strlen(needle)) != NULL;
}

Test(db, names_and_bodies_are_nowhere_in_the_file_and_ids_are)
{
    char rev[64];

    expect(&documents, METHOD_PUT, "/canaryname", NULL, 201, NULL);
    put_doc(&documents, "/canaryname/clear-document-id", "{\"text\":\"canarybody\"}", rev);
    documents_restart(&documents);
    cr_assert(file_has(documents.path, "clear-document-id"), "the search finds nothing at all");
    cr_assert_not(file_has(documents.path, "canaryname"));
    cr_assert_not(file_has(documents.path, "canarybody"));
    cr_assert_not(file_has(documents.path, ADMIN_NAME));
}

Test(db, sealed_answers_503_with_the_reason)
{
    documents.open = false;
    expect_error(&documents, METHOD_GET, "/words", NULL, 503, "sealed",
                 "waiting for 1 more node: n2 (never)");
    expect_error(&documents, METHOD_PUT, "/words", NULL, 503, "sealed",
                 "waiting for 1 more node: n2 (never)");
    expect_error(&documents, METHOD_GET, "/_all_dbs", NULL, 503, "sealed",
                 "waiting for 1 more node: n2 (never)");
    documents.open = true;
}

Test(db, uuids_are_made)
{
    struct call *made = call(&documents, METHOD_GET, "/_uuids?count=3", NULL);
    json_t *json = call_json(made);

    cr_assert_eq(json_array_size(json_object_get(json, "uuids")), 3);
    json_decref(json);
    call_free(made);
    expect(&documents, METHOD_GET, "/_uuids?count=1001", NULL, 400, NULL);
}
