/* Streams read row by row; increments merged with what they go on from give the full stream of the
 * same moment, to the byte, whatever was written, deleted or dropped in between. */
#include "store/rows.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define DUMP_BYTES_MAX (16 * MIB)

struct source {
    struct bytes all;
    size_t at, step;
};

static enum qk_err pull(void *arg, struct bytes *ret_bytes)
{
    struct source *source = arg;

    *ret_bytes = bytes_slice(source->all, source->at, source->step);
    source->at += ret_bytes->len;
    return QK_OK;
}

static struct buf dump_since(struct fixture *f, uint64_t since, uint64_t *ret_stamp)
{
    struct buf out = BUF_INIT(DUMP_BYTES_MAX);
    struct store_snapshot *snapshot;
    size_t before;

    fixture_flush(f);
    cr_assert_eq(store_snapshot_open_since(f->store, since, &snapshot), QK_OK);
    *ret_stamp = store_snapshot_stamp(snapshot);
    do {
        before = out.len;
        cr_assert_eq(store_snapshot_read(snapshot, 100, &out), QK_OK);
    } while (out.len > before);
    store_snapshot_close(snapshot);
    return out;
}

/* Reads to the end and writes what was read; `out` may be NULL. */
static enum qk_err drain(struct rows *rows, struct buf *out)
{
    struct rows_moment moment = rows_moment(rows);
    struct rows_item item = {.kind = ROWS_ROW};
    enum qk_err err = QK_OK;

    if (out != NULL)
        rows_write_head(&moment, out);
    while (err == QK_OK) {
        err = rows_next(rows, &item);
        if (err == QK_OK && out != NULL)
            rows_write_item(&item, out);
        if (err == QK_OK && item.kind == ROWS_END)
            break;
    }
    return err;
}

/* The chain of streams merged; QK_OK with the whole in `out`. */
static enum qk_err merge(const struct buf *streams, size_t n, size_t step, struct buf *out)
{
    struct source sources[8];
    struct rows *rows = NULL;
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < n && err == QK_OK; i++) {
        struct rows *next = NULL;

        sources[i] = (struct source){.all = buf_bytes(&streams[i]), .step = step};
        err = rows_open(pull, &sources[i], &next);
        if (err == QK_OK && rows_is_increment(next) != (i > 0))
            err = QK_ERR_INVALID;
        if (err == QK_OK && i > 0)
            err = rows_merge(rows, next, &next);
        if (err == QK_OK)
            rows = next;
        else
            rows_free(next);
    }
    if (err == QK_OK)
        err = drain(rows, out);
    rows_free(rows);
    return err;
}

/* Some writes of each kind, others at each round. */
static void change(struct fixture *f, unsigned round)
{
    char name[16];

    for (unsigned i = 0; i < 60; i++) {
        uint64_t version;

        (void)snprintf(name, sizeof name, "%c/%02u", 'p' + (int)(i % 3), (i * 7 + round * 5) % 40);
        version = test_version(f, (char)('A' + i % 3), name);
        if ((i + round) % 5 == 0)
            cr_assert_eq(test_delete(f, (char)('A' + i % 3), name), QK_OK);
        else if ((i + round) % 5 == 1)
            cr_assert_eq(test_put_keyed(f, (char)('A' + i % 3), name, version + 1, WIRE_DOC,
                                        test_use((char)('k' + i % 2), round / 2 + 1)),
                         QK_OK);
        else
            cr_assert_eq(test_put(f, (char)('A' + i % 3), name, version + 1,
                                  (uint8_t)(i % 2 == 0 ? WIRE_DOC : 0), "a value"),
                         QK_OK);
    }
    if (round % 3 == 1)
        cr_assert_eq(test_delete_range(f, 'B', round == 1 ? "" : "q/"), QK_OK);
    cr_assert_eq(test_put(f, 'B', "last", test_version(f, 'B', "last") + 1, WIRE_DOC, ""), QK_OK);
}

Test(rows, a_chain_of_increments_gives_the_full_stream)
{
    struct fixture f;
    struct buf streams[6];
    uint64_t stamp = 0;
    size_t smaller = 0;

    fixture_init(&f);
    for (unsigned round = 0; round < 6; round++) {
        struct buf merged = BUF_INIT(DUMP_BYTES_MAX), full;
        uint64_t ignored;

        change(&f, round);
        streams[round] = dump_since(&f, stamp, &stamp);
        full = dump_since(&f, 0, &ignored);
        cr_assert_eq(merge(streams, round + 1, 1 + 61 * round, &merged), QK_OK, "%u", round);
        cr_assert(bytes_equal(buf_bytes(&merged), buf_bytes(&full)), "%u", round);
        smaller += streams[round].len < full.len;
        buf_fini(&full);
        buf_fini(&merged);
    }
    cr_assert_eq(smaller, 5);
    for (unsigned round = 0; round < 6; round++)
        buf_fini(&streams[round]);
    fixture_fini(&f);
}

Test(rows, an_increment_of_nothing_is_small_and_whole)
{
    struct fixture f;
    struct buf streams[2], merged = BUF_INIT(DUMP_BYTES_MAX);
    uint64_t stamp = 0;
    char name[16];

    fixture_init(&f);
    for (int i = 0; i < 3000; i++) { /* more than one list of kept rows */
        (void)snprintf(name, sizeof name, "%05d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, "some value or other"), QK_OK);
    }
    streams[0] = dump_since(&f, 0, &stamp);
    streams[1] = dump_since(&f, stamp, &stamp);
    cr_assert_lt(streams[1].len, 3000 * 2 * 9);
    cr_assert_eq(merge(streams, 2, 1000, &merged), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&merged), buf_bytes(&streams[0])));
    buf_fini(&merged);
    buf_fini(&streams[0]);
    buf_fini(&streams[1]);
    fixture_fini(&f);
}

Test(rows, an_increment_on_another_base_is_found)
{
    struct fixture f;
    struct buf streams[3], wrong[2], merged = BUF_INIT(DUMP_BYTES_MAX);
    uint64_t stamp = 0, later;

    fixture_init(&f);
    for (unsigned round = 0; round < 3; round++) {
        change(&f, round);
        streams[round] = dump_since(&f, stamp, &stamp);
    }
    wrong[0] = streams[0];
    wrong[1] = streams[2];
    cr_assert_eq(merge(wrong, 2, 500, &merged), QK_ERR_CORRUPT);
    cr_assert_eq(store_snapshot_open_since(f.store, stamp + 1, &(struct store_snapshot *){NULL}),
                 QK_ERR_STALE);
    buf_fini(&merged);
    for (unsigned round = 0; round < 3; round++)
        buf_fini(&streams[round]);
    merged = dump_since(&f, 0, &later);
    cr_assert_eq(later, stamp);
    buf_fini(&merged);
    fixture_fini(&f);
}

static void damage_each_byte(struct buf *streams, size_t n, size_t which)
{
    for (size_t at = 0; at < streams[which].len; at++) {
        streams[which].data[at] ^= 0x21;
        cr_assert_neq(merge(streams, n, 4096, NULL), QK_OK, "byte %zu of %zu", at, which);
        streams[which].data[at] ^= 0x21;
    }
    for (size_t len = streams[which].len; len > 0; len--) {
        streams[which].len = len - 1;
        cr_assert_neq(merge(streams, n, 4096, NULL), QK_OK, "cut at %zu of %zu", len - 1, which);
    }
}

/* The head's index and term are covered by the hash, too. */
Test(rows, any_byte_flipped_or_missing_is_found)
{
    struct fixture f;
    struct buf streams[2];
    uint64_t stamp = 0;

    fixture_init(&f);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(
            test_put(&f, 'A', i % 2 == 0 ? "even" : "odd", (uint64_t)(i / 2) + 1, WIRE_DOC, "v"),
            QK_OK);
    streams[0] = dump_since(&f, 0, &stamp);
    cr_assert_eq(test_delete(&f, 'A', "odd"), QK_OK);
    cr_assert_eq(test_put_keyed(&f, 'A', "new", 1, WIRE_DOC, test_use('k', 1)), QK_OK);
    streams[1] = dump_since(&f, stamp, &stamp);
    cr_assert_eq(merge(streams, 2, 4096, NULL), QK_OK);
    damage_each_byte(streams, 2, 1);
    damage_each_byte(streams, 1, 0);
    buf_fini(&streams[0]);
    buf_fini(&streams[1]);
    fixture_fini(&f);
}

Test(rows, what_is_in_a_row_is_told)
{
    struct fixture f;
    struct source source = {.step = 64};
    struct rows_item item = {.kind = ROWS_ROW};
    struct buf stream;
    struct rows *rows;
    uint64_t stamp;
    unsigned docs_n = 0, records_n = 0, keys_n = 0;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "doc", 1, WIRE_DOC, "body"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "plain", 1, 0, "thing"), QK_OK);
    cr_assert_eq(test_put_keyed(&f, 'B', "keyed", 1, 0, test_use('k', 1)), QK_OK);
    stream = dump_since(&f, 0, &stamp);
    source.all = buf_bytes(&stream);
    cr_assert_eq(rows_open(pull, &source, &rows), QK_OK);
    while (item.kind != ROWS_END) {
        cr_assert_eq(rows_next(rows, &item), QK_OK);
        if (item.kind == ROWS_ROW && item.table == ROWS_STATS)
            docs_n += (unsigned)item.stats.doc_count;
        if (item.kind == ROWS_ROW && item.table == ROWS_KEYS) { /* of the database, and the sum */
            keys_n++;
            cr_assert_eq(item.key_stats.bodies, 1);
            cr_assert_eq(item.key_stats.sealed, keys_n == 1 ? 1 : 0);
        }
        if (item.kind == ROWS_ROW && item.table == ROWS_RECORDS) {
            records_n++;
            cr_assert_eq(item.record.version, 1);
            cr_assert(bytes_equal(item.record.value, bytes_str("body")) ||
                      bytes_equal(item.record.value, bytes_str("thing")) ||
                      item.record.flags == WIRE_KEYED);
        }
    }
    cr_assert_eq(docs_n, 1);
    cr_assert_eq(records_n, 3);
    cr_assert_eq(keys_n, 2);
    rows_free(rows);
    buf_fini(&stream);
    fixture_fini(&f);
}
