/* Transcripts of whole clusters of machines. */
#include <criterion/criterion.h>
#include <string.h>

#include "world.h"

static struct world *three_down(struct seal_deal *ret_deal)
{
    struct world *world = world_new(3);

    *ret_deal = world_deal(world, 1, 2);
    return world;
}

Test(unseal, every_ordered_pair_of_three_opens_from_all_down)
{
    for (unsigned a = 0; a < 3; a++)
        for (unsigned b = 0; b < 3; b++) {
            struct seal_deal deal;
            struct world *world;

            if (a == b)
                continue;
            world = three_down(&deal);
            world_start(world, a, &deal);
            world_run(world, 3000);
            cr_assert_eq(world->nodes[a].m->state, SEAL_SEALED, "alone it must stay sealed");
            cr_assert_eq(seal_shares_missing(world->nodes[a].m), 1);
            world_start(world, b, &deal);
            cr_assert(world_run_until(world, a, SEAL_UNSEALED, 50), "first %u second %u", a, b);
            cr_assert(world_run_until(world, b, SEAL_UNSEALED, 50));
            cr_assert(world->nodes[a].mk && world->nodes[b].mk);
            world_free(world);
        }
}

Test(unseal, a_rebooted_node_is_opened_by_its_open_peer)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    for (unsigned i = 0; i < 3; i++)
        world_start(world, i, &deal);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(world_run_until(world, i, SEAL_UNSEALED, 100));
    world_run(world, 20000);
    world_kill(world, 1);
    world_kill(world, 2);
    world_run(world, 1000);
    cr_assert_eq(world->nodes[0].m->state, SEAL_UNSEALED, "an open node stays open");
    world_start(world, 2, &deal);
    cr_assert(world_run_until(world, 2, SEAL_UNSEALED, 50));
    world_free(world);
}

Test(unseal, lost_messages_only_delay)
{
    for (unsigned seed = 1; seed <= 50; seed++) {
        struct seal_deal deal;
        struct world *world = three_down(&deal);

        world->random += seed * 7919;
        world->drop_one_in = 2;
        world_start(world, 0, &deal);
        world_start(world, 1, &deal);
        cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 30000), "seed %u", seed);
        cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 30000), "seed %u", seed);
        world_free(world);
    }
}

Test(unseal, an_idle_open_cluster_says_little)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);
    unsigned before;

    for (unsigned i = 0; i < 3; i++)
        world_start(world, i, &deal);
    world_run(world, 10000);
    before = world->sent_n;
    world_run(world, 60000);
    /* A challenge and its answer per ordered pair and SEAL_HELLO_MS, one more if they cross. */
    cr_assert_leq(world->sent_n - before, 6 * 3 * 13, "%u messages", world->sent_n - before);
    world_free(world);
}

Test(unseal, threshold_three_needs_three)
{
    struct world *world = world_new(5);
    struct seal_deal deal = world_deal(world, 1, 3);

    world_start(world, 0, &deal);
    world_start(world, 3, &deal);
    world_run(world, 5000);
    cr_assert_eq(world->nodes[0].m->state, SEAL_UNSEALING);
    cr_assert_eq(world->nodes[3].m->state, SEAL_UNSEALING);
    world_start(world, 4, &deal);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 1500));
    cr_assert(world_run_until(world, 3, SEAL_UNSEALED, 1500));
    cr_assert(world_run_until(world, 4, SEAL_UNSEALED, 1500));
    world_free(world);
}

Test(unseal, a_node_with_an_older_deal_takes_the_newer_one_over)
{
    struct seal_deal old, newer;
    struct world *world = three_down(&old);

    newer = world_deal(world, 2, 2);
    world_start(world, 0, &newer);
    world_start(world, 1, &old);
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 500));
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 500));
    cr_assert_eq(world->nodes[1].m->deal.epoch, 2);
    world_free(world);
}

Test(unseal, a_member_that_is_not_known_here_opens_this_node_by_the_record_channel)
{
    struct world *world = world_new(3);
    struct seal_deal newer = world_deal(world, 2, 2), old;

    /* n1 was away when n3 joined: its deal and configuration name n1 and n2 only. */
    old = world_deal(world, 1, 2);
    old.members_n = 2;
    world->strangers[0][2] = true;
    world_start(world, 0, &old);
    world_start(world, 2, &newer);
    world_run(world, 500);
    cr_assert_eq(world->nodes[0].m->deal.epoch, 2, "proven by the own slot");
    cr_assert(world->nodes[0].m->own_share);
    cr_assert_eq(world->nodes[0].releases_n, 0, "nothing is released to a stranger");
    world_free(world);
}

Test(unseal, a_false_record_is_dropped_and_does_not_keep_a_true_one_out)
{
    struct seal_deal old, newer, false_one;
    struct world *world = three_down(&old);

    newer = world_deal(world, 2, 2);
    false_one = world_deal(world, 9, 2);
    world->nodes[2].corrupt_slot = true;
    world_start(world, 0, &old);
    world_start(world, 2, &false_one);
    world_run(world, 500);
    cr_assert_eq(world->nodes[0].m->deal.epoch, 1);
    cr_assert_gt(world->nodes[0].bad_slots_n, 0);
    world_kill(world, 2);
    world_start(world, 1, &newer);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 6000));
    cr_assert_eq(world->nodes[0].m->deal.epoch, 2);
    world_free(world);
}

Test(unseal, a_bad_share_is_named_and_another_is_used)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    world->nodes[2].corrupt_share = true;
    world_start(world, 0, &deal);
    world_start(world, 2, &deal);
    world_run(world, 2000);
    cr_assert_eq(world->nodes[0].m->state, SEAL_UNSEALING);
    cr_assert_eq(world->nodes[0].bad_shares_n, 1, "named once, not asked for again");
    world_start(world, 1, &deal);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 1500));
    world_free(world);
}

Test(unseal, a_bad_slot_is_named_and_another_release_is_used)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    world->nodes[2].corrupt_slot = true;
    world_start(world, 0, &deal);
    world_start(world, 2, &deal);
    world_run(world, 2000);
    cr_assert_eq(world->nodes[0].bad_slots_n, 1);
    world_start(world, 1, &deal);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 1500));
    world_free(world);
}

Test(unseal, a_sealed_node_stays_closed_until_unseal_and_releases_nothing)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    for (unsigned i = 0; i < 3; i++)
        world_start(world, i, &deal);
    world_run(world, 500);
    world_kind(world, 0, SEAL_EV_SEAL);
    cr_assert_eq(world->nodes[0].m->state, SEAL_SEALED);
    cr_assert_eq(world->nodes[0].wipes_n, 1);
    cr_assert_not(world->nodes[0].mk);
    world_run(world, 5000);
    cr_assert_eq(world->nodes[0].m->state, SEAL_SEALED);
    world_kill(world, 1);
    world_kill(world, 2);
    world_start(world, 1, &deal);
    world_run(world, 5000);
    cr_assert_eq(world->nodes[1].m->state, SEAL_SEALED, "a closed node opens nobody");
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_CLOSED);
    world_kind(world, 0, SEAL_EV_UNSEAL);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 2500));
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 2500));
    world_free(world);
}

Test(unseal, hold_closes_all_and_its_end_opens_them)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    for (unsigned i = 0; i < 2; i++)
        world_start(world, i, &deal);
    world_run(world, 200);
    for (unsigned i = 0; i < 2; i++)
        world_config(world, i, RELEASE_FAIL);
    world_run(world, 3000);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(world->nodes[i].m->state, SEAL_HELD);
    for (unsigned i = 0; i < 2; i++)
        world_config(world, i, RELEASE_PASS);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 2500));
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 2500));
    world_free(world);
}

Test(unseal, a_new_deal_is_checked_by_open_nodes_and_opens_a_joining_one)
{
    struct world *world = world_new(3);
    struct seal_deal first = world_deal(world, 1, 2), second = world_deal(world, 2, 2);

    first.members_n = 2;
    world_start(world, 0, &first);
    world_start(world, 1, &first);
    world_run(world, 200);
    world_start(world, 2, NULL);
    world_run(world, 200);
    cr_assert_eq(world->nodes[2].m->state, SEAL_SEALED);
    for (unsigned i = 0; i < 3; i++)
        world_give_deal(world, i, &second);
    cr_assert(world_run_until(world, 2, SEAL_UNSEALED, 100));
    world_run(world, 100);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(world->nodes[i].m->own_share, "node %u", i);
        cr_assert_gt(world->nodes[i].acks_n, 0);
        cr_assert_eq(world->nodes[i].m->state, SEAL_UNSEALED);
    }
    world_free(world);
}

Test(unseal, a_boot_id_that_comes_back_after_its_successor_is_a_clone)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    world_start(world, 0, &deal);
    world_start(world, 1, &deal);
    world_run(world, 200);
    world_kill(world, 1);
    world_start(world, 1, &deal); /* a second boot id takes over: a restart */
    world_run(world, 200);
    cr_assert_eq(world->nodes[0].clones_n, 0);
    world_kill(world, 1);
    world->nodes[1].boot = 0; /* and now the first again: so both live */
    world_start(world, 1, &deal);
    world_run(world, 3000);
    cr_assert_eq(world->nodes[0].clones_n, 1);
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_ONE_BOOT);
    cr_assert_eq(world->nodes[1].m->state, SEAL_SEALED);
    world_free(world);
}

Test(unseal, many_restarts_are_delayed_not_refused)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    world_start(world, 0, &deal);
    world_start(world, 1, &deal);
    world_run(world, 200);
    for (unsigned round = 0; round < 24; round++) {
        world_kill(world, 1);
        world_start(world, 1, &deal);
        cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 40000), "round %u", round);
    }
    cr_assert_gt(world->nodes[0].rates_n, 0);
    world_free(world);
}

Test(unseal, a_cut_that_heals_opens)
{
    struct seal_deal deal;
    struct world *world = three_down(&deal);

    world->cut[1][0] = true; /* n2 hears n1, n1 does not hear n2 */
    world_start(world, 0, &deal);
    world_start(world, 1, &deal);
    world_run(world, 20000);
    cr_assert_eq(world->nodes[0].m->state, SEAL_SEALED);
    cr_assert_eq(world->nodes[0].releases_n, 0, "no release without a fresh answer");
    world->cut[1][0] = false;
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 3000));
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 3000));
    world_free(world);
}

Test(unseal, an_open_node_takes_the_record_of_a_member_that_it_does_not_know)
{
    struct world *world = world_new(3);
    struct seal_deal old = world_deal(world, 1, 2), newer = world_deal(world, 2, 2);

    /* n1 and n2 are open; n1 was cut off while n3 joined, and n3 leads now. */
    old.members_n = 2;
    world->strangers[0][2] = true;
    world_start(world, 0, &old);
    world_start(world, 1, &old);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 100));
    world_kill(world, 1);
    world_start(world, 2, &newer);
    world_run(world, 500);
    cr_assert_eq(world->nodes[0].m->state, SEAL_UNSEALED);
    cr_assert_eq(world->nodes[0].m->deal.epoch, 2);
    cr_assert(world->nodes[0].m->own_share);
    world_free(world);
}
