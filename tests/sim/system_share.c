/* Sharing in 99 of 100 seeds: the same polynomials over the integers modulo 2^61 - 1 instead of a
 * curve, the coefficients themselves in the place of the commitments. Who can rebuild what is the
 * same; what it costs is a thousandth. Whoever would read a secret from the "commitments" does not
 * exist in the simulator, and everything else of the deal record is the real code. */
#include "system.h"

#include <stdlib.h>
#include <string.h>

#include "share/share.h"

#define PRIME ((UINT64_C(1) << 61) - 1)

enum qk_err __real_share_secret_random(struct random_source random, struct secret **ret_secret);
enum qk_err __wrap_share_secret_random(struct random_source random, struct secret **ret_secret);
enum qk_err __real_share_deal(const struct secret *secret, size_t n, size_t t, const uint32_t *x,
                              struct random_source random, struct secret **ret_shares,
                              uint8_t (*ret_commitments)[SHARE_POINT_BYTES]);
enum qk_err __wrap_share_deal(const struct secret *secret, size_t n, size_t t, const uint32_t *x,
                              struct random_source random, struct secret **ret_shares,
                              uint8_t (*ret_commitments)[SHARE_POINT_BYTES]);
enum qk_err __real_share_verify(const struct secret *share, uint32_t x,
                                const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t);
enum qk_err __wrap_share_verify(const struct secret *share, uint32_t x,
                                const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t);
enum qk_err __real_share_combine(const struct secret *const *shares, const uint32_t *x, size_t n,
                                 const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                                 struct secret **ret_secret, struct secret **ret_blinding,
                                 struct share_bad *ret_bad);
enum qk_err __wrap_share_combine(const struct secret *const *shares, const uint32_t *x, size_t n,
                                 const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                                 struct secret **ret_secret, struct secret **ret_blinding,
                                 struct share_bad *ret_bad);

static bool real(void)
{
    return system_current == NULL || system_current->sys->real_share;
}

static uint64_t times(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;

    return (uint64_t)((wide)a * b % PRIME);
}

static uint64_t inverse(uint64_t a)
{
    uint64_t result = 1, power = PRIME - 2;

    for (; power > 0; power >>= 1) {
        if (power & 1)
            result = times(result, a);
        a = times(a, a);
    }
    return result;
}

static uint64_t value_of(const struct secret *secret)
{
    uint64_t value = get_u64(secret_borrow(secret));

    secret_return(secret);
    return value;
}

static enum qk_err value_new(uint64_t value, size_t len, struct secret **ret_secret)
{
    uint8_t bytes[SHARE_BYTES] = {0};

    put_u64(bytes, value);
    return secret_new_copy(bytes, len, ret_secret);
}

static uint64_t evaluate(const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t, uint32_t x)
{
    uint64_t value = 0;

    for (size_t i = t; i-- > 0;)
        value = (times(value, x) + get_u64(commitments[i])) % PRIME;
    return value;
}

enum qk_err __wrap_share_secret_random(struct random_source random, struct secret **ret_secret)
{
    uint8_t bytes[8];

    if (real())
        return __real_share_secret_random(random, ret_secret);
    random.fill(random.arg, bytes, sizeof(bytes));
    return value_new(1 + get_u64(bytes) % (PRIME - 1), SHARE_SCALAR_BYTES, ret_secret);
}

enum qk_err __wrap_share_deal(const struct secret *secret, size_t n, size_t t, const uint32_t *x,
                              struct random_source random, struct secret **ret_shares,
                              uint8_t (*ret_commitments)[SHARE_POINT_BYTES])
{
    uint8_t bytes[8];

    if (real())
        return __real_share_deal(secret, n, t, x, random, ret_shares, ret_commitments);
    if (t < 2 || t > n)
        return QK_ERR_INVALID;
    memset(ret_commitments, 0, t * SHARE_POINT_BYTES);
    put_u64(ret_commitments[0], value_of(secret));
    for (size_t i = 1; i < t; i++) {
        random.fill(random.arg, bytes, sizeof(bytes));
        put_u64(ret_commitments[i], 1 + get_u64(bytes) % (PRIME - 1));
    }
    for (size_t i = 0; i < n; i++)
        if (value_new(evaluate((const uint8_t(*)[SHARE_POINT_BYTES])ret_commitments, t, x[i]),
                      SHARE_BYTES, &ret_shares[i]) != QK_OK)
            return QK_ERR_NOMEM;
    return QK_OK;
}

enum qk_err __wrap_share_verify(const struct secret *share, uint32_t x,
                                const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t)
{
    if (real())
        return __real_share_verify(share, x, commitments, t);
    return value_of(share) == evaluate(commitments, t, x) ? QK_OK : QK_ERR_CORRUPT;
}

static uint64_t interpolate(const uint64_t *y, const uint32_t *x, size_t t)
{
    uint64_t secret = 0;

    for (size_t i = 0; i < t; i++) {
        uint64_t above = 1, below = 1;
        for (size_t j = 0; j < t; j++) {
            if (j == i)
                continue;
            above = times(above, x[j]);
            below = times(below, (x[j] + PRIME - x[i]) % PRIME);
        }
        secret = (secret + times(y[i], times(above, inverse(below)))) % PRIME;
    }
    return secret;
}

enum qk_err __wrap_share_combine(const struct secret *const *shares, const uint32_t *x, size_t n,
                                 const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                                 struct secret **ret_secret, struct secret **ret_blinding,
                                 struct share_bad *ret_bad)
{
    uint64_t good[THRESHOLD_MAX];
    uint32_t at[THRESHOLD_MAX];
    size_t good_n = 0;

    if (real())
        return __real_share_combine(shares, x, n, commitments, t, ret_secret, ret_blinding,
                                    ret_bad);
    ret_bad->n = 0;
    if (n < t)
        return QK_ERR_NO_QUORUM;
    for (size_t i = 0; i < n && good_n < t; i++) {
        if (__wrap_share_verify(shares[i], x[i], commitments, t) != QK_OK) {
            ret_bad->x[ret_bad->n++] = x[i];
            continue;
        }
        at[good_n] = x[i];
        good[good_n++] = value_of(shares[i]);
    }
    if (good_n < t)
        return QK_ERR_CORRUPT;
    if (ret_blinding != NULL && value_new(0, SHARE_SCALAR_BYTES, ret_blinding) != QK_OK)
        return QK_ERR_NOMEM;
    return value_new(interpolate(good, at, t), SHARE_SCALAR_BYTES, ret_secret);
}
