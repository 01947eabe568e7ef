#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "index/index.h"

/* Sort keys here are texts, a row "b2" of document "x" is put as "b2", and its slot is a key id of
 * sixteen times the same byte. */
static void key_of(uint8_t byte, uint8_t key[static INDEX_KEY_ID_BYTES])
{
    memset(key, byte, INDEX_KEY_ID_BYTES);
}

static void put(struct index *index, const char *id, uint8_t key_byte, const char *sorts)
{
    struct index_emit emits[64];
    uint8_t key[INDEX_KEY_ID_BYTES];
    char copy[256], *at = copy, *word;
    size_t n = 0;

    snprintf(copy, sizeof(copy), "%s", sorts);
    while ((word = strsep(&at, " ")) != NULL && *word != '\0')
        emits[n++] = (struct index_emit){bytes_str(word), bytes_str(word), bytes_str("1")};
    key_of(key_byte, key);
    cr_assert_eq(index_put(index, bytes_str(id), key, emits, n), QK_OK);
}

static struct index *make(void)
{
    struct index *index;

    cr_assert_eq(index_new(&index), QK_OK);
    return index;
}

static void walk_is(struct index *index, const struct index_bound *from,
                    const struct index_bound *to, bool descending, const char *expected)
{
    struct index_cursor cursor;
    struct index_row row;
    char got[4096] = "";
    enum qk_err err;

    cr_assert_eq(index_cursor_open(&cursor, index, from, to, descending), QK_OK);
    while ((err = index_cursor_next(&cursor, &row)) == QK_OK)
        snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%.*s:%.*s", got[0] ? " " : "",
                 (int)row.sort.len, (const char *)row.sort.data, (int)row.id.len,
                 (const char *)row.id.data);
    cr_assert_eq(err, QK_ERR_NOT_FOUND);
    index_cursor_fini(&cursor);
    cr_expect_str_eq(got, expected);
}

static struct index_bound bound(const char *sort, const char *id, bool behind)
{
    return (struct index_bound){bytes_str(sort), id != NULL, bytes_str(id != NULL ? id : ""),
                                behind};
}

Test(index, rows_come_in_order_of_key_then_document)
{
    struct index *index = make();

    walk_is(index, NULL, NULL, false, "");
    walk_is(index, NULL, NULL, true, "");
    put(index, "y", 1, "b a");
    put(index, "x", 1, "b c b");
    walk_is(index, NULL, NULL, false, "a:y b:x b:x b:y c:x");
    walk_is(index, NULL, NULL, true, "c:x b:y b:x b:x a:y");
    cr_expect_eq(index_rows_n(index), 5);
    index_free(index);
}

Test(index, a_range_has_the_rows_between_its_bounds)
{
    struct index *index = make();
    struct index_bound b = bound("b", NULL, false), b_behind = bound("b", NULL, true);
    struct index_bound by = bound("b", "y", false), by_behind = bound("b", "y", true);

    put(index, "x", 1, "a b c");
    put(index, "y", 1, "a b c");
    put(index, "z", 1, "a b c");
    walk_is(index, &b, &b_behind, false, "b:x b:y b:z");
    walk_is(index, &by, NULL, false, "b:y b:z c:x c:y c:z");
    walk_is(index, NULL, &by, false, "a:x a:y a:z b:x");
    walk_is(index, NULL, &by_behind, false, "a:x a:y a:z b:x b:y");
    walk_is(index, &b_behind, &b, true, "b:z b:y b:x");
    walk_is(index, &by_behind, NULL, true, "b:y b:x a:z a:y a:x");
    walk_is(index, &b_behind, &b, false, "");
    cr_expect_eq(index_rank(index, &b), 3);
    cr_expect_eq(index_rank(index, &b_behind), 6);
    cr_expect_eq(index_rank(index, &by), 4);
    cr_expect_eq(index_rank(index, NULL), 9);
    index_free(index);
}

Test(index, a_document_written_again_leaves_nothing_behind)
{
    struct index *index = make();

    put(index, "x", 1, "a b");
    put(index, "y", 2, "a");
    put(index, "x", 2, "c");
    walk_is(index, NULL, NULL, false, "a:y c:x");
    cr_expect_eq(index_slots_n(index), 2);
    cr_expect_eq(index_slot_rows(index, 0), 0);
    cr_expect_eq(index_slot_rows(index, 1), 2);
    put(index, "x", 2, "");
    index_remove(index, bytes_str("nobody"));
    walk_is(index, NULL, NULL, false, "a:y");
    index_remove(index, bytes_str("y"));
    walk_is(index, NULL, NULL, false, "");
    index_free(index);
}

Test(index, what_is_too_big_leaves_the_document_without_rows)
{
    struct index *index = make();
    uint8_t *large = calloc(1, INDEX_ROW_BYTES_MAX + 1), key[INDEX_KEY_ID_BYTES] = {0};
    struct index_emit emits[2] = {
        {bytes_str("a"), bytes_str("a"), bytes_str("1")},
        {bytes_of(large, INDEX_ROW_BYTES_MAX + 1), BYTES_NONE, BYTES_NONE}};

    put(index, "x", 1, "b");
    cr_expect_eq(index_put(index, bytes_str("x"), key, emits, 2), QK_ERR_TOO_BIG);
    cr_expect_eq(index_rows_n(index), 0);
    cr_expect_eq(index_put(index, bytes_str("x"), key, emits, INDEX_DOC_ROWS_MAX + 1),
                 QK_ERR_TOO_BIG);
    emits[1].sort.len--;
    cr_expect_eq(index_put(index, bytes_str("x"), key, emits, 2), QK_OK);
    free(large);
    index_free(index);
}

Test(index, a_cursor_goes_on_behind_its_last_row_when_the_index_changes)
{
    struct index *index = make();
    struct index_cursor cursor;
    struct index_row row;

    put(index, "x", 1, "a b c d");
    cr_assert_eq(index_cursor_open(&cursor, index, NULL, NULL, false), QK_OK);
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    put(index, "w", 1, "a bb");
    index_remove(index, bytes_str("x"));
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    cr_expect(bytes_equal(row.sort, bytes_str("bb")));
    cr_expect_eq(index_cursor_next(&cursor, &row), QK_ERR_NOT_FOUND);
    index_cursor_fini(&cursor);
    index_free(index);
}

Test(index, a_cursor_goes_back_to_its_mark)
{
    struct index *index = make();
    struct index_cursor cursor;
    struct index_row row;

    put(index, "x", 1, "a b c d");
    cr_assert_eq(index_cursor_open(&cursor, index, NULL, NULL, false), QK_OK);
    cr_assert_eq(index_cursor_mark(&cursor), QK_OK);
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    cr_assert_eq(index_cursor_rewind(&cursor), QK_OK);
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    cr_expect(bytes_equal(row.sort, bytes_str("a")));
    cr_assert_eq(index_cursor_mark(&cursor), QK_OK);
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
    put(index, "w", 1, "aa");
    cr_assert_eq(index_cursor_rewind(&cursor), QK_OK);
    cr_assert_eq(index_cursor_peek(&cursor, &row), QK_OK);
    cr_expect(bytes_equal(row.sort, bytes_str("aa")));
    index_cursor_fini(&cursor);
    index_free(index);
}

/* --- against an array that is sorted anew --- */

struct model_row {
    unsigned sort, id, nth;
};

static int model_compare(const void *a, const void *b)
{
    const struct model_row *x = a, *y = b;

    if (x->sort != y->sort)
        return x->sort < y->sort ? -1 : 1;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->nth < y->nth ? -1 : x->nth > y->nth;
}

#define DOCS 60
#define DOC_ROWS 4

static unsigned state = 12345;

static unsigned draw(unsigned below)
{
    state = state * 1103515245u + 12345u;
    return (state >> 16) % below;
}

static void model_check(struct index *index, unsigned rows[DOCS][DOC_ROWS], const unsigned *rows_n)
{
    struct model_row model[DOCS * DOC_ROWS];
    struct index_cursor cursor;
    struct index_row row;
    unsigned n = 0, i, j, skip = draw(20);
    uint64_t passed;
    bool descending = draw(2) == 1;

    for (i = 0; i < DOCS; i++)
        for (j = 0; j < rows_n[i]; j++)
            model[n++] = (struct model_row){rows[i][j], i, j};
    qsort(model, n, sizeof(model[0]), model_compare);
    cr_assert_eq(index_rows_n(index), n);
    cr_assert_eq(index_cursor_open(&cursor, index, NULL, NULL, descending), QK_OK);
    cr_assert_eq(index_cursor_skip(&cursor, skip, &passed), QK_OK);
    cr_assert_eq(passed, skip < n ? skip : n);
    for (i = (unsigned)passed; i < n; i++) {
        const struct model_row *want = &model[descending ? n - 1 - i : i];
        uint8_t sort = (uint8_t)want->sort, id = (uint8_t)want->id;
        struct index_bound here = {bytes_of(&sort, 1), true, bytes_of(&id, 1), false};

        cr_assert_eq(index_cursor_next(&cursor, &row), QK_OK);
        cr_assert_eq(row.sort.data[0], want->sort);
        cr_assert_eq(row.id.data[0], want->id);
        cr_assert_eq(row.value.data[0], want->nth);
        cr_assert_leq(index_rank(index, &here), (uint64_t)(want - model));
    }
    cr_assert_eq(index_cursor_next(&cursor, &row), QK_ERR_NOT_FOUND);
    index_cursor_fini(&cursor);
}

Test(index, it_is_the_sorted_list_of_what_was_put)
{
    struct index *index = make();
    unsigned rows[DOCS][DOC_ROWS], rows_n[DOCS] = {0}, step, j;
    uint8_t key[INDEX_KEY_ID_BYTES] = {0};

    for (step = 0; step < 3000; step++) {
        struct index_emit emits[DOC_ROWS];
        uint8_t sorts[DOC_ROWS], values[DOC_ROWS], doc = (uint8_t)draw(DOCS);

        rows_n[doc] = draw(DOC_ROWS + 1);
        for (j = 0; j < rows_n[doc]; j++) {
            rows[doc][j] = sorts[j] = (uint8_t)draw(30);
            values[j] = (uint8_t)j;
            emits[j] =
                (struct index_emit){bytes_of(&sorts[j], 1), BYTES_NONE, bytes_of(&values[j], 1)};
        }
        cr_assert_eq(index_put(index, bytes_of(&doc, 1), key, emits, rows_n[doc]), QK_OK);
        if (step % 50 == 0)
            model_check(index, rows, rows_n);
    }
    model_check(index, rows, rows_n);
    for (j = 0; j < DOCS; j++) {
        uint8_t doc = (uint8_t)j;

        index_remove(index, bytes_of(&doc, 1));
    }
    cr_expect_eq(index_rows_n(index), 0);
    index_free(index);
}
