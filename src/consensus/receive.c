/* Incoming messages: each passes its guards on its way to the core. */
#include "consensus/engine_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* Another member's history contradicts ours: it leads our own term, or would replace what is
 * committed here. Raft has no such thing; a disk that was put back to an older copy has forgotten
 * terms and votes, and if it was of a lone voter, it even leads and commits again by itself. This
 * process ends, and says so. */
#define ERR_CONTRADICTED QK_ERR_STALE

/* Hands one message to the core. */
static enum qk_err feed(struct engine *e, uint64_t peer, struct raft_message *message, bool stale)
{
    struct raft_event event = {.type = RAFT_RECEIVE, .receive = {.message = message}};
    char address[CONSENSUS_ADDRESS_BYTES_MAX];
    int rv = 0;
    enum qk_err err;

    snprintf(address, sizeof(address), "%016" PRIx64, peer);
    message->server_id = peer;
    message->server_address = address;
    err = engine_step(e, &event, stale, &rv);
    if (err == QK_OK && rv != 0)
        err = rv == RAFT_NOMEM      ? QK_ERR_NOMEM
              : rv == RAFT_SHUTDOWN ? ERR_CONTRADICTED
                                    : QK_ERR_CORRUPT;
    return err;
}

/* One AppendEntries of which at most the first entry is a configuration. The core frees the batch
 * of the first entry unless it takes the entries. */
static enum qk_err feed_append(struct engine *e, uint64_t peer,
                               const struct raft_append_entries *piece, bool stale)
{
    struct raft_message message = {.type = RAFT_APPEND_ENTRIES, .append_entries = *piece};
    void *batch = NULL;
    enum qk_err err;

    if (piece->n_entries > 0) {
        batch = raft_malloc(1);
        if (batch == NULL)
            return QK_ERR_NOMEM;
        piece->entries[0].batch = batch;
    }
    err = feed(e, peer, &message, stale);
    if (e->step_took_entries)
        raft_free(batch);
    return err;
}

/* Tells the core what guard 15 found out. */
static enum qk_err note_committed(struct engine *e, uint64_t index)
{
    struct raft_event event = {.type = RAFT_CONFIGURATION, .configuration = {.index = index}};
    struct members members;
    int rv = 0;
    enum qk_err err;

    if (index == 0)
        return QK_OK;
    engine_members(e, &members); /* the newest one is the one at `index` */
    err = members_to_raft(&members, &event.configuration.conf);
    if (err == QK_OK)
        err = engine_step(e, &event, false, &rv);
    return err;
}

static enum qk_err receive_append(struct engine *e, uint64_t peer, struct message *message)
{
    struct raft_append_entries rest = message->append;
    bool stale = rest.term < e->raft.current_term;
    enum qk_err err;

    if (rest.term == e->raft.current_term && e->raft.state == RAFT_LEADER)
        return ERR_CONTRADICTED;
    if (!stale) {
        e->leader_contact = e->now;
        engine_found(e, peer);
        (void)guard_below_snapshot(&e->guards, &e->raft, &rest);
    }
    do {
        struct raft_append_entries piece = rest;
        uint64_t end;
        piece.n_entries = guard_change_first(&e->guards, rest.entries, rest.n_entries);
        end = piece.prev_log_index + piece.n_entries;
        guard_commit_back(&e->guards, &e->raft, &piece);
        err = QK_OK;
        if (!stale)
            err = note_committed(e, guard_second_change(&e->guards, &e->raft, &e->log, &piece));
        if (err == QK_OK)
            err = feed_append(e, peer, &piece, stale);
        if (err != QK_OK || stale || piece.n_entries == rest.n_entries ||
            entry_log_term(&e->log, end) != rest.entries[piece.n_entries - 1].term)
            return err; /* done, or refused: what follows would be refused too */
        rest.prev_log_index = end;
        rest.prev_log_term = rest.entries[piece.n_entries - 1].term;
        rest.entries += piece.n_entries;
        rest.n_entries -= piece.n_entries;
    } while (true);
}

static enum qk_err receive_append_result(struct engine *e, uint64_t peer, struct message *message)
{
    struct raft_message event = {.type = RAFT_APPEND_ENTRIES_RESULT,
                                 .append_entries_result = message->append_result};
    struct snapshot_peer *stream = engine_stream(e, peer, false);
    enum qk_err err;

    if (!guard_late_rejection(&e->guards, &e->raft, peer, &event.append_entries_result))
        return QK_OK;
    err = feed(e, peer, &event, false);
    if (stream != NULL && stream->state == STREAM_STAGED &&
        engine_match(e, peer) >= stream->snapshot_index)
        stream->state = STREAM_NONE;
    return err;
}

static enum qk_err receive_vote(struct engine *e, uint64_t peer, struct message *message)
{
    struct raft_message event = {.type = RAFT_REQUEST_VOTE, .request_vote = message->vote};
    bool lent;
    enum qk_err err;

    if (message->vote.candidate_id != peer)
        return QK_OK;
    if (guard_forget_leader(&e->guards, &e->raft, e->now, e->leader_contact))
        event.request_vote.disrupt_leader = true;
    lent = guard_unknowing_voter(&e->guards, &e->raft);
    err = feed(e, peer, &event, false);
    if (lent)
        guard_unknowing_voter_end(&e->raft);
    return err;
}

static enum qk_err receive_vote_result(struct engine *e, uint64_t peer, struct message *message)
{
    struct raft_message event = {.type = RAFT_REQUEST_VOTE_RESULT,
                                 .request_vote_result = message->vote_result};

    if (!guard_vote_result(&e->guards, &e->raft))
        return QK_OK;
    return feed(e, peer, &event, false);
}

static enum qk_err receive_install(struct engine *e, uint64_t peer, struct message *message,
                                   bool staged)
{
    const struct snapshot *snapshot = &message->snapshot;
    struct raft_message event = {.type = RAFT_INSTALL_SNAPSHOT};
    bool stale = message->term < e->raft.current_term;
    bool known = e->snapshot.index >= snapshot->index ||
                 engine_term_at(e, snapshot->index) == snapshot->term;
    enum qk_err err;

    if (message->term == e->raft.current_term && e->raft.state == RAFT_LEADER)
        return ERR_CONTRADICTED;
    if (!stale) {
        e->leader_contact = e->now;
        engine_found(e, peer);
    }
    if (!guard_install_busy(&e->guards, &e->raft) || (!stale && !known && !staged))
        return QK_OK;
    event.install_snapshot.term = message->term;
    event.install_snapshot.last_index = snapshot->index;
    event.install_snapshot.last_term = snapshot->term;
    event.install_snapshot.conf_index = snapshot->members_index;
    err = members_to_raft(&snapshot->members, &event.install_snapshot.conf);
    if (err != QK_OK)
        return err;
    if (!engine_installing(e))
        e->installing = *snapshot;
    return feed(e, peer, &event, stale);
}

static enum qk_err receive_timeout_now(struct engine *e, uint64_t peer, struct message *message)
{
    struct raft_message event = {.type = RAFT_TIMEOUT_NOW, .timeout_now = message->timeout_now};

    if (guard_self_election(&e->guards, &e->raft))
        return QK_OK;
    return feed(e, peer, &event, false);
}

static enum qk_err receive(struct engine *e, uint64_t peer, struct message *message, bool staged)
{
    switch (message->kind) {
    case MESSAGE_APPEND:
        return receive_append(e, peer, message);
    case MESSAGE_APPEND_RESULT:
        return receive_append_result(e, peer, message);
    case MESSAGE_VOTE:
        return receive_vote(e, peer, message);
    case MESSAGE_VOTE_RESULT:
        return receive_vote_result(e, peer, message);
    case MESSAGE_INSTALL:
        return receive_install(e, peer, message, staged);
    case MESSAGE_TIMEOUT_NOW:
        return receive_timeout_now(e, peer, message);
    case MESSAGE_READ_PROBE:
    case MESSAGE_READ_ACK:
    case MESSAGE_READ_ASK:
    case MESSAGE_READ_ANSWER:
        return round_receive(e, peer, message);
    case MESSAGE_FRAGMENT:
        break;
    }
    return QK_OK;
}

enum qk_err engine_receive(struct engine *e, uint64_t now, uint64_t peer, struct bytes in,
                           bool staged)
{
    struct message message;
    enum qk_err err;

    assert(peer != 0);
    engine_advance(e, now);
    err = message_decode(in, &message);
    if (err != QK_OK)
        return err == QK_ERR_INVALID ? QK_OK : err;
    contacts_note(&e->contacts, peer, e->now);
    err = peer == e->config.id ? QK_OK : receive(e, peer, &message, staged);
    message_fini(&message);
    return engine_finish(e, err);
}

bool engine_wants_install(struct bytes in, struct bytes *ret_token)
{
    struct message message;

    if (in.len < 2 || in.data[1] != MESSAGE_INSTALL || message_decode(in, &message) != QK_OK)
        return false;
    *ret_token = message.token;
    message_fini(&message);
    return true;
}
