#include <criterion/criterion.h>

#include "consensus/log.h"

static void append_n(struct entry_log *log, unsigned n, uint64_t term)
{
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(entry_log_append(log, term, 1, bytes_str("0123456789")), QK_OK);
}

Test(log, entries_are_found_by_index_with_their_terms)
{
    struct entry_log log;

    entry_log_init(&log, 5);
    cr_assert_eq(entry_log_last(&log), 4);
    cr_assert_null(entry_log_get(&log, 5));
    append_n(&log, 100, 1);
    append_n(&log, 100, 2);
    cr_assert_eq(entry_log_last(&log), 204);
    cr_assert_eq(entry_log_term(&log, 104), 1);
    cr_assert_eq(entry_log_term(&log, 105), 2);
    cr_assert_eq(entry_log_term(&log, 4), 0);
    cr_assert_eq(entry_log_term(&log, 205), 0);
    entry_log_fini(&log);
}

Test(log, truncation_and_trim_keep_the_middle)
{
    struct entry_log log;

    entry_log_init(&log, 1);
    append_n(&log, 50, 3);
    entry_log_truncate(&log, 41);
    cr_assert_eq(entry_log_last(&log), 40);
    entry_log_trim(&log, 10);
    cr_assert_eq(log.first, 11);
    cr_assert_null(entry_log_get(&log, 10));
    append_n(&log, 200, 4);
    cr_assert_eq(entry_log_last(&log), 240);
    cr_assert_eq(entry_log_term(&log, 40), 3);
    cr_assert_eq(entry_log_term(&log, 41), 4);
    entry_log_trim(&log, 240);
    cr_assert_eq(log.n, 0);
    cr_assert_eq(log.bytes, 0);
    cr_assert_eq(entry_log_last(&log), 240);
    entry_log_reset(&log, 1000);
    cr_assert_eq(entry_log_last(&log), 999);
    entry_log_fini(&log);
}

Test(log, excess_leaves_the_bytes_that_are_wanted)
{
    struct entry_log log;
    size_t each;

    entry_log_init(&log, 1);
    append_n(&log, 10, 1);
    each = log.bytes / 10;
    cr_assert_eq(entry_log_excess(&log, log.bytes), 0);
    cr_assert_eq(entry_log_excess(&log, log.bytes + 1), 0);
    cr_assert_eq(entry_log_excess(&log, each * 3), 7);
    cr_assert_eq(entry_log_excess(&log, 0), 10);
    entry_log_fini(&log);
}
