/* The writer: one thread that commits one batch at a time, driven by the loop.
 *
 * Apply fills the open batch. After commit_ms (commit_soon_ms), at commit_bytes, or when someone
 * waits, the loop seals it (it becomes the flying batch, a new one is opened) and hands it to the
 * thread, which commits it and wakes the loop; the loop then forgets the entries, since the file
 * has them, and tells who waited. The thread also frees a piece of what dropped databases left,
 * batch or not.
 *
 * Disk full: the flying batch stays as it is, `full` is told, and it is tried again every second.
 * Map full: the loop doubles the map, which needs that nobody reads; an open snapshot delays it
 * until its end. Anything else that fails is fatal: the log has all of it, a restart is safe. */
#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <uv.h>

#include "store/internal.h"

#define RETRY_MS 1000
#define HANDLES_N 4

enum writer_job { JOB_NONE, JOB_REQUESTED, JOB_DONE };

struct writer {
    struct store *store;
    uv_thread_t thread;
    uv_mutex_t mutex;
    uv_cond_t cond;
    /* Under the mutex. */
    enum writer_job job;
    bool stop;
    struct db_outcome outcome;
    uint64_t disk_free;
    /* The loop's alone. */
    uv_async_t async;
    uv_timer_t timer; /* until the open batch is written */
    uv_timer_t retry;
    uv_prepare_t prepare;
    bool busy;       /* the thread has a job */
    bool copying;    /* which is a compaction's copy */
    bool stuck;      /* the flying batch waits for room */
    bool map_wanted; /* it waits for a larger map */
    bool hurry;
    bool drops_left;
    bool ended; /* the thread is joined, the handles are closing */
    unsigned closing_n;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static uint64_t disk_free(const char *path)
{
    struct statvfs st;

    if (statvfs(path, &st) != 0)
        return UINT64_MAX; /* not known: the commit itself will tell */
    return (uint64_t)st.f_bavail * st.f_frsize;
}

/* --- the thread ---------------------------------------------------------------------------- */

static void writer_work(struct writer *writer)
{
    struct db_outcome outcome;
    uint64_t left;

    if (writer->copying) /* set before the request, read until it is done */
        outcome = (struct db_outcome){.err = compact_copy(&writer->store->db)};
    else
        db_commit(&writer->store->db, &writer->store->flying, &outcome);
    left = disk_free(writer->store->path);
    uv_mutex_lock(&writer->mutex);
    writer->outcome = outcome;
    writer->disk_free = left;
    writer->job = JOB_DONE;
    uv_mutex_unlock(&writer->mutex);
    (void)uv_async_send(&writer->async);
}

static void writer_main(void *arg)
{
    struct writer *writer = arg;
    sigset_t all;

    (void)sigfillset(&all); /* signals are the loop's */
    (void)pthread_sigmask(SIG_BLOCK, &all, NULL);
    for (;;) {
        bool stop;

        uv_mutex_lock(&writer->mutex);
        while (writer->job != JOB_REQUESTED && !writer->stop)
            uv_cond_wait(&writer->cond, &writer->mutex);
        stop = writer->stop;
        uv_mutex_unlock(&writer->mutex);
        if (stop)
            return;
        writer_work(writer);
    }
}

static void writer_request(struct writer *writer)
{
    assert(!writer->busy);
    writer->busy = true;
    uv_mutex_lock(&writer->mutex);
    writer->job = JOB_REQUESTED;
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
}

static bool writer_collect(struct writer *writer, struct db_outcome *ret_outcome,
                           uint64_t *ret_disk_free)
{
    bool done;

    uv_mutex_lock(&writer->mutex);
    done = writer->job == JOB_DONE;
    if (done) {
        writer->job = JOB_NONE;
        *ret_outcome = writer->outcome;
        *ret_disk_free = writer->disk_free;
    }
    uv_mutex_unlock(&writer->mutex);
    if (done)
        writer->busy = false;
    return done;
}

/* --- the loop ------------------------------------------------------------------------------ */

static void writer_fatal(struct store *store, enum qk_err err, const char *doing)
{
    char text[DB_PATH_BYTES_MAX + 200];

    store->failed = true;
    (void)snprintf(text, sizeof text, "%s: %s: %s", store->path, doing, qk_err_text(err));
    store->callbacks.fatal(store->callbacks.arg, err, text);
}

static void writer_set_full(struct store *store, bool full)
{
    if (store->full == full)
        return;
    store->full = full;
    if (store->callbacks.full != NULL)
        store->callbacks.full(store->callbacks.arg, full);
}

static void writer_launch(struct writer *writer);

static void on_retry(uv_timer_t *timer)
{
    struct writer *writer = timer->data;

    if (!writer->busy && !writer->store->failed && !writer->ended && !writer->map_wanted)
        writer_request(writer); /* the flying batch again, or only a look at the disk */
}

static void writer_retry_later(struct writer *writer)
{
    if (!uv_is_active((uv_handle_t *)&writer->retry))
        (void)uv_timer_start(&writer->retry, on_retry, RETRY_MS, 0);
}

static void writer_grow_map(struct writer *writer)
{
    struct store *store = writer->store;
    enum qk_err err;

    assert(!writer->busy);
    writer->map_wanted = store->snapshots_n > 0;
    if (writer->map_wanted)
        return; /* asked again when the snapshot is closed */
    store_turn_end(store);
    err = db_grow_map(&store->db);
    if (err != QK_OK)
        writer_fatal(store, err, "the map cannot grow");
}

static void writer_committed(struct writer *writer, const struct db_outcome *outcome)
{
    struct store *store = writer->store;

    if (store->flying.dirty) {
        store->synced = store->flying.state.index;
        store->batch_done = store->flying.number;
        store->commits++;
        store->commit_last_us = outcome->duration_us;
    }
    store_turn_end(store); /* what is read from now on must see the file as it is now */
    pending_batch_fini(&store->pending, &store->flying);
    for (size_t i = 0; i < outcome->freed_n; i++)
        spaces_freed(&store->spaces, outcome->freed[i].id, outcome->freed[i].stamp);
    writer->drops_left = outcome->drops_left;
    writer->stuck = false;
    store->no_room = false;
    if (db_file_bytes(&store->db) > db_map_bytes(&store->db) / 4 * 3 && store->snapshots_n == 0)
        writer_grow_map(writer);
}

static void writer_complete(struct writer *writer, const struct db_outcome *outcome, uint64_t left)
{
    struct store *store = writer->store;
    bool low = left < store->options.reserve_bytes;

    if (outcome->err == QK_OK) {
        writer_committed(writer, outcome);
    } else if (outcome->map_full) {
        writer->stuck = true;
        writer_grow_map(writer);
    } else if (outcome->err == QK_ERR_FULL) {
        writer->stuck = true;
        store->no_room = true;
        low = true;
    } else {
        writer->stuck = true;
        writer_fatal(store, outcome->err, "commit failed");
        return;
    }
    writer_set_full(store, low);
    if (low)
        writer_retry_later(writer);
    else if (writer->stuck && !writer->map_wanted)
        writer_request(writer);
}

static void writer_launch(struct writer *writer)
{
    struct store *store = writer->store;
    bool batch = store->open.dirty && !store->partial;

    if (writer->busy || writer->stuck || writer->ended || store->failed || store->swap.cb != NULL)
        return;
    if (store->compact.cb != NULL && !store->closing) {
        writer->copying = true;
        writer_request(writer);
        return;
    }
    if (!batch && !writer->drops_left)
        return;
    if (batch) {
        uint64_t number = store->open.number;

        if (store_batch_seal(store, &store->open) != QK_OK) {
            writer_fatal(store, QK_ERR_NOMEM, "commit");
            return;
        }
        store->flying = store->open;
        store->open = (struct pending_batch){.number = number + 1};
        writer->hurry = false;
        (void)uv_timer_stop(&writer->timer);
    }
    writer_request(writer);
}

static void on_timer(uv_timer_t *timer)
{
    struct writer *writer = timer->data;

    writer->hurry = true; /* it is due, even if the thread is busy at this moment */
    writer_launch(writer);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct writer *writer = prepare->data;

    store_turn_end(writer->store);
    (void)uv_prepare_stop(prepare);
}

static void swap_tick(struct writer *writer)
{
    struct store *store = writer->store;
    struct store_swap_request swap = store->swap;
    enum qk_err err;

    if (swap.cb == NULL || writer->busy)
        return;
    err = store->failed ? QK_ERR_IO : store_swap_now(store, swap.staging);
    if (err == QK_OK) { /* the flying batch, if it was stuck, went with the old file */
        writer->stuck = false;
        store->no_room = false;
        writer->map_wanted = false;
        writer->drops_left = false;
        (void)uv_timer_stop(&writer->timer);
    }
    store->swap = (struct store_swap_request){0};
    swap.cb(swap.arg, err);
}

static void writer_free(struct writer *writer)
{
    struct store *store = writer->store;
    void (*cb)(void *arg) = writer->close_cb;
    void *arg = writer->close_arg;

    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    free(writer);
    pending_batch_fini(&store->pending, &store->flying);
    pending_batch_fini(&store->pending, &store->open);
    pending_fini(&store->pending);
    store_unload(store);
    marker_close(store->path, store->marker_fd, !store->failed);
    free(store->watches);
    free(store);
    cb(arg);
}

static void on_closed(uv_handle_t *handle)
{
    struct writer *writer = handle->data;

    if (--writer->closing_n == 0)
        writer_free(writer);
}

static void writer_stop_thread(struct writer *writer)
{
    uv_mutex_lock(&writer->mutex);
    writer->stop = true;
    uv_cond_signal(&writer->cond);
    uv_mutex_unlock(&writer->mutex);
    (void)uv_thread_join(&writer->thread);
}

static void close_tick(struct writer *writer)
{
    struct store *store = writer->store;
    bool hopeless = store->failed || writer->stuck || store->partial;

    if (store->closing && !writer->busy && store->compact.cb != NULL)
        compact_end(store, QK_ERR_CLOSED);
    if (!store->closing || writer->ended || writer->busy || (store->open.dirty && !hopeless))
        return;
    writer->ended = true;
    writer_stop_thread(writer);
    store_tell_waiters(store, true);
    writer->closing_n = HANDLES_N;
    uv_close((uv_handle_t *)&writer->async, on_closed);
    uv_close((uv_handle_t *)&writer->timer, on_closed);
    uv_close((uv_handle_t *)&writer->retry, on_closed);
    uv_close((uv_handle_t *)&writer->prepare, on_closed);
}

static void on_async(uv_async_t *async)
{
    struct writer *writer = async->data;
    struct store *store = writer->store;
    struct db_outcome outcome;
    uint64_t left;

    if (writer->ended)
        return;
    if (writer_collect(writer, &outcome, &left)) {
        if (writer->copying) {
            writer->copying = false;
            compact_end(store, outcome.err);
            if (store->open.dirty)
                writer->hurry = true; /* what waited for it */
        } else {
            writer_complete(writer, &outcome, left);
        }
    }
    swap_tick(writer);
    store_tell_waiters(store, false);
    if (writer->map_wanted && !writer->busy && store->snapshots_n == 0) {
        writer_grow_map(writer);
        on_retry(&writer->retry);
    }
    if (writer->hurry || store->closing || writer->drops_left || store->compact.cb != NULL)
        writer_launch(writer);
    close_tick(writer);
}

/* --- for the rest of the store ------------------------------------------------------------- */

void writer_schedule(struct store *store)
{
    const struct store_options *options = &store->options;
    unsigned due = store->open.soon ? options->commit_soon_ms : options->commit_ms;
    uv_timer_t *timer = &store->writer->timer;

    if (!store->open.dirty)
        return;
    if (store->writer->hurry || store->open.bytes >= options->commit_bytes)
        writer_hurry(store);
    else if (!uv_is_active((uv_handle_t *)timer) || uv_timer_get_due_in(timer) > due)
        (void)uv_timer_start(timer, on_timer, due, 0);
}

void writer_hurry(struct store *store)
{
    store->writer->hurry = true;
    writer_launch(store->writer);
}

void writer_wake(struct store *store)
{
    if (!store->writer->ended)
        (void)uv_async_send(&store->writer->async);
}

void writer_turn_begun(struct store *store)
{
    if (!store->writer->ended)
        (void)uv_prepare_start(&store->writer->prepare, on_prepare);
}

static enum qk_err writer_start(struct writer *writer, uv_loop_t *loop)
{
    if (uv_mutex_init(&writer->mutex) != 0)
        return QK_ERR_NOMEM;
    if (uv_cond_init(&writer->cond) != 0) {
        uv_mutex_destroy(&writer->mutex);
        return QK_ERR_NOMEM;
    }
    if (uv_thread_create(&writer->thread, writer_main, writer) == 0) {
        if (uv_async_init(loop, &writer->async, on_async) == 0)
            return QK_OK;
        writer_stop_thread(writer);
    }
    uv_cond_destroy(&writer->cond);
    uv_mutex_destroy(&writer->mutex);
    return QK_ERR_NOMEM;
}

enum qk_err writer_new(struct store *store, struct uv_loop_s *loop)
{
    struct writer *writer = calloc(1, sizeof *writer);

    if (writer == NULL)
        return QK_ERR_NOMEM;
    writer->store = store;
    writer->async.data = writer;
    writer->timer.data = writer;
    writer->retry.data = writer;
    writer->prepare.data = writer;
    writer->drops_left = store->spaces.dropping_n > 0; /* of before the restart */
    if (writer_start(writer, loop) != QK_OK) {
        free(writer);
        return QK_ERR_NOMEM;
    }
    (void)uv_timer_init(loop, &writer->timer);
    (void)uv_timer_init(loop, &writer->retry);
    (void)uv_prepare_init(loop, &writer->prepare);
    store->writer = writer;
    writer_set_full(store, disk_free(store->path) < store->options.reserve_bytes);
    if (store->full)
        writer_retry_later(writer);
    if (writer->drops_left)
        writer_wake(store);
    return QK_OK;
}

void store_close(struct store *store, void (*cb)(void *arg), void *arg)
{
    struct writer *writer = store->writer;

    assert(!store->closing);
    assert(store->snapshots_n == 0);
    store->closing = true;
    writer->close_cb = cb;
    writer->close_arg = arg;
    writer->hurry = true;
    writer_wake(store);
}

static void flush(struct store *store, bool impatient, store_cb cb, void *arg)
{
    uint64_t number = store->batch_done;

    assert(cb != NULL);
    if (store->open.dirty)
        number = store->open.number;
    else if (store->flying.dirty)
        number = store->flying.number;
    if (store_wait(store, number, impatient, cb, arg) != QK_OK) {
        writer_fatal(store, QK_ERR_NOMEM, "flush");
        return;
    }
    if (store->open.dirty)
        writer_hurry(store);
    else
        writer_wake(store);
}

void store_flush(struct store *store, store_cb cb, void *arg)
{
    flush(store, false, cb, arg);
}

void store_flush_to_read(struct store *store, store_cb cb, void *arg)
{
    flush(store, true, cb, arg);
}
