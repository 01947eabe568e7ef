/* What people are shown of the members' identities: a node that runs twice, a disk that went back,
 * whose share of the current deal is checked. The alarm of a clone lasts as long as the seal
 * machine denies both (ten minutes after both were last seen). */
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "service/cluster/hub.h"

static struct hub_clone *clone_find(struct cluster *cluster, const uint8_t *node_id)
{
    for (unsigned i = 0; i < cluster->clones_n; i++)
        if (memcmp(cluster->clones[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &cluster->clones[i];
    return NULL;
}

bool hub_clone_lasts(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    return peer != NULL && peer->clone_until_ms > hub_now_ms(cluster);
}

/* A new one, in the place of one that is over if need be. */
static struct hub_clone *clone_make(struct cluster *cluster, const uint8_t *node_id)
{
    struct hub_clone *clone = NULL;

    if (cluster->clones_n < NODES_MAX)
        clone = &cluster->clones[cluster->clones_n++];
    for (unsigned i = 0; i < cluster->clones_n && clone == NULL; i++)
        if (!hub_clone_lasts(cluster, cluster->clones[i].node_id))
            clone = &cluster->clones[i];
    if (clone == NULL)
        return NULL;
    memset(clone, 0, sizeof(*clone));
    memcpy(clone->node_id, node_id, NODE_ID_BYTES);
    clone->since_s = (uint64_t)time(NULL);
    return clone;
}

/* The link tells first, with addresses; then the seal machine, if the alarm is new. */
void hub_clone_heard(struct cluster *cluster, const uint8_t *node_id, const char *first,
                     const char *second)
{
    struct hub_clone *clone = clone_find(cluster, node_id);

    if (clone == NULL)
        clone = clone_make(cluster, node_id);
    else if (first[0] != '\0' && !hub_clone_lasts(cluster, node_id))
        clone->since_s = (uint64_t)time(NULL);
    if (clone == NULL || first[0] == '\0')
        return;
    snprintf(clone->addresses[0], sizeof(clone->addresses[0]), "%s", first);
    snprintf(clone->addresses[1], sizeof(clone->addresses[1]), "%s", second);
}

unsigned hub_clones_n(const struct cluster *cluster)
{
    unsigned n = 0;

    for (unsigned i = 0; i < cluster->clones_n; i++)
        n += hub_clone_lasts(cluster, cluster->clones[i].node_id);
    return n;
}

static json_t *clone_json(const struct hub_clone *clone)
{
    json_t *addresses = json_array();

    for (unsigned i = 0; i < 2; i++)
        if (clone->addresses[i][0] != '\0')
            (void)json_array_append_new(addresses, json_string(clone->addresses[i]));
    return json_pack("{s:I, s:o}", "since", (json_int_t)clone->since_s, "addresses", addresses);
}

json_t *hub_clones_json(const struct cluster *cluster)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < cluster->clones_n; i++) {
        char name[NODE_NAME_BYTES_MAX + 1];
        json_t *json;

        if (!hub_clone_lasts(cluster, cluster->clones[i].node_id))
            continue;
        hub_node_text(cluster, cluster->clones[i].node_id, name, sizeof(name));
        json = clone_json(&cluster->clones[i]);
        (void)json_object_set_new(json, "name", json_string(name));
        (void)json_array_append_new(list, json);
    }
    return list;
}

void cluster_alarms(const struct cluster *cluster, struct buf *out)
{
    for (unsigned i = 0; i < cluster->clones_n; i++) {
        const struct hub_clone *clone = &cluster->clones[i];
        char name[NODE_NAME_BYTES_MAX + 1], since[32] = "";
        time_t at = (time_t)clone->since_s;
        struct tm utc;

        if (!hub_clone_lasts(cluster, clone->node_id))
            continue;
        hub_node_text(cluster, clone->node_id, name, sizeof(name));
        if (gmtime_r(&at, &utc) != NULL)
            (void)strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &utc);
        buf_printf(out, "%stwo processes claim to be %s, since %s", out->len > 0 ? "; " : "", name,
                   since);
        if (clone->addresses[0][0] != '\0')
            buf_printf(out, " (at %s and %s)", clone->addresses[0], clone->addresses[1]);
        buf_put_str(out, ": both are denied; find the copy of its disk");
    }
}

/* --- a member's line ------------------------------------------------------------------------- */

static const char *watermark_word(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    if (hub_is_self(cluster, node_id))
        return seal_is_rolled_back(&cluster->seal) ? "rolled_back" : "ok";
    if (peer != NULL && peer->connected && peer->below != WATERMARK_GOOD)
        return "rolled_back";
    return seal_mark_find(&cluster->seal, node_id) != NULL ? "ok" : NULL;
}

/* Only the leader collects acks; null elsewhere. Once a deal is final all who had to have acked. */
static json_t *acked_json(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct dealing *d = &cluster->dealing;
    size_t i;

    if (!cluster_is_leader(cluster) || cluster->record == NULL ||
        deal_record_find(cluster->record, node_id, &i) != QK_OK)
        return json_null();
    if (memcmp(d->deal_id, cluster->record->deal, DEAL_ID_BYTES) == 0)
        for (unsigned k = 0; k < d->acks_n; k++)
            if (memcmp(d->acks[k], node_id, NODE_ID_BYTES) == 0)
                return json_true();
    for (unsigned k = 0; k < cluster->deal_info.parts_n && hub_is_final(cluster); k++)
        if (memcmp(cluster->deal_info.parts[k], node_id, NODE_ID_BYTES) == 0)
            return json_true();
    return json_false();
}

void hub_identity_json(const struct cluster *cluster, const struct hub_member *member, json_t *json)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, member->node_id);
    const struct hub_clone *clone =
        clone_find((struct cluster *)(uintptr_t)cluster, member->node_id);
    const char *word = watermark_word(cluster, member->node_id);

    (void)json_object_set_new(json, "watermark", word == NULL ? json_null() : json_string(word));
    if (word != NULL && strcmp(word, "rolled_back") == 0 && peer != NULL)
        (void)json_object_set_new(json, "watermark_why",
                                  json_string(watermark_answer_text(peer->below)));
    (void)json_object_set_new(json, "deal_acked", acked_json(cluster, member->node_id));
    if (clone != NULL && hub_clone_lasts(cluster, member->node_id))
        (void)json_object_set_new(json, "clone", clone_json(clone));
}
