/* Nodes: their start, their fall, and the one queue of what happens. */
#include "system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct machine *system_current;

/* --- events ---------------------------------------------------------------------------------- */

void system_push(struct machine *m, uint64_t ms, enum system_event what, unsigned number,
                 const void *data, size_t len)
{
    struct event event = {.at = m->sys->w->now + ms,
                          .what = HAPPEN_SYSTEM,
                          .node = m->at,
                          .from = (unsigned)what,
                          .life = m->life,
                          .tick_number = number,
                          .len = len};

    if (len > 0) {
        event.data = malloc(len);
        assert(event.data != NULL);
        memcpy(event.data, data, len);
    }
    sim_push(m->sys->w, event);
}

struct later {
    system_call call;
    void *arg;
};

void system_later(struct machine *m, uint64_t ms, system_call call, void *arg)
{
    struct later later = {call, arg};

    system_push(m, ms, SYS_CALL, 0, &later, sizeof(later));
}

bool system_crash_point(struct machine *m)
{
    struct system *sys = m->sys;

    if (machine_mute(m))
        return true;
    if (sys->over || sys->crash_point == 0 ||
        (m->founder && m->life == 1 && sys->final_epoch == 0 && !sys->late) ||
        sim_below(sys->w, 100000) >= sys->crash_point)
        return false;
    sys->points_n++;
    m->dying = true;
    system_say(m, "falls at a write or message");
    return true;
}

static void happen(struct machine *m, const struct event *event)
{
    struct later later;

    switch ((enum system_event)event->from) {
    case SYS_TIMER:
        timer_sim_fire(m, event);
        break;
    case SYS_PUMP:
        consensus_sim_pump(m);
        break;
    case SYS_COMMIT:
        store_sim_commit(m);
        break;
    case SYS_LINK_UP:
    case SYS_LINK_DOWN:
    case SYS_LINK_MESSAGE:
        link_sim_deliver(m, event);
        break;
    case SYS_JOIN:
        link_sim_join(m, event);
        break;
    case SYS_CALL:
        memcpy(&later, event->data, sizeof(later));
        later.call(m, later.arg);
        break;
    case SYS_LINK_CHECK:
        break;
    }
}

static void deliver(struct world *w, const struct event *event)
{
    struct system *sys = w->system;
    struct machine *m;

    if (event->from == SYS_LINK_CHECK) {
        link_sim_check(sys);
        return;
    }
    m = &sys->machines[event->node];
    if (!m->alive || m->life != event->life)
        return;
    system_current = m;
    happen(m, event);
    if (m->alive && !m->dying)
        system_check_machine(m);
    if (m->alive && m->dying)
        system_crash(m);
    system_current = NULL;
}

/* --- standing still -------------------------------------------------------------------------- */

bool system_stopped(const struct machine *m, uint64_t ms)
{
    uint64_t now = m->sys->w->now;

    return m->stopped_until_ms > now && now - m->stopped_ms >= ms;
}

static const struct machine *whose(const struct system *sys, const struct event *event)
{
    if (event->what == HAPPEN_CHAOS || event->what == HAPPEN_ADMIN)
        return NULL;
    if (event->what != HAPPEN_SYSTEM)
        return event->node < SIM_NODES_MAX ? sys->of_raft[event->node] : NULL;
    return event->node < sys->machines_n ? &sys->machines[event->node] : NULL;
}

/* What the disk finishes is finished, but the process does not hear of it yet. */
bool system_put_off(struct system *sys, struct event *event)
{
    const struct machine *m = whose(sys, event);

    if (m == NULL || !m->alive || m->stopped_until_ms <= event->at)
        return false;
    event->at = m->stopped_until_ms;
    sim_push(sys->w, *event);
    return true;
}

/* --- the engine's side ----------------------------------------------------------------------- */

static struct machine *of_node(struct world *w, const struct node *node)
{
    struct system *sys = w->system;

    return sys->of_raft[node - w->nodes];
}

static bool may_carry(struct world *w, unsigned from, unsigned to)
{
    struct machine *a = of_node(w, &w->nodes[from]), *b = of_node(w, &w->nodes[to]);
    uint8_t id[NODE_ID_BYTES];

    return a != NULL && b != NULL && a->alive && b->alive && link_sim_raft(a, b) &&
           cluster_node_of_raft(a->cluster, to + 1, id) == QK_OK &&
           memcmp(id, a->sides[b->at].id, NODE_ID_BYTES) == 0;
}

static bool may_send(struct world *w, unsigned from, unsigned to, struct bytes message)
{
    struct machine *a = of_node(w, &w->nodes[from]);

    uint8_t id[NODE_ID_BYTES];

    return a != NULL && !machine_mute(a) && may_carry(w, from, to) &&
           cluster_node_of_raft(a->cluster, to + 1, id) == QK_OK &&
           cluster_raft_may_send(a->cluster, id, message);
}

static bool may_receive(struct world *w, unsigned from, unsigned to, struct bytes message)
{
    struct machine *b = of_node(w, &w->nodes[to]);
    uint8_t id[NODE_ID_BYTES];

    return may_carry(w, to, from) && cluster_node_of_raft(b->cluster, from + 1, id) == QK_OK &&
           cluster_raft_may_receive(b->cluster, id, message);
}

static void enter(struct machine *m, struct machine **before)
{
    *before = system_current;
    system_current = m;
}

static void apply(struct world *w, struct node *node, const struct engine_apply *what)
{
    struct machine *m = of_node(w, node), *before;

    enter(m, &before);
    if (!m->inert)
        consensus_sim_apply(m, what);
    system_current = before;
}

static void effect(struct world *w, struct node *node, const struct effect *what)
{
    struct machine *m = of_node(w, node), *before;

    enter(m, &before);
    if (!m->inert)
        consensus_sim_effect(m, what);
    system_current = before;
}

static void staged(struct world *w, struct node *from, struct node *to)
{
    struct machine *a = of_node(w, from), *b = of_node(w, to);

    table_copy(&a->mem, &b->staged);
}

static void swapped(struct world *w, struct node *node)
{
    struct machine *m = of_node(w, node);

    table_copy(&m->staged, &m->disk);
    node->disk.store_applied = m->disk.index;
}

static void installed(struct world *w, struct node *node)
{
    struct machine *m = of_node(w, node), *before;

    enter(m, &before);
    table_copy(&m->disk, &m->mem);
    store_sim_told(m, BYTES_NONE);
    system_current = before;
}

static void crashed(struct world *w, struct node *node)
{
    struct machine *m = of_node(w, node);

    if (m != NULL && m->alive && !m->inert)
        system_crash(m);
}

const struct world_hooks system_hooks = {
    .deliver = deliver,
    .may_send = may_send,
    .may_receive = may_receive,
    .apply = apply,
    .effect = effect,
    .staged = staged,
    .swapped = swapped,
    .installed = installed,
    .crashed = crashed,
};

void system_raft_place(struct system *sys, uint64_t raft_id)
{
    while (sys->w->nodes_n < raft_id && sys->w->nodes_n < SIM_NODES_MAX)
        (void)world_add_node(sys->w);
    assert(raft_id <= sys->w->nodes_n);
}

/* --- member ---------------------------------------------------------------------------------- */

/* The first entry, as consensus_bootstrap writes it. */
static void bootstrap(struct node *node)
{
    struct members members = {0};
    struct buf payload = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    enum qk_err err = members_add(&members, node->id, bytes_str("founder"), true);

    assert(err == QK_OK);
    members_encode_entry(&members, &payload);
    node->disk.term = 1;
    err = entry_log_append(&node->disk.log, 1, RAFT_CHANGE, buf_bytes(&payload));
    assert(err == QK_OK);
    buf_fini(&payload);
}

static void engine_begin(struct machine *m, void *arg)
{
    (void)arg;
    if (m->raft != NULL && !m->raft->alive && m->linked)
        world_start(m->sys->w, m->raft);
}

static enum qk_err start_member(void *arg, bool founder, const uint8_t boot_id[BOOT_ID_BYTES],
                                char *ret_reason)
{
    struct machine *m = arg;
    uint64_t raft_id = m->service.node_sec->raft_id;

    (void)boot_id;
    (void)ret_reason;
    system_raft_place(m->sys, raft_id);
    m->raft = &m->sys->w->nodes[raft_id - 1];
    m->sys->of_raft[raft_id - 1] = m;
    if (founder)
        bootstrap(m->raft);
    m->watches_n = 0;
    m->last_sec = true;
    memcpy(m->last_id, m->service.node_id, NODE_ID_BYTES);
    store_sim_open(m);
    m->service.store = (struct store *)(void *)m;
    m->service.consensus = (struct consensus *)(void *)m;
    m->service.link = (struct link *)(void *)m;
    m->linked = true;
    orders_start(m);
    rollback_started(m);
    /* Nothing of the log comes before the hub watches the records. */
    system_later(m, 0, engine_begin, NULL);
    return QK_OK;
}

static void raft_stop(struct machine *m)
{
    bool inert = m->inert;

    m->inert = true;
    if (m->raft != NULL && m->raft->alive)
        world_crash(m->sys->w, m->raft);
    m->inert = inert;
}

static void discard_now(struct machine *m, void *arg)
{
    (void)arg;
    system_say(m, "is wiped");
    m->clone_ms = 0; /* a new node knows of nobody who was there twice, as after a restart */
    link_sim_down(m, false);
    consensus_sim_close(m);
    store_sim_close(m, false);
    raft_stop(m);
    if (m->raft != NULL) {
        m->raft->retired = true;
        m->sys->of_raft[m->raft - m->sys->w->nodes] = NULL;
    }
    m->raft = NULL;
    m->watches_n = 0;
    store_sim_wipe(m);
    rollback_forget(m);
    m->sys->maimed = m->sys->maimed || (m->rolled && m->cluster->joiner == NULL);
    m->rolled = m->last_sec = false;
    memset(m->noted, 0, sizeof(m->noted));
    memset(m->noted_disk, 0, sizeof(m->noted_disk));
    m->sealed_by_person = false; /* whoever comes back as a new node is meant to open */
    m->service.store = NULL;
    m->service.consensus = NULL;
    m->service.link = NULL;
    if (m->founder && m->sys->final_epoch == 0)
        m->sys->lost = true;
    else
        m->founder = false;
    cluster_discarded(m->cluster, QK_OK);
}

static void discard_member(void *arg)
{
    struct machine *m = arg;

    m->linked = false;
    system_later(m, 0, discard_now, NULL);
}

struct machine *system_add(struct system *sys)
{
    struct machine *m = &sys->machines[sys->machines_n];
    int len;

    memset(m, 0, sizeof(*m));
    m->sys = sys;
    m->at = sys->machines_n++;
    len = snprintf(m->dir, sizeof(m->dir), "%s/m%u", system_dir, m->at);
    assert(len > 0 && (size_t)len < sizeof(m->dir));
    return m;
}

void system_start(struct machine *m)
{
    static const struct cluster_settings settings = {.release_limit = 60};
    struct cluster_ops ops = {
        .arg = m, .start_member = start_member, .discard_member = discard_member};
    struct machine *before;
    char reason[CLUSTER_REASON_BYTES] = "";
    enum qk_err err;

    assert(!m->alive);
    enter(m, &before);
    memset(&m->service, 0, sizeof(m->service));
    m->alive = true;
    m->dying = m->inert = m->pumping = m->committing = m->state_told = false;
    m->sealed_by_person = false;
    m->stopped_until_ms = 0;
    m->life++;
    m->service.loop = (struct uv_loop_s *)(void *)m;
    snprintf(m->service.node_name, sizeof(m->service.node_name), "n%u-%u", m->at, m->joins_n);
    snprintf(m->service.data_dir, sizeof(m->service.data_dir), "%s", m->dir);
    snprintf(m->service.peer_address, sizeof(m->service.peer_address), "m%u", m->at);
    snprintf(m->service.client_address, sizeof(m->service.client_address), "c%u", m->at);
    err = cluster_new(&m->service, &ops, &settings, &m->cluster);
    assert(err == QK_OK);
    documents_start(m);
    err = cluster_boot(m->cluster, reason);
    system_say(m, "starts: %s %s", qk_err_text(err), reason);
    if (err != QK_OK && !m->dying)
        sim_fail(m->sys->w, "m%u does not start: %s", m->at, reason);
    if (m->alive && m->dying)
        system_crash(m);
    else if (m->alive)
        system_check_machine(m);
    system_current = before;
}

void system_wipe(struct machine *m)
{
    char path[SYSTEM_PATH_BYTES + 32];

    assert(!m->alive);
    snprintf(path, sizeof(path), "%s/node.sec", m->dir);
    (void)unlink(path);
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        if (m->sys->of_raft[i] == m) {
            m->sys->w->nodes[i].retired = true;
            m->sys->of_raft[i] = NULL;
        }
    store_sim_wipe(m);
    rollback_forget(m);
    m->founder = m->rolled = m->last_sec = false;
    memset(m->noted, 0, sizeof(m->noted));
    memset(m->noted_disk, 0, sizeof(m->noted_disk));
}

void system_crash(struct machine *m)
{
    struct machine *before;

    assert(m->alive);
    enter(m, &before);
    m->inert = true;
    m->sys->crashes_n++;
    system_say(m, "crashes");
    cluster_stop(m->cluster);
    documents_stop(m);
    consensus_sim_close(m);
    store_sim_close(m, true);
    documents_end(m);
    raft_stop(m);
    bugs_crashed(m);
    cluster_free(m->cluster, NULL, NULL);
    link_sim_down(m, true);
    m->cluster = NULL;
    m->raft = NULL;
    memset(&m->service, 0, sizeof(m->service));
    table_fini(&m->mem);
    m->alive = m->dying = m->inert = false;
    system_current = before;
}

void system_fini(struct system *sys)
{
    for (unsigned i = 0; i < sys->machines_n; i++) {
        struct machine *m = &sys->machines[i];
        char path[SYSTEM_PATH_BYTES + 32];

        if (m->alive)
            system_crash(m);
        store_sim_wipe(m);
        rollback_forget(m);
        snprintf(path, sizeof(path), "%s/node.sec", m->dir);
        (void)unlink(path);
        snprintf(path, sizeof(path), "%s/node.sec.new", m->dir);
        (void)unlink(path);
    }
    thief_free(sys);
    for (unsigned i = 0; i < sys->joins; i++)
        free(sys->joining[i]);
    for (unsigned i = 0; i < sys->acked_n; i++) {
        blob_drop(sys->acked[i].key);
        blob_drop(sys->acked[i].value);
    }
}
