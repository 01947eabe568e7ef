/* The choice of an index for a selector, as CouchDB makes it (mango_idx, mango_cursor_view). An
 * index can serve a query if every match has all of its columns and it is in the wished order; of
 * several the one whose first columns the selector narrows most, then the one with the fewest
 * columns, then the first by name. Without any it is all documents. */
#ifndef SERVICE_QUERY_FIND_PLAN_H
#define SERVICE_QUERY_FIND_PLAN_H

#include "doc/selector_plan.h"
#include "service/query/find_indexes.h"
#include "service/query/find_wish.h"

struct find_plan {
    struct selector_ranges ranges;
    const struct find_index *index;                         /* NULL: all documents */
    const struct selector_range *columns[FIND_COLUMNS_MAX]; /* of its first columns */
    size_t columns_n;
    bool empty;    /* nothing can match */
    bool unusable; /* there is no plan: only for _explain */
};

/* The caller ends with find_plan_fini, on errors too. QK_ERR_INVALID with the problem: no index has
 * the order that is wished for; the plan then says unusable. */
MUST_USE enum qk_err find_plan_make(const struct find_wish *wish,
                                    const struct find_indexes *indexes, struct find_plan *ret_plan,
                                    struct doc_problem *ret_problem);
void find_plan_fini(struct find_plan *plan);

/* What is to be said about the choice: appended to `out`, empty if nothing. */
void find_plan_warn(const struct find_wish *wish, const struct find_plan *plan, struct buf *out);
/* "index_candidates" of _explain; NULL without memory. */
json_t *find_plan_candidates(const struct find_wish *wish, const struct find_indexes *indexes,
                             const struct find_plan *plan);
/* "selector_hints". */
json_t *find_plan_hints(const struct find_wish *wish, const struct find_plan *plan);

#endif
