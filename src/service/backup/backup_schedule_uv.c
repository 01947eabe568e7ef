/* Each second: is one due, and is the node open? Then: begin the file, begin the run, write each
 * piece, finish. Every step that touches the directory is a job of the pool; one is under way at a
 * time. A failure at any step drops the file and is tried again after RETRY_S, or when the next is
 * due if that is sooner. */
#include "service/backup/backup_schedule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "base/log.h"
#include "service/backup/backup_files.h"
#include "service/timer_uv.h"

#define TICK_MS 1000u
#define RETRY_S 300u

enum job { JOB_LOOK, JOB_BEGIN, JOB_WRITE, JOB_FINISH, JOB_DROP };

struct backup_schedule {
    struct backups *backups;
    struct service *service;
    struct backup_settings settings;
    struct timer *timer;
    struct backup_run *run;
    uint64_t started_s, tried_ms;
    uint64_t last_s, last_index;
    bool looked, tried, failed;
    char reason[BACKUP_REASON_BYTES];
    /* The job at hand. */
    uv_work_t work;
    enum job job;
    bool busy, stopped;
    enum qk_err err;
    int fd;
    uint64_t found_s, found_index;
    struct bytes piece;
    bool end;
    char name[BACKUP_FILE_NAME_BYTES];
};

static void schedule_done(struct backup_schedule *schedule);

/* --- jobs ------------------------------------------------------------------------------------ */

static void job_work(uv_work_t *work)
{
    struct backup_schedule *schedule = work->data;
    const char *directory = schedule->settings.directory;
    const char *node = schedule->service->node_name;

    switch (schedule->job) {
    case JOB_LOOK:
        schedule->err =
            backup_files_look(directory, node, &schedule->found_s, &schedule->found_index);
        break;
    case JOB_BEGIN:
        schedule->err = backup_file_begin(directory, node, &schedule->fd);
        break;
    case JOB_WRITE:
        schedule->err = backup_file_write(schedule->fd, schedule->piece);
        break;
    case JOB_FINISH:
        schedule->err = backup_file_finish(directory, node, schedule->fd, schedule->name,
                                           schedule->settings.keep);
        schedule->fd = -1;
        break;
    case JOB_DROP:
        backup_file_drop(directory, node, schedule->fd);
        schedule->fd = -1;
        schedule->err = QK_OK;
        break;
    }
}

static void job_done(uv_work_t *work, int status)
{
    struct backup_schedule *schedule = work->data;

    (void)status; /* never cancelled */
    schedule->busy = false;
    schedule_done(schedule);
}

static void job_start(struct backup_schedule *schedule, enum job job)
{
    schedule->job = job;
    schedule->work.data = schedule;
    schedule->busy = uv_queue_work(schedule->service->loop, &schedule->work, job_work, job_done) ==
                     0; /* it fails for a NULL callback only */
}

/* --- steps ----------------------------------------------------------------------------------- */

static void schedule_fail(struct backup_schedule *schedule, const char *what, enum qk_err err)
{
    backup_end(schedule->run);
    schedule->run = NULL;
    if (!schedule->stopped) {
        schedule->failed = true;
        snprintf(schedule->reason, sizeof schedule->reason, "%s '%.120s': %s", what,
                 schedule->settings.directory, backup_reason(err));
        log_error("backup", "%s; tried again in %u s at the latest", schedule->reason, RETRY_S);
        backup_count(schedule->backups, false);
    }
    if (schedule->fd >= 0)
        job_start(schedule, JOB_DROP);
}

static void on_piece(void *arg, enum qk_err err, struct bytes piece, bool end)
{
    struct backup_schedule *schedule = arg;

    if (err != QK_OK) {
        schedule_fail(schedule, "no backup to", err);
        return;
    }
    schedule->piece = piece;
    schedule->end = end;
    job_start(schedule, JOB_WRITE);
}

static void step_write(struct backup_schedule *schedule)
{
    const struct backup_head *head = backup_run_head(schedule->run);
    enum qk_err err = QK_OK;

    if (schedule->end) {
        backup_file_name(schedule->service->node_name, head->created_s, head->index,
                         schedule->name);
        job_start(schedule, JOB_FINISH);
        return;
    }
    err = backup_next(schedule->run);
    if (err != QK_OK)
        schedule_fail(schedule, "no backup to", err);
}

static void step_finish(struct backup_schedule *schedule)
{
    const struct backup_head *head = backup_run_head(schedule->run);

    schedule->last_s = head->created_s;
    schedule->last_index = head->index;
    schedule->failed = false;
    schedule->reason[0] = '\0';
    backup_count(schedule->backups, true);
    log_info("backup", "'%s/%s' is made", schedule->settings.directory, schedule->name);
    backup_end(schedule->run);
    schedule->run = NULL;
}

static void step_begin(struct backup_schedule *schedule)
{
    enum qk_err err =
        backup_begin(schedule->backups, NULL, false, on_piece, schedule, &schedule->run);

    if (err != QK_OK)
        schedule_fail(schedule, "no backup to", err);
}

static void schedule_done(struct backup_schedule *schedule)
{
    if (schedule->stopped && schedule->job != JOB_DROP) {
        schedule_fail(schedule, "stopping", QK_ERR_CLOSED);
        return;
    }
    if (schedule->err != QK_OK) {
        schedule_fail(schedule, "the directory of backups", schedule->err);
        return;
    }
    switch (schedule->job) {
    case JOB_LOOK:
        schedule->looked = true;
        schedule->failed = false;
        schedule->last_s = schedule->found_s;
        schedule->last_index = schedule->found_index;
        break;
    case JOB_BEGIN:
        step_begin(schedule);
        break;
    case JOB_WRITE:
        step_write(schedule);
        break;
    case JOB_FINISH:
        step_finish(schedule);
        break;
    case JOB_DROP:
        break;
    }
}

/* --- when ------------------------------------------------------------------------------------ */

static bool is_due(const struct backup_schedule *schedule)
{
    uint64_t now_s = (uint64_t)time(NULL), now_ms = timer_now_ms(schedule->service->loop);
    uint64_t every_s = schedule->settings.every_s;
    uint64_t retry_s = every_s < RETRY_S ? every_s : RETRY_S;

    if (schedule->failed)
        return now_ms - schedule->tried_ms >= retry_s * 1000;
    /* In one process by the monotonic clock; a time in the future is a clock that was set back. */
    if (schedule->tried)
        return now_ms - schedule->tried_ms >= every_s * 1000;
    return schedule->last_s > now_s || now_s - schedule->last_s >= every_s;
}

static void schedule_tick(void *arg)
{
    struct backup_schedule *schedule = arg;

    timer_start(schedule->timer, TICK_MS);
    if (schedule->busy || schedule->run != NULL || !service_is_open(schedule->service) ||
        !is_due(schedule))
        return;
    if (!schedule->looked) {
        if (schedule->failed)
            schedule->tried_ms = timer_now_ms(schedule->service->loop);
        job_start(schedule, JOB_LOOK);
        return;
    }
    schedule->tried = true;
    schedule->tried_ms = timer_now_ms(schedule->service->loop);
    job_start(schedule, JOB_BEGIN);
}

/* --- life ------------------------------------------------------------------------------------ */

enum qk_err backup_schedule_new(struct backups *backups, struct service *service,
                                const struct backup_settings *settings,
                                struct backup_schedule **ret_schedule)
{
    struct backup_schedule *schedule = calloc(1, sizeof *schedule);
    enum qk_err err;

    if (schedule == NULL)
        return QK_ERR_NOMEM;
    schedule->backups = backups;
    schedule->service = service;
    schedule->settings = *settings;
    schedule->fd = -1;
    schedule->started_s = (uint64_t)time(NULL);
    err = timer_new(service->loop, schedule_tick, schedule, &schedule->timer);
    if (err != QK_OK) {
        free(schedule);
        return err;
    }
    timer_start(schedule->timer, TICK_MS);
    *ret_schedule = schedule;
    return QK_OK;
}

void backup_schedule_stop(struct backup_schedule *schedule)
{
    if (schedule == NULL || schedule->stopped)
        return;
    schedule->stopped = true;
    timer_free(schedule->timer, NULL, NULL);
    schedule->timer = NULL;
    if (!schedule->busy)
        schedule_fail(schedule, "stopping", QK_ERR_CLOSED);
}

void backup_schedule_free(struct backup_schedule *schedule)
{
    free(schedule);
}

void backup_schedule_figures(const struct backup_schedule *schedule,
                             struct backup_figures *ret_figures)
{
    uint64_t now_s = (uint64_t)time(NULL), since_s;

    if (schedule == NULL)
        return;
    since_s = schedule->last_s > schedule->started_s ? schedule->last_s : schedule->started_s;
    if (schedule->last_s != 0 && schedule->looked)
        since_s = schedule->last_s;
    ret_figures->scheduled = true;
    ret_figures->every_s = schedule->settings.every_s;
    ret_figures->last_s = schedule->last_s;
    ret_figures->last_index = schedule->last_index;
    ret_figures->failed = schedule->failed;
    ret_figures->stale = now_s > since_s && now_s - since_s > 2 * schedule->settings.every_s;
    snprintf(ret_figures->reason, sizeof ret_figures->reason, "%s", schedule->reason);
}
