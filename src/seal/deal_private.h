/* Private to the deal record's two files: constants of the format and what building and opening
 * share. */
#ifndef SEAL_DEAL_PRIVATE_H
#define SEAL_DEAL_PRIVATE_H

#include "seal/deal_record.h"

#define DEAL_MAGIC "QKDL"
#define DEAL_VERSION 1
#define DEAL_SUITE 1 /* XChaCha20-Poly1305, BLAKE2b */
#define DEAL_VSS 1   /* Pedersen over ristretto255 */
#define DEAL_CONTEXT_BYTES 100

static inline size_t deal_slotmap_bytes(size_t n)
{
    return (n * n + 7) / 8;
}

/* KDF(D_i, "slot", a(i←j) ‖ c) */
MUST_USE enum qk_err deal_slot_key(const struct deal_record *record, const struct secret *d_i,
                                   const struct secret *release, size_t i, size_t j,
                                   struct secret **ret_key);
/* The MAC over everything before it, keyed from S. */
MUST_USE enum qk_err deal_mac(const uint8_t *deal, const struct secret *s, struct bytes body,
                              uint8_t ret_mac[static HASH_BYTES]);

#endif
