/* secret get, list, history, set, delete, undelete, destroy, config. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/number.h"
#include "cli/print.h"
#include "cli/secret.h"

#define BASE "/v1/secret/"
#define NAME_WIDTH 20

/* --- requests --- */

static void put_path(struct buf *out, const char *verb, const char *path)
{
    size_t len = strlen(path);
    char *copy = strdup(path);

    while (copy != NULL && len > 0 && copy[len - 1] == '/')
        copy[--len] = '\0'; /* a folder may be named with its slash */
    buf_put_str(out, BASE);
    buf_put_str(out, verb);
    if (copy != NULL && len > 0)
        client_path_put(out, copy);
    free(copy);
}

enum cli_exit secret_request(struct cli *cli, const char *method, const char *verb, json_t *body,
                             json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    put_path(&path, verb, cli->options.args_n == 0 ? "" : cli->options.args[0]);
    if (cli->options.version != NULL)
        client_query_put(&path, "version", cli->options.version);
    if (buf_error(&path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the path is too long");
    } else {
        code = cli_request(cli, method, &path, body, ret_reply);
    }
    buf_fini(&path);
    return code;
}

bool secret_pair(const char *arg, char **ret_name, const char **ret_value)
{
    const char *equals = strchr(arg, '=');

    if (equals == NULL || equals == arg)
        return false;
    *ret_name = strndup(arg, (size_t)(equals - arg));
    *ret_value = equals + 1;
    return *ret_name != NULL;
}

/* Of a write that says nothing but a warning, if that. */
static void say_done(struct cli *cli, const json_t *reply, const char *what)
{
    const char *warning = json_string_value(json_array_get(json_object_get(reply, "warnings"), 0));

    if (cli->options.json)
        print_json(reply, 2);
    else if (cli->options.args_n > 0)
        printf("%s %s\n", what, cli->options.args[0]);
    if (warning != NULL)
        (void)cli_fail(CLI_OK, "WARNING: %s", warning);
}

/* --- get --- */

/* On a terminal without control characters, elsewhere byte by byte. */
static void print_text(const char *text, size_t len)
{
    bool terminal = isatty(STDOUT_FILENO) != 0;

    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];
        bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;

        (void)putchar(terminal && control ? '?' : byte);
    }
}

static void print_value_of(const json_t *value)
{
    char *text;

    if (json_is_string(value)) {
        print_text(json_string_value(value), json_string_length(value));
        return;
    }
    text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL) {
        print_text(text, strlen(text));
        explicit_bzero(text, strlen(text));
    }
    print_free(text);
}

static enum cli_exit print_field(struct cli *cli, const json_t *data)
{
    const json_t *value = json_object_get(data, cli->options.field);

    if (value == NULL)
        return cli_fail(CLI_NOT_FOUND, "%s has no field '%s'", cli->options.args[0],
                        cli->options.field);
    print_value_of(value);
    if (isatty(STDOUT_FILENO))
        (void)putchar('\n');
    return CLI_OK;
}

static void print_fields(json_t *data)
{
    const char *name;
    json_t *value;

    json_object_foreach(data, name, value)
    {
        struct buf label = BUF_INIT(KIB);

        print_clean(&label, name);
        buf_put_u8(&label, ':');
        printf("%-*.*s ", NAME_WIDTH, (int)label.len, (const char *)label.data);
        print_value_of(value);
        (void)putchar('\n');
        buf_fini(&label);
    }
}

enum cli_exit cli_secret_get(struct cli *cli)
{
    json_t *reply = NULL, *data;
    uint64_t version;
    enum cli_exit code;

    if (cli->options.version != NULL &&
        number_parse(cli->options.version, INT64_MAX, &version) != QK_OK)
        return cli_fail(CLI_USAGE, "--version: '%s' is not a number", cli->options.version);
    code = secret_request(cli, "GET", "data", NULL, &reply);
    data = json_object_get(json_object_get(reply, "data"), "data");
    if (code == CLI_OK && cli->options.field != NULL)
        code = print_field(cli, data);
    else if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        print_fields(data);
    json_decref(reply);
    return code;
}

/* --- list --- */

enum cli_exit cli_secret_list(struct cli *cli)
{
    json_t *reply = NULL, *name;
    enum cli_exit code = secret_request(cli, "LIST", "metadata", NULL, &reply);
    json_t *names = json_object_get(json_object_get(reply, "data"), "keys");
    size_t i;

    if (code == CLI_OK && cli->options.json) {
        print_json(names, 2);
    } else if (code == CLI_OK) {
        json_array_foreach(names, i, name)
        {
            print_text(json_string_value(name), json_string_length(name));
            (void)putchar('\n');
        }
    }
    json_decref(reply);
    return code;
}

/* --- history --- */

static const char *state_of(const json_t *version)
{
    const char *deletion = json_string_value(json_object_get(version, "deletion_time"));
    struct tm utc = {0};

    if (json_is_true(json_object_get(version, "destroyed")))
        return "destroyed";
    if (deletion == NULL || strptime(deletion, "%Y-%m-%dT%H:%M:%SZ", &utc) == NULL)
        return "there";
    return timegm(&utc) <= time(NULL) ? "deleted" : "deletes itself";
}

static void print_versions(json_t *versions)
{
    json_t *rows = json_array(), *version;
    const char *number;

    json_object_foreach(versions, number, version)
    {
        (void)json_array_append_new(
            rows, json_pack("{s:s, s:O, s:s, s:O}", "version", number, "created",
                            json_object_get(version, "created_time"), "state", state_of(version),
                            "deletion", json_object_get(version, "deletion_time")));
    }
    if (json_array_size(rows) > 0)
        print_table(rows);
    json_decref(rows);
}

enum cli_exit cli_secret_history(struct cli *cli)
{
    json_t *reply = NULL, *data, *versions;
    enum cli_exit code = secret_request(cli, "GET", "metadata", NULL, &reply);

    data = json_object_get(reply, "data");
    if (code == CLI_OK && cli->options.json) {
        print_json(data, 2);
    } else if (code == CLI_OK) {
        versions = json_incref(json_object_get(data, "versions"));
        (void)json_object_del(data, "versions");
        print_object(data);
        print_versions(versions);
        json_decref(versions);
    }
    json_decref(reply);
    return code;
}

/* --- settings --- */

static enum cli_exit take_custom(struct cli *cli, json_t *body)
{
    json_t *custom = json_object();
    const char *value;
    char *name;

    (void)json_object_set_new(body, "custom_metadata", custom);
    for (unsigned i = 1; i < cli->options.args_n; i++) {
        if (!secret_pair(cli->options.args[i], &name, &value))
            return cli_fail(CLI_USAGE, "'%.64s' is not NAME=TEXT", cli->options.args[i]);
        (void)json_object_set_new(custom, name,
                                  value[0] == '\0' ? json_null() : json_string(value));
        free(name);
    }
    return CLI_OK;
}

static enum cli_exit take_settings(struct cli *cli, json_t *body)
{
    const struct options *options = &cli->options;
    bool required = options->cas_required != NULL && strcmp(options->cas_required, "yes") == 0;

    if (options->cas_required != NULL && !required && strcmp(options->cas_required, "no") != 0)
        return cli_fail(CLI_USAGE, "--cas-required is yes or no");
    if (options->cas_required != NULL)
        (void)json_object_set_new(body, "cas_required", json_boolean(required));
    if (options->max_versions != NULL)
        (void)json_object_set_new(body, "max_versions", json_string(options->max_versions));
    if (options->delete_after != NULL)
        (void)json_object_set_new(body, "delete_version_after", json_string(options->delete_after));
    return options->args_n > 1 ? take_custom(cli, body) : CLI_OK;
}

enum cli_exit cli_secret_set(struct cli *cli)
{
    json_t *body = json_object(), *reply = NULL;
    enum cli_exit code = take_settings(cli, body);

    if (code == CLI_OK && json_object_size(body) == 0)
        code = cli_fail(CLI_USAGE, "say what to change: NAME=TEXT, --max-versions, "
                                   "--delete-after, --cas-required");
    if (code == CLI_OK)
        code = secret_request(cli, "PATCH", "metadata", json_incref(body), &reply);
    if (code == CLI_OK)
        say_done(cli, reply, "changed");
    json_decref(body);
    json_decref(reply);
    return code;
}

/* The node passes over what it does not know, as Vault does: a mistyped name would be no error. */
static bool is_setting(const char *name)
{
    static const char *const names[] = {"max_versions", "cas_required", "delete_version_after"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

enum cli_exit cli_secret_config(struct cli *cli)
{
    json_t *body = json_object(), *reply = NULL;
    struct buf path = BUF_INIT(64);
    enum cli_exit code = CLI_OK;
    const char *value;
    char *name;

    for (unsigned i = 0; i < cli->options.args_n && code == CLI_OK; i++) {
        if (secret_pair(cli->options.args[i], &name, &value)) {
            if (!is_setting(name))
                code = cli_fail(CLI_USAGE,
                                "'%.64s': the settings are max_versions, cas_required and "
                                "delete_version_after",
                                name);
            (void)json_object_set_new(body, name, json_string(value));
            free(name);
        } else {
            code = cli_fail(CLI_USAGE, "'%.64s' is not NAME=VALUE", cli->options.args[i]);
        }
    }
    buf_put_str(&path, BASE "config");
    if (code == CLI_OK && cli->options.args_n > 0)
        code = cli_request(cli, "POST", &path, json_incref(body), &reply);
    json_decref(reply);
    reply = NULL;
    if (code == CLI_OK)
        code = cli_request(cli, "GET", &path, NULL, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(json_object_get(reply, "data"), 2);
    else if (code == CLI_OK)
        print_object(json_object_get(reply, "data"));
    json_decref(body);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_secret_key(struct cli *cli)
{
    bool change = cli->options.args_n > 0;
    struct buf path = BUF_INIT(64);
    json_t *reply = NULL;
    enum cli_exit code;

    buf_put_str(&path, "/_quorumkeep/secrets/encryption");
    code = cli_request(cli, change ? "PUT" : "GET", &path,
                       change ? json_pack("{s:s}", "key_id", cli->options.args[0]) : NULL, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        print_object(reply);
    json_decref(reply);
    buf_fini(&path);
    return code;
}

/* --- versions that go and come --- */

static enum cli_exit on_versions(struct cli *cli, const char *verb, const char *what)
{
    json_t *reply = NULL;
    enum cli_exit code = secret_request(
        cli, "POST", verb, json_pack("{s:s}", "versions", cli->options.versions), &reply);

    if (code == CLI_OK)
        say_done(cli, reply, what);
    json_decref(reply);
    return code;
}

enum cli_exit cli_secret_delete(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code;

    if (cli->options.versions != NULL)
        return on_versions(cli, "delete", "deleted versions of");
    code = secret_request(cli, "DELETE", "data", NULL, &reply);
    if (code == CLI_OK)
        say_done(cli, reply, "deleted the newest version of");
    json_decref(reply);
    return code;
}

enum cli_exit cli_secret_undelete(struct cli *cli)
{
    if (cli->options.versions == NULL)
        return cli_fail(CLI_USAGE, "say which: --versions 3 ('secret history' shows them)");
    return on_versions(cli, "undelete", "brought back versions of");
}

/* On a terminal the path is asked for again; a script says --yes. */
static enum cli_exit confirm_all(struct cli *cli)
{
    char line[2048] = "";

    if (cli->options.yes)
        return CLI_OK;
    if (!isatty(STDIN_FILENO))
        return cli_fail(CLI_USAGE, "this destroys every version of '%s': say --yes",
                        cli->options.args[0]);
    fprintf(stderr, "This destroys every version of '%s'. Its path again: ", cli->options.args[0]);
    if (fgets(line, sizeof(line), stdin) == NULL)
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, cli->options.args[0]) != 0)
        return cli_fail(CLI_ERROR, "not the same path: nothing was destroyed");
    return CLI_OK;
}

enum cli_exit cli_secret_destroy(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code;

    if (cli->options.all == (cli->options.versions != NULL))
        return cli_fail(CLI_USAGE, "say which: --versions 1,2, or --all");
    if (cli->options.versions != NULL)
        return on_versions(cli, "destroy", "destroyed versions of");
    code = confirm_all(cli);
    if (code == CLI_OK)
        code = secret_request(cli, "DELETE", "metadata", NULL, &reply);
    if (code == CLI_OK)
        say_done(cli, reply, "destroyed");
    json_decref(reply);
    return code;
}
