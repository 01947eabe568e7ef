#include "doc/replication_spec.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct doc_problem problem;
static struct replication_spec spec;
static json_t *object, *secret;

static void teardown(void)
{
    replication_spec_fini(&spec);
    json_decref(object);
    json_decref(secret);
    object = secret = NULL;
}

static enum qk_err take(const char *text)
{
    enum qk_err err;

    teardown();
    memset(&problem, 0, sizeof problem);
    object = json_loads(text, JSON_ALLOW_NUL, NULL);
    cr_assert_not_null(object, "%s", text);
    err = replication_split(object, &problem, &secret);
    return err == QK_OK ? replication_spec_read(object, secret, &spec, &problem) : err;
}

TestSuite(replication_spec, .fini = teardown);

static void shows(const char *expected)
{
    struct buf text = BUF_INIT(64 * KIB);

    cr_assert_eq(json_write(object, &text), QK_OK);
    buf_put_u8(&text, 0);
    cr_assert_str_eq((const char *)text.data, expected);
    buf_fini(&text);
}

Test(replication_spec, credentials_leave_what_is_shown)
{
    cr_assert_eq(take("{\"source\":\"https://ad%40a:p%3Aw@host:6984/db\",\"target\":\"local\"}"),
                 QK_OK);
    shows("{\"source\":\"https://host:6984/db\",\"target\":\"local\"}");
    cr_assert_str_eq(spec.source.user, "ad@a");
    cr_assert_str_eq(spec.source.password, "p:w");
    cr_assert_str_eq(spec.source.name, "https://host:6984/db");
    cr_assert(spec.target.local && !spec.source.local);
    cr_assert_eq(
        take("{\"source\":{\"url\":\"http://h/db/\",\"auth\":{\"basic\":{\"username\":\"u\","
             "\"password\":\"pw\"}},\"headers\":{\"X-A\":\"b c\"}},\"target\":{\"url\":"
             "\"http://x:y@h2/a%2Fb\"}}"),
        QK_OK);
    shows("{\"source\":{\"url\":\"http://h/db/\"},\"target\":{\"url\":\"http://h2/a%2Fb\"}}");
    cr_assert_str_eq(spec.source.name, "http://h/db");
    cr_assert_str_eq(spec.source.password, "pw");
    cr_assert_str_eq(spec.source.fields[0], "X-A: b c");
    cr_assert_str_eq(spec.target.user, "x");
}

/* The last "@" before the path ends the user: what is left of it never names another host. */
Test(replication_spec, a_user_with_an_at_sign_does_not_move_the_host)
{
    cr_assert_eq(take("{\"source\":\"http://u:p@evil@host/db\",\"target\":\"t\"}"), QK_OK);
    cr_assert_str_eq(spec.source.name, "http://host/db");
    cr_assert_str_eq(spec.source.password, "p@evil");
    cr_assert_eq(take("{\"source\":\"http://host/db@x\",\"target\":\"t\"}"), QK_OK);
    cr_assert_str_eq(spec.source.name, "http://host/db@x");
}

Test(replication_spec, what_is_no_replication_is_refused_with_a_reason)
{
    static const char *const TEXTS[] = {
        "{}",
        "{\"source\":1,\"target\":\"t\"}",
        "{\"source\":\"s\"}",
        "{\"source\":{\"url\":1},\"target\":\"t\"}",
        "{\"source\":\"S\",\"target\":\"t\"}",
        "{\"source\":\"_secret\",\"target\":\"t\"}",
        "{\"source\":\"ftp://h/db\",\"target\":\"t\"}",
        "{\"source\":\"file:///etc/passwd\",\"target\":\"t\"}",
        "{\"source\":\"http:///db\",\"target\":\"t\"}",
        "{\"source\":\"http://h\",\"target\":\"t\"}",
        "{\"source\":\"http://h/\",\"target\":\"t\"}",
        "{\"source\":\"http://h/db?x=1\",\"target\":\"t\"}",
        "{\"source\":\"http://h/db#x\",\"target\":\"t\"}",
        "{\"source\":\"http://h?x/db\",\"target\":\"t\"}",
        "{\"source\":\"http://h/d b\",\"target\":\"t\"}",
        "{\"source\":\"http://h/db\\r\\nX: y\",\"target\":\"t\"}",
        "{\"source\":\"http://h/db\\u0000x\",\"target\":\"t\"}",
        "{\"source\":\"http://u:%zz@h/db\",\"target\":\"t\"}",
        "{\"source\":\"http://u:%00@h/db\",\"target\":\"t\"}",
        "{\"source\":\"http://u:%4\",\"target\":\"t\"}",
        "{\"source\":\"http://h\\\\x/db\",\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"headers\":{\"Host\":\"x\"}},\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"headers\":{\"A\":\"x\\r\\nB: "
        "y\"}},\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"headers\":{\"A B\":\"x\"}},\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"headers\":[]},\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"auth\":{\"basic\":{}}},\"target\":\"t\"}",
        "{\"source\":{\"url\":\"http://h/db\",\"auth\":{\"oauth\":{}}},\"target\":\"t\"}",
        "{\"source\":\"s\",\"target\":\"t\",\"continuous\":1}",
        "{\"source\":\"s\",\"target\":\"t\",\"doc_ids\":[1]}",
        "{\"source\":\"s\",\"target\":\"t\",\"doc_ids\":[\"a\"],\"filter\":\"a/b\"}",
        "{\"source\":\"s\",\"target\":\"t\",\"selector\":[]}",
        "{\"source\":\"s\",\"target\":\"t\",\"query_params\":[]}",
        "{\"source\":\"s\",\"target\":\"t\",\"filter\":1}",
    };

    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        cr_assert_eq(take(TEXTS[i]), QK_ERR_INVALID, "%s", TEXTS[i]);
        cr_assert_eq(problem.status, 400, "%s", TEXTS[i]);
        cr_assert_null(strstr(problem.reason, "passwd"));
    }
}

static struct buf identity(const char *text)
{
    struct buf out = BUF_INIT(64 * KIB);

    cr_assert_eq(take(text), QK_OK, "%s", text);
    replication_spec_identity(&spec, &out);
    return out;
}

/* A new password goes on with the same checkpoints; another filter does not. */
Test(replication_spec, the_password_is_no_part_of_what_tells_it_from_others)
{
    struct buf a = identity("{\"source\":\"http://u:p1@h/db\",\"target\":\"t\"}");
    struct buf b = identity("{\"source\":\"http://u:p2@h/db/\",\"target\":\"t\"}");
    struct buf c = identity("{\"source\":\"http://v:p1@h/db\",\"target\":\"t\"}");
    struct buf d =
        identity("{\"source\":\"http://u:p1@h/db\",\"target\":\"t\",\"doc_ids\":[\"a\"]}");

    cr_assert(bytes_equal(buf_bytes(&a), buf_bytes(&b)));
    cr_assert(!bytes_equal(buf_bytes(&a), buf_bytes(&c)));
    cr_assert(!bytes_equal(buf_bytes(&a), buf_bytes(&d)));
    buf_fini(&a);
    buf_fini(&b);
    buf_fini(&c);
    buf_fini(&d);
}
