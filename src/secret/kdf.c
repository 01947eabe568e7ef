#include "secret/crypto.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "secret/arena.h"

#define LABEL_BYTES_MAX 255
#define NOISE_OUTPUTS_MAX 3
#define HMAC512_BLOCK_BYTES 128

_Static_assert(crypto_generichash_blake2b_PERSONALBYTES == 16, "personal strings are 16 bytes");

/* Zero-padded: design says personal "quorumkeep-v1". */
static const uint8_t personal_kdf[16] = "quorumkeep-v1";

enum qk_err crypto_start(void)
{
    return sodium_init() < 0 ? QK_ERR_UNSUPPORTED : QK_OK;
}

static void blake2b_parts(crypto_generichash_blake2b_state *state, const struct bytes *parts,
                          size_t parts_n)
{
    for (size_t i = 0; i < parts_n; i++)
        if (parts[i].len > 0)
            (void)crypto_generichash_blake2b_update(state, parts[i].data, parts[i].len);
}

/* The keyed function behind kdf and mac: 32 bytes to `ret_out`. */
static enum qk_err labelled(const struct secret *key, const char *label, const struct bytes *parts,
                            size_t parts_n, uint8_t *ret_out)
{
    crypto_generichash_blake2b_state state;
    size_t label_len = strlen(label);
    uint8_t label_len8 = (uint8_t)label_len;
    int rc;

    assert(label_len > 0 && label_len <= LABEL_BYTES_MAX);
    assert(secret_len(key) >= 16 && secret_len(key) <= 64);
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    rc = crypto_generichash_blake2b_init_salt_personal(&state, secret_borrow(key), secret_len(key),
                                                       KEY_BYTES, NULL, personal_kdf);
    secret_return(key);
    assert(rc == 0);
    (void)crypto_generichash_blake2b_update(&state, &label_len8, 1);
    (void)crypto_generichash_blake2b_update(&state, (const uint8_t *)label, label_len);
    blake2b_parts(&state, parts, parts_n);
    (void)crypto_generichash_blake2b_final(&state, ret_out, KEY_BYTES);
    sodium_memzero(&state, sizeof state);
    secret_stack_burn_symmetric();
    return QK_OK;
}

enum qk_err kdf_derive_parts(const struct secret *key, const char *label, const struct bytes *parts,
                             size_t parts_n, struct secret **ret_key)
{
    struct secret *out;
    enum qk_err err = secret_new_zero(KEY_BYTES, &out);

    if (err != QK_OK)
        return err;
    err = labelled(key, label, parts, parts_n, secret_borrow_mut(out));
    secret_return_mut(out);
    if (err != QK_OK) {
        secret_free(out);
        return err;
    }
    *ret_key = out;
    return QK_OK;
}

enum qk_err kdf_derive(const struct secret *key, const char *label, struct bytes context,
                       struct secret **ret_key)
{
    return kdf_derive_parts(key, label, &context, 1, ret_key);
}

enum qk_err mac_compute(const struct secret *key, const char *label, const struct bytes *parts,
                        size_t parts_n, uint8_t ret_mac[static HASH_BYTES])
{
    return labelled(key, label, parts, parts_n, ret_mac);
}

enum qk_err mac_verify(const struct secret *key, const char *label, const struct bytes *parts,
                       size_t parts_n, const uint8_t mac[static HASH_BYTES])
{
    uint8_t want[HASH_BYTES];
    enum qk_err err = labelled(key, label, parts, parts_n, want);

    if (err == QK_OK && sodium_memcmp(want, mac, sizeof want) != 0)
        err = QK_ERR_CORRUPT;
    sodium_memzero(want, sizeof want);
    return err;
}

enum qk_err mac_hashes(const struct secret *key, const char *personal, const uint8_t *hashes,
                       size_t n, uint8_t *ret_macs)
{
    uint8_t padded[crypto_generichash_blake2b_PERSONALBYTES] = {0};
    size_t personal_len = strlen(personal);
    const uint8_t *borrowed;

    assert(personal_len <= sizeof padded && secret_len(key) == KEY_BYTES);
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    memcpy(padded, personal, personal_len);
    borrowed = secret_borrow(key);
    for (size_t i = 0; i < n; i++)
        (void)crypto_generichash_blake2b_salt_personal(ret_macs + i * HASH_BYTES, HASH_BYTES,
                                                       hashes + i * HASH_BYTES, HASH_BYTES,
                                                       borrowed, KEY_BYTES, NULL, padded);
    secret_return(key);
    secret_stack_burn_symmetric();
    return QK_OK;
}

/* The 64 bytes are split in the arena: Ke is never anywhere else. */
enum qk_err kdf_derive_pair(const struct secret *key, const char *personal, struct bytes input,
                            struct secret **ret_ke, uint8_t ret_kc[static KEY_BYTES])
{
    uint8_t padded[crypto_generichash_blake2b_PERSONALBYTES] = {0};
    struct secret *pair = NULL;
    size_t personal_len = strlen(personal);
    enum qk_err err;
    uint8_t *out;

    assert(personal_len <= sizeof padded);
    assert(secret_len(key) >= 16 && secret_len(key) <= 64);
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    memcpy(padded, personal, personal_len);
    err = secret_new_passing(2 * (size_t)KEY_BYTES, &pair);
    if (err != QK_OK)
        return err;
    out = secret_borrow_mut(pair);
    if (crypto_generichash_blake2b_salt_personal(out, 2 * (size_t)KEY_BYTES, input.data, input.len,
                                                 secret_borrow(key), secret_len(key), NULL,
                                                 padded) != 0)
        err = QK_ERR_INVALID;
    secret_return(key);
    secret_stack_burn_symmetric();
    memcpy(ret_kc, out + KEY_BYTES, KEY_BYTES);
    secret_return_mut(pair);
    if (err != QK_OK) {
        secret_free(pair);
        return err;
    }
    secret_truncate(pair, KEY_BYTES);
    *ret_ke = pair;
    return QK_OK;
}

static void hash_parts(const struct bytes *parts, size_t parts_n, uint8_t *ret_hash, size_t len)
{
    crypto_generichash_blake2b_state state;

    (void)crypto_generichash_blake2b_init(&state, NULL, 0, len);
    blake2b_parts(&state, parts, parts_n);
    (void)crypto_generichash_blake2b_final(&state, ret_hash, len);
    sodium_memzero(&state, sizeof state);
}

void hash_compute(const struct bytes *parts, size_t parts_n, uint8_t ret_hash[static HASH_BYTES])
{
    hash_parts(parts, parts_n, ret_hash, HASH_BYTES);
}

void hash512_compute(const struct bytes *parts, size_t parts_n,
                     uint8_t ret_hash[static HASH512_BYTES])
{
    hash_parts(parts, parts_n, ret_hash, HASH512_BYTES);
}

/* One of HMAC's two hashes: H((key ^ pad) ‖ parts). `block` is 128 bytes of the arena. */
static void hmac_half(const struct secret *key, uint8_t pad, uint8_t *block,
                      const struct bytes *parts, size_t parts_n, uint8_t *ret_hash)
{
    crypto_generichash_blake2b_state state;
    const uint8_t *at = secret_borrow(key);

    memset(block, pad, HMAC512_BLOCK_BYTES);
    for (size_t i = 0; i < secret_len(key); i++)
        block[i] ^= at[i];
    secret_return(key);
    (void)crypto_generichash_blake2b_init(&state, NULL, 0, HASH512_BYTES);
    (void)crypto_generichash_blake2b_update(&state, block, HMAC512_BLOCK_BYTES);
    blake2b_parts(&state, parts, parts_n);
    (void)crypto_generichash_blake2b_final(&state, ret_hash, HASH512_BYTES);
    sodium_memzero(&state, sizeof state);
}

enum qk_err hmac512_compute(const struct secret *key, const struct bytes *parts, size_t parts_n,
                            struct secret **ret_mac)
{
    struct secret *scratch = NULL, *mac = NULL;
    uint8_t *block, *out;
    enum qk_err err;

    assert(secret_len(key) <= HMAC512_BLOCK_BYTES);
    if (secret_is_wiped(key))
        return QK_ERR_SEALED;
    err = secret_new_passing(HMAC512_BLOCK_BYTES + HASH512_BYTES, &scratch);
    if (err == QK_OK)
        err = secret_new_zero(HASH512_BYTES, &mac);
    if (err != QK_OK)
        goto out;
    block = secret_borrow_mut(scratch);
    out = secret_borrow_mut(mac);
    hmac_half(key, 0x36, block, parts, parts_n, block + HMAC512_BLOCK_BYTES);
    hmac_half(key, 0x5c, block, &(struct bytes){block + HMAC512_BLOCK_BYTES, HASH512_BYTES}, 1,
              out);
    secret_return_mut(mac);
    secret_return_mut(scratch);
    secret_stack_burn_symmetric();
    *ret_mac = mac;

out:
    secret_free(scratch);
    return err;
}

/* Output k of Noise's HKDF: HMAC(temp, output k-1 ‖ k). */
static enum qk_err hkdf_output(const struct secret *temp, const struct secret *last, uint8_t k,
                               struct secret **ret_output)
{
    struct bytes parts[2] = {BYTES_NONE, {&k, 1}};
    enum qk_err err;

    if (last == NULL)
        return hmac512_compute(temp, parts, 2, ret_output);
    parts[0] = bytes_of(secret_borrow(last), secret_len(last));
    err = hmac512_compute(temp, parts, 2, ret_output);
    secret_return(last);
    return err;
}

enum qk_err noise_hkdf(const struct secret *chaining_key, struct bytes input, size_t outputs_n,
                       struct secret **ret_outputs)
{
    struct secret *outputs[NOISE_OUTPUTS_MAX] = {NULL}, *temp = NULL;
    enum qk_err err;

    assert(outputs_n >= 1 && outputs_n <= NOISE_OUTPUTS_MAX);
    err = hmac512_compute(chaining_key, &input, 1, &temp);
    for (size_t i = 0; i < outputs_n && err == QK_OK; i++)
        err = hkdf_output(temp, i == 0 ? NULL : outputs[i - 1], (uint8_t)(i + 1), &outputs[i]);
    secret_free(temp);
    for (size_t i = 0; i < outputs_n; i++) {
        if (err == QK_OK)
            ret_outputs[i] = outputs[i];
        else
            secret_free(outputs[i]);
    }
    return err;
}
