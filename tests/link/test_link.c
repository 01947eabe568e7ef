/* Members that talk over loopback. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/crypto.h"

TestSuite(link, .init = harness_open, .fini = harness_close, .timeout = 60);

/* Ciphertext under way beside the queue. */
#define CONN_SLACK_BYTES (512 * KIB)

static struct node a, b, c;
static struct node *const three[] = {&a, &b, &c};

static void two_open(void)
{
    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    node_start(&b);
    node_peers(&a, three, 2);
    node_peers(&b, three, 2);
    nodes_settle(&a, &b);
}

static void two_close(void)
{
    node_fini(&a);
    node_fini(&b);
}

Test(link, two_members_find_each_other_and_talk)
{
    two_open();
    cr_assert(a.known && b.known);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "hello"), QK_OK);
    RUN_UNTIL(b.messages == 1);
    cr_assert(bytes_equal(buf_bytes(&b.last), bytes_str("hello")));
    cr_assert_eq(b.last_channel, LINK_SEAL);
    cr_assert_eq(memcmp(b.last_id, a.config.node_id, NODE_ID_BYTES), 0);
    cr_assert_eq(node_send(&b, &a, LINK_RAFT, ""), QK_OK);
    RUN_UNTIL(a.messages == 1);
    cr_assert_eq(a.last.len, 0);
    cr_assert_eq(node_send(&a, &b, LINK_JOIN, "no"), QK_ERR_DENIED);
    two_close();
}

Test(link, three_members_form_a_full_mesh)
{
    node_init(&c, 3);
    node_init(&a, 1);
    node_init(&b, 2);
    for (size_t i = 0; i < 3; i++)
        node_start(three[i]);
    for (size_t i = 0; i < 3; i++)
        node_peers(three[i], three, 3);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 3; j++)
            if (i != j)
                RUN_UNTIL(node_is_up(three[i], three[j]));
    /* Each pair keeps one connection. */
    RUN_UNTIL(link_is_up(a.link, b.config.node_id));
    for (size_t i = 0; i < 3; i++) {
        struct link_stats stats;

        do {
            (void)uv_run(&harness_loop, UV_RUN_ONCE);
            link_stats_get(three[i]->link, &stats);
        } while (stats.connections != 2 || stats.half_open != 0);
    }
    for (size_t i = 0; i < 3; i++)
        node_fini(three[i]);
}

/* `len` bytes that depend on `seed`; the caller frees. */
static uint8_t *pattern_new(size_t len, uint8_t seed)
{
    uint8_t *data = malloc(len);

    cr_assert_not_null(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i * 31 + i / 251 + seed);
    return data;
}

static void send_and_check(size_t len)
{
    uint8_t *data = pattern_new(len, 7);
    const struct bytes parts[] = {bytes_of(data, len / 3), bytes_of(data + len / 3, len - len / 3)};
    unsigned before = b.messages;

    cr_assert_eq(link_send(a.link, b.config.node_id, LINK_FORWARD, parts, 2), QK_OK);
    RUN_UNTIL(b.messages == before + 1);
    cr_assert(bytes_equal(buf_bytes(&b.last), bytes_of(data, len)), "%zu bytes", len);
    free(data);
}

Test(link, messages_of_every_size_up_to_the_limit_arrive_whole)
{
    static const size_t edges[] = {1, 65512, 65513, 65514, 65515, 65516, 65535, 65536, 131072};

    two_open();
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        send_and_check(edges[i]);
    send_and_check(LINK_MESSAGE_BYTES_MAX);
    two_close();
}

Test(link, a_message_past_the_limit_is_refused)
{
    static const uint8_t byte;
    uint8_t *data = pattern_new(LINK_MESSAGE_BYTES_MAX, 0);
    const struct bytes parts[] = {bytes_of(data, LINK_MESSAGE_BYTES_MAX), bytes_of(&byte, 1)};

    two_open();
    cr_assert_eq(link_send(a.link, b.config.node_id, LINK_RAFT, parts, 2), QK_ERR_TOO_BIG);
    free(data);
    two_close();
}

Test(link, a_full_queue_says_busy_and_later_that_it_drained)
{
    uint8_t *data = pattern_new(MIB, 1);
    const struct bytes part = bytes_of(data, MIB);
    unsigned sent = 0, bulk = 0;

    two_open();
    while (link_send(a.link, b.config.node_id, LINK_SNAPSHOT, &part, 1) == QK_OK)
        cr_assert_leq(++bulk, 16);
    cr_assert_geq(bulk, 2);
    while (link_send(a.link, b.config.node_id, LINK_FORWARD, &part, 1) == QK_OK)
        cr_assert_leq(++sent, 128);
    cr_assert_geq(sent, 32);
    cr_assert_leq(link_queued_bytes(a.link, b.config.node_id),
                  LINK_QUEUE_BYTES_MAX + CONN_SLACK_BYTES);
    RUN_UNTIL(a.drains == 1);
    cr_assert_lt(link_queued_bytes(a.link, b.config.node_id), LINK_DRAIN_BYTES);
    RUN_UNTIL(b.messages == sent + bulk);
    cr_assert_eq(a.drains, 1);
    free(data);
    two_close();
}

Test(link, raft_does_not_wait_behind_a_snapshot)
{
    uint8_t *data = pattern_new(3 * MIB, 's');
    const struct bytes part = bytes_of(data, 3 * MIB);

    two_open();
    data[0] = 's';
    cr_assert_eq(link_send(a.link, b.config.node_id, LINK_SNAPSHOT, &part, 1), QK_OK);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(node_send(&a, &b, LINK_RAFT, "r"), QK_OK);
    RUN_UNTIL(b.messages == 11);
    cr_assert(bytes_equal(buf_bytes(&b.log), bytes_str("rrrrrrrrrrs")));
    free(data);
    two_close();
}

Test(link, messages_of_a_channel_keep_their_order)
{
    two_open();
    for (unsigned i = 0; i < 2000; i++) {
        const uint8_t byte = (uint8_t)i;
        const struct bytes part = bytes_of(&byte, 1);

        cr_assert_eq(link_send(a.link, b.config.node_id, LINK_RAFT, &part, 1), QK_OK);
    }
    RUN_UNTIL(b.messages == 2000);
    for (unsigned i = 0; i < 2000; i++)
        cr_assert_eq(b.log.data[i], (uint8_t)i);
    two_close();
}

Test(link, a_dropped_connection_comes_back)
{
    two_open();
    for (unsigned i = 1; i <= 5; i++) {
        link_drop(a.link, b.config.node_id);
        cr_assert(!node_is_up(&a, &b));
        cr_assert_eq(node_send(&a, &b, LINK_RAFT, "x"), QK_ERR_CLOSED);
        RUN_UNTIL(a.downs >= 1 && b.downs >= 1);
        nodes_settle(&a, &b);
        cr_assert_eq(node_send(&a, &b, LINK_RAFT, "x"), QK_OK);
        RUN_UNTIL(b.messages == i);
    }
    two_close();
}

Test(link, a_peer_that_restarts_comes_back_with_another_boot_id)
{
    two_open();
    node_stop(&b);
    RUN_UNTIL(a.downs == 1);
    cr_assert(!node_is_up(&a, &b));
    b.ups = b.downs = 0;
    node_start(&b); /* on the same port */
    node_peers(&b, three, 2);
    nodes_settle(&a, &b);
    cr_assert_eq(a.clones, 0);
    cr_assert_lt(link_seen_ms(a.link, b.config.node_id), 5000);
    two_close();
}

Test(link, dials_from_both_sides_at_once_end_in_one_connection)
{
    two_open();
    for (unsigned i = 0; i < 10; i++) {
        node_peers(&a, NULL, 0);
        node_peers(&b, NULL, 0);
        RUN_UNTIL(!node_is_up(&a, &b) && !node_is_up(&b, &a) && a.ups == a.downs &&
                  b.ups == b.downs);
        node_peers(&a, three, 2);
        node_peers(&b, three, 2);
        nodes_settle(&a, &b);
        cr_assert_eq(node_send(&a, &b, LINK_SEAL, "1"), QK_OK);
        cr_assert_eq(node_send(&b, &a, LINK_SEAL, "2"), QK_OK);
        RUN_UNTIL(a.messages == i + 1 && b.messages == i + 1);
    }
    two_close();
}

Test(link, equal_ids_or_keys_in_a_list_are_refused)
{
    struct link_peer_info infos[2] = {0};

    two_open();
    memset(infos[0].pk, 1, LINK_PK_BYTES);
    cr_assert_eq(link_set_peers(a.link, infos, 2), QK_ERR_INVALID);
    memset(infos[0].node_id, 1, NODE_ID_BYTES);
    memset(infos[1].pk, 1, LINK_PK_BYTES);
    cr_assert_eq(link_set_peers(a.link, infos, 2), QK_ERR_INVALID);
    cr_assert(node_is_up(&a, &b));
    two_close();
}

Test(link, an_address_in_use_or_malformed_is_an_error)
{
    static const char *const bad[] = {"",           "127.0.0.1",       ":1",
                                      "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x",
                                      "::1:80",     "[::1]",           "name.invalid:80"};
    struct link *link = NULL;
    struct link_config config;

    two_open();
    config = a.config;
    config.listen = b.address;
    cr_assert_eq(link_open(&config, &link), QK_ERR_EXISTS);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config.listen = bad[i];
        cr_assert_eq(link_open(&config, &link), QK_ERR_INVALID, "%s", bad[i]);
    }
    cr_assert_null(link);
    two_close();
}

Test(link, a_member_is_found_by_name)
{
    struct link_peer_info info = {.address = ""};

    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    node_start(&b);
    memcpy(info.node_id, b.config.node_id, NODE_ID_BYTES);
    memcpy(info.pk, b.config.pk, LINK_PK_BYTES);
    (void)snprintf(info.address, sizeof info.address, "localhost:%u", link_port(b.link));
    cr_assert_eq(link_set_peers(a.link, &info, 1), QK_OK);
    RUN_UNTIL(node_is_up(&a, &b));
    two_close();
}

Test(link, a_name_that_is_still_being_resolved_does_not_hinder_closing)
{
    struct link_peer_info info = {.address = "name.invalid:7700"};

    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    memcpy(info.pk, b.config.pk, LINK_PK_BYTES);
    cr_assert_eq(link_set_peers(a.link, &info, 1), QK_OK);
    (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    two_close();
}

Test(link, a_member_that_moves_is_dialed_at_its_new_address)
{
    struct link_peer_info info = {.address = "127.0.0.1:1"};

    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    node_start(&b);
    memcpy(info.node_id, b.config.node_id, NODE_ID_BYTES);
    memcpy(info.pk, b.config.pk, LINK_PK_BYTES);
    cr_assert_eq(link_set_peers(a.link, &info, 1), QK_OK);
    RUN_UNTIL(link_dial_error(a.link, b.config.node_id) == QK_ERR_IO);
    cr_assert_eq(link_seen_ms(a.link, b.config.node_id), UINT64_MAX);
    node_peers(&a, three, 2);
    RUN_UNTIL(node_is_up(&a, &b));
    cr_assert_eq(link_dial_error(a.link, b.config.node_id), QK_OK);
    cr_assert_eq(link_dial_error(a.link, a.config.node_id), QK_ERR_NOT_FOUND);
    two_close();
}

/* --- calls from within callbacks --- */

static struct node *closing_node;

static void close_inside(void *arg)
{
    struct node *node = arg;

    node->closed++;
}

static void on_message_close(void *arg, const uint8_t *node_id, enum link_channel channel,
                             struct bytes message)
{
    struct node *node = arg;

    (void)node_id;
    (void)channel;
    cr_assert(bytes_equal(message, bytes_str("close")));
    link_close(node->link, close_inside, node);
    node->link = NULL;
    closing_node = node;
    cr_assert(bytes_equal(message, bytes_str("close")), "borrowed until the return");
}

Test(link, closing_inside_on_message_is_clean)
{
    node_init(&a, 1);
    node_init(&b, 2);
    b.config.on_message = on_message_close;
    node_start(&a);
    node_start(&b);
    node_peers(&a, three, 2);
    node_peers(&b, three, 2);
    nodes_settle(&a, &b);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "close"), QK_OK);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "never seen"), QK_OK);
    RUN_UNTIL(b.closed == 1 && a.downs == 1);
    cr_assert(closing_node == &b);
    two_close();
}

static void on_message_forget(void *arg, const uint8_t *node_id, enum link_channel channel,
                              struct bytes message)
{
    struct node *node = arg;

    (void)node_id;
    (void)channel;
    (void)message;
    node->messages++;
    cr_assert_eq(link_set_peers(node->link, NULL, 0), QK_OK);
    cr_assert_eq(node_send(node, &a, LINK_SEAL, "x"), QK_ERR_CLOSED);
}

Test(link, forgetting_the_peer_inside_its_message_is_clean)
{
    node_init(&a, 1);
    node_init(&b, 2);
    b.config.on_message = on_message_forget;
    node_start(&a);
    node_start(&b);
    node_peers(&a, three, 2);
    node_peers(&b, three, 2);
    nodes_settle(&a, &b);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "1"), QK_OK);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "2"), QK_OK);
    RUN_UNTIL(b.downs >= 1 && a.downs >= 1);
    cr_assert_eq(b.messages, 1);
    two_close();
}
