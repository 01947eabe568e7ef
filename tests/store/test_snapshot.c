#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static void fill(struct fixture *f, int docs_n)
{
    char name[32];

    for (int i = 0; i < docs_n; i++) {
        (void)snprintf(name, sizeof name, "doc%05d", i);
        cr_assert_eq(test_put(f, 'A', name, 1, WIRE_DOC, "a value of some length"), QK_OK);
    }
    cr_assert_eq(test_put_keyed(f, 'A', "keyed", 1, WIRE_DOC, test_use('k', 1)), QK_OK);
    cr_assert_eq(test_put_keyed(f, 'A', "keyed", 2, WIRE_DOC, test_use('k', 2)), QK_OK);
    cr_assert_eq(test_put_keyed(f, 'B', "b", 1, WIRE_DOC, test_use('k', 1)), QK_OK);
    cr_assert_eq(test_delete_range(f, 'B', ""), QK_OK);
    cr_assert_eq(test_put(f, 'B', "again", 1, WIRE_DOC, ""), QK_OK);
    fixture_flush(f);
}

/* What fill() leaves under the key: three bodies were sealed, one stands. */
static void expect_key(struct fixture *f)
{
    struct key_use use = test_use('k', 1);
    struct store_key_stats stats;
    uint8_t raw[RECORD_KEY_BYTES_MAX];

    store_key_stats(f->store, use.key_id, 1, &stats);
    cr_assert_eq(stats.bodies, 0);
    cr_assert_eq(stats.sealed, 2);
    cr_assert_eq(stats.sealed_bytes, 20);
    store_key_stats(f->store, use.key_id, 2, &stats);
    cr_assert_eq(stats.bodies, 1);
    cr_assert_eq(stats.sealed, 1);
    store_database_key_stats(f->store, test_key('A', "", raw).data, use.key_id, &stats);
    cr_assert_eq(stats.doc_count, 1);
    store_database_key_stats(f->store, test_key('B', "", raw).data, use.key_id, &stats);
    cr_assert_eq(stats.doc_count, 0);
}

/* Stages `dump` in pieces of `step` bytes. */
static enum qk_err stage(struct fixture *f, struct bytes dump, size_t step,
                         struct store_staging **ret_staging)
{
    enum qk_err err = store_staging_begin(f->path, ret_staging);

    for (size_t at = 0; at < dump.len && err == QK_OK; at += step)
        err = store_staging_write(*ret_staging, bytes_slice(dump, at, step));
    if (err == QK_OK)
        err = store_staging_finish(*ret_staging);
    return err;
}

struct swapped {
    bool done;
    enum qk_err err;
};

static void on_swap(void *arg, enum qk_err err)
{
    struct swapped *swapped = arg;

    swapped->done = true;
    swapped->err = err;
}

static enum qk_err swap(struct fixture *f, struct store_staging *staging)
{
    struct swapped swapped = {0};

    store_swap(f->store, staging, on_swap, &swapped);
    cr_assert_not(swapped.done);
    fixture_run_until(f, &swapped.done);
    return swapped.err;
}

static void on_watch(void *arg, struct bytes key)
{
    *(unsigned *)arg += key.len == 0;
}

Test(snapshot, a_swapped_store_equals_its_source_and_keeps_its_local_facts)
{
    static const size_t steps[] = {1 << 20, 1000, 7, 1};
    struct fixture from, to;
    struct buf dump;

    fixture_init(&from);
    fill(&from, 300);
    dump = test_dump(&from);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        struct store_staging *staging;
        struct store_cursor *cursor;
        struct store_row row;
        struct bytes value;
        unsigned told = 0;
        struct buf again;
        char text[64];

        fixture_init(&to);
        cr_assert_eq(test_put(&to, 'Z', "old", 1, WIRE_DOC, ""), QK_OK);
        cr_assert_eq(store_local_put(to.store, "fact", bytes_str("kept"), NULL, NULL), QK_OK);
        fixture_flush(&to);
        cr_assert_eq(store_local_put(to.store, "new", bytes_str("too"), NULL, NULL), QK_OK);
        cr_assert_eq(test_put(&to, 'Z', "pending", 1, WIRE_DOC, ""), QK_OK);
        cr_assert_eq(store_watch(to.store, BYTES_NONE, on_watch, &told), QK_OK);
        cr_assert_eq(store_cursor_open(to.store, BYTES_NONE, BYTES_NONE, false, &cursor), QK_OK);
        cr_assert_eq(stage(&to, buf_bytes(&dump), steps[i], &staging), QK_OK);
        cr_assert_eq(store_staging_index(staging), store_applied(from.store));
        cr_assert_eq(swap(&to, staging), QK_OK);
        store_staging_free(staging);
        cr_assert_eq(store_cursor_next(cursor, &row), QK_ERR_CLOSED);
        store_cursor_close(cursor);
        cr_assert_eq(told, 1);
        cr_assert_eq(store_applied(to.store), store_applied(from.store));
        cr_assert_eq(store_synced(to.store), store_applied(from.store));
        for (int round = 0; round < 2; round++) {
            again = test_dump(&to);
            cr_assert(bytes_equal(buf_bytes(&dump), buf_bytes(&again)));
            buf_fini(&again);
            expect_key(&to);
            test_scan(&to, 'Z', false, text, sizeof text);
            cr_assert_str_eq(text, "");
            cr_assert_eq(store_local_get(to.store, "fact", &value), QK_OK);
            cr_assert(bytes_equal(value, bytes_str("kept")));
            cr_assert_eq(store_local_get(to.store, "new", &value), QK_OK);
            fixture_close(&to);
            cr_assert_eq(fixture_open(&to), QK_OK);
        }
        cr_assert_eq(test_put(&to, 'A', "doc00000", 2, WIRE_DOC, "goes on"), QK_OK);
        fixture_flush(&to);
        fixture_fini(&to);
    }
    buf_fini(&dump);
    fixture_fini(&from);
}

Test(snapshot, it_is_the_state_at_its_opening_whatever_is_written_after)
{
    struct store_snapshot *snapshot;
    struct fixture f;
    struct buf before, out = BUF_INIT(64 * MIB);
    size_t had;

    fixture_init(&f);
    fill(&f, 500);
    before = test_dump(&f);
    cr_assert_eq(store_snapshot_open(f.store, &snapshot), QK_OK);
    do {
        had = out.len;
        cr_assert_eq(store_snapshot_read(snapshot, 4096, &out), QK_OK);
        cr_assert_eq(test_put(&f, 'C', "x", test_version(&f, 'C', "x") + 1, WIRE_DOC, "later"),
                     QK_OK);
        fixture_flush(&f);
    } while (out.len > had);
    cr_assert_eq(store_snapshot_index(snapshot),
                 store_applied(f.store) - test_version(&f, 'C', "x"));
    store_snapshot_close(snapshot);
    cr_assert(bytes_equal(buf_bytes(&before), buf_bytes(&out)));
    buf_fini(&before);
    buf_fini(&out);
    fixture_fini(&f);
}

Test(snapshot, a_stream_cut_anywhere_is_corrupt)
{
    struct fixture f;
    struct buf dump;

    fixture_init(&f);
    fill(&f, 2);
    dump = test_dump(&f);
    for (size_t len = 0; len < dump.len; len += len % 9 == 0 ? 1 : 3) {
        struct store_staging *staging;

        cr_assert_eq(stage(&f, bytes_slice(buf_bytes(&dump), 0, len), 4096, &staging),
                     QK_ERR_CORRUPT, "at %zu", len);
        store_staging_free(staging);
    }
    buf_fini(&dump);
    fixture_fini(&f);
}

Test(snapshot, a_stream_with_any_byte_changed_is_corrupt)
{
    struct fixture f;
    struct buf dump;

    fixture_init(&f);
    fill(&f, 1);
    dump = test_dump(&f);
    for (size_t at = 0; at < dump.len; at++) {
        struct store_staging *staging;
        enum qk_err err;

        dump.data[at] ^= 0x40;
        err = stage(&f, buf_bytes(&dump), 4096, &staging);
        cr_assert(err == QK_ERR_CORRUPT, "byte %zu: %s", at, qk_err_text(err));
        store_staging_free(staging);
        dump.data[at] ^= 0x40;
    }
    buf_put_u8(&dump, 0); /* and bytes behind its end */
    {
        struct store_staging *staging;

        cr_assert_eq(stage(&f, buf_bytes(&dump), 4096, &staging), QK_ERR_CORRUPT);
        store_staging_free(staging);
    }
    buf_fini(&dump);
    fixture_fini(&f);
}

Test(snapshot, one_that_is_not_newer_is_stale_and_one_while_another_is_open_busy)
{
    struct store_staging *staging;
    struct store_snapshot *snapshot;
    struct fixture from, to;
    struct buf dump;

    fixture_init(&from);
    fixture_init(&to);
    fill(&from, 3);
    dump = test_dump(&from);
    cr_assert_eq(stage(&to, buf_bytes(&dump), 4096, &staging), QK_OK);
    cr_assert_eq(store_snapshot_open(to.store, &snapshot), QK_OK);
    cr_assert_eq(swap(&to, staging), QK_ERR_BUSY);
    store_snapshot_close(snapshot);
    for (uint64_t i = store_applied(to.store); i < store_applied(from.store); i++)
        cr_assert_eq(store_apply(to.store, i + 1, 1, true, BYTES_NONE, NULL), QK_OK);
    cr_assert_eq(swap(&to, staging), QK_ERR_STALE);
    cr_assert_eq(test_version(&to, 'A', "doc00000"), 0);
    store_staging_free(staging);
    buf_fini(&dump);
    fixture_fini(&from);
    fixture_fini(&to);
}

Test(snapshot, a_half_received_file_is_removed_at_the_next_start)
{
    struct store_staging *staging;
    struct fixture f;
    char path[320];

    fixture_init(&f);
    fixture_file(&f, "-staging", path);
    cr_assert_eq(store_staging_begin(f.path, &staging), QK_OK);
    cr_assert_eq(access(path, F_OK), 0);
    fixture_close(&f);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_neq(access(path, F_OK), 0);
    store_staging_free(staging);
    fixture_fini(&f);
}

Test(snapshot, large_records_pass_in_small_pieces)
{
    char *value = malloc(3 * MIB + 1);
    struct store_staging *staging;
    struct fixture from, to;
    struct buf dump;

    memset(value, 'v', 3 * MIB);
    value[3 * MIB] = '\0';
    fixture_init(&from);
    fixture_init(&to);
    cr_assert_eq(test_put(&from, 'A', "large", 1, WIRE_DOC, value), QK_OK);
    cr_assert_eq(test_put(&from, 'A', "large2", 1, WIRE_DOC, value), QK_OK);
    fixture_flush(&from);
    dump = test_dump(&from);
    cr_assert_eq(stage(&to, buf_bytes(&dump), 65536, &staging), QK_OK);
    cr_assert_eq(swap(&to, staging), QK_OK);
    cr_assert_eq(test_version(&to, 'A', "large2"), 1);
    store_staging_free(staging);
    buf_fini(&dump);
    free(value);
    fixture_fini(&from);
    fixture_fini(&to);
}
