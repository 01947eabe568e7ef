/* The on-disk form of one encrypted record (docs/design.md, Keys and envelopes):
 *
 *     "QKE1" suite u8 flags u8 hdr_len u16 key_id[16] key_version u32 salt[24] commitment[32]
 *     ciphertext tag[16]
 *
 *     Ke ‖ Kc = BLAKE2b-512(key = data key, personal "qk.record.v1", header[0..52))
 *
 * Kc is the commitment, compared in constant time before anything is decrypted. The salt is fresh
 * at every sealing, so each Ke encrypts once, under an all-zero nonce. The additional data binds
 * cluster, database, document id, revision, record version, deleted, record kind and header, each
 * after its 32-bit length.
 *
 * Suite 4 encrypts nothing: the body of a database that is declared clear, behind the same header,
 * and in the tag's place the first 16 bytes of a MAC under Ke over additional data and body. It is
 * no envelope to envelope_open: only envelope_open_clear opens it, for a caller who has the
 * database's authentic word that its bodies may be clear. So there is no way down: what is sealed
 * cannot be replaced by what is not. */
#ifndef KEYS_ENVELOPE_H
#define KEYS_ENVELOPE_H

#include "secret/crypto.h"

#define KEY_ID_BYTES 16
#define ENVELOPE_SALT_BYTES 24
#define ENVELOPE_HEADER_BYTES 84
#define ENVELOPE_OVERHEAD_BYTES (ENVELOPE_HEADER_BYTES + AEAD_TAG_BYTES)
#define ENVELOPE_PLAIN_BYTES_MAX RECORD_VALUE_BYTES_MAX

enum envelope_suite {
    ENVELOPE_XCHACHA20POLY1305 = 1,
    ENVELOPE_AES256GCM = 2, /* 3 is reserved for AEGIS-256 */
    ENVELOPE_CLEAR = 4
};

/* What a sealed body is: an envelope of one kind never opens as another. */
enum envelope_kind {
    ENVELOPE_DOCUMENT = 1,
    ENVELOPE_CATALOG = 2,
    ENVELOPE_KEYRING = 3,
    ENVELOPE_AUDIT = 4,
    ENVELOPE_TOKEN = 5,
    ENVELOPE_ATTACHMENT = 6,
    ENVELOPE_INDEX = 7
};

struct envelope_aad {
    uint8_t cluster[CLUSTER_ID_BYTES];
    uint8_t database[DATABASE_ID_BYTES];
    struct bytes document_id; /* at most RECORD_KEY_BYTES_MAX */
    struct bytes revision;    /* at most 64 bytes */
    uint64_t record_version;
    bool deleted;
    uint8_t record_kind; /* enum envelope_kind */
};

/* Appends the envelope of `plain` to `out` (plain.len + ENVELOPE_OVERHEAD_BYTES). */
MUST_USE enum qk_err envelope_seal(const struct secret *data_key,
                                   const uint8_t key_id[static KEY_ID_BYTES], uint32_t key_version,
                                   const struct envelope_aad *aad, struct bytes plain,
                                   struct buf *out);
/* The same in another suite than XChaCha20-Poly1305. QK_ERR_UNSUPPORTED: a suite that is unknown,
 * or AES-256-GCM on a processor without it. */
MUST_USE enum qk_err envelope_seal_in(enum envelope_suite suite, const struct secret *data_key,
                                      const uint8_t key_id[static KEY_ID_BYTES],
                                      uint32_t key_version, const struct envelope_aad *aad,
                                      struct bytes plain, struct buf *out);
/* Appends the plaintext to `out`, a secret buffer. QK_ERR_CORRUPT for anything that is no envelope,
 * was sealed under another key or does not authenticate; QK_ERR_UNSUPPORTED for a suite or flag
 * that this version does not know. */
MUST_USE enum qk_err envelope_open(const struct secret *data_key, const struct envelope_aad *aad,
                                   struct bytes sealed, struct buf *out);
/* Opens an envelope of suite CLEAR and of no other, QK_ERR_CORRUPT. */
MUST_USE enum qk_err envelope_open_clear(const struct secret *data_key,
                                         const struct envelope_aad *aad, struct bytes sealed,
                                         struct buf *out);
/* The same with a secret inside: from and into the arena, in XChaCha20-Poly1305 alone. */
MUST_USE enum qk_err envelope_seal_secret(const struct secret *data_key,
                                          const uint8_t key_id[static KEY_ID_BYTES],
                                          uint32_t key_version, const struct envelope_aad *aad,
                                          const struct secret *plain, struct buf *out);
MUST_USE enum qk_err envelope_open_secret(const struct secret *data_key,
                                          const struct envelope_aad *aad, struct bytes sealed,
                                          struct secret **ret_plain);
/* Which key opens it, before authentication. Errors as envelope_open. */
MUST_USE enum qk_err envelope_peek(struct bytes sealed, uint8_t ret_key_id[static KEY_ID_BYTES],
                                   uint32_t *ret_key_version);
/* Is it of suite CLEAR? As it says itself. */
bool envelope_is_clear(struct bytes sealed);

#endif
