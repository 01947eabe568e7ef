#include "service/backup/new_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"

#define COPY_BYTES (256 * KIB)

static enum qk_err say(struct buf *message, enum qk_err err, const char *path)
{
    buf_printf(message, "'%s': %s", path, strerror(errno));
    return err;
}

/* --- removing -------------------------------------------------------------------------------- */

/* The files of one directory; it holds directories one level deep at most. */
static enum qk_err files_remove(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    enum qk_err err = QK_OK;

    if (dir == NULL)
        return errno == ENOENT ? QK_OK : QK_ERR_IO;
    while (err == QK_OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) != 0 && errno != ENOENT && errno != EISDIR)
            err = QK_ERR_IO;
    }
    closedir(dir);
    return err;
}

enum qk_err new_dir_remove(const char *path)
{
    struct dirent *entry;
    DIR *dir;
    enum qk_err err = QK_OK;

    if (unlink(path) == 0 || errno == ENOENT)
        return QK_OK;
    dir = opendir(path);
    if (dir == NULL)
        return QK_ERR_IO;
    while (err == QK_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR || strcmp(entry->d_name, ".") == 0 ||
            strcmp(entry->d_name, "..") == 0)
            continue;
        err = files_remove(dirfd(dir), entry->d_name);
        if (err == QK_OK && unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) != 0)
            err = QK_ERR_IO;
    }
    if (err == QK_OK)
        err = files_remove(AT_FDCWD, path);
    closedir(dir);
    if (err == QK_OK && rmdir(path) != 0)
        err = QK_ERR_IO;
    return err;
}

/* --- beginning and end ----------------------------------------------------------------------- */

/* 1 empty or not there, 0 something is there, -1 an error. */
static int is_blank(const char *path)
{
    struct dirent *entry;
    DIR *dir = opendir(path);
    int blank = 1;

    if (dir == NULL)
        return errno == ENOENT ? 1 : errno == ENOTDIR ? 0 : -1;
    while (blank == 1 && (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            blank = 0;
    closedir(dir);
    return blank;
}

static enum qk_err check_target(const struct new_dir *dir, struct buf *message)
{
    int blank = is_blank(dir->target);

    if (blank == 1)
        return QK_OK;
    if (blank < 0)
        return say(message, QK_ERR_IO, dir->target);
    buf_printf(message, "'%s' is not empty: a new cluster is made in an empty directory only",
               dir->target);
    return QK_ERR_CONFLICT;
}

/* The lock lies beside the directory, so that it outlives what is removed. */
static enum qk_err lock_take(struct new_dir *dir, struct buf *message)
{
    char path[sizeof dir->path + 8];
    struct stat mine, named;

    (void)snprintf(path, sizeof path, "%s.lock", dir->path);
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (dir->lock_fd < 0)
        return say(message, QK_ERR_IO, path);
    /* Whoever had it may have removed the file before we had it. */
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) == 0 && fstat(dir->lock_fd, &mine) == 0 &&
        stat(path, &named) == 0 && mine.st_ino == named.st_ino)
        return QK_OK;
    close(dir->lock_fd);
    dir->lock_fd = -1;
    buf_printf(message, "'%s' is being made by another process", dir->target);
    return QK_ERR_BUSY;
}

static void lock_leave(struct new_dir *dir)
{
    char path[sizeof dir->path + 8];

    if (dir->lock_fd < 0)
        return;
    (void)snprintf(path, sizeof path, "%s.lock", dir->path);
    (void)unlink(path);
    close(dir->lock_fd);
    dir->lock_fd = -1;
}

enum qk_err new_dir_begin(const char *target, struct new_dir *ret_dir, struct buf *message)
{
    struct new_dir dir = {.lock_fd = -1};
    size_t len = strlen(target);
    enum qk_err err;

    while (len > 1 && target[len - 1] == '/')
        len--;
    if (len == 0 || len >= sizeof dir.target) {
        buf_put_str(message, "the path of the new directory is too long, or empty");
        return QK_ERR_TOO_BIG;
    }
    memcpy(dir.target, target, len);
    (void)snprintf(dir.path, sizeof dir.path, "%s.new", dir.target);
    err = check_target(&dir, message);
    if (err == QK_OK)
        err = lock_take(&dir, message);
    if (err != QK_OK)
        return err;
    if (new_dir_remove(dir.path) != QK_OK || mkdir(dir.path, 0700) != 0) {
        err = say(message, QK_ERR_IO, dir.path);
        lock_leave(&dir);
        return err;
    }
    *ret_dir = dir;
    return QK_OK;
}

static int sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return rc;
}

/* All files of a directory, then it. */
static int sync_all(const char *path)
{
    char name[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(path);
    int rc = dir == NULL ? -1 : 0;

    while (rc == 0 && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_REG)
            continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        rc = sync_path(name);
    }
    if (dir != NULL)
        closedir(dir);
    return rc == 0 ? sync_path(path) : rc;
}

enum qk_err new_dir_finish(struct new_dir *dir, struct buf *message)
{
    char name[PATH_MAX], parent[sizeof dir->target];
    char *slash;

    (void)snprintf(name, sizeof name, "%s/raft", dir->path);
    if (sync_all(name) != 0 || sync_all(dir->path) != 0)
        return say(message, QK_ERR_IO, dir->path);
    /* Fails unless the target is still absent or empty. */
    if (rename(dir->path, dir->target) != 0)
        return say(message, QK_ERR_IO, dir->target);
    memcpy(parent, dir->target, sizeof parent);
    slash = strrchr(parent, '/');
    if (slash == parent)
        slash[1] = '\0';
    else if (slash != NULL)
        *slash = '\0';
    if (sync_path(slash == NULL ? "." : parent) != 0)
        return say(message, QK_ERR_IO, parent);
    lock_leave(dir);
    return QK_OK;
}

void new_dir_drop(struct new_dir *dir)
{
    if (dir->lock_fd < 0)
        return;
    if (new_dir_remove(dir->path) != QK_OK)
        log_warn("restore", "'%s' could not be removed: it is of no use", dir->path);
    lock_leave(dir);
}

/* --- copying --------------------------------------------------------------------------------- */

static int write_all(int fd, const uint8_t *data, size_t len, off_t at)
{
    while (len > 0) {
        ssize_t put = pwrite(fd, data, len, at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return -1;
        data += put;
        len -= (size_t)put;
        at += put;
    }
    return 0;
}

/* From one hole to the next. */
static int copy_data(int from, int to, uint8_t *piece, off_t size)
{
    off_t at = 0;

    while (at < size) {
        off_t begin = lseek(from, at, SEEK_DATA);
        off_t end = begin < 0 ? -1 : lseek(from, begin, SEEK_HOLE);

        if (begin < 0)
            return errno == ENXIO ? 0 : -1;
        for (at = begin; at < end;) {
            size_t len = end - at > (off_t)COPY_BYTES ? COPY_BYTES : (size_t)(end - at);
            ssize_t got = pread(from, piece, len, at);

            if (got <= 0 || write_all(to, piece, (size_t)got, at) != 0)
                return -1;
            at += got;
        }
    }
    return 0;
}

enum qk_err new_dir_copy(const char *from, const char *to, struct buf *message)
{
    int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
    uint8_t *piece = malloc(COPY_BYTES);
    enum qk_err err = piece == NULL ? QK_ERR_NOMEM : QK_OK;
    struct stat facts;

    if (err == QK_OK && in < 0)
        err = say(message, errno == ENOENT ? QK_ERR_NOT_FOUND : QK_ERR_IO, from);
    if (err == QK_OK) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0 || fstat(in, &facts) != 0 || ftruncate(out, facts.st_size) != 0 ||
            copy_data(in, out, piece, facts.st_size) != 0)
            err = say(message, QK_ERR_IO, to);
    }
    free(piece);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return err;
}

enum qk_err new_dir_copy_all(const char *from, const char *to, const char *except,
                             struct buf *message)
{
    char source[PATH_MAX], target[PATH_MAX];
    struct dirent *entry;
    DIR *dir = opendir(from);
    enum qk_err err = QK_OK;

    if (dir == NULL)
        return say(message, errno == ENOENT ? QK_ERR_NOT_FOUND : QK_ERR_IO, from);
    if (mkdir(to, 0700) != 0)
        err = say(message, QK_ERR_IO, to);
    while (err == QK_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_REG || strcmp(entry->d_name, except) == 0)
            continue;
        (void)snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        (void)snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        err = new_dir_copy(source, target, message);
    }
    closedir(dir);
    return err;
}
