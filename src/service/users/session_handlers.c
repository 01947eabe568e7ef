/* Cookie sessions as CouchDB's clients know them. A session is a login token of its own kind; the
 * cookie is its text. POST's name and password were checked by http (ROUTE_LOGIN). */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "service/authorize.h"
#include "service/catalog_table.h"
#include "service/login.h"
#include "service/read.h"
#include "service/tokens.h"

#define COOKIE "AuthSession"

json_t *token_roles_json(const struct user *user)
{
    json_t *roles = json_array();

    if (user->admin)
        (void)json_array_append_new(roles, json_string("_admin"));
    for (unsigned i = 0; i < user->roles.n; i++)
        (void)json_array_append_new(roles, json_string(user->roles.items[i].role));
    return roles;
}

/* SameSite=Strict: no other site's page can make a browser use it. Both kinds of an end are named,
 * as CouchDB does: clients that are no browsers (nano) know Expires alone. */
static void set_cookie(struct exchange *exchange, struct bytes text, unsigned max_age_s)
{
    time_t end = max_age_s == 0 ? 0 : time(NULL) + (time_t)max_age_s;
    char expires[64] = "";
    struct tm utc;

    if (gmtime_r(&end, &utc) != NULL)
        (void)strftime(expires, sizeof expires, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    exchange_field(exchange, "Cache-Control", "no-store");
    exchange_field(exchange, "Set-Cookie",
                   COOKIE "=%.*s; Version=1; Expires=%s; Path=/; HttpOnly; SameSite=Strict; "
                          "Max-Age=%u%s",
                   (int)text.len, (const char *)text.data, expires, max_age_s,
                   exchange->request.tls ? "; Secure" : "");
}

static void reply_refused(struct token_op *op)
{
    if (op->outcome == TOKEN_TOO_MANY)
        exchange_reply_error(op->exchange, 403, "forbidden",
                             "there are %d login tokens: no more fit", TOKENS_MAX);
    else
        exchange_reply_err(op->exchange, QK_ERR_UNAUTHENTICATED);
}

static void post_reply(struct token_op *op)
{
    const struct user *user =
        op->service->catalog == NULL
            ? NULL
            : catalog_user_find(op->service->catalog, bytes_str(op->token.user_name));

    if (op->outcome != TOKEN_DONE || user == NULL) {
        reply_refused(op);
        return;
    }
    set_cookie(op->exchange, buf_bytes(&op->text), TOKEN_SESSION_S);
    exchange_reply_json(
        op->exchange, 200,
        json_pack("{s:b, s:s, s:o}", "ok", 1, "name", user->name, "roles", token_roles_json(user)));
}

void handle_session_post(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    struct token_op *op;

    if (who->kind != PRINCIPAL_USER) { /* http lets none in without a login */
        exchange_reply_err(exchange, QK_ERR_UNAUTHENTICATED);
        return;
    }
    op = token_op_new(service, exchange, TOKEN_CREATE, post_reply);
    if (op == NULL)
        return;
    op->token.kind = LOGIN_TOKEN_SESSION;
    memcpy(op->token.user_name, who->name, sizeof(op->token.user_name));
    op->ttl_s = TOKEN_SESSION_S;
    op->event = "token_create";
    token_op_start(op);
}

/* --- GET --- */

static const char *handler_of(const struct service *service, const struct principal *who)
{
    const struct login_token *token;

    if (who->kind == PRINCIPAL_CONTROL)
        return "control";
    if (!principal_has_token(who))
        return "default";
    token = catalog_token_find(service->catalog, who->token_id);
    return token != NULL && token->kind == LOGIN_TOKEN_SESSION ? "cookie" : "token";
}

static void get_ready(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    const struct user *user = login_user(service, who);
    json_t *info =
        json_pack("{s:[s,s,s]}", "authentication_handlers", "cookie", "token", "default");
    json_t *roles = user != NULL                     ? token_roles_json(user)
                    : who->kind == PRINCIPAL_CONTROL ? json_pack("[s]", "_admin")
                                                     : json_array();

    if (user != NULL || who->kind == PRINCIPAL_CONTROL)
        (void)json_object_set_new(info, "authenticated", json_string(handler_of(service, who)));
    exchange_reply_json(exchange, 200,
                        json_pack("{s:b, s:{s:s?, s:o}, s:o}", "ok", 1, "userCtx", "name",
                                  user == NULL ? NULL : user->name, "roles", roles, "info", info));
}

/* After a read point: who has logged out elsewhere is told so. */
void handle_session_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, get_ready);
}

/* --- DELETE --- */

static void reply_logged_out(struct exchange *exchange)
{
    set_cookie(exchange, bytes_str(""), 0);
    exchange_reply_json(exchange, 200, json_pack("{s:b}", "ok", 1));
}

/* TOKEN_MISSING: ended already, which is what was asked for. */
static void delete_reply(struct token_op *op)
{
    reply_logged_out(op->exchange);
}

void handle_session_delete(struct service *service, struct exchange *exchange)
{
    const struct principal *who = &exchange->request.who;
    const struct login_token *token = NULL;
    struct token_op *op;

    if (principal_has_token(who) && service->catalog != NULL)
        token = catalog_token_find(service->catalog, who->token_id);
    if (token == NULL || token->kind != LOGIN_TOKEN_SESSION) {
        reply_logged_out(exchange);
        return;
    }
    op = token_op_new(service, exchange, TOKEN_REMOVE, delete_reply);
    if (op == NULL)
        return;
    memcpy(op->token.id, who->token_id, sizeof(op->token.id));
    op->event = "token_revoke";
    token_op_start(op);
}
