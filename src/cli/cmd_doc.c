/* doc put, get, delete, list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/input.h"
#include "cli/number.h"
#include "cli/print.h"

#define LIST_DEFAULT "1000"

/* Reads and checks the document, so that a slip is named with its line before anything is sent. */
static enum cli_exit read_document(struct cli *cli, json_t **ret_doc)
{
    const char *from = cli->options.file == NULL ? "standard input" : cli->options.file;
    struct buf text = BUF_SECRET_INIT(DOC_BYTES_MAX + 1);
    enum qk_err err = input_read(cli->options.file, &text);
    enum cli_exit code = CLI_OK;
    json_error_t problem;
    json_t *doc;

    if (err != QK_OK) {
        code = cli_fail(CLI_ERROR, "%s: %s", from,
                        err == QK_ERR_IO ? strerror(errno) : qk_err_text(err));
        goto out;
    }
    if (text.len == 0) {
        code = cli_fail(CLI_USAGE, "%s is empty: a document is a JSON object", from);
        goto out;
    }
    doc = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                     &problem);
    if (json_is_object(doc)) {
        *ret_doc = doc;
    } else {
        code = doc != NULL ? cli_fail(CLI_USAGE, "%s: a document is a JSON object", from)
                           : cli_fail(CLI_USAGE, "%s:%d:%d: %s", from, problem.line, problem.column,
                                      problem.text);
        json_decref(doc);
    }

out:
    buf_fini(&text);
    return code;
}

static enum cli_exit on_document(struct cli *cli, const char *method, const char *rev, json_t *body,
                                 json_t **ret_reply)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    bool named = cli->options.args_n > 1;
    enum cli_exit code;

    client_path_put(&path, cli->options.args[0]);
    if (named)
        client_path_put_id(&path, cli->options.args[1]);
    if (rev != NULL)
        client_query_put(&path, "rev", rev);
    if (buf_error(&path) != QK_OK) {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the names are too long");
    } else {
        code = cli_request(cli, method, &path, body, ret_reply);
    }
    buf_fini(&path);
    return code;
}

static void print_change(struct cli *cli, const json_t *reply)
{
    const char *id = json_string_value(json_object_get(reply, "id"));
    const char *rev = json_string_value(json_object_get(reply, "rev"));

    if (cli->options.json)
        print_json(reply, 2);
    else
        printf("%s %s\n", id == NULL ? "?" : id, rev == NULL ? "?" : rev);
}

enum cli_exit cli_doc_put(struct cli *cli)
{
    bool named = cli->options.args_n > 1;
    json_t *doc = NULL, *reply = NULL;
    enum cli_exit code = read_document(cli, &doc);

    if (code != CLI_OK)
        return code;
    if (cli->options.rev != NULL)
        (void)json_object_set_new(doc, "_rev", json_string(cli->options.rev));
    if (cli->options.key_id != NULL)
        (void)json_object_set_new(doc, "_key_id", json_string(cli->options.key_id));
    code = on_document(cli, named ? "PUT" : "POST", NULL, doc, &reply);
    if (code == CLI_OK)
        print_change(cli, reply);
    json_decref(reply);
    return code;
}

enum cli_exit cli_doc_get(struct cli *cli)
{
    json_t *reply = NULL;
    enum cli_exit code = on_document(cli, "GET", cli->options.rev, NULL, &reply);

    if (code == CLI_OK)
        print_json(reply, cli->options.json ? 0 : 2);
    json_decref(reply);
    return code;
}

enum cli_exit cli_doc_delete(struct cli *cli)
{
    const char *rev = cli->options.rev;
    json_t *now = NULL, *reply = NULL;
    enum cli_exit code = CLI_OK;

    if (rev == NULL) {
        /* What is there now; if it changes in between, the delete is refused. */
        code = on_document(cli, "GET", NULL, NULL, &now);
        rev = json_string_value(json_object_get(now, "_rev"));
    }
    if (code == CLI_OK)
        code = on_document(cli, "DELETE", rev, NULL, &reply);
    if (code == CLI_OK)
        print_change(cli, reply);
    json_decref(now);
    json_decref(reply);
    return code;
}

/* CouchDB's keys are JSON values: a text stands in quotes. */
static void put_key(struct buf *path, const char *name, const char *text)
{
    json_t *json = json_string(text);
    char *encoded = json == NULL ? NULL : json_dumps(json, JSON_ENCODE_ANY);

    if (encoded != NULL)
        client_query_put(path, name, encoded);
    print_free(encoded);
    json_decref(json);
}

/* A row that the node could not read is said, and makes the list an error. */
static enum cli_exit print_rows(const json_t *reply, bool include_docs)
{
    const json_t *rows = json_object_get(reply, "rows");
    enum cli_exit code = CLI_OK;
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        const char *reason = json_string_value(json_object_get(row, "reason"));

        if (reason != NULL)
            code = cli_fail(CLI_ERROR, "%s: %s", json_string_value(json_object_get(row, "key")),
                            reason);
        else if (include_docs)
            print_json(json_object_get(row, "doc"), 0);
        else
            printf("%s %s\n", json_string_value(json_object_get(row, "id")),
                   json_string_value(json_object_get(json_object_get(row, "value"), "rev")));
    }
    return code;
}

enum cli_exit cli_doc_list(struct cli *cli)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    const struct options *options = &cli->options;
    const char *limit = options->limit == NULL ? LIST_DEFAULT : options->limit;
    json_t *reply = NULL;
    enum cli_exit code;
    uint64_t value = 0;

    if (number_parse(limit, INT64_MAX, &value) != QK_OK)
        return cli_fail(CLI_USAGE, "--limit: '%s' is not a number", limit);
    client_path_put(&path, options->args[0]);
    buf_put_str(&path, "/_all_docs");
    client_query_put(&path, "limit", limit);
    if (options->include_docs)
        client_query_put(&path, "include_docs", "true");
    if (options->start != NULL)
        put_key(&path, "startkey", options->start);
    if (options->end != NULL)
        put_key(&path, "endkey", options->end);
    code = buf_error(&path) != QK_OK ? cli_fail(CLI_USAGE, "the names are too long")
                                     : cli_request(cli, "GET", &path, NULL, &reply);
    if (code == CLI_OK && options->json)
        print_json(reply, 2);
    else if (code == CLI_OK)
        code = print_rows(reply, options->include_docs);
    if (code == CLI_OK && options->limit == NULL &&
        json_array_size(json_object_get(reply, "rows")) == value)
        fprintf(stderr, "(the first %s; --limit and --start show others)\n", limit);
    json_decref(reply);
    buf_fini(&path);
    return code;
}
