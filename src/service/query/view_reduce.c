/* A reduced query: the rows of the range are walked, some hundred a step, and each group of them is
 * one row of the reply. A group that takes several turns of the loop is of one moment: updates rest
 * meanwhile, and if the index changed all the same the group is begun again. */
#include "doc/collate.h"
#include "service/query/view_read.h"

#define STEP_ROWS 256
#define RESTARTS_MAX 16 /* then it is taken as it comes: it must end */

static size_t group_len(const struct view_wish *wish, struct bytes sort)
{
    if (wish->group_level == 0)
        return 0;
    return wish->group_level == VIEW_GROUP_EXACT ? sort.len
                                                 : collate_prefix(sort, wish->group_level);
}

static bool is_same_group(const struct view_read *read, const struct view_wish *wish,
                          const struct index_row *row)
{
    size_t len = group_len(wish, row->sort);

    return bytes_equal(bytes_slice(row->sort, 0, len), buf_bytes(&read->group_sort));
}

/* The key of a group as JSON: null, the whole, or the first members of an array. */
static enum qk_err put_key(const struct view_wish *wish, struct bytes key, struct buf *out)
{
    struct doc_problem problem;
    json_t *json = NULL;
    enum qk_err err;

    if (wish->group_level == 0) {
        buf_put_str(out, "null");
        return buf_error(out);
    }
    if (wish->group_level == VIEW_GROUP_EXACT || key.data[0] != '[') {
        buf_put_bytes(out, key);
        return buf_error(out);
    }
    err = json_parse(key, JSON_WRITE_DEPTH_MAX, &problem, &json);
    while (err == QK_OK && json_array_size(json) > wish->group_level)
        (void)json_array_remove(json, json_array_size(json) - 1);
    if (err == QK_OK)
        err = json_write(json, out);
    json_decref(json);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
}

static void reset(struct view_read *read)
{
    if (read->fold != NULL)
        view_fold_reset(read->fold);
    else
        reducer_reset(read->reducer);
}

static enum qk_err group_begin(struct view_read *read, const struct view_wish *wish,
                               const struct index_row *row)
{
    enum qk_err err = index_cursor_mark(&read->cursor);

    buf_reset(&read->group_sort);
    buf_reset(&read->group_key);
    buf_put_bytes(&read->group_sort, bytes_slice(row->sort, 0, group_len(wish, row->sort)));
    if (err == QK_OK)
        err = put_key(wish, row->key, &read->group_key);
    if (err == QK_OK)
        err = buf_error(&read->group_sort);
    reset(read);
    read->group_open = true;
    read->group_rows = 0;
    read->changes = index_changes(read->cursor.index);
    if (!read->pinned)
        views_pin(read->group);
    read->pinned = true;
    return err;
}

void view_reduce_end(struct view_read *read)
{
    if (read->pinned)
        views_unpin(read->group);
    read->pinned = false;
    read->group_open = read->group_closing = false;
    read->restarts = 0;
}

/* A group of which nothing was shown is none for this reader. */
static enum qk_err group_put(struct view_read *read)
{
    struct buf *out = &read->stream.out;
    enum qk_err err = QK_OK;

    if (read->group_rows > 0 && read->skip > 0) {
        read->skip--;
    } else if (read->group_rows > 0) {
        buf_put_str(out, read->rows_n++ == 0 ? "\n{\"key\":" : ",\n{\"key\":");
        buf_put_bytes(out, buf_bytes(&read->group_key));
        buf_put_str(out, ",\"value\":");
        err = read->fold != NULL ? view_fold_write(read->fold, out)
                                 : reducer_write(read->reducer, out);
        buf_put_u8(out, '}');
    }
    view_reduce_end(read);
    return err;
}

/* Of a group whose rows are all taken: in JavaScript there may be work left. */
static enum qk_err group_end(struct view_read *read)
{
    enum qk_err err = QK_OK;

    read->group_closing = true;
    if (read->fold != NULL && read->group_rows > 0 && read->skip == 0)
        err = view_fold_go(read->fold, true);
    return err == QK_OK && !read->stream.wait ? group_put(read) : err;
}

/* What will be passed over needs no value. */
static enum qk_err reduce_row(struct view_read *read, const struct index_row *row)
{
    read->group_rows++;
    if (read->fold == NULL)
        return reducer_add(read->reducer, row->sort, row->value);
    return read->skip > 0 ? QK_OK : view_fold_add(read->fold, row);
}

static enum qk_err take_row(struct view_read *read)
{
    struct index_row row;
    bool shown;
    enum qk_err err = index_cursor_peek(&read->cursor, &row);

    if (err == QK_OK)
        err = view_slot_shown(read, &row, &shown);
    if (err == QK_OK && shown)
        err = reduce_row(read, &row);
    return err == QK_OK ? index_cursor_next(&read->cursor, &row) : err;
}

static enum qk_err group_again(struct view_read *read)
{
    read->changes = index_changes(read->cursor.index);
    if (read->restarts++ >= RESTARTS_MAX)
        return QK_OK;
    reset(read);
    read->group_rows = 0;
    return index_cursor_rewind(&read->cursor);
}

/* Up to so many rows of the range, or of one group; QK_ERR_NOT_FOUND at its end. */
static enum qk_err walk(struct view_read *read, const struct view_wish *wish)
{
    struct index_row row;
    enum qk_err err = QK_OK;
    unsigned n;

    if (read->group_open && index_changes(read->cursor.index) != read->changes)
        err = group_again(read);
    for (n = 0; err == QK_OK && n < STEP_ROWS; n++) {
        err = index_cursor_peek(&read->cursor, &row);
        if (err == QK_OK && !read->group_open)
            err = group_begin(read, wish, &row);
        if (err == QK_OK && !is_same_group(read, wish, &row))
            return group_end(read);
        if (err == QK_OK)
            err = take_row(read);
    }
    return err == QK_OK && read->fold != NULL ? view_fold_go(read->fold, false) : err;
}

enum qk_err view_reduce_step(struct view_read *read, bool *ret_last)
{
    const struct view_wish *wish = &read->wishes[read->wish_at];
    enum qk_err err = QK_OK;

    if (read->group_closing)
        return group_end(read);
    *ret_last = read->rows_n >= wish->limit;
    if (*ret_last)
        return QK_OK;
    if (!read->range_open)
        err = view_range_next(read);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    err = walk(read, wish);
    if (err != QK_ERR_NOT_FOUND)
        return err;
    read->range_open = false;
    return read->group_open ? group_end(read) : QK_OK;
}
