/* POST /_quorumkeep/keys, POST /_quorumkeep/keys/{name}/rotate and .../destroy, PUT
 * /_quorumkeep/keys/{name}/limits.
 *
 * Each is one batch: the records of the change, under the conditions that the key is still as it
 * was looked at, that who orders it still may, and that the policy still allows it. Destroying what
 * is in use is refused with the count, which is exact: it is read with everything applied, a write
 * names the key's info as a condition and takes the active version alone, so no further body can
 * come under one that only decrypts. */
#include "service/keys/keys_admin.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "access/list.h"
#include "base/encode.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/clock.h"
#include "service/key_policy.h"
#include "service/keys/keys_admin_private.h"
#include "service/keys/keys_change.h"
#include "service/keys_current.h"
#include "service/reencrypt_record.h"
#include "service/submit.h"
#include "service/system.h"
#include "store/store.h"

/* --- evaluation ------------------------------------------------------------------------------ */

static bool is_catalog(const struct keys_order *order)
{
    return strcmp(order->name, "catalog") == 0;
}

static enum qk_err order_find(struct keys_order *order)
{
    if (is_catalog(order)) {
        memcpy(order->key_id, keyring_catalog_id, KEY_ID_BYTES);
        return QK_OK;
    }
    return keyring_id_of(order->service->keyring, bytes_str(order->name), order->key_id);
}

/* Who may not manage keys learns from this not even which there are. */
static enum qk_err order_authorize(struct keys_order *order)
{
    struct service *service = order->service;
    enum qk_err err, found;

    if (order->kind == ORDER_CREATE)
        return authorize_user(service, &order->exchange->request.who, ACCESS_KEY_CREATE);
    found = order_find(order);
    if (found != QK_OK || is_catalog(order))
        err = authorize_user(service, &order->exchange->request.who, ACCESS_CLUSTER);
    else
        err =
            authorize_key(service, &order->exchange->request.who, order->key_id, ACCESS_KEY_MANAGE);
    return err != QK_OK ? err : found;
}

static enum qk_err change_make(struct keys_order *order, struct key_change *ret_change)
{
    const struct keyring *keyring = order->service->keyring;
    uint64_t now_s = service_time_s(order->service);
    struct keyring_info info;
    struct key_limits limits = order->limits;

    switch (order->kind) {
    case ORDER_CREATE:
        return keyring_change_create(keyring, bytes_str(order->name),
                                     (enum envelope_suite)order->suite, &order->limits, now_s,
                                     ret_change);
    case ORDER_ROTATE:
        return keyring_change_rotate(keyring, order->key_id, order->suite, now_s, ret_change);
    case ORDER_DESTROY:
        return keyring_change_destroy(keyring, order->key_id, order->version, ret_change);
    case ORDER_LIMITS:
        if (keyring_info_of(keyring, order->key_id, &info) != QK_OK)
            return QK_ERR_NOT_FOUND;
        limits.records = order->has_records ? limits.records : info.limits.records;
        limits.bytes = order->has_bytes ? limits.bytes : info.limits.bytes;
        limits.age_s = order->has_age ? limits.age_s : info.limits.age_s;
        return keyring_change_limits(keyring, order->key_id, &limits, ret_change);
    }
    return QK_ERR_INVALID;
}

/* The catalog's key is needed for ever, the default one for whoever names none. */
static enum qk_err destroy_check(struct keys_order *order)
{
    struct key_policy policy = key_policy_of(order->service);
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err err;

    if (order->version == 0) {
        err = key_choose(order->service, &(struct catalog_database){.revs_limit = 1}, BYTES_NONE,
                         NULL, id, &version);
        if (is_catalog(order) || memcmp(order->key_id, policy.default_key, KEY_ID_BYTES) == 0 ||
            (err == QK_OK && memcmp(order->key_id, id, KEY_ID_BYTES) == 0))
            return QK_ERR_FOREIGN;
    }
    if (order->shred && !is_catalog(order))
        return QK_OK;
    err = keys_in_use(order->service, order->key_id, order->version, &order->in_use);
    return err == QK_OK && order->in_use > 0 ? QK_ERR_CONFLICT : err;
}

/* Who makes a key has all rights to it; whoever administers needs none. */
static enum qk_err creator_put(struct keys_order *order, const struct key_change *change,
                               struct wire_command *command)
{
    const struct principal *who = &order->exchange->request.who;
    struct catalog_grants grants = {.list = {NULL, 0}};
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err;

    if (who->kind != PRINCIPAL_USER)
        return QK_OK;
    memcpy(grants.key_id, change->key_id, KEY_ID_BYTES);
    err = access_list_add_user(&grants.list, who->user_id, ACCESS_BITS_ALL);
    if (err == QK_OK)
        err = catalog_grants_key(order->service, change->key_id, key);
    if (err == QK_OK)
        err = catalog_grants_seal(order->service, &grants, 1, &value);
    if (err == QK_OK)
        wire_command_put(command, bytes_of(key, sizeof(key)), 1, 0, buf_bytes(&value));
    access_list_fini(&grants.list);
    buf_fini(&value);
    return err;
}

/* A round of re-encryption that is under way goes on with what is old now. */
static enum qk_err round_put(struct keys_order *order, struct wire_command *command)
{
    struct store *store = order->service->store;
    struct reencrypt_record record;
    uint64_t version;
    enum qk_err err = reencrypt_record_get(store, &record, &version);

    if (err != QK_OK)
        return err;
    return reencrypt_want(store, order->reencrypt || record.state == REENCRYPT_WANTED, command);
}

static enum qk_err order_put(struct keys_order *order, const struct key_change *change,
                             struct wire_command *command)
{
    enum qk_err err = QK_OK;

    wire_command_batch(command);
    authorize_conditions(order->service, &order->exchange->request.who,
                         order->kind == ORDER_CREATE ? NULL : order->key_id, command);
    key_policy_cond(order->service, command);
    if (order->kind == ORDER_CREATE)
        keys_cond(order->service, command, keyring_catalog_id);
    keys_change_put(order->service, change, command);
    if (order->kind == ORDER_CREATE)
        err = creator_put(order, change, command);
    else if (order->kind == ORDER_ROTATE)
        err = round_put(order, command);
    else if (order->kind == ORDER_DESTROY)
        keys_erase_put(order->service, command);
    memcpy(order->key_id, change->key_id, KEY_ID_BYTES);
    order->active = change->version;
    return err;
}

/* What stands against it ends it without a batch; what the world does wrong is an error. */
static enum qk_err order_evaluate(void *arg, struct wire_command *command)
{
    struct keys_order *order = arg;
    struct key_policy policy = key_policy_of(order->service);
    struct key_change change;
    enum qk_err err;

    if (order->done)
        return QK_OK;
    order->refused = QK_OK;
    order->bad_suite = false;
    if (order->kind == ORDER_CREATE && order->suite == 0)
        order->suite = key_policy_first(&policy);
    err = order_authorize(order);
    if (err == QK_OK && order->suite != 0 && !key_policy_allows(&policy, order->suite)) {
        order->bad_suite = true;
        return QK_OK;
    }
    if (err == QK_OK && order->kind == ORDER_DESTROY)
        err = destroy_check(order);
    if (err == QK_OK)
        err = change_make(order, &change);
    if (err == QK_ERR_NOMEM || err == QK_ERR_SEALED)
        return err;
    if (err != QK_OK) {
        order->refused = err;
        return QK_OK;
    }
    err = order_put(order, &change, command);
    key_change_fini(&change);
    return err;
}

static void order_result(void *arg, size_t at, const struct wire_result *result)
{
    struct keys_order *order = arg;

    (void)at;
    order->done = order->done || result->ok;
}

/* --- the reply ------------------------------------------------------------------------------- */

static void reply_destroy_refused(const struct keys_order *order)
{
    char which[KEY_NAME_BYTES_MAX + 16];

    (void)snprintf(which, sizeof(which), order->version == 0 ? "%s" : "%s/%" PRIu32, order->name,
                   order->version);
    if (order->refused == QK_ERR_FOREIGN && is_catalog(order))
        exchange_reply_error(order->exchange, 409, "refused",
                             "'%s' is the key of databases and users: only its older versions can "
                             "be destroyed",
                             order->name);
    else if (order->refused == QK_ERR_FOREIGN)
        exchange_reply_error(order->exchange, 409, "refused",
                             "'%s' is the key of what names no other: set another default first",
                             order->name);
    else if (order->refused == QK_ERR_BUSY)
        exchange_reply_error(order->exchange, 409, "refused",
                             "records may be under it until a re-encryption is done: 'quorumkeep "
                             "key reencrypt' and try again");
    else if (order->in_use > 0 && order->version == 0)
        exchange_reply_error(order->exchange, 409, "in_use",
                             "%" PRIu64
                             " bodies of documents are under '%s': write them under another key "
                             "first (--key-id), or shred it, which makes them unreadable for ever",
                             order->in_use, which);
    else if (order->in_use > 0)
        exchange_reply_error(order->exchange, 409, "in_use",
                             "%" PRIu64
                             " bodies of documents are under '%s': seal them again first "
                             "('quorumkeep key reencrypt'), or shred it, which makes them "
                             "unreadable for ever",
                             order->in_use, which);
    else
        exchange_reply_error(order->exchange, 409, "refused",
                             "'%s' is the active version: rotate the key first, or destroy it as a "
                             "whole",
                             which);
}

static void reply_refused(const struct keys_order *order)
{
    struct exchange *exchange = order->exchange;

    switch ((int)order->refused) {
    case QK_ERR_NOT_FOUND:
        exchange_reply_error(exchange, 404, "not_found",
                             order->version != 0 ? "there is no such version of that data key"
                                                 : "there is no data key of that name");
        break;
    case QK_ERR_EXISTS:
        exchange_reply_error(
            exchange, 409, "exists",
            "there is, or was, a data key named '%s', and names are not used twice", order->name);
        break;
    case QK_ERR_INVALID:
        exchange_reply_error(
            exchange, 400, "bad_request",
            "a key's name is 1 to %d of a-z A-Z 0-9 . _ - and begins with a letter "
            "or digit",
            KEY_NAME_BYTES_MAX);
        break;
    case QK_ERR_TOO_BIG:
        exchange_reply_error(exchange, 409, "too_many",
                             order->kind == ORDER_CREATE
                                 ? "there are as many keys as fit"
                                 : "the key has as many versions as fit: destroy old ones first");
        break;
    case QK_ERR_DESTROYED:
        exchange_reply_error(exchange, 410, "key_destroyed", "'%s' is destroyed", order->name);
        break;
    default:
        if (order->kind == ORDER_DESTROY &&
            (order->refused == QK_ERR_CONFLICT || order->refused == QK_ERR_FOREIGN ||
             order->refused == QK_ERR_BUSY))
            reply_destroy_refused(order);
        else
            submit_reply_err(order->service, exchange, order->refused);
    }
}

static void order_audit(const struct keys_order *order)
{
    static const char *const events[] = {"key_create", "key_rotate", "key_destroy", "key_limits"};
    const struct principal *who = &order->exchange->request.who;
    char id[2 * KEY_ID_BYTES + 1], user[2 * USER_ID_BYTES + 1], version[24];
    bool whole = order->kind == ORDER_DESTROY && order->version == 0;

    hex_encode(order->key_id, KEY_ID_BYTES, id);
    hex_encode(who->user_id, USER_ID_BYTES, user);
    (void)snprintf(version, sizeof(version), "%" PRIu32,
                   order->kind == ORDER_DESTROY ? order->version : order->active);
    audit_event(order->service->audit, events[order->kind], "by", order->exchange->from, "user",
                who->kind == PRINCIPAL_USER ? user : NULL, "key", id, "version",
                whole ? "all" : version, "shred", order->shred ? "yes" : NULL, NULL);
}

static void reply_done(const struct keys_order *order)
{
    char id[2 * KEY_ID_BYTES + 1];

    order_audit(order);
    hex_encode(order->key_id, KEY_ID_BYTES, id);
    exchange_reply_json(order->exchange, order->kind == ORDER_CREATE ? 201 : 200,
                        json_pack("{s:b, s:s, s:s, s:I}", "ok", 1, "name", order->name, "key_id",
                                  id, "active", (json_int_t)order->active));
}

static void order_done(void *arg, enum qk_err err)
{
    struct keys_order *order = arg;

    if (order->done)
        reply_done(order);
    else if (err != QK_OK)
        submit_reply_err(order->service, order->exchange, err);
    else if (order->bad_suite)
        exchange_reply_error(order->exchange, 409, "suite_not_allowed",
                             "the policy of this cluster does not allow %s",
                             key_suite_text(order->suite));
    else
        reply_refused(order);
    secret_wipe(order, sizeof(*order));
    free(order);
}

static const struct submit_ops order_ops = {order_evaluate, order_result, order_done};

/* --- the request ----------------------------------------------------------------------------- */

/* In one line, so that of two that come at once both are answered by what they find. */
static void start(struct service *service, struct exchange *exchange, enum keys_order_kind kind)
{
    struct record_key line = record_system(RECORD_SYS, SYSTEM_KEYRING);
    struct bytes view = record_key_bytes(&line);
    struct keys_order *order;
    enum qk_err err;

    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    order = calloc(1, sizeof(*order));
    if (order == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *order = (struct keys_order){.service = service, .exchange = exchange, .kind = kind};
    if (!keys_order_read(order)) {
        free(order);
        return;
    }
    err = submit_start(service, &view, 1, &order_ops, order);
    if (err == QK_OK)
        return;
    free(order);
    exchange_reply_err(exchange, err);
}

void handle_keys_post(struct service *service, struct exchange *exchange)
{
    start(service, exchange, ORDER_CREATE);
}

void handle_key_rotate(struct service *service, struct exchange *exchange)
{
    start(service, exchange, ORDER_ROTATE);
}

void handle_key_destroy(struct service *service, struct exchange *exchange)
{
    start(service, exchange, ORDER_DESTROY);
}

void handle_key_limits(struct service *service, struct exchange *exchange)
{
    start(service, exchange, ORDER_LIMITS);
}
