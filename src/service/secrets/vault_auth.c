/* Vault's way to log in: userpass, and what a token says and does of itself. Login tokens of a kind
 * of their own; an API token may be shown in X-Vault-Token as well. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "doc/json.h"
#include "service/authorize.h"
#include "service/clock.h"
#include "service/login.h"
#include "service/read.h"
#include "service/tokens.h"
#include "service/vault.h"

static uint64_t left_s(const struct service *service, const struct login_token *token)
{
    uint64_t now_s = service_time_s(service);

    return token->expires_s > now_s ? token->expires_s - now_s : 0;
}

/* Vault's "root" is our administrator. */
static json_t *policies_json(const struct user *user)
{
    json_t *policies = json_pack("[s]", "default");

    if (user != NULL && user->admin)
        (void)json_array_append_new(policies, json_string("root"));
    for (unsigned i = 0; user != NULL && i < user->roles.n; i++)
        (void)json_array_append_new(policies, json_string(user->roles.items[i].role));
    return policies;
}

static json_t *auth_json(const struct token_op *op)
{
    const struct login_token *token = &op->token;
    const struct user *user =
        op->service->catalog == NULL
            ? NULL
            : catalog_user_find(op->service->catalog, bytes_str(token->user_name));
    char id[2 * PRINCIPAL_TOKEN_BYTES + 1], entity[2 * USER_ID_BYTES + 1];

    hex_encode(token->id, sizeof(token->id), id);
    hex_encode(token->user_id, sizeof(token->user_id), entity);
    return json_pack(
        "{s:o, s:s, s:o, s:o, s:{s:s}, s:I, s:b, s:s, s:s, s:b, s:n, s:i}", "client_token",
        json_stringn(op->text.len == 0 ? "" : (const char *)op->text.data, op->text.len),
        "accessor", id, "policies", policies_json(user), "token_policies", policies_json(user),
        "metadata", "username", token->user_name, "lease_duration",
        (json_int_t)left_s(op->service, token), "renewable", token->kind == LOGIN_TOKEN_VAULT,
        "entity_id", entity, "token_type", "service", "orphan", 1, "mfa_requirement", "num_uses",
        0);
}

static void op_reply(struct token_op *op)
{
    exchange_field(op->exchange, "Cache-Control", "no-store");
    if (op->outcome == TOKEN_DONE)
        vault_reply(op->exchange, 200, NULL, auth_json(op), NULL);
    else if (op->outcome == TOKEN_TOO_MANY)
        vault_reply_error(op->exchange, 403, "there are %d login tokens: no more fit", TOKENS_MAX);
    else
        vault_reply_error(op->exchange, 403, "permission denied");
}

/* POST, PUT /v1/auth/userpass/login/{user}: name and password were checked by http. */
void handle_vault_login(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    struct token_op *op;

    if (who->kind != PRINCIPAL_USER) {
        vault_reply_error(exchange, 403, "permission denied");
        return;
    }
    op = token_op_new(service, exchange, TOKEN_CREATE, op_reply);
    if (op == NULL)
        return;
    op->token.kind = LOGIN_TOKEN_VAULT;
    memcpy(op->token.user_name, who->name, sizeof(op->token.user_name));
    op->ttl_s = TOKEN_VAULT_S;
    op->limit_s = TOKEN_VAULT_LIMIT_S;
    op->event = "token_create";
    token_op_start(op);
}

/* The token that was shown, or NULL after a refusal. */
static const struct login_token *own_token(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    const struct login_token *token = NULL;

    if (principal_has_token(who) && service->catalog != NULL && login_user(service, who) != NULL)
        token = catalog_token_find(service->catalog, who->token_id);
    if (token == NULL)
        vault_reply_error(exchange, 403,
                          "permission denied: this is about the token in "
                          "X-Vault-Token, and there is none");
    return token;
}

/* --- lookup-self --- */

static void rfc3339(uint64_t time_s, char ret_text[static 32])
{
    time_t time = (time_t)time_s;
    struct tm utc;

    ret_text[0] = '\0';
    if (gmtime_r(&time, &utc) != NULL)
        (void)strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

static json_t *lookup_json(const struct service *service, const struct login_token *token)
{
    const struct user *user = catalog_user_find(service->catalog, bytes_str(token->user_name));
    char id[2 * PRINCIPAL_TOKEN_BYTES + 1], entity[2 * USER_ID_BYTES + 1];
    char issued[32], expires[32], display[USER_NAME_BYTES_MAX + 16];

    hex_encode(token->id, sizeof(token->id), id);
    hex_encode(token->user_id, sizeof(token->user_id), entity);
    rfc3339(token->created_s, issued);
    rfc3339(token->expires_s, expires);
    (void)snprintf(display, sizeof(display), "userpass-%s", token->user_name);
    /* `id` is Vault's own name for the token's text, which is kept nowhere: the accessor. */
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:s, s:I, s:{s:s}, s:i, s:b, s:s, s:o, "
                     "s:b, s:I, s:s}",
                     "id", id, "accessor", id, "creation_time", (json_int_t)token->created_s,
                     "creation_ttl", (json_int_t)(token->expires_s - token->created_s),
                     "display_name", display, "entity_id", entity, "expire_time", expires,
                     "issue_time", issued, "explicit_max_ttl", (json_int_t)0, "meta", "username",
                     token->user_name, "num_uses", 0, "orphan", 1, "path", "auth/userpass/login/",
                     "policies", policies_json(user), "renewable", token->kind == LOGIN_TOKEN_VAULT,
                     "ttl", (json_int_t)left_s(service, token), "type", "service");
}

static void lookup_ready(struct service *service, struct exchange *exchange)
{
    const struct login_token *token = own_token(service, exchange);

    if (token != NULL)
        vault_reply(exchange, 200, lookup_json(service, token), NULL, NULL);
}

void handle_vault_lookup_self(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, lookup_ready);
}

/* --- renew-self, revoke-self --- */

/* {"increment"?}: seconds, as a number or as a text like "3600s" or "1h". */
static uint64_t wanted_s(const struct request *request)
{
    struct doc_problem problem;
    unsigned long long number = TOKEN_VAULT_S;
    json_t *json = NULL, *value;
    char unit = 's';

    if (request->body.len == 0 || json_parse(request->body, 2, &problem, &json) != QK_OK)
        return TOKEN_VAULT_S;
    value = json_object_get(json, "increment");
    if (json_is_integer(value) && json_integer_value(value) > 0)
        number = (unsigned long long)json_integer_value(value);
    else if (json_is_string(value) &&
             sscanf(json_string_value(value), "%9llu%c", &number, &unit) < 1)
        number = TOKEN_VAULT_S;
    json_decref(json);
    if (number > TOKEN_VAULT_LIMIT_S)
        number = TOKEN_VAULT_LIMIT_S;
    number *= unit == 'h' ? 3600 : unit == 'm' ? 60 : 1;
    return number == 0                    ? TOKEN_VAULT_S
           : number > TOKEN_VAULT_LIMIT_S ? TOKEN_VAULT_LIMIT_S
                                          : (uint64_t)number;
}

void handle_vault_renew_self(struct service *service, struct exchange *exchange)
{
    const struct login_token *token = own_token(service, exchange);
    struct token_op *op;

    if (token == NULL)
        return;
    if (token->kind != LOGIN_TOKEN_VAULT) {
        vault_reply_error(exchange, 400, "this token is not renewable");
        return;
    }
    op = token_op_new(service, exchange, TOKEN_RENEW, op_reply);
    if (op == NULL)
        return;
    memcpy(op->token.id, exchange->request.who.token_id, sizeof(op->token.id));
    op->ttl_s = wanted_s(&exchange->request);
    token_op_start(op);
}

static void revoke_reply(struct token_op *op)
{
    vault_reply_done(op->exchange);
}

void handle_vault_revoke_self(struct service *service, struct exchange *exchange)
{
    struct token_op *op;

    if (own_token(service, exchange) == NULL)
        return;
    op = token_op_new(service, exchange, TOKEN_REMOVE, revoke_reply);
    if (op == NULL)
        return;
    memcpy(op->token.id, exchange->request.who.token_id, sizeof(op->token.id));
    op->event = "token_revoke";
    token_op_start(op);
}
