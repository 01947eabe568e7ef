/* Members that a joiner was not told of, or one that is held.
 *
 * A joiner knows the members that there were when it was accepted. One that joined later may lead
 * by the time the joiner's log begins, and is a stranger to it, so that neither the log nor COLLECT
 * reaches it; the record channel, by which a stranger proves itself otherwise, needs a deal that
 * includes the asker. So the joiner asks the members that it knows, and takes whoever they name as
 * it took those that its inviter named: good for connections and the log, for no release, until
 * the records say it themselves.
 *
 * One that is held or suspended gets no release, and so has no record proven to it, but must hear
 * from the log that it is free again: if it was away while others joined, their leader is a
 * stranger to it, too.
 *
 * Else only as long as it joins: a deal that it stands in is followed by others without it while it
 * is away, but every deal names a full member, which can have a newer one proven. */
#include <stdlib.h>
#include <string.h>

#include "service/cluster/hub.h"

#define INTRODUCE_MS 1000u

bool hub_is_joining(const struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    if (sec == NULL || sec->x == 1 || cluster->restoring)
        return false;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, sec->node_id, NODE_ID_BYTES) == 0)
            return cluster->members[i].version == 0 ||
                   cluster->members[i].info.state == MEMBER_JOINING;
    return true;
}

bool hub_takes_introductions(const struct cluster *cluster)
{
    return hub_is_joining(cluster) || (cluster->seal.state == SEAL_HELD && !cluster->restoring);
}

static bool stranger_is_here(const struct cluster *cluster)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &cluster->seal.peers[i];

        if (peer->used && peer->connected && !peer->known)
            return true;
    }
    return false;
}

void hub_introduce(struct cluster *cluster)
{
    struct peer_message *message;
    uint64_t now_ms = hub_now_ms(cluster);

    if (cluster->stopped || !cluster->booted || now_ms < cluster->introduce_next_ms ||
        !hub_takes_introductions(cluster) || !stranger_is_here(cluster))
        return;
    message = calloc(1, sizeof(*message));
    if (message == NULL)
        return;
    cluster->introduce_next_ms = now_ms + INTRODUCE_MS;
    message->kind = PEER_MEMBERS;
    message->as.members.ask = true;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].known)
            hub_send(cluster, cluster->members[i].node_id, false, message);
    free(message);
}

/* What this node's own log names, and nothing if the log has not named itself yet. */
static void answer(struct cluster *cluster, const uint8_t *node_id)
{
    const struct hub_member *self = hub_member_find(cluster, cluster->service->node_id);
    struct peer_message *message;
    struct peer_members *members;

    if (self == NULL || self->version == 0)
        return;
    message = calloc(1, sizeof(*message));
    if (message == NULL)
        return;
    message->kind = PEER_MEMBERS;
    members = &message->as.members;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        struct peer_join_member *told = &members->members[members->members_n];

        if (member->version == 0 || member->info.state == MEMBER_LEAVING)
            continue;
        memcpy(told->node_id, member->node_id, NODE_ID_BYTES);
        memcpy(told->noise_pk, member->info.noise_pk, sizeof(told->noise_pk));
        told->raft_id = member->info.raft_id;
        told->peer_address = bytes_str(member->info.peer_address);
        members->members_n++;
    }
    hub_send(cluster, node_id, false, message);
    free(message);
}

void hub_introduce_message(struct cluster *cluster, const uint8_t *node_id,
                           const struct peer_members *message)
{
    if (message->ask) {
        answer(cluster, node_id);
        return;
    }
    if (!hub_takes_introductions(cluster) || !stranger_is_here(cluster))
        return;
    hub_members_introduced(cluster, message->members, message->members_n);
    hub_members_publish(cluster);
}
