/* init, status, unseal. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define POLL_MS 200
#define WAIT_DEFAULT_S 30

static enum cli_exit post(struct cli *cli, const char *target, json_t *body, json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    buf_put_str(&path, target);
    code = cli_request(cli, "POST", &path, body, ret_reply);
    buf_fini(&path);
    return code;
}

static void show_init(json_t *reply)
{
    json_t *shares = json_incref(json_object_get(reply, "recovery_shares"));
    bool some = json_array_size(shares) > 0;

    (void)json_object_del(reply, "recovery_shares");
    print_object(reply);
    printf("\nKeep the password and the operator key: they are shown this once.\n");
    (void)json_object_set_new(reply, "recovery_shares", shares);
    cli_print_shares(reply);
    printf("\n%s\n"
           "  here:   quorumkeep node invite\n"
           "  there:  quorumkeep node join\n",
           some ? "The node serves documents. With a second one, and best a third, they open each "
                  "other after a restart:"
                : "The node serves documents as soon as a second one has joined:");
}

enum cli_exit cli_init(struct cli *cli)
{
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code;

    if (cli->options.name != NULL)
        (void)json_object_set_new(body, "name", json_string(cli->options.name));
    if (cli->options.threshold != NULL)
        cli_setting_put(body, "threshold", cli->options.threshold);
    if (cli->options.unseal_quorum != NULL)
        cli_setting_put(body, "unseal_quorum", cli->options.unseal_quorum);
    code = cli_recovery_options(cli, body);
    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    code = post(cli, "/_quorumkeep/init", body, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->options.json)
        print_json(reply, 2);
    else
        show_init(reply);
    json_decref(reply);
    return CLI_OK;
}

/* What /_up says: CLI_OK when open; else the reason, appended to `reason`. */
static enum cli_exit ask_up(struct cli *cli, struct buf *reason)
{
    struct client_request request = {.method = "GET", .target = bytes_str("/_up")};
    struct client_reply reply;
    enum cli_exit code = CLI_ERROR;

    if (client_call(&cli->target, &request, &reply, reason) == QK_OK) {
        json_t *json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
        const char *text = json_string_value(json_object_get(json, "reason"));

        code = reply.status == 200 ? CLI_OK : CLI_SEALED;
        print_clean(reason, text == NULL ? "no reason given" : text);
        json_decref(json);
    }
    client_reply_fini(&reply);
    return code;
}

/* Asks until the node is open or the time is over; on a terminal shows what it waits for. */
static enum cli_exit wait_open(struct cli *cli, unsigned seconds)
{
    bool show = isatty(STDERR_FILENO) && !cli->options.json;
    enum cli_exit code = CLI_SEALED;

    for (unsigned round = 0; round <= seconds * 1000 / POLL_MS; round++) {
        struct timespec pause = {0, POLL_MS * 1000000L};
        struct buf reason = BUF_INIT(8192);

        code = ask_up(cli, &reason);
        if (show && code != CLI_OK)
            fprintf(stderr, "\r\033[K%5.1f s  %.*s", round * POLL_MS / 1000.0,
                    (int)(reason.len < 100 ? reason.len : 100), (const char *)reason.data);
        buf_fini(&reason);
        if (code == CLI_OK)
            break;
        (void)nanosleep(&pause, NULL);
    }
    if (show)
        fprintf(stderr, "\r\033[K");
    return code;
}

static enum cli_exit wait_option(struct cli *cli, unsigned otherwise, unsigned *ret_seconds)
{
    uint64_t value = otherwise;

    if (cli->options.wait != NULL && number_parse(cli->options.wait, 86400, &value) != QK_OK)
        return cli_fail(CLI_USAGE, "--wait: '%s' is not a number of seconds", cli->options.wait);
    *ret_seconds = (unsigned)value;
    return CLI_OK;
}

enum cli_exit cli_status(struct cli *cli)
{
    struct buf reason = BUF_INIT(8192);
    json_t *reply = NULL;
    unsigned seconds = 0;
    enum cli_exit code = wait_option(cli, 0, &seconds);

    if (code != CLI_OK)
        return code;
    if (seconds > 0)
        (void)wait_open(cli, seconds);
    code = cli_get(cli, "/_quorumkeep/status", &reply);
    if (code == CLI_OK) {
        if (cli->options.json)
            print_json(reply, 2);
        else
            print_object(reply);
        code = ask_up(cli, &reason);
        if (code != CLI_OK && !cli->options.json)
            printf("%-22s %.*s\n", "documents:", (int)reason.len, (const char *)reason.data);
    }
    json_decref(reply);
    buf_fini(&reason);
    return code;
}

enum cli_exit cli_unseal(struct cli *cli)
{
    json_t *reply = NULL;
    unsigned seconds = 0;
    enum cli_exit code = wait_option(cli, WAIT_DEFAULT_S, &seconds);

    if (code == CLI_OK && cli->options.recovery)
        return cli_unseal_recovery(cli);
    if (cli->options.share_file != NULL || cli->options.nonce != NULL)
        return cli_fail(CLI_USAGE, "--share-file and --nonce go with --recovery");
    if (code == CLI_OK)
        code = post(cli, "/_quorumkeep/unseal", json_object(), &reply);
    json_decref(reply);
    if (code != CLI_OK)
        return code;
    code = wait_open(cli, seconds);
    if (cli->options.json) {
        printf("{\"open\":%s}\n", code == CLI_OK ? "true" : "false");
    } else if (code == CLI_OK) {
        printf("unsealed\n");
    } else {
        struct buf reason = BUF_INIT(8192);

        code = ask_up(cli, &reason);
        if (code != CLI_OK)
            (void)cli_fail(code, "still closed after %u s: %.*s", seconds, (int)reason.len,
                           (const char *)reason.data);
        buf_fini(&reason);
    }
    return code;
}
