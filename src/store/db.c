#include "store/db.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES_MIN (1 * MIB)

struct bytes db_bytes(MDB_val val)
{
    return bytes_of(val.mv_data, val.mv_size);
}

MDB_val db_val(struct bytes bytes)
{
    MDB_val val = {.mv_size = bytes.len};

    memcpy(&val.mv_data, &bytes.data, sizeof val.mv_data); /* LMDB's type knows no const */
    return val;
}

enum qk_err db_err(int rc)
{
    switch (rc) {
    case MDB_SUCCESS:
        return QK_OK;
    case MDB_NOTFOUND:
        return QK_ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return QK_ERR_FULL;
    case ENOMEM:
        return QK_ERR_NOMEM;
    case MDB_PAGE_NOTFOUND:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
    case MDB_INCOMPATIBLE:
        return QK_ERR_CORRUPT;
    default:
        return QK_ERR_IO;
    }
}

static size_t map_bytes_for(const char *path, size_t wanted)
{
    struct stat st;

    if (wanted < MAP_BYTES_MIN)
        wanted = MAP_BYTES_MIN;
    if (stat(path, &st) != 0)
        return wanted;
    while (wanted / 2 < (size_t)st.st_size)
        wanted *= 2;
    return wanted;
}

static int env_open(struct db *db, const struct db_mode *mode)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    int rc = mdb_env_create(&db->env);

    if (rc != 0)
        return rc;
    if (mode->no_sync)
        flags |= MDB_NOSYNC;
    if (mode->no_lock || mode->read_only)
        flags |= MDB_NOLOCK;
    if (mode->read_only)
        flags |= MDB_RDONLY;
    rc = mdb_env_set_maxdbs(db->env, FORMAT_TABLES_N);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(db->env, DB_READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(db->env, map_bytes_for(db->path, mode->map_bytes));
    if (rc == 0)
        rc = mdb_env_open(db->env, db->path, flags, 0600);
    return rc;
}

static int tables_open(struct db *db, const struct db_mode *mode)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(db->env, NULL, mode->read_only ? MDB_RDONLY : 0, &txn);

    if (rc != 0)
        return rc;
    for (unsigned t = 0; t < FORMAT_TABLES_N && rc == 0; t++)
        rc = mdb_dbi_open(txn, format_table_name((enum format_table)t),
                          mode->read_only ? 0 : MDB_CREATE, &db->tables[t]);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    /* A store always has its tables: a file without them was damaged or is none. */
    return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
}

enum qk_err db_open(struct db *db, const char *path, const struct db_mode *mode)
{
    int len, rc;

    *db = (struct db){0};
    len = snprintf(db->path, sizeof db->path, "%s", path);
    if (len < 0 || (size_t)len >= sizeof db->path)
        return QK_ERR_TOO_BIG;
    rc = env_open(db, mode);
    if (rc == 0)
        rc = tables_open(db, mode);
    if (rc != 0)
        db_close(db);
    return db_err(rc);
}

void db_close(struct db *db)
{
    if (db->env != NULL)
        mdb_env_close(db->env);
    db->env = NULL;
}

enum qk_err db_begin_read(const struct db *db, MDB_txn **ret_txn)
{
    return db_err(mdb_txn_begin(db->env, NULL, MDB_RDONLY, ret_txn));
}

enum qk_err db_get(const struct db *db, MDB_txn *txn, enum format_table table, struct bytes key,
                   struct bytes *ret_row)
{
    MDB_val k = db_val(key), row;
    int rc = mdb_get(txn, db->tables[table], &k, &row);

    if (rc == 0)
        *ret_row = db_bytes(row);
    return db_err(rc);
}

enum qk_err db_put(const struct db *db, MDB_txn *txn, enum format_table table, struct bytes key,
                   struct bytes row)
{
    MDB_val k = db_val(key), v = db_val(row);

    return db_err(mdb_put(txn, db->tables[table], &k, &v, 0));
}

enum qk_err db_state(const struct db *db, MDB_txn *txn, struct format_state *ret_state)
{
    struct bytes row;
    enum qk_err err = db_get(db, txn, FORMAT_META, bytes_str(FORMAT_STATE_KEY), &row);

    if (err == QK_ERR_NOT_FOUND) {
        *ret_state = (struct format_state){0};
        return QK_OK;
    }
    return err == QK_OK ? format_state_read(row, ret_state) : err;
}

static enum qk_err load_row(enum format_table table, struct bytes key, struct bytes row,
                            struct spaces *spaces)
{
    struct store_stats stats;
    struct space *space;
    uint64_t stamp;
    enum qk_err err;

    err = table == FORMAT_STATS ? format_stats_read(key, row, &stats)
                                : format_drop_read(key, row, &stamp);
    if (err == QK_OK)
        err = spaces_make(spaces, key.data, &space);
    if (err != QK_OK)
        return err;
    if (table == FORMAT_STATS) {
        space->stats = stats;
    } else {
        space->drop_stamp = stamp;
        spaces->dropping_n++;
    }
    return QK_OK;
}

static enum qk_err load_table(const struct db *db, MDB_txn *txn, enum format_table table,
                              struct spaces *spaces)
{
    MDB_cursor *cursor;
    MDB_val key, row;
    enum qk_err err = QK_OK;
    int rc = mdb_cursor_open(txn, db->tables[table], &cursor);

    if (rc != 0)
        return db_err(rc);
    while (err == QK_OK && (rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0)
        err = load_row(table, db_bytes(key), db_bytes(row), spaces);
    mdb_cursor_close(cursor);
    if (err == QK_OK && rc != MDB_NOTFOUND)
        err = db_err(rc);
    return err;
}

enum qk_err db_load_spaces(const struct db *db, MDB_txn *txn, struct spaces *spaces)
{
    enum qk_err err = load_table(db, txn, FORMAT_STATS, spaces);

    return err == QK_OK ? load_table(db, txn, FORMAT_DROPS, spaces) : err;
}

enum qk_err db_load_tallies(const struct db *db, MDB_txn *txn, struct tallies *tallies)
{
    struct store_key_stats stats;
    MDB_cursor *cursor;
    MDB_val key, row;
    enum qk_err err = QK_OK;
    int rc = mdb_cursor_open(txn, db->tables[FORMAT_KEYS], &cursor);

    if (rc != 0)
        return db_err(rc);
    while (err == QK_OK && (rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0) {
        err = format_key_read(db_bytes(key), db_bytes(row), &stats);
        if (err == QK_OK)
            err = tallies_load(tallies, key.mv_data, &stats);
    }
    mdb_cursor_close(cursor);
    if (err == QK_OK && rc != MDB_NOTFOUND)
        err = db_err(rc);
    return err;
}

uint64_t db_file_bytes(const struct db *db)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(db->env, &info) != 0 || mdb_env_stat(db->env, &stat) != 0)
        return 0;
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

uint64_t db_map_bytes(const struct db *db)
{
    MDB_envinfo info;

    return mdb_env_info(db->env, &info) == 0 ? info.me_mapsize : 0;
}

enum qk_err db_grow_map(struct db *db)
{
    return db_err(mdb_env_set_mapsize(db->env, (size_t)db_map_bytes(db) * 2));
}

enum qk_err db_sync_folder(const char *path)
{
    char copy[DB_PATH_BYTES_MAX];
    enum qk_err err = QK_OK;
    int fd;

    (void)snprintf(copy, sizeof copy, "%s", path);
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return QK_ERR_IO;
    if (fsync(fd) != 0)
        err = QK_ERR_IO;
    (void)close(fd);
    return err;
}
