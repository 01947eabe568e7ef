/* Routes of administrators. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "harness.h"

TestSuite(admin, .init = harness_open, .fini = harness_close, .timeout = 60);

/* A page of another site can have a browser send a form with the login that the browser keeps. */
Test(admin, an_administrators_order_is_taken_as_json_only)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE"};
    static const char *const refused[] = {
        "", "Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=application/json\r\n",
        "Content-Type: application/jsonp\r\n"};
    char text[256];

    node_open(0, NULL, 0);
    for (unsigned m = 0; m < 3; m++) {
        for (unsigned with_body = 0; with_body < 2; with_body++) {
            const char *end =
                with_body ? "Content-Length: 2\r\n\r\n{}" : "Content-Length: 0\r\n\r\n";

            for (unsigned i = 0; i < 5; i++) {
                (void)snprintf(text, sizeof text, "%s /admin HTTP/1.1\r\nHost: h\r\n%s%s",
                               methods[m], refused[i], end);
                cr_assert_eq(status_of_reply(ask(0, text)), 415, "%s", text);
            }
            (void)snprintf(text, sizeof text,
                           "%s /admin HTTP/1.1\r\nHost: h\r\nContent-Type: "
                           "application/json; charset=utf-8\r\n%s",
                           methods[m], end);
            cr_assert_eq(status_of_reply(ask(0, text)), 200, "%s", text);
        }
    }
    cr_assert_eq(nodes[0].handled_n, 6);
    cr_assert_eq(status_of_reply(ask(0, "GET /admin HTTP/1.1\r\nHost: h\r\n\r\n")), 200);
}

/* Under /v1/ what refuses before any handler runs speaks as Vault does: its clients read `errors`,
 * and take 403 for "log in". */
Test(admin, vault_paths_are_refused_in_vaults_words)
{
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(ask(0, "PATCH /v1/vault/a/b HTTP/1.1\r\nHost: h\r\n\r\n")), 403);
    cr_assert_str_eq(body_of_reply(ask(0, "PATCH /v1/vault/a/b HTTP/1.1\r\nHost: h\r\n\r\n")),
                     "{\"errors\":[\"permission denied: You are not authorized to access this "
                     "server.\"]}\n");
    cr_assert_eq(status_of_reply(ask(0, "GET /v1/vault/a HTTP/1.1\r\nHost: h\r\n\r\n")), 405);
    cr_assert_str_eq(body_of_reply(ask(0, "GET /v1/vault/a HTTP/1.1\r\nHost: h\r\n\r\n")),
                     "{\"errors\":[\"Only PATCH allowed\"]}\n");
    cr_assert_str_eq(body_of_reply(ask(0, "GET /v1/nothing/there HTTP/1.1\r\nHost: h\r\n\r\n")),
                     "{\"errors\":[]}\n");
    cr_assert_eq(status_of_reply(ask(0, "GET /v1/%zz HTTP/1.1\r\nHost: h\r\n\r\n")), 400);
}
