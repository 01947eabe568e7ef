/* What anybody may throw at the port. */
#include "harness.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(flood, .init = harness_open, .fini = harness_close, .timeout = 60);

static struct node a, b;
static struct node *const two[] = {&a, &b};

/* A plain socket from `source` to the node's port; the connection may still be under way. */
static int raw_connect(const struct node *to, const char *source)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, at = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    cr_assert_geq(fd, 0);
    cr_assert_eq(inet_pton(AF_INET, source, &from.sin_addr), 1);
    cr_assert_eq(bind(fd, (struct sockaddr *)&from, sizeof from), 0);
    cr_assert_eq(inet_pton(AF_INET, "127.0.0.1", &at.sin_addr), 1);
    at.sin_port = htons(link_port(to->link));
    (void)connect(fd, (struct sockaddr *)&at, sizeof at);
    return fd;
}

/* True once the other end has closed. */
static bool raw_is_closed(int fd)
{
    uint8_t byte;
    ssize_t len = recv(fd, &byte, 1, MSG_PEEK);

    return len == 0 || (len < 0 && errno != EAGAIN && errno != ENOTCONN);
}

#define FLOOD_N 200

static int flood[FLOOD_N];

static unsigned flood_open_n(void)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FLOOD_N; i++)
        n += !raw_is_closed(flood[i]);
    return n;
}

static void flood_start(const char *source)
{
    for (unsigned i = 0; i < FLOOD_N; i++) {
        flood[i] = raw_connect(&a, source);
        (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    }
}

static void flood_end(void)
{
    for (unsigned i = 0; i < FLOOD_N; i++)
        (void)close(flood[i]);
}

static void both_start(void)
{
    node_init(&a, 1);
    node_init(&b, 2);
    a.config.half_open_max = 64;
    a.config.address_burst = 100;
    a.config.address_per_sec = 1;
    node_start(&a);
    node_start(&b);
}

static void both_fini(void)
{
    node_fini(&a);
    node_fini(&b);
}

Test(flood, half_open_connections_are_bounded_and_end_by_themselves)
{
    struct link_stats stats;

    both_start();
    flood_start("127.0.0.2");
    RUN_UNTIL(flood_open_n() <= 64);
    link_stats_get(a.link, &stats);
    cr_assert_leq(stats.half_open, 64);
    cr_assert_geq(stats.refused, 90); /* the bucket holds 100 and gains one a second */
    RUN_UNTIL(flood_open_n() == 0);   /* the handshake's time limit */
    link_stats_get(a.link, &stats);
    cr_assert_eq(stats.half_open, 0);
    flood_end();
    both_fini();
}

Test(flood, members_get_in_while_a_flood_is_held_open)
{
    both_start();
    a.config.handshake_ms = 60000;
    node_stop(&a);
    node_start(&a);
    flood_start("127.0.0.2");
    RUN_UNTIL(flood_open_n() <= 64);
    node_peers(&a, NULL, 0);
    node_peers(&b, two, 2);
    RUN_UNTIL(node_is_up(&b, &a) && a.ups >= 1); /* from 127.0.0.1, whose bucket is full */
    cr_assert_geq(flood_open_n(), 60);
    flood_end();
    both_fini();
}

Test(flood, one_address_cannot_connect_without_end)
{
    struct link_stats stats;

    both_start();
    a.config.half_open_max = 1000;
    a.config.handshake_ms = 60000;
    node_stop(&a);
    node_start(&a);
    flood_start("127.0.0.3");
    RUN_UNTIL(flood_open_n() <= 110);
    link_stats_get(a.link, &stats);
    cr_assert_leq(stats.half_open, 110);
    flood_end();
    both_fini();
}

/* Writes `len` bytes to a fresh connection and waits for the port to close it. */
static void throw_at_port(const uint8_t *data, size_t len)
{
    int fd = raw_connect(&a, "127.0.0.1");
    size_t sent = 0;

    deadline_begin(HARNESS_DEADLINE_MS);
    while (!raw_is_closed(fd) && !harness_expired) {
        if (sent < len) {
            ssize_t n = send(fd, data + sent, len - sent, MSG_NOSIGNAL);

            if (n > 0)
                sent += (size_t)n;
        }
        (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    }
    deadline_end();
    cr_assert(!harness_expired, "still open");
    (void)close(fd);
}

Test(flood, garbage_on_the_port_is_closed)
{
    static uint8_t data[100000];
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "QKLK\x02 of a later version",
        "QKLK\x01\x07 of another kind",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "Q",
    };

    both_start();
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        throw_at_port((const uint8_t *)texts[i], strlen(texts[i]));
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7919);
    throw_at_port(data, sizeof data);
    memcpy(data, "QKLK\x01\x01\x00\x80", 8); /* a right header, nonsense after it */
    throw_at_port(data, sizeof data);
    throw_at_port(data, 60); /* and one that stops in the middle: the time limit ends it */
    cr_assert_eq(a.ups, 0);
    cr_assert_geq(a.refused, 4);
    both_fini();
}

Test(flood, closing_the_link_in_the_middle_of_everything_is_clean)
{
    both_start();
    flood_start("127.0.0.1");
    node_peers(&a, two, 2);
    node_peers(&b, two, 2);
    (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    node_stop(&a);
    (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    node_stop(&b);
    flood_end();
    both_fini();
}

static uint64_t told_n;
static char told_address[64];

static void on_not_allowed(void *arg, const char *address, uint64_t n)
{
    (void)arg;
    told_n += n;
    (void)snprintf(told_address, sizeof told_address, "%s", address);
}

Test(flood, an_address_that_may_not_connect_is_closed_unread_and_told_once)
{
    struct buf message = BUF_INIT(256);
    struct link_allow allow;
    struct link_stats stats;
    int in, out[5];

    cr_assert_eq(link_allow_parse("127.0.0.1, ::1", &allow, &message), QK_OK);
    node_init(&a, 1);
    a.config.allow = &allow;
    a.config.on_not_allowed = on_not_allowed;
    node_start(&a);
    memset(&allow, 0, sizeof allow); /* it was copied */
    in = raw_connect(&a, "127.0.0.1");
    for (unsigned i = 0; i < 5; i++)
        out[i] = raw_connect(&a, "127.0.0.9");
    for (unsigned i = 0; i < 5; i++)
        RUN_UNTIL(raw_is_closed(out[i]));
    cr_assert_not(raw_is_closed(in));
    link_stats_get(a.link, &stats);
    cr_assert_eq(stats.not_allowed, 5);
    cr_assert_eq(told_n, 1);
    cr_assert_str_eq(told_address, "127.0.0.9");
    (void)close(in);
    for (unsigned i = 0; i < 5; i++)
        (void)close(out[i]);
    node_stop(&a);
    node_fini(&a);
    buf_fini(&message);
}
