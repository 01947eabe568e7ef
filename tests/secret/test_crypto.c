#include <criterion/criterion.h>

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium.h>

#include "base/encode.h"
#include "secret/crypto.h"

static void arena_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
}

static void arena_down(void)
{
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(crypto, .init = arena_up, .fini = arena_down);

static struct secret *secret_hex(const char *text)
{
    struct secret *secret;
    uint8_t raw[64];
    size_t len = strlen(text) / 2;

    cr_assert_eq(hex_decode(bytes_str(text), raw, len), QK_OK);
    cr_assert_eq(secret_new_copy(raw, len, &secret), QK_OK);
    return secret;
}

static void expect_secret(const struct secret *secret, const char *text)
{
    uint8_t want[64];

    cr_assert_eq(hex_decode(bytes_str(text), want, secret_len(secret)), QK_OK);
    cr_assert_eq(memcmp(secret_borrow(secret), want, secret_len(secret)), 0);
    secret_return(secret);
}

/* The definition, written out with a plain buffer: BLAKE2b with key and personal. */
Test(crypto, kdf_is_keyed_blake2b_over_label_and_context)
{
    static const uint8_t personal[16] = "quorumkeep-v1";
    static const uint8_t input[] = "\x04slotcontext";
    uint8_t key[32], want[32], mac[32];
    struct bytes parts[2] = {bytes_str("con"), bytes_str("text")};
    struct secret *k, *out, *out2;

    memset(key, 0x5a, sizeof key);
    cr_assert_eq(secret_new_copy(key, sizeof key, &k), QK_OK);
    cr_assert_eq(crypto_generichash_blake2b_salt_personal(want, 32, input, sizeof input - 1, key,
                                                          32, NULL, personal),
                 0);
    cr_assert_eq(kdf_derive(k, "slot", bytes_str("context"), &out), QK_OK);
    cr_assert_eq(kdf_derive_parts(k, "slot", parts, 2, &out2), QK_OK);
    cr_assert(secret_equal(out, out2));
    cr_assert_eq(memcmp(secret_borrow(out), want, 32), 0);
    secret_return(out);
    secret_free(out2);
    cr_assert_eq(kdf_derive(k, "slo", bytes_str("tcontext"), &out2), QK_OK);
    cr_assert(!secret_equal(out, out2), "the label's length separates it from the context");
    cr_assert_eq(mac_compute(k, "slot", parts, 2, mac), QK_OK);
    cr_assert_eq(memcmp(mac, want, 32), 0);
    cr_assert_eq(mac_verify(k, "slot", parts, 2, mac), QK_OK);
    mac[31] ^= 1;
    cr_assert_eq(mac_verify(k, "slot", parts, 2, mac), QK_ERR_CORRUPT);
    secret_free(k);
    secret_free(out);
    secret_free(out2);
}

Test(crypto, pair_is_the_two_halves_of_blake2b_512)
{
    static const uint8_t personal[16] = "qk.record.v1";
    uint8_t key[32], want[64], kc[32];
    struct secret *k, *ke;

    memset(key, 0xa5, sizeof key);
    cr_assert_eq(secret_new_copy(key, sizeof key, &k), QK_OK);
    cr_assert_eq(crypto_generichash_blake2b_salt_personal(want, 64, (const uint8_t *)"header", 6,
                                                          key, 32, NULL, personal),
                 0);
    cr_assert_eq(kdf_derive_pair(k, "qk.record.v1", bytes_str("header"), &ke, kc), QK_OK);
    cr_assert_eq(secret_len(ke), 32);
    cr_assert_eq(memcmp(kc, want + 32, 32), 0);
    cr_assert_eq(memcmp(secret_borrow(ke), want, 32), 0);
    secret_return(ke);
    secret_free(ke);
    secret_free(k);
}

/* RFC 7693, appendix A: BLAKE2b-512("abc"). */
Test(crypto, hash512_matches_rfc_7693)
{
    struct bytes parts[2] = {bytes_str("a"), bytes_str("bc")};
    uint8_t hash[64], want[64];

    hash512_compute(parts, 2, hash);
    cr_assert_eq(hex_decode(bytes_str("ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbff"
                                      "a2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386ed"
                                      "d4009923"),
                            want, 64),
                 QK_OK);
    cr_assert_eq(memcmp(hash, want, 64), 0);
}

/* The definition of HMAC (RFC 2104) and of Noise's HKDF (revision 34, section 4.3), with plain
 * buffers and libsodium's unkeyed BLAKE2b. */
static void hmac_plain(const uint8_t *key, size_t key_len, const uint8_t *data, size_t len,
                       uint8_t *ret_mac)
{
    uint8_t block[128 + 256];

    memset(block, 0x36, 128);
    for (size_t i = 0; i < key_len; i++)
        block[i] ^= key[i];
    memcpy(block + 128, data, len);
    crypto_generichash_blake2b(ret_mac, 64, block, 128 + len, NULL, 0);
    memset(block, 0x5c, 128);
    for (size_t i = 0; i < key_len; i++)
        block[i] ^= key[i];
    memcpy(block + 128, ret_mac, 64);
    crypto_generichash_blake2b(ret_mac, 64, block, 128 + 64, NULL, 0);
}

Test(crypto, noise_hkdf_follows_its_definition)
{
    uint8_t ck[64], temp[64], want[64], data[65];
    struct secret *key, *outs[3];

    memset(ck, 0x11, sizeof ck);
    cr_assert_eq(secret_new_copy(ck, 64, &key), QK_OK);
    cr_assert_eq(noise_hkdf(key, bytes_str("material"), 3, outs), QK_OK);
    hmac_plain(ck, 64, (const uint8_t *)"material", 8, temp);
    data[0] = 1;
    hmac_plain(temp, 64, data, 1, want);
    for (uint8_t i = 0; i < 3; i++) {
        cr_assert_eq(memcmp(secret_borrow(outs[i]), want, 64), 0);
        secret_return(outs[i]);
        memcpy(data, want, 64);
        data[64] = (uint8_t)(i + 2);
        hmac_plain(temp, 64, data, 65, want);
        secret_free(outs[i]);
    }
    secret_free(key);
}

/* draft-irtf-cfrg-xchacha-03, appendix A.3.1. */
Test(crypto, aead_matches_the_published_vector)
{
    struct secret *key =
        secret_hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
    struct buf out = BUF_INIT(256), plain = BUF_SECRET_INIT(256);
    const char *text = "Ladies and Gentlemen of the class of '99: If I could offer you only one "
                       "tip for the future, sunscreen would be it.";
    uint8_t nonce[24], aad[12], tag[16];

    cr_assert_eq(
        hex_decode(bytes_str("404142434445464748494a4b4c4d4e4f5051525354555657"), nonce, 24),
        QK_OK);
    cr_assert_eq(hex_decode(bytes_str("50515253c0c1c2c3c4c5c6c7"), aad, 12), QK_OK);
    cr_assert_eq(hex_decode(bytes_str("c0875924c1c7987947deafd8780acf49"), tag, 16), QK_OK);
    cr_assert_eq(aead_seal(key, nonce, bytes_of(aad, 12), bytes_str(text), &out), QK_OK);
    cr_assert_eq(out.len, strlen(text) + 16);
    cr_assert_eq(memcmp(out.data + strlen(text), tag, 16), 0);
    cr_assert_eq(aead_open(key, nonce, bytes_of(aad, 12), buf_bytes(&out), &plain), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&plain), bytes_str(text)));
    buf_fini(&out);
    buf_fini(&plain);
    secret_free(key);
}

/* RFC 8439, appendix A.5 has another nonce layout; the counter's place is checked by hand. */
Test(crypto, noise_nonce_is_four_zeros_and_a_little_endian_counter)
{
    struct buf out = BUF_INIT(64), plain = BUF_SECRET_INIT(64);
    uint8_t raw[32] = {1}, want[20],
            nonce[12] = {0, 0, 0, 0, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
    struct secret *key;

    cr_assert_eq(secret_new_copy(raw, 32, &key), QK_OK);
    cr_assert_eq(noise_seal(key, 0x0102030405060708ULL, BYTES_NONE, bytes_str("text"), &out),
                 QK_OK);
    crypto_aead_chacha20poly1305_ietf_encrypt(want, NULL, (const uint8_t *)"text", 4, NULL, 0, NULL,
                                              nonce, raw);
    cr_assert_eq(memcmp(out.data, want, 20), 0);
    cr_assert_eq(noise_open(key, 0x0102030405060708ULL, BYTES_NONE, buf_bytes(&out), &plain),
                 QK_OK);
    cr_assert_eq(noise_open(key, 0x0102030405060709ULL, BYTES_NONE, buf_bytes(&out), &plain),
                 QK_ERR_CORRUPT);
    cr_assert_eq(plain.len, 4);
    buf_fini(&out);
    buf_fini(&plain);
    secret_free(key);
}

Test(crypto, altered_or_cut_ciphertext_is_corrupt_and_leaves_no_output)
{
    struct buf out = BUF_INIT(256), plain = BUF_SECRET_INIT(256);
    struct secret *key, *inside, *back;

    cr_assert_eq(secret_new_random(32, &key), QK_OK);
    cr_assert_eq(secret_new_random(64, &inside), QK_OK);
    cr_assert_eq(aead_seal_secret(key, NULL, bytes_str("aad"), inside, &out), QK_OK);
    cr_assert_eq(out.len, 80);
    cr_assert_eq(aead_open_secret(key, NULL, bytes_str("aad"), buf_bytes(&out), &back), QK_OK);
    cr_assert(secret_equal(inside, back));
    secret_free(back);
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 0x40;
        cr_assert_eq(aead_open_secret(key, NULL, bytes_str("aad"), buf_bytes(&out), &back),
                     QK_ERR_CORRUPT);
        cr_assert_eq(aead_open(key, NULL, bytes_str("aad"), buf_bytes(&out), &plain),
                     QK_ERR_CORRUPT);
        out.data[i] ^= 0x40;
        cr_assert_eq(aead_open(key, NULL, bytes_str("aad"), bytes_of(out.data, i), &plain),
                     QK_ERR_CORRUPT);
    }
    cr_assert_eq(plain.len, 0);
    cr_assert_eq(aead_open(key, NULL, bytes_str("aax"), buf_bytes(&out), &plain), QK_ERR_CORRUPT);
    buf_fini(&out);
    buf_fini(&plain);
    secret_free(key);
    secret_free(inside);
}

/* RFC 7748, section 6.1. */
Test(crypto, x25519_matches_rfc_7748_and_refuses_low_order)
{
    struct secret *alice =
        secret_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    uint8_t bob[32], pk[32], want[32], zero[32] = {0};
    struct secret *shared;

    cr_assert_eq(
        hex_decode(bytes_str("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
                   want, 32),
        QK_OK);
    cr_assert_eq(
        hex_decode(bytes_str("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
                   bob, 32),
        QK_OK);
    cr_assert_eq(x25519_public(alice, pk), QK_OK);
    cr_assert_eq(memcmp(pk, want, 32), 0);
    cr_assert_eq(x25519_shared(alice, bob, &shared), QK_OK);
    expect_secret(shared, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    secret_free(shared);
    cr_assert_eq(x25519_shared(alice, zero, &shared), QK_ERR_INVALID);
    secret_free(alice);
}

/* RFC 8032, section 7.1, test 2 (libsodium's secret key is seed and public key). */
Test(crypto, ed25519_matches_rfc_8032)
{
    struct secret *key =
        secret_hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
                   "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    uint8_t pk[32], signature[64], want[64];

    cr_assert_eq(
        hex_decode(bytes_str("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                             "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
                   want, 64),
        QK_OK);
    cr_assert_eq(ed25519_sign(key, bytes_of("\x72", 1), signature), QK_OK);
    cr_assert_eq(memcmp(signature, want, 64), 0);
    secret_free(key);
    cr_assert_eq(ed25519_keypair(&key, pk), QK_OK);
    cr_assert_eq(ed25519_sign(key, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(pk, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(pk, bytes_str("unhole"), signature), QK_ERR_CORRUPT);
    signature[0] ^= 1;
    cr_assert_eq(ed25519_verify(pk, bytes_str("unhold"), signature), QK_ERR_CORRUPT);
    secret_free(key);
}

Test(crypto, password_is_verified_and_wrong_ones_are_not)
{
    char hash[PASSWORD_HASH_BYTES];
    static const char damaged[PASSWORD_HASH_BYTES] = "$argon2id$nonsense";

    cr_assert_eq(password_hash(bytes_str("correct horse"), hash), QK_OK);
    cr_assert(strncmp(hash, "$argon2id$v=19$m=65536,t=2,p=1$", 31) == 0);
    cr_assert_eq(password_verify(bytes_str("correct horse"), hash), QK_OK);
    cr_assert_eq(password_verify(bytes_str("correct horsf"), hash), QK_ERR_UNAUTHENTICATED);
    cr_assert_eq(password_verify(bytes_str("correct horse"), damaged), QK_ERR_UNAUTHENTICATED);
}

Test(crypto, password_that_memory_does_not_suffice_to_check_is_not_called_wrong)
{
    char hash[PASSWORD_HASH_BYTES];
    struct rlimit limit;

#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("AddressSanitizer ends the process where memory is refused");
#endif
    cr_assert_eq(password_hash(bytes_str("correct horse"), hash), QK_OK);
    cr_assert_eq(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur = 1; /* nothing further can be mapped: Argon2id wants 64 MiB */
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_eq(password_verify(bytes_str("correct horse"), hash), QK_ERR_NOMEM);
    limit.rlim_cur = limit.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    cr_assert_eq(password_verify(bytes_str("correct horse"), hash), QK_OK);
}

/* 24-byte draws: if the pool ever gave the same bytes twice, a set of 100,000 would show it. */
static int compare_draws(const void *a, const void *b)
{
    return memcmp(a, b, 24);
}

Test(crypto, random_pool_never_repeats_even_across_fork)
{
    enum { N = 100000 };
    static uint8_t draws[N + 2][24];
    int pipe_fds[2], status;
    pid_t pid;

    for (size_t i = 0; i < N; i++)
        random_fill(draws[i], 24);
    cr_assert_eq(pipe(pipe_fds), 0);
    pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        random_fill(draws[N], 24);
        _exit(write(pipe_fds[1], draws[N], 24) == 24 ? 0 : 1);
    }
    cr_assert_eq(read(pipe_fds[0], draws[N], 24), 24);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    random_fill(draws[N + 1], 24);
    qsort(draws, N + 2, 24, compare_draws);
    for (size_t i = 0; i + 1 < N + 2; i++)
        cr_assert_neq(memcmp(draws[i], draws[i + 1], 24), 0);
    (void)close(pipe_fds[0]);
    (void)close(pipe_fds[1]);
}
