/* Replies that go into flows and bodies that come from them, over sockets of loopback: the server
 * reads as little at a time as it likes, and answers with as much as it is told to. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/limits.h"
#include "fetch/fetch.h"

#define BODY_BYTES ((size_t)5 * MIB)

static uv_loop_t loop;
static uv_tcp_t listener, client;
static struct fetch *fetch;
static struct flow flow;
static char url[64];
static bool has_client;

/* The server: what came, and what it answers once that ends with `until`. */
static char *came, *answer;
static size_t came_len, answer_len;
static const char *until;
static uv_write_t writing;

static struct {
    unsigned n;
    enum qk_err err;
    int status;
} got;

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_buf)
{
    (void)handle;
    (void)size;
    *ret_buf = uv_buf_init(came + came_len, (unsigned)(BODY_BYTES + 4096 - came_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t out = uv_buf_init(answer, (unsigned)answer_len);

    (void)buf;
    if (n <= 0)
        return;
    came_len += (size_t)n;
    if (answer_len > 0 && memmem(came, came_len, until, strlen(until)) != NULL) {
        answer_len = 0;
        cr_assert_eq(uv_write(&writing, stream, &out, 1, NULL), 0);
    }
}

static void on_connection(uv_stream_t *stream, int status)
{
    cr_assert_eq(status, 0);
    cr_assert_eq(uv_tcp_init(&loop, &client), 0);
    cr_assert_eq(uv_accept(stream, (uv_stream_t *)&client), 0);
    has_client = true;
    cr_assert_eq(uv_read_start((uv_stream_t *)&client, on_alloc, on_read), 0);
}

static void setup(void)
{
    struct fetch_settings settings = {.ca_file = NULL};
    struct buf why = BUF_INIT(512);
    struct sockaddr_in address;
    int len = sizeof address;

    came = calloc(1, BODY_BYTES + 4096);
    answer = calloc(1, BODY_BYTES + 4096);
    cr_assert(came != NULL && answer != NULL);
    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    cr_assert_eq(uv_tcp_init(&loop, &listener), 0);
    cr_assert_eq(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), 0);
    cr_assert_eq(uv_listen((uv_stream_t *)&listener, 8, on_connection), 0);
    cr_assert_eq(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/db", ntohs(address.sin_port));
    cr_assert_eq(link_allow_parse("127.0.0.0/8", &settings.allow, &why), QK_OK);
    buf_fini(&why);
    cr_assert_eq(fetch_new(&loop, &settings, &fetch), QK_OK);
    flow_init(&flow);
}

static void teardown(void)
{
    fetch_free(fetch);
    uv_close((uv_handle_t *)&listener, NULL);
    if (has_client)
        uv_close((uv_handle_t *)&client, NULL);
    cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(uv_loop_close(&loop), 0);
    flow_fini(&flow);
    free(came);
    free(answer);
}

TestSuite(fetch_flow, .init = setup, .fini = teardown, .timeout = 120);

static void on_reply(void *arg, const struct fetch_reply *reply)
{
    (void)arg;
    got.n++;
    got.err = reply->err;
    got.status = reply->status;
}

static struct fetch_call *ask(const char *method, struct flow *from, struct flow *into)
{
    struct fetch_request wish = {.method = method,
                                 .url = url,
                                 .from = from,
                                 .into = into,
                                 .reply_bytes_max = KIB,
                                 .silence_ms = 60000};
    struct fetch_call *call;

    cr_assert_eq(fetch_start(fetch, &wish, on_reply, NULL, &call), QK_OK);
    return call;
}

static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 7 + place / 251);
}

static void answer_with(const char *head, size_t body_len)
{
    answer_len = (size_t)snprintf(answer, 4096, "%s", head);
    for (size_t i = 0; i < body_len; i++)
        answer[answer_len + i] = (char)byte_at(i);
    answer_len += body_len;
    until = "\r\n\r\n";
}

/* What waits is looked at and taken; `taken` in all. */
static void take_all(size_t *taken)
{
    struct bytes waiting = flow_waiting(&flow);

    for (size_t i = 0; i < waiting.len; i++)
        cr_assert_eq(waiting.data[i], byte_at(*taken + i));
    flow_take(&flow, waiting.len);
    *taken += waiting.len;
}

Test(fetch_flow, a_reply_waits_for_its_reader_and_comes_whole)
{
    size_t taken = 0;

    answer_with("HTTP/1.1 200 OK\r\nContent-Type: a/b; c=d\r\nContent-Length: 5242880\r\n\r\n",
                BODY_BYTES);
    ask("GET", NULL, &flow);
    while (!flow_is_full(&flow))
        (void)uv_run(&loop, UV_RUN_ONCE);
    for (unsigned i = 0; i < 50; i++)
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_leq(flow_waiting(&flow).len, FLOW_WINDOW_BYTES + 64 * KIB, "it does not wait");
    cr_assert_str_eq(flow.type, "a/b; c=d");
    cr_assert_eq(flow.length, BODY_BYTES);
    while (got.n == 0 || flow_waiting(&flow).len > 0) {
        take_all(&taken);
        if (got.n == 0)
            (void)uv_run(&loop, UV_RUN_ONCE);
    }
    cr_assert_eq(got.err, QK_OK);
    cr_assert_eq(taken, BODY_BYTES);
    cr_assert(flow_is_over(&flow));
}

Test(fetch_flow, a_reply_that_is_cut_is_an_error_and_no_end)
{
    size_t taken = 0;

    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n", 1000);
    ask("GET", NULL, &flow);
    while (!flow.begun || taken < 1000) {
        (void)uv_run(&loop, UV_RUN_ONCE);
        if (flow.begun)
            take_all(&taken);
    }
    uv_close((uv_handle_t *)&client, NULL);
    has_client = false;
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(got.err, QK_ERR_IO);
    cr_assert(!flow.ended);
}

Test(fetch_flow, another_status_is_a_reply_as_any)
{
    answer_with("HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\n", 3);
    ask("GET", NULL, &flow);
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(got.status, 404);
    cr_assert(!flow.begun);
}

Test(fetch_flow, an_empty_reply_begins_and_ends)
{
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 0);
    ask("GET", NULL, &flow);
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(got.err, QK_OK);
    cr_assert(flow_is_over(&flow));
}

static void put_some(size_t *put)
{
    uint8_t piece[16 * KIB];
    size_t len = BODY_BYTES - *put < sizeof piece ? BODY_BYTES - *put : sizeof piece;

    for (size_t i = 0; i < len; i++)
        piece[i] = byte_at(*put + i);
    cr_assert_eq(flow_put(&flow, bytes_of(piece, len)), QK_OK);
    *put += len;
    if (*put == BODY_BYTES)
        flow_end(&flow);
}

static void put_body(uint64_t announced)
{
    size_t put = 0;

    flow_begin(&flow, bytes_str("a/b"), announced);
    answer_with("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 0);
    until = "the end of it";
    ask("PUT", &flow, NULL);
    while (put < BODY_BYTES) {
        if (!flow_is_full(&flow))
            put_some(&put);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    while (flow_waiting(&flow).len > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
}

Test(fetch_flow, a_body_of_an_announced_length_comes_as_it_was_put)
{
    const char *body;

    put_body(BODY_BYTES);
    while ((body = memmem(came, came_len, "\r\n\r\n", 4)) == NULL ||
           came_len - (size_t)(body - came) < BODY_BYTES + 4)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_not_null(strstr(came, "PUT /db HTTP/1.1\r\n"));
    cr_assert_not_null(strstr(came, "Content-Length: 5242880\r\n"));
    for (size_t i = 0; i < BODY_BYTES; i++)
        cr_assert_eq((uint8_t)body[4 + i], byte_at(i));
    cr_assert_eq(got.n, 0, "nobody has answered");
}

Test(fetch_flow, a_body_of_unknown_length_comes_in_chunks)
{
    static const char LAST[] = "\r\n0\r\n\r\n";
    uint8_t text[] = "a body and the end of it";

    flow_begin(&flow, bytes_str("a/b"), FLOW_LENGTH_UNKNOWN);
    answer_with("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 0);
    until = LAST;
    ask("PUT", &flow, NULL);
    for (unsigned i = 0; i < 10; i++) /* it waits for what comes */
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_eq(flow_put(&flow, bytes_of(text, sizeof text - 1)), QK_OK);
    flow_end(&flow);
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(got.status, 201);
    cr_assert_not_null(strstr(came, "Transfer-Encoding: chunked\r\n"));
    cr_assert_not_null(strstr(came, (const char *)text));
}

/* While its body waits for more, which may never come. */
Test(fetch_flow, an_answer_before_the_end_of_the_body_is_the_answer)
{
    uint8_t piece[KIB] = {0};

    flow_begin(&flow, bytes_str("a/b"), BODY_BYTES);
    answer_with("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0);
    ask("PUT", &flow, NULL);
    cr_assert_eq(flow_put(&flow, bytes_of(piece, sizeof piece)), QK_OK);
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    cr_assert_eq(got.err, QK_OK);
    cr_assert_eq(got.status, 403);
}

Test(fetch_flow, a_cancelled_call_lets_its_flows_go)
{
    struct fetch_call *call;
    uint8_t piece[KIB] = {0};

    flow_begin(&flow, bytes_str("a/b"), BODY_BYTES);
    call = ask("PUT", &flow, NULL);
    cr_assert_eq(flow_put(&flow, bytes_of(piece, sizeof piece)), QK_OK);
    while (flow_waiting(&flow).len > 0)
        (void)uv_run(&loop, UV_RUN_ONCE);
    fetch_cancel(call);
    cr_assert_eq(flow_put(&flow, bytes_of(piece, sizeof piece)), QK_OK);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_eq(got.n, 0);
}
