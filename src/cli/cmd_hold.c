/* seal, unhold, node suspend, node resume. The operator key is read from a file, standard input or
 * a prompt, never from an argument; it signs here and leaves this process in no form. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/number.h"
#include "cli/print.h"
#include "cli/shares.h"
#include "secret/crypto.h"
#include "secret/secret.h"
#include "wire/unhold.h"

#define ARENA_BYTES (64 * KIB)
#define WAIT_DEFAULT_S 30
#define POLL_MS 200
#define BEHIND_MS 2000

/* --- seal ------------------------------------------------------------------------------------ */

static void print_names(const char *head, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *name = json_is_string(entry)
                               ? json_string_value(entry)
                               : json_string_value(json_object_get(entry, "name"));
        const char *why = json_string_value(json_object_get(entry, "why"));
        struct buf text = BUF_INIT(1024);

        print_clean(&text, name == NULL ? "?" : name);
        if (why != NULL) {
            buf_put_str(&text, ": ");
            print_clean(&text, why);
        }
        printf("%s %.*s\n", head, (int)text.len, (const char *)text.data);
        buf_fini(&text);
    }
}

/* CLI_ERROR if some node may still be open, or the hold is not in force. */
static enum cli_exit show_order(struct cli *cli, const json_t *reply, bool hold)
{
    const json_t *rest = json_object_get(reply, "not_sealed");
    const char *reason = json_string_value(json_object_get(reply, "reason"));
    bool held = json_is_true(json_object_get(reply, "hold"));

    if (cli->options.json) {
        print_json(reply, 2);
    } else {
        print_names("sealed:    ", json_object_get(reply, "sealed"));
        print_names("not sealed:", rest);
        if (held)
            printf("on hold: nothing opens until 'quorumkeep unhold' with the operator key\n");
    }
    if (hold && !held)
        return cli_fail(CLI_ERROR, "%s", reason == NULL ? "the hold is not in force" : reason);
    if (json_array_size(rest) > 0 && !held)
        return cli_fail(CLI_ERROR, "not every node is sealed: see to those that are not");
    return CLI_OK;
}

/* The reply to a hold that found no majority is no mere error: it says who is sealed. */
static enum cli_exit post_order(struct cli *cli, const char *scope)
{
    struct buf message = BUF_INIT(8192), body = BUF_INIT(64);
    struct client_request request = {.method = "POST",
                                     .target = bytes_str("/_quorumkeep/seal"),
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    json_t *json = NULL;
    enum cli_exit code = CLI_ERROR;

    buf_printf(&body, "{\"scope\":\"%s\"}", scope);
    request.body = buf_bytes(&body);
    if (client_call(&cli->target, &request, &reply, &message) != QK_OK)
        (void)cli_fail(code, "%.*s", (int)message.len, (const char *)message.data);
    else
        json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    if (json != NULL && json_is_array(json_object_get(json, "sealed")))
        code = show_order(cli, json, strcmp(scope, "hold") == 0);
    else if (json != NULL)
        code = cli_judge(cli, &reply);
    json_decref(json);
    client_reply_fini(&reply);
    buf_fini(&message);
    buf_fini(&body);
    return code;
}

enum cli_exit cli_seal(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *reply = NULL;
    enum cli_exit code;

    if (cli->options.hold || cli->options.all)
        return post_order(cli, cli->options.hold ? "hold" : "all");
    buf_put_str(&path, "/_quorumkeep/seal");
    code = cli_request(cli, "POST", &path, json_pack("{s:s}", "scope", "node"), &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("sealed: this node holds no key now, until 'quorumkeep unseal' or a restart\n");
    json_decref(reply);
    buf_fini(&path);
    return code;
}

/* --- unhold ---------------------------------------------------------------------------------- */

struct hold {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint64_t number;
    bool on, pending;
};

static enum cli_exit ask_hold(struct cli *cli, struct hold *ret_hold)
{
    json_t *reply = NULL;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/hold", &reply);
    const char *id = json_string_value(json_object_get(reply, "cluster_id"));

    if (code != CLI_OK)
        return code;
    ret_hold->on = json_is_true(json_object_get(reply, "hold"));
    ret_hold->pending = json_is_true(json_object_get(reply, "pending"));
    ret_hold->number = (uint64_t)json_integer_value(json_object_get(reply, "hold_number"));
    if (id == NULL || hex_decode(bytes_str(id), ret_hold->cluster_id, CLUSTER_ID_BYTES) != QK_OK)
        code =
            cli_fail(CLI_ERROR, "%s does not answer as a node of this version", cli->target.text);
    json_decref(reply);
    return code;
}

/* The Ed25519 pair of the text `qkop1...`. */
static enum qk_err key_open(struct bytes text, struct secret **ret_key)
{
    struct buf raw = BUF_SECRET_INIT(64);
    struct secret *seed = NULL;
    uint8_t pk[ED25519_PUBLIC_BYTES];
    enum qk_err err = bech32m_decode(OPERATOR_KEY_PREFIX, text, &raw);

    if (err == QK_OK && raw.len != OPERATOR_SEED_BYTES)
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        err = secret_new_copy(raw.data, raw.len, &seed);
    if (err == QK_OK)
        err = ed25519_keypair_of(seed, ret_key, pk);
    secret_free(seed);
    buf_fini(&raw);
    return err;
}

static enum cli_exit key_read(struct cli *cli, struct secret **ret_key)
{
    struct buf text = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    struct buf message = BUF_INIT(8192);
    enum cli_exit code = CLI_OK;
    enum qk_err err = credential_read("operator key", cli->options.key_file, &text, &message);

    if (err != QK_OK)
        code = cli_fail(CLI_USAGE, "%.*s", (int)message.len, (const char *)message.data);
    else {
        err = key_open(buf_bytes(&text), ret_key);
        if (err != QK_OK)
            code = cli_fail(CLI_USAGE,
                            "this is no operator key: one begins with qkop1, has %d "
                            "characters, and was shown by 'quorumkeep init'",
                            63);
    }
    buf_fini(&message);
    buf_fini(&text);
    return code;
}

/* The status of the reply; 0 if none came, which is then the error. */
static int post_unhold(struct cli *cli, const struct hold *hold, const struct secret *key,
                       struct client_reply *reply, struct buf *message)
{
    struct client_request request = {
        .method = "POST", .target = bytes_str("/_quorumkeep/unhold"), .authorization = BYTES_NONE};
    struct buf body = BUF_INIT(512);
    uint8_t text[UNHOLD_MESSAGE_BYTES], signature[ED25519_SIGNATURE_BYTES];
    char hex[2 * ED25519_SIGNATURE_BYTES + 1];
    int status = 0;

    unhold_message(hold->cluster_id, hold->number, text);
    if (ed25519_sign(key, bytes_of(text, sizeof(text)), signature) != QK_OK)
        return 0;
    hex_encode(signature, sizeof(signature), hex);
    buf_printf(&body, "{\"hold_number\":%" PRIu64 ",\"signature\":\"%s\"}", hold->number, hex);
    request.body = buf_bytes(&body);
    if (client_call(&cli->target, &request, reply, message) == QK_OK)
        status = reply->status;
    buf_fini(&body);
    return status;
}

static enum cli_exit not_held(const struct cli *cli)
{
    return cli_fail(CLI_CONFLICT, "the cluster is not on hold, as far as %s knows",
                    cli->target.text);
}

/* That there is something to lift, before anybody shows a key or shares for it. A node may not have
 * applied the hold yet. */
static enum cli_exit find_hold(struct cli *cli)
{
    struct timespec pause = {0, POLL_MS * 1000000L};
    struct hold hold;

    for (unsigned round = 0; round < BEHIND_MS / POLL_MS; round++) {
        enum cli_exit code = ask_hold(cli, &hold);

        if (code != CLI_OK || hold.on || hold.pending)
            return code;
        if (hold.number == 0)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return not_held(cli);
}

/* What ends by itself: an election, or a node that has not yet applied the hold. */
static bool may_pass(int status, const struct hold *hold, unsigned round)
{
    return status == 503 ||
           (status == 409 && (hold->pending || !hold->on) && round < BEHIND_MS / POLL_MS);
}

static enum cli_exit unhold_until(struct cli *cli, const struct secret *key, unsigned seconds)
{
    struct timespec pause = {0, POLL_MS * 1000000L};
    enum cli_exit code = CLI_ERROR;

    for (unsigned round = 0;; round++) {
        struct buf message = BUF_INIT(8192);
        struct client_reply reply = {0};
        struct hold hold;
        bool over = round >= seconds * 1000 / POLL_MS;
        int status;

        code = ask_hold(cli, &hold);
        if (code != CLI_OK)
            return code;
        if (!hold.on && !hold.pending && hold.number == 0)
            return not_held(cli);
        status = post_unhold(cli, &hold, key, &reply, &message);
        over = over || !may_pass(status, &hold, round);
        if (over && status == 0)
            code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
        else if (over)
            code = cli_judge(cli, &reply);
        client_reply_fini(&reply);
        buf_fini(&message);
        if (over)
            return code;
        (void)nanosleep(&pause, NULL);
    }
}

enum cli_exit cli_unhold(struct cli *cli)
{
    struct secret *key = NULL;
    uint64_t seconds = WAIT_DEFAULT_S;
    enum cli_exit code;

    if (cli->options.wait != NULL && number_parse(cli->options.wait, 86400, &seconds) != QK_OK)
        return cli_fail(CLI_USAGE, "--wait: '%s' is not a number of seconds", cli->options.wait);
    code = find_hold(cli);
    if (code != CLI_OK)
        return code;
    if (secret_arena_init(SECRET_ARENA_AUTO, ARENA_BYTES) != QK_OK)
        return cli_fail(CLI_ERROR, "no memory could be locked for the key: raise 'ulimit -l'");
    code = cli->options.recovery ? shares_sign_key(cli, &key) : key_read(cli, &key);
    if (code == CLI_OK)
        code = unhold_until(cli, key, (unsigned)seconds);
    secret_free(key);
    secret_arena_fini();
    if (code == CLI_OK && cli->options.json)
        printf("{\"hold\":false}\n");
    else if (code == CLI_OK)
        printf("the hold is lifted: the nodes open by themselves\n");
    return code;
}

/* --- suspend, resume ------------------------------------------------------------------------- */

static enum cli_exit change(struct cli *cli, const char *verb, const char *said,
                            const char *already)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL;
    enum cli_exit code;

    buf_put_str(&path, "/_quorumkeep/nodes");
    client_path_put(&path, cli->options.args[0]);
    client_path_put(&path, verb);
    code = cli_request(cli, "POST", &path, json_object(), &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("%s\n", json_is_false(json_object_get(reply, "changed")) ? already : said);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_node_suspend(struct cli *cli)
{
    return change(cli, "suspend",
                  "suspended: its peers release nothing to it; it seals itself if it is what it "
                  "says. Next: 'quorumkeep node resume', or remove it",
                  "it was suspended already. Next: 'quorumkeep node resume', or remove it");
}

enum cli_exit cli_node_resume(struct cli *cli)
{
    return change(cli, "resume", "resumed: it opens with its peers by itself",
                  "it was not suspended: nothing is changed");
}
