/* node invite, node join, node list. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/number.h"
#include "cli/print.h"

#define TTL_MAX_S (7 * 24 * 3600)
#define JOIN_TIMEOUT_MS 300000 /* between two steps; a large store takes long to arrive */
#define JOIN_LINE_BYTES_MAX 65536

enum cli_exit cli_node_invite(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code;
    uint64_t ttl;

    if (cli->options.ttl != NULL) {
        if (number_parse(cli->options.ttl, TTL_MAX_S, &ttl) != QK_OK || ttl == 0) {
            json_decref(body);
            return cli_fail(CLI_USAGE, "--ttl: '%s' is not 1 to %d seconds", cli->options.ttl,
                            TTL_MAX_S);
        }
        (void)json_object_set_new(body, "ttl_s", json_integer((json_int_t)ttl));
    }
    if (cli->options.replace != NULL)
        (void)json_object_set_new(body, "replace", json_string(cli->options.replace));
    buf_put_str(&path, "/_quorumkeep/invite");
    code = cli_request(cli, "POST", &path, body, &reply);
    buf_fini(&path);
    if (code != CLI_OK)
        return code;
    if (cli->options.json) {
        print_json(reply, 2);
    } else {
        /* The token alone on stdout, so that it can be piped into `node join`. */
        const char *token = json_string_value(json_object_get(reply, "token"));

        printf("%s\n", token == NULL ? "" : token);
        fprintf(stderr, "Good for one node. On it: quorumkeep node %s (asks for the token)\n",
                cli->options.replace != NULL ? "rejoin --wipe, or node join if it is blank"
                                             : "join");
    }
    json_decref(reply);
    return CLI_OK;
}

/* The reply to a join is a line of JSON for each step. */
struct join {
    struct buf line;
    bool json;
    bool done;
    bool failed;
    enum cli_exit code;
};

static enum cli_exit code_of_join_error(const char *error)
{
    static const char *const denied[] = {"denied", "expired", "foreign", "forbidden"};

    for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++) {
        if (error != NULL && strcmp(error, denied[i]) == 0)
            return CLI_DENIED;
    }
    return error != NULL && strcmp(error, "conflict") == 0 ? CLI_CONFLICT : CLI_ERROR;
}

static void show_step(struct join *join, const json_t *step)
{
    const char *error = json_string_value(json_object_get(step, "error"));
    const char *reason = json_string_value(json_object_get(step, "reason"));
    const char *text = json_string_value(json_object_get(step, "text"));

    if (error != NULL) {
        join->failed = true;
        join->code = code_of_join_error(error);
    }
    if (json_is_true(json_object_get(step, "done")))
        join->done = true;
    if (join->json)
        print_json(step, 0);
    else if (error != NULL)
        (void)cli_fail(join->code, "%s: %s", error, reason == NULL ? "no reason given" : reason);
    else if (text != NULL)
        (void)fprintf(isatty(STDOUT_FILENO) ? stdout : stderr, "  %s\n", text);
    (void)fflush(stdout);
}

static bool on_piece(void *arg, struct bytes piece)
{
    struct join *join = arg;

    for (size_t i = 0; i < piece.len; i++) {
        json_t *step;

        if (piece.data[i] != '\n') {
            buf_put_u8(&join->line, piece.data[i]);
            continue;
        }
        step = json_loadb((const char *)join->line.data, join->line.len, 0, NULL);
        if (step != NULL)
            show_step(join, step);
        json_decref(step);
        buf_reset(&join->line);
    }
    return true;
}

static enum cli_exit run_join(struct cli *cli, const char *target, struct bytes body)
{
    struct buf message = BUF_INIT(8192);
    struct join join = {.line = BUF_INIT(JOIN_LINE_BYTES_MAX), .json = cli->options.json};
    struct client_request request = {.method = "POST",
                                     .target = bytes_str(target),
                                     .body = body,
                                     .authorization = buf_bytes(&cli->authorization),
                                     .timeout_ms = JOIN_TIMEOUT_MS,
                                     .on_body = on_piece,
                                     .arg = &join};
    struct client_reply reply;
    enum cli_exit code = CLI_ERROR;
    enum qk_err err = client_call(&cli->target, &request, &reply, &message);

    if (join.line.len > 0)
        (void)on_piece(&join, bytes_str("\n")); /* a last line without its end */
    if (join.failed)
        code = join.code;
    else if (err != QK_OK)
        (void)cli_fail(code, "%.*s", (int)message.len, (const char *)message.data);
    else if (reply.status / 100 != 2)
        code = cli_judge(cli, &reply);
    else if (!join.done)
        (void)cli_fail(code, "the node stopped without saying whether it has joined: "
                             "see 'quorumkeep status'");
    else
        code = CLI_OK;
    if (code == CLI_OK && !cli->options.json)
        printf("joined\n");
    client_reply_fini(&reply);
    buf_fini(&join.line);
    buf_fini(&message);
    return code;
}

static enum cli_exit join_with(struct cli *cli, const char *target, const char *more)
{
    struct buf message = BUF_INIT(8192);
    struct buf token = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    struct buf body = BUF_SECRET_INIT(2 * CREDENTIAL_BYTES_MAX);
    enum cli_exit code = CLI_USAGE;
    enum qk_err err = credential_read("join token", cli->options.token_file, &token, &message);

    for (size_t i = 0; err == QK_OK && i < token.len; i++) {
        /* Bech32m has these only; so no escaping is needed below. */
        if ((token.data[i] < 'a' || token.data[i] > 'z') &&
            (token.data[i] < '0' || token.data[i] > '9')) {
            buf_put_str(&message, "this is not a join token: it begins with qkjoin1 and has "
                                  "lower-case letters and digits only");
            err = QK_ERR_INVALID;
        }
    }
    if (err != QK_OK) {
        (void)cli_fail(code, "%.*s", (int)message.len, (const char *)message.data);
        goto out;
    }
    buf_put_str(&body, "{\"token\":\"");
    buf_put_bytes(&body, buf_bytes(&token));
    buf_put_str(&body, "\"");
    buf_put_str(&body, more);
    buf_put_str(&body, "}");
    code = run_join(cli, target, buf_bytes(&body));

out:
    buf_fini(&body);
    buf_fini(&token);
    buf_fini(&message);
    return code;
}

enum cli_exit cli_node_join(struct cli *cli)
{
    return join_with(cli, "/_quorumkeep/join", "");
}

enum cli_exit cli_node_rejoin(struct cli *cli)
{
    if (!cli->options.wipe)
        return cli_fail(CLI_USAGE,
                        "node rejoin: this wipes the node's identity, log and store; if that is "
                        "meant, say --wipe");
    return join_with(cli, "/_quorumkeep/rejoin", ",\"wipe\":true");
}

/* leader, or what the member is on its way to or from, or its role in Raft. */
static const char *role_of(const json_t *member)
{
    const char *state = json_string_value(json_object_get(member, "state"));
    const char *role = json_string_value(json_object_get(member, "role"));

    if (state != NULL && strcmp(state, "member") != 0)
        return state;
    if (json_is_true(json_object_get(member, "leader")))
        return "leader";
    return role == NULL ? "?" : role;
}

static const char *state_of(const json_t *member)
{
    const char *seal = json_string_value(json_object_get(member, "seal"));

    if (json_object_get(member, "clone") != NULL)
        return "CLONED";
    if (!json_is_true(json_object_get(member, "live")))
        return "away";
    return seal == NULL ? "?" : seal;
}

static json_t *seen_of(const json_t *member)
{
    const json_t *seen = json_object_get(member, "last_seen_s");
    char text[32];

    if (!json_is_integer(seen))
        return json_string("never");
    (void)snprintf(text, sizeof(text), "%lld s ago", (long long)json_integer_value(seen));
    return json_string(json_integer_value(seen) == 0 ? "now" : text);
}

/* What this node cannot know is "?". */
static json_t *or_unknown(const json_t *member, const char *name)
{
    json_t *value = json_object_get(member, name);

    return value == NULL || json_is_null(value) ? json_string("?") : json_incref(value);
}

static json_t *row_of(const json_t *member)
{
    const char *id = json_string_value(json_object_get(member, "node_id"));
    char start[9];

    (void)snprintf(start, sizeof(start), "%s", id == NULL ? "" : id);
    return json_pack(
        "{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o}", "name", or_unknown(member, "name"),
        "id", start, "role", role_of(member), "state", state_of(member), "seen", seen_of(member),
        "generation", or_unknown(member, "generation"), "acked*", or_unknown(member, "deal_acked"),
        "watermark", or_unknown(member, "watermark"), "suspended", or_unknown(member, "suspended"),
        "address", or_unknown(member, "peer_address"));
}

static void show_members(const json_t *members)
{
    json_t *rows = json_array(), *member;
    bool leads = false;
    size_t i;

    json_array_foreach(members, i, member)
    {
        leads = leads || (json_is_true(json_object_get(member, "self")) &&
                          json_is_true(json_object_get(member, "leader")));
        (void)json_array_append_new(rows, row_of(member));
    }
    print_table(rows);
    if (!leads)
        fprintf(stderr, "* only the leader knows: ask it (--addr)\n");
    json_decref(rows);
}

enum cli_exit cli_node_list(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/nodes", &reply);
    const json_t *members = json_object_get(reply, "members");

    if (code == CLI_OK && (cli->options.json || !json_is_array(members)))
        print_json(reply, 2);
    else if (code == CLI_OK && json_array_size(members) > 0)
        show_members(members);
    if (code == CLI_OK && !cli->options.json)
        cli_print_removal(reply);
    json_decref(reply);
    return code;
}
