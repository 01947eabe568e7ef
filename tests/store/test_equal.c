/* Two stores that apply the same random commands, flushed, restarted and swapped at different
 * moments, are equal: same results at every command, same snapshot to the byte. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define STEPS 1500

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *dice, unsigned sides) /* xorshift64 */
{
    dice->state ^= dice->state << 13;
    dice->state ^= dice->state >> 7;
    dice->state ^= dice->state << 17;
    return (unsigned)(dice->state >> 20) % sides;
}

static struct bytes random_key(struct dice *dice, uint8_t raw[static RECORD_KEY_BYTES_MAX])
{
    char name[16];

    (void)snprintf(name, sizeof name, "%c/%u", 'p' + (int)roll(dice, 3), roll(dice, 12));
    return test_key((char)('A' + roll(dice, 3)), name, raw);
}

/* Mostly a version that fits, so that much of it is applied. */
static uint64_t version_for(struct fixture *f, struct dice *dice, struct bytes key)
{
    struct record record;
    uint64_t version = store_get(f->store, key, &record) == QK_OK ? record.version : 0;

    return roll(dice, 8) == 0 ? roll(dice, 4) : version;
}

static void random_op(struct fixture *f, struct dice *dice, struct wire_command *command)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX], value[64];
    struct bytes key = random_key(dice, raw);
    unsigned what = roll(dice, 40);

    memset(value, (int)roll(dice, 256), sizeof value);
    if (what == 0)
        wire_command_delete_range(command, bytes_slice(key, 0, DATABASE_ID_BYTES));
    else if (what < 3)
        wire_command_delete_range(command, bytes_slice(key, 0, DATABASE_ID_BYTES + 2));
    else if (what < 8)
        wire_command_delete(command, key);
    else
        wire_command_put(command, key, version_for(f, dice, key) + 1, (uint8_t)roll(dice, 4),
                         bytes_of(value, roll(dice, sizeof value)));
}

static void random_command(struct fixture *f, struct dice *dice, struct wire_command *command)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    unsigned batches = 1 + roll(dice, 3);

    wire_command_begin(command, WIRE_WRITE);
    while (batches-- > 0) {
        unsigned ops = 1 + roll(dice, 4);

        wire_command_batch(command);
        if (roll(dice, 3) == 0) {
            struct bytes key = random_key(dice, raw);

            wire_command_cond(command, key, version_for(f, dice, key));
        }
        while (ops-- > 0)
            random_op(f, dice, command);
    }
}

static void disturb(struct fixture *f, struct dice *dice, unsigned often)
{
    if (roll(dice, often) == 0)
        fixture_flush(f);
    if (roll(dice, often * 10) == 0) {
        fixture_close(f);
        cr_assert_eq(fixture_open(f), QK_OK);
    }
    if (roll(dice, 3) == 0)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void compare(struct fixture *a, struct fixture *b)
{
    struct buf x, y;

    fixture_flush(a);
    fixture_flush(b);
    x = test_dump(a);
    y = test_dump(b);
    cr_assert(bytes_equal(buf_bytes(&x), buf_bytes(&y)), "%zu and %zu bytes", x.len, y.len);
    buf_fini(&x);
    buf_fini(&y);
}

/* The counted statistics are those of what is there. */
static void recount(struct fixture *f)
{
    for (char database = 'A'; database <= 'C'; database++) {
        uint8_t raw[RECORD_KEY_BYTES_MAX];
        struct bytes prefix = test_key(database, "", raw);
        struct store_stats stats, seen = {0};
        struct store_cursor *cursor;
        struct store_row row;
        uint64_t changes_n = 0;

        cr_assert_eq(store_cursor_open_prefix(f->store, prefix, false, &cursor), QK_OK);
        while (store_cursor_next(cursor, &row) == QK_OK) {
            if ((row.record.flags & WIRE_DOC) == 0)
                continue;
            seen.doc_count += (row.record.flags & WIRE_DELETED) == 0;
            seen.del_count += (row.record.flags & WIRE_DELETED) != 0;
            seen.bytes += row.key.len + row.record.value.len;
        }
        store_cursor_close(cursor);
        store_database_stats(f->store, prefix.data, &stats);
        cr_assert_eq(stats.doc_count, seen.doc_count);
        cr_assert_eq(stats.del_count, seen.del_count);
        cr_assert_eq(stats.bytes, seen.bytes);
        cr_assert_eq(store_changes_open(f->store, prefix.data, 0, false, &cursor), QK_OK);
        while (store_cursor_next(cursor, &row) == QK_OK)
            changes_n++;
        store_cursor_close(cursor);
        cr_assert_eq(changes_n, seen.doc_count + seen.del_count);
    }
}

static void run(uint64_t seed)
{
    struct dice dice = {seed}, dice_a = {seed + 1000}, dice_b = {seed + 2000};
    struct buf result_a = BUF_INIT(KIB), result_b = BUF_INIT(KIB);
    struct fixture a, b;

    fixture_init(&a);
    fixture_init(&b);
    for (int step = 0; step < STEPS; step++) {
        struct wire_command command;
        struct bytes bytes;
        uint64_t index = (uint64_t)step + 1;

        random_command(&a, &dice, &command);
        cr_assert_eq(wire_command_end(&command, &bytes), QK_OK);
        buf_reset(&result_a);
        buf_reset(&result_b);
        cr_assert_eq(store_apply(a.store, index, 1, true, bytes, &result_a), QK_OK);
        cr_assert_eq(store_apply(b.store, index, 1, true, bytes, &result_b), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&result_a), buf_bytes(&result_b)), "seed %llu step %d",
                  (unsigned long long)seed, step);
        wire_command_fini(&command);
        disturb(&a, &dice_a, 5);
        disturb(&b, &dice_b, 60);
        if (step % 250 == 249)
            compare(&a, &b);
    }
    recount(&a);
    recount(&b);
    buf_fini(&result_a);
    buf_fini(&result_b);
    fixture_fini(&a);
    fixture_fini(&b);
}

Test(equal, stores_that_applied_the_same_are_equal_whenever_they_wrote, .timeout = 200)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        run(seed * 7919);
}
