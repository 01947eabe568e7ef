/* A data directory in the making: built as TARGET.new, under a lock, and given its name in one step
 * when all of it is durable. Whatever ends the work before that leaves TARGET as it was; the next
 * attempt removes what is left of the last one. */
#ifndef SERVICE_BACKUP_NEW_DIR_H
#define SERVICE_BACKUP_NEW_DIR_H

#include <stdbool.h>

#include "base/bytes.h"

#define NEW_DIR_PATH_BYTES_MAX 480 /* what a node takes for its data directory, and ".new" */

struct new_dir {
    char target[NEW_DIR_PATH_BYTES_MAX];
    char path[NEW_DIR_PATH_BYTES_MAX + 8];
    int lock_fd;
};

/* TARGET must not be there, or be an empty directory. A sentence is appended to `message`:
 * QK_ERR_CONFLICT (something is there), QK_ERR_BUSY (another makes it), QK_ERR_IO, QK_ERR_TOO_BIG.
 */
MUST_USE enum qk_err new_dir_begin(const char *target, struct new_dir *ret_dir,
                                   struct buf *message);
/* Everything in it synced, then TARGET. */
MUST_USE enum qk_err new_dir_finish(struct new_dir *dir, struct buf *message);
/* Removes it; nothing after new_dir_finish. */
void new_dir_drop(struct new_dir *dir);
/* Copies a regular file, holes left out; QK_ERR_NOT_FOUND if there is none. */
MUST_USE enum qk_err new_dir_copy(const char *from, const char *to, struct buf *message);
/* The same for each regular file of a directory but `except`. */
MUST_USE enum qk_err new_dir_copy_all(const char *from, const char *to, const char *except,
                                      struct buf *message);
/* A file or a directory with all its files. */
MUST_USE enum qk_err new_dir_remove(const char *path);

#endif
