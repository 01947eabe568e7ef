#include "secret/crypto.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

_Static_assert(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES == AEAD_NONCE_BYTES, "nonce");
_Static_assert(crypto_aead_xchacha20poly1305_ietf_ABYTES == AEAD_TAG_BYTES, "tag");
_Static_assert(crypto_aead_chacha20poly1305_ietf_ABYTES == AEAD_TAG_BYTES, "tag");

_Static_assert(crypto_aead_aes256gcm_ABYTES == AEAD_TAG_BYTES, "tag");
_Static_assert(crypto_aead_aes256gcm_KEYBYTES == KEY_BYTES, "key");

static const uint8_t nonce_zero[AEAD_NONCE_BYTES];
static bool aes_is_forbidden; /* as the processor's abilities, a fact of the whole process */

enum cipher { CIPHER_XCHACHA, CIPHER_CHACHA, CIPHER_AES };

/* `ret_out` has room for len + tag. Returns libsodium's code. */
static int cipher_seal(enum cipher cipher, uint8_t *ret_out, struct bytes plain, struct bytes aad,
                       const uint8_t *nonce, const uint8_t *key)
{
    switch (cipher) {
    case CIPHER_XCHACHA:
        return crypto_aead_xchacha20poly1305_ietf_encrypt(ret_out, NULL, plain.data, plain.len,
                                                          aad.data, aad.len, NULL, nonce, key);
    case CIPHER_CHACHA:
        return crypto_aead_chacha20poly1305_ietf_encrypt(ret_out, NULL, plain.data, plain.len,
                                                         aad.data, aad.len, NULL, nonce, key);
    case CIPHER_AES:
        return crypto_aead_aes256gcm_encrypt(ret_out, NULL, plain.data, plain.len, aad.data,
                                             aad.len, NULL, nonce, key);
    }
    return -1;
}

static int cipher_open(enum cipher cipher, uint8_t *ret_out, struct bytes sealed, struct bytes aad,
                       const uint8_t *nonce, const uint8_t *key)
{
    switch (cipher) {
    case CIPHER_XCHACHA:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(
            ret_out, NULL, NULL, sealed.data, sealed.len, aad.data, aad.len, nonce, key);
    case CIPHER_CHACHA:
        return crypto_aead_chacha20poly1305_ietf_decrypt(ret_out, NULL, NULL, sealed.data,
                                                         sealed.len, aad.data, aad.len, nonce, key);
    case CIPHER_AES:
        return crypto_aead_aes256gcm_decrypt(ret_out, NULL, NULL, sealed.data, sealed.len, aad.data,
                                             aad.len, nonce, key);
    }
    return -1;
}

/* A view into the buffer it is appended to would dangle when the buffer grows. */
static bool overlaps(const struct buf *buf, struct bytes view)
{
    uintptr_t from = (uintptr_t)buf->data, at = (uintptr_t)view.data;

    return view.len > 0 && buf->data != NULL && at < from + buf->cap && at + view.len > from;
}

static enum qk_err seal_with(enum cipher cipher, const struct secret *key, const uint8_t *nonce,
                             struct bytes aad, struct bytes plain, struct buf *out)
{
    uint8_t *at;

    assert(secret_len(key) >= KEY_BYTES);
    assert(!overlaps(out, plain) && !overlaps(out, aad));
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    at = buf_extend(out, plain.len + AEAD_TAG_BYTES);
    if (at == NULL)
        return buf_error(out);
    (void)cipher_seal(cipher, at, plain, aad, nonce, secret_borrow(key));
    secret_return(key);
    secret_stack_burn_symmetric();
    return QK_OK;
}

static enum qk_err open_with(enum cipher cipher, const struct secret *key, const uint8_t *nonce,
                             struct bytes aad, struct bytes sealed, struct buf *out)
{
    uint8_t *at;
    size_t len;
    int rc;

    assert(secret_len(key) >= KEY_BYTES);
    assert(out->secret);
    assert(!overlaps(out, sealed) && !overlaps(out, aad));
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    if (sealed.len < AEAD_TAG_BYTES)
        return QK_ERR_CORRUPT;
    len = sealed.len - AEAD_TAG_BYTES;
    at = buf_extend(out, len);
    if (at == NULL)
        return buf_error(out);
    /* libsodium wants an address even for an empty plaintext; nothing is written through it. */
    rc = cipher_open(cipher, at, sealed, aad, nonce, secret_borrow(key));
    secret_return(key);
    secret_stack_burn_symmetric();
    if (rc == 0)
        return QK_OK;
    if (len > 0)
        sodium_memzero(at, len);
    out->len -= len;
    return QK_ERR_CORRUPT;
}

enum qk_err aead_seal(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                      struct bytes plain, struct buf *out)
{
    return seal_with(CIPHER_XCHACHA, key, nonce == NULL ? nonce_zero : nonce, aad, plain, out);
}

enum qk_err aead_open(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                      struct bytes sealed, struct buf *out)
{
    return open_with(CIPHER_XCHACHA, key, nonce == NULL ? nonce_zero : nonce, aad, sealed, out);
}

enum qk_err aead_seal_secret(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                             const struct secret *plain, struct buf *out)
{
    enum qk_err err;

    if (secret_is_wiped(plain))
        return QK_ERR_SEALED;
    err = aead_seal(key, nonce, aad, bytes_of(secret_borrow(plain), secret_len(plain)), out);
    secret_return(plain);
    return err;
}

enum qk_err aead_open_secret(const struct secret *key, const uint8_t *nonce, struct bytes aad,
                             struct bytes sealed, struct secret **ret_plain)
{
    struct secret *plain;
    enum qk_err err;
    int rc;

    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    if (sealed.len <= AEAD_TAG_BYTES || sealed.len - AEAD_TAG_BYTES > SECRET_BYTES_MAX)
        return QK_ERR_CORRUPT;
    err = secret_new_zero(sealed.len - AEAD_TAG_BYTES, &plain);
    if (err != QK_OK)
        return err;
    rc = cipher_open(CIPHER_XCHACHA, secret_borrow_mut(plain), sealed, aad,
                     nonce == NULL ? nonce_zero : nonce, secret_borrow(key));
    secret_return(key);
    secret_return_mut(plain);
    secret_stack_burn_symmetric();
    if (rc != 0) {
        secret_free(plain);
        return QK_ERR_CORRUPT;
    }
    *ret_plain = plain;
    return QK_OK;
}

bool aead_has_aes256gcm(void)
{
    return !aes_is_forbidden && crypto_aead_aes256gcm_is_available() != 0;
}

void aead_forbid_aes256gcm(void)
{
    aes_is_forbidden = true;
}

static enum qk_err cipher_of(enum aead_cipher cipher, enum cipher *ret_cipher)
{
    switch (cipher) {
    case AEAD_XCHACHA20POLY1305:
        *ret_cipher = CIPHER_XCHACHA;
        return QK_OK;
    case AEAD_AES256GCM:
        *ret_cipher = CIPHER_AES;
        return aead_has_aes256gcm() ? QK_OK : QK_ERR_UNSUPPORTED;
    }
    return QK_ERR_UNSUPPORTED;
}

enum qk_err aead_seal_once(enum aead_cipher cipher, const struct secret *key, struct bytes aad,
                           struct bytes plain, struct buf *out)
{
    enum cipher with;
    enum qk_err err = cipher_of(cipher, &with);

    return err != QK_OK ? err : seal_with(with, key, nonce_zero, aad, plain, out);
}

enum qk_err aead_open_once(enum aead_cipher cipher, const struct secret *key, struct bytes aad,
                           struct bytes sealed, struct buf *out)
{
    enum cipher with;
    enum qk_err err = cipher_of(cipher, &with);

    return err != QK_OK ? err : open_with(with, key, nonce_zero, aad, sealed, out);
}

static void noise_nonce(uint64_t counter, uint8_t ret_nonce[static 12])
{
    memset(ret_nonce, 0, 12);
    for (size_t i = 0; i < 8; i++)
        ret_nonce[4 + i] = (uint8_t)(counter >> (8 * i));
}

enum qk_err noise_seal(const struct secret *key, uint64_t counter, struct bytes aad,
                       struct bytes plain, struct buf *out)
{
    uint8_t nonce[12];

    noise_nonce(counter, nonce);
    return seal_with(CIPHER_CHACHA, key, nonce, aad, plain, out);
}

enum qk_err noise_open(const struct secret *key, uint64_t counter, struct bytes aad,
                       struct bytes sealed, struct buf *out)
{
    uint8_t nonce[12];

    noise_nonce(counter, nonce);
    return open_with(CIPHER_CHACHA, key, nonce, aad, sealed, out);
}
