/* Removal, rotation and refresh in the leader's machine: transcripts on the bench, the leader
 * falling at every operation, before and after what it asked for took effect. */
#include "dealing_bench.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static struct bench *whole(unsigned nodes)
{
    struct bench *b = bench_new();

    for (unsigned i = 1; i < nodes; i++)
        bench_add(b, DEALING_JOINING);
    bench_run(b, 5000);
    cr_assert(bench_is_whole(b));
    b->ops_n = 0;
    return b;
}

/* What the command of `node remove` does. */
static void leave(struct bench *b, unsigned number)
{
    bench_member(b, number)->role = DEALING_LEAVING;
    b->records.removal = true;
}

static void away(struct bench *b, unsigned number)
{
    bench_member(b, number)->online = bench_member(b, number)->open = false;
}

static void back(struct bench *b, unsigned number)
{
    bench_member(b, number)->online = bench_member(b, number)->open = true;
}

static bool is_there(const struct bench *b, unsigned number)
{
    for (unsigned i = 0; i < b->records.members_n; i++)
        if (b->records.members[i].node_id[0] == number)
            return true;
    return false;
}

Test(leaving, a_removal_is_begin_deal_final_remove_forget_end)
{
    struct bench *b = whole(3);

    leave(b, 3);
    bench_run(b, 2000);
    cr_assert_not(b->records.removal);
    cr_assert_not(is_there(b, 3));
    cr_assert_eq(b->fresh_n, 1);
    cr_assert_eq(b->ops_n, 6, "begin, propose, final, remove, forget, end");
    cr_assert(bench_is_whole(b));
    free(b);
}

Test(leaving, a_dead_member_is_removed_like_a_live_one)
{
    struct bench *b = whole(3);

    away(b, 2);
    leave(b, 2);
    bench_run(b, 2000);
    cr_assert_not(b->records.removal);
    cr_assert_not(is_there(b, 2));
    free(b);
}

Test(leaving, a_leader_that_leaves_hands_leadership_on_first)
{
    struct bench *b = whole(3);

    leave(b, 1);
    bench_run(b, 3000);
    cr_assert_eq(b->transfers_n, 1);
    cr_assert_not(is_there(b, 1));
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, a_leader_that_leaves_does_nothing_while_nobody_can_take_over)
{
    struct bench *b = whole(3);

    bench_member(b, 2)->open = bench_member(b, 3)->open = false;
    leave(b, 1);
    bench_run(b, 3000);
    cr_assert_eq(b->ops_n, 0);
    bench_member(b, 3)->open = true;
    bench_run(b, 3000);
    cr_assert_not(is_there(b, 1));
    free(b);
}

Test(leaving, a_leader_marked_in_the_middle_of_a_deal_drops_it_and_hands_on)
{
    struct bench *b = whole(3);

    bench_add(b, DEALING_JOINING);
    b->silent[3] = true;
    bench_run(b, 200);
    cr_assert_eq(b->d.state, DEALING_COLLECT);
    leave(b, 1);
    bench_run(b, 2000);
    cr_assert_eq(b->transfers_n, 1);
    cr_assert_not(is_there(b, 1));
    free(b);
}

Test(leaving, a_leader_that_falls_at_any_step_of_a_removal_is_succeeded)
{
    for (unsigned nodes = 3; nodes <= 5; nodes++)
        for (unsigned dead = 0; dead < 2; dead++)
            for (unsigned at = 1; at <= 6; at++)
                for (unsigned effects = 0; effects < 2; effects++) {
                    struct bench *b = whole(nodes);

                    if (dead)
                        away(b, nodes);
                    b->crash_at = at;
                    b->crash_effects = effects == 1;
                    leave(b, nodes);
                    bench_run(b, 5000);
                    cr_assert_eq(b->crash_at, 0, "it did crash");
                    cr_assert_not(b->records.removal, "%u nodes, at %u, %u", nodes, at, effects);
                    cr_assert_not(is_there(b, nodes));
                    cr_assert(bench_is_whole(b));
                    free(b);
                }
}

Test(leaving, nobody_is_removed_from_the_log_before_all_who_stay_have_acked)
{
    struct bench *b = whole(4);

    away(b, 3);
    leave(b, 4);
    bench_run(b, 60000);
    cr_assert_not(b->records.final);
    cr_assert(bench_member(b, 4)->in_raft);
    cr_assert(dealing_awaits_ack(&b->d, bench_member(b, 3)->node_id));
    cr_assert_not(dealing_awaits_ack(&b->d, bench_member(b, 2)->node_id));
    cr_assert_str_eq(dealing_awaits(&b->d, bench_member(b, 3)->node_id), "to check the new deal");
    cr_assert_null(dealing_awaits(&b->d, bench_member(b, 2)->node_id));
    cr_assert_eq(b->fresh_n, 1, "one attempt is enough");
    free(b);
}

Test(leaving, one_that_comes_back_gets_a_new_generation_before_it_is_done)
{
    struct bench *b = whole(4);

    away(b, 3);
    leave(b, 4);
    bench_run(b, 5000);
    cr_assert(bench_member(b, 3)->stale);
    back(b, 3);
    bench_run(b, 5000);
    cr_assert_not(b->records.removal);
    cr_assert_eq(b->fresh_n, 1, "the further deal keeps MK");
    cr_assert_eq(b->records.deal_id[0], b->deals_n);
    cr_assert_not(bench_member(b, 3)->stale);
    free(b);
}

Test(leaving, one_that_acks_and_leaves_again_keeps_the_removal_pending)
{
    struct bench *b = whole(4);

    away(b, 3);
    leave(b, 4);
    bench_run(b, 5000);
    back(b, 3);
    while (!b->records.final) {
        b->now_ms += 10;
        bench_event(b, DEALING_EV_TICK);
    }
    /* FINAL is there; now it goes before it gave a new generation, if it has not yet */
    if (bench_member(b, 3)->stale) {
        away(b, 3);
        bench_run(b, 30000);
        cr_assert(b->records.removal);
        back(b, 3);
    }
    bench_run(b, 30000);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, done_waits_for_everybody_to_erase)
{
    struct bench *b = whole(3);

    b->keeps[2] = true;
    leave(b, 3);
    bench_run(b, 30000);
    cr_assert(b->records.removal);
    cr_assert_not(is_there(b, 3));
    cr_assert_str_eq(dealing_awaits(&b->d, bench_member(b, 2)->node_id),
                     "to erase its older generations");
    cr_assert_leq(dealing_deadline(&b->d, b->now_ms), b->now_ms + DEALING_RETRY_MS_MAX);
    b->keeps[2] = false;
    bench_run(b, 2000);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, a_join_goes_on_while_an_erasure_is_awaited)
{
    struct bench *b = whole(3);

    b->keeps[2] = true;
    leave(b, 3);
    bench_run(b, 5000);
    bench_add(b, DEALING_JOINING);
    bench_run(b, 3000);
    cr_assert(bench_is_whole(b));
    cr_assert(b->records.removal);
    b->keeps[2] = false;
    bench_run(b, 3000);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, a_second_one_whose_ack_is_awaited_is_left_out_of_another_deal_with_a_new_key)
{
    for (unsigned at = 0; at <= 7; at++)
        for (unsigned effects = 0; effects < 2; effects++) {
            struct bench *b = whole(5);

            away(b, 4);
            leave(b, 5);
            bench_run(b, 5000);
            cr_assert_not(b->records.final);
            b->ops_n = 0;
            b->crash_at = at;
            b->crash_effects = effects == 1;
            leave(b, 4);
            bench_run(b, 8000);
            cr_assert_eq(b->crash_at, 0);
            cr_assert_eq(b->fresh_n >= 2, true);
            cr_assert_not(is_there(b, 4));
            cr_assert_not(is_there(b, 5));
            cr_assert_not(b->records.removal, "at %u, %u", at, effects);
            free(b);
        }
}

Test(leaving, without_enough_members_no_attempt_is_begun)
{
    struct bench *b = whole(4);

    away(b, 2);
    away(b, 3);
    leave(b, 4);
    bench_run(b, 60000);
    cr_assert_eq(b->ops_n, 0);
    back(b, 2);
    b->records.fresh_min = 3;
    bench_run(b, 5000);
    cr_assert_eq(b->ops_n, 0);
    back(b, 3);
    bench_run(b, 5000);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, too_few_generations_make_no_deal_with_a_new_key)
{
    struct bench *b = whole(4);

    b->records.fresh_min = 3;
    b->silent[2] = true;
    leave(b, 4);
    bench_run(b, 60000);
    cr_assert_eq(b->fresh_n, 0);
    cr_assert_leq(b->begins_n, 3 + 60000 / DEALING_COLLECT_MS);
    b->silent[2] = false;
    bench_run(b, DEALING_COLLECT_MS + DEALING_AGAIN_MS_MAX);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, a_joining_member_that_is_in_no_deal_goes_without_one)
{
    struct bench *b = whole(3);

    bench_add(b, DEALING_JOINING);
    away(b, 4);
    bench_member(b, 4)->in_raft = true;
    leave(b, 4);
    bench_run(b, 2000);
    cr_assert_eq(b->fresh_n, 0);
    cr_assert_not(is_there(b, 4));
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, nobody_joins_by_the_deal_that_leaves_somebody_out)
{
    struct bench *b = whole(3);

    bench_add(b, DEALING_JOINING);
    leave(b, 3);
    bench_run(b, 5000);
    cr_assert_not(b->records.removal);
    cr_assert(bench_is_whole(b));
    cr_assert_eq(b->fresh_n, 1);
    free(b);
}

Test(leaving, a_change_of_the_configuration_is_waited_for)
{
    struct bench *b = whole(3);

    leave(b, 3);
    b->records.changing = true;
    bench_run(b, 3000);
    cr_assert(bench_member(b, 3)->in_raft);
    cr_assert(b->records.final);
    b->records.changing = false;
    bench_run(b, 3000);
    cr_assert_not(b->records.removal);
    free(b);
}

Test(leaving, a_removal_supersedes_a_deal_without_a_new_key_that_awaits_acks)
{
    struct bench *b = whole(3);

    bench_add(b, DEALING_JOINING);
    b->crash_at = 4; /* at FINAL of the join, without effect */
    bench_run(b, 60);
    cr_assert_not(b->records.final);
    b->silent[3] = true;
    away(b, 4);
    leave(b, 3);
    bench_run(b, 3000);
    cr_assert_eq(b->fresh_n, 1);
    cr_assert_not(is_there(b, 3));
    free(b);
}

Test(rotation, has_a_new_key_and_waits_for_all_and_then_for_nothing)
{
    for (unsigned at = 0; at <= 3; at++)
        for (unsigned effects = 0; effects < 2; effects++) {
            struct bench *b = whole(3);

            b->crash_at = at;
            b->crash_effects = effects == 1;
            b->records.rotate = true;
            bench_run(b, 5000);
            cr_assert_geq(b->fresh_n, 1);
            cr_assert(b->records.final);
            cr_assert_eq(dealing_deadline(&b->d, b->now_ms), UINT64_MAX);
            free(b);
        }
}

Test(rotation, with_a_member_away_is_followed_by_a_deal_for_it_when_it_is_back)
{
    struct bench *b = whole(4);

    away(b, 3);
    b->records.rotate = true;
    bench_run(b, 5000);
    cr_assert_not(b->records.final);
    cr_assert(bench_member(b, 3)->stale);
    back(b, 3);
    bench_run(b, 5000);
    cr_assert(b->records.final);
    cr_assert_not(bench_member(b, 3)->stale);
    cr_assert_eq(b->fresh_n, 1);
    free(b);
}

Test(rotation, one_whose_ack_it_awaits_may_be_removed)
{
    struct bench *b = whole(4);

    away(b, 3);
    b->records.rotate = true;
    bench_run(b, 5000);
    leave(b, 3);
    bench_run(b, 5000);
    cr_assert_eq(b->fresh_n, 2);
    cr_assert_not(b->records.removal);
    free(b);
}

/* The deal without it is made from the rotation's, which is not final, and its FINAL ends both. */
Test(rotation, one_that_is_there_may_be_removed_while_it_awaits_one_that_is_away)
{
    struct bench *b = whole(5);

    away(b, 4);
    b->records.rotate = true;
    bench_run(b, 5000);
    cr_assert_not(b->records.final || dealing_awaits_present(&b->d));
    leave(b, 5);
    bench_run(b, 5000);
    cr_assert(!b->records.final && b->records.removal && b->fresh_n == 2, "4 is awaited still");
    back(b, 4);
    bench_run(b, 60000);
    cr_assert(b->records.final && !b->records.removal && !is_there(b, 5));
    free(b);
}

Test(rotation, waits_while_somebody_joins)
{
    struct bench *b = whole(3);

    bench_add(b, DEALING_JOINING);
    b->records.rotate = true;
    bench_run(b, 5000);
    cr_assert(bench_is_whole(b));
    cr_assert_eq(b->fresh_n, 1);
    cr_assert_eq(b->deals_n, 4, "two joins before, this join, the rotation");
    free(b);
}

/* A voter that is away keeps every joiner from its vote: that must hold up no deal, and no end of a
 * removal. */
Test(rotation, does_not_wait_for_a_joiner_that_cannot_get_its_vote)
{
    struct bench *b = whole(3);

    b->fail_changes = true;
    bench_add(b, DEALING_JOINING);
    bench_run(b, 5000);
    cr_assert(bench_member(b, 4)->in_deal);
    b->records.rotate = true;
    bench_run(b, 60000);
    cr_assert_eq(b->fresh_n, 1);
    cr_assert(b->records.final);
    leave(b, 3);
    bench_run(b, 60000);
    cr_assert_not(b->records.removal);
    cr_assert_eq(b->fresh_n, 2);
    b->fail_changes = false;
    bench_run(b, 60000);
    cr_assert(bench_is_whole(b));
    free(b);
}

Test(refresh, is_due_by_the_clock_of_who_leads)
{
    cr_assert_not(dealing_refresh_due(1000, 0, 10), "a deal of a version that kept no time");
    cr_assert_not(dealing_refresh_due(1000, 1, 0), "never");
    cr_assert_not(dealing_refresh_due(1009, 1000, 10));
    cr_assert(dealing_refresh_due(1010, 1000, 10));
    cr_assert_not(dealing_refresh_due(1000, 1000 + 24 * 3600, 10), "clocks differ a little");
    cr_assert(dealing_refresh_due(1000, 1001 + 24 * 3600, 10), "by a clock that was far ahead");
}

Test(refresh, keeps_the_key_also_with_a_member_away)
{
    struct bench *b = whole(3);

    away(b, 2);
    b->records.wanted = true;
    bench_run(b, 5000);
    cr_assert_not(b->records.wanted);
    cr_assert_eq(b->fresh_n, 0);
    cr_assert(b->records.final);
    cr_assert_not(bench_member(b, 2)->stale, "its MK is still the one");
    free(b);
}

Test(refresh, is_not_begun_by_one_that_is_alone)
{
    struct bench *b = whole(3);

    away(b, 2);
    away(b, 3);
    b->records.wanted = true;
    bench_run(b, 60000);
    cr_assert_eq(b->ops_n, 0);
    free(b);
}

Test(refresh, one_that_fails_is_not_tried_without_end)
{
    struct bench *b = whole(3);
    unsigned begins = b->begins_n;

    b->fail_proposals = true;
    b->records.wanted = true;
    bench_run(b, 120000);
    cr_assert_leq(b->begins_n - begins, 16);
    b->fail_proposals = false;
    bench_run(b, 2 * DEALING_AGAIN_MS_MAX);
    cr_assert_not(b->records.wanted);
    free(b);
}
