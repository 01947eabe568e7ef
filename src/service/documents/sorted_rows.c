#include "service/documents/sorted_rows.h"

#include <assert.h>

#include "service/doc_name.h"
#include "service/read.h"
#include "service/service.h"

void sorted_rows_init(struct sorted_rows *rows, struct visible *visible, bool descending,
                      size_t wanted, int (*place)(const void *arg, struct bytes id),
                      const void *place_arg)
{
    *rows = (struct sorted_rows){.visible = visible,
                                 .last = BUF_SECRET_INIT(DOC_ID_BYTES_MAX),
                                 .id = BUF_SECRET_INIT(DOC_ID_BYTES_MAX),
                                 .place = place,
                                 .place_arg = place_arg};
    id_sort_init(&rows->sort, descending, wanted, ID_SORT_BYTES_MAX);
}

void sorted_rows_fini(struct sorted_rows *rows)
{
    store_cursor_close(rows->cursor);
    rows->cursor = NULL;
    id_sort_fini(&rows->sort);
    buf_fini(&rows->last);
    buf_fini(&rows->id);
}

static enum qk_err round_open(struct sorted_rows *rows)
{
    const uint8_t *database = rows->visible->database;
    struct record_key from = record_document(database, BYTES_NONE);
    struct record_key to = doc_name_end(database);

    return store_cursor_open(rows->visible->service->store, record_key_bytes(&from),
                             record_key_bytes(&to), false, &rows->cursor);
}

static enum qk_err round_gathered(struct sorted_rows *rows)
{
    store_cursor_close(rows->cursor);
    rows->cursor = NULL;
    rows->ready = true;
    rows->at = 0;
    return id_sort_finish(&rows->sort);
}

/* What stands before the range is counted in the first round. */
static bool is_wanted(const struct sorted_rows *rows, struct bytes id, int place)
{
    int order;

    if (place != 0)
        return place < 0 && !rows->more;
    if (!rows->more)
        return true;
    order = bytes_compare(id, buf_bytes(&rows->last));
    return rows->sort.descending ? order < 0 : order > 0;
}

/* A damaged record counts as a row for who would be shown it. */
static enum qk_err gather_row(struct sorted_rows *rows, const struct store_row *row)
{
    struct visible *visible = rows->visible;
    struct doc_leaf leaf = {.deleted = false};
    struct bytes id;
    enum qk_err err;
    bool shown;
    int place;

    err = doc_name_to_id(visible->service, visible->database, true, record_key_name(row->key),
                         &rows->id, &id);
    if (err == QK_ERR_CORRUPT) { /* it has no id to be shown under, and hides no other */
        stored_damaged(visible->service, visible->database, record_key_name(row->key));
        return QK_OK;
    }
    if (err != QK_OK)
        return err;
    place = rows->place(rows->place_arg, id);
    if (!is_wanted(rows, id, place))
        return QK_OK;
    err = visible_row(visible, row, &leaf, &shown);
    if (err != QK_OK && err != QK_ERR_CORRUPT)
        return err;
    if (!shown || (err == QK_OK && leaf.deleted))
        return QK_OK;
    if (place == 0)
        return id_sort_add(&rows->sort, id);
    rows->before_n++;
    return QK_OK;
}

enum qk_err sorted_rows_gather(struct sorted_rows *rows, bool *ret_ready)
{
    struct store_row row;
    enum qk_err err = QK_OK;

    if (!rows->ready && rows->cursor == NULL)
        err = round_open(rows);
    if (err == QK_OK && !rows->ready)
        err = store_cursor_next(rows->cursor, &row);
    if (err == QK_ERR_NOT_FOUND)
        err = round_gathered(rows);
    else if (err == QK_OK && !rows->ready)
        err = gather_row(rows, &row);
    *ret_ready = rows->ready;
    return err;
}

/* QK_ERR_NOT_FOUND if it went meanwhile. */
static enum qk_err row_get(struct sorted_rows *rows, struct bytes id, struct store_row *ret_row)
{
    const struct visible *visible = rows->visible;
    enum qk_err err;

    buf_reset(&rows->last);
    buf_put_bytes(&rows->last, id);
    err = buf_error(&rows->last);
    if (err == QK_OK)
        err = doc_name_of_id(visible->service, visible->database, true, id, &rows->key);
    ret_row->key = record_key_bytes(&rows->key);
    return err != QK_OK ? err : store_get(visible->service->store, ret_row->key, &ret_row->record);
}

enum qk_err sorted_rows_next(struct sorted_rows *rows, struct store_row *ret_row, bool *ret_last)
{
    enum qk_err err;
    bool ready;

    *ret_last = false;
    if (!rows->ready) {
        err = sorted_rows_gather(rows, &ready);
        return err == QK_OK ? QK_ERR_NOT_FOUND : err;
    }
    if (rows->at < rows->sort.n)
        return row_get(rows, id_sort_at(&rows->sort, rows->at++), ret_row);
    *ret_last = !rows->sort.dropped;
    rows->ready = *ret_last;
    rows->more = true;
    if (!*ret_last)
        id_sort_reset(&rows->sort);
    return QK_ERR_NOT_FOUND;
}
