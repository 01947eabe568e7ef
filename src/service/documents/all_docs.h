/* What a request to _all_docs asks for: query parameters, and for POST the members of the body,
 * which have the same names and values. */
#ifndef SERVICE_DOCUMENTS_ALL_DOCS_H
#define SERVICE_DOCUMENTS_ALL_DOCS_H

#include "doc/json.h"
#include "service/exchange.h"

struct all_docs_wish {
    struct buf start, end; /* ids; `key` is both */
    bool has_start, has_end;
    bool inclusive_end; /* default true */
    bool descending, include_docs, update_seq, conflicts;
    bool attachments; /* with include_docs: their contents */
    uint64_t limit, skip;
    json_t *keys; /* an array of strings, or NULL */
};

/* The caller ends with all_docs_wish_fini, on errors too. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err all_docs_wish_parse(const struct request *request,
                                         struct all_docs_wish *ret_wish,
                                         struct doc_problem *ret_problem);
/* One of the queries of _all_docs/queries: the query parameters, and over them the members of
 * `query`, an object. The same otherwise. */
MUST_USE enum qk_err all_docs_wish_query(const struct request *request, const json_t *query,
                                         struct all_docs_wish *ret_wish,
                                         struct doc_problem *ret_problem);
/* The queries of the body, each checked; NULL if the path asks for one listing alone. The caller
 * owns the reference. */
MUST_USE enum qk_err all_docs_queries_parse(const struct request *request, json_t **ret_queries,
                                            struct doc_problem *ret_problem);
/* Of _design_docs: nothing but design documents. */
#define ALL_DOCS_DESIGN "_design/"
void all_docs_wish_design(struct all_docs_wish *wish);
void all_docs_wish_fini(struct all_docs_wish *wish);
/* Of a wish, in its direction: <0: the id lies before the start, 0: in the range, >0: past the end.
 */
int all_docs_wish_place(const void *wish, struct bytes id);

#endif
