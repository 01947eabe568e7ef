/* audit show, audit verify. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "cli/cli.h"
#include "cli/number.h"
#include "cli/print.h"
#include "service/audit.h"

/* One line for people: time, event, then what else is known, without the chain. */
static void print_event(const json_t *event)
{
    static const char *const told[] = {"seq", "time", "event", "prev", "hash"};
    struct buf line = BUF_INIT(65536);
    const char *name;
    json_t *value;

    print_value(&line, json_object_get(event, "seq"));
    buf_put_str(&line, "  ");
    print_value(&line, json_object_get(event, "time"));
    buf_put_str(&line, "  ");
    print_value(&line, json_object_get(event, "event"));
    json_object_foreach((json_t *)(uintptr_t)event, name, value)
    {
        bool known = false;

        for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++)
            known = known || strcmp(name, told[i]) == 0;
        if (known)
            continue;
        buf_printf(&line, " %s=", name);
        print_value(&line, value);
    }
    printf("%.*s\n", (int)line.len, (const char *)line.data);
    buf_fini(&line);
}

static void print_lines(struct bytes text, bool json)
{
    while (text.len > 0) {
        const uint8_t *newline = memchr(text.data, '\n', text.len);
        size_t len = newline == NULL ? text.len : (size_t)(newline - text.data);
        json_t *event = json_loadb((const char *)text.data, len, 0, NULL);

        if (event != NULL && json)
            print_json(event, 0);
        else if (event != NULL)
            print_event(event);
        json_decref(event);
        text = bytes_slice(text, len + (newline == NULL ? 0 : 1), SIZE_MAX);
    }
}

static enum cli_exit check_number(const char *name, const char *text)
{
    uint64_t value;

    if (text == NULL || number_parse(text, INT64_MAX, &value) == QK_OK)
        return CLI_OK;
    return cli_fail(CLI_USAGE, "%s: '%s' is not a number", name, text);
}

enum cli_exit cli_audit_show(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX), message = BUF_INIT(8192);
    struct client_request request = {.method = "GET",
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    enum cli_exit code = check_number("--since", cli->options.since);

    if (code == CLI_OK)
        code = check_number("--limit", cli->options.limit);
    if (code != CLI_OK)
        return code;
    buf_put_str(&path, "/_quorumkeep/audit");
    if (cli->options.since != NULL)
        client_query_put(&path, "since", cli->options.since);
    if (cli->options.limit != NULL)
        client_query_put(&path, "limit", cli->options.limit);
    request.target = buf_bytes(&path);
    if (client_call(&cli->target, &request, &reply, &message) != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    else
        code = cli_judge(cli, &reply);
    if (code == CLI_OK)
        print_lines(buf_bytes(&reply.body), cli->options.json);
    client_reply_fini(&reply);
    buf_fini(&message);
    buf_fini(&path);
    return code;
}

static enum cli_exit report_check(struct cli *cli, const char *path,
                                  const struct audit_check *check)
{
    char head[2 * AUDIT_HASH_BYTES + 1];

    hex_encode(check->head, sizeof(check->head), head);
    if (cli->options.json) {
        json_t *json = json_pack("{s:b, s:I, s:I, s:s, s:b}", "ok", check->bad_line == 0, "lines",
                                 (json_int_t)check->lines_n, "bad_line",
                                 (json_int_t)check->bad_line, "head", head, "torn", check->torn);

        print_json(json, 2);
        json_decref(json);
    } else if (check->bad_line == 0) {
        printf("%s: %" PRIu64 " lines, unbroken%s\nhead %s\n", path, check->lines_n,
               check->torn ? " (the last one is being written, or was cut by a crash)" : "", head);
    }
    if (check->bad_line == 0)
        return CLI_OK;
    return cli_fail(CLI_ERROR, "%s:%" PRIu64 ": %s", path, check->bad_line, check->bad_reason);
}

/* Reads the file itself and asks no node: a node that lies would say that all is well. */
enum cli_exit cli_audit_verify(struct cli *cli)
{
    const char *data = cli->options.data != NULL ? cli->options.data : getenv("QUORUMKEEP_DATA");
    struct buf path = BUF_INIT(4096);
    struct audit_check check;
    enum cli_exit code;

    if (cli->options.file != NULL)
        buf_put_str(&path, cli->options.file);
    else
        buf_printf(&path, "%s/audit.log", data == NULL ? "/var/lib/quorumkeep" : data);
    buf_put_u8(&path, 0);
    if (buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "the path is too long");
    else if (audit_verify((const char *)path.data, &check) != QK_OK)
        code = cli_fail(CLI_ERROR, "%s: cannot be read; --file FILE or --data DIR name another",
                        (const char *)path.data);
    else
        code = report_check(cli, (const char *)path.data, &check);
    buf_fini(&path);
    return code;
}
