#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

TestSuite(server, .init = harness_open, .fini = harness_close, .timeout = 30);

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define BASIC "Authorization: Basic YWRtaW46c2U6Y3JldA==\r\n" /* admin:se:cret */

Test(server, a_reply_has_the_usual_fields)
{
    const char *reply;

    node_open(0, NULL, 0);
    reply = ask(0, GET("/"));
    cr_assert_eq(status_of_reply(reply), 200);
    cr_assert(contains(reply, "\r\nServer: Quorumkeep/"));
    cr_assert(contains(reply, "\r\nDate: "));
    cr_assert(contains(reply, " GMT\r\n"));
    cr_assert(contains(reply, "\r\nContent-Length: 5\r\n"));
    cr_assert(contains(reply, "\r\nContent-Type: text/plain\r\n"));
    cr_assert(contains(reply, "\r\nX-Test: a?b\r\n"), "a line break in a field");
    cr_assert_str_eq(body_of_reply(reply), "root\n");
}

Test(server, a_connection_is_used_again)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    for (int i = 0; i < 3; i++) {
        buf_reset(&out);
        client_send_text(fd, GET("/"));
        client_read(fd, "root\n", &out);
    }
    cr_assert_eq(nodes[0].handled_n, 3);
    close(fd);
    buf_fini(&out);
}

Test(server, pipelined_requests_are_answered_in_order_even_if_the_first_is_slow)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(
        fd,
        GET("/held") GET(
            "/a/1") "LIST /l HTTP/1.1\r\nHost: h\r\n\r\n"
                    "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nxyz" GET("/a/2"));
    while (nodes[0].held_n == 0)
        turn();
    for (int i = 0; i < 50; i++)
        turn();
    cr_assert_eq(nodes[0].handled_n, 1, "the next waits for the reply");
    exchange_reply_bytes(nodes[0].held[0], 200, "text/plain", bytes_str("held"));
    nodes[0].held_n = 0;
    client_read(fd, "|a|2:", &out);
    buf_put_u8(&out, 0);
    char *first = strstr((char *)out.data, "held");
    char *second = strstr((char *)out.data, "|a|1:");
    char *third = strstr((char *)out.data, "|l|LIST:");
    char *fourth = strstr((char *)out.data, "|echo:xyz");
    cr_assert(first != NULL && second > first && third > second && fourth > third);
    close(fd);
    buf_fini(&out);
}

Test(server, many_pipelined_requests_pass_whole)
{
    struct buf in = BUF_INIT(1 * MIB), out = BUF_INIT(16 * MIB);
    unsigned found = 0;
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    for (int i = 0; i < 2000; i++)
        buf_put_str(&in, GET("/"));
    buf_put_str(&in, GET("/a/end"));
    client_send(fd, buf_bytes(&in));
    client_read(fd, "|a|end:", &out);
    buf_put_u8(&out, 0);
    for (char *at = (char *)out.data; (at = strstr(at, "root\n")) != NULL; at++)
        found++;
    cr_assert_eq(found, 2000);
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
}

Test(server, a_request_split_at_every_byte_is_the_same)
{
    static const char TEXT[] =
        "POST /echo?x=%20 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    struct buf out = BUF_INIT(1 * MIB);

    node_open(0, NULL, 0);
    for (size_t cut = 1; cut < sizeof TEXT - 1; cut++) {
        int fd = client_tcp(0);

        buf_reset(&out);
        client_send(fd, bytes_of(TEXT, cut));
        for (int i = 0; i < 5; i++)
            turn();
        client_send(fd, bytes_of(TEXT + cut, sizeof TEXT - 1 - cut));
        client_read(fd, "|echo:abcde", &out);
        close(fd);
    }
    buf_fini(&out);
}

Test(server, head_sends_no_body_and_the_next_reply_follows)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(
        fd, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\nHEAD /stream?kib=4 HTTP/1.1\r\nHost: h\r\n\r\n"
            "HEAD /nosuch/_x HTTP/1.1\r\nHost: h\r\n\r\n" GET("/nothing") GET("/a/z"));
    client_read(fd, "|a|z:", &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((char *)out.data, "Content-Length: 5\r\n"));
    cr_assert(!contains((char *)out.data, "root"));
    cr_assert(!contains((char *)out.data, "abcdef"));
    cr_assert(contains((char *)out.data, "404 Not Found"));
    cr_assert(!contains((char *)out.data, "missing"));
    cr_assert(contains((char *)out.data, "204 No Content"));
    close(fd);
    buf_fini(&out);
}

Test(server, wrong_methods_and_paths_are_named)
{
    const char *reply;

    node_open(0, NULL, 0);
    reply = ask(0, "DELETE /stream HTTP/1.1\r\nHost: h\r\n\r\n");
    cr_assert_eq(status_of_reply(reply), 405);
    cr_assert(contains(reply, "\r\nAllow: GET,HEAD,POST\r\n") ||
              contains(reply, "Allow: GET,HEAD,POST"));
    cr_assert_str_eq(body_of_reply(reply),
                     "{\"error\":\"method_not_allowed\",\"reason\":\"Only "
                     "GET,HEAD,POST,LIST allowed\"}\n",
                     "%s", reply);
}

Test(server, unknown_methods_and_paths)
{
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(ask(0, "PATCH /echo HTTP/1.1\r\nHost: h\r\n\r\n")), 405);
    cr_assert_eq(status_of_reply(ask(0, "BREW /echo HTTP/1.1\r\nHost: h\r\n\r\n")), 501);
    cr_assert_str_eq(body_of_reply(ask(0, GET("/_nothing"))),
                     "{\"error\":\"not_found\",\"reason\":\"missing\"}\n");
    cr_assert_eq(status_of_reply(ask(0, GET("/a/b/c/d"))), 404);
    cr_assert_eq(status_of_reply(ask(0, GET("/a/%zz"))), 400);
    cr_assert_eq(status_of_reply(ask(0, GET("/a/%00"))), 400);
    cr_assert_str_eq(body_of_reply(ask(0, GET("/a/x%2Fy"))), "|a|x/y:");
    cr_assert_str_eq(body_of_reply(ask(0, GET("/a/../"))), "|a|..:");
    cr_assert_str_eq(body_of_reply(ask(0, GET("/a/_design/x"))), "|a|_design|x:");
}

Test(server, after_a_smuggled_length_nothing_more_is_read)
{
    const char *reply;

    node_open(0, NULL, 0);
    reply = ask(0, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: "
                   "chunked\r\n\r\n0\r\n\r\n" GET("/"));
    cr_assert_eq(status_of_reply(reply), 400);
    cr_assert(contains(reply, "\r\nConnection: close\r\n"));
    cr_assert(!contains(reply, "root"));
    cr_assert_eq(nodes[0].handled_n, 0);
    reply = ask(0, "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhelloXX0\r\n\r\n" GET("/"));
    cr_assert_eq(status_of_reply(reply), 400);
    cr_assert_eq(nodes[0].handled_n, 0);
}

Test(server, limits_of_the_header_are_answered)
{
    struct buf text = BUF_INIT(1 * MIB);

    node_open(0, NULL, 0);
    buf_put_str(&text, "GET /");
    for (size_t i = 0; i < HTTP_URI_BYTES_MAX; i++)
        buf_put_u8(&text, 'x');
    buf_put_str(&text, " HTTP/1.1\r\nHost: h\r\n\r\n");
    buf_put_u8(&text, 0);
    cr_assert_eq(status_of_reply(ask(0, (char *)text.data)), 414);
    buf_reset(&text);
    buf_put_str(&text, "GET / HTTP/1.1\r\nHost: h\r\nX: ");
    for (size_t i = 0; i < HTTP_HEADER_BYTES_MAX; i++)
        buf_put_u8(&text, 'x');
    buf_put_str(&text, "\r\n\r\n");
    buf_put_u8(&text, 0);
    cr_assert_eq(status_of_reply(ask(0, (char *)text.data)), 431);
    buf_fini(&text);
}

Test(server, a_large_body_is_refused_before_it_is_sent)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, "POST /private HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" BASIC
                         "Content-Length: 1001\r\n\r\n");
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 413);
    cr_assert(!contains((char *)out.data, "100 Continue"));
    close(fd);
    buf_fini(&out);
}

Test(server, a_refused_body_does_not_reset_the_connection)
{
    struct buf in = BUF_INIT(4 * MIB), out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    buf_put_str(&in, "POST /private HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\n");
    cr_assert_not_null(buf_extend(&in, 2000000));
    client_send(fd, buf_bytes(&in));
    (void)shutdown(fd, SHUT_WR);
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 401);
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
}

Test(server, continue_is_said_when_the_body_may_come)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd,
                     "POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
                     "4\r\n\r\n");
    client_read(fd, "100 Continue\r\n\r\n", &out);
    client_send_text(fd, "tail");
    client_read(fd, "|echo:tail", &out);
    close(fd);
    buf_fini(&out);
}

Test(server, bodies_at_the_routes_limit_pass)
{
    struct buf in = BUF_INIT(16 * MIB), out = BUF_INIT(16 * MIB);

    node_open(0, NULL, 0);
    for (int extra = 0; extra < 2; extra++) {
        int fd = client_tcp(0);

        buf_reset(&in);
        buf_reset(&out);
        buf_printf(&in,
                   "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: "
                   "%zu\r\n\r\n",
                   8 * MIB + (size_t)extra);
        memset(buf_extend(&in, 8 * MIB + (size_t)extra), 'x', 8 * MIB + (size_t)extra);
        client_send(fd, buf_bytes(&in));
        client_read(fd, NULL, &out);
        cr_assert_eq(memcmp(out.data, extra == 0 ? "HTTP/1.1 200" : "HTTP/1.1 413", 12), 0);
        if (extra == 0)
            cr_assert_gt(out.len, 8 * MIB);
        close(fd);
    }
    buf_fini(&in);
    buf_fini(&out);
}

Test(server, a_slow_header_times_out_with_an_answer)
{
    struct http_timing timing = {.header_ms = 50};
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, &timing, 0);
    fd = client_tcp(0);
    client_send_text(fd, "GET / HTTP/1.1\r\nHo");
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 408);
    close(fd);
    fd = client_tcp(0);
    buf_reset(&out);
    client_read(fd, NULL, &out);
    cr_assert_eq(out.len, 0, "nothing is said to who said nothing");
    close(fd);
    buf_fini(&out);
}

Test(server, an_idle_connection_and_a_stuck_body_are_closed)
{
    struct http_timing timing = {.idle_ms = 50, .body_ms = 50};
    struct buf out = BUF_INIT(1 * MIB);
    int fd;

    node_open(0, &timing, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/"));
    client_read(fd, NULL, &out);
    cr_assert_gt(out.len, 0);
    close(fd);
    fd = client_tcp(0);
    buf_reset(&out);
    client_send_text(fd, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc");
    client_read(fd, NULL, &out);
    cr_assert_eq(out.len, 0);
    close(fd);
    buf_fini(&out);
}

/* The body of a chunked reply. */
static size_t dechunk(struct buf *out)
{
    char *at = strstr((char *)out->data, "\r\n\r\n") + 4;
    size_t total = 0;

    for (;;) {
        char *end;
        size_t len = strtoul(at, &end, 16);

        cr_assert_eq(memcmp(end, "\r\n", 2), 0);
        if (len == 0)
            return total;
        for (size_t i = 0; i < len; i++)
            cr_assert_eq(end[2 + i], (char)('a' + (total + i) % 23));
        total += len;
        at = end + 2 + len + 2;
    }
}

Test(server, a_stream_waits_for_a_slow_reader)
{
    struct buf out = BUF_INIT(64 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/stream?kib=16384"));
    for (int i = 0; i < 300; i++)
        turn();
    cr_assert_lt(nodes[0].queued_max, 300 * KIB);
    client_read(fd, "\r\n0\r\n\r\n", &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(dechunk(&out), 16384 * KIB);
    cr_assert_lt(nodes[0].queued_max, 300 * KIB);
    close(fd);
    buf_fini(&out);
}

Test(server, a_reader_that_takes_nothing_is_dropped)
{
    struct http_timing timing = {.write_ms = 50};
    int fd;

    node_open(0, &timing, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/stream?kib=65536"));
    while (nodes[0].closed_n == 0)
        uv_run(&loop, UV_RUN_ONCE);
    close(fd);
}

Test(server, a_client_that_vanishes_ends_its_stream)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct buf out = BUF_INIT(64 * MIB);
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/stream?kib=65536"));
    client_read(fd, "c", &out);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    while (nodes[0].closed_n == 0)
        uv_run(&loop, UV_RUN_ONCE);
    buf_fini(&out);
}

Test(server, http_1_0_gets_its_stream_until_the_end_of_the_connection)
{
    const char *reply;

    node_open(0, NULL, 0);
    reply = ask(0, "GET /stream?kib=2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    cr_assert_eq(status_of_reply(reply), 200);
    cr_assert(!contains(reply, "chunked"));
    cr_assert_eq(strlen(body_of_reply(reply)), 2048);
    reply = ask(0, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    cr_assert(contains(reply, "\r\nConnection: keep-alive\r\n"));
}

Test(server, a_reply_after_the_client_is_gone_is_harmless)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/held"));
    while (nodes[0].held_n == 0)
        turn();
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    while (!nodes[0].held[0]->closed)
        uv_run(&loop, UV_RUN_ONCE);
    exchange_reply_bytes(nodes[0].held[0], 200, "text/plain", bytes_str("late"));
    nodes[0].held_n = 0;
}

Test(server, connections_over_the_limit_are_told_so)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd[3];

    node_open(0, NULL, 2);
    for (int i = 0; i < 3; i++)
        fd[i] = client_tcp(0);
    client_read(fd[2], NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 503);
    buf_reset(&out);
    client_send_text(fd[0], GET("/"));
    client_read(fd[0], "root\n", &out);
    for (int i = 0; i < 3; i++)
        close(fd[i]);
    for (int i = 0; i < 20; i++)
        turn();
    cr_assert_eq(status_of_reply(ask(0, GET("/"))), 200);
    buf_fini(&out);
}

Test(server, all_bodies_together_have_a_limit)
{
    struct http_config config = node_config(0);
    struct buf out = BUF_INIT(1 * MIB);
    char reason[HTTP_REASON_BYTES];
    int first, second;

    config.bodies_bytes_max = 1000;
    cr_assert_eq(http_new(&config, reason, &nodes[0].http), QK_OK);
    first = client_tcp(0);
    client_send_text(first, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n");
    for (int i = 0; i < 999; i++)
        client_send_text(first, "x");
    second = client_tcp(0);
    client_send_text(second, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n12");
    client_read(second, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 503);
    cr_assert(contains((char *)out.data, "\"error\":\"busy\""));
    buf_reset(&out);
    client_send_text(first, "y");
    client_read(first, "xxxy", &out);
    close(first);
    close(second);
    buf_fini(&out);
}

Test(server, a_body_coded_otherwise_than_by_gzip_is_not_understood)
{
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(ask(0, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Encoding: "
                                        "br\r\nContent-Length: 1\r\n\r\nx")),
                 415);
}

Test(server, a_body_that_says_gzip_and_is_none_is_refused)
{
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(ask(0, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Encoding: "
                                        "gzip\r\nContent-Length: 1\r\n\r\nx")),
                 400);
}
