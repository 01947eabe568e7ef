/* Which version of the formats all members know, those that are away included: each member's record
 * names its own, and the leader writes it anew when a member announces another (its HELLO).
 *
 * The update also writes the record "next", unchanged, as every admission of a joiner does: so one
 * of the two is decided after the other is applied, and a joiner of an older version cannot slip in
 * while the last older member is being counted as upgraded. */
#include <stdlib.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "store/store.h"
#include "wire/version.h"

unsigned cluster_version(const struct cluster *cluster)
{
    unsigned version = wire_version();

    if (cluster->members_n == 0)
        return WIRE_VERSION_FIRST;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].info.version < version)
            version = cluster->members[i].info.version;
    return version < WIRE_VERSION_FIRST ? WIRE_VERSION_FIRST : version;
}

bool cluster_knows(const struct cluster *cluster, enum wire_kind kind)
{
    unsigned needed = wire_kind_version(kind);

    return needed > 0 && needed <= cluster_version(cluster);
}

/* --- keeping the records true ----------------------------------------------------------------- */

/* What that member says of itself; 0: nothing now. */
static unsigned announced(const struct cluster *cluster, const struct hub_member *member,
                          bool *ret_aes)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);

    if (hub_is_self(cluster, member->node_id)) {
        *ret_aes = aead_has_aes256gcm();
        return wire_version();
    }
    if (peer == NULL || !peer->known || !hub_is_live(cluster, member->node_id))
        return 0;
    *ret_aes = peer->hello.aes;
    return peer->hello.version;
}

static void written(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct cluster *cluster = arg;

    (void)index;
    cluster->versions_busy = false;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err != QK_OK) /* a lost race or leadership: the next HELLO brings it up again */
        log_debug("cluster", "a member's version was not recorded: %s", qk_err_text(err));
}

static enum qk_err put_next(struct cluster *cluster, struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_NEXT);
    struct record record;
    enum qk_err err = store_get(cluster->service->store, record_key_bytes(&key), &record);

    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), record.version + 1, 0, record.value);
    return err;
}

static void propose(struct cluster *cluster, const struct hub_member *member, unsigned version,
                    bool aes)
{
    struct record_key key = record_member(member->node_id);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member info = member->info;
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    info.version = version;
    info.aes = aes;
    system_member_encode(&info, &value);
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), member->version + 1, 0, buf_bytes(&value));
    err = put_next(cluster, &command);
    if (err == QK_OK)
        err = buf_error(&value);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, written, cluster);
    cluster->versions_busy = err == QK_OK;
    wire_command_fini(&command);
    buf_fini(&value);
    if (err != QK_OK)
        return;
    if (version != member->info.version)
        log_info("cluster", "%s runs version %u of the formats now, %u before", member->info.name,
                 version, member->info.version);
    if (!aes && hub_needs_aes(cluster))
        log_error("cluster",
                  "%s has no AES instructions any more: it can't serve what is sealed with them",
                  member->info.name);
}

void hub_versions_drive(struct cluster *cluster)
{
    const struct consensus *consensus = cluster->service->consensus;

    if (cluster->versions_busy || cluster->restoring || cluster->stopped || consensus == NULL ||
        !cluster_is_leader(cluster) || cluster->leader_term != consensus_term(consensus))
        return;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];
        bool aes = false;
        unsigned version = announced(cluster, member, &aes);

        if (member->version == 0 || version == 0 ||
            (version == member->info.version && aes == member->info.aes))
            continue;
        propose(cluster, member, version, aes);
        return;
    }
}
