/* What goes wrong, and when people ask for something. Each seed has its own character. */
#include "system.h"

#include "consensus/consensus.h"

#include <string.h>

#include "service/cluster/cluster_handlers.h"

static unsigned pick(struct world *w, unsigned a, unsigned b, unsigned c)
{
    unsigned die = sim_below(w, 3);

    return die == 0 ? a : die == 1 ? b : c;
}

/* --- faults ---------------------------------------------------------------------------------- */

static struct machine *any(struct system *sys)
{
    return &sys->machines[sim_below(sys->w, sys->machines_n)];
}

/* Most seeds let the founder live until it is no longer alone. */
static bool may_fall(const struct machine *m)
{
    return m->sys->late || !m->founder || m->life > 1 || m->sys->final_epoch > 0;
}

static void crash(struct system *sys)
{
    struct machine *m = sim_chance(sys->w, 300) ? people_leader(sys) : any(sys);

    if (m == NULL || !m->alive || !may_fall(m))
        return;
    if (m->raft != NULL && sim_chance(sys->w, 300))
        m->raft->crash_soon = true;
    else
        system_crash(m);
}

/* One that has given its vote to another falls and is back at once, while nobody leads yet. */
static bool crash_voter(struct system *sys)
{
    struct machine *m = any(sys);

    if (people_leader(sys) != NULL || !m->alive || m->raft == NULL || m->raft->disk.vote == 0 ||
        m->raft->disk.vote == m->raft->id || !may_fall(m))
        return false;
    system_crash(m);
    system_start(m);
    return true;
}

/* Power fails everywhere at once. */
static void blackout(struct system *sys)
{
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (sys->machines[i].alive && may_fall(&sys->machines[i]))
            system_crash(&sys->machines[i]);
}

static void cut(struct system *sys)
{
    unsigned a = sim_below(sys->w, sys->machines_n), b = sim_below(sys->w, sys->machines_n);
    unsigned side = sim_below(sys->w, 1u << sys->machines_n);

    switch (sim_below(sys->w, 3)) {
    case 0:
        sys->cuts[a][b] = a != b;
        break;
    case 1:
        for (unsigned i = 0; i < sys->machines_n; i++)
            sys->cuts[a][i] = sys->cuts[i][a] = i != a;
        break;
    default:
        for (unsigned i = 0; i < sys->machines_n; i++)
            for (unsigned j = 0; j < sys->machines_n; j++)
                sys->cuts[i][j] = ((side >> i) & 1) != ((side >> j) & 1);
        break;
    }
}

static void seal_or_unseal_one(struct machine *m)
{
    struct machine *before = system_current;

    if (!m->alive || m->dying || m->service.node_sec == NULL || !m->cluster->booted)
        return;
    system_current = m;
    if (m->sealed_by_person) {
        if (cluster_unseal(m->cluster) == QK_OK)
            m->sealed_by_person = false;
    } else if (cluster_seal(m->cluster) == QK_OK)
        m->sealed_by_person = true;
    system_say(m, m->sealed_by_person ? "sealed by a person" : "unsealed by a person");
    if (m->alive && m->dying)
        system_crash(m);
    system_current = before;
}

static void seal_or_unseal(struct system *sys)
{
    seal_or_unseal_one(any(sys));
}

/* Leadership moves also without any fault: a sealed leader hands it on. */
static void shift(struct system *sys)
{
    struct machine *m = people_leader(sys), *to = any(sys), *before = system_current;

    if (m == NULL || m->dying || to->raft == NULL)
        return;
    system_current = m;
    if (consensus_transfer(m->service.consensus, to->raft->id, NULL, NULL) != QK_OK)
        system_say(m, "hands leadership on to nobody");
    system_current = before;
}

/* For longer than the keep-alive waits, or not; and for longer than its leader is waited for. */
static void stop(struct system *sys)
{
    struct machine *m = sim_chance(sys->w, 300) ? people_leader(sys) : any(sys);

    if (m == NULL || !m->alive || system_stopped(m, 0))
        return;
    m->stopped_ms = sys->w->now;
    m->stopped_until_ms =
        sys->w->now + 200 + sim_below(sys->w, sim_chance(sys->w, 300) ? 9000 : 2500);
    system_say(m, "stands still for %llu ms",
               (unsigned long long)(m->stopped_until_ms - m->stopped_ms));
}

/* Once a seed, of a machine that has lived on for a while since. */
static void rollback(struct system *sys)
{
    struct machine *m = any(sys);

    if (m->image == NULL)
        rollback_copy(m);
    else if (sys->rollbacks_n == 0 && sys->final_epoch > 0)
        (void)rollback_restore(m);
}

static void redeal(struct system *sys)
{
    unsigned die = sim_below(sys->w, 5);

    if (die < 2)
        changes_settings(sys);
    else
        removal_refresh(sys, die < 4);
}

/* Some stay away for longer than the others wait, who deal meanwhile. */
static void away(struct system *sys)
{
    unsigned n = 1 + sim_below(sys->w, 2);

    for (unsigned i = 0; i < n; i++) {
        struct machine *m = any(sys);

        if (m == people_leader(sys) || sys->final_epoch == 0)
            continue;
        if (m->alive)
            system_crash(m);
        m->away_until_ms = sys->w->now + 2000 + sim_below(sys->w, 12000);
    }
    if (sim_chance(sys->w, 500))
        removal_refresh(sys, true);
}

static unsigned away_n(const struct system *sys)
{
    unsigned n = 0;

    for (unsigned i = 0; i < sys->machines_n; i++)
        n += sys->machines[i].last_sec && sys->machines[i].away_until_ms > sys->w->now;
    return n;
}

/* An open node has no reason to: one is sealed first. */
static void come_back(struct system *sys)
{
    struct machine *m = any(sys);

    if (sim_chance(sys->w, 300) && !m->sealed_by_person && m != people_leader(sys))
        seal_or_unseal_one(m);
    for (unsigned i = 0; i < 4; i++)
        changes_rejoin(any(sys));
}

static void chaos_act(struct system *sys)
{
    struct world *w = sys->w;
    unsigned die = sim_below(w, 1000);
    struct machine *m = any(sys);

    if (sys->crash > 10 && sim_chance(w, 30) && crash_voter(sys))
        return;
    if (die < sys->crash) {
        if (sim_chance(w, 100))
            blackout(sys);
        else
            crash(sys);
    } else if ((die -= sys->crash) < 3 * sys->crash + 50) {
        if (!m->alive && m->away_until_ms <= w->now)
            system_start(m);
    } else if ((die -= 3 * sys->crash + 50) < sys->cut) {
        if (sim_chance(w, 400))
            cut(sys);
        else
            memset(sys->cuts, 0, sizeof(sys->cuts));
    } else if ((die -= sys->cut) < sys->seal) {
        seal_or_unseal(sys);
    } else if ((die -= sys->seal) < sys->shift) {
        shift(sys);
    } else if ((die -= sys->shift) < sys->stop) {
        stop(sys);
    } else if ((die -= sys->stop) < sys->hold) {
        orders_hold(sys);
    } else if ((die -= sys->hold) < sys->suspend) {
        orders_suspend(sys);
    } else if ((die -= sys->suspend) < sys->rollback) {
        rollback(sys);
    } else if ((die -= sys->rollback) < sys->remove) {
        removal_order(sys);
    } else if ((die -= sys->remove) < sys->away) {
        away(sys);
    } else if ((die -= sys->away) < sys->redeal) {
        redeal(sys);
    } else if ((die -= sys->redeal) < sys->thief) {
        thief_act(sys);
    } else if ((die -= sys->thief) < sys->rejoin) {
        come_back(sys);
    } else if (away_n(sys) > 1 && sim_chance(w, 40)) {
        removal_refresh(sys, true);
    } else if ((die -= sys->rejoin) < sys->jump) {
        m->clock_ms += (int64_t)sim_below(w, 4000000) - 2000000;
    } else if ((die -= sys->jump) < sys->intrude) {
        system_intrude(m);
    } else if ((die -= sys->intrude) < 150) {
        people_try_joins(sys);
    } else
        people_put(sys);
}

void chaos_administer(struct world *w)
{
    (void)w;
}

struct node *chaos_leader(struct world *w)
{
    struct node *leader = NULL;

    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        if (node->alive && !node->rolled_back && engine_role(node->engine) == CONSENSUS_LEADER &&
            (leader == NULL || engine_term(node->engine) > engine_term(leader->engine)))
            leader = node;
    }
    return leader;
}

/* Without a deal that may open it nothing else does; with one, people are sometimes quicker. */
static void recover(struct system *sys)
{
    struct machine *m = any(sys);

    if (sys->final_epoch == 0 ? m->founder : !sys->over && sim_chance(sys->w, 100))
        people_recover(m);
}

/* A hold refuses that a node is opened by hand. */
static void unseal_all(struct system *sys)
{
    for (unsigned i = 0; i < sys->machines_n; i++) {
        struct machine *m = &sys->machines[i];

        if (!m->alive || m->dying || !m->sealed_by_person)
            continue;
        system_current = m;
        if (cluster_unseal(m->cluster) == QK_OK)
            m->sealed_by_person = false;
        system_current = NULL;
    }
}

void chaos_step(struct world *w)
{
    struct system *sys = w->system;

    if (sys->with_recovery && sim_chance(w, 50))
        recover(sys);
    if (sys->hold > 0 && sim_chance(w, 20) && people_leader(sys) != NULL &&
        orders_on_hold(people_leader(sys)))
        orders_hold(sys);
    if (sys->over && sim_chance(w, 200))
        orders_end(sys);
    if (sys->over) {
        unseal_all(sys);
        (void)changes_rejoin_rolled(sys);
        changes_rejoin_strays(sys);
    }
    if (sim_chance(w, sys->over ? 200 : 10))
        removal_wipe(sys);
    if (!sys->over)
        chaos_act(sys);
    else {
        people_try_joins(sys);
        if (sim_chance(w, 200))
            people_put(sys);
    }
    sim_push(w, (struct event){.at = w->now + 5 + sim_below(w, sys->over ? 200 : 120),
                               .what = HAPPEN_CHAOS});
}

void system_chaos_begin(struct system *sys)
{
    struct world *w = sys->w;
    unsigned n = 2 + sim_below(w, 5);

    sys->crash = pick(w, 10, 40, 90);
    sys->crash_point = pick(w, 0, 200, 1200);
    sys->cut = pick(w, 0, 60, 150);
    sys->seal = pick(w, 0, 10, 40);
    sys->shift = pick(w, 0, 10, 40);
    sys->stop = pick(w, 0, 5, 20);
    sys->hold = pick(w, 0, 0, 8);
    sys->suspend = pick(w, 0, 0, 15);
    sys->remove = pick(w, 0, 20, 60);
    sys->redeal = pick(w, 0, 5, 20);
    sys->away = pick(w, 0, 0, 8);
    if (sys->away > 0) { /* many, most of them there */
        n = MACHINES_MAX;
        sys->crash = 10;
    }
    sys->rollback = sim_below(w, 10) == 0 ? 30 : 0;
    sys->thief = sim_below(w, 16) == 0 ? 30 : 0;
    sys->rejoin = pick(w, 0, 0, 20);
    if (sys->rollback > 0)
        sys->rejoin = 10;
    sys->disorder = pick(w, 0, 0, 60);
    sys->slow_disk = pick(w, 0, 50, 200);
    sys->jump = pick(w, 0, 5, 20);
    sys->intrude = pick(w, 5, 20, 60);
    sys->delay_max = pick(w, 3, 15, 80);
    sys->commit_max = pick(w, 10, 60, 300);
    sys->catalog_max = pick(w, 5, 20, 400);
    sys->late = sim_below(w, 8) == 0;
    sys->period_records = pick(w, 0, 40, 4);
    sys->period_age_s = pick(w, 0, 0, 5);
    sys->with_recovery = sim_below(w, 2) == 0;
    w->loss = pick(w, 0, 20, 80);
    w->duplicate = pick(w, 0, 30, 100);
    w->delay_max = sys->delay_max;
    w->ordered = sim_below(w, 2);
    w->flush_max = pick(w, 2, 10, 60);
    w->stall = pick(w, 0, 10, 60);
    w->small_log = pick(w, 0, 4000, 12000);
    w->stream_fail = pick(w, 0, 100, 300);
    for (unsigned i = 0; i < n; i++)
        (void)system_add(sys);
    for (unsigned i = 0; i < n; i++)
        system_start(&sys->machines[i]);
    sys->machines[0].founder = true;
    people_init(&sys->machines[0]);
    link_sim_check(sys);
    sim_push(w, (struct event){.at = w->now + 1, .what = HAPPEN_CHAOS});
}

void system_chaos_end(struct system *sys)
{
    sys->over = true;
    sys->w->chaos_over = true;
    memset(sys->cuts, 0, sizeof(sys->cuts));
    for (unsigned i = 0; i < sys->machines_n; i++) {
        struct machine *m = &sys->machines[i];

        m->stopped_until_ms = 0;
        if (m->raft != NULL)
            m->raft->crash_soon = false;
        if (m->alive && m->dying) /* since within an event that was not its own */
            system_crash(m);
        if (!m->alive)
            system_start(m);
    }
}
