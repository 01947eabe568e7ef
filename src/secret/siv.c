/* Deterministic encryption, for names that must be found again: the synthetic initialization vector
 * is a MAC of the plaintext, and the nonce of a stream cipher (Rogaway and Shrimpton 2006). With
 * both keys from one BLAKE2b-512 of the context, the key is opened once for a name. */
#include "secret/crypto.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

static const uint8_t personal_siv[crypto_generichash_blake2b_PERSONALBYTES] = "qk.siv.v1";

struct siv_keys {
    uint8_t mac[KEY_BYTES];
    uint8_t stream[KEY_BYTES];
};

_Static_assert(sizeof(struct siv_keys) == HASH512_BYTES, "one hash gives both keys");
_Static_assert(crypto_stream_xchacha20_KEYBYTES == KEY_BYTES, "stream key");
_Static_assert(crypto_stream_xchacha20_NONCEBYTES >= SIV_TAG_BYTES, "the tag fits the nonce");

static enum qk_err keys_derive(const struct secret *key, struct bytes context,
                               struct siv_keys *ret_keys)
{
    int rc;

    assert(secret_len(key) >= 16 && secret_len(key) <= 64);
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    rc = crypto_generichash_blake2b_salt_personal((uint8_t *)ret_keys, sizeof *ret_keys,
                                                  context.data, context.len, secret_borrow(key),
                                                  secret_len(key), NULL, personal_siv);
    secret_return(key);
    assert(rc == 0);
    return QK_OK;
}

static void keys_forget(struct siv_keys *keys)
{
    sodium_memzero(keys, sizeof *keys);
    secret_stack_burn_symmetric();
}

static void tag_compute(const struct siv_keys *keys, struct bytes plain,
                        uint8_t ret_tag[static SIV_TAG_BYTES])
{
    (void)crypto_generichash_blake2b(ret_tag, SIV_TAG_BYTES, plain.data, plain.len, keys->mac,
                                     sizeof keys->mac);
}

/* XChaCha20 hashes the first 16 bytes of its nonce with the key into the key of a stream of its
 * own, so that each plaintext has one; the other eight are zeros. */
static void stream_xor(const struct siv_keys *keys, const uint8_t tag[static SIV_TAG_BYTES],
                       struct bytes from, uint8_t *ret_to)
{
    uint8_t nonce[crypto_stream_xchacha20_NONCEBYTES] = {0};

    memcpy(nonce, tag, SIV_TAG_BYTES);
    (void)crypto_stream_xchacha20_xor(ret_to, from.data, from.len, nonce, keys->stream);
}

enum qk_err siv_seal(const struct secret *key, struct bytes context, struct bytes plain,
                     struct buf *out)
{
    struct siv_keys keys;
    enum qk_err err = keys_derive(key, context, &keys);
    uint8_t *at;

    if (err != QK_OK)
        return err;
    at = buf_extend(out, SIV_TAG_BYTES + plain.len);
    if (at != NULL) {
        tag_compute(&keys, plain, at);
        stream_xor(&keys, at, plain, at + SIV_TAG_BYTES);
    }
    keys_forget(&keys);
    return at == NULL ? buf_error(out) : QK_OK;
}

enum qk_err siv_open(const struct secret *key, struct bytes context, struct bytes sealed,
                     struct buf *out)
{
    struct bytes body = bytes_slice(sealed, SIV_TAG_BYTES, SIZE_MAX);
    uint8_t tag[SIV_TAG_BYTES];
    struct siv_keys keys;
    enum qk_err err;
    uint8_t *at;

    assert(out->secret);

    if (sealed.len < SIV_TAG_BYTES)
        return QK_ERR_CORRUPT;
    err = keys_derive(key, context, &keys);
    if (err != QK_OK)
        return err;
    at = buf_extend(out, body.len);
    err = buf_error(out);
    if (err == QK_OK) {
        stream_xor(&keys, sealed.data, body, at);
        tag_compute(&keys, bytes_of(at, body.len), tag);
        if (sodium_memcmp(tag, sealed.data, SIV_TAG_BYTES) != 0) {
            sodium_memzero(at, body.len);
            out->len -= body.len;
            err = QK_ERR_CORRUPT;
        }
    }
    keys_forget(&keys);
    return err;
}
