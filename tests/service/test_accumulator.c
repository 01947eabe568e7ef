/* The sums of all records, against sums made anew from a plain table. */
#include "service/integrity/accumulator.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SPACES 4
#define KEYS 50

/* The table: a number for each record, 0: absent. Its element is that number in each lane. */
struct table {
    uint64_t value[SPACES][KEYS];
};

static void space_id(unsigned space, uint8_t id[static DATABASE_ID_BYTES])
{
    memset(id, 0x40 + (int)space, DATABASE_ID_BYTES);
}

static struct multiset element(uint64_t value)
{
    return (struct multiset){{value, value * 3, ~value + 1, value << 7}};
}

/* Knuth's MMIX generator: the same numbers at each run. */
static unsigned dice(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(*state >> 33);
}

static unsigned bucket_of(unsigned key)
{
    return key % ACCUMULATOR_BUCKETS;
}

static void anew(const struct table *table, struct accumulator *ret_sums)
{
    uint8_t id[DATABASE_ID_BYTES];

    *ret_sums = (struct accumulator){0};
    for (unsigned s = 0; s < SPACES; s++)
        for (unsigned k = 0; k < KEYS; k++) {
            struct multiset one = element(table->value[s][k]);

            space_id(s, id);
            if (table->value[s][k] != 0)
                cr_assert_eq(accumulator_put(ret_sums, id, bucket_of(k), &one, false), QK_OK);
        }
}

static void same(const struct accumulator *sums, const struct accumulator *want)
{
    uint8_t id[DATABASE_ID_BYTES];

    for (unsigned s = 0; s < SPACES; s++) {
        space_id(s, id);
        cr_assert_eq(accumulator_differ(accumulator_space(sums, id), accumulator_space(want, id)),
                     0);
    }
    cr_assert(multiset_equal(&sums->total, &want->total));
}

static void change(struct accumulator *sums, struct table *table, uint64_t index, unsigned s,
                   unsigned k, uint64_t value)
{
    struct multiset delta = element(value), before = element(table->value[s][k]);
    uint8_t id[DATABASE_ID_BYTES];

    if (value == 0)
        delta = (struct multiset){{0}};
    if (table->value[s][k] != 0)
        multiset_take(&delta, &before);
    space_id(s, id);
    cr_assert_eq(accumulator_change(sums, index, id, bucket_of(k), &delta), QK_OK);
    table->value[s][k] = value;
}

static void drop(struct accumulator *sums, struct table *table, uint64_t index, unsigned s)
{
    uint8_t id[DATABASE_ID_BYTES];

    space_id(s, id);
    accumulator_drop(sums, index, id);
    memset(table->value[s], 0, sizeof table->value[s]);
}

Test(accumulator, follows_changes_and_drops)
{
    struct accumulator sums = {0}, want;
    struct table table = {{{0}}};
    uint64_t state = 7;

    for (uint64_t i = 1; i <= 5000; i++) {
        if (dice(&state) % 500 == 0)
            drop(&sums, &table, i, dice(&state) % SPACES);
        else
            change(&sums, &table, i, dice(&state) % SPACES, dice(&state) % KEYS,
                   (uint64_t)(dice(&state) % 4) * dice(&state));
    }
    anew(&table, &want);
    same(&sums, &want);
    accumulator_fini(&want);
    accumulator_fini(&sums);
}

Test(accumulator, tells_what_it_was_some_indexes_ago)
{
    struct accumulator sums = {0}, copy, want;
    struct multiset total;
    static struct table tables[201];

    for (uint64_t i = 1; i <= 200; i++) {
        tables[i] = tables[i - 1];
        for (int n = 0; n < 3; n++) /* several writes of one entry */
            change(&sums, &tables[i], i, (unsigned)(i + (uint64_t)n) % SPACES,
                   (unsigned)(i * 7) % KEYS, i * 11 + (uint64_t)n);
    }
    for (uint64_t i = 0; i <= 200; i++) {
        cr_assert_eq(accumulator_copy(&sums, i, &copy), QK_OK);
        anew(&tables[i], &want);
        same(&copy, &want);
        cr_assert_eq(accumulator_total(&sums, i, &total), QK_OK);
        cr_assert(multiset_equal(&total, &want.total));
        accumulator_fini(&copy);
        accumulator_fini(&want);
    }
    accumulator_fini(&sums);
}

Test(accumulator, does_not_tell_of_before_a_drop)
{
    struct accumulator sums = {0}, copy;
    struct table table = {{{0}}};
    struct multiset total;

    change(&sums, &table, 5, 1, 1, 9);
    drop(&sums, &table, 6, 1);
    change(&sums, &table, 7, 2, 1, 9);
    cr_assert_eq(accumulator_total(&sums, 5, &total), QK_ERR_STALE);
    cr_assert_eq(accumulator_copy(&sums, 5, &copy), QK_ERR_STALE);
    cr_assert_eq(accumulator_total(&sums, 6, &total), QK_OK);
    cr_assert(multiset_equal(&total, &(struct multiset){{0}}));
    accumulator_fini(&sums);
}

Test(accumulator, forgets_the_oldest_past)
{
    struct accumulator sums = {0};
    struct table table = {{{0}}};
    struct multiset total;

    for (uint64_t i = 1; i <= ACCUMULATOR_PAST_MAX + 10; i++)
        change(&sums, &table, i, 1, 1, i);
    cr_assert_eq(accumulator_total(&sums, 9, &total), QK_ERR_STALE);
    cr_assert_eq(accumulator_total(&sums, 10, &total), QK_OK);
    cr_assert(multiset_equal(&total, &(struct multiset){{10, 30, (uint64_t)-10, 10 << 7}}));
    accumulator_fini(&sums);
}

Test(accumulator, names_the_buckets_that_differ)
{
    struct accumulator a = {0}, b = {0};
    struct table ta = {{{0}}}, tb = {{{0}}};
    uint8_t id[DATABASE_ID_BYTES];

    space_id(0, id);
    change(&a, &ta, 1, 0, 3, 5);
    change(&b, &tb, 1, 0, 3, 5);
    change(&b, &tb, 2, 0, 31, 6);
    cr_assert_eq(accumulator_differ(accumulator_space(&a, id), accumulator_space(&b, id)),
                 1u << 31);
    cr_assert_eq(accumulator_differ(NULL, accumulator_space(&b, id)), 1u << 31 | 1u << 3);
    accumulator_fini(&a);
    accumulator_fini(&b);
}
