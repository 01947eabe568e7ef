#include "service/script_job.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"
#include "service/service.h"
#include "service/timer_uv.h"

#define BUSY_MS 20 /* until a worker is looked for again */
#define CALLS_BYTES_MAX (2 * SCRIPT_FRAME_BYTES_MAX)

struct script_job {
    struct script_job *next; /* in service->script_jobs: the newest first */
    struct service *service;
    void (*done)(void *arg, enum qk_err err);
    void *arg;
    struct buf design;  /* secret, as the others */
    struct buf calls;   /* as they are sent */
    struct buf answers; /* each its length u32 and itself */
    size_t calls_n, answered_n, answers_at;
    size_t calls_at; /* where the first that is not answered stands in `calls` */
    struct script *script;
    struct timer *timer;
    bool running;
    enum qk_err end_err; /* of the run, told from the timer */
    bool ending;
    unsigned deaths;
};

/* --- life --- */

static void job_freed(void *arg)
{
    free(arg);
}

static void job_unlink(struct script_job *job)
{
    struct script_job **link = &job->service->script_jobs;

    while (*link != NULL && *link != job)
        link = &(*link)->next;
    if (*link == job)
        *link = job->next;
}

static void job_drop_script(struct script_job *job)
{
    script_close(job->script);
    job->script = NULL;
}

void script_job_free(struct script_job *job)
{
    if (job == NULL)
        return;
    job_drop_script(job);
    job_unlink(job);
    buf_fini(&job->design);
    buf_fini(&job->calls);
    buf_fini(&job->answers);
    timer_free(job->timer, job_freed, job);
}

/* The end of a run is told from the timer, so never inside of what caused it. */
static void job_end(struct script_job *job, enum qk_err err)
{
    if (job->ending)
        return;
    job->ending = true;
    job->end_err = err;
    timer_start(job->timer, 0);
}

static void job_tick(void *arg);

enum qk_err script_job_new(struct service *service, struct buf *design,
                           void (*done)(void *arg, enum qk_err err), void *arg,
                           struct script_job **ret_job)
{
    struct script_job *job = calloc(1, sizeof(*job));
    enum qk_err err = buf_error(design);

    assert(design->secret && done != NULL && ret_job != NULL);

    if (err == QK_OK && job == NULL)
        err = QK_ERR_NOMEM;
    if (err == QK_OK)
        err = timer_new(service->loop, job_tick, job, &job->timer);
    if (err != QK_OK) {
        free(job);
        buf_fini(design);
        return err;
    }
    job->service = service;
    job->done = done;
    job->arg = arg;
    job->design = *design;
    job->calls = BUF_SECRET_INIT(CALLS_BYTES_MAX);
    job->answers = BUF_SECRET_INIT(CALLS_BYTES_MAX);
    job->next = service->script_jobs;
    service->script_jobs = job;
    *design = BUF_SECRET_INIT(0);
    *ret_job = job;
    return QK_OK;
}

/* --- what is asked and answered --- */

void script_job_put(struct script_job *job, enum script_call what, struct bytes json)
{
    static const uint8_t ALL[SCRIPT_COMPARTMENT_BYTES] = {0};

    assert(!job->running);

    script_put_call(what, ALL, json, &job->calls);
    job->calls_n++;
}

size_t script_job_calls_n(const struct script_job *job)
{
    return job->calls_n;
}

size_t script_job_bytes(const struct script_job *job)
{
    return job->calls.len;
}

bool script_job_runs(const struct script_job *job)
{
    return job->running;
}

struct bytes script_job_answer(struct script_job *job)
{
    struct reader in =
        reader_of(bytes_slice(buf_bytes(&job->answers), job->answers_at, job->answers.len));
    struct bytes answer = reader_blob(&in, SCRIPT_FRAME_BYTES_MAX);

    assert(!job->running && reader_error(&in) == QK_OK);

    job->answers_at += in.at;
    return answer;
}

void script_job_reset(struct script_job *job)
{
    assert(!job->running);

    buf_reset(&job->calls);
    buf_reset(&job->answers);
    job->calls.failed = job->answers.failed = QK_OK;
    job->calls_n = job->answered_n = 0;
    job->calls_at = job->answers_at = 0;
}

void script_job_rest(struct script_job *job)
{
    script_job_reset(job);
    buf_fini(&job->calls);
    buf_fini(&job->answers);
    job_drop_script(job);
}

/* --- the run --- */

static void answer_take(struct script_job *job, struct bytes answer)
{
    struct reader in = reader_of(bytes_slice(buf_bytes(&job->calls), job->calls_at, 4));

    buf_put_blob(&job->answers, answer);
    job->calls_at += 4 + reader_u32(&in);
    job->answered_n++;
    if (buf_error(&job->answers) != QK_OK)
        job_end(job, buf_error(&job->answers));
    else if (job->answered_n == job->calls_n)
        job_end(job, QK_OK);
}

static void on_answered(void *arg, struct bytes answer)
{
    struct script_job *job = arg;

    if (!job->running || job->ending) /* an answer to nothing: it is not what we made */
        job_drop_script(job);
    else
        answer_take(job, answer);
}

static void job_send(struct script_job *job);

static void on_ended(void *arg)
{
    struct script_job *job = arg;

    job_drop_script(job);
    if (!job->running || job->ending)
        return;
    log_error("script", "a call ended the process that runs the functions of a design document: "
                        "too slow, or too much memory");
    answer_take(job, BYTES_NONE);
    if (++job->deaths >= SCRIPT_JOB_DEATHS_MAX)
        job_end(job, QK_ERR_TIMEOUT);
    else if (!job->ending)
        job_send(job);
}

static const struct script_ops ops = {on_answered, on_ended};

/* One that does not run gives up its worker for who needs one. */
static void worker_free_one(struct service *service)
{
    struct script_job *job, *idle = NULL;

    for (job = service->script_jobs; job != NULL; job = job->next)
        if (job->script != NULL && !job->running)
            idle = job;
    if (idle != NULL)
        job_drop_script(idle);
}

static enum qk_err worker_new(struct script_job *job)
{
    if (job->service->scripts_n >= SCRIPT_WORKERS_MAX)
        worker_free_one(job->service);
    return script_new(job->service, buf_bytes(&job->design), &ops, job, &job->script);
}

static void job_send(struct script_job *job)
{
    struct bytes calls = bytes_slice(buf_bytes(&job->calls), job->calls_at, job->calls.len);
    enum qk_err err = job->script == NULL ? worker_new(job) : QK_OK;

    if (err == QK_ERR_BUSY) {
        timer_start(job->timer, BUSY_MS);
        return;
    }
    if (err == QK_OK)
        err = script_send(job->script, calls);
    if (err != QK_OK)
        job_end(job, err);
}

static void job_tick(void *arg)
{
    struct script_job *job = arg;

    if (!job->running)
        return;
    if (!job->ending) {
        job_send(job);
        return;
    }
    job->running = job->ending = false;
    if (job->end_err != QK_OK)
        job_drop_script(job);
    job->done(job->arg, job->end_err); /* may free it */
}

enum qk_err script_job_run(struct script_job *job)
{
    assert(!job->running && job->calls_n > 0 && job->answered_n == 0);

    if (buf_error(&job->calls) != QK_OK)
        return buf_error(&job->calls);
    job->running = true;
    job->deaths = 0;
    job_send(job);
    return QK_OK;
}

void script_jobs_close(struct service *service)
{
    struct script_job *job;

    for (job = service->script_jobs; job != NULL; job = job->next) {
        job_drop_script(job);
        if (job->running) {
            job->ending = false;
            job_end(job, QK_ERR_SEALED);
        }
    }
}
