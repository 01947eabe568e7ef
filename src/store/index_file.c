#include "store/index_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define BOOT_TEXT_BYTES 36
/* Address space, not disk: doubled before it fills. */
#define MAP_BYTES_FIRST (1 * GIB)
#define MAP_BYTES_SPARE (256 * MIB) /* no transaction of an index writes as much */

struct index_file {
    char path[DB_PATH_BYTES_MAX], mark[DB_PATH_BYTES_MAX];
    MDB_env *env;
    MDB_dbi table;
    MDB_txn *writing;   /* what is put since the last commit; reads see it */
    MDB_txn *reading;   /* else */
    MDB_cursor *cursor; /* of either */
};

/* --- the mark ----------------------------------------------------------------------------------
 */

/* "": unknown, which equals no boot that was noted. */
static void boot_text(char ret_text[static BOOT_TEXT_BYTES + 1])
{
    int fd = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret_text, BOOT_TEXT_BYTES);

    if (fd >= 0)
        (void)close(fd);
    ret_text[n == BOOT_TEXT_BYTES ? BOOT_TEXT_BYTES : 0] = '\0';
}

static enum qk_err mark_write(const struct index_file *file, bool sound)
{
    char text[BOOT_TEXT_BYTES + 2] = {0};
    enum qk_err err = QK_OK;
    size_t len;
    int fd;

    boot_text(text);
    len = strlen(text);
    text[len] = sound ? '+' : '-';
    fd = open(file->mark, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return db_err(errno);
    if (write(fd, text, len + 1) != (ssize_t)(len + 1) || fsync(fd) != 0)
        err = QK_ERR_IO;
    (void)close(fd);
    return err == QK_OK && !sound ? db_sync_folder(file->mark) : err;
}

/* Whether what lies at the path may be opened: see the head of index_file.h. */
static bool is_whole(const struct index_file *file)
{
    char wanted[BOOT_TEXT_BYTES + 2] = {0}, found[BOOT_TEXT_BYTES + 2] = {0};
    int fd = open(file->mark, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return errno == ENOENT;
    n = read(fd, found, sizeof(found) - 1);
    (void)close(fd);
    boot_text(wanted);
    if (n < 0 || wanted[0] == '\0')
        return false;
    wanted[BOOT_TEXT_BYTES] = '+';
    return strcmp(wanted, found) == 0;
}

/* --- opening -----------------------------------------------------------------------------------
 */

static int env_open(struct index_file *file)
{
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD | MDB_NOSYNC | MDB_NOLOCK;
    MDB_txn *txn;
    int rc = mdb_env_create(&file->env);

    if (rc == 0)
        rc = mdb_env_set_mapsize(file->env, MAP_BYTES_FIRST);
    if (rc == 0)
        rc = mdb_env_open(file->env, file->path, flags, 0600);
    if (rc == 0)
        rc = mdb_txn_begin(file->env, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, NULL, 0, &file->table);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static void env_close(struct index_file *file)
{
    if (file->cursor != NULL)
        mdb_cursor_close(file->cursor);
    mdb_txn_abort(file->reading);
    mdb_txn_abort(file->writing);
    if (file->env != NULL)
        mdb_env_close(file->env);
    file->cursor = NULL;
    file->reading = file->writing = NULL;
    file->env = NULL;
}

static enum qk_err file_open(struct index_file *file)
{
    int rc;

    if (!is_whole(file) && unlink(file->path) != 0 && errno != ENOENT)
        return QK_ERR_IO;
    if (mark_write(file, false) != QK_OK)
        return QK_ERR_IO;
    rc = env_open(file);
    if (rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED) {
        env_close(file); /* it is none: begun anew */
        if (unlink(file->path) != 0)
            return QK_ERR_IO;
        rc = env_open(file);
    }
    return db_err(rc);
}

enum qk_err index_file_open(const char *path, struct index_file **ret_file)
{
    struct index_file *file = calloc(1, sizeof(*file));
    enum qk_err err = QK_OK;
    int n;

    assert(ret_file != NULL);

    if (file == NULL)
        return QK_ERR_NOMEM;
    n = snprintf(file->path, sizeof(file->path), "%s", path);
    if (n < 0 || (size_t)n >= sizeof(file->path))
        err = QK_ERR_TOO_BIG;
    n = snprintf(file->mark, sizeof(file->mark), "%s-open", path);
    if (n < 0 || (size_t)n >= sizeof(file->mark))
        err = QK_ERR_TOO_BIG;
    if (err == QK_OK)
        err = file_open(file);
    if (err != QK_OK) {
        env_close(file);
        free(file);
        return err;
    }
    *ret_file = file;
    return QK_OK;
}

enum qk_err index_file_sound(struct index_file *file)
{
    return mark_write(file, true);
}

void index_file_remove(const char *path)
{
    char mark[DB_PATH_BYTES_MAX];

    (void)snprintf(mark, sizeof(mark), "%s-open", path);
    (void)unlink(path);
    (void)unlink(mark);
}

void index_file_close(struct index_file *file, bool keep)
{
    bool synced;

    if (file == NULL)
        return;
    synced = keep && index_file_commit(file) == QK_OK && mdb_env_sync(file->env, 1) == 0;
    env_close(file);
    if (!keep)
        index_file_remove(file->path);
    else if (synced) /* else the mark stays, and tells whoever opens it next */
        (void)unlink(file->mark);
    free(file);
}

/* --- transactions ------------------------------------------------------------------------------
 */

static void cursor_close(struct index_file *file)
{
    if (file->cursor != NULL)
        mdb_cursor_close(file->cursor);
    file->cursor = NULL;
}

/* Nobody else writes, so one reader stays until somebody does. Without a lock file LMDB knows of no
 * readers: none may be left when a transaction begins that could take its pages. */
static void read_end(struct index_file *file)
{
    if (file->reading == NULL)
        return;
    cursor_close(file);
    mdb_txn_abort(file->reading);
    file->reading = NULL;
}

static int map_reserve(struct index_file *file)
{
    MDB_envinfo info;
    MDB_stat stat;
    int rc = mdb_env_info(file->env, &info);

    if (rc == 0)
        rc = mdb_env_stat(file->env, &stat);
    if (rc != 0 || (info.me_last_pgno + 1) * stat.ms_psize + MAP_BYTES_SPARE <= info.me_mapsize)
        return rc;
    return mdb_env_set_mapsize(file->env, 2 * info.me_mapsize);
}

static int write_begin(struct index_file *file)
{
    int rc;

    if (file->writing != NULL)
        return 0;
    read_end(file);
    rc = map_reserve(file);
    return rc == 0 ? mdb_txn_begin(file->env, NULL, 0, &file->writing) : rc;
}

static int txn_of(struct index_file *file, MDB_txn **ret_txn)
{
    int rc = 0;

    if (file->writing == NULL && file->reading == NULL)
        rc = mdb_txn_begin(file->env, NULL, MDB_RDONLY, &file->reading);
    *ret_txn = file->writing != NULL ? file->writing : file->reading;
    return rc;
}

enum qk_err index_file_commit(struct index_file *file)
{
    MDB_txn *txn = file->writing;

    if (txn == NULL)
        return QK_OK;
    cursor_close(file);
    file->writing = NULL;
    return db_err(mdb_txn_commit(txn));
}

int index_file_descriptor(const struct index_file *file)
{
    int fd;

    return mdb_env_get_fd(file->env, &fd) == 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
}

uint64_t index_file_bytes(const struct index_file *file)
{
    MDB_envinfo info;
    MDB_stat stat;

    if (mdb_env_info(file->env, &info) != 0 || mdb_env_stat(file->env, &stat) != 0)
        return 0;
    return (uint64_t)(info.me_last_pgno + 1) * stat.ms_psize;
}

/* --- rows --------------------------------------------------------------------------------------
 */

enum qk_err index_file_get(struct index_file *file, struct bytes key, struct bytes *ret_value)
{
    MDB_val k = db_val(key), v;
    MDB_txn *txn;
    int rc = txn_of(file, &txn);

    if (rc == 0)
        rc = mdb_get(txn, file->table, &k, &v);
    if (rc == 0)
        *ret_value = db_bytes(v);
    return db_err(rc);
}

enum qk_err index_file_seek(struct index_file *file, struct bytes place, bool descending,
                            struct bytes *ret_key, struct bytes *ret_value)
{
    MDB_val k = db_val(place), v;
    MDB_txn *txn;
    int rc = txn_of(file, &txn);

    assert(place.len > 0);

    if (rc == 0 && file->cursor == NULL)
        rc = mdb_cursor_open(txn, file->table, &file->cursor);
    if (rc == 0)
        rc = mdb_cursor_get(file->cursor, &k, &v, MDB_SET_RANGE);
    if (descending && (rc == 0 || rc == MDB_NOTFOUND))
        rc = mdb_cursor_get(file->cursor, &k, &v, rc == 0 ? MDB_PREV : MDB_LAST);
    if (rc != 0)
        return db_err(rc);
    *ret_key = db_bytes(k);
    *ret_value = db_bytes(v);
    return QK_OK;
}

enum qk_err index_file_put(struct index_file *file, struct bytes key, struct bytes value)
{
    MDB_val k = db_val(key), v = db_val(value);
    int rc = write_begin(file);

    assert(key.len > 0 && key.len <= INDEX_FILE_KEY_BYTES_MAX);

    if (rc == 0)
        rc = mdb_put(file->writing, file->table, &k, &v, 0);
    return db_err(rc);
}

enum qk_err index_file_delete(struct index_file *file, struct bytes key)
{
    MDB_val k = db_val(key);
    int rc = write_begin(file);

    if (rc == 0)
        rc = mdb_del(file->writing, file->table, &k, NULL);
    return db_err(rc);
}
