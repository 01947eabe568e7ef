/* What is known of the records, for people and machines. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "service/catalog.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

/* --- names ----------------------------------------------------------------------------------- */

struct name_wish {
    const uint8_t *id;
    char *text;
    size_t size;
};

static bool name_each(void *arg, const struct catalog_database *database)
{
    struct name_wish *wish = arg;

    if (memcmp(database->id, wish->id, DATABASE_ID_BYTES) != 0)
        return true;
    snprintf(wish->text, wish->size, "%s", database->name);
    return false;
}

static void space_text(const struct integrity *integrity, const uint8_t *id, char *ret_text,
                       size_t size)
{
    static const char *const spaces[] = {
        [RECORD_SYS] = "(system)", [RECORD_CATALOG] = "(catalog)", [RECORD_KEYRING] = "(keyring)"};
    struct name_wish wish = {id, ret_text, size};
    char hex[2 * DATABASE_ID_BYTES + 1];
    enum record_space space;

    hex_encode(id, DATABASE_ID_BYTES, hex);
    snprintf(ret_text, size, "%s", hex);
    if (record_key_space(bytes_of(id, DATABASE_ID_BYTES), &space))
        snprintf(ret_text, size, "%s", spaces[space]);
    else if (integrity->service->catalog != NULL)
        catalog_databases_each(integrity->service->catalog, name_each, &wish);
}

/* Of what lies behind all documents, what a person may know it by. */
static bool content_text(struct bytes key, char *out, size_t size)
{
    uint8_t id[ATTACHMENT_ID_BYTES];
    char hex[2 * ATTACHMENT_ID_BYTES + 1];
    uint32_t chunk;

    if (record_key_chunk(key, id, &chunk)) {
        hex_encode(id, sizeof(id), hex);
        snprintf(out, size, "chunk %" PRIu32 " of attachment %s", chunk, hex);
        return true;
    }
    if (!record_key_unnamed(key, id))
        return false;
    hex_encode(id, sizeof(id), hex);
    snprintf(out, size, "that no document names attachment %s", hex);
    return true;
}

/* Unprintable bytes as \xNN: the name of a catalog record is a hash. */
void integrity_key_text(const struct integrity *integrity, struct bytes key, char *ret_text,
                        size_t size)
{
    struct bytes name = record_key_name(key);
    char space[DATABASE_NAME_BYTES_MAX + 64];
    size_t at;

    space_text(integrity, key.data, space, sizeof(space));
    at = (size_t)snprintf(ret_text, size, "%s/", space);
    if (at < size && content_text(key, ret_text + at, size - at))
        return;
    for (size_t i = 0; i < name.len && at + 5 < size; i++) {
        bool plain = name.data[i] >= ' ' && name.data[i] < 0x7f && name.data[i] != '\\';

        at += (size_t)snprintf(ret_text + at, size - at, plain ? "%c" : "\\x%02x", name.data[i]);
    }
}

/* --- who is wrong, and how ------------------------------------------------------------------- */

static bool is_blamed(const struct integrity *integrity, const uint8_t *node_id)
{
    return memcmp(integrity->blamed, node_id, NODE_ID_BYTES) == 0;
}

static const char *harm_text(const struct integrity *integrity,
                             const struct integrity_finding *finding)
{
    if (is_blamed(integrity, integrity->service->node_id))
        return integrity_harm_text(integrity_harm(&finding->here, &finding->there));
    if (is_blamed(integrity, finding->peer))
        return integrity_harm_text(integrity_harm(&finding->there, &finding->here));
    return "different";
}

static void node_text(const struct integrity *integrity, const uint8_t *node_id, char *ret_text,
                      size_t size)
{
    if (memcmp(node_id, integrity->service->node_id, NODE_ID_BYTES) == 0)
        snprintf(ret_text, size, "%s", integrity->service->node_name);
    else
        cluster_node_text(integrity->service->cluster, node_id, ret_text, size);
}

static void put_remedy(struct buf *out, const char *node)
{
    buf_printf(out,
               "; stop %s, move its store.mdb away and start it: it takes the records from the "
               "other members",
               node);
}

/* Without names of records: the alarm stands in replies that need no login. */
static void put_findings(const struct integrity *integrity, struct buf *out)
{
    if (integrity->findings_all_n > 0)
        buf_printf(out, ": %" PRIu64 " differ ('quorumkeep verify' names them)",
                   integrity->findings_all_n);
}

void integrity_alarm(const struct integrity *integrity, struct buf *out)
{
    char node[NODE_NAME_BYTES_MAX + 64], other[NODE_NAME_BYTES_MAX + 64];
    static const uint8_t nobody[NODE_ID_BYTES];
    bool damaged;

    if (integrity == NULL)
        return;
    damaged = integrity->standing == INTEGRITY_DAMAGED;
    if (integrity->changes_wrong_n > 0)
        buf_printf(out, "%s%" PRIu64 " rows of the feeds of changes of %s are wrong",
                   out->len > 0 ? "; " : "", integrity->changes_wrong_n,
                   integrity->service->node_name);
    if (!damaged && integrity->findings_all_n == 0 && is_blamed(integrity, nobody))
        return;
    node_text(integrity, damaged ? integrity->service->node_id : integrity->blamed, node,
              sizeof(node));
    buf_put_str(out, out->len > 0 ? "; " : "");
    if (!damaged && is_blamed(integrity, nobody)) {
        node_text(integrity, integrity->findings[0].peer, other, sizeof(other));
        buf_printf(out,
                   "the records of %s and %s are not the same and neither can tell whose are "
                   "right",
                   integrity->service->node_name, other);
        put_findings(integrity, out);
        return;
    }
    buf_printf(out, "the records of %s are not those that the cluster wrote", node);
    put_findings(integrity, out);
    put_remedy(out, node);
}

/* --- JSON ------------------------------------------------------------------------------------ */

static json_t *version_json(const struct integrity_row *row)
{
    return row->version == 0 ? json_null() : json_integer((json_int_t)row->version);
}

static json_t *finding_json(const struct integrity *integrity,
                            const struct integrity_finding *finding)
{
    char key[INTEGRITY_TEXT_BYTES], peer[NODE_NAME_BYTES_MAX + 64], node[NODE_NAME_BYTES_MAX + 64];
    json_t *json;

    integrity_key_text(integrity, record_key_bytes(&finding->key), key, sizeof(key));
    node_text(integrity, finding->peer, peer, sizeof(peer));
    json = json_pack("{s:s, s:s, s:o, s:s, s:o}", "record", key, "what",
                     harm_text(integrity, finding), "version_here", version_json(&finding->here),
                     "peer", peer, "version_there", version_json(&finding->there));
    if (is_blamed(integrity, integrity->service->node_id) || is_blamed(integrity, finding->peer)) {
        node_text(integrity, integrity->blamed, node, sizeof(node));
        (void)json_object_set_new(json, "on", json_string(node));
    }
    return json;
}

json_t *integrity_findings_json(const struct integrity *integrity)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < integrity->findings_n; i++)
        (void)json_array_append_new(list, finding_json(integrity, &integrity->findings[i]));
    return list;
}

static json_t *peers_json(const struct integrity *integrity)
{
    static const char *const answers[] = {[INTEGRITY_SILENT] = "no answer",
                                          [INTEGRITY_EQUAL] = "equal",
                                          [INTEGRITY_DIFFERS] = "differs"};
    json_t *list = json_array();

    for (unsigned i = 0; i < integrity->peers_n; i++) {
        const struct integrity_peer *peer = &integrity->peers[i];
        char name[NODE_NAME_BYTES_MAX + 64];

        node_text(integrity, peer->node_id, name, sizeof(name));
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I}", "name", name, "records",
                                                    answers[peer->answer], "standing",
                                                    integrity_standing_text(peer->standing),
                                                    "index", (json_int_t)peer->index));
    }
    return list;
}

static const char *work_text(const struct integrity *integrity)
{
    if (integrity->element_key == NULL)
        return "sealed";
    if (!integrity->live)
        return "reading";
    return "following";
}

json_t *integrity_json(const struct integrity *integrity)
{
    struct buf alarm = BUF_INIT(4 * KIB);
    json_t *json;

    if (integrity == NULL)
        return json_null();
    integrity_alarm(integrity, &alarm);
    json =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}", "standing",
                  integrity_standing_text(integrity->standing), "work", work_text(integrity),
                  "findings", (json_int_t)integrity->findings_all_n, "scanned",
                  (json_int_t)integrity->scanned_n, "scanned_s", (json_int_t)integrity->scanned_s,
                  "compared_s", (json_int_t)integrity->compared_s, "peers", peers_json(integrity));
    if (alarm.len > 0)
        (void)json_object_set_new(json, "alarm", json_stringn((const char *)alarm.data, alarm.len));
    buf_fini(&alarm);
    return json;
}

void integrity_figures(const struct integrity *integrity, struct integrity_figures *ret_figures)
{
    *ret_figures = (struct integrity_figures){0};
    if (integrity == NULL)
        return;
    ret_figures->standing = integrity->standing;
    ret_figures->live = integrity->live;
    ret_figures->findings_n = integrity->findings_all_n;
    ret_figures->scanned_n = integrity->scanned_n;
    ret_figures->scanned_s = integrity->scanned_s;
    ret_figures->compared_s = integrity->compared_s;
}
