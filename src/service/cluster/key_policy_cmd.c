/* GET and PUT /_quorumkeep/keys/policy.
 *
 * AES-256-GCM is allowed only if each member's record says that its processor has the instructions,
 * under the condition that SYS `next` is as it was: every admission and every change of what a
 * member announces puts that record, so none slips in between. */
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/catalog.h"
#include "service/cluster/hub.h"
#include "service/key_policy.h"
#include "service/keys_current.h"
#include "service/submit.h"

#define SUITE_LAST ENVELOPE_AES256GCM
#define REASON_BYTES 512

bool hub_needs_aes(const struct cluster *cluster)
{
    struct key_policy policy = key_policy_of(cluster->service);

    return key_policy_allows(&policy, ENVELOPE_AES256GCM);
}

/* --- telling --------------------------------------------------------------------------------- */

static json_t *policy_json(const struct service *service, const struct key_policy *policy)
{
    static const uint8_t none[KEY_ID_BYTES];
    struct bytes name = memcmp(policy->default_key, none, KEY_ID_BYTES) == 0
                            ? bytes_str("default")
                            : keyring_name(service->keyring, policy->default_key);
    json_t *suites = json_array();

    for (unsigned suite = 1; suite <= SUITE_LAST; suite++)
        if (key_policy_allows(policy, suite))
            (void)json_array_append_new(suites, json_string(key_suite_text(suite)));
    return json_pack("{s:o, s:s%, s:b}", "allowed_suites", suites, "default_key",
                     (const char *)name.data, name.len, "encrypt_by_default",
                     (int)policy->encrypt_by_default);
}

void handle_key_policy(struct service *service, struct exchange *exchange)
{
    struct key_policy policy = key_policy_of(service);

    if (!service_is_open(service))
        submit_reply_err(service, exchange, QK_ERR_SEALED);
    else
        exchange_reply_json(exchange, 200, policy_json(service, &policy));
}

/* --- a wish ---------------------------------------------------------------------------------- */

struct wish {
    struct service *service;
    struct exchange *exchange;
    bool has_suites, has_key, has_encrypt;
    struct key_policy policy; /* of it, what has_* says */
    char key_name[KEY_NAME_BYTES_MAX + 1];
    char reason[REASON_BYTES]; /* what stands against it */
    json_t *reply;
    bool done;
};

static bool take_suites(struct wish *wish, json_t *list)
{
    size_t i;
    json_t *one;

    wish->has_suites = true;
    wish->policy.suites = 0;
    json_array_foreach(list, i, one)
    {
        unsigned suite =
            json_is_string(one) ? key_suite_parse(bytes_str(json_string_value(one))) : 0;

        if (suite == 0)
            return false;
        wish->policy.suites |= 1u << suite;
    }
    return wish->policy.suites != 0;
}

static bool take(struct wish *wish, const char *name, json_t *value)
{
    if (strcmp(name, "allowed_suites") == 0)
        return json_is_array(value) && take_suites(wish, value);
    if (strcmp(name, "encrypt_by_default") == 0) {
        wish->has_encrypt = true;
        wish->policy.encrypt_by_default = json_is_true(value);
        return json_is_boolean(value);
    }
    if (strcmp(name, "default_key") != 0 || !json_is_string(value) ||
        json_string_length(value) > KEY_NAME_BYTES_MAX)
        return false;
    wish->has_key = true;
    (void)snprintf(wish->key_name, sizeof(wish->key_name), "%s", json_string_value(value));
    return true;
}

/* False: answered. */
static bool wish_read(struct wish *wish)
{
    struct bytes body = wish->exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    bool good = json_is_object(json) && json_object_size(json) > 0;
    const char *name;
    json_t *value;

    json_object_foreach(json, name, value)
    {
        good = good && take(wish, name, value);
    }
    json_decref(json);
    if (!good)
        exchange_reply_error(wish->exchange, 400, "bad_request",
                             "the body is {\"allowed_suites\": [\"xchacha20-poly1305\", "
                             "\"aes-256-gcm\"], \"default_key\": NAME, \"encrypt_by_default\": "
                             "true or false}, or some of them");
    return good;
}

/* --- what stands against it ------------------------------------------------------------------ */

static bool members_lack_aes(struct wish *wish)
{
    const struct cluster *cluster = wish->service->cluster;
    struct buf names = BUF_INIT(REASON_BYTES / 2);

    for (unsigned i = 0; i < cluster->members_n; i++)
        if (!cluster->members[i].info.aes)
            buf_printf(&names, "%s%s", names.len > 0 ? ", " : "", cluster->members[i].info.name);
    if (names.len > 0)
        (void)snprintf(wish->reason, sizeof(wish->reason),
                       "aes-256-gcm needs AES instructions on every member, and may use them: not "
                       "so on %.*s",
                       (int)names.len, (const char *)names.data);
    buf_fini(&names);
    return wish->reason[0] != '\0';
}

/* An active version would go on to seal in a suite that is not allowed any more. */
static bool keys_use(struct wish *wish, uint32_t suites)
{
    const struct keyring *keyring = wish->service->keyring;
    struct keyring_info info;

    for (size_t at = 0; keyring_info_at(keyring, at, &info) == QK_OK; at++) {
        struct key_version_info newest = keyring_version_at(keyring, &info, info.versions_n - 1);

        if (info.active == 0 || (suites >> newest.suite & 1) != 0)
            continue;
        (void)snprintf(wish->reason, sizeof(wish->reason),
                       "the active version of key '%.*s' is %s: rotate it to another suite first",
                       (int)info.name.len, (const char *)info.name.data,
                       key_suite_text(newest.suite));
        return true;
    }
    return false;
}

/* The policy as it would be; false: `reason` says what stands against it. */
static bool wish_apply(struct wish *wish, struct key_policy *policy)
{
    uint32_t version;

    if (wish->has_encrypt)
        policy->encrypt_by_default = wish->policy.encrypt_by_default;
    if (wish->has_key && keyring_find(wish->service->keyring, bytes_str(wish->key_name),
                                      policy->default_key, &version) != QK_OK) {
        (void)snprintf(wish->reason, sizeof(wish->reason),
                       "there is no data key '%s' that is not destroyed", wish->key_name);
        return false;
    }
    if (!wish->has_suites)
        return true;
    policy->suites = wish->policy.suites;
    return !(key_policy_allows(policy, ENVELOPE_AES256GCM) && members_lack_aes(wish)) &&
           !keys_use(wish, policy->suites);
}

/* --- the write ------------------------------------------------------------------------------- */

static enum qk_err policy_put(struct wish *wish, const struct key_policy *policy,
                              struct wire_command *command)
{
    struct service *service = wish->service;
    struct record_key next = record_system(RECORD_SYS, RECORD_NEXT);
    struct record_key keys = record_system(RECORD_SYS, SYSTEM_KEYRING);
    uint64_t version = catalog_policy_version(service->catalog);
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_policy_key(service, key);

    if (err == QK_OK)
        err = catalog_policy_seal(service, policy, version + 1, &value);
    if (err == QK_OK) {
        wire_command_batch(command);
        keys_cond(service, command, keyring_catalog_id);
        authorize_conditions(service, &wish->exchange->request.who, NULL, command);
        wire_command_cond(command, record_key_bytes(&next),
                          hub_version_of(service->cluster, &next));
        wire_command_cond(command, record_key_bytes(&keys),
                          hub_version_of(service->cluster, &keys)); /* no key was made or rotated */
        wire_command_put(command, bytes_of(key, sizeof(key)), version + 1, 0, buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err wish_evaluate(void *arg, struct wire_command *command)
{
    struct wish *wish = arg;
    struct key_policy policy = key_policy_of(wish->service);
    enum qk_err err;

    if (wish->done)
        return QK_OK;
    wish->reason[0] = '\0';
    err = authorize_user(wish->service, &wish->exchange->request.who, ACCESS_CLUSTER);
    if (err != QK_OK || !wish_apply(wish, &policy))
        return err;
    json_decref(wish->reply);
    wish->reply = policy_json(wish->service, &policy);
    return policy_put(wish, &policy, command);
}

static void wish_result(void *arg, size_t at, const struct wire_result *result)
{
    struct wish *wish = arg;

    (void)at;
    wish->done = wish->done || result->ok;
}

static void wish_done(void *arg, enum qk_err err)
{
    struct wish *wish = arg;

    if (wish->done) {
        audit_event(wish->service->audit, "key_policy", "by", wish->exchange->from, NULL);
        exchange_reply_json(wish->exchange, 200, json_incref(wish->reply));
    } else if (err != QK_OK)
        submit_reply_err(wish->service, wish->exchange, err);
    else
        exchange_reply_error(wish->exchange, 409, "refused", "%s", wish->reason);
    json_decref(wish->reply);
    free(wish);
}

static const struct submit_ops wish_ops = {wish_evaluate, wish_result, wish_done};

void handle_key_policy_put(struct service *service, struct exchange *exchange)
{
    struct record_key line = record_system(RECORD_SYS, SYSTEM_KEYRING);
    struct bytes view = record_key_bytes(&line);
    struct wish *wish;
    enum qk_err err;

    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    wish = calloc(1, sizeof(*wish));
    if (wish == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *wish = (struct wish){.service = service, .exchange = exchange};
    if (!wish_read(wish)) {
        free(wish);
        return;
    }
    err = submit_start(service, &view, 1, &wish_ops, wish);
    if (err != QK_OK)
        wish_done(wish, err);
}
