/* Where the rows of a query begin and end. */
#include "doc/collate.h"
#include "service/query/view_read.h"

#define RANGE_KEY_BYTES_MAX (2 * DOC_BYTES_MAX)

/* The first place of the walk: before the first row wanted. */
static struct index_bound bound_from(const struct view_wish *wish, struct bytes sort)
{
    return (struct index_bound){sort, wish->has_start_id, buf_bytes(&wish->start_id),
                                wish->descending};
}

/* And its last: behind the last row wanted. */
static struct index_bound bound_to(const struct view_wish *wish, struct bytes sort)
{
    return (struct index_bound){sort, wish->has_end_id, buf_bytes(&wish->end_id),
                                wish->descending != wish->inclusive_end};
}

static enum qk_err sort_of(const json_t *key, struct buf *out)
{
    return key == NULL ? QK_OK : collate_key(key, out);
}

static enum qk_err range_open(struct view_read *read, const json_t *start, const json_t *end)
{
    const struct view_wish *wish = &read->wishes[read->wish_at];
    struct buf start_sort = BUF_SECRET_INIT(RANGE_KEY_BYTES_MAX);
    struct buf end_sort = BUF_SECRET_INIT(RANGE_KEY_BYTES_MAX);
    struct index_bound from, to;
    enum qk_err err = sort_of(start, &start_sort);

    if (err == QK_OK)
        err = sort_of(end, &end_sort);
    from = bound_from(wish, buf_bytes(&start_sort));
    to = bound_to(wish, buf_bytes(&end_sort));
    index_cursor_fini(&read->cursor);
    if (err == QK_OK)
        err = index_cursor_open(&read->cursor, views_index(read->group, read->view),
                                start == NULL ? NULL : &from, end == NULL ? NULL : &to,
                                wish->descending);
    buf_fini(&start_sort);
    buf_fini(&end_sort);
    read->range_open = err == QK_OK;
    return err;
}

enum qk_err view_range_next(struct view_read *read)
{
    const struct view_wish *wish = &read->wishes[read->wish_at];
    const json_t *key;

    if (wish->keys == NULL)
        return read->key_at++ == 0 ? range_open(read, wish->start, wish->end) : QK_ERR_NOT_FOUND;
    key = json_array_get(wish->keys, read->key_at++);
    return key == NULL ? QK_ERR_NOT_FOUND : range_open(read, key, key);
}

enum qk_err view_range_check(const struct view_wish *wish, struct doc_problem *ret_problem)
{
    struct buf start = BUF_SECRET_INIT(RANGE_KEY_BYTES_MAX);
    struct buf end = BUF_SECRET_INIT(RANGE_KEY_BYTES_MAX);
    enum qk_err err = sort_of(wish->start, &start);
    int order = 0;

    if (err == QK_OK)
        err = sort_of(wish->end, &end);
    if (err == QK_OK && wish->start != NULL && wish->end != NULL)
        order = bytes_compare(buf_bytes(&start), buf_bytes(&end));
    buf_fini(&start);
    buf_fini(&end);
    if (err == QK_OK && (wish->descending ? order < 0 : order > 0))
        err = doc_problem_set(ret_problem, 400, "query_parse_error",
                              "No rows can match your key range, reverse your start_key and "
                              "end_key or set descending=%s",
                              wish->descending ? "false" : "true");
    return err;
}
