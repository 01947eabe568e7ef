#include "service/backup/backup_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".qkbackup"
#define TIME_CHARS 16 /* 20260102T030405Z */

void backup_file_name(const char *node, uint64_t time_s, uint64_t index,
                      char ret_name[static BACKUP_FILE_NAME_BYTES])
{
    time_t when = (time_t)time_s;
    struct tm parts;
    char text[TIME_CHARS + 1] = "";

    if (gmtime_r(&when, &parts) != NULL)
        (void)strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
    (void)snprintf(ret_name, BACKUP_FILE_NAME_BYTES, "%s-%s-%" PRIu64 SUFFIX, node, text, index);
}

static bool number(const char *text, size_t len, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (len == 0 || len > 19)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    *ret_value = value;
    return true;
}

static bool time_parse(const char *text, uint64_t *ret_time_s)
{
    uint64_t day, second;
    struct tm parts = {0};
    time_t when;

    if (text[8] != 'T' || text[15] != 'Z' || !number(text, 8, &day) ||
        !number(text + 9, 6, &second))
        return false;
    parts.tm_year = (int)(day / 10000) - 1900;
    parts.tm_mon = (int)(day / 100 % 100) - 1;
    parts.tm_mday = (int)(day % 100);
    parts.tm_hour = (int)(second / 10000);
    parts.tm_min = (int)(second / 100 % 100);
    parts.tm_sec = (int)(second % 100);
    when = timegm(&parts);
    *ret_time_s = when > 0 ? (uint64_t)when : 0;
    return when > 0;
}

bool backup_file_parse(const char *node, const char *name, uint64_t *ret_time_s,
                       uint64_t *ret_index)
{
    size_t node_len = strlen(node), len = strlen(name), suffix = strlen(SUFFIX);
    const char *at = name + node_len + 1;

    if (len < node_len + 1 + TIME_CHARS + 1 + 1 + suffix || len >= BACKUP_FILE_NAME_BYTES ||
        strncmp(name, node, node_len) != 0 || name[node_len] != '-' ||
        strcmp(name + len - suffix, SUFFIX) != 0 || at[TIME_CHARS] != '-')
        return false;
    return time_parse(at, ret_time_s) &&
           number(at + TIME_CHARS + 1, len - node_len - TIME_CHARS - 2 - suffix, ret_index);
}

static void part_name(const char *node, char ret_name[static BACKUP_FILE_NAME_BYTES])
{
    (void)snprintf(ret_name, BACKUP_FILE_NAME_BYTES, ".%s.part", node);
}

/* The directory's descriptor, -1 on an error. */
static int directory_open(const char *directory)
{
    return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

struct backup_file {
    char name[BACKUP_FILE_NAME_BYTES];
    uint64_t time_s, index;
};

static int newest_first(const void *a, const void *b)
{
    const struct backup_file *x = a, *y = b;

    if (x->time_s != y->time_s)
        return x->time_s > y->time_s ? -1 : 1;
    return x->index > y->index ? -1 : x->index < y->index;
}

/* This node's, the newest first; the caller frees. */
static enum qk_err files_list(int fd, const char *node, struct backup_file **ret_files,
                              size_t *ret_n)
{
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again < 0 ? NULL : fdopendir(again);
    struct backup_file *files = calloc(BACKUP_FILES_MAX, sizeof *files);
    struct dirent *entry;
    size_t n = 0;

    if (dir == NULL || files == NULL) {
        if (dir != NULL)
            closedir(dir);
        free(files);
        return dir == NULL ? QK_ERR_IO : QK_ERR_NOMEM;
    }
    while (n < BACKUP_FILES_MAX && (entry = readdir(dir)) != NULL) {
        if (!backup_file_parse(node, entry->d_name, &files[n].time_s, &files[n].index))
            continue;
        memcpy(files[n].name, entry->d_name, strlen(entry->d_name) + 1);
        n++;
    }
    closedir(dir);
    qsort(files, n, sizeof *files, newest_first);
    *ret_files = files;
    *ret_n = n;
    return QK_OK;
}

enum qk_err backup_files_look(const char *directory, const char *node, uint64_t *ret_time_s,
                              uint64_t *ret_index)
{
    struct backup_file *files = NULL;
    char part[BACKUP_FILE_NAME_BYTES];
    int fd = directory_open(directory);
    enum qk_err err = fd < 0 ? QK_ERR_IO : QK_OK;
    size_t n = 0;

    if (err == QK_OK)
        err = files_list(fd, node, &files, &n);
    if (err == QK_OK) {
        part_name(node, part);
        (void)unlinkat(fd, part, 0);
        *ret_time_s = n > 0 ? files[0].time_s : 0;
        *ret_index = n > 0 ? files[0].index : 0;
    }
    free(files);
    if (fd >= 0)
        close(fd);
    return err;
}

static enum qk_err err_of(int number)
{
    return number == ENOSPC || number == EDQUOT ? QK_ERR_FULL : QK_ERR_IO;
}

enum qk_err backup_file_begin(const char *directory, const char *node, int *ret_fd)
{
    char part[BACKUP_FILE_NAME_BYTES];
    int dir = directory_open(directory), fd;

    if (dir < 0)
        return QK_ERR_IO;
    part_name(node, part);
    (void)unlinkat(dir, part, 0);
    fd = openat(dir, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    close(dir);
    if (fd < 0)
        return err_of(errno);
    *ret_fd = fd;
    return QK_OK;
}

enum qk_err backup_file_write(int fd, struct bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_of(errno);
        bytes = bytes_slice(bytes, (size_t)put, SIZE_MAX);
    }
    return QK_OK;
}

static enum qk_err files_trim(int dir, const char *node, unsigned keep)
{
    struct backup_file *files = NULL;
    size_t n = 0;
    enum qk_err err = files_list(dir, node, &files, &n);

    for (size_t i = keep; i < n && err == QK_OK; i++)
        err = unlinkat(dir, files[i].name, 0) == 0 || errno == ENOENT ? QK_OK : QK_ERR_IO;
    free(files);
    return err;
}

enum qk_err backup_file_finish(const char *directory, const char *node, int fd, const char *name,
                               unsigned keep)
{
    char part[BACKUP_FILE_NAME_BYTES];
    int dir = directory_open(directory);
    enum qk_err err = dir < 0 ? QK_ERR_IO : QK_OK;

    part_name(node, part);
    if (err == QK_OK && fsync(fd) != 0)
        err = err_of(errno);
    if (err == QK_OK && (renameat(dir, part, dir, name) != 0 || fsync(dir) != 0))
        err = err_of(errno);
    close(fd);
    if (err == QK_OK)
        err = files_trim(dir, node, keep);
    if (dir >= 0)
        close(dir);
    return err;
}

void backup_file_drop(const char *directory, const char *node, int fd)
{
    char part[BACKUP_FILE_NAME_BYTES];
    int dir = directory_open(directory);

    if (fd >= 0)
        close(fd);
    if (dir < 0)
        return;
    part_name(node, part);
    (void)unlinkat(dir, part, 0);
    close(dir);
}
