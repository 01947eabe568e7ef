/* token create, list, revoke. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define TOKENS_PATH "/_quorumkeep/tokens"
#define TOKEN_TTL_S_MAX 315360000u /* ten years, as the node has it */

static enum cli_exit wish_read(struct cli *cli, json_t *body)
{
    uint64_t ttl_s;

    if (cli->options.args_n > 0)
        (void)json_object_set_new(body, "user", json_string(cli->options.args[0]));
    if (cli->options.label != NULL)
        (void)json_object_set_new(body, "label", json_string(cli->options.label));
    if (cli->options.ttl == NULL)
        return CLI_OK;
    if (number_parse(cli->options.ttl, TOKEN_TTL_S_MAX, &ttl_s) != QK_OK || ttl_s == 0)
        return cli_fail(CLI_USAGE, "--ttl is a number of seconds from 1 to %u", TOKEN_TTL_S_MAX);
    (void)json_object_set_new(body, "ttl_s", json_integer((json_int_t)ttl_s));
    return CLI_OK;
}

static void time_text(const json_t *seconds, char ret_text[static PRINT_TIME_BYTES])
{
    print_time((uint64_t)json_integer_value(seconds), ret_text);
}

/* The token alone on standard output, so that it can be redirected. */
static void show_new(const json_t *reply)
{
    char expires[PRINT_TIME_BYTES];

    time_text(json_object_get(reply, "expires"), expires);
    fprintf(stderr, "token %s of %s, until %s; it is shown this once:\n",
            json_string_value(json_object_get(reply, "token_id")),
            json_string_value(json_object_get(reply, "user")), expires);
    printf("%s\n", json_string_value(json_object_get(reply, "token")));
}

enum cli_exit cli_token_create(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code = wish_read(cli, body);

    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    buf_put_str(&path, TOKENS_PATH);
    code = cli_request(cli, "POST", &path, body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        show_new(reply);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

static json_t *row_of(const json_t *token)
{
    char created[32], expires[32];

    time_text(json_object_get(token, "created"), created);
    time_text(json_object_get(token, "expires"), expires);
    return json_pack("{s:O, s:O, s:O, s:s, s:s, s:O}", "token_id",
                     json_object_get(token, "token_id"), "user", json_object_get(token, "user"),
                     "kind", json_object_get(token, "kind"), "created", created, "expires", expires,
                     "label", json_object_get(token, "label"));
}

enum cli_exit cli_token_list(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL, *rows = json_array(), *token;
    enum cli_exit code;
    size_t i;

    buf_put_str(&path, TOKENS_PATH);
    if (cli->options.args_n > 0)
        client_query_put(&path, "user", cli->options.args[0]);
    if (buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "the user's name is too long");
    else
        code = cli_request(cli, "GET", &path, NULL, &reply);
    if (code == CLI_OK && cli->options.json) {
        print_json(json_object_get(reply, "tokens"), 2);
    } else if (code == CLI_OK) {
        json_array_foreach(json_object_get(reply, "tokens"), i, token)
        {
            (void)json_array_append_new(rows, row_of(token));
        }
        print_table(rows);
    }
    if (code == CLI_OK && json_is_true(json_object_get(reply, "more")))
        fprintf(stderr, "there are more: ask for those of one user\n");
    json_decref(rows);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_token_revoke(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL;
    enum cli_exit code;

    if (strncmp(cli->options.args[0], "qkt1", 4) == 0)
        return cli_fail(CLI_USAGE, "that is the token itself, which every user of this machine "
                                   "can now read: 'token revoke' takes its id, as 'token list' "
                                   "shows it");
    buf_put_str(&path, TOKENS_PATH);
    client_path_put(&path, cli->options.args[0]);
    if (buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "a token's id is 32 hex digits");
    else
        code = cli_request(cli, "DELETE", &path, json_object(), &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("revoked %s\n", cli->options.args[0]);
    json_decref(reply);
    buf_fini(&path);
    return code;
}
