/* The driver: it turns uv's events into the engine's, and the engine's effects into disk writes,
 * messages and callbacks.
 *
 * Each event (a timer, a message, a report of the disk, what callers queued) goes to the engine;
 * consensus_drive then performs all effects in their order and applies what is committed. A message
 * that comes from within a callback waits until that is done. Before the loop polls, what callers
 * queued is handed over, the disk gets its next group, and the timer is set. Any error of engine or
 * disk ends the node: restarting is safe, going on half-written is not.
 *
 * Over 500 lines: the life of the driver and its one loop. */
#include "consensus/consensus.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "consensus/apply.h"
#include "consensus/consensus_private.h"

#define ELECTION_TIMEOUT_MS 1000
#define HEARTBEAT_MS 100
#define INSTALL_TIMEOUT_MS 30000
#define LOG_KEEP_BYTES (64 * MIB)
#define RESULT_BYTES_MAX (64 * MIB)
/* Applied in one go before the loop gets its turn. */
#define APPLY_ENTRIES_MAX 1024
#define CONTRADICTED_TEXT                                                                          \
    "another member contradicts what is committed here: one of the two disks was put back to an "  \
    "older copy ('quorumkeep node list' on the others names it)"

uint64_t consensus_now(const struct consensus *c)
{
    return uv_now(c->config.loop);
}

void consensus_fail(struct consensus *c, const char *what)
{
    if (c->failed)
        return;
    c->failed = true;
    c->config.fatal(c->config.arg, what);
}

/* --- life ---------------------------------------------------------------------------------- */

enum qk_err consensus_new(const struct consensus_config *config, struct consensus **ret_consensus)
{
    const struct buf token = BUF_INIT(CONSENSUS_TOKEN_BYTES_MAX);
    const struct buf result = BUF_INIT(RESULT_BYTES_MAX);
    struct consensus *c;

    if (config->id == 0 || config->dir == NULL || config->loop == NULL)
        return QK_ERR_INVALID;
    c = calloc(1, sizeof(*c));
    if (c == NULL)
        return QK_ERR_NOMEM;
    c->config = *config;
    c->dir = strdup(config->dir);
    if (c->dir == NULL) {
        free(c);
        return QK_ERR_NOMEM;
    }
    c->config.dir = c->dir;
    if (c->config.election_timeout_ms == 0)
        c->config.election_timeout_ms = ELECTION_TIMEOUT_MS;
    if (c->config.heartbeat_ms == 0)
        c->config.heartbeat_ms = HEARTBEAT_MS;
    if (c->config.log_keep_bytes == 0)
        c->config.log_keep_bytes = LOG_KEEP_BYTES;
    c->install_token = token;
    c->result = result;
    requests_init(c);
    *ret_consensus = c;
    return QK_OK;
}

void consensus_free(struct consensus *c)
{
    if (c == NULL)
        return;
    assert(c->disk == NULL || c->closed);
    for (size_t i = 0; i < PEERS_MAX; i++)
        fragments_fini(&c->peers[i].fragments);
    buf_fini(&c->install_token);
    buf_fini(&c->result);
    entry_log_fini(&c->found.log);
    engine_free(c->engine);
    disk_free(c->disk);
    free(c->dir);
    free(c);
}

static void disk_stored(void *arg, uint64_t index, uint64_t term);
static void disk_installed(void *arg);
static void disk_closed(void *arg);

static void disk_fatal(void *arg, const char *what)
{
    consensus_fail(arg, what);
}

enum qk_err consensus_open(struct consensus *c, char *ret_reason)
{
    struct disk_callbacks callbacks = {c, disk_stored, disk_installed, disk_fatal, disk_closed};

    assert(c->disk == NULL);
    return disk_open(c->config.loop, c->dir, &callbacks, ret_reason, &c->disk, &c->found);
}

bool consensus_is_empty(const struct consensus *c)
{
    return c->engine == NULL ? c->found.term == 0 && c->found.log.n == 0 && !c->found.has_snapshot
                             : entry_log_last(engine_log(c->engine)) == 0;
}

bool consensus_outruns(const struct consensus *c, uint64_t applied)
{
    assert(c->engine == NULL);
    if (c->found.has_snapshot)
        return applied < c->found.snapshot.index;
    return applied == 0 && c->found.log.n > 0;
}

static bool entry_holds(const struct log_entry *entry, bool (*is_wanted)(struct bytes command))
{
    struct apply_cursor cursor;
    struct bytes command;
    bool last;

    if (entry == NULL || entry->type != RAFT_COMMAND ||
        apply_cursor_open(bytes_of(entry->data, entry->len), &cursor) != QK_OK)
        return false;
    while (apply_cursor_next(&cursor, &command, &last))
        if (is_wanted(command))
            return true;
    return false;
}

uint64_t consensus_find_unapplied(const struct consensus *c, uint64_t applied,
                                  bool (*is_wanted)(struct bytes command))
{
    const struct entry_log *log = &c->found.log;

    assert(c->engine == NULL);
    for (uint64_t index = entry_log_last(log); index > applied && index >= log->first; index--)
        if (entry_holds(entry_log_get(log, index), is_wanted))
            return index;
    return 0;
}

enum qk_err consensus_bootstrap(struct consensus *c, const char *address)
{
    struct buf payload = BUF_INIT(CONSENSUS_TOKEN_BYTES_MAX);
    struct members members = {0};
    enum qk_err err;

    assert(c->disk != NULL && c->engine == NULL);
    if (!consensus_is_empty(c))
        return QK_ERR_EXISTS;
    err = members_add(&members, c->config.id, bytes_str(address), true);
    if (err != QK_OK)
        return err;
    members_encode_entry(&members, &payload);
    err = buf_error(&payload);
    /* The entry first: only the term makes it count. */
    if (err == QK_OK)
        err = disk_bootstrap(c->disk, buf_bytes(&payload));
    if (err == QK_OK)
        err = entry_log_append(&c->found.log, 1, RAFT_CHANGE, buf_bytes(&payload));
    if (err == QK_OK) {
        disk_save_term(c->disk, 1, 0);
        c->found.term = 1;
        err = c->failed ? QK_ERR_IO : QK_OK;
    }
    buf_fini(&payload);
    return err;
}

static enum qk_err load_engine(struct consensus *c)
{
    struct engine_config config = {
        .id = c->config.id,
        .election_timeout_ms = c->config.election_timeout_ms,
        .short_election_ms = c->config.election_timeout_ms * 2 / 5,
        .heartbeat_ms = c->config.heartbeat_ms,
        .install_timeout_ms = INSTALL_TIMEOUT_MS,
        .log_keep_bytes = c->config.log_keep_bytes,
    };
    struct entry_log *log = &c->found.log;
    enum qk_err err;

    if (getrandom(&config.random, sizeof(config.random), 0) != sizeof(config.random))
        return QK_ERR_IO;
    err = engine_new(&config, &c->engine);
    if (err == QK_OK)
        err = engine_load(c->engine, c->found.has_snapshot ? &c->found.snapshot : NULL, log->first);
    while (err == QK_OK && log->n > 0) {
        const struct log_entry *entry = entry_log_get(log, log->first);
        err = engine_load_entry(c->engine, entry->term, entry->type,
                                bytes_of(entry->data, entry->len));
        entry_log_trim(log, log->first);
    }
    return err;
}

static void timer_cb(uv_timer_t *timer);
static void prepare_cb(uv_prepare_t *prepare);

enum qk_err consensus_start(struct consensus *c, uint64_t applied_start)
{
    enum qk_err err;

    assert(c->disk != NULL && c->engine == NULL);
    err = load_engine(c);
    if (err == QK_OK)
        err =
            engine_start(c->engine, consensus_now(c), c->found.term, c->found.vote, applied_start);
    if (err != QK_OK) {
        engine_free(c->engine);
        c->engine = NULL;
        return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
    }
    entry_log_fini(&c->found.log);
    c->state_dirty = true;
    if (uv_timer_init(c->config.loop, &c->timer) != 0 ||
        uv_prepare_init(c->config.loop, &c->prepare) != 0)
        return QK_ERR_IO;
    c->handles_open = 2;
    c->timer.data = c;
    c->prepare.data = c;
    /* What starting led to is performed on the loop's first turn. */
    uv_timer_start(&c->timer, timer_cb, 0, 0);
    uv_prepare_start(&c->prepare, prepare_cb);
    return QK_OK;
}

static void finish_close(struct consensus *c)
{
    if (c->handles_open > 0)
        return;
    c->closed = true;
    c->close_cb(c->close_arg);
}

static void handle_closed(uv_handle_t *handle)
{
    struct consensus *c = handle->data;

    c->handles_open--;
    finish_close(c);
}

static void disk_closed(void *arg)
{
    struct consensus *c = arg;

    requests_fail_all(c, QK_ERR_CLOSED);
    if (c->handles_open == 0) {
        finish_close(c);
        return;
    }
    uv_close((uv_handle_t *)&c->timer, handle_closed);
    uv_close((uv_handle_t *)&c->prepare, handle_closed);
}

void consensus_close(struct consensus *c, void (*cb)(void *arg), void *arg)
{
    assert(c->disk != NULL && !c->closing);
    c->closing = true;
    c->close_cb = cb;
    c->close_arg = arg;
    if (c->handles_open > 0) {
        uv_timer_stop(&c->timer);
        uv_prepare_stop(&c->prepare);
    }
    disk_close(c->disk);
}

/* --- effects ------------------------------------------------------------------------------- */

static void send_message(struct consensus *c, uint64_t peer, struct bytes message)
{
    size_t part = CONSENSUS_MESSAGE_BYTES_MAX - FRAGMENT_HEAD_BYTES;

    if (message.len <= CONSENSUS_MESSAGE_BYTES_MAX) {
        c->config.send(c->config.arg, peer, message);
        return;
    }
    c->fragment_number++;
    for (size_t at = 0; at < message.len && !c->failed; at += part) {
        struct buf out = BUF_INIT(CONSENSUS_MESSAGE_BYTES_MAX);
        fragment_encode(c->fragment_number, message, at, part, &out);
        if (buf_error(&out) == QK_OK)
            c->config.send(c->config.arg, peer, buf_bytes(&out));
        buf_fini(&out);
    }
}

static void start_install(struct consensus *c, struct bytes token)
{
    buf_reset(&c->install_token);
    buf_put_bytes(&c->install_token, token);
    if (buf_error(&c->install_token) != QK_OK) {
        consensus_fail(c, "consensus: out of memory");
        return;
    }
    c->stats.snapshots_installed_n++;
    c->config.snapshot_install(c->config.arg, buf_bytes(&c->install_token));
}

static void perform(struct consensus *c, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_TERM:
        disk_save_term(c->disk, effect->term, effect->vote);
        break;
    case EFFECT_SEND:
        send_message(c, effect->peer, effect->bytes);
        break;
    case EFFECT_APPEND:
        disk_append(c->disk, engine_log(c->engine), effect->index, effect->n);
        break;
    case EFFECT_SNAPSHOT:
        disk_save_snapshot(c->disk, effect->bytes);
        break;
    case EFFECT_TRIM:
        disk_trim(c->disk, effect->index);
        break;
    case EFFECT_SNAPSHOT_SEND:
        c->stats.snapshots_sent_n++;
        c->config.snapshot_send(c->config.arg, effect->peer, effect->bytes);
        break;
    case EFFECT_INSTALL:
        start_install(c, effect->bytes);
        break;
    case EFFECT_READ:
        requests_read_done(c, effect->cookie, effect->index);
        break;
    case EFFECT_CHANGE:
        requests_change_done(c, effect->err);
        break;
    case EFFECT_STATE:
        c->state_dirty = true;
        requests_role_changed(c);
        break;
    }
}

static enum qk_err receive(struct consensus *c, uint64_t peer, struct bytes message);

/* Messages that came from within a callback. */
static enum qk_err receive_late(struct consensus *c)
{
    enum qk_err err = QK_OK;

    while (c->late != NULL && err == QK_OK) {
        struct late_message *late = c->late;
        c->late = late->next;
        if (c->late == NULL)
            c->late_tail = &c->late;
        err = receive(c, late->peer, bytes_of(late->data, late->len));
        free(late);
    }
    return err;
}

/* One turn: all effects, then one entry. */
static enum qk_err turn(struct consensus *c, bool *ret_more, size_t *applied_n)
{
    struct engine_apply apply;
    struct effect effect;
    bool some = false;
    enum qk_err err = QK_OK;

    *ret_more = false;
    while (!c->failed && !c->closing && engine_next_effect(c->engine, &effect)) {
        perform(c, &effect);
        *ret_more = true;
    }
    if (c->failed || c->closing)
        return QK_OK;
    if (*applied_n < APPLY_ENTRIES_MAX)
        err = engine_next_apply(c->engine, consensus_now(c), &some, &apply);
    if (err == QK_OK && some) {
        err = requests_apply(c, &apply);
        ++*applied_n;
    }
    if (err == QK_OK && c->late != NULL && !some) {
        err = receive_late(c);
        *ret_more = true;
    }
    *ret_more = *ret_more || some;
    return err;
}

void consensus_drive(struct consensus *c, enum qk_err err)
{
    size_t applied_n = 0;
    bool more = true;

    assert(!c->driving);
    c->driving = true;
    while (err == QK_OK && more && !c->failed && !c->closing)
        err = turn(c, &more, &applied_n);
    c->driving = false;
    consensus_note_contact(c);
    if (err != QK_OK) {
        char what[200];
        snprintf(what, sizeof(what), "consensus: %s",
                 err == QK_ERR_STALE ? CONTRADICTED_TEXT : qk_err_text(err));
        consensus_fail(c, what);
    }
}

/* --- events -------------------------------------------------------------------------------- */

static bool is_running(const struct consensus *c)
{
    return c->engine != NULL && !c->failed && !c->closing;
}

static void disk_stored(void *arg, uint64_t index, uint64_t term)
{
    struct consensus *c = arg;

    if (is_running(c))
        consensus_drive(c, engine_stored(c->engine, consensus_now(c), index, term));
}

static void disk_installed(void *arg)
{
    struct consensus *c = arg;

    if (is_running(c))
        consensus_drive(c, engine_installed(c->engine, consensus_now(c), c->install_applied));
}

/* A process that stood still must not blame the leader: what arrived meanwhile lies unread in the
 * sockets, and timers run before them. So a late tick lets the loop poll once first. */
static void timer_cb(uv_timer_t *timer)
{
    struct consensus *c = timer->data;

    if (!is_running(c))
        return;
    if (!c->tick_waited && consensus_now(c) >= c->timer_due + c->config.heartbeat_ms) {
        c->tick_waited = true;
        return;
    }
    c->tick_waited = false;
    consensus_drive(c, engine_tick(c->engine, consensus_now(c)));
}

/* Tells the engine what the store has made durable. */
static void note_synced(struct consensus *c)
{
    uint64_t synced = c->config.synced(c->config.arg);

    if (synced == c->synced_seen)
        return;
    c->synced_seen = synced;
    consensus_drive(c, engine_synced(c->engine, consensus_now(c), synced));
}

/* Before the loop polls. */
static void prepare_cb(uv_prepare_t *prepare)
{
    struct consensus *c = prepare->data;
    uint64_t now = consensus_now(c);
    uint64_t due;

    if (!is_running(c))
        return;
    requests_run(c);
    if (is_running(c))
        consensus_drive(c, QK_OK);
    if (is_running(c))
        note_synced(c);
    if (is_running(c) && c->state_dirty) {
        c->state_dirty = false;
        c->config.state_changed(c->config.arg);
    }
    if (!is_running(c))
        return;
    due = requests_tick(c);
    if (!is_running(c))
        return;
    disk_flush(c->disk);
    if (engine_deadline(c->engine) < due)
        due = engine_deadline(c->engine);
    /* What a callback has just queued, or is left to apply, waits for the next turn only. */
    if (c->queued.first != NULL || c->state_dirty || engine_has_apply(c->engine))
        due = now;
    if (!c->tick_waited)
        c->timer_due = due > now ? due : now;
    uv_timer_start(&c->timer, timer_cb, due > now ? due - now : 0, 0);
}

/* --- messages ------------------------------------------------------------------------------ */

static struct peer_state *peer_get(struct consensus *c, uint64_t id)
{
    struct peer_state *oldest = &c->peers[0];

    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (c->peers[i].id == id)
            return &c->peers[i];
        if (c->peers[i].heard_at < oldest->heard_at)
            oldest = &c->peers[i];
    }
    fragments_fini(&oldest->fragments);
    fragments_init(&oldest->fragments);
    oldest->id = id;
    return oldest;
}

/* A follower without room drops entries unanswered; the leader sends them again. */
static bool has_room(struct consensus *c, struct bytes message)
{
    size_t n;

    if (message.len < MESSAGE_APPEND_HEAD_BYTES || message.data[1] != MESSAGE_APPEND)
        return true;
    n = get_u32(message.data + MESSAGE_APPEND_HEAD_BYTES - 4);
    return n == 0 || n > MESSAGE_ENTRIES_MAX || disk_reserve(c->disk, message.len, n) == QK_OK;
}

static enum qk_err receive(struct consensus *c, uint64_t peer, struct bytes message)
{
    struct bytes token;
    bool staged = false;

    if (!has_room(c, message))
        return QK_OK;
    if (engine_wants_install(message, &token))
        staged = c->config.snapshot_staged(c->config.arg, token);
    return engine_receive(c->engine, consensus_now(c), peer, message, staged);
}

static void receive_later(struct consensus *c, uint64_t peer, struct bytes message)
{
    struct late_message *late = malloc(sizeof(*late) + message.len);

    if (late == NULL)
        return; /* a lost message */
    late->peer = peer;
    late->len = message.len;
    late->next = NULL;
    memcpy(late->data, message.data, message.len);
    *c->late_tail = late;
    c->late_tail = &late->next;
}

void consensus_receive(struct consensus *c, uint64_t peer, struct bytes message)
{
    struct peer_state *state;

    if (!is_running(c) || peer == 0 || peer == c->config.id || message.len == 0)
        return;
    state = peer_get(c, peer);
    state->heard_at = consensus_now(c) + 1;
    if (message_is_fragment(message) && !fragments_add(&state->fragments, message, &message)) {
        engine_heard(c->engine, consensus_now(c), peer);
        return;
    }
    if (c->driving)
        receive_later(c, peer, message);
    else
        consensus_drive(c, receive(c, peer, message));
}

/* The timer is set anew before the loop polls. */
void consensus_peer_lost(struct consensus *c, uint64_t peer)
{
    if (is_running(c))
        engine_lost(c->engine, consensus_now(c), peer);
}

/* --- snapshots ----------------------------------------------------------------------------- */

bool consensus_wants_store(const struct consensus *c, uint64_t *ret_index)
{
    if (!is_running(c) || !engine_store_missing(c->engine) || engine_installing(c->engine))
        return false;
    *ret_index = engine_log(c->engine)->first - 1;
    return true;
}

void consensus_restored(struct consensus *c, uint64_t applied)
{
    if (!is_running(c))
        return;
    c->state_dirty = true;
    if (engine_restored(c->engine, consensus_now(c), applied) != QK_OK)
        consensus_fail(c, "consensus: out of memory");
    else if (!c->driving)
        uv_timer_start(&c->timer, timer_cb, 0, 0);
}

void consensus_snapshot_sent(struct consensus *c, uint64_t peer, struct bytes token,
                             enum qk_err err)
{
    if (!is_running(c))
        return;
    if (engine_snapshot_sent(c->engine, consensus_now(c), peer, token, err == QK_OK) != QK_OK)
        consensus_fail(c, "consensus: out of memory");
    else if (!c->driving)
        uv_timer_start(&c->timer, timer_cb, 0, 0);
}

void consensus_snapshot_installed(struct consensus *c, enum qk_err err, uint64_t applied)
{
    if (!is_running(c))
        return;
    if (err != QK_OK) {
        consensus_fail(c, "store: the snapshot could not be installed");
        return;
    }
    c->install_applied = applied;
    disk_install(c->disk, buf_bytes(&c->install_token));
}
