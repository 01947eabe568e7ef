/* The changes feed. Without following it is one reply with an array of results. With it, a
 * continuous reply is read as a sequence of objects; when it ends or breaks, another begins where
 * the last change stood, at the next node, and nothing is given twice. The node sends a line break
 * each HEARTBEAT_MS, so that silence for SILENCE_MS is a lost node. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define PATH_BYTES_MAX (2 * HTTP_URI_BYTES_MAX)
#define HEARTBEAT_MS "10000"
#define SILENCE_MS 25000
#define PAUSE_MS 200 /* before a reply that brought nothing is asked for again */

struct feed {
    quorumkeep_row_cb change;
    void *arg;
    char *seq;  /* of the last change; NULL: none was seen */
    bool moved; /* by the reply that is being read */
    bool stopped;
    bool nomem;
};

/* A sequence as the text that `since` takes: CouchDB's are texts, ours may be numbers. */
static char *seq_text(const json_t *seq)
{
    char number[32];

    if (json_is_string(seq))
        return strdup(json_string_value(seq));
    (void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(seq));
    return strdup(number);
}

static void go_on_from(struct feed *feed, const json_t *seq)
{
    char *text = seq == NULL || json_is_null(seq) ? NULL : seq_text(seq);

    if (seq == NULL || json_is_null(seq))
        return;
    feed->nomem = feed->nomem || text == NULL;
    free(feed->seq);
    feed->seq = text;
    feed->moved = true;
}

/* The last line of a feed that the node ends is {"last_seq", "pending"}. */
static int on_line(void *arg, const char *json, size_t len)
{
    struct feed *feed = arg;
    json_t *line = json_loadb(json, len, JSON_ALLOW_NUL, NULL);
    bool is_change = json_object_get(line, "id") != NULL;

    if (is_change)
        feed->stopped = feed->change(feed->arg, json, len) != 0;
    go_on_from(feed, json_object_get(line, is_change ? "seq" : "last_seq"));
    json_decref(line);
    return feed->stopped || feed->nomem;
}

/* What filters goes into the body, and is named in the query. */
static void put_filter(json_t *options, const char *name, const char *filter, json_t *body)
{
    json_t *value = json_object_get(options, name);

    if (value == NULL)
        return;
    (void)json_object_set(body, name, value);
    (void)json_object_del(options, name);
    (void)json_object_set_new(options, "filter", json_string(filter));
}

static char *take_filters(json_t *options)
{
    json_t *body = json_object();
    char *text;

    put_filter(options, "doc_ids", "_doc_ids", body);
    put_filter(options, "selector", "_selector", body);
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

static void put_path(struct buf *path, const char *db, const struct feed *feed, const char *since,
                     bool follow, const json_t *options)
{
    const char *from = feed->seq != NULL ? feed->seq : since;

    buf_reset(path);
    client_path_put(path, db);
    client_path_put(path, "_changes");
    if (from != NULL)
        client_query_put(path, "since", from);
    if (follow) {
        client_query_put(path, "feed", "continuous");
        client_query_put(path, "heartbeat", HEARTBEAT_MS);
    }
    client_options_put(path, options);
}

static enum quorumkeep_error read_once(struct quorumkeep *client, const struct client_order *order,
                                       struct feed *feed, bool follow)
{
    struct client_rows rows = {.name = follow ? NULL : "results", .row = on_line, .arg = feed};
    json_t *rest = NULL;
    enum quorumkeep_error error;

    feed->moved = false;
    error = client_rows(client, order, &rows, &rest);
    if (error == QUORUMKEEP_OK && !follow)
        go_on_from(feed, json_object_get(rest, "last_seq"));
    json_decref(rest);
    return feed->nomem ? client_fail(client, QUORUMKEEP_NOMEM, "out of memory") : error;
}

/* A feed that ended without a word goes on; "now" is where it began, so its start must be known
 * before: changes between two connections would else be lost. */
static enum quorumkeep_error find_now(struct quorumkeep *client, struct client_order *order,
                                      struct feed *feed, const char *db)
{
    struct feed at_end = {.change = feed->change, .arg = feed->arg};
    json_t *limit = json_pack("{s:i}", "limit", 0);
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order ask = *order;
    enum quorumkeep_error error;

    put_path(&path, db, &at_end, "now", false, limit);
    json_decref(limit);
    ask.path = &path;
    ask.method = "GET";
    ask.body = NULL;
    error = read_once(client, &ask, &at_end, false);
    feed->seq = at_end.seq;
    buf_fini(&path);
    return error;
}

static bool goes_on(enum quorumkeep_error error)
{
    return error == QUORUMKEEP_OK || error == QUORUMKEEP_CUT;
}

static enum quorumkeep_error run(struct quorumkeep *client, const char *db, const char *since,
                                 bool follow, json_t *options, struct feed *feed)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    char *body = take_filters(options);
    struct client_order order = {.method = "POST",
                                 .path = &path,
                                 .body = body,
                                 .safe = true,
                                 .timeout_ms = follow ? SILENCE_MS : 0};
    enum quorumkeep_error error = QUORUMKEEP_OK;
    json_free_t release;

    if (body == NULL)
        error = client_fail(client, QUORUMKEEP_NOMEM, "out of memory");
    if (error == QUORUMKEEP_OK && follow && since != NULL && strcmp(since, "now") == 0)
        error = find_now(client, &order, feed, db);
    while (error == QUORUMKEEP_OK) {
        put_path(&path, db, feed, since, follow, options);
        error = read_once(client, &order, feed, follow);
        if (!follow || feed->stopped || !goes_on(error))
            break;
        if (!feed->moved)
            client_rest(PAUSE_MS);
        error = QUORUMKEEP_OK;
    }
    json_get_alloc_funcs(NULL, &release);
    release(body);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_changes(struct quorumkeep *client, const char *db,
                                         const char *since, bool follow, const char *options,
                                         quorumkeep_row_cb change, void *arg,
                                         struct quorumkeep_text *ret_seq)
{
    struct feed feed = {.change = change, .arg = arg};
    json_t *json = NULL;
    enum quorumkeep_error error;

    client_begin(client);
    if (ret_seq != NULL)
        *ret_seq = (struct quorumkeep_text){NULL, 0};
    error = client_options(client, options, &json);
    if (error == QUORUMKEEP_OK)
        error = run(client, db, since, follow, json, &feed);
    if (ret_seq != NULL && feed.seq != NULL &&
        client_text(client, bytes_str(feed.seq), ret_seq) != QUORUMKEEP_OK)
        error = QUORUMKEEP_NOMEM;
    free(feed.seq);
    json_decref(json);
    return error;
}
