/* The leader's machine against replicated records kept here: whole joins as transcripts, with the
 * leader crashing at every step, before and after what it asked for took effect. */
#include "dealing_bench.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

Test(dealing, a_lone_founder_has_nothing_to_do)
{
    struct bench *b = bench_new();

    bench_run(b, 5000);
    cr_assert_eq(b->ops_n, 0);
    cr_assert_eq(dealing_deadline(&b->d, b->now_ms), UINT64_MAX);
    free(b);
}

Test(dealing, a_join_is_add_deal_final_promote_mark)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_run(b, 100);
    cr_assert(bench_is_whole(b));
    cr_assert_eq(b->ops_n, 6, "add, begin, propose, final, promote, mark");
    cr_assert(b->records.members[1].voter);
    free(b);
}

Test(dealing, a_leader_that_falls_at_any_step_is_succeeded)
{
    for (unsigned nodes = 2; nodes <= 4; nodes++)
        for (unsigned at = 1; at <= 6; at++)
            for (unsigned effects = 0; effects < 2; effects++) {
                struct bench *b = bench_new();

                for (unsigned i = 1; i + 1 < nodes; i++)
                    bench_add(b, DEALING_JOINING);
                bench_run(b, 3000);
                cr_assert(nodes == 2 || bench_is_whole(b));
                b->crash_at = b->ops_n + at;
                b->crash_effects = effects == 1;
                bench_add(b, DEALING_JOINING);
                bench_run(b, 5000);
                cr_assert(bench_is_whole(b), "%u nodes, crash at %u, effects %u", nodes, at,
                          effects);
                cr_assert_eq(b->crash_at, 0, "it did crash");
                free(b);
            }
}

Test(dealing, a_leader_that_loses_its_place_drops_what_it_was_given)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->silent[1] = true;
    bench_run(b, 300);
    cr_assert_eq(b->d.state, DEALING_COLLECT);
    b->records.leader = false;
    bench_event(b, DEALING_EV_FACTS);
    cr_assert_eq(b->d.state, DEALING_IDLE);
    cr_assert_eq(b->drops_n, 1);
    cr_assert_eq(dealing_deadline(&b->d, b->now_ms), UINT64_MAX);
    free(b);
}

Test(dealing, an_outcome_of_an_earlier_operation_is_ignored)
{
    struct bench *b = bench_new();
    struct dealing_event event = {.kind = DEALING_EV_DONE, .ticket = 77, .err = QK_OK};

    bench_add(b, DEALING_JOINING);
    b->silent[1] = true;
    bench_run(b, 300);
    bench_step(b, &event);
    cr_assert_eq(b->d.state, DEALING_COLLECT);
    free(b);
}

Test(dealing, a_member_that_is_away_does_not_stop_a_join)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_run(b, 100);
    b->records.members[1].online = false;
    bench_add(b, DEALING_JOINING);
    bench_run(b, 200);
    cr_assert(bench_is_whole(b));
    cr_assert_not(b->records.members[1].part, "its earlier generation is used");
    free(b);
}

Test(dealing, a_member_that_is_connected_but_silent_is_left_with_its_earlier_generation)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_run(b, 100);
    b->silent[1] = true;
    bench_add(b, DEALING_JOINING);
    bench_run(b, DEALING_COLLECT_MS + 2000);
    cr_assert(bench_is_whole(b));
    free(b);
}

Test(dealing, a_joiner_that_never_gives_its_part_gets_no_deal_and_is_tried_again)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->silent[1] = true;
    bench_run(b, 2 * DEALING_COLLECT_MS + 3000);
    cr_assert_not(b->records.dealt);
    cr_assert_geq(b->begins_n, 2);
    b->silent[1] = false;
    bench_run(b, 3000);
    cr_assert(bench_is_whole(b));
    free(b);
}

Test(dealing, final_waits_for_the_ack_of_who_is_connected)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_run(b, 100);
    bench_add(b, DEALING_JOINING);
    b->crash_at = b->ops_n + 4; /* at FINAL, without effect */
    bench_run(b, 60);
    b->silent[2] = true;
    b->records.final = false;
    dealing_init(&b->d);
    bench_run(b, 3 * DEALING_WAIVE_MS);
    cr_assert_not(b->records.final, "n3 is connected and has not acked");
    b->records.members[2].online = false;
    bench_run(b, 2000);
    cr_assert(b->records.final, "it went away: waived after a time, a threshold has acked");
    free(b);
}

Test(dealing, final_with_a_new_master_key_is_never_waived)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_add(b, DEALING_JOINING);
    bench_run(b, 3000);
    cr_assert(bench_is_whole(b));
    b->records.final = false;
    b->records.deal_new_mk = true;
    b->records.members[2].online = false;
    dealing_init(&b->d);
    bench_run(b, 3 * DEALING_WAIVE_MS);
    cr_assert_not(b->records.final);
    b->records.members[2].online = true;
    bench_run(b, 2000);
    cr_assert(b->records.final);
    free(b);
}

Test(dealing, fewer_acks_than_the_threshold_never_make_it_final)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->crash_at = 4; /* at FINAL */
    bench_run(b, 20);
    b->records.members[1].online = false;
    dealing_init(&b->d);
    bench_run(b, 5 * DEALING_WAIVE_MS);
    cr_assert_not(b->records.final);
    b->records.members[1].online = true;
    bench_run(b, 2000);
    cr_assert(bench_is_whole(b));
    free(b);
}

/* The only joiner of the first deal died after DEAL and before its ack. */
static struct bench *bench_with_a_deal_nobody_acks(void)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->crash_at = 4; /* at FINAL, without effect */
    bench_run(b, 20);
    cr_assert(b->records.dealt);
    b->records.members[1].online = false;
    b->silent[1] = true;
    dealing_init(&b->d);
    return b;
}

Test(dealing, a_deal_that_too_few_have_checked_is_dealt_anew_with_the_next_joiner)
{
    struct bench *b = bench_with_a_deal_nobody_acks();

    bench_run(b, 2 * DEALING_WAIVE_MS);
    cr_assert_not(b->records.final);
    cr_assert_eq(b->deals_n, 1, "nobody to deal with");
    bench_add(b, DEALING_JOINING);
    bench_run(b, DEALING_WAIVE_MS);
    cr_assert(b->records.final);
    cr_assert_eq(b->deals_n, 2);
    cr_assert_eq(b->records.members[2].role, DEALING_MEMBER);
    free(b);
}

Test(dealing, with_a_new_master_key_too_few_acks_are_awaited_for_ever)
{
    struct bench *b = bench_with_a_deal_nobody_acks();

    b->records.deal_new_mk = true;
    bench_add(b, DEALING_JOINING);
    bench_run(b, 3 * DEALING_WAIVE_MS);
    cr_assert_eq(b->deals_n, 1);
    free(b);
}

Test(dealing, an_ack_of_one_that_is_not_in_the_deal_does_not_count)
{
    struct bench *b = bench_with_a_deal_nobody_acks();
    struct dealing_event event = {.kind = DEALING_EV_ACK};

    bench_add(b, DEALING_MEMBER); /* a liar */
    bench_run(b, 100);
    memcpy(event.node_id, b->records.members[2].node_id, NODE_ID_BYTES);
    memcpy(event.deal_id, b->records.deal_id, DEAL_ID_BYTES);
    bench_step(b, &event);
    bench_run(b, 2000);
    cr_assert_not(b->records.final);
    free(b);
}

Test(dealing, a_standby_without_a_record_is_removed_after_all_else)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->records.stray = 9;
    b->records.changing = true;
    bench_run(b, 1000);
    cr_assert_eq(b->records.stray, 9);
    b->records.changing = false;
    bench_run(b, 1000);
    cr_assert_eq(b->records.stray, 0);
    cr_assert(bench_is_whole(b));
    free(b);
}

Test(dealing, a_joiner_that_is_gone_does_not_block_the_next)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    bench_run(b, 100);
    bench_add(b, DEALING_JOINING);
    b->records.members[2].online = false;
    bench_add(b, DEALING_JOINING);
    bench_run(b, 3000);
    cr_assert_eq(b->records.members[3].role, DEALING_MEMBER);
    cr_assert_eq(b->records.members[2].role, DEALING_JOINING);
    free(b);
}

Test(dealing, a_joiner_that_is_connected_and_never_gives_its_part_does_not_block_the_next)
{
    struct bench *b = bench_new();

    bench_add(b, DEALING_JOINING);
    b->silent[1] = true;
    bench_add(b, DEALING_JOINING);
    bench_run(b, 3 * DEALING_COLLECT_MS + 3000);
    cr_assert_eq(b->records.members[1].role, DEALING_JOINING);
    cr_assert_eq(b->records.members[2].role, DEALING_MEMBER);
    free(b);
}

Test(dealing, beyond_seven_voters_members_stay_standbys)
{
    struct bench *b = bench_new();

    for (unsigned i = 1; i < 9; i++)
        bench_add(b, DEALING_JOINING);
    bench_run(b, 5000);
    cr_assert(bench_is_whole(b));
    cr_assert(b->records.members[6].voter);
    cr_assert_not(b->records.members[8].voter);
    free(b);
}

/* Every event in every state: no crash, effects bounded, and only operations of the state. */
Test(dealing, every_event_in_every_state_is_safe)
{
    for (enum dealing_state state = 0; state < DEALING_STATES_N; state++)
        for (enum dealing_event_kind kind = 0; kind < DEALING_EVENTS_N; kind++)
            for (unsigned err = 0; err < 2; err++) {
                struct bench *b = bench_new();
                struct dealing_event event = {.kind = kind, .err = err ? QK_ERR_TIMEOUT : QK_OK};

                bench_add(b, DEALING_JOINING);
                b->d.state = state;
                b->d.ticket = event.ticket = 4;
                b->records.dealt = state == DEALING_ACKS;
                event.facts = &b->records;
                bench_id(1, event.node_id);
                dealing_step(&b->d, b->now_ms, &event, &b->out);
                cr_assert_leq(b->out.n, DEALING_EFFECTS_MAX);
                cr_assert_lt(b->d.state, DEALING_STATES_N);
                if (kind == DEALING_EV_DONE && err && state != DEALING_IDLE &&
                    state != DEALING_COLLECT && state != DEALING_ACKS && state != DEALING_ERASE)
                    cr_assert_eq(b->d.state, DEALING_IDLE, "%s", dealing_state_text(state));
                free(b);
            }
}

/* --- generations ----------------------------------------------------------------------------- */

Test(generations, an_attempt_that_is_not_applied_here_is_not_answered)
{
    struct dealing_gen gens[4] = {{.gen = 1}};
    uint64_t gen = 0;

    cr_assert_eq(dealing_collect_answer(3, 2, gens, 1, 4, &gen), DEALING_NOT_YET);
    cr_assert_eq(dealing_collect_answer(1, 2, gens, 1, 4, &gen), DEALING_PAST);
    cr_assert_eq(gens[0].attempt, 0);
    cr_assert_eq(dealing_collect_answer(2, 2, gens, 1, 4, &gen), DEALING_MAKE);
}

/* Who knows of no attempt knows of none with the number 0. */
Test(generations, where_no_attempt_has_begun_nothing_is_given)
{
    struct dealing_gen gens[4] = {{.gen = 1}};
    uint64_t gen = 0;

    cr_assert_eq(dealing_collect_answer(0, 0, gens, 1, 4, &gen), DEALING_NOT_YET);
    cr_assert_eq(dealing_collect_answer(1, 0, gens, 1, 4, &gen), DEALING_NOT_YET);
    cr_assert_eq(gens[0].attempt, 0);
}

Test(generations, asked_twice_the_same_one_is_given)
{
    struct dealing_gen gens[4] = {{.gen = 1, .attempt = 1, .exact = true},
                                  {.gen = 2, .attempt = 2, .exact = true}};
    uint64_t gen = 0;

    cr_assert_eq(dealing_collect_answer(2, 2, gens, 2, 4, &gen), DEALING_KEEP);
    cr_assert_eq(gen, 2);
}

Test(generations, after_a_restart_a_new_one_is_made_for_the_same_attempt)
{
    struct dealing_gen gens[4] = {{.gen = 1}, {.gen = 2}};
    uint64_t gen = 0;

    cr_assert_eq(dealing_collect_answer(2, 2, gens, 2, 4, &gen), DEALING_MAKE);
    cr_assert_eq(gens[1].attempt, 2, "never less than the true one");
}

Test(generations, four_are_the_most)
{
    struct dealing_gen gens[4] = {{.gen = 1}, {.gen = 2}, {.gen = 3}, {.gen = 4}};
    uint64_t gen = 0;

    cr_assert_eq(dealing_collect_answer(5, 5, gens, 4, 4, &gen), DEALING_FULL);
}

Test(generations, older_ones_go_only_after_final_and_the_record_s_own_never)
{
    struct dealing_gen gen = {.gen = 3, .attempt = 3, .exact = true};
    struct dealing_durable durable = {.record_gen = 4, .begin_attempt = 9};

    cr_assert_not(dealing_may_erase(&gen, &durable));
    durable.final = true;
    cr_assert(dealing_may_erase(&gen, &durable));
    durable.record_gen = 3;
    cr_assert_not(dealing_may_erase(&gen, &durable));
}

Test(generations, one_of_an_attempt_in_progress_stays_and_goes_when_a_newer_began)
{
    struct dealing_gen gen = {.gen = 5, .attempt = 5, .exact = true};
    struct dealing_durable durable = {.record_gen = 4, .final = true, .begin_attempt = 5};

    cr_assert_not(dealing_may_erase(&gen, &durable));
    durable.begin_attempt = 6;
    cr_assert(dealing_may_erase(&gen, &durable));
    gen.attempt = 0;
    cr_assert_not(dealing_may_erase(&gen, &durable), "of an unknown attempt");
}
