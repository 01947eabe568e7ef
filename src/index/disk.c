#include "index/disk.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/disk_private.h"

#define FORMAT 2 /* 1: rows of maps that were told of no conflicts */
#define HEAD_KEY bytes_str("h")
#define META_KEY bytes_str("m")
#define HEAD_BYTES (1 + 4 + DISK_FILE_ID_BYTES)
#define META_PLAIN_BYTES (8 + MULTISET_BYTES)
/* What one transaction takes: LMDB keeps its pages in memory until it ends. With fewer a page is
 * written more often: a fifth more time at 8 MiB, and twice the bytes. */
#define DIRTY_BYTES_MAX (32 * MIB)
#define DIRTY_ROW_BYTES 4096 /* a page, when keys come in no order */

/* --- the file's own key ------------------------------------------------------------------------
 */

static struct envelope_aad head_aad(const struct index_disk *disk)
{
    struct envelope_aad aad = {.document_id = bytes_of(disk->signature, HASH_BYTES),
                               .revision = bytes_of(disk->file_id, DISK_FILE_ID_BYTES),
                               .record_version = FORMAT,
                               .record_kind = ENVELOPE_INDEX};

    memcpy(aad.cluster, disk->cluster, CLUSTER_ID_BYTES);
    memcpy(aad.database, disk->database, DATABASE_ID_BYTES);
    return aad;
}

static void keys_wipe(struct index_disk *disk)
{
    secret_free(disk->meta_key);
    secret_free(disk->blind_key);
    secret_free(disk->sum_key);
    disk->meta_key = disk->blind_key = disk->sum_key = NULL;
    disk_subkeys_wipe(disk);
}

static enum qk_err keys_derive(struct index_disk *disk, const struct secret *file_key)
{
    enum qk_err err = kdf_derive(file_key, "index meta", BYTES_NONE, &disk->meta_key);

    if (err == QK_OK)
        err = kdf_derive(file_key, "index blind", BYTES_NONE, &disk->blind_key);
    if (err == QK_OK)
        err = kdf_derive(file_key, "index sum", BYTES_NONE, &disk->sum_key);
    return err;
}

static enum qk_err head_make(struct index_disk *disk)
{
    struct secret *file_key = NULL;
    struct envelope_aad aad;
    const struct secret *catalog_key;
    uint32_t version = 0;
    enum qk_err err;

    random_fill(disk->file_id, sizeof(disk->file_id));
    aad = head_aad(disk);
    catalog_key = keyring_catalog_key(*disk->keyring, &version);
    err = catalog_key == NULL ? QK_ERR_SEALED : secret_new_random(KEY_BYTES, &file_key);
    buf_reset(&disk->value);
    buf_put_u8(&disk->value, FORMAT);
    buf_put_u32(&disk->value, version);
    buf_put(&disk->value, disk->file_id, sizeof(disk->file_id));
    if (err == QK_OK)
        err = envelope_seal_secret(catalog_key, keyring_catalog_id, version, &aad, file_key,
                                   &disk->value);
    if (err == QK_OK)
        err = buf_error(&disk->value);
    if (err == QK_OK)
        err = keys_derive(disk, file_key);
    if (err == QK_OK)
        err = index_file_put(disk->file, HEAD_KEY, buf_bytes(&disk->value));
    secret_free(file_key);
    return err;
}

/* QK_ERR_NOT_FOUND: a new file. */
static enum qk_err head_read(struct index_disk *disk)
{
    struct secret *file_key = NULL;
    struct envelope_aad aad;
    const struct secret *catalog_key;
    struct bytes head;
    enum qk_err err = index_file_get(disk->file, HEAD_KEY, &head);

    if (err != QK_OK)
        return err;
    if (head.len < HEAD_BYTES || head.data[0] != FORMAT)
        return QK_ERR_CORRUPT;
    catalog_key = keyring_data_key(*disk->keyring, keyring_catalog_id, get_u32(head.data + 1));
    memcpy(disk->file_id, head.data + 5, DISK_FILE_ID_BYTES);
    aad = head_aad(disk);
    err = catalog_key == NULL
              ? QK_ERR_CORRUPT
              : envelope_open_secret(catalog_key, &aad, bytes_slice(head, HEAD_BYTES, head.len),
                                     &file_key);
    if (err == QK_OK && secret_len(file_key) != KEY_BYTES)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK)
        err = keys_derive(disk, file_key);
    secret_free(file_key);
    return err;
}

static struct bytes meta_aad(const struct index_disk *disk)
{
    return bytes_of(disk->file_id, DISK_FILE_ID_BYTES);
}

static enum qk_err meta_read(struct index_disk *disk)
{
    struct bytes meta;
    enum qk_err err = index_file_get(disk->file, META_KEY, &meta);

    buf_reset(&disk->plain);
    if (err == QK_OK && meta.len < AEAD_NONCE_BYTES)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK)
        err = aead_open(disk->meta_key, meta.data, meta_aad(disk),
                        bytes_slice(meta, AEAD_NONCE_BYTES, meta.len), &disk->plain);
    if (err == QK_OK && disk->plain.len != META_PLAIN_BYTES)
        err = QK_ERR_CORRUPT;
    if (err == QK_OK) {
        disk->seq = get_u64(disk->plain.data);
        multiset_decode(disk->plain.data + 8, &disk->sum);
    }
    return err == QK_ERR_NOT_FOUND ? QK_ERR_CORRUPT : err;
}

enum qk_err index_disk_commit(struct index_disk *disk, uint64_t seq)
{
    uint8_t nonce[AEAD_NONCE_BYTES], plain[META_PLAIN_BYTES];
    enum qk_err err;

    put_u64(plain, seq);
    multiset_encode(&disk->sum, plain + 8);
    random_fill(nonce, sizeof(nonce));
    buf_reset(&disk->value);
    buf_put(&disk->value, nonce, sizeof(nonce));
    err = aead_seal(disk->meta_key, nonce, meta_aad(disk), bytes_of(plain, sizeof(plain)),
                    &disk->value);
    secret_wipe(plain, sizeof(plain));
    if (err == QK_OK)
        err = index_file_put(disk->file, META_KEY, buf_bytes(&disk->value));
    if (err == QK_OK)
        err = index_file_commit(disk->file);
    if (err == QK_OK)
        disk->seq = seq;
    disk->dirty_bytes = 0;
    return err;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static void counts_clear(struct index_disk *disk)
{
    size_t i;
    uint32_t slot;

    disk->versions_n = 0;
    for (i = 0; i < disk->views_n; i++) {
        for (slot = 0; slot < disk->indexes[i]->slots_n; slot++)
            disk->indexes[i]->slots[slot].rows_n = 0;
        disk->indexes[i]->rows_n = 0;
        disk->indexes[i]->changes++;
    }
    disk->seq = 0;
    disk->sum = disk->load_sum = (struct multiset){{0}};
    disk->dirty_bytes = 0;
    buf_reset(&disk->load_place);
    buf_reset(&disk->gone);
}

static enum qk_err file_begin(struct index_disk *disk)
{
    enum qk_err err =
        *disk->keyring == NULL ? QK_ERR_SEALED : index_file_open(disk->path, &disk->file);

    counts_clear(disk);
    if (err == QK_OK)
        err = head_read(disk);
    disk->loaded = err == QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        return meta_read(disk);
    if (err != QK_ERR_NOT_FOUND)
        return err;
    err = head_make(disk);
    if (err == QK_OK)
        err = index_disk_commit(disk, 0);
    return err == QK_OK ? index_file_sound(disk->file) : err;
}

enum qk_err index_disk_reset(struct index_disk *disk)
{
    index_file_close(disk->file, false);
    disk->file = NULL;
    keys_wipe(disk);
    index_file_remove(disk->path);
    return file_begin(disk);
}

static enum qk_err indexes_make(struct index_disk *disk, size_t views_n)
{
    disk->indexes = calloc(views_n + 1, sizeof(struct index *));
    if (disk->indexes == NULL)
        return QK_ERR_NOMEM;
    for (; disk->views_n < views_n; disk->views_n++) {
        struct index *index = calloc(1, sizeof(*index));

        if (index == NULL)
            return QK_ERR_NOMEM;
        index->disk = disk;
        index->view = disk->views_n;
        disk->indexes[disk->views_n] = index;
    }
    return QK_OK;
}

enum qk_err index_disk_open(const struct index_disk_options *options, struct index_disk **ret_disk)
{
    struct index_disk *disk = calloc(1, sizeof(*disk));
    enum qk_err err;
    int n;

    assert(ret_disk != NULL && options->views_n <= UINT16_MAX);

    if (disk == NULL)
        return QK_ERR_NOMEM;
    *disk = (struct index_disk){.blind = options->blind,
                                .keyring = options->keyring,
                                .load_place = BUF_INIT(2 * INDEX_FILE_KEY_BYTES_MAX),
                                .gone = BUF_INIT(4 * MIB),
                                .key = BUF_INIT(4 * KIB),
                                .value = BUF_INIT(2 * DISK_PLAIN_BYTES_MAX),
                                .aad = BUF_INIT(4 * KIB),
                                .plain = BUF_SECRET_INIT(DISK_PLAIN_BYTES_MAX),
                                .list = BUF_SECRET_INIT(DISK_PLAIN_BYTES_MAX)};
    memcpy(disk->cluster, options->cluster, CLUSTER_ID_BYTES);
    memcpy(disk->database, options->database, DATABASE_ID_BYTES);
    memcpy(disk->signature, options->signature, HASH_BYTES);
    n = snprintf(disk->path, sizeof(disk->path), "%s", options->path);
    err = n < 0 || (size_t)n >= sizeof(disk->path) ? QK_ERR_TOO_BIG : QK_OK;
    if (err == QK_OK)
        err = indexes_make(disk, options->views_n);
    if (err == QK_OK)
        err = file_begin(disk);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED || err == QK_ERR_UNSUPPORTED)
        err = index_disk_reset(disk);
    if (err == QK_OK)
        *ret_disk = disk;
    else
        index_disk_close(disk, err == QK_ERR_SEALED);
    return err;
}

void index_disk_close(struct index_disk *disk, bool keep)
{
    size_t i;

    if (disk == NULL)
        return;
    if (keep && disk->file != NULL && disk->loaded && disk->meta_key != NULL)
        keep = index_disk_commit(disk, disk->seq) == QK_OK;
    index_file_close(disk->file, keep);
    keys_wipe(disk);
    for (i = 0; i < disk->views_n; i++)
        index_free(disk->indexes[i]);
    free(disk->indexes);
    free(disk->versions);
    buf_fini(&disk->load_place);
    buf_fini(&disk->gone);
    buf_fini(&disk->key);
    buf_fini(&disk->value);
    buf_fini(&disk->aad);
    buf_fini(&disk->plain);
    buf_fini(&disk->list);
    free(disk);
}

/* --- looking -----------------------------------------------------------------------------------
 */

const struct index *index_disk_index(const struct index_disk *disk, size_t view)
{
    assert(view < disk->views_n);

    return disk->indexes[view];
}

bool index_disk_is_blind(const struct index_disk *disk)
{
    return disk->blind;
}

bool index_disk_is_loaded(const struct index_disk *disk)
{
    return disk->loaded;
}

bool index_disk_has_destroyed(const struct index_disk *disk)
{
    size_t i;

    for (i = 0; i < disk->versions_n; i++)
        if (disk->versions[i].rows_n > 0 &&
            keyring_version_check(*disk->keyring, disk->versions[i].key_id,
                                  disk->versions[i].version) != QK_OK)
            return true;
    return false;
}

uint64_t index_disk_seq(const struct index_disk *disk)
{
    return disk->seq;
}

bool index_disk_is_full(const struct index_disk *disk)
{
    return disk->dirty_bytes >= DIRTY_BYTES_MAX;
}

int index_disk_descriptor(const struct index_disk *disk)
{
    return disk->file == NULL ? -1 : index_file_descriptor(disk->file);
}

uint64_t index_disk_bytes(const struct index_disk *disk)
{
    return disk->file == NULL ? 0 : index_file_bytes(disk->file);
}

/* --- rows out ----------------------------------------------------------------------------------
 */

/* One entry out of the file and the sum. */
static enum qk_err entry_remove(struct index_disk *disk, struct bytes key)
{
    uint8_t element[HASH_BYTES];
    struct disk_sealed sealed;
    struct bytes value;
    bool row = key.data[0] == DISK_ROW_PREFIX;
    enum qk_err err = index_file_get(disk->file, key, &value);

    if (err == QK_OK)
        err = disk_element(disk, key, value, element);
    if (err == QK_OK && row)
        err = disk_sealed_parse(value, &sealed);
    if (err == QK_OK && row && (key.len < 3 || get_u16(key.data + 1) >= disk->views_n))
        err = QK_ERR_CORRUPT;
    if (err == QK_OK && row)
        err = disk_count(disk, get_u16(key.data + 1), sealed.key_id, sealed.version, -1);
    if (err == QK_OK)
        err = index_file_delete(disk->file, key);
    if (err == QK_OK)
        multiset_take_element(&disk->sum, element);
    disk->dirty_bytes += DIRTY_ROW_BYTES;
    return err == QK_ERR_NOT_FOUND ? QK_ERR_CORRUPT : err;
}

static void doc_key_put(struct index_disk *disk, struct bytes name)
{
    buf_reset(&disk->key);
    buf_put_u8(&disk->key, DISK_DOC_PREFIX);
    buf_put_bytes(&disk->key, name);
}

enum qk_err index_disk_remove(struct index_disk *disk, struct bytes name)
{
    struct bytes value, key;
    struct reader in;
    enum qk_err err;

    if (!disk->loaded) { /* its rows may have been counted, or not: it goes when all are */
        buf_put_blob(&disk->gone, name);
        return buf_error(&disk->gone);
    }
    doc_key_put(disk, name);
    err = index_file_get(disk->file, buf_bytes(&disk->key), &value);
    if (err == QK_ERR_NOT_FOUND)
        return QK_OK;
    buf_reset(&disk->list);
    if (err == QK_OK)
        err = disk_row_open(disk, buf_bytes(&disk->key), value, 8, &disk->list);
    if (err == QK_OK)
        err = entry_remove(disk, buf_bytes(&disk->key));
    in = reader_of(buf_bytes(&disk->list));
    while (err == QK_OK && in.at < in.in.len) {
        key = reader_bytes(&in, reader_u16(&in));
        err = reader_error(&in) != QK_OK || key.len == 0 ? QK_ERR_CORRUPT : entry_remove(disk, key);
    }
    return err;
}

/* --- rows in -----------------------------------------------------------------------------------
 */

static enum qk_err entry_put(struct index_disk *disk, struct bytes key, struct bytes value)
{
    uint8_t element[HASH_BYTES];
    enum qk_err err = disk_element(disk, key, value, element);

    if (err == QK_OK)
        err = index_file_put(disk->file, key, value);
    if (err == QK_OK)
        multiset_add_element(&disk->sum, element);
    disk->dirty_bytes += DIRTY_ROW_BYTES + value.len;
    return err;
}

static void row_plain_put(struct index_disk *disk, const struct index_disk_doc *doc,
                          const struct index_emit *emit)
{
    struct buf *plain = &disk->plain;

    buf_reset(plain);
    buf_put_u16(plain, (uint16_t)doc->id.len);
    buf_put_bytes(plain, doc->id);
    buf_put_u32(plain, (uint32_t)emit->sort.len);
    if (disk->blind)
        buf_put_bytes(plain, emit->sort);
    buf_put_u32(plain, (uint32_t)emit->key.len);
    buf_put_bytes(plain, emit->key);
    buf_put_bytes(plain, emit->value);
}

static enum qk_err row_put(struct index_disk *disk, const struct index_disk_doc *doc,
                           const struct index_disk_row *row, uint32_t nth)
{
    const struct index_bound bound = {row->emit.sort, true, doc->name, false};
    enum qk_err err;

    if (!disk->blind && row->emit.sort.len > INDEX_DISK_SORT_BYTES_MAX)
        return QK_ERR_UNSUPPORTED;
    buf_reset(&disk->key);
    buf_reset(&disk->value);
    err = disk_place_put(disk, row->view, &bound, &disk->key);
    buf_put_u32(&disk->key, nth);
    row_plain_put(disk, doc, &row->emit);
    if (err == QK_OK)
        err = buf_error(&disk->plain);
    if (err == QK_OK)
        err = disk_row_seal(disk, buf_bytes(&disk->key), doc->key_id, doc->key_version,
                            buf_bytes(&disk->plain), &disk->value);
    if (err == QK_OK)
        err = disk_count(disk, row->view, doc->key_id, doc->key_version, 1);
    if (err == QK_OK)
        err = entry_put(disk, buf_bytes(&disk->key), buf_bytes(&disk->value));
    buf_put_u16(&disk->list, (uint16_t)disk->key.len);
    buf_put_bytes(&disk->list, buf_bytes(&disk->key));
    return err == QK_OK ? buf_error(&disk->list) : err;
}

static enum qk_err doc_put(struct index_disk *disk, const struct index_disk_doc *doc)
{
    enum qk_err err;

    doc_key_put(disk, doc->name);
    buf_reset(&disk->value);
    buf_put_u64(&disk->value, doc->seq);
    err = disk_row_seal(disk, buf_bytes(&disk->key), doc->key_id, doc->key_version,
                        buf_bytes(&disk->list), &disk->value);
    return err == QK_OK ? entry_put(disk, buf_bytes(&disk->key), buf_bytes(&disk->value)) : err;
}

enum qk_err index_disk_put(struct index_disk *disk, const struct index_disk_doc *doc,
                           const struct index_disk_row *rows, size_t rows_n)
{
    enum qk_err err;
    size_t i;

    assert(disk->loaded);

    err = index_disk_remove(disk, doc->name);
    if (err != QK_OK || rows_n == 0)
        return err;
    if (rows_n > INDEX_DOC_ROWS_MAX)
        return QK_ERR_TOO_BIG;
    buf_reset(&disk->list);
    for (i = 0; err == QK_OK && i < rows_n; i++)
        err = row_put(disk, doc, &rows[i], (uint32_t)i);
    return err == QK_OK ? doc_put(disk, doc) : err;
}
