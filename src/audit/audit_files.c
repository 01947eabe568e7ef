#include "audit/audit_files.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIGITS 20

enum qk_err audit_files_name(const char *path, uint64_t last, char ret_name[static PATH_MAX])
{
    int len = snprintf(ret_name, PATH_MAX, "%s.%0*llu", path, DIGITS, (unsigned long long)last);

    return len > 0 && len < PATH_MAX ? QK_OK : QK_ERR_TOO_BIG;
}

/* The number in a name, or 0 if it is none of these files. */
static uint64_t number_of(const char *name, const char *base)
{
    size_t len = strlen(base);
    uint64_t number = 0;

    if (strncmp(name, base, len) != 0 || name[len] != '.' || strlen(name + len + 1) != DIGITS)
        return 0;
    for (const char *at = name + len + 1; *at != '\0'; at++) {
        uint64_t digit = (uint64_t)(*at - '0');

        if (*at < '0' || *at > '9' || number > (UINT64_MAX - digit) / 10)
            return 0;
        number = number * 10 + digit;
    }
    return number;
}

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

static enum qk_err add(struct audit_files *files, unsigned *room, uint64_t number)
{
    uint64_t *more;

    if (files->n == AUDIT_FILES_MAX)
        return QK_ERR_TOO_BIG;
    if (files->n == *room) {
        more = reallocarray(files->last, *room == 0 ? 16 : 2 * *room, sizeof(*more));
        if (more == NULL)
            return QK_ERR_NOMEM;
        files->last = more;
        *room = *room == 0 ? 16 : 2 * *room;
    }
    files->last[files->n++] = number;
    return QK_OK;
}

static enum qk_err read_names(DIR *dir, const char *base, struct audit_files *files)
{
    unsigned room = 0;

    for (;;) {
        struct dirent *entry;
        enum qk_err err = QK_OK;
        uint64_t number;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? QK_OK : QK_ERR_IO;
        number = number_of(entry->d_name, base);
        if (number > 0)
            err = add(files, &room, number);
        if (err != QK_OK)
            return err;
    }
}

enum qk_err audit_files_list(const char *path, struct audit_files *ret_files)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    enum qk_err err;
    DIR *dir;
    int len;

    *ret_files = (struct audit_files){NULL, 0};
    len = snprintf(folder, sizeof(folder), "%.*s", slash == NULL ? 1 : (int)(slash - path + 1),
                   slash == NULL ? "." : path);
    if (len <= 0 || len >= PATH_MAX)
        return QK_ERR_TOO_BIG;
    dir = opendir(folder);
    if (dir == NULL)
        return QK_ERR_IO;
    err = read_names(dir, slash == NULL ? path : slash + 1, ret_files);
    closedir(dir);
    if (ret_files->n > 1)
        qsort(ret_files->last, ret_files->n, sizeof(*ret_files->last), compare);
    return err;
}

void audit_files_fini(struct audit_files *files)
{
    free(files->last);
    *files = (struct audit_files){NULL, 0};
}

enum qk_err audit_read_at(int fd, uint64_t at, uint8_t *out, size_t len)
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
