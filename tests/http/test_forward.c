#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "http/forward_codec.h"

static void nodes_open(void)
{
    harness_open();
    for (unsigned i = 0; i < 2; i++) {
        node_open(i, NULL, 0);
        nodes[i].peer = &nodes[1 - i];
        nodes[i].peer_known = nodes[i].link_up = true;
    }
    nodes[0].leader = false;
}

TestSuite(forward, .init = nodes_open, .fini = harness_close, .timeout = 60);

#define POST(target, len)                                                                          \
    "POST " target " HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: " len "\r\n\r\n"
#define BASIC "Authorization: Basic YWRtaW46c2U6Y3JldA==\r\n"

Test(forward, a_write_on_a_follower_runs_on_the_leader)
{
    const char *reply = ask(0, POST("/write?a=%20", "3") "abc");

    cr_assert_eq(status_of_reply(reply), 200);
    cr_assert_str_eq(body_of_reply(reply), "|write:abc");
    cr_assert(contains(reply, "\r\nContent-Length: 10\r\n"));
    cr_assert_eq(nodes[0].handled_n, 0);
    cr_assert_eq(nodes[1].handled_n, 1);
    cr_assert(nodes[1].forwarded);
    cr_assert(nodes[1].who.loopback);
}

Test(forward, what_a_suspended_node_forwards_is_refused)
{
    const char *reply;

    nodes[1].peer_suspended = true;
    reply = ask(0, POST("/write", "3") "abc");
    cr_assert_eq(status_of_reply(reply), 403);
    cr_assert(contains(reply, "suspended"));
    cr_assert_eq(nodes[1].handled_n, 0);
    nodes[1].peer_suspended = false;
    cr_assert_eq(status_of_reply(ask(0, POST("/write", "3") "abc")), 200);
}

Test(forward, who_asks_goes_along_and_not_the_password)
{
    const char *reply;

    nodes[0].hold_messages = true;
    nodes[1].can_login = false;
    nodes[0].credential_version = nodes[1].credential_version = 7;
    int fd = client_tcp(0);
    struct buf out = BUF_INIT(1 * MIB);

    client_send_text(fd, "PUT /write HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" BASIC
                         "Content-Length: 1\r\n\r\nx");
    while (nodes[0].messages.len == 0)
        turn();
    for (size_t i = 0; i + 7 < nodes[0].messages.len; i++)
        cr_assert_neq(memcmp(nodes[0].messages.data + i, "se:cret", 7), 0);
    nodes[0].hold_messages = false;
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    reply = (const char *)out.data;
    cr_assert_eq(status_of_reply(reply), 200);
    cr_assert_eq(nodes[1].who.kind, PRINCIPAL_USER);
    cr_assert_str_eq(nodes[1].who.name, "admin");
    cr_assert_eq(nodes[1].who.credential_version, 7);
    cr_assert_eq(nodes[1].logins_n, 0);
    close(fd);
    buf_fini(&out);
}

Test(forward, a_user_whose_password_changed_is_refused_by_the_leader)
{
    const char *reply;

    nodes[0].credential_version = 7;
    nodes[1].credential_version = 8;
    reply = ask(0, "PUT /write HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" BASIC
                   "Content-Length: 1\r\n\r\nx");
    cr_assert_eq(status_of_reply(reply), 401);
    cr_assert_eq(nodes[1].handled_n, 0);
}

Test(forward, large_bodies_pass_in_windows_both_ways)
{
    struct buf in = BUF_SECRET_INIT(64 * MIB), out = BUF_INIT(64 * MIB);
    size_t len = 20 * MIB;
    int fd = client_tcp(0);
    const uint8_t *body;

    buf_printf(&in, POST("/write", "%zu"), len);
    uint8_t *at = buf_extend(&in, len);
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)('a' + i % 19);
    client_send(fd, buf_bytes(&in));
    client_read(fd, NULL, &out);
    cr_assert_eq(memcmp(out.data, "HTTP/1.1 200", 12), 0);
    body = out.data + out.len - len;
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(body[i], (uint8_t)('a' + i % 19));
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
}

Test(forward, a_streamed_reply_waits_for_a_slow_reader_behind_the_link)
{
    struct buf out = BUF_INIT(64 * MIB);
    int fd = client_tcp(0);

    client_send_text(fd, POST("/stream?kib=16384", "0"));
    for (int i = 0; i < 500; i++)
        turn();
    cr_assert_lt(nodes[1].queued_max, 2 * MIB);
    client_read(fd, NULL, &out);
    cr_assert_gt(out.len, 16384 * KIB);
    cr_assert_eq(memcmp(out.data + out.len - 7, "\r\n0\r\n\r\n", 7), 0);
    cr_assert_lt(nodes[1].queued_max, 2 * MIB);
    close(fd);
    buf_fini(&out);
}

Test(forward, a_full_queue_only_delays)
{
    struct buf in = BUF_SECRET_INIT(8 * MIB), out = BUF_INIT(8 * MIB);
    int fd = client_tcp(0);

    nodes[0].busy_n = 3;
    nodes[1].busy_n = 3;
    buf_printf(&in, POST("/write", "%zu"), 3 * MIB);
    memset(buf_extend(&in, 3 * MIB), 'x', 3 * MIB);
    client_send(fd, buf_bytes(&in));
    client_read(fd, NULL, &out);
    cr_assert_eq(memcmp(out.data, "HTTP/1.1 200", 12), 0);
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
}

Test(forward, without_a_leader_nothing_is_written)
{
    const char *reply;

    nodes[0].link_up = false;
    reply = ask(0, POST("/write", "1") "x");
    cr_assert_eq(status_of_reply(reply), 503);
    cr_assert(contains(reply, "\r\nRetry-After: 1\r\n"));
    cr_assert(contains(reply, "\"error\":\"no_leader\""));
}

Test(forward, what_was_forwarded_is_not_forwarded_again)
{
    const char *reply;

    nodes[1].leader = false;
    reply = ask(0, POST("/write", "1") "x");
    cr_assert_eq(status_of_reply(reply), 503);
    cr_assert(contains(reply, "no_leader"));
    cr_assert_eq(nodes[0].handled_n + nodes[1].handled_n, 0);
}

Test(forward, a_sealed_leader_says_so)
{
    nodes[1].open = false;
    cr_assert(contains(ask(0, POST("/write", "1") "x"), "\"error\":\"sealed\""));
    cr_assert_eq(nodes[1].handled_n, 0);
}

Test(forward, a_leader_lost_after_the_request_leaves_the_outcome_unknown)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd = client_tcp(0);

    client_send_text(fd, "GET /write HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    while (nodes[1].held_n == 0)
        turn();
    break_link();
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((char *)out.data), 503);
    cr_assert(contains((char *)out.data, "\"error\":\"unknown_outcome\""));
    cr_assert(nodes[1].held[0]->closed, "the leader's handler sees that nobody waits");
    exchange_reply_bytes(nodes[1].held[0], 200, "text/plain", bytes_str("late"));
    nodes[1].held_n = 0;
    cr_assert_eq(nodes[1].handled_n, 1, "never sent twice");
    close(fd);
    buf_fini(&out);
}

Test(forward, a_leader_lost_before_it_had_the_whole_request_cannot_have_run_it)
{
    struct buf in = BUF_SECRET_INIT(8 * MIB), out = BUF_INIT(1 * MIB);
    int fd = client_tcp(0);

    nodes[0].hold_messages = true;
    buf_printf(&in, POST("/write", "%zu"), 4 * MIB);
    memset(buf_extend(&in, 4 * MIB), 'x', 4 * MIB);
    client_send(fd, buf_bytes(&in));
    while (nodes[0].messages.len < 1 * MIB)
        turn();
    break_link();
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((char *)out.data, "\"error\":\"no_leader\""));
    cr_assert_eq(nodes[1].handled_n, 0);
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
}

Test(forward, a_reply_cut_off_by_the_link_is_seen_as_cut_off)
{
    struct buf out = BUF_INIT(64 * MIB);
    int fd = client_tcp(0);

    client_send_text(fd, POST("/stream?kib=8000000", "0"));
    client_read(fd, "b", &out);
    break_link();
    client_read(fd, NULL, &out);
    cr_assert_neq(memcmp(out.data + out.len - 7, "\r\n0\r\n\r\n", 7), 0);
    while (nodes[1].closed_n == 0)
        turn();
    close(fd);
    buf_fini(&out);
}

Test(forward, a_client_that_vanishes_cancels_at_the_leader)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};
    struct buf out = BUF_INIT(64 * MIB);
    int fd = client_tcp(0);

    client_send_text(fd, POST("/stream?kib=8000000", "0"));
    client_read(fd, "b", &out);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
    while (nodes[1].closed_n == 0)
        turn();
    buf_fini(&out);
}

Test(forward, a_silent_leader_is_given_up)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd = client_tcp(0);

    client_send_text(fd, "GET /write HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    while (nodes[1].held_n == 0)
        turn();
    harness_hurry();
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((char *)out.data, "\"error\":\"unknown_outcome\""));
    for (int i = 0; i < 50 && !nodes[1].held[0]->closed; i++)
        turn();
    cr_assert(nodes[1].held[0]->closed);
    close(fd);
    buf_fini(&out);
}

Test(forward, only_members_are_heard)
{
    nodes[1].peer_known = false;
    harness_hurry();
    cr_assert(contains(ask(0, POST("/write", "1") "x"), "unknown_outcome"));
    cr_assert_eq(nodes[1].handled_n, 0);
}

/* A request as a peer would send it, made by hand. */
static void send_request(const char *target, enum method method, size_t body_len)
{
    struct forward_message message = {.kind = FORWARD_REQUEST, .id = 1};
    struct buf out = BUF_SECRET_INIT(FORWARD_HEAD_BYTES_MAX);

    message.request.method = method;
    message.request.body_len = body_len;
    message.request.target = bytes_str(target);
    forward_encode(&message, &out);
    http_forward_receive(nodes[1].http, nodes[0].id, buf_bytes(&out));
    buf_fini(&out);
}

static int answered_status(void)
{
    struct forward_message message;
    struct reader reader;

    for (int i = 0; i < 20; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    reader = reader_of(buf_bytes(&nodes[1].messages));
    cr_assert_eq(forward_decode(reader_blob(&reader, LINK_MESSAGE_BYTES_MAX), &message), QK_OK);
    cr_assert_eq(message.kind, FORWARD_REPLY);
    buf_fini(&nodes[1].messages);
    return message.reply.status;
}

Test(forward, the_leader_checks_what_a_peer_sends)
{
    send_request("/write", METHOD_PUT, 0); /* needs a user, and there is none */
    cr_assert_eq(answered_status(), 401);
    send_request("/control", METHOD_POST, 0); /* never forwarded */
    cr_assert_eq(answered_status(), 400);
    send_request("/nosuch/_x", METHOD_GET, 0);
    cr_assert_eq(answered_status(), 404);
    send_request("/%zz", METHOD_GET, 0);
    cr_assert_eq(answered_status(), 400);
    send_request("/stream", METHOD_POST, 8 * MIB + 1);
    cr_assert_eq(answered_status(), 413);
    cr_assert_eq(nodes[1].handled_n, 0);
}

static void fill(struct forward_message *message, enum forward_kind kind)
{
    memset(message, 0, sizeof *message);
    message->kind = kind;
    message->id = 0x0102030405060708;
    message->taken = 77;
    message->body = bytes_str("body");
    message->request.method = METHOD_PUT;
    message->request.body_len = 5;
    message->request.who.kind = PRINCIPAL_USER;
    memcpy(message->request.who.name, "admin", 6);
    message->request.who.admin = true;
    message->request.target = bytes_str("/db/doc?rev=1-a");
    message->request.if_match = bytes_str("1-a");
    message->request.from = bytes_str("127.0.0.1");
    message->reply.status = 201;
    message->reply.length = 10;
    message->reply.content_type = bytes_str("application/json");
    message->reply.fields[0] = (struct forward_field){bytes_str("ETag"), bytes_str("\"1-a\"")};
    message->reply.fields_n = 1;
}

Test(forward_codec, messages_round_trip_and_damage_is_survived)
{
    for (int kind = FORWARD_REQUEST; kind <= FORWARD_CANCEL; kind++) {
        struct buf out = BUF_INIT(64 * KIB), again = BUF_INIT(64 * KIB);
        struct forward_message message, decoded;

        fill(&message, (enum forward_kind)kind);
        forward_encode(&message, &out);
        cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_OK);
        forward_encode(&decoded, &again);
        cr_assert(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
        for (size_t cut = 0; cut < out.len; cut++) {
            bool body = kind == FORWARD_REQUEST_BODY || kind == FORWARD_REPLY_BODY;

            /* The empty piece is one: it ends a body whose length was not announced. */
            if (!body || cut < 10 || (cut == 10 && kind == FORWARD_REPLY_BODY))
                cr_assert_eq(forward_decode(bytes_of(out.data, cut), &decoded), QK_ERR_INVALID);
        }
        for (size_t i = 0; i < out.len * 8; i++) {
            out.data[i / 8] ^= (uint8_t)(1 << i % 8);
            if (forward_decode(buf_bytes(&out), &decoded) == QK_OK) {
                buf_reset(&again);
                forward_encode(&decoded, &again);
                cr_assert(bytes_equal(buf_bytes(&out), buf_bytes(&again)));
            }
            out.data[i / 8] ^= (uint8_t)(1 << i % 8);
        }
        buf_put_u8(&out, 0);
        if (kind != FORWARD_REQUEST_BODY && kind != FORWARD_REPLY_BODY)
            cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_ERR_INVALID);
        buf_fini(&out);
        buf_fini(&again);
    }
}

/* A cookie with all its attributes once was longer than what a reply on its way back could hold,
 * and no login by cookie on a follower was answered. */
Test(forward_codec, the_longest_field_of_a_reply_comes_back)
{
    struct forward_message message, decoded;
    struct buf out = BUF_INIT(64 * KIB);
    char value[REPLY_FIELD_BYTES];

    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    fill(&message, FORWARD_REPLY);
    message.reply.fields[0].value = bytes_str(value);
    forward_encode(&message, &out);
    cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_OK);
    cr_assert(bytes_equal(decoded.reply.fields[0].value, bytes_str(value)));
    buf_fini(&out);
}

Test(forward_codec, bodies_over_a_piece_and_other_versions_are_refused)
{
    struct forward_message message = {.kind = FORWARD_REPLY_BODY}, decoded;
    struct buf out = BUF_INIT(1 * MIB);
    static uint8_t piece[FORWARD_PIECE_BYTES + 1];

    message.body = bytes_of(piece, FORWARD_PIECE_BYTES);
    forward_encode(&message, &out);
    cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_OK);
    buf_reset(&out);
    message.body = bytes_of(piece, FORWARD_PIECE_BYTES + 1);
    forward_encode(&message, &out);
    cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_ERR_INVALID);
    out.data[0] = FORWARD_VERSION + 1;
    cr_assert_eq(forward_decode(buf_bytes(&out), &decoded), QK_ERR_UNSUPPORTED);
    buf_fini(&out);
}
