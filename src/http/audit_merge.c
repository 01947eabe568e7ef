/* The own lines from the pool, those of the others over the links; when all is there, the lists are
 * merged by time. Within one node's list the chain gives the order, whatever its clock did. */
#include "http/audit_merge.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "http/fanout.h"
#include "service/audit_handlers.h"
#include "audit/audit_line.h"
#include "service/params.h"

#define AFTER_BYTES (2 * NODE_ID_BYTES + 1 + 20)

struct list {
    struct cluster_peer peer;
    struct buf text;
    size_t at;
    char time[32]; /* the latest so far: of a clock that was set back the order stays */
    uint64_t last;
    int status;
    const char *error;
};

struct merge {
    struct service *service;
    struct exchange *exchange;
    struct audit_query query;
    struct list lists[NODES_MAX]; /* the first is this node's */
    unsigned lists_n;
    struct cluster_peer peers[NODES_MAX];
    unsigned peers_n;
    bool skip_self;
};

static void merge_free(struct merge *merge)
{
    for (unsigned i = 0; i < merge->lists_n; i++)
        buf_fini(&merge->lists[i].text);
    free(merge);
}

/* --- where each node goes on ----------------------------------------------------------------- */

/* The entry of `node_id` in after=; false: there is none. */
static bool after_of(const struct exchange *exchange, const uint8_t *node_id, uint64_t *ret_since)
{
    char id[2 * NODE_ID_BYTES + 2];
    struct bytes rest;

    if (!request_param(&exchange->request, "after", &rest))
        return false;
    hex_encode(node_id, NODE_ID_BYTES, id);
    memcpy(id + 2 * NODE_ID_BYTES, ":", 2);
    while (rest.len > 0) {
        const uint8_t *comma = memchr(rest.data, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.data);
        struct bytes entry = bytes_slice(rest, 0, len);

        rest = bytes_slice(rest, len + 1, SIZE_MAX);
        if (bytes_starts_with(entry, bytes_str(id)))
            return parse_u64(bytes_slice(entry, strlen(id), SIZE_MAX), ret_since);
    }
    return false;
}

/* The client's own query follows: of two parameters with one name the first counts. */
static void put_target(void *arg, const struct cluster_peer *peer, struct buf *out)
{
    const struct merge *merge = arg;
    struct bytes target = merge->exchange->request.target;
    const uint8_t *query = memchr(target.data, '?', target.len);
    uint64_t since = 0;

    buf_put_str(out, "/_quorumkeep/audit?node=self");
    if (after_of(merge->exchange, peer->node_id, &since))
        buf_printf(out, "&order=oldest&since=%llu", (unsigned long long)since);
    if (query != NULL) {
        buf_put_u8(out, '&');
        buf_put(out, query + 1, target.len - (size_t)(query + 1 - target.data));
    }
}

/* --- merging --------------------------------------------------------------------------------- */

static bool next_line(const struct list *list, struct bytes *ret_line)
{
    struct bytes rest = bytes_slice(buf_bytes(&list->text), list->at, SIZE_MAX);
    const uint8_t *newline = rest.len == 0 ? NULL : memchr(rest.data, '\n', rest.len);

    if (newline == NULL)
        return false;
    *ret_line = bytes_slice(rest, 0, (size_t)(newline - rest.data));
    return true;
}

static void note_time(struct list *list)
{
    struct bytes line, time;

    if (!next_line(list, &line) || !audit_line_field(line, "time", &time) ||
        time.len >= sizeof list->time || bytes_compare(time, bytes_str(list->time)) <= 0)
        return;
    memcpy(list->time, time.data, time.len);
    list->time[time.len] = '\0';
}

static struct list *earliest(struct merge *merge)
{
    struct list *best = NULL;
    struct bytes line;

    for (unsigned i = 0; i < merge->lists_n; i++) {
        struct list *list = &merge->lists[i];

        if (next_line(list, &line) && (best == NULL || strcmp(list->time, best->time) < 0))
            best = list;
    }
    return best;
}

/* A line that is none any more (its file was damaged) is shown as what it is. */
static json_t *line_json(const struct list *list, struct bytes line)
{
    json_t *entry = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES, NULL);

    return json_pack("{s:s, s:o}", "node", list->peer.name, "entry",
                     entry != NULL ? entry : json_pack("{s:s}", "event", "damaged line"));
}

static unsigned count_lines(const struct merge *merge)
{
    unsigned n = 0;

    for (unsigned i = 0; i < merge->lists_n; i++) {
        struct bytes text = buf_bytes(&merge->lists[i].text);

        for (size_t at = 0; at < text.len; at++)
            n += text.data[at] == '\n';
    }
    return n;
}

/* All that came goes out where the client goes on line by line; else the newest. */
static json_t *lines_json(struct merge *merge)
{
    struct bytes unused;
    bool all = request_param(&merge->exchange->request, "after", &unused);
    unsigned n = count_lines(merge);
    unsigned skip = all || n < merge->query.limit ? 0 : n - merge->query.limit;
    json_t *lines = json_array();
    struct list *list;
    struct bytes line;

    for (unsigned i = 0; i < merge->lists_n; i++)
        note_time(&merge->lists[i]);
    while ((list = earliest(merge)) != NULL && next_line(list, &line)) {
        list->at += line.len + 1;
        if (skip > 0)
            skip--;
        else
            (void)json_array_append_new(lines, line_json(list, line));
        note_time(list);
    }
    return lines;
}

static json_t *nodes_json(const struct merge *merge)
{
    json_t *nodes = json_array();

    for (unsigned i = 0; i < merge->lists_n; i++) {
        const struct list *list = &merge->lists[i];
        char id[2 * NODE_ID_BYTES + 1];
        json_t *node;

        hex_encode(list->peer.node_id, NODE_ID_BYTES, id);
        node = json_pack("{s:s, s:s}", "name", list->peer.name, "node_id", id);
        if (list->error != NULL)
            (void)json_object_set_new(node, "error", json_string(list->error));
        else
            (void)json_object_set_new(node, "last", json_integer((json_int_t)list->last));
        (void)json_array_append_new(nodes, node);
    }
    return nodes;
}

static void reply(struct merge *merge)
{
    json_t *lines = lines_json(merge);

    exchange_reply_json(merge->exchange, 200,
                        json_pack("{s:o, s:o}", "lines", lines, "nodes", nodes_json(merge)));
    merge_free(merge);
}

/* --- collecting ------------------------------------------------------------------------------ */

static struct list *list_add(struct merge *merge, const struct cluster_peer *peer)
{
    struct list *list = &merge->lists[merge->lists_n++];

    list->peer = *peer;
    list->text = BUF_INIT(FANOUT_REPLY_BYTES_MAX);
    return list;
}

static const char *error_of(const struct fanout_reply *got)
{
    if (!got->peer.connected)
        return "not connected";
    return got->status == 0 || got->status == 503 ? "no answer" : "it refused to answer";
}

static void on_others(void *arg, enum qk_err err, const struct fanout_reply *replies, unsigned n)
{
    struct merge *merge = arg;

    if (err != QK_OK) {
        exchange_reply_err(merge->exchange, err);
        merge_free(merge);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        struct list *list = list_add(merge, &replies[i].peer);

        if (replies[i].status == 200) {
            buf_put_bytes(&list->text, replies[i].body);
            list->last = replies[i].last;
        } else {
            list->error = error_of(&replies[i]);
        }
    }
    reply(merge);
}

static void ask_others(struct merge *merge)
{
    static const struct fanout_ops ops = {put_target, on_others};
    struct http *http = ((struct http_exchange *)(void *)merge->exchange)->http;

    fanout_start(http, merge->peers, merge->peers_n, &ops, merge);
}

static void on_own(void *arg, enum qk_err err, struct bytes lines, uint64_t last)
{
    struct merge *merge = arg;
    struct list *list = &merge->lists[0];

    if (err == QK_OK) {
        buf_put_bytes(&list->text, lines);
        list->last = last;
    } else {
        list->error = qk_err_text(err);
    }
    ask_others(merge);
}

static void start(struct merge *merge, const struct cluster_peer *self)
{
    uint64_t since;

    if (merge->skip_self) {
        ask_others(merge);
        return;
    }
    (void)list_add(merge, self);
    if (after_of(merge->exchange, self->node_id, &since)) {
        merge->query.since = since;
        merge->query.oldest = true;
    }
    audit_query_run(merge->service, &merge->query, on_own, merge);
}

/* Who is asked: all, or the one that node= names. False: nobody is. */
static bool choose(struct merge *merge, struct cluster_peer *ret_self)
{
    struct cluster_peer all[NODES_MAX];
    unsigned n = cluster_peers(merge->service->cluster, all);
    struct bytes name;
    bool one = request_param(&merge->exchange->request, "node", &name);

    merge->skip_self = true;
    for (unsigned i = 0; i < n; i++) {
        if (one && !bytes_equal(name, bytes_str(all[i].name)))
            continue;
        if (all[i].self) {
            *ret_self = all[i];
            merge->skip_self = false;
        } else {
            merge->peers[merge->peers_n++] = all[i];
        }
    }
    return !merge->skip_self || merge->peers_n > 0;
}

void handle_audit_merged(struct service *service, struct exchange *exchange)
{
    struct cluster_peer self;
    struct audit_query query;
    struct merge *merge;
    struct bytes name;

    if (exchange->request.forwarded || (request_param(&exchange->request, "node", &name) &&
                                        bytes_equal(name, bytes_str("self")))) {
        handle_audit(service, exchange);
        return;
    }
    if (!audit_query_parse(exchange, &query))
        return;
    merge = calloc(1, sizeof *merge);
    if (merge == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    merge->service = service;
    merge->exchange = exchange;
    merge->query = query;
    if (choose(merge, &self)) {
        start(merge, &self);
        return;
    }
    merge_free(merge);
    exchange_reply_error(exchange, 404, "not_found", "no member has that name");
}
