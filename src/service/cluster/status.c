/* Facts about the node and the cluster, for people and machines: why the node is closed, /_up, the
 * health and seal status in Vault's shapes, members, everything at once. */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "consensus/consensus.h"
#include "link/link.h"
#include "service/backup/backup.h"
#include "service/catalog.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/deal_view.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity.h"
#include "service/keys/reencrypt.h"
#include "store/store.h"
#include "wire/version.h"

#ifndef QK_VERSION
#define QK_VERSION "0"
#endif

/* --- /_up and Vault's shapes ----------------------------------------------------------------- */

static const char *status_word(const struct service *service)
{
    if (service_is_open(service))
        return "ok";
    if (service->node_sec == NULL)
        return "uninitialised";
    if (service->cluster->seal.state == SEAL_UNSEALED)
        return "waiting";
    return seal_state_text(service->cluster->seal.state);
}

/* Not 503: who reads with consistency=local is served. */
static void set_read_only(json_t *json)
{
    (void)json_object_set_new(json, "read_only", json_true());
    (void)json_object_set_new(
        json, "reason",
        json_string("read-only: no majority of the voters is in contact; reads need "
                    "consistency=local and may be stale"));
}

void handle_up(struct service *service, struct exchange *exchange)
{
    char reason[CLUSTER_REASON_BYTES];

    if (service_is_open(service)) {
        json_t *json = json_pack("{s:s, s:{}}", "status", "ok", "seeds");

        if (service_is_read_only(service))
            set_read_only(json);
        exchange_reply_json(exchange, 200, json);
        return;
    }
    service_closed_reason(service, reason, sizeof(reason));
    exchange_field(exchange, "Retry-After", "1");
    exchange_reply_json(exchange, 503,
                        json_pack("{s:s, s:s}", "status", status_word(service), "reason", reason));
}

static bool is_initialised(const struct service *service)
{
    return service->node_sec != NULL;
}

static bool is_sealed(const struct service *service)
{
    return service->cluster->seal.state != SEAL_UNSEALED || service->keyring == NULL;
}

static void set_cluster(const struct service *service, json_t *json)
{
    char id[2 * CLUSTER_ID_BYTES + 1];

    if (!is_initialised(service))
        return;
    hex_encode(service->cluster_id, CLUSTER_ID_BYTES, id);
    (void)json_object_set_new(json, "cluster_id", json_string(id));
    if (service->cluster->has_settings)
        (void)json_object_set_new(json, "cluster_name", json_string(service->cluster->info.name));
}

/* A code that the asker wishes for a state, Vault's way: ?sealedcode=200. */
static int code_wish(const struct exchange *exchange, const char *name, int otherwise)
{
    struct bytes value;
    int code = 0;

    if (!request_param(&exchange->request, name, &value) || value.len != 3)
        return otherwise;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return otherwise;
        code = code * 10 + (value.data[i] - '0');
    }
    return code >= 200 && code <= 599 ? code : otherwise;
}

void handle_health(struct service *service, struct exchange *exchange)
{
    json_t *json = json_pack("{s:b, s:b, s:b, s:b, s:s, s:s, s:I, s:s}", "initialized",
                             is_initialised(service), "sealed", is_sealed(service), "standby", 0,
                             "performance_standby", 0, "replication_performance_mode", "disabled",
                             "replication_dr_mode", "disabled", "server_time_utc",
                             (json_int_t)time(NULL), "version", QK_VERSION);
    int code = 200;

    if (!is_initialised(service))
        code = code_wish(exchange, "uninitcode", 501);
    else if (is_sealed(service))
        code = code_wish(exchange, "sealedcode", 503);
    else
        code = code_wish(exchange, "activecode", 200);
    set_cluster(service, json);
    exchange_reply_json(exchange, code, json);
}

/* How many shares of the threshold are here or at hand. */
static unsigned progress(const struct cluster *cluster)
{
    unsigned n = cluster->own_share != NULL ? 1 : 0;

    return cluster->seal.state == SEAL_UNSEALED ? 0 : n + cluster->shares_n;
}

void handle_seal_status(struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;
    char reason[CLUSTER_REASON_BYTES], id[RECOVERY_ATTEMPT_ID_CHARS + 1];
    unsigned entered = hub_recovery_progress(cluster, id);
    bool by_shares = is_sealed(service) && id[0] != '\0';
    int t = (int)(cluster->record != NULL ? cluster->record->t : cluster->settings.threshold);
    int n = (int)(cluster->record != NULL ? cluster->record->n : cluster->members_n);
    json_t *json;

    if (by_shares) {
        t = (int)cluster->recovery.t;
        n = (int)cluster->recovery.n;
    }
    service_closed_reason(service, reason, sizeof(reason));
    json = json_pack("{s:s, s:b, s:b, s:i, s:i, s:i, s:s, s:s, s:b, s:b, s:s, s:s, s:s}", "type",
                     "quorum", "initialized", is_initialised(service), "sealed", is_sealed(service),
                     "t", t, "n", n, "progress", (int)(by_shares ? entered : progress(cluster)),
                     "nonce", id, "version", QK_VERSION, "migration", 0, "recovery_seal", 0,
                     "storage_type", "raft", "state", seal_state_text(cluster->seal.state),
                     "reason", reason);
    set_cluster(service, json);
    exchange_reply_json(exchange, 200, json);
}

static const struct hub_member *leader_member(const struct service *service)
{
    uint64_t id = service->consensus != NULL ? consensus_leader(service->consensus) : 0;

    return id != 0 ? hub_member_of_raft(service->cluster, id) : NULL;
}

void handle_leader(struct service *service, struct exchange *exchange)
{
    const struct hub_member *leader = leader_member(service);

    if (is_sealed(service)) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(service, reason, sizeof(reason));
        exchange_reply_error(exchange, 503, "sealed", "%s", reason);
        return;
    }
    exchange_reply_json(
        exchange, 200,
        json_pack("{s:b, s:b, s:s, s:s, s:b, s:s}", "ha_enabled", 1, "is_self",
                  cluster_is_leader(service->cluster), "leader_address",
                  leader != NULL ? leader->info.client_address : "", "leader_cluster_address",
                  leader != NULL ? leader->info.peer_address : "", "performance_standby", 0,
                  "leader_name", leader != NULL ? leader->info.name : ""));
}

/* --- members --------------------------------------------------------------------------------- */

static const struct consensus_member *raft_find(const struct consensus_member *raft, size_t n,
                                                uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (raft[i].id == id)
            return &raft[i];
    return NULL;
}

static void member_seen(const struct cluster *cluster, const uint8_t *node_id, json_t *json)
{
    uint64_t ms = hub_is_self(cluster, node_id) ? 0 : hub_seen_ms(cluster, node_id);

    (void)json_object_set_new(json, "last_seen_s",
                              ms == UINT64_MAX ? json_null()
                                               : json_integer((json_int_t)(ms / 1000)));
}

static void member_deal(const struct cluster *cluster, const uint8_t *node_id, json_t *json)
{
    size_t i;

    if (cluster->record == NULL || deal_record_find(cluster->record, node_id, &i) != QK_OK) {
        (void)json_object_set_new(json, "generation", json_null());
        return;
    }
    (void)json_object_set_new(json, "generation",
                              json_integer((json_int_t)cluster->record->members[i].gen));
}

static const char *member_seal_state(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    if (hub_is_self(cluster, node_id))
        return seal_state_text(cluster->seal.state);
    if (peer == NULL || !hub_is_live(cluster, node_id))
        return "unknown";
    return seal_state_text((enum seal_state)peer->hello.state);
}

static json_t *member_json(const struct cluster *cluster, const struct hub_member *member,
                           const struct consensus_member *raft, size_t raft_n)
{
    const struct consensus_member *in_raft = raft_find(raft, raft_n, member->info.raft_id);
    const struct hub_member *leader = leader_member(cluster->service);
    char id[2 * NODE_ID_BYTES + 1];
    json_t *json;

    hex_encode(member->node_id, NODE_ID_BYTES, id);
    json = json_pack(
        "{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s, s:I, s:I, s:s, s:s}", "name", member->info.name,
        "role",
        in_raft == NULL  ? "none"
        : in_raft->voter ? "voter"
                         : "standby",
        "state", system_member_state_text(member->info.state), "seal",
        member_seal_state(cluster, member->node_id), "leader", member == leader, "self",
        hub_is_self(cluster, member->node_id), "live", hub_is_live(cluster, member->node_id),
        "node_id", id, "raft_id", (json_int_t)member->info.raft_id, "x", (json_int_t)member->info.x,
        "client_address", member->info.client_address, "peer_address", member->info.peer_address);
    (void)json_object_set_new(json, "version", json_integer((json_int_t)member->info.version));
    (void)json_object_set_new(json, "suspended",
                              json_boolean(hub_is_suspended(cluster, member->node_id)));
    member_seen(cluster, member->node_id, json);
    member_deal(cluster, member->node_id, json);
    hub_identity_json(cluster, member, json);
    return json;
}

static json_t *members_json(const struct cluster *cluster)
{
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t raft_n = 0;
    json_t *list = json_array();

    if (cluster->service->consensus != NULL)
        raft_n = consensus_members(cluster->service->consensus, raft, CONSENSUS_MEMBERS_MAX);
    for (unsigned i = 0; i < cluster->members_n; i++)
        (void)json_array_append_new(list, member_json(cluster, &cluster->members[i], raft, raft_n));
    return list;
}

void handle_members(struct service *service, struct exchange *exchange)
{
    if (!is_initialised(service)) {
        exchange_reply_err(exchange, QK_ERR_UNINITIALISED);
        return;
    }
    exchange_reply_json(exchange, 200,
                        json_pack("{s:o, s:o}", "members", members_json(service->cluster),
                                  "removal", deal_view_removal(service->cluster)));
}

/* --- everything at once ---------------------------------------------------------------------- */

static json_t *raft_json(const struct service *service)
{
    static const char *const roles[] = {
        [CONSENSUS_FOLLOWER] = "follower",
        [CONSENSUS_CANDIDATE] = "candidate",
        [CONSENSUS_LEADER] = "leader",
    };
    const struct consensus *consensus = service->consensus;
    const struct hub_member *leader = leader_member(service);

    if (consensus == NULL)
        return json_null();
    return json_pack(
        "{s:s, s:s?, s:I, s:I, s:I, s:I, s:b}", "role", roles[consensus_role(consensus)], "leader",
        leader != NULL ? leader->info.name : NULL, "term", (json_int_t)consensus_term(consensus),
        "commit", (json_int_t)consensus_commit(consensus), "applied",
        (json_int_t)consensus_applied(consensus), "last",
        (json_int_t)consensus_last_index(consensus), "majority_contact",
        consensus_has_majority_contact(consensus));
}

static json_t *deal_json(const struct cluster *cluster)
{
    char id[2 * DEAL_ID_BYTES + 1];

    if (cluster->record == NULL)
        return json_null();
    hex_encode(cluster->record->deal, DEAL_ID_BYTES, id);
    return json_pack("{s:s, s:I, s:I, s:i, s:i, s:b, s:s}", "id", id, "epoch",
                     (json_int_t)cluster->record->epoch, "mk_version",
                     (json_int_t)cluster->record->mk_version, "threshold", (int)cluster->record->t,
                     "members", (int)cluster->record->n, "final",
                     cluster->final_version > 0 &&
                         memcmp(cluster->final_deal, cluster->record->deal, DEAL_ID_BYTES) == 0,
                     "work", dealing_state_text(cluster->dealing.state));
}

/* The rules whose facts this version does not have, so that nobody thinks they are checked. */
static json_t *absent_rules(const struct cluster *cluster)
{
    static const struct {
        enum release_rule rule;
        const char *name;
    } rules[] = {{RELEASE_HOLD, "hold"},
                 {RELEASE_SUSPENDED, "suspend"},
                 {RELEASE_WATERMARK, "watermark"},
                 {RELEASE_ATTESTATION, "attestation"}};
    struct peer_want want = {0};
    struct release_decision decision =
        seal_release_check(&cluster->seal, hub_now_ms(cluster), cluster->seal.node_id, &want);
    json_t *list = json_array();

    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (decision.absent & (1u << (unsigned)rules[i].rule))
            (void)json_array_append_new(list, json_string(rules[i].name));
    return list;
}

static json_t *memory_json(void)
{
    static const char *const kinds[] = {
        [SECRET_ARENA_AUTO] = "auto",
        [SECRET_ARENA_MEMFD] = "memfd_secret",
        [SECRET_ARENA_MLOCK] = "mlock",
        [SECRET_ARENA_UNLOCKED] = "unlocked",
    };
    struct secret_stats stats = secret_stats();

    return json_pack("{s:s, s:I, s:I, s:I}", "arena", kinds[stats.kind], "bytes",
                     (json_int_t)stats.bytes_total, "used", (json_int_t)stats.bytes_used, "secrets",
                     (json_int_t)stats.secrets_n);
}

static json_t *store_json(const struct service *service)
{
    struct store_figures figures;

    if (service->store == NULL)
        return json_null();
    store_figures(service->store, &figures);
    return json_pack("{s:I, s:I, s:I, s:b}", "applied", (json_int_t)store_applied(service->store),
                     "bytes", (json_int_t)figures.file_bytes, "pending_bytes",
                     (json_int_t)figures.pending_bytes, "full", figures.full);
}

static json_t *recovery_json(const struct cluster *cluster)
{
    const struct recovery_set *set = hub_recovery_set(cluster);

    if (set == NULL)
        return json_null();
    return json_pack("{s:I, s:i, s:i, s:I}", "set", (json_int_t)set->number, "shares", (int)set->n,
                     "threshold", (int)set->t, "created", (json_int_t)set->created_s);
}

static json_t *backup_json(const struct service *service)
{
    struct backup_figures figures;
    json_t *json;

    backup_figures(service->backups, &figures);
    json = json_pack("{s:i, s:I, s:I, s:b}", "running", (int)figures.running_n, "done",
                     (json_int_t)figures.done_n, "failures", (json_int_t)figures.failed_n,
                     "scheduled", figures.scheduled);
    if (!figures.scheduled)
        return json;
    (void)json_object_set_new(json, "every_s", json_integer((json_int_t)figures.every_s));
    (void)json_object_set_new(json, "last_s", json_integer((json_int_t)figures.last_s));
    (void)json_object_set_new(json, "last_index", json_integer((json_int_t)figures.last_index));
    (void)json_object_set_new(json, "failed", json_boolean(figures.failed));
    (void)json_object_set_new(json, "stale", json_boolean(figures.stale));
    (void)json_object_set_new(json, "reason", json_string(figures.reason));
    return json;
}

/* Names of those that say so. */
static json_t *rolled_back_json(const struct cluster *cluster)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &cluster->seal.peers[i];
        char name[NODE_NAME_BYTES_MAX + 1];

        if (!peer->used || !peer->connected || !peer->known || !peer->told_below)
            continue;
        hub_node_text(cluster, peer->node_id, name, sizeof(name));
        (void)json_array_append_new(list, json_string(name));
    }
    return list;
}

void handle_status(struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;
    char reason[CLUSTER_REASON_BYTES];
    char node_id[2 * NODE_ID_BYTES + 1] = "";
    json_t *json;

    if (is_initialised(service))
        hex_encode(service->node_id, NODE_ID_BYTES, node_id);
    service_closed_reason(service, reason, sizeof(reason));
    json = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name",
                     service->node_name, "node_id", node_id, "version", QK_VERSION, "status",
                     status_word(service), "seal", seal_state_text(cluster->seal.state), "reason",
                     reason, "raft", raft_json(service), "deal", deal_json(cluster), "members",
                     members_json(cluster), "memory", memory_json(), "store", store_json(service));
    set_cluster(service, json);
    (void)json_object_set_new(json, "recovery", recovery_json(cluster));
    if (service_is_read_only(service))
        set_read_only(json);
    (void)json_object_set_new(json, "reencrypt", reencrypt_json(service));
    (void)json_object_set_new(json, "integrity", integrity_json(service->integrity));
    (void)json_object_set_new(json, "removal", deal_view_removal(cluster));
    (void)json_object_set_new(json, "release_rules_absent", absent_rules(cluster));
    (void)json_object_set_new(json, "formats",
                              json_pack("{s:i, s:i}", "knows", (int)wire_version(), "in_use",
                                        (int)cluster_version(cluster)));
    (void)json_object_set_new(json, "attestation", hub_attest_json(cluster));
    (void)json_object_set_new(json, "backup", backup_json(service));
    (void)json_object_set_new(json, "rolled_back", rolled_back_json(cluster));
    (void)json_object_set_new(json, "clones", hub_clones_json(cluster));
    (void)json_object_set_new(json, "unsealed_us",
                              json_integer((json_int_t)cluster->counters.unsealed_us));
    exchange_reply_json(exchange, 200, json);
}

void cluster_figures(const struct cluster *cluster, struct cluster_figures *ret_figures)
{
    struct cluster_figures figures = {0};

    figures.state = cluster->seal.state;
    figures.members_n = cluster->members_n;
    for (unsigned i = 0; i < cluster->members_n; i++)
        figures.members_live_n += hub_is_live(cluster, cluster->members[i].node_id);
    figures.shares_missing_n = seal_shares_missing(&cluster->seal);
    figures.releases_n = cluster->counters.releases_n;
    figures.denials_n = cluster->counters.denials_n;
    figures.clones_n = hub_clones_n(cluster);
    figures.clone_alarms_n = cluster->counters.clone_alarms_n;
    figures.rate_alarms_n = cluster->counters.rate_alarms_n;
    figures.deals_n = cluster->counters.deals_n;
    figures.attest_allowed_n = cluster->attest.allowed_n;
    figures.attest_denied_n = cluster->attest.denied_n;
    figures.attest_deferred_n = cluster->attest.deferred_n;
    figures.attest_failed_n = cluster->attest.failed_n;
    figures.unsealed_us = cluster->counters.unsealed_us;
    figures.epoch = cluster->seal.deal.epoch;
    hub_leave_figures(cluster, &figures);
    *ret_figures = figures;
}
