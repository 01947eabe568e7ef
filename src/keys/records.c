/* The keyring's records: written by keyring_create and keyring_seal_halves (and, wrapped anew,
 * by rewrap.c), read by keyring_add. */
#include "keys/keyring.h"

#include <assert.h>
#include <string.h>

#include "keys/change.h"
#include "keys/keyring_private.h"

#define INFO_SEALED_BYTES_MAX (HASH_BYTES + KEY_NAME_BYTES_MAX + ENVELOPE_OVERHEAD_BYTES)
#define VALUE_BYTES_MAX (64 * KIB)
#define NAME_KEY_BYTES (4 + KEY_ID_BYTES)
#define NAME_VERSION_BYTES (NAME_KEY_BYTES + 4)
#define NAME_HALVES_BYTES (3 + NODE_ID_BYTES + 8)

_Static_assert(NAME_HALVES_BYTES <= KEYRING_NAME_BYTES_MAX, "names fit");
_Static_assert(NAME_VERSION_BYTES <= KEYRING_NAME_BYTES_MAX, "names fit");

static void record_begin(struct keyring_record *record, const void *name, size_t len)
{
    assert(len <= sizeof record->name);
    memset(record, 0, sizeof *record);
    memcpy(record->name, name, len);
    record->name_len = len;
    record->value = BUF_INIT(VALUE_BYTES_MAX);
}

static struct bytes record_name(const struct keyring_record *record)
{
    return bytes_of(record->name, record->name_len);
}

void keyring_records_fini(struct keyring_records *records)
{
    for (size_t i = 0; i < records->n; i++)
        buf_fini(&records->items[i].value);
    records->n = 0;
}

size_t keyring_info_name(const uint8_t key_id[static KEY_ID_BYTES],
                         uint8_t ret_name[static KEYRING_NAME_BYTES_MAX])
{
    memcpy(ret_name, "key/", 4);
    memcpy(ret_name + 4, key_id, KEY_ID_BYTES);
    return NAME_KEY_BYTES;
}

size_t keyring_version_name(const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                            uint8_t ret_name[static KEYRING_NAME_BYTES_MAX])
{
    put_u32(ret_name + keyring_info_name(key_id, ret_name), version);
    return NAME_VERSION_BYTES;
}

size_t keyring_halves_name(const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                           uint8_t ret_name[static KEYRING_NAME_BYTES_MAX])
{
    memcpy(ret_name, "dp/", 3);
    memcpy(ret_name + 3, node, NODE_ID_BYTES);
    put_u64(ret_name + 3 + NODE_ID_BYTES, gen);
    return NAME_HALVES_BYTES;
}

/* --- writing --- */

enum qk_err keyring_write_system(const struct keyring *keyring, size_t i, const struct secret *key,
                                 struct keyring_record *ret_record)
{
    const char *name = keyring_system_name(i);

    record_begin(ret_record, name, strlen(name));
    return keyring_wrap(keyring, record_name(ret_record), key, &ret_record->value);
}

static void info_clear(const struct data_key *key, struct buf *out)
{
    struct key_info info = {
        .active = key->active, .limits = key->limits, .versions_n = key->versions_n};

    key_info_put(&info, out);
    for (size_t i = 0; i < key->versions_n; i++) {
        struct key_version_info about = keyring_version_about(&key->versions[i]);

        key_info_put_version(&about, out);
    }
}

/* The sealed part: the hash of the clear one, so that nobody makes an old version active again by
 * editing a disk, and the name. */
enum qk_err keyring_write_info(const struct keyring *keyring, const struct data_key *key,
                               struct keyring_record *ret_record)
{
    struct buf sealed = BUF_INIT(INFO_SEALED_BYTES_MAX);
    struct buf plain = BUF_SECRET_INIT(HASH_BYTES + KEY_NAME_BYTES_MAX);
    uint8_t name[KEYRING_NAME_BYTES_MAX], hash[HASH_BYTES];
    size_t name_len = keyring_info_name(key->id, name);
    struct bytes clear;
    enum qk_err err;

    record_begin(ret_record, name, name_len);
    info_clear(key, &ret_record->value);
    clear = buf_bytes(&ret_record->value);
    hash_compute(&clear, 1, hash);
    buf_put(&plain, hash, sizeof hash);
    buf_put(&plain, key->name, key->name_len);
    err = buf_error(&plain);
    if (err == QK_OK)
        err = keyring_wrap_text(keyring, record_name(ret_record), buf_bytes(&plain), &sealed);
    if (err != QK_OK)
        goto out;
    buf_put_blob(&ret_record->value, buf_bytes(&sealed));
    err = buf_error(&ret_record->value);

out:
    buf_fini(&sealed);
    buf_fini(&plain);
    return err;
}

enum qk_err keyring_write_version(const struct keyring *keyring, const struct data_key *key,
                                  const struct key_version *version,
                                  struct keyring_record *ret_record)
{
    uint8_t name[KEYRING_NAME_BYTES_MAX];
    size_t len = keyring_version_name(key->id, version->version, name);

    record_begin(ret_record, name, len);
    return keyring_wrap(keyring, record_name(ret_record), version->key, &ret_record->value);
}

/* A key with a random version 1. */
static enum qk_err make_key(struct keyring *keyring, const uint8_t *key_id, const char *name,
                            uint64_t now_s, struct data_key **ret_key)
{
    struct key_version *version;
    struct data_key *key;
    enum qk_err err = keyring_key_ensure(keyring, key_id, &key);

    if (err == QK_OK)
        err = keyring_version_ensure(key, 1, &version);
    if (err == QK_OK)
        err = secret_new_random(KEY_BYTES, &version->key);
    if (err != QK_OK)
        return err;
    version->state = KEY_ACTIVE;
    version->suite = ENVELOPE_XCHACHA20POLY1305;
    version->created_s = now_s;
    key->active = 1;
    key->name_len = strlen(name);
    memcpy(key->name, name, key->name_len);
    *ret_key = key;
    return keyring_names_add(keyring, key);
}

static enum qk_err create_key(struct keyring *keyring, const uint8_t *key_id, const char *name,
                              uint64_t now_s, struct keyring_records *records)
{
    struct data_key *key = NULL;
    enum qk_err err = make_key(keyring, key_id, name, now_s, &key);

    if (err == QK_OK)
        err = keyring_write_info(keyring, key, &records->items[records->n++]);
    if (err == QK_OK)
        err = keyring_write_version(keyring, key, &key->versions[0], &records->items[records->n++]);
    return err;
}

static enum qk_err create_all(struct keyring *keyring, uint64_t now_s,
                              struct keyring_records *records)
{
    uint8_t default_id[KEY_ID_BYTES];
    enum qk_err err = QK_OK;

    _Static_assert(SYSTEM_KEYS_N + 4 <= KEYRING_CREATE_RECORDS_MAX, "all records have room");
    for (size_t i = 0; i < SYSTEM_KEYS_N && err == QK_OK; i++) {
        err = secret_new_random(KEY_BYTES, &keyring->system[i]);
        if (err == QK_OK)
            err =
                keyring_write_system(keyring, i, keyring->system[i], &records->items[records->n++]);
    }
    random_fill(default_id, sizeof default_id);
    if (err == QK_OK)
        err = create_key(keyring, keyring_catalog_id, KEYRING_CATALOG_NAME, now_s, records);
    if (err == QK_OK)
        err = create_key(keyring, default_id, KEYRING_DEFAULT_NAME, now_s, records);
    return err;
}

enum qk_err keyring_create(const uint8_t cluster[static CLUSTER_ID_BYTES], const struct secret *mk,
                           uint32_t mk_version, uint64_t now_s, struct keyring_records *ret_records,
                           struct keyring **ret_keyring)
{
    struct keyring *keyring;
    enum qk_err err = keyring_open(cluster, mk, mk_version, &keyring);

    if (err != QK_OK)
        return err;
    ret_records->n = 0;
    err = create_all(keyring, now_s, ret_records);
    if (err == QK_OK)
        err = keyring_names_sort(keyring);
    if (err != QK_OK) {
        keyring_records_fini(ret_records);
        keyring_close(keyring);
        return err;
    }
    *ret_keyring = keyring;
    return QK_OK;
}

/* --- reading --- */

static enum qk_err add_system(struct keyring *keyring, size_t i, struct bytes name,
                              struct bytes value)
{
    struct secret *key;
    enum qk_err err = keyring_unwrap(keyring, name, value, KEY_BYTES, &key);

    if (err != QK_OK)
        return err;
    secret_free(keyring->system[i]);
    keyring->system[i] = key;
    return QK_OK;
}

static enum qk_err add_version(struct keyring *keyring, struct bytes name, struct bytes value)
{
    struct key_version *version;
    struct data_key *key;
    struct secret *bytes;
    enum qk_err err = keyring_unwrap(keyring, name, value, KEY_BYTES, &bytes);

    if (err != QK_OK)
        return err;
    err = keyring_key_ensure(keyring, name.data + 4, &key);
    if (err == QK_OK)
        err = keyring_version_ensure(key, get_u32(name.data + NAME_KEY_BYTES), &version);
    if (err != QK_OK) {
        secret_free(bytes);
        return err;
    }
    if (version->state == KEY_DESTROYED) { /* an older record than the info that says so */
        secret_free(bytes);
        return QK_OK;
    }
    secret_free(version->key);
    version->key = bytes;
    return QK_OK;
}

/* Opens the sealed part and checks that it goes with the clear one; `out` is hash and name. */
static enum qk_err info_open(const struct keyring *keyring, struct bytes name, struct bytes clear,
                             struct bytes sealed, struct buf *out)
{
    uint8_t hash[HASH_BYTES];
    enum qk_err err = keyring_unwrap_text(keyring, name, sealed, out);

    if (err != QK_OK)
        return err;
    hash_compute(&clear, 1, hash);
    if (out->len <= HASH_BYTES || out->len > HASH_BYTES + KEY_NAME_BYTES_MAX ||
        memcmp(out->data, hash, sizeof hash) != 0)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

/* What the list has left out is destroyed; what is newer than it waits for the next one. Both are
 * in order. */
static void info_drop(struct data_key *key, const struct key_info *info)
{
    size_t at = 0, kept = 0;

    for (size_t i = 0; i < key->versions_n; i++) {
        uint32_t version = key->versions[i].version;

        while (at < info->versions_n && key_info_version(info, at).version < version)
            at++;
        if (at < info->versions_n && key_info_version(info, at).version != version)
            secret_free(key->versions[i].key);
        else
            key->versions[kept++] = key->versions[i];
    }
    key->versions_n = kept;
}

/* The bytes of a version that is destroyed go at once. */
static enum qk_err info_versions(struct data_key *key, const struct key_info *info)
{
    info_drop(key, info);
    for (size_t i = 0; i < info->versions_n; i++) {
        struct key_version_info about = key_info_version(info, i);
        struct key_version *version;
        enum qk_err err = keyring_version_ensure(key, about.version, &version);

        if (err != QK_OK)
            return err;
        version->state = about.state;
        version->suite = about.suite;
        version->created_s = about.created_s;
        if (about.state == KEY_DESTROYED) {
            secret_free(version->key);
            version->key = NULL;
        }
    }
    return QK_OK;
}

static enum qk_err add_info(struct keyring *keyring, struct bytes name, struct bytes value)
{
    struct buf plain = BUF_SECRET_INIT(HASH_BYTES + KEY_NAME_BYTES_MAX);
    struct reader reader = reader_of(value);
    struct data_key *key = NULL;
    struct bytes clear, sealed;
    struct key_info info;
    bool is_new;
    enum qk_err err = key_info_read(&reader, &info);

    if (err != QK_OK)
        return err;
    clear = bytes_slice(value, 0, reader.at);
    sealed = reader_blob(&reader, INFO_SEALED_BYTES_MAX);
    if (reader_end(&reader) != QK_OK)
        return QK_ERR_CORRUPT;
    err = info_open(keyring, name, clear, sealed, &plain);
    if (err == QK_OK)
        err = keyring_key_ensure(keyring, name.data + 4, &key);
    if (err == QK_OK)
        err = info_versions(key, &info);
    if (err != QK_OK)
        goto out;
    key->active = info.active;
    key->limits = info.limits;
    is_new = key->name_len == 0;
    key->name_len = plain.len - HASH_BYTES;
    memcpy(key->name, plain.data + HASH_BYTES, key->name_len);
    if (is_new)
        err = keyring_names_add(keyring, key);

out:
    buf_fini(&plain);
    return err;
}

enum qk_err keyring_add(struct keyring *keyring, struct bytes name, struct bytes value)
{
    for (size_t i = 0; i < SYSTEM_KEYS_N; i++)
        if (bytes_equal(name, bytes_str(keyring_system_name(i))))
            return add_system(keyring, i, name, value);
    if (!bytes_starts_with(name, bytes_str("key/")))
        return QK_OK;
    if (name.len == NAME_KEY_BYTES)
        return add_info(keyring, name, value);
    return name.len == NAME_VERSION_BYTES ? add_version(keyring, name, value) : QK_OK;
}

enum qk_err keyring_load(const uint8_t cluster[static CLUSTER_ID_BYTES], const struct secret *mk,
                         uint32_t mk_version, const struct bytes *names, const struct bytes *values,
                         size_t n, struct keyring **ret_keyring)
{
    struct keyring *keyring;
    enum qk_err err = keyring_open(cluster, mk, mk_version, &keyring);

    if (err != QK_OK)
        return err;
    for (size_t i = 0; i < n && err == QK_OK; i++)
        err = keyring_add(keyring, names[i], values[i]);
    if (err == QK_OK)
        err = keyring_complete(keyring);
    if (err != QK_OK) {
        keyring_close(keyring);
        return err;
    }
    *ret_keyring = keyring;
    return QK_OK;
}

/* --- D and P of members that may be away --- */

enum qk_err keyring_seal_halves(const struct keyring *keyring,
                                const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                                const struct secret *d, const struct secret *p,
                                struct keyring_record *ret_record)
{
    uint8_t name[KEYRING_NAME_BYTES_MAX];
    size_t name_len = keyring_halves_name(node, gen, name);
    struct secret *both;
    uint8_t *at;
    enum qk_err err;

    assert(secret_len(d) == KEY_BYTES && secret_len(p) == KEY_BYTES);
    if (secret_is_wiped(d) || secret_is_wiped(p))
        return QK_ERR_SEALED;
    err = secret_new_zero(2 * (size_t)KEY_BYTES, &both);
    if (err != QK_OK)
        return err;
    at = secret_borrow_mut(both);
    memcpy(at, secret_borrow(d), KEY_BYTES);
    memcpy(at + KEY_BYTES, secret_borrow(p), KEY_BYTES);
    secret_return(d);
    secret_return(p);
    secret_return_mut(both);
    record_begin(ret_record, name, name_len);
    err = keyring_wrap(keyring, record_name(ret_record), both, &ret_record->value);
    secret_free(both);
    if (err != QK_OK)
        buf_fini(&ret_record->value);
    return err;
}

enum qk_err keyring_open_halves(const struct keyring *keyring, struct bytes name,
                                struct bytes value, struct secret **ret_d, struct secret **ret_p)
{
    struct secret *both, *d = NULL, *p = NULL;
    const uint8_t *at;
    enum qk_err err;

    if (name.len != NAME_HALVES_BYTES || !bytes_starts_with(name, bytes_str("dp/")))
        return QK_ERR_INVALID;
    err = keyring_unwrap(keyring, name, value, 2 * (size_t)KEY_BYTES, &both);
    if (err != QK_OK)
        return err;
    at = secret_borrow(both);
    err = secret_new_copy(at, KEY_BYTES, &d);
    if (err == QK_OK)
        err = secret_new_copy(at + KEY_BYTES, KEY_BYTES, &p);
    secret_return(both);
    secret_free(both);
    if (err != QK_OK) {
        secret_free(d);
        return err;
    }
    *ret_d = d;
    *ret_p = p;
    return QK_OK;
}
