/* The use cases about the cluster, for http's table of routes. Rights: init and join
 * ACCESS_CONTROL_ONLY, the other POSTs ACCESS_CLUSTER, members ACCESS_USER or the control socket,
 * up, health, seal-status and leader ACCESS_PUBLIC, status ACCESS_STATUS. None needs an open node;
 * handle_invite runs on the leader (ROUTE_LEADER). */
#ifndef SERVICE_CLUSTER_CLUSTER_HANDLERS_H
#define SERVICE_CLUSTER_CLUSTER_HANDLERS_H

#include "service/exchange.h"
#include "service/service.h"

/* POST /v1/sys/init {"name"?}: 200 {cluster_id, node_id, operator_key, admin_user, admin_password,
 * recovery_shares: []}; 409 already. */
void handle_init(struct service *service, struct exchange *exchange);
/* POST /v1/sys/join {"token"}: streams one JSON object a line: {"step","text"}..., at last
 * {"done":true, cluster_id, node_id} or {"error","reason"}. */
void handle_join(struct service *service, struct exchange *exchange);
/* POST /v1/sys/rejoin {"token","wipe":true}: as handle_join, by a sealed member that gives up what
 * it is now. */
void handle_rejoin(struct service *service, struct exchange *exchange);
/* POST /v1/sys/invite {"ttl_s"?,"replace"?}: 200 {token, expires, token_id}. */
void handle_invite(struct service *service, struct exchange *exchange);
/* POST /v1/sys/seal, /v1/sys/unseal: 200 with the seal status. */
void handle_seal(struct service *service, struct exchange *exchange);
/* GET /_quorumkeep/hold: 200 {cluster_id, hold, pending, hold_number, since_s}; POST /_quorumkeep/
 * unhold {hold_number, signature}: on the leader, without login: 200 {hold: false}, 403, 409. */
void handle_hold(struct service *service, struct exchange *exchange);
void handle_unhold(struct service *service, struct exchange *exchange);
/* POST /_quorumkeep/nodes/{name}/suspend, /resume: on the leader: 200 {name, suspended}; 404, 409.
 */
void handle_node_suspend(struct service *service, struct exchange *exchange);
void handle_node_resume(struct service *service, struct exchange *exchange);
/* GET, PUT /_quorumkeep/settings {unseal_quorum?, threshold?, release_limit?}: the settings of the
 * cluster; PUT on the leader: 400, 409. */
void handle_settings(struct service *service, struct exchange *exchange);
void handle_settings_put(struct service *service, struct exchange *exchange);
void handle_unseal(struct service *service, struct exchange *exchange);
/* GET /_quorumkeep/recovery: 200 with what is public of the live set; 404. */
void handle_recovery(struct service *service, struct exchange *exchange);
/* POST /_quorumkeep/recovery/begin {"purpose"?: "unseal" | "verify"}: 200 {nonce, id, t, n, ...}.
 */
void handle_recovery_begin(struct service *service, struct exchange *exchange);
/* POST .../share {"nonce", "share"}: 200 {progress, t, n, share, quorum, done, sealed?}. */
void handle_recovery_share(struct service *service, struct exchange *exchange);
/* POST .../cancel {"nonce"}. */
void handle_recovery_cancel(struct service *service, struct exchange *exchange);
/* POST .../rotate {"recovery_shares"?, "recovery_threshold"?}: 200 {recovery_shares, nonce, ...},
 * on the leader; and .../confirm {"nonce"}, which makes them the live ones. */
void handle_recovery_rotate(struct service *service, struct exchange *exchange);
void handle_recovery_confirm(struct service *service, struct exchange *exchange);
/* POST /_quorumkeep/nodes/{name}/remove {"reencrypt"?}, /_quorumkeep/master/refresh and /rotate:
 * 200 with what GET /_quorumkeep/deal says (deal_view.h), 409 with what stands against it. */
void handle_node_remove(struct service *service, struct exchange *exchange);
void handle_master_refresh(struct service *service, struct exchange *exchange);
void handle_master_rotate(struct service *service, struct exchange *exchange);
void handle_deal(struct service *service, struct exchange *exchange);
/* GET /v1/sys/members: {"members":[{name, node_id, role, state, ...}]}. */
void handle_members(struct service *service, struct exchange *exchange);
/* CouchDB's: GET /_membership, /_node/{name}, /_node/{name}/_config and sections and keys of it;
 * PUT of a key on the leader: the settings of the cluster alone. */
void handle_membership(struct service *service, struct exchange *exchange);
void handle_node_name(struct service *service, struct exchange *exchange);
void handle_config(struct service *service, struct exchange *exchange);
void handle_config_put(struct service *service, struct exchange *exchange);
/* GET /_up, /v1/sys/health, /v1/sys/seal-status, /v1/sys/leader, /_quorumkeep/status. */
void handle_up(struct service *service, struct exchange *exchange);
void handle_health(struct service *service, struct exchange *exchange);
void handle_seal_status(struct service *service, struct exchange *exchange);
void handle_leader(struct service *service, struct exchange *exchange);
void handle_status(struct service *service, struct exchange *exchange);
/* GET /_quorumkeep/backup: the file of a backup (wire/backup.h), streamed; ?base=ID&base_stamp=N
 * &base_index=N&cluster=ID: an increment to that one; ?consistency=local. */
void handle_backup(struct service *service, struct exchange *exchange);

#endif
