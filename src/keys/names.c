/* Keys by their names. A keyring is filled in the order of ids, so names come in none: they are put
 * in order once, at the end, and what comes later is put in its place. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring_private.h"

static struct bytes name_of(const struct data_key *key)
{
    return bytes_of(key->name, key->name_len);
}

static const struct data_key *key_at(const struct keyring *keyring, size_t at)
{
    return keyring_key(keyring, keyring->names[at]);
}

/* The first whose name is not below; all are in order. */
static size_t position(const struct keyring *keyring, struct bytes name)
{
    size_t low = 0, high = keyring->names_n;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (bytes_compare(name_of(key_at(keyring, mid)), name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

enum qk_err keyring_names_add(struct keyring *keyring, const struct data_key *key)
{
    size_t at = keyring->names_n;

    assert(key->name_len > 0);

    if (memcmp(key->id, keyring_catalog_id, KEY_ID_BYTES) == 0)
        return QK_OK;
    if (keyring->names_n == keyring->names_cap) {
        size_t cap = keyring->names_cap == 0 ? 8 : 2 * keyring->names_cap;
        uint8_t(*names)[KEY_ID_BYTES] = reallocarray(keyring->names, cap, sizeof *names);

        if (names == NULL)
            return QK_ERR_NOMEM;
        keyring->names = names;
        keyring->names_cap = cap;
    }
    if (keyring->names_sorted)
        at = position(keyring, name_of(key));
    memmove(&keyring->names[at + 1], &keyring->names[at],
            (keyring->names_n - at) * sizeof *keyring->names);
    memcpy(keyring->names[at], key->id, KEY_ID_BYTES);
    keyring->names_n++;
    return QK_OK;
}

static int compare(const void *a, const void *b)
{
    const struct data_key *const *one = a, *const *other = b;

    return bytes_compare(name_of(*one), name_of(*other));
}

enum qk_err keyring_names_sort(struct keyring *keyring)
{
    const struct data_key **keys;

    if (keyring->names_sorted || keyring->names_n == 0)
        return QK_OK;
    keys = calloc(keyring->names_n, sizeof *keys);
    if (keys == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < keyring->names_n; i++)
        keys[i] = key_at(keyring, i);
    qsort(keys, keyring->names_n, sizeof *keys, compare);
    for (size_t i = 0; i < keyring->names_n; i++)
        memcpy(keyring->names[i], keys[i]->id, KEY_ID_BYTES);
    free(keys);
    keyring->names_sorted = true;
    return QK_OK;
}

const struct data_key *keyring_named(const struct keyring *keyring, struct bytes name)
{
    size_t at;

    if (keyring->names_sorted) {
        at = position(keyring, name);
        return at < keyring->names_n && bytes_equal(name_of(key_at(keyring, at)), name)
                   ? key_at(keyring, at)
                   : NULL;
    }
    for (at = 0; at < keyring->names_n; at++)
        if (bytes_equal(name_of(key_at(keyring, at)), name))
            return key_at(keyring, at);
    return NULL;
}
