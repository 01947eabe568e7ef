/* What a query of a view asks for: parameters of the URL, members of a body, or of one of several
 * `queries`; in CouchDB's names and with its words for what is wrong. */
#ifndef SERVICE_QUERY_VIEW_WISH_H
#define SERVICE_QUERY_VIEW_WISH_H

#include "doc/json.h"
#include "service/exchange.h"

enum view_update { VIEW_UPDATE_TRUE, VIEW_UPDATE_FALSE, VIEW_UPDATE_LAZY };

#define VIEW_GROUP_EXACT UINT64_MAX

struct view_wish {
    json_t *start, *end; /* keys; NULL: not given. `key` is both */
    json_t *keys;        /* an array, or NULL */
    bool has_start_id, has_end_id;
    struct buf start_id, end_id;
    bool inclusive_end; /* default true */
    bool descending, include_docs, conflicts, update_seq;
    bool attachments; /* with include_docs: their contents */
    bool has_reduce, reduce, has_conflicts;
    bool has_group, group, has_group_level;
    uint64_t group_level; /* after view_wish_check: 0 none, VIEW_GROUP_EXACT the whole key */
    uint64_t limit, skip;
    enum view_update update;
};

/* Ends with view_wish_fini. */
void view_wish_init(struct view_wish *ret_wish);
/* A copy, for each of several queries to begin with. */
MUST_USE enum qk_err view_wish_copy(const struct view_wish *wish, struct view_wish *ret_copy);
void view_wish_fini(struct view_wish *wish);
/* Takes the parameters of the URL; what it does not know is not looked at, as in CouchDB.
 * QK_ERR_INVALID with the problem, QK_ERR_NOMEM. */
MUST_USE enum qk_err view_wish_query(struct view_wish *wish, const struct request *request,
                                     struct doc_problem *ret_problem);
/* The members of a body. */
MUST_USE enum qk_err view_wish_body(struct view_wish *wish, const json_t *body,
                                    struct doc_problem *ret_problem);
/* Whether all of it fits together and the view, which has a reduce or not; settles `reduce` and
 * `group_level`. */
MUST_USE enum qk_err view_wish_check(struct view_wish *wish, bool has_reduce,
                                     struct doc_problem *ret_problem);

#endif
