/* Changes of one data key, as the records that a command has to put and delete: the keyring itself
 * stays as it is and learns of them from the records, once they are applied (keyring_add). Whoever
 * proposes them does so under the condition that the key's info record is the one that the keyring
 * was filled from, and puts SYS `keyring` (service/keys_current.h).
 *
 * A key's name is never free again, nor is a version's number: a log line or a document that names
 * one means one thing for ever. */
#ifndef KEYS_CHANGE_H
#define KEYS_CHANGE_H

#include "keys/keyring.h"

struct key_change {
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version; /* active afterwards; 0: none */
    /* In the order in which they are to be added: a version before the info that names it. */
    struct keyring_record puts[2];
    size_t puts_n;
    uint32_t *drops; /* versions whose records are to be deleted; owned */
    size_t drops_n;
};

void key_change_fini(struct key_change *change);

/* 1 to KEY_NAME_BYTES_MAX of a-z A-Z 0-9 . _ - and the first a letter or digit; none that means
 * something else in a path ("catalog", "reencrypt", "policy"). */
bool key_name_is_good(struct bytes name);

/* A new key. QK_ERR_EXISTS; QK_ERR_INVALID: no good name; QK_ERR_TOO_BIG: KEYRING_KEYS_MAX. */
MUST_USE enum qk_err keyring_change_create(const struct keyring *keyring, struct bytes name,
                                           enum envelope_suite suite,
                                           const struct key_limits *limits, uint64_t now_s,
                                           struct key_change *ret_change);
/* A fresh active version; the one before decrypts only. `suite` 0: as it was. QK_ERR_NOT_FOUND,
 * QK_ERR_DESTROYED, QK_ERR_TOO_BIG. */
MUST_USE enum qk_err keyring_change_rotate(const struct keyring *keyring,
                                           const uint8_t key_id[static KEY_ID_BYTES],
                                           unsigned suite, uint64_t now_s,
                                           struct key_change *ret_change);
/* Version 0: all of them, and the key. QK_ERR_CONFLICT: it is the active one; QK_ERR_NOT_FOUND: no
 * such key or version; QK_ERR_DESTROYED: it is already. */
MUST_USE enum qk_err keyring_change_destroy(const struct keyring *keyring,
                                            const uint8_t key_id[static KEY_ID_BYTES],
                                            uint32_t version, struct key_change *ret_change);
MUST_USE enum qk_err keyring_change_limits(const struct keyring *keyring,
                                           const uint8_t key_id[static KEY_ID_BYTES],
                                           const struct key_limits *limits,
                                           struct key_change *ret_change);

/* The names of a key's records in the KEYRING space, and their length. */
size_t keyring_info_name(const uint8_t key_id[static KEY_ID_BYTES],
                         uint8_t ret_name[static KEYRING_NAME_BYTES_MAX]);
size_t keyring_version_name(const uint8_t key_id[static KEY_ID_BYTES], uint32_t version,
                            uint8_t ret_name[static KEYRING_NAME_BYTES_MAX]);

#endif
