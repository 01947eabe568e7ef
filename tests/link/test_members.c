/* Who is who: silent peers, clones, strangers, wrong keys. */
#include "harness.h"

#include <string.h>

#include "secret/crypto.h"

TestSuite(members, .init = harness_open, .fini = harness_close, .timeout = 60);

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

/* A peer whose loop nobody turns: its sockets stay open and answer nothing. */
static uv_loop_t still_loop;

static void still_peer_open(void)
{
    cr_assert_eq(uv_loop_init(&still_loop), 0);
    node_init(&a, 1);
    node_init(&b, 2);
    b.config.loop = &still_loop;
}

static void still_peer_start(void)
{
    node_start(&a);
    node_start(&b);
    node_peers(&a, three, 2);
    deadline_begin(HARNESS_DEADLINE_MS);
    while (!harness_expired && !node_is_up(&a, &b)) { /* b knows no members: it never is */
        (void)uv_run(&still_loop, UV_RUN_NOWAIT);
        (void)uv_run(&harness_loop, UV_RUN_NOWAIT);
    }
    deadline_end();
    cr_assert(node_is_up(&a, &b));
}

static void still_peer_close(void)
{
    link_close(b.link, NULL, NULL);
    b.link = NULL;
    (void)uv_run(&still_loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&still_loop), 0);
    two_close();
}

Test(members, a_peer_that_goes_silent_is_noticed)
{
    uint64_t start_ms;

    still_peer_open();
    still_peer_start();
    start_ms = uv_now(&harness_loop);
    RUN_UNTIL(a.downs == 1);
    cr_assert_lt(uv_now(&harness_loop) - start_ms, 8000); /* three pings of 200 ms */
    still_peer_close();
}

/* `c` is a second process with the key and the id of `b`. */
static void clone_open(void)
{
    node_init(&c, 2);
    secret_free(c.identity);
    cr_assert_eq(secret_new_clone(b.identity, &c.identity), QK_OK);
    c.config.identity = c.identity;
    memcpy(c.config.pk, b.config.pk, LINK_PK_BYTES);
    c.config.keepalive_ms = 1000; /* it is held unanswered for up to two seconds */
    node_start(&c);
    node_peers(&c, three, 1);
}

Test(members, a_clone_of_a_live_member_raises_the_alarm_and_is_closed)
{
    two_open();
    clone_open();
    RUN_UNTIL(a.clones >= 1 && c.downs >= 1);
    cr_assert_eq(a.ups, 1);
    cr_assert_eq(a.downs, 0);
    cr_assert_eq(node_send(&c, &a, LINK_SEAL, "from the clone"), QK_ERR_CLOSED);
    cr_assert_eq(node_send(&a, &b, LINK_SEAL, "to the first"), QK_OK);
    RUN_UNTIL(b.messages == 1);
    cr_assert_eq(a.messages, 0);
    node_fini(&c);
    two_close();
}

Test(members, a_second_boot_takes_over_when_the_first_does_not_answer)
{
    still_peer_open();
    a.config.keepalive_ms = 5000; /* so that it is the challenge which ends the first */
    still_peer_start();
    clone_open();
    RUN_UNTIL(a.downs == 1 && a.ups == 2 && node_is_up(&c, &a));
    cr_assert_eq(a.clones, 0);
    cr_assert_eq(node_send(&c, &a, LINK_SEAL, "again"), QK_OK);
    RUN_UNTIL(a.messages == 1);
    node_fini(&c);
    still_peer_close();
}

Test(members, another_psk_never_comes_up)
{
    struct secret *other;

    node_init(&a, 1);
    node_init(&b, 2);
    cr_assert_eq(secret_new_random(32, &other), QK_OK);
    b.config.psk = other;
    node_start(&a);
    node_start(&b);
    node_peers(&a, three, 2);
    node_peers(&b, three, 2);
    RUN_UNTIL(link_dial_error(a.link, b.config.node_id) == QK_ERR_CORRUPT);
    RUN_WITHOUT(a.ups > 0 || b.ups > 0, 300);
    two_close();
    secret_free(other);
}

Test(members, another_cluster_is_refused)
{
    node_init(&a, 1);
    node_init(&b, 2);
    memset(b.config.cluster_id, 0xdd, CLUSTER_ID_BYTES);
    node_start(&a);
    node_start(&b);
    node_peers(&b, three, 2);
    RUN_UNTIL(a.refused > 0);
    cr_assert_eq(a.refused_err, QK_ERR_CORRUPT);
    RUN_UNTIL(link_dial_error(b.link, a.config.node_id) == QK_ERR_FOREIGN);
    cr_assert_eq(a.ups + b.ups, 0);
    two_close();
}

Test(members, whoever_does_not_know_our_key_is_refused_by_mac1)
{
    struct link_peer_info wrong = {.address = ""};

    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    node_start(&b);
    memcpy(wrong.node_id, a.config.node_id, NODE_ID_BYTES);
    memcpy(wrong.pk, b.config.pk, LINK_PK_BYTES);
    wrong.pk[0] ^= 1;
    memcpy(wrong.address, a.address, sizeof a.address);
    cr_assert_eq(link_set_peers(b.link, &wrong, 1), QK_OK);
    RUN_UNTIL(a.refused > 0);
    cr_assert_eq(a.ups + b.ups, 0);
    two_close();
}

Test(members, a_key_that_is_no_member_may_use_the_record_channel_only)
{
    uint8_t id[NODE_ID_BYTES];
    const struct bytes part = bytes_str("record");

    node_init(&a, 1);
    node_init(&b, 2);
    node_start(&a);
    node_start(&b);
    node_peers(&b, three, 2); /* a does not know b */
    RUN_UNTIL(a.ups == 1 && node_is_up(&b, &a));
    cr_assert(!a.known && b.known);
    link_stranger_id(b.config.pk, id);
    cr_assert_eq(memcmp(id, a.last_id, NODE_ID_BYTES), 0);
    cr_assert_eq(node_send(&b, &a, LINK_SEAL, "seal"), QK_OK);
    cr_assert_eq(node_send(&b, &a, LINK_RAFT, "raft"), QK_OK);
    cr_assert_eq(node_send(&b, &a, LINK_RECORD, "record"), QK_OK);
    RUN_UNTIL(a.messages == 1);
    RUN_WITHOUT(a.messages > 1, 50);
    cr_assert_eq(a.last_channel, LINK_RECORD);
    cr_assert_eq(link_send(a.link, id, LINK_SEAL, &part, 1), QK_ERR_DENIED);
    cr_assert_eq(link_send(a.link, id, LINK_RECORD, &part, 1), QK_OK);
    RUN_UNTIL(b.messages == 1);
    node_peers(&a, three, 2); /* now it does: the connection is made anew, as a member's */
    RUN_UNTIL(a.downs == 1 && a.ups == 2 && a.known && node_is_up(&a, &b) && node_is_up(&b, &a));
    two_close();
}

Test(members, a_member_that_is_removed_becomes_a_stranger)
{
    two_open();
    node_peers(&a, NULL, 0);
    RUN_UNTIL(a.downs >= 1 && a.ups == a.downs + 1 && !a.known);
    cr_assert(!node_is_up(&a, &b));
    two_close();
}

Test(members, a_member_may_not_claim_another_members_id)
{
    struct link_peer_info info = {.address = ""};

    node_init(&a, 1);
    node_init(&b, 9);
    node_start(&a);
    node_start(&b);
    memset(info.node_id, 2, NODE_ID_BYTES);
    memcpy(info.pk, b.config.pk, LINK_PK_BYTES);
    cr_assert_eq(link_set_peers(a.link, &info, 1), QK_OK);
    node_peers(&b, three, 1);
    RUN_UNTIL(a.refused > 0);
    cr_assert_eq(a.refused_err, QK_ERR_DENIED);
    cr_assert_eq(a.ups, 0);
    two_close();
}
