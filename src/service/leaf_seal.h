/* Bodies that are there already, sealed again: under a newer version of their key, or another key.
 */
#ifndef SERVICE_LEAF_SEAL_H
#define SERVICE_LEAF_SEAL_H

#include "doc/record.h"
#include "service/write.h"

/* How the leaf is to stand. */
struct leaf_seal {
    const uint8_t *key_id; /* KEY_ID_BYTES */
    uint32_t version;
    uint64_t sealed_at; /* the record version that is being made */
    bool clear;         /* authentic and not encrypted, as its database declares */
};

/* Opens the leaf's body and seals it as `to` says. The leaf then borrows from `envelope`, which
 * must be empty. Errors as bodies_open and period_take; then the leaf is as it was. */
MUST_USE enum qk_err leaf_seal_anew(struct service *service,
                                    const uint8_t database[static DATABASE_ID_BYTES],
                                    struct bytes name, const struct leaf_seal *to,
                                    struct doc_leaf *leaf, struct buf *envelope);

/* The envelopes of leaves that followed another, which they borrow from. */
struct leaf_follow {
    struct buf *envelopes;
    unsigned n;
};
#define LEAF_FOLLOW_INIT ((struct leaf_follow){NULL, 0})

/* The other leaves of `record` come under the key of `leader`, a leaf of it that was just sealed.
 * Whoever writes must be able to read them: a body would else be carried under a key that he can
 * open; WRITE_NO_GRANT and QK_ERR_DENIED. What is under a destroyed version stays: nobody can open
 * it. Ends with leaf_follow_fini, also after an error. */
MUST_USE enum qk_err leaf_follow(struct service *service,
                                 const uint8_t database[static DATABASE_ID_BYTES],
                                 struct bytes name, struct write *write,
                                 const struct doc_leaf *leader, struct doc_record *record,
                                 struct leaf_follow *ret_follow);
void leaf_follow_fini(struct leaf_follow *follow);

#endif
