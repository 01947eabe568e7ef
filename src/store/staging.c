/* The receiving end: rows go straight into a new LMDB file in their order, so that each page is
 * written once and memory stays constant. Nothing of it is trusted before the hash at its end has
 * matched; nothing of it is synced before, either. Any failure sticks: the file is of no use. */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/snapshot.h"

#define COMMIT_BYTES (1 * MIB)
#define ROW_VALUE_BYTES_MAX (FORMAT_RECORD_HEAD_BYTES + RECORD_VALUE_BYTES_MAX)
#define MAP_BYTES (1 * GIB)

enum staging_part { PART_HEAD, PART_ROW_HEAD, PART_ROW, PART_END, PART_DONE };

struct staging_row {
    unsigned table; /* 1 and up; 0 before the first */
    size_t key_len, value_len;
};

struct store_staging {
    char path[DB_PATH_BYTES_MAX];
    struct db db;
    MDB_txn *txn;
    size_t txn_bytes;
    struct format_state state;
    crypto_generichash_state hash;
    enum staging_part part;
    size_t need;     /* bytes that complete the part */
    struct buf have; /* what of it is here */
    struct staging_row row;
    uint64_t rows_n;
    enum qk_err failed;
    bool finished, taken;
};

void staging_path_of(const char *path, char *ret_path, size_t size)
{
    (void)snprintf(ret_path, size, "%s-staging", path);
}

enum qk_err store_staging_begin(const char *path, struct store_staging **ret_staging)
{
    struct db_mode mode = {.map_bytes = MAP_BYTES, .no_sync = true, .no_lock = true};
    struct store_staging *staging;
    enum qk_err err;

    if (strlen(path) + 32 > DB_PATH_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    staging = calloc(1, sizeof *staging);
    if (staging == NULL)
        return QK_ERR_NOMEM;
    staging_path_of(path, staging->path, sizeof staging->path);
    (void)unlink(staging->path); /* of an earlier attempt */
    staging->have = BUF_INIT(RECORD_KEY_BYTES_MAX + ROW_VALUE_BYTES_MAX);
    staging->need = SNAPSHOT_HEAD_BYTES;
    crypto_generichash_init(&staging->hash, NULL, 0, SNAPSHOT_HASH_BYTES);
    err = db_open(&staging->db, staging->path, &mode);
    if (err != QK_OK) {
        store_staging_free(staging);
        return err;
    }
    *ret_staging = staging;
    return QK_OK;
}

static enum qk_err txn_begin(struct store_staging *staging)
{
    enum qk_err err = QK_OK;

    if (staging->txn != NULL)
        return QK_OK;
    if (db_file_bytes(&staging->db) > db_map_bytes(&staging->db) / 2)
        err = db_grow_map(&staging->db);
    if (err == QK_OK)
        err = db_err(mdb_txn_begin(staging->db.env, NULL, 0, &staging->txn));
    staging->txn_bytes = 0;
    return err;
}

/* Has the disk begin with what was written: the whole file at its end, in one, would keep the log
 * of whoever shares the disk waiting. Only a hint. */
static void write_back(const struct store_staging *staging)
{
    int fd;

    if (mdb_env_get_fd(staging->db.env, &fd) == 0)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

static enum qk_err txn_commit(struct store_staging *staging)
{
    MDB_txn *txn = staging->txn;

    enum qk_err err = txn == NULL ? QK_OK : db_err(mdb_txn_commit(txn));

    staging->txn = NULL;
    if (err == QK_OK)
        write_back(staging);
    return err;
}

static enum qk_err part_head(struct store_staging *staging)
{
    struct reader reader = reader_of(buf_bytes(&staging->have));

    if (!bytes_equal(reader_bytes(&reader, SNAPSHOT_MAGIC_BYTES), bytes_str(SNAPSHOT_MAGIC)))
        return QK_ERR_CORRUPT;
    staging->state.index = reader_u64(&reader);
    staging->state.term = reader_u64(&reader);
    staging->state.stamp = reader_u64(&reader);
    staging->part = PART_ROW_HEAD;
    staging->need = 1;
    return QK_OK;
}

/* First its table's byte alone, which tells how long the head is. */
static enum qk_err part_row_head(struct store_staging *staging)
{
    struct reader reader = reader_of(buf_bytes(&staging->have));
    unsigned table = reader_u8(&reader);

    if (table == 0) {
        staging->part = PART_END;
        staging->need = SNAPSHOT_END_BYTES;
        return QK_OK;
    }
    if (table > SNAPSHOT_TABLES_N || table < staging->row.table)
        return QK_ERR_CORRUPT;
    if (staging->need == 1) {
        staging->need = SNAPSHOT_ROW_HEAD_BYTES;
        return QK_OK;
    }
    staging->row.table = table;
    staging->row.key_len = reader_u16(&reader);
    staging->row.value_len = reader_u32(&reader);
    if (staging->row.key_len < DATABASE_ID_BYTES || staging->row.key_len > RECORD_KEY_BYTES_MAX ||
        staging->row.value_len > ROW_VALUE_BYTES_MAX)
        return QK_ERR_CORRUPT;
    buf_reset(&staging->have);
    staging->part = PART_ROW;
    staging->need = staging->row.key_len + staging->row.value_len;
    return QK_OK;
}

static enum qk_err part_row(struct store_staging *staging)
{
    struct bytes all = buf_bytes(&staging->have);
    struct bytes key = bytes_slice(all, 0, staging->row.key_len);
    struct bytes value = bytes_slice(all, staging->row.key_len, staging->row.value_len);
    enum format_table table = snapshot_tables[staging->row.table - 1];
    MDB_val k = db_val(key), v = db_val(value);
    enum qk_err err = QK_OK;
    int rc;

    if (format_row_check(table, key, value) != QK_OK)
        return QK_ERR_CORRUPT;
    if (staging->txn_bytes > COMMIT_BYTES)
        err = txn_commit(staging);
    if (err == QK_OK)
        err = txn_begin(staging);
    if (err != QK_OK)
        return err;
    rc = mdb_put(staging->txn, staging->db.tables[table], &k, &v, MDB_APPEND);
    staging->txn_bytes += all.len;
    staging->rows_n++;
    buf_reset(&staging->have);
    staging->part = PART_ROW_HEAD;
    staging->need = 1;
    return rc == MDB_KEYEXIST ? QK_ERR_CORRUPT : db_err(rc); /* out of order */
}

static enum qk_err part_end(struct store_staging *staging)
{
    struct reader reader = reader_of(buf_bytes(&staging->have));
    uint8_t hash[SNAPSHOT_HASH_BYTES];

    (void)reader_u8(&reader);
    if (reader_u64(&reader) != staging->rows_n)
        return QK_ERR_CORRUPT;
    crypto_generichash_update(&staging->hash, staging->have.data, 9);
    crypto_generichash_final(&staging->hash, hash, sizeof hash);
    if (!bytes_equal(reader_bytes(&reader, sizeof hash), bytes_of(hash, sizeof hash)))
        return QK_ERR_CORRUPT;
    staging->part = PART_DONE;
    staging->need = 0;
    return QK_OK;
}

static enum qk_err part_complete(struct store_staging *staging)
{
    struct bytes have = buf_bytes(&staging->have);
    bool head_only = staging->part == PART_ROW_HEAD && staging->need == 1;
    enum qk_err err;

    /* The byte that names the table is hashed with the head it begins. */
    if (staging->part != PART_END && !head_only)
        crypto_generichash_update(&staging->hash, have.data, have.len);
    switch (staging->part) {
    case PART_HEAD:
        err = part_head(staging);
        buf_reset(&staging->have);
        return err;
    case PART_ROW_HEAD:
        return part_row_head(staging);
    case PART_ROW:
        return part_row(staging);
    case PART_END:
        return part_end(staging);
    case PART_DONE:
        break;
    }
    return QK_ERR_CORRUPT; /* bytes behind the end */
}

static enum qk_err staging_take(struct store_staging *staging, struct bytes chunk)
{
    size_t at = 0;

    while (at < chunk.len) {
        struct bytes part;
        enum qk_err err;

        if (staging->part == PART_DONE)
            return QK_ERR_CORRUPT;
        part = bytes_slice(chunk, at, staging->need - staging->have.len);
        buf_put_bytes(&staging->have, part);
        at += part.len;
        if (buf_error(&staging->have) != QK_OK)
            return buf_error(&staging->have);
        if (staging->have.len < staging->need)
            return QK_OK;
        err = part_complete(staging);
        if (err != QK_OK)
            return err;
    }
    return QK_OK;
}

enum qk_err store_staging_write(struct store_staging *staging, struct bytes chunk)
{
    assert(!staging->finished);
    if (staging->failed == QK_OK)
        staging->failed = staging_take(staging, chunk);
    return staging->failed;
}

static enum qk_err staging_seal(struct store_staging *staging)
{
    uint8_t state[FORMAT_STATE_BYTES];
    enum qk_err err = txn_begin(staging);

    if (err != QK_OK)
        return err;
    format_state_write(&staging->state, state);
    err = db_put(&staging->db, staging->txn, FORMAT_META, bytes_str(FORMAT_STATE_KEY),
                 bytes_of(state, sizeof state));
    if (err == QK_OK)
        err = txn_commit(staging);
    if (err == QK_OK)
        err = db_err(mdb_env_sync(staging->db.env, 1));
    return err;
}

enum qk_err store_staging_finish(struct store_staging *staging)
{
    if (staging->failed == QK_OK && staging->part != PART_DONE)
        staging->failed = QK_ERR_CORRUPT; /* cut short */
    if (staging->failed == QK_OK)
        staging->failed = staging_seal(staging);
    if (staging->failed == QK_OK) {
        db_close(&staging->db);
        staging->finished = true;
    }
    return staging->failed;
}

uint64_t store_staging_index(const struct store_staging *staging)
{
    return staging->state.index;
}

uint64_t store_staging_term(const struct store_staging *staging)
{
    return staging->state.term;
}

void store_staging_free(struct store_staging *staging)
{
    if (staging == NULL)
        return;
    if (staging->txn != NULL)
        mdb_txn_abort(staging->txn);
    db_close(&staging->db);
    if (!staging->taken)
        (void)unlink(staging->path);
    buf_fini(&staging->have);
    free(staging);
}

const char *staging_path(const struct store_staging *staging)
{
    return staging->path;
}

bool staging_finished(const struct store_staging *staging)
{
    return staging->finished && !staging->taken;
}

void staging_taken(struct store_staging *staging)
{
    staging->taken = true;
}
