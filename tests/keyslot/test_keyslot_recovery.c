#include <criterion/criterion.h>

#include <string.h>

#include "base/encode.h"
#include "keyslot/keyslot_recovery.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";
static const uint8_t other_cluster[CLUSTER_ID_BYTES] = "b cluster's id.";
static const uint8_t slot_id[KEYSLOT_ID_BYTES] = "a keyslot's id.";
static struct secret *secret, *mk;
static struct keyslot_recovery_public public;

static struct secret *counting(uint8_t from)
{
    uint8_t bytes[32];
    struct secret *made;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(from + i);
    cr_assert_eq(secret_new_copy(bytes, sizeof bytes, &made), QK_OK);
    return made;
}

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    secret = counting(0);
    mk = counting(200);
    cr_assert_eq(keyslot_recovery_derive(secret, &public), QK_OK);
}

static void tear_down(void)
{
    secret_free(secret);
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(keyslot_recovery, .init = set_up, .fini = tear_down);

static struct deal_keyslot slot_of(struct bytes blob)
{
    struct deal_keyslot slot = {.type = DEAL_KEYSLOT_RECOVERY, .blob = blob};

    memcpy(slot.id, slot_id, sizeof slot.id);
    return slot;
}

static void seal(struct buf *blob)
{
    cr_assert_eq(keyslot_recovery_seal(public.seal_pk, slot_id, cluster, 7, mk, blob), QK_OK);
    cr_assert_eq(blob->len, KEYSLOT_RECOVERY_BLOB_BYTES);
}

/* Made from the header's formulas alone with Python's hashlib and libsodium's X25519, Ed25519 and
 * AEAD: secret 00 01 … 1f, ephemeral 64 65 … 83, MK c8 c9 … e7, version 7. */
Test(keyslot_recovery, opens_a_blob_that_another_program_made)
{
    static const char *const hex =
        "01000000074296523b63375486ec221e98f62a47802bce09ca2f62e6c96bf2fada76e1842a7d9c24316539825c"
        "1896e57f28197746793ce60cbee3ad47da9d07b85fa55e2a08d79a50a9c3686dbfeec4366c3ca6fba704421275"
        "50077813e8a1c1b5d79b59a7259833fbbe6044119643e0ff8e63e9a3c447492032c34a849a5f5027592894ec13"
        "87d49e32de1913452d3bd6e865bd";
    uint8_t blob[KEYSLOT_RECOVERY_BLOB_BYTES] = {0}, want[32];
    struct deal_keyslot slot = slot_of(bytes_of(blob, sizeof blob));
    struct secret *opened;

    cr_assert_eq(hex_decode(bytes_str(hex), blob, sizeof blob), QK_OK);
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_OK);
    cr_assert(secret_equal(opened, mk));
    secret_free(opened);
    cr_assert_eq(
        hex_decode(bytes_str("4296523b63375486ec221e98f62a47802bce09ca2f62e6c96bf2fada76e1842a"),
                   want, sizeof want),
        QK_OK);
    cr_assert_eq(memcmp(want, public.seal_pk, sizeof want), 0);
    cr_assert_eq(
        hex_decode(bytes_str("afaa9ee068a021ff21dd5b2095821026dad9c77da45062259dd311c885a63dac"),
                   want, sizeof want),
        QK_OK);
    cr_assert_eq(memcmp(want, public.sign_pk, sizeof want), 0);
}

Test(keyslot_recovery, opens_what_was_sealed_and_never_seals_the_same_twice)
{
    struct buf first = BUF_INIT(KIB), second = BUF_INIT(KIB);
    struct deal_keyslot slot;
    struct secret *opened;
    uint32_t version = 0;
    uint8_t pk[X25519_BYTES];

    seal(&first);
    seal(&second);
    cr_assert_neq(memcmp(first.data, second.data, first.len), 0);
    slot = slot_of(buf_bytes(&first));
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_OK);
    cr_assert(secret_equal(opened, mk));
    secret_free(opened);
    cr_assert_eq(keyslot_recovery_read(buf_bytes(&first), &version, pk), QK_OK);
    cr_assert_eq(version, 7);
    cr_assert_eq(memcmp(pk, public.seal_pk, sizeof pk), 0);
    buf_fini(&first);
    buf_fini(&second);
}

Test(keyslot_recovery, every_flipped_byte_is_refused)
{
    struct buf blob = BUF_INIT(KIB);
    struct secret *opened = NULL;

    seal(&blob);
    for (size_t i = 0; i < blob.len; i++) {
        struct deal_keyslot slot = slot_of(buf_bytes(&blob));
        enum qk_err err;

        blob.data[i] ^= 1;
        err = keyslot_recovery_open(&slot, cluster, 7, secret, &opened);
        cr_assert_eq(err,
                     i == 0  ? QK_ERR_UNSUPPORTED
                     : i < 5 ? QK_ERR_STALE
                             : QK_ERR_CORRUPT,
                     "byte %zu: %s", i, qk_err_text(err));
        blob.data[i] ^= 1;
    }
    buf_fini(&blob);
}

Test(keyslot_recovery, every_other_length_is_refused)
{
    struct buf blob = BUF_INIT(KIB);
    struct secret *opened = NULL;

    seal(&blob);
    for (size_t len = 0; len < blob.len; len++) {
        struct deal_keyslot slot = slot_of(bytes_of(blob.data, len));

        cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_ERR_CORRUPT);
    }
    buf_put_u8(&blob, 0);
    cr_assert_eq(keyslot_recovery_open(&(struct deal_keyslot){.type = DEAL_KEYSLOT_RECOVERY,
                                                              .blob = buf_bytes(&blob)},
                                       cluster, 7, secret, &opened),
                 QK_ERR_CORRUPT);
    buf_fini(&blob);
}

Test(keyslot_recovery, is_bound_to_cluster_id_version_type_and_secret)
{
    struct buf blob = BUF_INIT(KIB);
    struct secret *opened = NULL, *wrong = counting(1);
    struct deal_keyslot slot;

    seal(&blob);
    slot = slot_of(buf_bytes(&blob));
    cr_assert_eq(keyslot_recovery_open(&slot, other_cluster, 7, secret, &opened), QK_ERR_CORRUPT);
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 8, secret, &opened), QK_ERR_STALE);
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, wrong, &opened), QK_ERR_CORRUPT);
    slot.id[0] ^= 1;
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_ERR_CORRUPT);
    slot = slot_of(buf_bytes(&blob));
    slot.type = DEAL_KEYSLOT_CLUSTER;
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_ERR_UNSUPPORTED);
    cr_assert_null(opened);
    secret_free(wrong);
    buf_fini(&blob);
}

Test(keyslot_recovery, a_new_mk_is_sealed_without_the_secret)
{
    struct buf blob = BUF_INIT(KIB), rewrapped = BUF_INIT(KIB);
    struct secret *fresh = counting(90), *opened = NULL;
    struct deal_keyslot slot;

    seal(&blob);
    slot = slot_of(buf_bytes(&blob));
    cr_assert_eq(keyslot_rewrap(&slot, cluster, 8, fresh, &rewrapped), QK_OK);
    slot.blob = buf_bytes(&rewrapped);
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 8, secret, &opened), QK_OK);
    cr_assert(secret_equal(opened, fresh));
    secret_free(opened);
    cr_assert_eq(keyslot_recovery_open(&slot, cluster, 7, secret, &opened), QK_ERR_STALE);
    slot.type = DEAL_KEYSLOT_CLUSTER;
    cr_assert_eq(keyslot_rewrap(&slot, cluster, 9, fresh, &rewrapped), QK_ERR_UNSUPPORTED);
    secret_free(fresh);
    buf_fini(&blob);
    buf_fini(&rewrapped);
}

Test(keyslot_recovery, a_low_order_public_half_is_refused)
{
    static const uint8_t zero[X25519_BYTES];
    struct buf blob = BUF_INIT(KIB);

    cr_assert_eq(keyslot_recovery_seal(zero, slot_id, cluster, 7, mk, &blob), QK_ERR_INVALID);
    cr_assert_eq(blob.len, 0);
    buf_fini(&blob);
}

Test(keyslot_recovery, the_derived_key_signs)
{
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    struct secret *wrong = counting(1);

    cr_assert_eq(keyslot_recovery_sign(secret, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(public.sign_pk, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(public.sign_pk, bytes_str("unhole"), signature), QK_ERR_CORRUPT);
    cr_assert_eq(keyslot_recovery_sign(wrong, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(public.sign_pk, bytes_str("unhold"), signature), QK_ERR_CORRUPT);
    secret_free(wrong);
    cr_assert_eq(keyslot_recovery_sign_key(secret, &wrong), QK_OK);
    cr_assert_eq(ed25519_sign(wrong, bytes_str("unhold"), signature), QK_OK);
    cr_assert_eq(ed25519_verify(public.sign_pk, bytes_str("unhold"), signature), QK_OK);
    secret_free(wrong);
}
