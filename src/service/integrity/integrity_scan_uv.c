/* A scan: flush -> one read transaction -> pieces of some milliseconds on the pool, until all
 * records are added up, then (if wanted) the feeds of changes.
 *
 * The sums of the changes as they were at the transaction's index are copied at its begin: what the
 * scan finds is held against them, or takes their place. The pool borrows the key under a mutex, a
 * hundred records at a time, so that closing the node wipes it at once and waits for nobody. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "service/integrity/integrity_private.h"

#define BATCH_N 128
#define PIECE_US 20000
#define PIECE_SLOW_US 5000
#define REST_SLOW_MS 20
#define REST_MS 1

struct integrity_scan {
    struct integrity *integrity;
    struct store_snapshot *snapshot;
    uv_mutex_t mutex;
    struct secret *key; /* under the mutex; NULL: the scan is over */
    uv_work_t work;
    struct timer *timer;
    bool slow, flushing, working, stopped;
    bool feeds; /* the records are done */
    enum qk_err err;
    uint64_t changes_n;
    struct integrity_scanned done;
    /* The batch at hand, the pool's. */
    uint8_t digests[BATCH_N][HASH_BYTES], elements[BATCH_N][HASH_BYTES];
    uint8_t spaces[BATCH_N][DATABASE_ID_BYTES], buckets[BATCH_N];
};

/* --- the end --------------------------------------------------------------------------------- */

static void key_wipe(struct integrity_scan *scan)
{
    uv_mutex_lock(&scan->mutex);
    secret_free(scan->key);
    scan->key = NULL;
    uv_mutex_unlock(&scan->mutex);
}

static void scan_free(struct integrity_scan *scan)
{
    key_wipe(scan);
    uv_mutex_destroy(&scan->mutex);
    accumulator_fini(&scan->done.sums);
    accumulator_fini(&scan->done.base);
    free(scan->done.dropped);
    timer_free(scan->timer, NULL, NULL);
    free(scan);
}

/* Once, from the loop. */
static void scan_end(struct integrity_scan *scan, enum qk_err err)
{
    struct integrity *integrity = scan->integrity;
    char what[INTEGRITY_TEXT_BYTES] = "";

    if (scan->stopped && err != QK_ERR_CORRUPT)
        err = QK_ERR_CLOSED;
    if (err == QK_ERR_CORRUPT && scan->snapshot != NULL)
        snprintf(what, sizeof(what), "%s", store_snapshot_error(scan->snapshot));
    store_snapshot_close(scan->snapshot);
    scan->snapshot = NULL;
    integrity_scan_ended(integrity, err, &scan->done, what);
    scan_free(scan);
}

void integrity_scan_stop(struct integrity_scan *scan)
{
    if (scan == NULL || scan->stopped)
        return;
    key_wipe(scan);
    scan->stopped = true;
    if (!scan->flushing && !scan->working)
        timer_start(scan->timer, 0);
}

void integrity_scan_dropped(struct integrity_scan *scan, const uint8_t *space)
{
    uint8_t(*dropped)[DATABASE_ID_BYTES];

    if (scan == NULL || scan->stopped)
        return;
    dropped = reallocarray(scan->done.dropped, scan->done.dropped_n + 1, DATABASE_ID_BYTES);
    if (dropped == NULL) {
        integrity_scan_stop(scan);
        return;
    }
    scan->done.dropped = dropped;
    memcpy(dropped[scan->done.dropped_n++], space, DATABASE_ID_BYTES);
}

uint64_t integrity_scan_done_n(const struct integrity_scan *scan)
{
    return scan == NULL ? 0 : scan->done.rows_n;
}

/* --- on the pool ----------------------------------------------------------------------------- */

static enum qk_err batch_elements(struct integrity_scan *scan, size_t n)
{
    enum qk_err err = QK_ERR_CLOSED;

    uv_mutex_lock(&scan->mutex);
    if (scan->key != NULL)
        err = multiset_elements(scan->key, scan->digests[0], n, scan->elements[0]);
    uv_mutex_unlock(&scan->mutex);
    return err;
}

static enum qk_err batch_add(struct integrity_scan *scan, size_t n)
{
    enum qk_err err = batch_elements(scan, n);

    for (size_t i = 0; i < n && err == QK_OK; i++) {
        struct multiset one;

        multiset_decode(scan->elements[i], &one);
        err = accumulator_put(&scan->done.sums, scan->spaces[i], scan->buckets[i], &one, false);
    }
    scan->done.rows_n += n;
    return err;
}

/* QK_ERR_NOT_FOUND behind the last record. */
static enum qk_err batch(struct integrity_scan *scan)
{
    struct store_row row;
    enum qk_err err = QK_OK, added;
    size_t n = 0;

    while (n < BATCH_N && (err = store_snapshot_next(scan->snapshot, &row)) == QK_OK) {
        struct multiset_row head = {row.record.version, row.record.seq, row.record.stamp,
                                    row.record.flags, row.record.value};

        multiset_digest(row.key, &head, scan->digests[n]);
        memcpy(scan->spaces[n], row.key.data, DATABASE_ID_BYTES);
        scan->buckets[n++] = (uint8_t)accumulator_bucket(row.key);
    }
    added = batch_add(scan, n);
    return added != QK_OK ? added : err;
}

static void feed_wrong(struct integrity_scan *scan, const char *text)
{
    if (scan->done.changes_wrong_n++ == 0)
        snprintf(scan->done.changes_text, sizeof(scan->done.changes_text), "%s", text);
}

static enum qk_err batch_feeds(struct integrity_scan *scan)
{
    char text[INTEGRITY_TEXT_BYTES];
    enum qk_err err = QK_OK;
    bool right;

    for (size_t n = 0; n < BATCH_N && err == QK_OK; n++) {
        err = store_snapshot_next_change(scan->snapshot, &right, text, sizeof(text));
        scan->changes_n += err == QK_OK;
        if (err == QK_OK && !right)
            feed_wrong(scan, text);
    }
    if (err == QK_ERR_NOT_FOUND && scan->done.changes_wrong_n == 0 &&
        scan->changes_n != store_snapshot_documents(scan->snapshot)) {
        snprintf(text, sizeof(text), "%" PRIu64 " rows for %" PRIu64 " documents", scan->changes_n,
                 store_snapshot_documents(scan->snapshot));
        feed_wrong(scan, text);
    }
    return err;
}

static void piece_work(uv_work_t *work)
{
    struct integrity_scan *scan = work->data;
    uint64_t until_us = timer_now_us() + (scan->slow ? PIECE_SLOW_US : PIECE_US);
    enum qk_err err = QK_OK;

    while (err == QK_OK && timer_now_us() < until_us)
        err = scan->feeds ? batch_feeds(scan) : batch(scan);
    scan->err = err;
}

/* --- the loop -------------------------------------------------------------------------------- */

static void piece_done(uv_work_t *work, int status);

static void piece_begin(struct integrity_scan *scan)
{
    scan->work.data = scan;
    scan->working =
        uv_queue_work(scan->integrity->service->loop, &scan->work, piece_work, piece_done) == 0;
    if (!scan->working)
        scan_end(scan, QK_ERR_IO);
}

static void rested(void *arg)
{
    struct integrity_scan *scan = arg;

    if (scan->stopped)
        scan_end(scan, QK_ERR_CLOSED);
    else
        piece_begin(scan);
}

static void piece_done(uv_work_t *work, int status)
{
    struct integrity_scan *scan = work->data;

    (void)status; /* never cancelled */
    scan->working = false;
    if (scan->err == QK_ERR_NOT_FOUND && !scan->stopped && scan->done.changes && !scan->feeds) {
        scan->feeds = true;
        scan->err = QK_OK;
    }
    if (scan->err == QK_OK && !scan->stopped)
        timer_start(scan->timer, scan->slow ? REST_SLOW_MS : REST_MS);
    else
        scan_end(scan, scan->err == QK_ERR_NOT_FOUND ? QK_OK : scan->err);
}

static enum qk_err snapshot_open(struct integrity_scan *scan)
{
    struct integrity *integrity = scan->integrity;
    enum qk_err err = store_snapshot_open(integrity->service->store, &scan->snapshot);

    if (err != QK_OK)
        return err;
    if (!integrity_drain(integrity) || scan->stopped)
        return QK_ERR_CLOSED;
    scan->done.index = store_snapshot_index(scan->snapshot);
    scan->done.dropped_n = 0; /* what went before is in neither */
    return accumulator_copy(&integrity->sums, scan->done.index, &scan->done.base);
}

static void flushed(void *arg, enum qk_err err)
{
    struct integrity_scan *scan = arg;

    scan->flushing = false;
    if (err == QK_OK && scan->stopped)
        err = QK_ERR_CLOSED;
    if (err == QK_OK)
        err = snapshot_open(scan);
    if (err == QK_OK)
        piece_begin(scan);
    else
        scan_end(scan, err);
}

enum qk_err integrity_scan_begin(struct integrity *integrity, bool slow, bool changes)
{
    struct integrity_scan *scan = calloc(1, sizeof(*scan));
    enum qk_err err;

    if (scan == NULL)
        return QK_ERR_NOMEM;
    if (uv_mutex_init(&scan->mutex) != 0) {
        free(scan);
        return QK_ERR_NOMEM;
    }
    scan->integrity = integrity;
    scan->slow = slow;
    scan->done.changes = changes;
    err = secret_new_clone(integrity->element_key, &scan->key);
    if (err == QK_OK)
        err = timer_new(integrity->service->loop, rested, scan, &scan->timer);
    if (err != QK_OK) {
        scan_free(scan);
        return err;
    }
    scan->flushing = true;
    integrity->scan = scan;
    store_flush_to_read(integrity->service->store, flushed, scan);
    return QK_OK;
}
