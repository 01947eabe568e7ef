#include "cli/rows.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "client/split.h"

#define MESSAGE_BYTES_MAX 8192
#define TABLE_ROWS_MAX 10000
#define TABLE_CELL_BYTES_MAX 60

struct reading {
    struct cli_rows *rows;
    struct split split;
    bool given, malformed;
};

static bool on_element(void *arg, struct bytes text)
{
    struct reading *reading = arg;
    json_t *row =
        json_loadb((const char *)text.data, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    bool more = false;

    reading->malformed = row == NULL;
    reading->given = true;
    if (row != NULL)
        more = reading->rows->on_row(reading->rows->arg, row, text);
    json_decref(row);
    return more;
}

static bool on_body(void *arg, struct bytes piece)
{
    struct reading *reading = arg;

    if (split_feed(&reading->split, piece) != QK_OK)
        return reading->split.valued; /* the reason is coming */
    return !reading->split.stopped;
}

/* What broke the list off stands behind its rows, as {"error", "reason"}. */
static enum cli_exit say_cut(struct cli *cli, struct reading *reading)
{
    struct bytes tail = buf_bytes(&reading->split.element);
    const uint8_t *line = tail.len == 0 ? NULL : memrchr(tail.data, '{', tail.len);
    json_t *json = line == NULL ? NULL
                                : json_loadb((const char *)line,
                                             tail.len - (size_t)(line - tail.data), 0, NULL);
    const char *reason = json_string_value(json_object_get(json, "reason"));
    enum cli_exit code = cli_fail(CLI_ERROR, "%s: the list broke off%s%s", cli->target.text,
                                  reason == NULL ? "" : ": ", reason == NULL ? "" : reason);

    json_decref(json);
    return code;
}

static enum cli_exit settle(struct cli *cli, struct reading *reading)
{
    struct bytes rest = buf_bytes(&reading->split.rest);

    if (split_end(&reading->split) != QK_OK || reading->malformed) {
        reading->rows->cut = true;
        return say_cut(cli, reading);
    }
    if (reading->rows->name != NULL && !reading->split.stopped)
        reading->rows->rest = json_loadb((const char *)rest.data, rest.len, 0, NULL);
    return CLI_OK;
}

enum cli_exit cli_rows(struct cli *cli, const char *method, const struct buf *target, json_t *body,
                       struct cli_rows *rows)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    char *text = body == NULL ? NULL : json_dumps(body, JSON_COMPACT);
    struct reading reading = {.rows = rows};
    struct client_request request = {.method = method,
                                     .target = buf_bytes(target),
                                     .body = text == NULL ? BYTES_NONE : bytes_str(text),
                                     .authorization = buf_bytes(&cli->authorization),
                                     .on_body = on_body,
                                     .arg = &reading};
    struct client_reply reply;
    enum cli_exit code;
    enum qk_err err;

    assert(buf_error(target) == QK_OK);

    rows->cut = false;
    rows->rest = NULL;
    split_init(&reading.split, rows->name, on_element, &reading);
    err = client_call(&cli->target, &request, &reply, &message);
    if (err != QK_OK) {
        rows->cut = err != QK_ERR_INVALID && err != QK_ERR_DENIED;
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    } else {
        code = cli_judge(cli, &reply);
        if (code == CLI_OK)
            code = settle(cli, &reading);
    }
    client_reply_fini(&reply);
    split_fini(&reading.split);
    buf_fini(&message);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    print_free(text);
    json_decref(body);
    return code;
}

void rows_begin(struct rows_printer *printer, const struct cli *cli)
{
    *printer = (struct rows_printer){0};
    if (!cli->options.json && isatty(STDOUT_FILENO))
        printer->table = json_array();
}

/* Shortened to whole characters. */
static json_t *cell_of(const json_t *value)
{
    struct buf text = BUF_SECRET_INIT(DOC_BYTES_MAX);
    size_t len;
    json_t *cell;

    print_value(&text, value);
    len = text.len;
    if (len > TABLE_CELL_BYTES_MAX) {
        len = TABLE_CELL_BYTES_MAX - 3;
        while (len > 0 && (text.data[len] & 0xc0) == 0x80)
            len--;
        memcpy(text.data + len, "...", 3);
        len += 3;
    }
    cell = json_stringn(len == 0 ? "" : (const char *)text.data, len);
    buf_fini(&text);
    return cell;
}

static void gather(json_t *table, json_t *row)
{
    json_t *cells = json_object(), *value;
    const char *name;

    if (!json_is_object(row)) {
        (void)json_object_set_new(cells, "value", cell_of(row));
    } else {
        json_object_foreach(row, name, value)
        {
            (void)json_object_set_new(cells, name, cell_of(value));
        }
    }
    (void)json_array_append_new(table, cells);
}

static void print_text(struct bytes text)
{
    (void)fwrite(text.data, 1, text.len, stdout);
    (void)fputc('\n', stdout);
}

void rows_print(struct rows_printer *printer, json_t *row, struct bytes text)
{
    printer->n++;
    if (printer->table != NULL && json_array_size(printer->table) < TABLE_ROWS_MAX)
        gather(printer->table, row);
    else
        print_text(text);
}

/* print_table takes the columns of the first row: it gets those of all. */
static void complete_first(json_t *table)
{
    json_t *first = json_array_get(table, 0), *row, *value;
    const char *name;
    size_t i;

    json_array_foreach(table, i, row)
    {
        json_object_foreach(row, name, value)
        {
            if (json_object_get(first, name) == NULL)
                (void)json_object_set_new(first, name, json_string(""));
        }
    }
}

void rows_end(struct rows_printer *printer)
{
    if (printer->table != NULL && json_array_size(printer->table) > 0) {
        complete_first(printer->table);
        print_table(printer->table);
    }
    json_decref(printer->table);
    printer->table = NULL;
}

enum cli_exit cli_parameters(struct cli *cli, unsigned from, json_t *object)
{
    for (unsigned i = from; i < cli->options.args_n; i++) {
        const char *arg = cli->options.args[i];
        const char *equals = strchr(arg, '=');
        json_t *value;

        if (equals == NULL || equals == arg)
            return cli_fail(CLI_USAGE, "'%.64s' is not NAME=VALUE", arg);
        value = json_loads(equals + 1, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
        if (value == NULL)
            value = json_string(equals + 1);
        if (value == NULL)
            return cli_fail(CLI_USAGE, "'%.64s': the value is not UTF-8", arg);
        if (json_object_setn_new(object, arg, (size_t)(equals - arg), value) != 0)
            return cli_fail(CLI_USAGE, "'%.64s': the name is not UTF-8", arg);
    }
    return CLI_OK;
}
