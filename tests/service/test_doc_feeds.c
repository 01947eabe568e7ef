/* Feeds of changes that wait: longpoll, continuous, eventsource. */
#include "documents_fixture.h"
#include "service/feeds/feeds.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
}

static void teardown(void)
{
    cr_assert_eq(feeds_n(documents.service.feeds), 0);
    documents_fini(&documents);
}

TestSuite(feeds, .init = setup, .fini = teardown);

static void put(const char *id)
{
    char target[128], rev[64];

    snprintf(target, sizeof(target), "/db/%s", id);
    put_doc(&documents, target, "{\"n\":1}", rev);
}

static struct call *begin(const char *target)
{
    struct call *made = call_begin(&documents, METHOD_GET, target, BYTES_NONE);

    call_start(made);
    return made;
}

static void on_time(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Lets the loop run for a while: for what must not happen. */
static void run_ms(unsigned ms)
{
    bool over = false;
    uv_timer_t timer;

    uv_timer_init(&documents.loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_time, ms, 0);
    documents_run_until(&documents, &over);
    uv_close((uv_handle_t *)&timer, NULL);
    (void)uv_run(&documents.loop, UV_RUN_NOWAIT);
}

/* At rest: all is told and nothing runs. */
static void run_until_rest(struct call *made)
{
    uint64_t began = uv_hrtime();

    while (made->status == 0 || made->body.len == 0) {
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000);
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
    }
}

static unsigned lines_n(struct call *made, const char *of)
{
    const char *at = call_text(made);
    unsigned n = 0;

    while ((at = strstr(at, of)) != NULL) {
        at++;
        n++;
    }
    return n;
}

Test(feeds, continuous_tells_what_there_is_and_then_what_comes)
{
    struct call *made;

    put("a");
    made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    call_run_until(made, "\"id\":\"a\"");
    cr_assert_eq(made->status, 200);
    cr_assert_str_eq(made->content_type, "application/json");
    cr_assert_eq(feeds_n(documents.service.feeds), 1);
    put("b");
    call_run_until(made, "\"id\":\"b\"");
    put("c");
    put("a2");
    call_run_until(made, "\"id\":\"a2\"");
    cr_assert_eq(lines_n(made, "{\"seq\":"), 4);
    cr_assert_eq(lines_n(made, "}]}\n"), 4);
    cr_assert_null(strstr(call_text(made), "last_seq"));
    call_leave(made);
}

Test(feeds, live_is_another_word_for_continuous_and_ends_after_its_time_with_where_it_stood)
{
    struct call *made;

    put("a");
    made = begin("/db/_changes?feed=live&timeout=30");
    call_run(made);
    cr_assert_eq(strncmp(call_text(made), "{\"seq\":\"1-", 10), 0, "%s", call_text(made));
    cr_assert_not_null(strstr(call_text(made), "}]}\n{\"last_seq\":\"1-"));
    cr_assert_not_null(strstr(call_text(made), "\",\"pending\":0}\n"));
    call_free(made);
}

Test(feeds, one_without_news_begins_its_reply_at_once)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000&since=now");

    run_until_rest(made);
    cr_assert_eq(made->status, 200);
    cr_assert_str_eq(call_text(made), "\n");
    call_leave(made);
}

Test(feeds, longpoll_answers_at_once_if_there_is_something_and_else_when_there_is)
{
    struct call *made;
    json_t *json;

    put("a");
    made = call(&documents, METHOD_GET, "/db/_changes?feed=longpoll", NULL);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 1);
    json_decref(json);
    call_free(made);

    made = begin("/db/_changes?feed=longpoll&since=now");
    run_until_rest(made);
    cr_assert_str_eq(call_text(made), "{\"results\":[");
    put("b");
    call_run(made);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 1);
    cr_assert_eq(strncmp(json_string_value(json_object_get(json, "last_seq")), "2-", 2), 0);
    json_decref(json);
    call_free(made);
}

Test(feeds, longpoll_that_nothing_came_to_ends_empty_after_its_time)
{
    struct call *made = call(&documents, METHOD_GET, "/db/_changes?feed=longpoll&timeout=20", NULL);
    json_t *json = call_json(made);

    cr_assert_eq(json_array_size(json_object_get(json, "results")), 0);
    cr_assert_eq(strncmp(json_string_value(json_object_get(json, "last_seq")), "0-", 2), 0);
    json_decref(json);
    call_free(made);
}

Test(feeds, heartbeats_come_while_nothing_happens_and_do_not_break_the_json)
{
    struct call *made = begin("/db/_changes?feed=longpoll&heartbeat=20");
    json_t *json;

    call_run_until(made, "\n\n\n");
    put("a");
    call_run(made);
    json = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 1);
    json_decref(json);
    call_free(made);

    made = begin("/db/_changes?feed=eventsource&heartbeat=20");
    call_run_until(made, "event: heartbeat\ndata: \n\nevent: heartbeat\ndata: \n\n");
    call_leave(made);
}

Test(feeds, eventsource_has_its_own_form_and_goes_on_behind_the_last_event)
{
    struct call *made = begin("/db/_changes?feed=eventsource&timeout=60000");
    char last[128];

    put("a");
    call_run_until(made, "\"id\":\"a\"");
    put("b");
    call_run_until(made, "\"id\":\"b\"");
    cr_assert_str_eq(made->content_type, "text/event-stream");
    cr_assert_str_eq(call_field(made, "Cache-Control"), "no-cache");
    cr_assert_eq(lines_n(made, "data: {\"seq\":"), 2);
    snprintf(last, sizeof(last), "%.24s", strstr(call_text(made), "\nid: \"") + 5);
    call_leave(made);

    made = call_begin(&documents, METHOD_GET, "/db/_changes?feed=eventsource&timeout=20&since=0",
                      BYTES_NONE);
    made->exchange.request.last_event_id = bytes_of(last, strcspn(last, "\n"));
    call_start(made);
    call_run(made);
    cr_assert_eq(lines_n(made, "data: {\"seq\":"), 1);
    cr_assert_not_null(strstr(call_text(made), "\"id\":\"b\""));
    cr_assert_null(strstr(call_text(made), "last_seq"), "how it ends");
    call_free(made);
}

Test(feeds, a_limit_ends_a_feed_and_counts_over_its_rests)
{
    struct call *made;

    put("a");
    put("b");
    put("c");
    made = call(&documents, METHOD_GET, "/db/_changes?feed=continuous&limit=2", NULL);
    cr_assert_eq(lines_n(made, "{\"seq\":"), 2);
    cr_assert_not_null(strstr(call_text(made), "\",\"pending\":1}\n"));
    call_free(made);

    made = begin("/db/_changes?feed=continuous&limit=2&since=now");
    run_until_rest(made);
    put("d");
    call_run_until(made, "\"id\":\"d\"");
    cr_assert_not(made->ended);
    put("e");
    call_run(made);
    cr_assert_eq(lines_n(made, "{\"seq\":"), 2);
    cr_assert_not_null(strstr(call_text(made), "{\"last_seq\":\"5-"));
    call_free(made);
}

Test(feeds, descending_tells_the_past_backwards_and_then_what_comes)
{
    struct call *made;

    put("a");
    put("b");
    made = begin("/db/_changes?feed=continuous&descending=true&timeout=60000");
    call_run_until(made, "\"id\":\"a\"");
    cr_assert_lt(strstr(call_text(made), "\"id\":\"b\""), strstr(call_text(made), "\"id\":\"a\""));
    put("c");
    call_run_until(made, "\"id\":\"c\"");
    cr_assert_eq(lines_n(made, "{\"seq\":"), 3);
    call_leave(made);
}

Test(feeds, of_many_writes_each_document_comes_at_its_newest_and_none_is_missed)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    char target[64], rev[64] = "", body[128];
    unsigned i;

    run_until_rest(made);
    for (i = 0; i < 200; i++) {
        snprintf(target, sizeof(target), "d%03u", i);
        put(target);
    }
    put_doc(&documents, "/db/z", "{}", rev);
    for (i = 0; i < 50; i++) {
        snprintf(body, sizeof(body), "{\"_rev\":\"%s\"}", rev);
        put_doc(&documents, "/db/z", body, rev);
    }
    call_run_until(made, rev);
    for (i = 0; i < 200; i++) {
        snprintf(target, sizeof(target), "\"id\":\"d%03u\"", i);
        cr_assert_eq(lines_n(made, target), 1, "%s", target);
    }
    call_leave(made);
}

Test(feeds, hundreds_share_one_flush_and_all_hear_of_a_write)
{
    struct call *made[300];
    struct store_figures before, after;
    unsigned i;

    for (i = 0; i < 300; i++)
        made[i] = begin("/db/_changes?feed=continuous&heartbeat=60000&since=now");
    for (i = 0; i < 300; i++)
        run_until_rest(made[i]);
    store_figures(documents.service.store, &before);
    put("a");
    for (i = 0; i < 300; i++)
        call_run_until(made[i], "\"id\":\"a\"");
    store_figures(documents.service.store, &after);
    cr_assert_leq(after.commits - before.commits, 4);
    run_ms(100);
    store_figures(documents.service.store, &before);
    cr_assert_leq(before.commits - after.commits, 1, "feeds at rest cause no commit");
    for (i = 0; i < 300; i++)
        call_leave(made[i]);
}

Test(feeds, a_write_to_another_database_wakes_nobody)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    char rev[64];

    run_until_rest(made);
    expect(&documents, METHOD_PUT, "/other", NULL, 201, NULL);
    put_doc(&documents, "/other/a", "{}", rev);
    run_ms(50);
    cr_assert_str_eq(call_text(made), "\n");
    call_leave(made);
}

Test(feeds, sealing_ends_them_at_once_and_says_why)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");

    run_until_rest(made);
    documents.open = false;
    feeds_close(&documents.service, QK_ERR_SEALED);
    cr_assert(made->ended);
    cr_assert_not_null(strstr(call_text(made), "\n{\"error\":\"sealed\""));
    call_free(made);
    documents.open = true;
    feeds_open(&documents.service);
}

Test(feeds, a_node_that_stops_tells_them_where_they_stood)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    struct call *late;

    put("a");
    call_run_until(made, "\"id\":\"a\"");
    feeds_close(&documents.service, QK_ERR_CLOSED);
    cr_assert(made->ended);
    cr_assert_not_null(strstr(call_text(made), "{\"last_seq\":\"1-"));
    call_free(made);
    late = call(&documents, METHOD_GET, "/db/_changes?feed=continuous", NULL);
    cr_assert_eq(late->status, 503);
    call_free(late);
    feeds_open(&documents.service);
}

Test(feeds, a_database_that_is_dropped_ends_its_feeds)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    struct call *poll = begin("/db/_changes?feed=longpoll&heartbeat=60000");
    json_t *json;

    run_until_rest(made);
    run_until_rest(poll);
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    call_run(made);
    call_run(poll);
    cr_assert_not_null(strstr(call_text(made), "{\"last_seq\":\"0-"));
    json = call_json(poll);
    cr_assert_eq(json_array_size(json_object_get(json, "results")), 0);
    json_decref(json);
    call_free(made);
    call_free(poll);
}

Test(feeds, one_made_anew_under_the_same_name_is_another_one)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");
    char rev[64];

    run_until_rest(made);
    expect(&documents, METHOD_DELETE, "/db", NULL, 200, NULL);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    put_doc(&documents, "/db/a", "{}", rev);
    call_run(made);
    cr_assert_null(strstr(call_text(made), "\"id\":\"a\""));
    call_free(made);
}

Test(feeds, a_client_that_left_is_forgotten_at_once)
{
    struct call *made = begin("/db/_changes?feed=continuous&heartbeat=60000");

    run_until_rest(made);
    made->exchange.closed = true;
    made->exchange.gone(made->exchange.gone_arg);
    cr_assert(made->ended);
    cr_assert_eq(feeds_n(documents.service.feeds), 0);
    put("a");
    run_ms(20);
    cr_assert_str_eq(call_text(made), "\n");
    call_free(made);
}

Test(feeds, head_has_no_rows_and_does_not_wait)
{
    struct call *made = call(&documents, METHOD_HEAD, "/db/_changes?feed=continuous", NULL);

    cr_assert_eq(made->status, 200);
    cr_assert_eq(made->body.len, 0);
    call_free(made);
}

Test(feeds, seq_interval_leaves_out_sequences_between)
{
    struct call *made;
    json_t *json, *rows;
    unsigned i;

    for (i = 0; i < 6; i++)
        put((const char *[]){"a", "b", "c", "d", "e", "f"}[i]);
    made = call(&documents, METHOD_GET, "/db/_changes?seq_interval=3&limit=6", NULL);
    json = call_json(made);
    rows = json_object_get(json, "results");
    for (i = 0; i < 6; i++)
        cr_assert_eq(json_is_string(json_object_get(json_array_get(rows, i), "seq")), i % 3 == 0);
    json_decref(json);
    call_free(made);
    expect_error(&documents, METHOD_GET, "/db/_changes?seq_interval=0", NULL, 400, "bad_request",
                 "invalid_seq_interval");
}

Test(feeds, wrong_parameters_are_refused_in_couchdbs_words)
{
    expect_error(&documents, METHOD_GET, "/db/_changes?feed=sometimes", NULL, 400, "bad_request",
                 "Supported `feed` types: normal, continuous, live, longpoll, eventsource");
    expect_error(&documents, METHOD_GET, "/db/_changes?feed=continuous&heartbeat=-1000", NULL, 400,
                 "bad_request",
                 "The heartbeat value should be a positive integer (in milliseconds).");
    expect_error(&documents, METHOD_GET, "/db/_changes?feed=continuous&heartbeat=0", NULL, 400,
                 "bad_request",
                 "The heartbeat value should be a positive integer (in milliseconds).");
    expect_error(&documents, METHOD_GET, "/db/_changes?feed=continuous&heartbeat=a1000", NULL, 400,
                 "bad_request",
                 "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).");
    expect(&documents, METHOD_GET, "/db/_changes?timeout=x", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/db/_changes?limit=x", NULL, 400, NULL);
    expect(&documents, METHOD_GET, "/db/_changes?style=other", NULL, 400, NULL);
    expect_error(&documents, METHOD_GET, "/no/_changes?feed=continuous", NULL, 404, "not_found",
                 "Database does not exist.");
}

static const char *data_of(const json_t *row, const char *member)
{
    const json_t *attachments = json_object_get(json_object_get(row, "doc"), "_attachments");

    cr_assert_not_null(attachments);
    return json_string_value(json_object_get(json_object_get(attachments, "foo.txt"), member));
}

Test(feeds, documents_come_with_their_attachments_if_they_are_asked_for)
{
    static const char DATA[] = "VGhpcyBpcyBhIGJhc2U2NCBlbmNvZGVkIHRleHQ=";
    char body[256], rev[64];
    struct call *made;
    json_t *json, *rows;

    snprintf(body, sizeof(body),
             "{\"_attachments\":{\"foo.txt\":{\"content_type\":\"text/plain\",\"data\":\"%s\"}}}",
             DATA);
    put_doc(&documents, "/db/a", body, rev);
    put("b");
    made = call(&documents, METHOD_GET, "/db/_changes?include_docs=true&attachments=true", NULL);
    json = call_json(made);
    rows = json_object_get(json, "results");
    cr_assert_eq(json_array_size(rows), 2);
    cr_assert_str_eq(data_of(json_array_get(rows, 0), "data"), DATA);
    cr_assert_null(
        json_object_get(json_object_get(json_array_get(rows, 1), "doc"), "_attachments"));
    json_decref(json);
    call_free(made);

    made = call(&documents, METHOD_GET, "/db/_changes?include_docs=true", NULL);
    json = call_json(made);
    cr_assert_null(data_of(json_array_get(json_object_get(json, "results"), 0), "data"));
    json_decref(json);
    call_free(made);

    made = begin("/db/_changes?include_docs=true&attachments=true&feed=continuous&since=now&"
                 "heartbeat=60000");
    run_until_rest(made);
    put_doc(&documents, "/db/c", body, rev);
    put("d");
    call_run_until(made, "\"id\":\"d\"");
    cr_assert_not_null(strstr(call_text(made), DATA));
    cr_assert_eq(lines_n(made, "}}\n{\"seq\""), 1, "%s", call_text(made));
    call_leave(made);
}
