#include "service/key_policy.h"

#include <string.h>

#include "keys/keyring.h"
#include "service/catalog.h"

static const uint8_t no_key[KEY_ID_BYTES];

struct key_policy key_policy_of(const struct service *service)
{
    const struct key_policy *policy =
        service->catalog == NULL ? NULL : catalog_policy_find(service->catalog);

    return policy != NULL ? *policy : KEY_POLICY_DEFAULT;
}

void key_policy_cond(const struct service *service, struct wire_command *command)
{
    catalog_policy_cond(service->catalog, command);
}

bool key_policy_allows(const struct key_policy *policy, unsigned suite)
{
    return suite > 0 && suite < 32 && (policy->suites >> suite & 1) != 0;
}

unsigned key_policy_first(const struct key_policy *policy)
{
    return key_policy_allows(policy, ENVELOPE_XCHACHA20POLY1305) ? ENVELOPE_XCHACHA20POLY1305
                                                                 : ENVELOPE_AES256GCM;
}

unsigned key_suite_parse(struct bytes name)
{
    if (bytes_equal(name, bytes_str("xchacha20-poly1305")))
        return ENVELOPE_XCHACHA20POLY1305;
    return bytes_equal(name, bytes_str("aes-256-gcm")) ? ENVELOPE_AES256GCM : 0;
}

const char *key_suite_text(unsigned suite)
{
    switch (suite) {
    case ENVELOPE_XCHACHA20POLY1305:
        return "xchacha20-poly1305";
    case ENVELOPE_AES256GCM:
        return "aes-256-gcm";
    }
    return "unknown";
}

enum qk_err key_choose(const struct service *service, const struct catalog_database *database,
                       struct bytes named, const uint8_t *parent_key,
                       uint8_t ret_key_id[static KEY_ID_BYTES], uint32_t *ret_version)
{
    const struct keyring *keyring = service->keyring;
    struct key_policy policy = key_policy_of(service);
    const uint8_t *id = parent_key;
    enum qk_err err = QK_ERR_DESTROYED;

    if (named.len > 0)
        return keyring_find(keyring, named, ret_key_id, ret_version);
    if (id != NULL)
        err = keyring_active(keyring, id, ret_version);
    if (err == QK_ERR_DESTROYED && memcmp(database->default_key, no_key, KEY_ID_BYTES) != 0) {
        id = database->default_key;
        err = keyring_active(keyring, id, ret_version);
    }
    if (err == QK_ERR_DESTROYED && memcmp(policy.default_key, no_key, KEY_ID_BYTES) != 0) {
        id = policy.default_key;
        err = keyring_active(keyring, id, ret_version);
    }
    if (err == QK_ERR_DESTROYED)
        return keyring_default(keyring, ret_key_id, ret_version);
    if (err == QK_OK)
        memcpy(ret_key_id, id, KEY_ID_BYTES);
    return err;
}
