/* Where the documents of a _find come from: the rows of an index (find_scan.c), or the records of
 * the database in the order of their ids, as far as the selector narrows them. */
#include <assert.h>
#include <string.h>

#include "service/doc_name.h"
#include "service/query/find_private.h"
#include "service/read.h"
#include "service/service.h"

#define DESIGN_PREFIX "_design/"

/* --- the range of ids --- */

/* A bound that is no text is none: every id is greater than what is no text. */
static bool id_bounds(const struct find *find, struct bytes *ret_low, struct bytes *ret_high,
                      bool *ret_has_high)
{
    const struct selector_range *range = selector_range_of(&find->plan.ranges, bytes_str("_id"));

    *ret_low = range == NULL ? BYTES_NONE : json_bytes(range->low);
    *ret_high = range == NULL ? BYTES_NONE : json_bytes(range->high);
    *ret_has_high = range != NULL && json_is_string(range->high);
    return range != NULL;
}

/* <0: before what is wanted, in the direction wanted, 0: wanted, >0: behind it. The selector looks
 * again at the ends themselves. */
static int id_place(const void *arg, struct bytes id)
{
    const struct find *find = arg;
    struct bytes low, high, begin = buf_bytes(&find->begin_id);
    bool descending = find->wish.descending, has_high;
    int side = 0;

    id_bounds(find, &low, &high, &has_high);
    if (bytes_compare(id, low) < 0)
        side = -1;
    else if (has_high && bytes_compare(id, high) > 0)
        side = 1;
    if (descending)
        side = -side;
    if (side == 0 && find->has_begin &&
        (descending ? bytes_compare(id, begin) >= 0 : bytes_compare(id, begin) <= 0))
        side = -1;
    return side;
}

static struct record_key id_key(const struct find *find, struct bytes id)
{
    return record_document(find->visible.database, bytes_slice(id, 0, DOC_ID_BYTES_MAX));
}

/* The ends may lie a little too far out: id_place is asked of each row. */
static enum qk_err open_cursor(struct find *find)
{
    struct bytes low, high, begin = buf_bytes(&find->begin_id);
    struct record_key from, to = doc_name_end(find->visible.database);
    bool has_high;

    id_bounds(find, &low, &high, &has_high);
    if (find->has_begin && !find->wish.descending && bytes_compare(begin, low) > 0)
        low = begin;
    if (find->has_begin && find->wish.descending && (!has_high || bytes_compare(begin, high) < 0)) {
        high = begin;
        has_high = true;
    }
    from = id_key(find, low);
    if (has_high && high.len < DOC_ID_BYTES_MAX) {
        to = id_key(find, high);
        to.data[to.len++] = 0; /* the first key behind it */
    }
    return store_cursor_open(find->service->store, record_key_bytes(&from), record_key_bytes(&to),
                             find->wish.descending, &find->cursor);
}

enum qk_err find_source_open(struct find *find)
{
    if (find->plan.index != NULL)
        return find_scan_begin(find);
    if (!find->visible.ids_hidden)
        return open_cursor(find);
    sorted_rows_init(&find->sorted, &find->visible, find->wish.descending, SIZE_MAX, id_place,
                     find);
    return QK_OK;
}

enum qk_err find_source_gather(struct find *find, bool *ret_ready)
{
    *ret_ready = true;
    return find->plan.index == NULL && find->visible.ids_hidden
               ? sorted_rows_gather(&find->sorted, ret_ready)
               : QK_OK;
}

static enum qk_err next_row(struct find *find, struct store_row *ret_row, bool *ret_last)
{
    enum qk_err err;

    if (find->visible.ids_hidden)
        return sorted_rows_next(&find->sorted, ret_row, ret_last);
    err = store_cursor_next(find->cursor, ret_row);
    *ret_last = err == QK_ERR_NOT_FOUND;
    return err;
}

static enum qk_err next_document(struct find *find, struct find_hit *ret_hit, bool *ret_last)
{
    struct store_row row;
    enum qk_err err;
    bool shown;
    int place;

    err = next_row(find, &row, ret_last);
    if (err != QK_OK)
        return err;
    *ret_hit = (struct find_hit){
        .name = record_key_name(row.key), .version = row.record.version, .value = row.record.value};
    err = doc_name_to_id(find->service, find->visible.database, find->visible.ids_hidden,
                         ret_hit->name, &find->id, &ret_hit->id);
    if (err != QK_OK)
        return err;
    place = id_place(find, ret_hit->id);
    *ret_last = place > 0;
    if (place != 0 || bytes_starts_with(ret_hit->id, bytes_str(DESIGN_PREFIX)))
        return QK_ERR_NOT_FOUND;
    err = visible_row(&find->visible, &row, &ret_hit->leaf, &shown);
    if (err == QK_ERR_CORRUPT) {
        find->counts.unreadable_n += shown ? 1 : 0;
        return QK_ERR_NOT_FOUND;
    }
    if (err == QK_OK && (!shown || ret_hit->leaf.deleted))
        err = QK_ERR_NOT_FOUND;
    return err;
}

enum qk_err find_source_next(struct find *find, struct find_hit *ret_hit, bool *ret_last)
{
    return find->plan.index == NULL ? next_document(find, ret_hit, ret_last)
                                    : find_scan_next(find, ret_hit, ret_last);
}

void find_source_close(struct find *find)
{
    find_scan_close(find);
    store_cursor_close(find->cursor);
    find->cursor = NULL;
    sorted_rows_fini(&find->sorted);
}
