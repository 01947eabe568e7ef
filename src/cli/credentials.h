/* Passwords and tokens: from the environment, a file, standard input or a prompt, never from the
 * command line, which every user of the machine can read. */
#ifndef CLI_CREDENTIALS_H
#define CLI_CREDENTIALS_H

#include <stdbool.h>
#include <termios.h>

#include "base/bytes.h"

#define CREDENTIAL_BYTES_MAX 4096

/* Reads one line of `file` ("-": standard input), or with `file` NULL from standard input, with a
 * prompt and no echo if that is a terminal. Without the line's end. `out` must be a secret buffer;
 * `what` is for the prompt and messages. QK_ERR_IO, QK_ERR_INVALID (empty), QK_ERR_TOO_BIG with a
 * sentence appended to `message`. */
MUST_USE enum qk_err credential_read(const char *what, const char *file, struct buf *out,
                                     struct buf *message);

/* Where several lines come from, one after the other. */
struct credential_source {
    int fd;
    bool terminal;
    struct termios before;
};

/* A terminal stops to echo until credential_close. QK_ERR_IO. */
MUST_USE enum qk_err credential_open(int fd, struct credential_source *ret_source);
void credential_close(struct credential_source *source);
/* The next line into `out` (secret), without its end; empty ones are passed over, but on a
 * terminal, where `what` is asked for, are the end. QK_ERR_NOT_FOUND: there are no more; QK_ERR_IO;
 * QK_ERR_TOO_BIG. */
MUST_USE enum qk_err credential_line(struct credential_source *source, const char *what,
                                     struct buf *out);

#endif
