#include "fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOCS_N 2000u
#define MARK "a mark of what was written over"

struct ended {
    bool flag;
    enum qk_err err;
};

static void on_compacted(void *arg, enum qk_err err)
{
    struct ended *ended = arg;

    ended->flag = true;
    ended->err = err;
}

static void compact(struct fixture *f, enum qk_err expected)
{
    struct ended ended = {0};

    cr_assert_eq(store_compact(f->store, on_compacted, &ended), QK_OK);
    fixture_run_until(f, &ended.flag);
    cr_assert_eq(ended.err, expected, "%s", qk_err_text(ended.err));
}

static void put_docs(struct fixture *f, uint64_t version, const char *value)
{
    for (unsigned i = 0; i < DOCS_N; i++) {
        char name[32];

        snprintf(name, sizeof name, "doc%05u", i);
        cr_assert_eq(test_put(f, 'A', name, version, WIRE_DOC, value), QK_OK);
    }
    cr_assert_eq(test_put_keyed(f, 'C', "keyed", version, WIRE_DOC, test_use('k', 1)), QK_OK);
    fixture_flush(f);
}

/* How often MARK stands in the file. */
static size_t marks_n(const struct fixture *f, off_t *ret_size)
{
    struct stat st;
    size_t n = 0;
    char *bytes;
    int fd = open(f->path, O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    bytes = malloc((size_t)st.st_size);
    cr_assert_eq(read(fd, bytes, (size_t)st.st_size), st.st_size);
    close(fd);
    for (char *at = bytes;
         (at = memmem(at, (size_t)(bytes + st.st_size - at), MARK, strlen(MARK))) != NULL; at++)
        n++;
    free(bytes);
    *ret_size = st.st_size;
    return n;
}

static void expect_key(struct fixture *f)
{
    struct store_key_stats stats;

    store_key_stats(f->store, test_use('k', 1).key_id, 1, &stats);
    cr_assert_eq(stats.bodies, 1);
    cr_assert_eq(stats.sealed, 2);
}

static void expect_all(struct fixture *f)
{
    struct store_stats stats;
    uint8_t raw[RECORD_KEY_BYTES_MAX];

    store_database_stats(f->store, test_key('A', "", raw).data, &stats);
    cr_assert_eq(stats.doc_count, DOCS_N);
    cr_assert_eq(test_version(f, 'A', "doc00000"), 2);
    cr_assert_eq(test_version(f, 'A', "doc01999"), 2);
}

Test(compact, what_was_written_over_is_gone_from_the_file_and_all_else_is_there)
{
    struct fixture f;
    off_t before, after;

    fixture_init(&f);
    put_docs(&f, 1, MARK);
    put_docs(&f, 2, "new");
    cr_assert_gt(marks_n(&f, &before), 0, "the test shows nothing without");
    compact(&f, QK_OK);
    cr_assert_eq(marks_n(&f, &after), 0);
    cr_assert_lt(after, before);
    expect_key(&f);
    expect_all(&f);
    cr_assert_eq(test_put(&f, 'A', "later", 1, WIRE_DOC, "goes on"), QK_OK);
    fixture_flush(&f);
    fixture_close(&f);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "later"), 1);
    cr_assert_eq(test_version(&f, 'A', "doc00000"), 2);
    fixture_fini(&f);
}

/* Rows of another length leave the old bytes in the gaps of pages that are in use: a copy page by
 * page carried them along. */
Test(compact, nothing_is_left_in_the_gaps_of_pages_in_use)
{
    struct fixture f;
    off_t size;

    fixture_init(&f);
    for (unsigned i = 0; i < DOCS_N; i++) {
        char name[32];

        snprintf(name, sizeof name, "doc%05u", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, MARK), QK_OK);
        if (i % 50 == 0)
            fixture_flush(&f);
    }
    fixture_flush(&f);
    for (unsigned i = 0; i < DOCS_N; i++) {
        char name[32];

        snprintf(name, sizeof name, "doc%05u", i);
        cr_assert_eq(
            test_put(&f, 'A', name, 2, WIRE_DOC, i % 2 == 0 ? "x" : "a longer one, so it moves"),
            QK_OK);
        if (i % 37 == 0)
            fixture_flush(&f);
    }
    fixture_flush(&f);
    compact(&f, QK_OK);
    cr_assert_eq(marks_n(&f, &size), 0);
    expect_all(&f);
    fixture_fini(&f);
}

Test(compact, what_is_applied_meanwhile_is_not_lost)
{
    struct ended ended = {0};
    struct fixture f;

    fixture_init(&f);
    put_docs(&f, 1, "one");
    cr_assert_eq(test_put(&f, 'B', "before", 1, WIRE_DOC, "pending"), QK_OK);
    cr_assert_eq(store_compact(f.store, on_compacted, &ended), QK_OK);
    cr_assert_eq(store_compact(f.store, on_compacted, &ended), QK_ERR_BUSY);
    put_docs(&f, 2, "two"); /* and waits until it is in the file */
    fixture_run_until(&f, &ended.flag);
    cr_assert_eq(ended.err, QK_OK);
    expect_all(&f);
    fixture_close(&f);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(test_version(&f, 'B', "before"), 1);
    cr_assert_eq(test_version(&f, 'A', "doc01999"), 2);
    fixture_fini(&f);
}

Test(compact, a_cursor_goes_on_in_the_new_file)
{
    struct store_cursor *cursor;
    struct store_row row;
    struct fixture f;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    unsigned n = 0;

    fixture_init(&f);
    put_docs(&f, 1, "one");
    cr_assert_eq(store_cursor_open_prefix(f.store, test_key('A', "", raw), false, &cursor), QK_OK);
    for (; n < 100; n++)
        cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
    compact(&f, QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK)
        n++;
    cr_assert_eq(n, DOCS_N);
    store_cursor_close(cursor);
    cr_assert_eq(store_cursor_open_prefix(f.store, test_key('A', "", raw), false, &cursor), QK_OK);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
    compact(&f, QK_OK);
    store_cursor_close(cursor); /* never used again */
    fixture_fini(&f);
}

Test(compact, while_a_snapshot_is_read_it_is_refused)
{
    struct ended ended = {0};
    struct store_snapshot *snapshot;
    struct fixture f;

    fixture_init(&f);
    put_docs(&f, 1, "one");
    cr_assert_eq(store_snapshot_open(f.store, &snapshot), QK_OK);
    cr_assert_eq(store_compact(f.store, on_compacted, &ended), QK_ERR_BUSY);
    store_snapshot_close(snapshot);
    cr_assert_eq(store_compact(f.store, on_compacted, &ended), QK_OK);
    cr_assert_eq(store_snapshot_open(f.store, &snapshot), QK_OK); /* in the midst of it */
    fixture_run_until(&f, &ended.flag);
    cr_assert_eq(ended.err, QK_ERR_BUSY);
    store_snapshot_close(snapshot);
    compact(&f, QK_OK);
    fixture_fini(&f);
}

Test(compact, a_copy_that_a_crash_left_goes_at_the_next_start)
{
    struct fixture f;
    char left[320];
    int fd;

    fixture_init(&f);
    put_docs(&f, 1, "one");
    fixture_file(&f, "-compact", left);
    fd = open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    compact(&f, QK_OK);
    cr_assert_neq(access(left, F_OK), 0);
    fixture_close(&f);
    fd = open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    close(fd);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_neq(access(left, F_OK), 0);
    fixture_fini(&f);
}

Test(compact, closing_ends_one_that_has_not_begun)
{
    struct ended ended = {0};
    struct fixture f;

    fixture_init(&f);
    put_docs(&f, 1, "one");
    cr_assert_eq(store_compact(f.store, on_compacted, &ended), QK_OK);
    fixture_close(&f);
    cr_assert(ended.flag);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "doc00000"), 1);
    fixture_fini(&f);
}
