/* One _find or _explain under way: what find.c, find_source.c, find_row.c and find_explain.c share.
 * Nobody else includes this. */
#ifndef SERVICE_QUERY_FIND_PRIVATE_H
#define SERVICE_QUERY_FIND_PRIVATE_H

#include "service/query/find_indexes.h"
#include "service/query/find_plan.h"
#include "service/query/find_wish.h"
#include "service/documents/sorted_rows.h"
#include "service/stream.h"
#include "service/query/views.h"
#include "service/visible.h"

#define FIND_KEY_BYTES_MAX (2 * MIB) /* of a row's key as JSON, and of a bookmark */

enum find_phase { FIND_GATHER, FIND_HEAD, FIND_ROWS, FIND_TAIL };

/* What was looked at, for execution_stats. */
struct find_counts {
    uint64_t keys_n, docs_n, returned_n;
    uint64_t unreadable_n; /* damaged, or their key was destroyed */
    uint64_t costly_n;     /* the selector takes too long on them */
    uint64_t began_us;
};

struct find {
    struct stream stream;
    struct service *service;
    struct exchange *exchange;
    bool explain;
    struct visible visible;
    struct find_wish wish;
    struct find_indexes indexes;
    struct find_plan plan;
    enum find_phase phase;
    struct find_counts counts;
    uint64_t skip, left;

    /* all documents */
    struct store_cursor *cursor;
    struct sorted_rows sorted; /* where ids are hidden */

    /* an index */
    struct view_group *group;
    size_t view;
    struct index_cursor rows;
    bool rows_open;
    struct record_key key; /* of the row's document */

    /* where it begins, from the bookmark, and where it has come to */
    bool has_begin, has_last;
    struct buf begin_key, begin_id; /* secret */
    struct buf last_key, last_id;   /* secret; the key as JSON, empty with all documents */

    struct buf id, plain, text; /* secret */
};

/* A document that the source brings, in memory of it. */
struct find_hit {
    struct bytes name; /* of the record */
    struct bytes id;
    uint64_t version;
    struct bytes value; /* the record's */
    struct doc_leaf leaf;
    struct bytes key; /* JSON: of the index's row; empty with all documents */
};

/* The rows that the plan says, from the bookmark on. */
MUST_USE enum qk_err find_source_open(struct find *find);
/* A step before the first row: *ret_ready once rows can be taken. */
MUST_USE enum qk_err find_source_gather(struct find *find, bool *ret_ready);
/* QK_ERR_NOT_FOUND: none in this step or, with *ret_last, no more. */
MUST_USE enum qk_err find_source_next(struct find *find, struct find_hit *ret_hit, bool *ret_last);
void find_source_close(struct find *find);

/* The same of an index: `current` fires later, once it is up to date, unless this fails. */
MUST_USE enum qk_err find_scan_open(struct find *find, void (*current)(void *arg, enum qk_err err));
MUST_USE enum qk_err find_scan_begin(struct find *find);
MUST_USE enum qk_err find_scan_next(struct find *find, struct find_hit *ret_hit, bool *ret_last);
void find_scan_close(struct find *find);

/* Looks at the document, and appends it to the reply if it matches and is not to be skipped. */
MUST_USE enum qk_err find_row_take(struct find *find, const struct find_hit *hit);

/* Bookmarks: where the next page begins. QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err find_bookmark_parse(struct find *find, struct doc_problem *ret_problem);
/* Whether it is one of the plan that was made. */
MUST_USE enum qk_err find_bookmark_check(const struct find *find, struct doc_problem *ret_problem);
/* The text for the reply, in quotes, appended to `out`. */
MUST_USE enum qk_err find_bookmark_put(const struct find *find, struct buf *out);

/* The reply to _explain; NULL without memory. */
json_t *find_explain_json(const struct find *find);

#endif
