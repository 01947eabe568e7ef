/* doc watch: the changes of a database as they come.
 *
 * One continuous feed after the other: where one ends or breaks, the next begins behind the last
 * change that was shown, so that none is missed and none comes twice. A node that is lost is tried
 * for LOST_MS. Lines for people on a terminal; else each change as the node told it, in JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"
#include "client/split.h"

#define HEARTBEAT_MS "10000"
#define SILENCE_MS 25000
#define LOST_MS 30000
#define PAUSE_MS 500
#define SEQ_BYTES_MAX 512

struct watch {
    struct cli *cli;
    struct split split;
    char seq[SEQ_BYTES_MAX]; /* of the last change shown, or where it began */
    uint64_t limit, n;
    bool for_people;
    bool alive; /* something came over the feed that is being read */
    bool over;  /* with `code` */
    enum cli_exit code;
};

static void print_for_people(const struct watch *watch, const json_t *change)
{
    const json_t *revs = json_object_get(change, "changes");
    const json_t *doc = json_object_get(change, "doc");
    char clock[16] = "";
    time_t now = time(NULL);
    struct tm local;
    size_t i;

    if (localtime_r(&now, &local) != NULL)
        (void)strftime(clock, sizeof(clock), "%H:%M:%S", &local);
    printf("%s  %s", clock, json_string_value(json_object_get(change, "id")));
    for (i = 0; i < json_array_size(revs); i++)
        printf("  %s", json_string_value(json_object_get(json_array_get(revs, i), "rev")));
    printf("%s\n", json_is_true(json_object_get(change, "deleted")) ? "  deleted" : "");
    if (watch->cli->options.include_docs && json_is_object(doc))
        print_json(doc, 2);
}

static void end(struct watch *watch, enum cli_exit code)
{
    watch->over = true;
    watch->code = code;
}

static void on_change(struct watch *watch, const json_t *change)
{
    if (watch->for_people)
        print_for_people(watch, change);
    else
        print_json(change, 0);
    if (fflush(stdout) != 0)
        end(watch, CLI_ERROR); /* nobody reads */
    if (++watch->n == watch->limit)
        end(watch, CLI_OK);
}

static void on_error(struct watch *watch, const json_t *line)
{
    const char *error = json_string_value(json_object_get(line, "error"));
    const char *reason = json_string_value(json_object_get(line, "reason"));
    bool sealed = error != NULL && strcmp(error, "sealed") == 0;
    bool denied =
        error != NULL && (strcmp(error, "forbidden") == 0 || strcmp(error, "unauthorized") == 0);

    end(watch, cli_fail(sealed   ? CLI_SEALED
                        : denied ? CLI_DENIED
                                 : CLI_ERROR,
                        "%s: %s", error == NULL ? "error" : error, reason == NULL ? "" : reason));
}

/* A change, the last line of a feed that the node ends, or why it broke off. */
static bool on_line(void *arg, struct bytes text)
{
    struct watch *watch = arg;
    json_t *line = json_loadb((const char *)text.data, text.len, JSON_ALLOW_NUL, NULL);
    const json_t *seq = json_object_get(line, "seq");

    if (seq == NULL)
        seq = json_object_get(line, "last_seq");
    if (json_object_get(line, "id") != NULL)
        on_change(watch, line);
    else if (json_object_get(line, "error") != NULL)
        on_error(watch, line);
    if (json_is_string(seq) && json_string_length(seq) < sizeof(watch->seq))
        memcpy(watch->seq, json_string_value(seq), json_string_length(seq) + 1);
    json_decref(line);
    return !watch->over;
}

static bool on_body(void *arg, struct bytes piece)
{
    struct watch *watch = arg;

    watch->alive = true;
    if (split_feed(&watch->split, piece) != QK_OK && !watch->over)
        end(watch, cli_fail(CLI_ERROR, "%s: the reply is not JSON", watch->cli->target.text));
    return !watch->over;
}

static void put_path(const struct watch *watch, struct buf *path)
{
    const struct options *options = &watch->cli->options;

    client_path_put(path, options->args[0]);
    client_path_put(path, "_changes");
    client_query_put(path, "feed", "continuous");
    client_query_put(path, "heartbeat", HEARTBEAT_MS);
    client_query_put(path, "since", watch->seq);
    if (options->include_docs)
        client_query_put(path, "include_docs", "true");
    if (options->args_n > 1)
        client_query_put(path, "filter", "_doc_ids");
}

/* {"doc_ids":[...]} of the ids that were named. */
static char *body_text(const struct options *options)
{
    json_t *body = json_object(), *ids = json_array();
    char *text;
    unsigned i;

    for (i = 1; i < options->args_n; i++)
        (void)json_array_append_new(ids, json_string(options->args[i]));
    (void)json_object_set_new(body, "doc_ids", ids);
    text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return text;
}

/* One feed to its end. False: the node could not be reached, was lost, or is not ready (which is
 * said if this is the last try). */
static bool read_feed(struct watch *watch, struct bytes body, bool last, struct buf *message)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct client_request request = {.method = "POST",
                                     .body = body,
                                     .authorization = buf_bytes(&watch->cli->authorization),
                                     .timeout_ms = SILENCE_MS,
                                     .on_body = on_body,
                                     .arg = watch};
    struct client_reply reply = {0};
    enum qk_err err;
    bool ready;

    put_path(watch, &path);
    request.target = buf_bytes(&path);
    split_init(&watch->split, NULL, on_line, watch);
    watch->alive = false;
    err = client_call(&watch->cli->target, &request, &reply, message);
    ready = err == QK_OK && (reply.status != 503 || last);
    if (ready && !watch->over && reply.status / 100 != 2)
        end(watch, cli_judge(watch->cli, &reply));
    client_reply_fini(&reply);
    split_fini(&watch->split);
    buf_fini(&path);
    return ready;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static enum cli_exit follow(struct watch *watch, struct bytes body)
{
    struct buf message = BUF_INIT(4 * KIB);
    uint64_t heard_ms = now_ms();

    while (!watch->over) {
        bool last = now_ms() - heard_ms > LOST_MS;
        bool ready;

        buf_reset(&message);
        ready = read_feed(watch, body, last, &message);
        if (ready || watch->alive)
            heard_ms = now_ms();
        else if (last && !watch->over)
            end(watch, cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data));
        if (!watch->over)
            (void)usleep(PAUSE_MS * 1000);
    }
    buf_fini(&message);
    return watch->code;
}

/* Where it begins has to be known before the first change: if the feed breaks before, those
 * between two connections would be lost. It also says what is wrong with the names, or the login.
 */
static enum cli_exit find_begin(struct watch *watch)
{
    const char *since = watch->cli->options.since;
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL;
    const char *seq;
    enum cli_exit code;

    client_path_put(&path, watch->cli->options.args[0]);
    client_path_put(&path, "_changes");
    client_query_put(&path, "limit", "1");
    client_query_put(&path, "since", since == NULL ? "now" : since);
    code = buf_error(&path) != QK_OK ? cli_fail(CLI_USAGE, "the names are too long")
                                     : cli_request(watch->cli, "GET", &path, NULL, &reply);
    seq = since != NULL ? since : json_string_value(json_object_get(reply, "last_seq"));
    if (code == CLI_OK && (seq == NULL || strlen(seq) >= sizeof(watch->seq)))
        code = cli_fail(CLI_ERROR, "the node does not say where its feed stands");
    else if (code == CLI_OK)
        memcpy(watch->seq, seq, strlen(seq) + 1);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_doc_watch(struct cli *cli)
{
    struct watch watch = {
        .cli = cli, .limit = UINT64_MAX, .for_people = isatty(STDOUT_FILENO) && !cli->options.json};
    const char *limit = cli->options.limit;
    enum cli_exit code;
    char *body;

    if (limit != NULL &&
        (number_parse(limit, INT64_MAX, &watch.limit) != QK_OK || watch.limit == 0))
        return cli_fail(CLI_USAGE, "--limit: '%s' is not a number from 1 on", limit);
    code = find_begin(&watch);
    if (code != CLI_OK)
        return code;
    body = body_text(&cli->options);
    code = body == NULL ? cli_fail(CLI_ERROR, "out of memory") : follow(&watch, bytes_str(body));
    print_free(body);
    return code;
}
