/* cluster show, cluster set. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define SETTING_NAME_BYTES 32

void cli_setting_put(json_t *body, const char *name, const char *value)
{
    uint64_t number;

    if (number_parse(value, INT32_MAX, &number) == QK_OK)
        (void)json_object_set_new(body, name, json_integer((json_int_t)number));
    else
        (void)json_object_set_new(body, name, json_string(value));
}

static void show(const struct cli *cli, const json_t *reply)
{
    if (cli->options.json)
        print_json(reply, 2);
    else
        print_object(reply);
}

enum cli_exit cli_cluster_show(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = cli_get(cli, "/_quorumkeep/settings", &reply);

    if (code == CLI_OK)
        show(cli, reply);
    json_decref(reply);
    return code;
}

static enum cli_exit args_read(const struct cli *cli, json_t *body)
{
    for (unsigned i = 0; i < cli->options.args_n; i++) {
        const char *arg = cli->options.args[i];
        const char *equals = strchr(arg, '=');
        char name[SETTING_NAME_BYTES];

        if (equals == NULL || equals == arg || (size_t)(equals - arg) >= sizeof(name))
            return cli_fail(CLI_USAGE, "'%s' is no NAME=VALUE, as in unseal_quorum=majority", arg);
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - arg), arg);
        if (json_object_get(body, name) != NULL)
            return cli_fail(CLI_USAGE, "'%s' is given twice", name);
        cli_setting_put(body, name, equals + 1);
    }
    return CLI_OK;
}

enum cli_exit cli_cluster_set(struct cli *cli)
{
    struct buf path = BUF_INIT(64);
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code = args_read(cli, body);

    if (code != CLI_OK) {
        json_decref(body);
        return code;
    }
    buf_put_str(&path, "/_quorumkeep/settings");
    code = cli_request(cli, "PUT", &path, body, &reply);
    if (code == CLI_OK)
        show(cli, reply);
    json_decref(reply);
    buf_fini(&path);
    return code;
}
