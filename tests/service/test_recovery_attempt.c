/* Attempts with recovery shares on a hub that has a set and a loop and nothing else: who may go on,
 * what is counted, and when an attempt is over. What opens a node is in
 * tests/cluster/test_recovery.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/encode.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "service/cluster/recovery_attempt.h"

static const uint8_t cluster_id[CLUSTER_ID_BYTES] = "a cluster's id.";
static uv_loop_t loop;
static struct service service;
static struct cluster *cluster;
static struct secret *mk;
static struct buf texts;
static struct node_sec sec;
static char audit_path[64];

struct call {
    struct exchange exchange;
    int status;
    struct buf body;
};

static void on_start(struct exchange *exchange, int status, const char *content_type,
                     const struct reply_field *fields, unsigned fields_n, size_t length)
{
    struct call *call = (struct call *)exchange;

    (void)content_type;
    (void)fields;
    (void)fields_n;
    (void)length;
    cr_assert_eq(call->status, 0, "answered twice");
    call->status = status;
}

static void on_write(struct exchange *exchange, struct bytes body)
{
    buf_put_bytes(&((struct call *)exchange)->body, body);
}

static void on_end(struct exchange *exchange)
{
    (void)exchange;
}

static const struct exchange_ops ops = {.start = on_start, .write = on_write, .end = on_end};

static struct principal user(uint8_t id)
{
    struct principal who = {.kind = PRINCIPAL_USER, .admin = true, .user_id = {id}};

    return who;
}

/* The status; the reply is `ret_reply`, the caller's. */
static int ask(void (*handler)(struct service *, struct exchange *), struct principal who,
               json_t *body, json_t **ret_reply)
{
    struct call call = {.exchange = {.ops = &ops}, .body = BUF_INIT(64 * KIB)};
    char *text = body == NULL ? NULL : json_dumps(body, 0);
    json_free_t release;

    call.exchange.request.method = METHOD_POST;
    call.exchange.request.who = who;
    if (text != NULL)
        call.exchange.request.body = bytes_str(text);
    handler(&service, &call.exchange);
    *ret_reply = json_loadb((const char *)call.body.data, call.body.len, 0, NULL);
    buf_fini(&call.body);
    json_decref(body);
    json_get_alloc_funcs(NULL, &release); /* doc/json's own */
    release(text);
    return call.status;
}

static char *begin(struct principal who, const char *purpose)
{
    json_t *reply;
    char *nonce;

    cr_assert_eq(ask(handle_recovery_begin, who, json_pack("{s:s}", "purpose", purpose), &reply),
                 200);
    nonce = strdup(json_string_value(json_object_get(reply, "nonce")));
    json_decref(reply);
    return nonce;
}

/* Share `x`, or with 0 a mistyped one. The status; `ret_progress` -1 where there is none. */
static int enter(struct principal who, const char *nonce, unsigned x, int *ret_progress)
{
    struct bytes text =
        bytes_slice(buf_bytes(&texts), (size_t)(x == 0 ? 0 : x - 1) * (RECOVERY_TEXT_BYTES + 1),
                    RECOVERY_TEXT_BYTES - (x == 0));
    const json_t *progress;
    json_t *reply;
    int status =
        ask(handle_recovery_share, who,
            json_pack("{s:s, s:s%}", "nonce", nonce, "share", text.data, text.len), &reply);

    progress = json_object_get(reply, "progress");
    *ret_progress = progress == NULL ? -1 : (int)json_integer_value(progress);
    json_decref(reply);
    return status;
}

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &mk), QK_OK);
    cr_assert_eq(uv_loop_init(&loop), 0);
    texts = BUF_SECRET_INIT(8 * KIB);
    (void)snprintf(audit_path, sizeof(audit_path), "/tmp/test_recovery.%ld", (long)getpid());
    cr_assert_eq(audit_open(audit_path, &service.audit), QK_OK);
    cluster = calloc(1, sizeof(*cluster));
    cr_assert_not_null(cluster);
    cluster->service = &service;
    service.cluster = cluster;
    service.loop = &loop;
    service.node_sec = &sec;
    memcpy(service.cluster_id, cluster_id, sizeof(cluster_id));
    cluster->booted = true;
    cluster->seal.state = SEAL_SEALED;
    cr_assert_eq(recovery_set_make(cluster_id, 1, 0, 5, 3, 1, mk, &cluster->recovery, &texts),
                 QK_OK);
    cluster->recovery_version = 1;
    cr_assert_eq(timer_new(&loop, hub_recovery_tick, cluster, &cluster->recovery_timer), QK_OK);
}

static void tear_down(void)
{
    hub_recovery_free(cluster);
    timer_free(cluster->recovery_timer, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
    free(cluster);
    audit_close(service.audit);
    unlink(audit_path);
    buf_fini(&texts);
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0, "what was entered is wiped");
    secret_arena_fini();
}

TestSuite(recovery_attempt, .init = set_up, .fini = tear_down);

Test(recovery_attempt, only_who_began_goes_on_and_cancels)
{
    char *nonce = begin(user(1), "unseal"), *other = begin(principal_control(), "unseal");
    json_t *reply;
    int progress;

    cr_assert_str_neq(nonce, other);
    cr_assert_eq(enter(user(1), nonce, 1, &progress), 200);
    cr_assert_eq(progress, 1);
    cr_assert_eq(enter(user(2), nonce, 2, &progress), 404);
    cr_assert_eq(enter(principal_control(), nonce, 2, &progress), 404);
    cr_assert_eq(enter(user(1), other, 2, &progress), 404);
    cr_assert_eq(ask(handle_recovery_cancel, user(2), json_pack("{s:s}", "nonce", nonce), &reply),
                 404);
    json_decref(reply);
    cr_assert_eq(ask(handle_recovery_cancel, principal_control(),
                     json_pack("{s:s}", "nonce", nonce), &reply),
                 404);
    json_decref(reply);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    cr_assert_eq(progress, 2);
    cr_assert_eq(enter(principal_control(), other, 2, &progress), 200);
    cr_assert_eq(progress, 1, "each has its own");
    cr_assert_eq(ask(handle_recovery_cancel, user(1), json_pack("{s:s}", "nonce", nonce), &reply),
                 200);
    json_decref(reply);
    cr_assert_eq(enter(user(1), nonce, 3, &progress), 404);
    cr_assert_eq(enter(principal_control(), other, 4, &progress), 200);
    cr_assert_eq(progress, 2);
    free(nonce);
    free(other);
}

Test(recovery_attempt, ends_when_nobody_enters_a_share_for_long)
{
    char *nonce = begin(user(1), "unseal"), *other = begin(user(1), "unseal");
    int progress;

    cr_assert_eq(enter(user(1), nonce, 1, &progress), 200);
    cr_assert_gt(cluster->recoveries->attempts[0].until_ms, uv_now(&loop));
    hub_recovery_tick(cluster);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200, "not yet");
    cluster->recoveries->attempts[0].until_ms = uv_now(&loop);
    hub_recovery_tick(cluster);
    cr_assert_eq(secret_stats().secrets_n, 1, "the master key of this test alone");
    cr_assert_eq(enter(user(1), nonce, 3, &progress), 404);
    cr_assert_eq(enter(user(1), other, 3, &progress), 200, "the other goes on");
    free(nonce);
    free(other);
}

Test(recovery_attempt, ends_after_ten_wrong_shares_of_its_own)
{
    char *nonce = begin(user(1), "unseal"), *other = begin(user(1), "unseal");
    int progress;

    cr_assert_eq(enter(user(1), nonce, 1, &progress), 200);
    for (unsigned i = 0; i < RECOVERY_WRONG_MAX; i++)
        cr_assert_eq(enter(user(1), nonce, 0, &progress), 400);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 404);
    cr_assert_eq(enter(user(1), other, 1, &progress), 200);
    cr_assert_eq(progress, 1);
    free(nonce);
    free(other);
}

Test(recovery_attempt, one_share_twice_counts_once)
{
    char *nonce = begin(user(1), "unseal");
    int progress;

    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    cr_assert_eq(progress, 1);
    free(nonce);
}

Test(recovery_attempt, as_many_as_there_may_be_and_no_more)
{
    json_t *reply;

    for (unsigned i = 0; i < RECOVERY_ATTEMPTS_MAX; i++)
        free(begin(user((uint8_t)i), "verify"));
    cr_assert_eq(ask(handle_recovery_begin, user(1), NULL, &reply), 429);
    json_decref(reply);
    hub_recovery_wipe(cluster, "of the test");
    free(begin(user(1), "unseal"));
}

Test(recovery_attempt, the_status_shows_progress_and_no_nonce)
{
    char *nonce = begin(user(1), "unseal"), id[RECOVERY_ATTEMPT_ID_CHARS + 1];
    int progress;

    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    cr_assert_eq(hub_recovery_progress(cluster, id), 1);
    cr_assert_eq(strlen(id), RECOVERY_ATTEMPT_ID_CHARS);
    cr_assert_null(strstr(nonce, id));
    hub_recovery_wipe(cluster, "of the test");
    cr_assert_eq(hub_recovery_progress(cluster, id), 0);
    cr_assert_str_eq(id, "");
    free(nonce);
}

Test(recovery_attempt, a_good_quorum_is_verified_and_opens_nothing)
{
    char *nonce = begin(user(1), "verify");
    json_t *reply;
    int progress;

    for (unsigned x = 1; x <= 4; x++)
        cr_assert_eq(enter(user(1), nonce, x, &progress), 200);
    cr_assert_eq(cluster->seal.state, SEAL_SEALED);
    cr_assert_null(cluster->mk);
    cr_assert_eq(enter(user(1), nonce, 5, &progress), 200);
    cr_assert_eq(progress, 5);
    cr_assert_eq(enter(user(1), nonce, 5, &progress), 404, "all are in: it is over");
    cr_assert_eq(ask(handle_recovery_begin, user(1), json_pack("{s:s}", "purpose", "both"), &reply),
                 400);
    json_decref(reply);
    free(nonce);
}

Test(recovery_attempt, nothing_is_begun_that_could_not_end)
{
    static const enum seal_state states[] = {SEAL_UNSEALED, SEAL_HELD, SEAL_SEALING};
    json_t *reply;

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        cluster->seal.state = states[i];
        cr_assert_eq(ask(handle_recovery_begin, user(1), NULL, &reply), 409);
        json_decref(reply);
    }
    cluster->seal.state = SEAL_SEALED;
    cluster->recovery_version = 0;
    cr_assert_eq(ask(handle_recovery_begin, user(1), NULL, &reply), 409);
    json_decref(reply);
    cluster->recovery_version = 1;
    cluster->restoring = true;
    cr_assert_eq(ask(handle_recovery_begin, user(1), NULL, &reply), 503);
    json_decref(reply);
    cluster->restoring = false;
}

Test(recovery_attempt, a_master_key_that_changed_meanwhile_ends_nothing)
{
    struct call call = {.exchange = {.ops = &ops}, .body = BUF_INIT(64 * KIB)};
    char *nonce = begin(user(1), "unseal");
    struct attempt *attempt = &cluster->recoveries->attempts[0];
    int progress;

    call.exchange.request.method = METHOD_POST;
    cr_assert_eq(enter(user(1), nonce, 1, &progress), 200);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    attempt->waiting = &call.exchange;
    hub_recovery_opened(cluster, QK_ERR_STALE);
    cr_assert_eq(call.status, 503);
    cr_assert_eq(enter(user(1), nonce, 2, &progress), 200);
    cr_assert_eq(progress, 2);
    buf_fini(&call.body);
    free(nonce);
}

/* Somebody who writes the disk of one node puts a commitment of his own: true shares look altered,
 * and nothing is opened. */
Test(recovery_attempt, a_damaged_keyslot_is_told_apart_from_a_wrong_share)
{
    char *nonce = begin(user(1), "unseal");
    int progress;

    cluster->recovery.blob[100] ^= 1;
    for (unsigned x = 1; x <= 2; x++)
        cr_assert_eq(enter(user(1), nonce, x, &progress), 200);
    cr_assert_eq(enter(user(1), nonce, 3, &progress), 500);
    cr_assert_eq(cluster->seal.state, SEAL_SEALED);
    cr_assert_null(cluster->mk);
    cr_assert_eq(enter(user(1), nonce, 4, &progress), 404);
    free(nonce);
}
