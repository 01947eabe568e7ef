/* Private to share/: scalars and points. All scalars are 32 bytes, little-endian, canonical; those
 * that are secret live in the arena, and the caller burns the stack when it is done. */
#ifndef SHARE_GROUP_H
#define SHARE_GROUP_H

#include "share/share.h"

/* The test of constant time marks secrets as undefined for valgrind; what is public by the rules of
 * the protocol (whether a share is good) is marked as defined here. No effect in the product. */
#ifdef QK_CONSTANT_TIME_TEST
#include <valgrind/memcheck.h>
#define SHARE_PUBLIC(value) ((void)VALGRIND_MAKE_MEM_DEFINED(&(value), sizeof(value)))
#else
#define SHARE_PUBLIC(value) ((void)0)
#endif

/* H = ristretto255 from BLAKE2b-512 of a fixed label: nobody knows its logarithm to base G. */
void group_h(uint8_t ret_point[static SHARE_POINT_BYTES]);
/* s·G + r·H; zero scalars are fine. QK_ERR_INVALID never happens with canonical scalars. */
void group_commit(const uint8_t s[static SHARE_SCALAR_BYTES],
                  const uint8_t r[static SHARE_SCALAR_BYTES],
                  uint8_t ret_point[static SHARE_POINT_BYTES]);
/* scalar·point for public input; false if `point` is no canonical encoding. */
bool group_mul(const uint8_t scalar[static SHARE_SCALAR_BYTES],
               const uint8_t point[static SHARE_POINT_BYTES],
               uint8_t ret_point[static SHARE_POINT_BYTES]);

/* A small integer as a scalar. */
void scalar_of(uint32_t value, uint8_t ret_scalar[static SHARE_SCALAR_BYTES]);
/* Whether it is below the group's order: reduce and compare, in constant time. */
bool scalar_is_canonical(const uint8_t scalar[static SHARE_SCALAR_BYTES]);

/* 2 <= t <= THRESHOLD_MAX, and n distinct non-zero x. */
bool share_points_are_valid(const uint32_t *x, size_t n, size_t t);

#endif
