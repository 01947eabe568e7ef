#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "keys/envelope.h"

static void arena_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
}

static void arena_down(void)
{
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(envelope, .init = arena_up, .fini = arena_down);

static const uint8_t key_id[KEY_ID_BYTES] = "an id of a key.";

static struct envelope_aad plain_aad(void)
{
    struct envelope_aad aad = {.document_id = bytes_str("doc-1"),
                               .revision = bytes_str("1-abc"),
                               .record_version = 7,
                               .deleted = false,
                               .record_kind = ENVELOPE_DOCUMENT};

    memset(aad.cluster, 1, sizeof aad.cluster);
    memset(aad.database, 2, sizeof aad.database);
    return aad;
}

static struct secret *key_of(uint8_t fill)
{
    uint8_t raw[KEY_BYTES];
    struct secret *key;

    memset(raw, fill, sizeof raw);
    cr_assert_eq(secret_new_copy(raw, sizeof raw, &key), QK_OK);
    return key;
}

static enum qk_err open_with(uint8_t fill, const struct envelope_aad *aad, struct bytes sealed)
{
    struct buf out = BUF_SECRET_INIT(ENVELOPE_PLAIN_BYTES_MAX);
    struct secret *key = key_of(fill);
    enum qk_err err = envelope_open(key, aad, sealed, &out);

    if (err != QK_OK)
        cr_assert_eq(out.len, 0);
    buf_fini(&out);
    secret_free(key);
    return err;
}

static void seal_text(const char *text, struct buf *out)
{
    struct envelope_aad aad = plain_aad();
    struct secret *key = key_of(9);

    cr_assert_eq(envelope_seal(key, key_id, 3, &aad, bytes_str(text), out), QK_OK);
    cr_assert_eq(out->len, strlen(text) + ENVELOPE_OVERHEAD_BYTES);
    secret_free(key);
}

Test(envelope, opens_to_what_was_sealed)
{
    static const char *const texts[] = {"", "x", "{\"name\":\"value\"}"};

    for (size_t i = 0; i < 3; i++) {
        struct buf sealed = BUF_INIT(1024), out = BUF_SECRET_INIT(1024);
        struct envelope_aad aad = plain_aad();
        struct secret *key = key_of(9);
        uint8_t id[KEY_ID_BYTES];
        uint32_t version;

        seal_text(texts[i], &sealed);
        cr_assert_eq(envelope_open(key, &aad, buf_bytes(&sealed), &out), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&out), bytes_str(texts[i])));
        cr_assert_eq(envelope_peek(buf_bytes(&sealed), id, &version), QK_OK);
        cr_assert_eq(memcmp(id, key_id, KEY_ID_BYTES), 0);
        cr_assert_eq(version, 3);
        secret_free(key);
        buf_fini(&sealed);
        buf_fini(&out);
    }
}

/* The layout of docs/design.md, byte by byte. */
Test(envelope, header_has_the_documented_layout)
{
    struct buf sealed = BUF_INIT(1024);
    struct secret *key = key_of(9), *ke;
    uint8_t commitment[32];

    seal_text("text", &sealed);
    cr_assert_eq(memcmp(sealed.data, "QKE1\x01\x00\x00\x54", 8), 0);
    cr_assert_eq(memcmp(sealed.data + 8, key_id, 16), 0);
    cr_assert_eq(get_u32(sealed.data + 24), 3);
    cr_assert_eq(kdf_derive_pair(key, "qk.record.v1", bytes_of(sealed.data, 52), &ke, commitment),
                 QK_OK);
    cr_assert_eq(memcmp(sealed.data + 52, commitment, 32), 0);
    secret_free(ke);
    secret_free(key);
    buf_fini(&sealed);
}

Test(envelope, every_flipped_bit_is_refused)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();

    seal_text("some body", &sealed);
    for (size_t i = 0; i < 8 * sealed.len; i++) {
        enum qk_err err;

        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        err = open_with(9, &aad, buf_bytes(&sealed));
        if (i / 8 == 4 || i / 8 == 5)
            cr_assert_eq(err, QK_ERR_UNSUPPORTED);
        else
            cr_assert_eq(err, QK_ERR_CORRUPT, "byte %zu", i / 8);
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_OK);
    buf_fini(&sealed);
}

Test(envelope, truncated_or_extended_is_corrupt)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();

    seal_text("some body", &sealed);
    for (size_t len = 0; len < sealed.len; len++)
        cr_assert_eq(open_with(9, &aad, bytes_of(sealed.data, len)), QK_ERR_CORRUPT);
    buf_put_u8(&sealed, 0);
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    cr_assert_eq(open_with(9, &aad, bytes_str("{\"plain\":\"text is never taken\"}")),
                 QK_ERR_CORRUPT);
    buf_fini(&sealed);
}

Test(envelope, every_field_of_the_additional_data_counts)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();

    seal_text("some body", &sealed);
    aad.cluster[15] ^= 1;
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.database[0] ^= 1;
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.document_id = bytes_str("doc-2");
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.revision = bytes_str("2-abc");
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.record_version++;
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.deleted = true;
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad();
    aad.record_kind = ENVELOPE_CATALOG;
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    aad = plain_aad(); /* bytes moved over a border between fields */
    aad.document_id = bytes_str("doc-11");
    aad.revision = bytes_str("-abc");
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    buf_fini(&sealed);
}

Test(envelope, another_key_fails_at_the_commitment)
{
    struct buf sealed = BUF_INIT(1024), out = BUF_SECRET_INIT(1024);
    struct envelope_aad aad = plain_aad();
    struct secret *other = key_of(10), *ke;
    uint8_t commitment[32];

    seal_text("some body", &sealed);
    cr_assert_eq(open_with(10, &aad, buf_bytes(&sealed)), QK_ERR_CORRUPT);
    /* With the other key's commitment in place, the ciphertext still does not open. */
    cr_assert_eq(kdf_derive_pair(other, "qk.record.v1", bytes_of(sealed.data, 52), &ke, commitment),
                 QK_OK);
    memcpy(sealed.data + 52, commitment, 32);
    cr_assert_eq(envelope_open(other, &aad, buf_bytes(&sealed), &out), QK_ERR_CORRUPT);
    secret_free(ke);
    secret_free(other);
    buf_fini(&sealed);
    buf_fini(&out);
}

Test(envelope, oversized_input_is_refused)
{
    static uint8_t id[RECORD_KEY_BYTES_MAX + 1];
    struct buf sealed = BUF_INIT(ENVELOPE_PLAIN_BYTES_MAX + KIB);
    struct envelope_aad aad = plain_aad();
    struct secret *key = key_of(9);
    uint8_t *large = calloc(1, ENVELOPE_PLAIN_BYTES_MAX + 1);

    cr_assert_not_null(large);
    cr_assert_eq(
        envelope_seal(key, key_id, 1, &aad, bytes_of(large, ENVELOPE_PLAIN_BYTES_MAX), &sealed),
        QK_OK);
    cr_assert_eq(open_with(9, &aad, bytes_of(sealed.data, sealed.len - 1)), QK_ERR_CORRUPT);
    cr_assert_eq(
        envelope_seal(key, key_id, 1, &aad, bytes_of(large, ENVELOPE_PLAIN_BYTES_MAX + 1), &sealed),
        QK_ERR_TOO_BIG);
    aad.document_id = bytes_of(id, sizeof id);
    cr_assert_eq(envelope_seal(key, key_id, 1, &aad, bytes_str("x"), &sealed), QK_ERR_TOO_BIG);
    aad.document_id = bytes_of(id, sizeof id - 1);
    buf_reset(&sealed);
    cr_assert_eq(envelope_seal(key, key_id, 1, &aad, bytes_str("x"), &sealed), QK_OK);
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_OK);
    free(large);
    secret_free(key);
    buf_fini(&sealed);
}

Test(envelope, a_wiped_key_seals_nothing)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();
    struct secret *key = key_of(9);

    secret_wipe_all();
    cr_assert_eq(envelope_seal(key, key_id, 1, &aad, bytes_str("x"), &sealed), QK_ERR_SEALED);
    cr_assert_eq(sealed.len, 0);
    secret_free(key);
    buf_fini(&sealed);
}

/* McGrew and Viega, The Galois/Counter Mode of Operation, test case 14: AES-256, all zeros. */
Test(envelope, aes_256_gcm_is_the_published_one)
{
    static const uint8_t zeros[16],
        expected[] = {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5,
                      0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99,
                      0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19};
    struct buf sealed = BUF_INIT(64), out = BUF_SECRET_INIT(64);
    struct secret *key = key_of(0);

    if (!aead_has_aes256gcm())
        cr_skip_test("no hardware AES");
    cr_assert_eq(aead_seal_once(AEAD_AES256GCM, key, BYTES_NONE, bytes_of(zeros, 16), &sealed),
                 QK_OK);
    cr_assert(bytes_equal(buf_bytes(&sealed), bytes_of(expected, sizeof expected)));
    cr_assert_eq(aead_open_once(AEAD_AES256GCM, key, BYTES_NONE, buf_bytes(&sealed), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_of(zeros, 16)));
    secret_free(key);
    buf_fini(&sealed);
    buf_fini(&out);
}

Test(envelope, every_flipped_bit_is_refused_with_aes_too)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();
    struct secret *key = key_of(9);

    if (!aead_has_aes256gcm())
        cr_skip_test("no hardware AES");
    cr_assert_eq(
        envelope_seal_in(ENVELOPE_AES256GCM, key, key_id, 3, &aad, bytes_str("some body"), &sealed),
        QK_OK);
    for (size_t i = 0; i < 8 * sealed.len; i++) {
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
        cr_assert_neq(open_with(9, &aad, buf_bytes(&sealed)), QK_OK, "bit %zu", i);
        sealed.data[i / 8] ^= (uint8_t)(1 << i % 8);
    }
    cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_OK);
    secret_free(key);
    buf_fini(&sealed);
}

/* Nothing else takes its place. */
Test(envelope, without_hardware_aes_its_suite_is_unsupported)
{
    struct buf sealed = BUF_INIT(1024);
    struct envelope_aad aad = plain_aad();
    struct secret *key = key_of(9);

    if (aead_has_aes256gcm())
        cr_assert_eq(
            envelope_seal_in(ENVELOPE_AES256GCM, key, key_id, 3, &aad, bytes_str("body"), &sealed),
            QK_OK);
    aead_forbid_aes256gcm();
    cr_assert_not(aead_has_aes256gcm());
    if (sealed.len > 0)
        cr_assert_eq(open_with(9, &aad, buf_bytes(&sealed)), QK_ERR_UNSUPPORTED);
    buf_reset(&sealed);
    cr_assert_eq(
        envelope_seal_in(ENVELOPE_AES256GCM, key, key_id, 3, &aad, bytes_str("body"), &sealed),
        QK_ERR_UNSUPPORTED);
    cr_assert_eq(sealed.len, 0);
    cr_assert_eq(
        envelope_seal_in((enum envelope_suite)3, key, key_id, 3, &aad, bytes_str("body"), &sealed),
        QK_ERR_UNSUPPORTED);
    secret_free(key);
    buf_fini(&sealed);
}
