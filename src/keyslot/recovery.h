/* Recovery shares: a set of n texts `qkr1…`, any t of which rebuild the recovery secret, and the
 * public record of the live set (SYS record "recovery"), by which each share is checked on entry
 * and whose keyslot holds MK.
 *
 * The secret R is a fresh ristretto255 scalar a set, shared at x = 1..n with a blinding polynomial
 * of zero (Feldman): the commitments are C_j = a_j·G. They hide R no better than discrete
 * logarithms do, and that is all that the keyslot's X25519 half does either, which is why a share
 * needs no second scalar and its text stays under 90 characters, where Bech32m finds up to four
 * wrong ones for certain.
 *
 *     share   = ver u8 ‖ cluster[0..4) ‖ set[0..4) ‖ x u8 ‖ t u8 ‖ n u8 ‖ s[32]
 *     record  = [1, set id, number, created, t, n, commitments, X25519, Ed25519, MK version,
 * keyslot blob, mac]   as MessagePack; later fields are passed over mac     = KDF(MK, "recovery
 * set", cluster ‖ the record up to it)
 *
 * The mac is what a leader looks at before it wraps a new MK: a record altered on one disk must not
 * make it seal MK to another's key. */
#ifndef KEYSLOT_RECOVERY_H
#define KEYSLOT_RECOVERY_H

#include "keyslot/keyslot_recovery.h"

#define RECOVERY_SHARES_MAX 32
#define RECOVERY_SHARES_DEFAULT 5
#define RECOVERY_THRESHOLD_DEFAULT 3
#define RECOVERY_TAG_BYTES 4
#define RECOVERY_TEXT_BYTES_MAX 256 /* of a share as somebody types it */
#define RECOVERY_TEXT_BYTES 81      /* of a share as it is printed */
#define RECOVERY_RECORD_BYTES_MAX (2 * KIB)

struct recovery_set {
    uint8_t id[KEYSLOT_ID_BYTES];
    uint32_t number; /* 1, 2, ... */
    uint64_t created_s;
    unsigned t, n;
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES];
    struct keyslot_recovery_public public;
    uint32_t mk_version;
    uint8_t blob[KEYSLOT_RECOVERY_BLOB_BYTES];
    uint8_t mac[HASH_BYTES];
};

struct recovery_share {
    uint8_t cluster_tag[RECOVERY_TAG_BYTES];
    uint8_t set_tag[RECOVERY_TAG_BYTES];
    unsigned x, t, n;
    struct secret *share; /* SHARE_BYTES, owned: recovery_share_fini */
};

/* --- the set --- */

/* 2 <= t <= THRESHOLD_MAX, t <= n <= RECOVERY_SHARES_MAX. */
bool recovery_counts_are_valid(unsigned n, unsigned t);

/* A new set over `mk` with fresh secret and id. Appends the n texts to `out` (secret), each ended
 * by a newline: they are shown once and nowhere kept. QK_ERR_INVALID: n or t. */
MUST_USE enum qk_err recovery_set_make(const uint8_t cluster[static CLUSTER_ID_BYTES],
                                       uint32_t number, uint64_t created_s, unsigned n, unsigned t,
                                       uint32_t mk_version, const struct secret *mk,
                                       struct recovery_set *ret_set, struct buf *out);
void recovery_set_encode(const struct recovery_set *set, struct buf *out);
/* QK_ERR_CORRUPT, QK_ERR_UNSUPPORTED. What it says is authentic only after recovery_set_check. */
MUST_USE enum qk_err recovery_set_decode(struct bytes in, struct recovery_set *ret_set);
/* QK_ERR_CORRUPT if it is not as a holder of `mk` wrote it for this cluster. */
MUST_USE enum qk_err recovery_set_check(const struct recovery_set *set,
                                        const uint8_t cluster[static CLUSTER_ID_BYTES],
                                        const struct secret *mk);
/* The same set over another MK; checks it with the old one first. No secret is needed. */
MUST_USE enum qk_err recovery_set_rewrap(const struct recovery_set *set,
                                         const uint8_t cluster[static CLUSTER_ID_BYTES],
                                         const struct secret *old_mk, uint32_t mk_version,
                                         const struct secret *mk, struct recovery_set *ret_set);

/* --- shares --- */

/* White space and hyphens anywhere are ignored, and all upper case is fine. QK_ERR_INVALID: no
 * recovery share; QK_ERR_CORRUPT: mistyped (begins as one, but its checksum is wrong);
 * QK_ERR_UNSUPPORTED: of another version. The caller frees with recovery_share_fini. */
MUST_USE enum qk_err recovery_share_decode(struct bytes text, struct recovery_share *ret_share);
/* `out` is a secret buffer. */
MUST_USE enum qk_err recovery_share_encode(const struct recovery_share *share, struct buf *out);
void recovery_share_fini(struct recovery_share *share);
/* QK_ERR_FOREIGN: of another cluster; QK_ERR_STALE: of another set than this; QK_ERR_CORRUPT:
 * altered (it does not fit the set's commitments). */
MUST_USE enum qk_err recovery_share_check(const struct recovery_set *set,
                                          const uint8_t cluster[static CLUSTER_ID_BYTES],
                                          const struct recovery_share *share);
/* Both at once: a share that somebody entered, good for this set, which is then the caller's; or
 * what is wrong with it, in words for people, appended to `problem`. */
MUST_USE enum qk_err recovery_share_take(const struct recovery_set *set,
                                         const uint8_t cluster[static CLUSTER_ID_BYTES],
                                         struct bytes text, struct recovery_share *ret_share,
                                         struct buf *problem);
/* The recovery secret from `n` shares that were checked. QK_ERR_NO_QUORUM: fewer than t;
 * QK_ERR_INVALID: one twice; QK_ERR_CORRUPT. */
MUST_USE enum qk_err recovery_combine(const struct recovery_set *set,
                                      const struct recovery_share *shares, size_t n,
                                      struct secret **ret_secret);
/* MK, and the set is authentic then. QK_ERR_CORRUPT. */
MUST_USE enum qk_err recovery_open(const struct recovery_set *set,
                                   const uint8_t cluster[static CLUSTER_ID_BYTES],
                                   const struct secret *secret, struct secret **ret_mk);

#endif
