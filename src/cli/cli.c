#include "cli/cli.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/credentials.h"
#include "cli/print.h"
#include "cli/vault_reason.h"

#define DATA_DEFAULT "/var/lib/quorumkeep"
#define ADDR_DEFAULT "127.0.0.1:7600"
#define MESSAGE_BYTES_MAX 8192

enum cli_exit cli_fail(enum cli_exit code, const char *format, ...)
{
    struct buf text = BUF_INIT(MESSAGE_BYTES_MAX);
    char line[MESSAGE_BYTES_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    buf_put_str(&text, "quorumkeep: ");
    print_clean(&text, line);
    fprintf(stderr, "%.*s\n", (int)text.len, (const char *)text.data);
    buf_fini(&text);
    return code;
}

static const char *setting(const char *flag, const char *variable)
{
    const char *value = flag != NULL ? flag : getenv(variable);

    return value != NULL && *value != '\0' ? value : NULL;
}

/* A flag wins over the environment, an address over a data directory. */
static enum qk_err find_target(struct cli *cli, struct buf *message)
{
    const struct options *options = &cli->options;
    const char *addr =
        options->data != NULL ? options->addr : setting(options->addr, "QUORUMKEEP_ADDR");
    const char *data = setting(options->data, "QUORUMKEEP_DATA");
    struct buf path = BUF_INIT(CLIENT_TARGET_BYTES);
    enum qk_err err;

    if (addr != NULL)
        return client_target_parse(addr, &cli->target, message);
    if (data == NULL && access(DATA_DEFAULT "/control.sock", F_OK) != 0)
        return client_target_parse(ADDR_DEFAULT, &cli->target, message);
    buf_printf(&path, "unix:%s/control.sock", data == NULL ? DATA_DEFAULT : data);
    buf_put_u8(&path, 0);
    err = buf_error(&path);
    if (err == QK_OK)
        err = client_target_parse((const char *)path.data, &cli->target, message);
    else
        buf_put_str(message, "the data directory's path is too long");
    buf_fini(&path);
    return err;
}

/* The environment's password is that of the environment's user: it is never sent for another. */
static enum qk_err find_password(struct cli *cli, const char *user, struct buf *ret_password,
                                 struct buf *message)
{
    const char *owner = setting(NULL, "QUORUMKEEP_USER");
    bool own = owner == NULL || strcmp(owner, user) == 0;
    const char *file = cli->options.password_file;
    const char *password = own ? getenv("QUORUMKEEP_PASSWORD") : NULL;
    char prompt[128];

    if (file == NULL && own)
        file = setting(NULL, "QUORUMKEEP_PASSWORD_FILE");
    if (cli->options.password_file == NULL && password != NULL) {
        buf_put_str(ret_password, password);
        return buf_error(ret_password);
    }
    if (file == NULL && !isatty(STDIN_FILENO)) {
        buf_printf(message,
                   "no password for user '%s': set QUORUMKEEP_USER and "
                   "QUORUMKEEP_PASSWORD, or use --password-file",
                   user);
        return QK_ERR_INVALID;
    }
    (void)snprintf(prompt, sizeof(prompt), "password of %s", user);
    return credential_read(prompt, file, ret_password, message);
}

static enum qk_err crosses_in_clear(const struct cli *cli, struct buf *message)
{
    if (cli->target.tls || client_target_is_private(&cli->target) || cli->options.insecure_http)
        return QK_OK;
    buf_printf(message,
               "%s is not this machine, and the password or token would cross the network in "
               "clear: use https://, or --insecure-http to accept that",
               cli->target.text);
    return QK_ERR_DENIED;
}

/* A login token, in the environment or in a file that it names; `ret_found`: there is one. */
static enum qk_err find_token(struct cli *cli, bool *ret_found, struct buf *message)
{
    struct buf token = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    const char *text = setting(NULL, "QUORUMKEEP_TOKEN");
    const char *file = setting(NULL, "QUORUMKEEP_TOKEN_FILE");
    enum qk_err err = QK_OK;

    *ret_found = text != NULL || file != NULL;
    if (!*ret_found)
        return QK_OK;
    err = crosses_in_clear(cli, message);
    if (err == QK_OK && text != NULL)
        buf_put_str(&token, text);
    else if (err == QK_OK)
        err = credential_read("token", file, &token, message);
    if (err == QK_OK) {
        buf_put_str(&cli->authorization, "Bearer ");
        buf_put_bytes(&cli->authorization, buf_bytes(&token));
        err = buf_error(&cli->authorization);
    }
    buf_fini(&token);
    return err;
}

/* Nobody logs in on the control socket unless asked to: its file's owner is the authority. A user
 * on the command line goes before a token of the environment, and that before a user there. */
static enum qk_err find_user(struct cli *cli, struct buf *message)
{
    struct buf password = BUF_SECRET_INIT(CREDENTIAL_BYTES_MAX);
    const char *user = cli->options.user;
    bool found = false;
    enum qk_err err = QK_OK;

    if (user == NULL && !cli->target.local) {
        err = find_token(cli, &found, message);
        if (found || err != QK_OK)
            return err;
        user = setting(NULL, "QUORUMKEEP_USER");
    }
    if (user == NULL)
        return QK_OK;
    err = crosses_in_clear(cli, message);
    if (err != QK_OK)
        return err;
    err = find_password(cli, user, &password, message);
    if (err == QK_OK)
        err = client_basic(user, buf_bytes(&password), &cli->authorization);
    buf_fini(&password);
    return err;
}

enum cli_exit cli_connect(struct cli *cli)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    enum qk_err err = find_target(cli, &message);

    cli->target.ca = setting(cli->options.ca, "QUORUMKEEP_CA");
    cli->target.cert = setting(cli->options.cert, "QUORUMKEEP_CERT");
    cli->target.cert_key = setting(cli->options.cert_key, "QUORUMKEEP_CERT_KEY");
    if (err == QK_OK)
        err = find_user(cli, &message);
    if (err != QK_OK)
        (void)cli_fail(CLI_USAGE, "%.*s", (int)message.len, (const char *)message.data);
    buf_fini(&message);
    return err == QK_OK ? CLI_OK : err == QK_ERR_IO ? CLI_ERROR : CLI_USAGE;
}

enum qk_err cli_call(struct cli *cli, struct client_request *request,
                     struct client_reply *ret_reply, struct buf *message)
{
    enum qk_err err = QK_OK;

    *ret_reply = (struct client_reply){.body = BUF_SECRET_INIT(CLIENT_REPLY_BYTES_MAX)};
    request->keep = true;
    if (!client_channel_is_open(&cli->channel)) {
        client_channel_close(&cli->channel);
        err = client_channel_open(&cli->target, request->timeout_ms, &cli->channel, message);
    }
    if (err != QK_OK)
        return err;
    err = client_channel_call(&cli->channel, request, ret_reply, message);
    if (err != QK_OK || !ret_reply->kept)
        client_channel_close(&cli->channel);
    return err;
}

void cli_fini(struct cli *cli)
{
    client_channel_close(&cli->channel);
    buf_fini(&cli->authorization);
}

static enum cli_exit code_of_status(int status, const char *error)
{
    if (status / 100 == 2)
        return CLI_OK;
    if (status == 503 && (strcmp(error, "sealed") == 0 || strcmp(error, "uninitialised") == 0))
        return CLI_SEALED;
    if (status == 401 || status == 403)
        return CLI_DENIED;
    if (status == 404)
        return CLI_NOT_FOUND;
    if (status == 409 || status == 412)
        return CLI_CONFLICT;
    return CLI_ERROR;
}

static void warn_of_alarm(struct cli *cli, const struct client_reply *reply)
{
    if (reply->alarm[0] == '\0' || cli->warned)
        return;
    cli->warned = true;
    (void)cli_fail(CLI_OK, "WARNING: %s", reply->alarm);
}

enum cli_exit cli_judge(struct cli *cli, const struct client_reply *reply)
{
    json_t *json =
        json_loadb((const char *)reply->body.data, reply->body.len, JSON_DECODE_ANY, NULL);
    const char *error = json_string_value(json_object_get(json, "error"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    enum cli_exit code = code_of_status(reply->status, error == NULL ? "" : error);
    char word[VAULT_REASON_BYTES] = "";

    if (code != CLI_OK && reason == NULL)
        code = vault_reason(json, reply->status, code, word);
    warn_of_alarm(cli, reply);
    if (code != CLI_OK && cli->options.json && json != NULL)
        print_json(json, 0);
    else if (code != CLI_OK && reason != NULL)
        (void)cli_fail(code, "%s: %s", error == NULL ? "error" : error, reason);
    else if (code != CLI_OK && word[0] != '\0')
        (void)cli_fail(code, "%s", word);
    else if (code != CLI_OK)
        (void)cli_fail(code, "%s answered with status %d", cli->target.text, reply->status);
    if (code == CLI_DENIED && cli->authorization.len == 0 && !cli->options.json)
        fprintf(stderr, cli->target.local ? "try: --user NAME\n"
                                          : "try: QUORUMKEEP_USER and QUORUMKEEP_PASSWORD, or "
                                            "QUORUMKEEP_TOKEN, or on the node "
                                            "itself --data DIR\n");
    json_decref(json);
    return code;
}

static enum cli_exit parse_reply(struct cli *cli, const struct client_reply *reply,
                                 json_t **ret_reply)
{
    json_error_t problem;
    json_t *json = reply->body.len == 0
                       ? json_null() /* 204 */
                       : json_loadb((const char *)reply->body.data, reply->body.len,
                                    JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);

    if (json == NULL)
        return cli_fail(CLI_ERROR, "%s: the reply is not JSON (%s)", cli->target.text,
                        problem.text);
    *ret_reply = json;
    return CLI_OK;
}

enum cli_exit cli_request(struct cli *cli, const char *method, const struct buf *target,
                          json_t *body, json_t **ret_reply)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct client_request request = {.method = method,
                                     .target = buf_bytes(target),
                                     .body = text == NULL ? BYTES_NONE : bytes_str(text),
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    enum cli_exit code;
    enum qk_err err;

    assert(buf_error(target) == QK_OK);

    err = cli_call(cli, &request, &reply, &message);
    if (err != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    else
        code = cli_judge(cli, &reply);
    if (code == CLI_OK)
        code = parse_reply(cli, &reply, ret_reply);
    client_reply_fini(&reply);
    buf_fini(&message);
    if (text != NULL)
        explicit_bzero(text, strlen(text)); /* a document, or a token */
    print_free(text);
    json_decref(body);
    return code;
}

json_t *cli_look(struct cli *cli, const char *path)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    struct client_request request = {.method = "GET",
                                     .target = bytes_str(path),
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    json_t *json = NULL;

    if (cli_call(cli, &request, &reply, &message) == QK_OK && reply.status == 200)
        json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    client_reply_fini(&reply);
    buf_fini(&message);
    return json;
}

enum cli_exit cli_get(struct cli *cli, const char *target, json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    enum cli_exit code;

    buf_put_str(&path, target);
    code = cli_request(cli, "GET", &path, NULL, ret_reply);
    buf_fini(&path);
    return code;
}
