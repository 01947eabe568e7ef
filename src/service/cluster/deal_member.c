/* The member's side of a deal: generations in node.sec, D and P for the leader, acks. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/cluster/hub.h"
#include "store/store.h"

/* --- generations of this node ---------------------------------------------------------------- */

void hub_deal_gens_init(struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    memset(cluster->gens, 0, sizeof(cluster->gens));
    cluster->gens_n = (unsigned)sec->gens_n;
    for (unsigned i = 0; i < cluster->gens_n; i++)
        cluster->gens[i].gen = sec->gens[i].gen;
}

/* The list follows node.sec; what is known of each generation's attempt stays. */
static void gens_follow(struct cluster *cluster)
{
    struct dealing_gen old[NODE_SEC_GENERATIONS_MAX];
    unsigned old_n = cluster->gens_n;

    memcpy(old, cluster->gens, sizeof(old));
    hub_deal_gens_init(cluster);
    for (unsigned i = 0; i < cluster->gens_n; i++)
        for (unsigned k = 0; k < old_n; k++)
            if (old[k].gen == cluster->gens[i].gen)
                cluster->gens[i] = old[k];
}

/* The newest DEAL_BEGIN that is applied, which the hub may not have looked at since. */
static uint64_t begun(struct cluster *cluster)
{
    struct record begin;

    return hub_sys_get(cluster, RECORD_DEAL_BEGIN, &begin) ? begin.version : cluster->begin_version;
}

/* QK_ERR_NOT_FOUND: nothing to say now. */
enum qk_err hub_deal_gen_for(struct cluster *cluster, uint64_t attempt, uint64_t *ret_gen)
{
    struct node_sec *sec = cluster->service->node_sec;
    enum dealing_answer answer = dealing_collect_answer(
        attempt, begun(cluster), cluster->gens, cluster->gens_n, NODE_SEC_GENERATIONS_MAX, ret_gen);
    enum qk_err err;

    switch (answer) {
    case DEALING_KEEP:
        return QK_OK;
    case DEALING_NOT_YET:
    case DEALING_PAST:
        return QK_ERR_NOT_FOUND;
    case DEALING_FULL:
        log_debug("deal", "node.sec holds all the generations it can: none is added");
        hub_deal_erase(cluster);
        return QK_ERR_FULL;
    case DEALING_MAKE:
        break;
    }
    err = node_sec_add_generation(sec, ret_gen);
    if (err != QK_OK) {
        log_error("deal", "node.sec: no generation could be added: %s", qk_err_text(err));
        return err;
    }
    gens_follow(cluster);
    for (unsigned i = 0; i < cluster->gens_n; i++)
        if (cluster->gens[i].gen == *ret_gen) {
            cluster->gens[i].attempt = attempt;
            cluster->gens[i].exact = true;
        }
    return QK_OK;
}

struct erasure {
    struct cluster *cluster;
    struct dealing_durable durable;
};

static void erase_now(struct cluster *cluster, const struct dealing_durable *durable)
{
    struct node_sec *sec = cluster->service->node_sec;
    enum qk_err err = QK_OK;

    for (unsigned i = 0; i < cluster->gens_n && err == QK_OK; i++) {
        uint64_t gen = cluster->gens[i].gen;

        if (!dealing_may_erase(&cluster->gens[i], durable))
            continue;
        err = gen < durable->record_gen ? node_sec_erase_older(sec, durable->record_gen)
                                        : node_sec_erase_generation(sec, gen);
        if (err == QK_ERR_NOT_FOUND)
            err = QK_OK;
    }
    if (err != QK_OK)
        log_error("deal", "node.sec: older generations were not erased: %s", qk_err_text(err));
    gens_follow(cluster);
}

static void erase_flushed(void *arg, enum qk_err err)
{
    struct erasure *erasure = arg;
    struct cluster *cluster = erasure->cluster;

    cluster->erasing = false;
    if (err == QK_OK && !cluster->stopped && cluster->service->node_sec != NULL)
        erase_now(cluster, &erasure->durable);
    free(erasure);
}

/* What is applied now is durable once the flush has called back: these facts are taken before. Only
 * a record of the own log counts, never one that a peer showed. */
void hub_deal_erase(struct cluster *cluster)
{
    struct dealing_durable durable = {.begin_attempt = cluster->begin_version};
    struct erasure *erasure;
    bool some = false;
    size_t i;

    if (cluster->erasing || cluster->service->store == NULL)
        return;
    if (cluster->deal_version > 0 && cluster->record != NULL) {
        if (deal_record_find(cluster->record, cluster->service->node_id, &i) != QK_OK)
            return;
        durable.record_gen = cluster->record->members[i].gen;
        durable.final = cluster->final_version > 0 &&
                        memcmp(cluster->final_deal, cluster->record->deal, DEAL_ID_BYTES) == 0;
    }
    for (unsigned k = 0; k < cluster->gens_n; k++)
        some = some || dealing_may_erase(&cluster->gens[k], &durable);
    if (!some)
        return;
    erasure = calloc(1, sizeof(*erasure));
    if (erasure == NULL)
        return;
    erasure->cluster = cluster;
    erasure->durable = durable;
    cluster->erasing = true;
    store_flush(cluster->service->store, erase_flushed, erasure);
}

/* --- the member's side ----------------------------------------------------------------------- */

static bool from_leader(const struct cluster *cluster, const uint8_t *node_id)
{
    uint8_t leader[NODE_ID_BYTES];

    return cluster_leader(cluster, leader) == QK_OK && memcmp(leader, node_id, NODE_ID_BYTES) == 0;
}

static void send_part(struct cluster *cluster, const uint8_t *leader, uint64_t attempt)
{
    struct peer_message message = {.kind = PEER_PART};
    const struct node_sec_generation *gen;
    uint64_t number;

    if (hub_deal_gen_for(cluster, attempt, &number) != QK_OK)
        return;
    gen = node_sec_find(cluster->service->node_sec, number);
    assert(gen != NULL);
    message.as.part.attempt = attempt;
    message.as.part.gen = number;
    message.as.part.d = bytes_of(secret_borrow(gen->d), PEER_KEY_BYTES);
    message.as.part.p = bytes_of(secret_borrow(gen->p), PEER_KEY_BYTES);
    hub_send(cluster, leader, false, &message);
    secret_return(gen->d);
    secret_return(gen->p);
}

bool hub_deal_is_checked(const struct cluster *cluster, const uint8_t *deal_id)
{
    return cluster->seal.own_share && cluster->own_share != NULL &&
           memcmp(cluster->seal.deal.id, deal_id, DEAL_ID_BYTES) == 0;
}

/* Generations rise, and are kept in the order in which they were made. */
static uint64_t oldest_gen(const struct node_sec *sec)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < sec->gens_n; i++)
        if (sec->gens[i].gen < oldest)
            oldest = sec->gens[i].gen;
    return oldest;
}

/* On the leader. Whether it has erased what the deal makes useless is told beside the ack. */
static void ack_arrived(struct cluster *cluster, const uint8_t *node_id, const uint8_t *deal_id,
                        uint64_t oldest)
{
    struct dealing_event event = {.kind = DEALING_EV_ACK};
    size_t i;

    memcpy(event.node_id, node_id, NODE_ID_BYTES);
    memcpy(event.deal_id, deal_id, DEAL_ID_BYTES);
    hub_deal_event(cluster, &event);
    if (!hub_is_final(cluster) || memcmp(cluster->record->deal, deal_id, DEAL_ID_BYTES) != 0 ||
        deal_record_find(cluster->record, node_id, &i) != QK_OK ||
        oldest < cluster->record->members[i].gen)
        return;
    event.kind = DEALING_EV_ERASED;
    hub_deal_event(cluster, &event);
}

static void send_ack(struct cluster *cluster, const uint8_t *leader)
{
    struct peer_message message = {.kind = PEER_ACK};

    memcpy(message.as.ack.deal_id, cluster->seal.deal.id, DEAL_ID_BYTES);
    message.as.ack.epoch = cluster->seal.deal.epoch;
    message.as.ack.oldest = oldest_gen(cluster->service->node_sec);
    hub_send(cluster, leader, false, &message);
}

void hub_deal_ack_self(struct cluster *cluster)
{
    ack_arrived(cluster, cluster->service->node_id, cluster->seal.deal.id,
                oldest_gen(cluster->service->node_sec));
}

static void ack(struct cluster *cluster)
{
    uint8_t leader[NODE_ID_BYTES];

    if (cluster_leader(cluster, leader) != QK_OK)
        return; /* whoever leads next asks */
    if (memcmp(leader, cluster->service->node_id, NODE_ID_BYTES) == 0)
        hub_deal_ack_self(cluster);
    else
        send_ack(cluster, leader);
}

struct durable {
    struct cluster *cluster;
    uint8_t deal_id[DEAL_ID_BYTES];
};

static void deal_flushed(void *arg, enum qk_err err)
{
    struct durable *durable = arg;
    struct cluster *cluster = durable->cluster;

    cluster->acking = false;
    if (err == QK_OK && !cluster->stopped && cluster->booted) {
        memcpy(cluster->durable_deal, durable->deal_id, DEAL_ID_BYTES);
        if (hub_deal_is_checked(cluster, durable->deal_id))
            ack(cluster);
    }
    free(durable);
}

/* FINAL rests on acks, so an ack says more than that the share opens: the record is durable here,
 * and no restart makes this node think that it never was in a deal (joiner.c). A record that only a
 * peer has shown is acked once the own log has brought it: the leader asks again. */
void hub_deal_checked(struct cluster *cluster)
{
    const uint8_t *deal_id = cluster->seal.deal.id;
    struct durable *durable;

    if (!hub_deal_is_checked(cluster, deal_id) || cluster->deal_version == 0 ||
        memcmp(cluster->log_deal, deal_id, DEAL_ID_BYTES) != 0)
        return;
    if (memcmp(cluster->durable_deal, deal_id, DEAL_ID_BYTES) == 0) {
        ack(cluster);
        return;
    }
    if (cluster->acking || cluster->service->store == NULL)
        return;
    durable = calloc(1, sizeof(*durable));
    if (durable == NULL)
        return;
    durable->cluster = cluster;
    memcpy(durable->deal_id, deal_id, DEAL_ID_BYTES);
    cluster->acking = true;
    store_flush(cluster->service->store, deal_flushed, durable);
}

static void on_part(struct cluster *cluster, const uint8_t *node_id, const struct peer_part *part)
{
    struct secret *d = NULL, *p = NULL;

    if (part->attempt != cluster->begin_version || !cluster_is_leader(cluster) ||
        hub_member_find(cluster, node_id) == NULL || cluster->seal.state != SEAL_UNSEALED)
        return;
    if (secret_new_copy(part->d.data, part->d.len, &d) != QK_OK ||
        secret_new_copy(part->p.data, part->p.len, &p) != QK_OK) {
        secret_free(d);
        log_error("deal", "no room for the keys of a member");
        return;
    }
    hub_part_keep(cluster, node_id, part->attempt, part->gen, d, p);
    hub_part_arrived(cluster, node_id, part->attempt);
}

void hub_deal_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message)
{
    if (!cluster_is_trusted(cluster, node_id))
        return;
    switch (message->kind) {
    case PEER_COLLECT:
        if (from_leader(cluster, node_id))
            send_part(cluster, node_id, message->as.collect.attempt);
        break;
    case PEER_PART:
        on_part(cluster, node_id, &message->as.part);
        break;
    case PEER_CHECK:
        if (!from_leader(cluster, node_id) ||
            !hub_deal_is_checked(cluster, message->as.check.deal_id))
            break;
        hub_deal_erase(cluster);
        hub_deal_checked(cluster);
        break;
    case PEER_ACK:
        ack_arrived(cluster, node_id, message->as.ack.deal_id, message->as.ack.oldest);
        break;
    case PEER_HELLO:
    case PEER_WANT:
    case PEER_RELEASE:
    case PEER_SHARE:
    case PEER_DENY:
    case PEER_RECORD_WANT:
    case PEER_RECORD:
    case PEER_JOIN_REQUEST:
    case PEER_JOIN_ACCEPT:
    case PEER_JOIN_REFUSE:
    case PEER_JOIN_FORWARD:
    case PEER_MEMBERS:
    case PEER_SEAL_ALL:
    case PEER_SEALED:
    case PEER_SUMS_WANT:
    case PEER_SUMS:
    case PEER_ROWS_WANT:
    case PEER_ROWS:
        break;
    }
}
