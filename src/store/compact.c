/* A copy of the file without what is free in it, put in the file's place. What LMDB no longer uses
 * still holds what stood there: old envelopes, in free pages and in the gaps of pages in use, which
 * a copy page by page would carry along. So it is a copy row by row, in order, into a new file. The
 * writer's thread makes it while it commits nothing, so the copy is all that is in the file; what
 * is applied meanwhile stays pending and goes into the new one. The old file stays the store until
 * the rename; a crash before it leaves a copy that the next start removes. */
#include "store/internal.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES (1 * MIB) /* of one transaction of the copy */
#define PIECE_NS 10000000     /* at most 100 MB/s: who writes meanwhile needs the disk too */

void compact_path_of(const char *path, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "%s-compact", path);
}

struct copy {
    struct db to;
    MDB_txn *from_txn, *to_txn; /* to_txn NULL: none is open */
    size_t piece;               /* bytes since the last commit */
};

static int piece_end(struct copy *copy)
{
    MDB_txn *txn = copy->to_txn;

    copy->to_txn = NULL;
    copy->piece = 0;
    return txn == NULL ? 0 : mdb_txn_commit(txn);
}

/* Has the disk begin with what was written, so that the sync at the end is short and does not hold
 * up the log. */
static void piece_rest(const struct copy *copy)
{
    const struct timespec rest = {.tv_nsec = PIECE_NS};
    int fd;

    if (mdb_env_get_fd(copy->to.env, &fd) == 0)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    (void)nanosleep(&rest, NULL);
}

static int row_copy(struct copy *copy, enum format_table table, MDB_val *key, MDB_val *row)
{
    bool ends = copy->piece >= PIECE_BYTES;
    int rc = ends ? piece_end(copy) : 0;

    if (ends)
        piece_rest(copy);
    if (rc == 0 && copy->to_txn == NULL)
        rc = mdb_txn_begin(copy->to.env, NULL, 0, &copy->to_txn);
    if (rc == 0)
        rc = mdb_put(copy->to_txn, copy->to.tables[table], key, row, MDB_APPEND);
    copy->piece += key->mv_size + row->mv_size;
    return rc;
}

static int table_copy(struct copy *copy, const struct db *from, enum format_table table)
{
    MDB_cursor *cursor;
    MDB_val key, row;
    int rc = mdb_cursor_open(copy->from_txn, from->tables[table], &cursor);

    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0) {
        rc = row_copy(copy, table, &key, &row);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static enum qk_err sync_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        (void)close(fd);
    return synced ? QK_OK : QK_ERR_IO;
}

static enum qk_err copy_all(struct copy *copy, const struct db *from)
{
    int rc = 0;

    for (unsigned t = 0; t < FORMAT_TABLES_N && rc == 0; t++)
        rc = table_copy(copy, from, (enum format_table)t);
    if (rc == 0)
        rc = piece_end(copy);
    else if (copy->to_txn != NULL)
        mdb_txn_abort(copy->to_txn);
    if (rc == 0)
        rc = mdb_env_sync(copy->to.env, 1);
    return db_err(rc);
}

enum qk_err compact_copy(const struct db *db)
{
    struct db_mode mode = {.map_bytes = (size_t)db_map_bytes(db), .no_sync = true, .no_lock = true};
    struct copy copy = {.piece = 0};
    char path[DB_PATH_BYTES_MAX + 16];
    enum qk_err err;

    compact_path_of(db->path, path, sizeof path);
    (void)unlink(path);
    err = db_begin_read(db, &copy.from_txn);
    if (err != QK_OK)
        return err;
    err = db_open(&copy.to, path, &mode);
    if (err == QK_OK)
        err = copy_all(&copy, db);
    db_close(&copy.to);
    mdb_txn_abort(copy.from_txn);
    if (err == QK_OK)
        err = sync_file(path);
    if (err != QK_OK)
        (void)unlink(path);
    return err;
}

/* Statistics and what is applied stay as they are in memory: the copy holds the same rows. */
static enum qk_err compact_swap(struct store *store)
{
    struct db_mode mode = {.map_bytes = store->options.map_bytes,
                           .no_sync = store->options.no_sync};
    char path[DB_PATH_BYTES_MAX + 16];
    enum qk_err err;

    compact_path_of(store->path, path, sizeof path);
    if (store->snapshots_n > 0) {
        (void)unlink(path);
        return QK_ERR_BUSY;
    }
    store_turn_end(store);
    if (store->turn != NULL)
        mdb_txn_abort(store->turn);
    store->turn = NULL;
    store->copies++; /* cursors seek again, in the new file */
    db_close(&store->db);
    err = rename(path, store->path) == 0 ? db_sync_folder(store->path) : QK_ERR_IO;
    if (err == QK_OK)
        err = db_open(&store->db, store->path, &mode);
    return err;
}

void compact_end(struct store *store, enum qk_err err)
{
    struct store_compact_request compact = store->compact;

    store->compact = (struct store_compact_request){0};
    if (err == QK_OK)
        err = compact_swap(store);
    if (err != QK_OK && store->db.env == NULL) { /* a restart finds one of the two files */
        store->failed = true;
        store->callbacks.fatal(store->callbacks.arg, err, "the compacted store cannot be opened");
    }
    compact.cb(compact.arg, err);
}

enum qk_err store_compact(struct store *store, store_cb cb, void *arg)
{
    assert(cb != NULL);

    if (store->closing)
        return QK_ERR_CLOSED;
    if (store->compact.cb != NULL || store->snapshots_n > 0)
        return QK_ERR_BUSY;
    store->compact = (struct store_compact_request){.cb = cb, .arg = arg};
    writer_wake(store);
    return QK_OK;
}
