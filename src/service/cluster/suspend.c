/* `node suspend` and `node resume`: what an operator does with a node that may be stolen, until he
 * knows. From the moment a member has applied it, it releases nothing to that node, counts it
 * towards no unseal quorum, serves no request that it forwards and heeds no order of it. The node
 * itself, if it is honest, learns of it from the log, wipes its keys and stays closed. It goes on
 * to replicate ciphertext and to vote. */
#include <string.h>

#include "base/log.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/control_write.h"
#include "service/cluster/hub.h"

static const struct hub_member *member_named(const struct cluster *cluster, struct bytes name)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].version > 0 &&
            bytes_equal(bytes_str(cluster->members[i].info.name), name))
            return &cluster->members[i];
    return NULL;
}

/* Members of the deal that could still open one another. */
static unsigned free_members(const struct cluster *cluster, const struct system_control *control)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        if (member->version > 0 && member->info.state == MEMBER_ACTIVE &&
            !system_is_suspended(control, member->node_id) &&
            hub_in_record(cluster, member->node_id))
            n++;
    }
    return n;
}

static unsigned needed_members(const struct cluster *cluster)
{
    unsigned quorum = hub_unseal_quorum(cluster, hub_say_n(cluster, NULL));
    unsigned threshold = cluster->record != NULL ? (unsigned)cluster->record->t : 2;

    return quorum > threshold ? quorum : threshold;
}

static void suspend(struct system_control *control, const uint8_t *node_id)
{
    if (system_is_suspended(control, node_id) || control->suspended_n == NODES_MAX)
        return;
    memcpy(control->suspended[control->suspended_n++], node_id, NODE_ID_BYTES);
}

/* Ids of members that are gone go with it. */
static void resume(const struct cluster *cluster, struct system_control *control,
                   const uint8_t *node_id)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < control->suspended_n; i++)
        if (memcmp(control->suspended[i], node_id, NODE_ID_BYTES) != 0 &&
            cluster_is_member(cluster, control->suspended[i])) {
            memmove(control->suspended[kept], control->suspended[i], NODE_ID_BYTES);
            kept++;
        }
    control->suspended_n = kept;
}

static bool suspend_allowed(struct cluster *cluster, struct exchange *exchange,
                            const struct system_control *next, const char *name)
{
    unsigned left = free_members(cluster, next), needed = needed_members(cluster);

    if (left >= needed)
        return true;
    exchange_reply_error(exchange, 409, "conflict",
                         "without '%s' %u member%s would be left that may open, and %u are needed: "
                         "after a restart nothing would. To close everything: 'quorumkeep seal "
                         "--hold'",
                         name, left, left == 1 ? "" : "s", needed);
    return false;
}

static void change(struct service *service, struct exchange *exchange, bool suspended)
{
    struct cluster *cluster = service->cluster;
    struct bytes name = exchange->request.segments[2];
    const struct hub_member *member;
    struct system_control next;
    json_t *reply;

    if (!control_ready(cluster, exchange))
        return;
    member = member_named(cluster, name);
    if (member == NULL) {
        exchange_reply_error(exchange, 404, "not_found",
                             "no member has that name: see "
                             "'quorumkeep node list'");
        return;
    }
    next = cluster->control;
    if (suspended)
        suspend(&next, member->node_id);
    else
        resume(cluster, &next, member->node_id);
    reply = json_pack("{s:s, s:b, s:b}", "name", member->info.name, "suspended", suspended,
                      "changed", suspended != hub_is_suspended(cluster, member->node_id));
    if (suspended == hub_is_suspended(cluster, member->node_id)) {
        exchange_reply_json(exchange, 200, reply);
        return;
    }
    if (suspended && !suspend_allowed(cluster, exchange, &next, member->info.name)) {
        json_decref(reply);
        return;
    }
    control_write(cluster, exchange, &next, reply, suspended ? "suspend" : "resume",
                  member->info.name);
}

void handle_node_suspend(struct service *service, struct exchange *exchange)
{
    change(service, exchange, true);
}

void handle_node_resume(struct service *service, struct exchange *exchange)
{
    change(service, exchange, false);
}
