/* The live, visible documents of a database whose ids are hidden, in the order of their ids: what a
 * cursor is elsewhere. Records lie in no order that means anything there, so the ids in range are
 * gathered from all of them and sorted, as many as ID_SORT_BYTES_MAX holds; their rows are looked
 * up one by one; then the next ids are gathered, until there are none. Each round reads the whole
 * database, in steps; memory is bounded, and wiped at the end. */
#ifndef SERVICE_DOCUMENTS_SORTED_ROWS_H
#define SERVICE_DOCUMENTS_SORTED_ROWS_H

#include "service/documents/id_sort.h"
#include "service/visible.h"

struct sorted_rows {
    struct visible *visible;
    struct id_sort sort;
    size_t at;         /* the next of `sort` */
    bool ready;        /* gathered; else gathering */
    bool more;         /* a round before this one ended with `last` */
    struct buf last;   /* secret */
    struct buf id;     /* secret: of the record at hand */
    uint64_t before_n; /* documents before the range, once the first round is gathered */
    struct store_cursor *cursor;
    struct record_key key; /* of the row given out */
    /* <0: the id lies before the range, in the direction wanted, 0: in it, >0: behind it. */
    int (*place)(const void *arg, struct bytes id);
    const void *place_arg;
};

/* `wanted`: how many rows will be taken at most, SIZE_MAX if nobody knows. */
void sorted_rows_init(struct sorted_rows *rows, struct visible *visible, bool descending,
                      size_t wanted, int (*place)(const void *arg, struct bytes id),
                      const void *place_arg);
/* A step towards the first row: *ret_ready once the next call of sorted_rows_next gives it. The
 * store must have been flushed before the first. */
MUST_USE enum qk_err sorted_rows_gather(struct sorted_rows *rows, bool *ret_ready);
/* The next row, borrowed until the next call; QK_ERR_NOT_FOUND: none in this step or, with
 * *ret_last, none any more. A row may have changed since it was gathered: it is judged again by
 * whoever gets it. */
MUST_USE enum qk_err sorted_rows_next(struct sorted_rows *rows, struct store_row *ret_row,
                                      bool *ret_last);
void sorted_rows_fini(struct sorted_rows *rows); /* takes one that was never begun, all zeros */

#endif
