/* What link and consensus bring to the hub, and what leadership entails. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity.h"
#include "wire/token.h"

/* --- what comes from below ------------------------------------------------------------------- */

static void link_event(struct cluster *cluster, enum seal_event_kind kind, const uint8_t *node_id,
                       bool known)
{
    struct seal_event event = {.kind = kind, .known = known};
    struct hub_member *member = hub_member_find(cluster, node_id);

    if (cluster->stopped || !cluster->booted)
        return;
    memcpy(event.node_id, node_id, NODE_ID_BYTES);
    if (member != NULL && kind != SEAL_EV_CLONE)
        member->known = kind == SEAL_EV_LINK_UP && known;
    hub_seal(cluster, &event);
    hub_deal(cluster, DEALING_EV_FACTS);
}

void cluster_link_up(void *arg, const uint8_t node_id[NODE_ID_BYTES], bool known)
{
    link_event(arg, SEAL_EV_LINK_UP, node_id, known);
    hub_introduce(arg);
}

void cluster_link_down(void *arg, const uint8_t node_id[NODE_ID_BYTES])
{
    hub_marks_lost(arg, node_id);
    link_event(arg, SEAL_EV_LINK_DOWN, node_id, false);
}

void cluster_link_clone(void *arg, const uint8_t node_id[NODE_ID_BYTES], const char *first,
                        const char *second)
{
    hub_clone_heard(arg, node_id, first, second);
    link_event(arg, SEAL_EV_CLONE, node_id, true);
}

void cluster_link_refused(void *arg, const char *address, const uint8_t *token_id, enum qk_err err)
{
    struct cluster *cluster = arg;
    char token[2 * TOKEN_ID_BYTES + 1] = "";

    if (token_id != NULL)
        hex_encode(token_id, TOKEN_ID_BYTES, token);
    audit_event(cluster->service->audit, token_id != NULL ? "join_refused" : "link_refused",
                "address", address, "token", token_id != NULL ? token : NULL, "why",
                qk_err_text(err), NULL);
}

void cluster_link_not_allowed(void *arg, const char *address, uint64_t n)
{
    struct cluster *cluster = arg;
    char count[24];

    snprintf(count, sizeof(count), "%" PRIu64, n);
    audit_event(cluster->service->audit, "link_not_allowed", "address", address, "count", count,
                NULL);
    log_warn("link",
             "%s connections from addresses outside of [peer] allow were closed, the last from %s",
             count, address);
}

void cluster_link_message(void *arg, const uint8_t node_id[NODE_ID_BYTES], struct bytes message)
{
    struct cluster *cluster = arg;
    struct peer_message *decoded;

    if (cluster->stopped || !cluster->booted)
        return;
    decoded = malloc(sizeof(*decoded)); /* a JOIN_ACCEPT is some kilobytes */
    if (decoded == NULL)
        return;
    if (peer_decode(message, decoded) != QK_OK)
        log_debug("cluster", "a malformed message was dropped");
    else if (decoded->kind <= PEER_RECORD)
        hub_seal_message(cluster, node_id, decoded);
    else if (decoded->kind <= PEER_ACK) {
        if (!cluster->restoring)
            hub_deal_message(cluster, node_id, decoded);
    } else if (decoded->kind == PEER_SEAL_ALL || decoded->kind == PEER_SEALED)
        hub_order_message(cluster, node_id, decoded);
    else if (decoded->kind >= PEER_SUMS_WANT)
        integrity_message(cluster->service->integrity, node_id, decoded);
    else
        hub_join_message(cluster, node_id, decoded);
    secret_wipe(decoded, sizeof(*decoded));
    free(decoded);
}

/* A founder alone, restarted after a first deal that never came to be, becomes uninitialised. */
static void check_void(struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    if (cluster->discard_checked || cluster->founder || cluster->restoring || sec == NULL ||
        sec->x != 1 || cluster->seal.state == SEAL_UNSEALED)
        return;
    cluster->discard_checked = true;
    hub_refresh(cluster);
    if (cluster->deal_version == 0 && cluster->final_version == 0 && cluster->record == NULL &&
        cluster->recovery_version == 0)
        hub_discard(cluster, HUB_NO_DEAL);
}

static void leader_ready(void *arg, enum qk_err err, uint64_t index)
{
    struct cluster *cluster = arg;

    (void)index;
    cluster->reading = false;
    if (cluster->stopped || !cluster->booted || cluster->service->consensus == NULL)
        return;
    if (err == QK_OK && consensus_role(cluster->service->consensus) == CONSENSUS_LEADER) {
        cluster->leader_term = consensus_term(cluster->service->consensus);
        check_void(cluster);
    }
    if (cluster->booted)
        cluster_consensus_changed(cluster);
}

static void transferred(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;

    cluster->transferring = false;
    if (err != QK_OK && err != QK_ERR_CLOSED)
        log_debug("cluster", "leadership was not handed on: %s", qk_err_text(err));
}

/* Sealed, or leaving and open with a master key that a newer deal has replaced: the order came
 * while that deal was being made, and nobody gives it a share of it. */
bool hub_cannot_lead(const struct cluster *cluster)
{
    if (cluster->seal.state != SEAL_UNSEALED)
        return true;
    if (cluster->record == NULL || cluster->seal.mk_version == 0 ||
        cluster->record->mk_version <= cluster->seal.mk_version)
        return false;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (hub_is_self(cluster, cluster->members[i].node_id))
            return cluster->members[i].info.state == MEMBER_LEAVING;
    return true;
}

/* A leader that holds no keys in force can evaluate no write: an unsealed voter takes over. */
void hub_hand_on(struct cluster *cluster)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t n = consensus_members(cluster->service->consensus, raft, CONSENSUS_MEMBERS_MAX);
    uint64_t now_ms = hub_now_ms(cluster);

    if (!hub_cannot_lead(cluster) || cluster->seal.state == SEAL_UNINITIALISED ||
        cluster->transferring || now_ms < cluster->transfer_next_ms)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct hub_member *member = hub_member_of_raft(cluster, raft[i].id);
        const struct seal_peer *peer =
            member != NULL ? seal_peer_find(&cluster->seal, member->node_id) : NULL;

        if (!raft[i].voter || peer == NULL || !seal_peer_live(peer, now_ms) ||
            peer->hello.state != SEAL_UNSEALED)
            continue;
        cluster->transfer_next_ms = now_ms + HUB_TRANSFER_MS;
        if (consensus_transfer(cluster->service->consensus, raft[i].id, transferred, cluster) ==
            QK_OK)
            cluster->transferring = true;
        return;
    }
}

void cluster_consensus_changed(void *arg)
{
    struct cluster *cluster = arg;
    struct consensus *consensus = cluster->service->consensus;

    if (cluster->stopped || !cluster->booted || consensus == NULL)
        return;
    if (consensus_role(consensus) == CONSENSUS_LEADER) {
        if (cluster->leader_term != consensus_term(consensus) && !cluster->reading)
            cluster->reading =
                consensus_read(consensus, HUB_READ_MS, leader_ready, cluster) == QK_OK;
        hub_hand_on(cluster);
    }
    hub_refresh_soon(cluster);
}
