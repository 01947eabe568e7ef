#include "service/change.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/keys_current.h"
#include "service/submit.h"

void change_refuse(struct change *change, int status, const char *error, const char *reason, ...)
{
    va_list args;

    change->refused = QK_ERR_INVALID;
    change->status = status;
    change->error = error;
    va_start(args, reason);
    if (vsnprintf(change->reason, sizeof(change->reason), reason, args) < 0)
        change->reason[0] = '\0';
    va_end(args);
}

void change_refuse_err(struct change *change, enum qk_err err)
{
    change->refused = err;
    change->error = NULL;
}

void change_batch(struct change *change, const uint8_t *key_id, struct wire_command *command)
{
    wire_command_batch(command);
    keys_cond(change->service, command, keyring_catalog_id);
    authorize_conditions(change->service, &change->exchange->request.who, key_id, command);
}

void change_by(const struct exchange *exchange, char ret_text[static 2 * USER_ID_BYTES + 1])
{
    if (exchange->request.who.kind == PRINCIPAL_USER)
        hex_encode(exchange->request.who.user_id, USER_ID_BYTES, ret_text);
    else
        (void)snprintf(ret_text, 2 * USER_ID_BYTES + 1, "control");
}

/* --- its course --- */

static enum qk_err on_evaluate(void *arg, struct wire_command *command)
{
    struct change *change = arg;

    if (change->done)
        return QK_OK;
    change->refused = QK_OK;
    return change->ops->evaluate(change, command);
}

static void on_result(void *arg, size_t at, const struct wire_result *result)
{
    struct change *change = arg;

    (void)at;
    change->done = result->ok;
}

static void on_done(void *arg, enum qk_err err)
{
    struct change *change = arg;

    if (change->done)
        change->ops->applied(change);
    else if (err != QK_OK)
        submit_reply_err(change->service, change->exchange, err);
    else if (change->error != NULL)
        exchange_reply_error(change->exchange, change->status, change->error, "%s", change->reason);
    else
        submit_reply_err(change->service, change->exchange, change->refused);
    change->ops->free(change);
}

static const struct submit_ops OPS = {on_evaluate, on_result, on_done};

void change_fail(struct change *change, enum qk_err err)
{
    assert(err != QK_OK && !change->done);
    on_done(change, err);
}

void change_start(struct change *change, const uint8_t key[static CATALOG_KEY_BYTES])
{
    struct bytes view = bytes_of(key, CATALOG_KEY_BYTES);
    enum qk_err err = QK_ERR_SEALED;

    if (service_is_open(change->service))
        err = submit_start(change->service, &view, 1, &OPS, change);
    if (err != QK_OK)
        change_fail(change, err);
}
