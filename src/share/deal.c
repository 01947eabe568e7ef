#include "share/share.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "share/group.h"

/* The two polynomials, in the arena: a_0..a_{t-1} then b_0..b_{t-1}. */
struct polynomials {
    uint8_t a[THRESHOLD_MAX][SHARE_SCALAR_BYTES];
    uint8_t b[THRESHOLD_MAX][SHARE_SCALAR_BYTES];
    uint8_t wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES];
};

/* Uniform: 512 random bits reduced modulo a 253-bit order leave no bias to speak of. */
static void scalar_draw(struct random_source random, uint8_t *wide, uint8_t *ret_scalar)
{
    random.fill(random.arg, wide, crypto_core_ristretto255_NONREDUCEDSCALARBYTES);
    crypto_core_ristretto255_scalar_reduce(ret_scalar, wide);
}

enum qk_err share_secret_random(struct random_source random, struct secret **ret_secret)
{
    struct secret *wide = NULL, *scalar = NULL;
    enum qk_err err = secret_new_zero(crypto_core_ristretto255_NONREDUCEDSCALARBYTES, &wide);

    if (err == QK_OK)
        err = secret_new_zero(SHARE_SCALAR_BYTES, &scalar);
    if (err != QK_OK)
        goto out;
    scalar_draw(random, secret_borrow_mut(wide), secret_borrow_mut(scalar));
    secret_return_mut(wide);
    secret_return_mut(scalar);
    secret_stack_burn();
    *ret_secret = scalar;

out:
    secret_free(wide);
    return err;
}

/* Horner's rule: ((c_{t-1} x + c_{t-2}) x + ...) + c_0. */
static void evaluate(uint8_t (*coefficients)[SHARE_SCALAR_BYTES], size_t t, uint32_t x,
                     uint8_t *ret_value)
{
    uint8_t at[SHARE_SCALAR_BYTES];

    scalar_of(x, at);
    memcpy(ret_value, coefficients[t - 1], SHARE_SCALAR_BYTES);
    for (size_t i = t - 1; i > 0; i--) {
        crypto_core_ristretto255_scalar_mul(ret_value, ret_value, at);
        crypto_core_ristretto255_scalar_add(ret_value, ret_value, coefficients[i - 1]);
    }
}

static void draw(struct polynomials *p, const struct secret *secret, size_t t,
                 struct random_source random)
{
    memcpy(p->a[0], secret_borrow(secret), SHARE_SCALAR_BYTES);
    secret_return(secret);
    for (size_t i = 1; i < t; i++)
        scalar_draw(random, p->wide, p->a[i]);
    for (size_t i = 0; i < t; i++)
        scalar_draw(random, p->wide, p->b[i]);
}

static enum qk_err deal_with(struct polynomials *p, size_t n, size_t t, const uint32_t *x,
                             struct secret **shares)
{
    for (size_t i = 0; i < n; i++) {
        enum qk_err err = secret_new_zero(SHARE_BYTES, &shares[i]);
        uint8_t *share;

        if (err != QK_OK)
            return err;
        share = secret_borrow_mut(shares[i]);
        evaluate(p->a, t, x[i], share);
        evaluate(p->b, t, x[i], share + SHARE_SCALAR_BYTES);
        secret_return_mut(shares[i]);
    }
    return QK_OK;
}

enum qk_err share_deal(const struct secret *secret, size_t n, size_t t, const uint32_t *x,
                       struct random_source random, struct secret **ret_shares,
                       uint8_t (*ret_commitments)[SHARE_POINT_BYTES])
{
    struct secret *scratch, *shares[NODES_MAX] = {NULL};
    struct polynomials *p;
    enum qk_err err;

    assert(secret_len(secret) == SHARE_SCALAR_BYTES);
    if (secret_is_wiped(secret))
        return QK_ERR_SEALED;
    if (!share_points_are_valid(x, n, t) || t > n)
        return QK_ERR_INVALID;
    err = secret_new_zero(sizeof *p, &scratch);
    if (err != QK_OK)
        return err;
    p = (struct polynomials *)secret_borrow_mut(scratch); /* bytes only: no alignment to keep */
    draw(p, secret, t, random);
    err = scalar_is_canonical(p->a[0]) ? deal_with(p, n, t, x, shares) : QK_ERR_INVALID;
    for (size_t i = 0; i < t && err == QK_OK; i++)
        group_commit(p->a[i], p->b[i], ret_commitments[i]);
    secret_return_mut(scratch);
    secret_free(scratch);
    secret_stack_burn();
    for (size_t i = 0; i < n; i++) {
        if (err == QK_OK)
            ret_shares[i] = shares[i];
        else
            secret_free(shares[i]);
    }
    return err;
}

/* C_0 + x C_1 + x² C_2 + ..., by Horner's rule on points. */
static enum qk_err expected(uint32_t x, const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                            uint8_t *ret_point)
{
    uint8_t at[SHARE_SCALAR_BYTES], sum[SHARE_POINT_BYTES];

    scalar_of(x, at);
    memcpy(sum, commitments[t - 1], SHARE_POINT_BYTES);
    for (size_t i = t - 1; i > 0; i--)
        if (!group_mul(at, sum, sum) ||
            crypto_core_ristretto255_add(sum, sum, commitments[i - 1]) != 0)
            return QK_ERR_INVALID;
    memcpy(ret_point, sum, SHARE_POINT_BYTES);
    return QK_OK;
}

enum qk_err share_verify(const struct secret *share, uint32_t x,
                         const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t)
{
    uint8_t want[SHARE_POINT_BYTES], have[SHARE_POINT_BYTES];
    const uint8_t *at;
    enum qk_err err;

    assert(secret_len(share) == SHARE_BYTES);
    if (secret_is_wiped(share))
        return QK_ERR_SEALED;
    if (!share_points_are_valid(&x, 1, t))
        return QK_ERR_INVALID;
    err = expected(x, commitments, t, want);
    if (err != QK_OK)
        return err;
    at = secret_borrow(share);
    if (scalar_is_canonical(at) && scalar_is_canonical(at + SHARE_SCALAR_BYTES)) {
        group_commit(at, at + SHARE_SCALAR_BYTES, have);
        SHARE_PUBLIC(have);
        err = sodium_memcmp(want, have, sizeof have) == 0 ? QK_OK : QK_ERR_CORRUPT;
    } else {
        err = QK_ERR_CORRUPT;
    }
    secret_return(share);
    secret_stack_burn();
    return err;
}
