/* The indexes of one design document on the disk: of kind plain (keys in clear, in order) or blind
 * (keyed hashes of them). See docs/indexes.md for what each tells.
 *
 *     'h'                              format u8 ‖ catalog key version u32 ‖ file id[16] ‖ envelope
 * of F 'm'                              nonce[24] ‖ sealed (sequence u64 ‖ sum[32]) 'd' ‖ name seq
 * u64 ‖ row (keys of the document's rows) 'r' ‖ view u16 ‖ place ‖ nth u32 row (id, sort key if
 * blind, key, value) row   = key id[16] ‖ version u32 ‖ nonce[24] ‖ sealed place = plain: sort key,
 * blind: 16 bytes of MAC(F', view ‖ sort key); 01 ‖ name, ended or cut
 *
 * `name` is that of the document's record, so that it is in clear only where ids are. A row is
 * sealed with XChaCha20-Poly1305 under KDF(version of the document's data key, "index rows",
 * cluster ‖ database ‖ signature ‖ file id), its additional data are its place and its clear
 * beginning: so it opens there alone, and for nobody who could not open the document. F is the
 * file's own random key, sealed under the catalog key as it was when the file was made: a removal
 * renews both. `sum` is a keyed hash of the set of all rows (keys/multiset.h), which the load
 * compares: rows that were put back, or are not there, are found before the first query.
 *
 * The loop's thread only. */
#ifndef INDEX_DISK_H
#define INDEX_DISK_H

#include "index/index.h"
#include "keys/keyring.h"

#define INDEX_DISK_SORT_BYTES_MAX 400 /* of a plain sort key: QK_ERR_UNSUPPORTED past it */

struct index_disk;

struct index_disk_options {
    const char *path;
    const uint8_t *cluster;   /* CLUSTER_ID_BYTES: what envelopes bind */
    const uint8_t *database;  /* DATABASE_ID_BYTES */
    const uint8_t *signature; /* HASH_BYTES */
    bool blind;
    size_t views_n;
    struct keyring *const
        *keyring; /* where the service keeps it; may be NULL there: QK_ERR_SEALED */
};

/* Opens or makes it; what does not open is made anew. QK_ERR_SEALED, QK_ERR_IO, QK_ERR_FULL. */
MUST_USE enum qk_err index_disk_open(const struct index_disk_options *options,
                                     struct index_disk **ret_disk);
/* With `keep` it goes on from here the next time; else the file is removed. Takes NULL. */
void index_disk_close(struct index_disk *disk, bool keep);
/* Begins anew, with nothing in it. */
MUST_USE enum qk_err index_disk_reset(struct index_disk *disk);

/* What an opened file holds is not used before it was looked through, so many rows a call, until
 * *ret_done. `check` is asked of each document, by its record's name and the sequence of its rows:
 * QK_ERR_NOT_FOUND: it is gone, its rows go; QK_ERR_CORRUPT. QK_ERR_CORRUPT: to be reset. */
bool index_disk_is_loaded(const struct index_disk *disk);
MUST_USE enum qk_err index_disk_load(struct index_disk *disk, unsigned rows_max,
                                     enum qk_err (*check)(void *arg, struct bytes name,
                                                          uint64_t seq),
                                     void *arg, bool *ret_done);

/* The view's rows, as any index; valid until the disk is closed, and not freed by the caller. */
const struct index *index_disk_index(const struct index_disk *disk, size_t view);
bool index_disk_is_blind(const struct index_disk *disk);
/* Whether rows are sealed under a version that the keyring has destroyed. */
bool index_disk_has_destroyed(const struct index_disk *disk);

struct index_disk_doc {
    struct bytes name, id;
    uint64_t seq;
    const uint8_t *key_id; /* KEY_ID_BYTES */
    uint32_t key_version;
};
struct index_disk_row {
    size_t view;
    struct index_emit emit;
};
/* Puts these rows in the place of all that the document had, in all views. QK_ERR_TOO_BIG (too many
 * rows): it has none. Any other error: the file is to be thrown away. */
MUST_USE enum qk_err index_disk_put(struct index_disk *disk, const struct index_disk_doc *doc,
                                    const struct index_disk_row *rows, size_t rows_n);
MUST_USE enum qk_err index_disk_remove(struct index_disk *disk, struct bytes name);

/* The sequence up to which all is in it: of the last commit, or as read. */
uint64_t index_disk_seq(const struct index_disk *disk);
MUST_USE enum qk_err index_disk_commit(struct index_disk *disk, uint64_t seq);
/* So much was written since that a commit is due. */
bool index_disk_is_full(const struct index_disk *disk);
/* As index_file_descriptor. */
int index_disk_descriptor(const struct index_disk *disk);
uint64_t index_disk_bytes(const struct index_disk *disk);

#endif
