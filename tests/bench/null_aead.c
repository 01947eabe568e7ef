/* BENCHMARK ONLY, never installed: what the node would cost if it did not encrypt. The build links
 * this into tests/bench/quorumkeepd-null with the linker's --wrap, so that records, log entries and
 * the links between nodes go through the same code, buffers and lengths, but nothing is encrypted
 * or authenticated, and no key is derived for a record. Everything else (master key, shares, deals,
 * keyring) stays as it is. A node with real ciphers refuses every record that it wrote, since no
 * tag is right. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "secret/crypto.h"

/* Stands for each record's derived key; nothing ever opens it. */
static char nobody;
#define NOBODY ((struct secret *)(void *)&nobody)

static const uint8_t tag_zero[AEAD_TAG_BYTES];

enum qk_err __wrap_kdf_derive_pair(const struct secret *key, const char *personal,
                                   struct bytes input, struct secret **ret_ke,
                                   uint8_t ret_kc[static KEY_BYTES]);
enum qk_err __wrap_aead_seal_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes plain, struct buf *out);
enum qk_err __wrap_aead_open_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes sealed, struct buf *out);
enum qk_err __wrap_noise_seal(const struct secret *key, uint64_t counter, struct bytes aad,
                              struct bytes plain, struct buf *out);
enum qk_err __wrap_noise_open(const struct secret *key, uint64_t counter, struct bytes aad,
                              struct bytes sealed, struct buf *out);
enum qk_err __real_kdf_derive_pair(const struct secret *key, const char *personal,
                                   struct bytes input, struct secret **ret_ke,
                                   uint8_t ret_kc[static KEY_BYTES]);
enum qk_err __real_aead_seal_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes plain, struct buf *out);
enum qk_err __real_aead_open_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes sealed, struct buf *out);
enum qk_err __real_aead_open_secret(const struct secret *key, const uint8_t *nonce,
                                    struct bytes aad, struct bytes sealed,
                                    struct secret **ret_plain);
enum qk_err __wrap_aead_open_secret(const struct secret *key, const uint8_t *nonce,
                                    struct bytes aad, struct bytes sealed,
                                    struct secret **ret_plain);
void __real_secret_free(struct secret *secret);
void __wrap_secret_free(struct secret *secret);

__attribute__((constructor)) static void say_so(void)
{
    (void)fputs("BENCHMARK ONLY: this program encrypts nothing\n", stderr);
}

static enum qk_err null_seal(struct bytes plain, struct buf *out)
{
    buf_put_bytes(out, plain);
    buf_put(out, tag_zero, sizeof(tag_zero));
    return buf_error(out);
}

static enum qk_err null_open(struct bytes sealed, struct buf *out)
{
    if (sealed.len < AEAD_TAG_BYTES)
        return QK_ERR_CORRUPT;
    buf_put(out, sealed.data, sealed.len - AEAD_TAG_BYTES);
    return buf_error(out);
}

enum qk_err __wrap_kdf_derive_pair(const struct secret *key, const char *personal,
                                   struct bytes input, struct secret **ret_ke,
                                   uint8_t ret_kc[static KEY_BYTES])
{
    if (strcmp(personal, "qk.record.v1") != 0)
        return __real_kdf_derive_pair(key, personal, input, ret_ke, ret_kc);
    *ret_ke = NOBODY;
    memset(ret_kc, 0, KEY_BYTES);
    return QK_OK;
}

enum qk_err __wrap_aead_seal_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes plain, struct buf *out)
{
    if (key != NOBODY)
        return __real_aead_seal_once(cipher, key, aad, plain, out);
    return null_seal(plain, out);
}

enum qk_err __wrap_aead_open_once(enum aead_cipher cipher, const struct secret *key,
                                  struct bytes aad, struct bytes sealed, struct buf *out)
{
    if (key != NOBODY)
        return __real_aead_open_once(cipher, key, aad, sealed, out);
    return null_open(sealed, out);
}

enum qk_err __wrap_noise_seal(const struct secret *key, uint64_t counter, struct bytes aad,
                              struct bytes plain, struct buf *out)
{
    (void)key;
    (void)counter;
    (void)aad;
    return null_seal(plain, out);
}

enum qk_err __wrap_noise_open(const struct secret *key, uint64_t counter, struct bytes aad,
                              struct bytes sealed, struct buf *out)
{
    (void)key;
    (void)counter;
    (void)aad;
    return null_open(sealed, out);
}

enum qk_err __wrap_aead_open_secret(const struct secret *key, const uint8_t *nonce,
                                    struct bytes aad, struct bytes sealed,
                                    struct secret **ret_plain)
{
    if (key != NOBODY)
        return __real_aead_open_secret(key, nonce, aad, sealed, ret_plain);
    if (sealed.len <= AEAD_TAG_BYTES)
        return QK_ERR_CORRUPT;
    return secret_new_copy(sealed.data, sealed.len - AEAD_TAG_BYTES, ret_plain);
}

void __wrap_secret_free(struct secret *secret)
{
    if (secret != NOBODY)
        __real_secret_free(secret);
}
