/* One recovery share: checked, kept, and with enough of them MK. The happy path stands at the head
 * of recovery_attempt.c. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "service/cluster/recovery_attempt.h"

/* A wrong share is the reply; too many end the attempt, so that nobody tries by machine. */
static void share_wrong(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                        const char *reason)
{
    unsigned left = RECOVERY_WRONG_MAX - ++attempt->wrong_n;

    audit_event(cluster->service->audit, "recovery_wrong_share", "attempt", attempt->id, "by",
                exchange->from, "why", reason, NULL);
    log_warn("recovery", "%s", reason);
    if (left == 0)
        attempt_end(cluster, attempt, "too many wrong shares");
    exchange_reply_error(exchange, 400, "wrong_share", "%s%s", reason,
                         left == 0 ? "; after so many wrong ones this attempt is over" : "");
}

/* `ret_share` is the caller's, of the live set and good; or the refusal has been sent. */
static bool share_take(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                       const json_t *json, struct recovery_share *ret_share)
{
    const json_t *text = json_object_get(json, "share");
    struct buf problem = BUF_INIT(KIB);
    enum qk_err err;

    if (!json_is_string(text)) {
        exchange_reply_error(exchange, 400, "bad_request", "\"share\" is a text");
        return false;
    }
    err = recovery_share_take(&cluster->recovery, cluster->service->cluster_id,
                              bytes_of(json_string_value(text), json_string_length(text)),
                              ret_share, &problem);
    buf_put_u8(&problem, 0);
    if (err == QK_ERR_NOMEM || (err != QK_OK && buf_error(&problem) != QK_OK))
        exchange_reply_err(exchange, QK_ERR_NOMEM);
    else if (err != QK_OK)
        share_wrong(cluster, attempt, exchange, (const char *)problem.data);
    buf_fini(&problem);
    return err == QK_OK;
}

static bool share_is_here(const struct attempt *attempt, unsigned x)
{
    for (unsigned i = 0; i < attempt->shares_n; i++)
        if (attempt->shares[i].x == x)
            return true;
    return false;
}

/* MK by the shares entered. The secret lives for this call alone. */
static enum qk_err shares_open(const struct cluster *cluster, const struct attempt *attempt,
                               struct secret **ret_mk)
{
    struct secret *secret = NULL;
    enum qk_err err =
        recovery_combine(&cluster->recovery, attempt->shares, attempt->shares_n, &secret);

    if (err == QK_OK)
        err = recovery_open(&cluster->recovery, cluster->service->cluster_id, secret, ret_mk);
    secret_free(secret);
    return err;
}

static void verify(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                   unsigned x)
{
    bool quorum = attempt->shares_n >= cluster->recovery.t;
    struct secret *mk = NULL;
    enum qk_err err = quorum ? shares_open(cluster, attempt, &mk) : QK_OK;

    /* Where this node holds MK of that version, it is the same. */
    if (err == QK_OK && quorum && cluster->mk != NULL && cluster->service->keyring != NULL &&
        keyring_mk_version(cluster->service->keyring) == cluster->recovery.mk_version &&
        !secret_equal(mk, cluster->mk))
        err = QK_ERR_CORRUPT;
    secret_free(mk);
    if (err == QK_OK) {
        attempt_reply(cluster, attempt, exchange, x, quorum,
                      attempt->shares_n == cluster->recovery.n);
        return;
    }
    attempt_end(cluster, attempt, "the keyslot did not open");
    exchange_reply_error(exchange, 500, "damaged",
                         "each share is good, but they do not open the keyslot of this node's "
                         "store: it is damaged; verify on another node");
}

/* --- opening the node ------------------------------------------------------------------------ */

void hub_recovery_opened(struct cluster *cluster, enum qk_err err)
{
    cluster->recovering = false;
    for (unsigned i = 0; cluster->recoveries != NULL && i < RECOVERY_ATTEMPTS_MAX; i++) {
        struct attempt *attempt = &cluster->recoveries->attempts[i];
        struct exchange *exchange = attempt->waiting;

        if (!attempt->used || exchange == NULL)
            continue;
        attempt->waiting = NULL;
        if (err == QK_OK) {
            log_warn("recovery", "unsealed by recovery shares");
            audit_event(cluster->service->audit, "recovery_unsealed", "attempt", attempt->id, NULL);
            attempt_reply(cluster, attempt, exchange, attempt->shares[attempt->shares_n - 1].x,
                          true, true);
            continue;
        }
        if (err == QK_ERR_STALE) { /* the log has brought another master key in between */
            recovery_share_fini(&attempt->shares[--attempt->shares_n]);
            exchange_reply_error(exchange, 503, "busy",
                                 "the master key was changed meanwhile: enter the share again");
            continue;
        }
        attempt_end(cluster, attempt, "the store did not open");
        exchange_reply_error(exchange, 500, "damaged",
                             "the shares opened the master key, but keyring or catalog of this "
                             "node's store did not open: %s; the log names the record",
                             qk_err_text(err));
    }
}

static void unseal(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                   unsigned x)
{
    struct secret *mk = NULL;
    enum qk_err err;

    if (attempt->shares_n < cluster->recovery.t) {
        attempt_reply(cluster, attempt, exchange, x, false, false);
        return;
    }
    /* Peers may have come back meanwhile; another attempt may be quicker. */
    if (cluster->seal.state == SEAL_UNSEALED) {
        attempt_reply(cluster, attempt, exchange, x, true, true);
        return;
    }
    if (cluster->seal.state != SEAL_SEALED && cluster->seal.state != SEAL_UNSEALING) {
        attempt_end(cluster, attempt, "the node cannot be opened now");
        exchange_reply_error(exchange, 409, "conflict", "this node is %s: nothing can open it now",
                             seal_state_text(cluster->seal.state));
        return;
    }
    if (cluster->recovering) { /* by another's shares: what comes of it answers both */
        attempt->waiting = exchange;
        return;
    }
    if (cluster->opening != NULL || cluster->seal.combining) {
        recovery_share_fini(&attempt->shares[--attempt->shares_n]);
        exchange_reply_error(exchange, 503, "busy",
                             "the node is being opened by its peers: see whether it is open, else "
                             "enter the share again");
        return;
    }
    err = shares_open(cluster, attempt, &mk);
    if (err != QK_OK) {
        attempt_end(cluster, attempt, "the keyslot did not open");
        exchange_reply_error(exchange, 500, "damaged",
                             "each share is good, but they do not open the keyslot of this node's "
                             "store: it is damaged; another node's may be whole");
        return;
    }
    secret_free(cluster->mk_opening);
    cluster->mk_opening = mk;
    cluster->recovering = true;
    cluster->combine_began_us = timer_now_us();
    attempt->waiting = exchange;
    hub_open(cluster, cluster->recovery.mk_version);
}

void handle_recovery_share(struct service *service, struct exchange *exchange)
{
    struct cluster *cluster = service->cluster;
    json_t *json = attempt_body(exchange);
    struct attempt *attempt;
    struct recovery_share share;
    bool taken;
    char number[16];

    if (json == NULL)
        return;
    attempt = attempt_find(cluster, exchange, json);
    taken = attempt != NULL && share_take(cluster, attempt, exchange, json, &share);
    json_decref(json);
    if (!taken)
        return;
    attempt->until_ms = hub_now_ms(cluster) + RECOVERY_IDLE_MS;
    if (share_is_here(attempt, share.x)) {
        recovery_share_fini(&share);
        attempt_reply(cluster, attempt, exchange, share.x, attempt->shares_n >= cluster->recovery.t,
                      false);
        return;
    }
    attempt->shares[attempt->shares_n++] = share;
    snprintf(number, sizeof(number), "%u", share.x);
    audit_event(service->audit, "recovery_share", "attempt", attempt->id, "share", number, "by",
                exchange->from, NULL);
    if (attempt->purpose == PURPOSE_VERIFY)
        verify(cluster, attempt, exchange, share.x);
    else
        unseal(cluster, attempt, exchange, share.x);
}
