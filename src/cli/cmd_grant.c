/* grant add, remove, list: of data keys; db and secret grant, revoke, rights: of databases and of
 * the secrets. A subject is the
 * name of a user, or role:NAME, which no user's name can be. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/print.h"

#define ROLE_PREFIX "role:"
#define RIGHTS_BYTES_MAX 256

/* What the rights are rights to. */
struct thing {
    const char *before, *after; /* of its name in the path */
    unsigned name_n;            /* 1: the first argument is its name; 0: there is only one */
    const char *rights[3];
};

static const struct thing KEY = {
    "/_quorumkeep/keys", "/grants", 1, {"encrypt", "decrypt", "manage"}};
static const struct thing DATABASE = {"", "/_security", 1, {"read", "write", "admin"}};
static const struct thing SECRETS = {
    "/_quorumkeep/secrets", "/rights", 0, {"read", "write", "admin"}};

static enum cli_exit ask(struct cli *cli, const struct thing *thing, const char *method,
                         json_t *body, json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    buf_put_str(&path, thing->before);
    if (thing->name_n > 0)
        client_path_put(&path, cli->options.args[0]);
    buf_put_str(&path, thing->after);
    if (buf_error(&path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the name is too long");
    } else {
        code = cli_request(cli, method, &path, body, ret_reply);
    }
    buf_fini(&path);
    return code;
}

/* The rights named behind the subject; none: all three. */
static json_t *rights_of(const struct cli *cli, const struct thing *thing)
{
    json_t *rights = json_array();
    unsigned first = thing->name_n + 1;

    for (unsigned i = first; i < cli->options.args_n; i++)
        (void)json_array_append_new(rights, json_string(cli->options.args[i]));
    for (unsigned i = 0; cli->options.args_n <= first && i < 3; i++)
        (void)json_array_append_new(rights, json_string(thing->rights[i]));
    return rights;
}

static enum cli_exit change(struct cli *cli, const struct thing *thing, const char *verb,
                            const char *done)
{
    const char *subject = cli->options.args[thing->name_n];
    bool role = strncmp(subject, ROLE_PREFIX, strlen(ROLE_PREFIX)) == 0;
    const char *name = role ? subject + strlen(ROLE_PREFIX) : subject;
    json_t *reply = NULL, *body;
    enum cli_exit code;

    body = json_pack("{s:s, s:o}", role ? "role" : "user", name, verb, rights_of(cli, thing));
    if (body == NULL)
        return cli_fail(CLI_USAGE, "the name is not UTF-8");
    code = ask(cli, thing, "POST", body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("%s %s on %s\n", done, subject,
               thing->name_n > 0 ? cli->options.args[0] : "the secrets");
    json_decref(reply);
    return code;
}

enum cli_exit cli_grant_add(struct cli *cli)
{
    return change(cli, &KEY, "add", "granted to");
}

enum cli_exit cli_grant_remove(struct cli *cli)
{
    return change(cli, &KEY, "remove", "taken from");
}

enum cli_exit cli_db_grant(struct cli *cli)
{
    return change(cli, &DATABASE, "add", "granted to");
}

enum cli_exit cli_db_revoke(struct cli *cli)
{
    return change(cli, &DATABASE, "remove", "taken from");
}

enum cli_exit cli_secret_grant(struct cli *cli)
{
    return change(cli, &SECRETS, "add", "granted to");
}

enum cli_exit cli_secret_revoke(struct cli *cli)
{
    return change(cli, &SECRETS, "remove", "taken from");
}

static json_t *row_of(const json_t *grant)
{
    const json_t *role = json_object_get(grant, "role"), *user = json_object_get(grant, "user");
    struct buf rights = BUF_INIT(RIGHTS_BYTES_MAX);
    const char *name = json_string_value(role != NULL ? role : user);
    json_t *right, *row;
    size_t i;

    json_array_foreach(json_object_get(grant, "rights"), i, right)
    {
        buf_printf(&rights, "%s%s", i == 0 ? "" : ",", json_string_value(right));
    }
    row = json_pack("{s:s, s:s, s:s%}", "kind", role != NULL ? "role" : "user", "name",
                    name != NULL ? name : "(deleted)", "rights",
                    rights.len == 0 ? "" : (const char *)rights.data, rights.len);
    buf_fini(&rights);
    return row;
}

enum cli_exit cli_grant_list(struct cli *cli)
{
    json_t *reply = NULL, *rows = json_array(), *grant;
    enum cli_exit code = ask(cli, &KEY, "GET", NULL, &reply);
    size_t i;

    if (code == CLI_OK && cli->options.json) {
        print_json(json_object_get(reply, "grants"), 2);
    } else if (code == CLI_OK) {
        json_array_foreach(json_object_get(reply, "grants"), i, grant)
        {
            (void)json_array_append_new(rows, row_of(grant));
        }
        print_table(rows);
    }
    json_decref(rows);
    json_decref(reply);
    return code;
}

static enum cli_exit rights(struct cli *cli, const struct thing *thing)
{
    json_t *reply = NULL;
    enum cli_exit code = ask(cli, thing, "GET", NULL, &reply);

    if (code == CLI_OK)
        print_json(reply, 2);
    json_decref(reply);
    return code;
}

enum cli_exit cli_db_rights(struct cli *cli)
{
    return rights(cli, &DATABASE);
}

enum cli_exit cli_secret_rights(struct cli *cli)
{
    return rights(cli, &SECRETS);
}
