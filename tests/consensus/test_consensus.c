#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trio.h"

Test(consensus, one_voter_leads_and_keeps_its_writes_over_a_restart, .timeout = 30)
{
    struct trio trio;
    uint64_t hash;

    trio_init(&trio);
    trio.sync_all = false;
    trio_open(&trio, 1, true);
    cr_assert_eq(trio_leader(&trio), 1);
    cr_assert_eq(trio_write(&trio, 1, "one"), QK_OK);
    cr_assert_eq(trio_write(&trio, 1, "two"), QK_OK);
    cr_assert_eq(trio_read(&trio, 1), QK_OK);
    hash = trio.nodes[1].hash;
    trio_close(&trio, 1);
    /* The store lost everything: the log brings it back. */
    trio.nodes[1].applied = trio.nodes[1].hash = trio.nodes[1].commands_n = 0;
    trio_open(&trio, 1, false);
    cr_assert_eq(trio_leader(&trio), 1);
    cr_assert_eq(trio_read(&trio, 1), QK_OK);
    cr_assert_eq(trio.nodes[1].hash, hash);
    cr_assert_eq(trio.nodes[1].commands_n, 2);
    trio_fini(&trio);
}

static bool is_two(struct bytes command)
{
    return bytes_equal(command, bytes_str("two"));
}

Test(consensus, a_start_finds_what_its_log_holds_past_the_store, .timeout = 30)
{
    struct trio trio;

    trio_init(&trio);
    trio.sync_all = false;
    trio.wanted = is_two;
    trio_open(&trio, 1, true);
    cr_assert_eq(trio.nodes[1].found, 0);
    cr_assert_eq(trio_leader(&trio), 1);
    cr_assert_eq(trio_write(&trio, 1, "one"), QK_OK);
    cr_assert_eq(trio_write(&trio, 1, "two"), QK_OK);
    cr_assert_eq(trio_write(&trio, 1, "three"), QK_OK);
    trio_close(&trio, 1);
    trio.nodes[1].applied = trio.nodes[1].hash = trio.nodes[1].commands_n = 0;
    trio_open(&trio, 1, false);
    cr_assert_gt(trio.nodes[1].found, 1);
    cr_assert_lt(trio.nodes[1].found, consensus_last_index(trio.nodes[1].c));
    trio.sync_all = true;
    cr_assert_eq(trio_write(&trio, 1, "four"), QK_OK);
    cr_assert_eq(trio_read(&trio, 1), QK_OK);
    trio_close(&trio, 1);
    trio_open(&trio, 1, false);
    cr_assert_eq(trio.nodes[1].found, 0);
    trio_fini(&trio);
}

Test(consensus, three_nodes_write_stop_and_go_on, .timeout = 60)
{
    struct trio trio;
    char text[32];
    uint64_t leader;

    trio_init(&trio);
    trio_make_three(&trio);
    for (int i = 0; i < 50; i++) {
        snprintf(text, sizeof(text), "write %d", i);
        cr_assert_eq(trio_write(&trio, 1, text), QK_OK);
    }
    for (uint64_t id = 1; id <= 3; id++)
        cr_assert_eq(trio_read(&trio, id), QK_OK, "a read point on every member");
    trio_equal(&trio);
    cr_assert_eq(trio.nodes[3].commands_n, 51);
    trio_close(&trio, 1);
    leader = trio_leader(&trio);
    cr_assert_neq(leader, 1);
    cr_assert_eq(trio_write(&trio, leader, "without the first"), QK_OK);
    trio_open(&trio, 1, false);
    trio_equal(&trio);
    cr_assert_eq(trio.nodes[1].commands_n, 52);
    for (uint64_t id = 1; id <= 3; id++)
        trio_close(&trio, id);
    for (uint64_t id = 2; id <= 3; id++)
        trio_open(&trio, id, false);
    leader = trio_leader(&trio);
    cr_assert_eq(trio_write(&trio, leader, "after all stopped"), QK_OK);
    trio_open(&trio, 1, false);
    trio_equal(&trio);
    cr_assert_eq(trio.nodes[1].commands_n, 53);
    trio_fini(&trio);
}

Test(consensus, a_cut_off_leader_answers_unknown_or_not_leader_and_no_read, .timeout = 60)
{
    struct trio trio;
    uint64_t leader;
    enum qk_err err;

    trio_init(&trio);
    trio_make_three(&trio);
    trio_equal(&trio);
    trio.cut[1] = true;
    err = trio_write(&trio, 1, "lost");
    cr_assert_eq(err, QK_ERR_UNKNOWN_OUTCOME, "%s", qk_err_text(err));
    cr_assert_eq(trio_read(&trio, 1), QK_ERR_NO_QUORUM);
    leader = trio_leader(&trio);
    cr_assert_neq(leader, 1);
    cr_assert_eq(trio_write(&trio, leader, "kept"), QK_OK);
    trio.cut[1] = false;
    trio_equal(&trio);
    cr_assert_eq(trio_read(&trio, 1), QK_OK);
    trio_fini(&trio);
}

Test(consensus, a_follower_does_not_take_commands_but_transfer_moves_leadership, .timeout = 60)
{
    struct trio trio;

    trio_init(&trio);
    trio_make_three(&trio);
    cr_assert_eq(trio_write(&trio, 2, "no"), QK_ERR_NOT_LEADER);
    trio_equal(&trio);
    cr_assert_eq(trio_transfer(&trio, 1, 2), QK_OK);
    cr_assert_eq(trio_leader(&trio), 2);
    cr_assert_eq(trio_write(&trio, 2, "yes"), QK_OK);
    cr_assert_eq(trio_transfer(&trio, 2, 77), QK_ERR_NOT_FOUND);
    trio_fini(&trio);
}

static enum qk_err remove_when_possible(struct trio *trio, uint64_t leader, uint64_t id)
{
    enum qk_err err;

    while ((err = trio_remove(trio, leader, id)) == QK_ERR_BUSY)
        uv_run(&trio->loop, UV_RUN_ONCE);
    return err;
}

Test(consensus, members_are_removed_a_dead_one_and_the_leader_itself, .timeout = 60)
{
    struct trio trio;
    struct consensus_member members[CONSENSUS_MEMBERS_MAX];
    uint64_t leader;

    trio_init(&trio);
    trio_make_three(&trio);
    trio_close(&trio, 3);
    cr_assert_eq(remove_when_possible(&trio, 1, 3), QK_OK);
    cr_assert_eq(consensus_members(trio.nodes[1].c, members, CONSENSUS_MEMBERS_MAX), 2);
    cr_assert_eq(trio_remove(&trio, 1, 9), QK_ERR_NOT_FOUND);
    cr_assert_eq(trio_add(&trio, 1, 2), QK_ERR_EXISTS);
    cr_assert_eq(remove_when_possible(&trio, 1, 1), QK_ERR_NOT_LEADER);
    leader = trio_leader(&trio);
    cr_assert_eq(leader, 2);
    cr_assert_eq(remove_when_possible(&trio, 2, 1), QK_OK);
    cr_assert_eq(consensus_members(trio.nodes[2].c, members, CONSENSUS_MEMBERS_MAX), 1);
    cr_assert_eq(trio_write(&trio, 2, "alone"), QK_OK);
    cr_assert_eq(trio_remove(&trio, 2, 2), QK_ERR_DENIED);
    trio_fini(&trio);
}

Test(consensus, a_node_that_was_away_too_long_gets_a_snapshot, .timeout = 60)
{
    struct trio trio;
    char text[2048];

    trio_init(&trio);
    trio.log_keep_bytes = 16 * KIB;
    trio_make_three(&trio);
    trio_equal(&trio);
    trio_close(&trio, 3);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(trio_write(&trio, trio_leader(&trio), text), QK_OK);
    trio_open(&trio, 3, false);
    trio_equal(&trio);
    cr_assert_gt(trio.nodes[3].installs_n, 0);
    cr_assert_eq(trio_write(&trio, trio_leader(&trio), "after the snapshot"), QK_OK);
    trio_equal(&trio);
    /* Its own log starts at the snapshot now. */
    trio_close(&trio, 3);
    trio_open(&trio, 3, false);
    cr_assert_eq(trio_write(&trio, trio_leader(&trio), "and after a restart"), QK_OK);
    trio_equal(&trio);
    trio_fini(&trio);
}

/* What a start finds whose store was lost. */
static void lose_store(struct trio *trio, uint64_t id)
{
    struct trio_node *node = &trio->nodes[id];

    trio_close(trio, id);
    node->applied = node->synced = node->hash = node->commands_n = 0;
    node->staged = false;
    trio_open(trio, id, false);
}

Test(consensus, a_lost_store_comes_back_from_a_log_that_is_whole, .timeout = 60)
{
    struct trio trio;
    char text[2048];
    uint64_t index;

    trio_init(&trio);
    trio.log_keep_bytes = 16 * KIB; /* snapshots are taken; the one segment stays */
    trio.sync_all = true;
    trio_make_three(&trio);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(trio_write(&trio, trio_leader(&trio), text), QK_OK);
    trio_equal(&trio);
    lose_store(&trio, 2);
    cr_assert_not(consensus_wants_store(trio.nodes[2].c, &index));
    trio_equal(&trio);
    cr_assert_eq(trio_read(&trio, 2), QK_OK);
    trio_fini(&trio);
}

Test(consensus, a_lost_store_behind_a_trimmed_log_waits_for_a_peers, .timeout = 60)
{
    struct trio trio;
    struct trio_node *node = &trio.nodes[3];
    char text[2048];
    uint64_t index = 0;

    trio_init(&trio);
    trio.log_keep_bytes = 16 * KIB;
    trio.sync_all = true;
    trio_make_three(&trio);
    trio_close(&trio, 3);
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = 0;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(trio_write(&trio, trio_leader(&trio), text), QK_OK);
    trio_open(&trio, 3, false);
    trio_equal(&trio);
    cr_assert_gt(node->installs_n, 0);
    lose_store(&trio, 3); /* the log begins after the snapshot that was installed */
    cr_assert(consensus_wants_store(node->c, &index));
    cr_assert_gt(index, 50);
    cr_assert_eq(trio_write(&trio, trio_leader(&trio), "meanwhile"), QK_OK);
    cr_assert_neq(trio_read(&trio, 3), QK_OK);
    cr_assert_eq(consensus_applied(node->c), 0);
    cr_assert_eq(node->commands_n, 0);
    consensus_restored(node->c, index - 1); /* still short: nothing changes */
    cr_assert(consensus_wants_store(node->c, &index));
    node->applied = node->synced = trio.nodes[1].applied;
    node->hash = trio.nodes[1].hash;
    node->commands_n = trio.nodes[1].commands_n;
    consensus_restored(node->c, node->applied);
    cr_assert_not(consensus_wants_store(node->c, &index));
    cr_assert_eq(trio_read(&trio, 3), QK_OK);
    cr_assert_eq(trio_write(&trio, trio_leader(&trio), "afterwards"), QK_OK);
    trio_equal(&trio);
    trio_fini(&trio);
}

static unsigned answered_n;

static void count_cb(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    (void)arg;
    (void)index;
    (void)result;
    cr_assert_eq(err, QK_OK, "%s", qk_err_text(err));
    answered_n++;
}

static bool all_answered(struct trio *trio, void *arg)
{
    (void)trio;
    return answered_n == *(unsigned *)arg;
}

Test(consensus, many_commands_share_entries_and_syncs, .timeout = 60)
{
    struct consensus_stats stats;
    struct trio trio;
    unsigned n = 2000;

    trio_init(&trio);
    trio_make_three(&trio);
    answered_n = 0;
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(consensus_submit(trio.nodes[1].c, bytes_str("a command of some length"),
                                      count_cb, NULL),
                     QK_OK);
    trio_until(&trio, all_answered, &n);
    consensus_stats(trio.nodes[1].c, &stats);
    cr_assert_lt(stats.entries_n, 100);
    cr_assert_eq(stats.inflight_bytes, 0);
    trio_equal(&trio);
    cr_assert_eq(trio.nodes[2].commands_n, n + 1);
    trio_fini(&trio);
}

Test(consensus, a_command_larger_than_a_message_travels_in_fragments, .timeout = 60)
{
    struct trio trio;
    uint8_t *big = malloc(COMMAND_BYTES_MAX + 1);
    unsigned one = 1;

    cr_assert_not_null(big);
    memset(big, 'b', COMMAND_BYTES_MAX + 1);
    trio_init(&trio);
    trio.election_timeout_ms = 8000;
    trio_make_three(&trio);
    answered_n = 0;
    cr_assert_eq(
        consensus_submit(trio.nodes[1].c, bytes_of(big, COMMAND_BYTES_MAX + 1), count_cb, NULL),
        QK_ERR_TOO_BIG);
    cr_assert_eq(consensus_submit(trio.nodes[1].c, bytes_of(big, 6 * MIB), count_cb, NULL), QK_OK);
    trio_until(&trio, all_answered, &one);
    trio_equal(&trio);
    free(big);
    trio_fini(&trio);
}

Test(consensus, a_directory_serves_one_process_and_bootstraps_once, .timeout = 30)
{
    struct consensus_config config = {.id = 5};
    struct consensus *second;
    struct trio trio;
    char reason[512];

    trio_init(&trio);
    trio_open(&trio, 1, true);
    config = (struct consensus_config){.loop = &trio.loop, .dir = trio.nodes[1].dir, .id = 5};
    cr_assert_eq(consensus_new(&config, &second), QK_OK);
    cr_assert_eq(consensus_open(second, reason), QK_ERR_BUSY);
    cr_assert_not_null(strstr(reason, "raft/lock"));
    consensus_free(second);
    cr_assert(!consensus_is_empty(trio.nodes[1].c));
    trio_fini(&trio);
}
