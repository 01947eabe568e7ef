#include "service/query/view_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Exact up to here, null beyond, where rows that are not shown stand among the others. */
#define OFFSET_ROWS_MAX 100000
#define COUNT_STEP_ROWS 512
#define HIDDEN_STEP_ROWS 256

enum slot { SLOT_UNKNOWN, SLOT_SHOWN, SLOT_HIDDEN };

static const struct view_wish *wish_of(const struct view_read *read)
{
    return &read->wishes[read->wish_at];
}

static const struct index *index_of(const struct view_read *read)
{
    return views_index(read->group, read->view);
}

/* --- what is shown --- */

static enum qk_err slots_reserve(struct view_read *read, uint32_t n)
{
    uint8_t *slots;

    if (n <= read->slots_n)
        return QK_OK;
    slots = realloc(read->slots, n); /* answers, no secret */
    if (slots == NULL)
        return QK_ERR_NOMEM;
    memset(slots + read->slots_n, SLOT_UNKNOWN, n - read->slots_n);
    read->slots = slots;
    read->slots_n = n;
    return QK_OK;
}

static enum qk_err slot_shown(struct view_read *read, uint32_t slot, const uint8_t *key_id,
                              bool *ret_shown)
{
    enum qk_err err = slots_reserve(read, slot + 1);

    if (err == QK_OK && read->slots[slot] == SLOT_UNKNOWN) {
        err = visible_key(&read->visible, key_id, ret_shown);
        if (err == QK_OK)
            read->slots[slot] = *ret_shown ? SLOT_SHOWN : SLOT_HIDDEN;
    }
    if (err == QK_OK)
        *ret_shown = read->slots[slot] == SLOT_SHOWN;
    return err;
}

enum qk_err view_slot_shown(struct view_read *read, const struct index_row *row, bool *ret_shown)
{
    return slot_shown(read, row->slot, row->key_id, ret_shown);
}

/* The rows of the whole view that the reader sees, and whether that is all of them. */
static enum qk_err count_shown(struct view_read *read, uint64_t *ret_n, bool *ret_all)
{
    const struct index *index = index_of(read);
    enum qk_err err = QK_OK;
    uint32_t slot;
    bool shown;

    *ret_n = 0;
    for (slot = 0; err == QK_OK && slot < index_slots_n(index); slot++) {
        if (index_slot_rows(index, slot) == 0)
            continue;
        err = slot_shown(read, slot, index_slot_key(index, slot), &shown);
        if (err == QK_OK && shown)
            *ret_n += index_slot_rows(index, slot);
    }
    *ret_all = *ret_n == index_rows_n(index);
    return err;
}

/* --- where the first row stands --- */

static uint64_t rank_of_start(const struct view_read *read)
{
    const struct index *index = index_of(read);
    uint64_t rank;

    if (!read->cursor.begun)
        return 0;
    rank = index_rank(index, &read->cursor.at_bound);
    return read->cursor.descending ? index_rows_n(index) - rank : rank;
}

/* The same, of the rows shown: the walk from the beginning to there. */
static enum qk_err count_open(struct view_read *read)
{
    struct index_bound start = read->cursor.at_bound;
    struct buf copy = BUF_SECRET_INIT(2 * INDEX_ROW_BYTES_MAX);
    enum qk_err err;

    if (!read->cursor.begun)
        return QK_OK;
    buf_put_bytes(&copy, start.sort);
    buf_put_bytes(&copy, start.id);
    err = buf_error(&copy);
    start.sort = bytes_slice(buf_bytes(&copy), 0, start.sort.len);
    start.id = bytes_slice(buf_bytes(&copy), start.sort.len, copy.len);
    index_cursor_fini(&read->cursor);
    if (err == QK_OK)
        err = index_cursor_open(&read->cursor, index_of(read), NULL, &start,
                                wish_of(read)->descending);
    buf_fini(&copy);
    read->phase = VIEW_COUNT;
    return err;
}

static enum qk_err step_count(struct view_read *read)
{
    struct index_row row;
    enum qk_err err = QK_OK;
    bool shown;
    unsigned n;

    for (n = 0; err == QK_OK && n < COUNT_STEP_ROWS; n++) {
        err = index_cursor_next(&read->cursor, &row);
        if (err == QK_OK)
            err = view_slot_shown(read, &row, &shown);
        if (err == QK_OK)
            read->offset += shown ? 1 : 0;
    }
    read->walked += n;
    if (err == QK_OK && read->walked < OFFSET_ROWS_MAX)
        return QK_OK;
    read->offset_known = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK && err != QK_ERR_NOT_FOUND)
        return err;
    read->key_at = 0;
    read->phase = VIEW_HEAD;
    err = view_range_next(read);
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static enum qk_err step_begin(struct view_read *read)
{
    const struct view_wish *wish = wish_of(read);
    uint64_t total;
    bool all;
    enum qk_err err;

    read->key_at = 0;
    read->range_open = false;
    read->skip = wish->skip;
    read->rows_n = read->offset = read->walked = 0;
    read->offset_known = true;
    read->phase = VIEW_HEAD;
    if (wish->reduce)
        return QK_OK;
    err = view_range_next(read);
    if (err == QK_OK && index_is_on_disk(index_of(read))) {
        read->offset_known = !read->cursor.begun; /* places on the disk are not numbered */
        return QK_OK;
    }
    if (err == QK_ERR_NOT_FOUND) /* keys=[] */
        return QK_OK;
    if (err == QK_OK)
        err = count_shown(read, &total, &all);
    if (err != QK_OK)
        return err;
    if (!all)
        return count_open(read);
    read->offset = rank_of_start(read);
    return QK_OK;
}

static enum qk_err put_update_seq(struct view_read *read)
{
    char seq[SEQ_TEXT_BYTES_MAX + 1];
    enum qk_err err;

    if (!wish_of(read)->update_seq)
        return QK_OK;
    err = visible_seq_format(&read->visible, views_seq(read->group), seq);
    if (err == QK_OK)
        buf_printf(&read->stream.out, "\"update_seq\":\"%s\",", seq);
    return err;
}

static enum qk_err step_head(struct view_read *read)
{
    const struct view_wish *wish = wish_of(read);
    struct buf *out = &read->stream.out;
    uint64_t total = 0, offset = read->offset;
    bool all;
    enum qk_err err = QK_OK;

    if (read->many)
        buf_put_str(out, read->wish_at == 0 ? "{\"results\":[\n{" : ",\n{");
    else
        buf_put_u8(out, '{');
    if (!wish->reduce) {
        err = count_shown(read, &total, &all);
        offset += wish->skip < UINT64_MAX / 2 ? wish->skip : 0;
        offset = offset < total ? offset : total;
        buf_printf(out, "\"total_rows\":%" PRIu64 ",", total);
        if (read->offset_known)
            buf_printf(out, "\"offset\":%" PRIu64 ",", offset);
        else
            buf_put_str(out, "\"offset\":null,");
    }
    if (err == QK_OK)
        err = put_update_seq(read);
    buf_put_str(out, "\"rows\":[");
    read->phase = wish->reduce ? VIEW_REDUCE : VIEW_ROWS;
    return err;
}

/* --- rows --- */

static enum qk_err put_row(struct view_read *read, const struct index_row *row)
{
    struct buf *out = &read->stream.out;

    buf_put_str(out, read->rows_n++ == 0 ? "\n{\"id\":" : ",\n{\"id\":");
    json_write_string(row->id, out);
    buf_put_str(out, ",\"key\":");
    buf_put_bytes(out, row->key);
    buf_put_str(out, ",\"value\":");
    buf_put_bytes(out, row->value);
    if (wish_of(read)->include_docs)
        return view_doc_put(read, row);
    buf_put_u8(out, '}');
    return QK_OK;
}

/* Where all rows are shown those to be skipped cost nothing. */
static enum qk_err skip_rows(struct view_read *read)
{
    uint64_t total, passed;
    bool all;
    enum qk_err err = count_shown(read, &total, &all);

    if (err != QK_OK || !all)
        return err;
    err = index_cursor_skip(&read->cursor, read->skip, &passed);
    read->skip -= passed;
    return err;
}

/* The next row shown of the range, or after some hundred others none. */
static enum qk_err walk(struct view_read *read)
{
    struct index_row row;
    bool shown;
    enum qk_err err = read->skip > 0 ? skip_rows(read) : QK_OK;
    unsigned n;

    for (n = 0; err == QK_OK && n < HIDDEN_STEP_ROWS; n++) {
        err = index_cursor_next(&read->cursor, &row);
        if (err == QK_OK)
            err = view_slot_shown(read, &row, &shown);
        if (err != QK_OK || !shown)
            continue;
        if (read->skip == 0)
            return put_row(read, &row);
        read->skip--;
    }
    return err;
}

static enum qk_err step_row(struct view_read *read, bool *ret_last)
{
    enum qk_err err = QK_OK;

    *ret_last = read->rows_n >= wish_of(read)->limit;
    if (*ret_last)
        return QK_OK;
    if (!read->range_open)
        err = view_range_next(read);
    *ret_last = err == QK_ERR_NOT_FOUND;
    if (err != QK_OK)
        return *ret_last ? QK_OK : err;
    err = walk(read);
    if (err != QK_ERR_NOT_FOUND)
        return err;
    read->range_open = false;
    return QK_OK;
}

static void step_tail(struct view_read *read)
{
    view_reduce_end(read);
    buf_put_str(&read->stream.out, "\n]}");
    read->wish_at++;
    read->phase = read->wish_at < read->wishes_n ? VIEW_BEGIN : VIEW_END;
}

static enum qk_err read_step(void *arg, bool *ret_end)
{
    struct view_read *read = arg;
    enum qk_err err = QK_OK;
    bool last = false;

    if (read->pump.active)
        return pump_step(&read->pump, &read->stream.out);
    switch (read->phase) {
    case VIEW_BEGIN:
        return step_begin(read);
    case VIEW_COUNT:
        return step_count(read);
    case VIEW_HEAD:
        return step_head(read);
    case VIEW_ROWS:
        err = step_row(read, &last);
        break;
    case VIEW_REDUCE:
        err = view_reduce_step(read, &last);
        break;
    case VIEW_TAIL:
        step_tail(read);
        return QK_OK;
    case VIEW_END:
        if (read->many)
            buf_put_str(&read->stream.out, read->wishes_n == 0 ? "{\"results\":[]}" : "\n]}");
        buf_put_u8(&read->stream.out, '\n');
        *ret_end = true;
        return QK_OK;
    }
    if (err == QK_OK && last)
        read->phase = VIEW_TAIL;
    return err;
}

static enum qk_err view_read_step(void *arg, bool *ret_end)
{
    struct view_read *read = arg;
    enum qk_err err = read_step(read, ret_end);

    /* A content that is damaged is no fault of the index. */
    if (err == QK_ERR_CORRUPT && !read->pump.active && !views_is_dead(read->group) &&
        index_is_on_disk(index_of(read)))
        views_damaged(read->group);
    return err;
}

/* --- life --- */

/* A group that is dead holds no rows any more: what a client has got is half a list, and says so.
 */
static enum qk_err view_read_turn(void *arg)
{
    struct view_read *read = arg;
    enum qk_err err = visible_turn(&read->visible);

    return err == QK_OK && views_is_dead(read->group) ? QK_ERR_BUSY : err;
}

void view_read_free(struct view_read *read)
{
    if (read == NULL)
        return;
    view_reduce_end(read);
    pump_fini(&read->pump);
    index_cursor_fini(&read->cursor);
    reducer_free(read->reducer);
    view_fold_free(read->fold);
    buf_fini(&read->group_sort);
    buf_fini(&read->group_key);
    free(read->slots);
    while (read->wishes_n > 0)
        view_wish_fini(&read->wishes[--read->wishes_n]);
    free(read->wishes);
    visible_fini(&read->visible);
    views_release(read->group);
    stream_fini(&read->stream);
    free(read);
}

static void view_read_ended(void *arg)
{
    view_read_free(arg);
}

static enum qk_err reducer_make(struct view_read *read)
{
    const struct view *view = &views_design(read->group)->views[read->view];

    if (view->reduce_text.len > 0)
        return view_fold_new(read, &read->fold);
    return view->reduce == REDUCE_NONE ? QK_OK : reducer_new(view->reduce, &read->reducer);
}

enum qk_err view_read_new(struct service *service, struct exchange *exchange,
                          const struct catalog_database *database, struct view_group *group,
                          size_t view, struct view_wish *wishes, size_t wishes_n, bool many,
                          struct view_read **ret_read)
{
    struct view_read *read = calloc(1, sizeof(*read));
    enum qk_err err;

    if (read == NULL) {
        while (wishes_n > 0)
            view_wish_fini(&wishes[--wishes_n]);
        free(wishes);
        views_release(group);
        return QK_ERR_NOMEM;
    }
    *read = (struct view_read){.service = service,
                               .ids_hidden = database->ids_hidden,
                               .group = group,
                               .view = view,
                               .wishes = wishes,
                               .wishes_n = wishes_n,
                               .many = many,
                               .phase = wishes_n == 0 ? VIEW_END : VIEW_BEGIN,
                               .group_sort = BUF_SECRET_INIT(INDEX_ROW_BYTES_MAX),
                               .group_key = BUF_SECRET_INIT(INDEX_ROW_BYTES_MAX)};
    memcpy(read->database, database->id, DATABASE_ID_BYTES);
    stream_init(&read->stream, service, exchange, view_read_step, view_read_ended, read);
    read->stream.turn = view_read_turn;
    err = visible_init(&read->visible, service, exchange, database);
    if (err == QK_OK)
        err = reducer_make(read);
    if (err == QK_OK)
        *ret_read = read;
    else
        view_read_free(read);
    return err;
}

void view_read_start(struct view_read *read)
{
    stream_start(&read->stream);
}
