/* The conditions of a command's batches: each is judged against what the batches before it left,
 * however often the same records are asked for. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "fixture.h"

#define NAMES 12 /* more than one command remembers */

static void batch(struct wire_command *command, const char *name, uint64_t version)
{
    uint8_t key[RECORD_KEY_BYTES_MAX];

    wire_command_batch(command);
    wire_command_cond(command, test_key('A', name, key), version);
}

static void put(struct wire_command *command, const char *name, uint64_t version)
{
    uint8_t key[RECORD_KEY_BYTES_MAX];

    wire_command_put(command, test_key('A', name, key), version, WIRE_DOC, bytes_str("x"));
}

/* `want`: a letter for each batch, y or n. */
static void apply(struct fixture *f, struct wire_command *command, const char *want)
{
    struct buf result = BUF_INIT(64 * KIB);
    struct wire_result outcome;

    cr_assert_eq(test_apply(f, command, &result), QK_OK);
    cr_assert_eq(wire_results_count(buf_bytes(&result)), strlen(want));
    for (size_t i = 0; want[i] != '\0'; i++) {
        cr_assert_eq(wire_result_get(buf_bytes(&result), i, &outcome), QK_OK);
        cr_assert_eq(outcome.ok, want[i] == 'y', "batch %zu", i);
    }
    buf_fini(&result);
}

Test(conditions, what_a_batch_writes_the_next_ones_see)
{
    struct wire_command command;
    uint8_t key[RECORD_KEY_BYTES_MAX];
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "a", 1, WIRE_DOC, "x"), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    batch(&command, "a", 1);
    put(&command, "b", 1);
    batch(&command, "a", 1); /* the same once more, and it is written */
    put(&command, "a", 2);
    batch(&command, "a", 1);
    put(&command, "c", 1);
    batch(&command, "a", 2);
    wire_command_delete(&command, test_key('A', "a", key));
    batch(&command, "a", 2);
    put(&command, "c", 1);
    batch(&command, "a", 0);
    put(&command, "a", 1);
    batch(&command, "a", 1);
    put(&command, "c", 1);
    batch(&command, "c", 0);
    put(&command, "d", 1);
    apply(&f, &command, "yynynyyn");
    fixture_fini(&f);
}

Test(conditions, a_batch_that_fails_changes_nothing_that_is_remembered)
{
    struct wire_command command;
    struct fixture f;

    fixture_init(&f);
    wire_command_begin(&command, WIRE_WRITE);
    batch(&command, "a", 0);
    put(&command, "a", 7);
    batch(&command, "a", 0);
    put(&command, "a", 1);
    batch(&command, "a", 0);
    put(&command, "b", 1);
    apply(&f, &command, "nyn");
    fixture_fini(&f);
}

Test(conditions, a_range_and_a_whole_database_take_away_what_was_remembered)
{
    struct wire_command command;
    uint8_t key[RECORD_KEY_BYTES_MAX];
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "ab", 1, WIRE_DOC, "x"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "b", 1, WIRE_DOC, "x"), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    batch(&command, "ab", 1);
    wire_command_delete_range(&command, test_key('A', "a", key));
    batch(&command, "ab", 1);
    put(&command, "c", 1);
    batch(&command, "ab", 0);
    put(&command, "c", 1);
    batch(&command, "b", 1);
    wire_command_delete_range(&command, test_key('A', "", key));
    batch(&command, "b", 1);
    put(&command, "d", 1);
    batch(&command, "b", 0);
    put(&command, "d", 1);
    apply(&f, &command, "ynyyny");
    fixture_fini(&f);
}

Test(conditions, more_records_than_are_remembered_are_all_judged)
{
    struct wire_command command;
    char name[8], want[3 * NAMES + 1] = "";
    struct fixture f;

    fixture_init(&f);
    wire_command_begin(&command, WIRE_WRITE);
    for (unsigned i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof name, "n%02u", i);
        batch(&command, name, 0);
        put(&command, name, 1);
        want[i] = 'y';
    }
    for (unsigned i = 0; i < NAMES; i++) { /* right and wrong in turn */
        (void)snprintf(name, sizeof name, "n%02u", i);
        batch(&command, name, 1);
        batch(&command, name, 2);
        want[NAMES + 2 * i] = 'y';
        want[NAMES + 2 * i + 1] = 'n';
    }
    apply(&f, &command, want);
    fixture_fini(&f);
}
