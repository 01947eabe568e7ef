/* Passwords and tokens: from the environment, a file, standard input or a prompt, never from the
 * command line, which every user of the machine can read. */
#ifndef CLI_CREDENTIALS_H
#define CLI_CREDENTIALS_H

#include "base/bytes.h"

#define CREDENTIAL_BYTES_MAX 4096

/* Reads one line of `file` ("-": standard input), or with `file` NULL from standard input, with a
 * prompt and no echo if that is a terminal. Without the line's end. `out` must be a secret buffer;
 * `what` is for the prompt and messages. QK_ERR_IO, QK_ERR_INVALID (empty), QK_ERR_TOO_BIG with a
 * sentence appended to `message`. */
MUST_USE enum qk_err credential_read(const char *what, const char *file, struct buf *out,
                                     struct buf *message);

/* The next line of `fd` into `out` (secret), empty ones passed over; on a terminal with a prompt
 * and no echo, and an empty line is the end. QK_ERR_NOT_FOUND: there are no more; QK_ERR_IO;
 * QK_ERR_TOO_BIG. */
MUST_USE enum qk_err credential_line(int fd, const char *what, struct buf *out);

/* Appends the value of an Authorization header, "Basic ...". */
MUST_USE enum qk_err credential_basic(const char *user, struct bytes password, struct buf *out);

#endif
