#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fixture.h"

Test(store, a_write_is_read_at_once_and_after_the_flush_and_after_a_restart)
{
    struct fixture f;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct record record;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "doc", 1, WIRE_DOC, "one"), QK_OK);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(store_get(f.store, test_key('A', "doc", raw), &record), QK_OK);
        cr_assert_eq(record.version, 1);
        cr_assert_eq(record.seq, 1);
        cr_assert_eq(record.flags, WIRE_DOC);
        cr_assert(bytes_equal(record.value, bytes_str("one")));
        cr_assert_eq(store_applied(f.store), 1);
        if (round == 0) {
            cr_assert_eq(store_synced(f.store), 0);
            fixture_flush(&f);
            cr_assert_eq(store_synced(f.store), 1);
            cr_assert_eq(store_pending_bytes(f.store), 0);
        } else if (round == 1) {
            fixture_close(&f);
            cr_assert_eq(fixture_open(&f), QK_OK);
        }
    }
    fixture_fini(&f);
}

Test(store, a_put_needs_the_version_behind_the_one_there)
{
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "d", 2, 0, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "d", 1, 0, "x"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "d", 1, 0, "x"), QK_ERR_CONFLICT);
    fixture_flush(&f);
    cr_assert_eq(test_put(&f, 'A', "d", 1, 0, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "d", 2, 0, "y"), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "d"), 2);
    cr_assert_eq(test_delete(&f, 'A', "d"), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "d"), 0);
    cr_assert_eq(test_put(&f, 'A', "d", 1, 0, "z"), QK_OK);
    fixture_fini(&f);
}

Test(store, a_batch_is_applied_whole_or_not_at_all_and_says_which_condition_failed)
{
    uint8_t a[RECORD_KEY_BYTES_MAX], b[RECORD_KEY_BYTES_MAX], c[RECORD_KEY_BYTES_MAX];
    struct buf result = BUF_INIT(KIB);
    struct wire_command command;
    struct wire_result outcome;
    struct fixture f;

    fixture_init(&f);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command); /* holds */
    wire_command_cond(&command, test_key('A', "a", a), 0);
    wire_command_put(&command, test_key('A', "b", b), 1, WIRE_DOC, bytes_str("1"));
    wire_command_batch(&command); /* its second condition is wrong */
    wire_command_cond(&command, test_key('A', "b", b), 1);
    wire_command_cond(&command, test_key('A', "a", a), 5);
    wire_command_put(&command, test_key('A', "c", c), 1, WIRE_DOC, bytes_str("1"));
    wire_command_batch(&command); /* its second put is wrong: condition 1 + operation 1 */
    wire_command_cond(&command, test_key('A', "b", b), 1);
    wire_command_put(&command, test_key('A', "c", c), 1, WIRE_DOC, bytes_str("1"));
    wire_command_put(&command, test_key('A', "b", b), 7, WIRE_DOC, bytes_str("1"));
    cr_assert_eq(test_apply(&f, &command, &result), QK_OK);
    cr_assert_eq(wire_results_count(buf_bytes(&result)), 3);
    cr_assert_eq(wire_result_get(buf_bytes(&result), 0, &outcome), QK_OK);
    cr_assert(outcome.ok);
    cr_assert_eq(outcome.seq, 1);
    cr_assert_eq(wire_result_get(buf_bytes(&result), 1, &outcome), QK_OK);
    cr_assert_not(outcome.ok);
    cr_assert_eq(outcome.failed, 1);
    cr_assert_eq(wire_result_get(buf_bytes(&result), 2, &outcome), QK_OK);
    cr_assert_not(outcome.ok);
    cr_assert_eq(outcome.failed, 2);
    cr_assert_eq(test_version(&f, 'A', "b"), 1);
    cr_assert_eq(test_version(&f, 'A', "c"), 0);
    buf_fini(&result);
    fixture_fini(&f);
}

Test(store, a_batch_that_writes_a_key_twice_is_refused_whole)
{
    uint8_t a[RECORD_KEY_BYTES_MAX], b[RECORD_KEY_BYTES_MAX];
    struct buf result = BUF_INIT(KIB);
    struct wire_command command;
    struct fixture f;

    fixture_init(&f);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key('A', "a", a), 1, 0, bytes_str("1"));
    wire_command_delete(&command, test_key('A', "a", a));
    cr_assert_eq(test_apply(&f, &command, &result), QK_OK);
    cr_assert_eq(wire_result_single(buf_bytes(&result), NULL), QK_ERR_CONFLICT);
    buf_reset(&result);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key('A', "ab", a), 1, 0, bytes_str("1"));
    wire_command_delete_range(&command, test_key('A', "", b));
    cr_assert_eq(test_apply(&f, &command, &result), QK_OK);
    cr_assert_eq(wire_result_single(buf_bytes(&result), NULL), QK_ERR_CONFLICT);
    cr_assert_eq(test_version(&f, 'A', "ab"), 0);
    buf_fini(&result);
    fixture_fini(&f);
}

Test(store, an_index_applied_before_is_skipped_and_an_empty_command_moves_it)
{
    struct fixture f;
    struct wire_command command;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct bytes bytes;

    fixture_init(&f);
    cr_assert_eq(store_apply(f.store, 7, 3, true, BYTES_NONE, NULL), QK_OK);
    cr_assert_eq(store_applied(f.store), 7);
    cr_assert_eq(store_applied_term(f.store), 3);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key('A', "x", raw), 1, 0, BYTES_NONE);
    cr_assert_eq(wire_command_end(&command, &bytes), QK_OK);
    cr_assert_eq(store_apply(f.store, 7, 3, true, bytes, NULL), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "x"), 0);
    cr_assert_eq(store_apply(f.store, 8, 3, true, bytes, NULL), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "x"), 1);
    wire_command_fini(&command);
    fixture_fini(&f);
}

Test(store, an_index_of_several_commands_moves_only_with_its_last)
{
    struct fixture f;
    struct wire_command command;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct bytes bytes;

    fixture_init(&f);
    f.options.commit_ms = 1;
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, test_key('A', "x", raw), 1, 0, BYTES_NONE);
    cr_assert_eq(wire_command_end(&command, &bytes), QK_OK);
    cr_assert_eq(store_apply(f.store, 5, 3, false, bytes, NULL), QK_OK);
    cr_assert_eq(store_applied(f.store), 0);
    for (int i = 0; i < 3; i++)
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
    cr_assert_eq(store_synced(f.store), 0);
    cr_assert_eq(store_apply(f.store, 5, 3, true, BYTES_NONE, NULL), QK_OK);
    fixture_flush(&f);
    cr_assert_eq(store_synced(f.store), 5);
    wire_command_fini(&command);
    fixture_fini(&f);
}

Test(store, an_unknown_kind_stops_and_a_malformed_command_does_nothing)
{
    static const uint8_t unknown[] = {0x93, 1, 77, 0x90};
    static const uint8_t malformed[] = {0x93, 1, 1, 0x91, 0xc0};
    struct buf result = BUF_INIT(KIB);
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(store_apply(f.store, 1, 1, true, bytes_of(unknown, sizeof unknown), &result),
                 QK_ERR_UNSUPPORTED);
    cr_assert_eq(store_applied(f.store), 0);
    cr_assert_eq(store_apply(f.store, 1, 1, true, bytes_of(malformed, sizeof malformed), &result),
                 QK_OK);
    cr_assert_eq(store_applied(f.store), 1);
    cr_assert_eq(result.len, 0);
    fixture_fini(&f);
}

Test(store, statistics_and_changes_follow_each_document)
{
    struct store_stats stats;
    struct fixture f;
    char text[200];
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    const uint8_t *database = test_key('A', "", raw).data;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "a", 1, WIRE_DOC, "12345"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "b", 1, WIRE_DOC, "1"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "meta", 1, 0, "not counted"), QK_OK);
    cr_assert_eq(test_put(&f, 'B', "a", 1, WIRE_DOC, "1"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "a", 2, WIRE_DOC, "123"), QK_OK);
    store_database_stats(f.store, database, &stats);
    cr_assert_eq(stats.seq, 3);
    cr_assert_eq(stats.doc_count, 2);
    cr_assert_eq(stats.bytes, 17 + 3 + 17 + 1);
    fixture_flush(&f);
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "b=2,a=3");
    test_changes(&f, 'A', 2, false, text, sizeof text);
    cr_assert_str_eq(text, "a=3");
    test_changes(&f, 'A', 0, true, text, sizeof text);
    cr_assert_str_eq(text, "a=3,b=2");
    test_changes(&f, 'A', UINT64_MAX, false, text, sizeof text);
    cr_assert_str_eq(text, "");
    cr_assert_eq(test_put(&f, 'A', "b", 2, WIRE_DOC | WIRE_DELETED, ""), QK_OK);
    cr_assert_eq(test_delete(&f, 'A', "a"), QK_OK); /* gone for good, with its change */
    fixture_flush(&f);
    fixture_close(&f);
    cr_assert_eq(fixture_open(&f), QK_OK);
    store_database_stats(f.store, database, &stats);
    cr_assert_eq(stats.seq, 4);
    cr_assert_eq(stats.doc_count, 0);
    cr_assert_eq(stats.del_count, 1);
    cr_assert_eq(stats.bytes, 17);
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "b=4");
    test_changes(&f, 'B', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "a=1");
    fixture_fini(&f);
}

Test(store, scans_go_both_ways_within_their_bounds_and_over_turns_of_the_loop)
{
    uint8_t from[RECORD_KEY_BYTES_MAX], to[RECORD_KEY_BYTES_MAX];
    struct store_cursor *cursor;
    struct store_row row;
    struct fixture f;
    char text[200];

    fixture_init(&f);
    for (char c = 'a'; c <= 'f'; c++)
        cr_assert_eq(test_put(&f, 'M', (char[]){c, 0}, 1, 0, ""), QK_OK);
    cr_assert_eq(test_put(&f, 'L', "z", 1, 0, ""), QK_OK);
    cr_assert_eq(test_put(&f, 'N', "a", 1, 0, ""), QK_OK);
    fixture_flush(&f);
    test_scan(&f, 'M', false, text, sizeof text);
    cr_assert_str_eq(text, "a,b,c,d,e,f");
    test_scan(&f, 'M', true, text, sizeof text);
    cr_assert_str_eq(text, "f,e,d,c,b,a");
    test_scan(&f, 'X', true, text, sizeof text);
    cr_assert_str_eq(text, "");
    for (int descending = 0; descending < 2; descending++) {
        static const char *const want[2] = {"bcd", "dcb"};

        cr_assert_eq(store_cursor_open(f.store, test_key('M', "b", from), test_key('M', "e", to),
                                       descending == 1, &cursor),
                     QK_OK);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
            cr_assert_eq(row.key.data[16], want[descending][i]);
            fixture_flush(&f); /* a turn of the loop between each */
        }
        cr_assert_eq(store_cursor_next(cursor, &row), QK_ERR_NOT_FOUND);
        cr_assert_eq(store_cursor_next(cursor, &row), QK_ERR_NOT_FOUND);
        store_cursor_close(cursor);
    }
    cr_assert_eq(store_cursor_open(f.store, BYTES_NONE, BYTES_NONE, true, &cursor), QK_OK);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
    cr_assert_eq(row.key.data[15], 'N');
    store_cursor_close(cursor);
    fixture_fini(&f);
}

struct watched {
    struct fixture *fixture;
    char text[200];
    unsigned n;
};

static void on_watch(void *arg, struct bytes key)
{
    struct watched *watched = arg;

    watched->n++;
    (void)snprintf(watched->text, sizeof watched->text, "%.*s", (int)key.len,
                   (const char *)key.data);
}

static void on_watch_once(void *arg, struct bytes key)
{
    struct watched *watched = arg;

    on_watch(arg, key);
    store_unwatch(watched->fixture->store, on_watch_once, arg);
}

Test(store, watchers_hear_of_their_prefix_after_the_command)
{
    struct watched a = {0}, once = {0};
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct fixture f;

    fixture_init(&f);
    once.fixture = &f;
    cr_assert_eq(store_watch(f.store, test_key('A', "x", raw), on_watch, &a), QK_OK);
    cr_assert_eq(store_watch(f.store, BYTES_NONE, on_watch_once, &once), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "y", 1, 0, ""), QK_OK);
    cr_assert_eq(a.n, 0);
    cr_assert_eq(once.n, 1);
    cr_assert_eq(test_put(&f, 'A', "xyz", 1, 0, ""), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "xyz", 9, 0, ""), QK_ERR_CONFLICT);
    cr_assert_eq(a.n, 1);
    cr_assert_str_eq(a.text, "0123456789abcdeAxyz");
    cr_assert_eq(once.n, 1);
    cr_assert_eq(test_delete_range(&f, 'A', ""), QK_OK);
    cr_assert_eq(a.n, 2);
    cr_assert_str_eq(a.text, "0123456789abcdeA");
    store_unwatch(f.store, on_watch, &a);
    cr_assert_eq(test_put(&f, 'A', "xyz", 1, 0, ""), QK_OK);
    cr_assert_eq(a.n, 2);
    fixture_fini(&f);
}

static void on_local(void *arg, enum qk_err err)
{
    cr_assert_eq(err, QK_OK);
    *(bool *)arg = true;
}

Test(store, local_facts_are_kept_and_removed)
{
    struct bytes value;
    struct fixture f;
    bool done = false;

    fixture_init(&f);
    cr_assert_eq(store_local_get(f.store, "boot", &value), QK_ERR_NOT_FOUND);
    cr_assert_eq(store_local_put(f.store, "boot", bytes_str("5"), on_local, &done), QK_OK);
    cr_assert_eq(store_local_get(f.store, "boot", &value), QK_OK);
    fixture_run_until(&f, &done);
    fixture_close(&f);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(store_local_get(f.store, "boot", &value), QK_OK);
    cr_assert(bytes_equal(value, bytes_str("5")));
    cr_assert_eq(store_local_put(f.store, "boot", BYTES_NONE, NULL, NULL), QK_OK);
    cr_assert_eq(store_local_get(f.store, "boot", &value), QK_ERR_NOT_FOUND);
    fixture_flush(&f);
    cr_assert_eq(store_local_get(f.store, "boot", &value), QK_ERR_NOT_FOUND);
    fixture_fini(&f);
}

Test(store, the_map_grows_while_running)
{
    char *value = malloc(100001);
    struct store_figures figures;
    struct fixture f;
    char name[32];

    memset(value, 'v', 100000);
    value[100000] = '\0';
    fixture_init(&f);
    fixture_close(&f);
    f.options.map_bytes = 1 * MIB;
    cr_assert_eq(fixture_open(&f), QK_OK);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "doc%03d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, value), QK_OK);
        if (i % 7 == 0)
            fixture_flush(&f);
        cr_assert_eq(test_version(&f, 'A', "doc000"), 1);
    }
    fixture_flush(&f);
    store_figures(f.store, &figures);
    cr_assert_gt(figures.map_bytes, 10 * MIB);
    cr_assert_eq(f.fatal, QK_OK, "%s", f.fatal_what);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof name, "doc%03d", i);
        cr_assert_eq(test_version(&f, 'A', name), 1);
    }
    free(value);
    fixture_fini(&f);
}

Test(store, files_are_readable_by_their_owner_alone)
{
    static const char *const suffixes[] = {"", "-lock", "-open"};
    struct fixture f;

    fixture_init(&f);
    for (size_t i = 0; i < 3; i++) {
        char path[320];
        struct stat st;

        fixture_file(&f, suffixes[i], path);
        cr_assert_eq(stat(path, &st), 0, "%s", path);
        cr_assert_eq(st.st_mode & 0777, 0600, "%s", path);
    }
    fixture_fini(&f);
}

Test(store, one_file_is_opened_once)
{
    struct fixture f;
    struct store *first;

    fixture_init(&f);
    first = f.store;
    cr_assert_eq(fixture_open(&f), QK_ERR_BUSY);
    f.store = first;
    fixture_fini(&f);
}

Test(store, pending_over_the_limit_is_busy_until_it_is_written)
{
    char *value = malloc(8 * MIB + 1);
    struct fixture f;
    char name[32];

    memset(value, 'v', 8 * MIB);
    value[8 * MIB] = '\0';
    fixture_init(&f);
    cr_assert_eq(store_admit(f.store), QK_OK);
    for (int i = 0; i < 9; i++) {
        (void)snprintf(name, sizeof name, "doc%d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, value), QK_OK);
    }
    cr_assert_eq(store_admit(f.store), QK_ERR_BUSY);
    fixture_flush(&f);
    cr_assert_eq(store_admit(f.store), QK_OK);
    free(value);
    fixture_fini(&f);
}

/* A document that is sealed anew under another key version is no change of it. */
Test(store, a_document_sealed_again_keeps_its_place_in_the_changes)
{
    struct store_stats stats;
    struct fixture f;
    struct record record;
    char text[200];
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    const uint8_t *database = test_key('A', "", raw).data;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "a", 1, WIRE_DOC, "old"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "b", 1, WIRE_DOC, "other"), QK_OK);
    for (unsigned flushed = 0; flushed < 2; flushed++) {
        uint64_t version = 2 + flushed;

        cr_assert_eq(test_put(&f, 'A', "a", version, WIRE_DOC | WIRE_SAME_SEQ, "sealed"), QK_OK);
        fixture_flush(&f);
        test_changes(&f, 'A', 0, false, text, sizeof text);
        cr_assert_str_eq(text, "a=1,b=2");
        cr_assert_eq(store_get(f.store, test_key('A', "a", raw), &record), QK_OK);
        cr_assert(record.version == version && record.seq == 1 && record.flags == WIRE_DOC);
    }
    store_database_stats(f.store, database, &stats);
    cr_assert(stats.seq == 2 && stats.doc_count == 2);
    cr_assert_eq(stats.bytes, 17 + 6 + 17 + 5);
    cr_assert_eq(test_put(&f, 'A', "a", 4, WIRE_DOC, "written"), QK_OK);
    fixture_flush(&f);
    test_changes(&f, 'A', 0, false, text, sizeof text);
    cr_assert_str_eq(text, "b=2,a=3");
    fixture_fini(&f);
}

Test(store, nothing_else_can_be_written_as_the_same_document)
{
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "none", 1, WIRE_DOC | WIRE_SAME_SEQ, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "doc", 1, WIRE_DOC, "x"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "doc", 2, WIRE_DOC | WIRE_DELETED | WIRE_SAME_SEQ, ""),
                 QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "doc", 1, WIRE_DOC | WIRE_SAME_SEQ, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "meta", 1, 0, "x"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "meta", 2, WIRE_DOC | WIRE_SAME_SEQ, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(test_put(&f, 'A', "doc", 2, WIRE_DOC | WIRE_DELETED, ""), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "doc", 3, WIRE_DOC | WIRE_DELETED | WIRE_SAME_SEQ, "s"), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "doc"), 3);
    fixture_fini(&f);
}
