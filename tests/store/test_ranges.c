/* Deleting a whole database, and a range within one. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "fixture.h"

Test(ranges, a_dropped_database_is_gone_at_once_and_its_pages_are_freed_in_pieces)
{
    struct store_figures figures;
    struct store_stats stats;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct fixture f;
    char text[64], name[32];

    fixture_init(&f);
    for (int i = 0; i < 7000; i++) {
        (void)snprintf(name, sizeof name, "doc%05d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, "v"), QK_OK);
    }
    cr_assert_eq(test_put(&f, 'B', "kept", 1, WIRE_DOC, "v"), QK_OK);
    fixture_flush(&f);
    cr_assert_eq(test_put(&f, 'A', "pending", 1, WIRE_DOC, "v"), QK_OK);
    cr_assert_eq(test_delete_range(&f, 'A', ""), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "doc00000"), 0);
    cr_assert_eq(test_version(&f, 'A', "pending"), 0);
    store_database_stats(f.store, test_key('A', "", raw).data, &stats);
    cr_assert_eq(stats.seq + stats.doc_count + stats.bytes, 0);
    test_scan(&f, 'A', false, text, sizeof text); /* the file still has them all */
    cr_assert_str_eq(text, "");
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "");
    /* The same id again, while the old rows are being freed. */
    cr_assert_eq(test_put(&f, 'A', "doc00003", 1, WIRE_DOC, "new"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "zz", 1, WIRE_DOC, "new"), QK_OK);
    fixture_flush(&f);
    test_scan(&f, 'A', false, text, sizeof text);
    cr_assert_str_eq(text, "doc00003,zz");
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "doc00003=1,zz=2");
    fixture_close(&f); /* in the middle of it */
    cr_assert_eq(fixture_open(&f), QK_OK);
    store_figures(f.store, &figures);
    for (int i = 0; i < 1000 && figures.ranges_freeing > 0; i++) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
        store_figures(f.store, &figures);
    }
    cr_assert_eq(figures.ranges_freeing, 0);
    test_scan(&f, 'A', false, text, sizeof text);
    cr_assert_str_eq(text, "doc00003,zz");
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "doc00003=1,zz=2");
    cr_assert_eq(test_version(&f, 'B', "kept"), 1);
    fixture_fini(&f);
}

Test(ranges, a_range_within_a_database_removes_what_is_pending_and_what_is_in_the_file)
{
    struct store_stats stats;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct fixture f;
    char text[64];

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "p/1", 1, WIRE_DOC, "v"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "p/2", 1, WIRE_DOC, "v"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "q", 1, WIRE_DOC, "v"), QK_OK);
    fixture_flush(&f);
    cr_assert_eq(test_put(&f, 'A', "p/2", 2, WIRE_DOC, "v"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "p/3", 1, WIRE_DOC, "v"), QK_OK);
    cr_assert_eq(test_delete_range(&f, 'A', "p/"), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "p/1") + test_version(&f, 'A', "p/2") +
                     test_version(&f, 'A', "p/3"),
                 0);
    store_database_stats(f.store, test_key('A', "", raw).data, &stats);
    cr_assert_eq(stats.doc_count, 1);
    fixture_flush(&f);
    test_scan(&f, 'A', false, text, sizeof text);
    cr_assert_str_eq(text, "q");
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "q=3");
    fixture_fini(&f);
}

/* Over the turns of the loop, over documents written again, and not over those of a dropped
 * database that wait to be freed. */
Test(ranges, rows_by_sequence_are_skipped_as_they_are_read)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct store_cursor *cursor;
    struct store_row row;
    struct fixture f;
    size_t n;

    fixture_init(&f);
    for (char c = 'a'; c <= 'h'; c++) {
        cr_assert_eq(test_put(&f, 'M', (char[]){c, 0}, 1, WIRE_DOC, ""), QK_OK);
        cr_assert_eq(test_put(&f, 'N', (char[]){c, 0}, 1, WIRE_DOC, ""), QK_OK);
    }
    cr_assert_eq(test_put(&f, 'M', "b", 2, WIRE_DOC, ""), QK_OK);
    fixture_flush(&f);
    cr_assert_eq(store_changes_open(f.store, test_key('M', "", raw).data, 0, false, &cursor),
                 QK_OK);
    cr_assert_eq(store_cursor_skip(cursor, 3, &n), QK_OK);
    cr_assert_eq(n, 3); /* a, c, d */
    fixture_flush(&f);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
    cr_assert_eq(row.key.data[DATABASE_ID_BYTES], 'e');
    cr_assert_eq(store_cursor_skip(cursor, 4, &n), QK_OK);
    cr_assert_eq(n, 4);
    cr_assert_eq(store_cursor_skip(cursor, 1, &n), QK_OK);
    cr_assert_eq(n, 0);
    cr_assert_eq(store_cursor_skip(cursor, 1, &n), QK_OK);
    cr_assert_eq(n, 0);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_ERR_NOT_FOUND);
    store_cursor_close(cursor);
    cr_assert_eq(test_delete_range(&f, 'N', ""), QK_OK);
    for (int dropped = 0; dropped < 2; dropped++) {
        cr_assert_eq(store_changes_open(f.store, test_key(dropped ? 'N' : 'M', "", raw).data, 0,
                                        false, &cursor),
                     QK_OK);
        cr_assert_eq(store_cursor_skip(cursor, 100, &n), QK_OK);
        cr_assert_eq(n, dropped ? 0 : 8);
        store_cursor_close(cursor);
    }
    fixture_fini(&f);
}
