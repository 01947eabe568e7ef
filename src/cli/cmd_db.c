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
    json_t *reply = NULL;
    enum cli_exit code = on_database(cli, "PUT", &reply);

    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("created %s\n", cli->options.args[0]);
    json_decref(reply);
    return code;
}

enum cli_exit cli_db_list(struct cli *cli)
{
    json_t *reply = NULL, *name;
    enum cli_exit code = cli_get(cli, "/_all_dbs", &reply);
    size_t i;

    if (code == CLI_OK && cli->options.json) {
        print_json(reply, 2);
    } else if (code == CLI_OK) {
        json_array_foreach(reply, i, name)
        {
            printf("%s\n", json_string_value(name));
        }
    }
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
