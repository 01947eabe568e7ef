/* The recovery keyslot: MK sealed to the public half of a pair that only the recovery secret (what
 * the recovery shares rebuild) derives. Whoever holds MK can seal a new one to the same half, with
 * no people and no secret; opening needs the secret. The secret and what it derives are never
 * stored, not even under MK (docs/design.md, Sealed and unsealed).
 *
 *     X = KDF(secret, "recovery x25519")   Y = Ed25519(seed KDF(secret, "recovery ed25519"))
 *     Ke ‖ Kc = BLAKE2b-512(X25519(e, X), personal "qk.keyslot.v1", context)
 *     context = cluster[16] ‖ id[16] ‖ mk_version u32 ‖ X·G[32] ‖ e·G[32]
 *     blob = ver u8 ‖ mk_version u32 ‖ X·G[32] ‖ e·G[32] ‖ Kc[32] ‖ AEAD(Ke, MK; context)
 *
 * Kc commits to the key and to all that it was made from. The nonce is zero: e is fresh at each
 * sealing, so Ke encrypts once. */
#ifndef KEYSLOT_KEYSLOT_RECOVERY_H
#define KEYSLOT_KEYSLOT_RECOVERY_H

#include "seal/deal_record.h"

#define KEYSLOT_SECRET_BYTES 32
#define KEYSLOT_ID_BYTES 16
#define KEYSLOT_RECOVERY_BLOB_BYTES                                                                \
    (1 + 4 + X25519_BYTES + X25519_BYTES + KEY_BYTES + DEAL_MK_BYTES + AEAD_TAG_BYTES)

/* What of a recovery secret may be known to all. */
struct keyslot_recovery_public {
    uint8_t seal_pk[X25519_BYTES];
    uint8_t sign_pk[ED25519_PUBLIC_BYTES];
};

/* The public halves of `secret` (KEYSLOT_SECRET_BYTES). */
MUST_USE enum qk_err keyslot_recovery_derive(const struct secret *secret,
                                             struct keyslot_recovery_public *ret_public);

/* Appends the blob of a keyslot `id` that holds `mk` (DEAL_MK_BYTES) for whoever has the secret of
 * `seal_pk`. QK_ERR_INVALID if `seal_pk` is of low order. */
MUST_USE enum qk_err keyslot_recovery_seal(const uint8_t seal_pk[static X25519_BYTES],
                                           const uint8_t id[static KEYSLOT_ID_BYTES],
                                           const uint8_t cluster[static CLUSTER_ID_BYTES],
                                           uint32_t mk_version, const struct secret *mk,
                                           struct buf *blob);

/* What stands in clear in a blob. QK_ERR_CORRUPT: no keyslot of this kind; QK_ERR_UNSUPPORTED:
 * another version. Nothing is authentic before it has been opened. */
MUST_USE enum qk_err keyslot_recovery_read(struct bytes blob, uint32_t *ret_mk_version,
                                           uint8_t ret_seal_pk[static X25519_BYTES]);

/* MK, which the caller frees. `slot` is of DEAL_KEYSLOT_RECOVERY. QK_ERR_STALE: it holds another
 * version of MK than `mk_version`; QK_ERR_CORRUPT: altered, of another cluster or id, or the secret
 * is not the one it was made for. */
MUST_USE enum qk_err keyslot_recovery_open(const struct deal_keyslot *slot,
                                           const uint8_t cluster[static CLUSTER_ID_BYTES],
                                           uint32_t mk_version, const struct secret *secret,
                                           struct secret **ret_mk);

/* A signature by the key that `secret` derives; keyslot_recovery_public.sign_pk verifies it. */
MUST_USE enum qk_err keyslot_recovery_sign(const struct secret *secret, struct bytes message,
                                           uint8_t ret_signature[static ED25519_SIGNATURE_BYTES]);

/* That key itself (ED25519_SECRET_BYTES), which the caller frees. */
MUST_USE enum qk_err keyslot_recovery_sign_key(const struct secret *secret,
                                               struct secret **ret_key);

/* Seals another MK to the public half of `old` and appends the new blob; id and type stay. Needs no
 * secret. The caller has authenticated `old` (else it would seal to whoever altered it).
 * QK_ERR_UNSUPPORTED for a type that holds no public half. */
MUST_USE enum qk_err keyslot_rewrap(const struct deal_keyslot *old,
                                    const uint8_t cluster[static CLUSTER_ID_BYTES],
                                    uint32_t mk_version, const struct secret *mk, struct buf *blob);

#endif
