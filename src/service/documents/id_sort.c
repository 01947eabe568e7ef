#include "service/documents/id_sort.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CAP_FIRST 64

void id_sort_init(struct id_sort *sort, bool descending, size_t ids_max, size_t bytes_max)
{
    assert(bytes_max <= UINT32_MAX && bytes_max >= 4096);

    *sort = (struct id_sort){.ids = BUF_SECRET_INIT(bytes_max),
                             .ids_max = ids_max > 0 ? ids_max : 1,
                             .bytes_max = bytes_max,
                             .descending = descending};
}

void id_sort_fini(struct id_sort *sort)
{
    buf_fini(&sort->ids);
    free(sort->places);
    *sort = (struct id_sort){.ids = BUF_SECRET_INIT(sort->bytes_max)};
}

void id_sort_reset(struct id_sort *sort)
{
    buf_reset(&sort->ids);
    sort->n = 0;
    sort->dropped = false;
    sort->sorted = false;
}

static struct bytes id_of(const struct id_sort *sort, uint32_t place)
{
    return bytes_of(sort->ids.data + place + 2, get_u16(sort->ids.data + place));
}

struct bytes id_sort_at(const struct id_sort *sort, size_t at)
{
    assert(sort->sorted && at < sort->n);

    return id_of(sort, sort->places[at]);
}

static int place_compare(const void *a, const void *b, void *arg)
{
    const struct id_sort *sort = arg;
    struct bytes left = id_of(sort, *(const uint32_t *)a);
    struct bytes right = id_of(sort, *(const uint32_t *)b);

    return sort->descending ? bytes_compare(right, left) : bytes_compare(left, right);
}

enum qk_err id_sort_finish(struct id_sort *sort)
{
    if (sort->n > 0)
        qsort_r(sort->places, sort->n, sizeof *sort->places, place_compare, sort);
    sort->sorted = true;
    return buf_error(&sort->ids);
}

/* Keeps the first `keep`, laid one behind the other again. */
static enum qk_err cut(struct id_sort *sort, size_t keep)
{
    struct buf ids = BUF_SECRET_INIT(sort->bytes_max);
    enum qk_err err = id_sort_finish(sort);
    size_t i;

    assert(keep > 0 && keep <= sort->n);

    sort->sorted = false;
    for (i = 0; err == QK_OK && i < keep; i++) {
        struct bytes id = id_of(sort, sort->places[i]);

        sort->places[i] = (uint32_t)ids.len;
        buf_put_u16(&ids, (uint16_t)id.len);
        buf_put_bytes(&ids, id);
        err = buf_error(&ids);
    }
    if (err != QK_OK) {
        buf_fini(&ids);
        return err;
    }
    buf_fini(&sort->ids);
    sort->ids = ids;
    sort->n = keep;
    sort->dropped = true;
    sort->horizon = sort->places[keep - 1];
    return QK_OK;
}

/* How many of the first fit in half of the bytes. */
static size_t half_n(const struct id_sort *sort)
{
    size_t bytes = 0, i;

    for (i = 0; i < sort->n; i++) {
        bytes += 2 + id_of(sort, sort->places[i]).len;
        if (bytes > sort->bytes_max / 2)
            break;
    }
    return i;
}

/* Twice as many as are wanted are gathered before the rest is dropped, so that each id is moved a
 * bounded number of times. */
static enum qk_err make_room(struct id_sort *sort, size_t more)
{
    enum qk_err err = QK_OK;

    if (sort->n / 2 >= sort->ids_max)
        err = cut(sort, sort->ids_max);
    if (err != QK_OK || sort->ids.len + more <= sort->bytes_max)
        return err;
    err = id_sort_finish(sort);
    return err == QK_OK ? cut(sort, half_n(sort)) : err;
}

/* Ids behind the last one kept were dropped, so none of them may be kept any more: the list would
 * have gaps. */
static bool is_behind_horizon(const struct id_sort *sort, struct bytes id)
{
    int order;

    if (!sort->dropped)
        return false;
    order = bytes_compare(id, id_of(sort, sort->horizon));
    return sort->descending ? order < 0 : order > 0;
}

static enum qk_err places_grow(struct id_sort *sort)
{
    size_t cap = sort->cap == 0 ? CAP_FIRST : 2 * sort->cap;
    uint32_t *places;

    if (sort->n < sort->cap)
        return QK_OK;
    places = realloc(sort->places, cap * sizeof *places);
    if (places == NULL)
        return QK_ERR_NOMEM;
    sort->places = places;
    sort->cap = cap;
    return QK_OK;
}

enum qk_err id_sort_add(struct id_sort *sort, struct bytes id)
{
    enum qk_err err;

    assert(!sort->sorted && id.len <= UINT16_MAX);

    if (is_behind_horizon(sort, id))
        return QK_OK;
    err = make_room(sort, 2 + id.len);
    if (err == QK_OK)
        err = places_grow(sort);
    if (err != QK_OK || is_behind_horizon(sort, id)) /* which room may have been made before */
        return err;
    sort->places[sort->n] = (uint32_t)sort->ids.len;
    buf_put_u16(&sort->ids, (uint16_t)id.len);
    buf_put_bytes(&sort->ids, id);
    err = buf_error(&sort->ids);
    if (err == QK_OK)
        sort->n++;
    return err;
}
