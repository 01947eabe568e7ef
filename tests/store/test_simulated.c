/* The store of the simulator (tests/sim/system_table.c) and this one are the same function of the
 * commands: same results at every command, and after them each holds every record of the other. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../sim/system_table.h"
#include "base/key_uses.h"
#include "fixture.h"

#define SEEDS 6
#define STEPS 1200
#define LOOK_EVERY 100
#define KEYS_N 3
#define KEY_VERSIONS_N 4

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

    (void)snprintf(name, sizeof name, "%c/%u", 'p' + (int)roll(dice, 3), roll(dice, 10));
    return test_key((char)('A' + roll(dice, 3)), name, raw);
}

static uint64_t version_for(const struct table *table, struct dice *dice, struct bytes key)
{
    const struct row *row = table_find(table, key);

    return roll(dice, 8) == 0 ? roll(dice, 4) : row != NULL ? row->version : 0;
}

/* Few keys and versions, so that their limits are met. */
static void random_use(struct dice *dice, uint8_t ret_tag[static WIRE_TAG_BYTES])
{
    memset(ret_tag, 'k', WIRE_TAG_BYTES);
    ret_tag[0] = (uint8_t)roll(dice, KEYS_N);
    put_u32(ret_tag + KEY_USE_ID_BYTES, 1 + roll(dice, KEY_VERSIONS_N));
}

static void random_value(struct dice *dice, bool keyed, struct buf *out)
{
    uint8_t tag[WIRE_TAG_BYTES], rest[64];
    struct key_use uses[2];
    unsigned n = 1 + roll(dice, 2);

    for (unsigned i = 0; i < n && keyed; i++) {
        random_use(dice, tag);
        memcpy(uses[i].key_id, tag, KEY_USE_ID_BYTES);
        uses[i].version = get_u32(tag + KEY_USE_ID_BYTES);
        uses[i].bodies = (uint16_t)(1 + roll(dice, 3));
        uses[i].sealed = (uint16_t)roll(dice, 2);
        uses[i].sealed_bytes = uses[i].sealed * roll(dice, 100);
    }
    if (keyed)
        key_uses_put(uses, n, out);
    memset(rest, (int)roll(dice, 256), sizeof rest);
    buf_put(out, rest, roll(dice, sizeof rest));
}

static void random_op(const struct table *table, struct dice *dice, struct wire_command *command)
{
    struct buf value = BUF_INIT(KIB);
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct bytes key = random_key(dice, raw);
    const struct row *row = table_find(table, key);
    unsigned what = roll(dice, 40);
    uint8_t flags = (uint8_t)roll(dice, 4);

    if ((flags & WIRE_DOC) == 0) /* a tombstone is one of a document */
        flags = 0;
    if (roll(dice, 2) == 0)
        flags |= WIRE_KEYED;
    if (row != NULL && (row->flags & WIRE_DOC) != 0 && roll(dice, 4) == 0)
        flags = (uint8_t)((roll(dice, 6) == 0 ? flags | WIRE_DOC : row->flags) | WIRE_SAME_SEQ);
    random_value(dice, (flags & WIRE_KEYED) != 0, &value);
    if (what == 0)
        wire_command_delete_range(command, bytes_slice(key, 0, DATABASE_ID_BYTES));
    else if (what < 4)
        wire_command_delete_range(command, bytes_slice(key, 0, DATABASE_ID_BYTES + 2));
    else if (what < 9)
        wire_command_delete(command, key);
    else
        wire_command_put(command, key, version_for(table, dice, key) + 1, flags, buf_bytes(&value));
    buf_fini(&value);
}

static void random_command(const struct table *table, struct dice *dice,
                           struct wire_command *command)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    unsigned batches = 1 + roll(dice, 3);

    wire_command_begin(command, WIRE_WRITE);
    while (batches-- > 0) {
        unsigned conds = roll(dice, 3), ops = 1 + roll(dice, 5);

        wire_command_batch(command);
        if (roll(dice, 3) == 0) {
            random_use(dice, raw);
            wire_command_limit(command, raw, 5 + roll(dice, 400), 100 + roll(dice, 20000));
        }
        while (conds-- > 0) {
            struct bytes key = random_key(dice, raw);

            wire_command_cond(command, key, version_for(table, dice, key));
        }
        while (ops-- > 0)
            random_op(table, dice, command);
    }
}

static void same_record(const struct row *row, const struct record *record)
{
    cr_assert_eq(row->version, record->version);
    cr_assert_eq(row->flags, record->flags);
    cr_assert_eq(row->seq, record->seq);
    cr_assert(bytes_equal(blob_bytes(row->value), record->value));
}

static void same_keys(struct fixture *f, const struct table *table)
{
    cr_assert_eq(table->keys_n, KEYS_N * KEY_VERSIONS_N);
    for (size_t i = 0; i < table->keys_n; i++) {
        const struct table_key *key = &table->keys[i];
        struct store_key_stats stats;

        store_key_stats(f->store, key->id, get_u32(key->id + KEY_USE_ID_BYTES), &stats);
        cr_assert_eq(key->bodies, stats.bodies);
        cr_assert_eq(key->sealed, stats.sealed);
        cr_assert_eq(key->sealed_bytes, stats.sealed_bytes);
    }
}

/* Both directions: what the table holds by get, what the file holds by a scan of all. */
static void compare(struct fixture *f, const struct table *table)
{
    struct store_cursor *cursor;
    struct store_row row;
    struct record record;
    size_t n = 0;

    for (size_t i = 0; i < table->n; i++) {
        cr_assert_eq(store_get(f->store, blob_bytes(table->rows[i].key), &record), QK_OK);
        same_record(&table->rows[i], &record);
    }
    fixture_flush(f);
    cr_assert_eq(store_cursor_open(f->store, BYTES_NONE, BYTES_NONE, false, &cursor), QK_OK);
    for (; store_cursor_next(cursor, &row) == QK_OK; n++) {
        const struct row *other = table_find(table, row.key);

        cr_assert_not_null(other);
        same_record(other, &row.record);
    }
    store_cursor_close(cursor);
    cr_assert_eq(n, table->n);
    same_keys(f, table);
    cr_assert_eq(store_applied(f->store), table->index);
}

static void changed(void *arg, struct bytes key)
{
    (void)key;
    ++*(unsigned *)arg;
}

static void run(uint64_t seed)
{
    struct dice dice = {seed}, moments = {seed + 77};
    struct buf result = BUF_INIT(KIB), simulated = BUF_INIT(KIB);
    struct table table = {0};
    unsigned changed_n = 0;
    struct fixture f;

    fixture_init(&f);
    for (uint64_t step = 1; step <= STEPS; step++) {
        struct wire_command command;
        struct bytes bytes;

        random_command(&table, &dice, &command);
        cr_assert_eq(wire_command_end(&command, &bytes), QK_OK);
        buf_reset(&result);
        buf_reset(&simulated);
        cr_assert_eq(store_apply(f.store, step, 1, true, bytes, &result), QK_OK);
        cr_assert_eq(table_apply(&table, bytes, &simulated, changed, &changed_n), QK_OK);
        table.index = step;
        cr_assert(bytes_equal(buf_bytes(&result), buf_bytes(&simulated)), "seed %llu step %llu",
                  (unsigned long long)seed, (unsigned long long)step);
        wire_command_fini(&command);
        if (roll(&moments, 20) == 0)
            fixture_flush(&f);
        if (step % LOOK_EVERY == 0)
            compare(&f, &table);
    }
    cr_assert_gt(changed_n, STEPS);
    table_fini(&table);
    buf_fini(&result);
    buf_fini(&simulated);
    fixture_fini(&f);
}

Test(simulated, the_simulators_store_does_what_the_store_does, .timeout = 200)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed * 104729);
}
