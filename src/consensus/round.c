/* The engine's side of the read index: when rounds start and what their messages do. */
#include "consensus/engine_private.h"

#include <assert.h>

static enum qk_err send_read(struct engine *e, uint64_t peer, enum message_kind kind,
                             uint64_t number, uint64_t value)
{
    struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);

    message_encode_read(kind, number, value, &out);
    return engine_send(e, peer, &out);
}

enum qk_err round_applied(struct engine *e, uint64_t applied)
{
    struct read_list *confirmed = &e->reads.confirmed;
    enum qk_err err = QK_OK;
    size_t kept = 0;

    if (!restore_is_done(e))
        return QK_OK;
    if (applied < e->store_applied)
        applied = e->store_applied;
    for (size_t i = 0; i < confirmed->n && err == QK_OK; i++) {
        const struct read *read = &confirmed->items[i];
        if (read->index > applied) {
            confirmed->items[kept++] = *read;
            continue;
        }
        err = engine_emit(
            e, (struct effect){.kind = EFFECT_READ, .cookie = read->cookie, .index = read->index},
            NULL);
    }
    confirmed->n = kept;
    return err;
}

/* The read point of all in the round is known. */
static enum qk_err confirm(struct engine *e, uint64_t index)
{
    struct read_index *reads = &e->reads;
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < reads->active.n && err == QK_OK; i++) {
        struct read read = reads->active.items[i];
        if (read.peer != 0) {
            err = send_read(e, read.peer, MESSAGE_READ_ANSWER, read.ask, index);
            continue;
        }
        read.index = index;
        err = read_index_confirm(reads, read);
    }
    reads->active.n = 0;
    if (err == QK_OK)
        err = round_applied(e, e->applied);
    return err;
}

/* Has a majority of the voters of the newest configuration answered? */
static bool has_majority(const struct engine *e)
{
    const struct raft_configuration *configuration = &e->raft.configuration;
    unsigned voters = 0;
    unsigned acks = 0;

    for (unsigned i = 0; i < configuration->n; i++) {
        if (configuration->servers[i].role != RAFT_VOTER)
            continue;
        voters++;
        if (configuration->servers[i].id == e->config.id ||
            read_index_acked(&e->reads, configuration->servers[i].id))
            acks++;
    }
    return acks > voters / 2;
}

static enum qk_err probe(struct engine *e)
{
    const struct raft_configuration *configuration = &e->raft.configuration;
    enum qk_err err = QK_OK;

    e->reads.sent_at = e->now;
    for (unsigned i = 0; i < configuration->n && err == QK_OK; i++) {
        if (configuration->servers[i].role == RAFT_VOTER &&
            configuration->servers[i].id != e->config.id)
            err = send_read(e, configuration->servers[i].id, MESSAGE_READ_PROBE, e->reads.round,
                            e->raft.current_term);
    }
    return err;
}

static enum qk_err tick_leader(struct engine *e)
{
    struct read_index *reads = &e->reads;
    enum qk_err err;

    if (reads->active.n > 0) {
        if (has_majority(e)) /* the voter whose answer was missing may have been removed */
            return confirm(e, reads->round_index);
        return e->now >= round_deadline(e) ? probe(e) : QK_OK;
    }
    if (reads->queued.n == 0 || !engine_has_own_commit(e))
        return QK_OK;
    read_index_begin(reads, e->now);
    reads->round_index = e->raft.commit_index; /* recorded first, probed then */
    err = probe(e);
    if (err == QK_OK && has_majority(e))
        err = confirm(e, reads->round_index);
    return err;
}

enum qk_err round_tick(struct engine *e)
{
    struct read_index *reads = &e->reads;
    uint64_t leader = engine_leader(e);

    if (e->raft.state == RAFT_LEADER)
        return tick_leader(e);
    if (leader == 0)
        return QK_OK;
    if (reads->active.n > 0) {
        if (e->now < round_deadline(e))
            return QK_OK;
        reads->sent_at = e->now;
        return send_read(e, leader, MESSAGE_READ_ASK, reads->ask, 0);
    }
    if (reads->queued.n == 0)
        return QK_OK;
    read_index_begin(reads, e->now);
    return send_read(e, leader, MESSAGE_READ_ASK, reads->ask, 0);
}

uint64_t round_deadline(const struct engine *e)
{
    if (e->reads.active.n == 0 || engine_leader(e) == 0)
        return UINT64_MAX;
    return e->reads.sent_at + (e->raft.state == RAFT_LEADER ? 1 : 2) * e->config.heartbeat_ms;
}

static enum qk_err receive_ack(struct engine *e, uint64_t peer, const struct message *message)
{
    if (e->raft.state != RAFT_LEADER || message->term != e->raft.current_term ||
        message->number != e->reads.round || e->reads.active.n == 0)
        return QK_OK;
    read_index_ack(&e->reads, peer);
    return has_majority(e) ? confirm(e, e->reads.round_index) : QK_OK;
}

static enum qk_err receive_ask(struct engine *e, uint64_t peer, const struct message *message)
{
    enum qk_err err;

    if (e->raft.state != RAFT_LEADER)
        return QK_OK;
    err = read_index_add(&e->reads, (struct read){.peer = peer, .ask = message->number});
    return err == QK_ERR_BUSY ? QK_OK : err;
}

enum qk_err round_receive(struct engine *e, uint64_t peer, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_READ_PROBE:
        /* Our term is on disk before any effect after it leaves. */
        if (message->term != e->raft.current_term)
            return QK_OK;
        return send_read(e, peer, MESSAGE_READ_ACK, message->number, message->term);
    case MESSAGE_READ_ACK:
        return receive_ack(e, peer, message);
    case MESSAGE_READ_ASK:
        return receive_ask(e, peer, message);
    case MESSAGE_READ_ANSWER:
        if (e->raft.state == RAFT_LEADER || message->number != e->reads.ask ||
            e->reads.active.n == 0)
            return QK_OK;
        return confirm(e, message->index);
    case MESSAGE_APPEND:
    case MESSAGE_APPEND_RESULT:
    case MESSAGE_VOTE:
    case MESSAGE_VOTE_RESULT:
    case MESSAGE_INSTALL:
    case MESSAGE_TIMEOUT_NOW:
    case MESSAGE_FRAGMENT:
        break;
    }
    return QK_OK;
}

enum qk_err engine_read(struct engine *e, uint64_t now, uint64_t cookie)
{
    enum qk_err err;

    engine_advance(e, now);
    err = read_index_add(&e->reads, (struct read){.cookie = cookie});
    return err == QK_OK ? engine_finish(e, err) : err;
}

void engine_read_cancel(struct engine *e, uint64_t cookie)
{
    read_index_cancel(&e->reads, cookie);
}
