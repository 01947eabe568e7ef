/* The product's table of routes, and the few answers that concern the interface itself. */
#include <string.h>

#include "base/encode.h"
#include "http/audit_merge.h"
#include "http/server.h"
#include "service/audit_handlers.h"
#include "service/cluster/cluster_handlers.h"
#include "service/documents/db_encryption.h"
#include "service/users/grants.h"
#include "service/query/find_wish.h"
#include "service/handlers.h"
#include "service/kv.h"
#include "service/key_policy.h"
#include "service/keys/keys_admin.h"
#include "service/keys/reencrypt.h"
#include "service/replication/replicator.h"
#include "service/tokens.h"
#include "service/integrity/verify.h"
#include "service/users/users.h"
#include "service/query/view_handlers.h"

#define BODY_SMALL (64 * KIB) /* what some clients send with a GET or DELETE, and small orders */
#define METRICS_BYTES_MAX (1 * MIB)

/* GET /: CouchDB's shape, by which its clients know each other. */
static void handle_welcome(struct service *service, struct exchange *exchange)
{
    static const uint8_t NONE[CLUSTER_ID_BYTES] = {0};
    char uuid[2 * CLUSTER_ID_BYTES + 1];
    json_t *body;

    body = json_pack("{s:s, s:s, s:[], s:{s:s, s:s}}", "couchdb", "Welcome", "version", QK_VERSION,
                     "features", "vendor", "name", "Quorumkeep", "version", QK_VERSION);
    if (body != NULL && memcmp(service->cluster_id, NONE, sizeof NONE) != 0) {
        hex_encode(service->cluster_id, CLUSTER_ID_BYTES, uuid);
        (void)json_object_set_new(body, "uuid", json_string(uuid));
    }
    exchange_reply_json(exchange, 200, body);
}

/* GET /metrics */
static void handle_metrics(struct service *service, struct exchange *exchange)
{
    struct http *http = ((struct http_exchange *)(void *)exchange)->http;
    struct buf out = BUF_INIT(METRICS_BYTES_MAX);

    (void)service;
    metrics_write(&http->metrics, &out);
    metrics_write_one(&out, "quorumkeep_http_connections", "gauge", "Connections open.",
                      http->connections_n);
    metrics_write_one(&out, "quorumkeep_http_requests_in_progress", "gauge",
                      "Requests begun and not ended.", http->exchanges_n);
    metrics_write_one(&out, "quorumkeep_http_body_bytes", "gauge",
                      "Bytes of the bodies of these requests.", (double)http->bodies_bytes);
    if (http->config.hooks.gauges != NULL)
        http->config.hooks.gauges(http->config.hooks.arg, &out);
    if (buf_error(&out) != QK_OK)
        exchange_reply_err(exchange, buf_error(&out));
    else
        exchange_reply_bytes(exchange, 200, "text/plain; version=0.0.4; charset=utf-8",
                             buf_bytes(&out));
    buf_fini(&out);
}

#define STATUS ROUTE_CLASS_STATUS
#define ADMIN ROUTE_CLASS_ADMIN
#define DATABASE ROUTE_CLASS_DATABASE
#define READ ROUTE_CLASS_READ
#define WRITE ROUTE_CLASS_WRITE
#define LIST ROUTE_CLASS_LIST
#define LOGIN ROUTE_CLASS_LOGIN
#define OPEN ROUTE_OPEN
#define OPEN_LEADER (ROUTE_OPEN | ROUTE_LEADER)

/* clang-format off */
static const struct route ROUTES[] = {
    {METHOD_GET, "/", ACCESS_PUBLIC, 0, STATUS, BODY_SMALL, handle_welcome},
    {METHOD_GET, "/_up", ACCESS_PUBLIC, 0, STATUS, BODY_SMALL, handle_up},
    {METHOD_GET, "/v1/sys/health", ACCESS_PUBLIC, 0, STATUS, BODY_SMALL, handle_health},
    {METHOD_GET, "/v1/sys/seal-status", ACCESS_PUBLIC, 0, STATUS, BODY_SMALL, handle_seal_status},
    {METHOD_GET, "/v1/sys/leader", ACCESS_PUBLIC, 0, STATUS, BODY_SMALL, handle_leader},
    {METHOD_GET, "/_quorumkeep/status", ACCESS_STATUS, 0, STATUS, BODY_SMALL, handle_status},
    {METHOD_GET, "/metrics", ACCESS_STATUS, 0, STATUS, BODY_SMALL, handle_metrics},

    {METHOD_POST, "/_quorumkeep/init", ACCESS_CONTROL_ONLY, 0, ADMIN, BODY_SMALL, handle_init},
    {METHOD_POST, "/_quorumkeep/join", ACCESS_CONTROL_ONLY, 0, ADMIN, BODY_SMALL, handle_join},
    {METHOD_POST, "/_quorumkeep/rejoin", ACCESS_CONTROL_ONLY, 0, ADMIN, BODY_SMALL, handle_rejoin},
    {METHOD_POST, "/_quorumkeep/invite", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_invite},
    {METHOD_POST, "/_quorumkeep/seal", ACCESS_CLUSTER, ROUTE_SAFE, ADMIN, BODY_SMALL, handle_seal},
    {METHOD_POST, "/_quorumkeep/unseal", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_unseal},
    {METHOD_GET, "/_quorumkeep/recovery", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_recovery},
    {METHOD_POST, "/_quorumkeep/recovery/begin", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_recovery_begin},
    {METHOD_POST, "/_quorumkeep/recovery/share", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_recovery_share},
    {METHOD_POST, "/_quorumkeep/recovery/cancel", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_recovery_cancel},
    {METHOD_POST, "/_quorumkeep/recovery/rotate", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_recovery_rotate},
    {METHOD_POST, "/_quorumkeep/recovery/confirm", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_recovery_confirm},
    {METHOD_GET, "/_quorumkeep/hold", ACCESS_PUBLIC, 0, ADMIN, BODY_SMALL, handle_hold},
    {METHOD_POST, "/_quorumkeep/unhold", ACCESS_PUBLIC, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_unhold},
    {METHOD_POST, "/_quorumkeep/nodes/{name}/suspend", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_node_suspend},
    {METHOD_POST, "/_quorumkeep/nodes/{name}/resume", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_node_resume},
    {METHOD_GET, "/_quorumkeep/settings", ACCESS_USER, 0, ADMIN, BODY_SMALL, handle_settings},
    {METHOD_PUT, "/_quorumkeep/settings", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_settings_put},
    {METHOD_GET, "/_quorumkeep/nodes", ACCESS_USER, 0, ADMIN, BODY_SMALL, handle_members},
    {METHOD_GET, "/_quorumkeep/keys", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_keys},
    {METHOD_GET, "/_quorumkeep/keys/policy", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key_policy},
    {METHOD_GET, "/_quorumkeep/keys/{name}", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key},
    {METHOD_POST, "/_quorumkeep/keys", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_keys_post},
    {METHOD_POST, "/_quorumkeep/keys/{name}/rotate", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key_rotate},
    {METHOD_POST, "/_quorumkeep/keys/{name}/destroy", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key_destroy},
    {METHOD_PUT, "/_quorumkeep/keys/{name}/limits", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key_limits},
    {METHOD_PUT, "/_quorumkeep/keys/policy", ACCESS_CLUSTER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_key_policy_put},
    {METHOD_POST, "/_quorumkeep/keys/reencrypt", ACCESS_CLUSTER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_keys_reencrypt},
    {METHOD_GET, "/_quorumkeep/backup", ACCESS_CLUSTER, ROUTE_OPEN, ADMIN, BODY_SMALL, handle_backup},
    {METHOD_POST, "/_quorumkeep/nodes/{name}/remove", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_node_remove},
    {METHOD_POST, "/_quorumkeep/master/refresh", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_master_refresh},
    {METHOD_POST, "/_quorumkeep/master/rotate", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_master_rotate},
    {METHOD_GET, "/_quorumkeep/deal", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_deal},
    {METHOD_GET, "/_quorumkeep/audit", ACCESS_CLUSTER, ROUTE_PEER, ADMIN, BODY_SMALL, handle_audit_merged},
    {METHOD_POST, "/_quorumkeep/audit/check", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_audit_check},
    {METHOD_GET, "/_quorumkeep/verify", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_verify},
    {METHOD_POST, "/_quorumkeep/verify", ACCESS_CLUSTER, 0, ADMIN, BODY_SMALL, handle_verify_begin},

    {METHOD_POST, "/_quorumkeep/debug/open", ACCESS_CLUSTER, ROUTE_OPEN, ADMIN, 2 * DOC_BYTES_MAX, handle_debug_open},

    {METHOD_GET, "/_session", ACCESS_PUBLIC, OPEN | ROUTE_WHO, LOGIN, BODY_SMALL, handle_session_get},
    {METHOD_POST, "/_session", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_LOGIN, LOGIN, BODY_SMALL, handle_session_post},
    {METHOD_DELETE, "/_session", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_WHO, LOGIN, BODY_SMALL, handle_session_delete},
    {METHOD_POST, "/_quorumkeep/tokens", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_token_create},
    {METHOD_GET, "/_quorumkeep/tokens", ACCESS_USER, OPEN, ADMIN, BODY_SMALL, handle_token_list},
    {METHOD_DELETE, "/_quorumkeep/tokens/{id}", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_token_revoke},
    {METHOD_POST, "/v1/auth/userpass/login/{*user}", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_LOGIN, LOGIN, BODY_SMALL, handle_vault_login},
    {METHOD_PUT, "/v1/auth/userpass/login/{*user}", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_LOGIN, LOGIN, BODY_SMALL, handle_vault_login},
    {METHOD_GET, "/v1/auth/token/lookup-self", ACCESS_USER, OPEN, LOGIN, BODY_SMALL, handle_vault_lookup_self},
    {METHOD_POST, "/v1/auth/token/renew-self", ACCESS_USER, OPEN_LEADER, LOGIN, BODY_SMALL, handle_vault_renew_self},
    {METHOD_PUT, "/v1/auth/token/renew-self", ACCESS_USER, OPEN_LEADER, LOGIN, BODY_SMALL, handle_vault_renew_self},
    {METHOD_POST, "/v1/auth/token/revoke-self", ACCESS_USER, OPEN_LEADER, LOGIN, BODY_SMALL, handle_vault_revoke_self},
    {METHOD_PUT, "/v1/auth/token/revoke-self", ACCESS_USER, OPEN_LEADER, LOGIN, BODY_SMALL, handle_vault_revoke_self},

    {METHOD_GET, "/v1/sys/mounts", ACCESS_USER, OPEN, DATABASE, BODY_SMALL, handle_kv_mounts},
    {METHOD_GET, "/v1/sys/internal/ui/mounts", ACCESS_USER, OPEN, DATABASE, BODY_SMALL, handle_kv_ui_mounts},
    {METHOD_GET, "/v1/sys/internal/ui/mounts/{path...}", ACCESS_USER, OPEN, DATABASE, BODY_SMALL, handle_kv_mount},
    {METHOD_GET, "/v1/secret/data/{path...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_kv_get},
    {METHOD_POST, "/v1/secret/data/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_REQUEST_BYTES_MAX, handle_kv_put},
    {METHOD_PUT, "/v1/secret/data/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_REQUEST_BYTES_MAX, handle_kv_put},
    {METHOD_PATCH, "/v1/secret/data/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_REQUEST_BYTES_MAX, handle_kv_patch},
    {METHOD_DELETE, "/v1/secret/data/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_delete},
    {METHOD_GET, "/v1/secret/subkeys/{path...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_kv_subkeys},
    {METHOD_POST, "/v1/secret/delete/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_delete_versions},
    {METHOD_PUT, "/v1/secret/delete/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_delete_versions},
    {METHOD_POST, "/v1/secret/undelete/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_undelete},
    {METHOD_PUT, "/v1/secret/undelete/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_undelete},
    {METHOD_POST, "/v1/secret/destroy/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_destroy},
    {METHOD_PUT, "/v1/secret/destroy/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_destroy},
    {METHOD_GET, "/v1/secret/metadata/{path...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_kv_meta_get},
    {METHOD_LIST, "/v1/secret/metadata/{path...}", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_kv_list},
    {METHOD_POST, "/v1/secret/metadata/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_SETTINGS_BYTES_MAX, handle_kv_meta_put},
    {METHOD_PUT, "/v1/secret/metadata/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_SETTINGS_BYTES_MAX, handle_kv_meta_put},
    {METHOD_PATCH, "/v1/secret/metadata/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, KV_SETTINGS_BYTES_MAX, handle_kv_meta_patch},
    {METHOD_DELETE, "/v1/secret/metadata/{path...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_kv_meta_delete},
    {METHOD_LIST, "/v1/secret/metadata", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_kv_list},
    {METHOD_GET, "/v1/secret/metadata", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_kv_list},
    {METHOD_GET, "/v1/secret/config", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_kv_config},
    {METHOD_POST, "/v1/secret/config", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_kv_config_put},
    {METHOD_PUT, "/v1/secret/config", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_kv_config_put},

    {METHOD_GET, "/_quorumkeep/databases", ACCESS_CLUSTER, OPEN, DATABASE, BODY_SMALL, handle_databases},
    {METHOD_GET, "/_quorumkeep/users", ACCESS_CLUSTER, OPEN, ADMIN, BODY_SMALL, handle_users},
    {METHOD_POST, "/_quorumkeep/users", ACCESS_CLUSTER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_user_add},
    {METHOD_GET, "/_quorumkeep/users/{*name}", ACCESS_USER, OPEN, ADMIN, BODY_SMALL, handle_user_get},
    {METHOD_PUT, "/_quorumkeep/users/{*name}", ACCESS_USER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_user_change},
    {METHOD_DELETE, "/_quorumkeep/users/{*name}", ACCESS_CLUSTER, OPEN_LEADER, ADMIN, BODY_SMALL, handle_user_delete},
    {METHOD_GET, "/_quorumkeep/keys/{name}/grants", ACCESS_KEY_MANAGE, OPEN, ADMIN, BODY_SMALL, handle_grants},
    {METHOD_POST, "/_quorumkeep/keys/{name}/grants", ACCESS_KEY_MANAGE, OPEN_LEADER, ADMIN, BODY_SMALL, handle_grants_change},

    {METHOD_GET, "/_quorumkeep/secrets/rights", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_security},
    {METHOD_PUT, "/_quorumkeep/secrets/rights", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_security_change},
    {METHOD_POST, "/_quorumkeep/secrets/rights", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_security_change},
    {METHOD_GET, "/_quorumkeep/secrets/encryption", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_db_encryption},
    {METHOD_PUT, "/_quorumkeep/secrets/encryption", ACCESS_CLUSTER, OPEN_LEADER, DATABASE, BODY_SMALL, handle_db_encryption_put},

    {METHOD_GET, "/_users/{*doc}", ACCESS_USER, OPEN, READ, BODY_SMALL, handle_userdoc_get},
    {METHOD_PUT, "/_users/{*doc}", ACCESS_USER, OPEN_LEADER, WRITE, BODY_SMALL, handle_userdoc_put},
    {METHOD_DELETE, "/_users/{*doc}", ACCESS_CLUSTER, OPEN_LEADER, WRITE, BODY_SMALL, handle_userdoc_delete},

    {METHOD_POST, "/_replicate", ACCESS_USER, OPEN_LEADER, WRITE, REPLICATOR_BODY_BYTES_MAX, handle_replicate},
    {METHOD_GET, "/_scheduler/jobs", ACCESS_CLUSTER, OPEN_LEADER, LIST, BODY_SMALL, handle_scheduler_jobs},
    {METHOD_GET, "/_scheduler/jobs/{id}", ACCESS_CLUSTER, OPEN_LEADER, LIST, BODY_SMALL, handle_scheduler_job},
    {METHOD_GET, "/_scheduler/docs", ACCESS_CLUSTER, OPEN_LEADER, LIST, BODY_SMALL, handle_scheduler_docs},
    {METHOD_GET, "/_scheduler/docs/_replicator", ACCESS_CLUSTER, OPEN_LEADER, LIST, BODY_SMALL, handle_scheduler_docs},
    {METHOD_GET, "/_scheduler/docs/_replicator/{*doc}", ACCESS_CLUSTER, OPEN_LEADER, LIST, BODY_SMALL, handle_scheduler_doc},
    {METHOD_GET, "/_replicator", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_db_get},
    {METHOD_POST, "/_replicator", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, REPLICATOR_BODY_BYTES_MAX, handle_replicator_post},
    {METHOD_GET, "/_replicator/_security", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_security},
    {METHOD_PUT, "/_replicator/_security", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_security_change},
    {METHOD_GET, "/_replicator/_all_docs", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_all_docs},
    {METHOD_POST, "/_replicator/_all_docs", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_all_docs},
    {METHOD_GET, "/_replicator/_changes", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_changes},
    {METHOD_GET, "/_replicator/{doc}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_doc_get},
    {METHOD_PUT, "/_replicator/{doc}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, REPLICATOR_BODY_BYTES_MAX, handle_replicator_put},
    {METHOD_DELETE, "/_replicator/{doc}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_delete},

    {METHOD_GET, "/_all_dbs", ACCESS_CLUSTER, OPEN, DATABASE, BODY_SMALL, handle_all_dbs},
    {METHOD_GET, "/_db_updates", ACCESS_CLUSTER, OPEN, LIST, BODY_SMALL, handle_db_updates},
    {METHOD_GET, "/_uuids", ACCESS_PUBLIC, OPEN, DATABASE, BODY_SMALL, handle_uuids},
    {METHOD_GET, "/_dbs_info", ACCESS_CLUSTER, OPEN, DATABASE, BODY_SMALL, handle_dbs_info},
    {METHOD_POST, "/_dbs_info", ACCESS_CLUSTER, OPEN, DATABASE, BODY_SMALL, handle_dbs_info},
    {METHOD_GET, "/_active_tasks", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_active_tasks},
    {METHOD_GET, "/_membership", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_membership},
    {METHOD_GET, "/_node/{*name}", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_node_name},
    {METHOD_GET, "/_node/{*name}/_config", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_config},
    {METHOD_GET, "/_node/{*name}/_config/{section}", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_config},
    {METHOD_GET, "/_node/{*name}/_config/{section}/{key}", ACCESS_CLUSTER, 0, STATUS, BODY_SMALL, handle_config},
    {METHOD_PUT, "/_node/{*name}/_config/{section}/{key}", ACCESS_CLUSTER, ROUTE_LEADER, ADMIN, BODY_SMALL, handle_config_put},
    {METHOD_GET, "/{db}", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_db_get},
    {METHOD_PUT, "/{db}", ACCESS_CLUSTER, OPEN_LEADER, DATABASE, BODY_SMALL, handle_db_put},
    {METHOD_DELETE, "/{db}", ACCESS_CLUSTER, OPEN_LEADER, DATABASE, BODY_SMALL, handle_db_delete},
    {METHOD_POST, "/{db}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, HTTP_BODY_BYTES_MAX, handle_doc_post},

    {METHOD_GET, "/{db}/_encryption", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_db_encryption},
    {METHOD_PUT, "/{db}/_encryption", ACCESS_CLUSTER, OPEN_LEADER, DATABASE, BODY_SMALL, handle_db_encryption_put},
    {METHOD_POST, "/{db}/_bulk_docs", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, HTTP_BODY_BYTES_MAX, handle_bulk_docs},
    {METHOD_POST, "/{db}/_bulk_get", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_bulk_get},
    {METHOD_POST, "/{db}/_revs_diff", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_revs_diff},
    {METHOD_POST, "/{db}/_missing_revs", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_revs_diff},
    {METHOD_GET, "/{db}/_revs_limit", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_revs_limit},
    {METHOD_PUT, "/{db}/_revs_limit", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_revs_limit_put},
    {METHOD_POST, "/{db}/_purge", ACCESS_DB_ADMIN, OPEN_LEADER, WRITE, 1 * MIB, handle_purge},
    {METHOD_POST, "/{db}/_compact", ACCESS_DB_ADMIN, OPEN, DATABASE, BODY_SMALL, handle_compact},
    {METHOD_POST, "/{db}/_ensure_full_commit", ACCESS_DB_WRITE, OPEN, WRITE, BODY_SMALL, handle_ensure_full_commit},
    {METHOD_GET, "/{db}/_security", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_security},
    {METHOD_PUT, "/{db}/_security", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_security_change},
    {METHOD_POST, "/{db}/_security", ACCESS_DB_ADMIN, OPEN_LEADER, DATABASE, BODY_SMALL, handle_security_change},
    {METHOD_GET, "/{db}/_all_docs", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_all_docs},
    {METHOD_POST, "/{db}/_all_docs", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_all_docs},
    {METHOD_POST, "/{db}/_all_docs/queries", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_all_docs},
    {METHOD_GET, "/{db}/_design_docs", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_all_docs},
    {METHOD_POST, "/{db}/_design_docs", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_all_docs},
    {METHOD_POST, "/{db}/_design_docs/queries", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_all_docs},
    {METHOD_GET, "/{db}/_local_docs", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_local_docs},
    {METHOD_POST, "/{db}/_local_docs", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_local_docs},
    {METHOD_GET, "/{db}/_changes", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_changes},
    {METHOD_POST, "/{db}/_find", ACCESS_DB_READ, OPEN, LIST, FIND_REQUEST_BYTES_MAX, handle_find},
    {METHOD_POST, "/{db}/_explain", ACCESS_DB_READ, OPEN, LIST, FIND_REQUEST_BYTES_MAX, handle_explain},
    {METHOD_GET, "/{db}/_index", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_index_list},
    {METHOD_POST, "/{db}/_index", ACCESS_DB_ADMIN, OPEN_LEADER, WRITE, FIND_REQUEST_BYTES_MAX, handle_index_make},
    {METHOD_POST, "/{db}/_index/_bulk_delete", ACCESS_DB_ADMIN, OPEN_LEADER, WRITE, FIND_REQUEST_BYTES_MAX, handle_index_bulk_remove},
    {METHOD_DELETE, "/{db}/_index/{*design}/{type}/{*name}", ACCESS_DB_ADMIN, OPEN_LEADER, WRITE, BODY_SMALL, handle_index_remove},
    {METHOD_DELETE, "/{db}/_index/_design/{*design}/{type}/{*name}", ACCESS_DB_ADMIN, OPEN_LEADER, WRITE, BODY_SMALL, handle_index_remove},
    {METHOD_POST, "/{db}/_changes", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_changes},

    {METHOD_GET, "/{db}/_design/{*name}/_view/{*view}", ACCESS_DB_READ, OPEN, LIST, BODY_SMALL, handle_view},
    {METHOD_POST, "/{db}/_design/{*name}/_view/{*view}", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_view},
    {METHOD_POST, "/{db}/_design/{*name}/_view/{*view}/queries", ACCESS_DB_READ, OPEN, LIST, DOC_BYTES_MAX, handle_view_queries},
    {METHOD_GET, "/{db}/_design/{*name}/_info", ACCESS_DB_READ, OPEN, DATABASE, BODY_SMALL, handle_design_info},
    {METHOD_POST, "/{db}/_temp_view", ACCESS_DB_READ, OPEN, DATABASE, DOC_BYTES_MAX, handle_temp_view},
    {METHOD_POST, "/{db}/_view_cleanup", ACCESS_DB_ADMIN, OPEN, DATABASE, BODY_SMALL, handle_view_cleanup},
    {METHOD_POST, "/{db}/_compact/{*name}", ACCESS_DB_ADMIN, OPEN, DATABASE, BODY_SMALL, handle_view_compact},

    /* Last, with underscores too: an id that may not begin so is refused by name, as in CouchDB. */
    {METHOD_GET, "/{db}/_design/{*name}/_show/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_POST, "/{db}/_design/{*name}/_show/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_GET, "/{db}/_design/{*name}/_list/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_POST, "/{db}/_design/{*name}/_list/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_PUT, "/{db}/_design/{*name}/_update/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_POST, "/{db}/_design/{*name}/_update/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_GET, "/{db}/_design/{*name}/_search/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_POST, "/{db}/_design/{*name}/_search/{function...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_GET, "/{db}/_partition/{name...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_POST, "/{db}/_partition/{name...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_not_implemented},
    {METHOD_GET, "/{db}/{*doc}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_doc_get},
    {METHOD_PUT, "/{db}/{*doc}", ACCESS_DB_WRITE, OPEN_LEADER | ROUTE_STREAM_PARTS, WRITE, HTTP_BODY_BYTES_MAX, handle_doc_put},
    {METHOD_DELETE, "/{db}/{*doc}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_delete},
    {METHOD_COPY, "/{db}/{*doc}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_copy},
    {METHOD_COPY, "/{db}/_design/{*name}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_copy},
    {METHOD_GET, "/{db}/_local/{*id}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_doc_get},
    {METHOD_PUT, "/{db}/_local/{*id}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, DOC_BYTES_MAX, handle_doc_put},
    {METHOD_DELETE, "/{db}/_local/{*id}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_delete},
    {METHOD_GET, "/{db}/_design/{*name}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_doc_get},
    {METHOD_PUT, "/{db}/_design/{*name}", ACCESS_DB_WRITE, OPEN_LEADER | ROUTE_STREAM_PARTS, WRITE, HTTP_BODY_BYTES_MAX, handle_doc_put},
    {METHOD_DELETE, "/{db}/_design/{*name}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_doc_delete},
    {METHOD_GET, "/{db}/_design/{*name}/{attachment...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_attachment_get},
    {METHOD_PUT, "/{db}/_design/{*name}/{attachment...}", ACCESS_DB_WRITE, OPEN_LEADER | ROUTE_STREAM, WRITE, HTTP_BODY_BYTES_MAX, handle_attachment_put},
    {METHOD_DELETE, "/{db}/_design/{*name}/{attachment...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_attachment_delete},
    {METHOD_GET, "/{db}/{*doc}/{attachment...}", ACCESS_DB_READ, OPEN, READ, BODY_SMALL, handle_attachment_get},
    {METHOD_PUT, "/{db}/{*doc}/{attachment...}", ACCESS_DB_WRITE, OPEN_LEADER | ROUTE_STREAM, WRITE, HTTP_BODY_BYTES_MAX, handle_attachment_put},
    {METHOD_DELETE, "/{db}/{*doc}/{attachment...}", ACCESS_DB_WRITE, OPEN_LEADER, WRITE, BODY_SMALL, handle_attachment_delete},
};
/* clang-format on */

const struct route *http_product_routes(unsigned *ret_n)
{
    *ret_n = sizeof ROUTES / sizeof ROUTES[0];
    return ROUTES;
}
