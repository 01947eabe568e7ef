#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"

static void open_two(void)
{
    harness_open();
    for (unsigned i = 0; i < 2; i++) {
        node_open(i, NULL, 0);
        nodes[i].peer = &nodes[1 - i];
        nodes[i].peer_known = nodes[i].link_up = true;
    }
    nodes[0].leader = false;
}

TestSuite(token_login, .init = open_two, .fini = harness_close, .timeout = 30);

#define FORM "Content-Type: application/x-www-form-urlencoded\r\n"
#define LOGIN_BODY "name=admin&password=se%3Acret"

static const char *get(unsigned node, const char *target, const char *fields)
{
    char text[1024];

    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, fields);
    return ask(node, text);
}

static const char *post(unsigned node, const char *method, const char *target, const char *fields,
                        const char *body)
{
    char text[2048];

    (void)snprintf(text, sizeof text,
                   "%s %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n"
                   "%s",
                   method, target, fields, strlen(body), body);
    return ask(node, text);
}

Test(token_login, a_token_is_good_in_each_of_its_places_and_nothing_is_remembered)
{
    static const char *const PLACES[] = {
        "Authorization: Bearer good-token\r\n",
        "X-Vault-Token: good-token\r\n",
        "Cookie: a=b; AuthSession=good-token\r\n",
    };

    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        cr_assert_eq(status_of_reply(get(1, "/private", PLACES[i])), 200, "%s", PLACES[i]);
        cr_assert_str_eq(nodes[1].who.name, "ada");
        cr_assert_eq(nodes[1].who.token_id[0], 1);
    }
    cr_assert_eq(nodes[1].logins_n, 0);
    cr_assert_eq(nodes[1].catch_ups_n, 0);
}

Test(token_login, a_bad_token_is_401_without_a_second_look)
{
    const char *reply = get(1, "/private", "Authorization: Bearer no-token\r\n");

    cr_assert_eq(status_of_reply(reply), 401);
    cr_assert(contains(reply, "WWW-Authenticate: Bearer "));
    cr_assert_eq(nodes[1].catch_ups_n, 0);
    cr_assert_eq(nodes[1].handled_n, 0);
}

Test(token_login, one_that_is_not_known_yet_is_looked_at_again)
{
    cr_assert_eq(status_of_reply(get(1, "/private", "Authorization: Bearer late-token\r\n")), 200);
    cr_assert_eq(nodes[1].catch_ups_n, 1);
    cr_assert_eq(status_of_reply(get(1, "/private", "Authorization: Bearer gone-token\r\n")), 401);
    cr_assert_eq(nodes[1].catch_ups_n, 2);
    nodes[1].catch_up_err = QK_ERR_NO_QUORUM;
    cr_assert_eq(status_of_reply(get(1, "/private", "Authorization: Bearer gone-token\r\n")), 503);
    nodes[1].catch_up_err = QK_ERR_SEALED;
    cr_assert_eq(status_of_reply(get(1, "/private", "Authorization: Bearer gone-token\r\n")), 503);
}

Test(token_login, a_client_that_vanishes_during_the_second_look_is_forgotten)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd;

    for (unsigned i = 0; i < 2; i++) {
        nodes[1].hold_logins = true;
        fd = client_tcp(1);
        client_send_text(fd, i == 0 ? "GET /private HTTP/1.1\r\nHost: h\r\nX-Vault-Token: "
                                      "late-token\r\n\r\n"
                                    : "GET /private HTTP/1.1\r\nHost: h\r\nX-Vault-Token: "
                                      "gone-token\r\n\r\n");
        while (nodes[1].catch_ups_n != i + 1)
            turn();
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        close(fd);
        for (int j = 0; j < 20; j++)
            turn();
        nodes[1].hold_logins = false;
        for (int j = 0; j < 20; j++)
            turn();
    }
    cr_assert_eq(nodes[1].handled_n, 0);
}

Test(token_login, a_cookie_alone_does_not_write_for_another_sites_page)
{
    const char *cookie = "Cookie: AuthSession=good-token\r\n" FORM;

    cr_assert_eq(status_of_reply(post(1, "POST", "/private", cookie, "x")), 403);
    cr_assert_eq(status_of_reply(post(1, "POST", "/private",
                                      "Cookie: AuthSession=good-token\r\nContent-Type: "
                                      "application/json\r\n",
                                      "x")),
                 200);
    cr_assert_eq(status_of_reply(post(1, "POST", "/private",
                                      "Cookie: AuthSession=good-token\r\nOrigin: http://h\r\n"
                                      "Content-Type: text/plain\r\n",
                                      "x")),
                 200);
    cr_assert_eq(status_of_reply(post(1, "POST", "/private",
                                      "X-Vault-Token: good-token\r\nOrigin: http://evil\r\n"
                                      "Content-Type: text/plain\r\n",
                                      "x")),
                 200, "no browser sends that by itself");
}

Test(token_login, who_asks_is_noted_where_nobody_needs_to_be_logged_in)
{
    cr_assert_eq(status_of_reply(get(1, "/who", "")), 200);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_NONE);
    cr_assert_eq(status_of_reply(get(1, "/who", "Cookie: AuthSession=good-token\r\n")), 200);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_USER);
    cr_assert_eq(status_of_reply(get(1, "/who", "Cookie: AuthSession=no-token\r\n")), 200);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_NONE, "as if the cookie had run out");
    cr_assert_eq(status_of_reply(get(1, "/who", "X-Vault-Token: no-token\r\n")), 401);
    cr_assert_eq(status_of_reply(get(1, "/who", "Authorization: Basic YWRtaW46bm8=\r\n")), 401);
}

Test(token_login, name_and_password_of_a_body_are_checked_where_they_came_and_go_no_further)
{
    const char *reply;
    struct buf out = BUF_INIT(1 * MIB);
    int fd = client_tcp(0);

    nodes[0].hold_messages = true;
    nodes[0].credential_version = nodes[1].credential_version = 7;
    client_send_text(fd, "POST /login HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" FORM
                         "Content-Length: 29\r\n\r\n" LOGIN_BODY);
    while (nodes[0].messages.len == 0)
        turn();
    for (size_t i = 0; i + 5 < nodes[0].messages.len; i++)
        cr_assert_neq(memcmp(nodes[0].messages.data + i, "cret", 4), 0);
    nodes[0].hold_messages = false;
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    reply = (const char *)out.data;
    cr_assert_eq(status_of_reply(reply), 200);
    cr_assert_str_eq(body_of_reply(reply), "|login:", "the handler has no body");
    cr_assert_eq(nodes[0].logins_n, 1);
    cr_assert_eq(nodes[1].logins_n, 0);
    cr_assert_eq(nodes[1].handled_n, 1);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_USER);
    cr_assert_eq(nodes[1].who.credential_version, 7);
    cr_assert(nodes[1].who.loopback);
    close(fd);
    buf_fini(&out);
}

Test(token_login, a_login_that_fails_reaches_no_handler)
{
    cr_assert_eq(status_of_reply(post(1, "POST", "/login", FORM, "name=admin&password=no")), 401);
    cr_assert_eq(status_of_reply(post(1, "POST", "/login", FORM, "x")), 400);
    cr_assert_eq(
        status_of_reply(post(1, "POST", "/login", FORM "Origin: http://evil\r\n", LOGIN_BODY)),
        403);
    cr_assert_eq(nodes[1].handled_n, 0);
    cr_assert_eq(nodes[1].logins_n, 1);
    cr_assert_eq(
        status_of_reply(post(1, "POST", "/login", FORM "Origin: http://h\r\n", LOGIN_BODY)), 200);
}

Test(token_login, a_client_that_vanishes_after_its_login_is_forgotten)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    int fd = client_tcp(1);

    nodes[1].hold_logins = true;
    client_send_text(fd, "POST /login HTTP/1.1\r\nHost: h\r\n" FORM
                         "Content-Length: 29\r\n\r\n" LOGIN_BODY);
    while (nodes[1].logins_n == 0)
        turn();
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    for (int i = 0; i < 20; i++)
        turn();
    nodes[1].hold_logins = false;
    for (int i = 0; i < 20; i++)
        turn();
}

Test(token_login, a_login_that_ended_meanwhile_is_nobody_or_401_and_a_new_leader_says_wait)
{
    const char *reply;

    nodes[0].credential_version = 1;
    nodes[1].credential_version = 2;
    cr_assert_eq(status_of_reply(post(0, "PUT", "/write", "X-Vault-Token: good-token\r\n", "x")),
                 401);
    cr_assert_eq(nodes[1].handled_n, 0);
    nodes[1].behind = true;
    cr_assert_eq(status_of_reply(post(0, "PUT", "/write", "X-Vault-Token: good-token\r\n", "x")),
                 503);
    cr_assert_eq(nodes[1].handled_n, 0);
    reply = post(0, "DELETE", "/who", "Cookie: AuthSession=good-token\r\n", "");
    cr_assert_eq(status_of_reply(reply), 204, "%s", reply);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_NONE);
}
