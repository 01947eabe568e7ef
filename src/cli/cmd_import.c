/* doc import: documents of a JSON array, of JSON lines, or of a CouchDB backup's lines of arrays.
 *
 * They are sent in batches; after each, how far it came is kept beside the file, so that the same
 * command goes on where it stopped. A document that has no id gets one made of the import's and of
 * its place, and no batch carries a revision of its own, so that a batch sent twice writes nothing
 * twice: what is there already is a conflict and stays as it is. With --keep-revs the documents
 * come with their revisions, as by replication, which is as safe to repeat. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/import_state.h"
#include "cli/number.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "client/split.h"

#define BATCH_DOCS_MAX 500 /* of which one may be at fault: some 20 requests find it */
#define BATCH_BYTES_MAX (4 * MIB)
#define READ_BYTES (256 * KIB)
#define WAIT_DEFAULT_S 60
#define COMPLAINTS_MAX 20
#define MESSAGE_BYTES_MAX 8192

struct import {
    struct cli *cli;
    const char *file; /* for messages */
    struct import_state state;
    struct progress progress;
    struct split split;
    json_t *batch;
    size_t batch_bytes;
    uint64_t seen, at; /* documents and bytes of the file */
    uint64_t wait_s;
    unsigned complaints;
    bool doubtful; /* the batch may have been written before */
    bool conflicts;
    enum cli_exit code;
};

/* What a batch's reply tells of one document. */
static void count_one(struct import *import, const json_t *one)
{
    const char *error = json_string_value(json_object_get(one, "error"));
    const char *reason = json_string_value(json_object_get(one, "reason"));
    const char *id = json_string_value(json_object_get(one, "id"));

    if (error == NULL) {
        import->state.written++;
    } else if (strcmp(error, "conflict") == 0) {
        import->state.there++;
        import->conflicts = import->conflicts || !import->doubtful;
    } else {
        import->state.refused++;
        if (import->complaints++ < COMPLAINTS_MAX)
            (void)cli_fail(CLI_ERROR, "%s: %s: %s", id == NULL ? "?" : id, error,
                           reason == NULL ? "" : reason);
    }
}

/* With their revisions given, only those that failed are in the reply. */
static enum cli_exit count_reply(struct import *import, const struct client_reply *reply,
                                 const json_t *batch)
{
    json_t *json =
        json_loadb((const char *)reply->body.data, reply->body.len, JSON_ALLOW_NUL, NULL);
    size_t sent = json_array_size(batch), told = json_array_size(json), i;
    json_t *one;

    if (!json_is_array(json) || (told != sent && !import->cli->options.keep_revs) || told > sent) {
        json_decref(json);
        return cli_fail(CLI_ERROR, "%s: the reply is not what was asked for",
                        import->cli->target.text);
    }
    json_array_foreach(json, i, one)
    {
        count_one(import, one);
    }
    import->state.written += sent - told;
    json_decref(json);
    return CLI_OK;
}

/* A batch is refused as a whole for one document that is malformed or too large. */
static bool is_refused(const struct client_reply *reply)
{
    return reply->status == 400 || reply->status == 413;
}

static bool passes(const struct client_reply *reply)
{
    return reply->status == 503 || reply->status == 429;
}

static bool may_pass(enum qk_err err, const struct client_reply *reply)
{
    return err == QK_OK ? passes(reply) : err != QK_ERR_INVALID && err != QK_ERR_DENIED;
}

static enum cli_exit judge(struct import *import, enum qk_err err, const struct client_reply *reply,
                           const struct buf *message, const json_t *batch)
{
    if (err != QK_OK)
        return cli_fail(CLI_ERROR, "%.*s", (int)message->len, (const char *)message->data);
    if (reply->status / 100 == 2)
        return count_reply(import, reply, batch);
    return cli_judge(import->cli, reply);
}

/* Until the node takes it or the wait is over. `ret_refused`: one of several documents is at fault,
 * and nothing was said. */
static enum cli_exit post(struct import *import, struct client_request *request,
                          const json_t *batch, bool *ret_refused)
{
    time_t end = time(NULL) + (time_t)import->wait_s;
    enum cli_exit code;
    bool again;

    do {
        struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
        struct client_reply reply;
        enum qk_err err = cli_call(import->cli, request, &reply, &message);

        code = CLI_OK;
        *ret_refused = err == QK_OK && is_refused(&reply);
        again = may_pass(err, &reply) && time(NULL) < end;
        if (!*ret_refused || json_array_size(batch) == 1)
            code = judge(import, err, &reply, &message, batch);
        client_reply_fini(&reply);
        buf_fini(&message);
        if (again) {
            import->doubtful = true;
            (void)sleep(1);
        }
    } while (again);
    return code;
}

static enum cli_exit send_docs(struct import *import, json_t *batch, bool *ret_refused)
{
    struct buf path = BUF_INIT(HTTP_URI_BYTES_MAX);
    json_t *body = json_pack("{s:O}", "docs", batch);
    struct client_request request = {.method = "POST",
                                     .authorization = buf_bytes(&import->cli->authorization)};
    enum cli_exit code;
    char *text;

    if (import->cli->options.keep_revs)
        (void)json_object_set_new(body, "new_edits", json_false());
    text = json_dumps(body, JSON_COMPACT);
    client_path_put(&path, import->cli->options.args[0]);
    client_path_put(&path, "_bulk_docs");
    request.target = buf_bytes(&path);
    request.body = text == NULL ? BYTES_NONE : bytes_str(text);
    code = text == NULL || buf_error(&path) != QK_OK ? cli_fail(CLI_ERROR, "out of memory")
                                                     : post(import, &request, batch, ret_refused);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    print_free(text);
    json_decref(body);
    buf_fini(&path);
    return code;
}

static json_t *piece_of(const json_t *batch, size_t at, size_t len)
{
    json_t *piece = json_array();

    for (size_t i = at; i < at + len && i < json_array_size(batch); i++)
        (void)json_array_append(piece, json_array_get(batch, i));
    return piece;
}

/* Why was said by the node. */
static void refuse(struct import *import, const json_t *doc)
{
    const char *id = json_string_value(json_object_get(doc, "_id"));

    import->state.refused++;
    if (import->complaints++ < COMPLAINTS_MAX)
        (void)cli_fail(CLI_ERROR, "%s: refused", id);
}

/* A batch that is refused is sent anew in pieces half as long, down to the document at fault, and
 * in pieces twice as long behind it. */
static enum cli_exit send_batch(struct import *import)
{
    size_t n = json_array_size(import->batch), at = 0, len = n;
    enum cli_exit code = CLI_OK;

    while (at < n && code == CLI_OK) {
        json_t *piece = piece_of(import->batch, at, len);
        size_t sent = json_array_size(piece);
        bool refused = false;

        code = send_docs(import, piece, &refused);
        if (refused && sent > 1) {
            len = (sent + 1) / 2;
        } else {
            if (refused)
                refuse(import, json_array_get(piece, 0));
            code = refused ? CLI_OK : code;
            at += sent;
            len *= 2;
        }
        json_decref(piece);
    }
    return code;
}

static enum cli_exit flush_batch(struct import *import)
{
    enum cli_exit code = CLI_OK;

    if (json_array_size(import->batch) > 0)
        code = send_batch(import);
    (void)json_array_clear(import->batch);
    import->batch_bytes = 0;
    if (code != CLI_OK)
        return code;
    import->doubtful = false;
    import->state.done = import->seen;
    progress_say(&import->progress, import->state.written + import->state.there, import->at);
    return import_state_save(&import->state);
}

/* An id as CouchDB makes them, 32 hex digits, the same at every try. */
static void give_id(struct import *import, json_t *doc)
{
    char id[48];

    (void)snprintf(id, sizeof(id), "%s%012" PRIx64, import->state.id, import->seen);
    (void)json_object_set_new(doc, "_id", json_string(id));
}

static enum cli_exit add(struct import *import, json_t *doc, size_t bytes)
{
    enum cli_exit code = CLI_OK;

    if (!json_is_string(json_object_get(doc, "_id")))
        give_id(import, doc);
    if (!import->cli->options.keep_revs) {
        (void)json_object_del(doc, "_rev");
        (void)json_object_del(doc, "_revisions");
    }
    (void)json_array_append(import->batch, doc);
    import->batch_bytes += bytes;
    if (json_array_size(import->batch) >= BATCH_DOCS_MAX || import->batch_bytes >= BATCH_BYTES_MAX)
        code = flush_batch(import);
    return code;
}

/* couchbackup's files begin with a line about themselves. */
static bool is_heading(const json_t *doc)
{
    return json_is_object(doc) && json_object_size(doc) <= 4 &&
           json_is_string(json_object_get(doc, "name")) &&
           json_is_string(json_object_get(doc, "version")) &&
           json_is_string(json_object_get(doc, "mode"));
}

static bool on_element(void *arg, struct bytes text)
{
    struct import *import = arg;
    json_error_t problem;
    json_t *doc;

    if (++import->seen <= import->state.done)
        return true;
    doc = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                     &problem);
    if (doc != NULL && import->seen == 1 && is_heading(doc))
        import->code = CLI_OK;
    else if (json_is_object(doc))
        import->code = add(import, doc, text.len);
    else
        import->code = cli_fail(CLI_ERROR, "%s: document %" PRIu64 ": %s", import->file,
                                import->seen, doc == NULL ? problem.text : "it is no object");
    json_decref(doc);
    return import->code == CLI_OK;
}

static enum cli_exit read_file(struct import *import, int fd)
{
    struct buf chunk = BUF_SECRET_INIT(READ_BYTES);
    uint8_t *room = buf_extend(&chunk, READ_BYTES);
    enum cli_exit code = room == NULL ? cli_fail(CLI_ERROR, "out of memory") : CLI_OK;
    enum qk_err err = QK_OK;

    while (code == CLI_OK) {
        ssize_t got = read(fd, room, READ_BYTES);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            code = cli_fail(CLI_ERROR, "%s: %s", import->file, strerror(errno));
        if (got <= 0)
            break;
        import->at += (uint64_t)got;
        err = split_feed(&import->split, bytes_of(room, (size_t)got));
        code = import->code;
        if (code == CLI_OK && err != QK_OK)
            break;
    }
    if (code == CLI_OK && err == QK_OK)
        err = split_end(&import->split);
    code = code == CLI_OK ? import->code : code;
    if (code == CLI_OK && err != QK_OK)
        code = cli_fail(CLI_ERROR, "%s: after document %" PRIu64 ": %s", import->file, import->seen,
                        err == QK_ERR_INVALID ? "it is not JSON, or ends early" : qk_err_text(err));
    buf_fini(&chunk);
    return code;
}

static enum cli_exit run(struct import *import, int fd)
{
    enum cli_exit code;

    import->batch = json_array();
    import->doubtful = import->state.done > 0;
    split_init(&import->split, NULL, on_element, import);
    code = import_state_save(&import->state); /* the ids to come */
    if (code == CLI_OK)
        code = read_file(import, fd);
    if (code == CLI_OK)
        code = flush_batch(import);
    progress_end(&import->progress);
    split_fini(&import->split);
    json_decref(import->batch);
    return code;
}

static enum cli_exit report(struct import *import, enum cli_exit code)
{
    const struct import_state *state = &import->state;

    printf("%" PRIu64 " written, %" PRIu64 " were there already, %" PRIu64 " refused\n",
           state->written, state->there, state->refused);
    if (code != CLI_OK && state->path[0] != '\0')
        return cli_fail(code, "stopped after %" PRIu64 " documents; the same command goes on there",
                        state->done);
    if (code != CLI_OK)
        return code;
    import_state_remove(state);
    return state->refused > 0 ? CLI_ERROR : import->conflicts ? CLI_CONFLICT : CLI_OK;
}

enum cli_exit cli_doc_import(struct cli *cli)
{
    const char *file = cli->options.file;
    bool named = file != NULL && strcmp(file, "-") != 0;
    struct import import = {
        .cli = cli, .file = named ? file : "standard input", .wait_s = WAIT_DEFAULT_S};
    int fd = named ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    struct stat about = {0};
    json_t *welcome = NULL;
    const char *cluster;
    enum cli_exit code;

    if (cli->options.wait != NULL &&
        number_parse(cli->options.wait, 86400, &import.wait_s) != QK_OK)
        code = cli_fail(CLI_USAGE, "--wait: '%s' is not a number", cli->options.wait);
    else if (fd < 0 || fstat(fd, &about) != 0)
        code = cli_fail(CLI_ERROR, "%s: %s", import.file, strerror(errno));
    else
        code = cli_get(cli, "/", &welcome); /* with the cluster's id */
    cluster = json_string_value(json_object_get(welcome, "uuid"));
    if (code == CLI_OK)
        code = import_state_open(&import.state, named ? file : NULL, &about, cli->options.args[0],
                                 cluster == NULL ? "" : cluster);
    if (code == CLI_OK) {
        progress_begin(&import.progress, "imported",
                       S_ISREG(about.st_mode) ? (uint64_t)about.st_size : 0);
        code = report(&import, run(&import, fd));
    }
    json_decref(welcome);
    if (named && fd >= 0)
        close(fd);
    return code;
}
