#include "service/submit.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "consensus/consensus.h"
#include "secret/crypto.h"
#include "service/catalog.h"
#include "service/keys_current.h"
#include "service/period.h"
#include "store/store.h"

#define LATCH_BUCKETS 4096
#define SUBMIT_CONFIRM_MS 5000

struct waiter;

/* One record key's line: its first waiter holds the latch. */
struct latch {
    struct latch *next; /* in its bucket */
    struct waiter *first, *last;
    size_t bucket;
    size_t key_len;
    uint8_t key[];
};

struct waiter {
    struct submit *submit;
    struct latch *latch;
    struct waiter *next; /* behind this one */
};

struct submit {
    struct submitter *submitter;
    const struct submit_ops *ops;
    submit_wait wait; /* or NULL */
    void *arg;
    struct submit *next_ready;
    size_t blocked_n; /* lines in which another is first */
    unsigned rounds;  /* that ended with a failed condition */
    bool proposed;    /* at least one command */
    uint64_t term;    /* of the last evaluation */
    size_t waiters_n;
    struct waiter waiters[];
};

struct submitter {
    struct service *service;
    struct submit *ready_first, *ready_last;
    bool running;
    uint64_t settled_term; /* in which this node leads and has applied all that came before */
    size_t writes_n;
    uint8_t
        seed[crypto_shorthash_KEYBYTES]; /* keys come from clients: no one may aim at one bucket */
    struct latch *buckets[LATCH_BUCKETS];
};

enum qk_err submitter_new(struct service *service, struct submitter **ret_submitter)
{
    struct submitter *submitter = calloc(1, sizeof(*submitter));

    assert(service != NULL && ret_submitter != NULL);

    if (submitter == NULL)
        return QK_ERR_NOMEM;
    submitter->service = service;
    random_fill(submitter->seed, sizeof(submitter->seed));
    *ret_submitter = submitter;
    return QK_OK;
}

void submitter_free(struct submitter *submitter)
{
    assert(submitter == NULL || submitter->writes_n == 0);
    free(submitter);
}

size_t submit_writes_n(const struct submitter *submitter)
{
    return submitter->writes_n;
}

/* --- latches --- */

static size_t latch_bucket(const struct submitter *submitter, struct bytes key)
{
    uint8_t hash[crypto_shorthash_BYTES];

    crypto_shorthash(hash, key.data, key.len, submitter->seed);
    return get_u32(hash) % LATCH_BUCKETS;
}

/* Finds or makes; NULL without memory. */
static struct latch *latch_get(struct submitter *submitter, struct bytes key)
{
    size_t bucket = latch_bucket(submitter, key);
    struct latch *latch;

    for (latch = submitter->buckets[bucket]; latch != NULL; latch = latch->next) {
        if (bytes_equal(bytes_of(latch->key, latch->key_len), key))
            return latch;
    }
    latch = malloc(sizeof(*latch) + key.len);
    if (latch == NULL)
        return NULL;
    *latch = (struct latch){.next = submitter->buckets[bucket], .bucket = bucket};
    latch->key_len = key.len;
    memcpy(latch->key, key.data, key.len);
    submitter->buckets[bucket] = latch;
    return latch;
}

static void latch_drop(struct submitter *submitter, struct latch *latch)
{
    struct latch **at = &submitter->buckets[latch->bucket];

    while (*at != latch)
        at = &(*at)->next;
    *at = latch->next;
    free(latch);
}

static void latch_join(struct latch *latch, struct waiter *waiter)
{
    waiter->latch = latch;
    waiter->next = NULL;
    if (latch->first == NULL)
        latch->first = waiter;
    else
        latch->last->next = waiter;
    latch->last = waiter;
}

static void submit_ready(struct submit *submit)
{
    struct submitter *submitter = submit->submitter;

    submit->next_ready = NULL;
    if (submitter->ready_first == NULL)
        submitter->ready_first = submit;
    else
        submitter->ready_last->next_ready = submit;
    submitter->ready_last = submit;
}

/* The holder leaves its line; the one behind it may go on when it is first everywhere. */
static void latch_leave(struct submitter *submitter, struct waiter *waiter)
{
    struct latch *latch = waiter->latch;

    assert(latch->first == waiter);

    latch->first = waiter->next;
    if (latch->first == NULL) {
        latch_drop(submitter, latch);
        return;
    }
    assert(latch->first->submit->blocked_n > 0);
    if (--latch->first->submit->blocked_n == 0)
        submit_ready(latch->first->submit);
}

/* --- the course of one write --- */

static void submit_leave_lines(struct submit *submit)
{
    while (submit->waiters_n > 0)
        latch_leave(submit->submitter, &submit->waiters[--submit->waiters_n]);
}

static void submit_finish(struct submit *submit, enum qk_err err)
{
    submit_leave_lines(submit);
    submit->submitter->writes_n--;
    submit->ops->done(submit->arg, err);
    free(submit);
}

static void submitter_run(struct submitter *submitter);

static void submit_cb(void *arg, enum qk_err err, uint64_t index, struct bytes results)
{
    struct submit *submit = arg;
    struct submitter *submitter = submit->submitter;
    struct wire_result result;
    bool failed = false;
    size_t at;

    (void)index;
    for (at = 0; err == QK_OK && at < wire_results_count(results); at++) {
        err = wire_result_get(results, at, &result);
        if (err == QK_OK)
            submit->ops->result(submit->arg, at, &result);
        failed = failed || (err == QK_OK && !result.ok);
    }
    if (failed && ++submit->rounds == SUBMIT_ROUNDS_MAX)
        err = QK_ERR_BUSY;
    if (err == QK_OK && at == 0)
        err = QK_ERR_INVALID; /* apply found it malformed: nothing of it was done */
    if (err != QK_OK)
        submit_finish(submit, err);
    else
        submit_ready(submit); /* for what is still open; nothing open ends it */
    submitter_run(submitter);
}

static enum qk_err submit_admit(const struct service *service)
{
    enum qk_err err;

    if (!service_is_open(service))
        return QK_ERR_SEALED;
    if (consensus_role(service->consensus) != CONSENSUS_LEADER)
        return QK_ERR_NOT_LEADER;
    err = catalog_check(service->catalog);
    return err != QK_OK ? err : store_admit(service->store);
}

/* A leader just elected has not applied all that its predecessors committed: what it evaluated now
 * could miss a database or a document that was acknowledged. */
static void submit_settled(void *arg, enum qk_err err, uint64_t index)
{
    struct submit *submit = arg;
    struct submitter *submitter = submit->submitter;
    struct consensus *consensus = submitter->service->consensus;

    (void)index;
    if (err == QK_OK && (consensus_role(consensus) != CONSENSUS_LEADER ||
                         consensus_term(consensus) != submit->term))
        err = QK_ERR_NOT_LEADER;
    if (err == QK_OK) {
        submitter->settled_term = submit->term;
        submit_ready(submit);
    } else {
        submit_finish(submit, err);
    }
    submitter_run(submitter);
}

static enum qk_err submit_settle(struct submit *submit, bool *ret_ended)
{
    struct consensus *consensus = submit->submitter->service->consensus;
    enum qk_err err = consensus_read(consensus, SUBMIT_CONFIRM_MS, submit_settled, submit);

    *ret_ended = err != QK_OK;
    return err;
}

static void submit_keys(void *arg, enum qk_err err)
{
    struct submit *submit = arg;
    struct submitter *submitter = submit->submitter;

    if (err == QK_OK)
        submit_ready(submit);
    else
        submit_finish(submit, err);
    submitter_run(submitter);
}

/* QK_OK with `ret_ended` false when a command is on its way. */
static enum qk_err submit_round(struct submit *submit, bool *ret_ended)
{
    struct service *service = submit->submitter->service;
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    *ret_ended = true;
    err = submit_admit(service);
    if (err != QK_OK)
        return err;
    submit->term = consensus_term(service->consensus);
    if (submit->term != submit->submitter->settled_term)
        return submit_settle(submit, ret_ended);
    if (!keys_are_current(service)) {
        err = keys_wait(service, submit_keys, submit);
        *ret_ended = err != QK_OK;
        return err;
    }
    wire_command_begin(&command, WIRE_WRITE);
    period_begin(service);
    err = submit->ops->evaluate(submit->arg, &command);
    if (err == QK_ERR_KEY_FULL) { /* goes on under the next version */
        submit->rounds = 0;
        err = period_wait(service, submit_keys, submit);
        *ret_ended = err != QK_OK;
    }
    if (err == QK_OK && *ret_ended && command.batches_n == 0 && submit->wait != NULL) {
        err = submit->wait(submit->arg, submit_keys, submit);
        *ret_ended = err != QK_OK;
        err = err == QK_ERR_NOT_FOUND ? QK_OK : err;
    }
    if (err != QK_OK || !*ret_ended || command.batches_n == 0)
        goto out;
    err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(service->consensus, bytes, submit_cb, submit);
    if (err == QK_OK) {
        submit->proposed = true;
        *ret_ended = false;
    }

out:
    wire_command_fini(&command);
    return err;
}

/* Nothing was proposed: "conflict" or "missing" is the whole answer, and a leader that was replaced
 * without knowing would give a stale one. What was evaluated holds if this node still leads in the
 * same term after a read point, which a majority confirms. */
static void submit_confirmed(void *arg, enum qk_err err, uint64_t index)
{
    struct submit *submit = arg;
    struct submitter *submitter = submit->submitter;
    struct consensus *consensus = submitter->service->consensus;

    (void)index;
    if (err == QK_OK && (consensus_role(consensus) != CONSENSUS_LEADER ||
                         consensus_term(consensus) != submit->term))
        err = QK_ERR_NOT_LEADER;
    submit_finish(submit, err);
    submitter_run(submitter);
}

static void submit_end(struct submit *submit, enum qk_err err)
{
    struct consensus *consensus = submit->submitter->service->consensus;

    if (err == QK_OK && !submit->proposed) {
        submit_leave_lines(submit); /* those behind share one round of confirmation */
        err = consensus_read(consensus, SUBMIT_CONFIRM_MS, submit_confirmed, submit);
        if (err == QK_OK)
            return;
    }
    submit_finish(submit, err);
}

/* A loop and not a chain of calls: a long line of writes that all end at once must not grow the
 * stack. */
static void submitter_run(struct submitter *submitter)
{
    if (submitter->running)
        return;
    submitter->running = true;
    while (submitter->ready_first != NULL) {
        struct submit *submit = submitter->ready_first;
        enum qk_err err;
        bool ended;

        submitter->ready_first = submit->next_ready;
        err = submit_round(submit, &ended);
        if (ended)
            submit_end(submit, err);
    }
    submitter->running = false;
}

/* --- starting --- */

/* The new write's own waiters stand last in their lines: taken out again. */
static void submit_abandon(struct submit *submit)
{
    struct submitter *submitter = submit->submitter;

    while (submit->waiters_n > 0) {
        struct waiter *waiter = &submit->waiters[--submit->waiters_n];
        struct latch *latch = waiter->latch;
        struct waiter *before = latch->first;

        if (before == waiter) {
            latch_drop(submitter, latch);
            continue;
        }
        while (before->next != waiter)
            before = before->next;
        before->next = NULL;
        latch->last = before;
    }
    free(submit);
}

static enum qk_err submit_join_lines(struct submit *submit, const struct bytes *keys, size_t keys_n)
{
    size_t i;

    for (i = 0; i < keys_n; i++) {
        struct latch *latch = latch_get(submit->submitter, keys[i]);

        if (latch == NULL)
            return QK_ERR_NOMEM;
        if (latch->last != NULL && latch->last->submit == submit)
            continue; /* the same key twice */
        if (latch->first != NULL)
            submit->blocked_n++;
        latch_join(latch, &submit->waiters[submit->waiters_n]);
        submit->waiters[submit->waiters_n++].submit = submit;
    }
    return QK_OK;
}

enum qk_err submit_start(struct service *service, const struct bytes *keys, size_t keys_n,
                         const struct submit_ops *ops, void *arg)
{
    return submit_start_waiting(service, keys, keys_n, ops, NULL, arg);
}

enum qk_err submit_start_waiting(struct service *service, const struct bytes *keys, size_t keys_n,
                                 const struct submit_ops *ops, submit_wait wait, void *arg)
{
    struct submitter *submitter = service->submitter;
    struct submit *submit;
    enum qk_err err;

    assert(submitter != NULL && ops != NULL);
    assert(keys_n <= BATCH_RECORDS_MAX);

    if (submitter->writes_n >= SUBMIT_WRITES_MAX)
        return QK_ERR_BUSY;
    submit = calloc(1, sizeof(*submit) + keys_n * sizeof(submit->waiters[0]));
    if (submit == NULL)
        return QK_ERR_NOMEM;
    submit->submitter = submitter;
    submit->ops = ops;
    submit->wait = wait;
    submit->arg = arg;
    err = submit_join_lines(submit, keys, keys_n);
    if (err != QK_OK) {
        submit_abandon(submit);
        return err;
    }
    submitter->writes_n++;
    if (submit->blocked_n == 0)
        submit_ready(submit);
    submitter_run(submitter);
    return QK_OK;
}

void submit_reply_err(struct service *service, struct exchange *exchange, enum qk_err err)
{
    char reason[512];

    if (err != QK_ERR_SEALED) {
        exchange_reply_err(exchange, err);
        return;
    }
    service_closed_reason(service, reason, sizeof(reason));
    exchange_reply_error(exchange, 503, "sealed", "%s", reason);
}
