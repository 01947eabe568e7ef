/* A backup for a client: pieces as fast as it takes them. Once the status is sent an error can only
 * end the stream early, which the file's missing end tells. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "doc/problem.h"
#include "audit/audit.h"
#include "service/backup/backup.h"
#include "service/cluster/cluster_handlers.h"
#include "service/params.h"

const char *backup_reason(enum qk_err err)
{
    switch ((int)err) {
    case QK_ERR_SEALED:
        return "the node is sealed: a backup needs the master key for its MAC";
    case QK_ERR_BUSY:
        return "other backups are under way, or the master key is being changed: try again";
    case QK_ERR_NOT_FOUND:
        return "this cluster has no recovery shares, so that nobody could ever open the backup: "
               "'quorumkeep recovery rotate' makes a set";
    case QK_ERR_NO_QUORUM:
        return "no majority of the voters is there to say what was acknowledged; what is left of "
               "a cluster is taken from its disk: 'quorumkeep recover --new-cluster'";
    case QK_ERR_STALE:
        return "the base is newer than what this node has: it is not of this cluster's life";
    case QK_ERR_TIMEOUT:
        return "what was read was not taken for a minute";
    case QK_ERR_CORRUPT:
        return "a record of the store is damaged: the node's log names it";
    default:
        return qk_err_text(err);
    }
}

struct backup_reply {
    struct service *service;
    struct exchange *exchange;
    struct backup_run *run;
    bool started;
    bool last;
};

static void reply_free(struct backup_reply *reply)
{
    backup_end(reply->run);
    free(reply);
}

static void reply_fail(struct backup_reply *reply, enum qk_err err)
{
    struct exchange *exchange = reply->exchange;

    backup_count(reply->service->backups, false);
    log_warn("backup", "a backup for %s ended early: %s", exchange->from, backup_reason(err));
    audit_event(reply->service->audit, "backup_failed", "by", exchange->from, "why",
                backup_reason(err), NULL);
    if (reply->started)
        exchange_end(exchange);
    else if (err == QK_ERR_STALE || err == QK_ERR_NOT_FOUND)
        exchange_reply_error(exchange, 409, "conflict", "%s", backup_reason(err));
    else
        exchange_reply_error(exchange, 503, err == QK_ERR_SEALED ? "sealed" : "backup_failed", "%s",
                             backup_reason(err));
    reply_free(reply);
}

static void reply_start(struct backup_reply *reply)
{
    const struct backup_head *head = backup_run_head(reply->run);
    char id[2 * BACKUP_ID_BYTES + 1], index[24];

    hex_encode(head->id, BACKUP_ID_BYTES, id);
    (void)snprintf(index, sizeof index, "%" PRIu64, head->index);
    exchange_field(reply->exchange, "X-Quorumkeep-Backup-Id", "%s", id);
    exchange_field(reply->exchange, "X-Quorumkeep-Backup-Index", "%s", index);
    exchange_field(reply->exchange, "X-Quorumkeep-Backup-Estimate", "%" PRIu64,
                   backup_run_estimate(reply->run));
    exchange_start(reply->exchange, 200, "application/octet-stream");
    reply->started = true;
    audit_event(reply->service->audit, "backup", "by", reply->exchange->from, "id", id, "index",
                index, NULL);
}

static void reply_more(void *arg)
{
    struct backup_reply *reply = arg;
    enum qk_err err = QK_ERR_CLOSED;

    if (reply->last) {
        backup_count(reply->service->backups, !reply->exchange->closed);
        exchange_end(reply->exchange);
        reply_free(reply);
        return;
    }
    if (!reply->exchange->closed)
        err = backup_next(reply->run);
    if (err != QK_OK)
        reply_fail(reply, err);
}

static void on_piece(void *arg, enum qk_err err, struct bytes piece, bool end)
{
    struct backup_reply *reply = arg;

    if (err == QK_OK && reply->exchange->closed)
        err = QK_ERR_CLOSED;
    if (err != QK_OK) {
        reply_fail(reply, err);
        return;
    }
    if (!reply->started)
        reply_start(reply);
    reply->last = end;
    exchange_write(reply->exchange, piece);
    exchange_on_drain(reply->exchange, reply_more, reply);
}

/* --- the request ----------------------------------------------------------------------------- */

static bool param_id(const struct exchange *exchange, const char *name,
                     uint8_t ret_id[static BACKUP_ID_BYTES])
{
    struct bytes text;

    return request_param(&exchange->request, name, &text) &&
           hex_decode(text, ret_id, BACKUP_ID_BYTES) == QK_OK;
}

static bool param_number(const struct exchange *exchange, const char *name, uint64_t *ret_value)
{
    struct doc_problem problem = {0};
    struct bytes text;

    return request_param(&exchange->request, name, &text) &&
           param_u64(&exchange->request, name, ret_value, &problem) == QK_OK;
}

/* False: answered. `ret_has`: an increment is wanted. */
static bool base_read(const struct service *service, struct exchange *exchange,
                      struct backup_base *ret_base, bool *ret_has)
{
    uint8_t cluster[CLUSTER_ID_BYTES];
    struct bytes text;

    *ret_has = request_param(&exchange->request, "base", &text);
    if (!*ret_has)
        return true;
    if (!param_id(exchange, "base", ret_base->id) || !param_id(exchange, "cluster", cluster) ||
        !param_number(exchange, "base_stamp", &ret_base->stamp) || ret_base->stamp == 0 ||
        !param_number(exchange, "base_index", &ret_base->index)) {
        exchange_reply_error(exchange, 400, "bad_request",
                             "an increment needs base, cluster (32 hexadecimal digits each), "
                             "base_stamp and base_index, as the head of the base has them");
        return false;
    }
    if (memcmp(cluster, service->cluster_id, sizeof cluster) != 0) {
        exchange_reply_error(exchange, 409, "foreign",
                             "that backup is of another cluster: take a full one");
        return false;
    }
    return true;
}

void handle_backup(struct service *service, struct exchange *exchange)
{
    struct backup_base base;
    struct backup_reply *reply;
    struct bytes wish;
    bool has_base, local = request_param(&exchange->request, "consistency", &wish) &&
                           bytes_equal(wish, bytes_str("local"));
    enum qk_err err;

    if (exchange->request.method == METHOD_HEAD) {
        exchange_reply_bytes(exchange, 200, "application/octet-stream", BYTES_NONE);
        return;
    }
    if (!base_read(service, exchange, &base, &has_base))
        return;
    reply = calloc(1, sizeof *reply);
    if (reply == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    *reply = (struct backup_reply){.service = service, .exchange = exchange};
    err = backup_begin(service->backups, has_base ? &base : NULL, local, on_piece, reply,
                       &reply->run);
    if (err != QK_OK)
        reply_fail(reply, err);
}
