/* verify: has the node check every record, follows it, and says what is wrong. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/print.h"

#define POLL_MS 250

static long long number(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));

    return value == NULL ? "" : value;
}

static bool is_running(const json_t *reply)
{
    const char *state = text(json_object_get(reply, "verify"), "state");

    return strcmp(state, "reading") == 0 || strcmp(state, "opening") == 0 ||
           strcmp(state, "comparing") == 0;
}

/* One line, written over; nothing where nobody watches. */
static void show_progress(const struct cli *cli, const json_t *reply)
{
    const json_t *run = json_object_get(reply, "verify");
    const char *state = text(run, "state");

    if (cli->options.json || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s", state);
    if (strcmp(state, "reading") == 0)
        fprintf(stderr, ": %lld records", number(run, "read"));
    else if (strcmp(state, "opening") == 0)
        fprintf(stderr, ": %lld of %lld records", number(run, "looked_at"), number(run, "records"));
    (void)fflush(stderr);
}

static void hide_progress(const struct cli *cli)
{
    if (!cli->options.json && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
}

static void nap(void)
{
    struct timespec time = {.tv_nsec = POLL_MS * 1000000L};

    (void)nanosleep(&time, NULL);
}

static enum cli_exit follow(struct cli *cli, json_t **ret_reply)
{
    enum cli_exit code = CLI_OK;

    while (code == CLI_OK && is_running(*ret_reply)) {
        show_progress(cli, *ret_reply);
        nap();
        json_decref(*ret_reply);
        *ret_reply = NULL;
        code = cli_get(cli, "/_quorumkeep/verify", ret_reply);
    }
    hide_progress(cli);
    return code;
}

static void print_list(const char *title, const json_t *list)
{
    if (json_array_size(list) == 0)
        return;
    printf("\n%s\n", title);
    print_table(list);
}

static void print_result(const json_t *reply)
{
    const json_t *run = json_object_get(reply, "verify");
    const json_t *feeds = json_object_get(reply, "feeds");

    printf("%s: %lld records read, %lld envelopes opened, %lld damaged: %s\n", text(reply, "node"),
           number(run, "looked_at"), number(run, "envelopes"), number(run, "damaged_n"),
           text(reply, "standing"));
    if (number(run, "chunks") > 0)
        printf("%lld chunks of attachments opened\n", number(run, "chunks"));
    if (number(run, "destroyed_key_n") > 0)
        printf("%lld envelopes are under destroyed key versions\n", number(run, "destroyed_key_n"));
    if (number(feeds, "wrong") > 0)
        printf("%lld rows of the feeds of changes are wrong: %s\n", number(feeds, "wrong"),
               text(feeds, "first"));
    print_list("members", json_object_get(reply, "peers"));
    print_list("records that do not open", json_object_get(run, "damaged"));
    print_list("records that are not what they are elsewhere", json_object_get(reply, "records"));
}

static enum cli_exit judge(const json_t *reply)
{
    const json_t *run = json_object_get(reply, "verify");
    const char *alarm = text(reply, "alarm");

    if (strcmp(text(run, "state"), "failed") == 0)
        return cli_fail(CLI_ERROR, "not verified to the end: %s; try again", text(run, "why"));
    if (number(run, "damaged_n") > 0)
        return cli_fail(CLI_ERROR,
                        "%lld records of %s do not open: stop it, move its store.mdb away and "
                        "start it: it takes the records from the other members",
                        number(run, "damaged_n"), text(reply, "node"));
    if (alarm[0] != '\0')
        return cli_fail(CLI_ERROR, "%s", alarm);
    if (strcmp(text(reply, "standing"), "sound") != 0)
        return cli_fail(CLI_ERROR,
                        "all opens, but nobody can say whether it is what was written: the node "
                        "applied what it has while it was sealed, or over a restart, and no "
                        "unsealed member has answered; unseal another and try again");
    return CLI_OK;
}

enum cli_exit cli_verify(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *reply = NULL;
    enum cli_exit code;

    buf_put_str(&path, "/_quorumkeep/verify");
    code = cli_request(cli, "POST", &path, NULL, &reply);
    buf_fini(&path);
    if (code == CLI_OK && !cli->options.no_wait)
        code = follow(cli, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK && cli->options.no_wait)
        printf("begun: '%s' again follows it\n", "quorumkeep verify");
    else if (code == CLI_OK)
        print_result(reply);
    if (code == CLI_OK && !cli->options.no_wait)
        code = judge(reply);
    json_decref(reply);
    return code;
}
