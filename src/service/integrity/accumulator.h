/* The sums of all records (keys/multiset.h), one a bucket of a database, so that a difference can
 * be narrowed and a database that is dropped goes without its records being read. Pure.
 *
 * It stands at the index of the newest change. The last changes are remembered, so that it can also
 * tell what the sums were some thousand writes ago: two nodes that both go on applying compare at
 * one index. A drop can not be taken back: what was before it is not told any more. */
#ifndef SERVICE_INTEGRITY_ACCUMULATOR_H
#define SERVICE_INTEGRITY_ACCUMULATOR_H

#include "keys/multiset.h"

#define ACCUMULATOR_BUCKETS 32 /* a mask of them is a u32 */
#define ACCUMULATOR_PAST_MAX 32768
/* Databases, those that are being dropped, and the system's own. */
#define ACCUMULATOR_SPACES_MAX (2 * DATABASES_MAX + 16)

struct accumulator_space {
    uint8_t id[DATABASE_ID_BYTES];
    struct multiset buckets[ACCUMULATOR_BUCKETS];
};

struct accumulator_past;

/* Caller's memory; zeroed is empty. */
struct accumulator {
    struct accumulator_space **spaces; /* ascending ids */
    size_t spaces_n, spaces_cap;
    struct multiset total;         /* of all their buckets */
    struct accumulator_past *past; /* a ring */
    size_t past_at, past_n;
    uint64_t floor; /* what it was at lower indexes is not known */
};

void accumulator_fini(struct accumulator *sums);

unsigned accumulator_bucket(struct bytes key);
/* QK_ERR_NOMEM; QK_ERR_TOO_BIG past ACCUMULATOR_SPACES_MAX. The indexes never go back. */
MUST_USE enum qk_err accumulator_change(struct accumulator *sums, uint64_t index,
                                        const uint8_t space[static DATABASE_ID_BYTES],
                                        unsigned bucket, const struct multiset *delta);
void accumulator_drop(struct accumulator *sums, uint64_t index,
                      const uint8_t space[static DATABASE_ID_BYTES]);
/* A sum that was made elsewhere (a scan) is added, or taken away: no change, nothing to remember.
 */
MUST_USE enum qk_err accumulator_put(struct accumulator *sums,
                                     const uint8_t space[static DATABASE_ID_BYTES], unsigned bucket,
                                     const struct multiset *sum, bool take);
/* What came before `index` is not known any more. */
void accumulator_forget(struct accumulator *sums, uint64_t index);

/* The sums as they were when all up to `index` was applied, without the past, into an empty one;
 * the caller ends it. QK_ERR_STALE: that is not known any more. */
MUST_USE enum qk_err accumulator_copy(const struct accumulator *sums, uint64_t index,
                                      struct accumulator *ret_copy);
/* Only the sum of all. QK_ERR_STALE. */
MUST_USE enum qk_err accumulator_total(const struct accumulator *sums, uint64_t index,
                                       struct multiset *ret_total);
/* NULL: no record of it was ever there. */
const struct accumulator_space *accumulator_space(const struct accumulator *sums,
                                                  const uint8_t id[static DATABASE_ID_BYTES]);
void accumulator_space_total(const struct accumulator_space *space, struct multiset *ret_total);
/* The buckets (bit i) in which two spaces differ; NULL is an empty one. */
uint32_t accumulator_differ(const struct accumulator_space *a, const struct accumulator_space *b);

#endif
