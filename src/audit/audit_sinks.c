#include "audit/audit_sinks.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PRIORITY 110     /* "log audit", informational: RFC 5424, 6.2.1 */
#define PIECE_BYTES 4096 /* PIPE_BUF: what a pipe that can be written to takes without waiting */

enum qk_err audit_sinks_init(struct audit_sinks *sinks, const struct audit_settings *settings)
{
    *sinks = (struct audit_sinks){.to_stdout = settings->to_stdout, .syslog_fd = -1};
    if (settings->syslog == NULL)
        return QK_OK;
    if (strlen(settings->syslog) >= sizeof(sinks->syslog))
        return QK_ERR_INVALID;
    memcpy(sinks->syslog, settings->syslog, strlen(settings->syslog) + 1);
    return QK_OK;
}

static void drop_syslog(struct audit_sinks *sinks)
{
    if (sinks->syslog_fd >= 0)
        close(sinks->syslog_fd);
    sinks->syslog_fd = -1;
}

void audit_sinks_fini(struct audit_sinks *sinks)
{
    drop_syslog(sinks);
}

static bool connect_syslog(struct audit_sinks *sinks)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (sinks->syslog_fd >= 0)
        return true;
    sinks->syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sinks->syslog_fd < 0)
        return false;
    memcpy(address.sun_path, sinks->syslog, sizeof(sinks->syslog));
    if (connect(sinks->syslog_fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return true;
    drop_syslog(sinks);
    return false;
}

/* Can it take more? Waits, if there is time left for this line. */
static bool can_write(struct audit_sinks *sinks, int fd)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    int wait_ms = sinks->wait_ms;

    if (poll(&ready, 1, 0) == 0) {
        sinks->wait_ms = 0;
        (void)poll(&ready, 1, wait_ms);
    }
    return (ready.revents & POLLOUT) != 0 && (ready.revents & (POLLERR | POLLNVAL)) == 0;
}

/* RFC 3164 without a time: the receiver puts its own, and the line has one. A daemon that was
 * started anew has another socket under the same name: that is tried once. */
static enum qk_err write_syslog(struct audit_sinks *sinks, struct bytes line)
{
    char text[AUDIT_LINE_BYTES_MAX + 64];
    int len = snprintf(text, sizeof(text), "<%d>quorumkeepd[%ld]: %.*s", PRIORITY, (long)getpid(),
                       (int)line.len - 1, (const char *)line.data);

    for (int attempt = 0; attempt < 2; attempt++) {
        if (!connect_syslog(sinks))
            return QK_ERR_IO;
        if (send(sinks->syslog_fd, text, (size_t)len, MSG_NOSIGNAL) == len)
            return QK_OK;
        if (errno != EAGAIN && errno != ENOBUFS)
            drop_syslog(sinks);
        else if (!can_write(sinks, sinks->syslog_fd))
            return QK_ERR_IO;
    }
    return QK_ERR_IO;
}

/* Standard output may be a pipe that nobody reads: that must not hold up the loop. */
static enum qk_err write_stdout(struct audit_sinks *sinks, struct bytes line)
{
    static const uint8_t newline = '\n';
    bool torn = sinks->torn;

    while (torn || line.len > 0) {
        struct bytes piece = torn ? bytes_of(&newline, 1) : bytes_slice(line, 0, PIECE_BYTES);
        ssize_t put = -1;

        if (can_write(sinks, STDOUT_FILENO))
            put = write(STDOUT_FILENO, piece.data, piece.len);
        if (put <= 0)
            return QK_ERR_IO;
        if (!torn)
            line = bytes_slice(line, (size_t)put, SIZE_MAX);
        torn = false;
        sinks->torn = line.len > 0;
    }
    sinks->torn = false;
    return QK_OK;
}

enum qk_err audit_sinks_write(struct audit_sinks *sinks, struct bytes line, bool patient)
{
    enum qk_err err = QK_OK, other;

    assert(line.len > 0 && line.len <= AUDIT_LINE_BYTES_MAX);

    sinks->wait_ms = patient ? AUDIT_SINKS_WAIT_MS : 0;
    if (sinks->syslog[0] != '\0')
        err = write_syslog(sinks, line);
    if (sinks->to_stdout) {
        other = write_stdout(sinks, line);
        err = err == QK_OK ? other : err;
    }
    return err;
}
