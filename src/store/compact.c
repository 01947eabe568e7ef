/* A copy of the file without its free pages, put in the file's place. What LMDB no longer uses
 * still holds what stood there: old envelopes, until their pages are used again. The writer's
 * thread copies while it commits nothing, so the copy is all that is in the file; what is applied
 * meanwhile stays pending and goes into the new one. The old file stays the store until the rename;
 * a crash before it leaves a copy that the next start removes. */
#include "store/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void compact_path_of(const char *path, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "%s-compact", path);
}

enum qk_err compact_copy(const struct db *db)
{
    char path[DB_PATH_BYTES_MAX + 16];
    enum qk_err err;
    int fd, rc;

    compact_path_of(db->path, path, sizeof path);
    (void)unlink(path);
    fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC || errno == EDQUOT ? QK_ERR_FULL : QK_ERR_IO;
    rc = mdb_env_copyfd2(db->env, fd, MDB_CP_COMPACT);
    err = db_err(rc);
    if (err == QK_OK && fsync(fd) != 0)
        err = QK_ERR_IO;
    (void)close(fd);
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
    assert(!store->closing);

    if (store->compact.cb != NULL || store->snapshots_n > 0)
        return QK_ERR_BUSY;
    store->compact = (struct store_compact_request){.cb = cb, .arg = arg};
    writer_wake(store);
    return QK_OK;
}
