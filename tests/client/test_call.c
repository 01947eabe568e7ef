/* The client against a server of one reply, on a free loopback port or a socket file. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/call.h"

struct server {
    int fd;
    char address[128];
    const char *reply;
    size_t reply_len;
    size_t piece; /* sent in pieces of so many bytes */
    char got[4096];
    size_t got_len;
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *server = arg;
    int fd = accept(server->fd, NULL, NULL);
    size_t sent = 0;

    while (server->got_len < sizeof(server->got) - 1) {
        ssize_t got =
            recv(fd, server->got + server->got_len, sizeof(server->got) - 1 - server->got_len, 0);

        if (got <= 0)
            break;
        server->got_len += (size_t)got;
        server->got[server->got_len] = '\0';
        if (strstr(server->got, "\r\n\r\n") != NULL)
            break;
    }
    while (sent < server->reply_len) {
        size_t len = server->reply_len - sent;

        len = len < server->piece ? len : server->piece;
        if (send(fd, server->reply + sent, len, MSG_NOSIGNAL) < 0)
            break;
        sent += len;
    }
    close(fd);
    return NULL;
}

static void start(struct server *server, const char *reply, size_t len, size_t piece)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_len = sizeof(address);

    memset(server, 0, sizeof(*server));
    server->reply = reply;
    server->reply_len = len;
    server->piece = piece;
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(bind(server->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(server->fd, 1), 0);
    cr_assert_eq(getsockname(server->fd, (struct sockaddr *)&address, &address_len), 0);
    (void)snprintf(server->address, sizeof(server->address), "http://127.0.0.1:%u/",
                   ntohs(address.sin_port));
    cr_assert_eq(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void stop(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->fd);
}

static enum qk_err call(struct server *server, struct client_request request,
                        struct client_reply *reply)
{
    struct buf message = BUF_INIT(4096);
    struct client_target target;
    enum qk_err err;

    cr_assert_eq(client_target_parse(server->address, &target, &message), QK_OK);
    if (request.method == NULL)
        request.method = "GET";
    if (request.target.len == 0)
        request.target = bytes_str("/");
    err = client_call(&target, &request, reply, &message);
    cr_assert_eq(err == QK_OK, message.len == 0);
    buf_fini(&message);
    return err;
}

#define REPLY "HTTP/1.1 201 Created\r\nContent-Length: 11\r\nX: y\r\n\r\n{\"ok\":true}"

Test(client, a_reply_is_read_in_pieces_of_any_size)
{
    for (size_t piece = 1; piece <= sizeof(REPLY); piece += 7) {
        struct client_reply reply;
        struct server server;

        start(&server, REPLY, sizeof(REPLY) - 1, piece);
        cr_assert_eq(call(&server, (struct client_request){0}, &reply), QK_OK);
        cr_assert_eq(reply.status, 201);
        cr_assert(bytes_equal(buf_bytes(&reply.body), bytes_str("{\"ok\":true}")));
        client_reply_fini(&reply);
        stop(&server);
    }
}

Test(client, what_is_sent_is_complete)
{
    struct client_reply reply;
    struct server server;

    start(&server, REPLY, sizeof(REPLY) - 1, 1000);
    cr_assert_eq(call(&server,
                      (struct client_request){.method = "PUT",
                                              .target = bytes_str("/db/a%2Fb?rev=1"),
                                              .body = bytes_str("{}"),
                                              .authorization = bytes_str("Basic eA==")},
                      &reply),
                 QK_OK);
    stop(&server);
    cr_assert(strncmp(server.got, "PUT /db/a%2Fb?rev=1 HTTP/1.1\r\n", 30) == 0);
    cr_assert_not_null(strstr(server.got, "\r\nHost: 127.0.0.1:"));
    cr_assert_not_null(strstr(server.got, "\r\nAuthorization: Basic eA==\r\n"));
    cr_assert_not_null(strstr(server.got, "\r\nContent-Length: 2\r\n"));
    cr_assert_not_null(strstr(server.got, "\r\nContent-Type: application/json\r\n"));
    client_reply_fini(&reply);
}

Test(client, a_truncated_reply_is_an_unknown_outcome)
{
    for (size_t len = 0; len < sizeof(REPLY) - 1; len++) {
        struct client_reply reply;
        struct server server;
        enum qk_err err;

        start(&server, REPLY, len, 1000);
        err = call(&server, (struct client_request){0}, &reply);
        cr_assert_eq(err, QK_ERR_UNKNOWN_OUTCOME, "%zu bytes: %s", len, qk_err_text(err));
        client_reply_fini(&reply);
        stop(&server);
    }
}

Test(client, what_is_not_http_is_said_to_be_so)
{
    static const char noise[] = "SSH-2.0-OpenSSH_9.2\r\n";
    struct client_reply reply;
    struct server server;

    start(&server, noise, sizeof(noise) - 1, 1000);
    cr_assert_eq(call(&server, (struct client_request){0}, &reply), QK_ERR_INVALID);
    client_reply_fini(&reply);
    stop(&server);
}

struct pieces {
    char text[64];
    size_t len;
};

static bool on_piece(void *arg, struct bytes piece)
{
    struct pieces *pieces = arg;

    cr_assert_lt(pieces->len + piece.len, sizeof(pieces->text));
    memcpy(pieces->text + pieces->len, piece.data, piece.len);
    pieces->len += piece.len;
    return true;
}

Test(client, a_streamed_body_comes_in_pieces_after_an_interim_reply)
{
    static const char chunked[] = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
                                  "Transfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nab\n\r\n3\r\ncd\n\r\n0\r\n\r\n";
    struct pieces pieces = {.len = 0};
    struct client_reply reply;
    struct server server;

    start(&server, chunked, sizeof(chunked) - 1, 5);
    cr_assert_eq(
        call(&server, (struct client_request){.on_body = on_piece, .arg = &pieces}, &reply), QK_OK);
    cr_assert_eq(reply.status, 200);
    cr_assert_eq(reply.body.len, 0);
    cr_assert_str_eq(pieces.text, "ab\ncd\n");
    client_reply_fini(&reply);
    stop(&server);
}

Test(client, an_error_body_is_kept_even_when_streaming)
{
    static const char refused[] = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n{}";
    struct pieces pieces = {.len = 0};
    struct client_reply reply;
    struct server server;

    start(&server, refused, sizeof(refused) - 1, 1000);
    cr_assert_eq(
        call(&server, (struct client_request){.on_body = on_piece, .arg = &pieces}, &reply), QK_OK);
    cr_assert_eq(reply.status, 403);
    cr_assert_eq(reply.body.len, 2);
    cr_assert_eq(pieces.len, 0);
    client_reply_fini(&reply);
    stop(&server);
}

Test(client, nobody_listening_is_closed)
{
    struct buf message = BUF_INIT(4096);
    struct client_request request = {.method = "GET", .target = bytes_str("/")};
    struct client_target target;
    struct client_reply reply;
    struct server server;

    start(&server, REPLY, sizeof(REPLY) - 1, 1000);
    cr_assert_eq(call(&server, (struct client_request){0}, &reply), QK_OK);
    client_reply_fini(&reply);
    stop(&server);
    cr_assert_eq(client_target_parse(server.address, &target, &message), QK_OK);
    cr_assert_eq(client_call(&target, &request, &reply, &message), QK_ERR_CLOSED);
    client_reply_fini(&reply);
    cr_assert_eq(client_target_parse("unix:/nonexistent/s", &target, &message), QK_OK);
    cr_assert_eq(client_call(&target, &request, &reply, &message), QK_ERR_CLOSED);
    client_reply_fini(&reply);
    buf_fini(&message);
}

static enum qk_err parse(const char *text, struct client_target *target)
{
    struct buf message = BUF_INIT(4096);
    enum qk_err err = client_target_parse(text, target, &message);

    cr_assert_eq(err == QK_OK, message.len == 0);
    buf_fini(&message);
    return err;
}

Test(target, every_spelling_is_understood)
{
    struct client_target target;

    cr_assert_eq(parse("unix:/a/b", &target), QK_OK);
    cr_assert(target.local);
    cr_assert_str_eq(target.path, "/a/b");
    cr_assert_eq(parse("/a/b", &target), QK_OK);
    cr_assert(target.local);
    cr_assert_eq(parse("unix:a/b", &target), QK_OK);
    cr_assert_str_eq(target.path, "a/b");
    cr_assert_eq(parse("http://[::1]:7601/", &target), QK_OK);
    cr_assert(!target.local);
    cr_assert_str_eq(target.host, "::1");
    cr_assert_str_eq(target.port, "7601");
    cr_assert_eq(parse("db1.example:80", &target), QK_OK);
    cr_assert_str_eq(target.host, "db1.example");
}

Test(target, what_is_none_is_refused)
{
    static const char *const bad[] = {
        "",         ":",           "host",      "host:",        ":80",
        "host:80a", "host:123456", "https://h", "http://h:1/x", "http://"};
    struct client_target target;
    char text[1024];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(parse(bad[i], &target), QK_ERR_INVALID, "%s", bad[i]);
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    cr_assert_eq(parse(text, &target), QK_ERR_INVALID);
    text[0] = '/';
    text[200] = '\0';
    cr_assert_eq(parse(text, &target), QK_ERR_INVALID);
}

Test(target, private_means_this_machine)
{
    static const char *const near[] = {"/a", "localhost:1", "127.0.0.1:1", "[::1]:1"};
    static const char *const far[] = {"10.0.0.1:1", "127.0.0.1.example:1", "localhost.example:1"};
    struct client_target target;

    for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
        cr_assert_eq(parse(near[i], &target), QK_OK);
        cr_assert(client_target_is_private(&target), "%s", near[i]);
    }
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        cr_assert_eq(parse(far[i], &target), QK_OK);
        cr_assert(!client_target_is_private(&target), "%s", far[i]);
    }
}

static bool on_first_piece(void *arg, struct bytes piece)
{
    (void)on_piece(arg, piece);
    return false;
}

Test(client, who_wants_no_more_of_a_body_gets_no_more)
{
    static const char chunked[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                  "3\r\nab\n\r\n3\r\ncd\n\r\n0\r\n\r\n";
    struct pieces pieces = {.len = 0};
    struct client_reply reply;
    struct server server;

    start(&server, chunked, sizeof(chunked) - 1, 1000);
    cr_assert_eq(
        call(&server, (struct client_request){.on_body = on_first_piece, .arg = &pieces}, &reply),
        QK_OK);
    cr_assert_eq(reply.status, 200);
    cr_assert_str_eq(pieces.text, "ab\n");
    client_reply_fini(&reply);
    stop(&server);
}

Test(path, ids_with_a_space_of_their_own_are_two_segments)
{
    struct buf path = BUF_INIT(256);

    client_path_put_id(&path, "_design/a/b");
    client_path_put_id(&path, "_local/c");
    client_path_put_id(&path, "_designs/d");
    cr_assert(bytes_equal(buf_bytes(&path), bytes_str("/_design/a%2Fb/_local/c/_designs%2Fd")));
    buf_fini(&path);
}

Test(path, segments_and_values_are_encoded)
{
    struct buf path = BUF_INIT(256);

    client_path_put(&path, "a/b c");
    client_path_put(&path, "_all_docs");
    client_query_put(&path, "key", "\"\xc3\xa9&=\"");
    client_query_put(&path, "x", "1");
    cr_assert(bytes_equal(buf_bytes(&path),
                          bytes_str("/a%2Fb%20c/_all_docs?key=%22%C3%A9%26%3D%22&x=1")));
    buf_fini(&path);
}
