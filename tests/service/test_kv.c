/* Secrets in the shapes of Vault's KV version 2. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/kv.h"
#include "service/secrets/kv_meta.h"
#include "wire/command.h"

static struct documents documents;

static void setup(void)
{
    struct wire_command command;

    documents_init(&documents);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    cr_assert_eq(kv_mount_put(&documents.service, &command), QK_OK);
    documents_apply(&documents, &command);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(kv, .init = setup, .fini = teardown);

/* The reply's value at a path of names, "data/metadata/version", as compact text; for the caller to
 * compare at once. */
static const char *at(struct call *call, const char *path)
{
    static char text[4096];
    json_t *json = call_json(call), *value = json;
    char names[256], *name, *rest = names;
    char *dumped;
    void (*release)(void *);

    snprintf(names, sizeof(names), "%s", path);
    while ((name = strsep(&rest, "/")) != NULL)
        value = json_object_get(value, name);
    dumped = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(text, sizeof(text), "%s", dumped == NULL ? "(absent)" : dumped);
    json_get_alloc_funcs(NULL, &release);
    release(dumped);
    json_decref(json);
    return text;
}

static void check(enum method method, const char *target, const char *body, int status,
                  const char *path, const char *wanted)
{
    struct call *made = call(&documents, method, target, body);

    cr_assert_eq(made->status, status, "%s: %d %s", target, made->status, call_text(made));
    if (path != NULL)
        cr_assert_str_eq(at(made, path), wanted, "%s", target);
    call_free(made);
}

static void put(const char *path, const char *data, int status)
{
    char target[300], body[300];

    snprintf(target, sizeof(target), "/v1/secret/data/%s", path);
    snprintf(body, sizeof(body), "{\"data\":%s}", data);
    check(METHOD_POST, target, body, status, NULL, NULL);
}

Test(kv, a_secret_is_written_read_and_written_over)
{
    struct call *made;

    made = call(&documents, METHOD_POST, "/v1/secret/data/app/db",
                "{\"data\":{\"user\":\"ada\",\"n\":9007199254740993}}");
    cr_assert_eq(made->status, 200);
    cr_assert_str_eq(at(made, "data/version"), "1");
    cr_assert_str_eq(at(made, "data/destroyed"), "false");
    cr_assert_str_eq(at(made, "data/deletion_time"), "\"\"");
    cr_assert_str_eq(at(made, "data/custom_metadata"), "null");
    cr_assert_str_eq(at(made, "lease_id"), "\"\"");
    cr_assert_str_eq(at(made, "warnings"), "null");
    cr_assert_eq(strlen(at(made, "request_id")), 38);
    cr_assert_eq(strlen(at(made, "data/created_time")), 22);
    cr_assert_str_eq(call_field(made, "Cache-Control"), "no-store");
    call_free(made);
    check(METHOD_GET, "/v1/secret/data/app/db", NULL, 200, "data/data",
          "{\"user\":\"ada\",\"n\":9007199254740993}");
    check(METHOD_PUT, "/v1/secret/data/app/db", "{\"data\":{\"user\":\"bob\"}}", 200,
          "data/version", "2");
    check(METHOD_GET, "/v1/secret/data/app/db", NULL, 200, "data/data", "{\"user\":\"bob\"}");
    check(METHOD_GET, "/v1/secret/data/app/db?version=1", NULL, 200, "data/metadata/version", "1");
    check(METHOD_GET, "/v1/secret/data/app/db?version=0", NULL, 200, "data/metadata/version", "2");
    expect(&documents, METHOD_GET, "/v1/secret/data/app/db?version=3", NULL, 404,
           "{\"errors\":[]}");
    expect(&documents, METHOD_GET, "/v1/secret/data/app", NULL, 404, "{\"errors\":[]}");
    check(METHOD_GET, "/v1/secret/data/app/db?version=x", NULL, 400, NULL, NULL);
}

Test(kv, survives_a_restart_and_shows_in_no_list_of_documents)
{
    put("a", "{\"b\":1}", 200);
    documents_restart(&documents);
    check(METHOD_GET, "/v1/secret/data/a", NULL, 200, "data/data/b", "1");
    expect(&documents, METHOD_GET, "/_all_dbs", NULL, 200, "[]");
}

Test(kv, check_and_set)
{
    static const char target[] = "/v1/secret/data/a";
    static const char mismatch[] =
        "{\"errors\":[\"check-and-set parameter did not match the current version\"]}";

    expect(&documents, METHOD_POST, target, "{\"options\":{\"cas\":1},\"data\":{}}", 400, mismatch);
    check(METHOD_POST, target, "{\"options\":{\"cas\":0},\"data\":{}}", 200, "data/version", "1");
    expect(&documents, METHOD_POST, target, "{\"options\":{\"cas\":0},\"data\":{}}", 400, mismatch);
    check(METHOD_POST, target, "{\"options\":{\"cas\":1},\"data\":{}}", 200, "data/version", "2");
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"cas_required\":true}", 204, NULL, NULL);
    expect(&documents, METHOD_POST, target, "{\"data\":{}}", 400,
           "{\"errors\":[\"check-and-set parameter required for this call\"]}");
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"cas_required\":false}", 204, NULL, NULL);
    check(METHOD_POST, target, "{\"data\":{}}", 200, "data/version", "3");
    check(METHOD_POST, "/v1/secret/config", "{\"cas_required\":true}", 204, NULL, NULL);
    check(METHOD_POST, target, "{\"data\":{}}", 400, NULL, NULL);
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"cas_required\":false}", 200, "warnings",
          "[\"\\\"cas_required\\\" set to false, but is mandated by backend config. This value "
          "will be ignored.\"]");
}

Test(kv, a_deleted_version_is_a_404_that_tells_of_it_and_comes_back)
{
    struct call *made;

    put("a", "{\"v\":1}", 200);
    put("a", "{\"v\":2}", 200);
    check(METHOD_DELETE, "/v1/secret/data/a", NULL, 204, NULL, NULL);
    made = call(&documents, METHOD_GET, "/v1/secret/data/a", NULL);
    cr_assert_eq(made->status, 404);
    cr_assert_str_eq(at(made, "data/data"), "null");
    cr_assert_str_eq(at(made, "data/metadata/version"), "2");
    cr_assert_eq(strlen(at(made, "data/metadata/deletion_time")), 22);
    call_free(made);
    check(METHOD_DELETE, "/v1/secret/data/a", NULL, 204, NULL, NULL); /* again: nothing more */
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 200, "data/data/v", "1");
    check(METHOD_POST, "/v1/secret/delete/a", "{\"versions\":[1,7]}", 204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 404, "data/data", "null");
    check(METHOD_POST, "/v1/secret/undelete/a", "{\"versions\":[1,2]}", 204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/data/a", NULL, 200, "data/data/v", "2");
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 200, "data/metadata/deletion_time",
          "\"\"");
    check(METHOD_POST, "/v1/secret/undelete/nothing", "{\"versions\":[1]}", 204, NULL, NULL);
    expect(&documents, METHOD_POST, "/v1/secret/delete/a", "{}", 400,
           "{\"errors\":[\"No version number provided\"]}");
}

Test(kv, a_destroyed_version_is_gone_for_good)
{
    put("a", "{\"v\":1}", 200);
    put("a", "{\"v\":2}", 200);
    check(METHOD_PUT, "/v1/secret/destroy/a", "{\"versions\":[1]}", 204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 404, "data/metadata/destroyed", "true");
    check(METHOD_POST, "/v1/secret/undelete/a", "{\"versions\":[1]}", 204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 404, "data/metadata/destroyed", "true");
    check(METHOD_GET, "/v1/secret/data/a", NULL, 200, "data/data/v", "2");
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/versions/1/destroyed", "true");
}

Test(kv, what_is_known_of_a_secret)
{
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 404, NULL, NULL);
    check(METHOD_POST, "/v1/secret/metadata/a",
          "{\"max_versions\":2,\"delete_version_after\":\"3h25m19s\","
          "\"custom_metadata\":{\"owner\":\"jdoe\",\"tier\":\"1\"}}",
          204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/current_version", "0");
    check(METHOD_GET, "/v1/secret/data/a", NULL, 404, NULL, NULL);
    put("a", "{\"v\":1}", 200);
    put("a", "{\"v\":2}", 200);
    check(METHOD_POST, "/v1/secret/data/a", "{\"data\":{}}", 200, "data/custom_metadata",
          "{\"owner\":\"jdoe\",\"tier\":\"1\"}");
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/delete_version_after",
          "\"3h25m19s\"");
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/oldest_version", "2");
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/versions/1", "(absent)");
    check(METHOD_GET, "/v1/secret/data/a?version=1", NULL, 404, NULL, NULL);
}

Test(kv, a_version_deletes_itself)
{
    struct call *made;

    check(METHOD_POST, "/v1/secret/metadata/a", "{\"delete_version_after\":\"1s\"}", 204, NULL,
          NULL);
    put("a", "{\"v\":1}", 200);
    made = call(&documents, METHOD_GET, "/v1/secret/metadata/a", NULL);
    cr_assert_eq(strlen(at(made, "data/versions/1/deletion_time")), 22);
    call_free(made);
    for (int i = 0; i < 40; i++) {
        made = call(&documents, METHOD_GET, "/v1/secret/data/a", NULL);
        if (made->status == 404)
            break;
        call_free(made);
        made = NULL;
        nanosleep(&(struct timespec){0, 100000000}, NULL);
        (void)uv_update_time(&documents.loop);
    }
    cr_assert_not_null(made, "it never went");
    cr_assert_str_eq(at(made, "data/data"), "null");
    call_free(made);
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"delete_version_after\":\"1h\"}", 204, NULL,
          NULL);
    check(METHOD_POST, "/v1/secret/undelete/a", "{\"versions\":[1]}", 204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/data/a", NULL, 200, "data/data/v", "1");
}

Test(kv, metadata_is_patched_and_replaced)
{
    struct call *made;

    made = call_begin(&documents, METHOD_PATCH, "/v1/secret/metadata/a", bytes_str("{}"));
    call_start(made);
    cr_assert_eq(made->status, 415);
    call_free(made);
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"custom_metadata\":{\"x\":\"1\",\"y\":\"2\"}}",
          204, NULL, NULL);
    made = call_begin(&documents, METHOD_PATCH, "/v1/secret/metadata/a",
                      bytes_str("{\"custom_metadata\":{\"x\":null,\"z\":\"3\"}}"));
    made->exchange.request.content_type = bytes_str("application/merge-patch+json");
    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, 204, "%s", call_text(made));
    call_free(made);
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/custom_metadata",
          "{\"y\":\"2\",\"z\":\"3\"}");
    check(METHOD_POST, "/v1/secret/metadata/a", "{\"custom_metadata\":{\"q\":\"1\"}}", 204, NULL,
          NULL);
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/custom_metadata", "{\"q\":\"1\"}");
}

static int patch(const char *target, const char *body)
{
    struct call *made = call_begin(&documents, METHOD_PATCH, target, bytes_str(body));
    int status;

    made->exchange.request.content_type = bytes_str("application/merge-patch+json");
    call_start(made);
    call_run(made);
    status = made->status;
    call_free(made);
    return status;
}

Test(kv, a_value_is_patched)
{
    static const char target[] = "/v1/secret/data/a";

    cr_assert_eq(patch(target, "{\"data\":{\"b\":1}}"), 404);
    put("a", "{\"a\":1,\"o\":{\"x\":1,\"y\":2}}", 200);
    cr_assert_eq(patch(target, "{\"data\":{\"b\":2,\"o\":{\"x\":null}}}"), 200);
    check(METHOD_GET, target, NULL, 200, "data/data", "{\"a\":1,\"o\":{\"y\":2},\"b\":2}");
    cr_assert_eq(patch(target, "{\"options\":{\"cas\":1},\"data\":{}}"), 400);
    cr_assert_eq(patch(target, "{}"), 400);
    check(METHOD_DELETE, target, NULL, 204, NULL, NULL);
    cr_assert_eq(patch(target, "{\"data\":{\"c\":3}}"), 404);
}

Test(kv, subkeys_show_the_shape_without_values)
{
    put("a", "{\"foo\":\"abc\",\"bar\":{\"baz\":{\"q\":1}},\"quux\":{},\"l\":[{\"p\":1}]}", 200);
    check(METHOD_GET, "/v1/secret/subkeys/a", NULL, 200, "data/subkeys",
          "{\"foo\":null,\"bar\":{\"baz\":{\"q\":null}},\"quux\":null,\"l\":null}");
    check(METHOD_GET, "/v1/secret/subkeys/a?depth=1", NULL, 200, "data/subkeys",
          "{\"foo\":null,\"bar\":null,\"quux\":null,\"l\":null}");
    check(METHOD_GET, "/v1/secret/subkeys/a?depth=2", NULL, 200, "data/subkeys",
          "{\"foo\":null,\"bar\":{\"baz\":null},\"quux\":null,\"l\":null}");
    check(METHOD_GET, "/v1/secret/subkeys/a", NULL, 200, "data/metadata/version", "1");
}

Test(kv, folders_are_listed_as_long_as_something_is_in_them)
{
    static const char list[] = "/v1/secret/metadata";

    check(METHOD_LIST, list, NULL, 404, NULL, NULL);
    put("foo", "{}", 200);
    put("foo/bar", "{}", 200);
    put("foo/b%C3%A4r", "{}", 200);
    put("deep/er/still", "{}", 200);
    check(METHOD_LIST, list, NULL, 200, "data/keys", "[\"deep/\",\"foo\",\"foo/\"]");
    check(METHOD_LIST, "/v1/secret/metadata/foo", NULL, 200, "data/keys", "[\"bar\",\"b\u00e4r\"]");
    check(METHOD_GET, "/v1/secret/metadata/deep?list=true", NULL, 200, "data/keys", "[\"er/\"]");
    check(METHOD_LIST, "/v1/secret/metadata/deep/er/still", NULL, 404, NULL, NULL);
    put("foo/bar", "{}", 200); /* a further version changes no folder */
    check(METHOD_DELETE, "/v1/secret/metadata/foo/bar", NULL, 204, NULL, NULL);
    check(METHOD_LIST, "/v1/secret/metadata/foo", NULL, 200, "data/keys", "[\"b\u00e4r\"]");
    check(METHOD_DELETE, "/v1/secret/metadata/foo/b%C3%A4r", NULL, 204, NULL, NULL);
    check(METHOD_LIST, list, NULL, 200, "data/keys", "[\"deep/\",\"foo\"]");
    check(METHOD_DELETE, "/v1/secret/metadata/deep/er/still", NULL, 204, NULL, NULL);
    check(METHOD_DELETE, "/v1/secret/metadata/deep/er/still", NULL, 204, NULL, NULL);
    check(METHOD_LIST, list, NULL, 200, "data/keys", "[\"foo\"]");
    check(METHOD_DELETE, "/v1/secret/metadata/foo", NULL, 204, NULL, NULL);
    check(METHOD_LIST, list, NULL, 404, NULL, NULL);
    put("deep/er/still", "{}", 200);
    check(METHOD_GET, "/v1/secret/data/deep/er/still", NULL, 200, "data/metadata/version", "1");
}

Test(kv, a_long_list_is_whole_and_sorted)
{
    struct call *made;
    char name[32];
    json_t *keys;

    for (unsigned i = 0; i < 700; i++) {
        snprintf(name, sizeof(name), "many/s%03u", (i * 389) % 700);
        put(name, "{}", 200);
    }
    made = call(&documents, METHOD_LIST, "/v1/secret/metadata/many", NULL);
    keys = call_json(made);
    cr_assert_eq(json_array_size(json_object_get(json_object_get(keys, "data"), "keys")), 700);
    for (unsigned i = 0; i < 700; i++) {
        snprintf(name, sizeof(name), "s%03u", i);
        cr_assert_str_eq(json_string_value(json_array_get(
                             json_object_get(json_object_get(keys, "data"), "keys"), i)),
                         name);
    }
    cr_assert_gt(made->drains_n, 1, "it was made in one turn of the loop");
    json_decref(keys);
    call_free(made);
}

Test(kv, names_that_are_none)
{
    static const char *const bad[] = {"a/%2e%2e/b", ".",     "a%2F%2Fb", "%2Fa",
                                      "a%2F",       "a%00b", "a%1Fb",    "%FF"};
    char target[256];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(target, sizeof(target), "/v1/secret/data/%s", bad[i]);
        check(METHOD_POST, target, "{\"data\":{}}", 400, NULL, NULL);
        check(METHOD_GET, target, NULL, 400, NULL, NULL);
    }
    put("a%2Fb", "{}", 200); /* a slash, as in Vault */
    check(METHOD_GET, "/v1/secret/data/a/b", NULL, 200, NULL, NULL);
}

Test(kv, depth_and_length_have_a_limit)
{
    char path[4 * KV_PATH_PARTS_MAX] = "a", target[1200], name[KV_PATH_BYTES_MAX + 2];

    for (int i = 1; i < KV_PATH_PARTS_MAX; i++)
        strncat(path, "/a", sizeof(path) - strlen(path) - 1);
    put(path, "{}", 200);
    check(METHOD_LIST, "/v1/secret/metadata/a/a", NULL, 200, "data/keys", "[\"a/\"]");
    snprintf(target, sizeof(target), "/v1/secret/metadata/%s", path);
    check(METHOD_DELETE, target, NULL, 204, NULL, NULL);
    check(METHOD_LIST, "/v1/secret/metadata", NULL, 404, NULL, NULL);
    memset(name, 'x', sizeof(name));
    name[KV_PATH_BYTES_MAX + 1] = '\0';
    snprintf(target, sizeof(target), "/v1/secret/data/%s", name);
    check(METHOD_POST, target, "{\"data\":{}}", 400, NULL, NULL);
    target[strlen(target) - 1] = '\0';
    check(METHOD_POST, target, "{\"data\":{}}", 200, NULL, NULL);
}

Test(kv, a_value_has_a_limit)
{
    struct buf body = BUF_INIT(KV_VALUE_BYTES_MAX + 64);

    for (unsigned over = 0; over < 2; over++) {
        buf_put_str(&body, "{\"data\":{\"a\":\"");
        memset(buf_extend(&body, KV_VALUE_BYTES_MAX - 8 + over), 'x',
               KV_VALUE_BYTES_MAX - 8 + over);
        buf_put_str(&body, "\"}}");
        buf_put_u8(&body, 0);
        check(METHOD_POST, "/v1/secret/data/big", (const char *)body.data, over ? 413 : 200, NULL,
              NULL);
        buf_reset(&body);
    }
    check(METHOD_GET, "/v1/secret/data/big", NULL, 200, "data/metadata/version", "1");
    buf_fini(&body);
}

Test(kv, the_settings_of_all)
{
    check(METHOD_GET, "/v1/secret/config", NULL, 200, "data",
          "{\"cas_required\":false,\"delete_version_after\":\"0s\",\"max_versions\":0}");
    check(METHOD_POST, "/v1/secret/config", "{\"max_versions\":2,\"delete_version_after\":\"2h\"}",
          204, NULL, NULL);
    check(METHOD_GET, "/v1/secret/config", NULL, 200, "data",
          "{\"cas_required\":false,\"delete_version_after\":\"2h0m0s\",\"max_versions\":2}");
    for (int i = 0; i < 3; i++)
        put("a", "{}", 200);
    check(METHOD_GET, "/v1/secret/metadata/a", NULL, 200, "data/versions/1", "(absent)");
    check(METHOD_POST, "/v1/secret/config", "{\"delete_version_after\":\"-1s\"}", 204, NULL, NULL);
    check(METHOD_POST, "/v1/secret/data/b", "{\"data\":{}}", 200, "data/deletion_time", "\"\"");
    check(METHOD_POST, "/v1/secret/config", "{}", 204, NULL, NULL);
}

Test(kv, mounts_answer_version_2)
{
    check(METHOD_GET, "/v1/sys/internal/ui/mounts/secret/foo", NULL, 200, "data/options/version",
          "\"2\"");
    check(METHOD_GET, "/v1/sys/internal/ui/mounts/secret", NULL, 200, "data/path", "\"secret/\"");
    check(METHOD_GET, "/v1/sys/internal/ui/mounts/other", NULL, 403, NULL, NULL);
    for (size_t i = 0; i < 2; i++) {
        struct call *made = call(&documents, METHOD_GET,
                                 i == 0 ? "/v1/sys/mounts" : "/v1/sys/internal/ui/mounts", NULL);

        cr_assert_eq(made->status, 200);
        cr_assert_not_null(strstr(call_text(made), "\"secret/\":{\"accessor\""));
        cr_assert_not_null(strstr(call_text(made), "\"options\":{\"version\":\"2\"}"));
        call_free(made);
    }
}

Test(kv, a_password_alone_writes_as_json_only)
{
    struct call *made =
        call_begin(&documents, METHOD_POST, "/v1/secret/data/a", bytes_str("{\"data\":{}}"));

    made->exchange.request.who.kind = PRINCIPAL_USER;
    made->exchange.request.content_type = bytes_str("application/x-www-form-urlencoded");
    call_start(made);
    cr_assert_eq(made->status, 415);
    call_free(made);
}
