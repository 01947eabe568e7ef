#include "keys/keyring.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring_private.h"

static const char *const system_names[SYSTEM_KEYS_N] = {"sys/index", "sys/audit", "sys/integrity",
                                                        "sys/revision"};
const uint8_t keyring_catalog_id[KEY_ID_BYTES];
static const uint8_t wrapping_key_id[KEY_ID_BYTES];
/* Fifteen zero bytes and 3: the KEYRING space. */
static const uint8_t keyring_space[DATABASE_ID_BYTES] = {[DATABASE_ID_BYTES - 1] = 3};

const char *keyring_system_name(size_t i)
{
    return system_names[i];
}

static void wrap_aad(const struct keyring *keyring, struct bytes name, struct envelope_aad *ret)
{
    *ret = (struct envelope_aad){.document_id = name, .record_kind = ENVELOPE_KEYRING};
    memcpy(ret->cluster, keyring->cluster, sizeof ret->cluster);
    memcpy(ret->database, keyring_space, sizeof ret->database);
}

enum qk_err keyring_wrap(const struct keyring *keyring, struct bytes name,
                         const struct secret *secret, struct buf *out)
{
    struct envelope_aad aad;

    wrap_aad(keyring, name, &aad);
    return envelope_seal_secret(keyring->wk, wrapping_key_id, keyring->mk_version, &aad, secret,
                                out);
}

/* Another version of MK in the header says that the caller holds an old or a newer MK. */
static enum qk_err wrapped_version(const struct keyring *keyring, struct bytes sealed)
{
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err err = envelope_peek(sealed, key_id, &version);

    if (err != QK_OK)
        return err;
    if (memcmp(key_id, wrapping_key_id, sizeof key_id) != 0)
        return QK_ERR_CORRUPT;
    return version == keyring->mk_version ? QK_OK : QK_ERR_STALE;
}

enum qk_err keyring_unwrap(const struct keyring *keyring, struct bytes name, struct bytes sealed,
                           size_t len, struct secret **ret_secret)
{
    struct secret *secret;
    struct envelope_aad aad;
    enum qk_err err = wrapped_version(keyring, sealed);

    if (err != QK_OK)
        return err;
    wrap_aad(keyring, name, &aad);
    err = envelope_open_secret(keyring->wk, &aad, sealed, &secret);
    if (err != QK_OK)
        return err;
    if (secret_len(secret) != len) {
        secret_free(secret);
        return QK_ERR_CORRUPT;
    }
    *ret_secret = secret;
    return QK_OK;
}

enum qk_err keyring_wrap_text(const struct keyring *keyring, struct bytes name, struct bytes text,
                              struct buf *out)
{
    struct envelope_aad aad;

    wrap_aad(keyring, name, &aad);
    return envelope_seal(keyring->wk, wrapping_key_id, keyring->mk_version, &aad, text, out);
}

enum qk_err keyring_unwrap_text(const struct keyring *keyring, struct bytes name,
                                struct bytes sealed, struct buf *out)
{
    struct envelope_aad aad;
    enum qk_err err = wrapped_version(keyring, sealed);

    if (err != QK_OK)
        return err;
    wrap_aad(keyring, name, &aad);
    return envelope_open(keyring->wk, &aad, sealed, out);
}

enum qk_err keyring_open(const uint8_t cluster[static CLUSTER_ID_BYTES], const struct secret *mk,
                         uint32_t mk_version, struct keyring **ret_keyring)
{
    struct keyring *keyring = calloc(1, sizeof *keyring);
    enum qk_err err;

    if (keyring == NULL)
        return QK_ERR_NOMEM;
    memcpy(keyring->cluster, cluster, sizeof keyring->cluster);
    keyring->mk_version = mk_version;
    err = kdf_derive(mk, "wrap", bytes_of(cluster, CLUSTER_ID_BYTES), &keyring->wk);
    if (err != QK_OK) {
        keyring_close(keyring);
        return err;
    }
    *ret_keyring = keyring;
    return QK_OK;
}

void keyring_close(struct keyring *keyring)
{
    if (keyring == NULL)
        return;
    for (size_t i = 0; i < SYSTEM_KEYS_N; i++)
        secret_free(keyring->system[i]);
    for (size_t i = 0; i < keyring->keys_n; i++) {
        for (size_t k = 0; k < keyring->keys[i].versions_n; k++)
            secret_free(keyring->keys[i].versions[k].key);
        free(keyring->keys[i].versions);
        secret_wipe(keyring->keys[i].name, sizeof keyring->keys[i].name);
    }
    free(keyring->keys);
    free(keyring->names);
    secret_free(keyring->wk);
    free(keyring);
}

/* The first key whose id is not below `key_id`. */
static size_t key_position(const struct keyring *keyring, const uint8_t *key_id)
{
    size_t low = 0, high = keyring->keys_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (memcmp(keyring->keys[mid].id, key_id, KEY_ID_BYTES) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct data_key *keyring_key(const struct keyring *keyring, const uint8_t *key_id)
{
    size_t at = key_position(keyring, key_id);

    if (at == keyring->keys_n || memcmp(keyring->keys[at].id, key_id, KEY_ID_BYTES) != 0)
        return NULL;
    return &keyring->keys[at];
}

enum qk_err keyring_key_ensure(struct keyring *keyring, const uint8_t *key_id,
                               struct data_key **ret_key)
{
    size_t at = key_position(keyring, key_id);
    struct data_key *keys;

    *ret_key = keyring_key(keyring, key_id);
    if (*ret_key != NULL)
        return QK_OK;
    if (keyring->keys_n == KEYRING_KEYS_MAX)
        return QK_ERR_TOO_BIG;
    if (keyring->keys_n == keyring->keys_cap) {
        size_t cap = keyring->keys_cap == 0 ? 8 : 2 * keyring->keys_cap;

        keys = realloc(keyring->keys, cap * sizeof *keys); /* handles and names, no key bytes */
        if (keys == NULL)
            return QK_ERR_NOMEM;
        keyring->keys = keys;
        keyring->keys_cap = cap;
    }
    memmove(&keyring->keys[at + 1], &keyring->keys[at],
            (keyring->keys_n - at) * sizeof *keyring->keys);
    memset(&keyring->keys[at], 0, sizeof *keyring->keys);
    memcpy(keyring->keys[at].id, key_id, KEY_ID_BYTES);
    keyring->keys_n++;
    *ret_key = &keyring->keys[at];
    return QK_OK;
}

struct key_version *keyring_version(const struct data_key *key, uint32_t version)
{
    for (size_t i = key->versions_n; i > 0; i--) /* the newest is asked for most */
        if (key->versions[i - 1].version == version)
            return &key->versions[i - 1];
    return NULL;
}

enum qk_err keyring_version_ensure(struct data_key *key, uint32_t version,
                                   struct key_version **ret_version)
{
    struct key_version *versions;
    size_t at = key->versions_n;

    *ret_version = keyring_version(key, version);
    if (*ret_version != NULL)
        return QK_OK;
    if (key->versions_n == KEY_VERSIONS_MAX + 1) /* one may come before the info that names it */
        return QK_ERR_TOO_BIG;
    versions = realloc(key->versions, (key->versions_n + 1) * sizeof *versions);
    if (versions == NULL)
        return QK_ERR_NOMEM;
    key->versions = versions;
    while (at > 0 && versions[at - 1].version > version)
        at--;
    memmove(&versions[at + 1], &versions[at], (key->versions_n - at) * sizeof *versions);
    versions[at] = (struct key_version){.version = version};
    key->versions_n++;
    *ret_version = &versions[at];
    return QK_OK;
}

uint32_t keyring_mk_version(const struct keyring *keyring)
{
    return keyring->mk_version;
}

const uint8_t *keyring_cluster(const struct keyring *keyring)
{
    return keyring->cluster;
}

const struct secret *keyring_data_key(const struct keyring *keyring,
                                      const uint8_t key_id[static KEY_ID_BYTES], uint32_t version)
{
    const struct data_key *key = keyring_key(keyring, key_id);
    const struct key_version *found = key == NULL ? NULL : keyring_version(key, version);

    return found == NULL ? NULL : found->key;
}

const struct secret *keyring_catalog_key(const struct keyring *keyring, uint32_t *ret_version)
{
    const struct data_key *key = keyring_key(keyring, keyring_catalog_id);

    if (key == NULL)
        return NULL;
    *ret_version = key->active;
    return keyring_data_key(keyring, keyring_catalog_id, key->active);
}

const struct secret *keyring_index_key(const struct keyring *keyring)
{
    return keyring->system[SYSTEM_INDEX];
}

const struct secret *keyring_audit_key(const struct keyring *keyring)
{
    return keyring->system[SYSTEM_AUDIT];
}

const struct secret *keyring_integrity_key(const struct keyring *keyring)
{
    return keyring->system[SYSTEM_INTEGRITY];
}

const struct secret *keyring_revision_key(const struct keyring *keyring)
{
    return keyring->system[SYSTEM_REVISION];
}

/* The catalog key has the lowest id, so it stands first where it stands at all. */
static size_t catalog_keys_n(const struct keyring *keyring)
{
    return keyring_key(keyring, keyring_catalog_id) != NULL ? 1 : 0;
}

static enum qk_err active_of(const struct data_key *key, uint32_t *ret_version)
{
    const struct key_version *active;

    if (key == NULL || key->name_len == 0) /* no info: nothing says which is active */
        return QK_ERR_NOT_FOUND;
    if (key->active == 0)
        return QK_ERR_DESTROYED;
    active = keyring_version(key, key->active);
    if (active == NULL || active->key == NULL)
        return QK_ERR_NOT_FOUND;
    *ret_version = key->active;
    return QK_OK;
}

enum qk_err keyring_active(const struct keyring *keyring, const uint8_t key_id[static KEY_ID_BYTES],
                           uint32_t *ret_version)
{
    return active_of(keyring_key(keyring, key_id), ret_version);
}

enum qk_err keyring_id_of(const struct keyring *keyring, struct bytes name,
                          uint8_t ret_key_id[static KEY_ID_BYTES])
{
    const struct data_key *key = keyring_named(keyring, name);

    if (key == NULL)
        return QK_ERR_NOT_FOUND;
    memcpy(ret_key_id, key->id, KEY_ID_BYTES);
    return QK_OK;
}

enum qk_err keyring_find(const struct keyring *keyring, struct bytes name,
                         uint8_t ret_key_id[static KEY_ID_BYTES], uint32_t *ret_version)
{
    const struct data_key *key = keyring_named(keyring, name);
    enum qk_err err = active_of(key, ret_version);

    if (err == QK_OK)
        memcpy(ret_key_id, key->id, KEY_ID_BYTES);
    return err;
}

enum qk_err keyring_default(const struct keyring *keyring, uint8_t ret_key_id[static KEY_ID_BYTES],
                            uint32_t *ret_version)
{
    return keyring_find(keyring, bytes_str(KEYRING_DEFAULT_NAME), ret_key_id, ret_version);
}

enum qk_err keyring_complete(struct keyring *keyring)
{
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err err;

    for (size_t i = 0; i < SYSTEM_KEYS_N; i++)
        if (keyring->system[i] == NULL)
            return QK_ERR_NOT_FOUND;
    if (keyring_catalog_key(keyring, &version) == NULL)
        return QK_ERR_NOT_FOUND;
    err = keyring_names_sort(keyring);
    if (err != QK_OK)
        return err;
    err = keyring_default(keyring, key_id, &version);
    return err == QK_ERR_DESTROYED ? QK_OK : err;
}

struct bytes keyring_name(const struct keyring *keyring, const uint8_t key_id[static KEY_ID_BYTES])
{
    const struct data_key *key = keyring_key(keyring, key_id);

    return key == NULL ? BYTES_NONE : bytes_of(key->name, key->name_len);
}

size_t keyring_keys_n(const struct keyring *keyring)
{
    return keyring->keys_n - catalog_keys_n(keyring);
}

static struct keyring_info info_of(const struct data_key *key)
{
    return (struct keyring_info){.key_id = key->id,
                                 .name = bytes_of(key->name, key->name_len),
                                 .active = key->active,
                                 .limits = key->limits,
                                 .versions_n = key->versions_n};
}

enum qk_err keyring_info_at(const struct keyring *keyring, size_t at, struct keyring_info *ret_info)
{
    at += catalog_keys_n(keyring);
    if (at >= keyring->keys_n)
        return QK_ERR_NOT_FOUND;
    *ret_info = info_of(&keyring->keys[at]);
    return QK_OK;
}

enum qk_err keyring_info_of(const struct keyring *keyring,
                            const uint8_t key_id[static KEY_ID_BYTES],
                            struct keyring_info *ret_info)
{
    const struct data_key *key = keyring_key(keyring, key_id);

    if (key == NULL)
        return QK_ERR_NOT_FOUND;
    *ret_info = info_of(key);
    return QK_OK;
}

struct key_version_info keyring_version_about(const struct key_version *version)
{
    return (struct key_version_info){.version = version->version,
                                     .state = version->state,
                                     .suite = version->suite,
                                     .created_s = version->created_s};
}

struct key_version_info keyring_version_at(const struct keyring *keyring,
                                           const struct keyring_info *info, size_t at)
{
    const struct data_key *key = keyring_key(keyring, info->key_id);

    assert(key != NULL && at < key->versions_n);
    return keyring_version_about(&key->versions[at]);
}

/* One that is not listed any more is destroyed: numbers are given in order, once. */
enum qk_err keyring_version_check(const struct keyring *keyring,
                                  const uint8_t key_id[static KEY_ID_BYTES], uint32_t version)
{
    const struct data_key *key = keyring_key(keyring, key_id);
    const struct key_version *found = key == NULL ? NULL : keyring_version(key, version);

    if (found != NULL && found->key != NULL)
        return QK_OK;
    if (found != NULL)
        return found->state == KEY_DESTROYED ? QK_ERR_DESTROYED : QK_ERR_NOT_FOUND;
    return key != NULL && key->versions_n > 0 && version != 0 &&
                   version < key->versions[key->versions_n - 1].version
               ? QK_ERR_DESTROYED
               : QK_ERR_NOT_FOUND;
}

enum qk_err keyring_seal_envelope(const struct keyring *keyring,
                                  const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                                  bool clear, const struct envelope_aad *aad, struct bytes plain,
                                  struct buf *out)
{
    const struct key_version *found;
    enum qk_err err = keyring_version_check(keyring, key_id, version);

    if (err != QK_OK)
        return err;
    found = keyring_version(keyring_key(keyring, key_id), version);
    return envelope_seal_in(clear ? ENVELOPE_CLEAR : (enum envelope_suite)found->suite, found->key,
                            key_id, version, aad, plain, out);
}

enum qk_err keyring_open_body(const struct keyring *keyring, const struct envelope_aad *aad,
                              struct bytes sealed, bool may_be_clear, struct buf *out)
{
    const struct secret *key;
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    enum qk_err err = envelope_peek(sealed, key_id, &version);

    if (err == QK_OK)
        err = keyring_version_check(keyring, key_id, version);
    if (err != QK_OK)
        return err;
    key = keyring_data_key(keyring, key_id, version);
    return may_be_clear && envelope_is_clear(sealed) ? envelope_open_clear(key, aad, sealed, out)
                                                     : envelope_open(key, aad, sealed, out);
}

enum qk_err keyring_open_envelope(const struct keyring *keyring, const struct envelope_aad *aad,
                                  struct bytes sealed, struct buf *out)
{
    return keyring_open_body(keyring, aad, sealed, false, out);
}
