/* An increment on top of its base, both in the order of tables and keys. A row of the base lives on
 * if the increment names its stamp as kept; else it was deleted, dropped or written again. Whether
 * all that was kept was found is told by the hash at the increment's end, which is that of the full
 * stream. */
#include "store/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows_private.h"

enum qk_err rows_merge(struct rows *base, struct rows *increment, struct rows **ret_rows)
{
    struct rows *rows;

    assert(!base->increment && increment->increment);
    rows = calloc(1, sizeof *rows);
    if (rows == NULL)
        return QK_ERR_NOMEM;
    rows->base = base;
    rows->top = increment;
    rows->moment = increment->moment;
    rows_hash_begin(rows);
    *ret_rows = rows;
    return QK_OK;
}

/* Both next items, as far as they are not here yet. The base's statistics and keys are passed over:
 * the increment has them whole. */
static enum qk_err both(struct rows *rows)
{
    enum qk_err err = QK_OK;

    while (err == QK_OK && !rows->base_here) {
        err = rows_next(rows->base, &rows->base_item);
        rows->base_here = rows->base_item.kind == ROWS_END || rows->base_item.table >= ROWS_RECORDS;
        if (err != QK_OK)
            return rows_failed(rows, err, rows->base->fault);
    }
    if (!rows->top_here)
        err = rows_next(rows->top, &rows->top_item);
    if (err != QK_OK)
        return rows_failed(rows, err, rows->top->fault);
    rows->top_here = true;
    return QK_OK;
}

/* Does the base's row stand before the increment's place, or where its new row stands? */
static bool base_is_passed(const struct rows_item *base, const struct rows_item *top)
{
    if (base->kind == ROWS_END)
        return false;
    if (top->kind == ROWS_END || base->table < top->table)
        return true;
    if (base->table > top->table)
        return false;
    if (top->kind == ROWS_KEPT)
        return base->stamp != top->stamp;
    return bytes_compare(base->key, top->key) <= 0;
}

enum qk_err rows_merge_next(struct rows *rows, struct rows_item *ret_item)
{
    const struct rows_item *base = &rows->base_item, *top = &rows->top_item;
    enum qk_err err = both(rows);

    while (err == QK_OK && base_is_passed(base, top)) {
        rows->base_here = false;
        err = both(rows);
    }
    if (err != QK_OK)
        return err;
    rows->top_here = false;
    if (top->kind == ROWS_KEPT) {
        if (base->kind == ROWS_END || base->table != top->table)
            return rows_failed(rows, QK_ERR_CORRUPT,
                               "a record that the increment keeps is not in "
                               "the backup before it");
        rows->base_here = false;
        *ret_item = *base;
    } else {
        *ret_item = *top;
    }
    if (ret_item->kind == ROWS_ROW) {
        rows_hash_item(rows, ret_item);
        return QK_OK;
    }
    rows->done = true;
    if (!rows_hash_agrees(rows, ret_item))
        return rows_failed(rows, QK_ERR_CORRUPT,
                           "the hash over all records does not match: the "
                           "increment does not go on from this backup");
    return QK_OK;
}
