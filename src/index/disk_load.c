/* The look through a file that was opened: every entry is counted and added up, every document is
 * asked for. What is found gone meanwhile, or here, is removed at the end. */
#include <assert.h>

#include "index/disk_private.h"

/* A document's entry: is it still there, and as it was? */
static enum qk_err doc_check(struct index_disk *disk, struct bytes key, struct bytes value,
                             enum qk_err (*check)(void *arg, struct bytes name, uint64_t seq),
                             void *arg)
{
    struct bytes name = bytes_slice(key, 1, key.len);
    enum qk_err err = value.len < 8 ? QK_ERR_CORRUPT : check(arg, name, get_u64(value.data));

    if (err != QK_ERR_NOT_FOUND)
        return err;
    buf_put_blob(&disk->gone, name);
    return buf_error(&disk->gone) == QK_ERR_TOO_BIG ? QK_ERR_CORRUPT : buf_error(&disk->gone);
}

/* Under a version that is not there any more it could not be read, nor counted for anybody. */
static enum qk_err row_check(struct index_disk *disk, struct bytes key, struct bytes value)
{
    struct disk_sealed sealed;
    enum qk_err err = disk_sealed_parse(value, &sealed);

    if (err != QK_OK || key.len < 3 || get_u16(key.data + 1) >= disk->views_n)
        return QK_ERR_CORRUPT;
    if (*disk->keyring == NULL)
        return QK_ERR_SEALED;
    if (keyring_version_check(*disk->keyring, sealed.key_id, sealed.version) != QK_OK)
        return QK_ERR_CORRUPT;
    return disk_count(disk, get_u16(key.data + 1), sealed.key_id, sealed.version, 1);
}

static enum qk_err load_entry(struct index_disk *disk, struct bytes key, struct bytes value,
                              enum qk_err (*check)(void *arg, struct bytes name, uint64_t seq),
                              void *arg)
{
    uint8_t element[HASH_BYTES];
    enum qk_err err = disk_element(disk, key, value, element);

    if (err != QK_OK)
        return err;
    multiset_add_element(&disk->load_sum, element);
    return key.data[0] == DISK_DOC_PREFIX ? doc_check(disk, key, value, check, arg)
                                          : row_check(disk, key, value);
}

static enum qk_err load_end(struct index_disk *disk)
{
    struct reader in = reader_of(buf_bytes(&disk->gone));
    enum qk_err err = multiset_equal(&disk->sum, &disk->load_sum) ? QK_OK : QK_ERR_CORRUPT;

    disk->loaded = err == QK_OK;
    while (err == QK_OK && in.at < in.in.len) {
        struct bytes name = reader_blob(&in, RECORD_KEY_BYTES_MAX);

        err = reader_error(&in) == QK_OK ? index_disk_remove(disk, name) : QK_ERR_CORRUPT;
    }
    buf_reset(&disk->gone);
    return err == QK_OK ? index_file_sound(disk->file) : err;
}

enum qk_err index_disk_load(struct index_disk *disk, unsigned rows_max,
                            enum qk_err (*check)(void *arg, struct bytes name, uint64_t seq),
                            void *arg, bool *ret_done)
{
    struct bytes key, value;
    enum qk_err err = QK_OK;
    unsigned n;

    assert(!disk->loaded);

    *ret_done = false;
    if (disk->load_place.len == 0)
        buf_put_u8(&disk->load_place, 0);
    for (n = 0; err == QK_OK && n < rows_max; n++) {
        err = index_file_seek(disk->file, buf_bytes(&disk->load_place), false, &key, &value);
        if (err != QK_OK)
            break;
        buf_reset(&disk->load_place);
        buf_put_bytes(&disk->load_place, key);
        buf_put_u8(&disk->load_place, 0);
        if (key.data[0] == DISK_DOC_PREFIX || key.data[0] == DISK_ROW_PREFIX)
            err = load_entry(disk, key, value, check, arg);
    }
    *ret_done = err == QK_ERR_NOT_FOUND;
    return *ret_done ? load_end(disk) : err;
}
