/* The DEAL command: the record of a new deal among all members. Who is connected has given a new
 * generation for this attempt; whoever is away takes part with the generation of the current
 * record, whose D and P the keyring keeps. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "keys/keyring.h"
#include "service/hub.h"
#include "store/store.h"

struct build {
    struct cluster *cluster;
    uint64_t attempt;
    struct deal_party parties[NODES_MAX];
    size_t parties_n;
    struct secret *owned[2 * NODES_MAX]; /* D and P that came from the keyring */
    size_t owned_n;
    struct system_deal_info info;
    struct deal_keyslot keyslots[DEAL_KEYSLOTS_MAX];
    size_t keyslots_n;
};

static void build_free(struct build *build)
{
    for (size_t i = 0; i < build->owned_n; i++)
        secret_free(build->owned[i]);
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
    return QK_OK;
}

static enum qk_err add_member(struct build *build, const struct hub_member *member)
{
    const struct hub_part *part = hub_part_find(build->cluster, member->node_id);
    struct deal_party *party;

    if (member->version == 0 || member->info.state == MEMBER_LEAVING)
        return QK_OK;
    if (part == NULL || part->attempt != build->attempt)
        return member->info.state == MEMBER_JOINING ? QK_OK : add_away(build, member);
    party = party_add(build, member, part->gen);
    party->d = part->d;
    party->p = part->p;
    memcpy(build->info.parts[build->info.parts_n++], member->node_id, NODE_ID_BYTES);
    return QK_OK;
}

/* Keyslots other than the cluster's are public-key or foreign: they wrap MK, which stays. */
static void carry_keyslots(struct build *build)
{
    const struct deal_record *record = build->cluster->record;

    for (size_t i = 0; record != NULL && i < record->keyslots_n; i++)
        if (record->keyslots[i].type != DEAL_KEYSLOT_CLUSTER)
            build->keyslots[build->keyslots_n++] = record->keyslots[i];
}

static enum qk_err record_make(struct build *build, struct buf *out)
{
    const struct cluster *cluster = build->cluster;
    struct deal_input input = {0};
    size_t t = cluster->has_settings ? cluster->info.threshold : cluster->settings.threshold;

    memcpy(input.cluster, cluster->service->cluster_id, CLUSTER_ID_BYTES);
    random_fill(input.deal, sizeof(input.deal));
    input.epoch = 1;
    if (cluster->record != NULL) {
        memcpy(input.prev_deal, cluster->record->deal, DEAL_ID_BYTES);
        input.epoch = cluster->record->epoch + 1;
    }
    input.mk_version = keyring_mk_version(cluster->service->keyring);
    input.t = t <= build->parties_n ? t : build->parties_n;
    input.dealer_x = cluster->service->node_sec->x;
    input.parties = build->parties;
    input.parties_n = build->parties_n;
    input.mk = cluster->mk;
    carry_keyslots(build);
    input.keyslots = build->keyslots;
    input.keyslots_n = build->keyslots_n;
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
    enum qk_err err = keyring_seal_halves(cluster->service->keyring, member->node, member->gen,
                                          party->d, party->p, &sealed);

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

static enum qk_err command_make(struct build *build, struct bytes record,
                                struct wire_command *command)
{
    struct cluster *cluster = build->cluster;
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct record_key about = record_system(RECORD_SYS, SYSTEM_DEAL_INFO);
    struct buf info = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    enum qk_err err = QK_OK;

    build->info.attempt = build->attempt;
    system_deal_info_encode(&build->info, &info);
    wire_command_batch(command);
    wire_command_cond(command, record_key_bytes(&begin), build->attempt);
    wire_command_put(command, record_key_bytes(&deal), cluster->deal_version + 1, 0, record);
    wire_command_put(command, record_key_bytes(&about), hub_version_of(cluster, &about) + 1, 0,
                     buf_bytes(&info));
    for (size_t i = 0; i < build->parties_n && err == QK_OK; i++)
        if (!build->parties[i].absent)
            err = halves_put(build, &build->parties[i], command);
    if (err == QK_OK)
        err = buf_error(&info);
    buf_fini(&info);
    return err;
}

static enum qk_err build_all(struct build *build, struct buf *record, struct wire_command *command)
{
    struct cluster *cluster = build->cluster;
    enum qk_err err = QK_OK;

    if (cluster->mk == NULL || cluster->service->keyring == NULL)
        return QK_ERR_SEALED;
    for (unsigned i = 0; i < cluster->members_n && err == QK_OK; i++)
        err = add_member(build, &cluster->members[i]);
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
        err = build_all(build, &record, &command);
        build_free(build);
    }
    if (err == QK_OK)
        hub_deal_propose(cluster, effect->ticket, &command);
    else {
        log_error("deal", "the deal could not be built: %s", qk_err_text(err));
        hub_deal_failed(cluster, effect->ticket, err);
    }
    wire_command_fini(&command);
    buf_fini(&record);
}
