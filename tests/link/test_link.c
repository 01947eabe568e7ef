/* Members that talk over loopback. */
#include "harness.h"

#include <stdlib.h>
#include <string.h>

#include "secret/crypto.h"

TestSuite(link, .init = harness_open, .fini = harness_close, .timeout = 60);

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
    RUN_UNTIL(node_is_up(&a, &b) && node_is_up(&b, &a));
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
