/* _db_updates: databases that come, change and go. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(updates, .init = setup, .fini = teardown);

static void make(const char *name)
{
    char target[64];

    snprintf(target, sizeof(target), "/%s", name);
    expect(&documents, METHOD_PUT, target, NULL, 201, NULL);
}

static void drop(const char *name)
{
    char target[64];

    snprintf(target, sizeof(target), "/%s", name);
    expect(&documents, METHOD_DELETE, target, NULL, 200, NULL);
}

static void put(const char *target)
{
    char rev[64];

    put_doc(&documents, target, "{}", rev);
}

/* "+a" created, "a" updated, "-a" deleted, in their order; where it ended in `ret_last`. */
static void rows_are(const char *query, const char *rows, char ret_last[static 64])
{
    char target[256], got[512] = "";
    struct call *made;
    json_t *json, *row;
    size_t i;

    snprintf(target, sizeof(target), "/_db_updates%s", query);
    made = call(&documents, METHOD_GET, target, NULL);
    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    json_array_foreach(json_object_get(json, "results"), i, row)
    {
        const char *type = json_string_value(json_object_get(row, "type"));
        char one[80];

        snprintf(one, sizeof(one), "%s%s%s", i == 0 ? "" : " ",
                 type[0] == 'c'   ? "+"
                 : type[0] == 'd' ? "-"
                                  : "",
                 json_string_value(json_object_get(row, "db_name")));
        strncat(got, one, sizeof(got) - strlen(got) - 1);
        cr_assert(json_is_string(json_object_get(row, "seq")));
    }
    cr_assert_str_eq(got, rows, "%s", query);
    snprintf(ret_last, 64, "%s", json_string_value(json_object_get(json, "last_seq")));
    json_decref(json);
    call_free(made);
}

Test(updates, what_was_made_written_and_dropped_comes_in_order_and_goes_on_behind_the_last)
{
    char last[64], query[128], again[64];

    rows_are("", "", last);
    make("a");
    make("b");
    rows_are("", "+a +b", last);
    put("/a/1");
    put("/b/1");
    put("/a/2");
    rows_are("", "+a +b b a", again);
    snprintf(query, sizeof(query), "?since=%s", last);
    rows_are(query, "b a", last);
    snprintf(query, sizeof(query), "?since=%s", last);
    rows_are(query, "", last);
    drop("a");
    rows_are(query, "-a", last);
    rows_are("", "+b b -a", last);
    rows_are("?limit=1", "+b", last);
    snprintf(query, sizeof(query), "?since=%s&limit=1", last);
    rows_are(query, "b", last);
    rows_are("?descending=true", "-a b +b", last);
    rows_are("?since=now", "", last);
    make("a");
    snprintf(query, sizeof(query), "?since=%s", last);
    rows_are(query, "+a", last);
    documents_restart(&documents);
    rows_are("", "+b b +a", again);
    snprintf(query, sizeof(query), "?since=%s", last);
    rows_are(query, "", again);
    cr_assert_str_eq(last, again);
}

Test(updates, more_databases_than_one_turn_looks_at_are_all_told)
{
    char name[16], last[64], query[128];
    struct call *made;
    json_t *json;
    unsigned i;

    for (i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "d%03u", i);
        make(name);
    }
    made = call(&documents, METHOD_GET, "/_db_updates", NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 300);
    snprintf(last, sizeof(last), "%s", json_string_value(json_object_get(json, "last_seq")));
    json_decref(json);
    call_free(made);
    snprintf(query, sizeof(query), "?since=%s", last);
    rows_are(query, "", last);
}

Test(updates, a_feed_that_waits_tells_of_them_as_they_come)
{
    struct call *made =
        call_begin(&documents, METHOD_GET, "/_db_updates?feed=continuous&since=now&heartbeat=60000",
                   BYTES_NONE);
    struct call *source = call_begin(&documents, METHOD_GET,
                                     "/_db_updates?feed=eventsource&timeout=60000", BYTES_NONE);

    call_start(made);
    call_start(source);
    call_run_until(made, "\n");
    make("a");
    call_run_until(made, "{\"db_name\":\"a\",\"type\":\"created\",\"seq\":\"");
    put("/a/1");
    call_run_until(made, "\"updated\"");
    drop("a");
    call_run_until(made, "\"deleted\"");
    call_run_until(source, "data: {\"db_name\":\"a\",\"type\":\"deleted\"");
    cr_assert_not_null(strstr(call_text(source), "\nid: \""));
    call_leave(made);
    call_leave(source);
}

Test(updates, a_longpoll_waits_and_ends_with_the_first)
{
    struct call *made;
    json_t *json;

    make("a");
    made = call_begin(&documents, METHOD_GET,
                      "/_db_updates?feed=longpoll&since=now&heartbeat=60000", BYTES_NONE);
    call_start(made);
    call_run_until(made, "results");
    put("/a/1");
    call_run(made);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 1);
    json_decref(json);
    call_free(made);
    made = call(&documents, METHOD_GET, "/_db_updates?feed=longpoll&since=now&timeout=20", NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 0);
    json_decref(json);
    call_free(made);
}

Test(updates, wrong_parameters_are_refused)
{
    expect(&documents, METHOD_GET, "/_db_updates?feed=x", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/_db_updates?since=x", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/_db_updates?limit=x", NULL, 400, NULL);
}
