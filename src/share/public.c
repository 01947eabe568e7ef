/* libquorumkeep-share: the functions of share.h for programs that hold bytes and no handles. */
#include "quorumkeep/share.h"

#include <string.h>

#include "share/share.h"

#define ARENA_BYTES (256 * KIB) /* 64 shares and the scratch of the largest deal, twice over */

_Static_assert(QUORUMKEEP_SHARE_BYTES == SHARE_BYTES, "one size");
_Static_assert(QUORUMKEEP_SHARE_SECRET_BYTES == SHARE_SCALAR_BYTES, "one size");
_Static_assert(QUORUMKEEP_SHARE_COMMITMENT_BYTES == SHARE_POINT_BYTES, "one size");
_Static_assert(QUORUMKEEP_SHARE_MEMBERS_MAX == NODES_MAX, "one limit");
_Static_assert(QUORUMKEEP_SHARE_THRESHOLD_MAX == THRESHOLD_MAX, "one limit");

struct points {
    uint8_t at[THRESHOLD_MAX][SHARE_POINT_BYTES];
};

/* Commitments that stand one behind the other, as the module takes them. */
static enum qk_err read_points(const uint8_t *commitments, size_t t, struct points *ret_points)
{
    if (t > THRESHOLD_MAX)
        return QK_ERR_INVALID;
    memcpy(ret_points->at, commitments, t * SHARE_POINT_BYTES);
    return QK_OK;
}

static enum quorumkeep_error error_of(enum qk_err err)
{
    switch ((unsigned)err) {
    case QK_OK:
        return QUORUMKEEP_OK;
    case QK_ERR_INVALID:
        return QUORUMKEEP_INVALID;
    case QK_ERR_EXISTS:
        return QUORUMKEEP_EXISTS;
    case QK_ERR_CORRUPT:
        return QUORUMKEEP_CORRUPT;
    case QK_ERR_NO_QUORUM:
        return QUORUMKEEP_UNAVAILABLE;
    case QK_ERR_NOMEM:
    case QK_ERR_LOCKED_MEMORY:
        return QUORUMKEEP_NOMEM;
    default:
        return QUORUMKEEP_FAILED;
    }
}

enum quorumkeep_error quorumkeep_share_start(bool may_swap)
{
    enum qk_err err = secret_arena_init(SECRET_ARENA_AUTO, ARENA_BYTES);

    if (err == QK_ERR_LOCKED_MEMORY && may_swap)
        err = secret_arena_init(SECRET_ARENA_UNLOCKED, ARENA_BYTES);
    return error_of(err);
}

void quorumkeep_share_end(void)
{
    secret_arena_fini();
}

static void copy_out(struct secret *secret, uint8_t *ret_bytes)
{
    memcpy(ret_bytes, secret_borrow(secret), secret_len(secret));
    secret_return(secret);
    secret_free(secret);
}

enum quorumkeep_error quorumkeep_share_random(uint8_t ret_secret[QUORUMKEEP_SHARE_SECRET_BYTES])
{
    struct secret *secret = NULL;
    enum qk_err err = share_secret_random(random_system(), &secret);

    if (err == QK_OK)
        copy_out(secret, ret_secret);
    return error_of(err);
}

enum quorumkeep_error quorumkeep_share_deal(const uint8_t secret[QUORUMKEEP_SHARE_SECRET_BYTES],
                                            size_t n, size_t t, const uint32_t *x,
                                            uint8_t *ret_shares, uint8_t *ret_commitments)
{
    struct secret *dealt = NULL, *shares[NODES_MAX];
    enum qk_err err = secret_new_copy(secret, SHARE_SCALAR_BYTES, &dealt);

    if (err == QK_OK)
        err = share_deal(dealt, n, t, x, random_system(), shares,
                         (uint8_t(*)[SHARE_POINT_BYTES])(void *)ret_commitments);
    for (size_t i = 0; i < n && err == QK_OK; i++)
        copy_out(shares[i], ret_shares + i * SHARE_BYTES);
    secret_free(dealt);
    return error_of(err);
}

enum quorumkeep_error quorumkeep_share_verify(const uint8_t share[QUORUMKEEP_SHARE_BYTES],
                                              uint32_t x, const uint8_t *commitments, size_t t)
{
    struct secret *copy = NULL;
    struct points points;
    enum qk_err err = read_points(commitments, t, &points);

    if (err == QK_OK)
        err = secret_new_copy(share, SHARE_BYTES, &copy);
    if (err == QK_OK)
        err = share_verify(copy, x, (const uint8_t(*)[SHARE_POINT_BYTES])points.at, t);
    secret_free(copy);
    return error_of(err);
}

enum quorumkeep_error quorumkeep_share_combine(const uint8_t *shares, const uint32_t *x, size_t n,
                                               const uint8_t *commitments, size_t t,
                                               uint8_t ret_secret[QUORUMKEEP_SHARE_SECRET_BYTES],
                                               uint32_t *ret_bad, size_t *ret_bad_n)
{
    struct secret *copies[NODES_MAX] = {NULL}, *secret = NULL;
    struct share_bad bad = {.n = 0};
    struct points points;
    enum qk_err err = n > NODES_MAX ? QK_ERR_INVALID : read_points(commitments, t, &points);

    for (size_t i = 0; i < n && err == QK_OK; i++)
        err = secret_new_copy(shares + i * SHARE_BYTES, SHARE_BYTES, &copies[i]);
    if (err == QK_OK)
        err = share_combine((const struct secret *const *)copies, x, n,
                            (const uint8_t(*)[SHARE_POINT_BYTES])points.at, t, &secret, NULL, &bad);
    if (err == QK_OK)
        copy_out(secret, ret_secret);
    if (ret_bad != NULL)
        memcpy(ret_bad, bad.x, bad.n * sizeof(bad.x[0]));
    if (ret_bad_n != NULL)
        *ret_bad_n = bad.n;
    for (size_t i = 0; i < NODES_MAX; i++)
        secret_free(copies[i]);
    return error_of(err);
}
