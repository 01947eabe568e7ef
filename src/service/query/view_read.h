/* The rows of a view as a reply: one query, or several one after the other. */
#ifndef SERVICE_QUERY_VIEW_READ_H
#define SERVICE_QUERY_VIEW_READ_H

#include "service/documents/contents_pump.h"
#include "service/stream.h"
#include "service/query/view_wish.h"
#include "service/query/views.h"
#include "service/visible.h"

enum view_phase { VIEW_BEGIN, VIEW_COUNT, VIEW_HEAD, VIEW_ROWS, VIEW_REDUCE, VIEW_TAIL, VIEW_END };

struct view_read {
    struct stream stream;
    struct service *service;
    uint8_t database[DATABASE_ID_BYTES];
    bool ids_hidden;
    struct visible visible;
    struct view_group *group;
    size_t view; /* its place in the design document */
    struct view_wish *wishes;
    size_t wishes_n, wish_at;
    bool many; /* {"results":[...]} around it */

    /* of the query at hand */
    enum view_phase phase;
    struct index_cursor cursor;
    size_t key_at;   /* the next of its `keys` */
    bool range_open; /* the cursor is of a range that is not at its end */
    uint64_t skip, rows_n;
    uint64_t offset, walked; /* rows before the first; walked for that */
    bool offset_known;

    uint8_t *slots; /* of each data key: not asked yet, shown, hidden */
    uint32_t slots_n;

    struct contents_pump pump; /* of a row's document */

    struct reducer *reducer;
    struct view_fold *fold;                 /* in the place of `reducer`: JavaScript */
    bool group_open, pinned, group_closing; /* closing: all its rows are taken */
    struct buf group_sort, group_key;       /* secret: what its rows have in common, and as JSON */
    uint64_t group_rows, changes;
    unsigned restarts;
};

/* Takes over `wishes` (checked, wishes_n of them, from calloc) and the reference to `group`, on
 * errors too. Ends with view_read_free. */
MUST_USE enum qk_err view_read_new(struct service *service, struct exchange *exchange,
                                   const struct catalog_database *database,
                                   struct view_group *group, size_t view, struct view_wish *wishes,
                                   size_t wishes_n, bool many, struct view_read **ret_read);
void view_read_free(struct view_read *read);
/* Replies to the end, and frees. */
void view_read_start(struct view_read *read);

/* What view_read.c and view_reduce.c share: where the range of the query, or of its next key,
 * begins and ends; QK_ERR_NOT_FOUND: no more keys. */
MUST_USE enum qk_err view_range_next(struct view_read *read);
MUST_USE enum qk_err view_slot_shown(struct view_read *read, const struct index_row *row,
                                     bool *ret_shown);
/* One step: an end is `*ret_last`. */
MUST_USE enum qk_err view_reduce_step(struct view_read *read, bool *ret_last);
/* --- view_fold.c: a reduce in JavaScript, in a worker --- */

/* Of the view's function `place` of the group. QK_ERR_NOMEM. */
MUST_USE enum qk_err view_fold_new(struct view_read *read, struct view_fold **ret_fold);
void view_fold_free(struct view_fold *fold); /* takes NULL */
/* Forgets all rows. Not while it works. */
void view_fold_reset(struct view_fold *fold);
MUST_USE enum qk_err view_fold_add(struct view_fold *fold, const struct index_row *row);
/* Works on what was added, if that is enough or, with `all`, to the end. Is it at work now
 * (read->stream.wait is set), it is to be called again later. */
MUST_USE enum qk_err view_fold_go(struct view_fold *fold, bool all);
/* The value, once nothing is left to do. */
MUST_USE enum qk_err view_fold_write(struct view_fold *fold, struct buf *out);
/* Closes what is under way. */
void view_reduce_end(struct view_read *read);
/* ,"doc":...} of a row, or with contents of attachments the beginning of it: contents_pump.h. */
MUST_USE enum qk_err view_doc_put(struct view_read *read, const struct index_row *row);
/* "No rows can match your key range": QK_ERR_INVALID with the problem. */
MUST_USE enum qk_err view_range_check(const struct view_wish *wish,
                                      struct doc_problem *ret_problem);

#endif
