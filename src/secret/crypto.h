/* Thin wrappers around libsodium, the only place where its keyed functions are called. Keys come
 * and go as `struct secret`; the stack is burnt after each use. Errors common to all that take a
 * secret: QK_ERR_SEALED if it was wiped, QK_ERR_NOMEM if the arena is full. Outputs in `struct buf`
 * are appended. Outputs named `ret_x` of type `struct secret **` belong to the caller. */
#ifndef SECRET_CRYPTO_H
#define SECRET_CRYPTO_H

#include "base/bytes.h"
#include "secret/secret.h"

#define KEY_BYTES 32
#define HASH_BYTES 32
#define HASH512_BYTES 64
#define AEAD_NONCE_BYTES 24
#define AEAD_TAG_BYTES 16
#define X25519_BYTES 32
#define ED25519_PUBLIC_BYTES 32
#define ED25519_SECRET_BYTES 64
#define ED25519_SIGNATURE_BYTES 64
#define PASSWORD_HASH_BYTES 128 /* a terminated text, see password_hash */
#define PASSWORD_BYTES_MAX 1024

/* Must run before anything else here (secret_arena_init calls it). Idempotent. */
MUST_USE enum qk_err crypto_start(void);

/* --- randomness --- */
/* Public random bytes (salts, nonces, ids), from a pool that is refilled in bulk from getrandom(2),
 * wiped as it is used and emptied in a forked child. For keys use secret_new_random. */
void random_fill(void *ret_out, size_t len);
/* Where pure modules take their randomness from; tests pass their own. */
struct random_source {
    void (*fill)(void *arg, uint8_t *ret_out, size_t len);
    void *arg;
};
/* getrandom(2) straight into the destination, never through the pool: fit for keys. */
struct random_source random_system(void);

/* --- derivation, MAC, hash --- */
/* KDF(K, label, c) = BLAKE2b-256(key K, personal "quorumkeep-v1", len8 ‖ label ‖ c), a 32-byte
 * secret. K is 16 to 64 bytes, label 1 to 255. The parts are concatenated to form c. */
MUST_USE enum qk_err kdf_derive(const struct secret *key, const char *label, struct bytes context,
                                struct secret **ret_key);
MUST_USE enum qk_err kdf_derive_parts(const struct secret *key, const char *label,
                                      const struct bytes *parts, size_t parts_n,
                                      struct secret **ret_key);
/* Ke ‖ Kc = BLAKE2b-512(key, personal (at most 16 bytes, zero-padded), input): Ke encrypts one
 * record and Kc is its key commitment, public by its use. */
MUST_USE enum qk_err kdf_derive_pair(const struct secret *key, const char *personal,
                                     struct bytes input, struct secret **ret_ke,
                                     uint8_t ret_kc[static KEY_BYTES]);
/* The same function as the KDF, its output public: labels of MACs and of keys must differ. */
MUST_USE enum qk_err mac_compute(const struct secret *key, const char *label,
                                 const struct bytes *parts, size_t parts_n,
                                 uint8_t ret_mac[static HASH_BYTES]);
/* QK_ERR_CORRUPT if it differs, compared in constant time. */
MUST_USE enum qk_err mac_verify(const struct secret *key, const char *label,
                                const struct bytes *parts, size_t parts_n,
                                const uint8_t mac[static HASH_BYTES]);
/* BLAKE2b-256 (key of 32 bytes, personal of at most 16, zero-padded) of each of `n` hashes, which
 * stand one behind the other in `hashes`, written one behind the other to `ret_macs`: the key is
 * opened once for all of them. */
MUST_USE enum qk_err mac_hashes(const struct secret *key, const char *personal,
                                const uint8_t *hashes, size_t n, uint8_t *ret_macs);
/* Unkeyed BLAKE2b-256 and -512 over the concatenated parts; for public data. */
void hash_compute(const struct bytes *parts, size_t parts_n, uint8_t ret_hash[static HASH_BYTES]);
void hash512_compute(const struct bytes *parts, size_t parts_n,
                     uint8_t ret_hash[static HASH512_BYTES]);
/* HMAC-BLAKE2b-512 (RFC 2104, block 128), the HMAC-HASH of Noise; a 64-byte secret. Key <= 128. */
MUST_USE enum qk_err hmac512_compute(const struct secret *key, const struct bytes *parts,
                                     size_t parts_n, struct secret **ret_mac);
/* Noise HKDF: `outputs_n` (1..3) secrets of 64 bytes each from chaining key and input material
 * (BYTES_NONE for none; a borrowed secret is fine). On error none is returned. */
MUST_USE enum qk_err noise_hkdf(const struct secret *chaining_key, struct bytes input,
                                size_t outputs_n, struct secret **ret_outputs);

/* --- authenticated encryption --- */
/* XChaCha20-Poly1305 with a 32-byte key; `out` grows by plain.len + AEAD_TAG_BYTES. `nonce` is 24
 * bytes; NULL is the all-zero nonce, for keys that encrypt exactly once. `plain` must not lie in
 * `out`. */
MUST_USE enum qk_err aead_seal(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                               struct bytes plain, struct buf *out);
/* `out` must be a secret buffer. QK_ERR_CORRUPT when it does not authenticate (`out` unchanged). */
MUST_USE enum qk_err aead_open(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                               struct bytes sealed, struct buf *out);
/* The same with a secret as plaintext: straight from and into the arena. */
MUST_USE enum qk_err aead_seal_secret(const struct secret *key, const uint8_t *nonce,
                                      struct bytes aad, const struct secret *plain,
                                      struct buf *out);
MUST_USE enum qk_err aead_open_secret(const struct secret *key, const uint8_t *nonce,
                                      struct bytes aad, struct bytes sealed,
                                      struct secret **ret_plain);
/* The ciphers of records, each with a key that encrypts exactly once, under an all-zero nonce.
 * AES-256-GCM is used where the processor has instructions for it, which take the same time for
 * every key, and nowhere else: QK_ERR_UNSUPPORTED. */
enum aead_cipher { AEAD_XCHACHA20POLY1305, AEAD_AES256GCM };
bool aead_has_aes256gcm(void);
/* For an operator who does not trust them: this process never uses them. */
void aead_forbid_aes256gcm(void);
MUST_USE enum qk_err aead_seal_once(enum aead_cipher cipher, const struct secret *key,
                                    struct bytes aad, struct bytes plain, struct buf *out);
MUST_USE enum qk_err aead_open_once(enum aead_cipher cipher, const struct secret *key,
                                    struct bytes aad, struct bytes sealed, struct buf *out);
/* Noise's ChaChaPoly: IETF ChaCha20-Poly1305, nonce = 4 zero bytes ‖ `counter` little-endian. The
 * key is the first 32 bytes of `key` (HKDF outputs are 64). */
MUST_USE enum qk_err noise_seal(const struct secret *key, uint64_t counter, struct bytes aad,
                                struct bytes plain, struct buf *out);
MUST_USE enum qk_err noise_open(const struct secret *key, uint64_t counter, struct bytes aad,
                                struct bytes sealed, struct buf *out);

/* --- deterministic encryption --- */
/* The same plaintext gives the same bytes under the same key and context, and tells nothing but its
 * equality and its length: for names that must be found again. `out` grows by SIV_TAG_BYTES +
 * plain.len; neither may lie in `out`.
 *     mac key[32] ‖ stream key[32] = BLAKE2b-512(key, personal "qk.siv.v1", context)
 *     tag = BLAKE2b-128(mac key, plain);  sealed = tag ‖ XChaCha20(stream key, tag ‖ 0^8) ^ plain
 */
#define SIV_TAG_BYTES 16
MUST_USE enum qk_err siv_seal(const struct secret *key, struct bytes context, struct bytes plain,
                              struct buf *out);
/* `out` must be a secret buffer. QK_ERR_CORRUPT when it does not authenticate (`out` unchanged). */
MUST_USE enum qk_err siv_open(const struct secret *key, struct bytes context, struct bytes sealed,
                              struct buf *out);

/* --- public-key --- */
MUST_USE enum qk_err x25519_keypair(struct secret **ret_secret_key,
                                    uint8_t ret_public_key[static X25519_BYTES]);
MUST_USE enum qk_err x25519_public(const struct secret *secret_key,
                                   uint8_t ret_public_key[static X25519_BYTES]);
/* QK_ERR_INVALID for a low-order public key (an all-zero result). */
MUST_USE enum qk_err x25519_shared(const struct secret *secret_key,
                                   const uint8_t public_key[static X25519_BYTES],
                                   struct secret **ret_shared);
MUST_USE enum qk_err ed25519_keypair(struct secret **ret_secret_key,
                                     uint8_t ret_public_key[static ED25519_PUBLIC_BYTES]);
/* The pair of a 32-byte seed (RFC 8032). */
MUST_USE enum qk_err ed25519_keypair_of(const struct secret *seed, struct secret **ret_secret_key,
                                        uint8_t ret_public_key[static ED25519_PUBLIC_BYTES]);
MUST_USE enum qk_err ed25519_sign(const struct secret *secret_key, struct bytes message,
                                  uint8_t ret_signature[static ED25519_SIGNATURE_BYTES]);
/* QK_ERR_CORRUPT if it does not verify. */
MUST_USE enum qk_err ed25519_verify(const uint8_t public_key[static ED25519_PUBLIC_BYTES],
                                    struct bytes message,
                                    const uint8_t signature[static ED25519_SIGNATURE_BYTES]);

/* --- passwords --- */
/* Argon2id, 64 MiB, 2 passes; about 0.1 s: meant for a worker thread (touches no shared state).
 * The hash is a PHC text that carries salt and costs. At most PASSWORD_BYTES_MAX bytes. */
MUST_USE enum qk_err password_hash(struct bytes password,
                                   char ret_hash[static PASSWORD_HASH_BYTES]);
/* QK_ERR_UNAUTHENTICATED if it does not match; QK_ERR_NOMEM if that could not be found out. */
MUST_USE enum qk_err password_verify(struct bytes password,
                                     const char hash[static PASSWORD_HASH_BYTES]);

#endif
