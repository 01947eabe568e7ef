/* The Range field of a request, as CouchDB reads it: what is malformed, begins with the whole, or
 * names too many ranges is as if it were not there. Pure. */
#ifndef SERVICE_DOCUMENTS_RANGE_H
#define SERVICE_DOCUMENTS_RANGE_H

#include "base/bytes.h"

#define RANGES_MAX 9

struct range {
    uint64_t from, to; /* `to` excluded */
};

struct ranges {
    struct range items[RANGES_MAX];
    unsigned n; /* 0: the whole */
};

/* Of a content of `length` bytes. QK_ERR_INVALID: a range that lies outside, or runs backwards. */
MUST_USE enum qk_err ranges_parse(struct bytes field, uint64_t length, struct ranges *ret_ranges);

/* Whether an Accept field takes replies of that type: by name, its half of a name, or any; and not
 * at a quality of zero. No field takes all. */
bool accept_takes(struct bytes accept, const char *type);

#endif
