/* Keys and envelopes when the locked arena is full. */
#include <criterion/criterion.h>

#include <string.h>

#include "../secret/exhaust.h"
#include "keys/keyring.h"

TestSuite(exhaustion, .init = exhaust_arena_up, .fini = exhaust_arena_down);

static const uint8_t id[16] = {1};
static struct secret *mk, *key;

static enum qk_err make_and_load(void)
{
    struct keyring_records records = {.n = 0};
    struct keyring *keyring = NULL, *again = NULL;
    struct bytes names[KEYRING_CREATE_RECORDS_MAX], values[KEYRING_CREATE_RECORDS_MAX];
    enum qk_err err = keyring_create(id, mk, 1, 1000, &records, &keyring);

    if (err != QK_OK)
        return err;
    for (size_t i = 0; i < records.n; i++) {
        names[i] = bytes_of(records.items[i].name, records.items[i].name_len);
        values[i] = buf_bytes(&records.items[i].value);
    }
    keyring_close(keyring);
    err = keyring_load(id, mk, 1, names, values, records.n, &again);
    if (err == QK_OK)
        keyring_close(again);
    keyring_records_fini(&records);
    return err;
}

static enum qk_err add_again(void *arg, const struct keyring_record *record)
{
    return keyring_add(arg, bytes_of(record->name, record->name_len), buf_bytes(&record->value));
}

static enum qk_err make_and_renew(void)
{
    struct keyring_records records = {.n = 0};
    struct keyring *keyring = NULL, *next = NULL;
    enum qk_err err = keyring_create(id, mk, 1, 1000, &records, &keyring);

    if (err != QK_OK)
        return err;
    err = keyring_open(id, key, 2, &next);
    if (err == QK_OK)
        err = keyring_rewrap(keyring, key, 2, true, 2000, add_again, next);
    keyring_close(next);
    keyring_close(keyring);
    keyring_records_fini(&records);
    return err;
}

static enum qk_err seal_and_open(void)
{
    struct envelope_aad aad = {.record_version = 1, .record_kind = ENVELOPE_DOCUMENT};
    struct buf sealed = BUF_INIT(4 * KIB), plain = BUF_SECRET_INIT(4 * KIB);
    struct secret *inside = NULL;
    enum qk_err err = envelope_seal(key, id, 1, &aad, bytes_str("text"), &sealed);

    if (err == QK_OK)
        err = envelope_open(key, &aad, buf_bytes(&sealed), &plain);
    if (err == QK_OK)
        cr_assert(bytes_equal(buf_bytes(&plain), bytes_str("text")));
    if (err == QK_OK)
        err = envelope_open_secret(key, &aad, buf_bytes(&sealed), &inside);
    secret_free(inside);
    buf_fini(&sealed);
    buf_fini(&plain);
    return err;
}

static enum qk_err derive(void)
{
    struct secret *three[3] = {NULL}, *mac = NULL, *shared = NULL;
    const struct bytes part = bytes_str("part");
    uint8_t pk[X25519_BYTES];
    enum qk_err err = hmac512_compute(key, &part, 1, &mac);

    if (err == QK_OK)
        err = noise_hkdf(key, part, 3, three);
    for (size_t i = 0; i < 3 && err == QK_OK; i++)
        secret_free(three[i]);
    if (err == QK_OK)
        err = x25519_public(key, pk);
    if (err == QK_OK)
        err = x25519_shared(key, pk, &shared);
    secret_free(mac);
    secret_free(shared);
    return err;
}

static enum qk_err keep_halves(void)
{
    struct keyring_records records = {.n = 0};
    struct keyring_record sealed = {0};
    struct keyring *keyring = NULL;
    struct secret *d = NULL, *p = NULL;
    enum qk_err err = keyring_create(id, mk, 1, 1000, &records, &keyring);

    if (err != QK_OK)
        return err;
    err = keyring_seal_halves(keyring, id, 7, mk, key, &sealed);
    if (err == QK_OK)
        err = keyring_open_halves(keyring, bytes_of(sealed.name, sealed.name_len),
                                  buf_bytes(&sealed.value), &d, &p);
    if (err == QK_OK)
        cr_assert(secret_equal(d, mk) && secret_equal(p, key));
    secret_free(d);
    secret_free(p);
    buf_fini(&sealed.value);
    keyring_close(keyring);
    keyring_records_fini(&records);
    return err;
}

static void run(enum qk_err (*work)(void))
{
    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
    cr_assert_gt(exhaust_with_little_room(work), 1);
    cr_assert_eq(work(), QK_OK);
    secret_free(mk);
    secret_free(key);
}

Test(exhaustion, a_keyring_is_made_and_loaded_whole_or_not_at_all)
{
    run(make_and_load);
}

Test(exhaustion, a_keyring_is_renewed_whole_or_not_at_all)
{
    run(make_and_renew);
}

Test(exhaustion, an_envelope_opens_or_leaves_nothing)
{
    run(seal_and_open);
}

Test(exhaustion, derivations_give_all_outputs_or_none)
{
    run(derive);
}

Test(exhaustion, halves_are_kept_and_read_back_whole_or_not_at_all)
{
    run(keep_halves);
}
