/* Two stores that apply the same random commands, flushed, restarted and swapped at different
 * moments, are equal: same results at every command, same snapshot to the byte. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

#define STEPS 1500
#define KEYS_N 3 /* 'k' and on */
#define VERSIONS_N 2

/* What was ever sealed, counted here beside the stores: by key and version. */
struct ledger {
    uint64_t sealed[KEYS_N][VERSIONS_N], bytes[KEYS_N][VERSIONS_N];
};

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

/* A list of one or two keys with any numbers that are allowed. */
static void random_keyed(struct dice *dice, struct buf *value)
{
    struct key_use uses[2];
    unsigned n = 1 + roll(dice, 4) / 3;

    for (unsigned i = 0; i < n; i++) {
        uses[i] = test_use((char)('k' + roll(dice, KEYS_N)), 1 + roll(dice, VERSIONS_N));
        uses[i].bodies = (uint16_t)(1 + roll(dice, 3));
        uses[i].sealed = (uint16_t)roll(dice, uses[i].bodies + 1u);
        uses[i].sealed_bytes = roll(dice, 5000);
    }
    key_uses_put(uses, n, value);
}

static void random_put_keyed(struct fixture *f, struct dice *dice, struct wire_command *command,
                             struct bytes key)
{
    struct buf value = BUF_INIT(KIB);

    random_keyed(dice, &value);
    wire_command_put(command, key, version_for(f, dice, key) + 1,
                     (uint8_t)(roll(dice, 4) | WIRE_KEYED), buf_bytes(&value));
    buf_fini(&value);
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
    else if (what < 25)
        random_put_keyed(f, dice, command, key);
    else
        wire_command_put(command, key, version_for(f, dice, key) + 1, (uint8_t)roll(dice, 4),
                         bytes_of(value, roll(dice, sizeof value)));
}

/* Now and then so low that it fails. */
static void random_limit(struct fixture *f, struct dice *dice, struct wire_command *command)
{
    struct key_use use = test_use((char)('k' + roll(dice, KEYS_N)), 1 + roll(dice, VERSIONS_N));
    uint8_t tag[WIRE_TAG_BYTES];
    struct store_key_stats stats;

    memcpy(tag, use.key_id, KEY_USE_ID_BYTES);
    put_u32(tag + KEY_USE_ID_BYTES, use.version);
    store_key_stats(f->store, use.key_id, use.version, &stats);
    wire_command_limit(command, tag, stats.sealed + roll(dice, 4),
                       roll(dice, 2) == 0 ? UINT64_MAX : stats.sealed_bytes + roll(dice, 9000));
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
        if (roll(dice, 6) == 0)
            random_limit(f, dice, command);
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

static void uses_recount(struct fixture *f, char letter, unsigned version,
                         struct store_key_stats *by_database)
{
    struct key_use wanted = test_use(letter, version), use;
    struct store_cursor *cursor;
    struct store_row row;
    uint8_t raw[RECORD_KEY_BYTES_MAX];

    cr_assert_eq(store_cursor_open(f->store, test_key('A', "", raw), BYTES_NONE, false, &cursor),
                 QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK) {
        struct store_key_stats *seen = &by_database[row.key.data[DATABASE_ID_BYTES - 1] - 'A'];
        struct key_uses uses;
        bool first = true;

        if ((row.record.flags & WIRE_KEYED) == 0)
            continue;
        cr_assert_eq(key_uses_open(row.record.value, &uses, NULL), QK_OK);
        for (; key_uses_next(&uses, &use); first = false) {
            bool doc = first && (row.record.flags & WIRE_DOC) != 0;

            if (memcmp(use.key_id, wanted.key_id, sizeof use.key_id) != 0 || use.version != version)
                continue;
            seen->bodies += use.bodies;
            seen->doc_count += doc && (row.record.flags & WIRE_DELETED) == 0;
            seen->del_count += doc && (row.record.flags & WIRE_DELETED) != 0;
            seen->bytes += first ? row.key.len + row.record.value.len : 0;
        }
    }
    store_cursor_close(cursor);
}

static void stats_sum(struct store_key_stats *sum, const struct store_key_stats *by)
{
    sum->doc_count += by->doc_count;
    sum->del_count += by->del_count;
    sum->bodies += by->bodies;
    sum->bytes += by->bytes;
}

/* The counts of keys are those of the lists of what is there, and of all that was ever applied. */
static void keys_recount(struct fixture *f, const struct ledger *ledger)
{
    for (unsigned k = 0; k < KEYS_N; k++) {
        struct store_key_stats in_database[3] = {0}, stats;
        struct key_use use = test_use((char)('k' + k), 1);
        uint8_t raw[RECORD_KEY_BYTES_MAX];

        for (unsigned v = 1; v <= VERSIONS_N; v++) {
            struct store_key_stats one[3] = {0}, sum = {0};

            uses_recount(f, (char)('k' + k), v, one);
            for (unsigned d = 0; d < 3; d++) {
                stats_sum(&in_database[d], &one[d]);
                stats_sum(&sum, &one[d]);
            }
            sum.sealed = ledger->sealed[k][v - 1];
            sum.sealed_bytes = ledger->bytes[k][v - 1];
            store_key_stats(f->store, use.key_id, v, &stats);
            cr_assert_eq(memcmp(&stats, &sum, sizeof sum), 0, "key %u version %u", k, v);
        }
        for (unsigned d = 0; d < 3; d++) {
            store_database_key_stats(f->store, test_key((char)('A' + d), "", raw).data, use.key_id,
                                     &stats);
            cr_assert_eq(memcmp(&stats, &in_database[d], sizeof stats), 0, "key %u in %u", k, d);
        }
    }
}

static void ledger_op(struct ledger *ledger, const struct wire_op *op)
{
    struct key_uses uses;
    struct key_use use;

    if (op->type != WIRE_PUT || (op->flags & WIRE_KEYED) == 0)
        return;
    cr_assert_eq(key_uses_open(op->value, &uses, NULL), QK_OK);
    while (key_uses_next(&uses, &use)) {
        ledger->sealed[use.key_id[0] - 'k'][use.version - 1] += use.sealed;
        ledger->bytes[use.key_id[0] - 'k'][use.version - 1] += use.sealed_bytes;
    }
}

/* Returns how many batches were refused by a limit. */
static unsigned ledger_command(struct ledger *ledger, struct bytes command, struct bytes results)
{
    struct wire_reader reader;
    struct wire_cond cond;
    struct wire_op op;
    unsigned refused_n = 0;

    cr_assert_eq(wire_reader_open(command, &reader), QK_OK);
    for (size_t at = 0; wire_reader_batch(&reader); at++) {
        struct wire_result result;

        cr_assert_eq(wire_result_get(results, at, &result), QK_OK);
        for (uint32_t i = 0; wire_reader_cond(&reader, &cond); i++)
            refused_n += !result.ok && result.failed == i && cond.is_limit;
        while (result.ok && wire_reader_op(&reader, &op))
            ledger_op(ledger, &op);
    }
    return refused_n;
}

static void run(uint64_t seed)
{
    struct ledger ledger = {0};
    unsigned refused_n = 0;

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
        refused_n += ledger_command(&ledger, bytes, buf_bytes(&result_a));
        wire_command_fini(&command);
        disturb(&a, &dice_a, 5);
        disturb(&b, &dice_b, 60);
        if (step % 250 == 249) {
            compare(&a, &b);
            keys_recount(&a, &ledger);
        }
    }
    cr_assert_gt(refused_n, 10);
    keys_recount(&b, &ledger);
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
