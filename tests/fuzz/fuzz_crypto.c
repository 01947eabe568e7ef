/* Our wrappers of libsodium against OpenSSL, by the first byte: keyed BLAKE2b, HMAC and HKDF,
 * ChaCha20-Poly1305, X25519, Ed25519, AES-256-GCM, deterministic encryption. Key material is the
 * next 32 bytes, the rest is the message.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>
#include <string.h>

#include "fuzz.h"
#include "secret/crypto.h"

#define MODES 10
#define PERSONAL_BYTES 16

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    for (unsigned i = 0; i < 80; i++)
        buf_put_u8(out, (uint8_t)(i * 13 + number));
    return true;
}

static bool secret_is(const struct secret *secret, const uint8_t *want, size_t len)
{
    bool same = secret_len(secret) == len && memcmp(secret_borrow(secret), want, len) == 0;

    secret_return(secret);
    return same;
}

static void openssl_blake2b(struct bytes key, const char *personal, size_t len,
                            const struct bytes *parts, size_t parts_n, uint8_t *ret_out)
{
    static EVP_MAC *mac;
    char custom[PERSONAL_BYTES] = {0};
    OSSL_PARAM params[3];
    EVP_MAC_CTX *ctx;
    size_t got = 0;

    if (mac == NULL)
        mac = EVP_MAC_fetch(NULL, "BLAKE2BMAC", NULL);
    memcpy(custom, personal, strlen(personal));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_CUSTOM, custom, sizeof custom);
    params[1] = OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &len);
    params[2] = OSSL_PARAM_construct_end();
    ctx = EVP_MAC_CTX_new(mac);
    fuzz_require(EVP_MAC_init(ctx, key.data, key.len, params) == 1);
    for (size_t i = 0; i < parts_n; i++)
        fuzz_require(EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1);
    fuzz_require(EVP_MAC_final(ctx, ret_out, &got, len) == 1 && got == len);
    EVP_MAC_CTX_free(ctx);
}

static void fuzz_kdf(const struct secret *key, struct bytes raw, struct bytes message)
{
    const struct bytes parts[] = {bytes_of("\x04kind", 5), message};
    struct secret *ours = NULL;
    uint8_t theirs[HASH512_BYTES], mac[HASH_BYTES], kc[KEY_BYTES];

    openssl_blake2b(raw, "quorumkeep-v1", HASH_BYTES, parts, 2, theirs);
    fuzz_must(kdf_derive(key, "kind", message, &ours));
    fuzz_require(secret_is(ours, theirs, HASH_BYTES));
    secret_free(ours);
    fuzz_must(mac_compute(key, "kind", &message, 1, mac));
    fuzz_require(memcmp(mac, theirs, sizeof mac) == 0);
    openssl_blake2b(raw, "qk.record.v1", HASH512_BYTES, &message, 1, theirs);
    fuzz_must(kdf_derive_pair(key, "qk.record.v1", message, &ours, kc));
    fuzz_require(secret_is(ours, theirs, KEY_BYTES) && memcmp(kc, theirs + 32, sizeof kc) == 0);
    secret_free(ours);
}

static void fuzz_hash(struct bytes message)
{
    const struct bytes parts[] = {bytes_slice(message, 0, message.len / 2),
                                  bytes_slice(message, message.len / 2, message.len)};
    uint8_t ours[HASH512_BYTES], theirs[HASH512_BYTES];
    unsigned len = 0;

    hash512_compute(parts, 2, ours);
    fuzz_require(EVP_Digest(message.data, message.len, theirs, &len, EVP_blake2b512(), NULL) == 1);
    fuzz_require(len == sizeof ours && memcmp(ours, theirs, len) == 0);
}

static void openssl_hmac(struct bytes key, const struct bytes *parts, size_t parts_n,
                         uint8_t *ret_out)
{
    static EVP_MAC *mac;
    char digest[] = "BLAKE2b512";
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                                 OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx;
    size_t got = 0;

    if (mac == NULL)
        mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ctx = EVP_MAC_CTX_new(mac);
    fuzz_require(EVP_MAC_init(ctx, key.data, key.len, params) == 1);
    for (size_t i = 0; i < parts_n; i++)
        fuzz_require(EVP_MAC_update(ctx, parts[i].data, parts[i].len) == 1);
    fuzz_require(EVP_MAC_final(ctx, ret_out, &got, HASH512_BYTES) == 1 && got == HASH512_BYTES);
    EVP_MAC_CTX_free(ctx);
}

/* Noise, section 4.3: temp = HMAC(ck, input), out1 = HMAC(temp, 1), out2 = HMAC(temp, out1 ‖ 2)...
 */
static void fuzz_hkdf(const struct secret *key, struct bytes raw, struct bytes message)
{
    struct secret *ours[3] = {NULL}, *mac = NULL;
    uint8_t temp[HASH512_BYTES], theirs[HASH512_BYTES];
    struct bytes before = BYTES_NONE;

    openssl_hmac(raw, &message, 1, temp);
    fuzz_must(hmac512_compute(key, &message, 1, &mac));
    fuzz_require(secret_is(mac, temp, sizeof temp));
    secret_free(mac);
    fuzz_must(noise_hkdf(key, message, 3, ours));
    for (uint8_t i = 0; i < 3; i++) {
        const uint8_t number = (uint8_t)(i + 1);
        const struct bytes parts[] = {before, bytes_of(&number, 1)};
        uint8_t next[HASH512_BYTES];

        openssl_hmac(bytes_of(temp, sizeof temp), parts, 2, next);
        memcpy(theirs, next, sizeof theirs);
        before = bytes_of(theirs, sizeof theirs);
        fuzz_require(secret_is(ours[i], theirs, sizeof theirs));
        secret_free(ours[i]);
    }
}

static void openssl_seal(const EVP_CIPHER *cipher, const uint8_t *key, const uint8_t *nonce,
                         struct bytes aad, struct bytes plain, struct buf *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    uint8_t *at = buf_extend(out, plain.len + AEAD_TAG_BYTES);
    int got = 0;

    fuzz_require(EVP_EncryptInit_ex(ctx, cipher, NULL, key, nonce) == 1);
    if (aad.len > 0)
        fuzz_require(EVP_EncryptUpdate(ctx, NULL, &got, aad.data, (int)aad.len) == 1);
    if (plain.len > 0)
        fuzz_require(EVP_EncryptUpdate(ctx, at, &got, plain.data, (int)plain.len) == 1);
    fuzz_require(EVP_EncryptFinal_ex(ctx, at + plain.len, &got) == 1);
    fuzz_require(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, AEAD_TAG_BYTES, at + plain.len) ==
                 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void fuzz_noise(const struct secret *key, struct bytes raw, struct bytes message)
{
    struct bytes aad = bytes_slice(message, 0, message.len / 3);
    struct bytes plain = bytes_slice(message, message.len / 3, message.len);
    struct buf ours = BUF_INIT(64 * KIB), theirs = BUF_INIT(64 * KIB);
    struct buf back = BUF_SECRET_INIT(64 * KIB);
    uint8_t nonce[12] = {0};
    uint64_t counter = raw.data[0] * (uint64_t)0x0102030405060708;

    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(counter >> (8 * i));
    fuzz_must(noise_seal(key, counter, aad, plain, &ours));
    openssl_seal(EVP_chacha20_poly1305(), raw.data, nonce, aad, plain, &theirs);
    fuzz_require(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    fuzz_must(noise_open(key, counter, aad, buf_bytes(&theirs), &back));
    fuzz_require(bytes_equal(buf_bytes(&back), plain));
    buf_fini(&ours);
    buf_fini(&theirs);
    buf_fini(&back);
}

/* XChaCha20-Poly1305 is ChaCha20-Poly1305 under HChaCha20's key (draft-irtf-cfrg-xchacha-03, 2.3);
 * HChaCha20 is libsodium's own, OpenSSL has none. */
static void fuzz_xchacha(const struct secret *key, struct bytes raw, struct bytes message)
{
    struct bytes aad = bytes_slice(message, 0, message.len / 3);
    struct bytes plain = bytes_slice(message, message.len / 3, message.len);
    struct buf ours = BUF_INIT(64 * KIB), theirs = BUF_INIT(64 * KIB);
    uint8_t nonce[AEAD_NONCE_BYTES], inner[KEY_BYTES], last[12] = {0};

    for (size_t i = 0; i < sizeof nonce; i++)
        nonce[i] = (uint8_t)(raw.data[i] * 3u);
    (void)crypto_core_hchacha20(inner, nonce, raw.data, NULL);
    memcpy(last + 4, nonce + 16, 8);
    fuzz_must(aead_seal(key, nonce, aad, plain, &ours));
    openssl_seal(EVP_chacha20_poly1305(), inner, last, aad, plain, &theirs);
    fuzz_require(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    buf_fini(&ours);
    buf_fini(&theirs);
}

/* As records are sealed: under an all-zero nonce. */
static void fuzz_aes(const struct secret *key, struct bytes raw, struct bytes message)
{
    struct bytes aad = bytes_slice(message, 0, message.len / 3);
    struct bytes plain = bytes_slice(message, message.len / 3, message.len);
    struct buf ours = BUF_INIT(64 * KIB), theirs = BUF_INIT(64 * KIB);
    struct buf back = BUF_SECRET_INIT(64 * KIB);
    const uint8_t nonce[12] = {0};

    if (!aead_has_aes256gcm())
        return;
    fuzz_must(aead_seal_once(AEAD_AES256GCM, key, aad, plain, &ours));
    openssl_seal(EVP_aes_256_gcm(), raw.data, nonce, aad, plain, &theirs);
    fuzz_require(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    fuzz_must(aead_open_once(AEAD_AES256GCM, key, aad, buf_bytes(&theirs), &back));
    fuzz_require(bytes_equal(buf_bytes(&back), plain));
    theirs.data[raw.data[0] % theirs.len] ^= 1;
    fuzz_require(aead_open_once(AEAD_AES256GCM, key, aad, buf_bytes(&theirs), &back) ==
                 QK_ERR_CORRUPT);
    buf_fini(&ours);
    buf_fini(&theirs);
    buf_fini(&back);
}

/* What crypto.h says siv_seal is, from OpenSSL's parts (HChaCha20 is libsodium's own). */
static void openssl_siv(struct bytes raw, struct bytes context, struct bytes plain, struct buf *out)
{
    uint8_t keys[HASH512_BYTES], inner[KEY_BYTES], counter[16] = {0};
    uint8_t *tag = buf_extend(out, SIV_TAG_BYTES + plain.len);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int got = 0;

    openssl_blake2b(raw, "qk.siv.v1", sizeof keys, &context, 1, keys);
    openssl_blake2b(bytes_of(keys, KEY_BYTES), "", SIV_TAG_BYTES, &plain, 1, tag);
    (void)crypto_core_hchacha20(inner, tag, keys + KEY_BYTES, NULL);
    fuzz_require(EVP_EncryptInit_ex(ctx, EVP_chacha20(), NULL, inner, counter) == 1);
    if (plain.len > 0)
        fuzz_require(
            EVP_EncryptUpdate(ctx, tag + SIV_TAG_BYTES, &got, plain.data, (int)plain.len) == 1);
    EVP_CIPHER_CTX_free(ctx);
}

static void fuzz_siv(const struct secret *key, struct bytes raw, struct bytes message)
{
    struct bytes context = bytes_slice(message, 0, message.len / 3);
    struct bytes plain = bytes_slice(message, message.len / 3, message.len);
    struct buf ours = BUF_INIT(64 * KIB), theirs = BUF_INIT(64 * KIB);
    struct buf back = BUF_SECRET_INIT(64 * KIB);

    fuzz_must(siv_seal(key, context, plain, &ours));
    openssl_siv(raw, context, plain, &theirs);
    fuzz_require(bytes_equal(buf_bytes(&ours), buf_bytes(&theirs)));
    fuzz_must(siv_open(key, context, buf_bytes(&theirs), &back));
    fuzz_require(bytes_equal(buf_bytes(&back), plain));
    theirs.data[raw.data[0] % theirs.len] ^= 1;
    fuzz_require(siv_open(key, context, buf_bytes(&theirs), &back) == QK_ERR_CORRUPT);
    buf_fini(&ours);
    buf_fini(&theirs);
    buf_fini(&back);
}

static void fuzz_x25519(const struct secret *key, struct bytes raw, struct bytes message)
{
    uint8_t peer[X25519_BYTES] = {9}, theirs[X25519_BYTES];
    EVP_PKEY *a, *b;
    EVP_PKEY_CTX *ctx;
    struct secret *shared = NULL;
    size_t len = sizeof theirs;
    bool takes;

    memcpy(peer, message.data, message.len < sizeof peer ? message.len : sizeof peer);
    a = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, raw.data, KEY_BYTES);
    b = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, peer, sizeof peer);
    ctx = EVP_PKEY_CTX_new(a, NULL);
    fuzz_require(EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, b) == 1);
    takes = EVP_PKEY_derive(ctx, theirs, &len) == 1;
    fuzz_require((x25519_shared(key, peer, &shared) == QK_OK) == takes);
    fuzz_require(!takes || secret_is(shared, theirs, sizeof theirs));
    secret_free(shared);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

static void fuzz_ed25519(struct bytes raw, struct bytes message)
{
    uint8_t pk[ED25519_PUBLIC_BYTES], sk[ED25519_SECRET_BYTES];
    uint8_t ours[ED25519_SIGNATURE_BYTES], theirs[ED25519_SIGNATURE_BYTES];
    EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw.data, KEY_BYTES);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    struct secret *secret;
    size_t len = sizeof theirs;

    (void)crypto_sign_seed_keypair(pk, sk, raw.data);
    fuzz_must(secret_new_copy(sk, sizeof sk, &secret));
    fuzz_must(ed25519_sign(secret, message, ours));
    fuzz_require(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) == 1);
    fuzz_require(EVP_DigestSign(ctx, theirs, &len, message.data, message.len) == 1);
    fuzz_require(memcmp(ours, theirs, sizeof ours) == 0);
    fuzz_must(ed25519_verify(pk, message, theirs));
    ours[raw.data[0] % sizeof ours] ^= 1;
    fuzz_require(ed25519_verify(pk, message, ours) == QK_ERR_CORRUPT);
    secret_free(secret);
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(pkey);
}

static void fuzz_mode(unsigned mode, const struct secret *key, struct bytes raw,
                      struct bytes message)
{
    switch (mode) {
    case 0:
    case 1:
        fuzz_kdf(key, raw, message);
        break;
    case 2:
        fuzz_hash(message);
        break;
    case 3:
        fuzz_hkdf(key, raw, message);
        break;
    case 4:
        fuzz_noise(key, raw, message);
        break;
    case 5:
        fuzz_xchacha(key, raw, message);
        break;
    case 6:
        fuzz_x25519(key, raw, message);
        break;
    case 7:
        fuzz_aes(key, raw, message);
        break;
    case 8:
        fuzz_siv(key, raw, message);
        break;
    default:
        fuzz_ed25519(raw, message);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes raw, message;
    struct secret *key;

    if (len < 1 + KEY_BYTES + 1 || len > 16 * KIB)
        return 0;
    raw = bytes_of(data + 1, KEY_BYTES);
    message = bytes_of(data + 1 + KEY_BYTES, len - 1 - KEY_BYTES);
    fuzz_must(secret_new_copy(raw.data, raw.len, &key));
    fuzz_mode(data[0] % MODES, key, raw, message);
    secret_free(key);
    return 0;
}
