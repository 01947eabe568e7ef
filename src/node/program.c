#include "node/program.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

_Static_assert(PROGRAM_PATH_BYTES_MAX + 1 >= PATH_MAX, "realpath(3) writes up to PATH_MAX");

static bool is_ours(const struct stat *facts)
{
    return facts->st_uid == 0 || facts->st_uid == geteuid();
}

static enum qk_err owner_check(const char *path, const struct stat *facts, char *ret_reason)
{
    if (!is_ours(facts)) {
        snprintf(ret_reason, PROGRAM_REASON_BYTES,
                 "'%.300s' belongs to user %u: chown it to root or to the user of this node", path,
                 (unsigned)facts->st_uid);
        return QK_ERR_DENIED;
    }
    if ((facts->st_mode & OTHERS_WRITE) != 0 &&
        !(S_ISDIR(facts->st_mode) && (facts->st_mode & S_ISVTX) != 0 && facts->st_uid == 0)) {
        snprintf(ret_reason, PROGRAM_REASON_BYTES,
                 "'%.300s' may be written by others: chmod go-w it", path);
        return QK_ERR_DENIED;
    }
    return QK_OK;
}

/* Whoever may write into a directory above it may put another program in its place. */
static enum qk_err parents_check(const char *real, char *ret_reason)
{
    char path[PROGRAM_PATH_BYTES_MAX + 1];
    enum qk_err err = QK_OK;
    struct stat facts;
    char *slash;

    snprintf(path, sizeof path, "%s", real);
    while (err == QK_OK && (slash = strrchr(path, '/')) != NULL) {
        bool root = slash == path;

        slash[root ? 1 : 0] = '\0';
        if (stat(path, &facts) != 0)
            return QK_ERR_NOT_FOUND;
        err = owner_check(path, &facts, ret_reason);
        if (root)
            break;
    }
    return err;
}

enum qk_err program_check(const char *path, char *ret_real, char *ret_reason)
{
    char real[PROGRAM_PATH_BYTES_MAX + 1];
    struct stat facts;
    enum qk_err err;

    if (path[0] != '/') {
        snprintf(ret_reason, PROGRAM_REASON_BYTES, "'%.300s' is not an absolute path", path);
        return QK_ERR_INVALID;
    }
    if (realpath(path, real) == NULL || stat(real, &facts) != 0) {
        snprintf(ret_reason, PROGRAM_REASON_BYTES, "'%.300s': %s", path, strerror(errno));
        return QK_ERR_NOT_FOUND;
    }
    if (!S_ISREG(facts.st_mode)) {
        snprintf(ret_reason, PROGRAM_REASON_BYTES, "'%.300s' is not a file", real);
        return QK_ERR_INVALID;
    }
    if (access(real, X_OK) != 0) {
        snprintf(ret_reason, PROGRAM_REASON_BYTES,
                 "'%.300s' is not executable for the user of this node: chmod +x it", real);
        return QK_ERR_DENIED;
    }
    err = owner_check(real, &facts, ret_reason);
    if (err == QK_OK)
        err = parents_check(real, ret_reason);
    if (err == QK_OK)
        memcpy(ret_real, real, sizeof real);
    return err;
}
