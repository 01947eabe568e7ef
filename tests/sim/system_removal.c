/* Members that leave, a master key that changes: the orders, and what must be true of them whatever
 * else happens.
 *
 *   a deal names members only, none that leaves, and one that leaves somebody out has a newer MK
 *   than any deal that named it
 *   under a newer MK two members that were both away have no slot for each other
 *   done: nobody who stays holds a generation of a deal that named the removed one, so that its
 *   disk opens nothing with anybody's, a thief's disks of other removed ones included */
#include "system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/deal_ready.h"
#include "system_truth.h"

#define fail(m, ...) sim_fail((m)->sys->w, __VA_ARGS__)

/* --- orders ---------------------------------------------------------------------------------- */

static struct machine *addressee(struct system *sys)
{
    struct machine *m = people_leader(sys);

    return m != NULL && !m->dying && m->cluster->booted && !system_stopped(m, 0) &&
                   sys->final_epoch > 0 && deal_may_order(&m->service)
               ? m
               : NULL;
}

void removal_order(struct system *sys)
{
    struct machine *m = addressee(sys);
    const struct machine *whom = &sys->machines[sim_below(sys->w, sys->machines_n)];
    const struct hub_member *member;

    if (m == NULL || whom->last_sec == false)
        return;
    member = hub_member_find(m->cluster, whom->last_id);
    if (member == NULL || member->version == 0 || member->info.state == MEMBER_JOINING)
        return;
    system_say(m, "order: remove m%u, %s", whom->at, member->info.name);
    people_ask_about(m, handle_node_remove, member->info.name,
                     sim_chance(sys->w, 200) ? "{\"reencrypt\":false}" : "{}");
}

void removal_refresh(struct system *sys, bool rotate)
{
    struct machine *m = addressee(sys);

    if (m == NULL)
        return;
    system_say(m, "order: %s", rotate ? "rotate" : "refresh");
    people_ask(m, rotate ? handle_master_rotate : handle_master_refresh, "");
}

/* --- removed for good ------------------------------------------------------------------------ */

bool removal_is_done(const struct system *sys, const uint8_t *node_id)
{
    const struct truth *truth = sys->truth;

    for (unsigned i = 0; i < truth->removed_n; i++)
        if (memcmp(truth->removed[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* People wipe what was removed, sooner or later; until then it runs on, as a thief would run it. */
void removal_wipe(struct system *sys)
{
    struct machine *m = &sys->machines[sim_below(sys->w, sys->machines_n)];

    if (!m->last_sec || !removal_is_done(sys, m->last_id))
        return;
    system_say(m, "was removed and is wiped by people");
    if (m->alive)
        system_crash(m);
    system_wipe(m);
    system_start(m);
}

static const struct machine *machine_with(const struct system *sys, const uint8_t *node_id)
{
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (sys->machines[i].last_sec &&
            memcmp(sys->machines[i].last_id, node_id, NODE_ID_BYTES) == 0)
            return &sys->machines[i];
    return NULL;
}

/* What lies on its disk, whether it runs or not. */
static bool disk_holds(const struct machine *m, uint64_t gen)
{
    struct node_sec_fault fault = {0};
    struct node_sec *sec = NULL;
    char path[SYSTEM_PATH_BYTES + 16];
    bool holds;

    if (m->service.node_sec != NULL)
        return node_sec_find(m->service.node_sec, gen) != NULL;
    snprintf(path, sizeof(path), "%s/node.sec", m->dir);
    if (node_sec_load(path, &sec, &fault) != QK_OK)
        return false;
    holds = node_sec_find(sec, gen) != NULL;
    node_sec_free(sec);
    return holds;
}

static bool names(const struct truth_deal *deal, const uint8_t *node_id)
{
    for (unsigned i = 0; i < deal->n; i++)
        if (memcmp(deal->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

static void check_worthless(struct machine *m, const uint8_t *node_id)
{
    const struct truth *truth = m->sys->truth;

    for (unsigned i = 0; i < truth->deals_n; i++) {
        const struct truth_deal *deal = &truth->deals[i];

        if (!names(deal, node_id))
            continue;
        if (deal->mk_version == truth->mk_version)
            fail(m, "a removal is done, and the removed one stands in a deal of the present MK");
        for (unsigned k = 0; k < deal->n; k++) {
            const struct truth_member *member = &deal->members[k];
            const struct machine *other = machine_with(m->sys, member->node_id);
            struct record_key key;

            if (other == NULL || removal_is_done(m->sys, member->node_id) ||
                memcmp(member->node_id, node_id, NODE_ID_BYTES) == 0 || other->rolled)
                continue;
            key = record_deal_part(member->node_id, member->gen);
            if (table_find(&m->mem, record_key_bytes(&key)) != NULL)
                fail(m, "a removal is done, but the records still keep halves of epoch %llu",
                     (unsigned long long)deal->epoch);
            if (disk_holds(other, member->gen))
                fail(m, "a removal is done, but m%u still holds generation %llu of epoch %llu",
                     other->at, (unsigned long long)member->gen, (unsigned long long)deal->epoch);
        }
    }
}

static const struct row *sys_row(const struct machine *m, const char *name)
{
    struct record_key key = record_system(RECORD_SYS, name);

    return table_find(&m->mem, record_key_bytes(&key));
}

/* After each entry, on the first node that applies it. */
void removal_applied(struct machine *m)
{
    struct truth *truth = m->sys->truth;
    const struct row *row = sys_row(m, SYSTEM_REMOVAL);
    struct system_removal *removal;

    if (m->mem.index <= truth->removal_index)
        return;
    truth->removal_index = m->mem.index;
    if (row == NULL) {
        unsigned n = truth->leaving_n;

        truth->leaving_n = 0;
        for (unsigned i = 0; i < n && truth->removed_n < TRUTH_REMOVED_MAX; i++)
            memcpy(truth->removed[truth->removed_n++], truth->leaving[i], NODE_ID_BYTES);
        for (unsigned i = 0; i < n; i++) {
            m->sys->removals_n++;
            check_worthless(m, truth->leaving[i]);
        }
        return;
    }
    removal = malloc(sizeof(*removal));
    assert(removal != NULL);
    if (system_removal_decode(blob_bytes(row->value), removal) != QK_OK)
        fail(m, "a record of a removal was committed that does not decode");
    else
        for (truth->leaving_n = 0; truth->leaving_n < removal->n; truth->leaving_n++)
            memcpy(truth->leaving[truth->leaving_n], removal->list[truth->leaving_n].node_id,
                   NODE_ID_BYTES);
    free(removal);
}

/* --- deals ----------------------------------------------------------------------------------- */

static bool has_part(const struct system_deal_info *info, const uint8_t *node_id)
{
    for (unsigned i = 0; i < info->parts_n; i++)
        if (memcmp(info->parts[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

static void check_slots(struct machine *m, const struct deal_record *record,
                        const struct system_deal_info *info)
{
    for (size_t i = 0; i < record->n; i++)
        for (size_t k = 0; k < record->n; k++)
            if (i != k && !has_part(info, record->members[i].node) &&
                !has_part(info, record->members[k].node) && deal_record_has_slot(record, i, k))
                fail(m, "a new MK, and a slot between two members that were away (epoch %llu)",
                     (unsigned long long)record->epoch);
}

/* One that was being made when the order came may still name it. */
static void check_leaving(struct machine *m, const struct truth_deal *deal, const uint8_t *node_id)
{
    const struct truth *truth = m->sys->truth;

    if (names(deal, node_id)) {
        if (removal_is_done(m->sys, node_id))
            fail(m, "a deal names one who was removed (epoch %llu)",
                 (unsigned long long)deal->epoch);
        return;
    }
    for (unsigned i = 0; i < truth->deals_n; i++)
        if (names(&truth->deals[i], node_id) && truth->deals[i].mk_version >= deal->mk_version)
            fail(m, "epoch %llu leaves somebody out and has no newer MK than epoch %llu",
                 (unsigned long long)deal->epoch, (unsigned long long)truth->deals[i].epoch);
}

/* Whoever leaves has known the keys until this deal: all of them get new versions. */
static bool leaves_out(const struct truth *truth, const struct truth_deal *deal)
{
    for (unsigned i = 0; i < truth->leaving_n && deal > truth->deals; i++)
        if (names(deal - 1, truth->leaving[i]) && !names(deal, truth->leaving[i]))
            return true;
    return false;
}

void removal_check_deal(struct machine *m, const struct deal_record *record,
                        const struct truth_deal *deal)
{
    struct truth *truth = m->sys->truth;
    const struct row *row = sys_row(m, SYSTEM_DEAL_INFO);
    struct system_deal_info *info = malloc(sizeof(*info));
    bool newer = deal->mk_version > truth->mk_version && truth->mk_version > 0;

    assert(info != NULL);
    if (row == NULL || system_deal_info_decode(blob_bytes(row->value), info) != QK_OK)
        fail(m, "a deal without what is told about it");
    else if (newer)
        check_slots(m, record, info);
    free(info);
    if (deal->mk_version < truth->mk_version)
        fail(m, "epoch %llu goes back to an older MK", (unsigned long long)deal->epoch);
    if (deal->mk_version > truth->mk_version)
        truth->mk_version = deal->mk_version;
    m->sys->rotations_n += newer;
    if (newer && leaves_out(truth, deal))
        documents_dealt(m);
    for (unsigned i = 0; i < truth->leaving_n; i++)
        check_leaving(m, deal, truth->leaving[i]);
    for (unsigned i = 0; i < truth->removed_n; i++)
        check_leaving(m, deal, truth->removed[i]);
}

/* What its own records name is in its node.sec: it is erased only once newer ones are durable. */
void removal_check_own(struct machine *m)
{
    const struct row *row = sys_row(m, RECORD_DEAL);
    struct deal_record *record = NULL;
    size_t i;

    if (row == NULL || m->service.node_sec == NULL || m->rolled || row->version == m->own_checked ||
        removal_is_done(m->sys, m->service.node_id) ||
        deal_record_parse(blob_bytes(row->value), &record) != QK_OK)
        return;
    m->own_checked = row->version;
    if (deal_record_find(record, m->service.node_id, &i) == QK_OK &&
        node_sec_find(m->service.node_sec, record->members[i].gen) == NULL)
        fail(m, "m%u has erased generation %llu, which its records name", m->at,
             (unsigned long long)record->members[i].gen);
    deal_record_free(record);
}

/* A master key in use is the one of its version. */
void removal_check_mk(struct machine *m)
{
    struct truth *truth = m->sys->truth;
    uint32_t version = keyring_mk_version(m->service.keyring);

    if (version == 0 || version >= TRUTH_MK_MAX)
        return;
    if (!truth->mks[version].known) {
        truth->mks[version].known = true;
        memcpy(truth->mks[version].key, secret_borrow(m->cluster->mk), KEY_BYTES);
    }
    if (memcmp(truth->mks[version].key, secret_borrow(m->cluster->mk), KEY_BYTES) != 0)
        fail(m, "m%u is open with another master key of version %u", m->at, version);
}

/* Nothing is left half done. */
const char *removal_unfinished(const struct machine *leader)
{
    const struct cluster *cluster = leader->cluster;

    if (changes_unfinished(leader))
        return "leads, and one that was replaced has not left";
    if (sys_row(leader, SYSTEM_REMOVAL) != NULL)
        return "leads, and a removal is not done";
    if (!hub_is_final(cluster))
        return "leads, and the deal is not final";
    if (cluster->record->mk_version <= cluster->wanted.rotate_mk)
        return "leads, and a rotation is not done";
    if (cluster->record->epoch <= cluster->wanted.refresh_epoch)
        return "leads, and a refresh is not done";
    return documents_unfinished(leader);
}
