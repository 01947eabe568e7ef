/* node.sec when the disk or the kernel fails any one of the calls that an operation consists of:
 * the operation says so, nothing has changed in memory, and what the file holds afterwards is the
 * state before or the state after, which a load finds out. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../secret/faults.h"
#include "seal/node_sec.h"

#define CALLS_MAX 400

static char dir[64], path[80];
static struct secret *identity, *psk;
static const uint8_t cluster[16] = "cluster id here", node_id[16] = "node id is here";

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &identity), QK_OK);
    cr_assert_eq(secret_new_random(32, &psk), QK_OK);
    (void)snprintf(dir, sizeof dir, "/tmp/qk-node-faults-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/node.sec", dir);
    faults_files_only();
}

static void clear(void)
{
    char other[96];

    (void)unlink(path);
    (void)snprintf(other, sizeof other, "%s.new", path);
    (void)unlink(other);
    (void)snprintf(other, sizeof other, "%s.void", path);
    (void)unlink(other);
}

static void tear_down(void)
{
    secret_free(identity);
    secret_free(psk);
    clear();
    cr_assert_eq(rmdir(dir), 0, "nothing else is left");
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(node_sec_faults, .init = set_up, .fini = tear_down);

static enum qk_err create(struct node_sec **ret_node)
{
    return node_sec_create(path, cluster, node_id, 11, 5, identity, psk, ret_node);
}

static struct node_sec *load(void)
{
    struct node_sec_fault fault;
    struct node_sec *node = NULL;

    cr_assert_eq(node_sec_load(path, &node, &fault), QK_OK, "%s",
                 fault.what != NULL ? fault.what : "");
    return node;
}

/* One with two generations. */
static struct node_sec *prepared(void)
{
    struct node_sec *node = NULL;
    uint64_t gen;

    clear();
    cr_assert_eq(create(&node), QK_OK);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    return node;
}

static enum qk_err do_add(struct node_sec *node)
{
    uint64_t gen;

    return node_sec_add_generation(node, &gen);
}

static enum qk_err do_erase(struct node_sec *node)
{
    return node_sec_erase_older(node, 2);
}

static enum qk_err do_erase_one(struct node_sec *node)
{
    return node_sec_erase_generation(node, 2);
}

static enum qk_err do_boot(struct node_sec *node)
{
    return node_sec_count_boot(node);
}

static enum qk_err do_found(struct node_sec *node)
{
    return node_sec_set_founded(node);
}

struct facts {
    size_t gens_n;
    uint64_t first, boot_counter;
    bool founded;
};

static struct facts facts_of(const struct node_sec *node)
{
    return (struct facts){node->gens_n, node->gens_n > 0 ? node->gens[0].gen : 0,
                          node->boot_counter, node->founded};
}

static bool same(struct facts a, struct facts b)
{
    return a.gens_n == b.gens_n && a.first == b.first && a.boot_counter == b.boot_counter &&
           a.founded == b.founded;
}

/* False when no call was left to fail. */
static bool one_call_fails(enum qk_err (*act)(struct node_sec *node), unsigned n, int error)
{
    struct node_sec *node = prepared(), *again;
    struct facts before = facts_of(node), after;
    enum qk_err err;
    bool fired;

    faults_arm(n, error);
    err = act(node);
    fired = faults_disarm();
    after = facts_of(node);
    if (fired) {
        cr_assert_neq(err, QK_OK, "call %u failed in silence", n);
        cr_assert(same(before, after), "call %u: memory changed", n);
        if (error == ENOSPC)
            cr_assert(err == QK_ERR_FULL || err == QK_ERR_IO || err == QK_ERR_NOMEM);
    } else {
        cr_assert_eq(err, QK_OK);
    }
    node_sec_free(node);
    again = load();
    after = facts_of(again);
    node_sec_free(again);
    if (fired) { /* what would the state after have been? */
        struct node_sec *other = prepared();

        cr_assert_eq(act(other), QK_OK);
        cr_assert(same(after, before) || same(after, facts_of(other)), "call %u", n);
        node_sec_free(other);
    }
    return fired;
}

Test(node_sec_faults, every_change_is_whole_or_told_whatever_fails, .timeout = 120)
{
    static enum qk_err (*const acts[])(struct node_sec *) = {do_add, do_erase, do_erase_one,
                                                             do_boot, do_found};

    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        for (unsigned error = 0; error < 2; error++) {
            unsigned n = 0;

            while (one_call_fails(acts[i], n, error == 0 ? EIO : ENOSPC))
                cr_assert_lt(++n, CALLS_MAX);
            cr_assert_geq(n, 4);
        }
}

Test(node_sec_faults, after_a_failed_save_nothing_is_saved_until_a_load)
{
    struct node_sec *node = prepared();

    faults_arm(2, EIO); /* after open and an allocation: the first write */
    cr_assert_eq(node_sec_count_boot(node), QK_ERR_IO);
    cr_assert(faults_disarm());
    cr_assert_eq(node_sec_count_boot(node), QK_ERR_IO);
    node_sec_free(node);
    node = load();
    cr_assert_eq(node_sec_count_boot(node), QK_OK);
    node_sec_free(node);
}

Test(node_sec_faults, short_and_interrupted_calls_do_no_harm)
{
    for (unsigned n = 0; n < 4; n++)
        for (unsigned mode = 0; mode < 2; mode++) {
            struct node_sec *node = prepared(), *again;
            struct node_sec_fault fault;
            uint64_t gen;

            mode == 0 ? faults_arm_short(n) : faults_arm_interrupt(n);
            cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
            (void)faults_disarm();
            mode == 0 ? faults_arm_short(n) : faults_arm_interrupt(n);
            cr_assert_eq(node_sec_load(path, &again, &fault), QK_OK);
            (void)faults_disarm();
            cr_assert_eq(again->gens_n, 3);
            node_sec_free(again);
            node_sec_free(node);
            mode == 0 ? faults_arm_short(n) : faults_arm_interrupt(n);
            cr_assert_eq(node_sec_destroy(path), QK_OK);
            (void)faults_disarm();
        }
}

Test(node_sec_faults, a_file_is_made_whole_or_not_at_all, .timeout = 60)
{
    unsigned n = 0;
    bool fired = true;

    for (; fired; n++) {
        struct node_sec *node = NULL;
        enum qk_err err;

        cr_assert_lt(n, CALLS_MAX);
        clear();
        faults_arm(n, EIO);
        err = create(&node);
        fired = faults_disarm();
        if (err == QK_OK)
            node_sec_free(node);
        if (access(path, F_OK) == 0)
            node_sec_free(load());
        else
            cr_assert_neq(err, QK_OK);
    }
    cr_assert_gt(n, 6);
}

Test(node_sec_faults, a_load_that_fails_says_what_and_changes_nothing, .timeout = 60)
{
    unsigned n = 0;
    bool fired = true;

    for (; fired; n++) {
        struct node_sec_fault fault = {0};
        struct node_sec *node = prepared();
        enum qk_err err;

        cr_assert_lt(n, CALLS_MAX);
        node_sec_free(node);
        faults_arm(n, n % 2 == 0 ? EIO : EACCES);
        err = node_sec_load(path, &node, &fault);
        fired = faults_disarm();
        if (err == QK_OK)
            node_sec_free(node);
        else
            cr_assert(err == QK_ERR_NOMEM || fault.what != NULL, "call %u", n);
        node = load();
        cr_assert_eq(node->gens_n, 2);
        node_sec_free(node);
    }
    cr_assert_gt(n, 3);
}

/* Whatever fails on the way, a repetition goes on from there and ends. */
Test(node_sec_faults, a_destruction_can_be_repeated_until_it_is_done, .timeout = 60)
{
    unsigned n = 0;
    bool fired = true;

    for (; fired; n++) {
        enum qk_err err;

        cr_assert_lt(n, CALLS_MAX);
        node_sec_free(prepared());
        faults_arm(n, EIO);
        err = node_sec_destroy(path);
        if (err == QK_OK)
            err = node_sec_forget(path);
        fired = faults_disarm();
        if (err != QK_OK) {
            cr_assert(fired);
            err = node_sec_destroy(path);
            cr_assert(err == QK_OK || err == QK_ERR_NOT_FOUND, "call %u: %s", n, qk_err_text(err));
            cr_assert_eq(node_sec_forget(path), QK_OK);
        }
        cr_assert_neq(access(path, F_OK), 0);
        cr_assert_not(node_sec_is_destroyed(path));
    }
    cr_assert_gt(n, 4);
}
