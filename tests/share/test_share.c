#include <criterion/criterion.h>

#include <string.h>

#include <jansson.h>
#include <sodium.h>

#include "base/encode.h"
#include "share/group.h"
#include "share/share.h"

#define PARTIES_MAX 8

/* Computed apart from libsodium: RFC 9496's one-way map of BLAKE2b-512 of the label. */
#define H_IN_HEX "40069fd21d1480926fe8d2c66d078f14583bf2855850d934f384bdb5e2046b7d"

static void arena_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
}

static void arena_down(void)
{
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(share, .init = arena_up, .fini = arena_down);

/* A finished sharing of a random secret at x = 3, 10, 17, ... */
struct sharing {
    size_t n, t;
    struct secret *secret;
    struct secret *shares[PARTIES_MAX];
    uint32_t x[PARTIES_MAX];
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES];
};

static void sharing_init(struct sharing *s, size_t n, size_t t)
{
    s->n = n;
    s->t = t;
    for (size_t i = 0; i < n; i++)
        s->x[i] = (uint32_t)(3 + 7 * i);
    cr_assert_eq(share_secret_random(random_system(), &s->secret), QK_OK);
    cr_assert_eq(share_deal(s->secret, n, t, s->x, random_system(), s->shares, s->commitments),
                 QK_OK);
}

static void sharing_fini(struct sharing *s)
{
    secret_free(s->secret);
    for (size_t i = 0; i < s->n; i++)
        secret_free(s->shares[i]);
}

/* The members of `mask`, in order. */
static size_t pick(const struct sharing *s, unsigned mask, const struct secret **ret_shares,
                   uint32_t *ret_x)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n; i++)
        if (mask >> i & 1) {
            ret_shares[n] = s->shares[i];
            ret_x[n++] = s->x[i];
        }
    return n;
}

static enum qk_err combine(const struct sharing *s, unsigned mask, struct secret **ret_secret,
                           struct share_bad *ret_bad)
{
    const struct secret *shares[PARTIES_MAX];
    uint32_t x[PARTIES_MAX];
    size_t n = pick(s, mask, shares, x);

    return share_combine(shares, x, n, (const uint8_t(*)[SHARE_POINT_BYTES])s->commitments, s->t,
                         ret_secret, NULL, ret_bad);
}

static enum qk_err verify(const struct sharing *s, size_t i)
{
    return share_verify(s->shares[i], s->x[i], (const uint8_t(*)[SHARE_POINT_BYTES])s->commitments,
                        s->t);
}

Test(share, any_threshold_of_members_rebuilds_and_fewer_do_not)
{
    for (size_t t = 2; t <= 4; t++) {
        struct sharing s;

        sharing_init(&s, 5, t);
        for (unsigned mask = 0; mask < 32; mask++) {
            struct secret *secret = NULL;
            struct share_bad bad;
            enum qk_err err = combine(&s, mask, &secret, &bad);

            cr_assert_eq(bad.n, 0);
            if ((size_t)__builtin_popcount(mask) < t) {
                cr_assert_eq(err, QK_ERR_NO_QUORUM);
                continue;
            }
            cr_assert_eq(err, QK_OK);
            cr_assert(secret_equal(secret, s.secret));
            secret_free(secret);
        }
        sharing_fini(&s);
    }
}

/* Pretending a lower threshold does not help: t - 1 shares interpolate to something else. */
Test(share, fewer_shares_under_a_lower_threshold_are_corrupt)
{
    struct sharing s;
    struct share_bad bad;
    struct secret *secret;

    sharing_init(&s, 4, 3);
    s.t = 2;
    cr_assert_eq(combine(&s, 3, &secret, &bad), QK_ERR_CORRUPT);
    sharing_fini(&s);
}

Test(share, every_share_fits_its_commitments)
{
    struct sharing s;

    sharing_init(&s, PARTIES_MAX, 3);
    for (size_t i = 0; i < s.n; i++)
        cr_assert_eq(verify(&s, i), QK_OK);
    s.x[0]++;
    cr_assert_eq(verify(&s, 0), QK_ERR_CORRUPT);
    s.x[0] = 0;
    cr_assert_eq(verify(&s, 0), QK_ERR_INVALID);
    sharing_fini(&s);
}

Test(share, a_tampered_share_is_named_and_the_rest_go_on)
{
    for (size_t byte = 0; byte < SHARE_BYTES; byte++) {
        struct sharing s;
        struct share_bad bad;
        struct secret *secret;

        sharing_init(&s, 3, 2);
        secret_borrow_mut(s.shares[1])[byte] ^= 0x04;
        secret_return_mut(s.shares[1]);
        cr_assert_eq(verify(&s, 1), QK_ERR_CORRUPT);
        cr_assert_eq(combine(&s, 3, &secret, &bad), QK_ERR_CORRUPT);
        cr_assert_eq(bad.n, 1);
        cr_assert_eq(bad.x[0], s.x[1]);
        cr_assert_eq(combine(&s, 7, &secret, &bad), QK_OK);
        cr_assert_eq(bad.n, 1);
        cr_assert_eq(bad.x[0], s.x[1]);
        cr_assert(secret_equal(secret, s.secret));
        secret_free(secret);
        sharing_fini(&s);
    }
}

/* s + order encodes the same scalar; crypto_scalarmult_ristretto255 would take it. */
Test(share, a_scalar_that_is_not_reduced_is_refused)
{
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    struct sharing s;
    struct share_bad bad;
    struct secret *secret;

    for (size_t half = 0; half < SHARE_BYTES; half += SHARE_SCALAR_BYTES) {
        sharing_init(&s, 3, 2);
        sodium_add(secret_borrow_mut(s.shares[0]) + half, order, sizeof order);
        secret_return_mut(s.shares[0]);
        cr_assert_eq(verify(&s, 0), QK_ERR_CORRUPT);
        cr_assert_eq(combine(&s, 7, &secret, &bad), QK_OK);
        cr_assert_eq(bad.n, 1);
        cr_assert_eq(bad.x[0], s.x[0]);
        secret_free(secret);
        sharing_fini(&s);
    }
    cr_assert_eq(secret_new_copy(order, sizeof order, &secret), QK_OK);
    sharing_init(&s, 2, 2);
    sharing_fini(&s);
    cr_assert_eq(share_deal(secret, 2, 2, s.x, random_system(), s.shares, s.commitments),
                 QK_ERR_INVALID);
    secret_free(secret);
}

Test(share, zero_and_equal_x_and_thresholds_out_of_range_are_refused)
{
    struct sharing s;
    struct share_bad bad;
    struct secret *secret, *shares[PARTIES_MAX];
    uint32_t zero[3] = {1, 0, 2}, equal[3] = {1, 2, 1}, good[3] = {1, 2, 3};

    sharing_init(&s, 3, 2);
    cr_assert_eq(share_deal(s.secret, 3, 2, zero, random_system(), shares, s.commitments),
                 QK_ERR_INVALID);
    cr_assert_eq(share_deal(s.secret, 3, 2, equal, random_system(), shares, s.commitments),
                 QK_ERR_INVALID);
    cr_assert_eq(share_deal(s.secret, 3, 1, good, random_system(), shares, s.commitments),
                 QK_ERR_INVALID);
    cr_assert_eq(share_deal(s.secret, 3, 4, good, random_system(), shares, s.commitments),
                 QK_ERR_INVALID);
    cr_assert_eq(share_deal(s.secret, 3, 17, good, random_system(), shares, s.commitments),
                 QK_ERR_INVALID);
    s.x[1] = s.x[0];
    cr_assert_eq(combine(&s, 7, &secret, &bad), QK_ERR_INVALID);
    s.x[1] = 0;
    cr_assert_eq(combine(&s, 7, &secret, &bad), QK_ERR_INVALID);
    sharing_fini(&s);
}

Test(share, commitments_that_are_no_points_are_refused)
{
    struct sharing s;
    struct share_bad bad;
    struct secret *secret;

    sharing_init(&s, 3, 2);
    memset(s.commitments[1], 0xff, SHARE_POINT_BYTES);
    cr_assert_eq(verify(&s, 0), QK_ERR_INVALID);
    memset(s.commitments[0], 0xff, SHARE_POINT_BYTES);
    cr_assert_eq(combine(&s, 7, &secret, &bad), QK_ERR_INVALID);
    sharing_fini(&s);
}

Test(share, the_widest_sharing_works)
{
    struct secret *secret, *back, *shares[NODES_MAX];
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES];
    struct share_bad bad;
    uint32_t x[NODES_MAX];

    for (uint32_t i = 0; i < NODES_MAX; i++)
        x[i] = UINT32_MAX - i;
    cr_assert_eq(share_secret_random(random_system(), &secret), QK_OK);
    cr_assert_eq(
        share_deal(secret, NODES_MAX, THRESHOLD_MAX, x, random_system(), shares, commitments),
        QK_OK);
    cr_assert_eq(share_combine((const struct secret *const *)shares + 40, x + 40, THRESHOLD_MAX,
                               (const uint8_t(*)[SHARE_POINT_BYTES])commitments, THRESHOLD_MAX,
                               &back, NULL, &bad),
                 QK_OK);
    cr_assert(secret_equal(secret, back));
    secret_free(secret);
    secret_free(back);
    for (size_t i = 0; i < NODES_MAX; i++)
        secret_free(shares[i]);
}

/* Hands out the published coefficient first and zeros after: the Feldman case, no blinding. */
struct fixed_random {
    uint8_t coefficient[32];
    bool used;
};

static void fixed_fill(void *arg, uint8_t *ret_out, size_t len)
{
    struct fixed_random *fixed = arg;

    memset(ret_out, 0, len);
    if (!fixed->used)
        memcpy(ret_out, fixed->coefficient, sizeof fixed->coefficient);
    fixed->used = true;
}

static void json_hex(const json_t *root, const char *name, uint8_t *ret_out)
{
    const char *text = json_string_value(json_object_get(root, name));

    cr_assert_not_null(text);
    cr_assert_eq(hex_decode(bytes_str(text), ret_out, 32), QK_OK);
}

/* 257 published shares of one secret (RFC 9591, appendix E, and its extension). */
static void expect_published(const json_t *root, const struct secret *secret,
                             struct fixed_random *fixed)
{
    const json_t *list = json_object_get(root, "shares");
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES], want[32];

    cr_assert_eq(json_array_size(list), 257);
    json_hex(root, "feldman_C0", want);
    for (size_t i = 0; i + 1 < json_array_size(list); i += 2) {
        const json_t *pair[2] = {json_array_get(list, i), json_array_get(list, i + 1)};
        struct secret *shares[2], *back;
        struct share_bad bad;
        uint8_t raw[32];
        uint32_t x[2];

        for (size_t k = 0; k < 2; k++)
            x[k] = (uint32_t)json_integer_value(json_object_get(pair[k], "x"));
        fixed->used = false;
        cr_assert_eq(share_deal(secret, 2, 2, x, (struct random_source){fixed_fill, fixed}, shares,
                                commitments),
                     QK_OK);
        cr_assert_eq(memcmp(commitments[0], want, 32), 0);
        for (size_t k = 0; k < 2; k++) {
            json_hex(pair[k], "share", raw);
            cr_assert_eq(memcmp(secret_borrow(shares[k]), raw, 32), 0);
            cr_assert(sodium_is_zero(secret_borrow(shares[k]) + 32, 32));
            secret_return(shares[k]);
            secret_return(shares[k]);
        }
        cr_assert_eq(share_combine((const struct secret *const *)shares, x, 2,
                                   (const uint8_t(*)[SHARE_POINT_BYTES])commitments, 2, &back, NULL,
                                   &bad),
                     QK_OK);
        cr_assert(secret_equal(back, secret));
        secret_free(back);
        secret_free(shares[0]);
        secret_free(shares[1]);
    }
}

Test(share, published_shares_of_rfc_9591_come_out)
{
    json_t *root = json_load_file(QK_VECTORS "/rfc9591_ristretto255_shamir_2of3.json", 0, NULL);
    struct fixed_random fixed;
    struct secret *secret;
    uint8_t raw[32];

    cr_assert_not_null(root);
    json_hex(root, "coefficient_1", fixed.coefficient);
    json_hex(root, "secret", raw);
    cr_assert_eq(secret_new_copy(raw, 32, &secret), QK_OK);
    expect_published(root, secret, &fixed);
    secret_free(secret);
    json_decref(root);
}

/* RFC 9496, appendix A.1: 0, 1, 2 and 3 times the generator. */
Test(share, multiples_of_the_generator_are_those_of_rfc_9496)
{
    static const char *const multiples[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    };
    const uint8_t zero[32] = {0};

    for (uint32_t i = 0; i < 4; i++) {
        uint8_t scalar[32], want[32], have[32];

        scalar_of(i, scalar);
        cr_assert_eq(hex_decode(bytes_str(multiples[i]), want, 32), QK_OK);
        group_commit(scalar, zero, have);
        cr_assert_eq(memcmp(have, want, 32), 0);
    }
}

/* The label is part of the format: this value may never change. */
Test(share, h_is_fixed_and_no_small_multiple_of_g)
{
    uint8_t h[32], scalar[32], multiple[32];
    const uint8_t zero[32] = {0};
    char text[65];

    group_h(h);
    hex_encode(h, 32, text);
    cr_assert_str_eq(text, H_IN_HEX);
    cr_assert_eq(crypto_core_ristretto255_is_valid_point(h), 1);
    for (uint32_t i = 0; i < 1000; i++) {
        scalar_of(i, scalar);
        group_commit(scalar, zero, multiple);
        cr_assert_neq(memcmp(h, multiple, 32), 0);
    }
}
