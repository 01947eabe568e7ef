/* Cursors share the read transaction of the loop's turn and remember the last key, so that none of
 * them pins the file's pages while its owner waits for a slow client. */
#include "store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct cursor_key {
    size_t len;
    uint8_t data[RECORD_KEY_BYTES_MAX];
};

struct store_cursor {
    struct store *store;
    enum format_table table; /* FORMAT_RECORDS or FORMAT_CHANGES */
    bool descending, started, ended;
    struct cursor_key from, to, last;
    MDB_cursor *mdb;
    uint64_t turn_number, swaps, copies;
    uint8_t row_key[RECORD_KEY_BYTES_MAX]; /* of a change: made of its name */
};

static struct bytes key_of(const struct cursor_key *key)
{
    return bytes_of(key->data, key->len);
}

static void key_set(struct cursor_key *key, struct bytes bytes)
{
    /* A bound longer than any key cuts to itself: what is behind it is behind its cut form too,
     * but for keys equal to that, which no caller can have meant. */
    key->len = bytes.len < sizeof key->data ? bytes.len : sizeof key->data;
    if (key->len > 0)
        memcpy(key->data, bytes.data, key->len);
}

/* The first key behind all that begin with `key`; empty if there is none. */
static void key_successor(struct cursor_key *key)
{
    while (key->len > 0 && key->data[key->len - 1] == 0xff)
        key->len--;
    if (key->len > 0)
        key->data[key->len - 1]++;
}

static enum qk_err cursor_new(struct store *store, enum format_table table, bool descending,
                              struct store_cursor **ret_cursor)
{
    struct store_cursor *cursor = calloc(1, sizeof *cursor);

    if (cursor == NULL)
        return QK_ERR_NOMEM;
    cursor->store = store;
    cursor->table = table;
    cursor->descending = descending;
    cursor->swaps = store->swaps;
    cursor->copies = store->copies;
    *ret_cursor = cursor;
    return QK_OK;
}

enum qk_err store_cursor_open(struct store *store, struct bytes from, struct bytes to,
                              bool descending, struct store_cursor **ret_cursor)
{
    enum qk_err err = cursor_new(store, FORMAT_RECORDS, descending, ret_cursor);

    if (err != QK_OK)
        return err;
    key_set(&(*ret_cursor)->from, from);
    key_set(&(*ret_cursor)->to, to);
    return QK_OK;
}

enum qk_err store_cursor_open_prefix(struct store *store, struct bytes prefix, bool descending,
                                     struct store_cursor **ret_cursor)
{
    enum qk_err err = store_cursor_open(store, prefix, prefix, descending, ret_cursor);

    if (err == QK_OK)
        key_successor(&(*ret_cursor)->to);
    return err;
}

enum qk_err store_changes_open(struct store *store,
                               const uint8_t database[static DATABASE_ID_BYTES], uint64_t since,
                               bool descending, struct store_cursor **ret_cursor)
{
    uint8_t first[FORMAT_CHANGE_KEY_BYTES];
    enum qk_err err = cursor_new(store, FORMAT_CHANGES, descending, ret_cursor);

    if (err != QK_OK)
        return err;
    (*ret_cursor)->ended = since == UINT64_MAX;
    format_change_key(database, since + 1, first);
    key_set(&(*ret_cursor)->from, bytes_of(first, sizeof first));
    key_set(&(*ret_cursor)->to, bytes_of(database, DATABASE_ID_BYTES));
    key_successor(&(*ret_cursor)->to);
    return QK_OK;
}

void store_cursor_close(struct store_cursor *cursor)
{
    if (cursor == NULL)
        return;
    if (cursor->mdb != NULL)
        mdb_cursor_close(cursor->mdb);
    free(cursor);
}

/* Positions at the first row at or behind `at`. */
static int seek_ascending(struct store_cursor *cursor, MDB_val *key, MDB_val *row)
{
    struct bytes at = key_of(cursor->started ? &cursor->last : &cursor->from);
    int rc;

    if (at.len == 0)
        return mdb_cursor_get(cursor->mdb, key, row, MDB_FIRST);
    *key = db_val(at);
    rc = mdb_cursor_get(cursor->mdb, key, row, MDB_SET_RANGE);
    if (rc == 0 && cursor->started && bytes_equal(db_bytes(*key), at))
        rc = mdb_cursor_get(cursor->mdb, key, row, MDB_NEXT);
    return rc;
}

/* Positions at the last row before `bound`. */
static int seek_descending(struct store_cursor *cursor, MDB_val *key, MDB_val *row)
{
    struct bytes bound = key_of(cursor->started ? &cursor->last : &cursor->to);
    int rc = MDB_NOTFOUND;

    if (bound.len > 0) {
        *key = db_val(bound);
        rc = mdb_cursor_get(cursor->mdb, key, row, MDB_SET_RANGE);
        if (rc == 0)
            return mdb_cursor_get(cursor->mdb, key, row, MDB_PREV);
    }
    return rc == MDB_NOTFOUND ? mdb_cursor_get(cursor->mdb, key, row, MDB_LAST) : rc;
}

static int cursor_move(struct store_cursor *cursor, bool seek, MDB_val *key, MDB_val *row)
{
    if (!seek)
        return mdb_cursor_get(cursor->mdb, key, row, cursor->descending ? MDB_PREV : MDB_NEXT);
    return cursor->descending ? seek_descending(cursor, key, row)
                              : seek_ascending(cursor, key, row);
}

/* Binds to this turn's transaction; *ret_seek when that is another than the last time. */
static int cursor_bind(struct store_cursor *cursor, MDB_txn *txn, bool *ret_seek)
{
    struct store *store = cursor->store;
    int rc = 0;

    if (cursor->copies != store->copies && cursor->mdb != NULL) { /* it was of the old file */
        mdb_cursor_close(cursor->mdb);
        cursor->mdb = NULL;
    }
    cursor->copies = store->copies;
    *ret_seek = cursor->mdb == NULL || cursor->turn_number != store->turn_number;
    if (cursor->mdb == NULL)
        rc = mdb_cursor_open(txn, store->db.tables[cursor->table], &cursor->mdb);
    else if (*ret_seek)
        rc = mdb_cursor_renew(txn, cursor->mdb);
    cursor->turn_number = store->turn_number;
    return rc;
}

static bool key_outside(const struct store_cursor *cursor, struct bytes key)
{
    if (cursor->descending)
        return bytes_compare(key, key_of(&cursor->from)) < 0;
    return cursor->to.len > 0 && bytes_compare(key, key_of(&cursor->to)) >= 0;
}

static enum qk_err row_of_record(struct store *store, struct bytes key, struct bytes row,
                                 struct store_row *ret_row)
{
    struct format_record record;

    if (format_record_read(key, row, &record) != QK_OK)
        return store_damaged(store, FORMAT_RECORDS, key);
    if (!spaces_visible(&store->spaces, key, record.stamp))
        return QK_ERR_NOT_FOUND;
    ret_row->key = key;
    ret_row->record = format_record_public(&record);
    return QK_OK;
}

/* A change names a document: its record, which the same transaction must hold with that sequence.
 */
static enum qk_err row_of_change(struct store_cursor *cursor, MDB_txn *txn, struct bytes key,
                                 struct bytes row, struct store_row *ret_row)
{
    struct store *store = cursor->store;
    struct bytes name, record_row, record_key;
    uint64_t stamp;
    enum qk_err err;

    if (format_change_read(key, row, &stamp, &name) != QK_OK)
        return store_damaged(store, FORMAT_CHANGES, key);
    if (!spaces_visible(&store->spaces, key, stamp))
        return QK_ERR_NOT_FOUND;
    memcpy(cursor->row_key, key.data, DATABASE_ID_BYTES);
    if (name.len > 0)
        memcpy(cursor->row_key + DATABASE_ID_BYTES, name.data, name.len);
    record_key = bytes_of(cursor->row_key, DATABASE_ID_BYTES + name.len);
    err = db_get(&store->db, txn, FORMAT_RECORDS, record_key, &record_row);
    if (err == QK_OK)
        err = row_of_record(store, record_key, record_row, ret_row);
    if (err == QK_ERR_NOT_FOUND ||
        (err == QK_OK && ret_row->record.seq != get_u64(key.data + DATABASE_ID_BYTES)))
        return store_damaged(store, FORMAT_CHANGES, key);
    return err;
}

/* To the next key in its bounds; QK_ERR_NOT_FOUND at the end. */
static enum qk_err cursor_advance(struct store_cursor *cursor, bool seek, struct bytes *ret_key,
                                  struct bytes *ret_row)
{
    MDB_val key, row;
    int rc = cursor_move(cursor, seek, &key, &row);

    if (rc == MDB_NOTFOUND || (rc == 0 && key_outside(cursor, db_bytes(key)))) {
        cursor->ended = true;
        return QK_ERR_NOT_FOUND;
    }
    if (rc != 0)
        return db_err(rc) == QK_ERR_CORRUPT
                   ? store_damaged(cursor->store, cursor->table, key_of(&cursor->last))
                   : db_err(rc);
    *ret_key = db_bytes(key);
    *ret_row = db_bytes(row);
    return QK_OK;
}

static void cursor_passed(struct store_cursor *cursor, struct bytes key)
{
    key_set(&cursor->last, key);
    cursor->started = true;
}

static enum qk_err cursor_step(struct store_cursor *cursor, MDB_txn *txn, bool seek,
                               struct store_row *ret_row)
{
    struct bytes key, row;
    enum qk_err err = cursor_advance(cursor, seek, &key, &row);

    if (err != QK_OK)
        return err;
    cursor_passed(cursor, key);
    if (cursor->table == FORMAT_RECORDS)
        return row_of_record(cursor->store, key, row, ret_row);
    return row_of_change(cursor, txn, key, row, ret_row);
}

/* The transaction of this turn, to which the cursor is bound. */
static enum qk_err cursor_begin(struct store_cursor *cursor, MDB_txn **ret_txn, bool *ret_seek)
{
    enum qk_err err;

    if (cursor->swaps != cursor->store->swaps)
        return QK_ERR_CLOSED;
    if (cursor->ended)
        return QK_ERR_NOT_FOUND;
    err = store_turn(cursor->store, ret_txn);
    return err == QK_OK ? db_err(cursor_bind(cursor, *ret_txn, ret_seek)) : err;
}

enum qk_err store_cursor_next(struct store_cursor *cursor, struct store_row *ret_row)
{
    enum qk_err err;
    MDB_txn *txn;
    bool seek;

    err = cursor_begin(cursor, &txn, &seek);
    if (err != QK_OK)
        return err;
    do { /* passes over rows of dropped databases, which wait to be freed */
        err = cursor_step(cursor, txn, seek, ret_row);
        seek = false;
    } while (err == QK_ERR_NOT_FOUND && !cursor->ended);
    return err;
}

/* Only where databases wait to be freed is anything of the row looked at. */
static bool row_counts(const struct store_cursor *cursor, struct bytes key, struct bytes row)
{
    return cursor->store->spaces.dropping_n == 0 || row.len < FORMAT_CHANGE_HEAD_BYTES ||
           spaces_visible(&cursor->store->spaces, key, format_row_stamp(cursor->table, row));
}

enum qk_err store_cursor_skip(struct store_cursor *cursor, size_t rows_max, size_t *ret_n)
{
    struct bytes key, row;
    enum qk_err err;
    MDB_txn *txn;
    bool seek;

    assert(cursor->table == FORMAT_CHANGES);

    *ret_n = 0;
    err = cursor_begin(cursor, &txn, &seek);
    while (err == QK_OK && *ret_n < rows_max) {
        err = cursor_advance(cursor, seek, &key, &row);
        seek = false;
        if (err == QK_OK && row_counts(cursor, key, row))
            ++*ret_n;
        if (err == QK_OK && *ret_n == rows_max)
            cursor_passed(cursor, key);
    }
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}
