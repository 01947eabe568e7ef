/* What the core wants sent, as bytes: AppendEntries are filled from our log, cut and split; the
 * install message waits for its stream. */
#include "consensus/engine_private.h"

/* A longer stretch of log than this is not sent at once when a held-back change gets out. */
#define RESEND_ENTRIES_MAX 64

enum qk_err engine_send(struct engine *e, uint64_t peer, struct buf *message)
{
    enum qk_err err = engine_emit(e, (struct effect){.kind = EFFECT_SEND, .peer = peer}, message);

    buf_fini(message);
    return err;
}

enum qk_err engine_send_append(struct engine *e, uint64_t peer,
                               const struct raft_append_entries *append)
{
    struct raft_append_entries piece = *append;
    uint64_t first = append->prev_log_index + 1;
    size_t left = guard_unstored_change(&e->guards, &e->raft, &e->log, first, append->n_entries);
    enum qk_err err;

    if (left < append->n_entries)
        e->unstored_change = first + left;
    left = guard_losing_voter(&e->guards, &e->raft, peer, first, left);
    if (left > 0 &&
        (entry_log_get(&e->log, first) == NULL || entry_log_get(&e->log, first + left - 1) == NULL))
        return QK_ERR_CORRUPT; /* core and log disagree */
    do {
        struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);
        size_t n = message_batch_n(&e->log, piece.prev_log_index + 1, left);
        message_encode_append(&piece, &e->log, n, &out);
        err = engine_send(e, peer, &out);
        piece.prev_log_index += n;
        if (n > 0)
            piece.prev_log_term = entry_log_term(&e->log, piece.prev_log_index);
        left -= n;
    } while (err == QK_OK && left > 0);
    return err;
}

enum qk_err engine_send_message(struct engine *e, struct raft_message *message, bool stale_reply)
{
    struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);

    switch (message->type) {
    case RAFT_APPEND_ENTRIES:
        return engine_send_append(e, message->server_id, &message->append_entries);
    case RAFT_INSTALL_SNAPSHOT:
        return engine_offer_snapshot(e, message->server_id);
    case RAFT_APPEND_ENTRIES_RESULT:
        if (stale_reply)
            guard_stale_reply(&e->guards, &message->append_entries_result);
        message_encode_append_result(&message->append_entries_result, &out);
        break;
    case RAFT_REQUEST_VOTE:
        message_encode_vote(&message->request_vote, &out);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        guard_pre_vote_term(&e->guards, &e->raft, &message->request_vote_result);
        message_encode_vote_result(&message->request_vote_result, &out);
        break;
    case RAFT_TIMEOUT_NOW:
        message_encode_timeout_now(&message->timeout_now, &out);
        break;
    }
    return engine_send(e, message->server_id, &out);
}

enum qk_err engine_send_held_change(struct engine *e)
{
    struct raft_append_entries append = {.term = e->raft.current_term};
    uint64_t first = e->unstored_change;
    uint64_t n;
    enum qk_err err = QK_OK;

    if (first == 0 || e->raft.last_stored < first)
        return QK_OK;
    e->unstored_change = 0;
    if (e->raft.state != RAFT_LEADER || engine_term_at(e, first - 1) == 0 ||
        first > entry_log_last(&e->log))
        return QK_OK;
    n = entry_log_last(&e->log) - first + 1;
    append.prev_log_index = first - 1;
    append.prev_log_term = engine_term_at(e, first - 1);
    append.leader_commit = e->raft.commit_index;
    append.n_entries = n > RESEND_ENTRIES_MAX ? RESEND_ENTRIES_MAX : (unsigned)n;
    for (unsigned i = 0; i < e->raft.configuration.n && err == QK_OK; i++) {
        if (e->raft.configuration.servers[i].id != e->config.id)
            err = engine_send_append(e, e->raft.configuration.servers[i].id, &append);
    }
    return err;
}
