/* Writing. The loop thread encodes records into jobs; disk_flush hands all jobs to the worker when
 * it is idle, as one group: it writes, syncs once (and before anything that depends on the sync),
 * and reports back, whereupon the next group, gathered meanwhile, is handed over.
 *
 * A write or sync that fails ends the process: after it nobody knows what the file holds. Room is
 * found before, by disk_reserve, in segments that are already allocated; the next one is prepared
 * by the worker ahead of time.
 *
 * Over 500 lines: the two threads and what passes between them are best read together. */
#include "consensus/disk_uv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "consensus/disk_private.h"

enum job_kind { JOB_WRITE, JOB_SNAPSHOT, JOB_INSTALL, JOB_REMOVE, JOB_PREPARE };

struct job {
    enum job_kind kind;
    struct disk_segment *segment; /* written, or removed and freed */
    uint64_t at;                  /* offset of a write */
    size_t last_record;           /* in `data`, of a write */
    struct buf data;              /* records, or the content of the snapshot file */
    uint64_t spare;               /* number of a segment to prepare */
    uint64_t epoch;
    struct job *next;
};

struct disk {
    struct disk_callbacks callbacks;
    struct disk_files files;
    struct disk_segment *spare; /* ready to be used */
    uint64_t spares_n;
    bool preparing;
    bool closing;
    bool failed;
    uv_async_t async;
    /* gathered on the loop */
    struct job *queued, **queued_tail;
    bool group_has_records;
    uint64_t stored_index, stored_term; /* last record of what is queued */
    bool installing;
    /* handed over; only the worker touches `work` until it says done */
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t cond;
    struct job *work;
    bool busy; /* of the loop: handed over, not yet taken back */
    bool work_ready, work_done, quit;
    uint64_t done_index, done_term;
    bool done_installed;
    enum qk_err work_err;
    char work_what[64];
    struct disk_segment *prepared;
    uint64_t syncs_n, bytes_n;
};

/* --- the worker ---------------------------------------------------------------------------- */

static void work_failed(struct disk *disk, const char *what)
{
    disk->work_err = QK_ERR_IO;
    snprintf(disk->work_what, sizeof(disk->work_what), "raft/%s: %s", what, strerror(errno));
}

static void sync_dirty(struct disk *disk, struct disk_segment **dirty)
{
    char name[DISK_NAME_BYTES];

    if (*dirty != NULL && disk->work_err == QK_OK) {
        disk_segment_name((*dirty)->sequence, name);
        if (fdatasync((*dirty)->fd) != 0)
            work_failed(disk, name);
    }
    *dirty = NULL;
}

static void work_write(struct disk *disk, struct job *job, struct disk_segment **dirty)
{
    char name[DISK_NAME_BYTES];

    disk_segment_name(job->segment->sequence, name);
    if (*dirty != job->segment)
        sync_dirty(disk, dirty);
    if (disk->work_err != QK_OK)
        return;
    if (!job->segment->named &&
        disk_segment_activate(disk->files.dir_fd, job->epoch, job->segment) != QK_OK) {
        work_failed(disk, name);
        return;
    }
    if (disk_write_all(job->segment->fd, job->data.data, job->data.len, job->at) != QK_OK)
        work_failed(disk, name);
    *dirty = job->segment;
}

static void work_remove(struct disk *disk, struct job *job)
{
    char name[DISK_NAME_BYTES];

    if (job->segment->named)
        disk_segment_name(job->segment->sequence, name);
    else
        disk_spare_name(job->segment->spare, name);
    if (unlinkat(disk->files.dir_fd, name, 0) != 0)
        work_failed(disk, name);
    disk_segment_free(job->segment);
    job->segment = NULL;
}

static void work_job(struct disk *disk, struct job *job, struct disk_segment **dirty)
{
    switch (job->kind) {
    case JOB_WRITE:
        work_write(disk, job, dirty);
        break;
    case JOB_SNAPSHOT:
    case JOB_INSTALL:
        sync_dirty(disk, dirty);
        if (disk->work_err == QK_OK &&
            ab_file_write(&disk->files.snapshot_file, buf_bytes(&job->data)) != QK_OK)
            work_failed(disk, "snapshot");
        break;
    case JOB_REMOVE:
        sync_dirty(disk, dirty);
        if (disk->work_err == QK_OK)
            work_remove(disk, job);
        break;
    case JOB_PREPARE:
        /* A full disk is met when the segment is needed. */
        if (disk_segment_create(disk->files.dir_fd, job->spare, DISK_SEGMENT_BYTES,
                                &disk->prepared) != QK_OK)
            disk->prepared = NULL;
        break;
    }
}

static void worker(void *arg)
{
    struct disk *disk = arg;

    uv_mutex_lock(&disk->mutex);
    while (true) {
        struct disk_segment *dirty = NULL;
        while (!disk->work_ready && !disk->quit)
            uv_cond_wait(&disk->cond, &disk->mutex);
        if (!disk->work_ready)
            break;
        disk->work_ready = false;
        uv_mutex_unlock(&disk->mutex);
        for (struct job *job = disk->work; job != NULL && disk->work_err == QK_OK; job = job->next)
            work_job(disk, job, &dirty);
        sync_dirty(disk, &dirty);
        uv_mutex_lock(&disk->mutex);
        disk->work_done = true;
        uv_async_send(&disk->async);
    }
    uv_mutex_unlock(&disk->mutex);
}

/* --- jobs ---------------------------------------------------------------------------------- */

static void fail(struct disk *disk, const char *what)
{
    if (disk->failed)
        return;
    disk->failed = true;
    disk->callbacks.fatal(disk->callbacks.arg, what);
}

static void job_free(struct job *job)
{
    buf_fini(&job->data);
    free(job);
}

static struct job *queue_job(struct disk *disk, enum job_kind kind, size_t data_max)
{
    const struct buf empty = BUF_INIT(data_max);
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        fail(disk, "raft/: out of memory");
        return NULL;
    }
    job->kind = kind;
    job->data = empty;
    job->epoch = disk->files.epoch;
    *disk->queued_tail = job;
    disk->queued_tail = &job->next;
    return job;
}

static struct job *last_job(struct disk *disk)
{
    struct job *job = disk->queued;

    while (job != NULL && job->next != NULL)
        job = job->next;
    return job;
}

/* Starts the preparation of the next segment, if none is ready. */
static void prepare(struct disk *disk)
{
    struct job *job;

    if (disk->spare != NULL || disk->preparing)
        return;
    job = queue_job(disk, JOB_PREPARE, 0);
    if (job == NULL)
        return;
    job->spare = disk->spares_n++;
    disk->preparing = true;
}

/* Puts a segment at the end; from now on it is written to. */
static void use_segment(struct disk *disk, struct disk_segment *segment)
{
    segment->sequence = disk->files.sequence_next++;
    if (disk->files.last == NULL)
        disk->files.first = segment;
    else
        disk->files.last->next = segment;
    disk->files.last = segment;
}

static enum qk_err roll(struct disk *disk, size_t need)
{
    size_t size = need + SEGMENT_HEAD_BYTES;
    struct disk_segment *segment = NULL;
    enum qk_err err = QK_OK;

    if (size <= DISK_SEGMENT_BYTES && disk->spare != NULL) {
        segment = disk->spare;
        disk->spare = NULL;
    } else {
        if (size < DISK_SEGMENT_BYTES)
            size = DISK_SEGMENT_BYTES;
        err = disk_segment_create(disk->files.dir_fd, disk->spares_n++, size, &segment);
        if (err != QK_OK)
            return err;
    }
    use_segment(disk, segment);
    prepare(disk);
    return QK_OK;
}

static bool fits(const struct disk *disk, size_t need)
{
    const struct disk_segment *last = disk->files.last;

    return last != NULL && last->size - last->used >= need;
}

enum qk_err disk_reserve(struct disk *disk, size_t payload_bytes, size_t entries_n)
{
    size_t need = payload_bytes + entries_n * record_bytes(RECORD_ALIGN) + DISK_RESERVE_BYTES;

    return fits(disk, need) ? QK_OK : roll(disk, need);
}

/* The job that the next record goes to: consecutive records of a segment share one. */
static struct job *write_job(struct disk *disk)
{
    struct disk_segment *segment = disk->files.last;
    struct job *job = disk->group_has_records ? last_job(disk) : NULL;

    if (job != NULL && job->kind == JOB_WRITE && job->segment == segment)
        return job;
    job = queue_job(disk, JOB_WRITE, SIZE_MAX / 2);
    if (job != NULL) {
        job->segment = segment;
        job->at = segment->used;
    }
    return job;
}

void disk_append(struct disk *disk, const struct entry_log *log, uint64_t index, size_t n)
{
    for (size_t i = 0; i < n && !disk->failed; i++) {
        const struct log_entry *entry = entry_log_get(log, index + i);
        struct record record = {.index = index + i, .group = disk->files.group_next};
        struct job *job;
        assert(entry != NULL);
        record.term = entry->term;
        record.type = entry->type;
        record.payload = bytes_of(entry->data, entry->len);
        if (!fits(disk, record_bytes(entry->len)) &&
            roll(disk, record_bytes(entry->len) + DISK_RESERVE_BYTES) != QK_OK) {
            fail(disk, "raft/: no room for an entry that was accepted");
            return;
        }
        job = write_job(disk);
        if (job == NULL)
            return;
        job->last_record = job->data.len;
        record_encode(&record, &job->data);
        if (buf_error(&job->data) != QK_OK) {
            fail(disk, "raft/: out of memory");
            return;
        }
        disk->files.last->used += record_bytes(entry->len);
        if (record.index > disk->files.last->index_max)
            disk->files.last->index_max = record.index;
        disk->group_has_records = true;
        disk->stored_index = record.index;
        disk->stored_term = record.term;
    }
}

void disk_save_snapshot(struct disk *disk, struct bytes token)
{
    struct job *job = queue_job(disk, JOB_SNAPSHOT, AB_CONTENT_BYTES_MAX);

    if (job == NULL)
        return;
    disk_snapshot_encode(disk->files.epoch, token, &job->data);
    if (buf_error(&job->data) != QK_OK)
        fail(disk, "raft/snapshot: out of memory");
}

static void remove_first(struct disk *disk)
{
    struct disk_segment *segment = disk->files.first;
    struct job *job = queue_job(disk, JOB_REMOVE, 0);

    if (job == NULL)
        return;
    disk->files.first = segment->next;
    if (disk->files.first == NULL)
        disk->files.last = NULL;
    job->segment = segment;
}

void disk_trim(struct disk *disk, uint64_t index)
{
    while (!disk->failed && disk->files.first != disk->files.last &&
           disk->files.first->index_max <= index)
        remove_first(disk);
}

void disk_install(struct disk *disk, struct bytes token)
{
    struct job *job = queue_job(disk, JOB_INSTALL, AB_CONTENT_BYTES_MAX);

    if (job == NULL)
        return;
    assert(!disk->installing);
    disk->installing = true;
    /* From the moment that this is on disk, all segments of the old epoch count for nothing. */
    disk->files.epoch++;
    disk_snapshot_encode(disk->files.epoch, token, &job->data);
    if (buf_error(&job->data) != QK_OK)
        fail(disk, "raft/snapshot: out of memory");
    while (!disk->failed && disk->files.first != NULL)
        remove_first(disk);
}

void disk_save_term(struct disk *disk, uint64_t term, uint64_t vote)
{
    uint8_t content[16];

    put_u64(content, term);
    put_u64(content + 8, vote);
    if (!disk->failed &&
        ab_file_write(&disk->files.term_file, bytes_of(content, sizeof(content))) != QK_OK)
        fail(disk, "raft/term: writing failed");
}

enum qk_err disk_bootstrap(struct disk *disk, struct bytes payload)
{
    struct record record = {.index = 1,
                            .term = 1,
                            .group = disk->files.group_next,
                            .type = 3, /* RAFT_CHANGE */
                            .flags = RECORD_FLAG_LAST,
                            .payload = payload};
    struct buf data = BUF_INIT(AB_CONTENT_BYTES_MAX);
    struct disk_segment *segment;
    enum qk_err err = disk_reserve(disk, payload.len, 1);

    if (err != QK_OK)
        return err;
    segment = disk->files.last;
    record_encode(&record, &data);
    err = buf_error(&data);
    if (err == QK_OK && !segment->named)
        err = disk_segment_activate(disk->files.dir_fd, disk->files.epoch, segment);
    if (err == QK_OK)
        err = disk_write_all(segment->fd, data.data, data.len, segment->used);
    if (err == QK_OK && fsync(segment->fd) != 0)
        err = QK_ERR_IO;
    segment->used += data.len;
    segment->index_max = 1;
    disk->files.group_next++;
    buf_fini(&data);
    return err;
}

/* --- handing over and taking back ---------------------------------------------------------- */

static void mark_group(struct disk *disk)
{
    struct job *last = NULL;

    for (struct job *job = disk->queued; job != NULL; job = job->next) {
        if (job->kind == JOB_WRITE)
            last = job;
    }
    if (last == NULL)
        return;
    record_mark_last(last->data.data + last->last_record);
    disk->files.group_next++;
}

void disk_flush(struct disk *disk)
{
    if (disk->busy || disk->queued == NULL || disk->failed)
        return;
    mark_group(disk);
    uv_mutex_lock(&disk->mutex);
    disk->work = disk->queued;
    disk->work_ready = true;
    disk->work_done = false;
    uv_cond_signal(&disk->cond);
    uv_mutex_unlock(&disk->mutex);
    disk->busy = true;
    disk->done_index = disk->group_has_records ? disk->stored_index : 0;
    disk->done_term = disk->stored_term;
    disk->done_installed = disk->installing;
    disk->installing = false;
    disk->queued = NULL;
    disk->queued_tail = &disk->queued;
    disk->group_has_records = false;
}

/* Frees what the worker is done with. */
static void take_back(struct disk *disk)
{
    while (disk->work != NULL) {
        struct job *job = disk->work;
        disk->work = job->next;
        disk->bytes_n += job->kind == JOB_WRITE ? job->data.len : 0;
        if (job->kind == JOB_PREPARE) {
            disk->preparing = false;
            disk->spare = disk->prepared;
            disk->prepared = NULL;
        }
        job_free(job);
    }
    disk->syncs_n++;
    disk->busy = false;
}

static void close_cb(uv_handle_t *handle)
{
    struct disk *disk = handle->data;

    disk->callbacks.closed(disk->callbacks.arg);
}

static void maybe_close(struct disk *disk)
{
    if (!disk->closing || disk->busy || uv_is_closing((uv_handle_t *)&disk->async))
        return;
    if (disk->queued != NULL && !disk->failed) {
        disk_flush(disk);
        return;
    }
    uv_mutex_lock(&disk->mutex);
    disk->quit = true;
    uv_cond_signal(&disk->cond);
    uv_mutex_unlock(&disk->mutex);
    uv_thread_join(&disk->thread);
    uv_close((uv_handle_t *)&disk->async, close_cb);
}

static void async_cb(uv_async_t *async)
{
    struct disk *disk = async->data;
    bool done;

    uv_mutex_lock(&disk->mutex);
    done = disk->work_done;
    disk->work_done = false;
    uv_mutex_unlock(&disk->mutex);
    if (done) {
        take_back(disk);
        if (disk->work_err != QK_OK)
            fail(disk, disk->work_what);
        if (!disk->failed && disk->done_index > 0)
            disk->callbacks.stored(disk->callbacks.arg, disk->done_index, disk->done_term);
        if (!disk->failed && disk->done_installed)
            disk->callbacks.installed(disk->callbacks.arg);
        disk_flush(disk);
    }
    maybe_close(disk);
}

/* --- life ---------------------------------------------------------------------------------- */

static enum qk_err start_worker(struct disk *disk, uv_loop_t *loop)
{
    if (uv_async_init(loop, &disk->async, async_cb) != 0)
        return QK_ERR_IO;
    disk->async.data = disk;
    if (uv_mutex_init(&disk->mutex) != 0 || uv_cond_init(&disk->cond) != 0 ||
        uv_thread_create(&disk->thread, worker, disk) != 0)
        abort(); /* no thread at start: nothing to clean up for */
    return QK_OK;
}

enum qk_err disk_open(uv_loop_t *loop, const char *dir, const struct disk_callbacks *callbacks,
                      char *ret_reason, struct disk **ret_disk, struct disk_state *ret_state)
{
    struct disk *disk = calloc(1, sizeof(*disk));
    enum qk_err err;

    if (disk == NULL)
        return QK_ERR_NOMEM;
    disk->callbacks = *callbacks;
    disk->queued_tail = &disk->queued;
    err = disk_load(dir, ret_reason, &disk->files, ret_state);
    if (err == QK_OK)
        err = start_worker(disk, loop);
    if (err != QK_OK) {
        free(disk);
        return err;
    }
    *ret_disk = disk;
    return QK_OK;
}

void disk_close(struct disk *disk)
{
    disk->closing = true;
    /* From the loop, never inside this call. */
    uv_async_send(&disk->async);
}

void disk_free(struct disk *disk)
{
    char name[DISK_NAME_BYTES];

    if (disk == NULL)
        return;
    while (disk->queued != NULL) {
        struct job *job = disk->queued;
        disk->queued = job->next;
        if (job->kind == JOB_REMOVE)
            disk_segment_free(job->segment);
        job_free(job);
    }
    if (disk->spare != NULL) {
        disk_spare_name(disk->spare->spare, name);
        (void)unlinkat(disk->files.dir_fd, name, 0);
        disk_segment_free(disk->spare);
    }
    disk_files_close(&disk->files);
    uv_cond_destroy(&disk->cond);
    uv_mutex_destroy(&disk->mutex);
    free(disk);
}

uint64_t disk_syncs_n(const struct disk *disk)
{
    return disk->syncs_n;
}

uint64_t disk_bytes_n(const struct disk *disk)
{
    return disk->bytes_n;
}
