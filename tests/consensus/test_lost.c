/* A follower whose connection to the leader breaks stands for election sooner. */
#include <criterion/criterion.h>

#include "consensus/engine.h"

#define ELECTION_MS 1000u
#define SHORT_MS 400u

/* One of three voters, which has heard of none yet. */
static struct engine *voter(struct buf *payload)
{
    struct engine_config config = {.id = 1,
                                   .election_timeout_ms = ELECTION_MS,
                                   .short_election_ms = SHORT_MS,
                                   .heartbeat_ms = 100,
                                   .install_timeout_ms = 10000,
                                   .log_keep_bytes = MIB,
                                   .random = 7};
    struct members members = {0};
    struct engine *e;

    cr_assert_eq(members_add(&members, 1, bytes_str("one"), true), QK_OK);
    cr_assert_eq(members_add(&members, 2, bytes_str("two"), true), QK_OK);
    cr_assert_eq(members_add(&members, 3, bytes_str("three"), true), QK_OK);
    members_encode_entry(&members, payload);
    cr_assert_eq(engine_new(&config, &e), QK_OK);
    cr_assert_eq(engine_load(e, NULL, 1), QK_OK);
    cr_assert_eq(engine_load_entry(e, 1, RAFT_CHANGE, buf_bytes(payload)), QK_OK);
    cr_assert_eq(engine_start(e, 1000, 1, 0, 0), QK_OK);
    return e;
}

static void heartbeat(struct engine *e, uint64_t now, uint64_t leader, uint64_t term)
{
    struct raft_append_entries append = {
        .term = term, .prev_log_index = 1, .prev_log_term = 1, .leader_commit = 1};
    struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);
    struct entry_log log;
    struct effect effect;

    entry_log_init(&log, 2);
    message_encode_append(&append, &log, 0, &out);
    cr_assert_eq(engine_receive(e, now, leader, buf_bytes(&out), false), QK_OK);
    cr_assert_eq(engine_leader(e), leader);
    while (engine_next_effect(e, &effect))
        ;
    entry_log_fini(&log);
    buf_fini(&out);
}

/* The core waits for one to two timeouts from when it heard the leader last. */
static void waits(const struct engine *e, uint64_t from, unsigned timeout_ms)
{
    cr_assert_geq(engine_deadline(e), from + timeout_ms);
    cr_assert_leq(engine_deadline(e), from + 2ull * timeout_ms);
}

Test(lost, the_leaders_connection_shortens_the_wait_until_it_is_heard)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = voter(&payload);

    waits(e, 1000, SHORT_MS); /* no leader is known yet */
    heartbeat(e, 1100, 2, 2);
    waits(e, 1100, ELECTION_MS);
    engine_lost(e, 1110, 3); /* it does not lead */
    waits(e, 1100, ELECTION_MS);
    engine_lost(e, 1120, 2);
    waits(e, 1100, SHORT_MS);
    heartbeat(e, 1150, 2, 2); /* it lives */
    waits(e, 1150, ELECTION_MS);
    engine_lost(e, 1160, 2);
    engine_heard(e, 1170, 2); /* by a part of a message */
    waits(e, 1170, ELECTION_MS);
    engine_free(e);
    buf_fini(&payload);
}

Test(lost, another_leader_ends_the_hurry)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = voter(&payload);

    heartbeat(e, 1100, 2, 2);
    engine_lost(e, 1110, 2);
    heartbeat(e, 1200, 3, 3);
    waits(e, 1200, ELECTION_MS);
    engine_lost(e, 1210, 2); /* late: it leads no more */
    waits(e, 1200, ELECTION_MS);
    engine_free(e);
    buf_fini(&payload);
}

Test(lost, whoever_hurried_stands_for_election_and_waits_as_short_again)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = voter(&payload);
    struct effect effect;
    uint64_t due;

    heartbeat(e, 1100, 2, 2);
    engine_lost(e, 1110, 2);
    due = engine_deadline(e);
    cr_assert_eq(engine_tick(e, due), QK_OK);
    cr_assert_eq(engine_role(e), CONSENSUS_CANDIDATE);
    cr_assert_eq(engine_term(e), 2, "a pre-vote raises no term");
    while (engine_next_effect(e, &effect))
        ;
    waits(e, due, SHORT_MS);
    heartbeat(e, due + 10, 2, 2); /* the old one after all */
    waits(e, due + 10, ELECTION_MS);
    engine_free(e);
    buf_fini(&payload);
}
