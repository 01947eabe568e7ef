#include "service/users/grants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "keys/keyring.h"
#include "secret/secret.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/change.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/rights_json.h"

/* The key that segments[2] names, and the right to manage it. Who may not know which keys there are
 * gets the same answer for one that is not there. */
static enum qk_err grants_find(struct service *service, struct exchange *exchange,
                               uint8_t ret_key_id[static KEY_ID_BYTES])
{
    static const uint8_t none[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err found =
        keyring_find(service->keyring, exchange->request.segments[2], ret_key_id, &version);
    enum qk_err err;

    err = authorize_exchange_key(service, exchange, found == QK_OK ? ret_key_id : none,
                                 ACCESS_KEY_MANAGE);
    return err != QK_OK ? err : found;
}

static json_t *grants_json(const struct service *service, const uint8_t *key_id)
{
    const struct catalog_grants *grants = catalog_grants_find(service->catalog, key_id);
    const struct access_list nobody = {NULL, 0};
    struct bytes name = keyring_name(service->keyring, key_id);

    return json_pack(
        "{s:s%, s:o}", "key", (const char *)name.data, name.len, "grants",
        rights_json(service->catalog, grants == NULL ? &nobody : &grants->list, rights_of_key));
}

static void reply_no_key(struct exchange *exchange)
{
    exchange_reply_error(exchange, 404, "not_found", "there is no data key of that name");
}

static void grants_ready(struct service *service, struct exchange *exchange)
{
    uint8_t key_id[KEY_ID_BYTES];
    enum qk_err err = grants_find(service, exchange, key_id);

    if (err == QK_OK)
        exchange_reply_json(exchange, 200, grants_json(service, key_id));
    else if (err == QK_ERR_NOT_FOUND)
        reply_no_key(exchange);
    else
        exchange_reply_err(exchange, err);
}

void handle_grants(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, grants_ready);
}

/* --- POST --- */

struct grants_change {
    struct change change; /* first */
    struct rights_wish wish;
    uint8_t key_id[KEY_ID_BYTES];
};

static enum qk_err grants_put(struct grants_change *work, const struct catalog_grants *next,
                              uint64_t version, struct wire_command *command)
{
    const struct service *service = work->change.service;
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_grants_key(service, work->key_id, key);

    if (err == QK_OK)
        err = catalog_grants_seal(service, next, version + 1, &value);
    if (err == QK_OK) {
        change_batch(&work->change, work->key_id, command);
        wire_command_put(command, bytes_of(key, sizeof(key)), version + 1, 0, buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err grants_apply(struct grants_change *work, struct wire_command *command)
{
    const struct catalog *catalog = work->change.service->catalog;
    const struct catalog_grants *now = catalog_grants_find(catalog, work->key_id);
    const struct access_list nobody = {NULL, 0};
    struct catalog_grants next = {.list = {NULL, 0}};
    enum qk_err err;

    memcpy(next.key_id, work->key_id, KEY_ID_BYTES);
    err = access_list_copy(now == NULL ? &nobody : &now->list, &next.list);
    if (err == QK_OK)
        err = rights_wish_apply(&work->wish, catalog, &next.list);
    if (err == QK_OK)
        err = grants_put(work, &next, catalog_grants_version(catalog, work->key_id), command);
    access_list_fini(&next.list);
    return err;
}

static enum qk_err grants_evaluate(struct change *change, struct wire_command *command)
{
    struct grants_change *work = (struct grants_change *)(void *)change;
    enum qk_err err = grants_find(change->service, change->exchange, work->key_id);

    if (err == QK_ERR_NOT_FOUND) {
        change_refuse(change, 404, "not_found", "there is no data key of that name");
        return QK_OK;
    }
    if (err != QK_OK) {
        change_refuse_err(change, err);
        return QK_OK;
    }
    err = grants_apply(work, command);
    if (err == QK_ERR_NOT_FOUND)
        change_refuse(change, 404, "not_found", "there is no user of that name");
    else if (err == QK_ERR_TOO_BIG)
        change_refuse(change, 403, "forbidden", "there are %d grants on that key: no more fit",
                      ACCESS_LIST_MAX);
    else
        return err;
    return QK_OK;
}

static void grants_audit(const struct grants_change *work)
{
    const struct service *service = work->change.service;
    char by[2 * USER_ID_BYTES + 1], key[2 * KEY_ID_BYTES + 1], user[2 * USER_ID_BYTES + 1] = "";
    const struct user *subject = catalog_user_find(service->catalog, bytes_str(work->wish.name));
    char bits[16];

    change_by(work->change.exchange, by);
    hex_encode(work->key_id, KEY_ID_BYTES, key);
    if (!work->wish.is_role && subject != NULL)
        hex_encode(subject->id, USER_ID_BYTES, user);
    (void)snprintf(bits, sizeof(bits), "+%u-%u", work->wish.add, work->wish.remove);
    audit_event(service->audit, "grant", "key", key, "user", user[0] == '\0' ? NULL : user, "role",
                work->wish.is_role ? "yes" : NULL, "bits", bits, "by", by, NULL);
}

static void grants_applied(struct change *change)
{
    struct grants_change *work = (struct grants_change *)(void *)change;

    if (!service_is_open(change->service)) {
        exchange_reply_json(change->exchange, 200, json_pack("{s:b}", "ok", 1));
        return;
    }
    grants_audit(work);
    exchange_reply_json(change->exchange, 200, grants_json(change->service, work->key_id));
}

static void grants_free(struct change *change)
{
    secret_wipe(change, sizeof(struct grants_change));
    free(change);
}

static const struct change_ops GRANTS_OPS = {grants_evaluate, grants_applied, grants_free};

void handle_grants_change(struct service *service, struct exchange *exchange)
{
    struct grants_change *work = calloc(1, sizeof(*work));
    struct doc_problem problem = {0};
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = QK_ERR_NOMEM;

    if (work != NULL)
        err = rights_wish_parse(exchange->request.body, rights_of_key, &work->wish, &problem);
    if (err == QK_OK)
        err = service_is_open(service) ? QK_OK : QK_ERR_SEALED;
    if (err == QK_OK)
        err = catalog_name_key(service, exchange->request.segments[2], key); /* any line will do */
    if (err != QK_OK) {
        free(work);
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    work->change = (struct change){.service = service, .exchange = exchange, .ops = &GRANTS_OPS};
    change_start(&work->change, key);
}
