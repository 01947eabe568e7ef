#include "keys/change.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring_private.h"

void key_change_fini(struct key_change *change)
{
    for (size_t i = 0; i < change->puts_n; i++)
        buf_fini(&change->puts[i].value);
    free(change->drops);
    *change = (struct key_change){.puts_n = 0};
}

/* --- names ----------------------------------------------------------------------------------- */

static bool is_letter_or_digit(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9');
}

bool key_name_is_good(struct bytes name)
{
    static const char *const taken[] = {"catalog", "reencrypt", "policy"};

    if (name.len == 0 || name.len > KEY_NAME_BYTES_MAX || !is_letter_or_digit(name.data[0]))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!is_letter_or_digit(name.data[i]) && name.data[i] != '.' && name.data[i] != '_' &&
            name.data[i] != '-')
            return false;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (bytes_equal(name, bytes_str(taken[i])))
            return false;
    return true;
}

/* --- a key as it is to be -------------------------------------------------------------------- */

static uint8_t active_suite(const struct data_key *key)
{
    const struct key_version *active = keyring_version(key, key->active);

    return active != NULL ? active->suite : ENVELOPE_XCHACHA20POLY1305;
}

/* The list has an end; the oldest that is destroyed makes room, since it means nothing more than
 * its absence does (keyring_version_check). */
static enum qk_err make_room(struct data_key *next)
{
    size_t at = 0;

    if (next->versions_n < KEY_VERSIONS_MAX)
        return QK_OK;
    while (at < next->versions_n && next->versions[at].state != KEY_DESTROYED)
        at++;
    if (at == next->versions_n)
        return QK_ERR_TOO_BIG;
    memmove(&next->versions[at], &next->versions[at + 1],
            (next->versions_n - at - 1) * sizeof *next->versions);
    next->versions_n--;
    return QK_OK;
}

/* A copy that may be changed, with room for one more; its versions' bytes are borrowed. */
static enum qk_err key_copy(const struct data_key *key, struct data_key *ret_next)
{
    *ret_next = *key;
    ret_next->versions = calloc(key->versions_n + 1, sizeof *ret_next->versions);
    if (ret_next->versions == NULL)
        return QK_ERR_NOMEM;
    if (key->versions_n > 0)
        memcpy(ret_next->versions, key->versions, key->versions_n * sizeof *key->versions);
    return QK_OK;
}

static void key_copy_fini(struct data_key *next)
{
    free(next->versions);
    secret_wipe(next->name, sizeof next->name);
}

/* Behind all others. A number is never used twice: destroyed versions keep theirs. */
static enum qk_err add_version(struct data_key *next, uint8_t suite, uint64_t now_s)
{
    uint32_t newest = next->versions_n > 0 ? next->versions[next->versions_n - 1].version : 0;
    struct key_version *fresh;
    enum qk_err err = newest == UINT32_MAX ? QK_ERR_TOO_BIG : make_room(next);

    if (err != QK_OK)
        return err;
    for (size_t i = 0; i < next->versions_n; i++)
        if (next->versions[i].state == KEY_ACTIVE)
            next->versions[i].state = KEY_DECRYPT_ONLY;
    fresh = &next->versions[next->versions_n];
    *fresh = (struct key_version){
        .version = newest + 1, .state = KEY_ACTIVE, .suite = suite, .created_s = now_s};
    err = secret_new_random(KEY_BYTES, &fresh->key);
    if (err != QK_OK)
        return err;
    next->versions_n++;
    next->active = fresh->version;
    return QK_OK;
}

enum qk_err keyring_key_renew(const struct data_key *key, uint8_t suite, uint64_t now_s,
                              struct data_key *ret_next)
{
    struct data_key next;
    enum qk_err err = key_copy(key, &next);

    if (err == QK_OK)
        err = add_version(&next, suite != 0 ? suite : active_suite(key), now_s);
    if (err == QK_OK)
        *ret_next = next;
    else
        key_copy_fini(&next);
    return err;
}

void keyring_key_renewed_fini(struct data_key *next)
{
    secret_free(next->versions[next->versions_n - 1].key);
    key_copy_fini(next);
}

/* --- the changes ----------------------------------------------------------------------------- */

static void change_begin(const struct data_key *next, struct key_change *change)
{
    *change = (struct key_change){.version = next->active};
    memcpy(change->key_id, next->id, KEY_ID_BYTES);
}

static enum qk_err change_info(const struct keyring *keyring, const struct data_key *next,
                               struct key_change *change)
{
    return keyring_write_info(keyring, next, &change->puts[change->puts_n++]);
}

/* The newest version and the info that names it. */
static enum qk_err change_new(const struct keyring *keyring, const struct data_key *next,
                              struct key_change *ret_change)
{
    struct key_change change;
    enum qk_err err;

    change_begin(next, &change);
    err = keyring_write_version(keyring, next, &next->versions[next->versions_n - 1],
                                &change.puts[change.puts_n++]);
    if (err == QK_OK)
        err = change_info(keyring, next, &change);
    if (err == QK_OK)
        *ret_change = change;
    else
        key_change_fini(&change);
    return err;
}

enum qk_err keyring_change_create(const struct keyring *keyring, struct bytes name,
                                  enum envelope_suite suite, const struct key_limits *limits,
                                  uint64_t now_s, struct key_change *ret_change)
{
    struct data_key blank = {.limits = *limits, .name_len = name.len}, next;
    uint8_t taken[KEY_ID_BYTES];
    enum qk_err err;

    if (!key_name_is_good(name))
        return QK_ERR_INVALID;
    if (keyring_id_of(keyring, name, taken) == QK_OK)
        return QK_ERR_EXISTS;
    if (keyring->keys_n >= KEYRING_KEYS_MAX)
        return QK_ERR_TOO_BIG;
    memcpy(blank.name, name.data, name.len);
    random_fill(blank.id, sizeof blank.id);
    err = keyring_key_renew(&blank, (uint8_t)suite, now_s, &next);
    if (err != QK_OK)
        return err;
    err = change_new(keyring, &next, ret_change);
    keyring_key_renewed_fini(&next);
    return err;
}

enum qk_err keyring_change_rotate(const struct keyring *keyring,
                                  const uint8_t key_id[static KEY_ID_BYTES], unsigned suite,
                                  uint64_t now_s, struct key_change *ret_change)
{
    const struct data_key *key = keyring_key(keyring, key_id);
    struct data_key next;
    uint32_t active;
    enum qk_err err = keyring_active(keyring, key_id, &active);

    if (err == QK_OK)
        err = keyring_key_renew(key, (uint8_t)suite, now_s, &next);
    if (err != QK_OK)
        return err;
    err = change_new(keyring, &next, ret_change);
    keyring_key_renewed_fini(&next);
    return err;
}

/* Marks what is to be destroyed and lists it. */
static enum qk_err destroy_mark(struct data_key *next, uint32_t version, struct key_change *change)
{
    change->drops = calloc(next->versions_n, sizeof *change->drops);
    if (change->drops == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < next->versions_n; i++) {
        struct key_version *one = &next->versions[i];

        if ((version != 0 && one->version != version) || one->state == KEY_DESTROYED)
            continue;
        one->state = KEY_DESTROYED;
        change->drops[change->drops_n++] = one->version;
    }
    if (version == 0)
        next->active = 0;
    change->version = next->active;
    return change->drops_n > 0 ? QK_OK : QK_ERR_DESTROYED;
}

enum qk_err keyring_change_destroy(const struct keyring *keyring,
                                   const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                                   struct key_change *ret_change)
{
    const struct data_key *key = keyring_key(keyring, key_id);
    struct key_change change;
    struct data_key next;
    enum qk_err err;

    if (key == NULL || key->name_len == 0 || key->versions_n == 0)
        return QK_ERR_NOT_FOUND;
    if (version != 0 && keyring_version_check(keyring, key_id, version) != QK_OK)
        return keyring_version_check(keyring, key_id, version);
    if (version != 0 && version == key->active)
        return QK_ERR_CONFLICT;
    err = key_copy(key, &next);
    if (err != QK_OK)
        return err;
    change_begin(&next, &change);
    err = destroy_mark(&next, version, &change);
    if (err == QK_OK)
        err = change_info(keyring, &next, &change);
    key_copy_fini(&next);
    if (err == QK_OK)
        *ret_change = change;
    else
        key_change_fini(&change);
    return err;
}

enum qk_err keyring_change_limits(const struct keyring *keyring,
                                  const uint8_t key_id[static KEY_ID_BYTES],
                                  const struct key_limits *limits, struct key_change *ret_change)
{
    const struct data_key *key = keyring_key(keyring, key_id);
    struct key_change change;
    struct data_key next;
    uint32_t active;
    enum qk_err err = keyring_active(keyring, key_id, &active);

    if (err == QK_OK)
        err = key_copy(key, &next);
    if (err != QK_OK)
        return err;
    next.limits = *limits;
    change_begin(&next, &change);
    err = change_info(keyring, &next, &change);
    key_copy_fini(&next);
    if (err == QK_OK)
        *ret_change = change;
    else
        key_change_fini(&change);
    return err;
}
