/* unseal --recovery, recovery rotate, recovery verify: people and their shares. A share is read
 * from a prompt without echo, standard input or a file, never from an argument, and is sent to the
 * node one at a time: what is wrong with it is said at once. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/number.h"
#include "cli/print.h"

#define SHARE_BYTES_MAX 256
#define NONCE_CHARS 32
#define SHARES_MAX 32

/* One attempt, as the node tells it. */
struct entering {
    struct cli *cli;
    struct credential_source source;
    char nonce[NONCE_CHARS + 1];
    int t, progress;
    bool done, quorum;
    unsigned wrong_n, read_n;
    json_t *last; /* the reply to the last good share */
};

static bool is_plain(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < ' ' || text.data[i] > '~' || text.data[i] == '"' || text.data[i] == '\\')
            return false;
    return true;
}

/* By hand, so that the share is in secret buffers alone. */
static enum cli_exit send_share(struct entering *entering, struct bytes share)
{
    struct cli *cli = entering->cli;
    struct buf body = BUF_SECRET_INIT(2 * SHARE_BYTES_MAX);
    struct buf message = BUF_INIT(8192);
    struct client_request request = {.method = "POST",
                                     .target = bytes_str("/_quorumkeep/recovery/share"),
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    enum cli_exit code = CLI_ERROR;

    buf_put_str(&body, "{\"nonce\":\"");
    buf_put_str(&body, entering->nonce);
    buf_put_str(&body, "\",\"share\":\"");
    buf_put_bytes(&body, share);
    buf_put_str(&body, "\"}");
    request.body = buf_bytes(&body);
    if (client_call(&cli->target, &request, &reply, &message) != QK_OK)
        (void)cli_fail(code, "%.*s", (int)message.len, (const char *)message.data);
    else
        code = cli_judge(cli, &reply);
    if (code == CLI_OK) {
        json_decref(entering->last);
        entering->last =
            json_loadb((const char *)reply.body.data, reply.body.len, JSON_DECODE_ANY, NULL);
    } else if (reply.status == 400)
        entering->wrong_n++;
    client_reply_fini(&reply);
    buf_fini(&message);
    buf_fini(&body);
    return code;
}

static void tell(struct entering *entering)
{
    const json_t *last = entering->last;
    long long share = json_integer_value(json_object_get(last, "share"));

    entering->progress = (int)json_integer_value(json_object_get(last, "progress"));
    entering->t = (int)json_integer_value(json_object_get(last, "t"));
    entering->done = json_is_true(json_object_get(last, "done"));
    entering->quorum = json_is_true(json_object_get(last, "quorum"));
    if (!entering->cli->options.json)
        fprintf(stderr, "  share %lld is good: %d entered, %d are needed\n", share,
                entering->progress, entering->t);
}

/* One share from person or file. CLI_OK also for a wrong one, which was said: the next may be
 * right. `ret_end`: there are no more. */
static enum cli_exit enter_one(struct entering *entering, bool *ret_end)
{
    struct buf text = BUF_SECRET_INIT(SHARE_BYTES_MAX);
    char what[64];
    enum cli_exit code = CLI_OK;
    enum qk_err err;

    snprintf(what, sizeof(what), "recovery share (%d of %d)", entering->progress + 1, entering->t);
    err = credential_line(&entering->source, what, &text);
    *ret_end = err == QK_ERR_NOT_FOUND;
    entering->read_n++;
    if (err == QK_ERR_IO)
        code = cli_fail(CLI_ERROR, "recovery share: %s", strerror(errno));
    else if (err == QK_OK && is_plain(buf_bytes(&text)))
        code = send_share(entering, buf_bytes(&text));
    else if (err != QK_ERR_NOT_FOUND) {
        (void)cli_fail(CLI_ERROR, "this is no recovery share: one begins with qkr1");
        entering->wrong_n++;
        code = CLI_ERROR;
    }
    buf_fini(&text);
    if (code == CLI_OK && !*ret_end)
        tell(entering);
    else if (code == CLI_ERROR && !entering->source.terminal)
        fprintf(stderr, "  that was number %u of those given\n", entering->read_n);
    return code == CLI_ERROR && err != QK_ERR_IO ? CLI_OK : code;
}

static enum cli_exit post(struct cli *cli, const char *target, json_t *body, json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    buf_put_str(&path, target);
    code = cli_request(cli, "POST", &path, body, ret_reply);
    buf_fini(&path);
    return code;
}

static enum cli_exit begin(struct entering *entering, const char *purpose)
{
    const char *given = entering->cli->options.nonce, *nonce;
    json_t *reply = NULL;
    enum cli_exit code;

    if (given != NULL && strlen(given) != NONCE_CHARS)
        return cli_fail(CLI_USAGE, "--nonce: '%.64s' is not the nonce of an attempt", given);
    if (given != NULL) {
        snprintf(entering->nonce, sizeof(entering->nonce), "%s", given);
        code = cli_get(entering->cli, "/_quorumkeep/recovery", &reply);
        entering->t = (int)json_integer_value(json_object_get(reply, "threshold"));
        json_decref(reply);
        return code;
    }
    code = post(entering->cli, "/_quorumkeep/recovery/begin",
                json_pack("{s:s}", "purpose", purpose), &reply);
    if (code != CLI_OK)
        return code;
    nonce = json_string_value(json_object_get(reply, "nonce"));
    snprintf(entering->nonce, sizeof(entering->nonce), "%s", nonce == NULL ? "" : nonce);
    entering->t = (int)json_integer_value(json_object_get(reply, "t"));
    json_decref(reply);
    return CLI_OK;
}

/* Nobody goes on with it: what was entered is wiped now and not in a quarter of an hour. */
static void cancel(struct entering *entering)
{
    json_t *reply = NULL;

    (void)post(entering->cli, "/_quorumkeep/recovery/cancel",
               json_pack("{s:s}", "nonce", entering->nonce), &reply);
    json_decref(reply);
}

/* Until it is done, or there are no more shares. */
static enum cli_exit enter_from(struct entering *entering, int fd, const char *purpose)
{
    enum cli_exit code = begin(entering, purpose);
    bool end = false;

    if (code != CLI_OK)
        return code;
    if (credential_open(fd, &entering->source) != QK_OK)
        return cli_fail(CLI_ERROR, "recovery share: %s", strerror(errno));
    for (unsigned i = 0; code == CLI_OK && !end && !entering->done && i < 2 * SHARES_MAX; i++)
        code = enter_one(entering, &end);
    credential_close(&entering->source);
    if (code == CLI_OK && !entering->done && entering->source.terminal && !entering->quorum)
        fprintf(stderr, "Others may go on for a quarter of an hour, on this node: add --nonce %s\n",
                entering->nonce);
    else if (code == CLI_OK && !entering->done)
        cancel(entering);
    return code;
}

/* `last` is the caller's. */
static enum cli_exit enter_all(struct entering *entering, const char *purpose)
{
    const char *file = entering->cli->options.share_file;
    bool named = file != NULL && strcmp(file, "-") != 0;
    int fd = named ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    enum cli_exit code;

    if (fd < 0)
        return cli_fail(CLI_ERROR, "%s: %s", file, strerror(errno));
    code = enter_from(entering, fd, purpose);
    if (named)
        close(fd);
    return code;
}

/* By its peers, or by another's shares. */
static bool is_open_by_now(struct cli *cli)
{
    json_t *reply = NULL;
    bool open = cli_get(cli, "/v1/sys/seal-status", &reply) == CLI_OK &&
                json_is_false(json_object_get(reply, "sealed"));

    json_decref(reply);
    return open;
}

enum cli_exit cli_unseal_recovery(struct cli *cli)
{
    struct entering entering = {.cli = cli};
    enum cli_exit code = enter_all(&entering, "unseal");

    if (code == CLI_OK && !entering.done && is_open_by_now(cli))
        printf(cli->options.json ? "{\"sealed\":false}\n" : "unsealed meanwhile by others\n");
    else if (code == CLI_OK && !entering.done)
        code = cli_fail(CLI_SEALED, "still sealed: %d of %d shares were entered, %u were wrong",
                        entering.progress, entering.t, entering.wrong_n);
    else if (code == CLI_OK && cli->options.json)
        print_json(entering.last, 2);
    else if (code == CLI_OK)
        printf("unsealed by %d recovery shares\n", entering.progress);
    json_decref(entering.last);
    return code;
}

enum cli_exit cli_recovery_verify(struct cli *cli)
{
    struct entering entering = {.cli = cli};
    enum cli_exit code = enter_all(&entering, "verify");

    if (code == CLI_OK && cli->options.json)
        print_json(entering.last != NULL ? entering.last : json_null(), 2);
    if (code == CLI_OK && !entering.quorum)
        code = cli_fail(CLI_ERROR, "no quorum: %d good shares, %d are needed; %u were wrong",
                        entering.progress, entering.t, entering.wrong_n);
    else if (code == CLI_OK && entering.wrong_n > 0)
        code = cli_fail(CLI_ERROR, "%d good shares suffice, but %u were wrong", entering.progress,
                        entering.wrong_n);
    else if (code == CLI_OK && !cli->options.json)
        printf("%d good shares: they open the live keyslot\n", entering.progress);
    json_decref(entering.last);
    return code;
}

/* --- rotate ---------------------------------------------------------------------------------- */

enum cli_exit cli_recovery_options(struct cli *cli, json_t *body)
{
    const char *const texts[] = {cli->options.recovery_shares, cli->options.recovery_threshold};
    static const char *const names[] = {"recovery_shares", "recovery_threshold"};

    for (size_t i = 0; i < 2; i++) {
        uint64_t value;

        if (texts[i] == NULL)
            continue;
        if (number_parse(texts[i], SHARES_MAX, &value) != QK_OK)
            return cli_fail(CLI_USAGE, "--recovery-%s: '%.64s' is not a number up to %d",
                            i == 0 ? "shares" : "threshold", texts[i], SHARES_MAX);
        (void)json_object_set_new(body, names[i], json_integer((json_int_t)value));
    }
    return CLI_OK;
}

void cli_print_shares(const json_t *reply)
{
    const json_t *shares = json_object_get(reply, "recovery_shares");
    const json_t *share;
    size_t i;

    if (json_array_size(shares) == 0)
        return;
    printf("\nRecovery shares, any %lld of which open a node when its peers are lost. Give them to "
           "different\npeople, on paper; they are shown this once:\n\n",
           (long long)json_integer_value(json_object_get(
               reply, json_object_get(reply, "recovery_threshold") != NULL ? "recovery_threshold"
                                                                           : "threshold")));
    json_array_foreach(shares, i, share)
    {
        printf("  %zu  %s\n", i + 1, json_string_value(share));
    }
}

/* They must be on paper before the old ones become void. */
static bool agreed(struct cli *cli)
{
    char answer[16] = "";

    if (cli->options.yes)
        return true;
    printf("\nOnce they are written down, type yes: the shares before them are void then: ");
    (void)fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0;
}

static enum cli_exit confirm(struct cli *cli, const json_t *shown)
{
    const char *nonce = json_string_value(json_object_get(shown, "nonce"));
    json_t *reply = NULL;
    enum cli_exit code = post(cli, "/_quorumkeep/recovery/confirm",
                              json_pack("{s:s}", "nonce", nonce == NULL ? "" : nonce), &reply);

    if (code == CLI_OK && cli->options.json)
        print_json(reply, 0);
    else if (code == CLI_OK)
        printf(
            "These are the live shares now; older ones are void. If enough of those may be in one "
            "hand, and a\ncopy of a disk with them: docs/operate.md, Recovery shares.\n");
    json_decref(reply);
    return code;
}

enum cli_exit cli_recovery_rotate(struct cli *cli)
{
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code = cli_recovery_options(cli, body);

    if (code == CLI_OK && !cli->options.yes && !isatty(STDIN_FILENO))
        code = cli_fail(CLI_USAGE, "without a terminal that can say yes, say --yes");
    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    code = post(cli, "/_quorumkeep/recovery/rotate", body, &reply);
    if (code != CLI_OK)
        return code;
    if (cli->options.json)
        print_json(reply, 0);
    else
        cli_print_shares(reply);
    /* Shares that nobody has seen must not become the live ones. */
    if (fflush(stdout) != 0 || ferror(stdout))
        code = cli_fail(CLI_ERROR, "the shares could not be shown: nothing was changed");
    else if (!agreed(cli))
        code = cli_fail(CLI_ERROR, "nothing was changed: the shares just shown are void");
    else
        code = confirm(cli, reply);
    json_decref(reply);
    return code;
}
