/* The DEAL command: the record of a new deal among all members that stay. Who is connected has
 * given a new generation for this attempt; whoever is away takes part with the generation of the
 * current record, whose D and P the keyring keeps. Whoever is LEAVING is left out, and then MK is
 * new (deal_fresh.c). */
#include "service/cluster/deal_build.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "keys/keyring.h"
#include "store/store.h"

static void build_free(struct build *build)
{
    for (size_t i = 0; i < build->owned_n; i++)
        secret_free(build->owned[i]);
    for (size_t i = 0; i < DEAL_KEYSLOTS_MAX; i++)
        buf_fini(&build->blobs[i]);
    keyring_close(build->keyring);
    secret_free(build->mk);
    free(build);
}

static struct deal_party *party_add(struct build *build, const struct hub_member *member,
                                    uint64_t gen)
{
    struct deal_party *party = &build->parties[build->parties_n++];

    memcpy(party->member.node, member->node_id, NODE_ID_BYTES);
    party->member.x = member->info.x;
    party->member.gen = gen;
    memcpy(party->member.noise_pk, member->info.noise_pk, X25519_BYTES);
    return party;
}

/* Of a holder of an earlier MK's dp/ records nobody can say what he knows: such a D and P stand in
 * the record in force still, until their owner has given new ones. */
static bool was_stale(const struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->deal_info.stale_n; i++)
        if (memcmp(cluster->deal_info.stale[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

static enum qk_err add_away(struct build *build, const struct hub_member *member)
{
    struct cluster *cluster = build->cluster;
    struct secret *d = NULL, *p = NULL;
    struct deal_party *party;
    struct record_key key;
    struct record record;
    uint64_t gen;
    size_t i;
    enum qk_err err;

    if (cluster->record == NULL)
        return QK_ERR_NOT_FOUND;
    err = deal_record_find(cluster->record, member->node_id, &i);
    if (err != QK_OK)
        return err;
    gen = cluster->record->members[i].gen;
    key = record_deal_part(member->node_id, gen);
    err = store_get(cluster->service->store, record_key_bytes(&key), &record);
    if (err == QK_OK)
        err = keyring_open_halves(cluster->service->keyring,
                                  record_key_name(record_key_bytes(&key)), record.value, &d, &p);
    if (err != QK_OK)
        return err;
    build->owned[build->owned_n++] = d;
    build->owned[build->owned_n++] = p;
    party = party_add(build, member, gen);
    party->d = d;
    party->p = p;
    party->absent = true;
    party->stale = build->fresh || was_stale(cluster, member->node_id);
    if (party->stale)
        memcpy(build->info.stale[build->info.stale_n++], member->node_id, NODE_ID_BYTES);
    return QK_OK;
}

static bool is_in_record(const struct cluster *cluster, const uint8_t *node_id)
{
    size_t i;

    return cluster->record != NULL && deal_record_find(cluster->record, node_id, &i) == QK_OK;
}

static enum qk_err add_member(struct build *build, const struct hub_member *member)
{
    const struct hub_part *part = hub_part_find(build->cluster, member->node_id);
    struct deal_party *party;
    bool joins = member->info.state == MEMBER_JOINING;
    bool kept = build->fresh || build->cluster->removal_version > 0 || hub_is_final(build->cluster);

    if (member->version == 0 || member->info.state == MEMBER_LEAVING)
        return QK_OK;
    if (joins && build->fresh && !is_in_record(build->cluster, member->node_id))
        return QK_OK;
    /* A joining member that stands in a final deal holds a generation of it, with which the disk of
     * one who leaves, now or later, could open something: like any other that is away it is dealt
     * in with that generation, so that no removal is done before it is back and has erased it. */
    if (part == NULL || part->attempt != build->attempt)
        return joins && !(kept && is_in_record(build->cluster, member->node_id))
                   ? QK_OK
                   : add_away(build, member);
    party = party_add(build, member, part->gen);
    party->d = part->d;
    party->p = part->p;
    build->present_n++;
    memcpy(build->info.parts[build->info.parts_n++], member->node_id, NODE_ID_BYTES);
    return QK_OK;
}

/* The setting, as far as there are parties; raised only if those who are there reach it. */
static size_t threshold_of(const struct build *build)
{
    const struct cluster *cluster = build->cluster;
    size_t t = cluster->has_settings ? cluster->info.threshold : cluster->settings.threshold;

    if (cluster->record != NULL && t > cluster->record->t && t > build->present_n)
        t = cluster->record->t;
    return t <= build->parties_n ? t : build->parties_n;
}

static enum qk_err record_make(struct build *build, struct buf *out)
{
    const struct cluster *cluster = build->cluster;
    struct deal_input input = {0};

    memcpy(input.cluster, cluster->service->cluster_id, CLUSTER_ID_BYTES);
    random_fill(input.deal, sizeof(input.deal));
    input.epoch = 1;
    if (cluster->record != NULL) {
        memcpy(input.prev_deal, cluster->record->deal, DEAL_ID_BYTES);
        input.epoch = cluster->record->epoch + 1;
    }
    input.mk_version =
        build->fresh ? build->mk_version : keyring_mk_version(cluster->service->keyring);
    input.t = threshold_of(build);
    input.dealer_x = cluster->service->node_sec->x;
    input.parties = build->parties;
    input.parties_n = build->parties_n;
    input.mk = build->fresh ? build->mk : cluster->mk;
    input.fresh_mk = build->fresh;
    input.keyslots = build->keyslots;
    input.keyslots_n = build->keyslots_n;
    if (build->fresh && build->present_n < input.t)
        return QK_ERR_NO_QUORUM; /* those who are there could not open it */
    return deal_record_build(&input, random_system(), out, NULL);
}

/* The new D and P are kept for deals made while their owner is away, in place of the older ones. */
static enum qk_err halves_put(struct build *build, const struct deal_party *party,
                              struct wire_command *command)
{
    struct cluster *cluster = build->cluster;
    const struct deal_member *member = &party->member;
    struct record_key key = record_deal_part(member->node, member->gen);
    struct keyring_record sealed = {0};
    size_t i;
    enum qk_err err = keyring_seal_halves(build->fresh ? build->keyring : cluster->service->keyring,
                                          member->node, member->gen, party->d, party->p, &sealed);

    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), hub_version_of(cluster, &key) + 1, 0,
                         buf_bytes(&sealed.value));
    buf_fini(&sealed.value);
    if (err != QK_OK || cluster->record == NULL ||
        deal_record_find(cluster->record, member->node, &i) != QK_OK ||
        cluster->record->members[i].gen == member->gen)
        return err;
    key = record_deal_part(member->node, cluster->record->members[i].gen);
    wire_command_delete(command, record_key_bytes(&key));
    return QK_OK;
}

/* Those of members that are left out go. */
static void halves_delete(struct build *build, struct wire_command *command)
{
    const struct deal_record *record = build->cluster->record;

    for (size_t i = 0; record != NULL && i < record->n; i++) {
        struct record_key key = record_deal_part(record->members[i].node, record->members[i].gen);
        bool stays = false;

        for (size_t k = 0; k < build->parties_n; k++)
            stays = stays || memcmp(build->parties[k].member.node, record->members[i].node,
                                    NODE_ID_BYTES) == 0;
        if (!stays)
            wire_command_delete(command, record_key_bytes(&key));
    }
}

static enum qk_err command_make(struct build *build, struct bytes record,
                                struct wire_command *command)
{
    struct cluster *cluster = build->cluster;
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct record_key about = record_system(RECORD_SYS, SYSTEM_DEAL_INFO);
    struct buf info = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    enum qk_err err = QK_OK;

    system_deal_info_encode(&build->info, &info);
    wire_command_cond(command, record_key_bytes(&begin), build->attempt);
    if (build->fresh)
        deal_fresh_cond(build, command);
    wire_command_put(command, record_key_bytes(&deal), cluster->deal_version + 1, 0, record);
    wire_command_put(command, record_key_bytes(&about), hub_version_of(cluster, &about) + 1, 0,
                     buf_bytes(&info));
    for (size_t i = 0; i < build->parties_n && err == QK_OK; i++)
        if (!build->parties[i].absent || build->fresh)
            err = halves_put(build, &build->parties[i], command);
    halves_delete(build, command);
    if (err == QK_OK && build->fresh)
        err = deal_fresh_put(build, command);
    if (err == QK_OK)
        err = buf_error(&info);
    buf_fini(&info);
    return err;
}

/* What is true of the deal besides its record. */
static void info_begin(struct build *build)
{
    build->info.attempt = build->attempt;
    build->info.new_mk = build->fresh;
    build->info.created_s = (uint64_t)time(NULL);
    build->info.new_keys = build->fresh && hub_wants_new_keys(build->cluster);
    for (unsigned i = 0; i < build->cluster->members_n && build->fresh; i++)
        build->info.new_keys = build->info.new_keys ||
                               (build->cluster->members[i].info.state == MEMBER_LEAVING &&
                                is_in_record(build->cluster, build->cluster->members[i].node_id));
}

/* A share of MK must not stay with one who leaves. */
static bool leaves_out(const struct build *build)
{
    for (unsigned i = 0; i < build->cluster->members_n; i++)
        if (build->cluster->members[i].info.state == MEMBER_LEAVING &&
            is_in_record(build->cluster, build->cluster->members[i].node_id))
            return true;
    return false;
}

static enum qk_err build_all(struct build *build, struct buf *record, struct wire_command *command)
{
    struct cluster *cluster = build->cluster;
    enum qk_err err = QK_OK;

    if (cluster->mk == NULL || cluster->service->keyring == NULL || cluster->service->keys.behind)
        return QK_ERR_SEALED;
    if (leaves_out(build) && !build->fresh)
        return QK_ERR_CONFLICT; /* marked since the machine looked: it looks again */
    info_begin(build);
    wire_command_batch(command);
    if (build->fresh)
        err = deal_fresh_begin(build);
    for (unsigned i = 0; i < cluster->members_n && err == QK_OK; i++)
        err = add_member(build, &cluster->members[i]);
    if (err == QK_OK)
        err = deal_carry_keyslots(build);
    if (err == QK_OK)
        err = record_make(build, record);
    if (err == QK_OK)
        err = command_make(build, buf_bytes(record), command);
    return err;
}

void hub_deal_build(struct cluster *cluster, const struct dealing_effect *effect)
{
    struct build *build = calloc(1, sizeof(*build));
    struct buf record = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    struct wire_command command;
    enum qk_err err = QK_ERR_NOMEM;

    wire_command_begin(&command, WIRE_DEAL);
    if (build != NULL) {
        build->cluster = cluster;
        build->attempt = effect->attempt;
        build->fresh = effect->fresh;
        err = build_all(build, &record, &command);
        build_free(build);
    }
    if (err == QK_OK) {
        cluster->refreshed_ms = hub_now_ms(cluster);
        hub_deal_propose(cluster, effect->ticket, &command);
    } else {
        log_error("deal", "the deal could not be built: %s", qk_err_text(err));
        hub_deal_failed(cluster, effect->ticket, err);
    }
    wire_command_fini(&command);
    buf_fini(&record);
}
