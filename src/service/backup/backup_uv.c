/* A run: read point -> flush -> one read transaction -> pieces, read and hashed on the pool.
 *
 * The MAC's key must be of the MK that the backup itself leads to. So the versions of the deal, of
 * the recovery record and of the keyring are noted before the flush and compared after it: if they
 * are the same, the file holds just these, since none of them ever goes back.
 *
 * A failure (sealed, closing, the store is to be replaced, nobody took a piece for a minute) closes
 * the transaction at once, or when the pool is done with it, and is told at the next piece. */
#include "service/backup/backup.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "service/backup/backup_facts.h"
#include "service/backup/backup_schedule.h"
#include "service/cluster/hub.h"
#include "store/store.h"

#define READ_MS 5000u
#define ATTEMPTS_MAX 10

struct backup_run {
    struct backup_run *next;
    struct backups *backups;
    backup_cb cb;
    void *arg;
    bool has_base;
    struct backup_base base;
    struct secret *mac_key;
    struct backup_facts facts;
    unsigned attempts;
    struct store_snapshot *snapshot;
    uint64_t estimate;
    struct backup_head head;
    struct backup_writer writer;
    struct buf data, out;
    struct timer *stall;
    uv_work_t work;
    enum qk_err work_err;
    enum qk_err failed;
    bool begun, over; /* the head is written, the stream has ended */
    bool waiting;     /* for the read point or the flush */
    bool working;     /* the pool has it */
    bool ended;       /* backup_end was called */
};

struct backups {
    struct service *service;
    struct backup_run *runs;
    uint64_t done_n, failed_n;
    struct backup_schedule *schedule;
    void (*idle)(void *arg);
    void *idle_arg;
};

/* --- the end of a run ------------------------------------------------------------------------ */

static bool holds_store(const struct backups *backups)
{
    for (const struct backup_run *run = backups->runs; run != NULL; run = run->next)
        if (run->snapshot != NULL)
            return true;
    return false;
}

/* Those that failed only wait for their client to look. */
static unsigned running_n(const struct backups *backups)
{
    unsigned n = 0;

    for (const struct backup_run *run = backups->runs; run != NULL; run = run->next)
        n += run->failed == QK_OK;
    return n;
}

static void tell_idle(struct backups *backups)
{
    void (*idle)(void *arg) = backups->idle;

    if (idle == NULL || holds_store(backups))
        return;
    backups->idle = NULL;
    idle(backups->idle_arg);
}

static void let_go(struct backup_run *run)
{
    secret_free(run->mac_key);
    run->mac_key = NULL;
    if (run->working)
        return;
    store_snapshot_close(run->snapshot);
    run->snapshot = NULL;
}

static void run_fail(struct backup_run *run, enum qk_err err)
{
    if (run->failed == QK_OK)
        run->failed = err;
    let_go(run);
}

static void run_free(struct backup_run *run)
{
    struct backups *backups = run->backups;
    struct backup_run **at = &backups->runs;

    if (run->waiting || run->working)
        return;
    let_go(run);
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    timer_free(run->stall, NULL, NULL);
    buf_fini(&run->data);
    buf_fini(&run->out);
    free(run);
    tell_idle(backups);
}

void backup_end(struct backup_run *run)
{
    if (run == NULL)
        return;
    run->ended = true;
    run_fail(run, QK_ERR_CLOSED);
    run_free(run);
}

static void run_flush(struct backup_run *run);

static void run_stalled(void *arg)
{
    struct backup_run *run = arg;

    if (run->waiting) { /* a local one begins */
        run->waiting = false;
        run_flush(run);
        return;
    }
    log_warn("backup", "nobody took what was read for %u s: a backup is given up",
             BACKUP_STALL_MS / 1000);
    run_fail(run, QK_ERR_TIMEOUT);
}

/* One piece, or the error; at once, from the loop. */
static void deliver(struct backup_run *run, enum qk_err err)
{
    if (run->ended) {
        run_free(run);
        return;
    }
    if (err == QK_OK)
        err = run->failed;
    if (err != QK_OK)
        run_fail(run, err);
    else
        timer_start(run->stall, BACKUP_STALL_MS);
    run->cb(run->arg, err, err == QK_OK ? buf_bytes(&run->out) : BYTES_NONE, run->over);
}

/* --- pieces ---------------------------------------------------------------------------------- */

static void piece_work(uv_work_t *work)
{
    struct backup_run *run = work->data;

    buf_reset(&run->out);
    buf_reset(&run->data);
    if (!run->begun)
        backup_write_head(&run->writer, &run->head, &run->out);
    run->begun = true;
    run->work_err = store_snapshot_read(run->snapshot, BACKUP_CHUNK_BYTES_MAX, &run->data);
    if (run->work_err != QK_OK)
        return;
    run->over = run->data.len == 0;
    if (run->over)
        backup_write_end(&run->writer, &run->out);
    else
        backup_write_chunk(&run->writer, buf_bytes(&run->data), &run->out);
    run->work_err = buf_error(&run->out);
}

static enum qk_err put_mac(struct backup_run *run)
{
    struct buf head = BUF_INIT(BACKUP_HEAD_BYTES);
    struct backup_writer writer;
    uint8_t mac[HASH_BYTES];
    struct bytes parts[2];
    enum qk_err err;

    if (run->mac_key == NULL)
        return run->failed != QK_OK ? run->failed : QK_ERR_SEALED;
    backup_write_head(&writer, &run->head, &head);
    parts[0] = buf_bytes(&head);
    parts[1] = buf_bytes(&run->out);
    err = buf_error(&head);
    if (err == QK_OK)
        err = mac_compute(run->mac_key, BACKUP_MAC, parts, 2, mac);
    if (err == QK_OK)
        buf_put(&run->out, mac, sizeof mac);
    buf_fini(&head);
    return err != QK_OK ? err : buf_error(&run->out);
}

static void piece_done(uv_work_t *work, int status)
{
    struct backup_run *run = work->data;
    struct backups *backups = run->backups;
    enum qk_err err = run->work_err;

    (void)status; /* never cancelled */
    run->working = false;
    if (err == QK_ERR_CORRUPT)
        log_error("backup", "%s", store_snapshot_error(run->snapshot));
    if (run->failed != QK_OK)
        let_go(run);
    else if (err == QK_OK && run->over)
        err = put_mac(run);
    deliver(run, err);
    tell_idle(backups);
}

enum qk_err backup_next(struct backup_run *run)
{
    assert(!run->working && !run->waiting && !run->over);

    timer_stop(run->stall);
    if (run->failed != QK_OK)
        return run->failed;
    run->work.data = run;
    if (uv_queue_work(run->backups->service->loop, &run->work, piece_work, piece_done) != 0)
        return QK_ERR_IO;
    run->working = true;
    return QK_OK;
}

/* --- the beginning --------------------------------------------------------------------------- */

static enum qk_err head_fill(struct backup_run *run)
{
    const struct service *service = run->backups->service;
    struct backup_head *head = &run->head;
    struct bytes parts[2] = {bytes_of(head->cluster, CLUSTER_ID_BYTES),
                             bytes_of(head->id, BACKUP_ID_BYTES)};

    memcpy(head->cluster, service->cluster_id, CLUSTER_ID_BYTES);
    memcpy(head->origin, keyring_cluster(service->keyring), CLUSTER_ID_BYTES);
    random_fill(head->id, BACKUP_ID_BYTES);
    if (run->has_base) {
        memcpy(head->base, run->base.id, BACKUP_ID_BYTES);
        head->base_stamp = run->base.stamp;
    }
    head->index = store_snapshot_index(run->snapshot);
    head->term = store_snapshot_term(run->snapshot);
    head->stamp = store_snapshot_stamp(run->snapshot);
    head->mk_version = run->facts.mk_version;
    head->created_s = (uint64_t)time(NULL);
    if (head->stamp < head->base_stamp || (run->has_base && head->index < run->base.index))
        return QK_ERR_STALE;
    return kdf_derive_parts(service->cluster->mk, BACKUP_MAC_KEY, parts, 2, &run->mac_key);
}

static enum qk_err run_open(struct backup_run *run)
{
    struct service *service = run->backups->service;
    struct backup_facts facts;
    enum qk_err err = backup_facts_read(service, &facts);

    if (err == QK_OK && !backup_facts_equal(&facts, &run->facts))
        err = QK_ERR_BUSY;
    if (err == QK_OK)
        err = store_snapshot_open_since(service->store, run->has_base ? run->base.stamp : 0,
                                        &run->snapshot);
    if (err != QK_OK)
        return err;
    run->estimate = store_snapshot_estimate(run->snapshot);
    return head_fill(run);
}

static void run_flushed(void *arg, enum qk_err err)
{
    struct backup_run *run = arg;

    run->waiting = false;
    if (run->failed != QK_OK)
        err = run->failed;
    if (err == QK_OK)
        err = run_open(run);
    if (err == QK_ERR_BUSY && run->snapshot == NULL && ++run->attempts < ATTEMPTS_MAX) {
        run_flush(run);
        return;
    }
    if (err == QK_OK)
        err = backup_next(run);
    if (err != QK_OK)
        deliver(run, err);
}

static void run_flush(struct backup_run *run)
{
    const struct service *service = run->backups->service;
    enum qk_err err = backup_facts_read(service, &run->facts);

    if (err == QK_ERR_SEALED) {
        deliver(run, err);
        return;
    }
    run->waiting = true;
    store_flush(service->store, run_flushed, run);
}

static void run_read(void *arg, enum qk_err err, uint64_t index)
{
    struct backup_run *run = arg;

    (void)index;
    run->waiting = false;
    if (err == QK_OK)
        err = run->failed;
    if (err == QK_OK)
        run_flush(run);
    else
        deliver(run, err);
}

static enum qk_err run_new(struct backups *backups, struct backup_run **ret_run)
{
    struct backup_run *run = calloc(1, sizeof *run);
    enum qk_err err;

    if (run == NULL)
        return QK_ERR_NOMEM;
    err = timer_new(backups->service->loop, run_stalled, run, &run->stall);
    if (err != QK_OK) {
        free(run);
        return err;
    }
    run->backups = backups;
    run->data = BUF_INIT(BACKUP_CHUNK_BYTES_MAX);
    run->out = BUF_INIT(BACKUP_CHUNK_BYTES_MAX + BACKUP_HEAD_BYTES + BACKUP_END_BYTES + 64);
    run->next = backups->runs;
    backups->runs = run;
    *ret_run = run;
    return QK_OK;
}

enum qk_err backup_begin(struct backups *backups, const struct backup_base *base, bool local,
                         backup_cb cb, void *arg, struct backup_run **ret_run)
{
    struct service *service = backups->service;
    struct backup_run *run;
    enum qk_err err;

    if (!service_is_open(service))
        return QK_ERR_SEALED;
    if (hub_recovery_set(service->cluster) == NULL)
        return QK_ERR_NOT_FOUND;
    if (running_n(backups) >= BACKUPS_MAX || backups->idle != NULL)
        return QK_ERR_BUSY;
    err = run_new(backups, &run);
    if (err != QK_OK)
        return err;
    run->cb = cb;
    run->arg = arg;
    run->has_base = base != NULL;
    if (base != NULL)
        run->base = *base;
    run->waiting = true;
    if (local)
        timer_start(run->stall, 0); /* never inside the call that began it */
    else
        err = consensus_read(service->consensus, READ_MS, run_read, run);
    if (err != QK_OK) {
        run->waiting = false;
        run_free(run);
        return err;
    }
    *ret_run = run;
    return QK_OK;
}

const struct backup_head *backup_run_head(const struct backup_run *run)
{
    return &run->head;
}

uint64_t backup_run_estimate(const struct backup_run *run)
{
    return run->estimate;
}

/* --- all of them ----------------------------------------------------------------------------- */

enum qk_err backups_new(struct service *service, struct backups **ret_backups)
{
    struct backups *backups = calloc(1, sizeof *backups);

    if (backups == NULL)
        return QK_ERR_NOMEM;
    backups->service = service;
    *ret_backups = backups;
    return QK_OK;
}

void backups_free(struct backups *backups)
{
    if (backups == NULL)
        return;
    assert(backups->runs == NULL);
    backup_schedule_free(backups->schedule);
    free(backups);
}

enum qk_err backups_schedule(struct backups *backups, const struct backup_settings *settings)
{
    return backup_schedule_new(backups, backups->service, settings, &backups->schedule);
}

void backups_stop(struct backups *backups)
{
    if (backups != NULL)
        backup_schedule_stop(backups->schedule);
}

void backups_seal(struct backups *backups)
{
    if (backups == NULL)
        return;
    for (struct backup_run *run = backups->runs; run != NULL; run = run->next)
        run_fail(run, QK_ERR_SEALED);
}

bool backups_let_go(struct backups *backups, enum qk_err err, void (*idle)(void *arg), void *arg)
{
    if (backups == NULL)
        return true;
    for (struct backup_run *run = backups->runs; run != NULL; run = run->next)
        run_fail(run, err);
    if (!holds_store(backups))
        return true;
    if (idle != NULL) { /* who only asks does not take the place of one who waits */
        backups->idle = idle;
        backups->idle_arg = arg;
    }
    return false;
}

void backup_count(struct backups *backups, bool good)
{
    backups->done_n += good;
    backups->failed_n += !good;
}

void backup_figures(const struct backups *backups, struct backup_figures *ret_figures)
{
    memset(ret_figures, 0, sizeof *ret_figures);
    if (backups == NULL)
        return;
    ret_figures->running_n = running_n(backups);
    ret_figures->done_n = backups->done_n;
    ret_figures->failed_n = backups->failed_n;
    backup_schedule_figures(backups->schedule, ret_figures);
}
