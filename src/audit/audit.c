/* Appending is one write(2) of a whole line to a descriptor opened O_APPEND. If it comes up short
 * (a full disk), the file is cut back to where it was, so that a complete line is either there or
 * not; only a crash within the write leaves a torn one, which the next start cuts off. */
#include "audit/audit.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "audit/audit_line.h"
#include "audit/audit_private.h"

static void format_now(char ret_text[AUDIT_TIME_BYTES])
{
    struct timespec now;
    struct tm utc;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(ret_text, AUDIT_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    ret_text[len] = '.';
    ret_text[len + 1] = (char)('0' + now.tv_nsec / 100000000);
    ret_text[len + 2] = (char)('0' + now.tv_nsec / 10000000 % 10);
    ret_text[len + 3] = (char)('0' + now.tv_nsec / 1000000 % 10);
    ret_text[len + 4] = 'Z';
    ret_text[len + 5] = '\0';
}

enum qk_err audit_err_of_errno(int code)
{
    return code == ENOSPC || code == EDQUOT ? QK_ERR_FULL : QK_ERR_IO;
}

static enum qk_err write_line(struct audit *audit, struct bytes line)
{
    ssize_t put;

    do {
        put = write(audit->fd, line.data, line.len);
    } while (put < 0 && errno == EINTR);
    if (put == (ssize_t)line.len) {
        audit->size += line.len;
        audit->dirty = true;
        return QK_OK;
    }
    if (put >= 0) {
        /* Cut the half line back. If even that fails, the next start does. */
        if (ftruncate(audit->fd, (off_t)audit->size) != 0)
            return QK_ERR_IO;
        return QK_ERR_FULL;
    }
    return audit_err_of_errno(errno);
}

/* A rename waits until the file before is on the disk: only then is its descriptor free. */
static void rotate_if_due(struct audit *audit)
{
    if (audit->settings.file_bytes_max == 0 || audit->size < audit->settings.file_bytes_max ||
        audit->fd_before >= 0 || audit->dropping)
        return;
    if (audit_rotate(audit) == QK_OK) {
        audit_drop_old(audit);
        return;
    }
    if (!audit->stuck)
        log_error("audit", "%s: it is full and could not be renamed: lines go on into it",
                  audit->path);
    audit->stuck = true;
}

static enum qk_err append(struct audit *audit, const char *event, const struct audit_field *fields,
                          unsigned fields_n, const char *when)
{
    struct buf line = BUF_INIT(AUDIT_LINE_BYTES_MAX);
    uint8_t hash[AUDIT_HASH_BYTES];
    enum qk_err err;

    err = audit_line_build(audit->seq + 1, when, event, fields, fields_n, audit->head, &line, hash);
    if (err == QK_OK)
        err = write_line(audit, buf_bytes(&line));
    if (err == QK_OK) {
        audit->seq++;
        audit->unmarked_n++;
        memcpy(audit->head, hash, sizeof(hash));
        if (strcmp(event, "mark") == 0)
            audit->unmarked_n = 0;
        err = audit_sinks_write(&audit->sinks, buf_bytes(&line), !audit->failing);
    }
    buf_fini(&line);
    return err;
}

static void mark_if_due(struct audit *audit)
{
    if (audit->full == NULL || audit->in_full || audit->unmarked_n < AUDIT_MARK_LINES)
        return;
    audit->in_full = true;
    audit->full(audit->full_arg);
    audit->in_full = false;
}

static void note(struct audit *audit, const char *event, enum qk_err err)
{
    if (err != QK_OK && !audit->failing)
        log_error("audit", "%s: event '%s' could not be written everywhere: %s%s", audit->path,
                  event, qk_err_text(err),
                  audit->settings.go_on ? "" : ": what must be recorded is refused");
    audit->lost_n += err != QK_OK;
    audit->failing = err != QK_OK;
}

/* It goes on, by this line or by one that was taken just now. */
static void tell_lost(struct audit *audit)
{
    uint64_t lost_n = audit->lost_n;
    char text[24];

    if (lost_n == audit->lost_told_n || audit->telling)
        return;
    (void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(lost_n - audit->lost_told_n));
    audit->telling = true;
    if (audit_append(audit, "audit_goes_on", &(struct audit_field){"lost", bytes_str(text)}, 1) ==
        QK_OK) {
        audit->lost_told_n = lost_n;
        log_info("audit", "%s: it can be written again", audit->path);
    } else {
        audit->lost_n = lost_n; /* this one would have told nothing else */
    }
    audit->telling = false;
}

enum qk_err audit_append(struct audit *audit, const char *event, const struct audit_field *fields,
                         unsigned fields_n)
{
    char when[AUDIT_TIME_BYTES];
    enum qk_err err;

    assert(audit != NULL);
    assert(fields_n <= AUDIT_FIELDS_MAX);

    rotate_if_due(audit);
    format_now(when);
    err = append(audit, event, fields, fields_n, when);
    note(audit, event, err);
    if (err == QK_OK)
        tell_lost(audit);
    if (err == QK_OK)
        mark_if_due(audit);
    return err;
}

static enum qk_err append_texts(struct audit *audit, const char *event, va_list args)
{
    struct audit_field fields[AUDIT_FIELDS_MAX];
    unsigned fields_n = 0;

    for (;;) {
        const char *name = va_arg(args, const char *);
        const char *value;

        if (name == NULL)
            break;
        value = va_arg(args, const char *);
        assert(fields_n < AUDIT_FIELDS_MAX);
        if (value != NULL)
            fields[fields_n++] = (struct audit_field){name, bytes_str(value)};
    }
    return audit_append(audit, event, fields, fields_n);
}

void audit_event(struct audit *audit, const char *event, ...)
{
    va_list args;

    va_start(args, event);
    (void)append_texts(audit, event, args);
    va_end(args);
}

enum qk_err audit_record(struct audit *audit, const char *event, ...)
{
    enum qk_err err;
    va_list args;

    va_start(args, event);
    err = append_texts(audit, event, args);
    va_end(args);
    return err == QK_OK || audit->settings.go_on ? QK_OK : QK_ERR_UNRECORDED;
}

bool audit_is_failing(const struct audit *audit)
{
    return audit->failing;
}

bool audit_is_stopping(const struct audit *audit)
{
    return audit->failing && !audit->settings.go_on;
}

/* The other places first: a line into the file each second, while one of them is gone, would fill
 * it with nothing. */
void audit_retry(struct audit *audit)
{
    if (!audit->failing)
        return;
    if (audit_sinks_write(&audit->sinks, bytes_str("audit log: trying again\n"), false) == QK_OK)
        tell_lost(audit);
}

void audit_figures(const struct audit *audit, struct audit_figures *ret_figures)
{
    *ret_figures = (struct audit_figures){.seq = audit->seq,
                                          .unmarked_n = audit->unmarked_n,
                                          .lost_n = audit->lost_n,
                                          .file_bytes = audit->size,
                                          .failing = audit->failing,
                                          .stopping = audit_is_stopping(audit)};
}

const char *audit_file(const struct audit *audit)
{
    return audit->path;
}

void audit_on_unmarked(struct audit *audit, void (*full)(void *arg), void *arg)
{
    audit->full = full;
    audit->full_arg = arg;
}

uint64_t audit_head(const struct audit *audit, uint8_t ret_head[static AUDIT_HASH_BYTES])
{
    memcpy(ret_head, audit->head, sizeof(audit->head));
    return audit->seq;
}

/* --- to the disk ----------------------------------------------------------------------------- */

bool audit_sync_begin(struct audit *audit, struct audit_sync_job *ret_job)
{
    *ret_job = (struct audit_sync_job){.fds_n = 0};
    if (audit->syncing || !audit->dirty)
        return false;
    if (audit->fd_before >= 0) {
        ret_job->before = true;
        ret_job->fds[ret_job->fds_n++] = audit->fd_before;
    }
    if (audit->renamed)
        ret_job->fds[ret_job->fds_n++] = audit->fd_folder;
    ret_job->fds[ret_job->fds_n++] = audit->fd;
    audit->renamed = audit->dirty = false;
    audit->syncing = true;
    return true;
}

enum qk_err audit_sync_run(const struct audit_sync_job *job)
{
    for (unsigned i = 0; i < job->fds_n; i++)
        if (fdatasync(job->fds[i]) != 0)
            return audit_err_of_errno(errno);
    return QK_OK;
}

void audit_sync_end(struct audit *audit, const struct audit_sync_job *job, enum qk_err err)
{
    audit->syncing = false;
    if (err != QK_OK) {
        audit->dirty = true;
        audit->renamed = audit->renamed || job->fds_n > 1;
        return;
    }
    if (job->before && audit->fd_before == job->fds[0]) {
        close(audit->fd_before);
        audit->fd_before = -1;
    }
}

enum qk_err audit_sync(struct audit *audit)
{
    struct audit_sync_job job;
    enum qk_err err;

    assert(audit != NULL);

    if (!audit_sync_begin(audit, &job))
        return QK_OK;
    err = audit_sync_run(&job);
    audit_sync_end(audit, &job, err);
    return err;
}
