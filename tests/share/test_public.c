/* libquorumkeep-share as other programs see it. */
#include <criterion/criterion.h>

#include <string.h>

#include "quorumkeep/share.h"

#define N 5
#define T 3

static const uint32_t X[N] = {1, 2, 7, 40, 4000000000u};

struct deal {
    uint8_t secret[QUORUMKEEP_SHARE_SECRET_BYTES];
    uint8_t shares[N * QUORUMKEEP_SHARE_BYTES];
    uint8_t commitments[T * QUORUMKEEP_SHARE_COMMITMENT_BYTES];
};

static void make(struct deal *deal)
{
    cr_assert_eq(quorumkeep_share_start(true), QUORUMKEEP_OK);
    cr_assert_eq(quorumkeep_share_random(deal->secret), QUORUMKEEP_OK);
    cr_assert_eq(quorumkeep_share_deal(deal->secret, N, T, X, deal->shares, deal->commitments),
                 QUORUMKEEP_OK);
}

Test(public_share, any_threshold_of_shares_rebuilds_the_secret)
{
    uint8_t got[QUORUMKEEP_SHARE_SECRET_BYTES];
    struct deal deal;

    make(&deal);
    cr_assert_eq(quorumkeep_share_start(true), QUORUMKEEP_EXISTS);
    for (size_t first = 0; first + T <= N; first++) {
        cr_assert_eq(quorumkeep_share_combine(deal.shares + first * QUORUMKEEP_SHARE_BYTES,
                                              X + first, T, deal.commitments, T, got, NULL, NULL),
                     QUORUMKEEP_OK);
        cr_assert_arr_eq(got, deal.secret, sizeof(got));
    }
    cr_assert_eq(
        quorumkeep_share_combine(deal.shares, X, T - 1, deal.commitments, T, got, NULL, NULL),
        QUORUMKEEP_UNAVAILABLE);
    quorumkeep_share_end();
}

Test(public_share, a_bad_share_is_named_and_the_others_serve)
{
    uint8_t got[QUORUMKEEP_SHARE_SECRET_BYTES];
    uint32_t bad[N];
    size_t bad_n = 9;
    struct deal deal;

    make(&deal);
    for (size_t i = 0; i < N; i++)
        cr_assert_eq(quorumkeep_share_verify(deal.shares + i * QUORUMKEEP_SHARE_BYTES, X[i],
                                             deal.commitments, T),
                     QUORUMKEEP_OK);
    deal.shares[QUORUMKEEP_SHARE_BYTES] ^= 1;
    cr_assert_eq(
        quorumkeep_share_verify(deal.shares + QUORUMKEEP_SHARE_BYTES, X[1], deal.commitments, T),
        QUORUMKEEP_CORRUPT);
    cr_assert_eq(quorumkeep_share_combine(deal.shares, X, N, deal.commitments, T, got, bad, &bad_n),
                 QUORUMKEEP_OK);
    cr_assert_arr_eq(got, deal.secret, sizeof(got));
    cr_assert_eq(bad_n, 1);
    cr_assert_eq(bad[0], X[1]);
    deal.shares[3] ^= 1;
    deal.shares[4 * QUORUMKEEP_SHARE_BYTES + 3] ^= 1;
    cr_assert_eq(quorumkeep_share_combine(deal.shares, X, N, deal.commitments, T, got, bad, &bad_n),
                 QUORUMKEEP_CORRUPT);
    quorumkeep_share_end();
}

Test(public_share, what_makes_no_deal_is_refused)
{
    static const uint32_t zero[N] = {0, 1, 2, 3, 4}, twice[N] = {1, 2, 2, 3, 4};
    uint8_t too_big[QUORUMKEEP_SHARE_SECRET_BYTES];
    struct deal deal;

    make(&deal);
    memset(too_big, 0xff, sizeof(too_big));
    cr_assert_eq(quorumkeep_share_deal(too_big, N, T, X, deal.shares, deal.commitments),
                 QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_share_deal(deal.secret, N, T, zero, deal.shares, deal.commitments),
                 QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_share_deal(deal.secret, N, T, twice, deal.shares, deal.commitments),
                 QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_share_deal(deal.secret, N, 1, X, deal.shares, deal.commitments),
                 QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_share_deal(deal.secret, 2, T, X, deal.shares, deal.commitments),
                 QUORUMKEEP_INVALID);
    cr_assert_eq(quorumkeep_share_verify(deal.shares, 0, deal.commitments, T), QUORUMKEEP_INVALID);
    quorumkeep_share_end();
}
