#include "store/store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"

/* Documents alone wait longer than what a deal, a key or a right is made of: a write takes a fifth
 * less of all nodes' processors than with 50 ms for everything, and the disk of a node that is
 * killed is still that of before a deal for 50 ms at most. With 250 ms for everything shares that a
 * rotation had voided opened it (test_recovery). */
#define COMMIT_MS 250
#define COMMIT_SOON_MS 50
#define COMMIT_BYTES (8 * MIB)
#define MAP_BYTES (16 * GIB)
#define RESERVE_BYTES (64 * MIB)

enum qk_err store_turn(struct store *store, MDB_txn **ret_txn)
{
    int rc;

    if (store->db.env == NULL) /* a swap failed: the process is about to end */
        return QK_ERR_IO;
    if (!store->turn_live) {
        if (store->turn == NULL)
            rc = mdb_txn_begin(store->db.env, NULL, MDB_RDONLY, &store->turn);
        else
            rc = mdb_txn_renew(store->turn);
        if (rc != 0)
            return db_err(rc);
        store->turn_live = true;
        store->turn_number++;
        writer_turn_begun(store);
    }
    *ret_txn = store->turn;
    return QK_OK;
}

void store_turn_end(struct store *store)
{
    if (store->turn_live)
        mdb_txn_reset(store->turn);
    store->turn_live = false;
}

enum qk_err store_load(struct store *store)
{
    struct db_mode mode = {.map_bytes = store->options.map_bytes,
                           .no_sync = store->options.no_sync};
    enum qk_err err = db_open(&store->db, store->path, &mode);
    MDB_txn *txn;

    if (err == QK_OK)
        err = db_begin_read(&store->db, &txn);
    if (err != QK_OK)
        return err;
    spaces_init(&store->spaces);
    tallies_init(&store->tallies);
    err = db_state(&store->db, txn, &store->applied);
    if (err == QK_OK)
        err = db_load_spaces(&store->db, txn, &store->spaces);
    if (err == QK_OK)
        err = db_load_tallies(&store->db, txn, &store->tallies);
    mdb_txn_abort(txn);
    store->synced = store->applied.index;
    return err;
}

void store_unload(struct store *store)
{
    store_turn_end(store);
    if (store->turn != NULL)
        mdb_txn_abort(store->turn);
    store->turn = NULL;
    spaces_fini(&store->spaces);
    tallies_fini(&store->tallies);
    db_close(&store->db);
}

static void options_fill(struct store_options *options)
{
    if (options->commit_ms == 0)
        options->commit_ms = COMMIT_MS;
    if (options->commit_soon_ms == 0)
        options->commit_soon_ms = COMMIT_SOON_MS;
    if (options->commit_soon_ms > options->commit_ms)
        options->commit_soon_ms = options->commit_ms;
    if (options->commit_bytes == 0)
        options->commit_bytes = COMMIT_BYTES;
    if (options->map_bytes == 0)
        options->map_bytes = MAP_BYTES;
    if (options->reserve_bytes == 0)
        options->reserve_bytes = RESERVE_BYTES;
}

static enum qk_err store_new(const char *path, const struct store_options *options,
                             const struct store_callbacks *callbacks, struct store **ret_store)
{
    struct store *store = calloc(1, sizeof *store);

    if (store == NULL)
        return QK_ERR_NOMEM;
    store->marker_fd = -1;
    store->callbacks = *callbacks;
    store->waiters_tail = &store->waiters;
    store->open.number = 1;
    if (options != NULL)
        store->options = *options;
    options_fill(&store->options);
    (void)snprintf(store->path, sizeof store->path, "%s", path);
    if (pending_init(&store->pending) != QK_OK) {
        free(store);
        return QK_ERR_NOMEM;
    }
    *ret_store = store;
    return QK_OK;
}

static void open_failed_text(const char *path, enum qk_err err, char *ret_what, size_t size)
{
    const char *next = "check the disk and the rights of the folder";

    if (ret_what == NULL)
        return;
    if (err == QK_ERR_CORRUPT)
        next = "set the file aside and let the node take a snapshot from a peer";
    if (err == QK_ERR_BUSY)
        next = "another process has it open";
    if (err == QK_ERR_UNSUPPORTED)
        next = "it was written by a newer version of this program";
    (void)snprintf(ret_what, size, "%s: %s: %s", path, qk_err_text(err), next);
}

enum qk_err store_open(struct uv_loop_s *loop, const char *path,
                       const struct store_options *options, const struct store_callbacks *callbacks,
                       struct store **ret_store, char *ret_what, size_t size)
{
    char staging[DB_PATH_BYTES_MAX + 16];
    struct store *store = NULL;
    enum qk_err err;
    bool was_there;

    assert(callbacks->fatal != NULL);
    if (strlen(path) + 32 > DB_PATH_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    err = store_new(path, options, callbacks, &store);
    if (err != QK_OK)
        return err;
    err = marker_open(path, &store->marker_fd, &was_there);
    if (err == QK_OK) {
        staging_path_of(path, staging, sizeof staging); /* what a crash left half-received */
        (void)unlink(staging);
        compact_path_of(path, staging, sizeof staging); /* or half-copied */
        (void)unlink(staging);
        err = store_load(store);
    }
    if (err == QK_OK)
        err = writer_new(store, loop);
    if (err != QK_OK) {
        open_failed_text(path, err, ret_what, size);
        store_unload(store);
        marker_close(path, store->marker_fd, false);
        pending_fini(&store->pending);
        free(store);
        return err;
    }
    *ret_store = store;
    return QK_OK;
}

const char *store_path(const struct store *store)
{
    return store->path;
}

enum qk_err store_admit(const struct store *store)
{
    if (store->full)
        return QK_ERR_FULL;
    return store->pending.bytes > PENDING_BYTES_MAX ? QK_ERR_BUSY : QK_OK;
}

size_t store_pending_bytes(const struct store *store)
{
    return store->pending.bytes;
}

uint64_t store_applied(const struct store *store)
{
    return store->applied.index;
}

uint64_t store_applied_term(const struct store *store)
{
    return store->applied.term;
}

uint64_t store_synced(const struct store *store)
{
    return store->synced;
}

uint64_t store_stamp(const struct store *store)
{
    return store->applied.stamp;
}

void store_observe(struct store *store, const struct store_observer *observer)
{
    assert(observer->changed != NULL && observer->swapped != NULL && observer->committing != NULL);
    assert(observer->fact != NULL && store->observer.changed == NULL);

    store->observer = *observer;
}

enum qk_err store_file_position(struct store *store, struct store_position *ret_position)
{
    struct format_state state;
    MDB_txn *txn;
    enum qk_err err = store_turn(store, &txn);

    if (err == QK_OK)
        err = db_state(&store->db, txn, &state);
    if (err == QK_OK)
        *ret_position = (struct store_position){state.index, state.term, state.stamp};
    return err;
}

const char *store_error(const struct store *store)
{
    return store->error;
}

enum qk_err store_damaged(struct store *store, enum format_table table, struct bytes key)
{
    char text[1100];

    format_key_text(key, text, sizeof text);
    (void)snprintf(store->error, sizeof store->error,
                   "%.200s: %s: record %s: checksum does not match", store->path,
                   format_table_name(table), text);
    return QK_ERR_CORRUPT;
}

static void record_of_entry(const struct pending_entry *entry, struct format_record *record)
{
    *record = (struct format_record){.version = entry->version,
                                     .seq = entry->seq,
                                     .stamp = entry->stamp,
                                     .flags = entry->flags,
                                     .value = pending_value(entry)};
}

static enum qk_err lookup_file(struct store *store, struct bytes key, struct format_record *record)
{
    struct bytes row;
    MDB_txn *txn;
    enum qk_err err = store_turn(store, &txn);

    if (err == QK_OK)
        err = db_get(&store->db, txn, FORMAT_RECORDS, key, &row);
    if (err == QK_ERR_CORRUPT || (err == QK_OK && format_record_read(key, row, record) != QK_OK))
        return store_damaged(store, FORMAT_RECORDS, key);
    return err;
}

enum qk_err store_lookup(struct store *store, struct bytes key, struct format_record *ret_record)
{
    const struct pending_entry *entry = pending_find(&store->pending, key, false);
    struct format_record record;
    enum qk_err err = QK_OK;

    if (entry != NULL && entry->type == PENDING_REMOVE)
        return QK_ERR_NOT_FOUND;
    if (entry != NULL)
        record_of_entry(entry, &record);
    else
        err = lookup_file(store, key, &record);
    if (err == QK_OK && !spaces_visible(&store->spaces, key, record.stamp))
        err = QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        *ret_record = record;
    return err;
}

enum qk_err store_get(struct store *store, struct bytes key, struct record *ret_record)
{
    struct format_record record;
    enum qk_err err;

    if (key.len < DATABASE_ID_BYTES || key.len > RECORD_KEY_BYTES_MAX)
        return QK_ERR_NOT_FOUND;
    err = store_lookup(store, key, &record);
    if (err == QK_OK)
        *ret_record = format_record_public(&record);
    return err;
}

void store_database_stats(const struct store *store,
                          const uint8_t database[static DATABASE_ID_BYTES],
                          struct store_stats *ret_stats)
{
    const struct space *space = spaces_find(&store->spaces, database);

    *ret_stats = space == NULL ? (struct store_stats){0} : space->stats;
}

void store_key_stats(const struct store *store, const uint8_t key_id[static KEY_USE_ID_BYTES],
                     uint32_t version, struct store_key_stats *ret_stats)
{
    static const uint8_t no_database[DATABASE_ID_BYTES];
    uint8_t id[TALLY_ID_BYTES];

    tally_id(no_database, key_id, version, id);
    tallies_get(&store->tallies, id, ret_stats);
}

void store_database_key_stats(const struct store *store,
                              const uint8_t database[static DATABASE_ID_BYTES],
                              const uint8_t key_id[static KEY_USE_ID_BYTES],
                              struct store_key_stats *ret_stats)
{
    uint8_t id[TALLY_ID_BYTES];

    tally_id(database, key_id, 0, id);
    tallies_get(&store->tallies, id, ret_stats);
}

static size_t spaces_dirty(const struct spaces *spaces)
{
    size_t n = 0;

    for (size_t i = 0; i < spaces->slots_n; i++)
        n += spaces->slots[i].used && spaces->slots[i].dirty;
    return n;
}

/* What the observer has to say of the state that goes to the file. */
static enum qk_err batch_observed(struct store *store, struct pending_batch *batch)
{
    const struct store_observer *observer = &store->observer;
    struct store_position at = {store->applied.index, store->applied.term, store->applied.stamp};
    struct pending_entry entry = {.type = PENDING_LOCAL};
    struct buf out = BUF_INIT(STORE_LOCAL_VALUE_BYTES_MAX);
    enum qk_err err = QK_OK;

    if (observer->changed == NULL)
        return QK_OK;
    observer->committing(observer->arg, &at, &out);
    if (out.len > 0)
        err =
            pending_add(&store->pending, batch, &entry, bytes_str(observer->fact), buf_bytes(&out));
    if (err == QK_OK)
        err = buf_error(&out);
    buf_fini(&out);
    return err;
}

static void seal_stats(struct store *store, struct pending_batch *batch)
{
    for (size_t i = 0; i < store->spaces.slots_n; i++) {
        struct space *space = &store->spaces.slots[i];
        struct pending_stats *row;

        if (!space->used || !space->dirty)
            continue;
        row = &batch->stats[batch->stats_n++];
        memcpy(row->id, space->id, sizeof row->id);
        row->stats = space->stats;
        space->dirty = false;
    }
}

static void seal_tallies(struct store *store, struct pending_batch *batch)
{
    struct tallies *tallies = &store->tallies;

    for (size_t i = 0; i < tallies->dirty_n; i++) {
        struct pending_tally *row = &batch->tallies[batch->tallies_n++];

        memcpy(row->id, tallies->dirty[i], sizeof row->id);
        tallies_get(tallies, row->id, &row->stats);
    }
    tallies_clean(tallies);
}

enum qk_err store_batch_seal(struct store *store, struct pending_batch *batch)
{
    size_t stats_n = spaces_dirty(&store->spaces), tallies_n = store->tallies.dirty_n;
    enum qk_err err = batch_observed(store, batch);

    if (err != QK_OK)
        return err;
    assert(batch->stats == NULL && batch->tallies == NULL);
    batch->state = store->applied;
    if (stats_n > 0)
        batch->stats = calloc(stats_n, sizeof *batch->stats);
    if (tallies_n > 0)
        batch->tallies = calloc(tallies_n, sizeof *batch->tallies);
    if ((stats_n > 0 && batch->stats == NULL) || (tallies_n > 0 && batch->tallies == NULL)) {
        free(batch->stats);
        free(batch->tallies);
        batch->stats = NULL;
        batch->tallies = NULL;
        return QK_ERR_NOMEM;
    }
    seal_stats(store, batch);
    seal_tallies(store, batch);
    return QK_OK;
}

enum qk_err store_local_get(struct store *store, const char *name, struct bytes *ret_value)
{
    struct bytes key = bytes_str(name), row;
    const struct pending_entry *entry = pending_find(&store->pending, key, true);
    MDB_txn *txn;
    enum qk_err err;

    if (entry != NULL) {
        if (entry->value_len == 0)
            return QK_ERR_NOT_FOUND;
        *ret_value = pending_value(entry);
        return QK_OK;
    }
    err = store_turn(store, &txn);
    if (err == QK_OK)
        err = db_get(&store->db, txn, FORMAT_LOCAL, key, &row);
    if (err == QK_OK && format_local_read(key, row, ret_value) != QK_OK)
        err = QK_ERR_CORRUPT;
    if (err == QK_ERR_CORRUPT)
        return store_damaged(store, FORMAT_LOCAL, key);
    return err;
}

enum qk_err store_local_put(struct store *store, const char *name, struct bytes value, store_cb cb,
                            void *arg)
{
    struct pending_entry entry = {.type = PENDING_LOCAL};
    struct bytes key = bytes_str(name);
    enum qk_err err;

    assert(key.len > 0);
    if (key.len > STORE_LOCAL_NAME_BYTES_MAX || value.len > STORE_LOCAL_VALUE_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    err = pending_add(&store->pending, &store->open, &entry, key, value);
    if (err == QK_OK && cb != NULL)
        err = store_wait(store, store->open.number, false, cb, arg);
    if (err == QK_OK)
        writer_hurry(store);
    return err;
}

void store_figures(const struct store *store, struct store_figures *ret_figures)
{
    *ret_figures = (struct store_figures){
        .file_bytes = db_file_bytes(&store->db),
        .map_bytes = db_map_bytes(&store->db),
        .pending_bytes = store->pending.bytes,
        .commits = store->commits,
        .commit_last_us = store->commit_last_us,
        .ranges_freeing = store->spaces.dropping_n,
        .full = store->full,
    };
}
