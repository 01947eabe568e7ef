/* Pedersen verifiable secret sharing over the ristretto255 scalar field (docs/design.md, Sharing).
 *
 *     f(x) = S + a_1 x + ... + a_{t-1} x^{t-1}      the secret's polynomial
 *     g(x) = b_0 + b_1 x + ...                       the blinding polynomial
 *     C_j  = a_j G + b_j H                           commitments, perfectly hiding
 *
 * A share is f(x) ‖ g(x), two little-endian scalars, at a public, non-zero x. Constant time on
 * secrets; x, t, n and the commitments are public. Sources: Shamir 1979, Pedersen 1991, RFC 9496.
 */
#ifndef SHARE_SHARE_H
#define SHARE_SHARE_H

#include "secret/crypto.h"

#define SHARE_SCALAR_BYTES 32
#define SHARE_POINT_BYTES 32
#define SHARE_BYTES 64 /* s ‖ r */

/* The x of shares that did not fit the commitments. */
struct share_bad {
    uint32_t x[NODES_MAX];
    size_t n;
};

/* A uniform scalar, the S of a new deal. */
MUST_USE enum qk_err share_secret_random(struct random_source random, struct secret **ret_secret);

/* Deals `secret` (a canonical scalar) to `n` members at `x`, any `t` of which rebuild it.
 * 2 <= t <= THRESHOLD_MAX, t <= n <= NODES_MAX, x non-zero and distinct: QK_ERR_INVALID otherwise.
 * Draws 64 bytes from `random` for each of a_1..a_{t-1}, then for each of b_0..b_{t-1}.
 * `ret_shares` receives n secrets that the caller frees, `ret_commitments` t points. */
MUST_USE enum qk_err share_deal(const struct secret *secret, size_t n, size_t t, const uint32_t *x,
                                struct random_source random, struct secret **ret_shares,
                                uint8_t (*ret_commitments)[SHARE_POINT_BYTES]);

/* QK_OK if the share at `x` fits the `t` commitments, QK_ERR_CORRUPT if not, or if a scalar of it
 * is not canonical, QK_ERR_INVALID if x is zero, t out of range or a commitment is no point. */
MUST_USE enum qk_err share_verify(const struct secret *share, uint32_t x,
                                  const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t);

/* Rebuilds the secret from `n` >= t shares (n <= NODES_MAX). Optimistic: interpolates the first t
 * and checks S·G + R·H against C_0; only when that fails is each share verified, the bad ones are
 * named in `ret_bad` and the rest are used. `ret_bad` is always written. `ret_blinding` may be
 * NULL. QK_ERR_NO_QUORUM n < t · QK_ERR_INVALID zero or equal x, a commitment that is no point ·
 * QK_ERR_CORRUPT fewer than t good shares. */
MUST_USE enum qk_err share_combine(const struct secret *const *shares, const uint32_t *x, size_t n,
                                   const uint8_t (*commitments)[SHARE_POINT_BYTES], size_t t,
                                   struct secret **ret_secret, struct secret **ret_blinding,
                                   struct share_bad *ret_bad);

#endif
