/* libquorumkeep-share: verifiable secret sharing, as Quorumkeep's nodes do it: Pedersen's scheme
 * over the ristretto255 group. A secret is dealt to n members, any t of which rebuild it, fewer of
 * which learn nothing, even with unlimited time; the commitments are public, and each member's
 * share can be checked against them.
 *
 *     uint8_t secret[32], shares[3 * 64], commitments[2 * 32];
 *     const uint32_t x[3] = {1, 2, 3};
 *
 *     quorumkeep_share_start(false);
 *     quorumkeep_share_random(secret);
 *     quorumkeep_share_deal(secret, 3, 2, x, shares, commitments);
 *
 * The secret is a scalar, 32 bytes below the order of the group: draw it with
 * quorumkeep_share_random and derive from it what is to be protected. What the caller holds, the
 * caller wipes. Inside, secrets stand in locked memory. Not for several threads at once. */
#ifndef QUORUMKEEP_SHARE_H
#define QUORUMKEEP_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quorumkeep/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QUORUMKEEP_SHARE_SECRET_BYTES 32
#define QUORUMKEEP_SHARE_BYTES 64
#define QUORUMKEEP_SHARE_COMMITMENT_BYTES 32
#define QUORUMKEEP_SHARE_MEMBERS_MAX 64
#define QUORUMKEEP_SHARE_THRESHOLD_MAX 16

/* Before all else, once a process: maps and locks memory. QUORUMKEEP_NOMEM where it cannot be
 * locked (RLIMIT_MEMLOCK), unless it `may_swap`; QUORUMKEEP_EXISTS the second time. */
enum quorumkeep_error quorumkeep_share_start(bool may_swap);
/* Wipes and unmaps it. */
void quorumkeep_share_end(void);

/* A uniform secret. */
enum quorumkeep_error quorumkeep_share_random(uint8_t ret_secret[QUORUMKEEP_SHARE_SECRET_BYTES]);

/* Deals to `n` members at `x` (not 0, no two equal), 2 <= t <= 16, t <= n <= 64. `ret_shares` are
 * n, `ret_commitments` t. QUORUMKEEP_INVALID. */
enum quorumkeep_error quorumkeep_share_deal(const uint8_t secret[QUORUMKEEP_SHARE_SECRET_BYTES],
                                            size_t n, size_t t, const uint32_t *x,
                                            uint8_t *ret_shares, uint8_t *ret_commitments);

/* Does the share of the member at `x` fit? QUORUMKEEP_CORRUPT: no. QUORUMKEEP_INVALID: x is 0, t
 * out of range, or a commitment is no point. */
enum quorumkeep_error quorumkeep_share_verify(const uint8_t share[QUORUMKEEP_SHARE_BYTES],
                                              uint32_t x, const uint8_t *commitments, size_t t);

/* Rebuilds the secret of `n` shares, of which t must be good. The x of bad ones that were found go
 * to `ret_bad` (room for n) and their number to `ret_bad_n`; both may be NULL.
 * QUORUMKEEP_UNAVAILABLE: fewer than t were given; QUORUMKEEP_CORRUPT: fewer than t are good. */
enum quorumkeep_error quorumkeep_share_combine(const uint8_t *shares, const uint32_t *x, size_t n,
                                               const uint8_t *commitments, size_t t,
                                               uint8_t ret_secret[QUORUMKEEP_SHARE_SECRET_BYTES],
                                               uint32_t *ret_bad, size_t *ret_bad_n);

#ifdef __cplusplus
}
#endif

#endif
