/* Private to keys/: what a keyring holds, and the wrapping of its records. */
#ifndef KEYS_KEYRING_PRIVATE_H
#define KEYS_KEYRING_PRIVATE_H

#include "keys/keyring.h"

#define KEYRING_DEFAULT_NAME "default"

#define KEYRING_CATALOG_NAME "sys/catalog"

enum system_key { SYSTEM_INDEX, SYSTEM_AUDIT, SYSTEM_INTEGRITY, SYSTEM_REVISION, SYSTEM_KEYS_N };

struct key_version {
    uint32_t version;
    uint8_t state; /* enum key_state, 0 until the key info has been read */
    uint8_t suite;
    uint64_t created_s;
    struct secret *key; /* NULL: not read yet, or destroyed */
};

struct data_key {
    uint8_t id[KEY_ID_BYTES];
    uint8_t name[KEY_NAME_BYTES_MAX];
    size_t name_len;
    uint32_t active;
    struct key_limits limits;
    struct key_version *versions; /* ascending */
    size_t versions_n;
};

struct keyring {
    uint8_t cluster[CLUSTER_ID_BYTES];
    uint32_t mk_version;
    struct secret *wk;
    struct secret *system[SYSTEM_KEYS_N];
    struct data_key *keys; /* ascending id */
    size_t keys_n, keys_cap;
    /* names.c: the ids of the keys that have a name, in the order of names once they are sorted. */
    uint8_t (*names)[KEY_ID_BYTES];
    size_t names_n, names_cap;
    bool names_sorted;
};

const char *keyring_system_name(size_t i);

/* Seals a secret or a text under WK for the record called `name`, and back. */
MUST_USE enum qk_err keyring_wrap(const struct keyring *keyring, struct bytes name,
                                  const struct secret *secret, struct buf *out);
MUST_USE enum qk_err keyring_unwrap(const struct keyring *keyring, struct bytes name,
                                    struct bytes sealed, size_t len, struct secret **ret_secret);
MUST_USE enum qk_err keyring_wrap_text(const struct keyring *keyring, struct bytes name,
                                       struct bytes text, struct buf *out);
MUST_USE enum qk_err keyring_unwrap_text(const struct keyring *keyring, struct bytes name,
                                         struct bytes sealed, struct buf *out);

/* names.c: a key that has its name now is found by it. Names never change and never go. */
MUST_USE enum qk_err keyring_names_add(struct keyring *keyring, const struct data_key *key);
/* After many: from then on finding one takes no walk over all. */
MUST_USE enum qk_err keyring_names_sort(struct keyring *keyring);
/* The catalog key has none. */
const struct data_key *keyring_named(const struct keyring *keyring, struct bytes name);

/* NULL when absent; `ensure` makes an empty one. */
struct data_key *keyring_key(const struct keyring *keyring, const uint8_t *key_id);
MUST_USE enum qk_err keyring_key_ensure(struct keyring *keyring, const uint8_t *key_id,
                                        struct data_key **ret_key);
struct key_version *keyring_version(const struct data_key *key, uint32_t version);
struct key_version_info keyring_version_about(const struct key_version *version);
MUST_USE enum qk_err keyring_version_ensure(struct data_key *key, uint32_t version,
                                            struct key_version **ret_version);

/* records.c: a record of one key, sealed under the WK of `into`; the key may belong to another
 * keyring. The caller frees the record's value, also after a failure. */
MUST_USE enum qk_err keyring_write_system(const struct keyring *into, size_t i,
                                          const struct secret *key,
                                          struct keyring_record *ret_record);
MUST_USE enum qk_err keyring_write_info(const struct keyring *into, const struct data_key *key,
                                        struct keyring_record *ret_record);
MUST_USE enum qk_err keyring_write_version(const struct keyring *into, const struct data_key *key,
                                           const struct key_version *version,
                                           struct keyring_record *ret_record);

/* change.c: `key` with a fresh active version behind its others, of that suite (0: as before); the
 * bytes of the others are borrowed. QK_ERR_TOO_BIG: no number or no room is left. */
MUST_USE enum qk_err keyring_key_renew(const struct data_key *key, uint8_t suite, uint64_t now_s,
                                       struct data_key *ret_next);
void keyring_key_renewed_fini(struct data_key *next);

#endif
