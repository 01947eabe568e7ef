#include "link/noise.h"

#include <assert.h>

#include "base/limits.h"
#include "secret/crypto.h"
#include "secret/secret.h"

void noise_cipher_fini(struct noise_cipher *cipher)
{
    secret_free(cipher->key);
    cipher->key = NULL;
}

enum qk_err noise_cipher_seal(struct noise_cipher *cipher, struct bytes plain, struct buf *out)
{
    enum qk_err err;

    assert(cipher->key != NULL);
    if (plain.len > NOISE_MESSAGE_BYTES_MAX - NOISE_TAG_BYTES)
        return QK_ERR_TOO_BIG;
    if (cipher->nonce == UINT64_MAX) /* reserved for rekeying */
        return QK_ERR_UNSUPPORTED;
    err = noise_seal(cipher->key, cipher->nonce, BYTES_NONE, plain, out);
    if (err == QK_OK)
        cipher->nonce++;
    return err;
}

enum qk_err noise_cipher_open(struct noise_cipher *cipher, struct bytes sealed, struct buf *out)
{
    enum qk_err err;

    assert(cipher->key != NULL);
    if (sealed.len < NOISE_TAG_BYTES || sealed.len > NOISE_MESSAGE_BYTES_MAX)
        return QK_ERR_CORRUPT;
    if (cipher->nonce == UINT64_MAX)
        return QK_ERR_UNSUPPORTED;
    err = noise_open(cipher->key, cipher->nonce, BYTES_NONE, sealed, out);
    if (err == QK_OK)
        cipher->nonce++;
    return err;
}

/* The new key is made in the arena: 32 bytes of key and the unused tag after them (the wrappers
 * take a key's first 32 bytes). */
enum qk_err noise_cipher_rekey(struct noise_cipher *cipher)
{
    static const uint8_t zeros[NOISE_KEY_BYTES];
    struct secret *key = NULL;
    struct buf out = BUF_INIT(NOISE_KEY_BYTES + NOISE_TAG_BYTES);
    enum qk_err err = secret_new_zero(NOISE_KEY_BYTES + NOISE_TAG_BYTES, &key);

    if (err != QK_OK)
        return err;
    out.data = secret_borrow_mut(key);
    out.cap = out.max;
    err = noise_seal(cipher->key, UINT64_MAX, BYTES_NONE, bytes_of(zeros, sizeof zeros), &out);
    secret_return_mut(key);
    if (err != QK_OK) {
        secret_free(key);
        return err;
    }
    secret_free(cipher->key);
    cipher->key = key;
    return QK_OK;
}
