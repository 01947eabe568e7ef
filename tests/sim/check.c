/* The invariants: one leader a term, log matching, committed entries stay, a leader has all of
 * them, commit and apply never go back, equal apply everywhere, reads see what was acknowledged,
 * the core's idea of the configuration is the log's, and, after healing, always a leader that
 * writes. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/engine_private.h"

/* libraft's private progress record, 0.22.1 exactly: only looked at, to check what the core itself
 * asserts in builds that have assertions. */
struct progress_view {
    unsigned short state, catch_up, features, capacity;
    raft_index next_index, match_index;
    raft_time last_send, last_recv;
    struct {
        raft_index index;
        raft_time last_send;
    } snapshot;
};

void sim_fail(struct world *w, const char *format, ...)
{
    char text[200];
    va_list args;

    if (w->failure[0] != 0)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    snprintf(w->failure, sizeof(w->failure), "at %llu ms: %s", (unsigned long long)w->now, text);
}

static uint64_t hash(uint64_t a, uint64_t b)
{
    uint64_t z = a * 0x9e3779b97f4a7c15u ^ (b + 0x632be59bd9b4e019u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 29);
}

static uint64_t hash_entry(const struct log_entry *entry)
{
    uint64_t value = hash(entry->type, entry->len);

    for (size_t i = 0; i < entry->len; i++)
        value = value * 1099511628211u ^ entry->data[i];
    return value;
}

static struct pair *find_pair(struct world *w, uint64_t index, uint64_t term)
{
    size_t i;

    if (2 * w->pairs_n >= w->pairs_cap) {
        size_t old_cap = w->pairs_cap;
        struct pair *old = w->pairs;
        w->pairs_cap = old_cap == 0 ? 1024 : old_cap * 2;
        w->pairs = calloc(w->pairs_cap, sizeof(*w->pairs));
        w->pairs_n = 0;
        for (size_t j = 0; j < old_cap; j++) {
            if (old[j].index != 0) {
                *find_pair(w, old[j].index, old[j].term) = old[j];
                w->pairs_n++;
            }
        }
        free(old);
    }
    i = hash(index, term) & (w->pairs_cap - 1);
    while (w->pairs[i].index != 0 && (w->pairs[i].index != index || w->pairs[i].term != term))
        i = (i + 1) & (w->pairs_cap - 1);
    return &w->pairs[i];
}

/* Same index and term: same entry, and the same term before it. A copy of an older disk of a member
 * that was alone then may go on alone, in terms that have been: what it writes is of no log. */
void check_appended(struct world *w, struct node *node, uint64_t index, size_t n)
{
    if (node->rolled_back)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct log_entry *entry = entry_log_get(engine_log(node->engine), index + i);
        uint64_t previous = engine_term_at(node->engine, index + i - 1);
        struct pair *pair;
        if (entry == NULL)
            continue; /* replaced in the same event */
        pair = find_pair(w, index + i, entry->term);
        if (pair->index == 0) {
            *pair = (struct pair){index + i, entry->term, hash_entry(entry), previous};
            w->pairs_n++;
        } else if (pair->hash != hash_entry(entry) || pair->previous != previous) {
            sim_fail(w, "log matching: %u has another entry %llu of term %llu", (unsigned)node->id,
                     (unsigned long long)(index + i), (unsigned long long)entry->term);
        }
    }
}

uint64_t check_hash(struct bytes payload)
{
    uint64_t value = hash(1, payload.len);

    for (size_t i = 0; i < payload.len; i++)
        value = value * 1099511628211u ^ payload.data[i];
    return value | 2;
}

void check_apply(struct world *w, struct node *node, uint64_t index, uint64_t number)
{
    if (node->rolled_back)
        return;
    if (index <= node->applied)
        sim_fail(w, "%u applies %llu again", (unsigned)node->id, (unsigned long long)index);
    for (uint64_t i = node->applied + 1; i < index && i < SIM_INDEX_MAX; i++) {
        if (w->truth[i] > 1)
            sim_fail(w, "%u skipped %llu", (unsigned)node->id, (unsigned long long)i);
        w->truth[i] = 1;
    }
    if (index >= SIM_INDEX_MAX)
        return;
    if (w->truth[index] == 0)
        w->truth[index] = number;
    if (w->truth[index] != number)
        sim_fail(w, "%u applied another command at %llu", (unsigned)node->id,
                 (unsigned long long)index);
    w->digest = hash(w->digest, hash(node->id, hash(index, number)));
}

static void check_commit(struct world *w, struct node *node)
{
    uint64_t commit = engine_commit(node->engine);

    if (commit < node->commit_seen)
        sim_fail(w, "the commit of %u goes back from %llu to %llu", (unsigned)node->id,
                 (unsigned long long)node->commit_seen, (unsigned long long)commit);
    for (uint64_t i = node->commit_seen + 1; i <= commit && i < SIM_INDEX_MAX; i++) {
        uint64_t term = engine_term_at(node->engine, i);
        if (term == 0 || engine_installing(node->engine))
            continue; /* in the snapshot, or the log is about to be replaced by it */
        if (w->committed_term[i] == 0)
            w->committed_term[i] = term;
        if (w->committed_in[i] == 0)
            w->committed_in[i] = engine_term(node->engine);
        if (w->committed_term[i] != term)
            sim_fail(w, "%u committed %llu of term %llu, another one of term %llu",
                     (unsigned)node->id, (unsigned long long)i, (unsigned long long)term,
                     (unsigned long long)w->committed_term[i]);
    }
    node->commit_seen = commit;
    if (commit > w->committed_max)
        w->committed_max = commit;
}

/* What a leader counts on is on the disk of the one it counts on. */
static void check_match(struct world *w, struct node *leader, const struct raft_server *server,
                        uint64_t match)
{
    const struct node *peer = world_node(w, server->id);
    const struct disk *disk = &peer->disk;

    if (match == 0 || peer->rolled_back || disk->term != engine_term(leader->engine) ||
        (disk->has_snapshot && match <= disk->snapshot.index))
        return;
    if (entry_log_term(&disk->log, match) != engine_term_at(leader->engine, match) &&
        engine_term_at(leader->engine, match) != 0)
        sim_fail(w, "leader %u counts on %u for %llu, which it does not have", (unsigned)leader->id,
                 (unsigned)server->id, (unsigned long long)match);
}

static void check_leader(struct world *w, struct node *node)
{
    struct engine *e = node->engine;
    uint64_t term = engine_term(e);

    if (engine_role(e) != CONSENSUS_LEADER || term >= SIM_TERMS_MAX)
        return;
    for (unsigned i = 0; i < e->raft.configuration.n; i++) {
        const struct progress_view *view =
            (const struct progress_view *)(const void *)e->raft.leader_state.progress + i;
        if (e->raft.configuration.servers[i].id != node->id &&
            view->next_index <= view->match_index)
            sim_fail(w, "leader %u would send again what matched", (unsigned)node->id);
        if (e->raft.configuration.servers[i].id != node->id)
            check_match(w, node, &e->raft.configuration.servers[i], view->match_index);
    }
    if (w->term_leader[term] == 0)
        w->elections_n++;
    if (w->term_leader[term] == 0)
        w->term_leader[term] = node->id;
    if (w->term_leader[term] != node->id)
        sim_fail(w, "two leaders of term %llu: %llu and %u", (unsigned long long)term,
                 (unsigned long long)w->term_leader[term], (unsigned)node->id);
    if (node->term_led == term)
        return;
    node->term_led = term;
    /* An administrator who acts on a leader at once, before it has committed anything. */
    if (w->eager > 0 && sim_chance(w, w->eager))
        sim_push(w, (struct event){.at = w->now + 1 + sim_below(w, 4), .what = HAPPEN_ADMIN});
    for (uint64_t i = 1; i <= w->committed_max && i < SIM_INDEX_MAX; i++) {
        uint64_t own = engine_term_at(e, i);
        if ((i <= engine_snapshot(e)->index && own == 0) || w->committed_in[i] >= term)
            continue; /* a late winner of an old term need not have what a later one committed */
        if (w->committed_term[i] != 0 && own != w->committed_term[i])
            sim_fail(w, "leader %u of term %llu lacks committed entry %llu", (unsigned)node->id,
                     (unsigned long long)term, (unsigned long long)i);
    }
}

/* The core must go by the newest configuration in its log, and know the committed one. */
static void check_members(struct world *w, struct node *node)
{
    const struct engine *e = node->engine;
    const struct entry_log *log = engine_log(e);
    struct members now, newest = engine_snapshot(e)->members;
    uint64_t from = e->snapshot.members_index;

    for (uint64_t i = entry_log_last(log); i >= log->first && i > 0; i--) {
        const struct log_entry *entry = entry_log_get(log, i);
        if (entry->type != RAFT_CHANGE)
            continue;
        if (i > from && members_decode_entry(bytes_of(entry->data, entry->len), &newest) == QK_OK)
            from = i;
        break;
    }
    engine_members(e, &now);
    if (from == 0 || engine_installing(e))
        return;
    if (now.n != newest.n || memcmp(now.list, newest.list, now.n * sizeof(now.list[0])) != 0)
        sim_fail(w, "%u does not go by the configuration at %llu", (unsigned)node->id,
                 (unsigned long long)from);
    if (e->applied_members_index != 0 && e->raft.commit_index == e->applied &&
        e->raft.configuration_committed_index < e->applied_members_index)
        sim_fail(w, "%u missed that configuration %llu is committed", (unsigned)node->id,
                 (unsigned long long)e->applied_members_index);
}

void check_node(struct world *w, struct node *node)
{
    uint64_t was = node->log_checked;
    uint64_t now = hash(entry_log_last(engine_log(node->engine)),
                        hash(engine_commit(node->engine), engine_term(node->engine)));

    if (!node->rolled_back) { /* it may lead those who go back with it: nobody */
        check_leader(w, node);
        check_commit(w, node);
        if (was != now)
            check_members(w, node);
    }
    node->log_checked = now;
    w->digest = hash(w->digest, hash(w->now, hash(node->id, now)));
}

void check_end(struct world *w)
{
    struct node *leader = chaos_leader(w);
    struct members members;

    if (w->failure[0] != 0)
        return;
    if (leader == NULL) {
        sim_fail(w, "no leader after healing");
        return;
    }
    if (w->proof_number != 0) {
        sim_fail(w, "no write after healing");
        return;
    }
    engine_members(leader->engine, &members);
    for (size_t i = 0; i < members.n; i++) {
        struct node *node = world_node(w, members.list[i].id);
        if (node->alive && node->applied < w->acked_max)
            sim_fail(w, "%u is left behind: applied %llu of %llu", (unsigned)node->id,
                     (unsigned long long)node->applied, (unsigned long long)w->acked_max);
    }
    for (size_t i = 0; i < w->reads_used; i++) {
        struct sim_read *read = &w->reads[i];
        struct node *node = &w->nodes[read->node];
        if (read->active && node->alive && node->life == read->life &&
            members_get(&members, node->id) != NULL)
            sim_fail(w, "a read on %u never ended", (unsigned)node->id);
    }
}
