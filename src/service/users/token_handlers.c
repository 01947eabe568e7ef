/* API tokens over HTTP: made by whoever logs in with a password, and shown once. */
#include <inttypes.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "service/authorize.h"
#include "service/catalog_table.h"
#include "service/read.h"
#include "service/tokens.h"

#define TOKENS_LIST_MAX 10000
#define WISH_JSON_DEPTH 2

static json_t *token_json(const struct login_token *token)
{
    char id[2 * PRINCIPAL_TOKEN_BYTES + 1];

    hex_encode(token->id, sizeof(token->id), id);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I}", "token_id", id, "user", token->user_name,
                     "kind", login_token_kind_text(token->kind), "label", token->label, "created",
                     (json_int_t)token->created_s, "expires", (json_int_t)token->expires_s);
}

/* --- POST --- */

static void create_reply(struct token_op *op)
{
    json_t *json;

    if (op->outcome == TOKEN_NO_USER) {
        exchange_reply_error(op->exchange, 404, "not_found", "there is no user '%s'",
                             op->token.user_name);
    } else if (op->outcome == TOKEN_TOO_MANY) {
        exchange_reply_error(op->exchange, 409, "conflict",
                             "user '%s' has %d API tokens, or the cluster %d login tokens: revoke "
                             "some ('quorumkeep token list' shows them)",
                             op->token.user_name, TOKENS_USER_MAX, TOKENS_MAX);
    } else {
        json = token_json(&op->token);
        (void)json_object_set_new(json, "token",
                                  json_stringn((const char *)op->text.data, op->text.len));
        exchange_field(op->exchange, "Cache-Control", "no-store");
        exchange_reply_json(op->exchange, 201, json);
    }
}

static bool wish_bad(struct exchange *exchange)
{
    exchange_reply_error(exchange, 400, "bad_request",
                         "\"user\" is a name, \"label\" a text of up to %d bytes, \"ttl_s\" a "
                         "number of seconds from 1 to %u; there is nothing else",
                         LOGIN_TOKEN_LABEL_BYTES_MAX, TOKEN_API_S_MAX);
    return false;
}

static bool take_text(const json_t *value, char *ret_text, size_t size)
{
    struct bytes text = json_bytes(value);

    if (!json_is_string(value) || text.len >= size || strlen(json_string_value(value)) != text.len)
        return false;
    memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
    return true;
}

static bool wish_member(const char *key, const json_t *value, struct token_op *op)
{
    struct login_token *token = &op->token;

    if (strcmp(key, "user") == 0)
        return take_text(value, token->user_name, sizeof(token->user_name)) &&
               user_name_check(bytes_str(token->user_name)) == QK_OK;
    if (strcmp(key, "label") == 0)
        return take_text(value, token->label, sizeof(token->label)) &&
               login_token_label_check(bytes_str(token->label)) == QK_OK;
    if (strcmp(key, "ttl_s") == 0) {
        op->ttl_s = json_is_integer(value) ? (uint64_t)json_integer_value(value) : 0;
        return op->ttl_s >= 1 && op->ttl_s <= TOKEN_API_S_MAX;
    }
    return false;
}

/* False: it was answered. */
static bool wish_read(struct exchange *exchange, struct token_op *op)
{
    struct doc_problem problem;
    const char *key;
    json_t *json = NULL, *value;
    bool good = true;

    if (exchange->request.body.len > 0 &&
        json_parse(exchange->request.body, WISH_JSON_DEPTH, &problem, &json) != QK_OK)
        return wish_bad(exchange);
    good = json == NULL || json_is_object(json);
    json_object_foreach(json, key, value)
    {
        good = good && wish_member(key, value, op);
    }
    json_decref(json);
    if (!good)
        return wish_bad(exchange);
    if (op->token.user_name[0] == '\0' && exchange->request.who.kind != PRINCIPAL_USER) {
        exchange_reply_error(
            exchange, 400, "bad_request",
            "nobody is logged in on the control socket: whose token? Say \"user\"");
        return false;
    }
    if (op->token.user_name[0] == '\0')
        memcpy(op->token.user_name, exchange->request.who.name, sizeof(op->token.user_name));
    return true;
}

/* A token makes no tokens: one that leaked could outlive its end that way. */
static bool may_make(struct exchange *exchange)
{
    if (!principal_has_token(&exchange->request.who))
        return true;
    exchange_reply_error(exchange, 403, "forbidden",
                         "a token makes no tokens: log in with name and password");
    return false;
}

void handle_token_create(struct service *service, struct exchange *exchange)
{
    struct token_op *op;

    if (!may_make(exchange))
        return;
    op = token_op_new(service, exchange, TOKEN_CREATE, create_reply);
    if (op == NULL)
        return;
    op->token.kind = LOGIN_TOKEN_API;
    op->ttl_s = TOKEN_API_S_DEFAULT;
    op->event = "token_create";
    if (wish_read(exchange, op))
        token_op_start(op);
    else
        token_op_free(op);
}

/* --- GET --- */

static bool list_shows(struct service *service, const struct principal *who, bool all,
                       struct bytes user, const struct login_token *token)
{
    (void)service;
    if (!all && memcmp(token->user_id, who->user_id, USER_ID_BYTES) != 0)
        return false;
    return user.len == 0 || bytes_equal(bytes_str(token->user_name), user);
}

static void list_ready(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    const struct catalog_table *table = catalog_table_of(service->catalog, CATALOG_TOKEN);
    bool all = authorize_user(service, who, ACCESS_CLUSTER) == QK_OK, cut = false;
    struct bytes user = BYTES_NONE;
    json_t *list = json_array();

    (void)request_param(&exchange->request, "user", &user);
    for (size_t i = 0; i < table->n && !cut; i++) {
        const struct login_token *token = &table->items[i]->token;

        if (!list_shows(service, who, all, user, token))
            continue;
        cut = json_array_size(list) >= TOKENS_LIST_MAX;
        if (!cut)
            (void)json_array_append_new(list, token_json(token));
    }
    exchange_reply_json(exchange, 200, json_pack("{s:o, s:b}", "tokens", list, "more", cut));
}

void handle_token_list(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, list_ready);
}

/* --- DELETE --- */

static void revoke_reply(struct token_op *op)
{
    if (op->outcome == TOKEN_DONE)
        exchange_reply_json(op->exchange, 200, json_pack("{s:b}", "ok", 1));
    else
        exchange_reply_error(op->exchange, 404, "not_found", "there is no such token");
}

void handle_token_revoke(struct service *service, struct exchange *exchange)
{
    struct token_op *op = token_op_new(service, exchange, TOKEN_REMOVE, revoke_reply);

    if (op == NULL)
        return;
    op->event = "token_revoke";
    if (hex_decode(exchange->request.segments[2], op->token.id, sizeof(op->token.id)) == QK_OK) {
        token_op_start(op);
    } else {
        exchange_reply_error(exchange, 400, "bad_request",
                             "a token's id is %d hex digits, as 'quorumkeep token list' shows it; "
                             "not the token itself",
                             2 * PRINCIPAL_TOKEN_BYTES);
        token_op_free(op);
    }
}
