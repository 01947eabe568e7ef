/* The whole keyring wrapped anew under another MK and, when a member was removed or a disk was
 * stolen, with new keys for all that is written from then on.
 *
 * A key is emitted with its versions first and its info last, so that whoever adds the records one
 * after the other never stands with an active version whose key it does not have. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "keys/keyring_private.h"

struct rewrap {
    const struct keyring *from;
    struct keyring *into; /* holds the new WK, nothing else */
    bool new_versions;
    uint64_t now_s;
    enum qk_err (*emit)(void *arg, const struct keyring_record *record);
    void *arg;
};

/* Passes one record on and frees it, whatever came before. */
static enum qk_err pass(const struct rewrap *rewrap, enum qk_err err, struct keyring_record *record)
{
    if (err == QK_OK)
        err = rewrap->emit(rewrap->arg, record);
    buf_fini(&record->value);
    return err;
}

static enum qk_err rewrap_system(const struct rewrap *rewrap, size_t i)
{
    struct keyring_record record;
    struct secret *fresh = NULL;
    enum qk_err err = QK_OK;

    if (rewrap->from->system[i] == NULL)
        return QK_OK;
    if (rewrap->new_versions && i == SYSTEM_REVISION)
        err = secret_new_random(KEY_BYTES, &fresh);
    if (err != QK_OK)
        return err;
    err = keyring_write_system(rewrap->into, i, fresh != NULL ? fresh : rewrap->from->system[i],
                               &record);
    err = pass(rewrap, err, &record);
    secret_free(fresh);
    return err;
}

static enum qk_err rewrap_key(const struct rewrap *rewrap, const struct data_key *key)
{
    struct keyring_record record;
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < key->versions_n && err == QK_OK; i++)
        if (key->versions[i].key != NULL)
            err = pass(rewrap, keyring_write_version(rewrap->into, key, &key->versions[i], &record),
                       &record);
    return err != QK_OK ? err
                        : pass(rewrap, keyring_write_info(rewrap->into, key, &record), &record);
}

static enum qk_err rewrap_renewed(const struct rewrap *rewrap, const struct data_key *key)
{
    struct data_key next;
    enum qk_err err = keyring_key_renew(key, 0, rewrap->now_s, &next);

    if (err != QK_OK)
        return err;
    err = rewrap_key(rewrap, &next);
    keyring_key_renewed_fini(&next);
    return err;
}

enum qk_err keyring_rewrap(const struct keyring *keyring, const struct secret *mk,
                           uint32_t mk_version, bool new_versions, uint64_t now_s,
                           enum qk_err (*emit)(void *arg, const struct keyring_record *record),
                           void *arg)
{
    struct rewrap rewrap = {
        .from = keyring, .new_versions = new_versions, .now_s = now_s, .emit = emit, .arg = arg};
    enum qk_err err = keyring_open(keyring->cluster, mk, mk_version, &rewrap.into);

    if (err != QK_OK)
        return err;
    secret_scope_begin();
    for (size_t i = 0; i < SYSTEM_KEYS_N && err == QK_OK; i++)
        err = rewrap_system(&rewrap, i);
    for (size_t i = 0; i < keyring->keys_n && err == QK_OK; i++)
        err = new_versions && keyring->keys[i].active != 0
                  ? rewrap_renewed(&rewrap, &keyring->keys[i])
                  : rewrap_key(&rewrap, &keyring->keys[i]);
    secret_scope_end();
    keyring_close(rewrap.into);
    return err;
}
