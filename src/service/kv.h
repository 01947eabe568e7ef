/* Secrets, as Vault's KV version 2 has them, under /v1/secret/: versioned values at paths, with
 * check-and-set, expiry and custom metadata. What http's routes call; each answers its exchange
 * exactly once, in Vault's shapes (service/vault.h).
 *
 * They lie in a database of their own that no document route reaches, whose name begins with an
 * underscore. Its records are documents like others (sealed under a data key, counted, encrypted
 * anew), under ids that are keyed hashes, so that no name of a secret is anywhere in clear:
 *
 *     n/ hash of the folder / hash of the path     what is known of a secret; or a folder in it
 *     v/ hash of the path / version                one version's value
 *     config                                       the settings of all secrets
 *
 * A folder is there as long as something is in it: its record counts. */
#ifndef SERVICE_KV_H
#define SERVICE_KV_H

#include "service/exchange.h"
#include "service/service.h"

struct wire_command;

#define KV_DATABASE "_secret"
#define KV_REQUEST_BYTES_MAX (2 * MIB) /* a value, maybe with blanks and escapes */
#define KV_SETTINGS_BYTES_MAX (256 * KIB)

/* The database that a request is about: its first segment, or under /_quorumkeep/secrets/ that of
 * the secrets, which no path names. */
struct bytes kv_database_name(const struct request *request);
/* Appends the puts of that database's records, for the command that makes a cluster. */
MUST_USE enum qk_err kv_mount_put(const struct service *service, struct wire_command *command);

/* GET, POST and PUT, PATCH, DELETE /v1/secret/data/{path...} */
void handle_kv_get(struct service *service, struct exchange *exchange);
void handle_kv_put(struct service *service, struct exchange *exchange);
void handle_kv_patch(struct service *service, struct exchange *exchange);
void handle_kv_delete(struct service *service, struct exchange *exchange);
/* GET /v1/secret/subkeys/{path...} */
void handle_kv_subkeys(struct service *service, struct exchange *exchange);
/* POST and PUT /v1/secret/delete|undelete|destroy/{path...} */
void handle_kv_delete_versions(struct service *service, struct exchange *exchange);
void handle_kv_undelete(struct service *service, struct exchange *exchange);
void handle_kv_destroy(struct service *service, struct exchange *exchange);
/* GET (and LIST, which ?list=true is too), POST and PUT, PATCH, DELETE
 * /v1/secret/metadata/{path...}; LIST /v1/secret/metadata */
void handle_kv_meta_get(struct service *service, struct exchange *exchange);
void handle_kv_meta_put(struct service *service, struct exchange *exchange);
void handle_kv_meta_patch(struct service *service, struct exchange *exchange);
void handle_kv_meta_delete(struct service *service, struct exchange *exchange);
void handle_kv_list(struct service *service, struct exchange *exchange);
/* GET, POST and PUT /v1/secret/config */
void handle_kv_config(struct service *service, struct exchange *exchange);
void handle_kv_config_put(struct service *service, struct exchange *exchange);
/* GET /v1/sys/mounts, /v1/sys/internal/ui/mounts and /{path...} below that */
void handle_kv_mounts(struct service *service, struct exchange *exchange);
void handle_kv_ui_mounts(struct service *service, struct exchange *exchange);
void handle_kv_mount(struct service *service, struct exchange *exchange);

#endif
