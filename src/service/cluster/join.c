/* Joins, on the side of the cluster.
 *
 * The member that a joiner dialed (the inviter) checks the token and gives its psk to the link,
 * which ends the handshake; the joiner's request goes to the leader, if that is somebody else. The
 * leader consumes the token, allocates x and Raft id and writes the member record, all in one
 * command, and answers with what the joiner needs to be a member. The rest (standby, deal,
 * promotion) is the dealing machine's, from the records.
 *
 * A joiner that lost the answer may ask again with the same token and key: it gets the same answer.
 * Every refusal reaches the joiner with its reason and is a line of the audit log here. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/cluster/invite.h"
#include "store/store.h"
#include "wire/token.h"

/* --- tokens ---------------------------------------------------------------------------------- */

static void audit_refused(struct cluster *cluster, const uint8_t *token_id, const char *from,
                          const char *why)
{
    char token[2 * TOKEN_ID_BYTES + 1];

    hex_encode(token_id, TOKEN_ID_BYTES, token);
    audit_event(cluster->service->audit, "join_refused", "token", token, "from", from, "why", why,
                NULL);
}

void cluster_join_token(void *arg, uint64_t join_id, const uint8_t token_id[16],
                        const char *address)
{
    struct cluster *cluster = arg;
    struct system_token token;
    struct record record;
    struct secret *psk = NULL;
    enum qk_err err = QK_ERR_SEALED;

    if (!cluster->stopped && cluster->booted && cluster->seal.state == SEAL_UNSEALED)
        err = hub_join_token_read(cluster, token_id, &record, &token);
    if (err == QK_OK)
        err = invite_open_psk(cluster->service, token_id, &token, &psk);
    if (err != QK_OK)
        audit_refused(cluster, token_id, address, qk_err_text(err));
    link_join_answer(cluster->service->link, join_id, err, psk);
    secret_free(psk);
}

/* --- answers --------------------------------------------------------------------------------- */

static void slot_answer(struct cluster *cluster, unsigned at, struct peer_message *message)
{
    struct hub_join *slot = &cluster->joins[at];
    struct buf out = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    struct bytes bytes;

    if (!slot->used)
        return;
    slot->used = false;
    if (message->kind == PEER_JOIN_ACCEPT)
        message->as.join_accept.request = slot->remote ? slot->request : 0;
    else
        message->as.join_refuse.request = slot->remote ? slot->request : 0;
    if (slot->remote) {
        hub_send(cluster, slot->node_id, false, message);
        return;
    }
    if (peer_encode(message, &out) == QK_OK && cluster->service->link != NULL) {
        bytes = buf_bytes(&out);
        if (link_join_reply(cluster->service->link, slot->join_id, &bytes, 1) != QK_OK)
            log_info("join", "the joiner went away before its answer: it may ask again");
        link_join_end(cluster->service->link, slot->join_id);
    }
    buf_fini(&out);
}

void hub_join_slot_refuse(struct cluster *cluster, unsigned at, const uint8_t *token_id,
                          enum qk_err err, const char *reason)
{
    struct peer_message *message = calloc(1, sizeof(*message));

    if (token_id != NULL)
        audit_refused(cluster, token_id, cluster->joins[at].remote ? "a member" : "here", reason);
    log_warn("join", "refused: %s", reason);
    if (message == NULL)
        return;
    message->kind = PEER_JOIN_REFUSE;
    message->as.join_refuse.err = (uint8_t)err;
    message->as.join_refuse.reason = bytes_str(reason);
    slot_answer(cluster, at, message);
    free(message);
}

/* Everything that the joiner needs to come back as a member. */
void hub_join_slot_accept(struct cluster *cluster, unsigned at, const struct system_member *info)
{
    struct peer_message *message = calloc(1, sizeof(*message));
    struct peer_join_accept *accept;
    const struct secret *psk = cluster->service->node_sec->cluster_psk;

    if (message == NULL)
        return;
    message->kind = PEER_JOIN_ACCEPT;
    accept = &message->as.join_accept;
    memcpy(accept->cluster_id, cluster->service->cluster_id, CLUSTER_ID_BYTES);
    accept->x = info->x;
    accept->raft_id = info->raft_id;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        struct peer_join_member *told = &accept->members[accept->members_n++];

        memcpy(told->node_id, member->node_id, NODE_ID_BYTES);
        memcpy(told->noise_pk, member->info.noise_pk, sizeof(told->noise_pk));
        told->raft_id = member->info.raft_id;
        told->peer_address = bytes_str(member->info.peer_address);
    }
    accept->psk = bytes_of(secret_borrow(psk), secret_len(psk));
    slot_answer(cluster, at, message);
    secret_return(psk);
    free(message);
}

static int slot_make(struct cluster *cluster)
{
    for (unsigned i = 0; i < HUB_JOINS_MAX; i++)
        if (!cluster->joins[i].used) {
            memset(&cluster->joins[i], 0, sizeof(cluster->joins[i]));
            cluster->joins[i].used = true;
            cluster->joins[i].request = ++cluster->join_requests;
            cluster->joins[i].until_ms = hub_now_ms(cluster) + HUB_JOIN_FORWARD_MS;
            timer_start(cluster->join_timer, HUB_JOIN_FORWARD_MS);
            return (int)i;
        }
    return -1;
}

void hub_join_tick(void *arg)
{
    struct cluster *cluster = arg;
    uint64_t now_ms = hub_now_ms(cluster);
    bool more = false;

    for (unsigned i = 0; i < HUB_JOINS_MAX; i++) {
        if (!cluster->joins[i].used)
            continue;
        if (cluster->joins[i].until_ms <= now_ms)
            hub_join_slot_refuse(cluster, i, NULL, QK_ERR_TIMEOUT,
                                 "the cluster's leader did not answer in time: try again");
        else
            more = true;
    }
    if (more)
        timer_start(cluster->join_timer, 1000);
}

void cluster_join_closed(void *arg, uint64_t join_id)
{
    struct cluster *cluster = arg;

    for (unsigned i = 0; i < HUB_JOINS_MAX; i++)
        if (cluster->joins[i].used && !cluster->joins[i].remote &&
            cluster->joins[i].join_id == join_id)
            cluster->joins[i].used = false;
}

/* --- requests -------------------------------------------------------------------------------- */

static void forward(struct cluster *cluster, unsigned slot, const uint8_t *token_id,
                    const struct peer_join_request *join)
{
    struct peer_message *message = calloc(1, sizeof(*message));
    uint8_t leader[NODE_ID_BYTES];

    if (message == NULL || cluster_leader(cluster, leader) != QK_OK) {
        hub_join_slot_refuse(cluster, slot, token_id, QK_ERR_NOT_LEADER,
                             "the cluster has no leader now: try again");
        free(message);
        return;
    }
    message->kind = PEER_JOIN_FORWARD;
    message->as.join_forward.request = cluster->joins[slot].request;
    memcpy(message->as.join_forward.token_id, token_id, TOKEN_ID_BYTES);
    message->as.join_forward.join = *join;
    hub_send(cluster, leader, false, message);
    free(message);
}

static void joiner_asks(struct cluster *cluster, uint64_t join_id, const uint8_t *pk,
                        const uint8_t *token_id, const struct peer_message *message)
{
    const struct peer_join_request *join = &message->as.join_request;
    int slot;

    if (message->kind != PEER_JOIN_REQUEST ||
        memcmp(join->noise_pk, pk, sizeof(join->noise_pk)) != 0) {
        link_join_end(cluster->service->link, join_id);
        return;
    }
    slot = slot_make(cluster);
    if (slot < 0) {
        link_join_end(cluster->service->link, join_id);
        return;
    }
    cluster->joins[slot].join_id = join_id;
    if (cluster_is_leader(cluster))
        hub_join_admit(cluster, (unsigned)slot, token_id, join);
    else
        forward(cluster, (unsigned)slot, token_id, join);
}

void cluster_join_message(void *arg, uint64_t join_id, const uint8_t pk[32],
                          const uint8_t token_id[16], struct bytes message)
{
    struct cluster *cluster = arg;
    struct peer_message *decoded = malloc(sizeof(*decoded));

    if (decoded == NULL)
        return;
    if (cluster->stopped || !cluster->booted || peer_decode(message, decoded) != QK_OK)
        link_join_end(cluster->service->link, join_id);
    else
        joiner_asks(cluster, join_id, pk, token_id, decoded);
    free(decoded);
}

static void forwarded(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_join_forward *ask)
{
    int slot = slot_make(cluster);

    if (slot < 0)
        return; /* the inviter's own time limit answers */
    cluster->joins[slot].remote = true;
    cluster->joins[slot].request = ask->request;
    memcpy(cluster->joins[slot].node_id, node_id, NODE_ID_BYTES);
    hub_join_admit(cluster, (unsigned)slot, ask->token_id, &ask->join);
}

static void answered(struct cluster *cluster, const struct peer_message *message)
{
    uint32_t request = message->kind == PEER_JOIN_ACCEPT ? message->as.join_accept.request
                                                         : message->as.join_refuse.request;
    struct peer_message *copy = malloc(sizeof(*copy));

    if (copy == NULL)
        return;
    *copy = *message;
    for (unsigned i = 0; i < HUB_JOINS_MAX; i++)
        if (cluster->joins[i].used && !cluster->joins[i].remote &&
            cluster->joins[i].request == request) {
            if (message->kind == PEER_JOIN_REFUSE)
                audit_event(cluster->service->audit, "join_refused", "by", "leader", "why",
                            qk_err_text((enum qk_err)message->as.join_refuse.err), NULL);
            slot_answer(cluster, i, copy);
            break;
        }
    free(copy);
}

void hub_join_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message)
{
    uint8_t leader[NODE_ID_BYTES];

    if (!cluster_is_trusted(cluster, node_id))
        return;
    if (message->kind == PEER_MEMBERS)
        hub_introduce_message(cluster, node_id, &message->as.members);
    else if (message->kind == PEER_JOIN_FORWARD)
        forwarded(cluster, node_id, &message->as.join_forward);
    else if ((message->kind == PEER_JOIN_ACCEPT || message->kind == PEER_JOIN_REFUSE) &&
             cluster_leader(cluster, leader) == QK_OK &&
             memcmp(leader, node_id, NODE_ID_BYTES) == 0)
        answered(cluster, message);
}
