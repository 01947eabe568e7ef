/* Is a program of the operator's fit to be run by this node? */
#ifndef NODE_PROGRAM_H
#define NODE_PROGRAM_H

#include <stddef.h>

#include "base/err.h"

#define PROGRAM_PATH_BYTES_MAX 4095
#define PROGRAM_REASON_BYTES 1024

/* Resolves `path` and checks it: a regular file, executable, its owner root or the user of this
 * process, and neither it nor any directory above it open to writing by others (a directory with
 * the sticky bit, as /tmp, is fine where it is root's). `ret_real` (PROGRAM_PATH_BYTES_MAX + 1) is
 * the path without links. QK_ERR_DENIED, QK_ERR_NOT_FOUND, QK_ERR_INVALID: `ret_reason`
 * (PROGRAM_REASON_BYTES) says what is wrong and with what. */
MUST_USE enum qk_err program_check(const char *path, char *ret_real, char *ret_reason);

#endif
