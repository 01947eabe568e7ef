/* Cluster time, over the store and the one member's consensus of documents_fixture.h. */
#include <criterion/criterion.h>
#include <string.h>
#include <time.h>

#include "documents_fixture.h"
#include "service/clock.h"
#include "service/timer_uv.h"
#include "wire/command.h"
#include "wire/records.h"

static void timer_gone(void *arg)
{
    *(bool *)arg = true;
}

static void setup(struct documents *documents)
{
    documents_init(documents);
    documents->term = 1;                                          /* no real term is 0 */
    documents->service.consensus = (struct consensus *)documents; /* never looked into */
    cr_assert_eq(timer_new(&documents->loop, clock_tick, &documents->service,
                           &documents->service.clock.timer),
                 QK_OK);
}

static void teardown(struct documents *documents)
{
    bool gone = false;

    timer_free(documents->service.clock.timer, timer_gone, &gone);
    documents_run_until(documents, &gone);
    documents_fini(documents);
}

static void flag_set(void *arg, enum qk_err err)
{
    (void)err;
    *(bool *)arg = true;
}

/* Runs what was submitted, then reads, as the hub does on a change. */
static void settle(struct documents *documents)
{
    bool flushed = false;

    while (documents->first != NULL || documents->service.clock.ticking)
        uv_run(&documents->loop, UV_RUN_NOWAIT);
    store_flush(documents->service.store, flag_set, &flushed);
    documents_run_until(documents, &flushed);
    clock_read(&documents->service);
}

static void put_time(struct documents *documents, uint64_t time_s)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_TIME);
    struct buf value = BUF_INIT(64);
    struct wire_command command;
    struct record record = {0};

    if (store_get(documents->service.store, record_key_bytes(&key), &record) != QK_OK)
        record.version = 0;
    clock_record_encode(time_s, &value);
    wire_command_begin(&command, WIRE_TICK);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), record.version + 1, 0, buf_bytes(&value));
    documents_apply(documents, &command);
    wire_command_fini(&command);
    buf_fini(&value);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

Test(clock, a_leader_writes_its_time_once_a_term)
{
    struct documents documents;
    size_t before;

    setup(&documents);
    before = documents.submitted_n;
    clock_tick(&documents.service);
    settle(&documents);
    cr_assert_eq(documents.submitted_n, before + 1);
    cr_assert_leq(distance(service_time_s(&documents.service), (uint64_t)time(NULL)), 2);
    clock_tick(&documents.service);
    cr_assert_eq(documents.submitted_n, before + 1);
    documents.term++;
    clock_tick(&documents.service);
    settle(&documents);
    cr_assert_eq(documents.submitted_n, before + 2);
    teardown(&documents);
}

Test(clock, a_follower_writes_nothing)
{
    struct documents documents;
    size_t before;

    setup(&documents);
    before = documents.submitted_n;
    documents.leader = false;
    clock_tick(&documents.service);
    cr_assert_eq(documents.submitted_n, before);
    teardown(&documents);
}

Test(clock, a_leader_whose_clock_is_behind_goes_on_from_the_record)
{
    uint64_t ahead = (uint64_t)time(NULL) + 86400;
    struct documents documents;

    setup(&documents);
    put_time(&documents, ahead);
    clock_read(&documents.service);
    cr_assert_leq(distance(service_time_s(&documents.service), ahead), 2);
    clock_tick(&documents.service);
    settle(&documents);
    cr_assert_eq(documents.service.clock.version, 2);
    cr_assert_geq(service_time_s(&documents.service), ahead);
    cr_assert_leq(service_time_s(&documents.service), ahead + 2);
    teardown(&documents);
}

Test(clock, a_clock_far_ahead_of_a_time_that_was_followed_only_hurries_it)
{
    struct service_clock clock = {.version = 3, .follows = true};

    cr_assert_eq(clock_next(&clock, 1000000, 1000000 + CLOCK_AHEAD_S), 1000000 + CLOCK_AHEAD_S);
    cr_assert_eq(clock_next(&clock, 1000000, 1000000 + 400 * 86400), 1000000 + 10);
    cr_assert_eq(clock_next(&clock, 1000000, 5), 1000000);
    clock.follows = false; /* all were stopped, nobody knows for how long */
    cr_assert_eq(clock_next(&clock, 1000000, 1000000 + 400 * 86400), 1000000 + 400 * 86400);
}

Test(clock, a_time_is_followed_when_it_has_changed_for_longer_than_a_start_takes)
{
    struct documents documents;

    setup(&documents);
    put_time(&documents, 1000);
    clock_read(&documents.service);
    put_time(&documents, 1001);
    clock_read(&documents.service);
    cr_assert_not(documents.service.clock.follows, "the log is applied again");
    documents.service.clock.first_ms -= CLOCK_FOLLOWS_MS;
    clock_read(&documents.service);
    cr_assert_not(documents.service.clock.follows, "nobody has ticked since");
    put_time(&documents, 1002);
    clock_read(&documents.service);
    cr_assert(documents.service.clock.follows);
    teardown(&documents);
}

Test(clock, it_never_goes_back_in_a_process)
{
    uint64_t ahead = (uint64_t)time(NULL) + 86400;
    struct documents documents;

    setup(&documents);
    put_time(&documents, ahead);
    clock_read(&documents.service);
    put_time(&documents, ahead - 3600);
    clock_read(&documents.service);
    cr_assert_geq(service_time_s(&documents.service), ahead);
    teardown(&documents);
}

Test(clock, a_leader_that_lost_the_race_of_its_first_tick_ticks_again)
{
    struct documents documents;

    setup(&documents);
    documents.hold = true;
    clock_tick(&documents.service);
    put_time(&documents, (uint64_t)time(NULL));
    documents.hold = false;
    settle(&documents);
    cr_assert_eq(documents.service.clock.term, 0);
    clock_tick(&documents.service);
    settle(&documents);
    cr_assert_eq(documents.service.clock.version, 2);
    teardown(&documents);
}

Test(clock, a_record_cut_anywhere_or_altered_is_refused_or_another_time)
{
    struct buf value = BUF_INIT(64);
    uint64_t time_s;

    clock_record_encode(1700000000, &value);
    cr_assert_eq(clock_record_decode(buf_bytes(&value), &time_s), QK_OK);
    cr_assert_eq(time_s, 1700000000);
    for (size_t len = 0; len < value.len; len++)
        cr_assert_neq(clock_record_decode(bytes_of(value.data, len), &time_s), QK_OK);
    for (size_t at = 0; at < value.len; at++) {
        value.data[at] ^= 0xff;
        if (clock_record_decode(buf_bytes(&value), &time_s) == QK_OK)
            cr_assert_neq(time_s, 1700000000, "byte %zu", at);
        value.data[at] ^= 0xff;
    }
    buf_put_u8(&value, 0);
    cr_assert_neq(clock_record_decode(buf_bytes(&value), &time_s), QK_OK);
    buf_fini(&value);
}
