/* What a disk restored from an older copy is known by, and that no honest node ever is refused:
 * each comparison alone, thousands of random lives of one node, and machines that meet one. */
#include "seal/watermark.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static struct watermark mark_of_boot(void)
{
    struct watermark mark = {.boot_counter = 7, .made = 3, .term = 5, .index = 100};

    mark.node_id[0] = mark.boot_id[0] = 1;
    return mark;
}

static struct watermark_claim claim_of_boot(void)
{
    struct watermark_claim claim = {
        .boot_counter = 7, .made = 3, .term = 5, .index = 100, .stored = 100};

    claim.boot_id[0] = 1;
    return claim;
}

#define REFUSES(name_, change_, answer_)                                                           \
    Test(watermark, name_)                                                                         \
    {                                                                                              \
        struct watermark mark = mark_of_boot();                                                    \
        struct watermark_claim claim = claim_of_boot();                                            \
                                                                                                   \
        cr_assert_eq(watermark_judge(&mark, &claim), WATERMARK_GOOD);                              \
        change_;                                                                                   \
        cr_assert_eq(watermark_judge(&mark, &claim), answer_);                                     \
    }

REFUSES(a_start_counted_before_is_refused, claim.boot_counter = 6, WATERMARK_BOOT)
REFUSES(the_same_start_by_another_process_is_refused, claim.boot_id[0] = 2, WATERMARK_TWIN)
REFUSES(fewer_generations_are_refused, claim.made = 2, WATERMARK_GENERATION)
REFUSES(an_earlier_term_is_refused, claim.term = 4, WATERMARK_TERM)
REFUSES(a_shorter_log_is_refused, claim.stored = 99, WATERMARK_LOG)
REFUSES(an_applied_index_behind_the_log_is_fine, claim.index = 1, WATERMARK_GOOD)
REFUSES(a_start_that_was_refused_stays_refused, watermark_refuse(&mark, &claim), WATERMARK_AGAIN)

/* The copy of a running disk, started after that node has ended for good: its counter is what the
 * true node's next start would say. */
Test(watermark, a_copy_started_in_the_place_of_the_next_start_is_told_by_its_log)
{
    struct watermark mark = mark_of_boot();
    struct watermark_claim copy = claim_of_boot();

    copy.boot_counter = 8;
    copy.boot_id[0] = 9;
    copy.stored = copy.index = 80;
    cr_assert_eq(watermark_judge(&mark, &copy), WATERMARK_LOG);
    copy.stored = 100; /* nothing was applied since: nobody could tell */
    cr_assert_eq(watermark_judge(&mark, &copy), WATERMARK_GOOD);
}

Test(watermark, what_a_leader_applied_before_its_own_disk_had_it_is_not_held_against_it)
{
    struct watermark mark = {0};
    struct watermark_claim claim = claim_of_boot();

    claim.stored = 90; /* the others' disks were faster */
    cr_assert(watermark_raise(&mark, &claim));
    cr_assert_eq(mark.index, 90);
    claim.boot_counter++;
    claim.boot_id[0]++;
    claim.index = 0;
    cr_assert_eq(watermark_judge(&mark, &claim), WATERMARK_GOOD);
}

Test(watermark, a_mark_only_rises)
{
    struct watermark mark = mark_of_boot(), was = mark;
    struct watermark_claim claim = claim_of_boot();

    claim.index = 7;
    cr_assert_not(watermark_raise(&mark, &claim));
    cr_assert_eq(memcmp(&mark, &was, sizeof(mark)), 0);
    claim.term++;
    cr_assert(watermark_raise(&mark, &claim));
    cr_assert_eq(mark.term, 6);
    cr_assert_eq(mark.index, 100);
}

/* --- Raft ------------------------------------------------------------------------------------ */

Test(watermark, raft_is_closed_to_a_node_below_its_mark_except_that_a_pair_may_lead_it)
{
    for (unsigned bits = 0; bits < 32; bits++) {
        struct watermark_raft_facts f = {.judged = bits & 1,
                                         .below = bits & 2,
                                         .pair = bits & 4,
                                         .told = bits & 8,
                                         .told_by_it = bits & 16};

        for (enum watermark_raft what = 0; what <= WATERMARK_RAFT_ANSWER; what++) {
            bool request = what == WATERMARK_RAFT_REQUEST;

            if (!f.judged || (f.below && !f.pair) || (f.below && request))
                cr_assert_not(watermark_may_receive(&f, what));
            else
                cr_assert(watermark_may_receive(&f, what));
            if (f.below && (!f.pair || !request))
                cr_assert_not(watermark_may_send(&f, what));
            if (f.told && request)
                cr_assert_not(watermark_may_send(&f, what));
            if (f.told && !f.told_by_it && what == WATERMARK_RAFT_VOTE)
                cr_assert_not(watermark_may_send(&f, what));
            if (!f.below && !f.told)
                cr_assert(watermark_may_send(&f, what));
        }
    }
}

/* --- lives ----------------------------------------------------------------------------------- */

/* One honest node: what is on its disk, what is in its memory. The log of a node may be ahead of
 * what is committed, and a leader's knowledge of what is committed ahead of its own disk; a crash
 * loses what was not synced. */
struct life {
    uint64_t random;
    uint64_t boot, made, term;
    uint64_t stored;    /* its log on the disk ends there, */
    uint64_t agrees;    /* and is as the cluster's up to there */
    uint64_t committed; /* by the cluster */
    uint64_t known;     /* of that, by this process */
    bool installing;
    uint64_t installs_to;
    uint8_t boot_id[BOOT_ID_BYTES];
};

static uint64_t roll(struct life *life, uint64_t n)
{
    life->random ^= life->random << 13;
    life->random ^= life->random >> 7;
    life->random ^= life->random << 17;
    return life->random % n;
}

static void installed(struct life *life)
{
    life->installing = false;
    life->stored = life->agrees = life->installs_to;
    if (life->known < life->installs_to)
        life->known = life->installs_to;
}

static void boots(struct life *life)
{
    life->boot++;
    for (size_t i = 0; i < sizeof(life->boot_id); i++)
        life->boot_id[i] = (uint8_t)roll(life, 256);
    life->known = 0; /* the newest snapshot's index, at least */
    if (life->installing && roll(life, 2) == 0)
        installed(life);
    life->installing = false;
}

static void position(const struct life *life, struct watermark_claim *claim)
{
    memcpy(claim->boot_id, life->boot_id, BOOT_ID_BYTES);
    claim->boot_counter = life->boot;
    claim->made = life->made;
    claim->term = life->term;
    claim->index = life->known < life->stored ? life->known : life->stored;
    claim->stored = life->stored;
}

/* The cluster's entries arrive: a tail that is none of them is cut off first. */
static void follows(struct life *life, uint64_t n)
{
    life->stored = life->agrees;
    life->stored += n;
    life->agrees = life->stored;
}

static void lives_on(struct life *life)
{
    uint64_t n = roll(life, 6);

    switch (roll(life, 9)) {
    case 0:
        boots(life);
        break;
    case 1:
        life->term += n;
        break;
    case 2:
        life->made++;
        break;
    case 3:
        if (!life->installing)
            follows(life, n);
        break;
    case 4: /* it led, and nobody heard what it wrote */
        if (!life->installing && life->known > life->agrees) /* of that it has the entries */
            follows(life, n);
        else if (!life->installing)
            life->stored += n;
        break;
    case 5: /* the cluster commits; what others hold this disk may not have yet */
        life->committed += n;
        break;
    case 6: /* it hears of it: as a follower up to what agrees, as a leader at once */
        if (!life->installing && life->agrees == life->stored)
            life->known = life->known > life->committed ? life->known : life->committed;
        else if (!life->installing && life->known < life->committed && life->known < life->agrees)
            life->known = life->committed < life->agrees ? life->committed : life->agrees;
        break;
    case 7: /* so far behind that the leader sends a snapshot, of what this log has not */
        life->installs_to = life->installing ? life->installs_to : life->committed;
        life->installing = life->installing || life->committed > life->agrees;
        break;
    default:
        if (life->installing)
            installed(life);
        break;
    }
}

Test(watermark, no_honest_life_is_ever_refused, .timeout = 60)
{
    for (uint64_t seed = 1; seed <= 20000; seed++) {
        struct life life = {.random = seed * 0x9e3779b97f4a7c15ull};
        struct watermark marks[3];
        bool known[3] = {false};

        memset(marks, 0, sizeof(marks));
        boots(&life);
        for (unsigned step = 0; step < 100; step++) {
            struct watermark_claim claim;
            unsigned peer = (unsigned)roll(&life, 6);

            lives_on(&life);
            if (peer >= 3)
                continue;
            position(&life, &claim);
            if (!known[peer])
                memcpy(marks[peer].boot_id, claim.boot_id, BOOT_ID_BYTES);
            known[peer] = true;
            cr_assert_eq(watermark_judge(&marks[peer], &claim), WATERMARK_GOOD,
                         "seed %llu step %u: %s", (unsigned long long)seed, step,
                         watermark_answer_text(watermark_judge(&marks[peer], &claim)));
            (void)watermark_raise(&marks[peer], &claim);
        }
    }
}

/* The other side of it: a copy taken at any moment, started after its node went on by a start, a
 * term, a generation or something applied, and after its peer has heard so. */
Test(watermark, a_copy_is_refused_wherever_its_node_went_on, .timeout = 60)
{
    unsigned refused = 0, same = 0;

    for (uint64_t seed = 1; seed <= 5000; seed++) {
        struct life life = {.random = seed * 0x9e3779b97f4a7c15ull}, copy;
        struct watermark mark;
        struct watermark_claim before, after, claim;

        boots(&life);
        for (unsigned step = 0; step < 30; step++)
            lives_on(&life);
        life.installing = false;
        copy = life;
        position(&life, &before);
        memset(&mark, 0, sizeof(mark));
        memcpy(mark.boot_id, before.boot_id, BOOT_ID_BYTES);
        (void)watermark_raise(&mark, &before);
        for (unsigned step = 0; step < 10; step++)
            lives_on(&life);
        position(&life, &after);
        (void)watermark_raise(&mark, &after);
        copy.random ^= 0x5555;
        boots(&copy);
        position(&copy, &claim);
        if (after.boot_counter > before.boot_counter || mark.term > claim.term ||
            mark.made > claim.made || mark.index > claim.stored) {
            cr_assert_neq(watermark_judge(&mark, &claim), WATERMARK_GOOD, "seed %llu",
                          (unsigned long long)seed);
            refused++;
        } else
            same++;
    }
    cr_assert_gt(refused, 4000);
    cr_assert_gt(same, 0);
}

/* --- machines -------------------------------------------------------------------------------- */

static void stands(struct world *world, unsigned i, uint64_t term, uint64_t index)
{
    struct world_node *node = &world->nodes[i];

    node->term = term;
    node->index = node->stored = index;
    node->made = 1;
}

/* Node 1 opens, gets to index 50 in term 4, ends and comes back with what is given. */
static struct world *comes_back(unsigned boot, uint64_t term, uint64_t index)
{
    struct world *world = world_new(3);
    struct seal_deal deal = world_deal(world, 1, 2);

    for (unsigned i = 0; i < 3; i++) {
        stands(world, i, 4, 50);
        world_start(world, i, &deal);
    }
    world_run(world, 12000);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(world->nodes[i].m->state, SEAL_UNSEALED);
    world_kill(world, 1);
    world->nodes[1].boot = (uint8_t)(boot - 1);
    world->nodes[1].process++;
    stands(world, 1, term, index);
    world_start(world, 1, &deal);
    world_run(world, 3000);
    return world;
}

Test(watermark, an_honest_restart_opens)
{
    struct world *world = comes_back(2, 4, 50);

    cr_assert_eq(world->nodes[1].m->state, SEAL_UNSEALED);
    world_free(world);
}

/* What is known to be committed is learned anew, and the store may lag or be lost: the log counts.
 */
Test(watermark, an_honest_restart_that_knows_of_less_opens)
{
    struct world *world = comes_back(2, 4, 50);

    world_kill(world, 1);
    world->nodes[1].index = 3;
    world_start(world, 1, NULL);
    world_give_deal(world, 1, &world->nodes[0].deal);
    cr_assert(world_run_until(world, 1, SEAL_UNSEALED, 3000));
    world_free(world);
}

static void stays_out(struct world *world)
{
    cr_assert_eq(world->nodes[1].m->state, SEAL_SEALED);
    cr_assert(seal_is_rolled_back(world->nodes[1].m));
    for (unsigned i = 0; i < 3; i += 2) {
        uint8_t node_id[NODE_ID_BYTES];

        world_node_id(1, node_id);
        cr_assert_eq(world->nodes[i].last_denial, RELEASE_WATERMARK);
        cr_assert_neq(seal_peer_find(world->nodes[i].m, node_id)->below, WATERMARK_GOOD);
        cr_assert(seal_raft_facts(world->nodes[i].m, node_id, false).below);
        cr_assert_not(seal_is_rolled_back(world->nodes[i].m));
    }
    world_free(world);
}

Test(watermark, a_node_whose_log_went_back_stays_sealed_and_is_told)
{
    stays_out(comes_back(2, 4, 49));
}

Test(watermark, a_node_whose_term_went_back_stays_sealed_and_is_told)
{
    stays_out(comes_back(2, 3, 50));
}

Test(watermark, a_node_whose_starts_were_forgotten_stays_sealed_and_is_told)
{
    stays_out(comes_back(1, 4, 50));
}

/* Catching up does not make it good: only a new identity, or, for all that its peers can tell, a
 * start of the true disk. */
Test(watermark, a_refused_start_that_has_caught_up_stays_refused)
{
    struct world *world = comes_back(2, 4, 49);

    stands(world, 1, 9, 1000);
    world_at(world, 1);
    world_run(world, 12000);
    stays_out(world);
}

/* A peer that is itself below its mark is no witness for a third. */
Test(watermark, a_node_below_its_mark_does_not_count_for_the_unseal_quorum)
{
    struct world *world = comes_back(2, 4, 49);
    struct seal_config config = world->nodes[0].m->config;
    struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &config};

    config.unseal_quorum = 3;
    world_step(world, 0, &event);
    world_kill(world, 2);
    world_start(world, 2, &world->nodes[0].deal);
    world_run(world, 3000);
    cr_assert_neq(world->nodes[2].m->state, SEAL_UNSEALED);
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_QUORUM);
    world_free(world);
}

Test(watermark, what_was_remembered_before_a_restart_of_the_peer_still_refuses)
{
    struct world *world = comes_back(2, 4, 49);
    struct seal_deal deal = world->nodes[0].deal;

    world_kill(world, 2);
    world_kill(world, 1);
    world_kill(world, 0);
    world->nodes[1].boot--; /* as if that start had not been counted */
    world->nodes[1].index = world->nodes[1].stored = 50;
    world_start(world, 0, &deal);
    world_start(world, 1, &deal);
    world_run(world, 3000);
    cr_assert_neq(world->nodes[0].m->state, SEAL_UNSEALED);
    cr_assert_eq(world->nodes[1].m->state, SEAL_SEALED);
    cr_assert_eq(world->nodes[0].last_denial, RELEASE_WATERMARK);
    world_free(world);
}

/* Whoever told it may be gone: it still keeps its votes back. */
Test(watermark, what_a_node_was_told_outlasts_the_session)
{
    struct world *world = comes_back(2, 4, 49);

    world_kill(world, 0);
    world_kill(world, 2);
    cr_assert(seal_is_rolled_back(world->nodes[1].m));
    world_kill(world, 1);
    world->nodes[1].index = world->nodes[1].stored = 50;
    world_start(world, 1, &world->nodes[0].deal);
    cr_assert_not(seal_is_rolled_back(world->nodes[1].m));
    world_free(world);
}
