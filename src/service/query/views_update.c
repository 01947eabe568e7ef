/* One update of a group: flush -> walk over the sequence, a slice at each turn of the loop -> those
 * who wait are told. Once the node seals, a key is destroyed or the database goes, the group is
 * dead: the walk is stopped on the spot, and its flush, if it is under way, finds that. Keys that
 * are behind a new master key are waited for. A record that does not authenticate, or whose key is
 * destroyed, gives no rows. More than 500 lines, since a walk and what it does with each document
 * share all of their state. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "keys/keyring.h"
#include "service/doc_name.h"
#include "service/keys_current.h"
#include "service/read.h"
#include "service/query/views_file.h"
#include "service/query/views_private.h"

/* A slice ends after this long, or so many documents: the loop serves others in between. */
#define SLICE_US 5000u
/* A timer of 0 that is started by a timer fires in the same turn: nobody else would be served. */
#define PAUSE_MS 1u
#define SLICE_DOCS_MAX 2048
#define CLOCK_EVERY_DOCS 16
#define SAY_DOCS_MIN 10000
#define BUSY_MS 20 /* until a worker is looked for again */

/* --- one document --- */

enum qk_err views_put_rows(struct view_group *group, const struct view_source *source)
{
    const struct view_rows *rows = &group->rows;
    struct index_emit *emits;
    enum qk_err err;
    size_t view, i, n, at;

    if (group->disk != NULL)
        return views_file_put(group, source);
    emits = calloc(rows->n + 1, sizeof(*emits)); /* views of `rows` */
    err = emits == NULL ? QK_ERR_NOMEM : QK_OK;

    for (view = 0; err == QK_OK && view < group->design->views_n; view++) {
        for (i = 0, n = 0, at = 0; i < rows->n; i++) {
            const struct view_row *row = &rows->rows[i];
            const uint8_t *data = rows->data.data + at;

            at += row->sort_len + row->key_len + row->value_len;
            if (row->view == view)
                emits[n++] = (struct index_emit){
                    bytes_of(data, row->sort_len), bytes_of(data + row->sort_len, row->key_len),
                    bytes_of(data + row->sort_len + row->key_len, row->value_len)};
        }
        err = index_put(group->indexes[view], source->id, source->key_id, emits, n);
        if (err == QK_ERR_TOO_BIG) {
            log_error("index", "a document gives more rows than a view takes: it has none there");
            err = QK_OK;
        }
    }
    free(emits);
    return err;
}

static bool gives_rows(const struct view_group *group, const struct doc_leaf *leaf, struct bytes id)
{
    return !leaf->deleted &&
           (group->design->include_design || !bytes_starts_with(id, bytes_str("_design/")));
}

/* The rows of what is written, with `_id` and `_rev`, in group->text. */
static enum qk_err map_text(struct view_group *group)
{
    struct doc_problem problem;
    json_t *doc = NULL;
    enum qk_err err;

    err = json_parse(buf_bytes(&group->text), JSON_WRITE_DEPTH_MAX, &problem, &doc);
    if (err == QK_OK)
        err = view_map(group->design, doc, &group->rows);
    json_decref(doc);
    return err == QK_ERR_INVALID ? QK_ERR_CORRUPT : err;
}

/* Maps are told of conflicts, as CouchDB's are. Whoever may decrypt the winner sees the rows, so
 * leaves under another data key are not mentioned: their revisions may be nobody's to see there. */
static enum qk_err map_leaf(struct view_group *group, struct bytes name,
                            const struct view_source *source, const struct doc_leaf *leaf,
                            const struct doc_record *record)
{
    struct document_options options = {.conflicts = record->leaves_n > 1,
                                       .deleted_conflicts = record->leaves_n > 1,
                                       .record = record,
                                       .conflicts_of_key = true};
    struct document_parts parts;
    enum qk_err err;

    err = stored_open(group->service, group->database, name, leaf, &group->plain, &parts);
    if (err == QK_OK) {
        document_write(source->id, leaf, &parts, &options, &group->text);
        err = buf_error(&group->text);
    }
    if (err == QK_OK)
        err = group->design->language == VIEW_JAVASCRIPT ? views_script_add(group, source)
                                                         : map_text(group);
    buf_reset(&group->plain);
    buf_reset(&group->text);
    return err;
}

static enum qk_err take_leaf(struct view_group *group, struct bytes name, struct bytes id,
                             uint64_t seq, const struct doc_leaf *leaf,
                             const struct doc_record *record)
{
    const struct view_source source = {id, leaf->key_id, leaf->key_version, seq};
    unsigned waiting = group->batch_n;
    enum qk_err err = QK_OK;

    view_rows_reset(&group->rows);
    if (gives_rows(group, leaf, id))
        err = map_leaf(group, name, &source, leaf, record);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED) {
        view_rows_reset(&group->rows);
        err = QK_OK;
    }
    if (err != QK_OK || group->batch_n > waiting)
        return err;
    return views_put_rows(group, &source);
}

/* The file may still have what is gone from the store: it would come back for good. */
static bool is_gone(const struct view_group *group, const struct store_row *row)
{
    struct record record;

    return group->removed &&
           store_get(group->service->store, row->key, &record) == QK_ERR_NOT_FOUND;
}

/* The winner alone, without memory; all leaves if there are several. */
static enum qk_err leaves_open(struct view_group *group, const struct store_row *row,
                               struct bytes name, struct doc_leaf *ret_winner,
                               struct doc_record *ret_record)
{
    struct service *service = group->service;
    struct doc_place place = {service->origin_id, group->database, name, row->record.version};
    const struct secret *key = keyring_integrity_key(service->keyring);
    unsigned leaves_n;
    enum qk_err err;

    err = doc_record_decode_winner(key, &place, row->record.value, ret_winner, &leaves_n);
    if (err == QK_OK && leaves_n > 1)
        err = doc_record_decode(key, &place, row->record.value, ret_record);
    return err;
}

static enum qk_err take_row(struct view_group *group, const struct store_row *row)
{
    struct service *service = group->service;
    struct bytes name = record_key_name(row->key), id;
    struct doc_record record = DOC_RECORD_EMPTY; /* of a document with conflicts */
    struct doc_leaf winner;
    enum qk_err err;

    if (is_gone(group, row))
        return QK_OK;
    err = doc_name_to_id(service, group->database, group->ids_hidden, name, &group->id, &id);
    if (err == QK_OK)
        err = leaves_open(group, row, name, &winner, &record);
    if (err == QK_ERR_CORRUPT) {
        stored_damaged(service, group->database, name);
        return QK_OK;
    }
    if (err == QK_OK)
        err = take_leaf(group, name, id, row->record.seq,
                        record.leaves_n > 0 ? &record.leaves[0] : &winner, &record);
    doc_record_fini(&record);
    return err;
}

/* --- those who wait --- */

static struct view_waiter *waiter_ready(struct view_group *group)
{
    struct view_waiter **link = &group->waiters, *waiter;

    while (*link != NULL && !group->dead && group->wake_err == QK_OK &&
           ((*link)->seq > group->seq || !views_is_ready(group)))
        link = &(*link)->next;
    waiter = *link;
    if (waiter != NULL)
        *link = waiter->next;
    return waiter;
}

static void tell(struct view_group *group)
{
    struct view_waiter *waiter;

    while ((waiter = waiter_ready(group)) != NULL) {
        struct view_waiter told = *waiter;
        enum qk_err err = group->dead ? group->why : group->wake_err;

        free(waiter);
        told.cb(told.arg, err);
    }
    group->wake_err = QK_OK;
}

enum qk_err views_wait(struct view_group *group, uint64_t seq,
                       void (*cb)(void *arg, enum qk_err err), void *arg)
{
    struct view_waiter *waiter = calloc(1, sizeof(*waiter));

    assert(cb != NULL && group->refs > 0);

    if (waiter == NULL)
        return QK_ERR_NOMEM;
    *waiter = (struct view_waiter){group->waiters, seq, cb, arg};
    group->waiters = waiter;
    if (group->dead || (group->seq >= seq && !group->updating && views_is_ready(group)))
        timer_start(group->timer, 0);
    else
        views_update(group);
    return QK_OK;
}

void views_refresh(struct view_group *group)
{
    views_update(group);
}

/* --- the walk --- */

static void update_close(struct view_group *group)
{
    store_cursor_close(group->cursor);
    group->cursor = NULL;
    group->opened = false;
    task_end(group->task);
    group->task = NULL;
    group->updating = false;
    views_script_stop(group);
    view_rows_fini(&group->rows);
    buf_fini(&group->plain);
    buf_fini(&group->text);
}

void views_update_stop(struct view_group *group)
{
    if (group->updating && !group->flushing && !group->keys_waiting) {
        update_close(group);
        views_release(group);
    }
}

/* For who wonders what the node is doing, or why a view lacks rows. */
static void update_say(const struct view_group *group)
{
    if (group->failures > 0)
        log_info("index", "%u documents made a map fail, and gave no rows", group->failures);
    if (group->done_n >= SAY_DOCS_MIN)
        log_info("index", "%" PRIu64 " changes went into %zu indexes in %" PRIu64 " ms",
                 group->done_n, group->design->views_n,
                 timer_now_ms(group->service->loop) - group->began_ms);
}

/* The rows on the disk are not to be gone on with. */
static bool is_of_file(enum qk_err err)
{
    return err == QK_ERR_CORRUPT || err == QK_ERR_DESTROYED || err == QK_ERR_IO ||
           err == QK_ERR_UNSUPPORTED;
}

/* The end of an update; the group may be gone afterwards. */
static void update_end(struct view_group *group, enum qk_err err)
{
    views_hold(group);
    update_say(group);
    update_close(group);
    views_release(group); /* the update's */
    if (err == QK_ERR_FULL || (group->disk != NULL && is_of_file(err)))
        views_kill(group, err);
    group->wake_err = err;
    tell(group);
    if (group->waiters != NULL && !group->dead)
        views_update(group);
    views_release(group);
}

static void task_start(struct view_group *group, const struct store_stats *stats)
{
    uint64_t all = stats->doc_count + stats->del_count;
    uint64_t since = group->target > group->seq ? group->target - group->seq : 0;

    group->done_n = 0;
    group->total_n = since < all ? since : all;
    if (task_begin(group->service, "indexer", &group->task) != QK_OK)
        return;
    task_set(group->task, "database", json_string(group->database_name));
    task_set(group->task, "design_document", json_string(group->name));
    task_progress(group->task, 0, group->total_n);
}

/* Some rows of the walk; group->walked at its end. */
static enum qk_err slice_rows(struct view_group *group)
{
    uint64_t began_us = timer_now_us();
    struct store_row row;
    enum qk_err err;
    unsigned n;

    for (n = 0; n < SLICE_DOCS_MAX && !views_script_is_full(group); n++) {
        if (n % CLOCK_EVERY_DOCS == CLOCK_EVERY_DOCS - 1 && timer_now_us() - began_us > SLICE_US)
            break;
        err = store_cursor_next(group->cursor, &row);
        group->walked = err == QK_ERR_NOT_FOUND;
        if (err != QK_OK)
            return group->walked ? QK_OK : err;
        err = take_row(group, &row);
        if (err != QK_OK)
            return err;
        group->read_seq = row.record.seq;
        group->done_n++;
    }
    return QK_OK;
}

static enum qk_err walk_open(struct view_group *group)
{
    store_cursor_close(group->cursor);
    group->cursor = NULL;
    group->walked = false;
    group->read_seq = group->seq;
    return store_changes_open(group->service->store, group->database, group->seq, false,
                              &group->cursor);
}

/* Rows on the disk that do not open, or are not those that are counted: once more, from nothing. */
static enum qk_err begin_anew(struct view_group *group)
{
    enum qk_err err = views_file_reset(group);

    group->file_anew = true;
    views_script_stop(group);
    return err == QK_OK ? walk_open(group) : err;
}

/* After a slice, and after the rows of its batch: on to the next, or the end. */
static void slice_end(struct view_group *group, enum qk_err err)
{
    bool last = group->walked;

    if (err == QK_ERR_CORRUPT && group->disk != NULL && !group->file_anew) {
        err = begin_anew(group);
        last = false;
    } else if (err == QK_OK && group->disk != NULL) {
        err = views_file_commit(
            group, last && group->read_seq < group->target ? group->target : group->read_seq, last);
    }
    if (err == QK_OK)
        err = views_make_room(group);
    if (err == QK_OK && !last && group->committed) {
        group->committed = false;
        views_file_settle(group);
        return;
    }
    if (err == QK_OK && !last) {
        timer_start(group->timer, PAUSE_MS);
        return;
    }
    if (err == QK_OK)
        group->seq = group->read_seq > group->target ? group->read_seq : group->target;
    update_end(group, err);
}

/* The batch goes to a worker; with all of them busy, later. */
static void batch_run(struct view_group *group)
{
    enum qk_err err = views_script_run(group);

    if (err == QK_ERR_BUSY)
        timer_start(group->timer, BUSY_MS);
    else if (err != QK_OK)
        slice_end(group, err);
}

void views_script_done(struct view_group *group, enum qk_err err)
{
    views_hold(group);
    slice_end(group, err);
    views_release(group);
}

static void slice(struct view_group *group)
{
    enum qk_err err;

    secret_scope_begin(); /* one key for many documents */
    err = slice_rows(group);
    secret_scope_end();
    task_progress(group->task, group->done_n, group->total_n);
    if (err == QK_OK && group->batch_n > 0)
        batch_run(group);
    else
        slice_end(group, err);
}

static void update_go(struct view_group *group, enum qk_err err)
{
    if (group->dead) { /* it was stopped meanwhile */
        update_close(group);
        views_release(group);
        return;
    }
    if (err != QK_OK)
        update_end(group, err);
    else
        timer_start(group->timer, PAUSE_MS);
}

static void update_keys(void *arg, enum qk_err err)
{
    struct view_group *group = arg;

    group->keys_waiting = false;
    update_go(group, err);
}

static bool rests(const struct view_group *group)
{
    return group->pins > 0 && timer_now_ms(group->service->loop) - group->pinned_ms < VIEWS_PIN_MS;
}

static void keys_take_time(struct view_group *group)
{
    enum qk_err err;

    group->keys_waiting = true;
    err = keys_wait(group->service, update_keys, group);
    group->keys_waiting = err == QK_OK;
    if (err != QK_OK)
        update_end(group, err);
}

/* What lies on the disk is looked through before its first use, then the walk goes on from there.
 */
static void file_slice(struct view_group *group)
{
    bool done = false;
    enum qk_err err;

    secret_scope_begin();
    err = views_file_load(group, &done);
    secret_scope_end();
    group->file_ready = err == QK_OK && done;
    if (group->file_ready)
        err = walk_open(group);
    if (err != QK_OK)
        update_end(group, err);
    else
        timer_start(group->timer, PAUSE_MS);
}

/* What is next of an update whose walk is open. */
static void update_tick(struct view_group *group)
{
    if (group->script_waits || group->keys_waiting || group->settling)
        return;
    if (rests(group))
        timer_start(group->timer, 1);
    else if (group->batch_n > 0)
        batch_run(group);
    else if (!keys_are_current(group->service))
        keys_take_time(group);
    else if (group->disk != NULL && !group->file_ready)
        file_slice(group);
    else
        slice(group);
}

void views_tick(void *arg)
{
    struct view_group *group = arg;

    views_hold(group);
    if (!group->dead && group->opened)
        update_tick(group);
    tell(group);
    views_release(group);
}

static void update_flushed(void *arg, enum qk_err err)
{
    struct view_group *group = arg;
    struct store_stats stats;

    group->flushing = false;
    if (err == QK_OK && !group->dead) {
        store_database_stats(group->service->store, group->database, &stats);
        err = walk_open(group);
        group->opened = err == QK_OK;
        task_start(group, &stats);
    }
    update_go(group, err);
}

void views_update(struct view_group *group)
{
    struct store_stats stats;

    if (group->dead || group->updating)
        return;
    store_database_stats(group->service->store, group->database, &stats);
    views_hold(group);
    group->updating = true;
    group->flushing = true;
    group->removed = false;
    group->file_anew = false;
    group->walked = false;
    group->failures = 0;
    group->began_ms = timer_now_ms(group->service->loop);
    group->target = stats.seq;
    group->read_seq = group->seq;
    store_flush_to_read(group->service->store, update_flushed, group);
}
