/* A keyed hash of a set of records that is kept by adding and taking away: MSet-Add-Hash of Clarke,
 * Devadas, van Dijk, Gassend and Suh ("Incremental Multiset Hash Functions and Their Application to
 * Memory Integrity Checking", ASIACRYPT 2003), with the sum taken in four lanes of 64 bits as in
 * LtHash (Bellare and Micciancio, EUROCRYPT 1997; Lewi et al., ePrint 2019/227).
 *
 *     digest  = BLAKE2b-256("qk.row.v1" ‖ key len u16 ‖ key ‖ version u64 ‖ seq u64 ‖ stamp u64 ‖
 *               flags u8 ‖ value)                       public: made without the key
 *     element = BLAKE2b-256(key, personal "qk.multiset.v1", digest)
 *     sum     = the elements added up, lane by lane, modulo 2^64
 *
 * A record is in a set once at most, so two sets differ by elements with the factors 1 and -1: who
 * does not know the elements finds two different sets of one sum with a probability of 2^-256.
 * Whoever *sees* sums can find them (Wagner's generalized birthday): so a sum leaves a node only
 * sealed, or to a member over its link, never in a reply, a log or a metric. */
#ifndef KEYS_MULTISET_H
#define KEYS_MULTISET_H

#include "secret/crypto.h"

#define MULTISET_LANES 4
#define MULTISET_BYTES 32

struct multiset {
    uint64_t lanes[MULTISET_LANES];
};

/* What of a record counts, beside its key. */
struct multiset_row {
    uint64_t version, seq, stamp;
    uint8_t flags;
    struct bytes value;
};

void multiset_digest(struct bytes key, const struct multiset_row *row,
                     uint8_t ret_digest[static HASH_BYTES]);
/* The elements of `n` digests, one behind the other. QK_ERR_SEALED. */
MUST_USE enum qk_err multiset_elements(const struct secret *key, const uint8_t *digests, size_t n,
                                       uint8_t *ret_elements);

void multiset_add_element(struct multiset *set, const uint8_t element[static HASH_BYTES]);
void multiset_take_element(struct multiset *set, const uint8_t element[static HASH_BYTES]);
void multiset_add(struct multiset *set, const struct multiset *other);
void multiset_take(struct multiset *set, const struct multiset *other);
/* In constant time. */
bool multiset_equal(const struct multiset *a, const struct multiset *b);

void multiset_encode(const struct multiset *set, uint8_t ret_out[static MULTISET_BYTES]);
void multiset_decode(const uint8_t in[static MULTISET_BYTES], struct multiset *ret_set);

#endif
