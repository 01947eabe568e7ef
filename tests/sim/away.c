/* `sim --away`: voters that are away for long, down or cut off, while others join, leave and change
 * their roles, several times over. Away is only ever a minority of each configuration that anybody
 * goes by, so the rest must go on, and no leader may make a configuration that lacks a majority. */
#include "sim.h"

#include <string.h>

#include "consensus/engine_private.h"

/* Longer than a leader needs to miss someone. */
#define AWAY_LONG_MS (3 * SIM_ELECTION_MS)
#define AWAY_MS_MIN (3 * SIM_ELECTION_MS)
#define AWAY_MS_MAX (30 * SIM_ELECTION_MS)

static bool is_away(struct world *w, uint64_t id, uint64_t for_ms)
{
    const struct node *node = world_node(w, id);

    return node != NULL && node->away_since != 0 && w->now - node->away_since >= for_ms;
}

/* A majority of the voters would be there if `leaves` went, too. */
static bool majority_stays(struct world *w, const struct members *members, uint64_t leaves)
{
    size_t there_n = 0;

    for (size_t i = 0; i < members->n; i++)
        there_n += members->list[i].voter && members->list[i].id != leaves &&
                   !is_away(w, members->list[i].id, 0);
    return members_voters_n(members) == 0 || 2 * there_n > members_voters_n(members);
}

/* The configuration that a node goes by, or would after a start. */
static void newest_members(const struct node *node, struct members *ret_members)
{
    const struct entry_log *log = &node->disk.log;

    memset(ret_members, 0, sizeof(*ret_members));
    if (node->alive) {
        engine_members(node->engine, ret_members);
        return;
    }
    if (node->disk.has_snapshot)
        *ret_members = node->disk.snapshot.members;
    for (uint64_t i = entry_log_last(log); i >= log->first && i > 0; i--) {
        const struct log_entry *entry = entry_log_get(log, i);
        if (entry->type == RAFT_CHANGE &&
            members_decode_entry(bytes_of(entry->data, entry->len), ret_members) == QK_OK)
            return;
    }
}

static bool may_go(struct world *w, uint64_t leaves)
{
    struct members members;

    for (unsigned i = 0; i < w->nodes_n; i++) {
        const struct node *node = &w->nodes[i];
        newest_members(node, &members);
        if (!majority_stays(w, &members, leaves))
            return false;
        if (!node->alive || node->engine->change.state != CHANGE_CATCHING_UP)
            continue;
        (void)members_set_voter(&members, node->engine->change.id, true);
        if (!majority_stays(w, &members, leaves))
            return false;
    }
    return true;
}

void away_cut(struct world *w)
{
    for (unsigned a = 0; a < w->nodes_n; a++)
        for (unsigned i = 0; w->nodes[a].away_since != 0 && i < w->nodes_n; i++)
            w->cuts[a][i] = w->cuts[i][a] = i != a;
}

static void come_back(struct world *w, struct node *node)
{
    unsigned a = (unsigned)(node - w->nodes);

    node->away_since = 0;
    for (unsigned i = 0; i < w->nodes_n; i++)
        w->cuts[a][i] = w->cuts[i][a] = false;
    away_cut(w);
    if (!node->alive && !node->retired)
        world_start(w, node);
}

void away_step(struct world *w)
{
    struct node *node = &w->nodes[sim_below(w, w->nodes_n)];

    for (unsigned i = 0; i < w->nodes_n; i++)
        if (w->nodes[i].away_since != 0 && w->now >= w->nodes[i].back_at)
            come_back(w, &w->nodes[i]);
    if (!node->alive || node->away_since != 0 || !sim_chance(w, w->away) || !may_go(w, node->id))
        return;
    node->away_since = w->now;
    node->missed_n = 0;
    node->back_at = w->now + AWAY_MS_MIN + sim_below(w, AWAY_MS_MAX - AWAY_MS_MIN);
    w->aways_n++;
    if (sim_chance(w, 700))
        world_crash(w, node);
    away_cut(w);
}

void away_end(struct world *w)
{
    for (unsigned i = 0; i < w->nodes_n; i++)
        if (w->nodes[i].away_since != 0 && w->nodes[i].alive)
            w->nodes[i].away_since = 0;
}

bool away_just_went(const struct world *w)
{
    for (unsigned i = 0; i < w->nodes_n; i++)
        if (w->nodes[i].away_since != 0 && w->now - w->nodes[i].away_since < AWAY_LONG_MS)
            return true;
    return false;
}

/* How many voters are there, and how many of them have been away for long? */
static size_t away_n(struct world *w, const struct members *members)
{
    size_t n = 0;

    for (size_t i = 0; i < members->n; i++)
        n += members->list[i].voter && is_away(w, members->list[i].id, AWAY_LONG_MS);
    return n;
}

void away_count_change(struct world *w, const struct node *node)
{
    struct members members;
    unsigned missed_n = 0;

    engine_members(node->engine, &members);
    for (size_t i = 0; i < members.n; i++) {
        if (!members.list[i].voter || !is_away(w, members.list[i].id, AWAY_LONG_MS))
            continue;
        if (++world_node(w, members.list[i].id)->missed_n > missed_n)
            missed_n = world_node(w, members.list[i].id)->missed_n;
    }
    w->changes_away_n += missed_n > 0;
    w->changes_again_n += missed_n > 1;
}

void away_check_change(struct world *w, const struct node *node, uint64_t index, size_t n)
{
    for (uint64_t i = index; i < index + n; i++) {
        const struct log_entry *entry = entry_log_get(engine_log(node->engine), i);
        struct members members;

        if (entry == NULL || entry->type != RAFT_CHANGE ||
            entry->term != engine_term(node->engine) ||
            engine_role(node->engine) != CONSENSUS_LEADER ||
            members_decode_entry(bytes_of(entry->data, entry->len), &members) != QK_OK)
            continue;
        if (2 * away_n(w, &members) >= members_voters_n(&members))
            sim_fail(w, "leader %u makes a configuration that lacks a majority",
                     (unsigned)node->id);
    }
}
