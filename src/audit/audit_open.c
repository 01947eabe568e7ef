#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "audit/audit_files.h"
#include "audit/audit_line.h"
#include "audit/audit_private.h"

/* The last part of a file, at most two lines' worth: a torn one and the one before it. */
static enum qk_err read_end(int fd, uint64_t size, struct buf *out)
{
    uint64_t len = size < 2 * AUDIT_LINE_BYTES_MAX ? size : 2 * AUDIT_LINE_BYTES_MAX;
    uint8_t *room = buf_extend(out, (size_t)len);

    if (room == NULL && len > 0)
        return buf_error(out);
    return len == 0 ? QK_OK : audit_read_at(fd, size - len, room, (size_t)len);
}

static void take_line(struct audit *audit, struct bytes text, const struct audit_line *line)
{
    struct bytes event = BYTES_NONE;

    audit->seq = line->seq;
    memcpy(audit->head, line->hash, sizeof(audit->head));
    (void)audit_line_field(text, "event", &event);
    audit->unmarked_n = bytes_equal(event, bytes_str("mark")) ? 0 : 1;
}

/* Finds the last complete line and takes its sequence and hash; `ret_torn` bytes follow it. A file
 * of `size` without any leaves them as they are. */
static enum qk_err find_head(struct audit *audit, struct bytes end, uint64_t size,
                             uint64_t *ret_torn)
{
    const uint8_t *newline, *before;
    struct audit_line line;
    struct bytes text;
    size_t start, len;

    newline = end.len == 0 ? NULL : memrchr(end.data, '\n', end.len);
    if (newline == NULL) {
        *ret_torn = end.len;
        return end.len == size && end.len <= AUDIT_LINE_BYTES_MAX ? QK_OK : QK_ERR_CORRUPT;
    }
    len = (size_t)(newline - end.data);
    before = len == 0 ? NULL : memrchr(end.data, '\n', len);
    start = before == NULL ? 0 : (size_t)(before - end.data) + 1;
    text = bytes_slice(end, start, len - start);
    if (audit_line_parse(text, &line) != QK_OK)
        return QK_ERR_CORRUPT;
    take_line(audit, text, &line);
    *ret_torn = end.len - len - 1;
    return QK_OK;
}

/* `ret_size` and `ret_torn`: of the file. */
static enum qk_err take_up(struct audit *audit, int fd, uint64_t *ret_size, uint64_t *ret_torn)
{
    struct buf end = BUF_INIT(2 * AUDIT_LINE_BYTES_MAX);
    enum qk_err err = QK_ERR_IO;
    struct stat stat;

    if (fstat(fd, &stat) != 0 || !S_ISREG(stat.st_mode))
        goto out;
    *ret_size = (uint64_t)stat.st_size;
    err = read_end(fd, *ret_size, &end);
    if (err == QK_OK)
        err = find_head(audit, buf_bytes(&end), *ret_size, ret_torn);

out:
    buf_fini(&end);
    return err;
}

/* The head that the newest of the renamed files ends in: what the present one goes on from, if it
 * has no line yet. A renamed file has no torn line: it was cut before. */
static enum qk_err take_up_before(struct audit *audit)
{
    uint64_t size, torn = 0;
    struct audit_files files;
    char name[PATH_MAX];
    enum qk_err err = audit_files_list(audit->path, &files);
    int fd = -1;

    if (err == QK_OK && files.n > 0) {
        err = audit_files_name(audit->path, files.last[files.n - 1], name);
        if (err == QK_OK)
            fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (err == QK_OK)
            err = fd < 0 ? QK_ERR_IO : take_up(audit, fd, &size, &torn);
        if (err == QK_OK && torn > 0)
            err = QK_ERR_CORRUPT;
    }
    if (fd >= 0)
        close(fd);
    audit_files_fini(&files);
    return err;
}

/* Cuts a torn line off and says so in the log itself. */
static enum qk_err recover(struct audit *audit, uint64_t torn)
{
    struct buf text = BUF_INIT(24);
    enum qk_err err;

    audit->size -= torn;
    if (ftruncate(audit->fd, (off_t)audit->size) != 0)
        return audit_err_of_errno(errno);
    buf_printf(&text, "%llu", (unsigned long long)torn);
    err = audit_append(audit, "audit_recovered",
                       &(struct audit_field){"cut_bytes", buf_bytes(&text)}, 1);
    buf_fini(&text);
    return err == QK_OK ? audit_sync(audit) : err;
}

static enum qk_err open_files(struct audit *audit)
{
    const char *slash = strrchr(audit->path, '/');
    char *folder =
        slash == NULL ? strdup(".") : strndup(audit->path, (size_t)(slash - audit->path) + 1);
    uint64_t torn = 0;
    enum qk_err err;

    if (folder == NULL)
        return QK_ERR_NOMEM;
    audit->fd_folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    audit->fd = open(audit->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (audit->fd < 0 || audit->fd_folder < 0)
        return audit_err_of_errno(errno);
    err = take_up_before(audit);
    if (err == QK_OK)
        err = take_up(audit, audit->fd, &audit->size, &torn);
    if (err == QK_OK && torn > 0)
        err = recover(audit, torn);
    return err;
}

enum qk_err audit_open_as(const char *path, const struct audit_settings *settings,
                          struct audit **ret_audit)
{
    static const struct audit_settings usual = {.file_bytes_max = AUDIT_FILE_BYTES_DEFAULT};
    size_t len = strlen(path);
    struct audit *audit = calloc(1, sizeof(*audit) + len + 1);
    enum qk_err err;

    if (audit == NULL)
        return QK_ERR_NOMEM;
    memcpy(audit->path, path, len + 1);
    audit->fd = audit->fd_before = audit->fd_folder = -1;
    audit->settings = settings == NULL ? usual : *settings;
    err = audit_sinks_init(&audit->sinks, &audit->settings);
    if (err == QK_OK)
        err = open_files(audit);
    if (err == QK_OK) {
        *ret_audit = audit;
        return QK_OK;
    }
    audit_close(audit);
    return err;
}

enum qk_err audit_open(const char *path, struct audit **ret_audit)
{
    return audit_open_as(path, NULL, ret_audit);
}

void audit_close(struct audit *audit)
{
    if (audit == NULL)
        return;
    if (audit->fd >= 0 && audit_sync(audit) != QK_OK)
        log_error("audit", "%s: the last events may not be on the disk", audit->path);
    if (audit->fd >= 0)
        close(audit->fd);
    if (audit->fd_before >= 0)
        close(audit->fd_before);
    if (audit->fd_folder >= 0)
        close(audit->fd_folder);
    audit_sinks_fini(&audit->sinks);
    free(audit);
}
