#include "service/system.h"

#include <assert.h>
#include <string.h>

#include "seal/release.h"
#include "wire/pack.h"
#include "wire/version.h"

#define SYSTEM_VERSION 1
#define FIELDS_MAX 32 /* a newer version may append some */

/* --- framing --------------------------------------------------------------------------------- */

static void begin(struct buf *out, uint32_t fields_n)
{
    pack_array(out, fields_n + 1);
    pack_u64(out, SYSTEM_VERSION);
}

/* Opens a record of at least `fields_n` fields; `ret_more` is how many follow them. */
static void open_fields(struct unpack *in, uint32_t fields_n, uint32_t *ret_more)
{
    uint32_t items_n = unpack_array(in, FIELDS_MAX + 1);

    *ret_more = 0;
    if (unpack_u64(in) != SYSTEM_VERSION || items_n < fields_n + 1) {
        if (in->failed == QK_OK)
            in->failed = QK_ERR_INVALID;
        return;
    }
    *ret_more = items_n - fields_n - 1;
}

static enum qk_err close_fields(struct unpack *in, uint32_t more)
{
    for (uint32_t i = 0; i < more; i++)
        unpack_skip(in);
    return unpack_end(in) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

static void put_text(struct buf *out, const char *text)
{
    pack_str(out, bytes_str(text));
}

/* --- members --------------------------------------------------------------------------------- */

void system_member_encode(const struct system_member *member, struct buf *out)
{
    begin(out, 11);
    put_text(out, member->name);
    pack_u64(out, member->x);
    pack_u64(out, member->raft_id);
    pack_bin(out, bytes_of(member->noise_pk, sizeof(member->noise_pk)));
    put_text(out, member->peer_address);
    put_text(out, member->client_address);
    pack_u64(out, member->state);
    pack_u64(out, member->joined_s);
    pack_u64(out, member->version);
    pack_bin(out, bytes_of(member->replaces, NODE_ID_BYTES));
    pack_u64(out, member->aes ? 1 : 0);
}

enum qk_err system_member_decode(struct bytes in, struct system_member *ret_member)
{
    struct unpack unpack = unpack_of(in);
    struct system_member member;
    uint32_t more;
    uint64_t state;

    assert(ret_member != NULL);

    memset(&member, 0, sizeof(member));
    open_fields(&unpack, 8, &more);
    unpack_str_copy(&unpack, member.name, sizeof(member.name));
    member.x = (uint32_t)unpack_u64_max(&unpack, UINT32_MAX);
    member.raft_id = unpack_u64(&unpack);
    unpack_bin_copy(&unpack, member.noise_pk, sizeof(member.noise_pk));
    unpack_str_copy(&unpack, member.peer_address, sizeof(member.peer_address));
    unpack_str_copy(&unpack, member.client_address, sizeof(member.client_address));
    state = unpack_u64_max(&unpack, MEMBER_LEAVING);
    member.joined_s = unpack_u64(&unpack);
    member.version = WIRE_VERSION_FIRST;
    if (more > 0) { /* records of the first version end here */
        member.version = (unsigned)unpack_u64_max(&unpack, UINT16_MAX);
        more--;
    }
    if (more > 0) {
        unpack_bin_copy(&unpack, member.replaces, NODE_ID_BYTES);
        more--;
    }
    if (more > 0) {
        member.aes = unpack_u64_max(&unpack, 1) != 0;
        more--;
    }
    if (close_fields(&unpack, more) != QK_OK || state == 0 || member.x == 0 || member.raft_id == 0)
        return QK_ERR_CORRUPT;
    member.state = (enum member_state)state;
    *ret_member = member;
    return QK_OK;
}

const char *system_member_state_text(enum member_state state)
{
    switch (state) {
    case MEMBER_JOINING:
        return "joining";
    case MEMBER_ACTIVE:
        return "member";
    case MEMBER_LEAVING:
        return "leaving";
    }
    return "unknown";
}

/* --- the cluster ----------------------------------------------------------------------------- */

void system_cluster_encode(const struct system_cluster *cluster, struct buf *out)
{
    begin(out, 9);
    pack_bin(out, bytes_of(cluster->id, CLUSTER_ID_BYTES));
    put_text(out, cluster->name);
    pack_u64(out, cluster->created_s);
    pack_bin(out, bytes_of(cluster->operator_pk, sizeof(cluster->operator_pk)));
    pack_u64(out, cluster->unseal_quorum);
    pack_u64(out, cluster->threshold);
    pack_u64(out, cluster->release_limit);
    pack_bin(out, bytes_of(cluster->origin, CLUSTER_ID_BYTES));
    pack_u64(out, cluster->refresh_s);
}

enum qk_err system_cluster_decode(struct bytes in, struct system_cluster *ret_cluster)
{
    struct unpack unpack = unpack_of(in);
    struct system_cluster cluster;
    uint32_t more;

    assert(ret_cluster != NULL);

    memset(&cluster, 0, sizeof(cluster));
    open_fields(&unpack, 6, &more);
    unpack_bin_copy(&unpack, cluster.id, CLUSTER_ID_BYTES);
    unpack_str_copy(&unpack, cluster.name, sizeof(cluster.name));
    cluster.created_s = unpack_u64(&unpack);
    unpack_bin_copy(&unpack, cluster.operator_pk, sizeof(cluster.operator_pk));
    cluster.unseal_quorum = (uint32_t)unpack_u64_max(&unpack, NODES_MAX);
    cluster.threshold = (uint32_t)unpack_u64_max(&unpack, THRESHOLD_MAX);
    if (more > 0) { /* records of the first version end here */
        cluster.release_limit = (uint32_t)unpack_u64_max(&unpack, RELEASE_LIMIT_MAX - 1);
        more--;
    }
    if (more > 0) {
        unpack_bin_copy(&unpack, cluster.origin, CLUSTER_ID_BYTES);
        more--;
    }
    cluster.refresh_s = SYSTEM_REFRESH_S_DEFAULT;
    if (more > 0) {
        cluster.refresh_s = (uint32_t)unpack_u64_max(&unpack, UINT32_MAX);
        more--;
    }
    if (close_fields(&unpack, more) != QK_OK || cluster.unseal_quorum == 1 || cluster.threshold < 2)
        return QK_ERR_CORRUPT;
    *ret_cluster = cluster;
    return QK_OK;
}

const uint8_t *system_cluster_origin(const struct system_cluster *cluster)
{
    static const uint8_t none[CLUSTER_ID_BYTES];

    return memcmp(cluster->origin, none, sizeof(none)) == 0 ? cluster->id : cluster->origin;
}

void system_next_encode(const struct system_next *next, struct buf *out)
{
    begin(out, 2);
    pack_u64(out, next->x);
    pack_u64(out, next->raft_id);
}

enum qk_err system_next_decode(struct bytes in, struct system_next *ret_next)
{
    struct unpack unpack = unpack_of(in);
    struct system_next next;
    uint32_t more;

    assert(ret_next != NULL);

    open_fields(&unpack, 2, &more);
    next.x = (uint32_t)unpack_u64_max(&unpack, UINT32_MAX);
    next.raft_id = unpack_u64(&unpack);
    if (close_fields(&unpack, more) != QK_OK || next.x == 0 || next.raft_id == 0)
        return QK_ERR_CORRUPT;
    *ret_next = next;
    return QK_OK;
}

/* --- tokens ---------------------------------------------------------------------------------- */

void system_token_encode(const struct system_token *token, struct buf *out)
{
    begin(out, 6);
    pack_u64(out, token->expiry_s);
    pack_bool(out, token->used);
    pack_bin(out, bytes_of(token->used_by, sizeof(token->used_by)));
    pack_bin(out, bytes_of(token->inviter, NODE_ID_BYTES));
    pack_bin(out, token->sealed_psk);
    pack_bin(out, bytes_of(token->replaces, NODE_ID_BYTES));
}

enum qk_err system_token_decode(struct bytes in, struct system_token *ret_token)
{
    struct unpack unpack = unpack_of(in);
    struct system_token token;
    uint32_t more;

    assert(ret_token != NULL);

    memset(&token, 0, sizeof(token));
    open_fields(&unpack, 5, &more);
    token.expiry_s = unpack_u64(&unpack);
    token.used = unpack_bool(&unpack);
    unpack_bin_copy(&unpack, token.used_by, sizeof(token.used_by));
    unpack_bin_copy(&unpack, token.inviter, NODE_ID_BYTES);
    token.sealed_psk = unpack_bin(&unpack, 256);
    if (more > 0) { /* records of the first version end here */
        unpack_bin_copy(&unpack, token.replaces, NODE_ID_BYTES);
        more--;
    }
    if (close_fields(&unpack, more) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_token = token;
    return QK_OK;
}

/* --- deals ----------------------------------------------------------------------------------- */

static void put_nodes(struct buf *out, const uint8_t (*nodes)[NODE_ID_BYTES], unsigned n)
{
    pack_array(out, n);
    for (unsigned i = 0; i < n; i++)
        pack_bin(out, bytes_of(nodes[i], NODE_ID_BYTES));
}

static unsigned get_nodes(struct unpack *in, uint8_t (*ret_nodes)[NODE_ID_BYTES])
{
    unsigned n = unpack_array(in, NODES_MAX);

    for (unsigned i = 0; i < n; i++)
        unpack_bin_copy(in, ret_nodes[i], NODE_ID_BYTES);
    return n;
}

void system_deal_info_encode(const struct system_deal_info *info, struct buf *out)
{
    begin(out, 6);
    pack_u64(out, info->attempt);
    pack_bool(out, info->new_mk);
    put_nodes(out, info->parts, info->parts_n);
    pack_u64(out, info->created_s);
    pack_bool(out, info->new_keys);
    put_nodes(out, info->stale, info->stale_n);
}

enum qk_err system_deal_info_decode(struct bytes in, struct system_deal_info *ret_info)
{
    struct unpack unpack = unpack_of(in);
    uint32_t more;

    assert(ret_info != NULL);

    memset(ret_info, 0, sizeof(*ret_info));
    open_fields(&unpack, 3, &more);
    ret_info->attempt = unpack_u64(&unpack);
    ret_info->new_mk = unpack_bool(&unpack);
    ret_info->parts_n = get_nodes(&unpack, ret_info->parts);
    if (more >= 3) { /* else of a version that knew no removal */
        ret_info->created_s = unpack_u64(&unpack);
        ret_info->new_keys = unpack_bool(&unpack);
        ret_info->stale_n = get_nodes(&unpack, ret_info->stale);
        more -= 3;
    }
    if (close_fields(&unpack, more) == QK_OK)
        return QK_OK;
    memset(ret_info, 0, sizeof(*ret_info));
    return QK_ERR_CORRUPT;
}

/* --- hold and suspensions -------------------------------------------------------------------- */

void system_control_encode(const struct system_control *control, struct buf *out)
{
    begin(out, 4);
    pack_bool(out, control->hold);
    pack_u64(out, control->hold_number);
    pack_u64(out, control->hold_since_s);
    pack_array(out, control->suspended_n);
    for (unsigned i = 0; i < control->suspended_n; i++)
        pack_bin(out, bytes_of(control->suspended[i], NODE_ID_BYTES));
}

enum qk_err system_control_decode(struct bytes in, struct system_control *ret_control)
{
    struct unpack unpack = unpack_of(in);
    struct system_control control;
    uint32_t more;

    assert(ret_control != NULL);

    memset(&control, 0, sizeof(control));
    open_fields(&unpack, 4, &more);
    control.hold = unpack_bool(&unpack);
    control.hold_number = unpack_u64(&unpack);
    control.hold_since_s = unpack_u64(&unpack);
    control.suspended_n = unpack_array(&unpack, NODES_MAX);
    for (unsigned i = 0; i < control.suspended_n; i++)
        unpack_bin_copy(&unpack, control.suspended[i], NODE_ID_BYTES);
    if (close_fields(&unpack, more) != QK_OK || (control.hold && control.hold_number == 0))
        return QK_ERR_CORRUPT;
    *ret_control = control;
    return QK_OK;
}

bool system_is_suspended(const struct system_control *control,
                         const uint8_t node_id[static NODE_ID_BYTES])
{
    for (unsigned i = 0; i < control->suspended_n; i++)
        if (memcmp(control->suspended[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* --- removals and wishes --------------------------------------------------------------------- */

void system_removal_encode(const struct system_removal *removal, struct buf *out)
{
    begin(out, 2);
    pack_bool(out, removal->reencrypt);
    pack_array(out, removal->n);
    for (unsigned i = 0; i < removal->n; i++) {
        const struct system_removed *removed = &removal->list[i];

        pack_array(out, 3);
        pack_bin(out, bytes_of(removed->node_id, NODE_ID_BYTES));
        put_text(out, removed->name);
        pack_u64(out, removed->begun_s);
    }
}

enum qk_err system_removal_decode(struct bytes in, struct system_removal *ret_removal)
{
    struct unpack unpack = unpack_of(in);
    uint32_t more;

    assert(ret_removal != NULL);

    memset(ret_removal, 0, sizeof(*ret_removal));
    open_fields(&unpack, 2, &more);
    ret_removal->reencrypt = unpack_bool(&unpack);
    ret_removal->n = unpack_array(&unpack, NODES_MAX);
    for (unsigned i = 0; i < ret_removal->n; i++) {
        struct system_removed *removed = &ret_removal->list[i];

        if (unpack_array(&unpack, 3) != 3 && unpack.failed == QK_OK)
            unpack.failed = QK_ERR_INVALID;
        unpack_bin_copy(&unpack, removed->node_id, NODE_ID_BYTES);
        unpack_str_copy(&unpack, removed->name, sizeof(removed->name));
        removed->begun_s = unpack_u64(&unpack);
    }
    if (close_fields(&unpack, more) == QK_OK)
        return QK_OK;
    memset(ret_removal, 0, sizeof(*ret_removal));
    return QK_ERR_CORRUPT;
}

void system_wanted_encode(const struct system_wanted *wanted, struct buf *out)
{
    begin(out, 3);
    pack_u64(out, wanted->refresh_epoch);
    pack_u64(out, wanted->rotate_mk);
    pack_bool(out, wanted->new_keys);
}

enum qk_err system_wanted_decode(struct bytes in, struct system_wanted *ret_wanted)
{
    struct unpack unpack = unpack_of(in);
    struct system_wanted wanted = {0};
    uint32_t more;

    assert(ret_wanted != NULL);

    open_fields(&unpack, 2, &more);
    wanted.refresh_epoch = unpack_u64(&unpack);
    wanted.rotate_mk = (uint32_t)unpack_u64_max(&unpack, UINT32_MAX);
    if (more > 0) {
        wanted.new_keys = unpack_bool(&unpack);
        more--;
    }
    if (close_fields(&unpack, more) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_wanted = wanted;
    return QK_OK;
}
