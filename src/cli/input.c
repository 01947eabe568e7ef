#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum qk_err input_read(const char *file, struct buf *out)
{
    bool named = file != NULL && strcmp(file, "-") != 0;
    int fd = named ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    enum qk_err err = fd < 0 ? QK_ERR_IO : QK_OK;

    while (err == QK_OK) {
        uint8_t chunk[16384];
        ssize_t got = read(fd, chunk, sizeof(chunk));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            err = QK_ERR_IO;
        if (got <= 0)
            break;
        buf_put(out, chunk, (size_t)got);
        explicit_bzero(chunk, (size_t)got);
        err = buf_error(out);
    }
    if (named && fd >= 0)
        close(fd);
    return err;
}
