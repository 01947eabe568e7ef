/* user add, list, show, set, passwd, disable, enable, delete. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/credentials.h"
#include "cli/print.h"

#define NAME_BYTES_MAX 128
#define ROLES_BYTES_MAX 4096

static enum cli_exit ask(struct cli *cli, const char *method, const char *name, json_t *body,
                         json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    buf_put_str(&path, "/_quorumkeep/users");
    if (name != NULL)
        client_path_put(&path, name);
    if (buf_error(&path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the user's name is too long");
    } else {
        code = cli_request(cli, method, &path, body, ret_reply);
    }
    buf_fini(&path);
    return code;
}

/* Asks and says in one line what was done. */
static enum cli_exit order(struct cli *cli, const char *method, const char *name, json_t *body,
                           const char *done)
{
    json_t *reply = NULL;
    enum cli_exit code = ask(cli, method, name, body, &reply);

    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("%s %s\n", done, cli->options.args[0]);
    json_decref(reply);
    return code;
}

/* --- settings as NAME=VALUE --- */

static enum cli_exit roles_put(json_t *body, const char *value)
{
    json_t *roles = json_array();
    const char *at = value;

    while (*at != '\0') {
        size_t len = strcspn(at, ",");

        if (len > 0)
            (void)json_array_append_new(roles, json_stringn(at, len));
        at += len + (at[len] == ',' ? 1 : 0);
    }
    (void)json_object_set_new(body, "roles", roles);
    return CLI_OK;
}

static enum cli_exit flag_put(json_t *body, const char *name, const char *value)
{
    bool yes = strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;

    if (!yes && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return cli_fail(CLI_USAGE, "%s is yes or no, not '%s'", name, value);
    (void)json_object_set_new(body, name, json_boolean(yes));
    return CLI_OK;
}

static enum cli_exit setting_put(json_t *body, const char *setting)
{
    static const char *const flags[] = {"admin", "key_creator", "disabled"};
    size_t len = strcspn(setting, "=");

    if (setting[len] == '=' && len == strlen("roles") && memcmp(setting, "roles", len) == 0)
        return roles_put(body, setting + len + 1);
    for (size_t i = 0; setting[len] == '=' && i < sizeof flags / sizeof flags[0]; i++) {
        if (len == strlen(flags[i]) && memcmp(setting, flags[i], len) == 0)
            return flag_put(body, flags[i], setting + len + 1);
    }
    return cli_fail(CLI_USAGE,
                    "'%s': a setting is roles=A,B, admin=yes, key_creator=yes or disabled=yes",
                    setting);
}

static enum cli_exit settings_put(struct cli *cli, json_t *body)
{
    enum cli_exit code = CLI_OK;

    for (unsigned i = 1; code == CLI_OK && i < cli->options.args_n; i++)
        code = setting_put(body, cli->options.args[i]);
    return code;
}

/* --- passwords --- */

static enum cli_exit password_put(struct cli *cli, json_t *body)
{
    struct buf password = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    struct buf message = BUF_INIT(1 * KIB);
    char what[NAME_BYTES_MAX + 32];
    enum cli_exit code = CLI_OK;
    json_t *text;

    (void)snprintf(what, sizeof(what), "password for %.*s", NAME_BYTES_MAX, cli->options.args[0]);
    if (credential_read(what, cli->options.file, &password, &message) != QK_OK) {
        code = cli_fail(CLI_USAGE, "%.*s", (int)message.len, (const char *)message.data);
    } else {
        text = json_stringn((const char *)password.data, password.len);
        if (text == NULL)
            code = cli_fail(CLI_USAGE, "the password is not UTF-8");
        else
            (void)json_object_set_new(body, "password", text);
    }
    buf_fini(&password);
    buf_fini(&message);
    return code;
}

/* --- the verbs --- */

enum cli_exit cli_user_add(struct cli *cli)
{
    json_t *body = json_pack("{s:s}", "name", cli->options.args[0]);
    enum cli_exit code;

    if (body == NULL)
        return cli_fail(CLI_USAGE, "the user's name is not UTF-8");
    code = settings_put(cli, body);
    if (code == CLI_OK)
        code = password_put(cli, body);
    if (code == CLI_OK)
        return order(cli, "POST", NULL, body, "added");
    json_decref(body);
    return code;
}

enum cli_exit cli_user_passwd(struct cli *cli)
{
    json_t *body = json_object();
    enum cli_exit code = password_put(cli, body);

    if (code == CLI_OK)
        return order(cli, "PUT", cli->options.args[0], body, "new password for");
    json_decref(body);
    return code;
}

enum cli_exit cli_user_set(struct cli *cli)
{
    json_t *body = json_object();
    enum cli_exit code = settings_put(cli, body);

    if (code == CLI_OK)
        return order(cli, "PUT", cli->options.args[0], body, "changed");
    json_decref(body);
    return code;
}

enum cli_exit cli_user_disable(struct cli *cli)
{
    return order(cli, "PUT", cli->options.args[0], json_pack("{s:b}", "disabled", 1), "disabled");
}

enum cli_exit cli_user_enable(struct cli *cli)
{
    return order(cli, "PUT", cli->options.args[0], json_pack("{s:b}", "disabled", 0), "enabled");
}

enum cli_exit cli_user_delete(struct cli *cli)
{
    return order(cli, "DELETE", cli->options.args[0], json_object(), "deleted");
}

/* One line of the table: the roles as one text, flags as yes or nothing. */
static json_t *row_of(const json_t *user)
{
    struct buf roles = BUF_INIT(ROLES_BYTES_MAX);
    json_t *role, *row;
    size_t i;

    json_array_foreach(json_object_get(user, "roles"), i, role)
    {
        buf_printf(&roles, "%s%s", i == 0 ? "" : ",", json_string_value(role));
    }
    row = json_pack("{s:O, s:s, s:s, s:s, s:s%}", "name", json_object_get(user, "name"), "admin",
                    json_is_true(json_object_get(user, "admin")) ? "yes" : "", "key_creator",
                    json_is_true(json_object_get(user, "key_creator")) ? "yes" : "", "disabled",
                    json_is_true(json_object_get(user, "disabled")) ? "yes" : "", "roles",
                    roles.len == 0 ? "" : (const char *)roles.data, roles.len);
    buf_fini(&roles);
    return row;
}

enum cli_exit cli_user_list(struct cli *cli)
{
    json_t *reply = NULL, *rows = json_array(), *user;
    enum cli_exit code = ask(cli, "GET", NULL, NULL, &reply);
    size_t i;

    if (code == CLI_OK && cli->options.json) {
        print_json(json_object_get(reply, "users"), 2);
    } else if (code == CLI_OK) {
        json_array_foreach(json_object_get(reply, "users"), i, user)
        {
            (void)json_array_append_new(rows, row_of(user));
        }
        print_table(rows);
    }
    json_decref(rows);
    json_decref(reply);
    return code;
}

enum cli_exit cli_user_show(struct cli *cli)
{
    json_t *reply = NULL, *rows = json_array();
    enum cli_exit code = ask(cli, "GET", cli->options.args[0], NULL, &reply);

    if (code == CLI_OK && cli->options.json) {
        print_json(reply, 2);
    } else if (code == CLI_OK) {
        (void)json_array_append_new(rows, row_of(reply));
        print_table(rows);
    }
    json_decref(rows);
    json_decref(reply);
    return code;
}
