/* One job: pending -> running -> completed, or -> crashing -> (a while) -> running. Of _replicate
 * it goes when it has ended and who waited was told; one with a document stays, and its document is
 * told. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "secret/crypto.h"
#include "service/catalog.h"
#include "service/replication/replicator_private.h"
#include "service/submit.h"
#include "service/tasks.h"

#define RETRY_MS_MIN 2000u
#define RETRY_MS_MAX (5u * 60 * 1000)
#define LIFE_MS 20000u /* a forwarded request without a sign of life is given up after 60 s */

void job_time(char ret_text[static 32])
{
    time_t now = time(NULL);
    struct tm tm;

    (void)gmtime_r(&now, &tm);
    (void)strftime(ret_text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

const char *job_state_text(enum job_state state)
{
    switch (state) {
    case JOB_PENDING:
        return "pending";
    case JOB_RUNNING:
        return "running";
    case JOB_CRASHING:
        return "crashing";
    case JOB_COMPLETED:
        return "completed";
    case JOB_FAILED:
        break;
    }
    return "failed";
}

/* The same on every node: whoever leads next finds the checkpoints. */
void job_id_of(const struct replicator *replicator, const struct replication_spec *spec,
               char ret_id[static JOB_ID_BYTES])
{
    struct buf text = BUF_INIT(4 * REPLICATOR_BODY_BYTES_MAX); /* larger than any request */
    uint8_t hash[HASH_BYTES];
    struct bytes view;

    buf_put(&text, replicator->service->origin_id, CLUSTER_ID_BYTES);
    replication_spec_identity(spec, &text);
    view = buf_bytes(&text);
    hash_compute(&view, 1, hash);
    hex_encode(hash, REPLICATION_ID_BYTES / 2, ret_id);
    if (spec->continuous)
        memcpy(ret_id + REPLICATION_ID_BYTES, "+continuous", sizeof "+continuous");
    buf_fini(&text);
}

struct job *job_find(struct replicator *replicator, const char *id)
{
    struct job *job = replicator->jobs;

    while (job != NULL && strcmp(job->id, id) != 0)
        job = job->next;
    return job;
}

enum qk_err job_new(struct replicator *replicator, struct replication_spec *spec,
                    const struct principal *who, struct job **ret_job)
{
    struct job *job = replicator->jobs_n < REPLICATOR_JOBS_MAX ? calloc(1, sizeof *job) : NULL;

    if (job == NULL) {
        replication_spec_fini(spec);
        return replicator->jobs_n < REPLICATOR_JOBS_MAX ? QK_ERR_NOMEM : QK_ERR_BUSY;
    }
    job->replicator = replicator;
    job->spec = *spec;
    job->who = *who;
    *spec = (struct replication_spec){0};
    job_id_of(replicator, &job->spec, job->id);
    job_time(job->started);
    job_time(job->changed);
    job->next = replicator->jobs;
    replicator->jobs = job;
    replicator->jobs_n++;
    *ret_job = job;
    return QK_OK;
}

/* --- who waits ------------------------------------------------------------------------------- */

static void waiters_end(struct job *job, json_t *(*body)(const void *arg), const void *arg,
                        int status)
{
    for (unsigned i = 0; i < job->waiters_n; i++) {
        struct exchange *exchange = job->waiters[i].exchange;
        struct buf text = BUF_INIT(1 * MIB);
        json_t *value;

        if (!exchange->started) {
            exchange_reply_json(exchange, status, body(arg));
            continue;
        }
        value = body(arg);
        if (value != NULL && json_write(value, &text) == QK_OK)
            exchange_write(exchange, buf_bytes(&text));
        json_decref(value);
        buf_fini(&text);
        exchange_end(exchange);
    }
    job->waiters_n = 0;
}

static json_t *result_body(const void *arg)
{
    return replication_run_result(arg);
}

static json_t *outcome_body(const void *arg)
{
    const struct replication_outcome *outcome = arg;

    return json_pack("{s:s, s:s}", "error", outcome->error, "reason", outcome->why);
}

/* Blanks before a JSON text are no part of it. */
static void waiters_tick(struct job *job, uint64_t now_ms)
{
    for (unsigned i = 0; i < job->waiters_n; i++) {
        struct job_waiter *waiter = &job->waiters[i];

        if (now_ms - waiter->said_ms < LIFE_MS || waiter->exchange->closed)
            continue;
        if (!waiter->exchange->started)
            exchange_start(waiter->exchange, 200, "application/json");
        exchange_write(waiter->exchange, bytes_str("\n"));
        waiter->said_ms = now_ms;
    }
}

/* Nobody waits any more for a run that was to end. */
static bool is_abandoned(struct job *job)
{
    if (job->waiters_n == 0)
        return false;
    for (unsigned i = 0; i < job->waiters_n; i++) {
        if (!job->waiters[i].exchange->closed)
            return false;
    }
    return true;
}

/* --- ends ------------------------------------------------------------------------------------ */

static void counts_add(struct replication_counts *sum, const struct replication_counts *more)
{
    sum->missing_checked += more->missing_checked;
    sum->missing_found += more->missing_found;
    sum->docs_read += more->docs_read;
    sum->docs_written += more->docs_written;
    sum->doc_write_failures += more->doc_write_failures;
}

struct replication_counts job_counts(const struct job *job)
{
    struct replication_counts counts = job->before;
    struct replication_view view;

    if (job->run != NULL) {
        replication_run_view(job->run, &view);
        counts_add(&counts, &view.counts);
    }
    return counts;
}

static void run_drop(struct job *job)
{
    job->before = job_counts(job);
    replication_run_free(job->run);
    job->run = NULL;
    task_end(job->task);
    job->task = NULL;
    job_time(job->changed);
}

void job_free(struct job *job, enum qk_err err)
{
    struct replicator *replicator = job->replicator;
    struct job **place = &replicator->jobs;
    struct replication_outcome ended = {false, 503, "service_unavailable",
                                        err == QK_ERR_NOT_LEADER ? "the leader changed: try again"
                                                                 : "it was cancelled"};

    while (*place != job)
        place = &(*place)->next;
    *place = job->next;
    replicator->jobs_n--;
    if (replicator->noted == job)
        replicator->noted = NULL;
    waiters_end(job, outcome_body, &ended, ended.status);
    run_drop(job);
    replication_spec_fini(&job->spec);
    json_decref(job->noting);
    free(job->doc_id);
    free(job->doc_rev);
    free(job);
}

static json_t *stats_json(const struct replication_counts *counts)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "revisions_checked",
                     (json_int_t)counts->missing_checked, "missing_revisions_found",
                     (json_int_t)counts->missing_found, "docs_read", (json_int_t)counts->docs_read,
                     "docs_written", (json_int_t)counts->docs_written, "doc_write_failures",
                     (json_int_t)counts->doc_write_failures);
}

static void note_end(struct job *job)
{
    struct replication_counts counts = job_counts(job);

    job->noting =
        json_pack("{s:s, s:s, s:s, s:o}", "_replication_state", job_state_text(job->state),
                  "_replication_id", job->id, "_replication_state_time", job->changed,
                  "_replication_stats", stats_json(&counts));
}

static uint64_t retry_after_ms(unsigned errors_n)
{
    uint64_t ms = RETRY_MS_MIN;

    for (unsigned i = 1; i < errors_n && ms < RETRY_MS_MAX; i++)
        ms *= 2;
    return ms < RETRY_MS_MAX ? ms : RETRY_MS_MAX;
}

static void job_failed(struct job *job, const struct replication_outcome *outcome)
{
    snprintf(job->why, sizeof job->why, "%s: %.280s", outcome->error, outcome->why);
    log_warn("replication", "%.8s: %s", job->id, job->why);
    waiters_end(job, outcome_body, outcome, outcome->status);
    run_drop(job);
    job->errors_n++;
    job->state = JOB_CRASHING;
    job->retry_ms = timer_now_ms(job->replicator->service->loop) + retry_after_ms(job->errors_n);
}

/* From inside the run: it is freed here. */
static void on_run(void *arg, const struct replication_outcome *outcome)
{
    struct job *job = arg;

    if (!outcome->ok) {
        job_failed(job, outcome);
    } else {
        waiters_end(job, result_body, job->run, 200);
        run_drop(job);
        job->state = JOB_COMPLETED;
        job->errors_n = 0;
        job->why[0] = '\0';
        if (job->doc_id != NULL)
            note_end(job);
    }
    if (job->doc_id == NULL && (!job->spec.continuous || outcome->ok))
        job_free(job, QK_OK);
}

/* --- beginnings ------------------------------------------------------------------------------ */

/* Who wrote a document long ago: the same user still, with what rights are theirs now; a password
 * that changed since is no matter. */
static void who_now(struct job *job)
{
    const struct service *service = job->replicator->service;
    const struct user *user;

    if (job->doc_id == NULL || job->who.kind != PRINCIPAL_USER || service->catalog == NULL)
        return;
    user = catalog_user_find(service->catalog, bytes_str(job->who.name));
    if (user != NULL)
        job->who.credential_version = user->credential_version;
}

void job_begin(struct job *job)
{
    struct replicator *replicator = job->replicator;
    char id[REPLICATION_ID_BYTES + 1];
    enum qk_err err;

    assert(job->run == NULL);
    snprintf(id, sizeof id, "%.*s", REPLICATION_ID_BYTES, job->id);
    who_now(job);
    err = replication_run_new(replicator->service, replicator->fetch, &job->spec, &job->who, id,
                              on_run, job, &job->run);
    if (err != QK_OK) {
        job->retry_ms = timer_now_ms(replicator->service->loop) + RETRY_MS_MIN;
        return;
    }
    job->state = JOB_RUNNING;
    job_time(job->changed);
    if (task_begin(replicator->service, "replication", &job->task) != QK_OK)
        job->task = NULL;
}

static void job_show(struct job *job)
{
    struct replication_counts counts = job_counts(job);
    struct replication_view view;

    if (job->run == NULL || job->task == NULL)
        return;
    replication_run_view(job->run, &view);
    task_set(job->task, "replication_id", json_string(job->id));
    task_set(job->task, "doc_id", job->doc_id == NULL ? json_null() : json_string(job->doc_id));
    task_set(job->task, "source", json_string(job->spec.source.name));
    task_set(job->task, "target", json_string(job->spec.target.name));
    task_set(job->task, "user",
             job->who.kind == PRINCIPAL_USER ? json_string(job->who.name) : json_null());
    task_set(job->task, "continuous", json_boolean(job->spec.continuous));
    task_set(job->task, "revisions_checked", json_integer((json_int_t)counts.missing_checked));
    task_set(job->task, "missing_revisions_found", json_integer((json_int_t)counts.missing_found));
    task_set(job->task, "docs_read", json_integer((json_int_t)counts.docs_read));
    task_set(job->task, "docs_written", json_integer((json_int_t)counts.docs_written));
    task_set(job->task, "doc_write_failures", json_integer((json_int_t)counts.doc_write_failures));
    task_set(job->task, "changes_pending", json_integer((json_int_t)view.pending));
    task_set(job->task, "through_seq",
             view.through_seq == NULL ? json_integer(0) : json_deep_copy(view.through_seq));
    task_set(job->task, "checkpointed_source_seq",
             view.checkpointed_seq == NULL ? json_integer(0)
                                           : json_deep_copy(view.checkpointed_seq));
}

void job_tick(struct job *job)
{
    uint64_t now_ms = timer_now_ms(job->replicator->service->loop);

    if (is_abandoned(job) && job->doc_id == NULL && !job->spec.continuous) {
        job_free(job, QK_OK);
        return;
    }
    waiters_tick(job, now_ms);
    if (job->run == NULL && (job->state == JOB_PENDING || job->state == JOB_CRASHING) &&
        now_ms >= job->retry_ms)
        job_begin(job);
    job_show(job);
}
