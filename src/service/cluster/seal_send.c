/* The messages of the seal machine; releases and shares get their keys here. */
#include <string.h>

#include "base/log.h"
#include "service/cluster/hub.h"

/* This node's P of its generation in the record makes a(i<-j) for the member at x. */
static enum qk_err release_make(struct cluster *cluster, const struct seal_effect *effect,
                                struct secret **ret_release)
{
    const struct deal_record *record = hub_record_of(cluster, effect->deal_id);
    const struct node_sec_generation *gen = node_sec_find(cluster->service->node_sec, effect->gen);
    size_t i, j;
    enum qk_err err;

    if (record == NULL)
        return QK_ERR_NOT_FOUND;
    if (gen == NULL)
        return QK_ERR_STALE;
    err = deal_record_find_x(record, effect->x, &i);
    if (err == QK_OK)
        err = deal_record_find(record, cluster->service->node_id, &j);
    return err == QK_OK ? deal_release(record, gen->p, i, j, ret_release) : err;
}

static void send_release(struct cluster *cluster, const struct seal_effect *effect)
{
    struct peer_message message = {.kind = PEER_RELEASE};
    struct secret *release = NULL;
    enum qk_err err = release_make(cluster, effect, &release);

    if (err != QK_OK) {
        log_error("seal", "a release could not be made: %s", qk_err_text(err));
        return;
    }
    message.as.release = effect->as.release;
    message.as.release.key = bytes_of(secret_borrow(release), secret_len(release));
    hub_send(cluster, effect->node_id, effect->by_record, &message);
    secret_return(release);
    secret_free(release);
}

static void send_share(struct cluster *cluster, const struct seal_effect *effect)
{
    struct peer_message message = {.kind = PEER_SHARE};

    if (cluster->own_share == NULL)
        return;
    message.as.share = effect->as.share;
    message.as.share.share =
        bytes_of(secret_borrow(cluster->own_share), secret_len(cluster->own_share));
    hub_send(cluster, effect->node_id, effect->by_record, &message);
    secret_return(cluster->own_share);
}

static void send_record(struct cluster *cluster, const struct seal_effect *effect)
{
    struct peer_message message = {.kind = PEER_RECORD};
    const struct deal_record *record = hub_record_of(cluster, effect->deal_id);

    if (record == NULL)
        return;
    message.as.record.record = deal_record_bytes(record);
    hub_send(cluster, effect->node_id, effect->by_record, &message);
}

void hub_seal_send(struct cluster *cluster, const struct seal_effect *effect)
{
    struct peer_message message = {.kind = effect->message_kind};

    if (effect->message_kind == PEER_RELEASE)
        send_release(cluster, effect);
    else if (effect->message_kind == PEER_SHARE)
        send_share(cluster, effect);
    else if (effect->message_kind == PEER_RECORD)
        send_record(cluster, effect);
    else {
        if (effect->message_kind == PEER_HELLO) {
            message.as.hello = effect->as.hello;
            hub_fork_tell(cluster, effect->node_id, &message.as.hello);
        } else if (effect->message_kind == PEER_WANT)
            message.as.want = effect->as.want;
        else if (effect->message_kind == PEER_DENY)
            message.as.deny = effect->as.deny;
        else
            message.as.record_want = effect->as.record_want;
        hub_send(cluster, effect->node_id, effect->by_record, &message);
    }
}
