/* The inside of disk.h: what disk.c, disk_load.c, disk_row.c and disk_cursor.c share. */
#ifndef INDEX_DISK_PRIVATE_H
#define INDEX_DISK_PRIVATE_H

#include "index/disk.h"
#include "index/rows.h"
#include "keys/multiset.h"
#include "store/index_file.h"

#define DISK_FILE_ID_BYTES 16
#define DISK_SUBKEYS_MAX 64            /* kept; others are derived again */
#define DISK_PLAIN_BYTES_MAX (8 * MIB) /* the list of a document with the most rows */
#define DISK_ROW_HEAD_BYTES (KEY_ID_BYTES + 4 + AEAD_NONCE_BYTES)
#define DISK_ROW_PREFIX 'r'
#define DISK_DOC_PREFIX 'd'

struct disk_subkey {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    struct secret *key; /* NULL: free */
};

struct disk_version {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    uint64_t rows_n;
};

struct index_disk {
    struct index_file *file;
    char path[1024];
    uint8_t cluster[CLUSTER_ID_BYTES], database[DATABASE_ID_BYTES], signature[HASH_BYTES];
    bool blind, loaded;
    struct keyring *const *keyring;
    struct index **indexes;
    size_t views_n;

    uint8_t file_id[DISK_FILE_ID_BYTES];
    struct secret *meta_key, *blind_key, *sum_key; /* of F */
    struct disk_subkey subkeys[DISK_SUBKEYS_MAX];
    struct disk_version *versions;
    size_t versions_n, versions_cap, version_last;

    uint64_t seq;
    struct multiset sum;
    size_t dirty_bytes;

    struct multiset load_sum;
    struct buf load_place; /* the next key */
    struct buf gone;       /* names, each as a blob: to be removed when all is loaded */

    struct buf key, value, aad; /* scratch: of the row at hand */
    struct buf plain, list;     /* secret */
};

/* A row's clear beginning, and what is sealed behind it. */
struct disk_sealed {
    const uint8_t *key_id;
    uint32_t version;
    struct bytes head, nonce, sealed;
};
MUST_USE enum qk_err disk_sealed_parse(struct bytes value, struct disk_sealed *ret_sealed);
/* Appends the row of `plain` at `key` to `value`, which holds what comes before it. */
MUST_USE enum qk_err disk_row_seal(struct index_disk *disk, struct bytes key, const uint8_t *key_id,
                                   uint32_t version, struct bytes plain, struct buf *value);
/* `before`: what `value` holds before the row. QK_ERR_CORRUPT, QK_ERR_DESTROYED, QK_ERR_SEALED. */
MUST_USE enum qk_err disk_row_open(struct index_disk *disk, struct bytes key, struct bytes value,
                                   size_t before, struct buf *ret_plain);
void disk_subkeys_wipe(struct index_disk *disk);

/* Appends the place of a bound. */
MUST_USE enum qk_err disk_place_put(struct index_disk *disk, size_t view,
                                    const struct index_bound *bound, struct buf *out);
/* Counts a row, under its data key and version: `by` is 1 or -1. */
MUST_USE enum qk_err disk_count(struct index_disk *disk, size_t view, const uint8_t *key_id,
                                uint32_t version, int by);
MUST_USE enum qk_err disk_element(const struct index_disk *disk, struct bytes key,
                                  struct bytes value, uint8_t ret_element[static HASH_BYTES]);

#endif
