/* One transaction of the writer: the batch's writes in their order, statistics, keys, state, then a
 * piece of what dropped databases left behind. Any error aborts it whole and the batch stays. */
#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A piece: rows, and pages of their values, so that a transaction stays a few milliseconds. */
#define FREE_COST_MAX 2000
#define COST_BYTES 4096
#define PROBE_BYTES (1 * MIB)

struct commit {
    struct db *db;
    MDB_txn *txn;
};

static int row_delete(const struct commit *commit, enum format_table table, struct bytes key)
{
    MDB_val k = db_val(key);
    int rc = mdb_del(commit->txn, commit->db->tables[table], &k, NULL);

    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* Makes room for a row of `len` bytes in the page itself. */
static int row_reserve(const struct commit *commit, enum format_table table, struct bytes key,
                       size_t len, uint8_t **ret_at)
{
    MDB_val k = db_val(key), row = {.mv_size = len};
    int rc = mdb_put(commit->txn, commit->db->tables[table], &k, &row, MDB_RESERVE);

    *ret_at = row.mv_data;
    return rc;
}

static int row_put(const struct commit *commit, enum format_table table, struct bytes key,
                   const uint8_t *row, size_t len)
{
    MDB_val k = db_val(key), v = db_val(bytes_of(row, len));

    return mdb_put(commit->txn, commit->db->tables[table], &k, &v, 0);
}

static int write_change(const struct commit *commit, const struct pending_entry *entry)
{
    uint8_t raw[FORMAT_CHANGE_KEY_BYTES];
    struct bytes key = bytes_of(raw, sizeof raw);
    struct bytes name = bytes_slice(pending_key(entry), DATABASE_ID_BYTES, SIZE_MAX);
    uint8_t *at;
    int rc = 0;

    if (entry->seq_before != 0) {
        format_change_key(entry->data, entry->seq_before, raw);
        rc = row_delete(commit, FORMAT_CHANGES, key);
    }
    if (rc != 0 || entry->type != PENDING_PUT || (entry->flags & WIRE_DOC) == 0)
        return rc;
    format_change_key(entry->data, entry->seq, raw);
    rc = row_reserve(commit, FORMAT_CHANGES, key, FORMAT_CHANGE_HEAD_BYTES + name.len, &at);
    if (rc == 0)
        format_change_write(key, entry->stamp, entry->flags, name, at);
    return rc;
}

static int write_record(const struct commit *commit, const struct pending_entry *entry)
{
    struct format_record record = {.version = entry->version,
                                   .seq = entry->seq,
                                   .stamp = entry->stamp,
                                   .flags = entry->flags,
                                   .value = pending_value(entry)};
    struct bytes key = pending_key(entry);
    uint8_t *at;
    int rc;

    if (entry->type == PENDING_REMOVE) {
        rc = row_delete(commit, FORMAT_RECORDS, key);
    } else {
        rc = row_reserve(commit, FORMAT_RECORDS, key, FORMAT_RECORD_HEAD_BYTES + record.value.len,
                         &at);
        if (rc == 0)
            format_record_write(key, &record, at);
    }
    return rc == 0 ? write_change(commit, entry) : rc;
}

static int write_local(const struct commit *commit, const struct pending_entry *entry)
{
    struct bytes key = pending_key(entry), value = pending_value(entry);
    uint8_t *at;
    int rc;

    if (value.len == 0)
        return row_delete(commit, FORMAT_LOCAL, key);
    rc = row_reserve(commit, FORMAT_LOCAL, key, FORMAT_LOCAL_HEAD_BYTES + value.len, &at);
    if (rc == 0)
        format_local_write(key, value, at);
    return rc;
}

static int write_drop(const struct commit *commit, const struct pending_entry *entry)
{
    uint8_t row[FORMAT_DROP_BYTES];

    format_drop_write(pending_key(entry), entry->stamp, row);
    return row_put(commit, FORMAT_DROPS, pending_key(entry), row, sizeof row);
}

static int write_entries(const struct commit *commit, const struct pending_batch *batch)
{
    int rc = 0;

    for (const struct pending_entry *entry = batch->head; entry != NULL && rc == 0;
         entry = entry->next) {
        switch (entry->type) {
        case PENDING_PUT:
        case PENDING_REMOVE:
            rc = write_record(commit, entry);
            break;
        case PENDING_DROP:
            rc = write_drop(commit, entry);
            break;
        case PENDING_LOCAL:
            rc = write_local(commit, entry);
            break;
        }
    }
    return rc;
}

static int write_stats(const struct commit *commit, const struct pending_stats *row)
{
    static const struct store_stats none;
    struct bytes key = bytes_of(row->id, sizeof row->id);
    uint8_t raw[FORMAT_STATS_BYTES];

    /* A database without documents has no row, so that equal stores have equal files. */
    if (memcmp(&row->stats, &none, sizeof none) == 0)
        return row_delete(commit, FORMAT_STATS, key);
    format_stats_write(key, &row->stats, raw);
    return row_put(commit, FORMAT_STATS, key, raw, sizeof raw);
}

static int write_tally(const struct commit *commit, const struct pending_tally *row)
{
    struct bytes key = bytes_of(row->id, sizeof row->id);
    uint8_t raw[FORMAT_KEY_BYTES];

    if (tally_is_zero(&row->stats))
        return row_delete(commit, FORMAT_KEYS, key);
    format_key_write(key, &row->stats, raw);
    return row_put(commit, FORMAT_KEYS, key, raw, sizeof raw);
}

static int write_batch(const struct commit *commit, const struct pending_batch *batch)
{
    uint8_t state[FORMAT_STATE_BYTES];
    int rc = write_entries(commit, batch);

    for (size_t i = 0; i < batch->stats_n && rc == 0; i++)
        rc = write_stats(commit, &batch->stats[i]);
    for (size_t i = 0; i < batch->tallies_n && rc == 0; i++)
        rc = write_tally(commit, &batch->tallies[i]);
    if (rc != 0)
        return rc;
    format_state_write(&batch->state, state);
    return row_put(commit, FORMAT_META, bytes_str(FORMAT_STATE_KEY), state, sizeof state);
}

/* The stamp alone, unchecked: a damaged row of a dropped database is only to be freed. */
static uint64_t row_stamp(enum format_table table, MDB_val row)
{
    size_t at = table == FORMAT_RECORDS ? 20 : 4;

    return row.mv_size < at + 8 ? 0 : get_u64((const uint8_t *)row.mv_data + at);
}

static void freeing_note(struct db *db, MDB_val key)
{
    db->freeing.key_len = key.mv_size;
    assert(key.mv_size <= sizeof db->freeing.key);
    memcpy(db->freeing.key, key.mv_data, key.mv_size);
}

static size_t row_cost(MDB_val row, size_t cost_max)
{
    size_t cost = 1 + row.mv_size / COST_BYTES;

    return cost < cost_max ? cost : cost_max;
}

/* Goes over the rows of one table and database from where the last piece ended, while *left is not
 * used up. MDB_NOTFOUND: all are done. */
static int free_rows(const struct commit *commit, size_t *left)
{
    struct db *db = commit->db;
    MDB_val key = {db->freeing.key_len, db->freeing.key}, row;
    MDB_cursor *cursor;
    int rc = mdb_cursor_open(commit->txn, db->tables[db->freeing.table], &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &row, MDB_SET_RANGE);
    while (rc == 0 && *left > 0) {
        if (key.mv_size < DATABASE_ID_BYTES ||
            memcmp(key.mv_data, db->freeing.what.id, DATABASE_ID_BYTES) != 0) {
            rc = MDB_NOTFOUND;
            break;
        }
        freeing_note(db, key);
        *left -= row_cost(row, *left);
        if (row_stamp(db->freeing.table, row) <= db->freeing.what.stamp)
            rc = mdb_cursor_del(cursor, 0);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return rc;
}

static void freeing_start(struct db *db, const struct db_freed *what, enum format_table table)
{
    db->freeing.what = *what;
    db->freeing.table = table;
    memcpy(db->freeing.key, what->id, sizeof what->id);
    db->freeing.key_len = sizeof what->id;
}

/* One database: records, then changes, then the note that it was dropped. */
static int free_database(const struct commit *commit, const struct db_freed *what, size_t *left,
                         bool *ret_done)
{
    struct db *db = commit->db;
    int rc;

    *ret_done = false;
    if (memcmp(&db->freeing.what, what, sizeof *what) != 0)
        freeing_start(db, what, FORMAT_RECORDS);
    rc = free_rows(commit, left);
    if (rc == MDB_NOTFOUND && db->freeing.table == FORMAT_RECORDS) {
        freeing_start(db, what, FORMAT_CHANGES);
        rc = free_rows(commit, left);
    }
    if (rc != MDB_NOTFOUND)
        return rc;
    *ret_done = true;
    return row_delete(commit, FORMAT_DROPS, bytes_of(what->id, sizeof what->id));
}

/* The first database that was dropped and is not yet freed. MDB_NOTFOUND if there is none. */
static int drop_first(const struct commit *commit, struct db_freed *ret_what)
{
    MDB_cursor *cursor;
    MDB_val key, row;
    int rc = mdb_cursor_open(commit->txn, commit->db->tables[FORMAT_DROPS], &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &row, MDB_FIRST);
    *ret_what = (struct db_freed){0};
    if (rc == 0 && format_drop_read(db_bytes(key), db_bytes(row), &ret_what->stamp) != QK_OK)
        rc = MDB_CORRUPTED;
    if (rc == 0)
        memcpy(ret_what->id, key.mv_data, sizeof ret_what->id);
    mdb_cursor_close(cursor);
    return rc;
}

static int free_piece(const struct commit *commit, struct db_outcome *outcome)
{
    size_t left = FREE_COST_MAX;
    struct db_freed what;
    int rc;

    while ((rc = drop_first(commit, &what)) == 0) {
        bool done;

        if (left == 0 || outcome->freed_n == DB_FREED_MAX) {
            outcome->drops_left = true;
            return 0;
        }
        rc = free_database(commit, &what, &left, &done);
        if (rc != 0)
            return rc;
        if (done)
            outcome->freed[outcome->freed_n++] = what;
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static int commit_all(struct commit *commit, const struct pending_batch *batch,
                      struct db_outcome *outcome)
{
    int rc = mdb_txn_begin(commit->db->env, NULL, 0, &commit->txn);

    if (rc != 0)
        return rc;
    if (batch->dirty)
        rc = write_batch(commit, batch);
    if (rc == 0)
        rc = free_piece(commit, outcome);
    if (rc == 0)
        return mdb_txn_commit(commit->txn);
    mdb_txn_abort(commit->txn);
    return rc;
}

/* LMDB calls a short write EIO, which is how a disk that fills up in the middle of one looks: only
 * trying tells. Writes and removes a file beside the store. */
static bool disk_refuses(const char *path)
{
    static const uint8_t zeros[PROBE_BYTES];
    char probe[DB_PATH_BYTES_MAX + 16];
    bool refused;
    int fd;

    (void)snprintf(probe, sizeof probe, "%s-probe", path);
    fd = open(probe, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT;
    refused = write(fd, zeros, sizeof zeros) != (ssize_t)sizeof zeros || fsync(fd) != 0;
    (void)close(fd);
    (void)unlink(probe);
    return refused;
}

void db_commit(struct db *db, const struct pending_batch *batch, struct db_outcome *ret_outcome)
{
    struct commit commit = {.db = db};
    uint64_t began = now_us();
    int rc;

    *ret_outcome = (struct db_outcome){0};
    rc = commit_all(&commit, batch, ret_outcome);
    if (rc != 0) { /* nothing of it happened: freeing starts over, freed databases are not */
        memset(&db->freeing, 0, sizeof db->freeing);
        ret_outcome->freed_n = 0;
    }
    if (rc == EIO && disk_refuses(db->path))
        rc = ENOSPC;
    ret_outcome->map_full = rc == MDB_MAP_FULL;
    ret_outcome->err = db_err(rc);
    ret_outcome->duration_us = now_us() - began;
}
