/* Snapshots: when the log is trimmed, and what the leader knows of the streams to its peers.
 *
 * The core asks for an InstallSnapshot whenever a peer needs what the log no longer holds. The
 * first time, the store is streamed out of band under a token; the message itself leaves when the
 * peer has it staged, and again if it seems lost; after that the stream starts anew. */
#include "consensus/engine_private.h"

#include <assert.h>

/* While a stream runs, the log after its token is kept up to this many times the usual. */
#define KEEP_FOR_STREAM 4

struct snapshot_peer *engine_stream(struct engine *e, uint64_t peer, bool create)
{
    const struct buf empty = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    struct snapshot_peer *unused = NULL;

    for (size_t i = 0; i < e->streams_n; i++) {
        if (e->streams[i].id == peer)
            return &e->streams[i];
        if (e->streams[i].state == STREAM_NONE)
            unused = &e->streams[i];
    }
    if (!create)
        return NULL;
    if (e->streams_n < CONSENSUS_MEMBERS_MAX) {
        unused = &e->streams[e->streams_n++];
        unused->token = empty;
    }
    if (unused != NULL) {
        unused->id = peer;
        unused->state = STREAM_NONE;
    }
    return unused;
}

static enum qk_err ask_install(struct engine *e, struct snapshot_peer *stream)
{
    struct buf out = BUF_INIT(MESSAGE_BYTES_MAX);
    struct snapshot snapshot;
    enum qk_err err = snapshot_decode(buf_bytes(&stream->token), &snapshot);

    assert(err == QK_OK); /* we wrote it */
    stream->asked_at = e->now;
    stream->asked_n++;
    message_encode_install(e->raft.current_term, &snapshot, &out);
    return engine_send(e, stream->id, &out);
}

/* Starts streaming the newest snapshot. */
static enum qk_err start_stream(struct engine *e, struct snapshot_peer *stream)
{
    struct buf copy = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    enum qk_err err;

    buf_reset(&stream->token);
    snapshot_encode(&e->snapshot, &stream->token);
    buf_put_bytes(&copy, buf_bytes(&stream->token));
    stream->state = STREAM_SENDING;
    stream->snapshot_index = e->snapshot.index;
    stream->asked_n = 0;
    err = buf_error(&stream->token);
    if (err == QK_OK)
        err = engine_emit(e, (struct effect){.kind = EFFECT_SNAPSHOT_SEND, .peer = stream->id},
                          &copy);
    buf_fini(&copy);
    return err;
}

enum qk_err engine_offer_snapshot(struct engine *e, uint64_t peer)
{
    struct snapshot_peer *stream = engine_stream(e, peer, true);

    if (stream == NULL || stream->state == STREAM_SENDING || !restore_is_done(e))
        return QK_OK;
    if (stream->state == STREAM_STAGED && stream->snapshot_index + 1 >= e->log.first &&
        stream->asked_n < SNAPSHOT_ASKS_MAX) {
        if (e->now < stream->asked_at + e->config.election_timeout_ms)
            return QK_OK;
        return ask_install(e, stream);
    }
    return start_stream(e, stream);
}

enum qk_err engine_snapshot_sent(struct engine *e, uint64_t now, uint64_t peer, struct bytes token,
                                 bool ok)
{
    struct snapshot_peer *stream = engine_stream(e, peer, false);
    enum qk_err err = QK_OK;

    engine_advance(e, now);
    if (stream == NULL || stream->state != STREAM_SENDING ||
        !bytes_equal(buf_bytes(&stream->token), token))
        return QK_OK;
    stream->state = ok ? STREAM_STAGED : STREAM_NONE;
    if (ok && e->raft.state == RAFT_LEADER)
        err = ask_install(e, stream);
    return engine_finish(e, err);
}

/* How far the log may be trimmed, 0 if not at all. */
static uint64_t trim_point(const struct engine *e, uint64_t limit)
{
    size_t keep = e->config.log_keep_bytes;
    uint64_t point;

    /* Some slack, so that this does not happen at every entry. */
    if (e->log.bytes < keep + keep / 4)
        return 0;
    point = entry_log_excess(&e->log, keep);
    if (point > limit)
        point = limit;
    for (size_t i = 0; i < e->streams_n; i++) {
        const struct snapshot_peer *stream = &e->streams[i];
        if (stream->state != STREAM_NONE && stream->snapshot_index < point &&
            e->log.bytes < keep * KEEP_FOR_STREAM)
            point = stream->snapshot_index;
    }
    return point < e->log.first ? 0 : point;
}

enum qk_err engine_synced(struct engine *e, uint64_t now, uint64_t index)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT};
    struct buf token = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    uint64_t limit = index < e->applied ? index : e->applied;
    uint64_t point;
    int rv = 0;
    enum qk_err err;

    engine_advance(e, now);
    if (limit > e->raft.last_stored)
        limit = e->raft.last_stored;
    if (engine_installing(e) || limit <= e->snapshot.index || limit < e->applied_members_index ||
        engine_term_at(e, limit) == 0)
        return QK_OK;
    point = trim_point(e, limit);
    if (point == 0)
        return QK_OK;
    e->snapshot.index = limit;
    e->snapshot.term = engine_term_at(e, limit);
    e->snapshot.members_index = e->applied_members_index;
    e->snapshot.members = e->applied_members;
    err = snapshot_to_raft(&e->snapshot, &event.snapshot.metadata);
    if (err != QK_OK)
        return err;
    event.snapshot.trailing = (unsigned)(limit - point);
    err = engine_step(e, &event, false, &rv);
    entry_log_trim(&e->log, point);
    assert(rv == 0 && e->raft.trail.offset == point);
    snapshot_encode(&e->snapshot, &token);
    if (err == QK_OK)
        err = engine_emit(e, (struct effect){.kind = EFFECT_SNAPSHOT}, &token);
    if (err == QK_OK)
        err = engine_emit(e, (struct effect){.kind = EFFECT_TRIM, .index = point}, NULL);
    buf_fini(&token);
    return engine_finish(e, err);
}
