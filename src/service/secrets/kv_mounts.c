/* What Vault's clients ask before they read and write: which engine answers at a path, and of which
 * version. There is one, "secret/", and it is there for everyone who is logged in to see. */
#include "service/secrets/kv_read.h"
#include "service/vault.h"

#define MOUNT "secret/"
#define UI_PATH_SEGMENT 5 /* behind /v1/sys/internal/ui/mounts */

static json_t *mount_json(void)
{
    return json_pack("{s:s, s:{s:i, s:i, s:b}, s:s, s:b, s:b, s:{s:s}, s:b, s:s}", "accessor",
                     "kv_secret", "config", "default_lease_ttl", 0, "max_lease_ttl", 0,
                     "force_no_cache", 0, "description", "versioned secrets",
                     "external_entropy_access", 0, "local", 0, "options", "version", "2",
                     "seal_wrap", 0, "type", "kv");
}

/* GET /v1/sys/mounts */
void handle_kv_mounts(struct service *service, struct exchange *exchange)
{
    json_t *data = json_pack("{s:o}", MOUNT, mount_json());

    (void)service;
    vault_reply(exchange, 200, data, NULL, NULL);
}

/* GET /v1/sys/internal/ui/mounts */
void handle_kv_ui_mounts(struct service *service, struct exchange *exchange)
{
    (void)service;
    vault_reply(exchange, 200, json_pack("{s:{}, s:{s:o}}", "auth", "secret", MOUNT, mount_json()),
                NULL, NULL);
}

/* GET /v1/sys/internal/ui/mounts/{path...}: the mount that a path lies in. */
void handle_kv_mount(struct service *service, struct exchange *exchange)
{
    json_t *data;

    (void)service;
    if (!bytes_equal(exchange->request.segments[UI_PATH_SEGMENT], bytes_str("secret"))) {
        vault_reply_error(exchange, 403,
                          "preflight capability check returned 403, there is no "
                          "mount but " MOUNT);
        return;
    }
    data = mount_json();
    if (data != NULL)
        (void)json_object_set_new(data, "path", json_string(MOUNT));
    vault_reply(exchange, 200, data, NULL, NULL);
}
