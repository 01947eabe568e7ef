#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/catalog_table.h"
#include "service/login.h"
#include "service/timer_uv.h"
#include "service/tokens.h"

static struct documents documents;
static char audit_path[320];

#define NOW_S 1800000000u

/* Cluster time, which stands still but for what a test adds. */
static void set_time(uint64_t now_s)
{
    documents.service.clock.version = 1;
    documents.service.clock.base_s = now_s;
    documents.service.clock.base_ms = timer_now_ms(&documents.loop);
}

static void setup(void)
{
    documents_init(&documents);
    (void)snprintf(audit_path, sizeof(audit_path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(audit_path, &documents.service.audit), QK_OK);
    set_time(NOW_S);
}

static void teardown(void)
{
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(tokens, .init = setup, .fini = teardown, .timeout = 120);

static void put_user(const char *name, bool admin, uint64_t version)
{
    struct user user = {.credential_version = version, .admin = admin};
    struct buf value = BUF_INIT(64 * KIB);
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command command;

    (void)snprintf(user.name, sizeof(user.name), "%s", name);
    memset(user.id, name[0], sizeof(user.id));
    cr_assert_eq(catalog_user_key(&documents.service, bytes_str(name), key), QK_OK);
    cr_assert_eq(catalog_user_seal(&documents.service, &user, version, &value), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(key, sizeof(key)), version, 0, buf_bytes(&value));
    documents_apply(&documents, &command);
    buf_fini(&value);
}

static struct principal password_login(const char *name)
{
    const struct user *user = catalog_user_find(documents.service.catalog, bytes_str(name));

    cr_assert_not_null(user);
    return user_principal(user);
}

static struct principal token_login(struct bytes text)
{
    struct principal who;

    cr_assert_eq(login_by_token(&documents.service, text, &who), QK_OK);
    return who;
}

static struct call *ask(service_handler handler, const struct principal *who, const char *target,
                        const char *body)
{
    struct call *made =
        call_begin(&documents, METHOD_POST, target, body == NULL ? BYTES_NONE : bytes_str(body));

    made->exchange.request.who = *who;
    handler(&documents.service, &made->exchange);
    call_run(made);
    return made;
}

static int status_of(service_handler handler, const struct principal *who, const char *target,
                     const char *body)
{
    struct call *made = ask(handler, who, target, body);
    int status = made->status;

    call_free(made);
    return status;
}

/* An API token of that user; its text is in the static buffer. */
static struct bytes make_token(const struct principal *who, const char *body)
{
    static char text[LOGIN_TOKEN_TEXT_BYTES + 1];
    struct call *made = ask(handle_token_create, who, "/_quorumkeep/tokens", body);
    json_t *json;

    cr_assert_eq(made->status, 201, "%s", call_text(made));
    json = call_json(made);
    (void)snprintf(text, sizeof(text), "%s", json_string_value(json_object_get(json, "token")));
    json_decref(json);
    call_free(made);
    return bytes_str(text);
}

static const char *cookie_of(const struct call *made, char *ret_text)
{
    const char *field = call_field(made, "Set-Cookie");

    cr_assert_not_null(field);
    cr_assert(strstr(field, "; HttpOnly; SameSite=Strict; Max-Age=") != NULL);
    cr_assert(strstr(field, "; Version=1; Expires=") != NULL);
    cr_assert(strstr(field, " GMT; Path=/") != NULL);
    cr_assert_eq(sscanf(field, "AuthSession=%87[^;]", ret_text), 1);
    return ret_text;
}

Test(tokens, a_session_is_good_until_it_is_ended)
{
    char text[LOGIN_TOKEN_TEXT_BYTES + 1];
    struct principal who = password_login(ADMIN_NAME), session;
    struct call *made = ask(handle_session_post, &who, "/_session", NULL);

    cr_assert_eq(made->status, 200);
    cr_assert(strstr(call_field(made, "Set-Cookie"), "; Secure") == NULL);
    session = token_login(bytes_str(cookie_of(made, text)));
    cr_assert_str_eq(call_text(made), "{\"ok\":true,\"name\":\"admin\",\"roles\":[\"_admin\"]}\n");
    call_free(made);
    cr_assert(principal_has_token(&session));
    cr_assert(login_is_current(&documents.service, &session));
    made = ask(handle_session_get, &session, "/_session", NULL);
    cr_assert(strstr(call_text(made), "\"authenticated\":\"cookie\"") != NULL);
    call_free(made);
    made = ask(handle_session_delete, &session, "/_session", NULL);
    cr_assert_eq(made->status, 200);
    cr_assert(strstr(call_field(made, "Set-Cookie"), "AuthSession=; ") != NULL);
    call_free(made);
    cr_assert_not(login_is_current(&documents.service, &session));
    cr_assert_eq(login_by_token(&documents.service, bytes_str(text), &session), QK_ERR_NOT_FOUND);
    cr_assert_eq(status_of(handle_session_delete, &session, "/_session", NULL), 200, "twice");
}

Test(tokens, nobody_gets_a_session_and_tls_makes_the_cookie_secure)
{
    struct principal who = {.kind = PRINCIPAL_NONE};
    struct call *made;

    cr_assert_eq(status_of(handle_session_post, &who, "/_session", NULL), 401);
    who = password_login(ADMIN_NAME);
    made = call_begin(&documents, METHOD_POST, "/_session", BYTES_NONE);
    made->exchange.request.who = who;
    made->exchange.request.tls = true;
    handle_session_post(&documents.service, &made->exchange);
    call_run(made);
    cr_assert(strstr(call_field(made, "Set-Cookie"), "; Secure") != NULL);
    call_free(made);
    who = (struct principal){.kind = PRINCIPAL_NONE};
    made = ask(handle_session_get, &who, "/_session", NULL);
    cr_assert(strstr(call_text(made), "\"userCtx\":{\"name\":null,\"roles\":[]}") != NULL);
    call_free(made);
}

Test(tokens, a_token_ends_with_its_time_its_users_password_and_its_user)
{
    struct principal admin = password_login(ADMIN_NAME), who;
    char text[LOGIN_TOKEN_TEXT_BYTES + 1];

    put_user("ada", false, 1);
    (void)snprintf(text, sizeof(text), "%.*s", LOGIN_TOKEN_TEXT_BYTES,
                   (const char *)make_token(&admin, "{\"user\":\"ada\",\"ttl_s\":60}").data);
    who = token_login(bytes_str(text));
    cr_assert_str_eq(who.name, "ada");
    set_time(NOW_S + 59);
    cr_assert(login_is_current(&documents.service, &who));
    set_time(NOW_S + 60);
    cr_assert_not(login_is_current(&documents.service, &who));
    cr_assert_eq(login_by_token(&documents.service, bytes_str(text), &who), QK_ERR_NOT_FOUND);
    set_time(NOW_S);
    cr_assert(login_is_current(&documents.service, &who));
    put_user("ada", false, 2);
    cr_assert_not(login_is_current(&documents.service, &who));
    cr_assert_eq(login_by_token(&documents.service, bytes_str(text), &who), QK_ERR_NOT_FOUND);
}

Test(tokens, survive_a_restart_of_the_node)
{
    struct principal admin = password_login(ADMIN_NAME), who;
    struct bytes text = make_token(&admin, NULL);

    documents_restart(&documents);
    who = token_login(text);
    cr_assert_str_eq(who.name, ADMIN_NAME);
}

Test(tokens, one_with_another_secret_is_refused)
{
    struct principal admin = password_login(ADMIN_NAME), who;
    struct bytes text = make_token(&admin, NULL);
    struct buf raw = BUF_SECRET_INIT(64), forged = BUF_SECRET_INIT(128);

    cr_assert_eq(bech32m_decode("qkt", text, &raw), QK_OK);
    raw.data[raw.len - 1] ^= 1;
    cr_assert_eq(bech32m_encode("qkt", buf_bytes(&raw), &forged), QK_OK);
    cr_assert_eq(login_by_token(&documents.service, buf_bytes(&forged), &who),
                 QK_ERR_UNAUTHENTICATED);
    cr_assert_eq(login_by_token(&documents.service, bytes_str("qkt1"), &who),
                 QK_ERR_UNAUTHENTICATED);
    buf_fini(&raw);
    buf_fini(&forged);
}

Test(tokens, who_may_make_and_see_and_end_which)
{
    struct principal admin = password_login(ADMIN_NAME), control = principal_control();
    struct principal ada, bert, by_token;
    char target[128], id[2 * PRINCIPAL_TOKEN_BYTES + 1];
    struct call *made;

    put_user("ada", false, 1);
    put_user("bert", false, 1);
    ada = password_login("ada");
    bert = password_login("bert");
    cr_assert_eq(status_of(handle_token_create, &control, "/_quorumkeep/tokens", NULL), 400);
    cr_assert_eq(
        status_of(handle_token_create, &control, "/_quorumkeep/tokens", "{\"user\":\"nobody\"}"),
        404);
    cr_assert_eq(status_of(handle_token_create, &ada, "/_quorumkeep/tokens", "{\"user\":\"bert\"}"),
                 403);
    cr_assert_eq(
        status_of(handle_token_create, &ada, "/_quorumkeep/tokens", "{\"user\":\"nobody\"}"), 403,
        "which names there are is not told");
    by_token = token_login(make_token(&ada, "{\"label\":\"x\"}"));
    cr_assert_eq(status_of(handle_token_create, &by_token, "/_quorumkeep/tokens", NULL), 403);
    hex_encode(by_token.token_id, sizeof(by_token.token_id), id);
    (void)snprintf(target, sizeof(target), "/_quorumkeep/tokens/%s", id);

    made = ask(handle_token_list, &bert, "/_quorumkeep/tokens", NULL);
    cr_assert_str_eq(call_text(made), "{\"tokens\":[],\"more\":false}\n");
    call_free(made);
    made = ask(handle_token_list, &admin, "/_quorumkeep/tokens?user=ada", NULL);
    cr_assert(strstr(call_text(made), id) != NULL);
    call_free(made);
    cr_assert_eq(status_of(handle_token_revoke, &bert, target, NULL), 404, "not even that it is");
    cr_assert(login_is_current(&documents.service, &by_token));
    cr_assert_eq(status_of(handle_token_revoke, &by_token, target, NULL), 200, "its own end");
    cr_assert_not(login_is_current(&documents.service, &by_token));
    cr_assert_eq(status_of(handle_token_revoke, &admin, target, NULL), 404);
    cr_assert_eq(status_of(handle_token_revoke, &admin, "/_quorumkeep/tokens/qkt1x", NULL), 400);
}

Test(tokens, wishes_that_make_no_sense_are_refused)
{
    static const char *const BAD[] = {
        "[]",
        "{",
        "{\"ttl_s\":0}",
        "{\"ttl_s\":-1}",
        "{\"ttl_s\":1e3}",
        "{\"ttl_s\":315360001}",
        "{\"ttl_s\":\"60\"}",
        "{\"label\":1}",
        "{\"label\":\"a\\nb\"}",
        "{\"user\":\"a:b\"}",
        "{\"user\":\"\"}",
        "{\"kind\":\"session\"}",
        "{\"label\":\"1234567890123456789012345678901234567890123456789012345678901234x\"}"};
    struct principal admin = password_login(ADMIN_NAME);

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++)
        cr_assert_eq(status_of(handle_token_create, &admin, "/_quorumkeep/tokens", BAD[i]), 400,
                     "%s", BAD[i]);
    cr_assert_eq(catalog_table_of(documents.service.catalog, CATALOG_TOKEN)->n, 0);
}

Test(tokens, an_api_token_too_many_is_refused_a_session_too_many_ends_the_first_and_old_ones_go)
{
    const struct catalog_table *table = catalog_table_of(documents.service.catalog, CATALOG_TOKEN);
    struct principal admin = password_login(ADMIN_NAME), first, second;
    char text[LOGIN_TOKEN_TEXT_BYTES + 1];
    struct call *made;

    for (unsigned i = 0; i < TOKENS_USER_MAX; i++)
        (void)make_token(&admin, "{\"ttl_s\":1000000}");
    cr_assert_eq(status_of(handle_token_create, &admin, "/_quorumkeep/tokens", NULL), 409);
    for (unsigned i = 0; i < TOKENS_USER_MAX; i++) {
        set_time(NOW_S + i);
        made = ask(handle_session_post, &admin, "/_session", NULL);
        cr_assert_eq(made->status, 200);
        if (i < 2)
            *(i == 0 ? &first : &second) = token_login(bytes_str(cookie_of(made, text)));
        call_free(made);
    }
    cr_assert(login_is_current(&documents.service, &first));
    cr_assert_eq(status_of(handle_session_post, &admin, "/_session", NULL), 200);
    cr_assert_not(login_is_current(&documents.service, &first));
    cr_assert(login_is_current(&documents.service, &second));
    cr_assert_eq(table->n, 2 * TOKENS_USER_MAX);
    set_time(NOW_S + 500000); /* all sessions are over */
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(status_of(handle_session_post, &admin, "/_session", NULL), 200);
    cr_assert_eq(table->n, TOKENS_USER_MAX + 2, "records of the past are removed");
}

static void end_user(struct documents *d)
{
    (void)d;
    put_user("ada", false, 2);
}

Test(tokens, a_password_changed_meanwhile_leaves_no_session_behind)
{
    struct principal who;

    put_user("ada", false, 1);
    who = password_login("ada");
    documents.interfere = end_user;
    cr_assert_eq(status_of(handle_session_post, &who, "/_session", NULL), 401);
    cr_assert_eq(catalog_table_of(documents.service.catalog, CATALOG_TOKEN)->n, 0);
}

static struct principal vault_login(const struct principal *who, json_t **ret_auth)
{
    struct call *made = ask(handle_vault_login, who, "/v1/auth/userpass/login/admin", NULL);
    struct principal session;
    json_t *json;

    cr_assert_eq(made->status, 200);
    json = call_json(made);
    *ret_auth = json_incref(json_object_get(json, "auth"));
    session = token_login(bytes_str(json_string_value(json_object_get(*ret_auth, "client_token"))));
    json_decref(json);
    call_free(made);
    return session;
}

static json_int_t ttl_of(const struct principal *who)
{
    struct call *made = ask(handle_vault_lookup_self, who, "/v1/auth/token/lookup-self", NULL);
    json_t *json;
    json_int_t ttl;

    cr_assert_eq(made->status, 200, "%s", call_text(made));
    json = call_json(made);
    ttl = json_integer_value(json_object_get(json_object_get(json, "data"), "ttl"));
    json_decref(json);
    call_free(made);
    return ttl;
}

#define RENEW "/v1/auth/token/renew-self"

Test(tokens, vaults_are_renewed_up_to_their_limit_and_revoke_themselves)
{
    struct principal admin = password_login(ADMIN_NAME), who;
    json_t *auth = NULL;

    who = vault_login(&admin, &auth);
    cr_assert_eq(json_integer_value(json_object_get(auth, "lease_duration")), TOKEN_VAULT_S);
    cr_assert(json_is_true(json_object_get(auth, "renewable")));
    json_decref(auth);
    cr_assert_eq(ttl_of(&who), TOKEN_VAULT_S);
    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, "{\"increment\":7200}"), 200);
    cr_assert_eq(ttl_of(&who), 7200);
    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, "{\"increment\":\"3h\"}"), 200);
    cr_assert_eq(ttl_of(&who), 3 * 3600);
    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, "{\"increment\":\"junk\"}"), 200);
    cr_assert_eq(ttl_of(&who), TOKEN_VAULT_S);
    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, "{\"increment\":99999999999999}"),
                 200);
    cr_assert_eq(ttl_of(&who), TOKEN_VAULT_LIMIT_S);
    set_time(NOW_S + TOKEN_VAULT_LIMIT_S - 10);
    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, NULL), 200);
    cr_assert_eq(ttl_of(&who), 10, "no renewal goes past the limit");
    cr_assert_eq(status_of(handle_vault_revoke_self, &who, "/v1/auth/token/revoke-self", NULL),
                 204);
    cr_assert_not(login_is_current(&documents.service, &who));
    cr_assert_eq(status_of(handle_vault_lookup_self, &who,
                           "/v1/auth/token/lookup-self?consistency=local", NULL),
                 403);
    cr_assert_eq(status_of(handle_vault_lookup_self, &admin, "/v1/auth/token/lookup-self", NULL),
                 403);
}

Test(tokens, an_api_token_is_not_renewed)
{
    struct principal admin = password_login(ADMIN_NAME);
    struct principal who = token_login(make_token(&admin, NULL));

    cr_assert_eq(status_of(handle_vault_renew_self, &who, RENEW, NULL), 400);
}

/* A write in a token's name has the token's record as a condition. */
Test(tokens, a_write_decided_before_the_revocation_and_applied_after_it_does_nothing)
{
    struct principal admin = password_login(ADMIN_NAME);
    struct principal who = token_login(make_token(&admin, NULL));
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command write, revoke;
    struct record record;
    struct record_key document = record_document((const uint8_t[16]){1}, bytes_str("d"));

    wire_command_begin(&write, WIRE_WRITE);
    wire_command_batch(&write);
    authorize_conditions(&documents.service, &who, NULL, &write);
    wire_command_put(&write, record_key_bytes(&document), 1, 0, bytes_str("x"));
    cr_assert_eq(catalog_token_key(&documents.service, who.token_id, key), QK_OK);
    wire_command_begin(&revoke, WIRE_WRITE);
    wire_command_batch(&revoke);
    wire_command_delete(&revoke, bytes_of(key, sizeof(key)));
    documents_apply(&documents, &revoke);
    documents_apply(&documents, &write);
    cr_assert_eq(store_get(documents.service.store, record_key_bytes(&document), &record),
                 QK_ERR_NOT_FOUND);
}

Test(tokens, the_audit_log_has_ids_and_no_token)
{
    struct principal admin = password_login(ADMIN_NAME), who;
    struct bytes text = make_token(&admin, NULL);
    char id[2 * PRINCIPAL_TOKEN_BYTES + 1], lines[16 * 1024];
    FILE *file = fopen(audit_path, "re");

    who = token_login(text);
    hex_encode(who.token_id, sizeof(who.token_id), id);
    cr_assert_not_null(file);
    lines[fread(lines, 1, sizeof(lines) - 1, file)] = '\0';
    (void)fclose(file);
    cr_assert(strstr(lines, "token_create") != NULL);
    cr_assert(strstr(lines, id) != NULL);
    cr_assert(strstr(lines, "qkt1") == NULL);
}
