/* What a verb reads besides its command line. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "base/bytes.h"

/* Appends all of `file` (NULL or "-": standard input) to `out`. QK_ERR_IO with errno,
 * QK_ERR_TOO_BIG, QK_ERR_NOMEM. */
MUST_USE enum qk_err input_read(const char *file, struct buf *out);

#endif
