/* `init`: makes a cluster of one.
 *
 * Happy path: ids, MK, psk, identity and operator key are made; node.sec is written; store, log and
 * link open with this node as the only voter; once it leads, one command writes the cluster's
 * settings, the next ids, this node's member record, the keyring, the recovery set and the admin
 * user; the catalog opens; node.sec says that this is a cluster; the reply shows operator key,
 * password and recovery shares, once. Documents are served from then on: after a restart the shares
 * open the node, until a second one has joined. With no recovery shares (0) MK stays in memory
 * only: no document is served until a second node has joined, since a restart would lose it. Any
 * failure takes everything back to uninitialised and says why. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/catalog.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity.h"
#include "service/kv.h"
#include "service/replicator_database.h"
#include "service/cluster/settings.h"
#include "store/store.h"
#include "wire/unhold.h"
#include "wire/version.h"

#define INIT_USER "admin"
#define INIT_PASSWORD_CHARS 24 /* of 32 letters: 120 bits */
#define INIT_REPLY_BYTES_MAX (8 * KIB)
#define INIT_CLUSTER_NAME "quorumkeep"

struct init {
    struct exchange *exchange;
    char name[NODE_NAME_BYTES_MAX + 1];
    uint8_t operator_pk[ED25519_PUBLIC_BYTES];
    struct secret *operator_key;
    struct buf password; /* secret */
    unsigned shares_n, threshold;
    uint32_t unseal_quorum, deal_threshold; /* of the cluster's settings */
    struct buf shares;                      /* secret: the texts of the recovery shares */
    bool submitted;
};

static void init_free(struct init *init)
{
    if (init == NULL)
        return;
    secret_free(init->operator_key);
    buf_fini(&init->password);
    buf_fini(&init->shares);
    free(init);
}

void hub_init_fail(struct cluster *cluster, enum qk_err err, const char *reason)
{
    struct init *init = cluster->init;

    if (init == NULL)
        return;
    cluster->init = NULL;
    log_error("init", "%s: %s", reason, qk_err_text(err));
    exchange_reply_error(init->exchange, 500, "init_failed", "%s", reason);
    init_free(init);
}

/* The attempt is over and what it made is void. */
static void init_undo(struct cluster *cluster, enum qk_err err, const char *reason)
{
    hub_init_fail(cluster, err, reason);
    hub_discard(cluster, HUB_NO_DEAL);
}

/* --- the end --------------------------------------------------------------------------------- */

static enum qk_err operator_text(const struct init *init, struct buf *out)
{
    const uint8_t *key = secret_borrow(init->operator_key);
    enum qk_err err = bech32m_encode(OPERATOR_KEY_PREFIX, bytes_of(key, OPERATOR_SEED_BYTES), out);

    secret_return(init->operator_key);
    return err;
}

/* Written by hand, so that the secrets stay in a buffer that is wiped. Every value is hexadecimal,
 * Bech32m or of the password's letters: nothing to escape. */
static enum qk_err reply_write(const struct cluster *cluster, const struct init *init,
                               struct buf *out)
{
    char cluster_id[2 * CLUSTER_ID_BYTES + 1], node_id[2 * NODE_ID_BYTES + 1];
    enum qk_err err;

    hex_encode(cluster->service->cluster_id, CLUSTER_ID_BYTES, cluster_id);
    hex_encode(cluster->service->node_id, NODE_ID_BYTES, node_id);
    buf_put_str(out, "{\"cluster_id\":\"");
    buf_put_str(out, cluster_id);
    buf_put_str(out, "\",\"node_id\":\"");
    buf_put_str(out, node_id);
    buf_put_str(out, "\",\"operator_key\":\"");
    err = operator_text(init, out);
    buf_put_str(out, "\",\"admin_user\":\"" INIT_USER "\",\"admin_password\":\"");
    buf_put_bytes(out, buf_bytes(&init->password));
    buf_printf(out, "\",\"recovery_threshold\":%u,\"recovery_shares\":", init->threshold);
    hub_recovery_list(buf_bytes(&init->shares), out);
    buf_put_str(out, "}\n");
    return err != QK_OK ? err : buf_error(out);
}

static void init_done(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;
    struct init *init = cluster->init;
    struct buf reply = BUF_SECRET_INIT(INIT_REPLY_BYTES_MAX);
    char cluster_id[2 * CLUSTER_ID_BYTES + 1];

    if (init == NULL || err == QK_ERR_CLOSED)
        return;
    if (err == QK_OK)
        err = reply_write(cluster, init, &reply);
    if (err == QK_OK && init->shares_n > 0)
        err = node_sec_set_founded(cluster->service->node_sec);
    if (err != QK_OK) {
        buf_fini(&reply);
        init_undo(cluster, err, "the catalog could not be opened");
        return;
    }
    cluster->init = NULL;
    hex_encode(cluster->service->cluster_id, CLUSTER_ID_BYTES, cluster_id);
    audit_event(cluster->service->audit, "init", "cluster", cluster_id, NULL);
    log_info("init", "cluster %s made%s", cluster_id,
             init->shares_n > 0 ? "" : "; it serves documents once a second node has joined");
    exchange_reply_bytes(init->exchange, 200, "application/json", buf_bytes(&reply));
    buf_fini(&reply);
    init_free(init);
    hub_refresh_soon(cluster);
}

static void init_applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct cluster *cluster = arg;

    (void)index;
    if (cluster->init == NULL || err == QK_ERR_CLOSED)
        return;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err == QK_OK)
        err = catalog_open(cluster->service, init_done, cluster);
    if (err != QK_OK)
        init_undo(cluster, err, "the first records could not be written");
}

/* --- the first command ----------------------------------------------------------------------- */

static void put_sys(struct wire_command *command, struct record_key key, struct buf *value)
{
    wire_command_put(command, record_key_bytes(&key), 1, 0, buf_bytes(value));
    buf_reset(value);
}

static void put_system(struct cluster *cluster, const struct init *init,
                       struct wire_command *command)
{
    const struct node_sec *sec = cluster->service->node_sec;
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_cluster info = {.created_s = (uint64_t)time(NULL),
                                  .unseal_quorum = init->unseal_quorum,
                                  .threshold = init->deal_threshold,
                                  .refresh_s = SYSTEM_REFRESH_S_DEFAULT};
    struct system_next next = {2, 2};
    struct system_member self = {.x = 1, .raft_id = 1, .state = MEMBER_ACTIVE};

    memcpy(info.id, cluster->service->cluster_id, CLUSTER_ID_BYTES);
    memcpy(info.operator_pk, init->operator_pk, sizeof(info.operator_pk));
    snprintf(info.name, sizeof(info.name), "%s", init->name);
    system_cluster_encode(&info, &value);
    put_sys(command, record_system(RECORD_SYS, RECORD_CLUSTER), &value);
    system_next_encode(&next, &value);
    put_sys(command, record_system(RECORD_SYS, RECORD_NEXT), &value);
    memcpy(self.noise_pk, sec->noise_pk, sizeof(self.noise_pk));
    snprintf(self.name, sizeof(self.name), "%s", cluster->service->node_name);
    snprintf(self.peer_address, sizeof(self.peer_address), "%s", cluster->service->peer_address);
    snprintf(self.client_address, sizeof(self.client_address), "%s",
             cluster->service->client_address);
    self.joined_s = info.created_s;
    self.version = wire_version();
    self.aes = aead_has_aes256gcm();
    system_member_encode(&self, &value);
    put_sys(command, record_member(sec->node_id), &value);
    buf_fini(&value);
}

static enum qk_err put_keyring(struct cluster *cluster, struct wire_command *command)
{
    struct keyring_records records = {0};
    uint8_t space[DATABASE_ID_BYTES];
    enum qk_err err;

    record_space_id(RECORD_KEYRING, space);
    err = keyring_create(cluster->service->cluster_id, cluster->mk, 1, (uint64_t)time(NULL),
                         &records, &cluster->service->keyring);
    if (err != QK_OK)
        return err;
    for (size_t i = 0; i < records.n; i++) {
        struct record_key key =
            record_document(space, bytes_of(records.items[i].name, records.items[i].name_len));

        wire_command_put(command, record_key_bytes(&key), 1, 0, buf_bytes(&records.items[i].value));
    }
    keyring_records_fini(&records);
    integrity_open(cluster->service->integrity);
    return QK_OK;
}

static enum qk_err put_recovery(struct cluster *cluster, struct init *init,
                                struct wire_command *command)
{
    struct recovery_set set;
    enum qk_err err;

    if (init->shares_n == 0)
        return QK_OK;
    err = recovery_set_make(cluster->service->cluster_id, 1, (uint64_t)time(NULL), init->shares_n,
                            init->threshold, 1, cluster->mk, &set, &init->shares);
    return err == QK_OK ? hub_recovery_put(&set, 1, command) : err;
}

static enum qk_err put_user(struct cluster *cluster, const struct init *init,
                            struct wire_command *command)
{
    struct user *user = calloc(1, sizeof(*user));
    struct buf value = BUF_SECRET_INIT(SYSTEM_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err;

    if (user == NULL)
        return QK_ERR_NOMEM;
    random_fill(user->id, sizeof(user->id));
    snprintf(user->name, sizeof(user->name), "%s", INIT_USER);
    user->credential_version = 1;
    user->admin = true;
    err = password_hash(buf_bytes(&init->password), user->password_hash);
    if (err == QK_OK)
        err = catalog_user_key(cluster->service, bytes_str(INIT_USER), key);
    if (err == QK_OK)
        err = catalog_user_seal(cluster->service, user, 1, &value);
    if (err == QK_OK)
        wire_command_put(command, bytes_of(key, sizeof(key)), 1, 0, buf_bytes(&value));
    buf_fini(&value);
    secret_wipe(user, sizeof(*user));
    free(user);
    return err;
}

static void init_submit(struct cluster *cluster, struct init *init)
{
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    init->submitted = true;
    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    put_system(cluster, init, &command);
    err = put_keyring(cluster, &command);
    if (err == QK_OK)
        err = put_recovery(cluster, init, &command);
    if (err == QK_OK)
        err = put_user(cluster, init, &command);
    if (err == QK_OK)
        err = kv_mount_put(cluster->service, &command);
    if (err == QK_OK)
        err = replicator_mount_put(cluster->service, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, init_applied, cluster);
    wire_command_fini(&command);
    if (err != QK_OK)
        init_undo(cluster, err, "the first records could not be made");
}

void hub_init_changed(struct cluster *cluster)
{
    struct init *init = cluster->init;

    if (init == NULL || init->submitted || cluster->leader_term == 0 || !cluster_is_leader(cluster))
        return;
    init_submit(cluster, init);
}

/* --- the beginning --------------------------------------------------------------------------- */

static enum qk_err password_make(struct buf *out)
{
    static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* no l, o, 0, 1 */
    uint8_t random[INIT_PASSWORD_CHARS];
    struct random_source source = random_system();

    _Static_assert(sizeof(letters) == 33, "32 letters: five bits each, without bias");
    source.fill(source.arg, random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        buf_put_u8(out, (uint8_t)letters[random[i] & 31]);
    secret_wipe(random, sizeof(random));
    return buf_error(out);
}

static enum qk_err identity_make(struct cluster *cluster)
{
    char path[sizeof(cluster->service->data_dir) + 16];
    uint8_t cluster_id[CLUSTER_ID_BYTES], node_id[NODE_ID_BYTES], pk[X25519_BYTES];
    struct secret *identity = NULL, *psk = NULL;
    enum qk_err err;

    snprintf(path, sizeof(path), "%s/node.sec", cluster->service->data_dir);
    random_fill(cluster_id, sizeof(cluster_id));
    random_fill(node_id, sizeof(node_id));
    err = x25519_keypair(&identity, pk);
    if (err == QK_OK)
        err = secret_new_random(KEY_BYTES, &psk);
    if (err == QK_OK)
        err = node_sec_create(path, cluster_id, node_id, 1, 1, identity, psk,
                              &cluster->service->node_sec);
    secret_free(identity);
    secret_free(psk);
    return err;
}

static enum qk_err init_begin(struct cluster *cluster, struct init *init, char *ret_reason)
{
    enum qk_err err = ed25519_keypair(&init->operator_key, init->operator_pk);

    if (err == QK_OK)
        err = password_make(&init->password);
    if (err == QK_OK)
        err = secret_new_random(DEAL_MK_BYTES, &cluster->mk);
    if (err == QK_OK)
        err = identity_make(cluster);
    if (err != QK_OK) {
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "'%.200s/node.sec' could not be made: %s",
                 cluster->service->data_dir, qk_err_text(err));
        return err;
    }
    return hub_start_member(cluster, true, ret_reason);
}

/* An init whose first deal never became final has kept no document: it may be made anew. Only a
 * leader that has applied all that was committed knows that there was no FINAL. */
static bool is_unfinished(const struct cluster *cluster)
{
    const struct node_sec *sec = cluster->service->node_sec;

    return sec != NULL && sec->x == 1 && cluster->booted && !hub_is_durable(cluster) &&
           !cluster->restoring && cluster->seal.state != SEAL_UNSEALED &&
           cluster_is_leader(cluster) &&
           cluster->leader_term == consensus_term(cluster->service->consensus);
}

static bool init_allowed(struct cluster *cluster, struct exchange *exchange)
{
    return hub_may_begin(cluster, exchange, is_unfinished, "cluster", "make another");
}

/* The name and how many shares of recovery. False: the refusal has been sent. */
static bool settings_read(struct exchange *exchange, const json_t *json, struct init *init)
{
    const json_t *quorum = json_object_get(json, "unseal_quorum");
    const json_t *threshold = json_object_get(json, "threshold");

    return (quorum == NULL || settings_quorum_read(exchange, quorum, &init->unseal_quorum)) &&
           (threshold == NULL ||
            settings_threshold_read(exchange, threshold, &init->deal_threshold));
}

static bool body_read(struct exchange *exchange, struct init *init)
{
    char *ret_name = init->name;
    struct bytes body = exchange->request.body;
    json_t *json = NULL, *name;
    bool good = true;

    snprintf(ret_name, NODE_NAME_BYTES_MAX + 1, "%s", INIT_CLUSTER_NAME);
    json = body.len == 0 ? json_object() : json_loadb((const char *)body.data, body.len, 0, NULL);
    name = json_object_get(json, "name");
    if (!json_is_object(json) ||
        (name != NULL && (!json_is_string(name) || json_string_length(name) == 0 ||
                          json_string_length(name) > NODE_NAME_BYTES_MAX)))
        good = false;
    else if (name != NULL)
        snprintf(ret_name, NODE_NAME_BYTES_MAX + 1, "%s", json_string_value(name));
    if (good && !(settings_read(exchange, json, init) &&
                  hub_recovery_counts(exchange, json, &init->shares_n, &init->threshold))) {
        json_decref(json);
        return false;
    }
    json_decref(json);
    if (!good)
        exchange_reply_error(exchange, 400, "bad_request",
                             "the body is an object with \"name\", a text of 1 to %d bytes",
                             NODE_NAME_BYTES_MAX);
    return good;
}

void handle_init(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    char reason[CLUSTER_REASON_BYTES] = "";
    struct init *init;
    enum qk_err err;

    if (!init_allowed(cluster, exchange))
        return;
    init = calloc(1, sizeof(*init));
    if (init == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    init->password = BUF_SECRET_INIT(INIT_PASSWORD_CHARS + 1);
    init->shares = BUF_SECRET_INIT(INIT_REPLY_BYTES_MAX);
    init->exchange = exchange;
    init->unseal_quorum = 2;
    init->deal_threshold = cluster->settings.threshold;
    if (!body_read(exchange, init)) {
        init_free(init);
        return;
    }
    cluster->init = init;
    err = init_begin(cluster, init, reason);
    if (err == QK_OK)
        return;
    if (service->node_sec != NULL) {
        init_undo(cluster, err, reason);
        return;
    }
    /* Nothing of ours is on the disk: what may lie there is not ours to remove. */
    hub_init_fail(cluster, err, reason);
    hub_wipe(cluster);
}
