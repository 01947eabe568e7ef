/* The members as this node knows them: one entry a member record, kept current by the store's
 * watch. A joiner whose log is still empty uses what its inviter told it (provisional entries),
 * also after a restart, until the first records arrive. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "service/cluster/hub.h"
#include "store/store.h"

#define LOCAL_NAME "join"

struct hub_member *hub_member_find(struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &cluster->members[i];
    return NULL;
}

const struct hub_member *hub_member_of_raft(const struct cluster *cluster, uint64_t raft_id)
{
    if (raft_id == 0) /* of a member whose id is not known yet */
        return NULL;
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (cluster->members[i].info.raft_id == raft_id)
            return &cluster->members[i];
    return NULL;
}

static struct hub_member *member_make(struct cluster *cluster, const uint8_t *node_id)
{
    struct hub_member *member = hub_member_find(cluster, node_id);

    if (member != NULL)
        return member;
    if (cluster->members_n == NODES_MAX) {
        log_error("cluster", "more than %d member records", NODES_MAX);
        return NULL;
    }
    member = &cluster->members[cluster->members_n++];
    memset(member, 0, sizeof(*member));
    memcpy(member->node_id, node_id, NODE_ID_BYTES);
    return member;
}

static void member_drop(struct cluster *cluster, const uint8_t *node_id)
{
    struct hub_member *member = hub_member_find(cluster, node_id);

    if (member == NULL)
        return;
    *member = cluster->members[--cluster->members_n];
    cluster->peers_dirty = true;
}

static void member_set(struct cluster *cluster, const uint8_t *node_id, const struct record *record)
{
    struct system_member info;
    struct hub_member *member;

    if (system_member_decode(record->value, &info) != QK_OK) {
        log_error("cluster", "store.mdb: a member record is damaged");
        return;
    }
    member = member_make(cluster, node_id);
    if (member == NULL || record->version < member->version)
        return;
    member->info = info;
    member->version = record->version;
    cluster->peers_dirty = true;
}

void hub_members_changed(struct cluster *cluster, struct bytes key)
{
    uint8_t node_id[NODE_ID_BYTES];
    struct record record;
    enum qk_err err;

    if (key.len == 0) {
        hub_members_load(cluster);
        return;
    }
    if (record_member_id(key, node_id) != QK_OK)
        return;
    err = store_get(cluster->service->store, key, &record);
    if (err == QK_OK)
        member_set(cluster, node_id, &record);
    else if (err == QK_ERR_NOT_FOUND)
        member_drop(cluster, node_id);
    else
        hub_store_result(cluster, err);
}

/* --- provisional ----------------------------------------------------------------------------- */

static void provisional_fill(struct hub_member *member, const struct peer_join_member *told)
{
    member->info.raft_id = told->raft_id;
    member->info.state = MEMBER_ACTIVE;
    memcpy(member->info.noise_pk, told->noise_pk, sizeof(member->info.noise_pk));
    if (told->peer_address.len <= ADDRESS_BYTES_MAX) {
        memcpy(member->info.peer_address, told->peer_address.data, told->peer_address.len);
        member->info.peer_address[told->peer_address.len] = '\0';
    }
}

/* The link takes no key twice. */
static bool key_is_known(const struct cluster *cluster, const uint8_t *pk)
{
    for (unsigned i = 0; i < cluster->members_n; i++)
        if (memcmp(cluster->members[i].info.noise_pk, pk,
                   sizeof(cluster->members[i].info.noise_pk)) == 0)
            return true;
    return false;
}

static void provisional_set(struct cluster *cluster, const struct peer_join_accept *accept)
{
    for (unsigned i = 0; i < accept->members_n; i++) {
        const struct peer_join_member *told = &accept->members[i];
        struct hub_member *member;

        if (memcmp(told->node_id, cluster->service->node_id, NODE_ID_BYTES) == 0)
            continue;
        member = member_make(cluster, told->node_id);
        if (member == NULL || member->version > 0)
            continue;
        provisional_fill(member, told);
        cluster->peers_dirty = true;
    }
}

void hub_members_introduced(struct cluster *cluster, const struct peer_join_member *members,
                            unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct hub_member *member = hub_member_find(cluster, members[i].node_id);

        if (member != NULL || key_is_known(cluster, members[i].noise_pk))
            continue;
        member = member_make(cluster, members[i].node_id);
        if (member == NULL)
            return;
        member->introduced = true;
        provisional_fill(member, &members[i]);
        cluster->peers_dirty = true;
    }
}

static void provisional_load(struct cluster *cluster)
{
    struct peer_message *message = malloc(sizeof(*message));
    struct bytes value;

    if (message == NULL)
        return;
    if (store_local_get(cluster->service->store, LOCAL_NAME, &value) == QK_OK &&
        peer_decode(value, message) == QK_OK && message->kind == PEER_JOIN_ACCEPT)
        provisional_set(cluster, &message->as.join_accept);
    free(message);
}

/* Only now may the cluster hear of this node: one that gives a generation and then falls without
 * knowing its peers could neither go on nor be joined anew. */
static void provisional_kept(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;

    if (err != QK_OK || cluster->stopped || !cluster->booted)
        return;
    provisional_load(cluster);
    hub_members_publish(cluster);
}

/* Without the psk: that is in node.sec. */
void hub_members_provisional(struct cluster *cluster, const struct peer_join_accept *accept)
{
    static const uint8_t no_psk[PEER_KEY_BYTES];
    struct buf out = BUF_INIT(STORE_LOCAL_VALUE_BYTES_MAX);
    struct peer_message *message = malloc(sizeof(*message));

    if (message == NULL)
        return;
    message->kind = PEER_JOIN_ACCEPT;
    message->as.join_accept = *accept;
    message->as.join_accept.psk = bytes_of(no_psk, sizeof(no_psk));
    if (peer_encode(message, &out) != QK_OK ||
        store_local_put(cluster->service->store, LOCAL_NAME, buf_bytes(&out), provisional_kept,
                        cluster) != QK_OK)
        log_warn("cluster", "the members told at the join were not kept");
    free(message);
    buf_fini(&out);
}

/* --- known by a record only ------------------------------------------------------------------ */

void hub_members_adopt(struct cluster *cluster)
{
    for (size_t i = 0; i < cluster->record->n; i++) {
        const struct deal_member *named = &cluster->record->members[i];
        struct hub_member *member = hub_member_find(cluster, named->node);

        if (member != NULL)
            continue;
        member = member_make(cluster, named->node);
        if (member == NULL)
            continue;
        member->by_record = true;
        member->info.x = named->x;
        member->info.state = MEMBER_ACTIVE;
        memcpy(member->info.noise_pk, named->noise_pk, sizeof(member->info.noise_pk));
        cluster->peers_dirty = true;
    }
}

void hub_members_heard(struct cluster *cluster, const struct peer_hello *hello)
{
    struct hub_member *member = hub_member_find(cluster, hello->node_id);

    if (member != NULL && member->version == 0 && member->by_record)
        member->info.raft_id = hello->raft_id;
}

/* --- loading and telling --------------------------------------------------------------------- */

static void members_scan(struct cluster *cluster)
{
    struct record_key prefix = record_members_prefix();
    struct store_cursor *cursor = NULL;
    struct store_row row;
    uint8_t node_id[NODE_ID_BYTES];
    enum qk_err err = store_cursor_open_prefix(cluster->service->store, record_key_bytes(&prefix),
                                               false, &cursor);

    while (err == QK_OK && (err = store_cursor_next(cursor, &row)) == QK_OK)
        if (record_member_id(row.key, node_id) == QK_OK)
            member_set(cluster, node_id, &row.record);
    store_cursor_close(cursor);
    hub_store_result(cluster, err);
}

void hub_members_load(struct cluster *cluster)
{
    bool known[NODES_MAX];
    uint8_t ids[NODES_MAX][NODE_ID_BYTES];
    unsigned n = cluster->members_n;

    for (unsigned i = 0; i < n; i++) {
        known[i] = cluster->members[i].known;
        memcpy(ids[i], cluster->members[i].node_id, NODE_ID_BYTES);
    }
    cluster->members_n = 0;
    members_scan(cluster);
    if (cluster->record != NULL && cluster->record->epoch > 0 && cluster->members_n > 0)
        hub_members_adopt(cluster);
    if (cluster->members_n == 0)
        provisional_load(cluster);
    if (cluster->members_n == 0 && cluster->restoring)
        hub_members_cached(cluster);
    for (unsigned i = 0; i < n; i++) {
        struct hub_member *member = hub_member_find(cluster, ids[i]);

        if (member != NULL)
            member->known = known[i];
    }
    cluster->peers_dirty = true;
}

void hub_member_cached(struct cluster *cluster, const uint8_t *node_id,
                       const struct system_member *info)
{
    struct hub_member *member = member_make(cluster, node_id);

    if (member == NULL || member->version > 0)
        return;
    member->info = *info;
    cluster->peers_dirty = true;
}

/* Once this node's own record is here, the members told at the join have done their work: whoever
 * has no record then was removed. Those that a member named later may have joined after what this
 * node's log holds: they stay until this node is a full member, and not held. */
static void provisional_end(struct cluster *cluster)
{
    struct hub_member *self = hub_member_find(cluster, cluster->service->node_id);
    bool joining = hub_takes_introductions(cluster);

    if (self == NULL || self->version == 0)
        return;
    for (unsigned i = cluster->members_n; i-- > 0;)
        if (cluster->members[i].version == 0 && !cluster->members[i].by_record &&
            !(joining && cluster->members[i].introduced)) {
            cluster->members[i] = cluster->members[--cluster->members_n];
            cluster->peers_dirty = true;
        }
}

void hub_members_restored(struct cluster *cluster)
{
    members_scan(cluster);
    provisional_end(cluster);
    cluster->peers_dirty = true;
}

static void publish_link(struct cluster *cluster)
{
    struct link_peer_info *peers = calloc(NODES_MAX, sizeof(*peers));
    size_t n = 0;
    enum qk_err err;

    if (peers == NULL || cluster->service->link == NULL) {
        free(peers);
        return;
    }
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        memcpy(peers[n].node_id, member->node_id, NODE_ID_BYTES);
        memcpy(peers[n].pk, member->info.noise_pk, LINK_PK_BYTES);
        memcpy(peers[n].address, member->info.peer_address, sizeof(peers[n].address));
        n++;
    }
    err = link_set_peers(cluster->service->link, peers, n);
    if (err != QK_OK)
        log_error("cluster", "the list of peers was refused: %s", qk_err_text(err));
    free(peers);
}

static void publish_seal(struct cluster *cluster)
{
    struct seal_config config = {0};
    struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &config};

    config.recoverable = cluster->recovery_version > 0;
    config.attest = cluster->ops.attest != NULL;
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        if (member->version == 0 && !member->by_record)
            continue;
        config.members[config.members_n].leaving = member->info.state == MEMBER_LEAVING;
        memcpy(config.members[config.members_n++].node_id, member->node_id, NODE_ID_BYTES);
    }
    hub_control_fill(cluster, &config);
    hub_seal(cluster, &event);
}

void hub_members_publish(struct cluster *cluster)
{
    provisional_end(cluster);
    if (!cluster->peers_dirty)
        return;
    cluster->peers_dirty = false;
    publish_link(cluster);
    publish_seal(cluster);
    if (!cluster->restoring)
        hub_members_save(cluster);
}
