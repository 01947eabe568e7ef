#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct documents documents;
static char seq_mark[17];

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(lists, .init = setup, .fini = teardown);

static void put_letters(const char *letters)
{
    char target[16], rev[64];

    for (; *letters != '\0'; letters++) {
        snprintf(target, sizeof(target), "/db/%c", *letters);
        put_doc(&documents, target, "{\"n\":1}", rev);
    }
}

static void delete_letter(char letter)
{
    char target[128], rev[64];
    struct call *made;

    snprintf(target, sizeof(target), "/db/%c", letter);
    made = call(&documents, METHOD_GET, target, NULL);
    snprintf(rev, sizeof(rev), "%.34s", strstr(call_text(made), "\"_rev\":\"") + 8);
    call_free(made);
    snprintf(target, sizeof(target), "/db/%c?rev=%s", letter, rev);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
}

/* "total offset ids": e.g. "3 1 bc"; a missing key is '?', a deleted document '!', null is '-'. */
static void list_is(enum method method, const char *target, const char *body, const char *expected)
{
    struct call *made = call(&documents, method, target, body);
    char got[256] = "", offset[32];
    json_t *json, *rows;
    size_t i;

    cr_assert_eq(made->status, 200, "%s: %s", target, call_text(made));
    json = call_json(made);
    rows = json_object_get(json, "rows");
    if (json_is_null(json_object_get(json, "offset")))
        snprintf(offset, sizeof(offset), "-");
    else
        snprintf(offset, sizeof(offset), "%d",
                 (int)json_integer_value(json_object_get(json, "offset")));
    snprintf(got, sizeof(got), "%d %s ",
             (int)json_integer_value(json_object_get(json, "total_rows")), offset);
    for (i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);
        json_t *id = json_object_get(row, "id");
        json_t *value = json_object_get(row, "value");

        if (id == NULL)
            strncat(got, "?", 2);
        else if (json_is_true(json_object_get(value, "deleted")))
            strncat(got, "!", 2);
        else
            strncat(got, json_string_value(id), 2);
        if (id != NULL)
            cr_assert(json_equal(id, json_object_get(row, "key")));
    }
    cr_assert_str_eq(got, expected, "%s", target);
    json_decref(json);
    call_free(made);
}

Test(lists, all_docs_of_ranges_in_both_directions)
{
    put_letters("cabde");
    delete_letter('c');
    list_is(METHOD_GET, "/db/_all_docs", NULL, "4 0 abde");
    list_is(METHOD_GET, "/db/_all_docs?descending=true", NULL, "4 0 edba");
    list_is(METHOD_GET, "/db/_all_docs?limit=2", NULL, "4 0 ab");
    list_is(METHOD_GET, "/db/_all_docs?limit=0", NULL, "4 0 ");
    list_is(METHOD_GET, "/db/_all_docs?skip=3", NULL, "4 3 e");
    list_is(METHOD_GET, "/db/_all_docs?skip=9", NULL, "4 4 ");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22b%22", NULL, "4 1 bde");
    list_is(METHOD_GET, "/db/_all_docs?start_key=%22b%22&end_key=%22d%22", NULL, "4 1 bd");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22b%22&endkey=%22d%22&inclusive_end=false", NULL,
            "4 1 b");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22d%22&endkey=%22b%22&descending=true", NULL,
            "4 1 db");
    list_is(METHOD_GET,
            "/db/_all_docs?startkey=%22d%22&endkey=%22b%22&descending=true&inclusive_end=false",
            NULL, "4 1 d");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22d%22&endkey=%22b%22", NULL, "4 2 ");
    list_is(METHOD_GET, "/db/_all_docs?key=%22b%22", NULL, "4 1 b");
    list_is(METHOD_GET, "/db/_all_docs?key=%22c%22", NULL, "4 2 ");
    list_is(METHOD_GET, "/db/_all_docs?key=%22zz%22", NULL, "4 4 ");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22b%22&skip=1&limit=1", NULL, "4 2 d");
}

Test(lists, all_docs_of_given_keys)
{
    put_letters("abc");
    delete_letter('c');
    list_is(METHOD_POST, "/db/_all_docs", "{\"keys\":[\"b\",\"x\",\"c\",\"a\",\"b\",\"\"]}",
            "2 - b?!ab?");
    list_is(METHOD_GET, "/db/_all_docs?keys=[%22b%22,%22a%22]", NULL, "2 - ba");
    list_is(METHOD_POST, "/db/_all_docs?descending=true", "{\"keys\":[\"b\",\"a\"]}", "2 - ab");
    list_is(METHOD_POST, "/db/_all_docs", "{\"startkey\":\"b\",\"limit\":1}", "2 1 b");
    list_is(METHOD_POST, "/db/_all_docs?limit=1&skip=1", "{\"keys\":[\"b\",\"a\"]}", "2 - a");
}

Test(lists, keys_longer_than_any_id_still_bound_a_range)
{
    char target[2048], long_key[600];

    put_letters("ab");
    memset(long_key, 'a', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    snprintf(target, sizeof(target), "/db/_all_docs?startkey=%%22%s%%22", long_key);
    list_is(METHOD_GET, target, NULL, "2 1 b");
    snprintf(target, sizeof(target), "/db/_all_docs?endkey=%%22%s%%22", long_key);
    list_is(METHOD_GET, target, NULL, "2 0 a");
    snprintf(target, sizeof(target), "/db/_all_docs?descending=true&startkey=%%22%s%%22", long_key);
    list_is(METHOD_GET, target, NULL, "2 1 a");
}

Test(lists, all_docs_with_bodies_and_sequence)
{
    char rev[64], reply[512];

    put_doc(&documents, "/db/a", "{\"n\":1}", rev);
    snprintf(reply, sizeof(reply),
             "{\"total_rows\":1,\"offset\":0,\"rows\":[\n{\"id\":\"a\",\"key\":\"a\",\"value\":"
             "{\"rev\":\"%s\"},\"doc\":{\"_id\":\"a\",\"_rev\":\"%s\",\"n\":1}}\n]}",
             rev, rev);
    expect(&documents, METHOD_GET, "/db/_all_docs?include_docs=true", NULL, 200, reply);
    delete_letter('a');
    expect(&documents, METHOD_POST, "/db/_all_docs?include_docs=true", "{\"keys\":[\"a\"]}", 200,
           NULL);
    expect(&documents, METHOD_GET, "/db/_all_docs?update_seq=true", NULL, 200, NULL);
}

Test(lists, all_docs_with_conflicts_names_the_leaves_that_lost)
{
    static const char DOCS[] =
        "{\"new_edits\":false,\"docs\":["
        "{\"_id\":\"a\",\"_rev\":\"1-0000000000000000000000000000000a\",\"n\":1},"
        "{\"_id\":\"a\",\"_rev\":\"1-0000000000000000000000000000000b\",\"n\":2}]}";
    static const char REPLY[] =
        "{\"total_rows\":1,\"offset\":0,\"rows\":[\n{\"id\":\"a\",\"key\":\"a\",\"value\":"
        "{\"rev\":\"1-0000000000000000000000000000000b\"},\"doc\":{\"_id\":\"a\","
        "\"_rev\":\"1-0000000000000000000000000000000b\","
        "\"_conflicts\":[\"1-0000000000000000000000000000000a\"],\"n\":2}}\n]}";

    expect(&documents, METHOD_POST, "/db/_bulk_docs", DOCS, 201, NULL);
    expect(&documents, METHOD_GET, "/db/_all_docs?include_docs=true&conflicts=true", NULL, 200,
           REPLY);
}

Test(lists, wrong_parameters_are_refused)
{
    expect(&documents, METHOD_GET, "/db/_all_docs?limit=-1", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/db/_all_docs?limit=x", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/db/_all_docs?descending=1", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/db/_all_docs?startkey=7", NULL, 400, NULL);
    expect_error(&documents, METHOD_GET, "/db/_all_docs?startkey=abc", NULL, 400, "bad_request",
                 "invalid UTF-8 JSON");
    expect(&documents, METHOD_POST, "/db/_all_docs", "{\"keys\":7}", 400, NULL);
    expect(&documents, METHOD_POST, "/db/_all_docs", "{\"keys\":[7]}", 400, NULL);
    expect(&documents, METHOD_POST, "/db/_all_docs", "{\"keys\":[],\"key\":\"a\"}", 400, NULL);
    expect(&documents, METHOD_POST, "/db/_all_docs", "[", 400, NULL);
    expect_error(&documents, METHOD_GET, "/no/_all_docs", NULL, 404, "not_found",
                 "Database does not exist.");
    expect_error(&documents, METHOD_GET, "/db/_changes?since=x", NULL, 400, "bad_request",
                 "Malformed sequence supplied in 'since' parameter.");
}

/* "ids last pending"; last without the database's mark, which is kept in seq_mark. */
static void feed_is(const char *target, const char *expected)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);
    json_t *json, *rows;
    char got[256] = "";
    const char *last;
    size_t i, len;

    cr_assert_eq(made->status, 200, "%s: %s", target, call_text(made));
    json = call_json(made);
    rows = json_object_get(json, "results");
    for (i = 0; i < json_array_size(rows); i++) {
        json_t *row = json_array_get(rows, i);

        strncat(got, json_string_value(json_object_get(row, "id")), 2);
        if (json_is_true(json_object_get(row, "deleted")))
            strncat(got, "!", 2);
        cr_assert_eq(json_array_size(json_object_get(row, "changes")), 1);
    }
    last = json_string_value(json_object_get(json, "last_seq"));
    len = strcspn(last, "-");
    snprintf(seq_mark, sizeof(seq_mark), "%s", last + len + 1);
    snprintf(got + strlen(got), 64, " %.*s %d", (int)len, last,
             (int)json_integer_value(json_object_get(json, "pending")));
    cr_assert_str_eq(got, expected, "%s", target);
    json_decref(json);
    call_free(made);
}

Test(lists, changes_come_once_a_document_in_order)
{
    char target[128];

    feed_is("/db/_changes", " 0 0");
    put_letters("abc");
    delete_letter('a');
    feed_is("/db/_changes", "bca! 4 0");
    feed_is("/db/_changes?since=0", "bca! 4 0");
    feed_is("/db/_changes?since=2", "ca! 4 0");
    feed_is("/db/_changes?since=now", " 4 0");
    feed_is("/db/_changes?since=99", " 99 0");
    feed_is("/db/_changes?limit=1", "b 2 2");
    feed_is("/db/_changes?limit=0", "b 2 2");
    feed_is("/db/_changes?limit=2&since=2", "ca! 4 0");
    feed_is("/db/_changes?descending=true&limit=2", "a!c 3 0");
    snprintf(target, sizeof(target), "/db/_changes?since=2-%s", seq_mark);
    feed_is(target, "ca! 4 0");
    feed_is("/db/_changes?since=3-0011223344556677", "bca! 4 0");
    snprintf(target, sizeof(target), "/db/_changes?since=9-%s", seq_mark); /* a restored past */
    feed_is(target, "bca! 4 0");
    snprintf(target, sizeof(target), "/db/_changes?consistency=local&since=9-%s", seq_mark);
    feed_is(target, " 9 0");
    snprintf(target, sizeof(target), "/db/_changes?since=2-%s", seq_mark);
    expect(&documents, METHOD_GET, "/db/_changes?include_docs=true&style=all_docs", NULL, 200,
           NULL);
    documents_restart(&documents);
    feed_is(target, "ca! 4 0");
}

static void many(size_t n)
{
    struct buf body = BUF_INIT(64 * MIB);
    struct call *made;
    size_t i;

    buf_put_str(&body, "{\"docs\":[");
    for (i = 0; i < n; i++)
        buf_printf(&body, "%s{\"_id\":\"%06zu\",\"text\":\"some words to fill the row\"}",
                   i == 0 ? "" : ",", i);
    buf_put_str(&body, "]}");
    made = call_begin(&documents, METHOD_POST, "/db/_bulk_docs", buf_bytes(&body));
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 201);
    call_free(made);
    buf_fini(&body);
}

static void streams(const char *target, const char *rows_name, size_t n)
{
    struct call *made = call(&documents, METHOD_GET, target, NULL);
    json_t *json;

    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->length, SIZE_MAX);
    cr_assert_gt(made->drains_n, 3);
    cr_assert_lt(made->unread_max, 256 * KIB, "%zu bytes at once", made->unread_max);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, rows_name)), n);
    json_decref(json);
    call_free(made);
}

Test(lists, long_lists_wait_for_their_reader)
{
    many(10000);
    streams("/db/_all_docs", "rows", 10000);
    streams("/db/_all_docs?include_docs=true&descending=true", "rows", 10000);
    streams("/db/_changes?include_docs=true", "results", 10000);
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22001999%22&limit=0", NULL, "10000 1999 ");
    list_is(METHOD_GET, "/db/_all_docs?startkey=%22002000%22&limit=0", NULL, "10000 - ");
}

Test(lists, reader_that_left_ends_the_work)
{
    struct call *made;
    size_t drains_n;

    many(5000);
    made = call_begin(&documents, METHOD_GET, "/db/_all_docs", BYTES_NONE);
    call_start(made);
    while (made->drains_n == 0)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    drains_n = made->drains_n;
    made->exchange.closed = true;
    call_run(made);
    cr_assert_eq(made->drains_n, drains_n);
    call_free(made);
}

Test(lists, feed_ends_where_it_stood_when_it_began)
{
    struct call *made;
    char target[128], rev[64];
    json_t *json;

    many(5000);
    made = call_begin(&documents, METHOD_GET, "/db/_changes", BYTES_NONE);
    call_start(made);
    while (made->drains_n == 0)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    put_doc(&documents, "/db/later", "{}", rev);
    call_run(made);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 5000);
    snprintf(target, sizeof(target), "/db/_changes?since=%s",
             json_string_value(json_object_get(json, "last_seq")));
    json_decref(json);
    call_free(made);
    made = call(&documents, METHOD_GET, target, NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 1);
    json_decref(json);
    call_free(made);
}

Test(lists, sealing_ends_a_list_with_the_reason)
{
    struct call *made;

    many(5000);
    made = call_begin(&documents, METHOD_GET, "/db/_all_docs", BYTES_NONE);
    call_start(made);
    while (made->drains_n == 0)
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    documents.open = false;
    call_run(made);
    cr_assert_not_null(strstr(call_text(made), "\n{\"error\":\"sealed\""));
    call_free(made);
    documents.open = true;
}
