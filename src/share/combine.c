#include "share/share.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

#include "share/group.h"

/* The Lagrange coefficient of x[i] at zero: the product over j != i of x_j / (x_j - x_i). */
static void lagrange(const uint32_t *x, size_t t, size_t i, uint8_t *ret_scalar)
{
    uint8_t above[SHARE_SCALAR_BYTES], below[SHARE_SCALAR_BYTES];
    uint8_t own[SHARE_SCALAR_BYTES], other[SHARE_SCALAR_BYTES], step[SHARE_SCALAR_BYTES];

    scalar_of(1, above);
    scalar_of(1, below);
    scalar_of(x[i], own);
    for (size_t j = 0; j < t; j++) {
        if (j == i)
            continue;
        scalar_of(x[j], other);
        crypto_core_ristretto255_scalar_mul(above, above, other);
        crypto_core_ristretto255_scalar_sub(step, other, own);
        crypto_core_ristretto255_scalar_mul(below, below, step);
    }
    (void)crypto_core_ristretto255_scalar_invert(below, below); /* non-zero: x are distinct */
    crypto_core_ristretto255_scalar_mul(ret_scalar, above, below);
}

/* S ‖ R from exactly t shares, into the arena. False if a scalar is not canonical. */
static bool interpolate(const struct secret *const *shares, const uint32_t *x, size_t t,
                        uint8_t *ret_sum)
{
    uint8_t *term = ret_sum + SHARE_BYTES, weight[SHARE_SCALAR_BYTES];
    bool canonical = true;

    memset(ret_sum, 0, SHARE_BYTES);
    for (size_t i = 0; i < t; i++) {
        const uint8_t *share = secret_borrow(shares[i]);

        lagrange(x, t, i, weight);
        for (size_t half = 0; half < SHARE_BYTES; half += SHARE_SCALAR_BYTES) {
            canonical = scalar_is_canonical(share + half) && canonical;
            crypto_core_ristretto255_scalar_mul(term, share + half, weight);
            crypto_core_ristretto255_scalar_add(ret_sum + half, ret_sum + half, term);
        }
        secret_return(shares[i]);
    }
    return canonical;
}

/* One try with t shares: QK_ERR_CORRUPT if S·G + R·H is not C_0. `sum` has room for S ‖ R and a
 * scalar more. */
static enum qk_err try_combine(const struct secret *const *shares, const uint32_t *x, size_t t,
                               const uint8_t *commitment, uint8_t *sum)
{
    uint8_t have[SHARE_POINT_BYTES];

    if (!interpolate(shares, x, t, sum))
        return QK_ERR_CORRUPT;
    group_commit(sum, sum + SHARE_SCALAR_BYTES, have);
    SHARE_PUBLIC(have);
    return sodium_memcmp(have, commitment, sizeof have) == 0 ? QK_OK : QK_ERR_CORRUPT;
}

/* Something is wrong with the first t: looks at every share, names the bad and tries the good. */
static enum qk_err try_without_bad(const struct secret *const *shares, const uint32_t *x, size_t n,
                                   const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                                   uint8_t *sum, struct share_bad *ret_bad)
{
    const struct secret *good[NODES_MAX];
    uint32_t good_x[NODES_MAX];
    size_t good_n = 0;

    for (size_t i = 0; i < n; i++) {
        enum qk_err err = share_verify(shares[i], x[i], commitments, t);

        if (err == QK_ERR_CORRUPT) {
            ret_bad->x[ret_bad->n++] = x[i];
            continue;
        }
        if (err != QK_OK)
            return err;
        good[good_n] = shares[i];
        good_x[good_n++] = x[i];
    }
    return good_n < t ? QK_ERR_CORRUPT : try_combine(good, good_x, t, commitments[0], sum);
}

static enum qk_err take_result(const uint8_t *sum, struct secret **ret_secret,
                               struct secret **ret_blinding)
{
    enum qk_err err = secret_new_copy(sum, SHARE_SCALAR_BYTES, ret_secret);

    if (err != QK_OK || ret_blinding == NULL)
        return err;
    err = secret_new_copy(sum + SHARE_SCALAR_BYTES, SHARE_SCALAR_BYTES, ret_blinding);
    if (err != QK_OK)
        secret_free(*ret_secret);
    return err;
}

static enum qk_err check_arguments(const struct secret *const *shares, const uint32_t *x, size_t n,
                                   size_t t)
{
    if (!share_points_are_valid(x, n, t))
        return QK_ERR_INVALID;
    for (size_t i = 0; i < n; i++) {
        assert(secret_len(shares[i]) == SHARE_BYTES);
        if (secret_is_wiped(shares[i]))
            return QK_ERR_SEALED;
    }
    return n < t ? QK_ERR_NO_QUORUM : QK_OK;
}

enum qk_err share_combine(const struct secret *const *shares, const uint32_t *x, size_t n,
                          const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                          struct secret **ret_secret, struct secret **ret_blinding,
                          struct share_bad *ret_bad)
{
    struct secret *scratch;
    enum qk_err err;
    uint8_t *sum;

    assert(ret_bad != NULL);
    ret_bad->n = 0;
    err = check_arguments(shares, x, n, t);
    if (err == QK_OK)
        err = secret_new_zero(SHARE_BYTES + SHARE_SCALAR_BYTES, &scratch);
    if (err != QK_OK)
        return err;
    sum = secret_borrow_mut(scratch);
    err = try_combine(shares, x, t, commitments[0], sum);
    if (err == QK_ERR_CORRUPT)
        err = try_without_bad(shares, x, n, commitments, t, sum, ret_bad);
    if (err == QK_OK)
        err = take_result(sum, ret_secret, ret_blinding);
    secret_return_mut(scratch);
    secret_free(scratch);
    secret_stack_burn();
    return err;
}
