/* What a request to _find or _explain asks for, in CouchDB's names and with its words for what is
 * wrong (mango_opts). */
#ifndef SERVICE_QUERY_FIND_WISH_H
#define SERVICE_QUERY_FIND_WISH_H

#include "doc/field.h"
#include "doc/selector.h"
#include "service/exchange.h"

#define FIND_REQUEST_BYTES_MAX (4 * MIB)
#define FIND_LIMIT_DEFAULT 25
#define FIND_SORTS_MAX 32
#define FIND_FIELDS_MAX 1000

struct find_wish {
    json_t *body; /* what all else borrows from */
    struct selector *selector;
    struct bytes use_design; /* with `_design/` in front or not; empty: not given */
    struct bytes use_view;   /* empty: any of the design document */
    struct bytes bookmark;   /* empty: from the beginning */
    uint64_t limit, skip;
    struct bytes sort[FIND_SORTS_MAX];
    size_t sort_n;
    bool descending;
    struct field_path *fields; /* owned */
    size_t fields_n;           /* 0: whole documents */
    uint64_t r;
    bool conflicts, update, stable, stale, execution_stats, allow_fallback;
};

/* The caller ends with find_wish_fini, on errors too. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err find_wish_parse(const struct request *request, struct find_wish *ret_wish,
                                     struct doc_problem *ret_problem);
void find_wish_fini(struct find_wish *wish);

/* The body of a request that must be a JSON object. The caller owns the reference. */
MUST_USE enum qk_err find_body(const struct request *request, struct doc_problem *ret_problem,
                               json_t **ret_body);
/* A problem that shows the value that is wrong, as JSON, cut: `before`, the value, `after`. */
MUST_USE enum qk_err find_problem(struct doc_problem *problem, const char *error,
                                  const char *before, const json_t *value, const char *after);
/* A list of names to sort by: texts, or objects of one name and "asc" or "desc", all the same way.
 * The names are borrowed. */
MUST_USE enum qk_err find_sort_parse(const json_t *json, struct bytes *names, size_t names_max,
                                     size_t *ret_n, bool *ret_descending,
                                     struct doc_problem *ret_problem);
/* [{"a":"asc"}, ...]; NULL without memory. */
json_t *find_sort_json(const struct bytes *names, size_t n, bool descending);

#endif
