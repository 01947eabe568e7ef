/* Appending is one write(2) of a whole line to a descriptor opened O_APPEND. If it comes up short
 * (a full disk), the file is cut back to where it was, so that a complete line is either there or
 * not; only a crash within the write leaves a torn one, which the next start cuts off. */
#include "service/audit.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "service/audit_line.h"

#define TAIL_BYTES_MAX (4 * MIB)

struct audit {
    int fd;
    uint64_t size; /* of the good file */
    uint64_t seq;  /* of the last line */
    uint8_t head[AUDIT_HASH_BYTES];
    bool dirty;      /* appended to since the last sync */
    bool complained; /* a failure was logged and not yet followed by a success */
    char path[];
};

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

static enum qk_err err_of_errno(int code)
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
    return err_of_errno(errno);
}

enum qk_err audit_append(struct audit *audit, const char *event, const struct audit_field *fields,
                         unsigned fields_n)
{
    struct buf line = BUF_INIT(AUDIT_LINE_BYTES_MAX);
    uint8_t hash[AUDIT_HASH_BYTES];
    char when[AUDIT_TIME_BYTES];
    enum qk_err err;

    assert(audit != NULL);
    assert(fields_n <= AUDIT_FIELDS_MAX);

    format_now(when);
    err = audit_line_build(audit->seq + 1, when, event, fields, fields_n, audit->head, &line, hash);
    if (err == QK_OK)
        err = write_line(audit, buf_bytes(&line));
    if (err == QK_OK) {
        audit->seq++;
        memcpy(audit->head, hash, sizeof(hash));
    }
    buf_fini(&line);
    return err;
}

void audit_event(struct audit *audit, const char *event, ...)
{
    struct audit_field fields[AUDIT_FIELDS_MAX];
    unsigned fields_n = 0;
    enum qk_err err;
    va_list args;

    va_start(args, event);
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
    va_end(args);
    err = audit_append(audit, event, fields, fields_n);
    if (err != QK_OK && !audit->complained)
        log_error("audit", "%s: event '%s' could not be written: %s", audit->path, event,
                  qk_err_text(err));
    audit->complained = err != QK_OK;
}

enum qk_err audit_sync(struct audit *audit)
{
    assert(audit != NULL);

    if (!audit->dirty)
        return QK_OK;
    if (fdatasync(audit->fd) != 0)
        return err_of_errno(errno);
    audit->dirty = false;
    return QK_OK;
}

int audit_fd(const struct audit *audit)
{
    return audit->fd;
}

static enum qk_err read_at(int fd, uint64_t at, uint8_t *out, size_t len)
{
    while (len > 0) {
        ssize_t got = pread(fd, out, len, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return QK_ERR_IO;
        out += got;
        at += (uint64_t)got;
        len -= (size_t)got;
    }
    return QK_OK;
}

/* The last part of the file, at most two lines' worth: a torn one and the one before it. */
static enum qk_err read_end(int fd, uint64_t size, struct buf *out)
{
    uint64_t len = size < 2 * AUDIT_LINE_BYTES_MAX ? size : 2 * AUDIT_LINE_BYTES_MAX;
    uint8_t *room = buf_extend(out, (size_t)len);

    if (room == NULL && len > 0)
        return buf_error(out);
    return len == 0 ? QK_OK : read_at(fd, size - len, room, (size_t)len);
}

/* Finds the last complete line and takes its sequence and hash; `ret_torn` bytes follow it. */
static enum qk_err find_head(struct audit *audit, struct bytes end, uint64_t *ret_torn)
{
    const uint8_t *newline, *before;
    struct audit_line line;
    size_t start, len;
    enum qk_err err;

    newline = end.len == 0 ? NULL : memrchr(end.data, '\n', end.len);
    if (newline == NULL) {
        *ret_torn = end.len;
        return end.len == audit->size && end.len <= AUDIT_LINE_BYTES_MAX ? QK_OK : QK_ERR_CORRUPT;
    }
    len = (size_t)(newline - end.data);
    before = len == 0 ? NULL : memrchr(end.data, '\n', len);
    start = before == NULL ? 0 : (size_t)(before - end.data) + 1;
    err = audit_line_parse(bytes_slice(end, start, len - start), &line);
    if (err != QK_OK)
        return QK_ERR_CORRUPT;
    audit->seq = line.seq;
    memcpy(audit->head, line.hash, sizeof(audit->head));
    *ret_torn = end.len - len - 1;
    return QK_OK;
}

/* Cuts a torn line off and says so in the log itself. */
static enum qk_err recover(struct audit *audit, uint64_t torn)
{
    char count[24];
    struct buf text = BUF_INIT(sizeof(count));
    enum qk_err err;

    audit->size -= torn;
    if (ftruncate(audit->fd, (off_t)audit->size) != 0)
        return err_of_errno(errno);
    buf_printf(&text, "%llu", (unsigned long long)torn);
    err = audit_append(audit, "audit_recovered",
                       &(struct audit_field){"cut_bytes", buf_bytes(&text)}, 1);
    buf_fini(&text);
    return err == QK_OK ? audit_sync(audit) : err;
}

static enum qk_err take_up(struct audit *audit)
{
    struct buf end = BUF_INIT(2 * AUDIT_LINE_BYTES_MAX);
    uint64_t torn = 0;
    struct stat stat;
    enum qk_err err = QK_ERR_IO;

    if (fstat(audit->fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        goto out;
    audit->size = (uint64_t)stat.st_size;
    err = read_end(audit->fd, audit->size, &end);
    if (err == QK_OK)
        err = find_head(audit, buf_bytes(&end), &torn);
    if (err == QK_OK && torn > 0)
        err = recover(audit, torn);

out:
    buf_fini(&end);
    return err;
}

enum qk_err audit_open(const char *path, struct audit **ret_audit)
{
    size_t len = strlen(path);
    struct audit *audit = calloc(1, sizeof(*audit) + len + 1);
    enum qk_err err;

    if (audit == NULL)
        return QK_ERR_NOMEM;
    memcpy(audit->path, path, len + 1);
    audit->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    err = audit->fd < 0 ? err_of_errno(errno) : take_up(audit);
    if (err == QK_OK) {
        *ret_audit = audit;
        return QK_OK;
    }
    audit_close(audit);
    return err;
}

void audit_close(struct audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->fd >= 0) {
        if (audit_sync(audit) != QK_OK)
            log_error("audit", "%s: the last events may not be on the disk", audit->path);
        close(audit->fd);
    }
    free(audit);
}

/* The sequence of the line that stands at `line`; 0 if it is none. */
static uint64_t line_seq(struct bytes line)
{
    struct audit_line parsed;

    return audit_line_parse(line, &parsed) == QK_OK ? parsed.seq : 0;
}

enum qk_err audit_tail(struct audit *audit, uint64_t since, unsigned limit, struct buf *out)
{
    struct buf end = BUF_INIT(TAIL_BYTES_MAX);
    uint64_t room = out->max - out->len, len = audit->size;
    struct bytes text;
    size_t start;
    enum qk_err err = QK_OK;

    if (len > room)
        len = room;
    if (len > end.max)
        len = end.max;
    if (len > 0) {
        uint8_t *data = buf_extend(&end, (size_t)len);

        err = data == NULL ? buf_error(&end)
                           : read_at(audit->fd, audit->size - len, data, (size_t)len);
    }
    text = buf_bytes(&end);
    start = text.len;
    /* Back line by line; the first line of the window may be cut and is taken only if whole. */
    while (err == QK_OK && start > 0 && limit > 0) {
        const uint8_t *before = start < 2 ? NULL : memrchr(text.data, '\n', start - 1);
        size_t at = before == NULL ? 0 : (size_t)(before - text.data) + 1;
        uint64_t seq = line_seq(bytes_slice(text, at, start - 1 - at));

        if (seq <= since)
            break;
        start = at;
        limit--;
    }
    if (err == QK_OK) {
        buf_put_bytes(out, bytes_slice(text, start, SIZE_MAX));
        err = buf_error(out);
    }
    buf_fini(&end);
    return err;
}
