/* The data directory: one process each, readable by its owner alone. */
#include "node/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_WAIT_MS 2000
#define LOCK_PAUSE_MS 20

static enum qk_err dir_check(const char *path, char *ret_reason)
{
    struct stat facts;

    if (stat(path, &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        snprintf(ret_reason, NODE_REASON_BYTES, "data dir: '%s' is not a directory", path);
        return QK_ERR_IO;
    }
    if (facts.st_uid != geteuid() || (facts.st_mode & 077) != 0) {
        snprintf(ret_reason, NODE_REASON_BYTES,
                 "data dir: '%s' must belong to the user of the node and be closed to others: "
                 "chown and chmod 700 it",
                 path);
        return QK_ERR_DENIED;
    }
    return QK_OK;
}

/* A process that was killed may hold its lock a moment longer than its parent waits for it: a
 * service that is restarted at once must not fail by that. */
static bool lock_taken(int fd)
{
    const struct timespec pause = {0, LOCK_PAUSE_MS * 1000000L};

    for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += LOCK_PAUSE_MS) {
        if (waited_ms >= LOCK_WAIT_MS || (errno != EWOULDBLOCK && errno != EINTR))
            return false;
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static enum qk_err dir_lock(struct node *node, char *ret_reason)
{
    char path[sizeof node->service.data_dir + 8];

    snprintf(path, sizeof path, "%s/lock", node->service.data_dir);
    node->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (node->lock_fd < 0) {
        snprintf(ret_reason, NODE_REASON_BYTES, "data dir: '%s': %s", path, strerror(errno));
        return QK_ERR_IO;
    }
    if (!lock_taken(node->lock_fd)) {
        snprintf(ret_reason, NODE_REASON_BYTES,
                 "data dir: '%s' is in use by another quorumkeepd: stop that one, or give this one "
                 "its own --data",
                 node->service.data_dir);
        return QK_ERR_BUSY;
    }
    return QK_OK;
}

enum qk_err data_dir_open(struct node *node, char *ret_reason)
{
    char real[PATH_MAX];
    enum qk_err err;

    if (mkdir(node->config.data, 0700) != 0 && errno != EEXIST) {
        snprintf(ret_reason, NODE_REASON_BYTES, "data dir: '%s': %s", node->config.data,
                 strerror(errno));
        return QK_ERR_IO;
    }
    if (realpath(node->config.data, real) == NULL ||
        strlen(real) >= sizeof node->service.data_dir) {
        snprintf(ret_reason, NODE_REASON_BYTES, "data dir: '%s': %s", node->config.data,
                 errno != 0 ? strerror(errno) : "the path is too long");
        return QK_ERR_INVALID;
    }
    snprintf(node->service.data_dir, sizeof node->service.data_dir, "%s", real);
    err = dir_check(real, ret_reason);
    if (err != QK_OK)
        return err;
    return dir_lock(node, ret_reason);
}

static enum qk_err file_remove(int dir, const char *name, int flags)
{
    return unlinkat(dir, name, flags) == 0 || errno == ENOENT ? QK_OK : QK_ERR_IO;
}

/* Removes the files of one directory whose names begin with `prefix`; directories are left. */
static enum qk_err files_remove(const char *path, const char *prefix)
{
    enum qk_err err = QK_OK;
    struct dirent *entry;
    DIR *dir = opendir(path);

    if (dir == NULL)
        return errno == ENOENT ? QK_OK : QK_ERR_IO;
    while (err == QK_OK && (entry = readdir(dir)) != NULL) {
        if (entry->d_type != DT_DIR && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            err = file_remove(dirfd(dir), entry->d_name, 0);
    }
    closedir(dir);
    return err;
}

enum qk_err data_dir_discard(const struct node *node)
{
    char raft[sizeof node->service.data_dir + 8], index[sizeof node->service.data_dir + 8];
    enum qk_err err;

    snprintf(index, sizeof index, "%s/index", node->service.data_dir);
    snprintf(raft, sizeof raft, "%s/raft", node->service.data_dir);
    err = files_remove(raft, "");
    if (err == QK_OK)
        err = file_remove(AT_FDCWD, raft, AT_REMOVEDIR);
    if (err == QK_OK)
        err = files_remove(index, "");
    if (err == QK_OK)
        err = file_remove(AT_FDCWD, index, AT_REMOVEDIR);
    if (err == QK_OK)
        err = files_remove(node->service.data_dir, "store.mdb");
    if (err == QK_OK)
        err = files_remove(node->service.data_dir, "members");
    return err;
}
