/* The live set of recovery shares: SYS record "recovery". */
#include "service/cluster/recovery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "store/store.h"

void hub_recovery_read(struct cluster *cluster)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_RECOVERY);
    struct recovery_set set;
    struct record record;
    enum qk_err err = store_get(cluster->service->store, record_key_bytes(&key), &record);

    hub_store_result(cluster, err);
    if (err != QK_OK || record.version == cluster->recovery_version)
        return;
    err = recovery_set_decode(record.value, &set);
    if (err != QK_OK) {
        log_error("cluster", "store.mdb: the record of the recovery shares is damaged: %s",
                  qk_err_text(err));
        return;
    }
    if (cluster->recovery_version > 0 && memcmp(set.id, cluster->recovery.id, sizeof(set.id)) != 0)
        hub_recovery_wipe(cluster, "the set of recovery shares was replaced");
    cluster->recovery = set;
    cluster->recovery_version = record.version;
    cluster->peers_dirty = true; /* the seal machine is told with the members */
}

bool hub_is_durable(const struct cluster *cluster)
{
    return hub_has_final(cluster) || cluster->recovery_version > 0;
}

const struct recovery_set *hub_recovery_set(const struct cluster *cluster)
{
    return cluster->recovery_version > 0 ? &cluster->recovery : NULL;
}

enum qk_err hub_recovery_put(const struct recovery_set *set, uint64_t version,
                             struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_RECOVERY);
    struct buf value = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);
    enum qk_err err;

    recovery_set_encode(set, &value);
    err = buf_error(&value);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), version, 0, buf_bytes(&value));
    buf_fini(&value);
    return err;
}

enum qk_err hub_recovery_rewrap(const struct cluster *cluster, const struct secret *old_mk,
                                uint32_t mk_version, const struct secret *mk,
                                struct wire_command *command)
{
    struct recovery_set set;
    enum qk_err err;

    if (cluster->recovery_version == 0)
        return QK_OK;
    err = recovery_set_rewrap(&cluster->recovery, cluster->service->cluster_id, old_mk, mk_version,
                              mk, &set);
    if (err == QK_ERR_CORRUPT)
        log_error("cluster", "store.mdb: the record of the recovery shares was altered: no master "
                             "key is sealed to it; 'quorumkeep recovery rotate' makes a new set");
    return err == QK_OK ? hub_recovery_put(&set, cluster->recovery_version + 1, command) : err;
}

void hub_recovery_list(struct bytes texts, struct buf *out)
{
    bool first = true;

    buf_put_u8(out, '[');
    while (texts.len > 0) {
        const uint8_t *end = memchr(texts.data, '\n', texts.len);
        size_t len = end != NULL ? (size_t)(end - texts.data) : texts.len;

        buf_put_str(out, first ? "\"" : ",\"");
        buf_put(out, texts.data, len);
        buf_put_u8(out, '"');
        texts = bytes_slice(texts, len + 1, texts.len);
        first = false;
    }
    buf_put_u8(out, ']');
}

static bool count_read(const json_t *json, const char *name, unsigned otherwise, unsigned *ret_n)
{
    const json_t *value = json_object_get(json, name);

    *ret_n = otherwise;
    if (value == NULL)
        return true;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > RECOVERY_SHARES_MAX)
        return false;
    *ret_n = (unsigned)json_integer_value(value);
    return true;
}

bool hub_recovery_counts(struct exchange *exchange, const json_t *json, unsigned *ret_n,
                         unsigned *ret_t)
{
    unsigned n = 0, t = 0;
    bool good = count_read(json, "recovery_shares", RECOVERY_SHARES_DEFAULT, &n);

    /* Two shares of which two are needed is the most that fewer than three can be. */
    good = good && count_read(json, "recovery_threshold",
                              n < RECOVERY_THRESHOLD_DEFAULT ? n : RECOVERY_THRESHOLD_DEFAULT, &t);
    if (good && n == 0)
        t = 0;
    if (!good || (n > 0 && !recovery_counts_are_valid(n, t))) {
        exchange_reply_error(exchange, 400, "bad_request",
                             "\"recovery_shares\" is 0 (none) or 2 to %d, \"recovery_threshold\" 2 "
                             "to %d and at most as many as there are shares",
                             RECOVERY_SHARES_MAX, THRESHOLD_MAX);
        return false;
    }
    *ret_n = n;
    *ret_t = t;
    return true;
}

/* Everything in it is public: who holds shares can check them, combine them and sign with them on a
 * machine of his own. */
void handle_recovery(struct service *service, struct exchange *exchange)
{
    const struct recovery_set *set = hub_recovery_set(service->cluster);
    char id[2 * KEYSLOT_ID_BYTES + 1], cluster_id[2 * CLUSTER_ID_BYTES + 1];
    char hex[2 * RECOVERY_RECORD_BYTES_MAX + 1];
    struct buf record = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);

    if (set == NULL) {
        exchange_reply_error(exchange, 404, "not_found",
                             service->node_sec == NULL
                                 ? "this node is in no cluster"
                                 : "this cluster has no recovery shares: 'quorumkeep recovery "
                                   "rotate' makes some");
        return;
    }
    recovery_set_encode(set, &record);
    hex_encode(record.data, record.len, hex);
    hex_encode(set->id, sizeof(set->id), id);
    hex_encode(service->cluster_id, CLUSTER_ID_BYTES, cluster_id);
    exchange_reply_json(exchange, 200,
                        json_pack("{s:s, s:s, s:I, s:i, s:i, s:I, s:I, s:s}", "cluster_id",
                                  cluster_id, "set", id, "number", (json_int_t)set->number,
                                  "shares", (int)set->n, "threshold", (int)set->t, "created",
                                  (json_int_t)set->created_s, "mk_version",
                                  (json_int_t)set->mk_version, "record", hex));
    buf_fini(&record);
}
