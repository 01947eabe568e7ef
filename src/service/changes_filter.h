/* Which changes a feed lets through. */
#ifndef SERVICE_CHANGES_FILTER_H
#define SERVICE_CHANGES_FILTER_H

#include <jansson.h>

#include "base/bytes.h"
#include "doc/problem.h"
#include "service/exchange.h"

enum changes_filter_kind {
    CHANGES_FILTER_NONE,
    CHANGES_FILTER_DOC_IDS, /* filter=_doc_ids */
    CHANGES_FILTER_DESIGN   /* filter=_design */
};

struct changes_filter {
    enum changes_filter_kind kind;
    json_t *wish;      /* what `ids` point into */
    struct bytes *ids; /* ascending */
    size_t ids_n;
};

/* From the parameters `filter` and those that go with it, and the body of a POST. Ends with
 * changes_filter_fini, on errors too. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err changes_filter_read(const struct request *request,
                                         struct changes_filter *ret_filter,
                                         struct doc_problem *ret_problem);
void changes_filter_fini(struct changes_filter *filter);
/* By the id alone. */
bool changes_filter_takes_id(const struct changes_filter *filter, struct bytes id);

#endif
