/* Who may read and write secrets: rights in their database, grants on its key. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/kv.h"
#include "wire/command.h"

static struct documents documents;

static void setup(void)
{
    struct wire_command command;
    char path[300];

    documents_init(&documents);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    cr_assert_eq(kv_mount_put(&documents.service, &command), QK_OK);
    documents_apply(&documents, &command);
    expect(&documents, METHOD_POST, "/_quorumkeep/users", "{\"name\":\"anna\"}", 201, NULL);
    expect(&documents, METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":1}}", 200, NULL);
    expect(&documents, METHOD_POST, "/v1/secret/metadata/a/b",
           "{\"custom_metadata\":{\"owner\":\"x\"}}", 204, NULL);
}

static void teardown(void)
{
    audit_close(documents.service.audit);
    documents.service.audit = NULL;
    documents_fini(&documents);
}

TestSuite(kv_access, .init = setup, .fini = teardown);

static void right(const char *change)
{
    char body[128];

    snprintf(body, sizeof(body), "{\"user\":\"anna\",%s}", change);
    expect(&documents, METHOD_POST, "/_quorumkeep/secrets/rights", body, 200, NULL);
}

static void grant(const char *key, const char *change)
{
    char target[128], body[128];

    snprintf(target, sizeof(target), "/_quorumkeep/keys/%s/grants", key);
    snprintf(body, sizeof(body), "{\"user\":\"anna\",%s}", change);
    expect(&documents, METHOD_POST, target, body, 200, NULL);
}

static enum access_right right_of(enum method method, const char *target)
{
    if (method == METHOD_GET || method == METHOD_LIST)
        return ACCESS_DB_READ;
    return strstr(target, "/config") != NULL ? ACCESS_DB_ADMIN : ACCESS_DB_WRITE;
}

static struct call *begin_as_anna(enum method method, const char *target, const char *body)
{
    const struct user *user = catalog_user_find(documents.service.catalog, bytes_str("anna"));
    struct call *made =
        call_begin(&documents, method, target, body == NULL ? BYTES_NONE : bytes_str(body));

    made->exchange.request.who = user_principal(user);
    if (method == METHOD_PATCH)
        made->exchange.request.content_type = bytes_str("application/merge-patch+json");
    cr_assert_eq(authorize_route(&documents.service, &made->exchange, right_of(method, target)),
                 QK_OK);
    return made;
}

static void anna(enum method method, const char *target, const char *body, int status,
                 const char *part)
{
    struct call *made = begin_as_anna(method, target, body);

    call_start(made);
    call_run(made);
    cr_assert_eq(made->status, status, "%d: %s: %d %s", method, target, made->status,
                 call_text(made));
    if (part != NULL)
        cr_assert_not_null(strstr(call_text(made), part), "%s: %s", target, call_text(made));
    call_free(made);
}

struct door {
    enum method method;
    const char *target, *body;
    bool reads, writes;
    int good;
};

/* Each, with a secret a/b of two versions there. */
static const struct door DOORS[] = {
    {METHOD_GET, "/v1/secret/data/a/b", NULL, true, false, 200},
    {METHOD_GET, "/v1/secret/data/a/b?version=1", NULL, true, false, 200},
    {METHOD_GET, "/v1/secret/subkeys/a/b", NULL, true, false, 200},
    {METHOD_GET, "/v1/secret/metadata/a/b", NULL, true, false, 200},
    {METHOD_LIST, "/v1/secret/metadata/a", NULL, true, false, 200},
    {METHOD_GET, "/v1/secret/metadata/a?list=true", NULL, true, false, 200},
    {METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":2}}", false, true, 200},
    {METHOD_PATCH, "/v1/secret/data/a/b", "{\"data\":{\"v\":3}}", true, true, 200},
    {METHOD_POST, "/v1/secret/delete/a/b", "{\"versions\":[1]}", false, true, 204},
    {METHOD_POST, "/v1/secret/undelete/a/b", "{\"versions\":[1]}", false, true, 204},
    {METHOD_DELETE, "/v1/secret/data/a/b", NULL, false, true, 204},
    {METHOD_POST, "/v1/secret/destroy/a/b", "{\"versions\":[2]}", false, true, 204},
    {METHOD_POST, "/v1/secret/metadata/a/b", "{\"max_versions\":5}", false, true, 204},
    {METHOD_PATCH, "/v1/secret/metadata/a/b", "{\"max_versions\":6}", false, true, 204},
    {METHOD_DELETE, "/v1/secret/metadata/a/b", NULL, false, true, 204},
};

/* Every door answers as it should; a list shows nothing to who may decrypt nothing. */
static void doors(bool read, bool write, bool encrypt, bool decrypt)
{
    for (size_t i = 0; i < sizeof(DOORS) / sizeof(DOORS[0]); i++) {
        const struct door *door = &DOORS[i];
        bool list = door->method == METHOD_LIST || strstr(door->target, "list=") != NULL;
        bool may = (!door->reads || (read && decrypt)) && (!door->writes || (write && encrypt));
        int status = may ? door->good : list && read ? 404 : 403;

        expect(&documents, METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":2}}", 200, NULL);
        expect(&documents, METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":2}}", 200, NULL);
        anna(door->method, door->target, door->body, status, NULL);
        expect(&documents, METHOD_DELETE, "/v1/secret/metadata/a/b", NULL, 204, NULL);
    }
}

Test(kv_access, every_door_for_every_right_and_grant)
{
    static const char *const rights[] = {
        "\"remove\":[\"read\",\"write\"]", "\"add\":[\"read\"],\"remove\":[\"write\"]",
        "\"add\":[\"write\"],\"remove\":[\"read\"]", "\"add\":[\"read\",\"write\"]"};
    static const char *const grants[] = {
        "\"remove\":[\"encrypt\",\"decrypt\"]", "\"add\":[\"encrypt\"],\"remove\":[\"decrypt\"]",
        "\"add\":[\"decrypt\"],\"remove\":[\"encrypt\"]", "\"add\":[\"encrypt\",\"decrypt\"]"};

    for (unsigned r = 0; r < 4; r++) {
        for (unsigned g = 0; g < 4; g++) {
            right(rights[r]);
            grant("default", grants[g]);
            doors((r & 1) != 0, (r & 2) != 0, (g & 1) != 0, (g & 2) != 0);
        }
    }
    anna(METHOD_POST, "/v1/secret/config", "{\"max_versions\":3}", 403, NULL);
    anna(METHOD_GET, "/v1/secret/config", NULL, 200, NULL);
}

Test(kv_access, who_only_writes_is_not_told_what_is_known)
{
    right("\"add\":[\"write\"]");
    grant("default", "\"add\":[\"encrypt\"]");
    anna(METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":2}}", 200,
         "\"custom_metadata\":null");
    right("\"add\":[\"read\"]");
    grant("default", "\"add\":[\"decrypt\"]");
    anna(METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":3}}", 200,
         "\"custom_metadata\":{\"owner\":\"x\"}");
}

/* Rights that another leader took away earlier in the log win over a write that was allowed when it
 * was evaluated. */
static void take_rights(struct documents *at)
{
    struct catalog_database next =
        *catalog_database_find(at->service.catalog, bytes_str(KV_DATABASE));
    struct buf value = BUF_INIT(64 * KIB);
    struct wire_command command;

    next.rights = (struct access_list){NULL, 0};
    cr_assert_eq(catalog_database_seal(&at->service, &next, next.record_version + 1, &value),
                 QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(next.key, CATALOG_KEY_BYTES), next.record_version + 1, 0,
                     buf_bytes(&value));
    documents_apply(at, &command);
    buf_fini(&value);
}

static void take_grants(struct documents *at)
{
    const struct catalog *catalog = at->service.catalog;
    struct catalog_grants next = {.list = {NULL, 0}};
    struct buf value = BUF_INIT(64 * KIB);
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command command;
    uint64_t seen;
    uint32_t version;

    cr_assert_eq(keyring_default(at->service.keyring, next.key_id, &version), QK_OK);
    cr_assert_eq(catalog_grants_key(&at->service, next.key_id, key), QK_OK);
    seen = catalog_grants_version(catalog, next.key_id);
    cr_assert_eq(catalog_grants_seal(&at->service, &next, seen + 1, &value), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(key, sizeof(key)), seen + 1, 0, buf_bytes(&value));
    documents_apply(at, &command);
    buf_fini(&value);
}

Test(kv_access, a_write_evaluated_before_and_applied_after_a_revocation_does_nothing)
{
    static void (*const takes[])(struct documents *) = {take_rights, take_grants};
    static const struct door doors[] = {
        {METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":9}}", false, true, 403},
        {METHOD_POST, "/v1/secret/data/new", "{\"data\":{\"v\":9}}", false, true, 403},
        {METHOD_POST, "/v1/secret/destroy/a/b", "{\"versions\":[1]}", false, true, 403},
        {METHOD_DELETE, "/v1/secret/metadata/a/b", NULL, false, true, 403},
    };

    for (size_t i = 0; i < 2; i++) {
        for (size_t d = 0; d < sizeof(doors) / sizeof(doors[0]); d++) {
            right("\"add\":[\"read\",\"write\"]");
            grant("default", "\"add\":[\"encrypt\",\"decrypt\"]");
            documents.interfere = takes[i];
            anna(doors[d].method, doors[d].target, doors[d].body, doors[d].good, NULL);
            cr_assert_null(documents.interfere);
        }
    }
    expect(&documents, METHOD_GET, "/v1/secret/data/new", NULL, 404, NULL);
    expect(&documents, METHOD_GET, "/v1/secret/data/a/b", NULL, 200, NULL);
}

Test(kv_access, the_mounts_key_counts_from_the_next_write_on_and_is_never_clear)
{
    struct call *made;

    documents_watch_keyring(&documents);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys", "{\"name\":\"vault\"}", 201, NULL);
    expect(&documents, METHOD_PUT, "/_quorumkeep/secrets/encryption", "{\"key_id\":\"vault\"}", 200,
           NULL);
    right("\"add\":[\"read\",\"write\"]");
    grant("vault", "\"add\":[\"encrypt\",\"decrypt\"]");
    anna(METHOD_GET, "/v1/secret/data/a/b", NULL, 403, NULL); /* under the key of before */
    expect(&documents, METHOD_POST, "/v1/secret/data/a/b", "{\"data\":{\"v\":2}}", 200, NULL);
    anna(METHOD_GET, "/v1/secret/data/a/b", NULL, 200, "\"v\":2");
    anna(METHOD_GET, "/v1/secret/data/a/b?version=1", NULL, 403, NULL);
    made = call(&documents, METHOD_PUT, "/_quorumkeep/secrets/encryption", "{\"clear\":true}");
    cr_assert_eq(made->status, 403, "%s", call_text(made));
    call_free(made);
}

/* Of a batch of several records none is sealed under a version that is full: the key is rotated
 * under the write, which goes on. */
Test(kv_access, a_key_that_gets_full_is_rotated_under_writes_of_several_records)
{
    char target[64];

    documents.term = 1;
    documents.service.consensus = (struct consensus *)(void *)&documents; /* never looked into */
    documents_watch_keyring(&documents);
    expect(&documents, METHOD_PUT, "/_quorumkeep/keys/default/limits", "{\"records\":1000}", 200,
           NULL);
    for (unsigned i = 0; i < 500; i++) {
        snprintf(target, sizeof(target), "/v1/secret/data/f%u/s", i);
        expect(&documents, METHOD_POST, target, "{\"data\":{\"v\":1}}", 200, NULL);
    }
    for (unsigned i = 0; i < 500; i += 50) {
        snprintf(target, sizeof(target), "/v1/secret/data/f%u/s", i);
        expect(&documents, METHOD_GET, target, NULL, 200, NULL);
    }
    {
        struct keyring_info info;
        uint8_t key_id[KEY_ID_BYTES];
        uint32_t version;

        cr_assert_eq(keyring_default(documents.service.keyring, key_id, &version), QK_OK);
        cr_assert_eq(keyring_info_of(documents.service.keyring, key_id, &info), QK_OK);
        cr_assert_eq(info.active, 2, "%u", info.active); /* three records each */
    }
}
