#include "share/group.h"

#include <assert.h>
#include <string.h>

#include <sodium.h>

_Static_assert(crypto_core_ristretto255_SCALARBYTES == SHARE_SCALAR_BYTES, "scalar");
_Static_assert(crypto_core_ristretto255_BYTES == SHARE_POINT_BYTES, "point");
_Static_assert(crypto_core_ristretto255_HASHBYTES == HASH512_BYTES, "hash to group");

/* Part of the format: another label would make all deal records unreadable. */
#define GROUP_H_LABEL "quorumkeep-v1 pedersen H"

void group_h(uint8_t ret_point[static SHARE_POINT_BYTES])
{
    struct bytes label = bytes_str(GROUP_H_LABEL);
    uint8_t hash[HASH512_BYTES];

    hash512_compute(&label, 1, hash);
    (void)crypto_core_ristretto255_from_hash(ret_point, hash);
}

/* libsodium 1.0.18 returns -1 when the result is the identity, but writes its encoding (zeros)
 * nevertheless, which is what a zero scalar must give here: the codes are ignored on purpose. */
void group_commit(const uint8_t s[static SHARE_SCALAR_BYTES],
                  const uint8_t r[static SHARE_SCALAR_BYTES],
                  uint8_t ret_point[static SHARE_POINT_BYTES])
{
    uint8_t h[SHARE_POINT_BYTES], left[SHARE_POINT_BYTES], right[SHARE_POINT_BYTES];
    int rc;

    group_h(h);
    rc = crypto_scalarmult_ristretto255_base(left, s);
    rc |= crypto_scalarmult_ristretto255(right, r, h);
    (void)rc;
    /* Decoding branches on whether an encoding is valid, which ours always are: nothing is learnt.
     */
    SHARE_PUBLIC(left);
    SHARE_PUBLIC(right);
    rc = crypto_core_ristretto255_add(ret_point, left, right);
    SHARE_PUBLIC(rc);
    assert(rc == 0);
    sodium_memzero(left, sizeof left);
    sodium_memzero(right, sizeof right);
}

bool group_mul(const uint8_t scalar[static SHARE_SCALAR_BYTES],
               const uint8_t point[static SHARE_POINT_BYTES],
               uint8_t ret_point[static SHARE_POINT_BYTES])
{
    if (crypto_core_ristretto255_is_valid_point(point) != 1)
        return false;
    if (crypto_scalarmult_ristretto255(ret_point, scalar, point) != 0)
        memset(ret_point, 0, SHARE_POINT_BYTES); /* the identity */
    return true;
}

void scalar_of(uint32_t value, uint8_t ret_scalar[static SHARE_SCALAR_BYTES])
{
    memset(ret_scalar, 0, SHARE_SCALAR_BYTES);
    for (size_t i = 0; i < 4; i++)
        ret_scalar[i] = (uint8_t)(value >> (8 * i));
}

bool scalar_is_canonical(const uint8_t scalar[static SHARE_SCALAR_BYTES])
{
    uint8_t wide[crypto_core_ristretto255_NONREDUCEDSCALARBYTES] = {0};
    uint8_t reduced[SHARE_SCALAR_BYTES];
    int rc;

    memcpy(wide, scalar, SHARE_SCALAR_BYTES);
    crypto_core_ristretto255_scalar_reduce(reduced, wide);
    rc = sodium_memcmp(reduced, scalar, SHARE_SCALAR_BYTES);
    sodium_memzero(wide, sizeof wide);
    sodium_memzero(reduced, sizeof reduced);
    SHARE_PUBLIC(rc);
    return rc == 0;
}

bool share_points_are_valid(const uint32_t *x, size_t n, size_t t)
{
    if (t < 2 || t > THRESHOLD_MAX || n > NODES_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (x[i] == 0)
            return false;
        for (size_t j = 0; j < i; j++)
            if (x[i] == x[j])
                return false;
    }
    return true;
}
