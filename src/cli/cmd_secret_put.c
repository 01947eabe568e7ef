/* secret put: the value from a prompt, standard input or a file. Never from the command line, which
 * every user of the machine can read while the command runs, and the shell's history afterwards. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/credentials.h"
#include "cli/input.h"
#include "cli/number.h"
#include "cli/print.h"
#include "cli/secret.h"

#define VALUE_BYTES_MAX (1 * MIB) /* what a node takes */
#define FIELD_DEFAULT "value"

static const char *source_name(const struct cli *cli)
{
    const char *file = cli->options.file;

    return file == NULL || strcmp(file, "-") == 0 ? "standard input" : file;
}

static const char *field_name(const struct cli *cli)
{
    return cli->options.field == NULL ? FIELD_DEFAULT : cli->options.field;
}

/* Typed twice, since nobody sees it. */
static enum cli_exit ask(const struct cli *cli, struct buf *out)
{
    struct buf again = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    struct buf message = BUF_INIT(1024);
    char prompt[160];
    enum cli_exit code = CLI_OK;
    enum qk_err err;

    (void)snprintf(prompt, sizeof(prompt), "%.64s of %.64s", field_name(cli), cli->options.args[0]);
    err = credential_read(prompt, NULL, out, &message);
    if (err == QK_OK)
        err = credential_read("the same again", NULL, &again, &message);
    if (err != QK_OK)
        code = cli_fail(CLI_USAGE, "%.*s", (int)message.len, (const char *)message.data);
    else if (!bytes_equal(buf_bytes(out), buf_bytes(&again)))
        code = cli_fail(CLI_ERROR, "not the same: nothing was stored");
    buf_fini(&again);
    buf_fini(&message);
    return code;
}

static enum cli_exit read_value(const struct cli *cli, struct buf *out)
{
    enum qk_err err;

    if (cli->options.file == NULL && !cli->options.object && isatty(STDIN_FILENO))
        return ask(cli, out);
    err = input_read(cli->options.file, out);
    if (err == QK_ERR_TOO_BIG)
        return cli_fail(CLI_USAGE, "%s: more than 1 MiB is no secret", source_name(cli));
    if (err != QK_OK)
        return cli_fail(CLI_ERROR, "%s: %s", source_name(cli),
                        err == QK_ERR_IO ? strerror(errno) : qk_err_text(err));
    if (out->len == 0)
        return cli_fail(CLI_USAGE, "%s is empty", source_name(cli));
    return CLI_OK;
}

/* One field; the newline that an editor or echo leaves at the end is none of it. */
static enum cli_exit make_field(const struct cli *cli, struct buf *value, json_t **ret_data)
{
    size_t len = value->len;
    json_t *text;

    if (len > 0 && value->data[len - 1] == '\n')
        len--;
    text = json_stringn((const char *)value->data, len);
    if (text == NULL)
        return cli_fail(CLI_USAGE, "%s is not UTF-8 text: encode it, as base64 does",
                        source_name(cli));
    *ret_data = json_object();
    if (json_object_set_new(*ret_data, field_name(cli), text) != 0)
        return cli_fail(CLI_USAGE, "--field: not a name in UTF-8");
    return CLI_OK;
}

/* What is wrong is said by its place, never by what stands there. */
static enum cli_exit make_object(const struct cli *cli, const struct buf *text, json_t **ret_data)
{
    json_error_t problem;
    json_t *data = json_loadb((const char *)text->data, text->len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &problem);

    if (data == NULL)
        return cli_fail(CLI_USAGE, "%s:%d:%d: this is not JSON", source_name(cli), problem.line,
                        problem.column);
    if (!json_is_object(data)) {
        json_decref(data);
        return cli_fail(CLI_USAGE, "%s: with --object it must be a JSON object", source_name(cli));
    }
    *ret_data = data;
    return CLI_OK;
}

static enum cli_exit make_body(const struct cli *cli, json_t *data, json_t **ret_body)
{
    uint64_t cas = 0;

    if (cli->options.cas != NULL && number_parse(cli->options.cas, INT64_MAX, &cas) != QK_OK) {
        json_decref(data);
        return cli_fail(CLI_USAGE, "--cas: '%s' is not a number", cli->options.cas);
    }
    *ret_body = cli->options.cas == NULL
                    ? json_pack("{s:o}", "data", data)
                    : json_pack("{s:o, s:{s:I}}", "data", data, "options", "cas", (json_int_t)cas);
    return *ret_body == NULL ? cli_fail(CLI_ERROR, "out of memory") : CLI_OK;
}

static enum cli_exit read_data(const struct cli *cli, json_t **ret_data)
{
    struct buf value = BUF_SECRET_INIT(VALUE_BYTES_MAX);
    enum cli_exit code = read_value(cli, &value);

    if (code == CLI_OK)
        code = cli->options.object ? make_object(cli, &value, ret_data)
                                   : make_field(cli, &value, ret_data);
    buf_fini(&value);
    return code;
}

enum cli_exit cli_secret_put(struct cli *cli)
{
    json_t *data = NULL, *body = NULL, *reply = NULL;
    enum cli_exit code;

    if (cli->options.args_n > 1)
        return cli_fail(CLI_USAGE,
                        "values are not taken from the command line, where others can read them: "
                        "pipe it in, use --file, or be asked (and think of your shell's history)");
    if (cli->options.object && cli->options.field != NULL)
        return cli_fail(CLI_USAGE, "--object has all fields: --field is for one");
    code = read_data(cli, &data);
    if (code == CLI_OK)
        code = make_body(cli, data, &body);
    if (code == CLI_OK)
        code = secret_request(cli, cli->options.merge ? "PATCH" : "POST", "data", body, &reply);
    if (code == CLI_OK && cli->options.json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        printf("%s version %" JSON_INTEGER_FORMAT "\n", cli->options.args[0],
               json_integer_value(json_object_get(json_object_get(reply, "data"), "version")));
    json_decref(reply);
    return code;
}
