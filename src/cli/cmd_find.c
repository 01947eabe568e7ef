/* doc find, view query. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/print.h"
#include "cli/rows.h"

#define QUERY_BYTES_MAX (1 * MIB)

static bool on_row(void *arg, json_t *row, struct bytes text)
{
    rows_print(arg, row, text);
    return true;
}

static enum cli_exit run(struct cli *cli, const struct buf *path, const char *name, json_t *body)
{
    struct rows_printer printer;
    struct cli_rows rows = {.name = name, .on_row = on_row, .arg = &printer};
    const char *warning, *bookmark;
    enum cli_exit code;

    rows_begin(&printer, cli);
    if (buf_error(path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the names are too long");
    } else {
        code = cli_rows(cli, "POST", path, body, &rows);
    }
    rows_end(&printer);
    warning = json_string_value(json_object_get(rows.rest, "warning"));
    bookmark = json_string_value(json_object_get(rows.rest, "bookmark"));
    while (warning != NULL && warning[0] != '\0') { /* one a line */
        size_t len = strcspn(warning, "\n");

        (void)cli_fail(CLI_OK, "%.*s", (int)len, warning);
        warning += len + strspn(warning + len, "\n");
    }
    if (code == CLI_OK && bookmark != NULL && strcmp(bookmark, "nil") != 0 &&
        strcmp(name, "docs") == 0)
        fprintf(stderr, "(%lu documents; bookmark=%s shows those that follow)\n", printer.n,
                bookmark);
    json_decref(rows.rest);
    return code;
}

/* {"selector": ...} as it is; anything else is the selector. */
static enum cli_exit parse_query(const char *from, struct bytes text, json_t **ret_query)
{
    json_error_t problem;
    json_t *json;

    if (text.len == 0)
        return cli_fail(CLI_USAGE, "%s is empty: a selector is a JSON object", from);
    json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &problem);
    if (json == NULL)
        return cli_fail(CLI_USAGE, "%s:%d:%d: %s", from, problem.line, problem.column,
                        problem.text);
    if (!json_is_object(json)) {
        json_decref(json);
        return cli_fail(CLI_USAGE, "%s: a selector is a JSON object", from);
    }
    *ret_query =
        json_object_get(json, "selector") != NULL ? json : json_pack("{s:o}", "selector", json);
    return CLI_OK;
}

static enum cli_exit read_query(struct cli *cli, bool given, json_t **ret_query)
{
    const char *from = cli->options.file == NULL ? "standard input" : cli->options.file;
    struct buf text = BUF_SECRET_INIT(QUERY_BYTES_MAX);
    enum cli_exit code;
    enum qk_err err;

    if (given)
        return parse_query("the selector", bytes_str(cli->options.args[1]), ret_query);
    err = input_read(cli->options.file, &text);
    code = err == QK_OK ? parse_query(from, buf_bytes(&text), ret_query)
                        : cli_fail(CLI_ERROR, "%s: %s", from,
                                   err == QK_ERR_IO ? strerror(errno) : qk_err_text(err));
    buf_fini(&text);
    return code;
}

/* "a,-b" as ["a", "b"], or with `sorting` as [{"a": "asc"}, {"b": "desc"}]. */
static json_t *list_of(const char *text, bool sorting)
{
    json_t *list = json_array();

    while (*text != '\0') {
        size_t len = strcspn(text, ",");
        bool down = sorting && *text == '-';
        json_t *name = json_stringn(text + down, len - down);

        if (sorting) {
            json_t *one = json_object();

            (void)json_object_set_new(one, json_string_value(name),
                                      json_string(down ? "desc" : "asc"));
            json_decref(name);
            name = one;
        }
        (void)json_array_append_new(list, name);
        text += len;
        text += *text == ',';
    }
    return list;
}

static void split_list(json_t *query, const char *name, bool sorting)
{
    const char *text = json_string_value(json_object_get(query, name));
    json_t *list = text == NULL ? NULL : list_of(text, sorting);

    if (list != NULL)
        (void)json_object_set_new(query, name, list);
}

enum cli_exit cli_doc_find(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    bool given = cli->options.args_n > 1 && cli->options.args[1][0] == '{';
    json_t *query = NULL;
    enum cli_exit code = read_query(cli, given, &query);

    if (code == CLI_OK)
        code = cli_parameters(cli, given ? 2 : 1, query);
    if (code != CLI_OK) {
        json_decref(query);
        return code;
    }
    split_list(query, "fields", false);
    split_list(query, "sort", true);
    client_path_put(&path, cli->options.args[0]);
    client_path_put(&path, "_find");
    code = run(cli, &path, "docs", query);
    buf_fini(&path);
    return code;
}

/* DESIGN/VIEW; a design document's name may have slashes, a view's may not. */
static enum cli_exit put_view(struct buf *path, const char *name)
{
    const char *slash = strrchr(name, '/');
    char design[DOC_ID_BYTES_MAX + 1];

    if (slash == NULL || slash == name || slash[1] == '\0' ||
        (size_t)(slash - name) >= sizeof(design))
        return cli_fail(CLI_USAGE, "'%.64s' is not DESIGN/VIEW", name);
    memcpy(design, name, (size_t)(slash - name));
    design[slash - name] = '\0';
    client_path_put(path, "_design");
    client_path_put(path, design);
    client_path_put(path, "_view");
    client_path_put(path, slash + 1);
    return CLI_OK;
}

enum cli_exit cli_view_query(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *body = json_object();
    enum cli_exit code;

    client_path_put(&path, cli->options.args[0]);
    code = put_view(&path, cli->options.args[1]);
    if (code == CLI_OK)
        code = cli_parameters(cli, 2, body);
    if (cli->options.include_docs)
        (void)json_object_set_new(body, "include_docs", json_true());
    if (code == CLI_OK)
        code = run(cli, &path, "rows", body);
    else
        json_decref(body);
    buf_fini(&path);
    return code;
}
