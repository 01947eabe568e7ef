/* What stands beside the records: their sum, sealed. A node-local fact of the store:
 *
 *     ver u8 (1) ‖ nonce[24] ‖ AEAD(key, nonce, "qk.root.v1" ‖ ver;
 *         index u64 ‖ term u64 ‖ stamp u64 ‖ epoch u64 ‖ deal[16] ‖ standing u8 ‖ sum[32])
 *
 * Sealed, not only MACed: see keys/multiset.h. Nothing of the node is bound: the sum is a function
 * of the replicated state. */
#ifndef SERVICE_INTEGRITY_INTEGRITY_ROOT_H
#define SERVICE_INTEGRITY_INTEGRITY_ROOT_H

#include "keys/multiset.h"
#include "service/integrity/integrity.h"

struct integrity_root {
    uint64_t index, term, stamp;
    uint64_t epoch; /* of the deal then in force */
    uint8_t deal[DEAL_ID_BYTES];
    enum integrity_standing standing; /* what the node knew of that sum */
    struct multiset sum;
};

#define INTEGRITY_ROOT_PLAIN_BYTES 81
#define INTEGRITY_ROOT_BYTES (1 + AEAD_NONCE_BYTES + INTEGRITY_ROOT_PLAIN_BYTES + AEAD_TAG_BYTES)

/* Appends. */
MUST_USE enum qk_err integrity_root_seal(const struct secret *key,
                                         const struct integrity_root *root, struct buf *out);
/* QK_ERR_CORRUPT: it does not authenticate; QK_ERR_UNSUPPORTED: another version. */
MUST_USE enum qk_err integrity_root_open(const struct secret *key, struct bytes in,
                                         struct integrity_root *ret_root);

#endif
