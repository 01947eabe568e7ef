#include <assert.h>
#include <string.h>

#include "index/disk_cursor.h"
#include "index/rows.h"

uint64_t index_rank(const struct index *index, const struct index_bound *bound)
{
    struct index_place place = {.has_nth = false};
    uint64_t n;

    assert(index->disk == NULL);

    if (bound == NULL)
        return index->rows_n;
    place.bound = *bound;
    (void)rows_before(index, &place, &n);
    return n;
}

/* Copies a bound; its views are of `memory` then. */
static enum qk_err bound_copy(const struct index_bound *bound, struct buf *memory,
                              struct index_bound *ret_copy)
{
    buf_reset(memory);
    buf_put_bytes(memory, bound->sort);
    if (bound->has_id)
        buf_put_bytes(memory, bound->id);
    if (buf_error(memory) != QK_OK)
        return buf_error(memory);
    *ret_copy = *bound;
    ret_copy->sort = bytes_slice(buf_bytes(memory), 0, bound->sort.len);
    ret_copy->id = bytes_slice(buf_bytes(memory), bound->sort.len, memory->len);
    return QK_OK;
}

static const struct index_node *last_node(const struct index *index)
{
    return index->rows_n == 0 ? NULL : rows_at(index, index->rows_n - 1);
}

/* The first row of the walk that stands beyond the place. */
static const struct index_node *node_beyond(const struct index_cursor *cursor,
                                            const struct index_place *place)
{
    const struct index_node *before = rows_before(cursor->index, place, NULL);

    if (cursor->descending)
        return before;
    return before == NULL ? cursor->index->head->links[0].next : before->links[0].next;
}

enum qk_err index_cursor_open(struct index_cursor *cursor, const struct index *index,
                              const struct index_bound *from, const struct index_bound *to,
                              bool descending)
{
    enum qk_err err = QK_OK;

    *cursor = (struct index_cursor){.index = index,
                                    .descending = descending,
                                    .has_to = to != NULL,
                                    .to = BUF_SECRET_INIT(2 * INDEX_ROW_BYTES_MAX),
                                    .at = BUF_SECRET_INIT(2 * INDEX_ROW_BYTES_MAX),
                                    .mark = BUF_SECRET_INIT(2 * INDEX_ROW_BYTES_MAX),
                                    .changes = index->changes};
    if (index->disk != NULL)
        return disk_cursor_open(cursor, from, to);
    if (to != NULL)
        err = bound_copy(to, &cursor->to, &cursor->to_bound);
    if (err == QK_OK && from != NULL) {
        struct index_place place = {.bound = *from};

        err = bound_copy(from, &cursor->at, &cursor->at_bound);
        cursor->begun = true;
        cursor->at_nth = UINT32_MAX;
        cursor->node = node_beyond(cursor, &place);
    } else if (err == QK_OK) {
        cursor->node = descending ? last_node(index) : index->head->links[0].next;
    }
    return err;
}

/* The index changed: the row to come is found again by the last one's place. */
static void cursor_find(struct index_cursor *cursor)
{
    struct index_place place = {
        .bound = cursor->at_bound, .has_nth = cursor->at_nth != UINT32_MAX, .nth = cursor->at_nth};

    cursor->changes = cursor->index->changes;
    if (cursor->begun)
        cursor->node = node_beyond(cursor, &place);
    else if (cursor->descending)
        cursor->node = last_node(cursor->index);
    else
        cursor->node = cursor->index->head->links[0].next;
}

static bool is_past_end(const struct index_cursor *cursor, const struct index_node *node)
{
    struct index_place place = {.bound = cursor->to_bound};
    int order;

    if (node == NULL || !cursor->has_to)
        return node == NULL;
    order = rows_compare(node, &place);
    return cursor->descending ? order < 0 : order > 0;
}

/* `node` is the last row shown: the walk goes on behind it. */
static enum qk_err cursor_step(struct index_cursor *cursor, const struct index_node *node)
{
    struct index_row row = rows_node_row(cursor->index, node);
    struct index_bound bound = {row.sort, true, row.id, !cursor->descending};
    enum qk_err err = bound_copy(&bound, &cursor->at, &cursor->at_bound);

    cursor->at_nth = node->nth;
    cursor->begun = true;
    cursor->node = cursor->descending ? node->prev : node->links[0].next;
    return err;
}

enum qk_err index_cursor_peek(struct index_cursor *cursor, struct index_row *ret_row)
{
    if (cursor->index->disk != NULL)
        return disk_cursor_peek(cursor, ret_row);
    if (cursor->changes != cursor->index->changes)
        cursor_find(cursor);
    if (is_past_end(cursor, cursor->node))
        return QK_ERR_NOT_FOUND;
    *ret_row = rows_node_row(cursor->index, cursor->node);
    return QK_OK;
}

enum qk_err index_cursor_next(struct index_cursor *cursor, struct index_row *ret_row)
{
    enum qk_err err;

    if (cursor->index->disk != NULL)
        return disk_cursor_next(cursor, ret_row);
    err = index_cursor_peek(cursor, ret_row);
    return err == QK_OK ? cursor_step(cursor, cursor->node) : err;
}

enum qk_err index_cursor_mark(struct index_cursor *cursor)
{
    if (cursor->index->disk != NULL)
        return disk_cursor_mark(cursor);
    cursor->mark_begun = cursor->begun;
    cursor->mark_nth = cursor->at_nth;
    return cursor->begun ? bound_copy(&cursor->at_bound, &cursor->mark, &cursor->mark_bound)
                         : QK_OK;
}

enum qk_err index_cursor_rewind(struct index_cursor *cursor)
{
    enum qk_err err = QK_OK;

    if (cursor->index->disk != NULL)
        return disk_cursor_rewind(cursor);
    cursor->begun = cursor->mark_begun;
    cursor->at_nth = cursor->mark_nth;
    if (cursor->begun)
        err = bound_copy(&cursor->mark_bound, &cursor->at, &cursor->at_bound);
    if (err == QK_OK)
        cursor_find(cursor);
    return err;
}

/* How many rows stand before the one that comes next, in the index's own order. */
static uint64_t rank_of(const struct index_cursor *cursor, const struct index_node *node)
{
    struct index_row row = rows_node_row(cursor->index, node);
    struct index_place place = {
        .bound = {row.sort, true, row.id, false}, .has_nth = true, .nth = node->nth};
    uint64_t n;

    (void)rows_before(cursor->index, &place, &n);
    return n;
}

enum qk_err index_cursor_skip(struct index_cursor *cursor, uint64_t n, uint64_t *ret_passed)
{
    const struct index_node *node;
    uint64_t rank, end;

    *ret_passed = 0;
    if (cursor->index->disk != NULL)
        return QK_OK;
    if (cursor->changes != cursor->index->changes)
        cursor_find(cursor);
    node = cursor->node;
    if (n == 0 || is_past_end(cursor, node))
        return QK_OK;
    rank = rank_of(cursor, node);
    end = index_rank(cursor->index, cursor->has_to ? &cursor->to_bound : NULL);
    if (cursor->descending) {
        end = cursor->has_to ? end : 0;
        *ret_passed = n < rank + 1 - end ? n : rank + 1 - end;
        node = rows_at(cursor->index, rank + 1 - *ret_passed);
    } else {
        *ret_passed = n < end - rank ? n : end - rank;
        node = rows_at(cursor->index, rank + *ret_passed - 1);
    }
    return cursor_step(cursor, node);
}

void index_cursor_fini(struct index_cursor *cursor)
{
    buf_fini(&cursor->to);
    buf_fini(&cursor->at);
    buf_fini(&cursor->mark);
    buf_fini(&cursor->row);
    *cursor = (struct index_cursor){.index = NULL};
}
