/* The deal record: public data and ciphertext of one sharing of one unseal secret S, replicated to
 * all (docs/design.md, Sharing and the deal). Big-endian:
 *
 *     "QKDL" ver u16 suite u8 vss u8 cluster[16] deal[16] prev_deal[16] epoch u64 mk_version u32
 *     t u16 n u16 dealer_x u32 C[t][32] member[n]{node[16] x u32 gen u64 noise_pk[32]}
 *     slotmap slot[i][j] 80 B  keyslots{count u8, type u8 id[16] len u16 blob}  mac[32]
 *
 * Members stand in ascending order of x; i and j are indices into that list. Pure: no I/O, no
 * clock; randomness is an argument. */
#ifndef SEAL_DEAL_RECORD_H
#define SEAL_DEAL_RECORD_H

#include "share/share.h"

#define DEAL_SLOT_BYTES (SHARE_BYTES + AEAD_TAG_BYTES)
#define DEAL_KEYSLOTS_MAX 16
#define DEAL_KEYSLOT_BLOB_BYTES_MAX 1024
#define DEAL_RECORD_BYTES_MAX (400 * KIB)
#define DEAL_MK_BYTES KEY_BYTES

enum deal_keyslot_type { DEAL_KEYSLOT_CLUSTER = 1, DEAL_KEYSLOT_RECOVERY = 2 };

struct deal_member {
    uint8_t node[NODE_ID_BYTES];
    uint32_t x;
    uint64_t gen;
    uint8_t noise_pk[X25519_BYTES];
};

struct deal_keyslot {
    uint8_t type;
    uint8_t id[16];
    struct bytes blob; /* into the record's bytes */
};

/* A parsed record. It owns its bytes; fields are for reading only. */
struct deal_record {
    struct buf raw;
    uint8_t cluster[CLUSTER_ID_BYTES];
    uint8_t deal[DEAL_ID_BYTES];
    uint8_t prev_deal[DEAL_ID_BYTES];
    uint64_t epoch;
    uint32_t mk_version;
    size_t t;
    size_t n;
    uint32_t dealer_x;
    uint8_t commitments[THRESHOLD_MAX][SHARE_POINT_BYTES];
    struct deal_member members[NODES_MAX];
    struct deal_keyslot keyslots[DEAL_KEYSLOTS_MAX];
    size_t keyslots_n;
    uint8_t header_hash[HASH_BYTES];
    size_t slotmap_at; /* offset into raw */
    size_t slots_at;
};

/* --- reading --- */

/* Parses strictly: QK_ERR_UNSUPPORTED for another version or suite, QK_ERR_CORRUPT otherwise.
 * Authentic only after deal_check_mac. The caller frees it with deal_record_free. */
MUST_USE enum qk_err deal_record_parse(struct bytes bytes, struct deal_record **ret_record);
void deal_record_free(struct deal_record *record);
struct bytes deal_record_bytes(const struct deal_record *record);
/* QK_ERR_NOT_FOUND if it is no member. */
MUST_USE enum qk_err deal_record_find(const struct deal_record *record,
                                      const uint8_t node[static NODE_ID_BYTES], size_t *ret_i);
MUST_USE enum qk_err deal_record_find_x(const struct deal_record *record, uint32_t x,
                                        size_t *ret_i);
MUST_USE enum qk_err deal_record_find_noise(const struct deal_record *record,
                                            const uint8_t noise_pk[static X25519_BYTES],
                                            size_t *ret_i);
/* Whether slot[i][j] was written: what member i can open with a release from j. */
bool deal_record_has_slot(const struct deal_record *record, size_t i, size_t j);

/* --- opening --- */

/* a(i←j) = KDF(P_j, "release", c): what j gives so that i may open i's own share; 32 bytes. The
 * release rules are the caller's. */
MUST_USE enum qk_err deal_release(const struct deal_record *record, const struct secret *p_j,
                                  size_t i, size_t j, struct secret **ret_release);
/* Member i's own share (SHARE_BYTES) from its D and j's release. QK_ERR_NOT_FOUND for an omitted
 * slot, QK_ERR_CORRUPT when it does not open. That it opens proves that a holder of D_i wrote it.
 */
MUST_USE enum qk_err deal_open_slot(const struct deal_record *record, const struct secret *d_i,
                                    const struct secret *release, size_t i, size_t j,
                                    struct secret **ret_share);
/* QK_ERR_CORRUPT if member i's share does not fit the record's commitments. */
MUST_USE enum qk_err deal_verify_share(const struct deal_record *record, size_t i,
                                       const struct secret *share);
/* S from n shares at `x`; bad shares are named (see share_combine). QK_ERR_INVALID also for an x
 * that is no member's. */
MUST_USE enum qk_err deal_combine(const struct deal_record *record,
                                  const struct secret *const *shares, const uint32_t *x, size_t n,
                                  struct secret **ret_s, struct share_bad *ret_bad);
/* QK_ERR_CORRUPT if the record was altered since S was dealt. */
MUST_USE enum qk_err deal_check_mac(const struct deal_record *record, const struct secret *s);
/* MK from the cluster keyslot. */
MUST_USE enum qk_err deal_open_mk(const struct deal_record *record, const struct secret *s,
                                  struct secret **ret_mk);
/* deal_combine, deal_check_mac and deal_open_mk in one; S is wiped. */
MUST_USE enum qk_err deal_open(const struct deal_record *record, const struct secret *const *shares,
                               const uint32_t *x, size_t n, struct secret **ret_mk,
                               struct share_bad *ret_bad);

/* --- building --- */

struct deal_party {
    struct deal_member member;
    const struct secret *d, *p; /* of the generation member.gen, KEY_BYTES each */
    bool absent;                /* its D and P come from the keyring, it is not reachable now */
    bool stale;                 /* and have been sealed under an earlier MK there */
};

/* Slots between two stale members are left out (order rule 3): who kept an earlier MK knows the D
 * and P of both, could open them, and so had the new MK. */
struct deal_input {
    uint8_t cluster[CLUSTER_ID_BYTES];
    uint8_t deal[DEAL_ID_BYTES];      /* random, new */
    uint8_t prev_deal[DEAL_ID_BYTES]; /* zero for the first */
    uint64_t epoch;
    uint32_t mk_version;
    size_t t;
    uint32_t dealer_x;
    const struct deal_party *parties; /* in any order, 2..NODES_MAX */
    size_t parties_n;
    const struct secret *mk;             /* DEAL_MK_BYTES */
    bool fresh_mk;                       /* then all who are absent are stale */
    const struct deal_keyslot *keyslots; /* others than the cluster's, carried as they are */
    size_t keyslots_n;
};

/* Deals a fresh S to the parties and appends the record to `out`. Before it returns, every share
 * has been verified against the commitments, every slot written has been opened again and one
 * t-subset combined to MK. `ret_dealer_share` (may be NULL) is the share of the party at dealer_x.
 * QK_ERR_INVALID: threshold, members or ids out of range, no slot left that could open. */
MUST_USE enum qk_err deal_record_build(const struct deal_input *input, struct random_source random,
                                       struct buf *out, struct secret **ret_dealer_share);

#endif
