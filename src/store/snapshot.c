/* The stream of a snapshot, all integers big-endian:
 *
 *     "QKSNAP01" index u64 term u64 stamp u64
 *     row: table u8 (1 stats, 2 keys, 3 records, 4 changes)  key length u16  value length u32  key
 * value end: 0 u8  rows u64  BLAKE2b-256 of all before
 *
 * Rows are the file's own, checksums included, each table in key order; what was dropped and is not
 * yet freed is left out. So equal stores give equal streams.
 *
 * An increment, for backups, begins with "QKDELTA1" and has in the place of each run of rows whose
 * stamp is at most that of the store it goes on from (statistics excepted, which are always whole):
 *
 *     kept: table u8 + 16  count u16 (1 to 1,024)  stamp u64 each
 *
 * No two rows of a table share a stamp, so this says which rows of the older store are still there:
 * those that were deleted or dropped are those not named, whatever they were. Its end is that of
 * the full stream of the same moment, so that whoever puts the two together can tell that
 * nothing is missing. */
#include "store/snapshot.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

#define SNAPSHOTS_MAX 4
/* Read for kept rows before they are told, so that each call does bounded work. */
#define KEPT_SCAN_BYTES_MAX (8 * MIB)

struct store_snapshot {
    struct store *store;
    struct spaces spaces; /* as of the transaction: which rows are dropped */
    struct format_state state;
    MDB_txn *txn;
    MDB_cursor *cursor; /* NULL: the table is not begun */
    unsigned table_at;  /* in snapshot_tables */
    uint64_t rows_n;
    uint64_t documents_n; /* of store_snapshot_next: what its changes must come to */
    bool ended;
    crypto_generichash_state hash; /* of the full stream, always */
    uint64_t since;                /* not 0: an increment from that stamp */
    uint64_t kept[SNAPSHOT_KEPT_MAX];
    size_t kept_n, kept_bytes;
    bool held; /* the cursor's row comes behind the kept ones being handed out */
    /* What is being handed out: a small head (with the row's key), then the value in the map. */
    uint8_t head[SNAPSHOT_ROW_HEAD_BYTES + RECORD_KEY_BYTES_MAX + 8 * SNAPSHOT_KEPT_MAX];
    size_t head_len, head_at;
    struct bytes value;
    size_t value_at;
    char error[STORE_ERROR_BYTES_MAX];
};

const enum format_table snapshot_tables[SNAPSHOT_TABLES_N] = {FORMAT_STATS, FORMAT_KEYS,
                                                              FORMAT_RECORDS, FORMAT_CHANGES};

static void head_begin(struct store_snapshot *snapshot)
{
    memcpy(snapshot->head, SNAPSHOT_MAGIC, SNAPSHOT_MAGIC_BYTES);
    put_u64(snapshot->head + 8, snapshot->state.index);
    put_u64(snapshot->head + 16, snapshot->state.term);
    put_u64(snapshot->head + 24, snapshot->state.stamp);
    snapshot->head_len = SNAPSHOT_HEAD_BYTES;
    crypto_generichash_update(&snapshot->hash, snapshot->head, snapshot->head_len);
    if (snapshot->since > 0)
        memcpy(snapshot->head, SNAPSHOT_DELTA_MAGIC, SNAPSHOT_MAGIC_BYTES);
}

static enum qk_err snapshot_begin(struct store_snapshot *snapshot)
{
    enum qk_err err = db_begin_read(&snapshot->store->db, &snapshot->txn);

    if (err != QK_OK)
        return err;
    err = db_state(&snapshot->store->db, snapshot->txn, &snapshot->state);
    if (err == QK_OK)
        err = db_load_spaces(&snapshot->store->db, snapshot->txn, &snapshot->spaces);
    if (err == QK_OK && snapshot->since > snapshot->state.stamp)
        err = QK_ERR_STALE;
    if (err != QK_OK)
        return err;
    crypto_generichash_init(&snapshot->hash, NULL, 0, SNAPSHOT_HASH_BYTES);
    head_begin(snapshot);
    return QK_OK;
}

enum qk_err store_snapshot_open(struct store *store, struct store_snapshot **ret_snapshot)
{
    return store_snapshot_open_since(store, 0, ret_snapshot);
}

enum qk_err store_snapshot_open_since(struct store *store, uint64_t since,
                                      struct store_snapshot **ret_snapshot)
{
    struct store_snapshot *snapshot;
    enum qk_err err;

    if (store->snapshots_n == SNAPSHOTS_MAX || store->swap.cb != NULL)
        return QK_ERR_BUSY;
    snapshot = calloc(1, sizeof *snapshot);
    if (snapshot == NULL)
        return QK_ERR_NOMEM;
    snapshot->store = store;
    snapshot->since = since;
    store->snapshots_n++;
    err = snapshot_begin(snapshot);
    if (err != QK_OK) {
        store_snapshot_close(snapshot);
        return err;
    }
    *ret_snapshot = snapshot;
    return QK_OK;
}

void store_snapshot_close(struct store_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    if (snapshot->cursor != NULL)
        mdb_cursor_close(snapshot->cursor);
    if (snapshot->txn != NULL)
        mdb_txn_abort(snapshot->txn);
    spaces_fini(&snapshot->spaces);
    snapshot->store->snapshots_n--;
    writer_wake(snapshot->store); /* the map may have waited for this to grow */
    free(snapshot);
}

uint64_t store_snapshot_index(const struct store_snapshot *snapshot)
{
    return snapshot->state.index;
}

uint64_t store_snapshot_term(const struct store_snapshot *snapshot)
{
    return snapshot->state.term;
}

uint64_t store_snapshot_stamp(const struct store_snapshot *snapshot)
{
    return snapshot->state.stamp;
}

const char *store_snapshot_error(const struct store_snapshot *snapshot)
{
    return snapshot->error;
}

uint64_t store_snapshot_estimate(const struct store_snapshot *snapshot)
{
    uint64_t bytes = SNAPSHOT_HEAD_BYTES;

    for (unsigned t = 0; t < SNAPSHOT_TABLES_N; t++) {
        MDB_stat stat;

        if (mdb_stat(snapshot->txn, snapshot->store->db.tables[snapshot_tables[t]], &stat) == 0)
            bytes += (uint64_t)stat.ms_psize * (stat.ms_leaf_pages + stat.ms_overflow_pages);
    }
    return bytes;
}

static enum qk_err snapshot_damaged(struct store_snapshot *snapshot, enum format_table table,
                                    struct bytes key)
{
    char text[1100];

    format_key_text(key, text, sizeof text);
    (void)snprintf(snapshot->error, sizeof snapshot->error,
                   "%.200s: %s: record %s: checksum does not match", snapshot->store->path,
                   format_table_name(table), text);
    return QK_ERR_CORRUPT;
}

/* The row is the next to be handed out. */
static void row_set(struct store_snapshot *snapshot, struct bytes key, struct bytes row)
{
    uint8_t *head = snapshot->head;

    head[0] = (uint8_t)(snapshot->table_at + 1);
    put_u16(head + 1, (uint16_t)key.len);
    put_u32(head + 3, (uint32_t)row.len);
    memcpy(head + SNAPSHOT_ROW_HEAD_BYTES, key.data, key.len);
    snapshot->head_len = SNAPSHOT_ROW_HEAD_BYTES + key.len;
    snapshot->head_at = 0;
    snapshot->value = row;
    snapshot->value_at = 0;
}

static void row_hash(struct store_snapshot *snapshot)
{
    crypto_generichash_update(&snapshot->hash, snapshot->head, snapshot->head_len);
    crypto_generichash_update(&snapshot->hash, snapshot->value.data, snapshot->value.len);
    snapshot->rows_n++;
}

/* The kept rows so far are the next to be handed out. */
static void kept_set(struct store_snapshot *snapshot)
{
    uint8_t *at = snapshot->head;

    *at++ = (uint8_t)(snapshot->table_at + 1 + SNAPSHOT_KEPT);
    put_u16(at, (uint16_t)snapshot->kept_n);
    at += 2;
    for (size_t i = 0; i < snapshot->kept_n; i++, at += 8)
        put_u64(at, snapshot->kept[i]);
    snapshot->head_len = (size_t)(at - snapshot->head);
    snapshot->head_at = 0;
    snapshot->value = BYTES_NONE;
    snapshot->value_at = 0;
    snapshot->kept_n = 0;
    snapshot->kept_bytes = 0;
}

/* Takes the cursor's row; `ret_taken`: there is something to be handed out. */
static enum qk_err snapshot_row(struct store_snapshot *snapshot, enum format_table table,
                                struct bytes key, struct bytes row, bool *ret_taken)
{
    uint64_t stamp = format_row_stamp(table, row);

    *ret_taken = false;
    if (format_row_check(table, key, row) != QK_OK)
        return snapshot_damaged(snapshot, table, key);
    if (!spaces_visible(&snapshot->spaces, key, stamp))
        return QK_OK;
    if (stamp > snapshot->since && snapshot->kept_n > 0) {
        kept_set(snapshot);
        snapshot->held = true;
        *ret_taken = true;
        return QK_OK;
    }
    row_set(snapshot, key, row);
    row_hash(snapshot);
    *ret_taken = true;
    if (stamp > snapshot->since)
        return QK_OK;
    snapshot->head_len = 0;
    snapshot->value = BYTES_NONE;
    snapshot->kept[snapshot->kept_n++] = stamp;
    snapshot->kept_bytes += key.len + row.len;
    *ret_taken =
        snapshot->kept_n == SNAPSHOT_KEPT_MAX || snapshot->kept_bytes >= KEPT_SCAN_BYTES_MAX;
    if (*ret_taken)
        kept_set(snapshot);
    return QK_OK;
}

static void snapshot_end(struct store_snapshot *snapshot)
{
    uint8_t *head = snapshot->head;

    head[0] = 0;
    put_u64(head + 1, snapshot->rows_n);
    crypto_generichash_update(&snapshot->hash, head, 9);
    crypto_generichash_final(&snapshot->hash, head + 9, SNAPSHOT_HASH_BYTES);
    snapshot->head_len = SNAPSHOT_END_BYTES;
    snapshot->head_at = 0;
    snapshot->value = BYTES_NONE;
    snapshot->value_at = 0;
    snapshot->ended = true;
}

/* The next row of the table at hand, QK_ERR_NOT_FOUND behind its last. */
static enum qk_err table_next(struct store_snapshot *snapshot)
{
    enum format_table table = snapshot_tables[snapshot->table_at];
    MDB_val key, row;
    bool taken = false;
    int rc = 0;

    if (snapshot->cursor == NULL)
        rc = mdb_cursor_open(snapshot->txn, snapshot->store->db.tables[table], &snapshot->cursor);
    while (rc == 0 && !taken) {
        enum qk_err err = QK_OK;

        rc = mdb_cursor_get(snapshot->cursor, &key, &row,
                            snapshot->held ? MDB_GET_CURRENT : MDB_NEXT);
        snapshot->held = false;
        if (rc == 0)
            err = snapshot_row(snapshot, table, db_bytes(key), db_bytes(row), &taken);
        if (err != QK_OK)
            return err;
    }
    if (rc == MDB_NOTFOUND && snapshot->kept_n > 0) {
        kept_set(snapshot);
        rc = 0; /* the cursor stays at its end: asked again it says so */
    }
    return db_err(rc);
}

static enum qk_err snapshot_next(struct store_snapshot *snapshot)
{
    while (snapshot->table_at < SNAPSHOT_TABLES_N) {
        enum qk_err err = table_next(snapshot);

        if (err != QK_ERR_NOT_FOUND)
            return err;
        mdb_cursor_close(snapshot->cursor);
        snapshot->cursor = NULL;
        snapshot->table_at++;
    }
    snapshot_end(snapshot);
    return QK_OK;
}

/* Appends of `from` behind *at what fits. */
static void hand_out(struct bytes from, size_t *at, size_t *left, struct buf *out)
{
    struct bytes part = bytes_slice(from, *at, *left);

    if (part.len == 0)
        return;
    buf_put_bytes(out, part);
    *at += part.len;
    *left -= part.len;
}

enum qk_err store_snapshot_read(struct store_snapshot *snapshot, size_t len, struct buf *out)
{
    size_t left = len;

    for (;;) {
        enum qk_err err;

        hand_out(bytes_of(snapshot->head, snapshot->head_len), &snapshot->head_at, &left, out);
        hand_out(snapshot->value, &snapshot->value_at, &left, out);
        if (left == 0 || snapshot->ended)
            return buf_error(out);
        err = snapshot_next(snapshot);
        if (err != QK_OK)
            return err;
    }
}

/* --- row by row ---------------------------------------------------------------------------- */

/* The next row of a table, whether it is visible or not; QK_ERR_NOT_FOUND behind the last. */
static enum qk_err walk_row(struct store_snapshot *snapshot, enum format_table table, MDB_val *key,
                            MDB_val *row)
{
    int rc = 0;

    if (snapshot->cursor == NULL)
        rc = mdb_cursor_open(snapshot->txn, snapshot->store->db.tables[table], &snapshot->cursor);
    if (rc == 0)
        rc = mdb_cursor_get(snapshot->cursor, key, row, MDB_NEXT);
    if (rc == MDB_NOTFOUND) {
        mdb_cursor_close(snapshot->cursor);
        snapshot->cursor = NULL;
    }
    return db_err(rc);
}

enum qk_err store_snapshot_next(struct store_snapshot *snapshot, struct store_row *ret_row)
{
    struct format_record record;
    MDB_val key, row;
    enum qk_err err;

    do {
        err = walk_row(snapshot, FORMAT_RECORDS, &key, &row);
        if (err != QK_OK)
            return err;
        if (format_row_check(FORMAT_RECORDS, db_bytes(key), db_bytes(row)) != QK_OK ||
            format_record_read(db_bytes(key), db_bytes(row), &record) != QK_OK)
            return snapshot_damaged(snapshot, FORMAT_RECORDS, db_bytes(key));
    } while (!spaces_visible(&snapshot->spaces, db_bytes(key), record.stamp));
    snapshot->documents_n += (record.flags & WIRE_DOC) != 0;
    ret_row->key = db_bytes(key);
    ret_row->record = format_record_public(&record);
    return QK_OK;
}

/* The document that a row of a feed names is there, with that row's sequence. */
static bool change_is_right(struct store_snapshot *snapshot, struct bytes key, struct bytes name)
{
    uint8_t at[RECORD_KEY_BYTES_MAX];
    struct bytes document = bytes_of(at, DATABASE_ID_BYTES + name.len), row;
    struct format_record record;

    memcpy(at, key.data, DATABASE_ID_BYTES);
    if (name.len > 0)
        memcpy(at + DATABASE_ID_BYTES, name.data, name.len);
    return db_get(&snapshot->store->db, snapshot->txn, FORMAT_RECORDS, document, &row) == QK_OK &&
           format_record_read(document, row, &record) == QK_OK && (record.flags & WIRE_DOC) != 0 &&
           record.seq == get_u64(key.data + DATABASE_ID_BYTES) &&
           spaces_visible(&snapshot->spaces, document, record.stamp);
}

enum qk_err store_snapshot_next_change(struct store_snapshot *snapshot, bool *ret_right,
                                       char *ret_text, size_t size)
{
    MDB_val key, row;
    struct bytes name;
    uint64_t stamp;
    enum qk_err err;

    do {
        err = walk_row(snapshot, FORMAT_CHANGES, &key, &row);
        if (err != QK_OK)
            return err;
        if (format_change_read(db_bytes(key), db_bytes(row), &stamp, &name) != QK_OK)
            return snapshot_damaged(snapshot, FORMAT_CHANGES, db_bytes(key));
    } while (!spaces_visible(&snapshot->spaces, db_bytes(key), stamp));
    *ret_right = change_is_right(snapshot, db_bytes(key), name);
    if (!*ret_right)
        format_key_text(db_bytes(key), ret_text, size);
    return QK_OK;
}

uint64_t store_snapshot_documents(const struct store_snapshot *snapshot)
{
    return snapshot->documents_n;
}
