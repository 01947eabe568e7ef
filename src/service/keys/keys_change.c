#include "service/keys/keys_change.h"

#include <string.h>

#include "service/clock.h"
#include "service/keys_current.h"
#include "service/keys/reencrypt_private.h"
#include "store/store.h"

static uint64_t version_of(struct service *service, const struct record_key *key)
{
    struct record record;

    return store_get(service->store, record_key_bytes(key), &record) == QK_OK ? record.version : 0;
}

static struct record_key keyring_key_of(const uint8_t *name, size_t len)
{
    uint8_t space[DATABASE_ID_BYTES];

    record_space_id(RECORD_KEYRING, space);
    return record_document(space, bytes_of(name, len));
}

void keys_change_put(struct service *service, const struct key_change *change,
                     struct wire_command *command)
{
    uint8_t name[KEYRING_NAME_BYTES_MAX];

    keys_put_changed(service, command);
    for (size_t i = 0; i < change->puts_n; i++) {
        const struct keyring_record *put = &change->puts[i];
        struct record_key key = keyring_key_of(put->name, put->name_len);

        wire_command_put(command, record_key_bytes(&key), version_of(service, &key) + 1, 0,
                         buf_bytes(&put->value));
    }
    for (size_t i = 0; i < change->drops_n; i++) {
        size_t len = keyring_version_name(change->key_id, change->drops[i], name);
        struct record_key key = keyring_key_of(name, len);

        wire_command_delete(command, record_key_bytes(&key));
    }
}

void keys_erase_put(struct service *service, struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_ERASE);
    uint8_t now[8];

    put_u64(now, service_time_s(service));
    wire_command_put(command, record_key_bytes(&key), version_of(service, &key) + 1, 0,
                     bytes_of(now, sizeof(now)));
}

uint64_t keys_erase_version(struct service *service)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_ERASE);

    return version_of(service, &key);
}

/* Catalog records are counted by the passes of re-encryption alone: when its last round is done,
 * none is under an old version, and none can come to be. */
static enum qk_err catalog_in_use(struct service *service, uint64_t *ret_n)
{
    struct reencrypt_record record;
    uint64_t version;
    enum qk_err err = reencrypt_record_get(service->store, &record, &version);

    if (err == QK_OK && (version == 0 || record.state != REENCRYPT_DONE))
        err = QK_ERR_BUSY;
    if (err == QK_OK)
        *ret_n = 0;
    return err;
}

static uint64_t bodies_of(const struct service *service, const uint8_t *key_id, uint32_t version)
{
    struct store_key_stats stats;

    store_key_stats(service->store, key_id, version, &stats);
    return stats.bodies;
}

enum qk_err keys_in_use(struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                        uint32_t version, uint64_t *ret_n)
{
    struct keyring_info info;
    uint64_t n = 0;
    enum qk_err err = keyring_info_of(service->keyring, key_id, &info);

    if (err != QK_OK)
        return err;
    if (memcmp(key_id, keyring_catalog_id, KEY_ID_BYTES) == 0)
        return catalog_in_use(service, ret_n);
    for (size_t i = 0; i < info.versions_n; i++) {
        struct key_version_info about = keyring_version_at(service->keyring, &info, i);

        if (version == 0 || about.version == version)
            n += bodies_of(service, key_id, about.version);
    }
    *ret_n = n;
    return QK_OK;
}
