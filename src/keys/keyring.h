/* The keys of an unsealed node: WK = KDF(MK, "wrap", cluster), and under it, as replicated records
 * of the KEYRING space, the system keys and the data keys (random, wrapped, never derived: a
 * rotation of MK must not change a blind index).
 *
 * Record names (without the 16-byte space id) and values:
 *     sys/catalog sys/index sys/audit sys/integrity     envelope of 32 bytes
 *     key/ key_id[16]                                   key info, see below
 *     key/ key_id[16] version u32                       envelope of 32 bytes
 *     dp/ node[16] gen u64                              envelope of D ‖ P, 64 bytes
 * Each envelope is sealed under WK (key id all zero, key version = MK version), its additional data
 * carries the cluster, the KEYRING space, the record's name (so key id and version) and the kind.
 * Key info: format u8 (1) active u32 n u16 {version u32 state u8}[n], then len32 and the envelope
 * of BLAKE2b-256 (all before) ‖ the key's name. */
#ifndef KEYS_KEYRING_H
#define KEYS_KEYRING_H

#include "keys/envelope.h"

#define KEYRING_NAME_BYTES_MAX 32
#define KEYRING_CREATE_RECORDS_MAX 8
#define KEY_NAME_BYTES_MAX 64
#define KEY_VERSIONS_MAX 1024 /* of one key */
#define KEYRING_KEYS_MAX 100000

enum key_state { KEY_ACTIVE = 1, KEY_DECRYPT_ONLY = 2, KEY_DESTROYED = 3 };

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

/* A keyring for a new cluster: fresh system keys and the data key "default", version 1. The records
 * must be committed before anything is sealed. The caller frees the keyring (keyring_close) and the
 * records (keyring_records_fini). MK stays the caller's. */
MUST_USE enum qk_err keyring_create(const uint8_t cluster[static CLUSTER_ID_BYTES],
                                    const struct secret *mk, uint32_t mk_version,
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
MUST_USE enum qk_err keyring_complete(const struct keyring *keyring);
/* Wipes and frees all; NULL is fine. */
void keyring_close(struct keyring *keyring);

uint32_t keyring_mk_version(const struct keyring *keyring);
const uint8_t *keyring_cluster(const struct keyring *keyring);

/* Handles that are valid until the keyring is closed; NULL when absent. */
const struct secret *keyring_data_key(const struct keyring *keyring,
                                      const uint8_t key_id[static KEY_ID_BYTES], uint32_t version);
const struct secret *keyring_catalog_key(const struct keyring *keyring);
const struct secret *keyring_index_key(const struct keyring *keyring);
const struct secret *keyring_audit_key(const struct keyring *keyring);
const struct secret *keyring_integrity_key(const struct keyring *keyring);
/* The active version of the key named "default". QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err keyring_default(const struct keyring *keyring,
                                     uint8_t ret_key_id[static KEY_ID_BYTES],
                                     uint32_t *ret_version);
/* The active version of the key called `name`. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err keyring_find(const struct keyring *keyring, struct bytes name,
                                  uint8_t ret_key_id[static KEY_ID_BYTES], uint32_t *ret_version);
/* A key's name, empty when unknown; valid until the keyring changes. */
struct bytes keyring_name(const struct keyring *keyring, const uint8_t key_id[static KEY_ID_BYTES]);
size_t keyring_keys_n(const struct keyring *keyring);

/* The opened envelope of `sealed`, by whichever data key it names. QK_ERR_NOT_FOUND: no such key.
 */
MUST_USE enum qk_err keyring_open_envelope(const struct keyring *keyring,
                                           const struct envelope_aad *aad, struct bytes sealed,
                                           struct buf *out);

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

/* Every record of the keyring wrapped anew under another MK. `emit` receives each record (borrowed)
 * and may fail, which ends the work. D,P records are re-sealed by keyring_seal_halves. */
MUST_USE enum qk_err
keyring_rewrap(const struct keyring *keyring, const struct secret *mk, uint32_t mk_version,
               enum qk_err (*emit)(void *arg, const struct keyring_record *record), void *arg);

#endif
