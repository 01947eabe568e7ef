/* CouchDB's built-in reduces, over one row after the other; nothing is kept of the rows but what
 * the answer needs.
 *
 * Sums of integers are exact as long as they fit 64 bits, and floats beyond. _approx_count_distinct
 * counts sort keys (HyperLogLog, Flajolet et al. 2007, 2,048 registers as CouchDB has: off by 2 %
 * or so). Pure. */
#ifndef DOC_REDUCE_H
#define DOC_REDUCE_H

#include <jansson.h>
#include <stdbool.h>

#include "base/bytes.h"

enum reduce_kind { REDUCE_NONE, REDUCE_COUNT, REDUCE_SUM, REDUCE_STATS, REDUCE_DISTINCT };

/* By the name that a design document has, "_sum"; what follows it does not matter, as in CouchDB.
 * QK_ERR_NOT_FOUND: none of these. */
MUST_USE enum qk_err reduce_kind_of(struct bytes name, enum reduce_kind *ret_kind);

struct reducer;

MUST_USE enum qk_err reducer_new(enum reduce_kind kind, struct reducer **ret_reducer);
void reducer_free(struct reducer *reducer); /* takes NULL */
/* Forgets all rows. */
void reducer_reset(struct reducer *reducer);
/* `value` is JSON text. A value that cannot be reduced makes an error of the result, as in CouchDB;
 * here only QK_ERR_NOMEM is one. */
MUST_USE enum qk_err reducer_add(struct reducer *reducer, struct bytes sort, struct bytes value);
/* Appends the result as JSON. */
MUST_USE enum qk_err reducer_write(const struct reducer *reducer, struct buf *out);

#endif
