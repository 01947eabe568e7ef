/* token_op_start -> in line per user or token -> evaluate on the leader -> one batch under the
 * conditions that user, token and whoever asks are as they were seen -> the reply. */
#include "service/tokens.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/catalog_table.h"
#include "service/clock.h"
#include "service/keys_current.h"
#include "service/login.h"
#include "service/submit.h"

struct token_op *token_op_new(struct service *service, struct exchange *exchange,
                              enum token_action action, void (*reply)(struct token_op *op))
{
    struct token_op *op = calloc(1, sizeof(*op));

    assert(reply != NULL);

    if (op == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return NULL;
    }
    op->service = service;
    op->exchange = exchange;
    op->action = action;
    op->reply = reply;
    op->text = BUF_SECRET_INIT(LOGIN_TOKEN_TEXT_BYTES);
    return op;
}

void token_op_free(struct token_op *op)
{
    if (op == NULL)
        return;
    buf_fini(&op->text);
    secret_wipe(op, sizeof(*op));
    free(op);
}

/* --- who may --- */

/* The user that the token is of, or an administrator. */
static enum qk_err op_authorize(const struct token_op *op, const uint8_t *user_id)
{
    const struct principal *who = &op->exchange->request.who;
    enum qk_err err = authorize_user(op->service, who, ACCESS_USER);

    if (err != QK_OK)
        return err;
    if (who->kind == PRINCIPAL_USER && memcmp(who->user_id, user_id, USER_ID_BYTES) == 0)
        return QK_OK;
    return authorize_user(op->service, who, ACCESS_CLUSTER);
}

/* --- making one --- */

struct census {
    size_t of_user_n; /* of the kind */
    const struct catalog_entry *first_to_end;
    const struct catalog_entry *expired[TOKENS_EXPIRED_MAX];
    size_t expired_n;
};

/* API tokens are kept apart from those that come and go. */
static bool same_sort(enum login_token_kind a, enum login_token_kind b)
{
    return (a == LOGIN_TOKEN_API) == (b == LOGIN_TOKEN_API);
}

static void census_take(const struct catalog_table *table, const struct login_token *wish,
                        uint64_t now_s, struct census *census)
{
    for (size_t i = 0; i < table->n; i++) {
        const struct catalog_entry *entry = table->items[i];

        if (entry->token.expires_s <= now_s) {
            if (census->expired_n < TOKENS_EXPIRED_MAX)
                census->expired[census->expired_n++] = entry;
            continue;
        }
        if (memcmp(entry->token.user_id, wish->user_id, USER_ID_BYTES) != 0 ||
            !same_sort(entry->token.kind, wish->kind))
            continue;
        census->of_user_n++;
        if (census->first_to_end == NULL ||
            entry->token.expires_s < census->first_to_end->token.expires_s)
            census->first_to_end = entry;
    }
}

/* Fills in what the wish leaves open; the text is made once, whatever happens to the command. */
static enum qk_err create_fill(struct token_op *op, const struct user *user, uint64_t now_s)
{
    struct login_token *token = &op->token;

    memcpy(token->user_id, user->id, USER_ID_BYTES);
    token->credential_version = user->credential_version;
    token->created_s = now_s;
    token->expires_s = now_s + op->ttl_s;
    token->limit_s = now_s + (op->limit_s > op->ttl_s ? op->limit_s : op->ttl_s);
    if (op->text.len > 0)
        return QK_OK;
    return login_token_make(keyring_index_key(op->service->keyring), token->id, token->hash,
                            &op->text);
}

static void conditions_put(const struct token_op *op, struct wire_command *command)
{
    const struct principal *who = &op->exchange->request.who;

    wire_command_batch(command);
    keys_cond(op->service, command, keyring_catalog_id);
    authorize_conditions(op->service, who, NULL, command);
    if (who->kind != PRINCIPAL_USER || memcmp(who->user_id, op->token.user_id, USER_ID_BYTES) != 0)
        catalog_user_cond(op->service->catalog, bytes_str(op->token.user_name), command);
}

static enum qk_err create_put(struct token_op *op, const struct census *census,
                              struct wire_command *command)
{
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_token_key(op->service, op->token.id, key);

    if (err == QK_OK)
        err = catalog_token_seal(op->service, &op->token, 1, &value);
    if (err == QK_OK) {
        conditions_put(op, command);
        wire_command_put(command, bytes_of(key, sizeof(key)), 1, 0, buf_bytes(&value));
        for (size_t i = 0; i < census->expired_n; i++)
            wire_command_delete(command, bytes_of(census->expired[i]->key, CATALOG_KEY_BYTES));
        if (census->of_user_n >= TOKENS_USER_MAX)
            wire_command_delete(command, bytes_of(census->first_to_end->key, CATALOG_KEY_BYTES));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err create_evaluate(struct token_op *op, struct wire_command *command)
{
    const struct catalog_table *table = catalog_table_of(op->service->catalog, CATALOG_TOKEN);
    const struct user *user =
        catalog_user_find(op->service->catalog, bytes_str(op->token.user_name));
    uint64_t now_s = service_time_s(op->service);
    struct census census = {0};
    static const uint8_t nobody[USER_ID_BYTES];
    enum qk_err err = op_authorize(op, user == NULL ? nobody : user->id);

    if (err != QK_OK)
        return err;
    op->outcome = TOKEN_NO_USER;
    if (user == NULL || user->disabled)
        return QK_OK;
    err = create_fill(op, user, now_s);
    if (err != QK_OK)
        return err;
    census_take(table, &op->token, now_s, &census);
    op->outcome = TOKEN_TOO_MANY;
    if (table->n - census.expired_n >= TOKENS_MAX ||
        (op->token.kind == LOGIN_TOKEN_API && census.of_user_n >= TOKENS_USER_MAX))
        return QK_OK;
    op->outcome = TOKEN_DONE;
    return create_put(op, &census, command);
}

/* --- ending and renewing one --- */

/* Its entry, if whoever asks may know of it. */
static enum qk_err op_find(struct token_op *op, const struct catalog_entry **ret_entry)
{
    const struct catalog_entry *entry =
        catalog_table_find(catalog_table_of(op->service->catalog, CATALOG_TOKEN),
                           bytes_of(op->token.id, sizeof(op->token.id)));
    enum qk_err err = authorize_user(op->service, &op->exchange->request.who, ACCESS_USER);

    *ret_entry = NULL;
    if (err == QK_OK && entry != NULL && op_authorize(op, entry->token.user_id) == QK_OK)
        *ret_entry = entry;
    return err;
}

static void remove_put(const struct catalog_entry *entry, struct wire_command *command)
{
    wire_command_batch(command);
    wire_command_cond(command, bytes_of(entry->key, CATALOG_KEY_BYTES), entry->version);
    wire_command_delete(command, bytes_of(entry->key, CATALOG_KEY_BYTES));
}

static enum qk_err renew_put(struct token_op *op, const struct catalog_entry *entry,
                             struct wire_command *command)
{
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint64_t expires_s = service_time_s(op->service) + op->ttl_s;
    enum qk_err err;

    op->token.expires_s = expires_s < op->token.limit_s ? expires_s : op->token.limit_s;
    err = catalog_token_seal(op->service, &op->token, entry->version + 1, &value);
    if (err == QK_OK) {
        conditions_put(op, command);
        wire_command_put(command, bytes_of(entry->key, CATALOG_KEY_BYTES), entry->version + 1, 0,
                         buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err change_evaluate(struct token_op *op, struct wire_command *command)
{
    const struct catalog_entry *entry;
    enum qk_err err = op_find(op, &entry);

    if (err != QK_OK)
        return err;
    op->outcome = entry == NULL ? TOKEN_MISSING : TOKEN_DONE;
    if (entry == NULL)
        return QK_OK;
    op->token = entry->token;
    if (op->action == TOKEN_RENEW)
        return renew_put(op, entry, command);
    remove_put(entry, command);
    return QK_OK;
}

/* --- the write --- */

static enum qk_err op_evaluate(void *arg, struct wire_command *command)
{
    struct token_op *op = arg;

    if (op->applied)
        return QK_OK;
    return op->action == TOKEN_CREATE ? create_evaluate(op, command) : change_evaluate(op, command);
}

static void op_result(void *arg, size_t at, const struct wire_result *result)
{
    struct token_op *op = arg;

    (void)at;
    op->applied = result->ok;
}

static void op_audit(const struct token_op *op)
{
    const struct principal *who = &op->exchange->request.who;
    char token[2 * PRINCIPAL_TOKEN_BYTES + 1], user[2 * USER_ID_BYTES + 1];
    char by[2 * USER_ID_BYTES + 1];

    hex_encode(op->token.id, sizeof(op->token.id), token);
    hex_encode(op->token.user_id, sizeof(op->token.user_id), user);
    hex_encode(who->user_id, sizeof(who->user_id), by);
    audit_event(op->service->audit, op->event, "token", token, "kind",
                login_token_kind_text(op->token.kind), "user", user, "by",
                who->kind == PRINCIPAL_USER ? by : NULL, "from", op->exchange->from, NULL);
}

static void op_done(void *arg, enum qk_err err)
{
    struct token_op *op = arg;

    if (err != QK_OK && !op->applied) {
        submit_reply_err(op->service, op->exchange, err);
    } else {
        if (op->applied && op->event != NULL)
            op_audit(op);
        op->reply(op);
    }
    token_op_free(op);
}

static const struct submit_ops op_ops = {op_evaluate, op_result, op_done};

void token_op_start(struct token_op *op)
{
    struct service *service = op->service;
    uint8_t key[CATALOG_KEY_BYTES] = {0};
    struct bytes view = bytes_of(key, sizeof(key));
    enum qk_err err = service_is_open(service) ? QK_OK : QK_ERR_SEALED;

    /* In line per user, so that no two count the same ones; per token. */
    if (err == QK_OK && op->action == TOKEN_CREATE)
        err = catalog_user_key(service, bytes_str(op->token.user_name), key);
    else if (err == QK_OK)
        err = catalog_token_key(service, op->token.id, key);
    if (err == QK_OK)
        err = submit_start(service, &view, 1, &op_ops, op);
    if (err != QK_OK)
        op_done(op, err);
}
