/* The leader decides on a join: one command consumes the token, allocates x and Raft id and writes
 * the member record; a lost race is decided again.
 *
 * A joiner that was lost before it ever took part (its machine died, or its disk was wiped after
 * the answer) leaves a joining member that nothing depends on. A new joiner of that name takes its
 * place: the same command removes the old record, under conditions that it is in no final deal, and
 * begins a new attempt, so that no deal under way includes it or is finished. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "store/store.h"

#define JOIN_ROUNDS_MAX 8

/* One request being decided by this leader. */
struct admission {
    struct cluster *cluster;
    unsigned slot; /* in cluster->joins */
    uint32_t request;
    unsigned rounds;
    uint8_t token_id[TOKEN_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    struct system_member info; /* what will be its record */
    bool replaces;             /* the joining member `old_id`, lost */
    uint8_t old_id[NODE_ID_BYTES];
    uint64_t old_version;
    uint8_t gives_up[NODE_ID_BYTES]; /* what the joiner's directory holds now */
};

enum qk_err hub_join_token_read(struct cluster *cluster, const uint8_t *token_id,
                                struct record *ret_record, struct system_token *ret_token)
{
    struct record_key key = record_token(token_id);
    enum qk_err err = store_get(cluster->service->store, record_key_bytes(&key), ret_record);

    if (err == QK_OK)
        err = system_token_decode(ret_record->value, ret_token);
    if (err == QK_OK && ret_token->expiry_s <= (uint64_t)time(NULL))
        err = QK_ERR_EXPIRED;
    return err;
}

/* --- deciding -------------------------------------------------------------------------------- */

static bool name_good(struct bytes name)
{
    if (name.len == 0 || name.len > NODE_NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

/* Joining, away, and in no deal that is final: its share opens nothing that is in use. */
static bool is_lost(const struct cluster *cluster, const struct hub_member *member)
{
    size_t i;

    if (member->version == 0 || member->info.state != MEMBER_JOINING ||
        hub_is_live(cluster, member->node_id))
        return false;
    return cluster->record == NULL || !hub_is_final(cluster) ||
           deal_record_find(cluster->record, member->node_id, &i) != QK_OK;
}

static void replace(struct admission *a, const struct hub_member *member)
{
    a->replaces = true;
    memcpy(a->old_id, member->node_id, NODE_ID_BYTES);
    a->old_version = member->version;
}

/* What stands against it among the members, for people; NULL if nothing. A member that leaves, or
 * that is to, because this one takes its place, lends its name. */
static const char *member_objection(const struct cluster *cluster, struct admission *a)
{
    a->replaces = false;
    if (cluster->members_n >= NODES_MAX)
        return "the cluster has as many members as it can";
    if (a->info.version < cluster_version(cluster))
        return "its program is older than what this cluster already uses: install the members' "
               "version of Quorumkeep on it and join again";
    if (!a->info.aes && hub_needs_aes(cluster))
        return "its processor has no AES instructions, or it may not use them "
               "(crypto.hardware_aes), "
               "and the policy of this cluster allows the suite aes-256-gcm ('quorumkeep key "
               "policy')";
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const struct hub_member *member = &cluster->members[i];

        if (memcmp(member->node_id, a->node_id, NODE_ID_BYTES) == 0 ||
            memcmp(member->info.noise_pk, a->info.noise_pk, sizeof(a->info.noise_pk)) == 0)
            return "a member has that identity already";
        if (strcmp(member->info.name, a->info.name) != 0 || member->info.state == MEMBER_LEAVING ||
            (member->info.state == MEMBER_ACTIVE &&
             memcmp(member->node_id, a->info.replaces, NODE_ID_BYTES) == 0))
            continue;
        if (!is_lost(cluster, member))
            return "a member has that name already: choose another with --name or, if this node "
                   "takes its place, use a token of 'quorumkeep node invite --replace NAME'";
        replace(a, member);
    }
    return NULL;
}

static void admission_refuse(struct admission *a, enum qk_err err, const char *reason)
{
    struct cluster *cluster = a->cluster;

    if (cluster->joins[a->slot].used && cluster->joins[a->slot].request == a->request)
        hub_join_slot_refuse(cluster, a->slot, a->token_id, err, reason);
    free(a);
}

static void admission_accept(struct admission *a)
{
    struct cluster *cluster = a->cluster;
    char node[2 * NODE_ID_BYTES + 1], old[2 * NODE_ID_BYTES + 1];

    hex_encode(a->node_id, NODE_ID_BYTES, node);
    hex_encode(a->old_id, NODE_ID_BYTES, old);
    audit_event(cluster->service->audit, "join_accepted", "node", node, "name", a->info.name,
                "instead_of", a->replaces ? old : NULL, NULL);
    log_info("join", "%s may join", a->info.name);
    if (cluster->joins[a->slot].used && cluster->joins[a->slot].request == a->request)
        hub_join_slot_accept(cluster, a->slot, &a->info);
    free(a);
}

static const char *token_objection(enum qk_err err)
{
    if (err == QK_ERR_NOT_FOUND)
        return "this cluster knows no such token: make one with 'quorumkeep node invite'";
    if (err == QK_ERR_EXPIRED)
        return "the token has expired: make another with 'quorumkeep node invite'";
    if (err == QK_ERR_EXISTS)
        return "the token was used already: make another with 'quorumkeep node invite'";
    return qk_err_text(err);
}

static void admission_round(struct admission *a);

static void admission_applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct admission *a = arg;

    (void)index;
    if (a->cluster->stopped) {
        free(a);
        return;
    }
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err == QK_OK)
        admission_accept(a);
    else if (err == QK_ERR_CONFLICT && ++a->rounds < JOIN_ROUNDS_MAX)
        admission_round(a);
    else
        admission_refuse(a, err,
                         err == QK_ERR_UNKNOWN_OUTCOME
                             ? "leadership changed meanwhile: try again with the same token"
                             : "the join could not be recorded: try again");
}

static void put_replaced(const struct admission *a, struct wire_command *command)
{
    struct cluster *cluster = a->cluster;
    struct record_key old = record_member(a->old_id);
    struct record_key deal = record_system(RECORD_SYS, RECORD_DEAL);
    struct record_key final = record_system(RECORD_SYS, RECORD_DEAL_FINAL);
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);

    wire_command_cond(command, record_key_bytes(&old), a->old_version);
    wire_command_cond(command, record_key_bytes(&deal), cluster->deal_version);
    wire_command_cond(command, record_key_bytes(&final), cluster->final_version);
    wire_command_delete(command, record_key_bytes(&old));
    wire_command_put(command, record_key_bytes(&begin), hub_version_of(cluster, &begin) + 1, 0,
                     bytes_of(cluster->service->node_id, NODE_ID_BYTES));
}

/* What hub_replace_objection went by. */
static void put_judged(const struct admission *a, struct wire_command *command)
{
    struct record_key settings = record_system(RECORD_SYS, RECORD_CLUSTER);
    struct record_key removal = record_system(RECORD_SYS, SYSTEM_REMOVAL);
    struct record_key control = record_system(RECORD_SYS, RECORD_CONTROL);

    wire_command_cond(command, record_key_bytes(&settings), a->cluster->settings_version);
    wire_command_cond(command, record_key_bytes(&removal), a->cluster->removal_version);
    wire_command_cond(command, record_key_bytes(&control), a->cluster->control_version);
}

static enum qk_err admission_command(struct admission *a, const struct record *token_record,
                                     const struct system_token *token, struct wire_command *command)
{
    struct cluster *cluster = a->cluster;
    struct record_key next_key = record_system(RECORD_SYS, RECORD_NEXT);
    struct record_key token_key = record_token(a->token_id);
    struct record_key member_key = record_member(a->node_id);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_token used = *token;
    struct system_next next;
    struct record record;
    uint64_t token_version = token_record->version;
    enum qk_err err;

    used.used = true;
    memcpy(used.used_by, a->info.noise_pk, sizeof(used.used_by));
    system_token_encode(&used, &value);
    wire_command_batch(command);
    if (hub_id_is_set(a->gives_up))
        put_judged(a, command);
    if (a->replaces)
        put_replaced(a, command);
    wire_command_put(command, record_key_bytes(&token_key), token_version + 1, 0,
                     buf_bytes(&value));
    err = store_get(cluster->service->store, record_key_bytes(&next_key), &record);
    if (err == QK_OK)
        err = system_next_decode(record.value, &next);
    if (err != QK_OK)
        goto out;
    a->info.x = next.x++;
    a->info.raft_id = next.raft_id++;
    buf_reset(&value);
    system_next_encode(&next, &value);
    wire_command_put(command, record_key_bytes(&next_key), record.version + 1, 0,
                     buf_bytes(&value));
    buf_reset(&value);
    system_member_encode(&a->info, &value);
    wire_command_put(command, record_key_bytes(&member_key), 1, 0, buf_bytes(&value));
    err = buf_error(&value);

out:
    buf_fini(&value);
    return err;
}

static void admission_submit(struct admission *a, const struct record *token_record,
                             const struct system_token *token)
{
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    wire_command_begin(&command, WIRE_MEMBER);
    err = admission_command(a, token_record, token, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(a->cluster->service->consensus, bytes, admission_applied, a);
    wire_command_fini(&command);
    if (err != QK_OK)
        admission_refuse(a, err, "the join could not be recorded: try again");
}

static void admission_round(struct admission *a)
{
    struct cluster *cluster = a->cluster;
    const struct hub_member *member;
    struct system_token token;
    struct record record;
    const char *objection;
    char reason[CLUSTER_REASON_BYTES];
    enum qk_err err = QK_ERR_NOT_LEADER;

    hub_refresh(cluster); /* who was admitted within this turn counts, too */
    member = hub_member_find(cluster, a->node_id);

    if (cluster_is_leader(cluster) && cluster->seal.state == SEAL_UNSEALED)
        err = hub_join_token_read(cluster, a->token_id, &record, &token);
    if (err == QK_OK && token.used &&
        memcmp(token.used_by, a->info.noise_pk, sizeof(token.used_by)) != 0)
        err = QK_ERR_EXISTS;
    if (err != QK_OK) {
        admission_refuse(a, err, token_objection(err));
        return;
    }
    if (token.used) { /* by this very joiner, which lost the answer */
        if (member == NULL) {
            admission_refuse(a, QK_ERR_EXISTS, token_objection(QK_ERR_EXISTS));
            return;
        }
        a->info = member->info;
        a->replaces = false;
        admission_accept(a);
        return;
    }
    memcpy(a->info.replaces, token.replaces, NODE_ID_BYTES);
    if (hub_replace_objection(cluster, token.replaces, a->gives_up, reason)) {
        admission_refuse(a, QK_ERR_CONFLICT, reason);
        return;
    }
    objection = member_objection(cluster, a);
    if (objection != NULL)
        admission_refuse(a, QK_ERR_CONFLICT, objection);
    else
        admission_submit(a, &record, &token);
}

static void copy_text(char *out, size_t size, struct bytes text)
{
    size_t len = text.len < size ? text.len : size - 1;

    if (len > 0)
        memcpy(out, text.data, len);
    out[len] = '\0';
}

void hub_join_admit(struct cluster *cluster, unsigned slot, const uint8_t *token_id,
                    const struct peer_join_request *join)
{
    struct admission *a;

    if (!name_good(join->name)) {
        hub_join_slot_refuse(cluster, slot, token_id, QK_ERR_INVALID,
                             "a node's name has 1 to 64 letters, digits, '-', '_' and '.'");
        return;
    }
    a = calloc(1, sizeof(*a));
    if (a == NULL)
        return;
    a->cluster = cluster;
    a->slot = slot;
    a->request = cluster->joins[slot].request;
    memcpy(a->token_id, token_id, TOKEN_ID_BYTES);
    memcpy(a->node_id, join->node_id, NODE_ID_BYTES);
    memcpy(a->gives_up, join->gives_up, NODE_ID_BYTES);
    copy_text(a->info.name, sizeof(a->info.name), join->name);
    copy_text(a->info.peer_address, sizeof(a->info.peer_address), join->peer_address);
    copy_text(a->info.client_address, sizeof(a->info.client_address), join->client_address);
    memcpy(a->info.noise_pk, join->noise_pk, sizeof(a->info.noise_pk));
    a->info.state = MEMBER_JOINING;
    a->info.joined_s = (uint64_t)time(NULL);
    a->info.version = join->version;
    a->info.aes = join->aes;
    admission_round(a);
}
