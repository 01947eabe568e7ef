/* Carries out what the seal machine says: messages out, slots opened, shares combined, the keyring
 * and the catalog opened, everything wiped.
 *
 * Happy path: RELEASE -> own D opens the own slot -> SHARE crosses -> S -> MAC -> MK -> keyring
 * from the store -> catalog -> SEAL_EV_COMBINED. A slot that does not open or a share that does not
 * fit is reported with the node it came from; a keyring or catalog that does not open wipes MK
 * again and is tried once more a second later, by when the log may have brought what was missing.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"

const struct deal_record *hub_record_of(const struct cluster *cluster, const uint8_t *deal_id)
{
    if (cluster->record != NULL && memcmp(cluster->record->deal, deal_id, DEAL_ID_BYTES) == 0)
        return cluster->record;
    if (cluster->candidate != NULL && memcmp(cluster->candidate->deal, deal_id, DEAL_ID_BYTES) == 0)
        return cluster->candidate;
    return NULL;
}

/* Outcomes are stepped after all effects of the present step, in order. */
static void outcome(struct cluster *cluster, const struct seal_event *event)
{
    assert(cluster->outcomes_n < HUB_OUTCOMES_MAX);
    cluster->outcomes[cluster->outcomes_n++] = *event;
}

/* --- opening the own slot -------------------------------------------------------------------- */

static enum qk_err open_slot(struct cluster *cluster, const struct deal_record *record, uint32_t x,
                             struct bytes key, struct secret **ret_share)
{
    const struct node_sec *sec = cluster->service->node_sec;
    const struct node_sec_generation *gen;
    struct secret *release = NULL, *share = NULL;
    size_t i, j;
    enum qk_err err = deal_record_find(record, cluster->service->node_id, &i);

    if (err == QK_OK)
        err = deal_record_find_x(record, x, &j);
    if (err != QK_OK)
        return err;
    gen = node_sec_find(sec, record->members[i].gen);
    if (gen == NULL)
        return QK_ERR_STALE;
    err = secret_new_copy(key.data, key.len, &release);
    if (err != QK_OK)
        return err;
    err = deal_open_slot(record, gen->d, release, i, j, &share);
    secret_free(release);
    if (err == QK_OK)
        err = deal_verify_share(record, i, share);
    if (err == QK_OK)
        *ret_share = share;
    else
        secret_free(share);
    return err;
}

static void do_open_share(struct cluster *cluster, const struct seal_effect *effect)
{
    struct seal_event event = {.kind = SEAL_EV_OPENED};
    const struct deal_record *record = hub_record_of(cluster, effect->deal_id);
    struct secret *share = NULL;
    char from[NODE_NAME_BYTES_MAX + 1];
    enum qk_err err = QK_ERR_NOT_FOUND;

    if (record != NULL)
        err = open_slot(cluster, record, effect->x, effect->key, &share);
    memcpy(event.node_id, effect->node_id, NODE_ID_BYTES);
    memcpy(event.deal_id, effect->deal_id, DEAL_ID_BYTES);
    event.ok = err == QK_OK;
    if (event.ok) {
        secret_free(cluster->own_share);
        cluster->own_share = share;
    } else {
        hub_node_text(cluster, effect->node_id, from, sizeof(from));
        log_warn("seal",
                 "the own share did not open with the release of %s: %s: %s's node.sec or the deal "
                 "record in the store.mdb of this node is not what it was",
                 from, qk_err_text(err), from);
    }
    outcome(cluster, &event);
}

/* --- shares ---------------------------------------------------------------------------------- */

void hub_share_drop(struct cluster *cluster, uint32_t x)
{
    for (unsigned i = 0; i < cluster->shares_n; i++)
        if (cluster->shares_x[i] == x) {
            secret_free(cluster->shares[i]);
            cluster->shares_n--;
            cluster->shares[i] = cluster->shares[cluster->shares_n];
            cluster->shares_x[i] = cluster->shares_x[cluster->shares_n];
            return;
        }
}

static void do_keep_share(struct cluster *cluster, const struct seal_effect *effect)
{
    struct secret *share = NULL;

    hub_share_drop(cluster, effect->x);
    if (cluster->shares_n == NODES_MAX ||
        secret_new_copy(effect->key.data, effect->key.len, &share) != QK_OK) {
        log_error("seal", "no room for a share");
        return;
    }
    cluster->shares[cluster->shares_n] = share;
    cluster->shares_x[cluster->shares_n++] = effect->x;
}

/* The own share and those kept; 0 if the own x is unknown. */
static size_t shares_gather(const struct cluster *cluster, const struct secret **shares,
                            uint32_t *x)
{
    size_t n = 0, i;

    if (cluster->own_share != NULL &&
        deal_record_find(cluster->record, cluster->service->node_id, &i) == QK_OK) {
        shares[n] = cluster->own_share;
        x[n++] = cluster->record->members[i].x;
    }
    for (unsigned k = 0; k < cluster->shares_n && n < NODES_MAX; k++) {
        shares[n] = cluster->shares[k];
        x[n++] = cluster->shares_x[k];
    }
    return n;
}

void hub_combine_failed(struct cluster *cluster, enum qk_err err, uint32_t bad_x)
{
    struct seal_event event = {.kind = SEAL_EV_COMBINED, .ok = false, .x = bad_x};
    char name[NODE_NAME_BYTES_MAX + 1] = "an unknown node";
    size_t i;

    if (bad_x != 0 && deal_record_find_x(cluster->record, bad_x, &i) == QK_OK)
        hub_node_text(cluster, cluster->record->members[i].node, name, sizeof(name));
    if (bad_x != 0)
        log_error("seal", "the share of %s is wrong: it does not fit the deal", name);
    else
        log_error("seal", "the deal could not be opened: %s", qk_err_text(err));
    outcome(cluster, &event);
}

static void do_combine(struct cluster *cluster)
{
    const struct secret *shares[NODES_MAX];
    uint32_t x[NODES_MAX];
    struct share_bad bad = {0};
    struct secret *mk = NULL;
    size_t n;
    enum qk_err err;

    assert(cluster->record != NULL);

    if (cluster->recovering) { /* people are quicker; what is missing then is asked for again */
        hub_combine_failed(cluster, QK_ERR_BUSY, 0);
        return;
    }
    cluster->combine_began_us = timer_now_us();
    n = shares_gather(cluster, shares, x);
    err = deal_open(cluster->record, shares, x, n, &mk, &bad);
    /* A share that was bad but not needed is named, too; it is asked for again in the next deal. */
    for (size_t i = 0; i < bad.n && err == QK_OK; i++)
        log_error("seal", "the share at x %" PRIu32 " does not fit the deal", bad.x[i]);
    if (err != QK_OK) {
        hub_combine_failed(cluster, err, bad.n > 0 ? bad.x[0] : 0);
        return;
    }
    secret_free(cluster->mk_opening);
    cluster->mk_opening = mk;
    hub_open(cluster, cluster->record->mk_version);
}

/* --- audit ----------------------------------------------------------------------------------- */

static void count(struct cluster *cluster, enum seal_audit audit)
{
    cluster->counters.releases_n += audit == SEAL_AUDIT_RELEASE;
    cluster->counters.denials_n += audit == SEAL_AUDIT_DENIAL;
    cluster->counters.clone_alarms_n += audit == SEAL_AUDIT_CLONE;
    cluster->counters.rate_alarms_n += audit == SEAL_AUDIT_RATE;
}

static void do_audit(struct cluster *cluster, const struct seal_effect *effect)
{
    static const char *const events[] = {
        [SEAL_AUDIT_RELEASE] = "release",         [SEAL_AUDIT_DENIAL] = "denial",
        [SEAL_AUDIT_CLONE] = "clone_alarm",       [SEAL_AUDIT_RATE] = "rate_alarm",
        [SEAL_AUDIT_BAD_SHARE] = "bad_share",     [SEAL_AUDIT_BAD_SLOT] = "bad_slot",
        [SEAL_AUDIT_ROLLED_BACK] = "rolled_back",
    };
    char node[2 * NODE_ID_BYTES + 1], deal[2 * DEAL_ID_BYTES + 1], name[NODE_NAME_BYTES_MAX + 1];
    const char *why = effect->rule == RELEASE_ALLOWED ? NULL : release_rule_text(effect->rule);

    hex_encode(effect->node_id, NODE_ID_BYTES, node);
    hex_encode(effect->deal_id, DEAL_ID_BYTES, deal);
    hub_node_text(cluster, effect->node_id, name, sizeof(name));
    count(cluster, effect->audit);
    if (effect->audit == SEAL_AUDIT_CLONE)
        hub_clone_heard(cluster, effect->node_id, "", "");
    audit_event(cluster->service->audit, events[effect->audit], "node", node, "name", name, "deal",
                deal, "why", why, NULL);
    if (effect->audit != SEAL_AUDIT_RELEASE)
        log_warn("seal", "%s: %s%s%s", events[effect->audit], name, why != NULL ? ": " : "",
                 why != NULL ? why : "");
}

static void do_state(struct cluster *cluster, const struct seal_effect *effect)
{
    log_info("seal", "%s", seal_state_text(effect->state));
    audit_event(cluster->service->audit, "state", "state", seal_state_text(effect->state), NULL);
    hub_refresh_soon(cluster);
}

static void do_adopt(struct cluster *cluster)
{
    assert(cluster->candidate != NULL);
    deal_record_free(cluster->record);
    cluster->record = cluster->candidate;
    cluster->candidate = NULL;
    hub_members_adopt(cluster);
    log_info("seal", "a newer deal was taken over from a peer");
    hub_refresh_soon(cluster);
}

static void do_wipe(struct cluster *cluster)
{
    struct seal_event event = {.kind = SEAL_EV_WIPED};

    hub_wipe(cluster);
    outcome(cluster, &event);
}

static bool is_stopping(const struct cluster *cluster)
{
    return cluster->service->audit != NULL && audit_is_stopping(cluster->service->audit);
}

/* A release whose line could not be written stays here; it will be asked for again. */
static void do_send(struct cluster *cluster, const struct seal_effect *effect)
{
    bool release = effect->message_kind == PEER_RELEASE || effect->message_kind == PEER_SHARE;

    if (!release || !is_stopping(cluster))
        hub_seal_send(cluster, effect);
}

static void perform(struct cluster *cluster, const struct seal_effect *effect)
{
    switch (effect->kind) {
    case SEAL_DO_SEND:
        do_send(cluster, effect);
        break;
    case SEAL_DO_OPEN_SHARE:
        do_open_share(cluster, effect);
        break;
    case SEAL_DO_KEEP_SHARE:
        do_keep_share(cluster, effect);
        break;
    case SEAL_DO_DROP_SHARE:
        hub_share_drop(cluster, effect->x);
        break;
    case SEAL_DO_COMBINE:
        do_combine(cluster);
        break;
    case SEAL_DO_ADOPT:
        do_adopt(cluster);
        break;
    case SEAL_DO_WIPE:
        do_wipe(cluster);
        break;
    case SEAL_DO_ACK:
        hub_deal_checked(cluster);
        break;
    case SEAL_DO_STATE:
        do_state(cluster, effect);
        break;
    case SEAL_DO_AUDIT:
        do_audit(cluster, effect);
        break;
    case SEAL_DO_ATTEST:
        hub_attest(cluster, effect);
        break;
    case SEAL_DO_REMEMBER:
        hub_marks_save(cluster);
        break;
    }
}

/* --- stepping -------------------------------------------------------------------------------- */

/* Not what is applied: a leader may commit what its own disk does not have yet, and a store may be
 * ahead of a log whose tail is still to be cut off. */
static void position(struct cluster *cluster)
{
    const struct consensus *consensus = cluster->service->consensus;
    uint64_t index, stored;

    if (consensus == NULL || cluster->service->node_sec == NULL)
        return;
    index = consensus_commit(consensus);
    stored = consensus_stored(consensus);
    seal_position(&cluster->seal, consensus_term(consensus), index < stored ? index : stored,
                  stored, cluster->service->node_sec->gen_last);
}

static void step(struct cluster *cluster, const struct seal_event *event)
{
    uint8_t random[SEAL_RANDOM_BYTES];

    position(cluster);
    seal_unrecorded(&cluster->seal, is_stopping(cluster));
    random_fill(random, sizeof(random));
    seal_step(&cluster->seal, hub_now_ms(cluster), random, event, &cluster->effects);
    for (unsigned i = 0; i < cluster->effects.n; i++)
        perform(cluster, &cluster->effects.list[i]);
}

static void arm(struct cluster *cluster)
{
    uint64_t now_ms = hub_now_ms(cluster);
    uint64_t at = seal_deadline(&cluster->seal, now_ms);

    if (at == UINT64_MAX)
        timer_stop(cluster->seal_timer);
    else
        timer_start(cluster->seal_timer, at - now_ms);
}

void hub_seal(struct cluster *cluster, const struct seal_event *event)
{
    if (cluster->stopped)
        return;
    if (cluster->stepping) { /* an effect brought it about */
        outcome(cluster, event);
        return;
    }
    cluster->stepping = true;
    step(cluster, event);
    while (cluster->outcomes_n > 0) {
        struct seal_event next = cluster->outcomes[0];

        cluster->outcomes_n--;
        memmove(&cluster->outcomes[0], &cluster->outcomes[1],
                cluster->outcomes_n * sizeof(cluster->outcomes[0]));
        step(cluster, &next);
    }
    cluster->stepping = false;
    arm(cluster);
}

void hub_seal_kind(struct cluster *cluster, enum seal_event_kind kind)
{
    struct seal_event event = {.kind = kind};

    hub_seal(cluster, &event);
}

void hub_seal_tick(void *arg)
{
    struct cluster *cluster = arg;

    hub_seal_kind(cluster, SEAL_EV_TICK);
    hub_introduce(cluster);
    hub_replace(cluster);
    hub_control_settle(cluster);
    if (cluster->booted && hub_cannot_lead(cluster) && cluster_is_leader(cluster))
        cluster_consensus_changed(cluster);
}

static void deal_facts(const struct deal_record *record, struct seal_deal *ret_deal)
{
    memset(ret_deal, 0, sizeof(*ret_deal));
    memcpy(ret_deal->id, record->deal, DEAL_ID_BYTES);
    ret_deal->epoch = record->epoch;
    ret_deal->mk_version = record->mk_version;
    ret_deal->threshold = (unsigned)record->t;
    ret_deal->members_n = (unsigned)record->n;
    for (size_t i = 0; i < record->n; i++) {
        memcpy(ret_deal->members[i].node_id, record->members[i].node, NODE_ID_BYTES);
        ret_deal->members[i].x = record->members[i].x;
        ret_deal->members[i].gen = record->members[i].gen;
    }
}

void hub_seal_deal(struct cluster *cluster)
{
    struct seal_deal deal;
    struct seal_event event = {.kind = SEAL_EV_DEAL, .deal = &deal};

    deal_facts(cluster->record, &deal);
    if (deal.epoch > cluster->seal.deal.epoch) {
        secret_free(cluster->own_share);
        cluster->own_share = NULL;
    }
    hub_seal(cluster, &event);
}

/* Where the sender stands in a record that it sent: by node id or, if this node does not know it,
 * by the key under which the link knows it. */
static bool sender_x(const struct deal_record *record, const uint8_t *node_id, uint32_t *ret_x)
{
    uint8_t stranger[NODE_ID_BYTES];

    for (size_t i = 0; i < record->n; i++) {
        link_stranger_id(record->members[i].noise_pk, stranger);
        if (memcmp(record->members[i].node, node_id, NODE_ID_BYTES) == 0 ||
            memcmp(stranger, node_id, NODE_ID_BYTES) == 0) {
            *ret_x = record->members[i].x;
            return true;
        }
    }
    return false;
}

static void on_record(struct cluster *cluster, struct seal_event *event,
                      const struct peer_message *message)
{
    struct deal_record *parsed = NULL;
    struct seal_deal deal;
    bool newer;

    if (cluster->restoring) /* there is no keyring yet that it could open */
        return;
    if (deal_record_parse(message->as.record.record, &parsed) != QK_OK)
        return;
    if (memcmp(parsed->cluster, cluster->service->cluster_id, CLUSTER_ID_BYTES) != 0 ||
        !sender_x(parsed, event->node_id, &event->x)) {
        deal_record_free(parsed);
        return;
    }
    deal_facts(parsed, &deal);
    event->deal = &deal;
    newer = parsed->epoch > cluster->seal.candidate.epoch;
    hub_seal(cluster, event);
    event->deal = NULL; /* it ends here */
    /* Kept only if the machine took it: a record that it refuses must not push out one under way.
     */
    if (newer && cluster->seal.candidate.epoch == parsed->epoch &&
        memcmp(cluster->seal.candidate.id, parsed->deal, DEAL_ID_BYTES) == 0) {
        deal_record_free(cluster->candidate);
        cluster->candidate = parsed;
        parsed = NULL;
    }
    deal_record_free(parsed);
}

void hub_seal_message(struct cluster *cluster, const uint8_t *node_id,
                      const struct peer_message *message)
{
    static const enum seal_event_kind kinds[] = {
        [PEER_HELLO] = SEAL_EV_HELLO,     [PEER_WANT] = SEAL_EV_WANT,
        [PEER_RELEASE] = SEAL_EV_RELEASE, [PEER_SHARE] = SEAL_EV_SHARE,
        [PEER_DENY] = SEAL_EV_DENY,       [PEER_RECORD_WANT] = SEAL_EV_RECORD_WANT,
        [PEER_RECORD] = SEAL_EV_RECORD,
    };
    struct seal_event event = {.kind = kinds[message->kind], .message = message};
    bool moved = message->kind == PEER_HELLO;

    memcpy(event.node_id, node_id, NODE_ID_BYTES);
    event.forked = moved && hub_is_forked(cluster, &message->as.hello);
    if (message->kind == PEER_RECORD)
        on_record(cluster, &event, message);
    else
        hub_seal(cluster, &event);
    if (moved) {
        if (memcmp(message->as.hello.node_id, node_id, NODE_ID_BYTES) == 0)
            hub_members_heard(cluster, &message->as.hello);
        hub_versions_drive(cluster);
        hub_deal(cluster, DEALING_EV_FACTS);
        hub_leave_note(cluster);
    }
}
