/* audit verify: reads the files itself, since a node that lies would say that all is well. What it
 * cannot know by itself is whether the marks are right: any open member tells, one mark at a time.
 * A right mark vouches for every line before it, so the last one is asked about; only if that is
 * wrong is the last right one searched for, by halves. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "cli/cli.h"
#include "cli/print.h"
#include "audit/audit_verify.h"

#define WHY_BYTES 512

enum marks { MARKS_NONE, MARKS_UNKNOWN, MARKS_RIGHT, MARKS_WRONG };

struct verdict {
    struct audit_check check;
    enum marks marks;
    uint64_t vouched; /* lines to this sequence are what the node wrote; with MARKS_RIGHT, WRONG */
    struct audit_mark wrong; /* the first mark that no member made */
    char why[WHY_BYTES];     /* it is not known */
};

struct pick {
    uint64_t wanted, n;
    struct audit_mark mark;
};

static void on_mark(void *arg, const struct audit_mark *mark)
{
    struct pick *pick = arg;

    if (++pick->n == pick->wanted)
        pick->mark = *mark;
}

/* --- asking a node --------------------------------------------------------------------------- */

static json_t *mark_json(const struct audit_mark *mark)
{
    char log[2 * NODE_ID_BYTES + 1], head[2 * AUDIT_HASH_BYTES + 1], mac[2 * AUDIT_HASH_BYTES + 1];

    hex_encode(mark->log, sizeof(mark->log), log);
    hex_encode(mark->head, sizeof(mark->head), head);
    hex_encode(mark->mac, sizeof(mark->mac), mac);
    return json_pack("{s:[{s:s, s:I, s:s, s:s}]}", "marks", "log", log, "seq",
                     (json_int_t)mark->seq, "head", head, "mac", mac);
}

static bool take_answer(const struct client_reply *reply, bool *ret_right, char *ret_why)
{
    json_t *json = json_loadb((const char *)reply->body.data, reply->body.len, 0, NULL);
    const json_t *right = json_array_get(json_object_get(json, "right"), 0);
    const char *reason = json_string_value(json_object_get(json, "reason"));
    bool known = reply->status == 200 && json_is_boolean(right);

    if (known)
        *ret_right = json_is_true(right);
    else
        (void)snprintf(ret_why, WHY_BYTES, "%.400s", reason != NULL ? reason : "it has no answer");
    json_decref(json);
    return known;
}

/* False: nobody could tell, and why. */
static bool ask(struct cli *cli, const struct audit_mark *mark, bool *ret_right, char *ret_why)
{
    json_t *json = mark_json(mark);
    char *text = json_dumps(json, JSON_COMPACT);
    struct buf message = BUF_INIT(WHY_BYTES);
    struct client_request request = {.method = "POST",
                                     .target = bytes_str("/_quorumkeep/audit/check"),
                                     .body = bytes_str(text == NULL ? "" : text),
                                     .authorization = buf_bytes(&cli->authorization)};
    struct client_reply reply;
    bool known = false;

    if (client_call(&cli->target, &request, &reply, &message) == QK_OK)
        known = take_answer(&reply, ret_right, ret_why);
    else
        (void)snprintf(ret_why, WHY_BYTES, "%.*s", (int)message.len,
                       message.len == 0 ? "" : (const char *)message.data);
    client_reply_fini(&reply);
    buf_fini(&message);
    print_free(text);
    json_decref(json);
    return known;
}

static bool find_wrong(struct cli *cli, const char *path, struct verdict *verdict)
{
    uint64_t right = 0, wrong = verdict->check.marks_n;

    verdict->wrong = verdict->check.mark;
    while (wrong - right > 1) {
        struct pick pick = {.wanted = right + (wrong - right) / 2};
        struct audit_check again;
        bool ok = false;

        if (audit_verify(path, on_mark, &pick, &again) != QK_OK ||
            !ask(cli, &pick.mark, &ok, verdict->why))
            return false;
        if (ok) {
            right = pick.wanted;
            verdict->vouched = pick.mark.seq - 1;
        } else {
            wrong = pick.wanted;
            verdict->wrong = pick.mark;
        }
    }
    return true;
}

static void check_marks(struct cli *cli, const char *path, struct verdict *verdict)
{
    bool right = false;

    verdict->marks = MARKS_UNKNOWN;
    if (cli_connect(cli) != CLI_OK || !ask(cli, &verdict->check.mark, &right, verdict->why))
        return;
    if (right) {
        verdict->marks = MARKS_RIGHT;
        verdict->vouched = verdict->check.mark.seq - 1;
    } else if (find_wrong(cli, path, verdict)) {
        verdict->marks = MARKS_WRONG;
    }
}

/* --- what is said ---------------------------------------------------------------------------- */

static void print_verdict_json(const struct verdict *verdict)
{
    static const char *const marks[] = {[MARKS_NONE] = "none",
                                        [MARKS_UNKNOWN] = "not checked",
                                        [MARKS_RIGHT] = "right",
                                        [MARKS_WRONG] = "wrong"};
    const struct audit_check *check = &verdict->check;
    char head[2 * AUDIT_HASH_BYTES + 1], log[2 * NODE_ID_BYTES + 1];
    json_t *json;

    hex_encode(check->head, sizeof(check->head), head);
    hex_encode(check->mark.log, sizeof(check->mark.log), log);
    json = json_pack("{s:b, s:I, s:I, s:I, s:I, s:s, s:b, s:s, s:I}", "ok",
                     check->bad_line == 0 && verdict->marks != MARKS_WRONG, "lines",
                     (json_int_t)check->lines_n, "files", (json_int_t)check->files_n, "seq",
                     (json_int_t)check->seq_last, "bad_line", (json_int_t)check->bad_line, "head",
                     head, "torn", check->torn, "marks", marks[verdict->marks], "not_covered",
                     (json_int_t)check->unmarked_n);
    if (check->marks_n > 0)
        (void)json_object_set_new(json, "log", json_string(log));
    if (check->bad_line != 0) {
        (void)json_object_set_new(json, "bad_file", json_string(check->bad_file));
        (void)json_object_set_new(json, "bad_reason", json_string(check->bad_reason));
    }
    if (verdict->marks == MARKS_RIGHT || verdict->marks == MARKS_WRONG)
        (void)json_object_set_new(json, "vouched", json_integer((json_int_t)verdict->vouched));
    if (verdict->marks == MARKS_WRONG)
        (void)json_object_set_new(json, "bad_mark", json_integer((json_int_t)verdict->wrong.seq));
    print_json(json, 2);
    json_decref(json);
}

static void print_marks(const struct verdict *verdict)
{
    const struct audit_check *check = &verdict->check;

    switch (verdict->marks) {
    case MARKS_NONE:
        printf("no mark: whoever can write the file could have written all of it\n");
        break;
    case MARKS_UNKNOWN:
        printf("%" PRIu64 " marks, none checked, which takes a node that is open (--addr): %s\n",
               check->marks_n, verdict->why);
        break;
    case MARKS_RIGHT:
        printf("%" PRIu64 " marks, the last of %s is right: it covers the lines to %" PRIu64 "\n",
               check->marks_n, check->mark.time, verdict->vouched);
        break;
    case MARKS_WRONG:
        break;
    }
    if (verdict->marks != MARKS_WRONG && check->marks_n > 0 && check->unmarked_n > 0)
        printf("not covered: the %" PRIu64 " lines from %" PRIu64 " on\n", check->unmarked_n,
               check->mark.seq + 1);
}

static void print_good(const char *path, const struct verdict *verdict)
{
    const struct audit_check *check = &verdict->check;
    char head[2 * AUDIT_HASH_BYTES + 1];

    hex_encode(check->head, sizeof(check->head), head);
    printf("%s: %" PRIu64 " lines in %u files, unbroken%s\nhead %s\n", path, check->lines_n,
           check->files_n,
           check->torn ? " (the last one is being written, or was cut by a crash)" : "", head);
    if (check->seq_first > 1)
        printf("the lines before %" PRIu64 " were deleted, as the settings say\n",
               check->seq_first);
    print_marks(verdict);
}

static enum cli_exit report(struct cli *cli, const char *path, const struct verdict *verdict)
{
    const struct audit_check *check = &verdict->check;

    if (cli->options.json)
        print_verdict_json(verdict);
    else if (check->bad_line == 0)
        print_good(path, verdict);
    if (check->bad_line != 0)
        return cli_fail(CLI_ERROR, "%s:%" PRIu64 ": %s", check->bad_file, check->bad_line,
                        check->bad_reason);
    if (verdict->marks == MARKS_WRONG)
        return cli_fail(CLI_ERROR,
                        "%s: the mark %" PRIu64 " was made by no member: the lines from %" PRIu64
                        " on are not what the node wrote",
                        path, verdict->wrong.seq, verdict->vouched + 1);
    return CLI_OK;
}

/* --- the verb -------------------------------------------------------------------------------- */

enum cli_exit cli_audit_verify(struct cli *cli)
{
    const char *data = cli->options.data != NULL ? cli->options.data : getenv("QUORUMKEEP_DATA");
    struct buf path = BUF_INIT(PATH_MAX);
    struct verdict verdict = {.marks = MARKS_NONE};
    enum cli_exit code = CLI_OK;

    if (cli->options.file != NULL)
        buf_put_str(&path, cli->options.file);
    else
        buf_printf(&path, "%s/audit.log", data == NULL ? "/var/lib/quorumkeep" : data);
    buf_put_u8(&path, 0);
    if (buf_error(&path) != QK_OK)
        code = cli_fail(CLI_USAGE, "the path is too long");
    else if (audit_verify((const char *)path.data, NULL, NULL, &verdict.check) != QK_OK)
        code = cli_fail(CLI_ERROR, "%s: cannot be read; --file FILE or --data DIR name another",
                        (const char *)path.data);
    else if (verdict.check.bad_line == 0 && verdict.check.marks_n > 0)
        check_marks(cli, (const char *)path.data, &verdict);
    if (code == CLI_OK)
        code = report(cli, (const char *)path.data, &verdict);
    buf_fini(&path);
    return code;
}
