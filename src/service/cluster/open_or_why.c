/* Whether documents may be served and, if not, why, in words for people. */
#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "consensus/consensus.h"
#include "link/link.h"
#include "service/cluster/hub.h"

bool service_is_open(const struct service *service)
{
    const struct cluster *cluster = service->cluster;

    return cluster != NULL && !cluster->stopped && cluster->seal.state == SEAL_UNSEALED &&
           service->keyring != NULL && service->catalog != NULL && hub_is_durable(cluster);
}

bool service_is_read_only(const struct service *service)
{
    const struct consensus *consensus = service->consensus;

    return service_is_open(service) && consensus != NULL &&
           !consensus_has_majority_contact(consensus);
}

bool hub_is_self(const struct cluster *cluster, const uint8_t *node_id)
{
    return memcmp(cluster->service->node_id, node_id, NODE_ID_BYTES) == 0;
}

bool hub_is_live(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    return hub_is_self(cluster, node_id) ||
           (peer != NULL && seal_peer_live(peer, hub_now_ms(cluster)));
}

bool hub_may_help(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    return hub_is_self(cluster, node_id) ||
           (peer != NULL && seal_peer_counts(peer, hub_now_ms(cluster)));
}

uint64_t hub_seen_ms(const struct cluster *cluster, const uint8_t *node_id)
{
    return cluster->service->link != NULL ? link_seen_ms(cluster->service->link, node_id)
                                          : UINT64_MAX;
}

__attribute__((format(printf, 2, 3))) static void add(struct buf *out, const char *format, ...)
{
    char text[256];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    buf_put_str(out, text);
}

static bool in_deal(const struct cluster *cluster, const uint8_t *node_id)
{
    size_t i;

    return cluster->record == NULL || deal_record_find(cluster->record, node_id, &i) == QK_OK;
}

static void add_missing(const struct cluster *cluster, struct buf *out)
{
    unsigned missing = seal_shares_missing(&cluster->seal);
    bool first = true;

    add(out, "waiting for %u more node%s", missing, missing == 1 ? "" : "s");
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);
        bool below = peer != NULL && peer->connected && peer->below != WATERMARK_GOOD;
        char name[NODE_NAME_BYTES_MAX + 1];
        uint64_t ms;

        if (hub_is_self(cluster, member->node_id) ||
            (hub_is_live(cluster, member->node_id) && !below) || !in_deal(cluster, member->node_id))
            continue;
        ms = hub_seen_ms(cluster, member->node_id);
        hub_node_text(cluster, member->node_id, name, sizeof(name));
        if (below)
            add(out, "%s%s (refused: its disk is older than what this node remembers)",
                first ? ": " : ", ", name);
        else if (ms == UINT64_MAX)
            add(out, "%s%s (never)", first ? ": " : ", ", name);
        else
            add(out, "%s%s (last seen %" PRIu64 " s ago)", first ? ": " : ", ", name, ms / 1000);
        first = false;
    }
}

/* Enough members are there, but they do not release. True if that is so. */
static bool add_denials(const struct cluster *cluster, struct buf *out)
{
    bool some = false;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &cluster->seal.peers[i];
        char name[NODE_NAME_BYTES_MAX + 1];

        if (!peer->used || !peer->connected || peer->denied == RELEASE_ALLOWED)
            continue;
        hub_node_text(cluster, peer->node_id, name, sizeof(name));
        add(out, "%s%s does not release: %s", some ? "; " : "", name,
            release_rule_text(peer->denied));
        some = true;
    }
    return some;
}

static bool add_rolled_back(const struct cluster *cluster, struct buf *out)
{
    struct buf names = BUF_INIT(256);
    bool some = hub_is_rolled_back(cluster, &names);

    if (some) {
        add(out, "ROLLED_BACK: this node's disk is older than what ");
        buf_put_bytes(out, buf_bytes(&names));
        add(out,
            " remember%s of it: it has to come back as a new node, by 'quorumkeep node rejoin "
            "--wipe' with a token of 'quorumkeep node invite --replace'",
            memchr(names.data, ',', names.len) != NULL ? "" : "s");
    }
    buf_fini(&names);
    return some;
}

static bool names_self(const struct cluster *cluster)
{
    size_t i;

    return cluster->record != NULL &&
           deal_record_find(cluster->record, cluster->service->node_id, &i) == QK_OK;
}

/* A peer that knows a newer deal, and this node not at all: one that were merely behind would know
 * an older one. A joiner whom no deal includes yet was never a member: its record may be on the
 * way. */
static bool disowns(const struct cluster *cluster, const struct seal_peer *peer)
{
    return !hub_is_joining(cluster) && peer->used && peer->connected && peer->greeted &&
           peer->hello.by_record && peer->hello.epoch > cluster->seal.deal.epoch;
}

bool hub_is_removed(const struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (hub_is_self(cluster, cluster->members[i].node_id) &&
            cluster->members[i].info.state == MEMBER_LEAVING && cluster->record != NULL &&
            !names_self(cluster))
            return true;
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (disowns(cluster, &cluster->seal.peers[i]))
            return true;
    return false;
}

static void add_removed(const struct cluster *cluster, struct buf *out)
{
    bool first = true;

    add(out, "removed from the cluster");
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &cluster->seal.peers[i];
        char name[NODE_NAME_BYTES_MAX + 1];

        if (!disowns(cluster, peer))
            continue;
        hub_node_text(cluster, peer->node_id, name, sizeof(name));
        add(out, "%s%s", first ? " (so say " : ", ", name);
        first = false;
    }
    add(out,
        "%s: stop this node and empty its data directory; 'quorumkeep node join' makes it a "
        "new member",
        first ? "" : ")");
}

static void add_sealed(const struct cluster *cluster, struct buf *out)
{
    if (add_rolled_back(cluster, out))
        return;
    if (hub_is_removed(cluster))
        add_removed(cluster, out);
    else if (cluster->seal.deal.epoch == 0 && cluster->recovery_version > 0 &&
             cluster->service->node_sec->x == 1)
        add(out,
            "sealed, and no second node has joined yet: 'quorumkeep unseal --recovery' opens it "
            "with "
            "%u recovery shares",
            cluster->recovery.t);
    else if (cluster->seal.closed)
        add(out, "sealed by an operator: 'quorumkeep unseal --data DIR' on that node, or a "
                 "restart, opens it again");
    else if (cluster->seal.deal.epoch == 0)
        add(out, "joining: waiting for the cluster's log and a share");
    else if (seal_shares_missing(&cluster->seal) > 0)
        add_missing(cluster, out);
    else if (!add_denials(cluster, out))
        add(out, "unsealing: exchanging shares");
}

/* Who is removed while it is suspended or on hold is not let in again by an end of that. */
static void add_held(const struct cluster *cluster, struct buf *out)
{
    if (hub_is_removed(cluster))
        add_removed(cluster, out);
    else if (cluster->control.hold)
        add(out, "the cluster is on hold: 'quorumkeep unhold' with the operator key lifts it");
    else if (hub_is_suspended(cluster, cluster->service->node_id))
        add(out,
            "this node is suspended: 'quorumkeep node resume %s' at another member lets it "
            "open again",
            cluster->service->node_name);
    else
        add(out, "a hold may be in force: waiting for a majority of the members to settle it");
}

void service_closed_reason(const struct service *service, char *ret_text, unsigned long len)
{
    const struct cluster *cluster = service->cluster;
    struct buf out = BUF_INIT(len > 0 ? len - 1 : 0);

    assert(len > 0);
    ret_text[0] = '\0';
    if (cluster == NULL || cluster->stopped)
        add(&out, "the node is stopping");
    else if (service->node_sec == NULL || cluster->discarding)
        add(&out,
            "uninitialised: 'quorumkeep init' makes a cluster, 'quorumkeep node join' joins one");
    else if (cluster->restoring)
        buf_put_str(&out, cluster->restore_text);
    else if (cluster->seal.state == SEAL_HELD)
        add_held(cluster, &out);
    else if (cluster->seal.state == SEAL_SEALING)
        add(&out, "sealing");
    else if (cluster->seal.state != SEAL_UNSEALED)
        add_sealed(cluster, &out);
    else if (!hub_is_durable(cluster))
        add(&out, "waiting for a second node: 'quorumkeep node invite' here, then 'quorumkeep node "
                  "join' there");
    else if (service->keyring == NULL || service->catalog == NULL)
        add(&out, "unsealing: opening the catalog");
    else
        add(&out, "open");
    memcpy(ret_text, out.data != NULL ? (const char *)out.data : "", out.len);
    ret_text[out.len] = '\0';
    buf_fini(&out);
}
