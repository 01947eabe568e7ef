#include "service/audit_mark.h"

#include "base/encode.h"
#include "base/log.h"
#include "keys/keyring.h"
#include "secret/crypto.h"

#define LABEL "audit-mark"
#define PARTS_N 4

struct parts {
    uint8_t seq[8];
    struct bytes list[PARTS_N];
};

static void fill(const struct service *service, const uint8_t *node_id, uint64_t seq,
                 const uint8_t *head, struct parts *ret_parts)
{
    put_u64(ret_parts->seq, seq);
    ret_parts->list[0] = bytes_of(service->origin_id, CLUSTER_ID_BYTES);
    ret_parts->list[1] = bytes_of(node_id, NODE_ID_BYTES);
    ret_parts->list[2] = bytes_of(ret_parts->seq, sizeof(ret_parts->seq));
    ret_parts->list[3] = bytes_of(head, AUDIT_HASH_BYTES);
}

void audit_mark_put(struct service *service)
{
    char mac_text[2 * HASH_BYTES + 1], log[2 * NODE_ID_BYTES + 1];
    uint8_t head[AUDIT_HASH_BYTES], mac[HASH_BYTES];
    struct audit_figures figures;
    struct parts parts;
    enum qk_err err;

    if (service->audit == NULL || service->keyring == NULL)
        return;
    audit_figures(service->audit, &figures);
    if (figures.unmarked_n == 0)
        return;
    fill(service, service->node_id, audit_head(service->audit, head) + 1, head, &parts);
    err = mac_compute(keyring_audit_key(service->keyring), LABEL, parts.list, PARTS_N, mac);
    if (err != QK_OK) {
        log_error("audit", "no mark could be made: %s", qk_err_text(err));
        return;
    }
    hex_encode(mac, sizeof(mac), mac_text);
    hex_encode(service->node_id, NODE_ID_BYTES, log);
    audit_event(service->audit, "mark", "log", log, "mac", mac_text, NULL);
}

void audit_mark_due(void *arg)
{
    audit_mark_put(arg);
}

enum qk_err audit_mark_check(const struct service *service, const struct audit_mark *mark)
{
    struct parts parts;

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    fill(service, mark->log, mark->seq, mark->head, &parts);
    return mac_verify(keyring_audit_key(service->keyring), LABEL, parts.list, PARTS_N, mark->mac);
}
