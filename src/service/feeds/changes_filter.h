/* Which changes a feed lets through. */
#ifndef SERVICE_FEEDS_CHANGES_FILTER_H
#define SERVICE_FEEDS_CHANGES_FILTER_H

#include <jansson.h>

#include "base/bytes.h"
#include "doc/field.h"
#include "doc/view.h"
#include "service/catalog.h"
#include "service/exchange.h"

enum changes_filter_kind {
    CHANGES_FILTER_NONE,
    CHANGES_FILTER_DOC_IDS,  /* filter=_doc_ids */
    CHANGES_FILTER_DESIGN,   /* filter=_design */
    CHANGES_FILTER_SELECTOR, /* filter=_selector */
    CHANGES_FILTER_VIEW,     /* filter=_view: what gives a row in that view */
    CHANGES_FILTER_SCRIPT    /* filter=design/name, or a view's map, in JavaScript */
};

/* Of a body's `fields`. */
#define CHANGES_FIELDS_MAX 1000

struct changes_filter {
    enum changes_filter_kind kind;
    json_t *wish;      /* what `ids` and `selector` point into */
    struct bytes *ids; /* ascending */
    size_t ids_n;
    struct selector *selector;
    struct field_path *fields; /* what rows show of a document; fields_n 0: all */
    size_t fields_n;
    struct view_design *design; /* as it stood when the feed began */
    size_t view;                /* its place in it */
    struct view_rows rows;
    struct buf script; /* secret: the design for the worker, of CHANGES_FILTER_SCRIPT */
};

/* From the parameters `filter` and those that go with it, and the body of a POST; for who has been
 * let in to `database` in the same turn. Ends with changes_filter_fini, on errors too.
 * QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err changes_filter_read(struct service *service, struct exchange *exchange,
                                         const struct catalog_database *database,
                                         struct changes_filter *ret_filter,
                                         struct doc_problem *ret_problem);
void changes_filter_fini(struct changes_filter *filter);
/* By the id alone. */
bool changes_filter_takes_id(const struct changes_filter *filter, struct bytes id);
/* Whether the documents themselves decide, too. */
bool changes_filter_asks_doc(const struct changes_filter *filter);
/* By the document, with its `_id`, `_rev` and the like. One that costs more to judge than is
 * allowed is not let through. QK_ERR_NOMEM. */
MUST_USE enum qk_err changes_filter_takes_doc(struct changes_filter *filter, const json_t *doc,
                                              bool *ret_takes);
/* What the last document cost to judge, in the steps of doc/selector.h. */
size_t changes_filter_cost(const struct changes_filter *filter);
/* What a row shows of it: a new reference, to `doc` itself if there are no fields. QK_ERR_NOMEM. */
MUST_USE enum qk_err changes_filter_project(const struct changes_filter *filter, json_t *doc,
                                            json_t **ret_doc);

#endif
