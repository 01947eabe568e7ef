#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keys/change.h"
#include "keys/keyring_private.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";
static const struct key_limits no_limits;
static struct secret *mk;
static struct keyring *keyring;

static void set_up(void)
{
    struct keyring_records records;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 1 * MIB), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &keyring), QK_OK);
    keyring_records_fini(&records);
}

static void tear_down(void)
{
    keyring_close(keyring);
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(change, .init = set_up, .fini = tear_down);

/* As if its records had been applied. */
static void apply(struct key_change *change)
{
    for (size_t i = 0; i < change->puts_n; i++)
        cr_assert_eq(keyring_add(keyring, bytes_of(change->puts[i].name, change->puts[i].name_len),
                                 buf_bytes(&change->puts[i].value)),
                     QK_OK);
    key_change_fini(change);
}

static enum qk_err create(const char *name, enum envelope_suite suite, uint8_t *ret_id)
{
    struct key_change change;
    enum qk_err err =
        keyring_change_create(keyring, bytes_str(name), suite, &no_limits, 2000, &change);

    if (err != QK_OK)
        return err;
    cr_assert_eq(change.puts_n, 2);
    cr_assert_eq(change.drops_n, 0);
    cr_assert_eq(change.version, 1);
    memcpy(ret_id, change.key_id, KEY_ID_BYTES);
    apply(&change);
    return QK_OK;
}

static void rotate(const uint8_t *id, unsigned suite, uint32_t expected)
{
    struct key_change change;

    cr_assert_eq(keyring_change_rotate(keyring, id, suite, 3000, &change), QK_OK);
    cr_assert_eq(change.version, expected);
    apply(&change);
}

static void destroy(const uint8_t *id, uint32_t version, size_t expected_n)
{
    struct key_change change;

    cr_assert_eq(keyring_change_destroy(keyring, id, version, &change), QK_OK);
    cr_assert_eq(change.drops_n, expected_n);
    cr_assert_eq(change.puts_n, 1);
    apply(&change);
}

static struct key_version_info version_of(const uint8_t *id, size_t at)
{
    struct keyring_info info;

    cr_assert_eq(keyring_info_of(keyring, id, &info), QK_OK);
    return keyring_version_at(keyring, &info, at);
}

Test(change, a_created_key_is_found_by_name_and_seals)
{
    struct buf sealed = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
    struct envelope_aad aad = {.record_kind = ENVELOPE_DOCUMENT};
    uint8_t id[KEY_ID_BYTES], found[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(create("payroll", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(keyring_find(keyring, bytes_str("payroll"), found, &version), QK_OK);
    cr_assert(memcmp(found, id, sizeof id) == 0 && version == 1);
    cr_assert_eq(version_of(id, 0).created_s, 2000);
    cr_assert_eq(keyring_seal_envelope(keyring, id, 1, false, &aad, bytes_str("body"), &sealed),
                 QK_OK);
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&sealed), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("body")));
    buf_fini(&sealed);
    buf_fini(&out);
}

Test(change, names_that_are_taken_or_no_names_are_refused)
{
    static const char *const bad[] = {"",        "a b",       "/x",     ".x",    "-x",
                                      "catalog", "reencrypt", "policy", "sys/x", "\xc3\xa4"};
    char longest[KEY_NAME_BYTES_MAX + 2];
    uint8_t id[KEY_ID_BYTES];

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_eq(create(bad[i], ENVELOPE_XCHACHA20POLY1305, id), QK_ERR_INVALID, "%s", bad[i]);
    memset(longest, 'k', sizeof longest);
    longest[KEY_NAME_BYTES_MAX + 1] = '\0';
    cr_assert_eq(create(longest, ENVELOPE_XCHACHA20POLY1305, id), QK_ERR_INVALID);
    longest[KEY_NAME_BYTES_MAX] = '\0';
    cr_assert_eq(create(longest, ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(create(longest, ENVELOPE_XCHACHA20POLY1305, id), QK_ERR_EXISTS);
    cr_assert_eq(create("default", ENVELOPE_XCHACHA20POLY1305, id), QK_ERR_EXISTS);
}

Test(change, a_rotated_key_seals_under_the_new_version_and_opens_under_both)
{
    struct buf old = BUF_INIT(KIB), new = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
    struct envelope_aad aad = {.record_kind = ENVELOPE_DOCUMENT};
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(keyring_seal_envelope(keyring, id, 1, false, &aad, bytes_str("1"), &old), QK_OK);
    rotate(id, 0, 2);
    cr_assert_eq(keyring_active(keyring, id, &version), QK_OK);
    cr_assert_eq(version, 2);
    cr_assert(version_of(id, 0).state == KEY_DECRYPT_ONLY && version_of(id, 1).state == KEY_ACTIVE);
    cr_assert_eq(version_of(id, 1).created_s, 3000);
    cr_assert_eq(keyring_seal_envelope(keyring, id, 2, false, &aad, bytes_str("2"), &new), QK_OK);
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&old), &out), QK_OK);
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&new), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("12")));
    buf_fini(&old);
    buf_fini(&new);
    buf_fini(&out);
}

Test(change, a_version_keeps_its_suite_and_the_next_may_have_another)
{
    uint8_t id[KEY_ID_BYTES];

    if (!aead_has_aes256gcm())
        cr_skip_test("no hardware AES");
    cr_assert_eq(create("k", ENVELOPE_AES256GCM, id), QK_OK);
    rotate(id, 0, 2);
    rotate(id, ENVELOPE_XCHACHA20POLY1305, 3);
    cr_assert_eq(version_of(id, 0).suite, ENVELOPE_AES256GCM);
    cr_assert_eq(version_of(id, 1).suite, ENVELOPE_AES256GCM);
    cr_assert_eq(version_of(id, 2).suite, ENVELOPE_XCHACHA20POLY1305);
    for (uint32_t version = 1; version <= 3; version++) {
        struct buf sealed = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
        struct envelope_aad aad = {.record_kind = ENVELOPE_DOCUMENT};

        cr_assert_eq(
            keyring_seal_envelope(keyring, id, version, false, &aad, bytes_str("x"), &sealed),
            QK_OK);
        cr_assert_eq(sealed.data[4], version < 3 ? ENVELOPE_AES256GCM : ENVELOPE_XCHACHA20POLY1305);
        cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&sealed), &out), QK_OK);
        buf_fini(&sealed);
        buf_fini(&out);
    }
}

Test(change, a_destroyed_version_loses_its_bytes_at_once_and_says_so)
{
    struct buf sealed = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
    struct envelope_aad aad = {.record_kind = ENVELOPE_DOCUMENT};
    uint8_t id[KEY_ID_BYTES];
    size_t before;

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(keyring_seal_envelope(keyring, id, 1, false, &aad, bytes_str("1"), &sealed),
                 QK_OK);
    rotate(id, 0, 2);
    before = secret_stats().secrets_n;
    destroy(id, 1, 1);
    cr_assert_eq(secret_stats().secrets_n, before - 1);
    cr_assert_null(keyring_data_key(keyring, id, 1));
    cr_assert_eq(keyring_version_check(keyring, id, 1), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_version_check(keyring, id, 2), QK_OK);
    cr_assert_eq(keyring_version_check(keyring, id, 3), QK_ERR_NOT_FOUND);
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&sealed), &out), QK_ERR_DESTROYED);
    rotate(id, 0, 3);
    buf_fini(&sealed);
    buf_fini(&out);
}

Test(change, the_record_of_a_destroyed_version_does_not_bring_it_back)
{
    struct key_change first;
    uint8_t id[KEY_ID_BYTES];

    cr_assert_eq(keyring_change_create(keyring, bytes_str("k"), ENVELOPE_XCHACHA20POLY1305,
                                       &no_limits, 1, &first),
                 QK_OK);
    memcpy(id, first.key_id, sizeof id);
    for (size_t i = 0; i < 2; i++)
        cr_assert_eq(keyring_add(keyring, bytes_of(first.puts[i].name, first.puts[i].name_len),
                                 buf_bytes(&first.puts[i].value)),
                     QK_OK);
    rotate(id, 0, 2);
    destroy(id, 1, 1);
    cr_assert_eq(keyring_add(keyring, bytes_of(first.puts[0].name, first.puts[0].name_len),
                             buf_bytes(&first.puts[0].value)),
                 QK_OK);
    cr_assert_eq(keyring_version_check(keyring, id, 1), QK_ERR_DESTROYED);
    cr_assert_null(keyring_data_key(keyring, id, 1));
    key_change_fini(&first);
}

Test(change, the_active_version_is_not_destroyed_alone)
{
    struct key_change change;
    uint8_t id[KEY_ID_BYTES], none[KEY_ID_BYTES] = {7};

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    rotate(id, 0, 2);
    cr_assert_eq(keyring_change_destroy(keyring, id, 2, &change), QK_ERR_CONFLICT);
    cr_assert_eq(keyring_change_destroy(keyring, id, 3, &change), QK_ERR_NOT_FOUND);
    cr_assert_eq(keyring_change_destroy(keyring, none, 0, &change), QK_ERR_NOT_FOUND);
    destroy(id, 1, 1);
    cr_assert_eq(keyring_change_destroy(keyring, id, 1, &change), QK_ERR_DESTROYED);
}

Test(change, a_destroyed_key_keeps_its_name_and_seals_nothing)
{
    struct key_change change;
    uint8_t id[KEY_ID_BYTES], found[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    rotate(id, 0, 2);
    destroy(id, 0, 2);
    cr_assert_eq(keyring_find(keyring, bytes_str("k"), found, &version), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_id_of(keyring, bytes_str("k"), found), QK_OK);
    cr_assert_eq(keyring_change_rotate(keyring, id, 0, 1, &change), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_change_limits(keyring, id, &no_limits, &change), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_change_destroy(keyring, id, 0, &change), QK_ERR_DESTROYED);
    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_ERR_EXISTS);
    cr_assert_eq(keyring_complete(keyring), QK_OK);
}

static enum qk_err add_to(void *arg, const struct keyring_record *record)
{
    return keyring_add(arg, bytes_of(record->name, record->name_len), buf_bytes(&record->value));
}

Test(change, destroyed_keys_and_versions_stay_so_under_a_new_master_key)
{
    uint8_t gone[KEY_ID_BYTES], part[KEY_ID_BYTES];
    struct keyring *next;
    struct secret *fresh;
    struct keyring_info info;

    cr_assert_eq(create("gone", ENVELOPE_XCHACHA20POLY1305, gone), QK_OK);
    cr_assert_eq(create("part", ENVELOPE_XCHACHA20POLY1305, part), QK_OK);
    rotate(part, 0, 2);
    destroy(part, 1, 1);
    destroy(gone, 0, 1);
    cr_assert_eq(secret_new_random(KEY_BYTES, &fresh), QK_OK);
    cr_assert_eq(keyring_open(cluster, fresh, 2, &next), QK_OK);
    cr_assert_eq(keyring_rewrap(keyring, fresh, 2, true, 4000, add_to, next), QK_OK);
    cr_assert_eq(keyring_version_check(next, gone, 1), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_info_of(next, gone, &info), QK_OK);
    cr_assert(info.active == 0 && info.versions_n == 1);
    cr_assert_eq(keyring_version_check(next, part, 1), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_info_of(next, part, &info), QK_OK);
    cr_assert(info.active == 3 && info.versions_n == 3);
    keyring_close(next);
    secret_free(fresh);
}

Test(change, limits_are_kept_over_rotations)
{
    const struct key_limits limits = {1000, 0, 3600};
    struct key_change change;
    uint8_t id[KEY_ID_BYTES];
    struct keyring_info info;

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(keyring_change_limits(keyring, id, &limits, &change), QK_OK);
    apply(&change);
    rotate(id, 0, 2);
    cr_assert_eq(keyring_info_of(keyring, id, &info), QK_OK);
    cr_assert(info.limits.records == 1000 && info.limits.bytes == 0 && info.limits.age_s == 3600);
}

/* The list of versions is full of destroyed ones: the oldest leaves it, and is destroyed still. */
Test(change, a_key_outlives_the_length_of_its_list)
{
    struct keyring_info info;
    uint8_t id[KEY_ID_BYTES];

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    for (uint32_t version = 2; version <= KEY_VERSIONS_MAX + 3; version++) {
        rotate(id, 0, version);
        destroy(id, version - 1, 1);
    }
    cr_assert_eq(keyring_info_of(keyring, id, &info), QK_OK);
    cr_assert_eq(info.versions_n, KEY_VERSIONS_MAX);
    cr_assert_eq(keyring_version_at(keyring, &info, 0).version, 4);
    cr_assert_eq(keyring_version_check(keyring, id, 1), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_version_check(keyring, id, KEY_VERSIONS_MAX + 3), QK_OK);
    cr_assert_eq(keyring_version_check(keyring, id, KEY_VERSIONS_MAX + 4), QK_ERR_NOT_FOUND);
}

Test(change, a_list_full_of_versions_in_use_is_the_end)
{
    struct key_change change;
    uint8_t id[KEY_ID_BYTES];

    cr_assert_eq(create("k", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    for (uint32_t version = 2; version <= KEY_VERSIONS_MAX; version++)
        rotate(id, 0, version);
    cr_assert_eq(keyring_change_rotate(keyring, id, 0, 1, &change), QK_ERR_TOO_BIG);
    destroy(id, 7, 1);
    rotate(id, 0, KEY_VERSIONS_MAX + 1);
    cr_assert_eq(keyring_version_check(keyring, id, 7), QK_ERR_DESTROYED);
    cr_assert_eq(keyring_version_check(keyring, id, 6), QK_OK);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* A key without bytes of its own, as the next record would make it; the store brings them in the
 * order of their ids. */
static void fill(uint32_t order, uint32_t number)
{
    struct data_key *key;
    uint8_t id[KEY_ID_BYTES] = {1};

    put_u32(id + 4, order);
    cr_assert_eq(keyring_key_ensure(keyring, id, &key), QK_OK);
    key->name_len = (size_t)snprintf((char *)key->name, sizeof key->name, "key-%u", number);
    cr_assert_eq(keyring_names_add(keyring, key), QK_OK);
}

Test(change, keys_are_found_by_name_in_any_order_of_adding)
{
    uint8_t id[KEY_ID_BYTES];
    char name[32];

    for (uint32_t i = 0; i < 500; i++)
        fill(i * 2654435761u, i);
    cr_assert_eq(keyring_complete(keyring), QK_OK);
    for (uint32_t i = 500; i < 1000; i++)
        fill(i * 2654435761u, i);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "key-%u", i);
        cr_assert_eq(keyring_id_of(keyring, bytes_str(name), id), QK_OK, "%s", name);
        cr_assert(bytes_equal(keyring_name(keyring, id), bytes_str(name)));
    }
    cr_assert_eq(keyring_id_of(keyring, bytes_str("key-1000"), id), QK_ERR_NOT_FOUND);
    cr_assert_eq(keyring_id_of(keyring, bytes_str("default"), id), QK_OK);
    cr_assert_eq(keyring_id_of(keyring, bytes_str(""), id), QK_ERR_NOT_FOUND);
}

Test(change, a_hundred_thousand_keys_fit_and_one_more_is_refused)
{
    uint8_t id[KEY_ID_BYTES];
    struct key_change change;
    uint64_t began;

    for (uint32_t i = 0; keyring->keys_n < KEYRING_KEYS_MAX - 1; i++)
        fill(i, i);
    cr_assert_eq(keyring_complete(keyring), QK_OK);
    cr_assert_eq(create("the-last", ENVELOPE_XCHACHA20POLY1305, id), QK_OK);
    cr_assert_eq(keyring_change_create(keyring, bytes_str("one-more"), ENVELOPE_XCHACHA20POLY1305,
                                       &no_limits, 1, &change),
                 QK_ERR_TOO_BIG);
    began = now_us();
    for (unsigned i = 0; i < 1000; i++)
        cr_assert_eq(keyring_id_of(keyring, bytes_str("the-last"), id), QK_OK);
    fprintf(stderr, "[----] 1000 names of %d found in %u us\n", KEYRING_KEYS_MAX,
            (unsigned)(now_us() - began));
}
