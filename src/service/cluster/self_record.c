/* The record of a member that is alone: name and addresses follow its configuration. So a cluster
 * made from a backup, whose first record was written by a tool that knows neither, tells the right
 * ones to whoever joins; and a lone node may be moved. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "service/cluster/hub.h"

static void on_written(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct cluster *cluster = arg;

    (void)index;
    cluster->self_writing = false;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err != QK_OK && err != QK_ERR_CLOSED)
        log_warn("cluster", "the record of this node was not written: %s", qk_err_text(err));
}

static enum qk_err submit(struct cluster *cluster, const struct hub_member *self,
                          const struct system_member *info)
{
    struct record_key key = record_member(self->node_id);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    system_member_encode(info, &value);
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), self->version + 1, 0, buf_bytes(&value));
    err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(cluster->service->consensus, bytes, on_written, cluster);
    wire_command_fini(&command);
    buf_fini(&value);
    return err;
}

static void copy_text(char *ret_text, size_t size, const char *text)
{
    snprintf(ret_text, size, "%s", text);
}

void hub_self_record(struct cluster *cluster)
{
    const struct service *service = cluster->service;
    const struct hub_member *self;
    struct system_member info;

    if (cluster->self_writing || cluster->members_n != 1 || cluster->restoring ||
        cluster->leader_term == 0 || !cluster_is_leader(cluster))
        return;
    self = hub_member_find(cluster, service->node_id);
    if (self == NULL || self->version == 0 || self->info.state != MEMBER_ACTIVE)
        return;
    info = self->info;
    copy_text(info.name, sizeof(info.name), service->node_name);
    copy_text(info.peer_address, sizeof(info.peer_address), service->peer_address);
    copy_text(info.client_address, sizeof(info.client_address), service->client_address);
    if (strcmp(info.name, self->info.name) == 0 &&
        strcmp(info.peer_address, self->info.peer_address) == 0 &&
        strcmp(info.client_address, self->info.client_address) == 0)
        return;
    cluster->self_writing = submit(cluster, self, &info) == QK_OK;
}
