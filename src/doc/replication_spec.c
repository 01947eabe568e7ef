#include "doc/replication_spec.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doc/id.h"
#include "secret/secret.h"

/* --- credentials out of it --- */

static enum qk_err bad(struct doc_problem *problem, const char *what)
{
    return doc_problem_set(problem, 400, "bad_request", "%s", what);
}

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Percent-decoded; NULL for a bad escape, a zero byte, no UTF-8 or no memory. */
static json_t *decoded(const char *text, size_t len)
{
    struct buf out = BUF_SECRET_INIT(REPLICATION_URL_BYTES_MAX);
    json_t *value = NULL;

    for (size_t i = 0; i < len; i++) {
        int high, low;

        if (text[i] != '%') {
            buf_put_u8(&out, (uint8_t)text[i]);
            continue;
        }
        high = i + 2 < len ? hex_of(text[i + 1]) : -1;
        low = i + 2 < len ? hex_of(text[i + 2]) : -1;
        if (high < 0 || low < 0 || (high == 0 && low == 0))
            goto out;
        buf_put_u8(&out, (uint8_t)(high * 16 + low));
        i += 2;
    }
    if (buf_error(&out) == QK_OK)
        value = json_stringn(out.len == 0 ? "" : (const char *)out.data, out.len);

out:
    buf_fini(&out);
    return value;
}

static bool is_url(const char *text)
{
    return strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0;
}

/* "user:password@" of a URL into `secret`, and `ret_url` without it (the caller frees it). */
static enum qk_err url_split(const char *url, json_t *secret, char **ret_url)
{
    const char *host = strstr(url, "://") + 3;
    size_t authority = strcspn(host, "/?#");
    const char *at = NULL, *colon;
    size_t len;
    json_t *user, *password = NULL;

    for (size_t i = 0; i < authority; i++)
        at = host[i] == '@' ? host + i : at;
    if (at == NULL) {
        *ret_url = strdup(url);
        return *ret_url == NULL ? QK_ERR_NOMEM : QK_OK;
    }
    colon = memchr(host, ':', (size_t)(at - host));
    user = decoded(host, (size_t)((colon == NULL ? at : colon) - host));
    if (colon != NULL)
        password = decoded(colon + 1, (size_t)(at - colon - 1));
    if (user == NULL || (colon != NULL && password == NULL)) {
        json_decref(user);
        json_decref(password);
        return QK_ERR_INVALID;
    }
    if (json_object_set_new(secret, "user", user) != 0 ||
        (password != NULL && json_object_set_new(secret, "password", password) != 0))
        return QK_ERR_NOMEM;
    len = (size_t)(host - url);
    *ret_url = malloc(strlen(url) + 1);
    if (*ret_url == NULL)
        return QK_ERR_NOMEM;
    memcpy(*ret_url, url, len);
    memcpy(*ret_url + len, at + 1, strlen(at + 1) + 1);
    return QK_OK;
}

/* CouchDB's {"auth":{"basic":{"username","password"}}}. */
static enum qk_err auth_split(json_t *side, json_t *secret, struct doc_problem *problem)
{
    json_t *auth = json_object_get(side, "auth"), *basic, *user, *password;

    if (auth == NULL || json_is_null(auth))
        return QK_OK;
    basic = json_object_get(auth, "basic");
    user = json_object_get(basic, "username");
    password = json_object_get(basic, "password");
    if (json_object_size(auth) > 1 || (json_object_size(auth) == 1 && !json_is_object(basic)))
        return bad(problem, "`auth` takes `basic` with `username` and `password`");
    if (basic == NULL)
        return QK_OK;
    if (!json_is_string(user) || !json_is_string(password))
        return bad(problem, "`auth.basic` takes `username` and `password`, two strings");
    if (json_object_set(secret, "user", user) != 0 ||
        json_object_set(secret, "password", password) != 0)
        return QK_ERR_NOMEM;
    return QK_OK;
}

static enum qk_err side_split(json_t *object, const char *name, json_t *secrets,
                              struct doc_problem *problem)
{
    json_t *side = json_object_get(object, name), *secret = json_object(), *url, *headers;
    char *shown = NULL;
    enum qk_err err = secret == NULL ? QK_ERR_NOMEM : QK_OK;

    url = json_is_object(side) ? json_object_get(side, "url") : side;
    if (err == QK_OK && !json_is_string(url))
        err = doc_problem_set(problem, 400, "bad_request",
                              "`%s` is a URL, or an object with `url`, or a database's name", name);
    if (err != QK_OK)
        goto out;
    if (strlen(json_string_value(url)) != json_string_length(url)) {
        err = doc_problem_set(problem, 400, "bad_request", "`%s` has a zero byte", name);
        goto out;
    }
    if (is_url(json_string_value(url)) &&
        url_split(json_string_value(url), secret, &shown) != QK_OK)
        err = doc_problem_set(problem, 400, "bad_request", "the URL of `%s` is none", name);
    if (err == QK_OK && json_is_object(side))
        err = auth_split(side, secret, problem);
    headers = json_is_object(side) ? json_object_get(side, "headers") : NULL;
    if (err == QK_OK && headers != NULL && json_object_set(secret, "headers", headers) != 0)
        err = QK_ERR_NOMEM;
    if (err == QK_OK && shown != NULL && json_string_set(url, shown) != 0)
        err = QK_ERR_NOMEM;
    if (err == QK_OK && json_is_object(side)) {
        (void)json_object_del(side, "auth");
        (void)json_object_del(side, "headers");
    }
    if (err == QK_OK && json_object_size(secret) > 0 && json_object_set(secrets, name, secret) != 0)
        err = QK_ERR_NOMEM;

out:
    free(shown);
    json_decref(secret);
    return err;
}

enum qk_err replication_split(json_t *object, struct doc_problem *ret_problem, json_t **ret_secret)
{
    json_t *secret = json_object();
    enum qk_err err = secret == NULL ? QK_ERR_NOMEM : QK_OK;

    if (err == QK_OK)
        err = side_split(object, "source", secret, ret_problem);
    if (err == QK_OK)
        err = side_split(object, "target", secret, ret_problem);
    if (err != QK_OK) {
        json_decref(secret);
        return err;
    }
    *ret_secret = secret;
    return QK_OK;
}

/* --- the spec --- */

static void wipe_free(char *text)
{
    if (text != NULL)
        secret_wipe(text, strlen(text));
    free(text);
}

static enum qk_err copy(const json_t *string, char **ret_text)
{
    if (strlen(json_string_value(string)) != json_string_length(string))
        return QK_ERR_INVALID; /* a zero byte */
    *ret_text = strdup(json_string_value(string));
    return *ret_text == NULL ? QK_ERR_NOMEM : QK_OK;
}

static bool is_field_name(const char *name)
{
    static const char *const OURS[] = {
        "host",         "content-length", "transfer-encoding", "connection",
        "content-type", "expect",         "upgrade",           "te",
        "trailer"};

    for (size_t i = 0; i < sizeof OURS / sizeof OURS[0]; i++) {
        if (strcasecmp(name, OURS[i]) == 0)
            return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f || strchr("()<>@,;:\\\"/[]?={}", *c) != NULL)
            return false;
    }
    return name[0] != '\0';
}

static bool is_field_value(const char *value)
{
    for (const char *c = value; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return false;
    }
    return true;
}

static enum qk_err side_fields(const json_t *headers, struct replication_side *side,
                               struct doc_problem *problem)
{
    const char *name;
    json_t *value;

    if (headers != NULL && !json_is_object(headers))
        return bad(problem, "`headers` is an object");
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        struct buf field = BUF_SECRET_INIT(REPLICATION_FIELD_BYTES_MAX);

        if (side->fields_n == REPLICATION_FIELDS_MAX || !is_field_name(name) ||
            !json_is_string(value) || !is_field_value(json_string_value(value)) ||
            strlen(json_string_value(value)) != json_string_length(value))
            return bad(problem, "`headers` has up to 8 fields, each a name and a text, none of "
                                "those that HTTP itself needs");
        buf_printf(&field, "%s: %s", name, json_string_value(value));
        buf_put_u8(&field, '\0');
        side->fields[side->fields_n] =
            buf_error(&field) == QK_OK ? strdup((const char *)field.data) : NULL;
        buf_fini(&field);
        if (side->fields[side->fields_n] == NULL)
            return QK_ERR_NOMEM;
        side->fields_n++;
    }
    return QK_OK;
}

/* One to be asked as it is: the path of a database, without query. */
static bool url_is_good(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t host_len = strcspn(host, "/");

    if (strlen(url) > REPLICATION_URL_BYTES_MAX || host_len == 0 ||
        strcspn(host, "?#") != strlen(host))
        return false;
    if (strlen(host) <= host_len + 1)
        return false; /* no database */
    for (const char *c = url; *c != '\0'; c++) {
        if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '\\')
            return false;
    }
    return memchr(host, '@', host_len) == NULL;
}

static enum qk_err side_place(const json_t *url, const char *name, struct replication_side *side,
                              struct doc_problem *problem)
{
    enum qk_err err;

    if (!json_is_string(url))
        return doc_problem_set(problem, 400, "bad_request",
                               "`%s` is a URL, or an object with `url`, or a database's name",
                               name);
    err = copy(url, &side->name);
    if (err == QK_ERR_NOMEM)
        return err;
    side->local = err == QK_OK && !is_url(side->name);
    if (err == QK_OK && !side->local && url_is_good(side->name)) {
        for (size_t len = strlen(side->name); side->name[len - 1] == '/'; len--)
            side->name[len - 1] = '\0';
        return QK_OK;
    }
    if (side->local && database_name_check(bytes_str(side->name), problem) == QK_OK)
        return QK_OK;
    /* Not the text itself: what is no URL to us may hold a password all the same. */
    return doc_problem_set(problem, 400, "bad_request",
                           "`%s` is neither the URL of a database nor a database's name", name);
}

static enum qk_err side_read(const json_t *public, const json_t *secrets, const char *name,
                             struct replication_side *side, struct doc_problem *problem)
{
    const json_t *place = json_object_get(public, name), *secret = json_object_get(secrets, name);
    const json_t *user = json_object_get(secret, "user");
    const json_t *password = json_object_get(secret, "password");
    enum qk_err err;

    err = side_place(json_is_object(place) ? json_object_get(place, "url") : place, name, side,
                     problem);
    if (err == QK_OK && json_is_string(user))
        err = copy(user, &side->user);
    if (err == QK_OK && json_is_string(password))
        err = copy(password, &side->password);
    if (err == QK_OK)
        err = side_fields(json_object_get(secret, "headers"), side, problem);
    return err;
}

static enum qk_err flag(const json_t *public, const char *name, bool *ret_flag,
                        struct doc_problem *problem)
{
    const json_t *value = json_object_get(public, name);

    if (value == NULL || json_is_null(value))
        return QK_OK;
    if (!json_is_boolean(value))
        return doc_problem_set(problem, 400, "bad_request", "`%s` is true or false", name);
    *ret_flag = json_is_true(value);
    return QK_OK;
}

static bool are_strings(const json_t *list)
{
    const json_t *each;
    size_t i;

    json_array_foreach(list, i, each)
    {
        if (!json_is_string(each))
            return false;
    }
    return json_is_array(list);
}

static enum qk_err filters_read(const json_t *public, struct replication_spec *spec,
                                struct doc_problem *problem)
{
    json_t *filter = json_object_get(public, "filter");

    spec->doc_ids = json_incref(json_object_get(public, "doc_ids"));
    spec->selector = json_incref(json_object_get(public, "selector"));
    spec->query_params = json_incref(json_object_get(public, "query_params"));
    spec->since_seq = json_incref(json_object_get(public, "since_seq"));
    if (spec->doc_ids != NULL && !are_strings(spec->doc_ids))
        return bad(problem, "`doc_ids` is an array of strings");
    if (spec->selector != NULL && !json_is_object(spec->selector))
        return bad(problem, "`selector` is an object");
    if (spec->query_params != NULL && !json_is_object(spec->query_params))
        return bad(problem, "`query_params` is an object");
    if ((filter != NULL) + (spec->doc_ids != NULL) + (spec->selector != NULL) > 1)
        return bad(problem, "`doc_ids`, `filter` and `selector` are mutually exclusive");
    if (filter == NULL)
        return QK_OK;
    return json_is_string(filter) && copy(filter, &spec->filter) == QK_OK
               ? QK_OK
               : bad(problem, "`filter` is a string");
}

enum qk_err replication_spec_read(const json_t *public, const json_t *secret,
                                  struct replication_spec *ret_spec,
                                  struct doc_problem *ret_problem)
{
    bool checkpoints = true;
    enum qk_err err;

    *ret_spec = (struct replication_spec){0};
    if (!json_is_object(public))
        return bad(ret_problem, "Request body must be a JSON object");
    err = side_read(public, secret, "source", &ret_spec->source, ret_problem);
    if (err == QK_OK)
        err = side_read(public, secret, "target", &ret_spec->target, ret_problem);
    if (err == QK_OK)
        err = flag(public, "continuous", &ret_spec->continuous, ret_problem);
    if (err == QK_OK)
        err = flag(public, "create_target", &ret_spec->create_target, ret_problem);
    if (err == QK_OK)
        err = flag(public, "cancel", &ret_spec->cancel, ret_problem);
    if (err == QK_OK)
        err = flag(public, "winning_revs_only", &ret_spec->winning_revs_only, ret_problem);
    if (err == QK_OK)
        err = flag(public, "use_checkpoints", &checkpoints, ret_problem);
    ret_spec->no_checkpoints = !checkpoints;
    if (err == QK_OK)
        err = filters_read(public, ret_spec, ret_problem);
    return err;
}

static void side_fini(struct replication_side *side)
{
    free(side->name);
    wipe_free(side->user);
    wipe_free(side->password);
    for (unsigned i = 0; i < side->fields_n; i++)
        wipe_free(side->fields[i]);
}

void replication_spec_fini(struct replication_spec *spec)
{
    side_fini(&spec->source);
    side_fini(&spec->target);
    json_decref(spec->doc_ids);
    json_decref(spec->selector);
    json_decref(spec->query_params);
    json_decref(spec->since_seq);
    free(spec->filter);
    *spec = (struct replication_spec){0};
}

static void put_part(struct buf *out, const char *text)
{
    buf_put_blob(out, bytes_str(text == NULL ? "" : text));
}

static void put_json(struct buf *out, const json_t *value)
{
    struct buf text = BUF_INIT(out->max);

    if (value != NULL && json_write(value, &text) != QK_OK)
        out->failed = QK_ERR_NOMEM;
    buf_put_blob(out, buf_bytes(&text));
    buf_fini(&text);
}

void replication_spec_identity(const struct replication_spec *spec, struct buf *out)
{
    put_part(out, spec->source.name);
    put_part(out, spec->source.user);
    put_part(out, spec->target.name);
    put_part(out, spec->target.user);
    put_part(out, spec->filter);
    put_json(out, spec->doc_ids);
    put_json(out, spec->selector);
    put_json(out, spec->query_params);
    put_json(out, spec->since_seq);
    put_part(out, spec->winning_revs_only ? "winning" : NULL);
}
