#include "http/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "base/log.h"
#include "http/connection.h"

#define BACKLOG 511

struct listener {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    };
    struct http *http;
    bool control;
};

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = stream->data;

    if (status != 0)
        log_warn("http", "a connection could not be accepted: %s", uv_strerror(status));
    else if (!listener->http->draining)
        connection_accept(listener->http, stream, listener->control);
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    struct http *http = listener->http;

    free(listener);
    http->listeners_n--;
    http_settle(http);
}

void listener_close(struct listener *listener)
{
    if (!uv_is_closing(&listener->handle))
        uv_close(&listener->handle, on_closed);
}

static struct listener *listener_new(struct http *http, bool control)
{
    struct listener *listener = calloc(1, sizeof *listener);
    int rc;

    if (listener == NULL)
        return NULL;
    rc = control ? uv_pipe_init(http->config.loop, &listener->pipe, 0)
                 : uv_tcp_init(http->config.loop, &listener->tcp);
    if (rc != 0) {
        free(listener);
        return NULL;
    }
    listener->http = http;
    listener->control = control;
    listener->handle.data = listener;
    http->listeners[http->listeners_n++] = listener;
    return listener;
}

bool listener_is_loopback(const struct sockaddr *address)
{
    const struct in6_addr *six;

    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *four = (const struct sockaddr_in *)(const void *)address;

        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->sa_family != AF_INET6)
        return false;
    six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

/* "127.0.0.1:7601", "[::1]:7601", "localhost:7601". */
static enum qk_err parse_address(const char *text, struct sockaddr_storage *ret_address)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    char *end;
    long port;
    size_t len;

    if (colon == NULL || colon[1] == '\0')
        return QK_ERR_INVALID;
    errno = 0;
    port = strtol(colon + 1, &end, 10);
    if (errno != 0 || *end != '\0' || port < 0 || port > 65535)
        return QK_ERR_INVALID;
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof host)
        return QK_ERR_INVALID;
    memcpy(host, text, len);
    host[len] = '\0';
    if (strcmp(host, "localhost") == 0)
        (void)snprintf(host, sizeof host, "127.0.0.1");
    if (uv_ip4_addr(host, (int)port, (struct sockaddr_in *)(void *)ret_address) == 0 ||
        uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)(void *)ret_address) == 0)
        return QK_OK;
    return QK_ERR_INVALID;
}

static enum qk_err fail(enum qk_err err, char *ret_reason, const char *what, const char *where,
                        const char *why)
{
    (void)snprintf(ret_reason, HTTP_REASON_BYTES, "%s %s: %s", what, where, why);
    return err;
}

static enum qk_err listen_now(struct listener *listener, int rc, const char *what,
                              const char *where, char *ret_reason)
{
    if (rc == 0)
        rc = uv_listen(&listener->stream, BACKLOG, on_connection);
    if (rc == 0)
        return QK_OK;
    return fail(rc == UV_EADDRINUSE ? QK_ERR_EXISTS : QK_ERR_IO, ret_reason, what, where,
                rc == UV_EADDRINUSE ? "in use by another process: stop it or choose another address"
                                    : uv_strerror(rc));
}

enum qk_err listener_open_tcp(struct http *http, const char *address, bool insecure_http,
                              char *ret_reason)
{
    static const char WHAT[] = "address for clients";
    struct sockaddr_storage parsed;
    const struct sockaddr *bare = (const struct sockaddr *)&parsed;
    struct listener *listener;

    memset(&parsed, 0, sizeof parsed);
    if (parse_address(address, &parsed) != QK_OK)
        return fail(QK_ERR_INVALID, ret_reason, WHAT, address,
                    "must be a numeric host and a port, as in 127.0.0.1:7600 or [::1]:7600");
    if (!listener_is_loopback(bare) && !insecure_http)
        return fail(
            QK_ERR_DENIED, ret_reason, WHAT, address,
            "is not a loopback address, and passwords and documents would cross the network "
            "in clear: give a certificate and its key with --tls-cert and --tls-key, use a "
            "loopback address, or accept the risk with --insecure-http");
    listener = listener_new(http, false);
    if (listener == NULL)
        return fail(QK_ERR_NOMEM, ret_reason, WHAT, address, "out of memory");
    return listen_now(listener, uv_tcp_bind(&listener->tcp, bare, 0), WHAT, address, ret_reason);
}

/* A socket file that nobody answers on is left over from a process that was killed. */
static enum qk_err remove_stale(const char *path, const struct sockaddr_un *address)
{
    struct stat info;
    int fd, rc;

    if (lstat(path, &info) != 0)
        return errno == ENOENT ? QK_OK : QK_ERR_IO;
    if (!S_ISSOCK(info.st_mode))
        return QK_ERR_EXISTS;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return QK_ERR_IO;
    rc = connect(fd, (const struct sockaddr *)address, sizeof *address);
    if (rc != 0)
        rc = errno == ECONNREFUSED ? -1 : 0;
    (void)close(fd);
    if (rc == 0)
        return QK_ERR_EXISTS;
    return unlink(path) == 0 ? QK_OK : QK_ERR_IO;
}

enum qk_err listener_open_control(struct http *http, const char *path, char *ret_reason)
{
    static const char WHAT[] = "control socket";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct listener *listener;
    enum qk_err err;
    int rc;

    if (strlen(path) >= sizeof address.sun_path)
        return fail(QK_ERR_INVALID, ret_reason, WHAT, path,
                    "the path is longer than the 107 bytes a socket may have: use a shorter data "
                    "directory");
    memcpy(address.sun_path, path, strlen(path) + 1);
    err = remove_stale(path, &address);
    if (err == QK_ERR_EXISTS)
        return fail(
            err, ret_reason, WHAT, path,
            "another process answers on it, or it is no socket: stop that process or remove "
            "the file");
    if (err != QK_OK)
        return fail(err, ret_reason, WHAT, path, strerror(errno));
    listener = listener_new(http, true);
    if (listener == NULL)
        return fail(QK_ERR_NOMEM, ret_reason, WHAT, path, "out of memory");
    rc = uv_pipe_bind(&listener->pipe, path);
    /* Between bind and listen nobody can connect, so that the mode is never too wide. */
    if (rc == 0 && chmod(path, 0600) != 0)
        rc = uv_translate_sys_error(errno);
    return listen_now(listener, rc, WHAT, path, ret_reason);
}

uint16_t listener_port(const struct listener *listener)
{
    struct sockaddr_storage address;
    int len = sizeof address;

    if (listener->control ||
        uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address, &len) != 0)
        return 0;
    if (address.ss_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
    return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
}
