/* doc export: every document of a database with its attachments, a line each.
 *
 * The list is read as it comes, so memory is that of one document. Where it breaks off (the node
 * was lost or sealed) it is asked for again from the last id on, until nothing has come for
 * RETRY_MS. A file gets its name when it is whole and on the disk; it is for its owner alone, since
 * it holds documents in clear. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "cli/rows.h"

#define RETRY_S 60

struct export
{
    struct cli *cli;
    FILE *to;
    struct progress progress;
    char *last; /* id of the last row; NULL: none */
    uint64_t done;
    unsigned long unreadable;
    bool moved; /* by the request under way */
    bool failed;
};

static bool take_id(struct export *export, const char *id)
{
    char *copy = strdup(id);

    if (copy == NULL)
        return false;
    free(export->last);
    export->last = copy;
    export->moved = true;
    return true;
}

/* A list has stubs in the place of attachments: such a document is asked for by itself, at the
 * revision that the list has. NULL: it did not come, which was said. */
static json_t *with_attachments(struct export *export, const char *id, json_t *doc)
{
    const char *rev = json_string_value(json_object_get(doc, "_rev"));
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *whole = NULL;

    if (json_object_size(json_object_get(doc, "_attachments")) == 0)
        return json_incref(doc);
    client_path_put(&path, export->cli->options.args[0]);
    client_path_put_id(&path, id);
    client_query_put(&path, "attachments", "true");
    if (rev != NULL)
        client_query_put(&path, "rev", rev);
    if (buf_error(&path) != QK_OK || cli_request(export->cli, "GET", &path, NULL, &whole) != CLI_OK)
        whole = NULL;
    buf_fini(&path);
    return whole;
}

static void write_document(struct export *export, const char *id, json_t *doc)
{
    json_t *whole = with_attachments(export, id, doc);

    if (whole == NULL) {
        (void)cli_fail(CLI_ERROR, "%s: its attachments could not be read", id);
        export->unreadable++;
        return;
    }
    export->failed = json_dumpf(whole, export->to, JSON_COMPACT) != 0 ||
                     fputc('\n', export->to) == EOF || export->failed;
    export->done++;
    json_decref(whole);
}

/* A row that the node could not open has a reason in the place of its document. */
static bool on_row(void *arg, json_t *row, struct bytes text)
{
    struct export *export = arg;
    const char *id = json_string_value(json_object_get(row, "id"));
    const char *reason = json_string_value(json_object_get(row, "reason"));
    json_t *doc = json_object_get(row, "doc");

    (void)text;
    id = id != NULL ? id : json_string_value(json_object_get(row, "key"));
    if (id == NULL || (export->last != NULL && strcmp(id, export->last) == 0))
        return true; /* where the list was asked for again */
    if (reason != NULL || !json_is_object(doc)) {
        (void)cli_fail(CLI_ERROR, "%s: %s", id, reason == NULL ? "it did not come" : reason);
        export->unreadable++;
    } else {
        write_document(export, id, doc);
    }
    progress_say(&export->progress, export->done, export->done);
    export->failed = !take_id(export, id) || export->failed;
    return !export->failed;
}

static enum cli_exit read_on(struct export *export, struct cli_rows *rows)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *body = json_pack("{s:b}", "include_docs", 1);
    enum cli_exit code;

    client_path_put(&path, export->cli->options.args[0]);
    client_path_put(&path, "_all_docs");
    if (export->last != NULL)
        (void)json_object_set_new(body, "startkey", json_string(export->last));
    if (buf_error(&path) == QK_OK) {
        code = cli_rows(export->cli, "POST", &path, body, rows);
    } else {
        json_decref(body);
        code = cli_fail(CLI_USAGE, "the database's name is too long");
    }
    json_decref(rows->rest);
    rows->rest = NULL;
    buf_fini(&path);
    return code;
}

static enum cli_exit read_all(struct export *export)
{
    struct cli_rows rows = {.name = "rows", .on_row = on_row, .arg = export};
    time_t moved = time(NULL);

    for (;;) {
        enum cli_exit code;

        export->moved = false;
        code = read_on(export, &rows);
        if (export->failed)
            return cli_fail(CLI_ERROR, "the documents cannot be written: %s", strerror(errno));
        if (code == CLI_OK)
            return CLI_OK;
        if (export->moved)
            moved = time(NULL);
        if ((!rows.cut && code != CLI_SEALED) || export->last == NULL ||
            time(NULL) - moved > RETRY_S)
            return code;
        (void)cli_fail(code, "going on from '%s'", export->last);
        (void)sleep(1);
    }
}

/* Under its name at last; what was there is not overwritten. */
static enum cli_exit settle(struct export *export, const char *part, const char *file)
{
    bool good = fflush(export->to) == 0 && !ferror(export->to);

    if (file != NULL)
        good = good && fsync(fileno(export->to)) == 0 &&
               renameat2(AT_FDCWD, part, AT_FDCWD, file, RENAME_NOREPLACE) == 0;
    return good ? CLI_OK
                : cli_fail(CLI_ERROR, "'%s': %s", file == NULL ? "standard output" : file,
                           strerror(errno));
}

static enum cli_exit open_part(const char *file, char *part, size_t part_bytes, FILE **ret_to)
{
    int fd = -1;

    if (access(file, F_OK) == 0)
        return cli_fail(CLI_CONFLICT, "'%s' is there already: an export overwrites nothing", file);
    if (snprintf(part, part_bytes, "%s.part", file) < (int)part_bytes)
        fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    *ret_to = fd < 0 ? NULL : fdopen(fd, "w");
    return *ret_to != NULL ? CLI_OK : cli_fail(CLI_ERROR, "'%s': %s", part, strerror(errno));
}

/* How many there will be, about: for the bar. */
static enum cli_exit count(struct cli *cli, uint64_t *ret_count)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *info = NULL;
    enum cli_exit code;

    client_path_put(&path, cli->options.args[0]);
    code = buf_error(&path) == QK_OK ? cli_request(cli, "GET", &path, NULL, &info)
                                     : cli_fail(CLI_USAGE, "the database's name is too long");
    *ret_count = (uint64_t)json_integer_value(json_object_get(info, "doc_count"));
    json_decref(info);
    buf_fini(&path);
    return code;
}

enum cli_exit cli_doc_export(struct cli *cli)
{
    const char *file = cli->options.file;
    struct export export = {.cli = cli, .to = stdout};
    char part[PATH_MAX] = "";
    uint64_t total = 0;
    enum cli_exit code = count(cli, &total);

    if (file != NULL && strcmp(file, "-") == 0)
        file = NULL;
    if (code == CLI_OK && file != NULL)
        code = open_part(file, part, sizeof(part), &export.to);
    if (code != CLI_OK)
        return code;
    progress_begin(&export.progress, "exported", total);
    export.progress.shown = export.progress.shown && file != NULL;
    code = read_all(&export);
    progress_end(&export.progress);
    if (code == CLI_OK)
        code = settle(&export, part, file);
    if (file != NULL) {
        (void)fclose(export.to);
        if (code != CLI_OK)
            (void)unlink(part);
    }
    free(export.last);
    if (code == CLI_OK)
        fprintf(stderr, "%llu documents\n", (unsigned long long)export.done);
    if (code == CLI_OK && export.unreadable > 0)
        code = cli_fail(CLI_ERROR, "%lu documents could not be read", export.unreadable);
    return code;
}
