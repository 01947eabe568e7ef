#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "secret/crypto.h"

uv_loop_t harness_loop;
struct secret *harness_psk;
bool harness_expired;

static uv_timer_t deadline_timer;

void harness_open(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(32, &harness_psk), QK_OK);
    cr_assert_eq(uv_loop_init(&harness_loop), 0);
    cr_assert_eq(uv_timer_init(&harness_loop, &deadline_timer), 0);
}

void harness_close(void)
{
    uv_close((uv_handle_t *)&deadline_timer, NULL);
    (void)uv_run(&harness_loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&harness_loop), 0, "a handle is still open");
    secret_free(harness_psk);
    cr_assert_eq(secret_stats().secrets_n, 0, "a secret was not freed");
    secret_arena_fini();
}

static void on_deadline(uv_timer_t *timer)
{
    (void)timer;
    harness_expired = true;
}

void deadline_begin(uint64_t ms)
{
    harness_expired = false;
    uv_update_time(&harness_loop);
    cr_assert_eq(uv_timer_start(&deadline_timer, on_deadline, ms, 0), 0);
}

void deadline_end(void)
{
    (void)uv_timer_stop(&deadline_timer);
}

static void on_up(void *arg, const uint8_t *node_id, bool known)
{
    struct node *node = arg;

    node->ups++;
    node->known = known;
    memcpy(node->last_id, node_id, NODE_ID_BYTES);
}

static void on_down(void *arg, const uint8_t *node_id)
{
    struct node *node = arg;

    (void)node_id;
    node->downs++;
    cr_assert_leq(node->downs, node->ups);
}

static void note_message(struct node *node, struct bytes message)
{
    node->messages++;
    buf_reset(&node->last);
    buf_put_bytes(&node->last, message);
    if (message.len > 0)
        buf_put_u8(&node->log, message.data[0]);
}

static void on_message(void *arg, const uint8_t *node_id, enum link_channel channel,
                       struct bytes message)
{
    struct node *node = arg;

    memcpy(node->last_id, node_id, NODE_ID_BYTES);
    node->last_channel = channel;
    note_message(node, message);
}

static void on_drain(void *arg, const uint8_t *node_id)
{
    struct node *node = arg;

    (void)node_id;
    node->drains++;
}

static void on_clone(void *arg, const uint8_t *node_id, const char *first, const char *second)
{
    struct node *node = arg;

    (void)node_id;
    cr_assert(strncmp(first, "127.0.0.1", 9) == 0 && strncmp(second, "127.0.0.1", 9) == 0);
    node->clones++;
}

static void on_refused(void *arg, const char *address, const uint8_t *token_id, enum qk_err err)
{
    struct node *node = arg;

    cr_assert(strncmp(address, "127.0.0.", 8) == 0, "%s", address);
    node->refused++;
    node->refused_err = err;
    node->refused_with_token = token_id != NULL;
}

static void on_join_token(void *arg, uint64_t join_id, const uint8_t *token_id, const char *address)
{
    struct node *node = arg;

    (void)address;
    node->joins++;
    node->join_id = join_id;
    memcpy(node->join_token, token_id, LINK_TOKEN_ID_BYTES);
    if (!node->join_later)
        link_join_answer(node->link, join_id, node->join_answer, node->join_psk);
}

static void on_join_message(void *arg, uint64_t join_id, const uint8_t *pk, const uint8_t *token_id,
                            struct bytes message)
{
    struct node *node = arg;
    const struct bytes reply[] = {bytes_str("reply to "), message};

    cr_assert_eq(join_id, node->join_id);
    cr_assert_not_null(pk);
    cr_assert_eq(memcmp(token_id, node->join_token, LINK_TOKEN_ID_BYTES), 0);
    note_message(node, message);
    cr_assert_eq(link_join_reply(node->link, join_id, reply, 2), QK_OK);
}

static void on_join_closed(void *arg, uint64_t join_id)
{
    struct node *node = arg;

    cr_assert_eq(join_id, node->join_id);
    node->joins_closed++;
}

void node_init(struct node *node, uint8_t number)
{
    *node = (struct node){.last = BUF_INIT(LINK_MESSAGE_BYTES_MAX), .log = BUF_INIT(MIB)};
    node->config = (struct link_config){
        .loop = &harness_loop,
        .psk = harness_psk,
        .handshake_ms = 1000,
        .keepalive_ms = 200,
        .dial_ms_max = 100,
        .address_burst = 1000,
        .arg = node,
        .on_up = on_up,
        .on_down = on_down,
        .on_message = on_message,
        .on_drain = on_drain,
        .on_clone = on_clone,
        .on_refused = on_refused,
        .on_join_token = on_join_token,
        .on_join_message = on_join_message,
        .on_join_closed = on_join_closed,
    };
    cr_assert_eq(x25519_keypair(&node->identity, node->config.pk), QK_OK);
    node->config.identity = node->identity;
    memset(node->config.cluster_id, 0xcc, CLUSTER_ID_BYTES);
    memset(node->config.node_id, number, NODE_ID_BYTES);
    (void)snprintf(node->address, sizeof node->address, "127.0.0.1:0");
}

void node_start(struct node *node)
{
    random_fill(node->config.boot_id, BOOT_ID_BYTES);
    node->config.listen = node->address;
    cr_assert_eq(link_open(&node->config, &node->link), QK_OK);
    (void)snprintf(node->address, sizeof node->address, "127.0.0.1:%u", link_port(node->link));
}

static void on_closed(void *arg)
{
    struct node *node = arg;

    node->closed++;
}

void node_stop(struct node *node)
{
    unsigned closed = node->closed;

    if (node->link == NULL)
        return;
    link_close(node->link, on_closed, node);
    node->link = NULL;
    RUN_UNTIL(node->closed > closed);
}

void node_fini(struct node *node)
{
    node_stop(node);
    secret_free(node->identity);
    buf_fini(&node->last);
    buf_fini(&node->log);
}

void node_peers(struct node *node, struct node *const *peers, size_t n)
{
    struct link_peer_info infos[8];

    cr_assert_leq(n, sizeof infos / sizeof infos[0]);
    memset(infos, 0, sizeof infos);
    for (size_t i = 0; i < n; i++) {
        memcpy(infos[i].node_id, peers[i]->config.node_id, NODE_ID_BYTES);
        memcpy(infos[i].pk, peers[i]->config.pk, LINK_PK_BYTES);
        memcpy(infos[i].address, peers[i]->address, sizeof peers[i]->address);
    }
    cr_assert_eq(link_set_peers(node->link, infos, n), QK_OK);
}

enum qk_err node_send(struct node *from, const struct node *to, enum link_channel channel,
                      const char *text)
{
    const struct bytes part = bytes_str(text);

    return link_send(from->link, to->config.node_id, channel, &part, 1);
}

bool node_is_up(const struct node *from, const struct node *to)
{
    return link_is_up(from->link, to->config.node_id);
}

static bool is_settled(const struct node *node)
{
    struct link_stats stats;

    link_stats_get(node->link, &stats);
    return stats.connections == 1 && stats.half_open == 0 && node->ups == node->downs + 1;
}

void nodes_settle(struct node *a, struct node *b)
{
    RUN_UNTIL(node_is_up(a, b) && node_is_up(b, a) && is_settled(a) && is_settled(b));
    a->ups = b->ups = 1;
    a->downs = b->downs = 0;
}
