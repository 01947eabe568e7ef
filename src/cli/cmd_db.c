/* db create, list, info, drop. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/print.h"

static enum cli_exit on_database(struct cli *cli, const char *method, json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    client_path_put(&path, cli->options.args[0]);
    if (buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "the database's name is too long");
    else
        code = cli_request(cli, method, &path, NULL, ret_reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_db_create(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *reply = NULL;
    enum cli_exit code;

    client_path_put(&path, cli->options.args[0]);
    if (cli->options.key_id != NULL)
        client_query_put(&path, "key_id", cli->options.key_id);
    if (cli->options.clear)
        client_query_put(&path, "clear", "true");
    if (cli->options.hidden_ids)
        client_query_put(&path, "ids", "hidden");
    code = buf_error(&path) == QK_OK ? cli_request(cli, "PUT", &path, NULL, &reply)
                                     : cli_fail(CLI_USAGE, "the database's name is too long");
    buf_fini(&path);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("created %s%s\n", cli->options.args[0],
               cli->options.clear ? ": NOT ENCRYPTED, every disk shows its documents" : "");
    json_decref(reply);
    return code;
}

enum cli_exit cli_db_list(struct cli *cli)
{
    json_t *reply = NULL, *one;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/databases", &reply);
    size_t i;

    if (code == CLI_OK && cli->options.json) {
        print_json(reply, 2);
    } else if (code == CLI_OK) {
        json_array_foreach(json_object_get(reply, "databases"), i, one)
        {
            const char *bodies = json_string_value(json_object_get(one, "bodies"));
            bool clear = bodies != NULL && strcmp(bodies, "encrypted") != 0;

            printf(clear ? "%s  NOT ENCRYPTED (%s)\n" : "%s\n",
                   json_string_value(json_object_get(one, "name")), bodies);
        }
    }
    json_decref(reply);
    return code;
}

/* What is clear can be read by whoever gets a disk: that is asked for twice. */
static enum cli_exit confirm_clear(struct cli *cli)
{
    char line[16];

    if (!cli->options.clear || cli->options.yes)
        return CLI_OK;
    if (!isatty(STDIN_FILENO))
        return cli_fail(CLI_USAGE,
                        "documents written to '%s' would not be encrypted any more: say --yes",
                        cli->options.args[0]);
    fprintf(stderr,
            "Documents written to '%s' will not be encrypted: every disk and backup shows "
            "them. Go on? (yes) ",
            cli->options.args[0]);
    if (fgets(line, sizeof(line), stdin) == NULL || strcmp(line, "yes\n") != 0)
        return cli_fail(CLI_ERROR, "nothing was changed");
    return CLI_OK;
}

enum cli_exit cli_db_set(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *body, *reply = NULL;
    enum cli_exit code;

    if (cli->options.clear && cli->options.encrypted)
        return cli_fail(CLI_USAGE, "--clear and --encrypted exclude each other");
    if (cli->options.key_id == NULL && !cli->options.clear && !cli->options.encrypted)
        return cli_fail(CLI_USAGE, "say --key-id, --clear or --encrypted");
    code = confirm_clear(cli);
    if (code != CLI_OK)
        return code;
    body = json_object();
    if (cli->options.key_id != NULL)
        (void)json_object_set_new(
            body, "key_id",
            cli->options.key_id[0] == '\0' ? json_null() : json_string(cli->options.key_id));
    if (cli->options.clear || cli->options.encrypted)
        (void)json_object_set_new(body, "clear", json_boolean(cli->options.clear));
    client_path_put(&path, cli->options.args[0]);
    client_path_put(&path, "_encryption");
    code = cli_request(cli, "PUT", &path, body, &reply);
    buf_fini(&path);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        print_object(reply);
    json_decref(reply);
    return code;
}

enum cli_exit cli_db_info(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = on_database(cli, "GET", &reply);

    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        print_object(reply);
    json_decref(reply);
    return code;
}

/* On a terminal the name is asked for again; a script says --yes. */
static enum cli_exit confirm(struct cli *cli)
{
    char line[DATABASE_NAME_BYTES_MAX + 2];

    if (cli->options.yes)
        return CLI_OK;
    if (!isatty(STDIN_FILENO))
        return cli_fail(CLI_USAGE, "this deletes every document of '%s': say --yes",
                        cli->options.args[0]);
    fprintf(stderr, "This deletes every document of '%s'. Its name again: ", cli->options.args[0]);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, cli->options.args[0]) != 0)
        return cli_fail(CLI_ERROR, "not the same name: nothing was deleted");
    return CLI_OK;
}

enum cli_exit cli_db_drop(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = confirm(cli);

    if (code == CLI_OK)
        code = on_database(cli, "DELETE", &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("dropped %s\n", cli->options.args[0]);
    json_decref(reply);
    return code;
}
