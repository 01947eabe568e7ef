/* No envelope opens in the place of another: swapped between documents, revisions, databases,
 * record versions, key versions, suites, clusters, kinds and nodes. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "keys/change.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";
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

TestSuite(swap, .init = set_up, .fini = tear_down);

static struct envelope_aad place(unsigned cluster_n, unsigned database, const char *document,
                                 const char *revision, uint64_t version, bool deleted, uint8_t kind)
{
    struct envelope_aad aad = {.document_id = bytes_str(document),
                               .revision = bytes_str(revision),
                               .record_version = version,
                               .deleted = deleted,
                               .record_kind = kind};

    memset(aad.cluster, (int)cluster_n, sizeof aad.cluster);
    memset(aad.database, (int)database, sizeof aad.database);
    return aad;
}

/* Every combination of two values of each: 2^7 places. */
#define PLACES_N 128

static struct envelope_aad place_at(unsigned n)
{
    return place(1 + (n & 1), 1 + (n >> 1 & 1), n >> 2 & 1 ? "doc-1" : "doc-2",
                 n >> 3 & 1 ? "1-aa" : "2-bb", 1 + (n >> 4 & 1), (n >> 5 & 1) != 0,
                 n >> 6 & 1 ? ENVELOPE_DOCUMENT : ENVELOPE_CATALOG);
}

static void new_version(const uint8_t *id, unsigned suite)
{
    struct key_change change;

    cr_assert_eq(keyring_change_rotate(keyring, id, suite, 1, &change), QK_OK);
    for (size_t i = 0; i < change.puts_n; i++)
        cr_assert_eq(keyring_add(keyring, bytes_of(change.puts[i].name, change.puts[i].name_len),
                                 buf_bytes(&change.puts[i].value)),
                     QK_OK);
    key_change_fini(&change);
}

static void all_places(const uint8_t *id, uint32_t version, bool clear)
{
    struct buf sealed[PLACES_N], out = BUF_SECRET_INIT(KIB);

    for (unsigned i = 0; i < PLACES_N; i++) {
        struct envelope_aad aad = place_at(i);

        sealed[i] = BUF_INIT(KIB);
        cr_assert_eq(
            keyring_seal_envelope(keyring, id, version, clear, &aad, bytes_str("body"), &sealed[i]),
            QK_OK);
    }
    for (unsigned i = 0; i < PLACES_N; i++)
        for (unsigned k = 0; k < PLACES_N; k++) {
            struct envelope_aad aad = place_at(k);
            enum qk_err err = keyring_open_body(keyring, &aad, buf_bytes(&sealed[i]), clear, &out);

            cr_assert_eq(err, i == k ? QK_OK : QK_ERR_CORRUPT, "%u at the place of %u", i, k);
            buf_reset(&out);
        }
    for (unsigned i = 0; i < PLACES_N; i++)
        buf_fini(&sealed[i]);
    buf_fini(&out);
}

Test(swap, between_any_two_places_is_refused_in_each_suite)
{
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(keyring_default(keyring, id, &version), QK_OK);
    all_places(id, version, false);
    all_places(id, version, true);
    if (aead_has_aes256gcm()) {
        new_version(id, ENVELOPE_AES256GCM);
        all_places(id, version + 1, false);
    }
}

/* The header names key and version, so an envelope that is moved carries them along: what is left
 * to a writer is to change them, and the suite. */
Test(swap, relabelled_for_another_key_version_or_suite_is_refused)
{
    struct envelope_aad aad = place_at(0);
    struct buf sealed = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(keyring_default(keyring, id, &version), QK_OK);
    new_version(id, 0);
    for (uint8_t suite = 1; suite <= ENVELOPE_CLEAR; suite++)
        for (uint32_t to = 1; to <= 2; to++)
            for (int may_be_clear = 0; may_be_clear < 2; may_be_clear++) {
                bool same = suite == ENVELOPE_XCHACHA20POLY1305 && to == 1;
                enum qk_err err;

                buf_reset(&sealed);
                cr_assert_eq(
                    keyring_seal_envelope(keyring, id, 1, false, &aad, bytes_str("body"), &sealed),
                    QK_OK);
                sealed.data[4] = suite;
                put_u32(sealed.data + 24, to);
                err = keyring_open_body(keyring, &aad, buf_bytes(&sealed), may_be_clear != 0, &out);
                cr_assert_eq(err == QK_OK, same, "suite %u version %u", suite, to);
                buf_reset(&out);
            }
    sealed.data[4] = ENVELOPE_XCHACHA20POLY1305;
    sealed.data[8] ^= 1; /* a key that does not exist */
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&sealed), &out), QK_ERR_NOT_FOUND);
    buf_fini(&sealed);
    buf_fini(&out);
}

/* No way down: where bodies are sealed, a clear one is damage, whoever made its MAC. */
Test(swap, a_clear_body_opens_only_where_it_may_be_clear)
{
    struct envelope_aad aad = place_at(0);
    struct buf clear = BUF_INIT(KIB), sealed = BUF_INIT(KIB), out = BUF_SECRET_INIT(KIB);
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(keyring_default(keyring, id, &version), QK_OK);
    cr_assert_eq(
        keyring_seal_envelope(keyring, id, version, true, &aad, bytes_str("to be read"), &clear),
        QK_OK);
    cr_assert_eq(
        keyring_seal_envelope(keyring, id, version, false, &aad, bytes_str("sealed"), &sealed),
        QK_OK);
    cr_assert_not_null(memmem(clear.data, clear.len, "to be read", 10));
    cr_assert_null(memmem(sealed.data, sealed.len, "sealed", 6));
    cr_assert_eq(keyring_open_body(keyring, &aad, buf_bytes(&clear), false, &out), QK_ERR_CORRUPT);
    cr_assert_eq(keyring_open_envelope(keyring, &aad, buf_bytes(&clear), &out), QK_ERR_CORRUPT);
    cr_assert_eq(out.len, 0);
    cr_assert_eq(keyring_open_body(keyring, &aad, buf_bytes(&clear), true, &out), QK_OK);
    cr_assert_eq(keyring_open_body(keyring, &aad, buf_bytes(&sealed), true, &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("to be readsealed")));
    for (size_t at = 0; at < 8 * clear.len; at++) {
        clear.data[at / 8] ^= (uint8_t)(1 << at % 8);
        cr_assert_neq(keyring_open_body(keyring, &aad, buf_bytes(&clear), true, &out), QK_OK,
                      "bit %zu", at);
        clear.data[at / 8] ^= (uint8_t)(1 << at % 8);
    }
    for (size_t len = 0; len < clear.len; len++)
        cr_assert_neq(keyring_open_body(keyring, &aad, bytes_of(clear.data, len), true, &out),
                      QK_OK);
    buf_fini(&clear);
    buf_fini(&sealed);
    buf_fini(&out);
}

Test(swap, between_nodes_and_generations_is_refused)
{
    static const uint8_t nodes[2][NODE_ID_BYTES] = {"the first node.", "the second one."};
    struct keyring_record records[4];
    struct secret *d, *p, *d2, *p2;

    cr_assert_eq(secret_new_random(KEY_BYTES, &d), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &p), QK_OK);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(keyring_seal_halves(keyring, nodes[i % 2], 1 + i / 2, d, p, &records[i]),
                     QK_OK);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned k = 0; k < 4; k++) {
            enum qk_err err =
                keyring_open_halves(keyring, bytes_of(records[k].name, records[k].name_len),
                                    buf_bytes(&records[i].value), &d2, &p2);

            cr_assert_eq(err, i == k ? QK_OK : QK_ERR_CORRUPT);
            if (err == QK_OK) {
                secret_free(d2);
                secret_free(p2);
            }
        }
    for (unsigned i = 0; i < 4; i++)
        buf_fini(&records[i].value);
    secret_free(d);
    secret_free(p);
}

static int compare_salts(const void *a, const void *b)
{
    return memcmp(a, b, ENVELOPE_SALT_BYTES);
}

#ifdef __SANITIZE_ADDRESS__
#define SALTS_N 50000 /* what it looks for shows at once; the million is the plain build's */
#else
#define SALTS_N 1000000
#endif

/* 24 random bytes repeat with probability 2^-153 in a million: a repetition is a fault. Each body
 * is sealed four times over, as a proposal is whose condition fails three times. */
Test(swap, a_million_seals_have_a_million_salts, .timeout = 120)
{
    enum { SEALS_N = SALTS_N, ROUNDS_N = 4 };
    uint8_t(*salts)[ENVELOPE_SALT_BYTES] = calloc(SEALS_N, ENVELOPE_SALT_BYTES);
    struct buf sealed = BUF_INIT(KIB);
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_not_null(salts);
    cr_assert_eq(keyring_default(keyring, id, &version), QK_OK);
    secret_scope_begin();
    for (size_t i = 0; i < SEALS_N; i++) {
        struct envelope_aad aad = place(1, 1, "doc", "1-aa", i / ROUNDS_N, false, 1);

        buf_reset(&sealed);
        cr_assert_eq(
            keyring_seal_envelope(keyring, id, version, false, &aad, bytes_str("same"), &sealed),
            QK_OK);
        memcpy(salts[i], sealed.data + 28, ENVELOPE_SALT_BYTES);
    }
    secret_scope_end();
    qsort(salts, SEALS_N, ENVELOPE_SALT_BYTES, compare_salts);
    for (size_t i = 0; i + 1 < SEALS_N; i++)
        cr_assert_neq(memcmp(salts[i], salts[i + 1], ENVELOPE_SALT_BYTES), 0);
    buf_fini(&sealed);
    free(salts);
}
