/* An observer learns of every change of every record, and its fact is in the file if and only if
 * what it tells of is. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* What the observer was told, as a sum that does not depend on the order: a row adds its stamp
 * times its version and the length of its value. */
struct seen {
    struct fixture *fixture;
    uint64_t sum, index;
    unsigned changed_n, dropped_n, swapped_n, committed_n;
    bool wrong;
};

static uint64_t weight(const struct record *record)
{
    return record == NULL ? 0
                          : record->stamp * 1000003u + record->version * 101u + record->value.len;
}

static void changed(void *arg, uint64_t index, struct bytes key, const struct record *before,
                    const struct record *after)
{
    struct seen *seen = arg;
    struct record now;
    bool there = store_get(seen->fixture->store, key, &now) == QK_OK;

    if (before == NULL && after == NULL) {
        seen->dropped_n++;
        return;
    }
    /* what it calls `before` is what the store still says inside of the call */
    seen->wrong = seen->wrong || there != (before != NULL) ||
                  (there && (now.stamp != before->stamp || now.version != before->version));
    seen->sum += weight(after) - weight(before);
    seen->index = index;
    seen->changed_n++;
}

static void swapped(void *arg)
{
    ((struct seen *)arg)->swapped_n++;
}

static void committing(void *arg, const struct store_position *at, struct buf *out)
{
    struct seen *seen = arg;

    buf_put_u64(out, at->index);
    buf_put_u64(out, at->stamp);
    buf_put_u64(out, seen->sum);
    seen->committed_n++;
}

static void observe(struct fixture *f, struct seen *seen)
{
    struct store_observer observer = {.arg = seen,
                                      .changed = changed,
                                      .swapped = swapped,
                                      .committing = committing,
                                      .fact = "seen"};

    seen->fixture = f;
    store_observe(f->store, &observer);
}

/* The same sum from what the file holds. */
static uint64_t walk(struct fixture *f, uint64_t *ret_stamp)
{
    struct store_snapshot *snapshot;
    struct store_row row;
    uint64_t sum = 0;
    enum qk_err err;

    fixture_flush(f);
    cr_assert_eq(store_snapshot_open(f->store, &snapshot), QK_OK);
    while ((err = store_snapshot_next(snapshot, &row)) == QK_OK)
        sum += weight(&row.record);
    cr_assert_eq(err, QK_ERR_NOT_FOUND);
    *ret_stamp = store_snapshot_stamp(snapshot);
    store_snapshot_close(snapshot);
    return sum;
}

static void write_much(struct fixture *f)
{
    for (int i = 0; i < 300; i++) {
        char name[16], value[64];

        snprintf(name, sizeof name, "n%d", i % 40);
        snprintf(value, sizeof value, "%.*s", i % 60,
                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefgh");
        if (i % 7 == 3)
            cr_assert_eq(test_delete(f, 'A', name), QK_OK);
        else
            cr_assert_eq(test_put(f, 'A', name, test_version(f, 'A', name) + 1, WIRE_DOC, value),
                         QK_OK);
        if (i == 150)
            fixture_flush(f); /* some of the records before are in the file, some pending */
    }
    cr_assert_eq(test_delete_range(f, 'A', "n1"), QK_OK);
}

Test(observe, the_sum_of_all_changes_is_that_of_the_file)
{
    struct fixture f;
    struct seen seen = {0};
    uint64_t stamp;

    fixture_init(&f);
    observe(&f, &seen);
    write_much(&f);
    cr_assert_not(seen.wrong);
    cr_assert_gt(seen.changed_n, 200);
    cr_assert_eq(walk(&f, &stamp), seen.sum);
    cr_assert_eq(stamp, store_stamp(f.store));
    fixture_fini(&f);
}

Test(observe, a_refused_batch_tells_nothing)
{
    struct fixture f;
    struct seen seen = {0};

    fixture_init(&f);
    observe(&f, &seen);
    cr_assert_eq(test_put(&f, 'A', "a", 7, WIRE_DOC, "x"), QK_ERR_CONFLICT);
    cr_assert_eq(seen.changed_n, 0);
    cr_assert_eq(test_delete(&f, 'A', "absent"), QK_OK);
    cr_assert_eq(seen.changed_n, 0);
    fixture_fini(&f);
}

Test(observe, a_dropped_database_is_one_call)
{
    struct fixture f;
    struct seen seen = {0};

    fixture_init(&f);
    observe(&f, &seen);
    write_much(&f);
    cr_assert_eq(test_delete_range(&f, 'A', ""), QK_OK);
    cr_assert_eq(seen.dropped_n, 1);
    fixture_fini(&f);
}

Test(observe, the_fact_is_of_the_very_state_in_the_file)
{
    struct fixture f;
    struct seen seen = {0};
    struct bytes fact;
    struct store_position at;
    uint64_t stamp, sum;

    fixture_init(&f);
    observe(&f, &seen);
    write_much(&f);
    fixture_close(&f);
    cr_assert_gt(seen.committed_n, 0);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(store_local_get(f.store, "seen", &fact), QK_OK);
    cr_assert_eq(fact.len, 24);
    cr_assert_eq(store_file_position(f.store, &at), QK_OK);
    cr_assert_eq(get_u64(fact.data), at.index);
    cr_assert_eq(get_u64(fact.data + 8), at.stamp);
    sum = get_u64(fact.data + 16);
    cr_assert_eq(walk(&f, &stamp), sum);
    cr_assert_eq(stamp, at.stamp);
    fixture_fini(&f);
}

/* As many rows of feeds as documents, each naming one. */
Test(observe, the_walk_counts_documents_and_their_changes)
{
    struct fixture f;
    struct store_snapshot *snapshot;
    struct store_row row;
    uint64_t changes_n = 0;
    char text[1100];
    bool right = true;
    enum qk_err err;

    fixture_init(&f);
    write_much(&f);
    cr_assert_eq(test_put(&f, 'B', "system", 1, 0, "no document"), QK_OK);
    fixture_flush(&f);
    cr_assert_eq(store_snapshot_open(f.store, &snapshot), QK_OK);
    while ((err = store_snapshot_next(snapshot, &row)) == QK_OK)
        continue;
    while ((err = store_snapshot_next_change(snapshot, &right, text, sizeof text)) == QK_OK) {
        cr_assert(right);
        changes_n++;
    }
    cr_assert_eq(err, QK_ERR_NOT_FOUND);
    cr_assert_gt(changes_n, 0);
    cr_assert_eq(changes_n, store_snapshot_documents(snapshot));
    store_snapshot_close(snapshot);
    fixture_fini(&f);
}
