/* Every wrapper when the locked arena is full, and on a key that was wiped. */
#include <criterion/criterion.h>

#include <string.h>

#include "exhaust.h"

TestSuite(wrappers, .init = exhaust_arena_up, .fini = exhaust_arena_down);

static struct secret *key;

static enum qk_err pairs(void)
{
    struct secret *x = NULL, *shared = NULL, *pair = NULL, *of_seed = NULL, *clone = NULL;
    uint8_t pk[X25519_BYTES], sign_pk[ED25519_PUBLIC_BYTES];
    enum qk_err err = x25519_keypair(&x, pk);

    if (err == QK_OK)
        err = x25519_shared(x, pk, &shared);
    if (err == QK_OK)
        err = ed25519_keypair(&pair, sign_pk);
    if (err == QK_OK)
        err = ed25519_keypair_of(key, &of_seed, sign_pk);
    if (err == QK_OK)
        err = secret_new_clone(key, &clone);
    secret_free(x);
    secret_free(shared);
    secret_free(pair);
    secret_free(of_seed);
    secret_free(clone);
    return err;
}

static enum qk_err boxes(void)
{
    struct buf sealed = BUF_INIT(KIB), noise = BUF_INIT(KIB), plain = BUF_SECRET_INIT(KIB);
    struct secret *again = NULL, *ke = NULL, *derived = NULL;
    uint8_t kc[KEY_BYTES];
    enum qk_err err = aead_seal_secret(key, NULL, BYTES_NONE, key, &sealed);

    if (err == QK_OK)
        err = aead_open_secret(key, NULL, BYTES_NONE, buf_bytes(&sealed), &again);
    if (err == QK_OK)
        err = kdf_derive(key, "label", BYTES_NONE, &derived);
    if (err == QK_OK)
        err = kdf_derive_pair(key, "personal", BYTES_NONE, &ke, kc);
    if (err == QK_OK)
        err = noise_seal(key, 1, BYTES_NONE, bytes_str("text"), &noise);
    if (err == QK_OK)
        err = noise_open(key, 1, BYTES_NONE, buf_bytes(&noise), &plain);
    secret_free(again);
    secret_free(ke);
    secret_free(derived);
    buf_fini(&sealed);
    buf_fini(&noise);
    buf_fini(&plain);
    return err;
}

static void run(enum qk_err (*work)(void))
{
    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    cr_assert_gt(exhaust_with_little_room(work), 1);
    secret_free(key);
}

Test(wrappers, pairs_are_made_whole_or_not_at_all_when_the_arena_is_full)
{
    run(pairs);
}

Test(wrappers, boxes_open_or_leave_nothing_when_the_arena_is_full)
{
    run(boxes);
}

Test(wrappers, outputs_that_have_no_room_are_refused)
{
    struct buf tight = BUF_INIT(8), plain = BUF_SECRET_INIT(8), sealed = BUF_INIT(KIB);
    const struct bytes text = bytes_str("longer than eight");

    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    cr_assert_eq(aead_seal(key, NULL, BYTES_NONE, text, &tight), QK_ERR_TOO_BIG);
    cr_assert_eq(tight.len, 0);
    cr_assert_eq(aead_seal(key, NULL, BYTES_NONE, text, &sealed), QK_OK);
    cr_assert_eq(aead_open(key, NULL, BYTES_NONE, buf_bytes(&sealed), &plain), QK_ERR_TOO_BIG);
    cr_assert_eq(plain.len, 0);
    buf_fini(&tight);
    buf_fini(&plain);
    buf_fini(&sealed);
    tight = BUF_INIT(8);
    plain = BUF_SECRET_INIT(8);
    sealed = BUF_INIT(KIB);
    cr_assert_eq(noise_seal(key, 0, BYTES_NONE, text, &tight), QK_ERR_TOO_BIG);
    cr_assert_eq(noise_seal(key, 0, BYTES_NONE, text, &sealed), QK_OK);
    cr_assert_eq(noise_open(key, 0, BYTES_NONE, buf_bytes(&sealed), &plain), QK_ERR_TOO_BIG);
    buf_fini(&tight);
    buf_fini(&plain);
    buf_fini(&sealed);
    secret_free(key);
}

/* What `secret_wipe_all` leaves on the way out of the process: each call says that the node is
 * sealed, and none computes with zeros. */
Test(wrappers, none_works_with_a_wiped_key)
{
    struct buf out = BUF_INIT(KIB), plain = BUF_SECRET_INIT(KIB);
    struct secret *pair, *made[3] = {NULL}, *ke, *good;
    uint8_t pk[32], kc[KEY_BYTES], mac[HASH_BYTES], signature[ED25519_SIGNATURE_BYTES];
    const struct bytes part = bytes_str("part"), sealed = bytes_of(signature, 40);

    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    cr_assert_eq(ed25519_keypair(&pair, pk), QK_OK);
    memset(signature, 0, sizeof signature);
    secret_wipe_all();
    cr_assert_eq(secret_new_random(KEY_BYTES, &good), QK_OK);
    cr_assert_eq(kdf_derive_pair(key, "p", part, &ke, kc), QK_ERR_SEALED);
    cr_assert_eq(mac_compute(key, "l", &part, 1, mac), QK_ERR_SEALED);
    cr_assert_eq(mac_verify(key, "l", &part, 1, mac), QK_ERR_SEALED);
    cr_assert_eq(hmac512_compute(key, &part, 1, &made[0]), QK_ERR_SEALED);
    cr_assert_eq(noise_hkdf(key, part, 2, made), QK_ERR_SEALED);
    cr_assert_eq(aead_seal(key, NULL, BYTES_NONE, part, &out), QK_ERR_SEALED);
    cr_assert_eq(aead_open(key, NULL, BYTES_NONE, sealed, &plain), QK_ERR_SEALED);
    cr_assert_eq(aead_seal_secret(key, NULL, BYTES_NONE, good, &out), QK_ERR_SEALED);
    cr_assert_eq(aead_seal_secret(good, NULL, BYTES_NONE, key, &out), QK_ERR_SEALED);
    cr_assert_eq(aead_open_secret(key, NULL, BYTES_NONE, sealed, &made[0]), QK_ERR_SEALED);
    cr_assert_eq(noise_seal(key, 0, BYTES_NONE, part, &out), QK_ERR_SEALED);
    cr_assert_eq(noise_open(key, 0, BYTES_NONE, sealed, &plain), QK_ERR_SEALED);
    cr_assert_eq(x25519_public(key, pk), QK_ERR_SEALED);
    cr_assert_eq(x25519_shared(key, pk, &made[0]), QK_ERR_SEALED);
    cr_assert_eq(ed25519_keypair_of(key, &made[0], pk), QK_ERR_SEALED);
    cr_assert_eq(ed25519_sign(pair, part, signature), QK_ERR_SEALED);
    cr_assert_eq(secret_new_clone(key, &made[0]), QK_ERR_SEALED);
    cr_assert_not(secret_equal(key, good));
    cr_assert_eq(out.len + plain.len, 0);
    buf_fini(&out);
    buf_fini(&plain);
    secret_free(key);
    secret_free(pair);
    secret_free(good);
}

Test(wrappers, what_is_no_ciphertext_is_corrupt_and_no_password_text_is_denied)
{
    static const char *const texts[] = {
        "",
        "$argon2id$",
        "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$",
        "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$argon2id$v=19$m=65536,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$"
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAx",
    };
    struct buf plain = BUF_SECRET_INIT(KIB);
    struct secret *made = NULL;
    char hash[PASSWORD_HASH_BYTES], *long_text = calloc(1, PASSWORD_BYTES_MAX + 2);

    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    cr_assert_eq(aead_open(key, NULL, BYTES_NONE, bytes_str("short"), &plain), QK_ERR_CORRUPT);
    cr_assert_eq(aead_open_secret(key, NULL, BYTES_NONE, bytes_str("short"), &made),
                 QK_ERR_CORRUPT);
    cr_assert_eq(noise_open(key, 0, BYTES_NONE, bytes_str("short"), &plain), QK_ERR_CORRUPT);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        memset(hash, 0, sizeof hash);
        memcpy(hash, texts[i], strlen(texts[i]));
        cr_assert_eq(password_verify(bytes_str("p"), hash), QK_ERR_UNAUTHENTICATED, "%s", texts[i]);
    }
    memset(hash, 'x', sizeof hash); /* not even terminated */
    cr_assert_eq(password_verify(bytes_str("p"), hash), QK_ERR_UNAUTHENTICATED);
    memset(long_text, 'p', PASSWORD_BYTES_MAX + 1);
    cr_assert_eq(password_hash(bytes_str(long_text), hash), QK_ERR_TOO_BIG);
    free(long_text);
    secret_free(key);
}
