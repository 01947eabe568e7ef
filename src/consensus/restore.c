/* A start with less in the store than the log was trimmed to: its file was damaged, or is gone.
 *
 * Term, vote and log are whole, so this member votes, keeps entries and counts in majorities as
 * always; a wiped node, which has forgotten its vote, could not. Only what needs the store waits.
 * While the store misses what the log no longer holds (before the log's first entry), nothing is
 * applied, no read is served, no command taken and no snapshot sent; as a leader, which it may have
 * to become when nobody else has the longest log, it hands leadership on as soon as it can. Once a
 * store that reaches the log's first entry is in place (engine_restored: a peer's, or one that the
 * leader had it install), the entries up to the point where a start applies from (the newest
 * snapshot's index) are handed out again, commands alone, as they are committed; then all is as
 * after any start. A store that is ahead of the log is fine: what it holds is committed, the log
 * follows, and entries at or below its index are passed over. */
#include "consensus/engine_private.h"

void restore_begin(struct engine *e, uint64_t store_applied)
{
    e->store_applied = store_applied;
    e->store_missing = store_applied + 1 < e->log.first;
    e->replay_to = e->applied;
    e->replay_at = store_applied < e->applied ? store_applied : e->applied;
}

bool restore_is_done(const struct engine *e)
{
    return !e->store_missing && e->replay_at == e->replay_to;
}

enum qk_err engine_restored(struct engine *e, uint64_t now, uint64_t store_applied)
{
    engine_advance(e, now);
    if (!engine_installing(e) && store_applied > e->store_applied)
        restore_begin(e, store_applied);
    return engine_finish(e, QK_OK);
}

bool restore_next(struct engine *e, struct engine_apply *ret_apply)
{
    while (!e->store_missing && !engine_installing(e) && e->replay_at < e->replay_to) {
        const struct log_entry *entry = entry_log_get(&e->log, ++e->replay_at);

        if (entry == NULL || entry->type != RAFT_COMMAND) /* a configuration has been taken in */
            continue;
        ret_apply->index = e->replay_at;
        ret_apply->term = entry->term;
        ret_apply->payload = bytes_of(entry->data, entry->len);
        return true;
    }
    return false;
}

enum qk_err restore_tick(struct engine *e)
{
    struct raft_event event = {.type = RAFT_TRANSFER, .transfer = {.server_id = 0}};
    int rv = 0;
    enum qk_err err;

    if (!e->store_missing || e->raft.state != RAFT_LEADER || engine_transferring(e) ||
        e->now < e->yield_at)
        return QK_OK;
    e->yield_at = e->now + e->config.election_timeout_ms;
    err = engine_step(e, &event, false, &rv);
    if (err == QK_OK && rv == RAFT_NOMEM)
        err = QK_ERR_NOMEM;
    return err; /* that there is nobody to hand it to may change */
}

bool engine_store_missing(const struct engine *e)
{
    return e->store_missing;
}

bool engine_has_apply(const struct engine *e)
{
    if (e->store_missing || engine_installing(e))
        return false;
    return e->replay_at < e->replay_to || e->applied < e->raft.commit_index;
}
