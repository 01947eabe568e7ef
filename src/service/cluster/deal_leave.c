/* What the leader's dealing machine must know of removals, rotation and refresh, all of it from the
 * replicated records and from who is connected, and the last two steps of a removal. */
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"

/* Leaders whose clocks disagree by more than the interval would refresh at each change of
 * leadership; one process does it this often at the most. */
#define REFRESH_AGAIN_MS (3600u * 1000)

static bool is_stale(const struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->deal_info.stale_n; i++)
        if (memcmp(cluster->deal_info.stale[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* The leader's own clock decides: docs/design.md, Sharing and the deal. */
static bool refresh_is_due(const struct cluster *cluster)
{
    if (!cluster->has_settings || (cluster->refreshed_ms != 0 &&
                                   hub_now_ms(cluster) - cluster->refreshed_ms < REFRESH_AGAIN_MS))
        return false;
    return dealing_refresh_due((uint64_t)time(NULL), cluster->deal_info.created_s,
                               cluster->info.refresh_s);
}

static unsigned staying_n(const struct dealing_facts *facts, bool online)
{
    unsigned n = 0;

    for (unsigned i = 0; i < facts->members_n; i++)
        n += facts->members[i].role == DEALING_MEMBER && (!online || facts->members[i].online);
    return n;
}

/* The setting, as far as there are members for it. */
static unsigned threshold_wish(const struct cluster *cluster, unsigned members_n)
{
    unsigned t = cluster->has_settings ? cluster->info.threshold : cluster->settings.threshold;

    return t < members_n ? t : members_n;
}

/* A threshold is raised only while as many are there as it asks for. */
static bool threshold_is_due(const struct cluster *cluster, const struct dealing_facts *facts)
{
    unsigned wish = threshold_wish(cluster, staying_n(facts, false));

    if (wish < 2 || wish == cluster->record->t)
        return false;
    return wish < cluster->record->t || staying_n(facts, true) >= wish;
}

void hub_leave_facts(const struct cluster *cluster, struct dealing_facts *facts)
{
    unsigned staying = staying_n(facts, false);
    unsigned say_n = hub_say_n(cluster, NULL);
    unsigned quorum = hub_unseal_quorum(cluster, say_n > staying ? say_n : staying);

    facts->removal = cluster->removal_version > 0;
    facts->fresh_min = threshold_wish(cluster, staying);
    if (facts->dealt && facts->fresh_min > cluster->record->t &&
        staying_n(facts, true) < facts->fresh_min)
        facts->fresh_min = (unsigned)cluster->record->t; /* it is not raised by that deal */
    if (facts->fresh_min < quorum)
        facts->fresh_min = quorum;
    if (facts->fresh_min < 2)
        facts->fresh_min = 2;
    if (!facts->dealt)
        return;
    for (unsigned i = 0; i < facts->members_n; i++)
        facts->members[i].stale =
            facts->members[i].in_deal && is_stale(cluster, facts->members[i].node_id);
    facts->wanted = cluster->record->epoch <= cluster->wanted.refresh_epoch ||
                    refresh_is_due(cluster) || threshold_is_due(cluster, facts);
    facts->rotate = cluster->record->mk_version <= cluster->wanted.rotate_mk;
}

/* --- the last steps of a removal ------------------------------------------------------------- */

/* Only while the deal that leaves it out is final and in force. */
static void put_conditions(struct cluster *cluster, struct wire_command *command)
{
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct record_key final = record_system(RECORD_SYS, RECORD_DEAL_FINAL);

    wire_command_cond(command, record_key_bytes(&deal), cluster->deal_version);
    wire_command_cond(command, record_key_bytes(&final), cluster->final_version);
}

void hub_leave_forget(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct record_key key = record_member(effect->node_id);
    const struct hub_member *member = hub_member_find(cluster, effect->node_id);
    struct wire_command command;

    if (member == NULL || member->version == 0) {
        hub_deal_failed(cluster, effect->ticket, QK_ERR_NOT_FOUND);
        return;
    }
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    put_conditions(cluster, &command);
    wire_command_cond(&command, record_key_bytes(&key), member->version);
    wire_command_delete(&command, record_key_bytes(&key));
    hub_deal_propose(cluster, effect->ticket, &command);
    wire_command_fini(&command);
}

void hub_leave_end(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_REMOVAL);
    struct wire_command command;

    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    put_conditions(cluster, &command);
    wire_command_cond(&command, record_key_bytes(&key), cluster->removal_version);
    wire_command_delete(&command, record_key_bytes(&key));
    hub_deal_propose(cluster, effect->ticket, &command);
    wire_command_fini(&command);
}

/* --- what is told ---------------------------------------------------------------------------- */

void hub_leave_changed(struct cluster *cluster, const struct system_removal *before)
{
    for (unsigned i = 0; i < cluster->removal.n; i++) {
        bool known = false;

        for (unsigned k = 0; k < before->n; k++)
            known = known || memcmp(before->list[k].node_id, cluster->removal.list[i].node_id,
                                    NODE_ID_BYTES) == 0;
        if (!known)
            log_info("removal", "%s is being removed", cluster->removal.list[i].name);
    }
    for (unsigned i = 0; i < before->n && cluster->removal.n == 0; i++) {
        audit_event(cluster->service->audit, "removal_done", "name", before->list[i].name, NULL);
        log_info("removal", "%s is removed: what is on its disk opens nothing any more",
                 before->list[i].name);
    }
}

void hub_leave_note(struct cluster *cluster)
{
    if (cluster->removed || cluster->seal.state == SEAL_UNSEALED || !hub_is_removed(cluster))
        return;
    cluster->removed = true;
    log_warn("removal", "this node was removed from the cluster: its peers know it no more");
    audit_event(cluster->service->audit, "removed", "why", "its peers know it no more", NULL);
}

void hub_leave_figures(const struct cluster *cluster, struct cluster_figures *figures)
{
    uint64_t now_s = (uint64_t)time(NULL), made_s = cluster->deal_info.created_s;

    figures->removals_n = cluster->removal.n;
    figures->stale_n = cluster->deal_info.stale_n;
    figures->deal_pending = cluster->record != NULL && !hub_is_final(cluster);
    figures->mk_version = cluster->record != NULL ? cluster->record->mk_version : 0;
    figures->deal_age_s = made_s != 0 && now_s > made_s ? now_s - made_s : 0;
}

bool cluster_is_trusted(const struct cluster *cluster, const uint8_t node_id[static NODE_ID_BYTES])
{
    if (hub_is_suspended(cluster, node_id))
        return false;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return cluster->members[i].info.state != MEMBER_LEAVING;
    return false;
}
