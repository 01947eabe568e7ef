/* One row on the disk: its place, and how it is sealed. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "index/disk_private.h"

#define HASH_CUT_BYTES 16
#define TAIL_NAME 0x01 /* a document's name follows */
#define TAIL_BEHIND 0x02
#define TAIL_BYTES_MAX 100 /* longer names are cut and end in a hash: they are told apart */
#define TAIL_CUT_BYTES 80

_Static_assert(1 + 2 + INDEX_DISK_SORT_BYTES_MAX + 1 + TAIL_BYTES_MAX + 4 <=
                   INDEX_FILE_KEY_BYTES_MAX,
               "a row's place fits");

/* --- places ------------------------------------------------------------------------------------
 */

/* Ordered as the names are, whatever follows: 00 as 00 ff, ended by 00 00. */
static void tail_put(struct bytes name, struct buf *out)
{
    size_t begin, i;
    uint8_t hash[HASH_BYTES];

    buf_put_u8(out, TAIL_NAME);
    begin = out->len;
    for (i = 0; i < name.len && out->len - begin <= TAIL_BYTES_MAX; i++) {
        buf_put_u8(out, name.data[i]);
        if (name.data[i] == 0)
            buf_put_u8(out, 0xff);
    }
    if (out->len - begin <= TAIL_BYTES_MAX - 2) {
        buf_put_u16(out, 0);
        return;
    }
    hash_compute(&name, 1, hash);
    out->len = begin + TAIL_CUT_BYTES;
    buf_put(out, hash, HASH_CUT_BYTES);
}

static enum qk_err sort_put(struct index_disk *disk, size_t view, struct bytes sort,
                            struct buf *out)
{
    uint8_t number[2] = {0}, mac[HASH_BYTES];
    struct bytes parts[2] = {bytes_of(number, sizeof(number)), sort};
    enum qk_err err;

    if (!disk->blind) { /* no key is as long as a bound that is cut here: the cut decides nothing */
        buf_put_bytes(out, bytes_slice(sort, 0, INDEX_DISK_SORT_BYTES_MAX + 1));
        return QK_OK;
    }
    put_u16(number, (uint16_t)view);
    err = mac_compute(disk->blind_key, "index blind key", parts, 2, mac);
    buf_put(out, mac, HASH_CUT_BYTES);
    return err;
}

enum qk_err disk_place_put(struct index_disk *disk, size_t view, const struct index_bound *bound,
                           struct buf *out)
{
    enum qk_err err;

    buf_put_u8(out, DISK_ROW_PREFIX);
    buf_put_u16(out, (uint16_t)view);
    err = sort_put(disk, view, bound->sort, out);
    if (bound->has_id)
        tail_put(bound->id, out);
    if (bound->has_id && bound->behind)
        buf_put_u32(out, UINT32_MAX);
    else if (bound->behind)
        buf_put_u8(out, TAIL_BEHIND);
    return err == QK_OK ? buf_error(out) : err;
}

/* --- keys --------------------------------------------------------------------------------------
 */

void disk_subkeys_wipe(struct index_disk *disk)
{
    size_t i;

    for (i = 0; i < DISK_SUBKEYS_MAX; i++) {
        secret_free(disk->subkeys[i].key);
        disk->subkeys[i].key = NULL;
    }
}

/* Kept by the low bits of a random id and the version: few collide, and those are derived again. */
static struct disk_subkey *subkey_place(struct index_disk *disk, const uint8_t *key_id,
                                        uint32_t version)
{
    return &disk->subkeys[(key_id[KEY_ID_BYTES - 1] + version) % DISK_SUBKEYS_MAX];
}

static enum qk_err subkey_of(struct index_disk *disk, const uint8_t *key_id, uint32_t version,
                             const struct secret **ret_key)
{
    struct disk_subkey *subkey = subkey_place(disk, key_id, version);
    const struct bytes parts[] = {
        bytes_of(disk->cluster, CLUSTER_ID_BYTES), bytes_of(disk->database, DATABASE_ID_BYTES),
        bytes_of(disk->signature, HASH_BYTES), bytes_of(disk->file_id, DISK_FILE_ID_BYTES)};
    const struct secret *data_key;
    enum qk_err err;

    if (*disk->keyring == NULL)
        return QK_ERR_SEALED;
    if (subkey->key == NULL || subkey->version != version ||
        memcmp(subkey->key_id, key_id, KEY_ID_BYTES) != 0) {
        err = keyring_version_check(*disk->keyring, key_id, version);
        if (err != QK_OK)
            return err == QK_ERR_NOT_FOUND ? QK_ERR_CORRUPT : err;
        data_key = keyring_data_key(*disk->keyring, key_id, version);
        if (data_key == NULL)
            return QK_ERR_DESTROYED;
        secret_free(subkey->key);
        subkey->key = NULL;
        err = kdf_derive_parts(data_key, "index rows", parts, 4, &subkey->key);
        if (err != QK_OK)
            return err;
        memcpy(subkey->key_id, key_id, KEY_ID_BYTES);
        subkey->version = version;
    }
    *ret_key = subkey->key;
    return QK_OK;
}

/* --- sealing -----------------------------------------------------------------------------------
 */

enum qk_err disk_sealed_parse(struct bytes value, struct disk_sealed *ret_sealed)
{
    if (value.len < DISK_ROW_HEAD_BYTES + AEAD_TAG_BYTES)
        return QK_ERR_CORRUPT;
    *ret_sealed =
        (struct disk_sealed){.key_id = value.data,
                             .version = get_u32(value.data + KEY_ID_BYTES),
                             .head = bytes_slice(value, 0, KEY_ID_BYTES + 4),
                             .nonce = bytes_slice(value, KEY_ID_BYTES + 4, AEAD_NONCE_BYTES),
                             .sealed = bytes_slice(value, DISK_ROW_HEAD_BYTES, value.len)};
    return QK_OK;
}

/* The place, and all that stands in clear. */
static struct bytes aad_make(struct index_disk *disk, struct bytes key, struct bytes clear)
{
    buf_reset(&disk->aad);
    buf_put_blob(&disk->aad, key);
    buf_put_bytes(&disk->aad, clear);
    return buf_bytes(&disk->aad);
}

enum qk_err disk_row_seal(struct index_disk *disk, struct bytes key, const uint8_t *key_id,
                          uint32_t version, struct bytes plain, struct buf *value)
{
    uint8_t nonce[AEAD_NONCE_BYTES];
    const struct secret *subkey;
    struct bytes aad;
    enum qk_err err = subkey_of(disk, key_id, version, &subkey);

    if (err != QK_OK)
        return err;
    random_fill(nonce, sizeof(nonce)); /* 24 random bytes never meet again under one key */
    buf_put(value, key_id, KEY_ID_BYTES);
    buf_put_u32(value, version);
    aad = aad_make(disk, key, buf_bytes(value));
    buf_put(value, nonce, sizeof(nonce));
    if (buf_error(&disk->aad) != QK_OK)
        return buf_error(&disk->aad);
    err = aead_seal(subkey, nonce, aad, plain, value);
    return err == QK_OK ? buf_error(value) : err;
}

enum qk_err disk_row_open(struct index_disk *disk, struct bytes key, struct bytes value,
                          size_t before, struct buf *ret_plain)
{
    struct disk_sealed sealed;
    const struct secret *subkey;
    struct bytes aad;
    enum qk_err err = disk_sealed_parse(bytes_slice(value, before, value.len), &sealed);

    if (err == QK_OK)
        err = subkey_of(disk, sealed.key_id, sealed.version, &subkey);
    if (err != QK_OK)
        return err;
    aad = aad_make(disk, key, bytes_slice(value, 0, before + sealed.head.len));
    if (buf_error(&disk->aad) != QK_OK)
        return buf_error(&disk->aad);
    return aead_open(subkey, sealed.nonce.data, aad, sealed.sealed, ret_plain);
}

/* --- counts ------------------------------------------------------------------------------------
 */

static enum qk_err version_of(struct index_disk *disk, const uint8_t *key_id, uint32_t version,
                              struct disk_version **ret_version)
{
    size_t i, cap = disk->versions_cap == 0 ? 8 : 2 * disk->versions_cap;
    struct disk_version *wide;

    for (i = 0; i <= disk->versions_n; i++) { /* the last one found first, then all */
        size_t at = i == 0 ? disk->version_last : i - 1;
        struct disk_version *known = &disk->versions[at];

        if (at < disk->versions_n && known->version == version &&
            memcmp(known->key_id, key_id, KEY_ID_BYTES) == 0) {
            disk->version_last = at;
            *ret_version = known;
            return QK_OK;
        }
    }
    if (disk->versions_n == disk->versions_cap) {
        wide = reallocarray(disk->versions, cap, sizeof(*wide)); /* ids and counts: no secret */
        if (wide == NULL)
            return QK_ERR_NOMEM;
        disk->versions = wide;
        disk->versions_cap = cap;
    }
    *ret_version = &disk->versions[disk->versions_n++];
    **ret_version = (struct disk_version){.version = version};
    memcpy((*ret_version)->key_id, key_id, KEY_ID_BYTES);
    return QK_OK;
}

enum qk_err disk_count(struct index_disk *disk, size_t view, const uint8_t *key_id,
                       uint32_t version, int by)
{
    struct index *index = disk->indexes[view];
    struct disk_version *known;
    uint32_t slot;
    enum qk_err err = version_of(disk, key_id, version, &known);

    if (err == QK_OK)
        err = rows_slot_of(index, key_id, &slot);
    if (err != QK_OK)
        return err;
    if (by < 0 && (known->rows_n == 0 || index->slots[slot].rows_n == 0))
        return QK_ERR_CORRUPT;
    known->rows_n += (uint64_t)by;
    index->slots[slot].rows_n += (uint64_t)by;
    index->rows_n += (uint64_t)by;
    index->changes++;
    return QK_OK;
}

enum qk_err disk_element(const struct index_disk *disk, struct bytes key, struct bytes value,
                         uint8_t ret_element[static HASH_BYTES])
{
    uint8_t len[2] = {0};
    const struct bytes parts[] = {bytes_of(len, sizeof(len)), key, value};

    put_u16(len, (uint16_t)key.len);
    return mac_compute(disk->sum_key, "index row", parts, 3, ret_element);
}
