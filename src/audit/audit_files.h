/* The files of one audit log: <path>.<sequence of the last line, 20 digits>, oldest first, then
 * <path> itself. */
#ifndef AUDIT_AUDIT_FILES_H
#define AUDIT_AUDIT_FILES_H

#include <limits.h>

#include "audit/audit.h"

#define AUDIT_FILES_MAX 65536
#define AUDIT_SUFFIX_BYTES 22 /* ".", the digits, the final zero */

struct audit_files {
    uint64_t *last; /* sequence of each one's last line, as its name says; ascending */
    unsigned n;
};

/* Those beside `path` that were renamed. QK_ERR_IO: the directory cannot be read; QK_ERR_TOO_BIG.
 * The caller ends with audit_files_fini, in any case. */
MUST_USE enum qk_err audit_files_list(const char *path, struct audit_files *ret_files);
void audit_files_fini(struct audit_files *files);
/* QK_ERR_TOO_BIG. */
MUST_USE enum qk_err audit_files_name(const char *path, uint64_t last,
                                      char ret_name[static PATH_MAX]);

/* Reads `len` bytes at `at`; short is QK_ERR_IO. */
MUST_USE enum qk_err audit_read_at(int fd, uint64_t at, uint8_t *out, size_t len);

#endif
