/* Joins over loopback: a joiner with a token and an inviter. */
#include "harness.h"

#include <string.h>

#include "secret/crypto.h"

TestSuite(join, .init = harness_open, .fini = harness_close, .timeout = 60);

static struct node inviter;

struct joiner {
    struct link_join *join;
    struct link_join_config config;
    struct secret *identity;
    const char *addresses[3];
    unsigned ups, messages, ends, closed;
    enum qk_err err;
    struct buf last;
    bool close_on_message;
};

static struct joiner joiner;

static void on_closed(void *arg)
{
    struct joiner *at = arg;

    at->closed++;
}

static void on_up(void *arg)
{
    struct joiner *at = arg;

    at->ups++;
}

static void on_message(void *arg, struct bytes message)
{
    struct joiner *at = arg;

    at->messages++;
    buf_reset(&at->last);
    buf_put_bytes(&at->last, message);
    if (at->close_on_message) {
        link_join_close(at->join, on_closed, at);
        at->join = NULL;
    }
}

static void on_end(void *arg, enum qk_err err)
{
    struct joiner *at = arg;

    at->ends++;
    at->err = err;
}

#define PATIENCE_MS 20000 /* so that no slow machine is taken for a silent one */

static void both_init(void)
{
    node_init(&inviter, 1);
    inviter.config.handshake_ms = PATIENCE_MS;
    inviter.join_answer = QK_OK;
    cr_assert_eq(secret_new_random(32, &inviter.join_psk), QK_OK);
    node_start(&inviter);
    joiner = (struct joiner){.last = {.max = LINK_MESSAGE_BYTES_MAX}};
    joiner.addresses[0] = inviter.address;
    joiner.config = (struct link_join_config){
        .loop = &harness_loop,
        .psk = inviter.join_psk,
        .addresses = joiner.addresses,
        .addresses_n = 1,
        .handshake_ms = PATIENCE_MS,
        .arg = &joiner,
        .on_up = on_up,
        .on_message = on_message,
        .on_end = on_end,
    };
    memcpy(joiner.config.cluster_id, inviter.config.cluster_id, CLUSTER_ID_BYTES);
    memcpy(joiner.config.inviter_pk, inviter.config.pk, LINK_PK_BYTES);
    memset(joiner.config.token_id, 0x77, LINK_TOKEN_ID_BYTES);
    cr_assert_eq(x25519_keypair(&joiner.identity, joiner.config.pk), QK_OK);
    joiner.config.identity = joiner.identity;
}

static void joiner_start(void)
{
    cr_assert_eq(link_join_open(&joiner.config, &joiner.join), QK_OK);
}

static void joiner_say(const char *text)
{
    const struct bytes part = bytes_str(text);

    cr_assert_eq(link_join_send(joiner.join, &part, 1), QK_OK);
}

static void both_fini(void)
{
    if (joiner.join != NULL) {
        link_join_close(joiner.join, on_closed, &joiner);
        RUN_UNTIL(joiner.closed == 1);
    }
    node_stop(&inviter);
    secret_free(inviter.join_psk);
    node_fini(&inviter);
    secret_free(joiner.identity);
    buf_fini(&joiner.last);
}

Test(join, a_good_token_lets_requests_and_replies_pass)
{
    both_init();
    joiner_start();
    joiner_say("request"); /* before the handshake: waits for it */
    RUN_UNTIL(joiner.messages == 1);
    cr_assert_eq(joiner.ups, 1);
    cr_assert_eq(inviter.joins, 1);
    cr_assert_eq(memcmp(inviter.join_token, joiner.config.token_id, LINK_TOKEN_ID_BYTES), 0);
    cr_assert(bytes_equal(buf_bytes(&joiner.last), bytes_str("reply to request")));
    joiner_say("second");
    RUN_UNTIL(joiner.messages == 2);
    cr_assert_eq(inviter.ups, 0, "a joiner is no peer");
    link_join_end(inviter.link, inviter.join_id);
    RUN_UNTIL(joiner.ends == 1 && inviter.joins_closed == 1);
    cr_assert_eq(joiner.err, QK_ERR_CLOSED);
    both_fini();
}

Test(join, an_answer_may_come_later)
{
    both_init();
    inviter.join_later = true;
    joiner_start();
    joiner_say("request");
    RUN_UNTIL(inviter.joins == 1);
    RUN_WITHOUT(joiner.ups > 0, 50);
    link_join_answer(inviter.link, inviter.join_id, QK_OK, inviter.join_psk);
    RUN_UNTIL(joiner.messages == 1);
    both_fini();
}

Test(join, the_last_reply_arrives_before_the_end)
{
    static uint8_t big[3 * MIB];
    const struct bytes part = bytes_of(big, sizeof big);

    both_init();
    joiner_start();
    RUN_UNTIL(joiner.ups == 1);
    joiner_say("request");
    RUN_UNTIL(inviter.messages == 1);
    cr_assert_eq(link_join_reply(inviter.link, inviter.join_id, &part, 1), QK_OK);
    link_join_end(inviter.link, inviter.join_id);
    cr_assert_eq(link_join_reply(inviter.link, inviter.join_id, &part, 1), QK_ERR_CLOSED);
    RUN_UNTIL(joiner.ends == 1);
    cr_assert_eq(joiner.messages, 2);
    cr_assert_eq(joiner.last.len, sizeof big);
    both_fini();
}

static void refused_with(enum qk_err answer, enum qk_err expected)
{
    both_init();
    inviter.join_answer = answer;
    joiner_start();
    joiner_say("request");
    RUN_UNTIL(joiner.ends == 1 && inviter.joins_closed == 1);
    cr_assert_eq(joiner.err, expected, "%s", qk_err_text(joiner.err));
    cr_assert_eq(inviter.messages, 0);
    cr_assert_eq(joiner.ups, 0);
    both_fini();
}

Test(join, an_expired_token_is_refused_with_its_reason)
{
    refused_with(QK_ERR_EXPIRED, QK_ERR_EXPIRED);
}

Test(join, a_used_token_is_refused_with_its_reason)
{
    refused_with(QK_ERR_EXISTS, QK_ERR_EXISTS);
}

Test(join, an_unknown_token_is_refused_with_its_reason)
{
    refused_with(QK_ERR_NOT_FOUND, QK_ERR_NOT_FOUND);
}

Test(join, an_altered_psk_is_denied_and_audited)
{
    struct secret *other;

    both_init();
    cr_assert_eq(secret_new_random(32, &other), QK_OK);
    joiner.config.psk = other;
    joiner_start();
    joiner_say("request");
    RUN_UNTIL(joiner.ends == 1 && inviter.joins_closed == 1);
    cr_assert_eq(joiner.err, QK_ERR_DENIED);
    cr_assert_eq(inviter.refused, 1);
    cr_assert(inviter.refused_with_token);
    cr_assert_eq(inviter.messages, 0);
    both_fini();
    secret_free(other);
}

Test(join, a_token_of_another_cluster_is_refused)
{
    both_init();
    joiner.config.cluster_id[0] ^= 1;
    joiner_start();
    RUN_UNTIL(joiner.ends == 1 && inviter.refused == 1);
    cr_assert_eq(joiner.err, QK_ERR_FOREIGN);
    cr_assert_eq(inviter.joins, 0);
    both_fini();
}

Test(join, a_token_with_another_inviters_key_is_refused)
{
    both_init();
    joiner.config.inviter_pk[3] ^= 1;
    joiner_start();
    RUN_UNTIL(joiner.ends == 1 && inviter.refused == 1);
    cr_assert_eq(joiner.err, QK_ERR_FOREIGN);
    both_fini();
}

Test(join, addresses_are_tried_in_turn)
{
    both_init();
    joiner.addresses[0] = "127.0.0.1:1"; /* nobody */
    joiner.addresses[1] = "not an address";
    joiner.addresses[2] = inviter.address;
    joiner.config.addresses_n = 3;
    joiner_start();
    joiner_say("request");
    RUN_UNTIL(joiner.messages == 1);
    both_fini();
}

Test(join, nobody_at_any_address_is_an_io_error)
{
    both_init();
    joiner.addresses[0] = "127.0.0.1:1";
    joiner.addresses[1] = "127.0.0.2:1";
    joiner.config.addresses_n = 2;
    joiner_start();
    RUN_UNTIL(joiner.ends == 1);
    cr_assert_eq(joiner.err, QK_ERR_IO);
    cr_assert_eq(link_join_send(joiner.join, NULL, 0), QK_ERR_CLOSED);
    both_fini();
}

Test(join, an_inviter_that_never_answers_times_out)
{
    both_init();
    inviter.join_later = true;
    joiner.config.handshake_ms = 100;
    joiner_start();
    RUN_UNTIL(joiner.ends == 1);
    cr_assert_eq(joiner.err, QK_ERR_TIMEOUT);
    RUN_UNTIL(inviter.joins_closed == 1);
    link_join_answer(inviter.link, inviter.join_id, QK_OK,
                     inviter.join_psk); /* too late: nothing */
    both_fini();
}

Test(join, closing_inside_a_callback_is_clean)
{
    both_init();
    joiner.close_on_message = true;
    joiner_start();
    joiner_say("request");
    RUN_UNTIL(joiner.closed == 1);
    cr_assert_eq(joiner.ends, 0);
    RUN_UNTIL(inviter.joins_closed == 1);
    both_fini();
}

Test(join, a_link_that_takes_no_joins_refuses_them)
{
    both_init();
    node_stop(&inviter);
    inviter.config.on_join_token = NULL;
    node_start(&inviter);
    joiner_start();
    RUN_UNTIL(joiner.ends == 1 && inviter.refused == 1);
    cr_assert_eq(inviter.refused_err, QK_ERR_UNSUPPORTED);
    both_fini();
}
