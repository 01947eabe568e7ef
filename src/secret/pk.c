#include "secret/crypto.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

_Static_assert(crypto_scalarmult_BYTES == X25519_BYTES, "X25519");
_Static_assert(crypto_sign_SECRETKEYBYTES == ED25519_SECRET_BYTES, "Ed25519");
_Static_assert(crypto_pwhash_STRBYTES == PASSWORD_HASH_BYTES, "Argon2id text");

/* Argon2id: 64 MiB and two passes, libsodium's interactive setting (RFC 9106 names the trade). */
#define PASSWORD_MEMORY_BYTES (64 * MIB)
#define PASSWORD_PASSES 2

enum qk_err x25519_public(const struct secret *secret_key,
                          uint8_t ret_public_key[static X25519_BYTES])
{
    assert(secret_len(secret_key) == X25519_BYTES);
    if (secret_is_wiped(secret_key))
        return QK_ERR_SEALED;
    (void)crypto_scalarmult_base(ret_public_key, secret_borrow(secret_key));
    secret_return(secret_key);
    secret_stack_burn();
    return QK_OK;
}

enum qk_err x25519_keypair(struct secret **ret_secret_key,
                           uint8_t ret_public_key[static X25519_BYTES])
{
    enum qk_err err = secret_new_random(X25519_BYTES, ret_secret_key);

    if (err != QK_OK)
        return err;
    return x25519_public(*ret_secret_key, ret_public_key);
}

enum qk_err x25519_shared(const struct secret *secret_key,
                          const uint8_t public_key[static X25519_BYTES], struct secret **ret_shared)
{
    struct secret *shared;
    enum qk_err err;

    assert(secret_len(secret_key) == X25519_BYTES);
    if (secret_is_wiped(secret_key))
        return QK_ERR_SEALED;
    err = secret_new_zero(X25519_BYTES, &shared);
    if (err != QK_OK)
        return err;
    if (crypto_scalarmult(secret_borrow_mut(shared), secret_borrow(secret_key), public_key) != 0)
        err = QK_ERR_INVALID; /* low order: the result would not depend on our key */
    secret_return(secret_key);
    secret_return_mut(shared);
    secret_stack_burn();
    if (err != QK_OK) {
        secret_free(shared);
        return err;
    }
    *ret_shared = shared;
    return QK_OK;
}

enum qk_err ed25519_keypair(struct secret **ret_secret_key,
                            uint8_t ret_public_key[static ED25519_PUBLIC_BYTES])
{
    struct secret *secret_key;
    enum qk_err err = secret_new_zero(ED25519_SECRET_BYTES, &secret_key);

    if (err != QK_OK)
        return err;
    (void)crypto_sign_keypair(ret_public_key, secret_borrow_mut(secret_key));
    secret_return_mut(secret_key);
    secret_stack_burn();
    *ret_secret_key = secret_key;
    return QK_OK;
}

enum qk_err ed25519_sign(const struct secret *secret_key, struct bytes message,
                         uint8_t ret_signature[static ED25519_SIGNATURE_BYTES])
{
    assert(secret_len(secret_key) == ED25519_SECRET_BYTES);
    if (secret_is_wiped(secret_key))
        return QK_ERR_SEALED;
    (void)crypto_sign_detached(ret_signature, NULL, message.data, message.len,
                               secret_borrow(secret_key));
    secret_return(secret_key);
    secret_stack_burn();
    return QK_OK;
}

enum qk_err ed25519_verify(const uint8_t public_key[static ED25519_PUBLIC_BYTES],
                           struct bytes message,
                           const uint8_t signature[static ED25519_SIGNATURE_BYTES])
{
    if (crypto_sign_verify_detached(signature, message.data, message.len, public_key) != 0)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

enum qk_err password_hash(struct bytes password, char ret_hash[static PASSWORD_HASH_BYTES])
{
    int rc;

    if (password.len > PASSWORD_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    rc = crypto_pwhash_str_alg(ret_hash, (const char *)password.data, password.len, PASSWORD_PASSES,
                               PASSWORD_MEMORY_BYTES, crypto_pwhash_ALG_ARGON2ID13);
    secret_stack_burn();
    return rc == 0 ? QK_OK : QK_ERR_NOMEM;
}

/* The text is ours, but comes from disk: it must end within its bytes. */
enum qk_err password_verify(struct bytes password, const char hash[static PASSWORD_HASH_BYTES])
{
    int rc;

    if (password.len > PASSWORD_BYTES_MAX || memchr(hash, 0, PASSWORD_HASH_BYTES) == NULL)
        return QK_ERR_UNAUTHENTICATED;
    rc = crypto_pwhash_str_verify(hash, (const char *)password.data, password.len);
    secret_stack_burn();
    return rc == 0 ? QK_OK : QK_ERR_UNAUTHENTICATED;
}
