/* The keys of an unsealed node: WK = KDF(MK, "wrap", cluster), and under it, as replicated records
 * of the KEYRING space, the system keys and the data keys (random, wrapped, never derived: a
 * rotation of MK must not change a blind index).
 *
 * Record names (without the 16-byte space id) and values:
 *     sys/index sys/audit sys/integrity sys/revision    envelope of 32 bytes
 *     key/ key_id[16]                                   key info, see below
 *     key/ key_id[16] version u32                       envelope of 32 bytes
 *     dp/ node[16] gen u64                              envelope of D ‖ P, 64 bytes
 * Each envelope is sealed under WK (key id all zero, key version = MK version), its additional data
 * carries the cluster, the KEYRING space, the record's name (so key id and version) and the kind.
 * The catalog key has versions as data keys have: it is the key with the id of sixteen zero bytes,
 * which no document names. What a holder of an old MK must not read or test by guessing gets a
 * fresh key when keyring_rewrap makes new versions: catalog and data keys by a version, the
 * revision key by another in its place; names and blind indexes (sys/index) stay, so that they are
 * found again. Key info: as in key_info.h, then len32 and the envelope of BLAKE2b-256 (all before)
 * ‖ the key's name, so that no disk makes an old version active again. */
#ifndef KEYS_KEYRING_H
#define KEYS_KEYRING_H

#include "keys/envelope.h"
#include "keys/key_info.h"

#define KEYRING_NAME_BYTES_MAX 32
#define KEYRING_CREATE_RECORDS_MAX 8 /* as many as it is */
#define KEY_NAME_BYTES_MAX 64
#define KEYRING_KEYS_MAX 100000

/* A record to store in, or read from, the KEYRING space. `value` belongs to who holds it. */
struct keyring_record {
    uint8_t name[KEYRING_NAME_BYTES_MAX];
    size_t name_len;
    struct buf value;
};

struct keyring_records {
    struct keyring_record items[KEYRING_CREATE_RECORDS_MAX];
    size_t n;
};
void keyring_records_fini(struct keyring_records *records);

struct keyring;

/* A keyring for a new cluster: fresh system keys and the data key "default", version 1, made at
 * `now_s` (cluster time). The records must be committed before anything is sealed. The caller frees
 * the keyring (keyring_close) and the records (keyring_records_fini). MK stays the caller's. */
MUST_USE enum qk_err keyring_create(const uint8_t cluster[static CLUSTER_ID_BYTES],
                                    const struct secret *mk, uint32_t mk_version, uint64_t now_s,
                                    struct keyring_records *ret_records,
                                    struct keyring **ret_keyring);

/* An empty keyring; fill it with keyring_add, one stored record after the other, then check with
 * keyring_complete. */
MUST_USE enum qk_err keyring_open(const uint8_t cluster[static CLUSTER_ID_BYTES],
                                  const struct secret *mk, uint32_t mk_version,
                                  struct keyring **ret_keyring);
/* Takes one stored record, at load or when it changed; in any order. dp/ records are ignored. Names
 * that this version does not know are ignored too. QK_ERR_CORRUPT: does not authenticate;
 * QK_ERR_STALE: wrapped under another version of MK. */
MUST_USE enum qk_err keyring_add(struct keyring *keyring, struct bytes name, struct bytes value);
/* Open and add all at once. */
MUST_USE enum qk_err keyring_load(const uint8_t cluster[static CLUSTER_ID_BYTES],
                                  const struct secret *mk, uint32_t mk_version,
                                  const struct bytes *names, const struct bytes *values, size_t n,
                                  struct keyring **ret_keyring);
/* QK_OK if all system keys and an active default key are there, else QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err keyring_complete(struct keyring *keyring);
/* Wipes and frees all; NULL is fine. */
void keyring_close(struct keyring *keyring);

uint32_t keyring_mk_version(const struct keyring *keyring);
const uint8_t *keyring_cluster(const struct keyring *keyring);

/* Handles that are valid until the keyring is closed; NULL when absent. */
const struct secret *keyring_data_key(const struct keyring *keyring,
                                      const uint8_t key_id[static KEY_ID_BYTES], uint32_t version);
/* The active version, and which it is. */
const struct secret *keyring_catalog_key(const struct keyring *keyring, uint32_t *ret_version);
const struct secret *keyring_index_key(const struct keyring *keyring);
const struct secret *keyring_audit_key(const struct keyring *keyring);
const struct secret *keyring_integrity_key(const struct keyring *keyring);
/* Of the hash in a revision: for new revisions only, never to check one. */
const struct secret *keyring_revision_key(const struct keyring *keyring);
/* The active version of the key named "default". Errors as keyring_find. */
MUST_USE enum qk_err keyring_default(const struct keyring *keyring,
                                     uint8_t ret_key_id[static KEY_ID_BYTES],
                                     uint32_t *ret_version);
/* The active version of the key called `name`. QK_ERR_NOT_FOUND, QK_ERR_DESTROYED. */
MUST_USE enum qk_err keyring_find(const struct keyring *keyring, struct bytes name,
                                  uint8_t ret_key_id[static KEY_ID_BYTES], uint32_t *ret_version);
/* The active version of a key by its id; errors as keyring_find. */
MUST_USE enum qk_err keyring_active(const struct keyring *keyring,
                                    const uint8_t key_id[static KEY_ID_BYTES],
                                    uint32_t *ret_version);
/* The id of the key called `name`, destroyed or not. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err keyring_id_of(const struct keyring *keyring, struct bytes name,
                                   uint8_t ret_key_id[static KEY_ID_BYTES]);
/* A key's name, empty when unknown; valid until the keyring changes. */
struct bytes keyring_name(const struct keyring *keyring, const uint8_t key_id[static KEY_ID_BYTES]);
/* Data keys, without the catalog key. */
size_t keyring_keys_n(const struct keyring *keyring);

/* Seals in the suite of that version, or in the clear. QK_ERR_NOT_FOUND, QK_ERR_DESTROYED. */
MUST_USE enum qk_err keyring_seal_envelope(const struct keyring *keyring,
                                           const uint8_t key_id[static KEY_ID_BYTES],
                                           uint32_t version, bool clear,
                                           const struct envelope_aad *aad, struct bytes plain,
                                           struct buf *out);
/* The opened envelope of `sealed`, by whichever data key it names; `may_be_clear` where the
 * database's record says so, and nowhere else. QK_ERR_NOT_FOUND: no such key; QK_ERR_DESTROYED. */
MUST_USE enum qk_err keyring_open_envelope(const struct keyring *keyring,
                                           const struct envelope_aad *aad, struct bytes sealed,
                                           struct buf *out);
MUST_USE enum qk_err keyring_open_body(const struct keyring *keyring,
                                       const struct envelope_aad *aad, struct bytes sealed,
                                       bool may_be_clear, struct buf *out);

/* The record that keeps a member's D and P of one generation for deals made while it is away. */
MUST_USE enum qk_err keyring_seal_halves(const struct keyring *keyring,
                                         const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                                         const struct secret *d, const struct secret *p,
                                         struct keyring_record *ret_record);
MUST_USE enum qk_err keyring_open_halves(const struct keyring *keyring, struct bytes name,
                                         struct bytes value, struct secret **ret_d,
                                         struct secret **ret_p);
size_t keyring_halves_name(const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                           uint8_t ret_name[static KEYRING_NAME_BYTES_MAX]);

/* The id of the catalog key. */
extern const uint8_t keyring_catalog_id[KEY_ID_BYTES];

/* What can be told of a data key; `versions` ascending, valid until the keyring changes. */
struct keyring_info {
    const uint8_t *key_id;
    struct bytes name;
    uint32_t active;          /* 0: the key is destroyed */
    struct key_limits limits; /* as they were set: zeros are the defaults */
    size_t versions_n;
};
/* The `at`th data key in the order of ids; the catalog key is none. QK_ERR_NOT_FOUND past the last.
 */
MUST_USE enum qk_err keyring_info_at(const struct keyring *keyring, size_t at,
                                     struct keyring_info *ret_info);
/* Of any key, the catalog key included; QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err keyring_info_of(const struct keyring *keyring,
                                     const uint8_t key_id[static KEY_ID_BYTES],
                                     struct keyring_info *ret_info);
/* Its `at`th version, in ascending order. */
/* QK_OK: it can open what is sealed under it. QK_ERR_NOT_FOUND, QK_ERR_DESTROYED. */
MUST_USE enum qk_err keyring_version_check(const struct keyring *keyring,
                                           const uint8_t key_id[static KEY_ID_BYTES],
                                           uint32_t version);
struct key_version_info keyring_version_at(const struct keyring *keyring,
                                           const struct keyring_info *info, size_t at);

/* Every record of the keyring wrapped anew under another MK. `emit` receives each record (borrowed)
 * and may fail, which ends the work. D,P records are re-sealed by keyring_seal_halves.
 *
 * With `new_versions` each data key that is not destroyed and the catalog key also gets a fresh
 * random version, of the suite of the one before and made at `now_s`, which is active from then on,
 * the one that was active decrypts only, and the revision key is replaced: who holds this keyring's
 * MK and later gets the records learns none of the new keys. The keyring itself stays as it is and
 * learns of them from the records, as every other (keyring_add). A key that has KEY_VERSIONS_MAX
 * versions is QK_ERR_TOO_BIG. */
MUST_USE enum qk_err
keyring_rewrap(const struct keyring *keyring, const struct secret *mk, uint32_t mk_version,
               bool new_versions, uint64_t now_s,
               enum qk_err (*emit)(void *arg, const struct keyring_record *record), void *arg);

#endif
