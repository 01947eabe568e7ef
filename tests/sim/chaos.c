/* What goes wrong, and what clients and administrators ask for. Each seed has its own character:
 * some faults often, others never, so that rare combinations come up. */
#include "sim.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "consensus/engine_private.h"

#define VOTERS_AIM 5
#define SCRIPT_STEPS 6 /* 1 -> 2 -> 3 -> 2 voters, then on as it comes */

static unsigned pick(struct world *w, unsigned a, unsigned b, unsigned c)
{
    switch (sim_below(w, 3)) {
    case 0:
        return a;
    case 1:
        return b;
    default:
        return c;
    }
}

/* The same first entry for all first voters, term 1: what bootstrap writes. */
static void bootstrap(struct world *w, unsigned voters)
{
    struct members members = {0};
    struct buf payload = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);
    char address[32];

    for (unsigned i = 0; i < voters; i++) {
        enum qk_err err;
        (void)world_add_node(w);
        snprintf(address, sizeof(address), "node-%u", i + 1);
        err = members_add(&members, i + 1, bytes_str(address), true);
        assert(err == QK_OK);
    }
    members_encode_entry(&members, &payload);
    for (unsigned i = 0; i < voters; i++) {
        enum qk_err err;
        w->nodes[i].disk.term = 1;
        err = entry_log_append(&w->nodes[i].disk.log, 1, RAFT_CHANGE, buf_bytes(&payload));
        assert(err == QK_OK);
    }
    buf_fini(&payload);
}

void chaos_begin(struct world *w)
{
    unsigned voters;

    w->loss = pick(w, 0, 20, 120);
    w->duplicate = pick(w, 0, 30, 150);
    w->slow = pick(w, 0, 15, 80);
    w->delay_max = pick(w, 3, 10, 40);
    w->ordered = sim_below(w, 2);
    w->flush_max = pick(w, 2, 10, 50);
    w->stall = pick(w, 0, 20, 150);
    w->crash = pick(w, 10, 60, 150);
    w->cut = pick(w, 0, 60, 150);
    w->admin = pick(w, 0, 60, 200);
    w->small_log = pick(w, 0, 400, 1500);
    w->stream_fail = pick(w, 0, 100, 400);
    w->eager = pick(w, 0, 0, 500);
    w->life_script = sim_below(w, 3) == 0;
    if (w->lose > 0) { /* no changes of members: another copy would be gone with its node */
        w->admin = 0;
        w->life_script = 0;
    }
    w->voters_aim = w->away > 0 ? VOTERS_MAX : VOTERS_AIM;
    if (w->away > 0) { /* late answers would tell of one that has gone */
        w->admin = pick(w, 120, 200, 300);
        w->crash = pick(w, 10, 30, 60);
        w->slow = w->stall = w->life_script = 0;
    }
    voters = w->life_script ? 1 : 1 + sim_below(w, w->voters_aim);
    if (w->life_script)
        w->admin = 150;
    if (w->admin == 0)
        w->missing = w->lose > 0 ? 0 : sim_below(w, (voters + 1) / 2);
    bootstrap(w, voters);
    for (unsigned i = 0; i < voters; i++)
        world_start(w, &w->nodes[i]);
    sim_push(w, (struct event){.at = w->now + 1, .what = HAPPEN_CHAOS});
}

/* The leader of the highest term, NULL if there is none. */
struct node *chaos_leader(struct world *w)
{
    struct node *leader = NULL;

    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        if (node->alive && engine_role(node->engine) == CONSENSUS_LEADER &&
            (leader == NULL || engine_term(node->engine) > engine_term(leader->engine)))
            leader = node;
    }
    return leader;
}

static struct node *any_node(struct world *w)
{
    return &w->nodes[sim_below(w, w->nodes_n)];
}

static void submit(struct world *w, struct node *node)
{
    uint8_t payload[SIM_PAYLOAD_BYTES_MAX] = {0};
    size_t len = 8 + sim_below(w, SIM_PAYLOAD_BYTES_MAX - 8);
    uint64_t number = w->payload_number++;
    uint64_t index, term;
    enum qk_err err;

    if (!node->alive)
        return;
    put_u64(payload, number);
    err = engine_submit(node->engine, w->now, bytes_of(payload, len), &index, &term);
    if (err == QK_ERR_NOT_LEADER)
        return;
    if (err == QK_OK) {
        struct submission *s = w->submissions_n < 64 ? &w->submissions[w->submissions_n++]
                                                     : &w->submissions[sim_below(w, 64)];
        *s = (struct submission){index, term, number, (unsigned)(node - w->nodes), node->life};
    }
    world_settle(w, node, err);
}

static void read_from(struct world *w, struct node *node)
{
    struct sim_read *read = &w->reads[w->reads_used];
    enum qk_err err;

    if (!node->alive || w->reads_used == SIM_READS_MAX)
        return;
    *read = (struct sim_read){.active = true,
                              .node = (unsigned)(node - w->nodes),
                              .life = node->life,
                              .floor = w->acked_max > w->seen_max ? w->acked_max : w->seen_max};
    err = engine_read(node->engine, w->now, w->reads_used++);
    world_settle(w, node, err == QK_ERR_BUSY ? QK_OK : err);
}

static void sync_store(struct world *w, struct node *node)
{
    if (!node->alive || engine_installing(node->engine))
        return;
    node->disk.store_applied = node->applied;
    world_settle(w, node, engine_synced(node->engine, w->now, node->applied));
}

/* --- membership ---------------------------------------------------------------------------- */

static bool refused(enum qk_err err)
{
    return err == QK_ERR_BUSY || err == QK_ERR_NOT_LEADER || err == QK_ERR_NOT_FOUND ||
           err == QK_ERR_EXISTS || err == QK_ERR_DENIED || err == QK_ERR_TOO_BIG;
}

static void change(struct world *w, struct node *leader, enum change_kind kind, uint64_t id)
{
    char address[32];
    enum qk_err err;

    if (away_just_went(w))
        return;
    snprintf(address, sizeof(address), "node-%u", (unsigned)id);
    err = engine_change(leader->engine, w->now, kind, id, address, 1);
    world_settle(w, leader, refused(err) ? QK_OK : err);
}

static void transfer(struct world *w, struct node *leader)
{
    enum qk_err err = engine_transfer(leader->engine, w->now, 0);

    world_settle(w, leader, refused(err) ? QK_OK : err);
}

/* Brings a fresh node up, so that it can be added; one that nobody added yet is used first. */
static uint64_t newcomer(struct world *w, const struct members *members)
{
    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        if (!node->retired && members_get(members, node->id) == NULL &&
            entry_log_last(&node->disk.log) == 0 && !node->disk.has_snapshot && !node->was_member)
            return node->id;
    }
    if (w->nodes_n == SIM_NODES_MAX)
        return 0;
    world_start(w, &w->nodes[world_add_node(w)]);
    away_cut(w);
    return w->nodes_n;
}

static void add(struct world *w, struct node *leader, const struct members *members)
{
    uint64_t id = newcomer(w, members);

    if (id == 0)
        return;
    world_node(w, id)->was_member = true;
    change(w, leader, CHANGE_ADD, id);
}

static void promote_any(struct world *w, struct node *leader, const struct members *members)
{
    for (size_t i = 0; i < members->n; i++) {
        if (!members->list[i].voter) {
            change(w, leader, CHANGE_PROMOTE, members->list[i].id);
            return;
        }
    }
}

static void demote_any(struct world *w, struct node *leader, const struct members *members)
{
    const struct consensus_member *member = &members->list[sim_below(w, (unsigned)members->n)];

    if (member->voter && member->id != leader->id)
        change(w, leader, CHANGE_DEMOTE, member->id);
}

static void remove_any(struct world *w, struct node *leader, const struct members *members)
{
    uint64_t id = members->list[sim_below(w, (unsigned)members->n)].id;

    if (id == leader->id && guard_on(&leader->engine->guards, GUARD_LEADER_STAYS))
        transfer(w, leader);
    else
        change(w, leader, CHANGE_REMOVE, id);
}

/* One or two voters and their steps to three and back. */
static void administer_script(struct world *w, struct node *leader, const struct members *members)
{
    size_t voters = members_voters_n(members);
    size_t standbys = members->n - voters;
    bool shrink = (w->script_step / 8) % 2 == 1;

    w->script_step++;
    if (shrink && voters > (w->script_step % 3 == 0 ? 1 : 2) && sim_chance(w, 500))
        demote_any(w, leader, members);
    else if (shrink && voters > (w->script_step % 3 == 0 ? 1 : 2))
        remove_any(w, leader, members);
    else if (standbys > 0)
        promote_any(w, leader, members);
    else if (voters < 3)
        add(w, leader, members);
    else if (sim_chance(w, 500))
        demote_any(w, leader, members);
    else
        transfer(w, leader);
}

void chaos_administer(struct world *w)
{
    struct node *leader = chaos_leader(w);
    struct members members;

    /* Sometimes one that others may have left behind. */
    if (sim_chance(w, 200)) {
        struct node *node = any_node(w);
        if (node->alive && engine_role(node->engine) == CONSENSUS_LEADER)
            leader = node;
    }
    if (leader == NULL)
        return;
    engine_members(leader->engine, &members);
    if (w->life_script) {
        administer_script(w, leader, &members);
        return;
    }
    switch (sim_below(w, 7)) {
    case 6:
        demote_any(w, leader, &members);
        break;
    case 0:
        if (members.n < w->voters_aim)
            add(w, leader, &members);
        break;
    case 1:
    case 2:
        promote_any(w, leader, &members);
        break;
    case 3:
    case 4:
        if (members.n > 1)
            remove_any(w, leader, &members);
        break;
    default:
        transfer(w, leader);
        break;
    }
}

/* A node that the newest committed configuration no longer names may be thrown away. */
static void retire(struct world *w)
{
    struct node *leader = chaos_leader(w);
    struct node *node = any_node(w);

    if (leader == NULL || !node->was_member || node->retired ||
        !engine_has_own_commit(leader->engine) ||
        leader->engine->raft.configuration_uncommitted_index != 0 ||
        members_get(&leader->engine->applied_members, node->id) != NULL ||
        leader->engine->applied < w->committed_max)
        return;
    if (node->alive)
        world_crash(w, node);
    node->retired = true;
}

/* --- faults -------------------------------------------------------------------------------- */

static void crash(struct world *w)
{
    struct node *node = sim_chance(w, 300) ? chaos_leader(w) : any_node(w);

    if (node == NULL || !node->alive)
        return;
    if (sim_chance(w, 300))
        node->crash_soon = true;
    else
        world_crash(w, node);
}

/* One node at a time may lose its store, and only where another one has a copy. */
static bool may_lose(const struct world *w, const struct node *node)
{
    struct members members = node->disk.snapshot.members;

    for (unsigned i = 0; i < w->nodes_n; i++)
        if (w->nodes[i].alive && engine_store_missing(w->nodes[i].engine))
            return false;
        else if (!w->nodes[i].alive &&
                 (w->nodes[i].disk.store_applied + 1 < w->nodes[i].disk.log.first))
            return false;
    for (uint64_t i = node->disk.log.first; i <= entry_log_last(&node->disk.log); i++) {
        const struct log_entry *entry = entry_log_get(&node->disk.log, i);
        if (entry->type == RAFT_CHANGE &&
            members_decode_entry(bytes_of(entry->data, entry->len), &members) != QK_OK)
            return false;
    }
    return members_voters_n(&members) > 1;
}

static void restart(struct world *w)
{
    struct node *node = any_node(w);

    if (node->alive || node->retired || node->away_since != 0)
        return;
    node->store_lost = w->lose > 0 && sim_chance(w, w->lose) && may_lose(w, node);
    world_start(w, node);
}

static void cut(struct world *w)
{
    unsigned a = sim_below(w, w->nodes_n);
    unsigned b = sim_below(w, w->nodes_n);
    unsigned side = sim_below(w, 1u << w->nodes_n);

    switch (sim_below(w, 3)) {
    case 0: /* one direction of one link */
        w->cuts[a][b] = a != b;
        break;
    case 1: /* a node from all others */
        for (unsigned i = 0; i < w->nodes_n; i++)
            w->cuts[a][i] = w->cuts[i][a] = i != a;
        break;
    default: /* two halves */
        for (unsigned i = 0; i < w->nodes_n; i++) {
            for (unsigned j = 0; j < w->nodes_n; j++)
                w->cuts[i][j] = ((side >> i) & 1) != ((side >> j) & 1);
        }
        break;
    }
}

static void heal(struct world *w)
{
    memset(w->cuts, 0, sizeof(w->cuts));
}

/* One thing more or less at random, then the time of the next. */
static void chaos_act(struct world *w)
{
    unsigned die = sim_below(w, 1000);

    if (die < w->crash) {
        crash(w);
    } else if ((die -= w->crash) < w->crash * 2) {
        restart(w);
    } else if ((die -= w->crash * 2) < w->cut) {
        if (sim_chance(w, 400))
            cut(w);
        else
            heal(w);
        away_cut(w);
    } else if ((die -= w->cut) < w->admin) {
        chaos_administer(w);
        if (sim_chance(w, 200))
            retire(w);
    } else {
        struct node *leader = chaos_leader(w);
        unsigned n = 1 + sim_below(w, 4);
        for (unsigned i = 0; i < n; i++)
            submit(w, leader != NULL && sim_chance(w, 800) ? leader : any_node(w));
        if (sim_chance(w, 300))
            read_from(w, any_node(w));
        if (sim_chance(w, 300))
            sync_store(w, any_node(w));
    }
}

void chaos_step(struct world *w)
{
    struct node *leader = chaos_leader(w);

    if (!w->chaos_over) {
        if (w->away > 0)
            away_step(w);
        if (w->breaks > 0 && sim_chance(w, w->breaks))
            world_break(w, sim_below(w, w->nodes_n));
        chaos_act(w);
    } else {
        if (leader != NULL && w->proof_number != 0)
            submit(w, leader);
        sync_store(w, any_node(w));
    }
    if (w->lose > 0)
        world_restore(w, any_node(w));
    sim_push(w, (struct event){.at = w->now + 2 + sim_below(w, 30), .what = HAPPEN_CHAOS});
}

/* Everything works again from now on. */
void chaos_end(struct world *w)
{
    w->chaos_over = true;
    away_end(w);
    heal(w);
    w->proof_number = w->payload_number;
    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        node->crash_soon = false;
        /* A minority may stay away: the rest must do without. */
        if (i < w->missing && node->alive)
            world_crash(w, node);
        else if (i >= w->missing && !node->alive && !node->retired && node->away_since == 0)
            world_start(w, node);
        read_from(w, node);
    }
}
