#include "http/credentials.h"

#include <criterion/criterion.h>
#include <string.h>

static enum credentials_kind find(struct credentials shown, const char *ret_token)
{
    struct bytes token = BYTES_NONE;
    enum credentials_kind kind = credentials_find(&shown, &token);

    if (ret_token != NULL)
        cr_assert(bytes_equal(token, bytes_str(ret_token)), "%.*s", (int)token.len,
                  (const char *)token.data);
    return kind;
}

Test(credentials, are_looked_for_in_their_order)
{
    struct credentials shown = {0};

    cr_assert_eq(find(shown, ""), CREDENTIALS_NONE);
    shown.cookie = bytes_str("a=b; AuthSession=c; d");
    cr_assert_eq(find(shown, "c"), CREDENTIALS_COOKIE_TOKEN);
    shown.vault_token = bytes_str("v");
    cr_assert_eq(find(shown, "v"), CREDENTIALS_BEARER);
    shown.authorization = bytes_str("bEARER  t ");
    cr_assert_eq(find(shown, "t"), CREDENTIALS_BEARER);
    shown.authorization = bytes_str("Basic abc");
    cr_assert_eq(find(shown, NULL), CREDENTIALS_BASIC);
    shown.authorization = bytes_str("Bearer");
    cr_assert_eq(find(shown, NULL), CREDENTIALS_BASIC, "no scheme: refused as a bad password");
    shown.authorization = bytes_str("Bearerx y");
    cr_assert_eq(find(shown, NULL), CREDENTIALS_BASIC);
}

Test(credentials, a_cookie_that_was_cleared_is_none)
{
    struct credentials shown = {.cookie = bytes_str("AuthSession=")};

    cr_assert_eq(find(shown, NULL), CREDENTIALS_NONE);
    shown.cookie = bytes_str("AuthSession");
    cr_assert_eq(find(shown, NULL), CREDENTIALS_NONE);
}

Test(credentials, cookies_are_told_apart_by_their_whole_names)
{
    static const struct {
        const char *field, *value;
    } CASES[] = {
        {"AuthSession=x", "x"},
        {"xAuthSession=n; AuthSession=x", "x"},
        {"AuthSessions=n;AuthSession=\"x\"", "x"},
        {"  AuthSession = x ", "x"},
        {"AuthSession=x=y", "x=y"},
        {"authsession=n", NULL},
        {"AuthSession2=n", NULL},
        {";;;", NULL},
        {"", NULL},
        {"=", NULL},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct bytes value = BYTES_NONE;
        bool found = credentials_cookie(bytes_str(CASES[i].field), "AuthSession", &value);

        cr_assert_eq(found, CASES[i].value != NULL, "%s", CASES[i].field);
        if (found)
            cr_assert(bytes_equal(value, bytes_str(CASES[i].value)), "%s", CASES[i].field);
    }
}

static bool may(enum method method, const char *type, const char *origin, const char *host)
{
    struct request request = {
        .method = method, .content_type = bytes_str(type), .host = bytes_str(host)};

    return credentials_cookie_may(&request, bytes_str(origin));
}

Test(credentials, another_sites_page_may_not_use_a_cookie_to_write)
{
    cr_assert(may(METHOD_GET, "", "http://evil", "h:1"));
    cr_assert(may(METHOD_HEAD, "", "http://evil", "h:1"));
    cr_assert(may(METHOD_POST, "application/json", "http://evil", "h:1"), "a browser asks first");
    cr_assert(may(METHOD_POST, "application/json; charset=utf-8", "", "h:1"));
    cr_assert(may(METHOD_POST, "text/plain", "http://h:1", "h:1"));
    cr_assert(may(METHOD_POST, "", "https://H:1", "h:1"));
    cr_assert(may(METHOD_DELETE, "", "", "h:1"));
    cr_assert_not(may(METHOD_POST, "", "", "h:1"));
    cr_assert_not(may(METHOD_POST, "application/x-www-form-urlencoded", "", "h:1"));
    cr_assert_not(may(METHOD_POST, "text/plain;application/json", "null", "h:1"));
    cr_assert_not(may(METHOD_POST, "text/plain", "http://h:12", "h:1"));
    cr_assert_not(may(METHOD_POST, "text/plain", "http://h:1.evil", "h:1"));
    cr_assert_not(may(METHOD_DELETE, "", "http://evil", "h:1"));
    cr_assert_not(may(METHOD_PUT, "", "null", "h:1"));
    cr_assert_not(may(METHOD_COPY, "", "http://", ""), "no host is no match");
}

static enum qk_err read_login(const char *type, struct bytes body, unsigned segments_n,
                              const char *name, const char *password)
{
    struct request request = {
        .content_type = bytes_str(type), .body = body, .segments_n = segments_n};
    struct buf got_name = BUF_SECRET_INIT(USER_NAME_BYTES_MAX);
    struct buf got_password = BUF_SECRET_INIT(1024);
    enum qk_err err;

    if (segments_n == 5)
        request.segments[4] = bytes_str("path");
    err = credentials_read_login(&request, &got_name, &got_password);
    if (err == QK_OK) {
        cr_assert(bytes_equal(buf_bytes(&got_name), bytes_str(name)));
        cr_assert(bytes_equal(buf_bytes(&got_password), bytes_str(password)));
    }
    buf_fini(&got_name);
    buf_fini(&got_password);
    return err;
}

#define FORM "application/x-www-form-urlencoded"
#define JSON "application/json"

Test(credentials, a_login_is_read_from_a_form_or_json)
{
    cr_assert_eq(read_login(FORM, bytes_str("name=a%2Bb&password=c+d%3d"), 1, "a+b", "c d="),
                 QK_OK);
    cr_assert_eq(
        read_login(FORM "; charset=UTF-8", bytes_str("x=y&password=&username=u"), 1, "u", ""),
        QK_OK);
    cr_assert_eq(read_login(JSON, bytes_str("{\"name\":\"a\",\"password\":\"b\"}"), 1, "a", "b"),
                 QK_OK);
    cr_assert_eq(read_login("", bytes_str("{\"username\":\"a\",\"password\":\"\"}"), 1, "a", ""),
                 QK_OK);
    cr_assert_eq(read_login("", bytes_str("{\"name\":\"not\",\"password\":\"b\"}"), 5, "path", "b"),
                 QK_OK, "Vault's name is in the path");
}

Test(credentials, what_is_no_login_is_refused)
{
    static const char *const BAD_JSON[] = {"",
                                           "{",
                                           "[]",
                                           "{}",
                                           "\"a\"",
                                           "{\"name\":\"a\"}",
                                           "{\"name\":\"a\",\"password\":1}",
                                           "{\"password\":\"b\"}",
                                           "{\"name\":\"a\\u0000b\",\"password\":\"b\"}",
                                           "{\"name\":\"a\",\"password\":\"b\",\"x\":[[[[[]]]]]}"};
    static const char *const BAD_FORM[] = {"", "password=b", "name=%4&password=b",
                                           "name=%zz&password=b", "name=a%00&password=b"};

    for (size_t i = 0; i < sizeof BAD_JSON / sizeof BAD_JSON[0]; i++)
        cr_assert_eq(read_login(JSON, bytes_str(BAD_JSON[i]), 1, "", ""), QK_ERR_INVALID, "%s",
                     BAD_JSON[i]);
    for (size_t i = 0; i < sizeof BAD_FORM / sizeof BAD_FORM[0]; i++)
        cr_assert_eq(read_login(FORM, bytes_str(BAD_FORM[i]), 1, "", ""), QK_ERR_INVALID, "%s",
                     BAD_FORM[i]);
}

Test(credentials, a_login_too_long_is_refused_and_a_cut_one_is_read_no_further)
{
    const char body[] = "name=admin%20x&password=se%3Acret";
    char name[USER_NAME_BYTES_MAX + 32] = "name=";

    for (size_t len = 0; len < sizeof body; len++) {
        struct request request = {.content_type = bytes_str(FORM), .body = bytes_of(body, len)};
        struct buf got_name = BUF_SECRET_INIT(64), got_password = BUF_SECRET_INIT(64);

        if (credentials_read_login(&request, &got_name, &got_password) == QK_OK)
            cr_assert_leq(got_name.len + got_password.len, len);
        buf_fini(&got_name);
        buf_fini(&got_password);
    }
    memset(name + 5, 'n', USER_NAME_BYTES_MAX + 1);
    cr_assert_eq(read_login(FORM, bytes_str(name), 1, "", ""), QK_ERR_TOO_BIG);
}
