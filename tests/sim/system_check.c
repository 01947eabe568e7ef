/* What must hold after every step, and at the end.
 * Over 500 lines: what must hold is read as one list.
 */
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/engine_private.h"
#include "keys/keyring.h"
#include "system_truth.h"

#define fail(m, ...) sim_fail((m)->sys->w, __VA_ARGS__)

static struct truth *truth_of(struct machine *m)
{
    return m->sys->truth;
}

/* --- what apply made ------------------------------------------------------------------------- */

static bool ever_member(const struct system *sys, const uint8_t *node_id)
{
    for (unsigned i = 0; i < sys->ever_n; i++)
        if (memcmp(sys->ever[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

static void note_members(struct machine *m)
{
    struct record_key prefix = record_members_prefix();
    struct system *sys = m->sys;
    uint8_t id[NODE_ID_BYTES];

    for (size_t i = 0; i < m->mem.n; i++) {
        struct bytes key = blob_bytes(m->mem.rows[i].key);
        if (bytes_starts_with(key, record_key_bytes(&prefix)) &&
            record_member_id(key, id) == QK_OK && !ever_member(sys, id) && sys->ever_n < NODES_MAX)
            memcpy(sys->ever[sys->ever_n++], id, NODE_ID_BYTES);
    }
}

static const struct row *sys_row(const struct machine *m, const char *name)
{
    struct record_key key = record_system(RECORD_SYS, name);

    return table_find(&m->mem, record_key_bytes(&key));
}

/* The same key twice in the records would be one disk that opens itself. */
static void check_halves(struct machine *m)
{
    for (unsigned k = 0; k < m->sys->machines_n; k++) {
        const struct node_sec *sec = m->sys->machines[k].service.node_sec;
        for (size_t g = 0; sec != NULL && g < sec->gens_n; g++)
            for (size_t i = 0; i < m->mem.n; i++) {
                struct bytes value = blob_bytes(m->mem.rows[i].value);
                if (memmem(value.data, value.len, secret_borrow(sec->gens[g].d), KEY_BYTES) ||
                    memmem(value.data, value.len, secret_borrow(sec->gens[g].p), KEY_BYTES))
                    fail(m, "keys of m%u lie in the records in clear", k);
            }
    }
}

/* Of the newest DEAL_BEGIN, and none that it has put an end to. */
static void check_attempt(struct machine *m)
{
    const struct row *begin = sys_row(m, RECORD_DEAL_BEGIN), *info = sys_row(m, SYSTEM_DEAL_INFO);
    struct system_deal_info decoded;

    if (begin == NULL || info == NULL ||
        system_deal_info_decode(blob_bytes(info->value), &decoded) != QK_OK)
        fail(m, "a deal without its DEAL_BEGIN");
    else if (decoded.attempt != begin->version)
        fail(m, "a deal of attempt %llu was committed after DEAL_BEGIN %llu",
             (unsigned long long)decoded.attempt, (unsigned long long)begin->version);
}

static void note_deal(struct machine *m, const struct row *row)
{
    struct truth *truth = truth_of(m);
    struct deal_record *record = NULL;

    if (deal_record_parse(blob_bytes(row->value), &record) != QK_OK) {
        fail(m, "a deal record was committed that does not parse");
        return;
    }
    if (record->epoch > truth->epoch && truth->deals_n < TRUTH_DEALS_MAX) {
        struct truth_deal *deal = &truth->deals[truth->deals_n++];

        truth->epoch = record->epoch;
        memcpy(deal->id, record->deal, DEAL_ID_BYTES);
        deal->epoch = record->epoch;
        deal->mk_version = record->mk_version;
        deal->threshold = (unsigned)record->t;
        deal->n = (unsigned)record->n;
        m->sys->deals_n++;
        for (size_t i = 0; i < record->n; i++) {
            memcpy(deal->members[i].node_id, record->members[i].node, NODE_ID_BYTES);
            deal->members[i].gen = record->members[i].gen;
            deal->members[i].x = record->members[i].x;
            if (deal_record_has_slot(record, i, i))
                fail(m, "a disk alone opens its own slot in epoch %llu",
                     (unsigned long long)record->epoch);
            if (!ever_member(m->sys, record->members[i].node))
                fail(m, "a deal names somebody who is no member");
        }
        check_halves(m);
        check_attempt(m);
        removal_check_deal(m, record, deal);
    }
    deal_record_free(record);
}

static struct truth_deal *deal_find(struct truth *truth, const uint8_t *id)
{
    for (unsigned i = 0; i < truth->deals_n; i++)
        if (memcmp(truth->deals[i].id, id, DEAL_ID_BYTES) == 0)
            return &truth->deals[i];
    return NULL;
}

static void note_final(struct machine *m, const struct row *row)
{
    struct truth_deal *deal = deal_find(truth_of(m), row->value->data);
    unsigned opened = 0;

    if (row->value->len != DEAL_ID_BYTES || deal == NULL) {
        fail(m, "FINAL of a deal that never was");
        return;
    }
    if (deal->final)
        return;
    deal->final = true;
    if (deal->epoch > m->sys->final_epoch)
        m->sys->final_epoch = deal->epoch;
    for (unsigned i = 0; i < deal->n; i++)
        opened += deal->members[i].opened;
    if (opened < deal->threshold)
        fail(m, "FINAL of epoch %llu after %u members opened their slots",
             (unsigned long long)deal->epoch, opened);
}

void system_check_result(struct machine *m, uint64_t index, unsigned position, struct bytes result)
{
    struct truth *truth = truth_of(m);
    uint64_t now = check_hash(result);

    if (index >= SIM_INDEX_MAX || position > 0 || m->rolled)
        return;
    if (truth->results[index] == 0)
        truth->results[index] = now;
    if (truth->results[index] != now)
        fail(m, "m%u did something else with entry %llu than others", m->at,
             (unsigned long long)index);
}

/* Equal apply: the same state after the same entry, on every node and however often it starts. */
void system_check_applied(struct machine *m)
{
    struct truth *truth = truth_of(m);
    const struct row *deal = sys_row(m, RECORD_DEAL), *final = sys_row(m, RECORD_DEAL_FINAL);
    uint64_t now = table_hash(&m->mem);

    orders_applied(m);
    if (m->rolled)
        return;
    if (m->mem.index < SIM_INDEX_MAX) {
        if (truth->tables[m->mem.index] == 0)
            truth->tables[m->mem.index] = now;
        if (truth->tables[m->mem.index] != now)
            fail(m, "m%u has another store than others after entry %llu", m->at,
                 (unsigned long long)m->mem.index);
    }
    m->sys->w->digest = m->sys->w->digest * 31 + now;
    note_members(m);
    removal_applied(m);
    documents_applied(m);
    if (deal != NULL)
        note_deal(m, deal);
    if (final != NULL)
        note_final(m, final);
}

/* --- what leaves a node ---------------------------------------------------------------------- */

/* What a member says that leaves, or that is suspended, counts for nothing. */
static bool has_a_say(const struct machine *from, const uint8_t *node_id)
{
    const struct seal_config *config = &from->cluster->seal.config;

    for (unsigned i = 0; i < config->members_n; i++)
        if (memcmp(config->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return !config->members[i].leaving && config->members[i].suspended != RELEASE_FAIL;
    return !from->rolled; /* an older disk may know nothing of who has joined since */
}

static void check_given(struct machine *from, const uint8_t *node_id, const uint8_t *deal_id,
                        bool release)
{
    struct system *sys = from->sys;
    struct truth *truth = truth_of(from);
    const struct truth_deal *deal = deal_find(truth, deal_id);
    bool member = false;

    if (release)
        sys->releases_n++;
    else
        sys->shares_n++;
    if (from->sealed_by_person)
        fail(from, "m%u was sealed by a person and gives", from->at);
    if (!ever_member(sys, node_id))
        fail(from, "m%u gives to somebody who is no member", from->at);
    /* Two that were both away while they were removed are two disks of one deal: no check helps. */
    if (removal_is_done(sys, node_id) && !removal_is_done(sys, from->service.node_id))
        fail(from, "m%u gives to one whose removal is done", from->at);
    for (unsigned i = 0; deal != NULL && i < deal->n; i++)
        member = member || memcmp(deal->members[i].node_id, node_id, NODE_ID_BYTES) == 0;
    if (!member && (deal != NULL || from->sys->rollbacks_n == 0))
        fail(from, "m%u gives to somebody who is not in that deal", from->at);
    orders_check_given(from, node_id);
    thief_check_given(from, node_id);
    changes_check_given(from);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &from->cluster->seal.peers[i];
        if (peer->used && peer->known && has_a_say(from, peer->node_id) &&
            seal_peer_live(peer, timer_now_ms(from->service.loop)) && deal != NULL &&
            peer->hello.epoch > deal->epoch)
            fail(from, "m%u gives although it knows of a newer deal", from->at);
    }
    if (sys->delivered_from != NULL && release &&
        memcmp(from->sides[sys->delivered_from->at].id, node_id, NODE_ID_BYTES) == 0 &&
        sys->delivered_kind == PEER_WANT &&
        sys->delivered_sent < from->sides[sys->delivered_from->at].up_ms)
        fail(from, "m%u answers a question from before this session", from->at);
}

/* A leader's word alone is no DEAL_BEGIN: it must be committed and applied by who gives. */
static void check_part(struct machine *from, const uint8_t *node_id, uint64_t attempt)
{
    const struct row *begin = sys_row(from, RECORD_DEAL_BEGIN);

    if (!has_a_say(from, node_id) || removal_is_done(from->sys, node_id))
        fail(from, "m%u gives a generation to one that leaves, or is suspended", from->at);

    if (begin == NULL || begin->version != attempt)
        fail(from, "m%u gives a generation for attempt %llu, which is not the newest applied",
             from->at, (unsigned long long)attempt);
}

void system_check_sent(struct machine *from, const uint8_t *node_id, struct bytes message)
{
    struct peer_message *decoded;

    if (message.len < 3 || message.data[2] < PEER_RELEASE || message.data[2] > PEER_PART)
        return;
    decoded = malloc(sizeof(*decoded));
    if (decoded == NULL || peer_decode(message, decoded) != QK_OK) {
        free(decoded); /* of Raft */
        return;
    }
    if (decoded->kind == PEER_RELEASE)
        check_given(from, node_id, decoded->as.release.deal_id, true);
    else if (decoded->kind == PEER_SHARE)
        check_given(from, node_id, decoded->as.share.deal_id, false);
    else if (decoded->kind == PEER_PART)
        check_part(from, node_id, decoded->as.part.attempt);
    free(decoded);
}

/* --- one node -------------------------------------------------------------------------------- */

/* Whoever is in a deal that opens the cluster, or may have to, holds its generation of it: else a
 * pair that is allowed to cannot open. */
static void check_generations(struct machine *m)
{
    const struct truth *truth = truth_of(m);
    const struct node_sec *sec = m->service.node_sec;

    if (sec == NULL || m->rolled || removal_is_done(m->sys, sec->node_id) ||
        memcmp(sec->cluster_id, truth->cluster_id, CLUSTER_ID_BYTES) != 0)
        return;
    for (unsigned i = 0; i < truth->deals_n; i++) {
        const struct truth_deal *deal = &truth->deals[i];
        if (deal->epoch < m->sys->final_epoch)
            continue;
        for (unsigned k = 0; k < deal->n; k++)
            if (memcmp(deal->members[k].node_id, sec->node_id, NODE_ID_BYTES) == 0 &&
                node_sec_find(sec, deal->members[k].gen) == NULL)
                fail(m, "m%u has lost its generation %llu of epoch %llu: locked out", m->at,
                     (unsigned long long)deal->members[k].gen, (unsigned long long)deal->epoch);
    }
}

/* What a disk that was put back applies is not taken for the truth, and it may be the first. */
static bool rolled_has_deal(struct system *sys, uint64_t epoch)
{
    bool has = false;

    for (unsigned i = 0; i < sys->machines_n && !has; i++) {
        struct machine *m = &sys->machines[i];
        const struct row *row = m->rolled ? sys_row(m, RECORD_DEAL) : NULL;
        struct deal_record *record = NULL;

        if (row != NULL && deal_record_parse(blob_bytes(row->value), &record) == QK_OK)
            has = record->epoch >= epoch;
        deal_record_free(record);
    }
    return has;
}

static void check_keys(struct machine *m)
{
    struct truth *truth = truth_of(m);
    struct cluster *cluster = m->cluster;

    if (cluster->seal.own_share && cluster->own_share != NULL) {
        struct truth_deal *deal = deal_find(truth, cluster->seal.deal.id);
        for (unsigned i = 0; deal != NULL && i < deal->n; i++)
            if (memcmp(deal->members[i].node_id, m->service.node_id, NODE_ID_BYTES) == 0)
                deal->members[i].opened = true;
    }
    if (cluster->seal.deal.epoch > truth->epoch &&
        !rolled_has_deal(m->sys, cluster->seal.deal.epoch))
        fail(m, "m%u goes by a deal that was never committed", m->at);
    if (cluster->mk == NULL || cluster->seal.state != SEAL_UNSEALED)
        return;
    if (m->sealed_by_person)
        fail(m, "m%u is open though a person sealed it", m->at);
    if (!truth->has_cluster) {
        truth->has_cluster = true;
        memcpy(truth->cluster_id, m->service.cluster_id, CLUSTER_ID_BYTES);
    }
    if (m->service.keyring != NULL)
        removal_check_mk(m);
}

void system_check_machine(struct machine *m)
{
    if (m->cluster == NULL)
        return;
    check_generations(m);
    if (m->cluster->booted) {
        check_keys(m);
        orders_check_machine(m);
        removal_check_own(m);
    }
}

/* --- the end --------------------------------------------------------------------------------- */

static bool wait(struct system *sys, bool final, const char *what, unsigned at)
{
    if (sys->w->trace && strcmp(sys->waits, what) != 0)
        printf("%6llu the end waits: m%u %s\n", (unsigned long long)sys->w->now, at, what);
    snprintf(sys->waits, sizeof(sys->waits), "%s", what);
    if (final)
        sim_fail(sys->w, "faults have ended, but m%u %s", at, what);
    return false;
}

static bool is_member(const struct machine *m)
{
    const struct hub_member *self;

    if (m->service.node_sec == NULL || !m->cluster->booted)
        return false;
    self = hub_member_find(m->cluster, m->service.node_id);
    return self != NULL && self->version > 0 && self->info.state == MEMBER_ACTIVE;
}

static bool check_member(struct machine *m, uint64_t commit, bool final)
{
    struct system *sys = m->sys;

    if (!m->alive)
        return wait(sys, final, "is down", m->at);
    if (m->service.node_sec == NULL &&
        (m->joins_n >= SYSTEM_JOINS_MAX || sys->w->nodes_n >= SIM_NODES_MAX - 1 ||
         sys->joins >= SYSTEM_JOININGS_MAX))
        return true; /* it has used up its tries */
    if (!is_member(m))
        return wait(sys, final,
                    m->service.node_sec == NULL ? "has not joined" : "is not a full member", m->at);
    if (m->cluster->seal.state != SEAL_UNSEALED || m->service.keyring == NULL)
        return wait(sys, final, "is not open", m->at);
    if (m->service.keys.behind)
        return wait(sys, final, "is open with keys of an older deal", m->at);
    if (m->mem.index < commit && engine_applied(m->raft->engine) < commit)
        return wait(sys, final, "has not applied all", m->at);
    return true;
}

/* True once all is as it must be. Before a first deal is final nothing was promised, if its founder
 * fell. */
bool system_check_end(struct system *sys, bool final)
{
    struct node *leader = chaos_leader(sys->w);
    uint64_t commit = leader != NULL ? engine_commit(leader->engine) : 0;

    if (sys->w->failure[0] != 0)
        return true;
    if (sys->final_epoch == 0 && sys->recovery_n == 0 &&
        (sys->machines[0].life > 1 || sys->machines[0].cluster->seal.state == SEAL_SEALED)) {
        if (sys->acked_n > 0)
            sim_fail(sys->w, "a write was acknowledged before a deal was final");
        sys->lost = true;
        return true;
    }
    if (sys->clones_n > 0 || sys->maimed) /* who was there twice stays out for ten minutes */
        return true;
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (sys->machines[i].rolled) /* it has to join anew, and may be one of two */
            return final || wait(sys, false, "was put back and is there", i);
    if (leader == NULL || !engine_has_own_commit(leader->engine))
        return wait(sys, final, "there is no leader", 0);
    for (unsigned i = 0; i < sys->w->nodes_n; i++)
        if (sys->w->nodes[i].alive && engine_commit(sys->w->nodes[i].engine) > commit)
            return wait(sys, final, "leads no more and does not know it", i);
    if (sys->final_epoch > 0 && sys->of_raft[leader - sys->w->nodes] != NULL) {
        const struct machine *m = sys->of_raft[leader - sys->w->nodes];
        const char *text = removal_unfinished(m);
        if (text != NULL)
            return wait(sys, final, text, m->at);
    }
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (!check_member(&sys->machines[i], commit, final))
            return false;
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (is_member(&sys->machines[i]) && !documents_check(&sys->machines[i]))
            return true;
    return true;
}

/* --- any who suffice ------------------------------------------------------------------------- */

static unsigned choose(struct system *sys, unsigned n, struct machine **ret_chosen)
{
    unsigned found = 0;

    for (unsigned tries = 0; tries < 100 && found < n; tries++) {
        struct machine *m = &sys->machines[sim_below(sys->w, sys->machines_n)];
        bool taken = !is_member(m) || m->cluster->seal.state != SEAL_UNSEALED;

        for (unsigned i = 0; i < found; i++)
            taken = taken || ret_chosen[i] == m;
        if (!taken)
            ret_chosen[found++] = m;
    }
    return found;
}

static bool all_open(struct machine *const *chosen, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!chosen[i]->alive || chosen[i]->cluster->seal.state != SEAL_UNSEALED)
            return false;
    return true;
}

/* Its log ends with a change of hold or suspensions that its store had not synced: closed by rule,
 * until a majority has settled it. */
static bool one_waits_for_majority(struct machine *const *chosen, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (chosen[i]->alive && chosen[i]->cluster->control_pending > 0)
            return true;
    return false;
}

#define ALONE_MS 3000
#define TOGETHER_MS 60000

void system_check_pair(struct system *sys)
{
    const struct machine *leader = people_leader(sys);
    const struct truth_deal *deal = NULL;
    struct machine *chosen[MACHINES_MAX];
    uint64_t end;
    unsigned n;

    for (unsigned i = 0; i < sys->truth->deals_n; i++)
        if (sys->truth->deals[i].final)
            deal = &sys->truth->deals[i];
    n = deal != NULL ? deal->threshold : MACHINES_MAX;
    if (leader != NULL && changes_quorum(leader) > n)
        n = changes_quorum(leader);
    if (n >= MACHINES_MAX || choose(sys, n, chosen) < n)
        return;
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (sys->machines[i].alive)
            system_crash(&sys->machines[i]);
    for (unsigned i = 0; i < n && sys->w->failure[0] == 0; i++) {
        system_start(chosen[i]);
        system_run_until(sys->w, sys->w->now + ALONE_MS);
        if (i + 1 < n && chosen[i]->alive && chosen[i]->cluster->mk != NULL)
            fail(chosen[i], "m%u opened with %u of %u", chosen[i]->at, i + 1, n);
    }
    end = sys->w->now + TOGETHER_MS;
    while (sys->w->failure[0] == 0 && sys->w->now < end && !all_open(chosen, n))
        system_run_until(sys->w, sys->w->now + 100);
    if (!all_open(chosen, n) && !one_waits_for_majority(chosen, n))
        fail(chosen[0], "m%u and m%u may open each other and cannot: locked out", chosen[0]->at,
             chosen[1]->at);
    sys->pairs_n++;
}
