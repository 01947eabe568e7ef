#include "service/cluster/control_write.h"

#include <stdio.h>
#include <stdlib.h>

#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"

struct control_write {
    struct cluster *cluster;
    struct exchange *exchange;
    json_t *reply;
    const char *event;
    char name[NODE_NAME_BYTES_MAX + 1];
};

bool control_ready(struct cluster *cluster, struct exchange *exchange)
{
    if (!cluster->booted || cluster->service->consensus == NULL)
        exchange_reply_err(exchange, QK_ERR_UNINITIALISED);
    else if (!cluster_is_leader(cluster))
        exchange_reply_err(exchange, QK_ERR_NOT_LEADER);
    else if (cluster->leader_term != consensus_term(cluster->service->consensus) ||
             !cluster->has_settings) {
        exchange_field(exchange, "Retry-After", "1");
        exchange_reply_error(exchange, 503, "no_leader",
                             "a leader was just elected; nothing was changed, try again");
    } else
        return true;
    return false;
}

static void reply_failed(struct exchange *exchange, enum qk_err err)
{
    if (err == QK_ERR_CONFLICT)
        exchange_reply_error(exchange, 409, "conflict",
                             "hold or suspensions were changed by another request at the same "
                             "time: look and ask again");
    else
        exchange_reply_err(exchange, err);
}

static void write_end(struct control_write *write, enum qk_err err)
{
    if (err == QK_OK)
        exchange_reply_json(write->exchange, 200, json_incref(write->reply));
    else
        reply_failed(write->exchange, err);
    json_decref(write->reply);
    free(write);
}

static void applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct control_write *write = arg;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err == QK_OK && write->event != NULL)
        audit_event(write->cluster->service->audit, write->event, "name",
                    write->name[0] != '\0' ? write->name : NULL, "by", write->exchange->from, NULL);
    write_end(write, err);
}

void control_write(struct cluster *cluster, struct exchange *exchange,
                   const struct system_control *next, json_t *reply, const char *event,
                   const char *name)
{
    struct control_write *write = calloc(1, sizeof(*write));
    enum qk_err err;

    if (write == NULL) {
        json_decref(reply);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    write->cluster = cluster;
    write->exchange = exchange;
    write->reply = reply;
    write->event = event;
    (void)snprintf(write->name, sizeof(write->name), "%s", name != NULL ? name : "");
    err = hub_control_propose(cluster, next, applied, write);
    if (err != QK_OK)
        write_end(write, err);
}
