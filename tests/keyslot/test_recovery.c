#include <criterion/criterion.h>

#include <string.h>

#include "base/encode.h"
#include "keyslot/recovery.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";
static const uint8_t other_cluster[CLUSTER_ID_BYTES] = "b cluster's id.";
static struct secret *mk;
static struct recovery_set set;
static struct buf texts;

static void make(struct recovery_set *ret_set, struct buf *out, unsigned n, unsigned t)
{
    cr_assert_eq(recovery_set_make(cluster, 1, 1800000000, n, t, 7, mk, ret_set, out), QK_OK);
}

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &mk), QK_OK);
    texts = BUF_SECRET_INIT(8 * KIB);
    make(&set, &texts, 5, 3);
}

static void tear_down(void)
{
    buf_fini(&texts);
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(recovery, .init = set_up, .fini = tear_down);

/* Share `x` (1..) of the texts of a set. */
static struct bytes text_of(const struct buf *all, unsigned x)
{
    return bytes_slice(buf_bytes(all), (size_t)(x - 1) * (RECOVERY_TEXT_BYTES + 1),
                       RECOVERY_TEXT_BYTES);
}

static struct recovery_share share_of(const struct buf *all, unsigned x)
{
    struct recovery_share share;

    cr_assert_eq(recovery_share_decode(text_of(all, x), &share), QK_OK);
    cr_assert_eq(share.x, x);
    return share;
}

static enum qk_err open_with(unsigned a, unsigned b, unsigned c, struct secret **ret_mk)
{
    struct recovery_share shares[3] = {share_of(&texts, a), share_of(&texts, b),
                                       share_of(&texts, c)};
    struct secret *secret = NULL;
    enum qk_err err = recovery_combine(&set, shares, 3, &secret);

    if (err == QK_OK)
        err = recovery_open(&set, cluster, secret, ret_mk);
    secret_free(secret);
    for (size_t i = 0; i < 3; i++)
        recovery_share_fini(&shares[i]);
    return err;
}

Test(recovery, every_three_of_five_open_the_master_key)
{
    cr_assert_eq(texts.len, 5 * (RECOVERY_TEXT_BYTES + 1));
    for (unsigned a = 1; a <= 5; a++)
        for (unsigned b = a + 1; b <= 5; b++)
            for (unsigned c = b + 1; c <= 5; c++) {
                struct secret *opened = NULL;

                cr_assert_eq(open_with(c, a, b, &opened), QK_OK);
                cr_assert(secret_equal(opened, mk));
                secret_free(opened);
            }
}

Test(recovery, two_of_five_open_nothing)
{
    struct recovery_share shares[2] = {share_of(&texts, 1), share_of(&texts, 2)};
    struct secret *secret = NULL;

    cr_assert_eq(recovery_combine(&set, shares, 2, &secret), QK_ERR_NO_QUORUM);
    cr_assert_null(secret);
    recovery_share_fini(&shares[0]);
    recovery_share_fini(&shares[1]);
}

Test(recovery, one_share_twice_is_no_quorum)
{
    struct secret *opened = NULL;

    cr_assert_eq(open_with(1, 2, 2, &opened), QK_ERR_INVALID);
    cr_assert_null(opened);
}

Test(recovery, the_counts_have_limits)
{
    struct recovery_set made;
    struct buf out = BUF_SECRET_INIT(8 * KIB);

    cr_assert_not(recovery_counts_are_valid(0, 0));
    cr_assert_not(recovery_counts_are_valid(1, 1));
    cr_assert_not(recovery_counts_are_valid(2, 3));
    cr_assert_not(recovery_counts_are_valid(RECOVERY_SHARES_MAX + 1, 2));
    cr_assert_not(recovery_counts_are_valid(RECOVERY_SHARES_MAX, THRESHOLD_MAX + 1));
    cr_assert_eq(recovery_set_make(cluster, 1, 0, 3, 1, 7, mk, &made, &out), QK_ERR_INVALID);
    cr_assert_eq(out.len, 0);
    make(&made, &out, RECOVERY_SHARES_MAX, THRESHOLD_MAX);
    cr_assert_eq(out.len, (size_t)RECOVERY_SHARES_MAX * (RECOVERY_TEXT_BYTES + 1));
    buf_reset(&out);
    make(&made, &out, 2, 2);
    buf_fini(&out);
}

/* --- the text of a share --------------------------------------------------------------------- */

Test(recovery, a_share_is_written_as_it_was_read)
{
    struct recovery_share share = share_of(&texts, 4);
    struct buf again = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);

    cr_assert_eq(share.t, 3);
    cr_assert_eq(share.n, 5);
    cr_assert_eq(recovery_share_encode(&share, &again), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&again), text_of(&texts, 4)));
    recovery_share_fini(&share);
    buf_fini(&again);
}

Test(recovery, a_share_may_be_written_in_groups_and_in_capitals)
{
    struct bytes text = text_of(&texts, 2);
    struct buf typed = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share;

    buf_put_str(&typed, "  ");
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        buf_put_u8(&typed, c >= 'a' ? (uint8_t)(c - 'a' + 'A') : c);
        if (i % 4 == 3)
            buf_put_str(&typed, i % 8 == 3 ? "-" : " ");
    }
    buf_put_str(&typed, "\r\n");
    cr_assert_eq(recovery_share_decode(buf_bytes(&typed), &share), QK_OK);
    cr_assert_eq(recovery_share_check(&set, cluster, &share), QK_OK);
    recovery_share_fini(&share);
    buf_fini(&typed);
}

Test(recovery, every_mistyped_character_is_caught)
{
    struct buf typed = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share;

    buf_put_bytes(&typed, text_of(&texts, 1));
    for (size_t i = 0; i < typed.len; i++)
        for (const char *c = "qpzry9x8gf2tvdw0s3jn54khce6mua7lbio1AZ!"; *c != '\0'; c++) {
            uint8_t was = typed.data[i];
            enum qk_err err;

            if (was == (uint8_t)*c)
                continue;
            typed.data[i] = (uint8_t)*c;
            err = recovery_share_decode(buf_bytes(&typed), &share);
            cr_assert_eq(err, i < 4 && err == QK_ERR_INVALID ? QK_ERR_INVALID : QK_ERR_CORRUPT,
                         "character %zu as '%c': %s", i, *c, qk_err_text(err));
            typed.data[i] = was;
        }
    buf_fini(&typed);
}

Test(recovery, every_other_length_of_a_share_is_refused)
{
    struct bytes text = text_of(&texts, 1);
    struct buf typed = BUF_SECRET_INIT(2 * RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share;

    for (size_t len = 0; len < text.len; len++)
        cr_assert_eq(recovery_share_decode(bytes_slice(text, 0, len), &share),
                     len < 4 ? QK_ERR_INVALID : QK_ERR_CORRUPT);
    buf_put_bytes(&typed, text);
    buf_put_str(&typed, "q");
    cr_assert_eq(recovery_share_decode(buf_bytes(&typed), &share), QK_ERR_CORRUPT);
    while (typed.len <= RECOVERY_TEXT_BYTES_MAX)
        buf_put_str(&typed, "q");
    cr_assert_eq(recovery_share_decode(buf_bytes(&typed), &share), QK_ERR_INVALID);
    cr_assert_eq(recovery_share_decode(bytes_str("qkjoin1qqqq"), &share), QK_ERR_INVALID);
    buf_fini(&typed);
}

/* The payload under a right checksum. */
static enum qk_err decode_payload(const uint8_t *payload, size_t len)
{
    struct buf text = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share;
    enum qk_err err;

    cr_assert_eq(bech32m_encode("qkr", bytes_of(payload, len), &text), QK_OK);
    err = recovery_share_decode(buf_bytes(&text), &share);
    if (err == QK_OK) {
        err = recovery_share_check(&set, cluster, &share);
        recovery_share_fini(&share);
    }
    buf_fini(&text);
    return err;
}

Test(recovery, an_altered_share_under_a_right_checksum_is_named)
{
    struct buf payload = BUF_SECRET_INIT(64);

    cr_assert_eq(bech32m_decode("qkr", text_of(&texts, 3), &payload), QK_OK);
    cr_assert_eq(decode_payload(payload.data, payload.len), QK_OK);
    for (size_t i = 0; i < payload.len; i++) {
        enum qk_err want = i == 0  ? QK_ERR_UNSUPPORTED
                           : i < 5 ? QK_ERR_FOREIGN
                           : i < 9 ? QK_ERR_STALE
                                   : QK_ERR_CORRUPT;
        enum qk_err err;

        payload.data[i] ^= 0x10;
        err = decode_payload(payload.data, payload.len);
        cr_assert_eq(err, want, "byte %zu: %s", i, qk_err_text(err));
        payload.data[i] ^= 0x10;
    }
    for (size_t len = 0; len < payload.len; len++)
        cr_assert_eq(decode_payload(payload.data, len), QK_ERR_CORRUPT);
    buf_fini(&payload);
}

Test(recovery, a_share_of_another_cluster_or_set_is_named)
{
    struct recovery_share share = share_of(&texts, 1);
    struct buf newer_texts = BUF_SECRET_INIT(8 * KIB);
    struct recovery_set newer;

    cr_assert_eq(recovery_share_check(&set, other_cluster, &share), QK_ERR_FOREIGN);
    make(&newer, &newer_texts, 5, 3);
    cr_assert_eq(recovery_share_check(&newer, cluster, &share), QK_ERR_STALE);
    memcpy(newer.id, set.id, sizeof newer.id); /* as if the tags were equal by chance */
    cr_assert_eq(recovery_share_check(&newer, cluster, &share), QK_ERR_CORRUPT);
    recovery_share_fini(&share);
    buf_fini(&newer_texts);
}

static void expect_problem(const struct recovery_set *live, const uint8_t *of, struct bytes text,
                           enum qk_err want, const char *words)
{
    struct buf problem = BUF_INIT(KIB);
    struct recovery_share share;
    enum qk_err err = recovery_share_take(live, of, text, &share, &problem);

    buf_put_u8(&problem, 0);
    cr_assert_eq(err, want, "%s", qk_err_text(err));
    cr_assert_not_null(strstr((const char *)problem.data, words), "%s", problem.data);
    if (err == QK_OK) {
        cr_assert_eq(problem.len, 1, "nothing is wrong");
        recovery_share_fini(&share);
    }
    buf_fini(&problem);
}

Test(recovery, each_kind_of_wrong_share_is_told_in_words)
{
    struct buf newer_texts = BUF_SECRET_INIT(8 * KIB);
    struct recovery_set newer;
    struct bytes text = text_of(&texts, 4);

    make(&newer, &newer_texts, 5, 3);
    expect_problem(&set, cluster, text, QK_OK, "");
    expect_problem(&set, cluster, bytes_slice(text, 0, text.len - 1), QK_ERR_CORRUPT, "mistyped");
    expect_problem(&set, cluster, bytes_str("qkop1"), QK_ERR_INVALID, "begins with qkr1");
    expect_problem(&set, other_cluster, text, QK_ERR_FOREIGN, "share 4 of 5 is of another cluster");
    expect_problem(&newer, cluster, text, QK_ERR_STALE, "share 4 of 5 is of the set");
    memcpy(newer.id, set.id, sizeof newer.id);
    expect_problem(&newer, cluster, text, QK_ERR_CORRUPT, "share 4 of 5 was altered");
    buf_fini(&newer_texts);
}

/* --- the record ------------------------------------------------------------------------------ */

Test(recovery, the_record_is_read_as_it_was_written)
{
    struct buf out = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);
    struct recovery_set read;

    recovery_set_encode(&set, &out);
    cr_assert_eq(recovery_set_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_eq(read.number, 1);
    cr_assert_eq(read.created_s, 1800000000);
    cr_assert_eq(read.mk_version, 7);
    cr_assert_eq(memcmp(&read.public, &set.public, sizeof read.public), 0);
    cr_assert_eq(recovery_set_check(&read, cluster, mk), QK_OK);
    cr_assert_eq(recovery_set_check(&read, other_cluster, mk), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(recovery, every_byte_of_the_record_is_covered)
{
    struct buf out = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);
    struct recovery_set read;

    recovery_set_encode(&set, &out);
    for (size_t i = 0; i < out.len; i++) {
        out.data[i] ^= 1;
        if (recovery_set_decode(buf_bytes(&out), &read) == QK_OK)
            cr_assert_eq(recovery_set_check(&read, cluster, mk), QK_ERR_CORRUPT, "byte %zu", i);
        out.data[i] ^= 1;
    }
    for (size_t len = 0; len < out.len; len++)
        cr_assert_eq(recovery_set_decode(bytes_of(out.data, len), &read), QK_ERR_CORRUPT);
    buf_put_u8(&out, 0);
    cr_assert_eq(recovery_set_decode(buf_bytes(&out), &read), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(recovery, a_new_master_key_is_wrapped_without_people)
{
    struct recovery_share shares[3] = {share_of(&texts, 1), share_of(&texts, 3),
                                       share_of(&texts, 5)};
    struct secret *fresh, *secret = NULL, *opened = NULL;
    struct recovery_set again;

    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &fresh), QK_OK);
    cr_assert_eq(recovery_set_rewrap(&set, cluster, mk, 8, fresh, &again), QK_OK);
    cr_assert_eq(again.mk_version, 8);
    cr_assert_eq(memcmp(again.id, set.id, sizeof again.id), 0);
    cr_assert_eq(recovery_share_check(&again, cluster, &shares[0]), QK_OK);
    cr_assert_eq(recovery_combine(&again, shares, 3, &secret), QK_OK);
    cr_assert_eq(recovery_open(&again, cluster, secret, &opened), QK_OK);
    cr_assert(secret_equal(opened, fresh));
    for (size_t i = 0; i < 3; i++)
        recovery_share_fini(&shares[i]);
    secret_free(secret);
    secret_free(opened);
    secret_free(fresh);
}

/* Somebody who can write one disk must not get the next master key sealed to a key of his own. */
Test(recovery, a_record_with_another_key_in_it_is_not_wrapped_again)
{
    struct recovery_set altered = set, again;
    struct secret *own, *fresh;

    cr_assert_eq(x25519_keypair(&own, altered.public.seal_pk), QK_OK);
    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &fresh), QK_OK);
    cr_assert_eq(recovery_set_rewrap(&altered, cluster, mk, 8, fresh, &again), QK_ERR_CORRUPT);
    secret_free(own);
    secret_free(fresh);
}

Test(recovery, the_secret_of_another_set_opens_nothing)
{
    struct recovery_set other;
    struct buf other_texts = BUF_SECRET_INIT(8 * KIB);
    struct recovery_share shares[2];
    struct secret *secret = NULL, *opened = NULL;

    make(&other, &other_texts, 3, 2);
    shares[0] = share_of(&other_texts, 1);
    shares[1] = share_of(&other_texts, 2);
    cr_assert_eq(recovery_combine(&other, shares, 2, &secret), QK_OK);
    cr_assert_eq(recovery_open(&set, cluster, secret, &opened), QK_ERR_CORRUPT);
    cr_assert_eq(recovery_open(&other, other_cluster, secret, &opened), QK_ERR_CORRUPT);
    cr_assert_null(opened);
    secret_free(secret);
    recovery_share_fini(&shares[0]);
    recovery_share_fini(&shares[1]);
    buf_fini(&other_texts);
}
