/* `node join`, on the node that joins.
 *
 * Happy path: the token names cluster, inviter and psk; a new identity is made; the inviter is
 * dialed and asked; its answer (x, Raft id, psk, members) goes into node.sec; store, log and link
 * open under the new id; then the cluster does the rest, and each step that arrives in this node's
 * own records is a line of the reply: the member record, the deal, unsealed, a full member.
 *
 * Before the answer nothing is on the disk, so a refusal leaves the node uninitialised; if there
 * was no answer, the identity is kept in memory, so that the same token, which may be used already,
 * can be tried again. After the answer the node is a joining member whatever becomes of the
 * request: it goes on by itself, also after a restart.
 *
 * A vote needs a majority of the voters there, this node counted (guard 17), and this node caught
 * up. If that takes too long, it is dealt in, open and serves as a standby: the request then ends
 * and says so, and the vote comes by itself.
 *
 * A join whose node knows of no deal that includes it may be begun anew, with another token: it has
 * acked none, since that waits until the record is durable here (deal_member.c). So no FINAL rests
 * on its share.
 *
 * Over 500 lines: one request, from the token to the vote, read in order. */
#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "doc/json.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "wire/token.h"
#include "wire/version.h"

#define JOINER_TICK_MS 1000u
#define JOINER_PATIENCE_MS 30000u /* for any step, when a member is away */
#define JOINER_VOTE_MS 60000u     /* for a vote */
#define JOINER_AWAY_BYTES 256

/* WIPING: accepted, and what this node was is being removed. */
enum joiner_step {
    JOINER_ASKING,
    JOINER_WIPING,
    JOINER_STARTED,
    JOINER_RECORDED,
    JOINER_DEALT,
    JOINER_UNSEALED
};

struct joiner {
    struct cluster *cluster;
    struct exchange *exchange;
    struct link_join *link;
    struct timer *timer;
    enum joiner_step step;
    uint64_t step_ms; /* when it was reached */
    bool ending;      /* link_join_close is under way */
    unsigned open_n;  /* parts that are still to be closed */
    struct joiner_identity *self;
    bool wipes;         /* a rejoin: what this node is now is given up */
    struct buf answer;  /* the accepting message, while that is being done; secret */
    struct secret *psk; /* the token's */
    uint8_t cluster_id[CLUSTER_ID_BYTES]; /* of the token */
};

/* Who this node is to be, for one token. */
struct joiner_identity {
    uint8_t token_id[TOKEN_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t pk[X25519_BYTES];
    struct secret *key;
};

static void identity_free(struct joiner_identity *self)
{
    if (self == NULL)
        return;
    secret_free(self->key);
    free(self);
}

static enum qk_err identity_new(const uint8_t *token_id, struct joiner_identity **ret_self)
{
    struct joiner_identity *self = calloc(1, sizeof(*self));
    enum qk_err err = self == NULL ? QK_ERR_NOMEM : x25519_keypair(&self->key, self->pk);

    if (err != QK_OK) {
        free(self);
        return err;
    }
    memcpy(self->token_id, token_id, TOKEN_ID_BYTES);
    random_fill(self->node_id, sizeof(self->node_id));
    *ret_self = self;
    return QK_OK;
}

static enum qk_err identity_clone(const struct joiner_identity *from,
                                  struct joiner_identity **ret_self)
{
    struct joiner_identity *self = malloc(sizeof(*self));
    enum qk_err err = QK_ERR_NOMEM;

    if (self != NULL) {
        *self = *from;
        err = secret_new_clone(from->key, &self->key);
    }
    if (err == QK_OK)
        *ret_self = self;
    else
        free(self);
    return err;
}

/* From the moment of asking: the cluster may have heard it, and then the token is used, by this
 * identity alone. */
static void identity_keep(struct joiner *joiner)
{
    identity_free(joiner->cluster->kept);
    joiner->cluster->kept = NULL;
    if (identity_clone(joiner->self, &joiner->cluster->kept) != QK_OK)
        log_warn("join", "no room to keep the identity: another try needs another token");
}

void hub_joiner_forget(struct cluster *cluster)
{
    identity_free(cluster->kept);
    cluster->kept = NULL;
}

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
    joiner->step_ms = hub_now_ms(joiner->cluster);
    log_info("join", "%s", text);
    tell(joiner, json_pack("{s:s, s:s}", "step", step, "text", text));
}

static void joiner_free(struct joiner *joiner)
{
    identity_free(joiner->self);
    secret_free(joiner->psk);
    buf_fini(&joiner->answer);
    free(joiner);
}

static void joiner_gone(void *arg)
{
    struct joiner *joiner = arg;

    if (--joiner->open_n == 0)
        joiner_free(joiner);
}

/* The reply has been ended; what is left goes when timer and link's join are closed. */
static void joiner_end(struct joiner *joiner)
{
    assert(!joiner->ending);
    joiner->ending = true;
    joiner->cluster->joiner = NULL;
    exchange_end(joiner->exchange);
    joiner->exchange = NULL;
    joiner->open_n = 2;
    timer_free(joiner->timer, joiner_gone, joiner);
    link_join_close(joiner->link, joiner_gone, joiner);
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
        return "the token's address was reached and hung up: it is not that of the node that made "
               "the token, or that node's '[peer] allow' leaves out this one's address";
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
        err = node_sec_create(path, accept->cluster_id, joiner->self->node_id, accept->raft_id,
                              accept->x, joiner->self->key, psk, &service->node_sec);
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
        joiner_fail(joiner, "foreign", "the answer came from another cluster than the token");
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
        hub_discard(cluster, HUB_NO_DEAL);
        return;
    }
    hub_members_provisional(cluster, accept);
    hub_members_publish(cluster);
    hub_joiner_forget(cluster);
    joiner->step = JOINER_STARTED;
    timer_start(joiner->timer, JOINER_TICK_MS);
    tell_step(joiner, "accepted", "the token is good: this node is a joining member");
}

/* The cluster has the new identity; the old one goes, and its directory with it. */
static void wipe_begin(struct joiner *joiner, struct bytes message)
{
    buf_put_bytes(&joiner->answer, message);
    if (buf_error(&joiner->answer) != QK_OK) {
        joiner_fail(joiner, "unavailable", "no room for the answer: try again with the same token");
        return;
    }
    joiner->step = JOINER_WIPING;
    tell_step(joiner, "wiping", "the token is good: what this node was is being wiped");
    hub_discard(joiner->cluster, "this node comes back as a new one");
}

void hub_joiner_discarded(struct cluster *cluster, enum qk_err err)
{
    struct joiner *joiner = cluster->joiner;
    struct peer_message *decoded;

    if (joiner == NULL || joiner->step != JOINER_WIPING)
        return;
    decoded = malloc(sizeof(*decoded));
    if (err == QK_OK)
        err = decoded == NULL ? QK_ERR_NOMEM : peer_decode(buf_bytes(&joiner->answer), decoded);
    if (err == QK_OK)
        on_accept(joiner, &decoded->as.join_accept);
    else
        joiner_fail(joiner, "unavailable",
                    "the old files could not be removed: empty the directory by hand, then "
                    "'quorumkeep node join' with another token");
    if (decoded != NULL)
        secret_wipe(decoded, sizeof(*decoded));
    free(decoded);
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
    else if (decoded->kind == PEER_JOIN_ACCEPT && joiner->wipes)
        wipe_begin(joiner, message);
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
        memcpy(join->node_id, joiner->self->node_id, NODE_ID_BYTES);
        memcpy(join->noise_pk, joiner->self->pk, sizeof(join->noise_pk));
        join->name = bytes_str(service->node_name);
        join->peer_address = bytes_str(service->peer_address);
        join->client_address = bytes_str(service->client_address);
        join->version = (uint16_t)wire_version();
        join->aes = aead_has_aes256gcm();
        if (joiner->wipes)
            memcpy(join->gives_up, service->node_id, NODE_ID_BYTES);
        err = peer_encode(message, &out);
    }
    if (err == QK_OK) {
        bytes = buf_bytes(&out);
        identity_keep(joiner);
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

    if (joiner == NULL || joiner->step < JOINER_STARTED)
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

/* --- waiting in vain ------------------------------------------------------------------------- */

/* Who of the others is away, names for people. */
static void others_away(struct cluster *cluster, json_t *names, char ret_text[JOINER_AWAY_BYTES])
{
    ret_text[0] = '\0';
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        char name[NODE_NAME_BYTES_MAX + 1];
        size_t len = strlen(ret_text);

        if (hub_is_live(cluster, member->node_id) || member->info.state != MEMBER_ACTIVE)
            continue;
        hub_node_text(cluster, member->node_id, name, sizeof(name));
        (void)json_array_append_new(names, json_string(name));
        snprintf(ret_text + len, JOINER_AWAY_BYTES - len, "%s%s", len > 0 ? ", " : "", name);
    }
}

static void joiner_standby(struct joiner *joiner, json_t *names, const char *away)
{
    const struct service *service = joiner->cluster->service;
    char cluster_id[2 * CLUSTER_ID_BYTES + 1], node_id[2 * NODE_ID_BYTES + 1];
    char text[JOINER_AWAY_BYTES + 160];

    hex_encode(service->cluster_id, CLUSTER_ID_BYTES, cluster_id);
    hex_encode(service->node_id, NODE_ID_BYTES, node_id);
    snprintf(text, sizeof(text),
             "this node is unsealed and a standby member; it becomes a voter by itself once it has "
             "caught up%s%s%s",
             away[0] != '\0' ? " and enough members are there (away: " : "", away,
             away[0] != '\0' ? ")" : "");
    log_info("join", "%s", text);
    audit_event(service->audit, "joined", "cluster", cluster_id, "as", "standby", NULL);
    tell(joiner, json_pack("{s:b, s:b, s:s, s:s, s:s, s:O}", "done", 1, "standby", 1, "text", text,
                           "cluster_id", cluster_id, "node_id", node_id, "waiting_for", names));
    joiner_end(joiner);
}

static void joiner_pending(struct joiner *joiner, const char *away)
{
    char reason[JOINER_AWAY_BYTES + 256];

    snprintf(reason, sizeof(reason),
             "the token was accepted, but the cluster can't take this node in while %s is away; it "
             "goes on by itself when that is back, also after a restart: see 'quorumkeep status'",
             away);
    joiner_fail(joiner, "pending", reason);
}

static void joiner_tick(void *arg)
{
    struct joiner *joiner = arg;
    uint64_t quiet_ms = hub_now_ms(joiner->cluster) - joiner->step_ms;
    bool open = joiner->step == JOINER_UNSEALED;
    char away[JOINER_AWAY_BYTES];
    json_t *names = json_array();

    others_away(joiner->cluster, names, away);
    if (open && quiet_ms >= JOINER_VOTE_MS)
        joiner_standby(joiner, names, away);
    else if (!open && away[0] != '\0' && quiet_ms >= JOINER_PATIENCE_MS)
        joiner_pending(joiner, away);
    else
        timer_start(joiner->timer, JOINER_TICK_MS);
    json_decref(names);
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
                                      .identity = joiner->self->key,
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
    memcpy(config.pk, joiner->self->pk, sizeof(config.pk));
    memcpy(config.cluster_id, token->cluster_id, CLUSTER_ID_BYTES);
    memcpy(config.token_id, token->token_id, TOKEN_ID_BYTES);
    memcpy(config.inviter_pk, token->inviter_pk, TOKEN_PK_BYTES);
    return link_join_open(&config, &joiner->link);
}

static enum qk_err joiner_begin(struct joiner *joiner, struct token *token)
{
    struct cluster *cluster = joiner->cluster;
    bool again = cluster->kept != NULL &&
                 memcmp(cluster->kept->token_id, token->token_id, TOKEN_ID_BYTES) == 0;
    enum qk_err err = again ? identity_clone(cluster->kept, &joiner->self)
                            : identity_new(token->token_id, &joiner->self);

    if (err == QK_OK)
        err = timer_new(cluster->service->loop, joiner_tick, joiner, &joiner->timer);
    if (err != QK_OK)
        return err;
    memcpy(joiner->cluster_id, token->cluster_id, CLUSTER_ID_BYTES);
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

static bool is_voter(const struct cluster *cluster)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t n = consensus_members(cluster->service->consensus, raft, CONSENSUS_MEMBERS_MAX);

    for (size_t i = 0; i < n; i++)
        if (raft[i].id == cluster->service->node_sec->raft_id)
            return raft[i].voter;
    return false;
}

/* Nothing is lost by joining anew, for instance when the founder fell before the first deal. */
static bool is_unfinished(const struct cluster *cluster)
{
    return cluster->service->node_sec->x != 1 && cluster->booted && !cluster->restoring &&
           cluster->record == NULL && cluster->deal_version == 0 &&
           cluster->seal.state != SEAL_UNSEALED && cluster->service->consensus != NULL &&
           !is_voter(cluster);
}

static bool join_allowed(struct cluster *cluster, struct exchange *exchange)
{
    return hub_may_begin(cluster, exchange, is_unfinished, "join", "join another");
}

void hub_joiner_start(struct cluster *cluster, struct exchange *exchange, bool wipes)
{
    const struct buf empty = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    struct token token = {0};
    struct joiner *joiner;
    enum qk_err err;

    if (!token_read(exchange, &token))
        return;
    joiner = calloc(1, sizeof(*joiner));
    if (joiner == NULL) {
        token_fini(&token);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    joiner->cluster = cluster;
    joiner->exchange = exchange;
    joiner->wipes = wipes;
    joiner->answer = empty;
    err = joiner_begin(joiner, &token);
    token_fini(&token);
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        joiner->open_n = 1;
        if (joiner->timer != NULL)
            timer_free(joiner->timer, joiner_gone, joiner);
        else
            joiner_free(joiner);
        return;
    }
    cluster->joiner = joiner;
    tell_step(joiner, "asking", "asking the node that made the token");
}

void handle_join(struct service *service, struct exchange *exchange)
{
    if (join_allowed(service->cluster, exchange))
        hub_joiner_start(service->cluster, exchange, false);
}
