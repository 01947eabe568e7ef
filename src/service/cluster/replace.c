/* A node that takes the place of another: it joins with a token made for that, under a new
 * identity, and the old one leaves (removal.c). The old one's disk was restored from a backup, or
 * is gone, or its machine is to be replaced.
 *
 * The order depends on what the old one is still good for. If it is in good standing, or its vote
 * is needed, as in a cluster of two, it leaves when the new one is a full member. If it is away or
 * below its mark it is none of the majority that each change needs, so it leaves as soon as the
 * others can do without it, and the new one joins then.
 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "service/cluster/hub.h"

bool hub_id_is_set(const uint8_t *node_id)
{
    static const uint8_t none[NODE_ID_BYTES];

    return memcmp(node_id, none, NODE_ID_BYTES) != 0;
}

static const struct hub_member *member_of(const struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].version > 0 &&
            memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &cluster->members[i];
    return NULL;
}

/* Two may have one name, while the one replaces the other: the one in full standing is meant. */
const struct hub_member *hub_replace_find(const struct cluster *cluster, const char *name)
{
    const struct hub_member *found = NULL;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        if (member->version > 0 && strcmp(member->info.name, name) == 0 &&
            (found == NULL || member->info.state == MEMBER_ACTIVE))
            found = member;
    }
    return found;
}

bool hub_is_replaced(const struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].version > 0 &&
            memcmp(cluster->members[i].info.replaces, node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* It stays, is there, and has a part in the deal in use: it can help to open that. */
static bool holds_a_part(const struct cluster *cluster, const struct hub_member *member)
{
    return hub_may_help(cluster, member->node_id) && !hub_is_suspended(cluster, member->node_id) &&
           !hub_is_replaced(cluster, member->node_id) && hub_in_record(cluster, member->node_id);
}

/* Without that member, and those who leave or are replaced already, nothing opens; or fewer would
 * be left than the settings ask for, so that its removal would be refused (removal.c), and a deal
 * that waits for it would wait for ever. */
static bool locks_out(const struct cluster *cluster, const struct hub_member *member)
{
    unsigned stay_n = hub_say_n(cluster, member), holders_n = 0;

    if (cluster->record == NULL)
        return false;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *other = &cluster->members[i];

        if (other->version > 0 && other != member && other->info.state == MEMBER_ACTIVE)
            holders_n += holds_a_part(cluster, other);
    }
    return holders_n < cluster->record->t || holders_n < cluster->info.threshold ||
           holders_n < cluster->info.unseal_quorum ||
           holders_n < hub_unseal_quorum(cluster, stay_n);
}

/* Without that member, are there enough voters to commit anything, and enough who can open? */
static bool is_needed(const struct cluster *cluster, const struct hub_member *member)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t n = consensus_members(cluster->service->consensus, raft, CONSENSUS_MEMBERS_MAX);
    unsigned voters_n = 0, others_n = 0;
    bool votes = false;

    for (size_t i = 0; i < n; i++) {
        const struct hub_member *voter = hub_member_of_raft(cluster, raft[i].id);

        if (!raft[i].voter)
            continue;
        voters_n++;
        if (raft[i].id == member->info.raft_id)
            votes = true;
        else
            others_n += voter != NULL && hub_may_help(cluster, voter->node_id) &&
                        !hub_is_replaced(cluster, voter->node_id);
    }
    return (votes && others_n < voters_n / 2 + 1) || locks_out(cluster, member);
}

bool hub_replace_objection(const struct cluster *cluster, const uint8_t *replaces,
                           const uint8_t *gives_up, char *ret_reason)
{
    const struct hub_member *old = hub_id_is_set(gives_up) ? member_of(cluster, gives_up) : NULL;

    if (old == NULL)
        return false;
    if (memcmp(replaces, gives_up, NODE_ID_BYTES) != 0 && old->info.state != MEMBER_LEAVING) {
        snprintf(ret_reason, CLUSTER_REASON_BYTES,
                 "the directory of that node holds the member %s, and this token does not replace "
                 "it: use one of 'quorumkeep node invite --replace %s'",
                 old->info.name, old->info.name);
        return true;
    }
    if (!is_needed(cluster, old))
        return false;
    snprintf(ret_reason, CLUSTER_REASON_BYTES,
             "without %s too few are there to agree on anything, or to open the cluster: leave it "
             "as it is, and join a node in an empty directory with this token; the old one is then "
             "removed",
             old->info.name);
    return true;
}

/* It cannot help any more: away, or below its mark. */
static bool is_useless(const struct cluster *cluster, const struct hub_member *member)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);

    return !hub_is_self(cluster, member->node_id) &&
           (peer == NULL || !seal_peer_counts(peer, hub_now_ms(cluster)));
}

void hub_replace(struct cluster *cluster)
{
    if (!cluster->booted || cluster->restoring || cluster->service->consensus == NULL ||
        !cluster_is_leader(cluster) ||
        cluster->leader_term != consensus_term(cluster->service->consensus))
        return;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        const struct hub_member *old;

        if (member->version == 0 || !hub_id_is_set(member->info.replaces))
            continue;
        old = member_of(cluster, member->info.replaces);
        if (old == NULL || old->info.state != MEMBER_ACTIVE)
            continue;
        if (member->info.state == MEMBER_ACTIVE ||
            (is_useless(cluster, old) && !is_needed(cluster, old))) {
            hub_removal_begin(cluster, old);
            return;
        }
    }
}
