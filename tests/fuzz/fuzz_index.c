/* An index against a list that is sorted anew each time. The input is a sequence of operations of
 * three bytes: a document gives rows, a document goes, a walk between two places in either
 * direction, a rank, rows passed over, a walk over which the index changes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "index/index.h"

#define DOCS 8
#define ROWS_MAX 8 /* of a document */
#define OPERATIONS_MAX 60

struct row {
    uint8_t sort, id, nth;
};

struct model {
    struct index *index;
    uint8_t sorts[DOCS][ROWS_MAX];
    uint8_t sorts_n[DOCS];
    uint8_t keys[DOCS];
    struct row rows[DOCS * ROWS_MAX]; /* sorted */
    size_t rows_n;
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= 4)
        return false;
    for (unsigned i = 0; i < 40 * (number + 1); i++) {
        buf_put_u8(out, (uint8_t)(i * 7 + number));
        buf_put_u8(out, (uint8_t)(i * 31 + 5));
        buf_put_u8(out, (uint8_t)(i * 13 + number * 3));
    }
    return true;
}

static int rows_compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct row));
}

static void model_sort(struct model *model)
{
    model->rows_n = 0;
    for (uint8_t id = 0; id < DOCS; id++)
        for (uint8_t nth = 0; nth < model->sorts_n[id]; nth++)
            model->rows[model->rows_n++] = (struct row){model->sorts[id][nth], id, nth};
    qsort(model->rows, model->rows_n, sizeof(struct row), rows_compare);
}

static void model_put(struct model *model, uint8_t id, uint8_t n, uint8_t from)
{
    struct index_emit emits[ROWS_MAX];
    uint8_t key[INDEX_KEY_ID_BYTES] = {(uint8_t)(from % 3)};

    for (uint8_t i = 0; i < n; i++) {
        model->sorts[id][i] = (uint8_t)((from + i * 5) % 16);
        emits[i] = (struct index_emit){bytes_of(&model->sorts[id][i], 1), bytes_str("k"),
                                       bytes_of(&model->sorts[id][i], 1)};
    }
    model->sorts_n[id] = n;
    model->keys[id] = key[0];
    fuzz_must(index_put(model->index, bytes_of(&id, 1), key, emits, n));
    model_sort(model);
}

static void model_remove(struct model *model, uint8_t id)
{
    model->sorts_n[id] = 0;
    index_remove(model->index, bytes_of(&id, 1));
    model_sort(model);
}

/* --- places --- */

struct place {
    uint8_t sort, id;
    bool has_id, behind;
};

static struct place place_of(uint8_t byte)
{
    return (struct place){(uint8_t)(byte & 15), (uint8_t)((byte >> 4) & 3), (byte & 0x40) != 0,
                          (byte & 0x80) != 0};
}

static struct index_bound bound_of(const struct place *place)
{
    return (struct index_bound){bytes_of(&place->sort, 1), place->has_id, bytes_of(&place->id, 1),
                                place->behind};
}

static bool is_before(const struct row *row, const struct place *place)
{
    int order = (int)row->sort - (int)place->sort;

    if (order == 0 && place->has_id)
        order = (int)row->id - (int)place->id;
    return order < 0 || (order == 0 && place->behind);
}

static size_t rank_of(const struct model *model, const struct place *place)
{
    size_t rank = 0;

    while (rank < model->rows_n && is_before(&model->rows[rank], place))
        rank++;
    return rank;
}

/* --- walks --- */

static void row_is(const struct model *model, const struct index_row *row, size_t at)
{
    const struct row *want = &model->rows[at];

    fuzz_require(row->sort.len == 1 && row->sort.data[0] == want->sort);
    fuzz_require(row->id.len == 1 && row->id.data[0] == want->id);
    fuzz_require(row->value.len == 1 && row->value.data[0] == want->sort);
    fuzz_require(row->key_id[0] == model->keys[want->id]);
}

/* Rows [low, high) in order, or backwards; after `skip` of them. */
static void walk_is(const struct model *model, struct index_cursor *cursor, size_t low, size_t high,
                    size_t skip)
{
    struct index_row row;
    uint64_t passed;
    size_t n = high > low ? high - low : 0;

    fuzz_must(index_cursor_skip(cursor, skip, &passed));
    fuzz_require(passed == (skip < n ? skip : n));
    for (size_t i = passed; i < n; i++) {
        size_t at = cursor->descending ? high - 1 - i : low + i;

        fuzz_must(index_cursor_peek(cursor, &row));
        row_is(model, &row, at);
        if (i == n / 2)
            fuzz_must(index_cursor_mark(cursor));
        fuzz_must(index_cursor_next(cursor, &row));
        row_is(model, &row, at);
    }
    fuzz_require(index_cursor_next(cursor, &row) == QK_ERR_NOT_FOUND);
    if (n > 0 && passed <= n / 2) {
        fuzz_must(index_cursor_rewind(cursor));
        fuzz_must(index_cursor_next(cursor, &row));
        row_is(model, &row, cursor->descending ? high - 1 - n / 2 : low + n / 2);
    }
}

static void walk(const struct model *model, uint8_t one, uint8_t other, bool descending,
                 size_t skip)
{
    struct place a = place_of(one), b = place_of(other);
    struct index_bound from = bound_of(&a), to = bound_of(&b);
    size_t first = rank_of(model, &a), second = rank_of(model, &b);
    struct index_cursor cursor;

    fuzz_require(index_rank(model->index, &from) == first);
    fuzz_must(index_cursor_open(&cursor, model->index, &from, &to, descending));
    walk_is(model, &cursor, descending ? second : first, descending ? first : second, skip);
    index_cursor_fini(&cursor);
}

/* A walk over all goes on behind its last row, wherever that was, when the index changes. */
static void walk_and_change(struct model *model, uint8_t n, uint8_t id, uint8_t from)
{
    struct index_cursor cursor;
    struct index_row row;
    struct row last = {0};
    size_t at = 0, left = model->rows_n < n ? model->rows_n : n;

    fuzz_must(index_cursor_open(&cursor, model->index, NULL, NULL, false));
    for (at = 0; at < left; at++) {
        fuzz_must(index_cursor_next(&cursor, &row));
        row_is(model, &row, at);
        last = model->rows[at];
    }
    model_put(model, id, from % ROWS_MAX, from);
    for (at = 0; left > 0 && at < model->rows_n && rows_compare(&model->rows[at], &last) <= 0;)
        at++;
    for (; at < model->rows_n; at++) {
        fuzz_must(index_cursor_next(&cursor, &row));
        row_is(model, &row, at);
    }
    fuzz_require(index_cursor_next(&cursor, &row) == QK_ERR_NOT_FOUND);
    index_cursor_fini(&cursor);
}

static void operate(struct model *model, const uint8_t op[static 3])
{
    uint8_t id = (uint8_t)(op[1] % DOCS);

    switch (op[0] % 6) {
    case 0:
    case 1:
        model_put(model, id, op[0] / 6 % (ROWS_MAX + 1), op[2]);
        break;
    case 2:
        model_remove(model, id);
        break;
    case 3:
        walk(model, op[1], op[2], false, op[0] / 6 % 4);
        break;
    case 4:
        walk(model, op[1], op[2], true, op[0] / 6 % 4);
        break;
    default:
        walk_and_change(model, op[0] / 6, id, op[2]);
        break;
    }
    fuzz_require(index_rows_n(model->index) == model->rows_n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct model model;

    memset(&model, 0, sizeof model);
    fuzz_must(index_new(&model.index));
    for (size_t i = 0; i + 3 <= len && i < (size_t)3 * OPERATIONS_MAX; i += 3)
        operate(&model, data + i);
    index_free(model.index);
    return 0;
}
