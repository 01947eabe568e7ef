#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"

TestSuite(life, .init = harness_open, .fini = harness_close, .timeout = 30);

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

Test(life, an_address_that_others_reach_needs_tls)
{
    struct http_config config = node_config(0);
    char reason[HTTP_REASON_BYTES];

    config.listen = "0.0.0.0:0";
    cr_assert_eq(http_new(&config, reason, &nodes[0].http), QK_ERR_DENIED);
    cr_assert(contains(reason, "--tls-cert") && contains(reason, "--insecure-http"));
    config.listen = "[::]:0";
    cr_assert_eq(http_new(&config, reason, &nodes[0].http), QK_ERR_DENIED);
    config.insecure_http = true;
    config.listen = "0.0.0.0:0";
    cr_assert_eq(http_new(&config, reason, &nodes[0].http), QK_OK, "%s", reason);
}

Test(life, addresses_that_cannot_be_used_say_why)
{
    static const char *const BAD[] = {"",
                                      "x",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:1x",
                                      "example.org:80",
                                      ":80",
                                      "[::1:80"};
    struct http_config config = node_config(1);
    struct http *http = NULL;
    char reason[HTTP_REASON_BYTES], path[200], listen[32];

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        config.listen = BAD[i];
        cr_assert_eq(http_new(&config, reason, &http), QK_ERR_INVALID, "%s", BAD[i]);
    }
    node_open(0, NULL, 0);
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", http_port(nodes[0].http));
    config.listen = listen;
    cr_assert_eq(http_new(&config, reason, &http), QK_ERR_EXISTS);
    cr_assert(contains(reason, "in use"));
    config.listen = NULL;
    config.control_path = nodes[0].control;
    cr_assert_eq(http_new(&config, reason, &http), QK_ERR_EXISTS, "it answers");
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    config.control_path = path;
    cr_assert_eq(http_new(&config, reason, &http), QK_ERR_INVALID);
    cr_assert(contains(reason, "shorter"));
}

Test(life, a_socket_left_by_a_killed_process_is_replaced)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    node_open(0, NULL, 0);
    http_close(nodes[0].http, NULL, NULL);
    nodes[0].http = NULL;
    for (int i = 0; i < 20; i++)
        turn();
    (void)unlink(nodes[0].control);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path, nodes[0].control, strlen(nodes[0].control) + 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(ask_control(0, GET("/"))), 200);
}

static void set_flag(void *arg)
{
    *(bool *)arg = true;
}

Test(life, a_drain_ends_idle_connections_at_once_and_others_after_their_reply)
{
    struct buf out = BUF_INIT(1 * MIB);
    bool drained = false;
    int idle, busy;

    node_open(0, NULL, 0);
    idle = client_tcp(0);
    client_send_text(idle, GET("/"));
    client_read(idle, "root\n", &out);
    busy = client_tcp(0);
    client_send_text(busy, GET("/held"));
    while (nodes[0].held_n == 0)
        turn();
    http_drain(nodes[0].http, 60000, set_flag, &drained);
    client_read(idle, NULL, &out);
    close(idle);
    for (int i = 0; i < 20; i++)
        turn();
    cr_assert(!drained);
    exchange_reply_bytes(nodes[0].held[0], 200, "text/plain", bytes_str("done"));
    nodes[0].held_n = 0;
    buf_reset(&out);
    client_read(busy, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((char *)out.data, "\r\nConnection: close\r\n"));
    close(busy);
    while (!drained)
        turn();
    buf_fini(&out);
}

Test(life, a_drain_has_an_end)
{
    bool drained = false;
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/held"));
    while (nodes[0].held_n == 0)
        turn();
    http_drain(nodes[0].http, 100, set_flag, &drained);
    while (!drained)
        uv_run(&loop, UV_RUN_ONCE);
    close(fd);
}

Test(life, closing_does_not_wait_for_requests_in_progress)
{
    bool closed = false;
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, GET("/held"));
    while (nodes[0].held_n == 0)
        turn();
    http_close(nodes[0].http, set_flag, &closed);
    nodes[0].http = NULL;
    cr_assert(nodes[0].held[0]->closed);
    while (!closed)
        turn();
    exchange_reply_bytes(nodes[0].held[0], 200, "text/plain", bytes_str("late"));
    nodes[0].held_n = 0;
    close(fd);
}

Test(life, hundreds_of_connections_at_once)
{
    static int fd[400];
    struct buf out = BUF_INIT(1 * MIB);

    node_open(0, NULL, 0);
    for (size_t i = 0; i < 400; i++) {
        fd[i] = client_tcp(0);
        turn();
    }
    for (size_t i = 0; i < 400; i++) {
        buf_reset(&out);
        client_send_text(fd[i], GET("/"));
        client_read(fd[i], "root\n", &out);
    }
    for (size_t i = 0; i < 400; i++)
        close(fd[i]);
    buf_fini(&out);
}
