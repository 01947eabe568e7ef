/* key list, key show, key reencrypt. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/print.h"

#define WATCH_S 1
#define WATCH_LOST_MAX 60 /* tries without an answer: more than a change of leaders takes */

static long long number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

/* What is to be said in place of figures, while there are none; else NULL. */
static const char *progress_words(const json_t *progress, const char *state)
{
    if (state == NULL || strcmp(state, "none") == 0)
        return "re-encryption: none was ever needed";
    if (strcmp(state, "declined") == 0)
        return "re-encryption not asked for: what is under older versions stays there until 'key "
               "reencrypt'";
    if (strcmp(state, "running") == 0 && json_is_null(json_object_get(progress, "began")))
        return "re-encryption running: counting the records under old key versions";
    return NULL;
}

/* "running: 1200 of 5000 records sealed again, 300/s, 13 s left". */
static void progress_line(const json_t *progress, char *ret_text, size_t size)
{
    const char *state = json_string_value(json_object_get(progress, "state"));
    const char *words = progress_words(progress, state);
    int at;

    if (words != NULL) {
        snprintf(ret_text, size, "%s", words);
        return;
    }
    at = snprintf(ret_text, size, "re-encryption %s: %lld of %lld records sealed again", state,
                  number(progress, "done"), number(progress, "old"));
    if (json_is_integer(json_object_get(progress, "eta_s")) && at > 0 && (size_t)at < size)
        at += snprintf(ret_text + at, size - (size_t)at, ", %lld/s, %lld s left",
                       number(progress, "rate"), number(progress, "eta_s"));
    if (number(progress, "damaged") > 0 && at > 0 && (size_t)at < size)
        snprintf(ret_text + at, size - (size_t)at, ", %lld do not open: see the node's log",
                 number(progress, "damaged"));
}

static void print_progress(const json_t *reply)
{
    char text[256];

    progress_line(json_object_get(reply, "reencrypt"), text, sizeof text);
    printf("%s\n", text);
}

enum cli_exit cli_key_list(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/keys", &reply);

    if (code == CLI_OK && cli->options.json) {
        print_json(reply, 2);
    } else if (code == CLI_OK) {
        print_table(json_object_get(reply, "keys"));
        print_progress(reply);
    }
    json_decref(reply);
    return code;
}

/* "period: 812 of 1000 records, 90 kB of 1099511627 kB, 2 of 90 days: rotated in about 3 h". */
static void print_period(const json_t *reply)
{
    const json_t *period = json_object_get(reply, "period");
    const json_t *records = json_object_get(period, "records");
    const json_t *bytes = json_object_get(period, "bytes");
    const json_t *age = json_object_get(period, "age_s");

    if (!json_is_object(period))
        return;
    printf(
        "period: %lld of %lld records, %lld of %lld bytes, %lld of %lld s: next rotation in %lld "
        "s as it goes\n",
        number(records, "used"), number(records, "max"), number(bytes, "used"),
        number(bytes, "max"), number(age, "used"), number(age, "max"), number(period, "left_s"));
}

/* For people: when a version was made as a date, and nothing where nothing was counted. */
static void print_versions(json_t *versions)
{
    json_t *one;
    size_t at;

    json_array_foreach(versions, at, one)
    {
        char when[PRINT_TIME_BYTES];

        print_time((uint64_t)number(one, "created"), when);
        (void)json_object_set_new(one, "created", json_string(when));
        if (json_is_null(json_object_get(one, "records")))
            (void)json_object_set_new(one, "records", json_string("-"));
    }
    print_table(versions);
}

static void print_key(json_t *reply)
{
    print_versions(json_object_get(reply, "versions"));
    print_period(reply);
    print_progress(reply);
}

static bool is_running(const json_t *reply)
{
    const char *state =
        json_string_value(json_object_get(json_object_get(reply, "reencrypt"), "state"));

    return state != NULL && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
}

/* One line that is written over on a terminal, one a second elsewhere. */
static void show_progress(const struct cli *cli, const json_t *reply)
{
    char text[256];

    if (cli->options.json) {
        print_json(reply, 0);
    } else {
        progress_line(json_object_get(reply, "reencrypt"), text, sizeof text);
        printf(isatty(STDOUT_FILENO) ? "\r\033[K%s" : "%s\n", text);
    }
    (void)fflush(stdout);
}

/* Until the work is done, or nobody could be asked for a while: the work outlives its leader. Takes
 * over `reply`, and gives the newest back. */
static json_t *watch(struct cli *cli, const char *path, json_t *reply)
{
    unsigned lost = 0;

    while (lost < WATCH_LOST_MAX && is_running(reply)) {
        json_t *next;

        show_progress(cli, reply);
        (void)sleep(WATCH_S);
        next = cli_look(cli, path);
        lost = next == NULL ? lost + 1 : 0;
        if (next != NULL) {
            json_decref(reply);
            reply = next;
        }
    }
    return reply;
}

enum cli_exit cli_key_show(struct cli *cli)
{
    struct buf path = BUF_INIT(1024);
    json_t *reply = NULL;
    enum cli_exit code;

    buf_put_str(&path, "/_quorumkeep/keys");
    client_path_put(&path, cli->options.args[0]);
    buf_put_u8(&path, 0);
    path.len -= path.len > 0; /* a text, too */
    code = cli_request(cli, "GET", &path, NULL, &reply);
    if (code == CLI_OK && cli->options.watch)
        reply = watch(cli, (const char *)path.data, reply);
    if (code == CLI_OK && cli->options.watch && is_running(reply)) {
        json_decref(reply); /* given up: what is wrong is said by this one */
        reply = NULL;
        code = cli_request(cli, "GET", &path, NULL, &reply);
    }
    if (code == CLI_OK && cli->options.watch && !cli->options.json && isatty(STDOUT_FILENO))
        printf("\r\033[K");
    if (code == CLI_OK && cli->options.json)
        print_json(reply, cli->options.watch ? 0 : 2);
    else if (code == CLI_OK)
        print_key(reply);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_key_reencrypt(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *body, *reply = NULL;
    char text[256];
    enum cli_exit code;

    if (cli->options.pause && cli->options.resume)
        return cli_fail(CLI_USAGE, "--pause and --resume exclude each other");
    body = json_object();
    if (cli->options.pause || cli->options.resume)
        (void)json_object_set_new(body, "pause", json_boolean(cli->options.pause));
    buf_put_str(&path, "/_quorumkeep/keys/reencrypt");
    code = cli_request(cli, "POST", &path, body, &reply);
    buf_fini(&path);
    if (code == CLI_OK && cli->options.json) {
        print_json(reply, 2);
    } else if (code == CLI_OK) {
        progress_line(reply, text, sizeof text);
        printf("%s\n", text);
    }
    json_decref(reply);
    return code;
}
