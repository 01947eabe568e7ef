/* What removal and a new master key mean for the machines of the members: who stays goes from one
 * key to the next while open, who leaves keeps nothing and gets nothing. */
#include "world.h"

#include <criterion/criterion.h>
#include <string.h>

static struct world *open_world(unsigned nodes)
{
    struct world *world = world_new(nodes);
    struct seal_deal deal = world_deal(world, 1, 2);

    for (unsigned i = 0; i < nodes; i++)
        world_start(world, i, &deal);
    for (unsigned i = 0; i < nodes; i++)
        cr_assert(world_run_until(world, i, SEAL_UNSEALED, 5000));
    world_run(world, 200);
    return world;
}

/* The next deal, with another MK, without the last node. */
static struct seal_deal deal_without_last(const struct world *world)
{
    struct seal_deal deal = world_deal(world, 2, 2);

    deal.mk_version = 2;
    deal.members_n--;
    return deal;
}

static void mark_leaving(struct world *world, unsigned at, unsigned who)
{
    struct seal_config config = world->nodes[at].m->config;
    struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &config};
    uint8_t id[NODE_ID_BYTES];

    world_node_id(who, id);
    for (unsigned i = 0; i < config.members_n; i++)
        if (memcmp(config.members[i].node_id, id, NODE_ID_BYTES) == 0)
            config.members[i].leaving = true;
    world_step(world, at, &event);
}

Test(removed, those_who_stay_take_the_new_key_and_never_close)
{
    for (unsigned nodes = 3; nodes <= WORLD_NODES_MAX; nodes++)
        for (unsigned pause = 0; pause <= 400; pause += 40) {
            struct world *world = open_world(nodes);
            struct seal_deal deal = deal_without_last(world);

            for (unsigned i = 0; i + 1 < nodes; i++) {
                world_give_deal(world, i, &deal);
                world_run(world, pause);
                cr_assert_eq(world->nodes[i].m->state, SEAL_UNSEALED);
            }
            world_run(world, 3000);
            for (unsigned i = 0; i + 1 < nodes; i++) {
                cr_assert_eq(world->nodes[i].m->state, SEAL_UNSEALED);
                cr_assert_eq(world->nodes[i].m->mk_version, 2, "n%u of %u", i, nodes);
                cr_assert_eq(world->nodes[i].wipes_n, 0);
            }
            world_free(world);
        }
}

Test(removed, a_deal_that_leaves_a_node_out_wipes_it)
{
    struct world *world = open_world(3);
    struct seal_deal deal = deal_without_last(world);

    for (unsigned i = 0; i < 3; i++)
        world_give_deal(world, i, &deal);
    world_run(world, 5000);
    cr_assert_eq(world->nodes[2].wipes_n, 1);
    cr_assert_eq(world->nodes[2].m->state, SEAL_SEALED);
    cr_assert_eq(world->nodes[2].m->mk_version, 0);
    cr_assert_eq(world->nodes[0].m->mk_version, 2);
    world_free(world);
}

Test(removed, a_node_whose_own_log_has_the_deal_does_not_open_again)
{
    struct world *world = open_world(3);
    struct seal_deal deal = deal_without_last(world);

    for (unsigned i = 0; i < 3; i++)
        world_give_deal(world, i, &deal);
    world_run(world, 1000);
    world_kill(world, 2);
    world_run(world, 200);
    world_start(world, 2, &deal);
    world_run(world, 10000);
    cr_assert_eq(world->nodes[2].m->state, SEAL_SEALED);
    world_free(world);
}

Test(removed, a_node_that_was_away_is_denied_with_its_old_deal)
{
    struct world *world = open_world(3);
    struct seal_deal old = world_deal(world, 1, 2), deal = deal_without_last(world);

    world_kill(world, 2);
    for (unsigned i = 0; i < 2; i++) {
        mark_leaving(world, i, 2);
        world_give_deal(world, i, &deal);
    }
    world_run(world, 3000);
    world_start(world, 2, &old);
    for (unsigned i = 0; i < 2; i++)
        mark_leaving(world, i, 2);
    world_run(world, 10000);
    cr_assert_eq(world->nodes[2].m->state, SEAL_SEALED);
    world_free(world);
}

/* From the order on, also before the deal without it. */
Test(removed, one_that_leaves_is_given_nothing_of_the_deal_in_force)
{
    struct world *world = open_world(3);
    struct seal_deal old = world_deal(world, 1, 2);

    world_kill(world, 2);
    world_start(world, 2, &old);
    for (unsigned i = 0; i < 2; i++)
        mark_leaving(world, i, 2);
    world_run(world, 10000);
    cr_assert_eq(world->nodes[2].m->state, SEAL_SEALED);
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_MEMBER);
    cr_assert_eq(world->nodes[0].m->state, SEAL_UNSEALED);
    world_free(world);
}

Test(removed, one_that_leaves_counts_for_no_quorum)
{
    struct world *world = open_world(3);
    struct seal_deal old = world_deal(world, 1, 2);

    for (unsigned i = 0; i < 3; i++)
        world_kill(world, i);
    world_run(world, 200);
    for (unsigned i = 0; i < 3; i += 2)
        world_start(world, i, &old);
    for (unsigned i = 0; i < 3; i += 2) {
        struct seal_config config = world->nodes[i].m->config;
        struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &config};

        config.unseal_quorum = 2;
        world_step(world, i, &event);
        mark_leaving(world, i, 2);
    }
    world_run(world, 10000);
    cr_assert_neq(world->nodes[0].m->state, SEAL_UNSEALED, "n1 with the one that leaves alone");
    world_start(world, 1, &old);
    mark_leaving(world, 1, 2);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 10000));
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 10000));
    cr_assert_neq(world->nodes[2].m->state, SEAL_UNSEALED);
    world_free(world);
}

/* --- whom a majority is one of (simulator seeds 10104368, 10219192) ------------------------------
 */

/* So many are up, closed, with that quorum. The last node of all joins: it is not in the deal. */
static struct world *back_with_a_joiner(unsigned quorum, unsigned up, unsigned leaves)
{
    struct world *world = world_new(4);
    struct seal_deal deal = world_deal(world, 1, 2);

    deal.members_n--;
    for (unsigned i = 0; i < up; i++) {
        struct seal_event event = {.kind = SEAL_EV_CONFIG};
        struct seal_config config;

        world_start(world, i, &deal);
        config = world->nodes[i].m->config;
        config.unseal_quorum = quorum;
        event.config = &config;
        world_step(world, i, &event);
        if (leaves > 0)
            mark_leaving(world, i, leaves);
    }
    return world;
}

Test(removed, one_that_joins_and_has_no_part_yet_makes_no_majority_greater)
{
    struct world *world = back_with_a_joiner(0, 2, 0);

    cr_assert_eq(world->nodes[0].m->config.members_n, 4);
    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 10000), "two of three suffice");
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 10000));
    world_free(world);
}

Test(removed, two_who_stay_open_while_the_third_leaves_and_a_fourth_joins)
{
    struct world *world = back_with_a_joiner(0, 2, 2);

    cr_assert(world_run_until(world, 0, SEAL_UNSEALED, 10000));
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 10000));
    world_free(world);
}

Test(removed, one_that_joins_does_not_count_for_the_quorum)
{
    struct world *world = back_with_a_joiner(3, 2, 0);
    struct seal_deal none = {0};

    world_start(world, 3, &none);
    world_run(world, 10000);
    cr_assert_neq(world->nodes[0].m->state, SEAL_UNSEALED, "two of three and a joiner");
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_QUORUM);
    world_free(world);
}
