#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

TestSuite(login, .init = harness_open, .fini = harness_close, .timeout = 30);

#define GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"
#define BASIC "Authorization: Basic YWRtaW46c2U6Y3JldA==\r\n" /* admin:se:cret */

Test(login, the_control_socket_is_private_and_its_users_are_in_control)
{
    struct stat info;

    node_open(0, NULL, 0);
    cr_assert_eq(stat(nodes[0].control, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(status_of_reply(ask_control(
                     0, "POST /control HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")),
                 200);
    cr_assert_eq(nodes[0].who.kind, PRINCIPAL_CONTROL);
    cr_assert_eq(status_of_reply(ask(0, "POST /control HTTP/1.1\r\nHost: h\r\n" BASIC
                                        "Content-Length: 0\r\n\r\n")),
                 403);
    cr_assert_eq(nodes[0].logins_n, 0);
}

Test(login, logins_are_asked_for_and_remembered)
{
    struct buf out = BUF_INIT(1 * MIB);
    const char *reply;
    int fd;

    node_open(0, NULL, 0);
    reply = ask(0, GET("/private"));
    cr_assert_eq(status_of_reply(reply), 401);
    cr_assert(contains(reply, "\r\nWWW-Authenticate: Basic realm=\"quorumkeep\"\r\n"));
    cr_assert(contains(reply, "\"error\":\"unauthorized\""));
    fd = client_tcp(0);
    for (int i = 0; i < 3; i++) {
        buf_reset(&out);
        client_send_text(fd, "GET /private HTTP/1.1\r\nHost: h\r\n" BASIC "\r\n");
        client_read(fd, "root\n", &out);
    }
    cr_assert_eq(nodes[0].logins_n, 1);
    cr_assert_eq(nodes[0].who.kind, PRINCIPAL_USER);
    cr_assert(nodes[0].who.loopback);
    nodes[0].credential_version++; /* another password */
    buf_reset(&out);
    client_send_text(fd, "GET /private HTTP/1.1\r\nHost: h\r\n" BASIC "\r\n");
    client_read(fd, "root\n", &out);
    cr_assert_eq(nodes[0].logins_n, 2);
    close(fd);
    buf_fini(&out);
}

Test(login, wrong_credentials_are_401)
{
    static const char *const BAD[] = {
        "Basic YWRtaW46d3Jvbmc=", "Basic !!!!",           "Basic YWRtaW4=", "Basic", "Bearer abc",
        "Basic OnNlY3JldA==",     "YWRtaW46c2U6Y3JldA==",
    };
    char text[256];

    node_open(0, NULL, 0);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        (void)snprintf(text, sizeof text,
                       "GET /private HTTP/1.1\r\nHost: h\r\nAuthorization: %s\r\n\r\n", BAD[i]);
        cr_assert_eq(status_of_reply(ask(0, text)), 401, "%s", BAD[i]);
    }
    cr_assert_eq(nodes[0].logins_n, 1);
    cr_assert_eq(nodes[0].handled_n, 0);
}

Test(login, a_client_that_vanishes_during_its_login_is_forgotten)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd;

    node_open(0, NULL, 0);
    for (int good = 0; good < 2; good++) {
        nodes[0].hold_logins = true;
        fd = client_tcp(0);
        client_send_text(fd, good ? "GET /private HTTP/1.1\r\nHost: h\r\n" BASIC "\r\n"
                                  : "GET /private HTTP/1.1\r\nHost: h\r\nAuthorization: Basic "
                                    "YWRtaW46d3Jvbmc=\r\n\r\n");
        while (nodes[0].logins_n != (unsigned)good + 1)
            turn();
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        for (int i = 0; i < 20; i++)
            turn();
        nodes[0].hold_logins = false;
        for (int i = 0; i < 20; i++)
            turn();
    }
    cr_assert_eq(nodes[0].handled_n, 0);
}

Test(login, sealed_comes_before_unauthorized)
{
    const char *reply;

    node_open(0, NULL, 0);
    nodes[0].open = nodes[0].can_login = false;
    reply = ask(0, GET("/db"));
    cr_assert_eq(status_of_reply(reply), 503);
    cr_assert_str_eq(body_of_reply(reply), "{\"error\":\"sealed\",\"reason\":\"waiting for 1 more "
                                           "node: n2 (never)\"}\n");
    cr_assert_eq(status_of_reply(ask(0, GET("/private"))), 503);
    cr_assert_eq(status_of_reply(ask(0, GET("/"))), 200);
    cr_assert_eq(status_of_reply(ask(0, GET("/status"))), 200);
    cr_assert_eq(status_of_reply(ask_control(0, GET("/private"))), 200);
    cr_assert_eq(status_of_reply(ask_control(0, GET("/db"))), 503);
}
