#include "secret/crypto.h"

#include <assert.h>
#include <stdio.h>
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

enum qk_err ed25519_keypair_of(const struct secret *seed, struct secret **ret_secret_key,
                               uint8_t ret_public_key[static ED25519_PUBLIC_BYTES])
{
    struct secret *secret_key;
    enum qk_err err;

    assert(secret_len(seed) == crypto_sign_SEEDBYTES);
    if (secret_is_wiped(seed))
        return QK_ERR_SEALED;
    err = secret_new_zero(ED25519_SECRET_BYTES, &secret_key);
    if (err != QK_OK)
        return err;
    (void)crypto_sign_seed_keypair(ret_public_key, secret_borrow_mut(secret_key),
                                   secret_borrow(seed));
    secret_return(seed);
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

struct password_text {
    unsigned memory_kib, passes;
    uint8_t salt[crypto_pwhash_argon2id_SALTBYTES];
    uint8_t hash[32];
};

/* The text is ours, but comes from disk: every part is checked. */
static bool password_parse(const char *text, struct password_text *ret_text)
{
    char salt[23], hash[44];
    size_t salt_len, hash_len;
    int end = 0;

    if (sscanf(text,
               "$argon2id$v=19$m=%7u,t=%3u,p=1$%22[A-Za-z0-9+/]"
               "$%43[A-Za-z0-9+/]%n",
               &ret_text->memory_kib, &ret_text->passes, salt, hash, &end) != 4 ||
        end == 0 || text[end] != '\0')
        return false;
    if (sodium_base642bin(ret_text->salt, sizeof ret_text->salt, salt, strlen(salt), NULL,
                          &salt_len, NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 ||
        sodium_base642bin(ret_text->hash, sizeof ret_text->hash, hash, strlen(hash), NULL,
                          &hash_len, NULL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0)
        return false;
    return salt_len == sizeof ret_text->salt && hash_len == sizeof ret_text->hash;
}

/* Not crypto_pwhash_str_verify: that calls a password wrong when memory does not suffice to check
 * it, and then who was right would be locked out as one who guesses. */
enum qk_err password_verify(struct bytes password, const char hash[static PASSWORD_HASH_BYTES])
{
    struct password_text text;
    uint8_t computed[sizeof text.hash];
    int rc;

    if (password.len > PASSWORD_BYTES_MAX || memchr(hash, 0, PASSWORD_HASH_BYTES) == NULL ||
        !password_parse(hash, &text))
        return QK_ERR_UNAUTHENTICATED;
    rc = crypto_pwhash(computed, sizeof computed, (const char *)password.data, password.len,
                       text.salt, text.passes, (size_t)text.memory_kib * 1024,
                       crypto_pwhash_ALG_ARGON2ID13);
    secret_stack_burn();
    if (rc != 0)
        return QK_ERR_NOMEM;
    rc = sodium_memcmp(computed, text.hash, sizeof computed);
    sodium_memzero(computed, sizeof computed);
    return rc == 0 ? QK_OK : QK_ERR_UNAUTHENTICATED;
}
