/* Stories: what was found by a seed, told again step by step without any chance, so that it stays
 * tested when the seeds change. Each is one run without faults but those that it names.
 * Over 500 lines: they share the words that they are told in. */
#include "system.h"

#include <stdio.h>
#include <string.h>

#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/settings.h"

#define STEP_MS 50

/* --- what stories are told in ---------------------------------------------------------------- */

static void begin(struct system *sys, unsigned n)
{
    struct world *w = sys->w;

    sys->delay_max = w->delay_max = 3;
    sys->commit_max = sys->catalog_max = 10;
    w->ordered = 1;
    w->flush_max = 2;
    for (unsigned i = 0; i < n; i++)
        (void)system_add(sys);
    for (unsigned i = 0; i < n; i++)
        system_start(&sys->machines[i]);
    sys->machines[0].founder = true;
    people_init(&sys->machines[0]);
    link_sim_check(sys);
    system_run_until(w, w->now + 1000);
}

static void pass(struct system *sys, uint64_t ms)
{
    system_run_until(sys->w, sys->w->now + ms);
}

static bool is_open(const struct machine *m)
{
    return m->alive && m->service.node_sec != NULL && m->cluster->booted &&
           m->cluster->seal.state == SEAL_UNSEALED && m->service.keyring != NULL;
}

static bool is_member(const struct machine *m)
{
    const struct hub_member *self;

    if (!m->alive || m->service.node_sec == NULL || !m->cluster->booted)
        return false;
    self = hub_member_find(m->cluster, m->service.node_id);
    return self != NULL && self->version > 0 && self->info.state == MEMBER_ACTIVE && is_open(m);
}

/* Waits until it is so; the story fails if it does not come to that. */
static bool until(struct machine *m, bool (*so)(const struct machine *m), uint64_t ms,
                  const char *what)
{
    struct world *w = m->sys->w;
    uint64_t end = w->now + ms;

    while (!so(m) && w->now < end && w->failure[0] == 0)
        pass(m->sys, STEP_MS);
    if (!so(m))
        sim_fail(w, "m%u %s within %llu ms", m->at, what, (unsigned long long)ms);
    return w->failure[0] == 0;
}

static void cut_off(struct machine *m, bool off)
{
    for (unsigned i = 0; i < m->sys->machines_n; i++)
        if (i != m->at)
            m->sys->cuts[m->at][i] = m->sys->cuts[i][m->at] = off;
}

static bool has_identity(const struct machine *m)
{
    return m->alive && m->service.node_sec != NULL && m->linked && m->cluster->members_n > 0;
}

static bool join_begin(struct machine *m)
{
    people_join(m->sys, m); /* a token */
    pass(m->sys, 1000);
    people_join(m->sys, m);
    return until(m, has_identity, 5000, "was not accepted");
}

static bool join_all(struct system *sys, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        if (!join_begin(&sys->machines[i]) ||
            !until(&sys->machines[i], is_member, 20000, "did not become a member"))
            return false;
    return true;
}

static bool leads(const struct machine *m)
{
    return people_leader(m->sys) == m;
}

static bool lead(struct machine *m)
{
    for (unsigned i = 0; i < 20 && !leads(m); i++) {
        struct machine *leader = people_leader(m->sys);
        enum qk_err err = QK_ERR_NOT_FOUND;

        system_current = leader;
        if (leader != NULL && m->raft != NULL)
            err = consensus_transfer(leader->service.consensus, m->raft->id, NULL, NULL);
        system_current = NULL;
        pass(m->sys, err == QK_OK ? 1000 : 100);
    }
    return until(m, leads, STEP_MS, "does not lead");
}

/* --- stories --------------------------------------------------------------------------------- */

/* Seeds 2871 and 5612: m3 was told of m0 alone; m2, which joined later, leads when it comes. */
static void stranger_leads(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 4);
    if (!join_all(sys, 1, 1) || !join_begin(&m[3]))
        return;
    cut_off(&m[3], true);
    if (!join_all(sys, 2, 2) || !lead(&m[2]))
        return;
    cut_off(&m[3], false);
    if (until(&m[3], is_member, 20000, "did not become a member") && !leads(&m[2]))
        sim_fail(sys->w, "leadership moved: the story was not told");
}

/* The same, with what it was told forgotten and found again by a restart in the midst of it. */
static void stranger_leads_restart(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 4);
    if (!join_all(sys, 1, 1) || !join_begin(&m[3]))
        return;
    cut_off(&m[3], true);
    if (!join_all(sys, 2, 2) || !lead(&m[2]))
        return;
    system_crash(&m[3]);
    system_start(&m[3]);
    cut_off(&m[3], false);
    pass(sys, 300);
    system_crash(&m[3]);
    system_start(&m[3]);
    (void)until(&m[3], is_member, 20000, "did not become a member");
}

/* It was in a deal, fell before it was a full member, and is in no deal any more when it is back.
 */
static void stranger_leads_dealt(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 4);
    if (!join_begin(&m[3]))
        return;
    for (unsigned i = 0; i < 2000 && !is_open(&m[3]); i++)
        pass(sys, 1);
    if (is_member(&m[3]))
        sim_fail(sys->w, "it was a member too soon: the story was not told");
    system_crash(&m[3]);
    if (!join_all(sys, 1, 2) || !lead(&m[2]))
        return;
    system_start(&m[3]);
    (void)until(&m[3], is_member, 20000, "did not become a member");
}

static bool names(const struct machine *m, const struct machine *whom)
{
    size_t i;

    return m->cluster->record != NULL &&
           deal_record_find(m->cluster->record, whom->last_id, &i) == QK_OK;
}

static bool has_removed(const struct machine *m)
{
    return m->sys->removals_n > 0;
}

/* A seed's: m3 stands in a deal with m1 and falls before it is a full member; then m1 is removed.
 * It is done only when m3 is back and has erased its generation: removal_applied looks. */
static void removal_joiner(struct system *sys)
{
    struct machine *m = sys->machines;
    const struct hub_member *member;

    begin(sys, 4);
    if (!join_all(sys, 1, 2) || !lead(&m[0]) || !join_begin(&m[3]))
        return;
    for (unsigned i = 0; i < 3000 && !names(&m[0], &m[3]); i++)
        pass(sys, 1);
    if (!names(&m[0], &m[3]) || is_member(&m[3]))
        sim_fail(sys->w, "the story was not told: m3 is in no deal, or a member");
    system_crash(&m[3]);
    pass(sys, 15000); /* FINAL waives it */
    member = hub_member_find(m[0].cluster, m[1].last_id);
    if (member != NULL)
        people_ask_about(&m[0], handle_node_remove, member->info.name, "{\"reencrypt\":false}");
    pass(sys, 20000);
    if (sys->removals_n > 0)
        sim_fail(sys->w, "a removal is done though one who joins holds what the removed one needs");
    system_start(&m[3]);
    if (until(&m[0], has_removed, 30000, "does not finish the removal"))
        (void)until(&m[3], is_member, 20000, "did not become a member");
}

static void seal_in_init(struct system *sys)
{
    struct machine *m;
    enum qk_err err;

    sys->with_recovery = true;
    m = system_add(sys);
    sys->delay_max = sys->w->delay_max = 3;
    sys->commit_max = sys->catalog_max = 10;
    sys->w->flush_max = 2;
    system_start(m);
    people_init(m);
    for (unsigned i = 0; i < 300 && sys->recovery_n == 0; i++) {
        system_current = m;
        err = cluster_seal(m->cluster);
        system_current = NULL;
        if (err == QK_OK && sys->recovery_n == 0)
            sim_fail(sys->w, "m0 was sealed before init had answered");
        pass(sys, 1);
    }
    if (sys->recovery_n != SYSTEM_RECOVERY_SHARES)
        sim_fail(sys->w, "init gave no shares");
}

static bool is_held(const struct machine *m)
{
    return m->alive && m->cluster->booted && m->cluster->seal.state == SEAL_HELD;
}

/* Seed 13860: m0 is suspended and away while m3 joins, who leads when m0 is back: a stranger to it.
 */
static void stranger_leads_held(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 4);
    if (!join_all(sys, 1, 2) || !lead(&m[1]))
        return;
    orders_suspend_or_resume(&m[0]);
    if (!until(&m[0], is_held, 5000, "is not suspended"))
        return;
    system_crash(&m[0]);
    if (!join_all(sys, 3, 3) || !lead(&m[3]))
        return;
    system_start(&m[0]);
    if (!until(&m[0], is_held, 5000, "forgot that it is suspended"))
        return;
    pass(sys, 1000);
    if (!leads(&m[3]))
        sim_fail(sys->w, "leadership moved: the story was not told");
    orders_suspend_or_resume(&m[0]);
    (void)until(&m[0], is_open, 20000, "is not open again");
}

static bool has_newest_keys(const struct machine *m)
{
    return is_open(m) && !m->service.keys.behind &&
           keyring_mk_version(m->service.keyring) == m->cluster->record->mk_version;
}

static bool combines_again(const struct machine *m)
{
    return m->cluster->opening != NULL && m->service.catalog_opening != NULL &&
           m->cluster->record->mk_version == 2;
}

/* Its log gets nothing and brings nothing; its links are up. */
static void raft_cut(struct machine *m, bool off)
{
    struct world *w = m->sys->w;
    unsigned at = (unsigned)(m->raft - w->nodes);

    for (unsigned i = 0; i < w->nodes_n; i++)
        w->cuts[at][i] = w->cuts[i][at] = off && i != at;
}

/* Seed 7019286: m2 is still opening by the old deal when a peer shows it a newer one, of another MK
 * whose keyring its log has not brought yet. That the old catalog opened was taken for the new
 * deal's success: open with old keys for ever. */
static void newer_deal_in_opening(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 3);
    if (!join_all(sys, 1, 2))
        return;
    for (unsigned i = 0; i < 3; i++)
        system_crash(&m[i]);
    m[2].catalog_waits = true;
    system_start(&m[1]);
    system_start(&m[2]);
    raft_cut(&m[2], true);
    pass(sys, 1000);
    system_start(&m[0]);
    if (!until(&m[0], is_open, 5000, "is not open") || !lead(&m[0]))
        return;
    removal_refresh(sys, true);
    for (unsigned i = 0; i < 40000 && !combines_again(&m[2]); i++)
        pass(sys, 1);
    if (!combines_again(&m[2]))
        sim_fail(sys->w, "the story was not told: m2 was shown no newer deal");
    system_current = &m[2];
    catalog_sim_open(&m[2]);
    system_current = NULL;
    m[2].catalog_waits = false;
    pass(sys, 1000);
    raft_cut(&m[2], false);
    (void)until(&m[2], has_newest_keys, 20000, "does not open with the newest keys");
}

static bool is_closed(const struct machine *m)
{
    return m->alive && m->cluster->booted && m->cluster->seal.state == SEAL_SEALED;
}

static bool seal_one(struct machine *m)
{
    system_current = m;
    m->sealed_by_person = cluster_seal(m->cluster) == QK_OK;
    system_current = NULL;
    return until(m, is_closed, 1000, "is not sealed");
}

static bool unseal_one(struct machine *m)
{
    system_current = m;
    if (m->alive && m->sealed_by_person && cluster_unseal(m->cluster) == QK_OK)
        m->sealed_by_person = false;
    system_current = NULL;
    return until(m, is_member, 30000, "does not open");
}

/* Seed 8001418: m2 is being removed and m1, which the cluster needs then, gave up its identity. */
static void rejoin_in_removal(struct system *sys)
{
    struct machine *m = sys->machines;
    uint8_t before[NODE_ID_BYTES];

    begin(sys, 3);
    if (!join_all(sys, 1, 2) || !lead(&m[0]) || !seal_one(&m[1]))
        return;
    memcpy(before, m[1].service.node_id, sizeof(before));
    changes_rejoin(&m[1]); /* a token */
    pass(sys, 500);
    people_ask_about(&m[0], handle_node_remove, "n2-1", "{}");
    pass(sys, 1000);
    if (m[0].cluster->removal.n != 1 || m[1].rejoin_token[0] == '\0')
        sim_fail(sys->w, "the story was not told: no removal is under way, or there is no token");
    changes_rejoin(&m[1]);
    pass(sys, 2000);
    if (memcmp(before, m[1].service.node_id, sizeof(before)) != 0)
        sim_fail(sys->w, "a node gave up its identity that a removal needs");
    if (unseal_one(&m[1]))
        (void)until(&m[0], has_removed, 30000, "does not finish the removal");
}

/* Seed 30354: two of three give up their identities at the same moment, each while the other is
 * still there. */
static void rejoin_twice(struct system *sys)
{
    struct machine *m = sys->machines;
    uint8_t before[2][NODE_ID_BYTES];

    begin(sys, 3);
    if (!join_all(sys, 1, 2) || !lead(&m[0]) || !seal_one(&m[1]) || !seal_one(&m[2]))
        return;
    for (unsigned i = 0; i < 2; i++) {
        memcpy(before[i], m[1 + i].service.node_id, NODE_ID_BYTES);
        changes_rejoin(&m[1 + i]);
    }
    pass(sys, 500);
    for (unsigned i = 0; i < 2; i++)
        changes_rejoin(&m[1 + i]);
    pass(sys, 3000);
    if (memcmp(before[0], m[1].service.node_id, NODE_ID_BYTES) != 0 &&
        memcmp(before[1], m[2].service.node_id, NODE_ID_BYTES) != 0)
        sim_fail(sys->w, "two of three gave up their identities at once");
}

/* Seed 8001865: a setting that needs three, judged before the removal of one of three was applied.
 */
static void settings_in_removal(struct system *sys)
{
    struct machine *m = sys->machines;

    begin(sys, 3);
    if (!join_all(sys, 1, 2) || !lead(&m[0]))
        return;
    people_ask_about(&m[0], handle_node_remove, "n2-1", "{}");
    people_ask(&m[0], handle_settings_put, "{\"unseal_quorum\":3}");
    pass(sys, 500);
    if (m[0].cluster->removal.n == 1 && m[0].cluster->info.unseal_quorum == 3)
        sim_fail(sys->w, "three are needed to open, and two will be there");
    (void)until(&m[0], has_removed, 30000, "does not finish the removal");
}

static bool is_behind(const struct machine *m)
{
    return m->service.keys.behind;
}

/* A bench rotated, saw the deal final, rotated again and was answered "busy": the leader had not
 * opened the deal. An order that comes then waits for that. */
static void order_in_opening(struct system *sys)
{
    struct machine *m = sys->machines;
    uint64_t end;

    begin(sys, 4);
    if (!join_all(sys, 1, 3) || !lead(&m[0]))
        return;
    people_ask(&m[0], handle_master_rotate, "");
    end = sys->w->now + 10000;
    while (!is_behind(&m[0]) && sys->w->now < end)
        pass(sys, 1);
    if (!is_behind(&m[0]))
        sim_fail(sys->w, "the story was not told: no deal was applied that is not open yet");
    people_ask_about(&m[0], handle_node_remove, "n3-1", "{}");
    pass(sys, 1000);
    if (m[0].cluster->removal.n != 1 && sys->removals_n == 0)
        sim_fail(sys->w, "an order was lost that came before the new deal was open");
    (void)until(&m[0], has_removed, 30000, "does not finish the removal");
}

/* Seeds 10104368 and 10219192: with a majority as the unseal quorum, m3 was let in and fell before
 * any deal had it, and m2 is leaving. m0 and m1 are two of the two who stay. */
static void majority_of_those_who_stay(struct system *sys)
{
    struct machine *m = sys->machines;
    size_t at;

    begin(sys, 4);
    if (!join_all(sys, 1, 2) || !lead(&m[0]) || !join_begin(&m[3]))
        return;
    system_crash(&m[3]);
    people_ask(&m[0], handle_settings_put, "{\"unseal_quorum\":\"majority\"}");
    pass(sys, 500);
    people_ask_about(&m[0], handle_node_remove, "n2-1", "{}");
    for (unsigned i = 0; i < 500 && m[1].cluster->removal.n == 0; i++)
        pass(sys, 1);
    for (unsigned i = 0; i < 3; i++)
        system_crash(&m[i]);
    for (unsigned i = 0; i < 2; i++)
        system_start(&m[i]);
    pass(sys, 100);
    if (m[0].cluster->info.unseal_quorum != 0 || m[0].cluster->removal.n != 1 ||
        m[0].cluster->members_n != 4 ||
        deal_record_find(m[0].cluster->record, m[2].last_id, &at) != QK_OK)
        sim_fail(sys->w, "the story was not told: no removal is under way among four");
    if (until(&m[0], is_open, 5000, "does not open"))
        (void)until(&m[1], is_open, 5000, "does not open");
}

/* Seeds 10135902 and 10222609: three are needed to open, m1 gave up its identity, and could not be
 * removed then; a deal that waited for it waited for ever. */
static void rejoin_below_quorum(struct system *sys)
{
    struct machine *m = sys->machines;
    uint8_t before[NODE_ID_BYTES];

    begin(sys, 3);
    if (!join_all(sys, 1, 2) || !lead(&m[0]) || !seal_one(&m[1]))
        return;
    people_ask(&m[0], handle_settings_put, "{\"unseal_quorum\":3}");
    pass(sys, 500);
    memcpy(before, m[1].service.node_id, sizeof(before));
    changes_rejoin(&m[1]); /* a token */
    pass(sys, 500);
    if (m[1].rejoin_token[0] == '\0' || m[0].cluster->info.unseal_quorum != 3)
        sim_fail(sys->w, "the story was not told: there is no token, or no quorum of three");
    changes_rejoin(&m[1]);
    pass(sys, 2000);
    if (memcmp(before, m[1].service.node_id, sizeof(before)) != 0)
        sim_fail(sys->w, "a node gave up its identity that the unseal quorum needs");
    (void)unseal_one(&m[1]);
}

static void start_founder(struct machine *m, void *arg)
{
    (void)arg;
    system_start(&m->sys->machines[0]);
}

/* What is told of a removal by one who was just elected: the order is in its log, and it does not
 * know yet that it is committed. "No removal is pending" would be taken for done. */
static void told_by_a_new_leader(struct system *sys)
{
    struct machine *m = sys->machines;
    uint64_t end;

    begin(sys, 4);
    if (!join_all(sys, 1, 3) || !lead(&m[0]))
        return;
    people_ask_about(&m[0], handle_node_remove, "n3-1", "{}");
    for (unsigned i = 0; i < 5000 && m[0].cluster->removal.n == 0; i++)
        pass(sys, 1);
    system_crash(&m[0]);
    if (m[1].cluster->removal.n > 0 || m[2].cluster->removal.n > 0 || sys->removals_n > 0)
        sim_fail(sys->w, "the story was not told: the others have applied the order");
    system_later(&m[1], 5000, start_founder, NULL);
    end = sys->w->now + 30000;
    while (!sys->removal_told_done && sys->w->now < end && sys->w->failure[0] == 0) {
        if (people_leader(sys) != NULL)
            people_ask(people_leader(sys), handle_deal, "");
        pass(sys, 1);
        if (sys->removal_told_done && sys->removals_n == 0)
            sim_fail(sys->w, "a removal is said to be done that has just begun");
    }
    if (!sys->removal_told_done)
        sim_fail(sys->w, "nobody says that the removal is done");
}

static const struct story {
    const char *name;
    void (*tell)(struct system *sys);
    const char *text;
} stories[] = {
    {"stranger-leads", stranger_leads, "a joiner whose leader joined after it becomes a member"},
    {"stranger-leads-dealt", stranger_leads_dealt, "also if it was in a deal before"},
    {"removal-joiner", removal_joiner, "a removal waits for one who joins and stands in a deal"},
    {"seal-in-init", seal_in_init, "a node is not sealed while init is under way"},
    {"newer-deal-in-opening", newer_deal_in_opening, "what opened by an old deal is not the new"},
    {"rejoin-in-removal", rejoin_in_removal, "a node that a removal needs is not wiped"},
    {"rejoin-twice", rejoin_twice, "two of three do not give up their identities at once"},
    {"settings-in-removal", settings_in_removal, "a removal and a setting judged at once"},
    {"order-in-opening", order_in_opening, "an order waits until the newest deal is open"},
    {"majority-of-those-who-stay", majority_of_those_who_stay, "who joins or leaves is no part"},
    {"rejoin-below-quorum", rejoin_below_quorum, "a node that the settings need is not wiped"},
    {"told-by-a-new-leader", told_by_a_new_leader, "a removal is not said to be done too early"},
    {"stranger-leads-restart", stranger_leads_restart, "also if it restarts meanwhile"},
    {"stranger-leads-held", stranger_leads_held, "one that was suspended hears that it is free"},
};
#define STORIES_N (sizeof(stories) / sizeof(stories[0]))

bool story_run(struct world *w, struct system *sys, const char *name)
{
    (void)w;
    for (size_t i = 0; i < STORIES_N; i++)
        if (strcmp(stories[i].name, name) == 0) {
            stories[i].tell(sys);
            return true;
        }
    return false;
}

void stories_list(void)
{
    for (size_t i = 0; i < STORIES_N; i++)
        fprintf(stderr, "  --story %-24s %s\n", stories[i].name, stories[i].text);
}
