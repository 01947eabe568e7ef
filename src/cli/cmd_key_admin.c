/* key create, rotate, destroy, limits, policy. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"

#define NAME_BYTES 32
#define KEY_BYTES_MAX 64

/* "/_quorumkeep/keys", and behind it a key's name and a verb. */
static void path_of(struct buf *path, const char *name, const char *verb)
{
    buf_put_str(path, "/_quorumkeep/keys");
    if (name != NULL)
        client_path_put(path, name);
    if (verb != NULL)
        client_path_put(path, verb);
}

static enum cli_exit ask(struct cli *cli, const char *method, const char *name, const char *verb,
                         json_t *body, json_t **ret_reply)
{
    struct buf path = BUF_INIT(1024);
    enum cli_exit code;

    path_of(&path, name, verb);
    if (buf_error(&path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the key's name is too long");
    } else {
        code = cli_request(cli, method, &path, body, ret_reply);
    }
    buf_fini(&path);
    return code;
}

static long long active_of(const json_t *reply)
{
    return (long long)json_integer_value(json_object_get(reply, "active"));
}

enum cli_exit cli_key_create(struct cli *cli)
{
    json_t *reply = NULL, *body = json_pack("{s:s}", "name", cli->options.args[0]);
    enum cli_exit code;

    if (body == NULL)
        return cli_fail(CLI_USAGE, "the key's name is not UTF-8");
    if (cli->options.suite != NULL)
        (void)json_object_set_new(body, "suite", json_string(cli->options.suite));
    code = ask(cli, "POST", NULL, NULL, body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("created %s/%lld\n", cli->options.args[0], active_of(reply));
    json_decref(reply);
    return code;
}

enum cli_exit cli_key_rotate(struct cli *cli)
{
    json_t *reply = NULL, *body = json_object();
    enum cli_exit code;

    if (cli->options.suite != NULL)
        (void)json_object_set_new(body, "suite", json_string(cli->options.suite));
    if (cli->options.reencrypt)
        (void)json_object_set_new(body, "reencrypt", json_true());
    code = ask(cli, "POST", cli->options.args[0], "rotate", body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("%s/%lld is active\n", cli->options.args[0], active_of(reply));
    json_decref(reply);
    return code;
}

/* --- destroy --------------------------------------------------------------------------------- */

/* NAME or NAME/VERSION. */
static enum cli_exit split(const char *arg, char ret_name[static KEY_BYTES_MAX + 1],
                           uint64_t *ret_version)
{
    size_t len = strcspn(arg, "/");

    *ret_version = 0;
    if (len == 0 || len > KEY_BYTES_MAX)
        return cli_fail(CLI_USAGE, "'%s' is no NAME or NAME/VERSION of a data key", arg);
    memcpy(ret_name, arg, len);
    ret_name[len] = '\0';
    if (arg[len] == '/' &&
        (number_parse(arg + len + 1, UINT32_MAX, ret_version) != QK_OK || *ret_version == 0))
        return cli_fail(CLI_USAGE, "'%s' is no version: they are numbered from 1", arg + len + 1);
    return CLI_OK;
}

/* What of the key would be unreadable, by the node's own count; "" if that is not known. */
static void print_loss(struct cli *cli, const char *name, uint64_t version)
{
    json_t *reply = NULL, *one;
    size_t i;

    if (ask(cli, "GET", name, NULL, NULL, &reply) != CLI_OK)
        return;
    json_array_foreach(json_object_get(reply, "versions"), i, one)
    {
        json_int_t number = json_integer_value(json_object_get(one, "version"));

        if ((version == 0 || (uint64_t)number == version) &&
            json_is_integer(json_object_get(one, "bodies")))
            fprintf(stderr, "  %s/%lld: %lld bodies of documents become unreadable for ever\n",
                    name, (long long)number,
                    (long long)json_integer_value(json_object_get(one, "bodies")));
    }
    json_decref(reply);
}

/* Says what is lost; on a terminal the name is asked for again, a script says --yes. */
static enum cli_exit confirm(struct cli *cli, const char *name, uint64_t version)
{
    const char *arg = cli->options.args[0];
    char line[128];

    if (cli->options.shred) {
        fprintf(stderr, "Shredding '%s', in the store of every node and in their memory:\n", arg);
        print_loss(cli, name, version);
        fprintf(stderr, "  Backups and logs made earlier keep it as they keep all else.\n");
    }
    if (cli->options.yes)
        return CLI_OK;
    if (!isatty(STDIN_FILENO))
        return cli_fail(CLI_USAGE, "this destroys '%s' for ever: say --yes", arg);
    fprintf(stderr, "This destroys '%s' for ever. Its name again: ", arg);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, arg) == 0 ? CLI_OK
                                  : cli_fail(CLI_ERROR, "not the same name: nothing was destroyed");
}

enum cli_exit cli_key_destroy(struct cli *cli)
{
    char name[KEY_BYTES_MAX + 1];
    json_t *reply = NULL, *body;
    uint64_t version;
    enum cli_exit code = split(cli->options.args[0], name, &version);

    if (code == CLI_OK)
        code = confirm(cli, name, version);
    if (code != CLI_OK)
        return code;
    body = json_object();
    if (version != 0)
        (void)json_object_set_new(body, "version", json_integer((json_int_t)version));
    if (cli->options.shred)
        (void)json_object_set_new(body, "shred", json_true());
    code = ask(cli, "POST", name, "destroy", body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("destroyed %s\n", cli->options.args[0]);
    json_decref(reply);
    return code;
}

/* --- limits and policy ----------------------------------------------------------------------- */

/* "a,b" as ["a", "b"]. */
static json_t *list_of(const char *value)
{
    json_t *list = json_array();

    while (*value != '\0') {
        size_t len = strcspn(value, ",");

        (void)json_array_append_new(list, json_stringn(value, len));
        value += len + (value[len] == ',' ? 1 : 0);
    }
    return list;
}

static void put_setting(json_t *body, const char *name, const char *value)
{
    uint64_t number;

    if (strcmp(name, "allowed_suites") == 0)
        (void)json_object_set_new(body, name, list_of(value));
    else if (strcmp(name, "default_key") == 0)
        (void)json_object_set_new(body, name, json_string(value));
    else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
        (void)json_object_set_new(body, name, json_boolean(strcmp(value, "true") == 0));
    else if (number_parse(value, INT64_MAX, &number) == QK_OK)
        (void)json_object_set_new(body, name, json_integer((json_int_t)number));
    else
        (void)json_object_set_new(body, name, json_string(value));
}

static enum cli_exit settings_of(const struct cli *cli, unsigned from, json_t *body)
{
    for (unsigned i = from; i < cli->options.args_n; i++) {
        const char *arg = cli->options.args[i], *equals = strchr(arg, '=');
        char name[NAME_BYTES];

        if (equals == NULL || equals == arg || (size_t)(equals - arg) >= sizeof(name))
            return cli_fail(CLI_USAGE, "'%s' is no NAME=VALUE", arg);
        (void)snprintf(name, sizeof(name), "%.*s", (int)(equals - arg), arg);
        if (json_object_get(body, name) != NULL)
            return cli_fail(CLI_USAGE, "'%s' is given twice", name);
        put_setting(body, name, equals + 1);
    }
    return CLI_OK;
}

enum cli_exit cli_key_limits(struct cli *cli)
{
    json_t *reply = NULL, *body = json_object();
    enum cli_exit code = settings_of(cli, 1, body);

    if (code == CLI_OK)
        code = ask(cli, "PUT", cli->options.args[0], "limits", body, &reply);
    else
        json_decref(body);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("the limits of %s are set\n", cli->options.args[0]);
    json_decref(reply);
    return code;
}

enum cli_exit cli_key_policy(struct cli *cli)
{
    bool changes = cli->options.args_n > 0;
    json_t *reply = NULL, *body = changes ? json_object() : NULL;
    enum cli_exit code = settings_of(cli, 0, body);

    if (code == CLI_OK)
        code = ask(cli, changes ? "PUT" : "GET", "policy", NULL, body, &reply);
    else
        json_decref(body);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        print_object(reply);
    json_decref(reply);
    return code;
}
