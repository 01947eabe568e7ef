/* Against a server of the test's own on loopback, in the same loop: it reads until a blank line and
 * answers with a text that the test gave it, or never. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "base/limits.h"
#include "fetch/fetch.h"

static uv_loop_t loop;
static uv_tcp_t listener, client;
static struct fetch *fetch;
static char url[64], request[4096];
static size_t request_len;
static const char *answer;
static bool has_client;
static struct {
    unsigned n;
    enum qk_err err;
    int status;
    char body[256], why[FETCH_WHY_BYTES];
} got;

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *ret_buf)
{
    (void)handle;
    (void)size;
    *ret_buf = uv_buf_init(request + request_len, (unsigned)(sizeof request - 1 - request_len));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    uv_buf_t out;

    (void)buf;
    if (n <= 0)
        return;
    request_len += (size_t)n;
    request[request_len] = '\0';
    if (answer == NULL || strstr(request, "\r\n\r\n") == NULL)
        return;
    out = uv_buf_init((char *)(uintptr_t)answer, (unsigned)strlen(answer));
    cr_assert_eq(uv_try_write(stream, &out, 1), (int)strlen(answer));
    answer = NULL;
}

static void on_connection(uv_stream_t *stream, int status)
{
    cr_assert_eq(status, 0);
    cr_assert_eq(uv_tcp_init(&loop, &client), 0);
    cr_assert_eq(uv_accept(stream, (uv_stream_t *)&client), 0);
    has_client = true;
    cr_assert_eq(uv_read_start((uv_stream_t *)&client, on_alloc, on_read), 0);
}

static void start(const char *allow_text)
{
    struct fetch_settings settings = {.ca_file = NULL};
    struct buf why = BUF_INIT(512);
    struct sockaddr_in address;
    int len = sizeof address;

    cr_assert_eq(uv_loop_init(&loop), 0);
    cr_assert_eq(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    cr_assert_eq(uv_tcp_init(&loop, &listener), 0);
    cr_assert_eq(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), 0);
    cr_assert_eq(uv_listen((uv_stream_t *)&listener, 8, on_connection), 0);
    cr_assert_eq(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &len), 0);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/db", ntohs(address.sin_port));
    if (allow_text != NULL)
        cr_assert_eq(link_allow_parse(allow_text, &settings.allow, &why), QK_OK);
    buf_fini(&why);
    cr_assert_eq(fetch_new(&loop, &settings, &fetch), QK_OK);
}

static void end(void)
{
    fetch_free(fetch);
    uv_close((uv_handle_t *)&listener, NULL);
    if (has_client)
        uv_close((uv_handle_t *)&client, NULL);
    cr_assert_eq(uv_run(&loop, UV_RUN_DEFAULT), 0);
    cr_assert_eq(uv_loop_close(&loop), 0);
}

static void on_reply(void *arg, const struct fetch_reply *reply)
{
    (void)arg;
    uv_stop(&loop); /* a timer's callback comes before the loop waits */
    got.n++;
    got.err = reply->err;
    got.status = reply->status;
    snprintf(got.body, sizeof got.body, "%.*s", (int)reply->body.len,
             reply->body.len == 0 ? "" : (const char *)reply->body.data);
    snprintf(got.why, sizeof got.why, "%s", reply->why);
}

static struct fetch_call *ask(struct fetch_request *wish)
{
    struct fetch_call *call = NULL;

    wish->url = wish->url == NULL ? url : wish->url;
    wish->method = wish->method == NULL ? "GET" : wish->method;
    wish->silence_ms = wish->silence_ms == 0 ? 60000 : wish->silence_ms;
    wish->reply_bytes_max = wish->reply_bytes_max == 0 ? KIB : wish->reply_bytes_max;
    cr_assert_eq(fetch_start(fetch, wish, on_reply, NULL, &call), QK_OK);
    cr_assert_eq(got.n, 0, "never inside the call");
    return call;
}

static void wait_reply(void)
{
    while (got.n == 0)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
}

Test(fetch, a_reply_comes_with_its_status_and_body, .timeout = 60)
{
    struct fetch_request wish = {.method = "POST",
                                 .user = "u",
                                 .password = "p",
                                 .fields = {"Content-Type: application/json", "X-A: b"},
                                 .fields_n = 2,
                                 .body = bytes_str("{\"a\":1}")};

    start("127.0.0.0/8");
    answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\n{}!\n";
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_OK);
    cr_assert_eq(got.status, 404);
    cr_assert_str_eq(got.body, "{}!\n");
    cr_assert_not_null(strstr(request, "POST /db HTTP/1.1\r\n"));
    cr_assert_not_null(strstr(request, "Authorization: Basic dTpw\r\n"));
    cr_assert_not_null(strstr(request, "Content-Type: application/json\r\n"));
    cr_assert_not_null(strstr(request, "X-A: b\r\n"));
    cr_assert_null(strstr(request, "Expect:"));
    cr_assert_not_null(strstr(request, "\r\n\r\n{\"a\":1}"));
    end();
}

Test(fetch, loopback_is_refused_by_default, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET"};

    start(NULL);
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_ERR_DENIED);
    cr_assert(!has_client);
    end();
}

Test(fetch, a_name_is_judged_by_its_address, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET", .url = "http://localhost:1/db"};

    start(NULL);
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_ERR_DENIED);
    end();
}

Test(fetch, a_redirection_is_a_reply_and_not_followed, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET"};

    start("127.0.0.0/8");
    answer = "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n";
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_OK);
    cr_assert_eq(got.status, 302);
    end();
}

Test(fetch, a_reply_over_the_limit_is_cut, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET", .reply_bytes_max = 10};

    start("127.0.0.0/8");
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n0123456789ab";
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_ERR_TOO_BIG);
    end();
}

Test(fetch, a_silent_server_is_left, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET", .silence_ms = 1000};

    start("127.0.0.0/8");
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_ERR_TIMEOUT);
    end();
}

Test(fetch, nobody_there_is_an_error_with_a_reason, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET", .url = "http://127.0.0.1:1/db"};

    start("127.0.0.0/8");
    ask(&wish);
    wait_reply();
    cr_assert_eq(got.err, QK_ERR_IO);
    cr_assert_neq(got.why[0], '\0');
    end();
}

Test(fetch, a_cancelled_call_says_nothing, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET"};
    struct fetch_call *call;

    start("127.0.0.0/8");
    answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    call = ask(&wish);
    while (!has_client)
        (void)uv_run(&loop, UV_RUN_ONCE);
    fetch_cancel(call);
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    cr_assert_eq(got.n, 0);
    end();
}

Test(fetch, other_schemes_are_refused, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET", .url = "file:///etc/passwd"};
    struct fetch_call *call;

    start("127.0.0.0/8");
    cr_assert_eq(fetch_start(fetch, &wish, on_reply, NULL, &call), QK_ERR_INVALID);
    end();
}

Test(fetch, what_is_under_way_ends_with_it, .timeout = 60)
{
    struct fetch_request wish = {.method = "GET"};

    start("127.0.0.0/8");
    ask(&wish);
    while (!has_client)
        (void)uv_run(&loop, UV_RUN_ONCE);
    end();
    cr_assert_eq(got.n, 0);
}
