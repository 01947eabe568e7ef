/* The nodes of a run and what they do: clients, administrators, disks, crashes. Over 500 lines: one
 * world whose parts all work on the same struct. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/engine_private.h"

struct node *world_node(struct world *w, uint64_t id)
{
    return id >= 1 && id <= w->nodes_n ? &w->nodes[id - 1] : NULL;
}

static unsigned number_of(const struct world *w, const struct node *node)
{
    return (unsigned)(node - w->nodes);
}

unsigned world_add_node(struct world *w)
{
    struct node *node = &w->nodes[w->nodes_n];

    assert(w->nodes_n < SIM_NODES_MAX);
    memset(node, 0, sizeof(*node));
    node->id = ++w->nodes_n;
    entry_log_init(&node->disk.log, 1);
    node->ops_tail = &node->ops;
    return w->nodes_n - 1;
}

/* --- the disk ------------------------------------------------------------------------------ */

static void free_entries(struct log_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(entries[i].data);
    free(entries);
}

static void free_op(struct disk_op *op)
{
    free_entries(op->entries, op->n);
    free(op->token);
    free(op);
}

static struct disk_op *queue_op(struct node *node, enum disk_kind kind, uint64_t index)
{
    struct disk_op *op = calloc(1, sizeof(*op));

    assert(op != NULL);
    op->kind = kind;
    op->index = index;
    *node->ops_tail = op;
    node->ops_tail = &op->next;
    return op;
}

static void queue_append(struct node *node, uint64_t index, size_t n)
{
    struct disk_op *op = queue_op(node, DISK_APPEND, index);

    op->n = n;
    op->entries = calloc(n, sizeof(*op->entries));
    assert(op->entries != NULL);
    for (size_t i = 0; i < n; i++) {
        const struct log_entry *entry = entry_log_get(engine_log(node->engine), index + i);
        assert(entry != NULL);
        op->entries[i] = *entry;
        op->entries[i].data = malloc(entry->len + 1);
        memcpy(op->entries[i].data, entry->data, entry->len);
    }
}

static void queue_token(struct node *node, enum disk_kind kind, struct bytes token)
{
    struct disk_op *op = queue_op(node, kind, 0);
    enum qk_err err;

    op->token = malloc(sizeof(*op->token));
    assert(op->token != NULL);
    err = snapshot_decode(token, op->token);
    assert(err == QK_OK);
}

/* Makes the first `n` entries of an append durable. */
static void persist_append(struct disk *disk, const struct disk_op *op, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        enum qk_err err;
        if (i == 0)
            entry_log_truncate(&disk->log, op->index);
        err = entry_log_append(&disk->log, op->entries[i].term, op->entries[i].type,
                               bytes_of(op->entries[i].data, op->entries[i].len));
        assert(err == QK_OK);
    }
}

static void persist_install(struct world *w, struct node *node, const struct disk_op *op,
                            bool log_too)
{
    node->disk.store_applied = node->staged_applied;
    if (w->hooks != NULL)
        w->hooks->swapped(w, node);
    if (!log_too)
        return; /* the crash came between store and log */
    node->disk.has_snapshot = true;
    node->disk.snapshot = *op->token;
    entry_log_reset(&node->disk.log, op->token->index + 1);
}

static void persist_op(struct world *w, struct node *node, const struct disk_op *op)
{
    switch (op->kind) {
    case DISK_APPEND:
        persist_append(&node->disk, op, op->n);
        break;
    case DISK_SNAPSHOT:
        node->disk.has_snapshot = true;
        node->disk.snapshot = *op->token;
        break;
    case DISK_TRIM:
        entry_log_trim(&node->disk.log, op->index);
        break;
    case DISK_INSTALL:
        persist_install(w, node, op, true);
        break;
    }
}

static struct disk_op *take_op(struct node *node)
{
    struct disk_op *op = node->ops;

    node->ops = op->next;
    if (node->ops == NULL)
        node->ops_tail = &node->ops;
    return op;
}

static void begin_flush(struct world *w, struct node *node)
{
    uint64_t at = w->now + 1 + sim_below(w, w->chaos_over ? 3 : w->flush_max);
    size_t n = 0;

    if (node->flushing > 0 || node->ops == NULL)
        return;
    for (struct disk_op *op = node->ops; op != NULL; op = op->next) {
        if (op->kind == DISK_INSTALL && n > 0)
            break;
        n++;
        if (op->kind == DISK_INSTALL)
            break;
    }
    node->flushing = n;
    if (!w->chaos_over && sim_chance(w, w->stall))
        at += sim_below(w, 4 * SIM_ELECTION_MS);
    sim_push(w,
             (struct event){
                 .at = at, .what = HAPPEN_FLUSHED, .node = number_of(w, node), .life = node->life});
}

static void finish_flush(struct world *w, struct node *node)
{
    uint64_t index = 0, term = 0;
    bool installed = false;
    enum qk_err err = QK_OK;

    while (node->flushing > 0) {
        struct disk_op *op = take_op(node);
        node->flushing--;
        persist_op(w, node, op);
        if (op->kind == DISK_APPEND) {
            index = op->index + op->n - 1;
            term = op->entries[op->n - 1].term;
        }
        installed = op->kind == DISK_INSTALL;
        free_op(op);
    }
    if (index > 0)
        err = engine_stored(node->engine, w->now, index, term);
    if (installed) {
        node->applied = node->disk.store_applied;
        w->installs_n++;
        if (w->hooks != NULL)
            w->hooks->installed(w, node);
        err = engine_installed(node->engine, w->now, node->applied);
    }
    world_settle(w, node, err);
}

/* --- start and crash ----------------------------------------------------------------------- */

void world_start(struct world *w, struct node *node)
{
    struct engine_config config = {
        .id = node->id,
        .election_timeout_ms = w->election_ms,
        .heartbeat_ms = w->heartbeat_ms,
        .short_election_ms = w->breaks > 0 ? w->election_ms * 2 / 5 : 0,
        .install_timeout_ms = 10 * w->election_ms,
        .log_keep_bytes = w->small_log == 0 ? 1 << 20 : w->small_log,
        .random = sim_random(w),
        .guards_off = w->guards_off,
    };
    const struct entry_log *log = &node->disk.log;
    enum qk_err err = engine_new(&config, &node->engine);

    assert(!node->alive && err == QK_OK);
    node->alive = true;
    node->life++;
    node->applied = node->disk.store_applied;
    node->commit_seen = 0;
    if (sim_chance(w, 500))
        node->has_staged = false;
    if (node->store_lost) {
        node->has_staged = false;
        node->applied = node->disk.store_applied = 0;
        node->store_lost = false;
        w->losses_n++;
    }
    err = engine_load(node->engine, node->disk.has_snapshot ? &node->disk.snapshot : NULL,
                      log->first);
    for (uint64_t i = log->first; err == QK_OK && i <= entry_log_last(log); i++) {
        const struct log_entry *entry = entry_log_get(log, i);
        err = engine_load_entry(node->engine, entry->term, entry->type,
                                bytes_of(entry->data, entry->len));
    }
    if (err == QK_OK)
        err = engine_start(node->engine, w->now, node->disk.term, node->disk.vote,
                           node->disk.store_applied);
    world_settle(w, node, err);
}

/* The others see its connections end, each in its own time; now and then one that lived. */
void world_break(struct world *w, unsigned number)
{
    for (unsigned i = 0; i < w->nodes_n; i++)
        if (i != number)
            sim_push(w, (struct event){.at = w->now + 1 + sim_below(w, 30),
                                       .what = HAPPEN_LOST,
                                       .node = i,
                                       .from = number});
}

/* Of what was not yet synced, the disk keeps a part from the front. */
void world_crash(struct world *w, struct node *node)
{
    bool broken = false;

    assert(node->alive);
    if (w->trace)
        printf("%6llu n%u.%u crashes\n", (unsigned long long)w->now, (unsigned)node->id,
               node->life);
    w->crashes_n++;
    while (node->ops != NULL) {
        struct disk_op *op = take_op(node);
        if (!broken && sim_chance(w, 500)) {
            persist_op(w, node, op);
        } else {
            if (!broken && op->kind == DISK_APPEND)
                persist_append(&node->disk, op, sim_below(w, (unsigned)op->n));
            if (!broken && op->kind == DISK_INSTALL && sim_chance(w, 500))
                persist_install(w, node, op, false);
            broken = true;
        }
        free_op(op);
    }
    node->flushing = 0;
    engine_free(node->engine);
    node->engine = NULL;
    node->alive = false;
    node->crash_soon = false;
    if (w->breaks > 0)
        world_break(w, number_of(w, node));
    if (w->hooks != NULL)
        w->hooks->crashed(w, node);
}

/* --- effects ------------------------------------------------------------------------------- */

static void stream(struct world *w, struct node *node, const struct effect *effect)
{
    struct event event = {.at = w->now + 2 + sim_below(w, 60),
                          .what = HAPPEN_STREAMED,
                          .node = (unsigned)effect->peer - 1,
                          .from = number_of(w, node),
                          .life = node->life,
                          .len = effect->bytes.len};

    event.data = malloc(effect->bytes.len);
    assert(event.data != NULL);
    memcpy(event.data, effect->bytes.data, effect->bytes.len);
    sim_push(w, event);
}

static void streamed(struct world *w, const struct event *event)
{
    struct node *from = &w->nodes[event->from];
    struct node *to = &w->nodes[event->node];
    struct bytes token = bytes_of(event->data, event->len);
    bool ok = to->alive && !w->cuts[event->from][event->node] &&
              (w->chaos_over || !sim_chance(w, w->stream_fail));

    if (!from->alive || from->life != event->life)
        return;
    /* A staging area holds one snapshot; not while it is being swapped in. */
    if (ok && engine_installing(to->engine))
        ok = false;
    if (ok) {
        enum qk_err err = snapshot_decode(token, &to->staged);
        assert(err == QK_OK && from->applied >= to->staged.index);
        to->has_staged = true;
        to->staged_applied = from->applied;
        if (w->hooks != NULL)
            w->hooks->staged(w, from, to);
    }
    world_settle(w, from, engine_snapshot_sent(from->engine, w->now, to->id, token, ok));
}

/* Any member that has applied as far as the log was trimmed gives its store. */
void world_restore(struct world *w, struct node *node)
{
    struct node *from = &w->nodes[sim_below(w, w->nodes_n)];

    if (!node->alive || !engine_store_missing(node->engine) || !from->alive || from == node ||
        w->cuts[from - w->nodes][node - w->nodes] || engine_store_missing(from->engine) ||
        from->applied + 1 < engine_log(node->engine)->first)
        return;
    sim_push(w, (struct event){.at = w->now + 2 + sim_below(w, 60),
                               .what = HAPPEN_RESTORED,
                               .node = number_of(w, node),
                               .life = node->life,
                               .from = (unsigned)from->applied});
}

static void restored(struct world *w, const struct event *event)
{
    struct node *node = &w->nodes[event->node];

    if (!node->alive || node->life != event->life || !engine_store_missing(node->engine) ||
        engine_installing(node->engine))
        return;
    node->applied = node->disk.store_applied = event->from;
    world_settle(w, node, engine_restored(node->engine, w->now, event->from));
}

static void read_done(struct world *w, struct node *node, const struct effect *effect)
{
    struct sim_read *read = &w->reads[effect->cookie % SIM_READS_MAX];

    if (!read->active)
        return;
    read->active = false;
    w->reads_n++;
    if (node->applied < read->floor)
        sim_fail(w, "stale read on %u: applied %llu, must see %llu", (unsigned)node->id,
                 (unsigned long long)node->applied, (unsigned long long)read->floor);
    if (node->applied > w->seen_max)
        w->seen_max = node->applied;
}

/* A line an effect, for whoever looks into a failing seed. */
static void trace(struct world *w, struct node *node, const struct effect *effect)
{
    static const char *const kinds[] = {"term",   "send",    "append", "snapshot", "trim",
                                        "stream", "install", "read",   "change",   "state"};
    const struct engine *e = node->engine;

    printf("%6llu n%u.%u %s", (unsigned long long)w->now, (unsigned)node->id, node->life,
           kinds[effect->kind]);
    if (effect->kind == EFFECT_SEND)
        printf(" to %u kind %u len %zu", (unsigned)effect->peer, effect->bytes.data[1],
               effect->bytes.len);
    else
        printf(" index %llu n %zu term %llu vote %llu err %d", (unsigned long long)effect->index,
               effect->n, (unsigned long long)effect->term, (unsigned long long)effect->vote,
               effect->err);
    printf(" | role %d term %llu leader %llu commit %llu last %llu stored %llu conf %llu/%llu\n",
           engine_role(e), (unsigned long long)engine_term(e), (unsigned long long)engine_leader(e),
           (unsigned long long)engine_commit(e), (unsigned long long)entry_log_last(&e->log),
           (unsigned long long)e->raft.last_stored,
           (unsigned long long)e->raft.configuration_committed_index,
           (unsigned long long)e->raft.configuration_uncommitted_index);
}

static void perform(struct world *w, struct node *node, const struct effect *effect)
{
    if (w->trace)
        trace(w, node, effect);
    if (w->hooks != NULL && effect->kind >= EFFECT_READ) {
        w->hooks->effect(w, node, effect);
        return;
    }
    switch (effect->kind) {
    case EFFECT_TERM:
        if (effect->term < node->disk.term)
            sim_fail(w, "the term of %u goes back", (unsigned)node->id);
        if (effect->term == node->disk.term && node->disk.vote != 0 &&
            effect->vote != node->disk.vote)
            sim_fail(w, "%u votes twice in term %llu", (unsigned)node->id,
                     (unsigned long long)effect->term);
        node->disk.term = effect->term;
        node->disk.vote = effect->vote;
        break;
    case EFFECT_SEND:
        if (world_node(w, effect->peer) != NULL &&
            (w->hooks == NULL ||
             w->hooks->may_send(w, number_of(w, node), (unsigned)effect->peer - 1, effect->bytes)))
            net_send(w, number_of(w, node), (unsigned)effect->peer - 1, effect->bytes);
        break;
    case EFFECT_APPEND:
        check_appended(w, node, effect->index, effect->n);
        away_check_change(w, node, effect->index, effect->n);
        queue_append(node, effect->index, effect->n);
        break;
    case EFFECT_SNAPSHOT:
        queue_token(node, DISK_SNAPSHOT, effect->bytes);
        break;
    case EFFECT_TRIM:
        (void)queue_op(node, DISK_TRIM, effect->index);
        break;
    case EFFECT_SNAPSHOT_SEND:
        stream(w, node, effect);
        break;
    case EFFECT_INSTALL:
        queue_token(node, DISK_INSTALL, effect->bytes);
        break;
    case EFFECT_READ:
        read_done(w, node, effect);
        break;
    case EFFECT_CHANGE:
        w->changes_n += effect->err == QK_OK ? 1 : 0;
        if (effect->err == QK_OK)
            away_count_change(w, node);
        break;
    case EFFECT_STATE:
        break;
    }
}

static void apply(struct world *w, struct node *node, const struct engine_apply *apply)
{
    uint64_t number = apply->payload.len >= 8 ? get_u64(apply->payload.data) : 0;

    if (w->hooks != NULL)
        number = check_hash(apply->payload);
    check_apply(w, node, apply->index, number);
    node->applied = apply->index;
    if (w->hooks != NULL)
        w->hooks->apply(w, node, apply);
    for (size_t i = 0; i < w->submissions_n; i++) {
        struct submission *s = &w->submissions[i];
        if (s->node != number_of(w, node) || s->life != node->life || s->index != apply->index)
            continue;
        if (s->term == apply->term) {
            w->acked_n++;
            if (s->number != number)
                sim_fail(w, "index %llu holds another command of its term",
                         (unsigned long long)apply->index);
            if (apply->index > w->acked_max)
                w->acked_max = apply->index;
            if (w->proof_number != 0 && s->number >= w->proof_number)
                w->proof_number = 0;
        }
        *s = w->submissions[--w->submissions_n];
        i--;
    }
}

/* Everything that an event led to. */
void world_settle(struct world *w, struct node *node, enum qk_err err)
{
    struct engine_apply next;
    struct effect effect;
    bool some = true;

    while (err == QK_OK && some && w->failure[0] == 0) {
        while (engine_next_effect(node->engine, &effect)) {
            if (node->crash_soon && sim_chance(w, 300)) {
                world_crash(w, node);
                return;
            }
            perform(w, node, &effect);
        }
        err = engine_next_apply(node->engine, w->now, &some, &next);
        if (err == QK_OK && some)
            apply(w, node, &next);
        if (err == QK_OK && !some)
            some = node->engine->effects_n > 0;
    }
    if (err == QK_ERR_STALE &&
        node->rolled_back) { /* it contradicts the others, and knows it now */
        world_crash(w, node);
        return;
    }
    if (err != QK_OK) {
        sim_fail(w, "the engine of %u failed: %s", (unsigned)node->id, qk_err_text(err));
        return;
    }
    check_node(w, node);
    begin_flush(w, node);
    node->tick_number++;
    sim_push(w, (struct event){.at = engine_deadline(node->engine) > w->now
                                         ? engine_deadline(node->engine)
                                         : w->now + 1,
                               .what = HAPPEN_TICK,
                               .node = number_of(w, node),
                               .life = node->life,
                               .tick_number = node->tick_number});
}

static bool staged_for(const struct node *node, struct bytes message)
{
    struct snapshot snapshot;
    struct bytes token;

    return engine_wants_install(message, &token) && snapshot_decode(token, &snapshot) == QK_OK &&
           node->has_staged && node->staged.index == snapshot.index &&
           node->staged.term == snapshot.term;
}

/* What happens at one node, or to the world by chaos and administrators. */
static void deliver_here(struct world *w, const struct event *event)
{
    struct node *node = &w->nodes[event->node];
    struct bytes message = bytes_of(event->data, event->len);

    switch (event->what) {
    case HAPPEN_TICK:
        if (node->alive && node->life == event->life && node->tick_number == event->tick_number)
            world_settle(w, node, engine_tick(node->engine, w->now));
        break;
    case HAPPEN_MESSAGE:
        if (node->alive && !w->cuts[event->from][event->node] &&
            (w->hooks == NULL || w->hooks->may_receive(w, event->from, event->node, message)))
            world_settle(w, node,
                         engine_receive(node->engine, w->now, event->from + 1, message,
                                        staged_for(node, message)));
        break;
    case HAPPEN_FLUSHED:
        if (node->alive && node->life == event->life)
            finish_flush(w, node);
        break;
    case HAPPEN_STREAMED:
        streamed(w, event);
        break;
    case HAPPEN_RESTORED:
        restored(w, event);
        break;
    case HAPPEN_LOST:
        if (node->alive) {
            engine_lost(node->engine, w->now, event->from + 1);
            world_settle(w, node, QK_OK);
        }
        break;
    case HAPPEN_CHAOS:
        chaos_step(w);
        break;
    case HAPPEN_ADMIN:
        if (!w->chaos_over)
            chaos_administer(w);
        break;
    case HAPPEN_SYSTEM:
        break;
    }
}

void world_deliver(struct world *w, const struct event *event)
{
    if (event->what == HAPPEN_SYSTEM) /* may belong to no node */
        w->hooks->deliver(w, event);
    else
        deliver_here(w, event);
}

void world_fini(struct world *w)
{
    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        while (node->ops != NULL)
            free_op(take_op(node));
        engine_free(node->engine);
        entry_log_fini(&node->disk.log);
    }
    for (size_t i = 0; i < w->heap_n; i++)
        free(w->heap[i].data);
    free(w->heap);
    free(w->pairs);
}
