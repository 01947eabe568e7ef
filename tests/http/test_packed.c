#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "http/packed.h"

TestSuite(packed, .init = harness_open, .fini = harness_close, .timeout = 30);

#define ASK_HELD "GET /held HTTP/1.1\r\nHost: h\r\nAccept: application/msgpack\r\n\r\n"
#define TEXT(bytes) bytes_of((const uint8_t *)(bytes), sizeof(bytes) - 1)

Test(packed, accept_says_who_wants_it)
{
    cr_assert(packed_is_wanted(bytes_str("application/msgpack")));
    cr_assert(packed_is_wanted(bytes_str("Application/MsgPack;q=0.5 , */*;q=0.1")));
    cr_assert(packed_is_wanted(bytes_str("application/x-msgpack")));
    cr_assert(packed_is_wanted(bytes_str("application/json;q=0.9, application/msgpack")));
    cr_assert(packed_is_wanted(bytes_str("application/json, application/msgpack")));
    cr_assert(!packed_is_wanted(bytes_str("application/json, application/msgpack;q=0.9")));
    cr_assert(!packed_is_wanted(bytes_str("application/msgpack;q=0")));
    cr_assert(!packed_is_wanted(bytes_str("*/*")));
    cr_assert(!packed_is_wanted(bytes_str("")));
    cr_assert(!packed_is_wanted(bytes_str(",;,;q=,q=1;")));
    cr_assert(packed_accepts_json(bytes_str("")));
    cr_assert(packed_accepts_json(bytes_str("text/html, */*;q=0.8")));
    cr_assert(packed_accepts_json(bytes_str("application/*")));
    cr_assert(packed_accepts_json(bytes_str("application/json")));
    cr_assert(!packed_accepts_json(bytes_str("text/plain")));
    cr_assert(!packed_accepts_json(bytes_str("application/json;q=0, */*")));
    cr_assert(packed_is_type(bytes_str("application/msgpack; charset=binary")));
    cr_assert(!packed_is_type(bytes_str("application/msgpackx")));
    cr_assert(!packed_is_type(bytes_str("application/json")));
}

static const char *post_packed(const char *target, struct bytes body)
{
    static char reply[4096];
    struct buf out = BUF_INIT(4096);
    char head[256];
    int fd = client_tcp(0);

    snprintf(head, sizeof head,
             "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: "
             "application/msgpack\r\nContent-Length: %zu\r\n\r\n",
             target, body.len);
    client_send_text(fd, head);
    client_send(fd, body);
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    snprintf(reply, sizeof reply, "%s", (const char *)out.data);
    close(fd);
    buf_fini(&out);
    return reply;
}

Test(packed, handler_sees_the_json_of_a_body)
{
    node_open(0, NULL, 0);
    cr_assert_str_eq(body_of_reply(post_packed("/echo", TEXT("\x82\xa1n\x01\xa1t\xa3one"))),
                     "|echo:{\"n\":1,\"t\":\"one\"}");
    cr_assert_str_eq(body_of_reply(post_packed("/echo", TEXT("\xdf\0\0\0\0"))), "|echo:{}",
                     "shorter as JSON");
    cr_assert_str_eq(body_of_reply(post_packed("/echo", BYTES_NONE)), "|echo:");
}

Test(packed, body_that_is_none_is_a_400_and_no_handler_sees_it)
{
    const char *reply;

    node_open(0, NULL, 0);
    reply = post_packed("/echo", TEXT("\x82\xa1n\x01"));
    cr_assert_eq(status_of_reply(reply), 400);
    cr_assert(contains(reply, "invalid MessagePack: it ends early"));
    cr_assert_eq(nodes[0].handled_n, 0);
}

Test(packed, json_of_a_body_is_bounded_as_json_is)
{
    uint8_t body[99];

    node_open(0, NULL, 0);
    /* 97 times null: five bytes each as JSON; the route takes 100. */
    memset(body, 0xc0, sizeof body);
    body[0] = 0xdc;
    body[1] = 0;
    body[2] = 96;
    cr_assert_eq(status_of_reply(post_packed("/admin", bytes_of(body, sizeof body))), 413);
    cr_assert_eq(nodes[0].handled_n, 0);
}

/* MessagePack cannot be sent by a page of another site without being let, as JSON cannot. */
Test(packed, administrators_orders_may_come_so)
{
    node_open(0, NULL, 0);
    cr_assert_eq(status_of_reply(post_packed("/admin", TEXT("\x80"))), 200);
}

static int ask_held(const char *request)
{
    int fd;

    node_open(0, NULL, 0);
    fd = client_tcp(0);
    client_send_text(fd, request);
    while (nodes[0].held_n == 0)
        turn();
    nodes[0].held_n = 0;
    return fd;
}

static void reply_is(int fd, const char *head, struct bytes body)
{
    struct buf out = BUF_INIT(64 * KIB);
    uint8_t *at;

    client_read(fd, NULL, &out);
    at = memmem(out.data, out.len, "\r\n\r\n", 4);
    cr_assert_not_null(at);
    cr_assert_not_null(memmem(out.data, out.len, head, strlen(head)), "%.*s", (int)out.len,
                       (const char *)out.data);
    at += 4;
    cr_assert(bytes_equal(bytes_of(at, out.len - (size_t)(at - out.data)), body));
    close(fd);
    buf_fini(&out);
}

#define HELD_CLOSE                                                                                 \
    "GET /held HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAccept: application/msgpack\r\n\r\n"

Test(packed, whole_reply_has_type_and_length)
{
    int fd = ask_held(HELD_CLOSE);

    exchange_reply_json(nodes[0].held[0], 201, json_pack("{s:b,s:s}", "ok", 1, "id", "x"));
    reply_is(fd, "Content-Type: application/msgpack\r\nContent-Length: 10\r\n",
             TEXT("\x82\xa2ok\xc3\xa2id\xa1x"));
}

Test(packed, error_is_packed_too)
{
    int fd = ask_held(HELD_CLOSE);

    exchange_reply_error(nodes[0].held[0], 404, "not_found", "missing");
    reply_is(fd, "HTTP/1.1 404 Not Found",
             TEXT("\x82\xa5"
                  "error"
                  "\xa9not_found\xa6reason\xa7missing"));
}

Test(packed, list_in_pieces_goes_out_whole)
{
    int fd = ask_held(HELD_CLOSE);
    struct exchange *exchange = nodes[0].held[0];

    exchange_start(exchange, 200, "application/json");
    exchange_write(exchange, bytes_str("{\"rows\":[\n{\"i\":1},"));
    exchange_write(exchange, bytes_str("\n{\"i\":2}\n]}\n"));
    exchange_end(exchange);
    reply_is(fd, "Transfer-Encoding: chunked\r\n",
             TEXT("f\r\n\x81\xa4rows\x92\x81\xa1i\x01\x81\xa1i\x02\r\n0\r\n\r\n"));
}

Test(packed, list_that_breaks_off_is_an_error_and_no_shorter_list)
{
    int fd = ask_held(HELD_CLOSE);
    struct exchange *exchange = nodes[0].held[0];
    struct buf out = BUF_INIT(64 * KIB);

    exchange_start(exchange, 200, "application/json");
    exchange_write(exchange, bytes_str("{\"rows\":[\n{\"i\":1}\n{\"error\":\"sealed\"}\n"));
    exchange_end(exchange);
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(status_of_reply((const char *)out.data), 503);
    cr_assert(contains((const char *)out.data, "incomplete"));
    close(fd);
    buf_fini(&out);
}

/* A feed's lines go out as they come, or its reader would wait for ever. */
Test(packed, line_of_a_feed_goes_out_at_once_and_a_heartbeat_is_nil)
{
    int fd = ask_held(ASK_HELD);
    struct exchange *exchange = nodes[0].held[0];
    struct buf out = BUF_INIT(64 * KIB);

    exchange_start(exchange, 200, "application/json");
    exchange_write(exchange, bytes_str("{\"seq\":1}\n"));
    client_read(fd, "\x81\xa3seq\x01\r\n", &out);
    exchange_write(exchange, bytes_str("\n"));
    client_read(fd, "1\r\n\xc0\r\n", &out);
    exchange_write(exchange, bytes_str("{\"seq\":2}\n"));
    client_read(fd, "\x81\xa3seq\x02\r\n", &out);
    exchange_end(exchange);
    client_read(fd, "0\r\n\r\n", &out);
    close(fd);
    buf_fini(&out);
}

Test(packed, what_is_no_json_passes_as_it_is)
{
    int fd = ask_held(HELD_CLOSE);

    exchange_reply_bytes(nodes[0].held[0], 200, "image/png", bytes_str("{\"raw\""));
    reply_is(fd, "Content-Type: image/png\r\nContent-Length: 6\r\n", bytes_str("{\"raw\""));
}

Test(packed, head_has_the_type_and_no_body)
{
    int fd = ask_held("HEAD /held HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                      "Accept: application/msgpack\r\n\r\n");

    exchange_reply_json(nodes[0].held[0], 200, json_pack("{s:b}", "ok", 1));
    reply_is(fd, "Content-Type: application/msgpack\r\n", BYTES_NONE);
}

Test(packed, reply_without_a_body_passes)
{
    int fd = ask_held(HELD_CLOSE);

    exchange_reply_bytes(nodes[0].held[0], 304, "application/json", BYTES_NONE);
    reply_is(fd, "HTTP/1.1 304", BYTES_NONE);
}

Test(packed, client_that_leaves_meanwhile_costs_nothing)
{
    int fd = ask_held(ASK_HELD);
    struct exchange *exchange = nodes[0].held[0];

    exchange_start(exchange, 200, "application/json");
    exchange_write(exchange, bytes_str("{\"rows\":["));
    close(fd);
    for (int i = 0; i < 20; i++)
        turn();
    exchange_write(exchange, bytes_str("1]}\n"));
    exchange_end(exchange);
}

/* As CouchDB has it, for browsers of its day. */
Test(packed, json_is_called_plain_text_for_who_takes_no_json)
{
    int fd = ask_held("GET /held HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                      "Accept: text/plain\r\n\r\n");

    exchange_reply_json(nodes[0].held[0], 200, json_pack("{s:b}", "ok", 1));
    reply_is(fd, "Content-Type: text/plain; charset=utf-8\r\n", bytes_str("{\"ok\":true}\n"));
}

/* The fields of a reply that came over a link live for the call that begins it alone. */
Test(packed, forwarded_reply_keeps_its_fields)
{
    struct buf out = BUF_INIT(64 * KIB);
    int fd;

    for (unsigned i = 0; i < 2; i++) {
        node_open(i, NULL, 0);
        nodes[i].peer = &nodes[1 - i];
        nodes[i].peer_known = nodes[i].link_up = true;
    }
    nodes[0].leader = false;
    fd = client_tcp(0);
    client_send_text(fd, "GET /write HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                         "Accept: application/msgpack\r\n\r\n");
    while (nodes[1].held_n == 0)
        turn();
    nodes[1].held_n = 0;
    exchange_field(nodes[1].held[0], "X-Quorumkeep-Key", "default/1");
    exchange_reply_json(nodes[1].held[0], 200, json_pack("{s:b}", "ok", 1));
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((const char *)out.data, "\r\nX-Quorumkeep-Key: default/1\r\n"));
    cr_assert(contains((const char *)out.data, "\r\nContent-Length: 5\r\n"));
    close(fd);
    buf_fini(&out);
}
