/* The files of scheduled backups. Blocking: for the pool. */
#ifndef SERVICE_BACKUP_BACKUP_FILES_H
#define SERVICE_BACKUP_BACKUP_FILES_H

#include "base/bytes.h"
#include "base/limits.h"

#define BACKUP_FILE_NAME_BYTES (NODE_NAME_BYTES_MAX + 64)
#define BACKUP_FILES_MAX 4096 /* looked at in one directory */

/* "n1-20260102T030405Z-77.qkbackup" */
void backup_file_name(const char *node, uint64_t time_s, uint64_t index,
                      char ret_name[static BACKUP_FILE_NAME_BYTES]);
/* The inverse, for files of `node` alone; false: it is none of these. */
bool backup_file_parse(const char *node, const char *name, uint64_t *ret_time_s,
                       uint64_t *ret_index);
/* The newest of this node's in the directory; 0, 0 if there is none. Removes what an interrupted
 * one left. QK_ERR_IO. */
MUST_USE enum qk_err backup_files_look(const char *directory, const char *node,
                                       uint64_t *ret_time_s, uint64_t *ret_index);
/* An empty file (0600) for the one in progress. */
MUST_USE enum qk_err backup_file_begin(const char *directory, const char *node, int *ret_fd);
MUST_USE enum qk_err backup_file_write(int fd, struct bytes bytes);
/* Synced, then given its name, and the oldest of this node's beyond `keep` removed. */
MUST_USE enum qk_err backup_file_finish(const char *directory, const char *node, int fd,
                                        const char *name, unsigned keep);
void backup_file_drop(const char *directory, const char *node, int fd);

#endif
