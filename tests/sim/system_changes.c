/* What operators change: settings of the cluster, and a node that gives up its identity and comes
 * back as a new one (node rejoin --wipe), by the product's handlers. */
#include "system.h"

#include <stdio.h>
#include <string.h>

#include "service/cluster/cluster_handlers.h"
#include "service/cluster/deal_ready.h"
#include "service/cluster/settings.h"

/* --- settings -------------------------------------------------------------------------------- */

static struct machine *addressee(struct system *sys)
{
    struct machine *m = people_leader(sys);

    return m != NULL && !m->dying && m->cluster->booted && !system_stopped(m, 0) &&
                   sys->final_epoch > 0 && deal_may_order(&m->service)
               ? m
               : NULL;
}

void changes_settings(struct system *sys)
{
    static const char *const wishes[] = {
        "{\"threshold\":2}",      "{\"threshold\":3}",     "{\"threshold\":2,\"unseal_quorum\":2}",
        "{\"unseal_quorum\":2}",  "{\"unseal_quorum\":3}", "{\"unseal_quorum\":\"majority\"}",
        "{\"release_limit\":20}", "{\"release_limit\":0}", "{\"refresh_days\":1}",
    };
    struct machine *m = addressee(sys);
    unsigned at = sim_below(sys->w, sizeof(wishes) / sizeof(wishes[0]));

    if (m == NULL)
        return;
    system_say(m, "order: %s", wishes[at]);
    people_ask(m, handle_settings_put, wishes[at]);
}

static bool is_dealt(const struct machine *m, const uint8_t *node_id)
{
    const struct seal_deal *deal = &m->cluster->seal.deal;

    for (unsigned i = 0; i < deal->members_n; i++)
        if (memcmp(deal->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* As many as must be there to open, as that one knows it: of those who stay and stand in its deal.
 */
unsigned changes_quorum(const struct machine *m)
{
    const struct cluster *cluster = m->cluster;
    const struct seal_config *config = &cluster->seal.config;
    unsigned setting = cluster->has_settings ? cluster->info.unseal_quorum : 2, n = 0;

    for (unsigned i = 0; i < config->members_n; i++)
        n += !config->members[i].leaving && is_dealt(m, config->members[i].node_id);
    if (setting == 0)
        setting = n / 2 + 1;
    if (setting > n)
        setting = n;
    return setting < 2 ? 2 : setting;
}

/* More cannot be in its view than live peers of its deal that it knows, and itself. */
void changes_check_given(const struct machine *from)
{
    uint64_t now_ms = timer_now_ms(from->service.loop);
    unsigned view = 1;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &from->cluster->seal.peers[i];

        view += peer->used && peer->known && seal_peer_live(peer, now_ms) &&
                is_dealt(from, peer->node_id);
    }
    if (view < changes_quorum(from))
        sim_fail(from->sys->w, "m%u gives, and sees %u of %u", from->at, view,
                 changes_quorum(from));
}

/* --- a node that comes back as a new one ----------------------------------------------------- */

static bool may_rejoin(const struct machine *m)
{
    return m->alive && !m->dying && m->service.node_sec != NULL && m->cluster->booted &&
           m->cluster->seal.state != SEAL_UNSEALED && m->cluster->joiner == NULL &&
           m->rejoins_n < SYSTEM_JOINS_MAX && m->sys->w->nodes_n < SIM_NODES_MAX - 2 &&
           m->sys->joins < SYSTEM_JOININGS_MAX;
}

static void rejoin(struct machine *m)
{
    char body[600];

    snprintf(body, sizeof(body), "{\"token\":\"%s\",\"wipe\":true}", m->rejoin_token);
    m->rejoin_token[0] = '\0';
    m->rejoins_n++;
    m->sys->rejoins_n++;
    system_say(m, "is to come back as a new node");
    people_ask(m, handle_rejoin, body);
}

/* One that is closed: by a person, held, or because its disk was put back. */
void changes_rejoin(struct machine *m)
{
    struct system *sys = m->sys;
    struct machine *leader = people_leader(sys);
    const struct hub_member *member;
    char body[120];

    if (sys->final_epoch == 0 || leader == NULL || leader == m || leader->dying || !may_rejoin(m))
        return;
    if (m->rejoin_token[0] != '\0') {
        rejoin(m);
        return;
    }
    member = hub_member_find(leader->cluster, m->service.node_id);
    if (member == NULL || member->version == 0) /* its place was given away already */
        snprintf(body, sizeof(body), "{\"ttl_s\":20}");
    else
        snprintf(body, sizeof(body), "{\"ttl_s\":20,\"replace\":\"%s\"}", member->info.name);
    people_ask_for(leader, m, handle_invite, body);
}

/* A disk that was put back is of no use any more: its node is to come back as a new one. */
bool changes_rejoin_rolled(struct system *sys)
{
    bool some = false;

    for (unsigned i = 0; i < sys->machines_n; i++) {
        struct machine *m = &sys->machines[i];

        if (!m->rolled)
            continue;
        some = true;
        if (m->alive && !m->dying && sim_chance(sys->w, 100))
            changes_rejoin(m);
    }
    return some;
}

/* One that fell before it heard that it may come back is no member any more and does not know it.
 */
void changes_rejoin_strays(struct system *sys)
{
    const struct machine *leader = people_leader(sys);

    for (unsigned i = 0; i < sys->machines_n && leader != NULL && leader->cluster != NULL; i++) {
        struct machine *m = &sys->machines[i];
        const struct hub_member *member;

        if (m == leader || sys->final_epoch == 0 || !may_rejoin(m))
            continue;
        member = hub_member_find(leader->cluster, m->service.node_id);
        if ((member == NULL || member->version == 0) && sim_chance(sys->w, 50))
            changes_rejoin(m);
    }
}

/* Whoever was replaced leaves. */
bool changes_unfinished(const struct machine *leader)
{
    const struct cluster *cluster = leader->cluster;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i], *old;

        if (member->version == 0 || member->info.state != MEMBER_ACTIVE ||
            !hub_id_is_set(member->info.replaces))
            continue;
        old = hub_member_find(leader->cluster, member->info.replaces);
        if (old != NULL && old->version > 0)
            return true;
    }
    return false;
}
