/* `node join`, on the node that joins.
 *
 * Happy path: the token names cluster, inviter and psk; a new identity is made; the inviter is
 * dialed and asked; its answer (x, Raft id, psk, members) goes into node.sec; store, log and link
 * open under the new id; then the cluster does the rest, and each step that arrives in this node's
 * own records is a line of the reply: the member record, the deal, unsealed, a full member.
 *
 * Before the answer nothing is on the disk, so a refusal leaves the node uninitialised. After it,
 * the node is a joining member whatever becomes of the request: it goes on by itself, also after a
 * restart. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "doc/json.h"
#include "link/link.h"
#include "service/audit.h"
#include "service/cluster_handlers.h"
#include "service/hub.h"
#include "wire/token.h"

enum joiner_step { JOINER_ASKING, JOINER_STARTED, JOINER_RECORDED, JOINER_DEALT, JOINER_UNSEALED };

struct joiner {
    struct cluster *cluster;
    struct exchange *exchange;
    struct link_join *link;
    enum joiner_step step;
    bool ending; /* link_join_close is under way */
    struct secret *identity;
    struct secret *psk; /* the token's */
    uint8_t pk[X25519_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* of the token */
    uint8_t token_id[TOKEN_ID_BYTES];
};

/* --- telling --------------------------------------------------------------------------------- */

static void tell(struct joiner *joiner, json_t *line)
{
    struct buf text = BUF_INIT(4 * KIB);

    if (line != NULL && json_write(line, &text) == QK_OK) {
        buf_put_u8(&text, '\n');
        if (!joiner->exchange->started)
            exchange_start(joiner->exchange, 200, "application/json");
        exchange_write(joiner->exchange, buf_bytes(&text));
    }
    json_decref(line);
    buf_fini(&text);
}

static void tell_step(struct joiner *joiner, const char *step, const char *text)
{
    log_info("join", "%s", text);
    tell(joiner, json_pack("{s:s, s:s}", "step", step, "text", text));
}

static void joiner_gone(void *arg)
{
    struct joiner *joiner = arg;

    secret_free(joiner->identity);
    secret_free(joiner->psk);
    free(joiner);
}

/* The reply has been ended; what is left goes when the link's join is closed. */
static void joiner_end(struct joiner *joiner)
{
    joiner->cluster->joiner = NULL;
    exchange_end(joiner->exchange);
    joiner->exchange = NULL;
    if (joiner->link != NULL && !joiner->ending) {
        joiner->ending = true;
        link_join_close(joiner->link, joiner_gone, joiner);
    } else if (joiner->link == NULL)
        joiner_gone(joiner);
}

static void joiner_fail(struct joiner *joiner, const char *error, const char *reason)
{
    log_warn("join", "not joined: %s", reason);
    audit_event(joiner->cluster->service->audit, "join_failed", "why", reason, NULL);
    tell(joiner, json_pack("{s:s, s:s}", "error", error, "reason", reason));
    joiner_end(joiner);
}

/* The words of CLI and reply for a refusal. */
static const char *word_of(enum qk_err err)
{
    switch ((int)err) {
    case QK_ERR_NOT_FOUND:
    case QK_ERR_EXISTS:
    case QK_ERR_DENIED:
        return "denied";
    case QK_ERR_EXPIRED:
        return "expired";
    case QK_ERR_FOREIGN:
        return "foreign";
    case QK_ERR_CONFLICT:
        return "conflict";
    case QK_ERR_INVALID:
        return "bad_request";
    case QK_ERR_SEALED:
        return "sealed";
    default:
        return "unavailable";
    }
}

static const char *reason_of(enum qk_err err)
{
    switch ((int)err) {
    case QK_ERR_NOT_FOUND:
        return "the cluster knows no such token: make one with 'quorumkeep node invite'";
    case QK_ERR_EXPIRED:
        return "the token has expired: make another with 'quorumkeep node invite'";
    case QK_ERR_EXISTS:
        return "the token was used already: make another with 'quorumkeep node invite'";
    case QK_ERR_DENIED:
        return "the cluster does not accept this token: make another with 'quorumkeep node invite'";
    case QK_ERR_FOREIGN:
        return "who answers at the token's address is not the node that made it";
    case QK_ERR_SEALED:
        return "the node that made the token is sealed: try again when it is open";
    case QK_ERR_IO:
        return "no address of the token could be reached: is that node running?";
    case QK_ERR_TIMEOUT:
        return "the node that made the token did not answer in time";
    case QK_ERR_CLOSED:
        return "the connection ended before the answer: try again with the same token";
    default:
        return qk_err_text(err);
    }
}

/* --- the answer ------------------------------------------------------------------------------ */

static enum qk_err identity_write(struct joiner *joiner, const struct peer_join_accept *accept,
                                  char *ret_reason)
{
    struct service *service = joiner->cluster->service;
    char path[sizeof(service->data_dir) + 16];
    struct secret *psk = NULL;
    enum qk_err err = secret_new_copy(accept->psk.data, accept->psk.len, &psk);

    snprintf(path, sizeof(path), "%s/node.sec", service->data_dir);
    if (err == QK_OK)
        err = node_sec_create(path, accept->cluster_id, joiner->node_id, accept->raft_id, accept->x,
                              joiner->identity, psk, &service->node_sec);
    secret_free(psk);
    if (err != QK_OK)
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "'%.200s' could not be made: %s", path,
                 qk_err_text(err));
    return err;
}

static void on_accept(struct joiner *joiner, const struct peer_join_accept *accept)
{
    struct cluster *cluster = joiner->cluster;
    char reason[CLUSTER_REASON_BYTES] = "";
    enum qk_err err;

    if (memcmp(accept->cluster_id, joiner->cluster_id, CLUSTER_ID_BYTES) != 0) {
        joiner_fail(joiner, "foreign", reason_of(QK_ERR_FOREIGN));
        return;
    }
    err = identity_write(joiner, accept, reason);
    if (err != QK_OK) {
        joiner_fail(joiner, "unavailable", reason);
        return;
    }
    err = hub_start_member(cluster, false, reason);
    if (err != QK_OK) {
        joiner_fail(joiner, "unavailable", reason);
        hub_discard(cluster);
        return;
    }
    hub_members_provisional(cluster, accept);
    hub_members_publish(cluster);
    joiner->step = JOINER_STARTED;
    tell_step(joiner, "accepted", "the token is good: this node is a joining member");
}

static void join_message(void *arg, struct bytes message)
{
    struct joiner *joiner = arg;
    struct peer_message *decoded = malloc(sizeof(*decoded));
    char reason[PEER_REASON_BYTES_MAX + 1];

    if (decoded == NULL || joiner->step != JOINER_ASKING || joiner->ending) {
        free(decoded);
        return;
    }
    if (peer_decode(message, decoded) != QK_OK)
        joiner_fail(joiner, "unavailable", "the answer could not be understood");
    else if (decoded->kind == PEER_JOIN_ACCEPT)
        on_accept(joiner, &decoded->as.join_accept);
    else if (decoded->kind == PEER_JOIN_REFUSE) {
        struct bytes text = decoded->as.join_refuse.reason;

        memcpy(reason, text.data, text.len);
        reason[text.len] = '\0';
        joiner_fail(joiner, word_of((enum qk_err)decoded->as.join_refuse.err), reason);
    }
    secret_wipe(decoded, sizeof(*decoded));
    free(decoded);
}

static void join_up(void *arg)
{
    struct joiner *joiner = arg;
    const struct service *service = joiner->cluster->service;
    struct peer_message *message = calloc(1, sizeof(*message));
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_join_request *join;
    struct bytes bytes;
    enum qk_err err = QK_ERR_NOMEM;

    if (message != NULL) {
        message->kind = PEER_JOIN_REQUEST;
        join = &message->as.join_request;
        memcpy(join->node_id, joiner->node_id, NODE_ID_BYTES);
        memcpy(join->noise_pk, joiner->pk, sizeof(join->noise_pk));
        join->name = bytes_str(service->node_name);
        join->peer_address = bytes_str(service->peer_address);
        join->client_address = bytes_str(service->client_address);
        join->version = PEER_VERSION;
        err = peer_encode(message, &out);
    }
    if (err == QK_OK) {
        bytes = buf_bytes(&out);
        err = link_join_send(joiner->link, &bytes, 1);
    }
    free(message);
    buf_fini(&out);
    if (err != QK_OK)
        joiner_fail(joiner, word_of(err), reason_of(err));
}

static void join_ended(void *arg, enum qk_err err)
{
    struct joiner *joiner = arg;

    /* After the answer the inviter closes: that is no failure. */
    if (joiner->step == JOINER_ASKING && !joiner->ending)
        joiner_fail(joiner, word_of(err), reason_of(err));
}

/* --- the rest of the way --------------------------------------------------------------------- */

static void joiner_done(struct joiner *joiner)
{
    char cluster_id[2 * CLUSTER_ID_BYTES + 1], node_id[2 * NODE_ID_BYTES + 1];

    hex_encode(joiner->cluster->service->cluster_id, CLUSTER_ID_BYTES, cluster_id);
    hex_encode(joiner->cluster->service->node_id, NODE_ID_BYTES, node_id);
    audit_event(joiner->cluster->service->audit, "joined", "cluster", cluster_id, NULL);
    tell(joiner,
         json_pack("{s:b, s:s, s:s}", "done", 1, "cluster_id", cluster_id, "node_id", node_id));
    joiner_end(joiner);
}

void hub_joiner_changed(struct cluster *cluster)
{
    struct joiner *joiner = cluster->joiner;
    const struct hub_member *self = hub_member_find(cluster, cluster->service->node_id);
    size_t i;

    if (joiner == NULL || joiner->step == JOINER_ASKING)
        return;
    if (joiner->step == JOINER_STARTED && self != NULL && self->version > 0) {
        joiner->step = JOINER_RECORDED;
        tell_step(joiner, "recorded", "the log has arrived: waiting for a share");
    }
    if (joiner->step == JOINER_RECORDED && cluster->record != NULL &&
        deal_record_find(cluster->record, cluster->service->node_id, &i) == QK_OK) {
        joiner->step = JOINER_DEALT;
        tell_step(joiner, "dealt", "a new deal includes this node");
    }
    if (joiner->step == JOINER_DEALT && cluster->seal.state == SEAL_UNSEALED) {
        joiner->step = JOINER_UNSEALED;
        tell_step(joiner, "unsealed", "unsealed with a peer's share: becoming a full member");
    }
    if (joiner->step == JOINER_UNSEALED && self != NULL && self->info.state == MEMBER_ACTIVE)
        joiner_done(joiner);
}

void hub_joiner_stop(struct cluster *cluster)
{
    if (cluster->joiner != NULL)
        joiner_fail(cluster->joiner, "unavailable", "the node is stopping");
}

/* --- the beginning --------------------------------------------------------------------------- */

static enum qk_err dial(struct joiner *joiner, const struct token *token)
{
    struct link_join_config config = {.loop = joiner->cluster->service->loop,
                                      .identity = joiner->identity,
                                      .psk = joiner->psk,
                                      .addresses_n = token->addresses_n,
                                      .arg = joiner,
                                      .on_up = join_up,
                                      .on_message = join_message,
                                      .on_end = join_ended};
    const char *addresses[TOKEN_ADDRESSES_MAX];

    for (unsigned i = 0; i < token->addresses_n; i++)
        addresses[i] = token->addresses[i];
    config.addresses = addresses;
    memcpy(config.pk, joiner->pk, sizeof(config.pk));
    memcpy(config.cluster_id, token->cluster_id, CLUSTER_ID_BYTES);
    memcpy(config.token_id, token->token_id, TOKEN_ID_BYTES);
    memcpy(config.inviter_pk, token->inviter_pk, TOKEN_PK_BYTES);
    return link_join_open(&config, &joiner->link);
}

static enum qk_err joiner_begin(struct joiner *joiner, struct token *token)
{
    enum qk_err err = x25519_keypair(&joiner->identity, joiner->pk);

    if (err != QK_OK)
        return err;
    random_fill(joiner->node_id, sizeof(joiner->node_id));
    memcpy(joiner->cluster_id, token->cluster_id, CLUSTER_ID_BYTES);
    memcpy(joiner->token_id, token->token_id, TOKEN_ID_BYTES);
    joiner->psk = token->psk; /* the link borrows it until link_join_close */
    token->psk = NULL;
    return dial(joiner, token);
}

/* The token of the request. False: the refusal has been sent. Its expiry is the cluster's to judge,
 * by its clock and in its audit log. */
static bool token_read(struct exchange *exchange, struct token *ret_token)
{
    struct bytes body = exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, 0, NULL);
    json_t *text = json_object_get(json, "token");
    enum qk_err err = QK_ERR_INVALID;

    if (json_is_string(text))
        err = token_decode(bytes_of(json_string_value(text), json_string_length(text)), ret_token);
    json_decref(json);
    if (err == QK_ERR_INVALID)
        exchange_reply_error(exchange, 400, "bad_request",
                             "this is no join token: it is altered or cut off");
    else if (err != QK_OK)
        exchange_reply_err(exchange, err);
    return err == QK_OK;
}

/* A join that never led to a generation in node.sec: no deal can include this node, so nothing is
 * lost by joining elsewhere, for instance when the founder fell before the first deal. */
static bool is_unfinished(const struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    return sec->x != 1 && sec->gen_last == 0 && cluster->booted && cluster->record == NULL;
}

static bool join_allowed(struct cluster *cluster, struct exchange *exchange)
{
    char id[2 * CLUSTER_ID_BYTES + 1];

    if (cluster->init != NULL || cluster->joiner != NULL || cluster->discarding) {
        exchange_reply_error(exchange, 503, "busy",
                             "an init or join of this node is under way: try again");
        return false;
    }
    if (cluster->service->node_sec == NULL)
        return true;
    if (is_unfinished(cluster)) {
        hub_discard(cluster);
        exchange_reply_error(exchange, 503, "busy",
                             "the unfinished join of this node is being removed: try again");
        return false;
    }
    hex_encode(cluster->service->cluster_id, CLUSTER_ID_BYTES, id);
    exchange_reply_error(exchange, 409, "conflict",
                         "this node belongs to cluster %s already: start with an empty data "
                         "directory to join another",
                         id);
    return false;
}

void handle_join(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    struct token token = {0};
    struct joiner *joiner;
    enum qk_err err;

    if (!join_allowed(cluster, exchange) || !token_read(exchange, &token))
        return;
    joiner = calloc(1, sizeof(*joiner));
    if (joiner == NULL) {
        token_fini(&token);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    joiner->cluster = cluster;
    joiner->exchange = exchange;
    err = joiner_begin(joiner, &token);
    token_fini(&token);
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        joiner_gone(joiner);
        return;
    }
    cluster->joiner = joiner;
    tell_step(joiner, "asking", "asking the node that made the token");
}
