/* Bodies that a handler takes as they come: on the node asked, and through it on the leader. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness.h"
#include "http/server.h"

static void nodes_open(void)
{
    struct http_timing timing = {.linger_ms = 100};

    harness_open();
    for (unsigned i = 0; i < 2; i++) {
        node_open(i, &timing, 0);
        nodes[i].peer = &nodes[1 - i];
        nodes[i].peer_known = nodes[i].link_up = true;
    }
    nodes[0].leader = false;
}

TestSuite(stream, .init = nodes_open, .fini = harness_close, .timeout = 60);

#define HEAD "POST /upload HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"

#define STILL_MS 2000u /* nothing moves for so long: it is held up */

static void wait_closed(unsigned n)
{
    uint64_t began_ns = uv_hrtime();

    while (nodes[1].closed_n < n && uv_hrtime() - began_ns < WAIT_MS * UINT64_C(1000000))
        turn();
    cr_assert_eq(nodes[1].closed_n, n);
}

static size_t fill(uint64_t at, uint8_t *piece, size_t len)
{
    for (size_t i = 0; i < len; i++)
        piece[i] = (uint8_t)('a' + (at + i) % 23);
    return len;
}

/* Sends `len` bytes of the pattern from `at` on, as the node takes them; false when it takes no
 * more for `still_ms`. */
static bool send_for(int fd, uint64_t at, uint64_t len, uint64_t still_ms)
{
    static uint8_t piece[64 * KIB];
    uint64_t end = at + len, moved_ns = uv_hrtime();

    while (at < end && uv_hrtime() - moved_ns < still_ms * 1000000) {
        size_t want = end - at < sizeof piece ? (size_t)(end - at) : sizeof piece;
        ssize_t n = send(fd, piece, fill(at, piece, want), MSG_DONTWAIT | MSG_NOSIGNAL);

        at += n > 0 ? (uint64_t)n : 0;
        if (n > 0)
            moved_ns = uv_hrtime();
        turn();
    }
    return at == end;
}

static bool send_pattern(int fd, uint64_t at, uint64_t len)
{
    return send_for(fd, at, len, WAIT_MS);
}

static const char *upload(unsigned node, uint64_t len)
{
    static struct buf out;
    char head[256];
    int fd = client_tcp(node);

    buf_fini(&out);
    out = BUF_INIT(1 * MIB);
    snprintf(head, sizeof head, HEAD "Content-Length: %llu\r\n\r\n", (unsigned long long)len);
    client_send_text(fd, head);
    cr_assert(send_pattern(fd, 0, len));
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    close(fd);
    return (const char *)out.data;
}

Test(stream, a_long_body_goes_through_in_bounded_memory)
{
    for (unsigned node = 0; node < 2; node++) { /* the follower first */
        cr_assert_str_eq(body_of_reply(upload(node, 20 * MIB + 7)), "20971527 right");
        cr_assert_eq(nodes[1].uploaded, 20 * MIB + 7);
        cr_assert_leq(nodes[1].waited_max, EXCHANGE_BODY_WINDOW_BYTES + 64 * KIB);
        cr_assert_geq(nodes[1].pieces_n, 20);
        nodes[1].pieces_n = 0;
    }
    cr_assert_eq(nodes[0].handled_n, 0);
    cr_assert_eq(nodes[1].handled_n, 2);
}

Test(stream, a_short_body_comes_as_a_whole)
{
    nodes[0].leader = true;
    cr_assert_str_eq(body_of_reply(ask(0, HEAD "Content-Length: 3\r\n\r\nabc")), "whole");
}

static void send_chunked(int fd, uint64_t len, const char *end)
{
    for (uint64_t at = 0; at < len; at += 100 * KIB) {
        uint64_t n = len - at < 100 * KIB ? len - at : 100 * KIB;
        char head[32];

        snprintf(head, sizeof head, "%llx\r\n", (unsigned long long)n);
        client_send_text(fd, head);
        cr_assert(send_pattern(fd, at, n));
        client_send_text(fd, "\r\n");
    }
    client_send_text(fd, end);
}

Test(stream, chunked_ones_end_without_an_announced_length)
{
    static const uint64_t LENGTHS[] = {0, 5, 1 * MIB, 3 * MIB + 1};

    for (unsigned node = 0; node < 2; node++)
        for (size_t i = 0; i < sizeof LENGTHS / sizeof LENGTHS[0]; i++) {
            struct buf out = BUF_INIT(1 * MIB);
            char right[64];
            int fd = client_tcp(node);

            client_send_text(fd, HEAD "Transfer-Encoding: chunked\r\n\r\n");
            send_chunked(fd, LENGTHS[i], "0\r\n\r\n");
            client_read(fd, NULL, &out);
            buf_put_u8(&out, 0);
            snprintf(right, sizeof right, "%llu right", (unsigned long long)LENGTHS[i]);
            cr_assert_str_eq(body_of_reply((const char *)out.data), right);
            close(fd);
            buf_fini(&out);
        }
}

Test(stream, a_handler_that_takes_nothing_holds_the_client_up_and_is_not_timed_out)
{
    char head[256];
    int fd = client_tcp(1);

    nodes[1].hold_upload = true;
    nodes[1].http->config.timing.body_ms = STILL_MS / 2;
    snprintf(head, sizeof head, HEAD "Content-Length: %zu\r\n\r\n", 64 * MIB);
    client_send_text(fd, head);
    cr_assert_not(send_for(fd, 0, 64 * MIB, STILL_MS));
    cr_assert_eq(nodes[1].held_n, 1);
    cr_assert_not(nodes[1].held[0]->closed, "the wait is the handler's, not the client's");
    cr_assert_leq(nodes[1].held[0]->body.bytes->len, EXCHANGE_BODY_WINDOW_BYTES + 64 * KIB);
    close(fd);
    exchange_reply_err(nodes[1].held[0], QK_ERR_BUSY);
    nodes[1].held_n = 0;
}

Test(stream, whoever_goes_away_in_the_midst_ends_it)
{
    for (unsigned node = 0; node < 2; node++) {
        char head[256];
        int fd = client_tcp(node);

        snprintf(head, sizeof head, HEAD "Content-Length: %zu\r\n\r\n", 8 * MIB);
        client_send_text(fd, head);
        cr_assert(send_pattern(fd, 0, 3 * MIB));
        close(fd);
        wait_closed(node + 1);
    }
}

Test(stream, a_client_that_stalls_is_given_up)
{
    char head[256];
    int fd = client_tcp(0);

    snprintf(head, sizeof head, HEAD "Content-Length: %zu\r\n\r\n", 8 * MIB);
    client_send_text(fd, head);
    cr_assert(send_pattern(fd, 0, 2 * MIB));
    harness_hurry();
    (void)send_pattern(fd, 2 * MIB, 1); /* from which on it counts */
    wait_closed(1);
    close(fd);
}

Test(stream, a_lost_link_ends_it_on_both_sides)
{
    struct buf out = BUF_INIT(1 * MIB);
    char head[256];
    int fd = client_tcp(0);

    snprintf(head, sizeof head, HEAD "Content-Length: %zu\r\n\r\n", 8 * MIB);
    client_send_text(fd, head);
    cr_assert(send_pattern(fd, 0, 3 * MIB));
    break_link();
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert(contains((const char *)out.data, "no_leader"), "nothing can have been written");
    wait_closed(1);
    close(fd);
    buf_fini(&out);
}

Test(stream, a_refusal_comes_before_the_body)
{
    nodes[1].refuse_upload = true;
    for (unsigned node = 0; node < 2; node++) {
        struct buf out = BUF_INIT(1 * MIB);
        int fd = client_tcp(node);

        client_send_text(fd, HEAD "Expect: 100-continue\r\nContent-Length: 90000000\r\n\r\n");
        client_read(fd, NULL, &out);
        buf_put_u8(&out, 0);
        cr_assert(contains((const char *)out.data, "HTTP/1.1 409 "));
        cr_assert(node == 0 || !contains((const char *)out.data, "100 Continue"));
        close(fd);
        buf_fini(&out);
    }
}

Test(stream, a_malformed_chunk_ends_it)
{
    struct buf out = BUF_INIT(1 * MIB);
    int fd = client_tcp(1);

    client_send_text(fd, HEAD "Transfer-Encoding: chunked\r\n\r\n");
    send_chunked(fd, 2 * MIB, "zz\r\n");
    client_read(fd, NULL, &out);
    cr_assert_eq(out.len, 0);
    wait_closed(1);
    close(fd);
    buf_fini(&out);
}

Test(stream, only_parts_stream_where_the_route_says_so)
{
    char head[256];
    int fd = client_tcp(1);
    struct buf out = BUF_INIT(1 * MIB);

    snprintf(head, sizeof head,
             "POST /parts HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: "
             "application/json\r\nContent-Length: %zu\r\n\r\n",
             2 * MIB);
    client_send_text(fd, head);
    cr_assert(send_pattern(fd, 0, 2 * MIB));
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_str_eq(body_of_reply((const char *)out.data), "whole");
    close(fd);
    buf_reset(&out);
    fd = client_tcp(1);
    snprintf(head, sizeof head,
             "POST /parts HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: "
             "multipart/related; boundary=x\r\nContent-Length: %zu\r\n\r\n",
             3 * MIB);
    client_send_text(fd, head);
    cr_assert(send_pattern(fd, 0, 3 * MIB));
    client_read(fd, NULL, &out);
    buf_put_u8(&out, 0);
    cr_assert_str_eq(body_of_reply((const char *)out.data), "3145728 right");
    close(fd);
    buf_fini(&out);
}
