/* Settings of the whole cluster: read and changed by administrators, kept in the cluster's record.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/control_write.h"
#include "service/cluster/hub.h"
#include "service/cluster/settings.h"

#define DAY_S 86400u
#define REFRESH_DAYS_MAX 3650

/* --- reading --------------------------------------------------------------------------------- */

static json_t *quorum_json(uint32_t quorum)
{
    return quorum == 0 ? json_string("majority") : json_integer((json_int_t)quorum);
}

static json_t *settings_json(const struct cluster *cluster, const struct system_cluster *info)
{
    json_t *json = json_pack("{s:s, s:o, s:i, s:i, s:i, s:i}", "name", info->name, "unseal_quorum",
                             quorum_json(info->unseal_quorum), "unseal_quorum_now",
                             (int)hub_unseal_quorum(cluster, hub_say_n(cluster, NULL)), "threshold",
                             (int)info->threshold, "release_limit", (int)info->release_limit,
                             "refresh_days", (int)(info->refresh_s / DAY_S));

    (void)json_object_set_new(json, "threshold_now",
                              cluster->record != NULL ? json_integer((json_int_t)cluster->record->t)
                                                      : json_null());
    return json;
}

void handle_settings(struct service *service, struct exchange *exchange)
{
    const struct cluster *cluster = service->cluster;

    if (!cluster->has_settings)
        exchange_reply_err(exchange, QK_ERR_UNINITIALISED);
    else
        exchange_reply_json(exchange, 200, settings_json(cluster, &cluster->info));
}

json_t *settings_texts(const struct cluster *cluster)
{
    static const char *const names[] = {"unseal_quorum", "threshold", "release_limit",
                                        "refresh_days"};
    json_t *all, *texts;

    if (!cluster->has_settings)
        return NULL;
    all = settings_json(cluster, &cluster->info);
    texts = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(all, names[i]);
        char number[24];

        (void)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        (void)json_object_set_new(
            texts, names[i],
            json_string(json_is_integer(value) ? number : json_string_value(value)));
    }
    json_decref(all);
    return texts;
}

/* --- a wish ---------------------------------------------------------------------------------- */

static bool number_in(const json_t *value, json_int_t min, json_int_t max, uint32_t *ret_number)
{
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max)
        return false;
    *ret_number = (uint32_t)json_integer_value(value);
    return true;
}

bool settings_quorum_read(struct exchange *exchange, const json_t *value, uint32_t *ret_quorum)
{
    const char *text = json_string_value(value);

    if (text != NULL && strcmp(text, "majority") == 0)
        *ret_quorum = 0;
    else if (!number_in(value, 2, NODES_MAX, ret_quorum)) {
        exchange_reply_error(exchange, 400, "bad_request",
                             "\"unseal_quorum\" is \"majority\" or a number from 2 to %d",
                             NODES_MAX);
        return false;
    }
    return true;
}

bool settings_threshold_read(struct exchange *exchange, const json_t *value, uint32_t *ret_t)
{
    if (number_in(value, 2, THRESHOLD_MAX, ret_t))
        return true;
    exchange_reply_error(exchange, 400, "bad_request", "\"threshold\" is a number from 2 to %d",
                         THRESHOLD_MAX);
    return false;
}

static bool limit_read(struct exchange *exchange, const json_t *value, uint32_t *ret_limit)
{
    if (number_in(value, 0, RELEASE_LIMIT_MAX - 1, ret_limit))
        return true;
    exchange_reply_error(exchange, 400, "bad_request",
                         "\"release_limit\" is a number from 1 to %d, or 0 for each node's own",
                         RELEASE_LIMIT_MAX - 1);
    return false;
}

static bool refresh_read(struct exchange *exchange, const json_t *value, uint32_t *ret_s)
{
    if (number_in(value, 0, REFRESH_DAYS_MAX, ret_s)) {
        *ret_s *= DAY_S;
        return true;
    }
    exchange_reply_error(exchange, 400, "bad_request",
                         "\"refresh_days\" is a number from 1 to %d, or 0 for never",
                         REFRESH_DAYS_MAX);
    return false;
}

/* False: answered. */
static bool wish_read(struct exchange *exchange, json_t *json, struct system_cluster *info)
{
    const char *key;
    json_t *value;

    if (!json_is_object(json) || json_object_size(json) == 0) {
        exchange_reply_error(exchange, 400, "bad_request", "the body is an object of settings");
        return false;
    }
    json_object_foreach(json, key, value)
    {
        if (strcmp(key, "unseal_quorum") == 0) {
            if (!settings_quorum_read(exchange, value, &info->unseal_quorum))
                return false;
        } else if (strcmp(key, "threshold") == 0) {
            if (!settings_threshold_read(exchange, value, &info->threshold))
                return false;
        } else if (strcmp(key, "release_limit") == 0) {
            if (!limit_read(exchange, value, &info->release_limit))
                return false;
        } else if (strcmp(key, "refresh_days") == 0) {
            if (!refresh_read(exchange, value, &info->refresh_s))
                return false;
        } else {
            exchange_reply_error(exchange, 400, "bad_request",
                                 "there is no setting of that name: unseal_quorum, threshold, "
                                 "release_limit and refresh_days are");
            return false;
        }
    }
    return true;
}

/* Nothing that would keep this very cluster closed for ever after a restart. */
static bool wish_allowed(struct cluster *cluster, struct exchange *exchange,
                         const struct system_cluster *wish)
{
    unsigned say_n = hub_say_n(cluster, NULL);
    unsigned quorum = wish->unseal_quorum != 0 ? wish->unseal_quorum : say_n / 2 + 1;
    unsigned needed = quorum > wish->threshold ? quorum : wish->threshold;
    unsigned members = 0;

    for (unsigned i = 0; i < cluster->members_n; i++)
        members += cluster->members[i].version > 0 &&
                   cluster->members[i].info.state == MEMBER_ACTIVE &&
                   !hub_is_suspended(cluster, cluster->members[i].node_id) &&
                   !hub_is_replaced(cluster, cluster->members[i].node_id);
    if (needed <= members || needed <= 2)
        return true;
    exchange_reply_error(exchange, 409, "conflict",
                         "%u members would be needed to open, and %u may: let more nodes join "
                         "first, or resume those that are suspended",
                         needed, members);
    return false;
}

/* --- writing --------------------------------------------------------------------------------- */

struct settings_write {
    struct cluster *cluster;
    struct exchange *exchange;
    struct system_cluster info;
    json_t *reply; /* owned; NULL: all settings */
};

static void written(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct settings_write *write = arg;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err == QK_OK) {
        audit_event(write->cluster->service->audit, "settings", "by", write->exchange->from, NULL);
        hub_refresh(write->cluster);
        exchange_reply_json(write->exchange, 200,
                            write->reply != NULL ? json_incref(write->reply)
                                                 : settings_json(write->cluster, &write->info));
    } else
        exchange_reply_err(write->exchange, err);
    json_decref(write->reply);
    free(write);
}

/* What wish_allowed went by: a removal or a suspension that is decided meanwhile, or a member that
 * may give up what it is, would leave fewer than the wish needs. */
static void put_judged(struct cluster *cluster, struct wire_command *command)
{
    struct record_key removal = record_system(RECORD_SYS, SYSTEM_REMOVAL);
    struct record_key control = record_system(RECORD_SYS, RECORD_CONTROL);
    struct record_key next = record_system(RECORD_SYS, RECORD_NEXT);

    wire_command_cond(command, record_key_bytes(&removal), cluster->removal_version);
    wire_command_cond(command, record_key_bytes(&control), cluster->control_version);
    wire_command_cond(command, record_key_bytes(&next), hub_version_of(cluster, &next));
}

static enum qk_err submit(struct settings_write *write)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CLUSTER);
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    system_cluster_encode(&write->info, &value);
    wire_command_begin(&command, WIRE_MEMBER);
    wire_command_batch(&command);
    put_judged(write->cluster, &command);
    wire_command_put(&command, record_key_bytes(&key), write->cluster->settings_version + 1, 0,
                     buf_bytes(&value));
    err = buf_error(&value);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(write->cluster->service->consensus, bytes, written, write);
    wire_command_fini(&command);
    buf_fini(&value);
    return err;
}

void settings_change(struct service *service, struct exchange *exchange, json_t *wish,
                     json_t *reply)
{
    struct cluster *cluster = service->cluster;
    struct settings_write *write = NULL;
    struct system_cluster info;
    enum qk_err err;

    if (!control_ready(cluster, exchange))
        goto out;
    info = cluster->info;
    if (!wish_read(exchange, wish, &info) || !wish_allowed(cluster, exchange, &info))
        goto out;
    write = calloc(1, sizeof(*write));
    if (write == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        goto out;
    }
    *write = (struct settings_write){cluster, exchange, info, json_incref(reply)};
    err = submit(write);
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        json_decref(write->reply);
        free(write);
    }

out:
    json_decref(reply);
}

void handle_settings_put(struct service *service, struct exchange *exchange)
{
    struct bytes body = exchange->request.body;
    json_t *json = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);

    settings_change(service, exchange, json, NULL);
    json_decref(json);
}
