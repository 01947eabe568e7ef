#include "cli/credentials.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* Reads up to the end of the line or of the input; QK_ERR_NOT_FOUND: there is no more input. */
static enum qk_err read_line(int fd, struct buf *out)
{
    for (;;) {
        char c;
        ssize_t got = read(fd, &c, 1);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return QK_ERR_IO;
        if (got == 0 && out->len == 0)
            return QK_ERR_NOT_FOUND;
        if (got == 0 || c == '\n')
            break;
        buf_put(out, &c, 1);
        if (buf_error(out) != QK_OK)
            return buf_error(out);
    }
    if (out->len > 0 && out->data[out->len - 1] == '\r')
        out->len--;
    return QK_OK;
}

/* The echo goes before anybody is asked: what is typed or pasted at once must not show. What was
 * typed before is dropped, and at the end what was pasted too much, so that no shell runs it. */
enum qk_err credential_open(int fd, struct credential_source *ret_source)
{
    struct credential_source source = {.fd = fd, .terminal = isatty(fd) != 0};
    struct termios silent;

    if (source.terminal) {
        if (tcgetattr(fd, &source.before) != 0)
            return QK_ERR_IO;
        silent = source.before;
        silent.c_lflag &= (tcflag_t)~ECHO;
        if (tcsetattr(fd, TCSAFLUSH, &silent) != 0)
            return QK_ERR_IO;
    }
    *ret_source = source;
    return QK_OK;
}

void credential_close(struct credential_source *source)
{
    if (source->terminal)
        (void)tcsetattr(source->fd, TCSAFLUSH, &source->before);
}

enum qk_err credential_line(struct credential_source *source, const char *what, struct buf *out)
{
    enum qk_err err = QK_OK;

    assert(out->secret);

    do {
        buf_reset(out);
        if (source->terminal)
            fprintf(stderr, "%s: ", what);
        err = read_line(source->fd, out);
        if (source->terminal)
            fprintf(stderr, "\n");
    } while (err == QK_OK && out->len == 0 && !source->terminal);
    return err == QK_OK && out->len == 0 ? QK_ERR_NOT_FOUND : err;
}

enum qk_err credential_read(const char *what, const char *file, struct buf *out,
                            struct buf *message)
{
    bool named = file != NULL && strcmp(file, "-") != 0;
    int fd = named ? open(file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    struct credential_source source;
    enum qk_err err = fd >= 0 ? credential_open(fd, &source) : QK_ERR_IO;

    if (err == QK_OK) {
        err = credential_line(&source, what, out);
        credential_close(&source);
    }
    if (err == QK_ERR_NOT_FOUND)
        err = QK_OK; /* empty: said below */
    if (err == QK_ERR_IO)
        buf_printf(message, "%s: %s: %s", what, named ? file : "standard input", strerror(errno));
    else if (err != QK_OK)
        buf_printf(message, "%s: too long", what);
    if (named && fd >= 0)
        close(fd);
    if (err == QK_OK && out->len == 0) {
        buf_printf(message, "%s: %s is empty", what, named ? file : "standard input");
        err = QK_ERR_INVALID;
    }
    return err;
}
