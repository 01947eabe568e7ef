/* Putting a received file in the store's place. The old file stays the store until the rename; a
 * crash before it leaves a staging file that the next start removes, a crash after it the new
 * store. What was pending is older than the snapshot and is let go, but for node-local facts. */
#include "store/internal.h"

#include <assert.h>
#include <stdio.h>

/* Copies the facts of the old file that no pending write replaces. */
static enum qk_err carry_from_file(struct store *store, const struct db *to, MDB_txn *to_txn)
{
    MDB_cursor *cursor;
    MDB_val key, row;
    MDB_txn *txn;
    enum qk_err err = store_turn(store, &txn);
    int rc;

    if (err != QK_OK)
        return err;
    rc = mdb_cursor_open(txn, store->db.tables[FORMAT_LOCAL], &cursor);
    if (rc != 0)
        return db_err(rc);
    while (err == QK_OK && (rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0)
        if (pending_find(&store->pending, db_bytes(key), true) == NULL)
            err = db_put(to, to_txn, FORMAT_LOCAL, db_bytes(key), db_bytes(row));
    mdb_cursor_close(cursor);
    return err != QK_OK || rc == MDB_NOTFOUND ? err : db_err(rc);
}

static enum qk_err carry_pending(const struct pending_batch *batch, const struct db *to,
                                 MDB_txn *to_txn)
{
    enum qk_err err = QK_OK;

    for (const struct pending_entry *entry = batch->head; entry != NULL && err == QK_OK;
         entry = entry->next) {
        struct buf row = BUF_INIT(STORE_LOCAL_VALUE_BYTES_MAX + KIB);
        uint8_t *at;

        if (entry->type != PENDING_LOCAL || !entry->newest || entry->value_len == 0)
            continue;
        at = buf_extend(&row, FORMAT_LOCAL_HEAD_BYTES + entry->value_len);
        if (at == NULL)
            return QK_ERR_NOMEM;
        format_local_write(pending_key(entry), pending_value(entry), at);
        err = db_put(to, to_txn, FORMAT_LOCAL, pending_key(entry), buf_bytes(&row));
        buf_fini(&row);
    }
    return err;
}

static enum qk_err carry_local(struct store *store, const char *staging)
{
    struct db_mode mode = {.map_bytes = store->options.map_bytes, .no_lock = true};
    MDB_txn *txn = NULL;
    struct db to;
    enum qk_err err = db_open(&to, staging, &mode);

    if (err != QK_OK)
        return err;
    err = db_err(mdb_txn_begin(to.env, NULL, 0, &txn));
    if (err == QK_OK)
        err = carry_from_file(store, &to, txn);
    if (err == QK_OK)
        err = carry_pending(&store->flying, &to, txn);
    if (err == QK_OK)
        err = carry_pending(&store->open, &to, txn);
    if (err == QK_OK)
        err = db_err(mdb_txn_commit(txn)); /* synced */
    else if (txn != NULL)
        mdb_txn_abort(txn);
    db_close(&to);
    return err;
}

/* What is pending goes; who waits for it has it, since the snapshot is newer. */
static void pending_clear(struct store *store)
{
    uint64_t number = store->open.number;

    pending_batch_fini(&store->pending, &store->flying); /* one that waited for room */
    pending_batch_fini(&store->pending, &store->open);
    store->batch_done = number;
    store->open.number = number + 1;
    store->partial = false;
}

enum qk_err store_swap_now(struct store *store, struct store_staging *staging)
{
    enum qk_err err = QK_OK;

    if (store->snapshots_n > 0)
        return QK_ERR_BUSY;
    if (store_staging_index(staging) <= store->applied.index)
        return QK_ERR_STALE;
    err = carry_local(store, staging_path(staging));
    if (err != QK_OK)
        return err;
    store_unload(store);
    if (rename(staging_path(staging), store->path) != 0) {
        err = QK_ERR_IO;
    } else {
        staging_taken(staging);
        store->swaps++;
        pending_clear(store);
        err = db_sync_folder(store->path);
    }
    if (err == QK_OK)
        err = store_load(store);
    if (err != QK_OK) { /* neither file is open now: the process ends and starts again */
        store->failed = true;
        store->callbacks.fatal(store->callbacks.arg, err, "the received store cannot be opened");
        return err;
    }
    if (store->observer.changed != NULL)
        store->observer.swapped(store->observer.arg);
    store_notify(store, BYTES_NONE);
    return QK_OK;
}

void store_swap(struct store *store, struct store_staging *staging, store_cb cb, void *arg)
{
    assert(cb != NULL);
    assert(store->swap.cb == NULL);
    assert(staging_finished(staging));
    store->swap = (struct store_swap_request){.staging = staging, .cb = cb, .arg = arg};
    writer_wake(store);
}
