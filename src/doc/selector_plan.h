/* What a selector says about an index: which members every match must have, and between which
 * values they lie. CouchDB's rules (mango_selector:has_required_fields,
 * mango_idx_view:field_ranges): only $and is seen through, and $or for the members that all of its
 * branches require. */
#ifndef DOC_SELECTOR_PLAN_H
#define DOC_SELECTOR_PLAN_H

#include "doc/selector.h"

#define SELECTOR_REQUIRED_MAX 64

/* The values of one member that can match; NULL: no bound on that side. */
struct selector_range {
    struct bytes field; /* borrowed from the selector */
    json_t *low, *high; /* references */
    bool low_excluded, high_excluded;
    bool empty; /* none can */
};

struct selector_ranges {
    struct selector_range *ranges; /* in the order of their names, each once */
    size_t n;
};

/* Of each member with a comparison that an index can serve. The caller ends with
 * selector_ranges_fini, on errors too. QK_ERR_NOMEM. */
MUST_USE enum qk_err selector_ranges(const struct selector *selector,
                                     struct selector_ranges *ret_ranges);
void selector_ranges_fini(struct selector_ranges *ranges);
/* NULL: nothing is said about it. */
const struct selector_range *selector_range_of(const struct selector_ranges *ranges,
                                               struct bytes field);

/* Every match has all of these members (SELECTOR_REQUIRED_MAX at most). */
bool selector_requires(struct selector *selector, const struct bytes *fields, size_t n);
/* {"$and": []} or {"$or": []} alone: of that a query finds nothing, though it matches everything.
 */
bool selector_is_void(const struct selector *selector);
/* Every match has one and the same value there. */
bool selector_is_constant(const struct selector *selector, struct bytes field);
/* Calls `each` for the members that conditions name, as far as $and and $or lead, maybe one several
 * times. */
void selector_fields_each(const struct selector *selector,
                          void (*each)(void *arg, struct bytes field), void *arg);

#endif
