/* doctor: looks for what is wrong and says what to do. Each finding is a line, "ok", "note" or
 * "FAIL"; the exit code is 1 if there is a FAIL, else 2 if the node is closed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/print.h"
#include "audit/audit_verify.h"

#define PATH_BYTES 1024
#define FREE_BYTES_MIN (1ULL << 30)

enum finding { FINDING_OK, FINDING_NOTE, FINDING_FAIL };

struct doctor {
    struct cli *cli;
    json_t *findings;
    unsigned fails_n;
    bool closed;
};

static void found(struct doctor *doctor, enum finding finding, const char *what, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));

static void found(struct doctor *doctor, enum finding finding, const char *what, const char *format,
                  ...)
{
    static const char *const words[] = {"ok", "note", "FAIL"};
    struct buf clean = BUF_INIT(8192);
    char text[2048];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    print_clean(&clean, text);
    doctor->fails_n += finding == FINDING_FAIL;
    if (doctor->cli->options.json)
        (void)json_array_append_new(doctor->findings,
                                    json_pack("{s:s, s:s, s:s%}", "result", words[finding], "what",
                                              what, "text", (const char *)clean.data, clean.len));
    else
        printf("%-5s %-12s %.*s\n", words[finding], what, (int)clean.len, (const char *)clean.data);
    buf_fini(&clean);
}

/* GET `target`; the status, or -1 with the reason as a finding. */
static int ask(struct doctor *doctor, const char *target, json_t **ret_json)
{
    struct buf message = BUF_INIT(8192);
    struct client_request request = {.method = "GET",
                                     .target = bytes_str(target),
                                     .authorization = buf_bytes(&doctor->cli->authorization)};
    struct client_reply reply;
    int status = -1;

    if (client_call(&doctor->cli->target, &request, &reply, &message) == QK_OK) {
        status = reply.status;
        *ret_json = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    } else {
        found(doctor, FINDING_FAIL, "node", "%.*s: is quorumkeepd running?", (int)message.len,
              (const char *)message.data);
    }
    client_reply_fini(&reply);
    buf_fini(&message);
    return status;
}

static const char *text_of(const json_t *json, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text == NULL ? otherwise : text;
}

static void look_at_up(struct doctor *doctor)
{
    json_t *up = NULL;
    int status = ask(doctor, "/_up", &up);
    const char *state = text_of(up, "status", "closed");

    if (status == 200) {
        found(doctor, FINDING_OK, "documents", "served");
    } else if (status > 0) {
        doctor->closed = true;
        found(doctor, strcmp(state, "uninitialised") == 0 ? FINDING_NOTE : FINDING_FAIL,
              "documents", "not served: %s: %s", state, text_of(up, "reason", "no reason given"));
    }
    json_decref(up);
}

static void look_at_health(struct doctor *doctor)
{
    json_t *health = NULL;
    int status = ask(doctor, "/v1/sys/health", &health);

    if (status > 0) {
        found(doctor, FINDING_OK, "node", "%s answers", doctor->cli->target.text);
        if (!json_is_true(json_object_get(health, "initialized")))
            found(
                doctor, FINDING_NOTE, "cluster",
                "this node is in none: 'quorumkeep init' makes one, 'quorumkeep node join' joins");
        look_at_up(doctor);
    }
    json_decref(health);
}

static void look_at_members(struct doctor *doctor)
{
    json_t *reply = NULL, *member, *live;
    const json_t *members;
    size_t i;
    int status = ask(doctor, "/_quorumkeep/nodes", &reply);

    members = json_object_get(reply, "members");
    if (status != 200 || !json_is_array(members)) {
        found(doctor, FINDING_NOTE, "members", "not told here (%s)",
              text_of(reply, "reason", "no reason given"));
    } else {
        if (json_array_size(members) == 2)
            found(doctor, FINDING_NOTE, "members",
                  "two nodes need each other: a third keeps writes going when one is away");
        json_array_foreach(members, i, member)
        {
            live = json_object_get(member, "live");
            if (live != NULL && !json_is_true(live))
                found(doctor, FINDING_FAIL, "members", "%s cannot be reached from here",
                      text_of(member, "name", "?"));
        }
        found(doctor, FINDING_OK, "members", "%zu known", json_array_size(members));
    }
    json_decref(reply);
}

static void look_at_backups(struct doctor *doctor)
{
    json_t *reply = NULL;
    int status = ask(doctor, "/_quorumkeep/status", &reply);
    const json_t *backup = json_object_get(reply, "backup");

    if (status != 200 || !json_is_object(backup))
        found(doctor, FINDING_NOTE, "backup", "not told here");
    else if (!json_is_true(json_object_get(backup, "scheduled")))
        found(doctor, FINDING_NOTE, "backup",
              "this node makes none by itself: [backup] directory, or 'quorumkeep backup save'");
    else if (json_is_true(json_object_get(backup, "failed")))
        found(doctor, FINDING_FAIL, "backup", "%s", text_of(backup, "reason", "the last failed"));
    else if (json_is_true(json_object_get(backup, "stale")))
        found(doctor, FINDING_FAIL, "backup", "the newest is older than twice the interval");
    else
        found(doctor, FINDING_OK, "backup", "made every %lld s",
              (long long)json_integer_value(json_object_get(backup, "every_s")));
    json_decref(reply);
}

static void look_at_recovery(struct doctor *doctor)
{
    json_t *reply = NULL;
    int status = ask(doctor, "/_quorumkeep/status", &reply);
    const json_t *recovery = json_object_get(reply, "recovery");

    if (status == 200 && json_is_null(recovery))
        found(doctor, FINDING_NOTE, "recovery",
              "no recovery shares: a node whose peers are lost for good stays closed for good; "
              "'quorumkeep recovery rotate' makes some");
    else if (status == 200 && json_is_object(recovery))
        found(doctor, FINDING_OK, "recovery",
              "any %lld of %lld shares open a node that is left alone; 'quorumkeep recovery "
              "verify' tries them",
              (long long)json_integer_value(json_object_get(recovery, "threshold")),
              (long long)json_integer_value(json_object_get(recovery, "shares")));
    json_decref(reply);
}

static void look_at_mode(struct doctor *doctor, const char *data, const char *name)
{
    char path[PATH_BYTES];
    struct stat entry;

    (void)snprintf(path, sizeof(path), "%s%s%s", data, *name == '\0' ? "" : "/", name);
    if (lstat(path, &entry) != 0)
        return;
    if ((entry.st_mode & 077) != 0)
        found(doctor, FINDING_FAIL, "files", "%s is open to others: chmod go= '%s'", path, path);
    else
        found(doctor, FINDING_OK, "files", "%s is its owner's alone", path);
}

static void look_at_disk(struct doctor *doctor, const char *data)
{
    struct statvfs disk;
    unsigned long long free_bytes;

    if (statvfs(data, &disk) != 0)
        return;
    free_bytes = (unsigned long long)disk.f_bavail * disk.f_frsize;
    found(doctor, free_bytes < FREE_BYTES_MIN ? FINDING_FAIL : FINDING_OK, "disk",
          "%llu MiB free under %s%s", free_bytes >> 20, data,
          free_bytes < FREE_BYTES_MIN ? ": writes stop when it is full" : "");
}

static void look_at_audit(struct doctor *doctor, const char *data)
{
    char path[PATH_BYTES + 16];
    struct audit_check check;

    (void)snprintf(path, sizeof(path), "%s/audit.log", data);
    if (access(path, F_OK) != 0)
        return;
    if (audit_verify(path, NULL, NULL, &check) != QK_OK)
        found(doctor, FINDING_NOTE, "audit", "%s cannot be read by this user", path);
    else if (check.bad_line != 0)
        found(doctor, FINDING_FAIL, "audit", "%s:%llu: %s", check.bad_file,
              (unsigned long long)check.bad_line, check.bad_reason);
    else
        found(doctor, FINDING_OK, "audit", "%llu lines, unbroken",
              (unsigned long long)check.lines_n);
}

static void look_at_directory(struct doctor *doctor)
{
    const char *data =
        doctor->cli->options.data != NULL ? doctor->cli->options.data : getenv("QUORUMKEEP_DATA");
    char path[PATH_BYTES];

    if (data == NULL && doctor->cli->target.local) {
        (void)snprintf(path, sizeof(path), "%s", doctor->cli->target.path);
        if (strrchr(path, '/') != NULL)
            *strrchr(path, '/') = '\0';
        data = path;
    }
    if (data == NULL || access(data, X_OK) != 0) {
        found(doctor, FINDING_NOTE, "files", "no data directory to look at: --data DIR names one");
        return;
    }
    look_at_mode(doctor, data, "");
    look_at_mode(doctor, data, "node.sec");
    look_at_mode(doctor, data, "audit.log");
    look_at_mode(doctor, data, "control.sock");
    look_at_disk(doctor, data);
    look_at_audit(doctor, data);
}

static void look_at_clock(struct doctor *doctor)
{
    struct timex clock = {0};
    int state = adjtimex(&clock);

    if (state == TIME_ERROR || (clock.status & STA_UNSYNC) != 0)
        found(doctor, FINDING_NOTE, "clock",
              "not synchronised: tokens expire and logs are dated by it (nothing else is)");
    else if (state >= 0)
        found(doctor, FINDING_OK, "clock", "synchronised");
}

enum cli_exit cli_doctor(struct cli *cli)
{
    struct doctor doctor = {.cli = cli, .findings = json_array()};
    enum cli_exit code = cli_connect(cli);

    if (code == CLI_OK) {
        look_at_health(&doctor);
        if (doctor.fails_n == 0 && !doctor.closed)
            look_at_members(&doctor);
        look_at_backups(&doctor);
        look_at_recovery(&doctor);
        look_at_directory(&doctor);
        look_at_clock(&doctor);
        if (cli->options.json)
            print_json(doctor.findings, 2);
        code = doctor.closed ? CLI_SEALED : doctor.fails_n > 0 ? CLI_ERROR : CLI_OK;
    }
    json_decref(doctor.findings);
    return code;
}
