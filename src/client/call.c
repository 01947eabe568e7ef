#include "client/call.h"

#include <assert.h>
#include <errno.h>
#include <http_parser.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/tls.h"

#define CONNECT_TIMEOUT_MS 5000
#define READ_BYTES 65536

/* One request and what the parser has found of its reply. */
struct call {
    struct client_channel *channel;
    const struct client_request *request;
    struct client_reply *reply;
    http_parser parser;
    bool complete;
    bool continued; /* the node said 100 */
    bool in_value;  /* of the header `name` */
    char name[32];
    size_t name_len;
    enum qk_err err;
};

/* Names and values come in pieces. */
static int on_header_name(http_parser *parser, const char *at, size_t len)
{
    struct call *call = parser->data;

    if (call->in_value)
        call->name_len = 0;
    call->in_value = false;
    for (size_t i = 0; i < len; i++, call->name_len++)
        if (call->name_len < sizeof(call->name))
            call->name[call->name_len] = at[i];
    return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
    static const char wanted[] = "X-Quorumkeep-Alarm";
    struct call *call = parser->data;
    size_t have = strlen(call->reply->alarm);

    call->in_value = true;
    if (call->name_len != sizeof(wanted) - 1 ||
        strncasecmp(call->name, wanted, sizeof(wanted) - 1) != 0)
        return 0;
    if (len > sizeof(call->reply->alarm) - 1 - have)
        len = sizeof(call->reply->alarm) - 1 - have;
    memcpy(call->reply->alarm + have, at, len);
    call->reply->alarm[have + len] = '\0';
    return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
    struct call *call = parser->data;

    if (call->request->on_body != NULL && parser->status_code / 100 == 2) {
        if (call->request->on_body(call->request->arg, bytes_of(at, len)))
            return 0;
        call->reply->status = (int)parser->status_code;
        call->complete = true;
        return 1;
    }
    buf_put(&call->reply->body, at, len);
    call->err = buf_error(&call->reply->body);
    return call->err == QK_OK ? 0 : 1;
}

static int on_complete(http_parser *parser)
{
    struct call *call = parser->data;

    if (parser->status_code / 100 == 1) {
        call->continued = call->continued || parser->status_code == 100;
        return 0; /* an interim reply; the one asked for follows */
    }
    call->reply->status = (int)parser->status_code;
    call->reply->kept = call->request->keep && http_should_keep_alive(parser) != 0;
    call->complete = true;
    http_parser_pause(parser, 1);
    return 0;
}

static int on_headers(http_parser *parser)
{
    struct call *call = parser->data;

    return strcmp(call->request->method, "HEAD") == 0 ? 1 : 0;
}

bool client_wait(int fd, short events, unsigned timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = events};
    int rc;

    do {
        rc = poll(&poll_fd, 1, (int)timeout_ms);
    } while (rc < 0 && errno == EINTR);
    return rc == 1;
}

static int connect_to(const struct sockaddr *address, socklen_t len, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int problem = 0;
    socklen_t problem_len = sizeof(problem);

    if (fd < 0)
        return -1;
    if (connect(fd, address, len) == 0)
        return fd;
    if (errno != EINPROGRESS)
        problem = errno;
    else if (!client_wait(fd, POLLOUT, CONNECT_TIMEOUT_MS))
        problem = ETIMEDOUT;
    else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &problem_len) != 0)
        problem = errno;
    if (problem == 0)
        return fd;
    close(fd);
    errno = problem;
    return -1;
}

static int connect_local(const struct client_target *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, target->path, strlen(target->path) + 1);
    return connect_to((const struct sockaddr *)&address, sizeof(address), AF_UNIX);
}

static int connect_remote(const struct client_target *target, const char **ret_why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    int fd = -1;
    int rc = getaddrinfo(target->host, target->port, &hints, &all);

    if (rc != 0) {
        *ret_why = gai_strerror(rc);
        return -1;
    }
    for (struct addrinfo *one = all; one != NULL && fd < 0; one = one->ai_next)
        fd = connect_to(one->ai_addr, one->ai_addrlen, one->ai_family);
    freeaddrinfo(all);
    return fd;
}

static enum qk_err open_connection(const struct client_target *target, int *ret_fd,
                                   struct buf *message)
{
    const char *why = NULL;
    int fd = target->local ? connect_local(target) : connect_remote(target, &why);

    if (fd >= 0) {
        *ret_fd = fd;
        return QK_OK;
    }
    if (why == NULL)
        why = strerror(errno);
    buf_printf(message, "no node at %s: %s", target->text, why);
    if (target->local && errno == EACCES)
        buf_put_str(message, "; the control socket is for the user that the node runs as");
    return QK_ERR_CLOSED;
}

static ssize_t send_some(struct call *call, struct bytes bytes, short *ret_events)
{
    ssize_t put;

    if (call->channel->tls != NULL)
        return client_tls_send(call->channel->tls, bytes.data, bytes.len, ret_events);
    do {
        put = send(call->channel->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    *ret_events = put < 0 && errno == EAGAIN ? POLLOUT : 0;
    return put;
}

static ssize_t recv_some(struct call *call, void *room, size_t len, short *ret_events)
{
    ssize_t got;

    if (call->channel->tls != NULL)
        return client_tls_recv(call->channel->tls, room, len, ret_events);
    do {
        got = recv(call->channel->fd, room, len, 0);
    } while (got < 0 && errno == EINTR);
    *ret_events = got < 0 && errno == EAGAIN ? POLLIN : 0;
    return got;
}

static enum qk_err send_all(struct call *call, struct bytes bytes, unsigned timeout_ms)
{
    while (bytes.len > 0) {
        short events = 0;
        ssize_t put = send_some(call, bytes, &events);

        if (put >= 0)
            bytes = bytes_slice(bytes, (size_t)put, SIZE_MAX);
        else if (events == 0)
            return QK_ERR_CLOSED; /* the node may have replied already: reading comes next */
        else if (!client_wait(call->channel->fd, events, timeout_ms))
            return QK_ERR_TIMEOUT;
    }
    return QK_OK;
}

static void source_head(const struct client_source *source, struct buf *head)
{
    buf_printf(head, "Content-Type: %s\r\n", source->content_type);
    if (source->length == UINT64_MAX)
        buf_put_str(head, "Transfer-Encoding: chunked\r\n");
    else
        buf_printf(head, "Content-Length: %" PRIu64 "\r\n", source->length);
    if (source->length > 0)
        buf_put_str(head, "Expect: 100-continue\r\n");
}

static void build_head(const struct client_target *target, const struct client_request *request,
                       struct buf *head)
{
    buf_printf(head, "%s ", request->method);
    buf_put_bytes(head, request->target);
    if (target->local)
        buf_put_str(head, " HTTP/1.1\r\nHost: localhost\r\n");
    else
        buf_printf(head, " HTTP/1.1\r\nHost: %s%s%s:%s\r\n",
                   strchr(target->host, ':') != NULL ? "[" : "", target->host,
                   strchr(target->host, ':') != NULL ? "]" : "", target->port);
    buf_put_str(head, "User-Agent: quorumkeep/" QK_VERSION "\r\nAccept: application/json\r\n");
    if (!request->keep)
        buf_put_str(head, "Connection: close\r\n");
    if (request->authorization.len > 0) {
        buf_put_str(head, "Authorization: ");
        buf_put_bytes(head, request->authorization);
        buf_put_str(head, "\r\n");
    }
    if (request->source != NULL)
        source_head(request->source, head);
    else if (request->body.len > 0 || strcmp(request->method, "GET") != 0)
        buf_put_str(head, strcmp(request->method, "PATCH") == 0
                              ? "Content-Type: application/merge-patch+json\r\n"
                              : "Content-Type: application/json\r\n");
    if (request->source == NULL && (request->body.len > 0 || strcmp(request->method, "GET") != 0))
        buf_printf(head, "Content-Length: %zu\r\n", request->body.len);
    buf_put_str(head, "\r\n");
}

/* Reads until the reply is complete, or with `interim` until the node says that it goes on. */
static enum qk_err read_reply(struct call *call, bool interim, unsigned timeout_ms)
{
    static const http_parser_settings hooks = {.on_header_field = on_header_name,
                                               .on_header_value = on_header_value,
                                               .on_headers_complete = on_headers,
                                               .on_body = on_body,
                                               .on_message_complete = on_complete};
    struct buf chunk = BUF_SECRET_INIT(READ_BYTES);
    uint8_t *room = buf_extend(&chunk, READ_BYTES);
    enum qk_err err = room == NULL ? QK_ERR_NOMEM : QK_OK;
    http_parser *parser = &call->parser;

    while (err == QK_OK && !call->complete && !(interim && call->continued)) {
        short events = 0;
        ssize_t got = recv_some(call, room, READ_BYTES, &events);
        size_t used;

        if (got < 0 && events != 0) {
            err = client_wait(call->channel->fd, events, timeout_ms) ? QK_OK : QK_ERR_TIMEOUT;
            continue;
        }
        if (got < 0) {
            err = QK_ERR_UNKNOWN_OUTCOME;
            continue;
        }
        used = http_parser_execute(parser, &hooks, (const char *)room, (size_t)got);
        call->reply->kept = call->reply->kept && used == (size_t)got;
        if (call->err != QK_OK)
            err = call->err;
        else if (call->complete)
            break;
        else if (HTTP_PARSER_ERRNO(parser) != HPE_OK)
            err = got == 0 ? QK_ERR_UNKNOWN_OUTCOME : QK_ERR_INVALID;
        else if (got == 0)
            err = QK_ERR_UNKNOWN_OUTCOME;
    }
    buf_fini(&chunk);
    return err;
}

/* --- a body that is given piece by piece --- */

static enum qk_err send_piece(struct call *call, struct bytes piece, unsigned timeout_ms)
{
    bool chunked = call->request->source->length == UINT64_MAX;
    char head[32];
    enum qk_err err = QK_OK;

    if (chunked) {
        (void)snprintf(head, sizeof(head), "%zx\r\n", piece.len);
        err = send_all(call, bytes_str(head), timeout_ms);
    }
    if (err == QK_OK)
        err = send_all(call, piece, timeout_ms);
    if (err == QK_OK && chunked)
        err = send_all(call, bytes_str("\r\n"), timeout_ms);
    return err;
}

/* What the source gives next; at its end, or where it gives what was not announced, nothing. */
static struct bytes source_next(struct client_source *source, uint8_t *room)
{
    ptrdiff_t len = source->give(source->arg, room, READ_BYTES);
    uint64_t left = source->length == UINT64_MAX ? UINT64_MAX : source->length - source->given;

    source->stopped = len < 0 || len > READ_BYTES || (uint64_t)len > left ||
                      (len == 0 && left != 0 && left != UINT64_MAX);
    source->ended = len == 0 && !source->stopped;
    if (source->stopped || source->ended)
        return BYTES_NONE;
    source->given += (uint64_t)len;
    return bytes_of(room, (size_t)len);
}

/* A node that answers in the midst has seen enough. Under TLS what can be read may be none of the
 * reply; there a connection that it closes tells. */
static bool has_answer(const struct call *call)
{
    return call->channel->tls == NULL && client_wait(call->channel->fd, POLLIN, 0);
}

static enum qk_err send_pieces(struct call *call, unsigned timeout_ms)
{
    struct client_source *source = call->request->source;
    struct buf room = BUF_SECRET_INIT(READ_BYTES);
    uint8_t *bytes = buf_extend(&room, READ_BYTES);
    enum qk_err err = bytes == NULL ? QK_ERR_NOMEM : QK_OK;

    source->begun = true;
    while (err == QK_OK && !source->ended && !source->stopped) {
        struct bytes piece;

        if (has_answer(call))
            break;
        piece = source_next(source, bytes);
        if (piece.len > 0 || (source->ended && source->length == UINT64_MAX))
            err = send_piece(call, piece, timeout_ms);
    }
    buf_fini(&room);
    return err;
}

/* The node may answer instead of taking it. */
static enum qk_err send_source(struct call *call, unsigned timeout_ms)
{
    struct client_source *source = call->request->source;
    enum qk_err err = QK_OK;

    if (source->length > 0)
        err = read_reply(call, true, timeout_ms);
    if (err == QK_OK && !call->complete)
        err = send_pieces(call, timeout_ms);
    return err;
}

static void say_failure(const struct client_target *target, enum qk_err err, unsigned timeout_ms,
                        struct buf *message)
{
    if (err == QK_ERR_TIMEOUT)
        buf_printf(message, "%s: no reply in %u s; whether the request was carried out is unknown",
                   target->text, timeout_ms / 1000);
    else if (err == QK_ERR_UNKNOWN_OUTCOME)
        buf_printf(message,
                   "%s: the connection ended before a whole reply; whether the request "
                   "was carried out is unknown",
                   target->text);
    else if (err == QK_ERR_INVALID)
        buf_printf(message, "%s: what answers there is not a Quorumkeep node", target->text);
    else
        buf_printf(message, "%s: %s", target->text, qk_err_text(err));
}

enum qk_err client_channel_open(const struct client_target *target, unsigned timeout_ms,
                                struct client_channel *ret_channel, struct buf *message)
{
    struct client_channel channel = {.target = target, .fd = -1};
    enum qk_err err = open_connection(target, &channel.fd, message);

    if (err == QK_OK && target->tls)
        err = client_tls_open(target, channel.fd, timeout_ms == 0 ? CLIENT_TIMEOUT_MS : timeout_ms,
                              &channel.tls, message);
    if (err != QK_OK)
        client_channel_close(&channel);
    else
        *ret_channel = channel;
    return err;
}

void client_channel_close(struct client_channel *channel)
{
    client_tls_free(channel->tls);
    if (channel->fd >= 0)
        close(channel->fd);
    channel->tls = NULL;
    channel->fd = -1;
}

bool client_channel_is_open(struct client_channel *channel)
{
    char byte;

    if (channel->fd < 0)
        return false;
    if (channel->tls != NULL)
        return client_tls_is_idle(channel->tls);
    return recv(channel->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

enum qk_err client_channel_call(struct client_channel *channel,
                                const struct client_request *request,
                                struct client_reply *ret_reply, struct buf *message)
{
    struct call call = {.channel = channel, .request = request, .reply = ret_reply};
    struct buf head = BUF_SECRET_INIT(2 * HTTP_HEADER_BYTES_MAX);
    unsigned timeout_ms = request->timeout_ms == 0 ? CLIENT_TIMEOUT_MS : request->timeout_ms;
    enum qk_err err;

    assert(channel->fd >= 0);
    assert(ret_reply != NULL);

    http_parser_init(&call.parser, HTTP_RESPONSE);
    call.parser.data = &call;
    *ret_reply = (struct client_reply){.body = BUF_SECRET_INIT(CLIENT_REPLY_BYTES_MAX)};
    build_head(channel->target, request, &head);
    err = buf_error(&head);
    if (err != QK_OK) {
        buf_put_str(message, "the request is too long");
        goto out;
    }
    err = send_all(&call, buf_bytes(&head), timeout_ms);
    if (err == QK_OK)
        err = request->source != NULL ? send_source(&call, timeout_ms)
                                      : send_all(&call, request->body, timeout_ms);
    /* A node refuses a body that is too big before it has read it all: its reply is what counts. */
    if (request->source != NULL && request->source->stopped)
        err = QK_ERR_CLOSED;
    else if ((err == QK_OK || err == QK_ERR_CLOSED) && !call.complete)
        err = read_reply(&call, false, timeout_ms);
    if (request->source != NULL && !request->source->ended)
        ret_reply->kept = false;
    if (err != QK_OK)
        say_failure(channel->target, err, timeout_ms, message);

out:
    ret_reply->kept = ret_reply->kept && err == QK_OK;
    buf_fini(&head);
    return err;
}

enum qk_err client_call(const struct client_target *target, const struct client_request *request,
                        struct client_reply *ret_reply, struct buf *message)
{
    struct client_channel channel = {.fd = -1};
    enum qk_err err;

    assert(target != NULL);
    assert(ret_reply != NULL);
    assert(!request->keep);

    *ret_reply = (struct client_reply){.body = BUF_SECRET_INIT(CLIENT_REPLY_BYTES_MAX)};
    err = client_channel_open(target, request->timeout_ms, &channel, message);
    if (err == QK_OK)
        err = client_channel_call(&channel, request, ret_reply, message);
    client_channel_close(&channel);
    return err;
}

void client_reply_fini(struct client_reply *reply)
{
    buf_fini(&reply->body);
}
