/* node remove, master refresh, master rotate: the order, then what it waits for until it is done.
 * The work is the cluster's: who stops watching stops nothing, and the same command again goes on
 * watching. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define POLL_MS 200
#define WAIT_DEFAULT_S 60

struct watch {
    struct cli *cli;
    unsigned seconds;
    const char *wish; /* "refresh", "rotate"; NULL: a removal */
    char line[1024];  /* shown last */
};

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

static bool is_done(const struct watch *watch, const json_t *view)
{
    const json_t *wish;
    size_t at;

    if (watch->wish == NULL)
        return json_is_null(json_object_get(view, "removal"));
    json_array_foreach(json_object_get(view, "wanted"), at, wish)
    {
        if (strcmp(json_string_value(wish) == NULL ? "" : json_string_value(wish), watch->wish) ==
            0)
            return false;
    }
    return json_is_true(json_object_get(view, "final"));
}

static const char *missing_why(const json_t *item)
{
    if (json_is_true(json_object_get(item, "suspended")))
        return " (suspended: resume or remove it)";
    return json_is_true(json_object_get(item, "live")) ? "" : " (away)";
}

/* "n3: left out of the deal; waiting for n2 (away) to check the new deal" */
static void pending_line(const json_t *view, char *ret_line, size_t size)
{
    struct buf out = BUF_INIT(size - 1);
    const json_t *item;
    size_t at;

    json_array_foreach(json_object_get(json_object_get(view, "removal"), "nodes"), at, item)
    {
        buf_printf(&out, "%s%s: %s", at == 0 ? "" : ", ", text_of(item, "name"),
                   text_of(item, "state"));
    }
    if (out.len == 0)
        buf_printf(&out, "%s", text_of(view, "work"));
    json_array_foreach(json_object_get(view, "missing"), at, item)
    {
        buf_printf(&out, "%s%s%s %s", at == 0 ? "; waiting for " : ", ", text_of(item, "name"),
                   missing_why(item), text_of(item, "what"));
    }
    memcpy(ret_line, out.data != NULL ? (const char *)out.data : "", out.len);
    ret_line[out.len] = '\0';
    buf_fini(&out);
}

static void show(struct watch *watch, const char *line)
{
    struct buf clean = BUF_INIT(2048);

    if (watch->cli->options.json || strcmp(line, watch->line) == 0)
        return;
    snprintf(watch->line, sizeof watch->line, "%s", line);
    print_clean(&clean, line);
    fprintf(stderr, isatty(STDERR_FILENO) ? "\r\033[K%.*s" : "%.*s\n", (int)clean.len,
            (const char *)clean.data);
    (void)fflush(stderr);
    buf_fini(&clean);
}

static void show_end(const struct watch *watch)
{
    if (watch->line[0] != '\0' && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static enum cli_exit finished(const struct watch *watch, const char *name, const json_t *view)
{
    if (watch->cli->options.json)
        print_json(view, 2);
    else if (watch->wish == NULL)
        printf("%s is removed: its disk is worthless now\n", name);
    else
        printf("done: deal %lld, master key version %lld\n",
               (long long)json_integer_value(json_object_get(view, "epoch")),
               (long long)json_integer_value(json_object_get(view, "mk_version")));
    return CLI_OK;
}

static enum cli_exit pending(const struct watch *watch, const json_t *view)
{
    if (watch->cli->options.json && view != NULL)
        print_json(view, 2);
    return cli_fail(CLI_ERROR,
                    "%s is pending: %s; it goes on by itself, and the same command again "
                    "watches it",
                    watch->wish == NULL ? "the removal" : watch->wish,
                    watch->line[0] != '\0' ? watch->line : "no leader can be asked now");
}

/* The node that was asked is the one that left: nobody tells it more. */
static bool asked_has_left(struct cli *cli)
{
    json_t *status = cli_look(cli, "/_quorumkeep/status");
    bool left = strncmp(text_of(status, "reason"), "removed from the cluster", 24) == 0;

    json_decref(status);
    return left;
}

static enum cli_exit watch_until(struct watch *watch, const char *name)
{
    struct timespec pause = {0, POLL_MS * 1000000L};
    json_t *view = NULL;
    enum cli_exit code = CLI_ERROR;

    for (unsigned round = 0; round <= watch->seconds * 1000 / POLL_MS; round++) {
        char line[1024];

        json_decref(view);
        view = cli_look(watch->cli, "/_quorumkeep/deal");
        if (view != NULL && is_done(watch, view)) {
            show_end(watch);
            code = finished(watch, name, view);
            json_decref(view);
            return code;
        }
        if (view == NULL && watch->wish == NULL && asked_has_left(watch->cli)) {
            show_end(watch);
            return cli_fail(CLI_ERROR, "this node has left and hears no more of it: ask another "
                                       "one with 'quorumkeep node list' whether its removal is "
                                       "done");
        }
        if (view != NULL) {
            pending_line(view, line, sizeof line);
            show(watch, line);
        }
        (void)nanosleep(&pause, NULL);
    }
    show_end(watch);
    code = pending(watch, view);
    json_decref(view);
    return code;
}

static enum cli_exit order(struct cli *cli, struct buf *path, json_t *body, struct watch *watch,
                           const char *name)
{
    json_t *reply = NULL;
    uint64_t seconds = WAIT_DEFAULT_S;
    enum cli_exit code;

    watch->cli = cli;
    watch->line[0] = '\0';
    if (cli->options.wait != NULL && number_parse(cli->options.wait, 86400, &seconds) != QK_OK) {
        json_decref(body);
        return cli_fail(CLI_USAGE, "--wait: '%s' is not a number of seconds", cli->options.wait);
    }
    watch->seconds = (unsigned)seconds;
    code = cli_request(cli, "POST", path, body, &reply);
    if (code == CLI_OK && cli->options.no_wait) {
        pending_line(reply, watch->line, sizeof watch->line);
        if (cli->options.json)
            print_json(reply, 2);
        else
            printf("begun: %s\n", watch->line);
    } else if (code == CLI_OK)
        code = watch_until(watch, name);
    json_decref(reply);
    return code;
}

enum cli_exit cli_node_remove(struct cli *cli)
{
    struct buf path = BUF_INIT(1024);
    struct watch watch = {0};
    const char *name = cli->options.args[0];
    json_t *body = json_object();
    enum cli_exit code;

    if (cli->options.no_reencrypt)
        (void)json_object_set_new(body, "reencrypt", json_false());
    buf_put_str(&path, "/_quorumkeep/nodes");
    client_path_put(&path, name);
    buf_put_str(&path, "/remove");
    code = order(cli, &path, body, &watch, name);
    buf_fini(&path);
    return code;
}

static enum cli_exit master(struct cli *cli, const char *wish)
{
    struct buf path = BUF_INIT(64);
    struct watch watch = {.wish = wish};
    json_t *body = json_object();
    enum cli_exit code;

    if (cli->options.new_keys)
        (void)json_object_set_new(body, "new_keys", json_true());
    buf_printf(&path, "/_quorumkeep/master/%s", wish);
    code = order(cli, &path, body, &watch, wish);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_master_refresh(struct cli *cli)
{
    return master(cli, "refresh");
}

enum cli_exit cli_master_rotate(struct cli *cli)
{
    return master(cli, "rotate");
}

void cli_print_removal(const json_t *reply)
{
    struct buf clean = BUF_INIT(2048);
    const json_t *removal = json_object_get(reply, "removal");
    json_t *view;
    char line[1024];

    if (!json_is_object(removal))
        return;
    view =
        json_pack("{s:O, s:O}", "removal", removal, "missing", json_object_get(removal, "missing"));
    pending_line(view, line, sizeof line);
    print_clean(&clean, line);
    printf("\nremoval pending: %.*s\n", (int)clean.len, (const char *)clean.data);
    buf_fini(&clean);
    json_decref(view);
}
