/* Over 500 lines: the routes, the hooks and the clients of every test of this folder. */
#include "harness.h"
#include "http/server.h"

#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "secret/secret.h"

uv_loop_t loop;
struct node_state nodes[2];
static char directory[] = "/tmp/quorumkeep-http-XXXXXX";
static char reply_text[1 * MIB];

/* ---- handlers; `service` is the node's state ---- */

static struct node_state *state_of(struct service *service)
{
    return (struct node_state *)(void *)service;
}

static void note(struct service *service, struct exchange *exchange)
{
    struct node_state *state = state_of(service);

    state->handled_n++;
    state->who = exchange->request.who;
    state->forwarded = exchange->request.forwarded;
}

static void handle_root(struct service *service, struct exchange *exchange)
{
    note(service, exchange);
    exchange_field(exchange, "X-Test", "a%cb", '\n');
    exchange_reply_bytes(exchange, 200, "text/plain", bytes_str("root\n"));
}

/* The segments between bars, then the body. */
static void handle_echo(struct service *service, struct exchange *exchange)
{
    struct buf out = BUF_SECRET_INIT(128 * MIB);

    note(service, exchange);
    for (unsigned i = 0; i < exchange->request.segments_n; i++) {
        buf_put_u8(&out, '|');
        buf_put_bytes(&out, exchange->request.segments[i]);
    }
    buf_put_str(&out, exchange->request.method == METHOD_LIST ? "|LIST:" : ":");
    buf_put_bytes(&out, exchange->request.body);
    exchange_reply_bytes(exchange, 200, "text/plain", buf_bytes(&out));
    buf_fini(&out);
}

static void handle_held(struct service *service, struct exchange *exchange)
{
    struct node_state *state = state_of(service);

    note(service, exchange);
    state->held[state->held_n++] = exchange;
}

static void handle_nothing(struct service *service, struct exchange *exchange)
{
    note(service, exchange);
    exchange_reply_bytes(exchange, 204, NULL, BYTES_NONE);
}

/* GET /stream?kib=N: N KiB of a counting pattern, as fast as the client takes them. */
struct stream {
    struct exchange *exchange;
    struct node_state *state;
    size_t left, at;
};

static void stream_more(void *arg)
{
    struct stream *stream = arg;
    uint8_t piece[1024];

    while (stream->left > 0 && !stream->exchange->closed &&
           exchange_queued(stream->exchange) < 256 * KIB) {
        for (size_t i = 0; i < sizeof piece; i++)
            piece[i] = (uint8_t)('a' + (stream->at + i) % 23);
        exchange_write(stream->exchange, bytes_of(piece, sizeof piece));
        stream->at += sizeof piece;
        stream->left -= sizeof piece;
        if (exchange_queued(stream->exchange) > stream->state->queued_max)
            stream->state->queued_max = exchange_queued(stream->exchange);
    }
    if (stream->left > 0 && !stream->exchange->closed) {
        exchange_on_drain(stream->exchange, stream_more, stream);
        return;
    }
    if (stream->exchange->closed)
        stream->state->closed_n++;
    exchange_end(stream->exchange);
    free(stream);
}

static void handle_stream(struct service *service, struct exchange *exchange)
{
    struct stream *stream = calloc(1, sizeof *stream);
    struct bytes value = BYTES_NONE;
    char text[16] = "";

    note(service, exchange);
    if (request_param(&exchange->request, "kib", &value))
        memcpy(text, value.data, value.len < sizeof text - 1 ? value.len : sizeof text - 1);
    stream->exchange = exchange;
    stream->state = state_of(service);
    stream->left = (size_t)strtoul(text, NULL, 10) * KIB;
    exchange_start(exchange, 200, "text/plain");
    stream_more(stream);
}

/* POST /upload: counts the body, in which each byte is as handle_stream would send it. */
struct upload_sink {
    struct exchange *exchange;
    struct node_state *state;
    uint64_t at;
    bool wrong;
};

static void sink_more(void *arg)
{
    struct upload_sink *sink = arg;
    struct exchange *exchange = sink->exchange;
    bool ended = exchange->body.ended;
    struct buf piece = BUF_SECRET_INIT(4 * MIB);
    char text[64];

    if (exchange->body.bytes->len > sink->state->waited_max)
        sink->state->waited_max = exchange->body.bytes->len;
    exchange_body_take(exchange, &piece);
    for (size_t i = 0; i < piece.len; i++)
        sink->wrong = sink->wrong || piece.data[i] != (uint8_t)('a' + (sink->at + i) % 23);
    sink->at += piece.len;
    sink->state->uploaded = sink->at;
    sink->state->pieces_n++;
    buf_fini(&piece);
    if (exchange->closed || ended) {
        sink->state->closed_n += exchange->closed;
        snprintf(text, sizeof text, "%llu %s", (unsigned long long)sink->at,
                 sink->wrong ? "wrong" : "right");
        exchange_reply_bytes(exchange, 200, "text/plain", bytes_str(text));
        free(sink);
    } else {
        exchange_body_wait(exchange, EXCHANGE_BODY_WINDOW_BYTES, sink_more, sink);
    }
}

static void handle_upload(struct service *service, struct exchange *exchange)
{
    struct upload_sink *sink;

    note(service, exchange);
    if (!exchange->body.streamed) {
        exchange_reply_bytes(exchange, 200, "text/plain", bytes_str("whole"));
        return;
    }
    if (state_of(service)->refuse_upload) {
        exchange_reply_error(exchange, 409, "conflict", "not that");
        return;
    }
    sink = calloc(1, sizeof *sink);
    if (sink == NULL)
        abort();
    sink->exchange = exchange;
    sink->state = state_of(service);
    if (state_of(service)->hold_upload)
        sink->state->held[sink->state->held_n++] = exchange;
    else
        exchange_body_wait(exchange, EXCHANGE_BODY_WINDOW_BYTES, sink_more, sink);
    if (state_of(service)->hold_upload)
        free(sink);
}

#define READ ROUTE_CLASS_READ
#define OPEN_LEADER (ROUTE_OPEN | ROUTE_LEADER)
static const struct route ROUTES[] = {
    {METHOD_GET, "/", ACCESS_PUBLIC, 0, READ, 100, handle_root},
    {METHOD_GET, "/held", ACCESS_PUBLIC, 0, READ, 100, handle_held},
    {METHOD_GET, "/nothing", ACCESS_PUBLIC, 0, READ, 100, handle_nothing},
    {METHOD_GET, "/stream", ACCESS_PUBLIC, 0, READ, 100, handle_stream},
    {METHOD_POST, "/stream", ACCESS_PUBLIC, OPEN_LEADER, READ, 8 * MIB, handle_stream},
    {METHOD_POST, "/upload", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_STREAM, READ, 100, handle_upload},
    {METHOD_POST, "/parts", ACCESS_PUBLIC, ROUTE_OPEN | ROUTE_STREAM_PARTS, READ, 2 * MIB,
     handle_upload},
    {METHOD_POST, "/echo", ACCESS_PUBLIC, 0, READ, 8 * MIB, handle_echo},
    {METHOD_POST, "/admin", ACCESS_PUBLIC, 0, ROUTE_CLASS_ADMIN, 100, handle_echo},
    {METHOD_PUT, "/admin", ACCESS_PUBLIC, 0, ROUTE_CLASS_ADMIN, 100, handle_echo},
    {METHOD_DELETE, "/admin", ACCESS_PUBLIC, 0, ROUTE_CLASS_ADMIN, 100, handle_echo},
    {METHOD_GET, "/admin", ACCESS_PUBLIC, 0, ROUTE_CLASS_ADMIN, 100, handle_echo},
    {METHOD_GET, "/private", ACCESS_USER, 0, READ, 100, handle_root},
    {METHOD_POST, "/private", ACCESS_USER, 0, READ, 1000, handle_echo},
    {METHOD_GET, "/status", ACCESS_STATUS, 0, READ, 100, handle_root},
    {METHOD_POST, "/control", ACCESS_CONTROL_ONLY, 0, READ, 100, handle_echo},
    {METHOD_POST, "/write", ACCESS_PUBLIC, OPEN_LEADER, READ, 64 * MIB, handle_echo},
    {METHOD_GET, "/write", ACCESS_PUBLIC, OPEN_LEADER, READ, 100, handle_held},
    {METHOD_PUT, "/write", ACCESS_USER, OPEN_LEADER, READ, 100, handle_echo},
    {METHOD_POST, "/login", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_LOGIN, READ, 1000, handle_echo},
    {METHOD_GET, "/who", ACCESS_PUBLIC, ROUTE_WHO, READ, 100, handle_root},
    {METHOD_DELETE, "/who", ACCESS_PUBLIC, OPEN_LEADER | ROUTE_WHO, READ, 100, handle_nothing},
    {METHOD_LIST, "/{db}", ACCESS_PUBLIC, 0, READ, 100, handle_echo},
    {METHOD_GET, "/{db}", ACCESS_USER, ROUTE_OPEN, READ, 100, handle_echo},
    {METHOD_GET, "/{db}/{doc}", ACCESS_PUBLIC, ROUTE_OPEN, READ, 100, handle_echo},
    {METHOD_GET, "/{db}/_design/{*name}", ACCESS_PUBLIC, ROUTE_OPEN, READ, 100, handle_echo},
    {METHOD_PATCH, "/v1/vault/{path...}", ACCESS_USER, ROUTE_OPEN, READ, 100, handle_echo},
};

/* ---- hooks ---- */

static bool hook_is_open(void *arg)
{
    return ((struct node_state *)arg)->open;
}

static void hook_closed_reason(void *arg, char *ret_text, size_t len)
{
    (void)arg;
    (void)snprintf(ret_text, len, "waiting for 1 more node: n2 (never)");
}

static bool hook_can_login(void *arg)
{
    return ((struct node_state *)arg)->can_login;
}

static bool hook_login_is_current(void *arg, const struct principal *who)
{
    return who->credential_version == ((struct node_state *)arg)->credential_version;
}

/* Administrators may, others may what needs no right. */
static enum qk_err hook_authorize(void *arg, struct exchange *exchange, enum access_right right)
{
    enum qk_err err = access_admit(&exchange->request.who, right);

    (void)arg;
    if (err != QK_OK || right < ACCESS_DB_READ || right == ACCESS_CONTROL_ONLY)
        return err;
    return exchange->request.who.admin ? QK_OK : QK_ERR_DENIED;
}

static bool hook_is_leader(void *arg)
{
    return ((struct node_state *)arg)->leader;
}

static bool hook_leader(void *arg, uint8_t ret_node_id[static NODE_ID_BYTES])
{
    struct node_state *state = arg;

    if (state->peer == NULL || !state->link_up)
        return false;
    memcpy(ret_node_id, state->peer->id, NODE_ID_BYTES);
    return true;
}

static bool hook_may_forward(void *arg, const uint8_t node_id[static NODE_ID_BYTES])
{
    (void)node_id;
    return !((struct node_state *)arg)->peer_suspended;
}

static bool hook_is_member(void *arg, const uint8_t node_id[static NODE_ID_BYTES])
{
    struct node_state *state = arg;

    return state->peer_known && state->peer != NULL &&
           memcmp(state->peer->id, node_id, NODE_ID_BYTES) == 0;
}

static enum qk_err hook_send(void *arg, const uint8_t node_id[static NODE_ID_BYTES],
                             struct bytes message)
{
    struct node_state *state = arg;

    cr_assert_eq(memcmp(node_id, state->peer->id, NODE_ID_BYTES), 0);
    if (!state->link_up)
        return QK_ERR_CLOSED;
    if (state->busy_n > 0) {
        state->busy_n--;
        return QK_ERR_BUSY;
    }
    buf_put_blob(&state->messages, message);
    cr_assert_eq(buf_error(&state->messages), QK_OK);
    return QK_OK;
}

void deliver(struct node_state *from)
{
    struct buf messages = from->messages;
    struct reader reader = reader_of(buf_bytes(&messages));

    from->messages = BUF_SECRET_INIT(256 * MIB);
    while (reader.at < reader.in.len) {
        struct bytes message = reader_blob(&reader, LINK_MESSAGE_BYTES_MAX);

        if (from->peer->http != NULL)
            http_forward_receive(from->peer->http, from->id, message);
    }
    cr_assert_eq(reader_end(&reader), QK_OK);
    buf_fini(&messages);
}

void break_link(void)
{
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].link_up = false;
        buf_fini(&nodes[i].messages);
    }
    for (unsigned i = 0; i < 2; i++) {
        if (nodes[i].http != NULL)
            http_forward_peer_down(nodes[i].http, nodes[1 - i].id);
    }
}

/* ---- life ---- */

void harness_open(void)
{
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
    cr_assert_eq(uv_loop_init(&loop), 0);
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].id[0] = (uint8_t)(i + 1);
        nodes[i].messages = BUF_SECRET_INIT(256 * MIB);
        (void)snprintf(nodes[i].control, sizeof nodes[i].control, "%s/%u.sock", directory, i);
    }
}

struct http_config node_config(unsigned i)
{
    return (struct http_config){
        .loop = &loop,
        .service = (struct service *)(void *)&nodes[i],
        .listen = "127.0.0.1:0",
        .control_path = nodes[i].control,
        .hooks = {.arg = &nodes[i],
                  .is_open = hook_is_open,
                  .closed_reason = hook_closed_reason,
                  .can_login = hook_can_login,
                  .login = harness_login,
                  .login_token = harness_login_token,
                  .catch_up = harness_catch_up,
                  .leads = harness_leads,
                  .login_is_current = hook_login_is_current,
                  .authorize = hook_authorize,
                  .is_leader = hook_is_leader,
                  .leader = hook_leader,
                  .is_member = hook_is_member,
                  .may_forward = hook_may_forward,
                  .send = hook_send},
        .routes = ROUTES,
        .routes_n = sizeof ROUTES / sizeof ROUTES[0],
    };
}

void node_open(unsigned i, const struct http_timing *timing, unsigned connections_max)
{
    struct http_config config = node_config(i);
    char reason[HTTP_REASON_BYTES];

    if (timing != NULL)
        config.timing = *timing;
    config.connections_max = connections_max;
    nodes[i].open = nodes[i].can_login = nodes[i].leader = true;
    cr_assert_eq(http_new(&config, reason, &nodes[i].http), QK_OK, "%s", reason);
}

void harness_hurry(void)
{
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].http->config.timing.forward_ms = 400;
        nodes[i].http->config.timing.body_ms = 300;
    }
}

void harness_close(void)
{
    for (unsigned i = 0; i < 2; i++) {
        nodes[i].hold_logins = false;
        if (nodes[i].http != NULL)
            http_close(nodes[i].http, NULL, NULL);
        nodes[i].http = NULL;
        for (unsigned k = 0; k < nodes[i].held_n; k++)
            exchange_reply_err(nodes[i].held[k], QK_ERR_CLOSED);
        nodes[i].held_n = 0;
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
    for (unsigned i = 0; i < 2; i++) {
        buf_fini(&nodes[i].messages);
        (void)unlink(nodes[i].control);
    }
    secret_arena_fini();
    cr_assert_eq(rmdir(directory), 0);
}

void turn(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
    for (unsigned i = 0; i < 2; i++) {
        if (nodes[i].messages.len > 0 && !nodes[i].hold_messages)
            deliver(&nodes[i]);
    }
}

/* ---- clients ---- */

int client_tcp(unsigned node)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons(http_port(nodes[node].http));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

int client_control(unsigned node)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", nodes[node].control);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

void client_send(int fd, struct bytes bytes)
{
    uint64_t end = now_ms() + WAIT_MS;

    while (bytes.len > 0) {
        ssize_t n = send(fd, bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);

        turn();
        if (n > 0)
            bytes = bytes_slice(bytes, (size_t)n, bytes.len);
        else if (errno != EAGAIN)
            return; /* the server has closed: the test sees it when it reads */
        cr_assert(now_ms() < end, "the server takes nothing");
    }
}

void client_send_text(int fd, const char *text)
{
    client_send(fd, bytes_str(text));
}

static bool ends_with(const struct buf *out, const char *end)
{
    size_t len = strlen(end);

    return out->len >= len && memcmp(out->data + out->len - len, end, len) == 0;
}

void client_read(int fd, const char *end, struct buf *out)
{
    uint64_t deadline = now_ms() + WAIT_MS;
    static uint8_t piece[64 * 1024];

    while (end == NULL || !ends_with(out, end)) {
        struct pollfd readable = {.fd = fd, .events = POLLIN};
        ssize_t n;

        turn();
        n = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (n > 0) {
            buf_put(out, piece, (size_t)n);
            cr_assert_eq(buf_error(out), QK_OK);
        } else if (n == 0 || errno != EAGAIN) {
            cr_assert(end == NULL, "closed before '%s' after %zu bytes: %.*s", end, out->len,
                      (int)(out->len < 2000 ? out->len : 2000), (const char *)out->data);
            return;
        } else {
            (void)poll(&readable, 1, 1);
        }
        cr_assert(now_ms() < deadline, "no end after %zu bytes", out->len);
    }
}

static const char *ask_on(int fd, const char *text)
{
    struct buf out = BUF_INIT(sizeof reply_text - 1);

    client_send_text(fd, text);
    (void)shutdown(fd, SHUT_WR);
    client_read(fd, NULL, &out);
    (void)close(fd);
    memcpy(reply_text, out.len > 0 ? out.data : (const uint8_t *)"", out.len);
    reply_text[out.len] = '\0';
    buf_fini(&out);
    return reply_text;
}

const char *ask(unsigned node, const char *text)
{
    return ask_on(client_tcp(node), text);
}

const char *ask_control(unsigned node, const char *text)
{
    return ask_on(client_control(node), text);
}

bool contains(const char *reply, const char *part)
{
    return strstr(reply, part) != NULL;
}

int status_of_reply(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? (int)strtol(reply + 9, NULL, 10) : 0;
}

const char *body_of_reply(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");

    return end == NULL ? "" : end + 4;
}
