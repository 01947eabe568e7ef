#include "http/credentials.h"

#include <assert.h>
#include <string.h>

#include "doc/json.h"
#include "service/request.h"

#define LOGIN_JSON_DEPTH 4
#define VAULT_LOGIN_SEGMENTS 5 /* v1/auth/userpass/login/NAME */

static const char BEARER[] = "bearer";

static struct bytes without_blanks(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_slice(text, 1, text.len);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool is_bearer(struct bytes authorization, struct bytes *ret_token)
{
    const size_t len = sizeof BEARER - 1;

    if (authorization.len <= len || authorization.data[len] != ' ' ||
        strncasecmp((const char *)authorization.data, BEARER, len) != 0)
        return false;
    *ret_token = without_blanks(bytes_slice(authorization, len, authorization.len));
    return true;
}

/* Up to the next `end`, which is dropped, or to the end of `rest`. */
static struct bytes take_until(struct bytes *rest, uint8_t end)
{
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, end, rest->len);
    size_t len = at == NULL ? rest->len : (size_t)(at - rest->data);
    struct bytes part = bytes_slice(*rest, 0, len);

    *rest = bytes_slice(*rest, len + (at == NULL ? 0 : 1), rest->len);
    return part;
}

bool credentials_cookie(struct bytes field, const char *name, struct bytes *ret_value)
{
    while (field.len > 0) {
        struct bytes value = without_blanks(take_until(&field, ';'));
        struct bytes its_name = take_until(&value, '=');

        if (!bytes_equal(without_blanks(its_name), bytes_str(name)))
            continue;
        value = without_blanks(value);
        if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
            value = bytes_slice(value, 1, value.len - 2);
        *ret_value = value;
        return true;
    }
    return false;
}

enum credentials_kind credentials_find(const struct credentials *credentials,
                                       struct bytes *ret_token)
{
    assert(credentials != NULL && ret_token != NULL);

    if (is_bearer(credentials->authorization, ret_token))
        return CREDENTIALS_BEARER;
    if (credentials->authorization.len > 0)
        return CREDENTIALS_BASIC;
    if (credentials->vault_token.len > 0) {
        *ret_token = credentials->vault_token;
        return CREDENTIALS_BEARER;
    }
    if (credentials_cookie(credentials->cookie, CREDENTIALS_COOKIE, ret_token) &&
        ret_token->len > 0)
        return CREDENTIALS_COOKIE_TOKEN;
    return CREDENTIALS_NONE;
}

/* --- where the request comes from --- */

bool credentials_is_same_origin(struct bytes origin, struct bytes host)
{
    static const char *const schemes[] = {"http://", "https://"};

    /* Either scheme: a proxy in front may have taken the TLS off. */
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i]);

        if (host.len > 0 && origin.len == len + host.len &&
            memcmp(origin.data, schemes[i], len) == 0 &&
            strncasecmp((const char *)origin.data + len, (const char *)host.data, host.len) == 0)
            return true;
    }
    return false;
}

bool credentials_cookie_may(const struct request *request, struct bytes origin)
{
    enum method method = request->method;

    if (method == METHOD_GET || method == METHOD_HEAD || method == METHOD_LIST ||
        request_is_json(request))
        return true;
    if (origin.len > 0)
        return credentials_is_same_origin(origin, request->host);
    /* No browser sends these for another site's page without asking first, and it is never let. */
    return method != METHOD_POST;
}

/* --- name and password in a body --- */

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum qk_err form_decode(struct bytes in, struct buf *out)
{
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i] == '+' ? ' ' : in.data[i];

        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.data[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_value(in.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return QK_ERR_INVALID;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        buf_put_u8(out, c);
    }
    return buf_error(out);
}

static bool is_name(struct bytes text)
{
    return bytes_equal(text, bytes_str("name")) || bytes_equal(text, bytes_str("username"));
}

static enum qk_err form_read(struct bytes body, struct buf *name, struct buf *password)
{
    enum qk_err err = QK_OK;

    while (body.len > 0 && err == QK_OK) {
        struct bytes value = take_until(&body, '&');
        struct bytes field = take_until(&value, '=');

        if (is_name(field) && name->len == 0)
            err = form_decode(value, name);
        else if (bytes_equal(field, bytes_str("password")) && password->len == 0)
            err = form_decode(value, password);
    }
    return err;
}

static enum qk_err json_read(struct bytes body, struct buf *name, struct buf *password)
{
    struct doc_problem problem;
    json_t *json = NULL, *text;
    enum qk_err err = json_parse(body, LOGIN_JSON_DEPTH, &problem, &json);

    if (err != QK_OK)
        return QK_ERR_INVALID;
    text = json_object_get(json, "name");
    if (text == NULL)
        text = json_object_get(json, "username");
    buf_put_bytes(name, json_bytes(text));
    text = json_object_get(json, "password");
    buf_put_bytes(password, json_bytes(text));
    err = json_is_string(text) ? QK_OK : QK_ERR_INVALID;
    json_decref(json);
    return err;
}

static bool is_form(const struct request *request)
{
    return bytes_starts_with(request->content_type, bytes_str("application/x-www-form-urlencoded"));
}

enum qk_err credentials_read_login(const struct request *request, struct buf *ret_name,
                                   struct buf *ret_password)
{
    enum qk_err err;

    assert(ret_name->secret && ret_password->secret);

    if (is_form(request))
        err = form_read(request->body, ret_name, ret_password);
    else
        err = json_read(request->body, ret_name, ret_password);
    if (err == QK_OK && request->segments_n == VAULT_LOGIN_SEGMENTS) {
        buf_reset(ret_name);
        buf_put_bytes(ret_name, request->segments[VAULT_LOGIN_SEGMENTS - 1]);
    }
    if (err == QK_OK)
        err = buf_error(ret_name);
    if (err == QK_OK)
        err = buf_error(ret_password);
    if (err == QK_OK && (ret_name->len == 0 || memchr(ret_name->data, 0, ret_name->len) != NULL))
        err = QK_ERR_INVALID;
    return err;
}
