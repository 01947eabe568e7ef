/* What Raft cannot bring about, and a disk that was put back to an older copy can: a second leader
 * of one term, a committed entry with another term. The engine ends with an error of its own. */
#include <criterion/criterion.h>

#include "consensus/engine.h"

static void drain(struct engine *e)
{
    struct engine_apply apply;
    struct effect effect;
    bool some = true;

    while (some) {
        while (engine_next_effect(e, &effect))
            if (effect.kind == EFFECT_APPEND)
                cr_assert_eq(engine_stored(e, 1000, effect.index + effect.n - 1, engine_term(e)),
                             QK_OK);
        cr_assert_eq(engine_next_apply(e, 1000, &some, &apply), QK_OK);
    }
}

/* The only voter, 1, and a standby, 2, as an old image has it: at its start it leads, and commits.
 */
static struct engine *lone_voter(struct buf *payload)
{
    struct engine_config config = {.id = 1,
                                   .election_timeout_ms = 100,
                                   .heartbeat_ms = 25,
                                   .install_timeout_ms = 1000,
                                   .log_keep_bytes = MIB,
                                   .random = 7};
    struct members members = {0};
    struct engine *e;

    cr_assert_eq(members_add(&members, 1, bytes_str("one"), true), QK_OK);
    cr_assert_eq(members_add(&members, 2, bytes_str("two"), false), QK_OK);
    members_encode_entry(&members, payload);
    cr_assert_eq(engine_new(&config, &e), QK_OK);
    cr_assert_eq(engine_load(e, NULL, 1), QK_OK);
    cr_assert_eq(engine_load_entry(e, 1, RAFT_CHANGE, buf_bytes(payload)), QK_OK);
    cr_assert_eq(engine_start(e, 1000, 1, 0, 0), QK_OK);
    drain(e);
    cr_assert_eq(engine_role(e), CONSENSUS_LEADER);
    cr_assert_eq(engine_commit(e), 2, "its barrier");
    return e;
}

/* What the engine makes of an AppendEntries of 2, of this term, with an entry 2 of this term. */
static enum qk_err append(struct engine *e, struct buf *payload, uint64_t term)
{
    struct raft_append_entries append = {
        .term = term, .prev_log_index = 1, .prev_log_term = 1, .leader_commit = 2};
    struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);
    struct entry_log log;
    enum qk_err err;

    entry_log_init(&log, 1);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_CHANGE, buf_bytes(payload)), QK_OK);
    cr_assert_eq(entry_log_append(&log, term, RAFT_COMMAND, bytes_str("other")), QK_OK);
    message_encode_append(&append, &log, 1, &out);
    err = engine_receive(e, 1001, 2, buf_bytes(&out), false);
    entry_log_fini(&log);
    buf_fini(&out);
    return err;
}

Test(contradiction, another_leader_of_the_own_term_ends_the_engine)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = lone_voter(&payload);

    cr_assert_eq(append(e, &payload, engine_term(e)), QK_ERR_STALE);
    engine_free(e);
    buf_fini(&payload);
}

Test(contradiction, a_committed_entry_of_another_term_ends_the_engine)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = lone_voter(&payload);

    cr_assert_eq(append(e, &payload, engine_term(e) + 1), QK_ERR_STALE);
    engine_free(e);
    buf_fini(&payload);
}

Test(contradiction, a_leader_of_an_older_term_is_answered_and_nothing_more)
{
    struct buf payload = BUF_INIT(4 * KIB);
    struct engine *e = lone_voter(&payload);

    cr_assert_gt(engine_term(e), 1);
    cr_assert_eq(append(e, &payload, engine_term(e) - 1), QK_OK);
    cr_assert_eq(engine_role(e), CONSENSUS_LEADER);
    engine_free(e);
    buf_fini(&payload);
}
