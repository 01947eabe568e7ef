/* Making, renewing and ending login tokens (access/login_token.h), for whatever door asks: API
 * tokens, cookie sessions, Vault's. On the leader. */
#ifndef SERVICE_TOKENS_H
#define SERVICE_TOKENS_H

#include "access/login_token.h"
#include "service/exchange.h"
#include "service/service.h"

/* Each node holds all of them in memory and looks at all for each new one. */
#define TOKENS_MAX 20000
/* Of one user: API tokens past it are refused, of sessions and Vault's the one that ends first
 * goes.
 */
#define TOKENS_USER_MAX 100
/* Whose time is over, removed by each new one. */
#define TOKENS_EXPIRED_MAX 64

#define TOKEN_SESSION_S (8u * 3600)
#define TOKEN_VAULT_S 3600u
#define TOKEN_VAULT_LIMIT_S (32u * 24 * 3600)
#define TOKEN_API_S_DEFAULT (90u * 24 * 3600)
#define TOKEN_API_S_MAX (3650u * 24 * 3600)

enum token_action { TOKEN_CREATE, TOKEN_REMOVE, TOKEN_RENEW };
enum token_outcome { TOKEN_DONE, TOKEN_NO_USER, TOKEN_MISSING, TOKEN_TOO_MANY };

struct token_op {
    struct service *service;
    struct exchange *exchange;
    enum token_action action;
    /* CREATE: user_name, kind, label are the wish, the rest is filled in; else the id is. */
    struct login_token token;
    uint64_t ttl_s, limit_s; /* CREATE; RENEW: ttl_s from now, never past the token's limit */
    struct buf text;         /* CREATE: what is shown once; secret */
    enum token_outcome outcome;
    bool applied;
    const char *event; /* for the audit log; NULL: none */
    /* Answers the exchange by `outcome`; other errors were answered. */
    void (*reply)(struct token_op *op);
};

/* NULL: out of memory, and that was answered. The caller fills in the wish and starts it. */
struct token_op *token_op_new(struct service *service, struct exchange *exchange,
                              enum token_action action, void (*reply)(struct token_op *op));
/* Carries it out, answers and frees. Whoever asks must be the token's user or an administrator,
 * still logged in when it is applied. */
void token_op_start(struct token_op *op);

/* Of one that was not started; NULL is fine. */
void token_op_free(struct token_op *op);

/* POST, GET and DELETE /_session, CouchDB's. */
void handle_session_post(struct service *service, struct exchange *exchange);
void handle_session_get(struct service *service, struct exchange *exchange);
void handle_session_delete(struct service *service, struct exchange *exchange);
/* POST /_quorumkeep/tokens {"user"?, "label"?, "ttl_s"?}: 201 {token, token_id, ...}; GET with
 * ?user=; DELETE /_quorumkeep/tokens/{id}. */
void handle_token_create(struct service *service, struct exchange *exchange);
void handle_token_list(struct service *service, struct exchange *exchange);
void handle_token_revoke(struct service *service, struct exchange *exchange);
/* POST /v1/auth/userpass/login/{user}; GET lookup-self, POST renew-self and revoke-self of
 * /v1/auth/token. */
void handle_vault_login(struct service *service, struct exchange *exchange);
void handle_vault_lookup_self(struct service *service, struct exchange *exchange);
void handle_vault_renew_self(struct service *service, struct exchange *exchange);
void handle_vault_revoke_self(struct service *service, struct exchange *exchange);

/* The user's roles as its clients know them, "_admin" first. */
json_t *token_roles_json(const struct user *user);

#endif
