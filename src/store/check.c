/* Damage that LMDB 0.9 does not see by itself (its pages carry no checksums): after an unclean end
 * the whole file is walked by a child process, which damage may stop without harm to anybody.
 *
 * <path>-open is there, and locked, while a process has the store open, and is removed by a clean
 * end; so one that is there and not locked tells of an unclean end. */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUFFIXED_BYTES (DB_PATH_BYTES_MAX + 64)

static void marker_path(const char *path, char ret_path[static SUFFIXED_BYTES])
{
    (void)snprintf(ret_path, SUFFIXED_BYTES, "%s-open", path);
}

enum qk_err marker_open(const char *path, int *ret_fd, bool *ret_was_there)
{
    char marker[SUFFIXED_BYTES];
    bool was_there;
    int fd;

    marker_path(path, marker);
    was_there = access(marker, F_OK) == 0;
    fd = open(marker, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        (void)close(fd);
        return QK_ERR_BUSY;
    }
    if (!was_there && db_sync_folder(path) != QK_OK) {
        (void)close(fd);
        return QK_ERR_IO;
    }
    *ret_fd = fd;
    *ret_was_there = was_there;
    return QK_OK;
}

void marker_close(const char *path, int fd, bool clean)
{
    char marker[SUFFIXED_BYTES];

    if (fd < 0)
        return;
    marker_path(path, marker);
    if (clean)
        (void)unlink(marker); /* if it stays, the next start only checks for nothing */
    (void)close(fd);
}

/* --- the walk, in the child ---------------------------------------------------------------- */

struct walk {
    struct db db;
    MDB_txn *txn;
    char *what;
    size_t size;
};

static bool walk_says(const struct walk *walk, enum format_table table, struct bytes key,
                      const char *text)
{
    char name[900];

    format_key_text(key, name, sizeof name);
    (void)snprintf(walk->what, walk->size, "%s: %s: record %s: %s", walk->db.path,
                   format_table_name(table), name, text);
    return false;
}

/* Every row, in strictly ascending order (so that damaged links cannot lead in circles), each with
 * its checksum, as many as the table's head claims. */
static bool walk_rows(const struct walk *walk, enum format_table table, MDB_cursor *cursor)
{
    struct buf before = BUF_INIT(2 * KIB);
    MDB_val key = {0, NULL}, row;
    MDB_stat stat = {0};
    size_t rows_n = 0;
    bool sound = mdb_stat(walk->txn, walk->db.tables[table], &stat) == 0;
    int rc = 0;

    while (sound && (rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0) {
        if (key.mv_size == 0 || key.mv_size > 511 ||
            (rows_n > 0 && bytes_compare(db_bytes(key), buf_bytes(&before)) <= 0))
            sound = walk_says(walk, table, buf_bytes(&before), "what follows is out of order");
        else if (format_row_check(table, db_bytes(key), db_bytes(row)) != QK_OK)
            sound = walk_says(walk, table, db_bytes(key), "checksum does not match");
        buf_reset(&before);
        if (sound)
            buf_put_bytes(&before, db_bytes(key));
        rows_n++;
    }
    if (sound && (rc != MDB_NOTFOUND || rows_n != stat.ms_entries))
        sound = walk_says(walk, table, buf_bytes(&before), "the tree ends where it should not");
    buf_fini(&before);
    return sound;
}

static bool walk_table(const struct walk *walk, enum format_table table)
{
    MDB_cursor *cursor;
    bool sound;

    if (mdb_cursor_open(walk->txn, walk->db.tables[table], &cursor) != 0)
        return walk_says(walk, table, BYTES_NONE, "the table cannot be read");
    sound = walk_rows(walk, table, cursor);
    mdb_cursor_close(cursor);
    return sound;
}

/* The list of free pages (LMDB's table 0): lists of page numbers, largest first, within the file. A
 * wrong one would hand out a page in use to the next write. */
static bool walk_free_list(const struct walk *walk)
{
    MDB_envinfo info;
    MDB_cursor *cursor;
    MDB_val key, row;
    bool sound = mdb_env_info(walk->db.env, &info) == 0;
    int rc = mdb_cursor_open(walk->txn, 0, &cursor);

    if (rc != 0)
        return false;
    while (sound && (rc = mdb_cursor_get(cursor, &key, &row, MDB_NEXT)) == 0) {
        size_t n = 0, last = info.me_last_pgno + 1;

        if (row.mv_size >= sizeof n)
            memcpy(&n, row.mv_data, sizeof n);
        sound = key.mv_size == sizeof(size_t) && row.mv_size / sizeof n > n;
        for (size_t i = 1; sound && i <= n; i++) {
            size_t page;

            memcpy(&page, (const uint8_t *)row.mv_data + i * sizeof page, sizeof page);
            sound = page > 1 && page < last;
            last = page;
        }
    }
    mdb_cursor_close(cursor);
    if (sound && rc == MDB_NOTFOUND)
        return true;
    (void)snprintf(walk->what, walk->size, "%s: the list of free pages is damaged", walk->db.path);
    return false;
}

static bool walk_file(struct walk *walk, const char *path)
{
    struct db_mode mode = {.read_only = true};
    bool sound = true;

    if (db_open(&walk->db, path, &mode) != QK_OK || db_begin_read(&walk->db, &walk->txn) != QK_OK) {
        (void)snprintf(walk->what, walk->size, "%s: the file cannot be opened as a store", path);
        return false;
    }
    for (unsigned t = 0; t < FORMAT_TABLES_N && sound; t++)
        sound = walk_table(walk, (enum format_table)t);
    return sound && walk_free_list(walk);
}

static void walk_child(const char *path, int out)
{
    static const struct rlimit no_core;
    char what[1400] = "";
    struct walk walk = {.what = what, .size = sizeof what};
    bool sound;

    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO); /* LMDB's assertions speak there */
    sound = walk_file(&walk, path);
    if (write(out, what, strlen(what)) < 0)
        _exit(2);
    _exit(sound ? 0 : 1);
}

static enum qk_err walk_result(const char *path, int in, pid_t child, char *ret_what, size_t size)
{
    char what[1400];
    size_t len = 0;
    ssize_t n;
    int status = 0;

    while (len < sizeof what - 1) {
        n = read(in, what + len, sizeof what - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    what[len] = '\0';
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return QK_ERR_IO;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return QK_OK;
    if (len == 0)
        (void)snprintf(what, sizeof what, "%s: the walk over its pages ended by signal %d", path,
                       WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    (void)snprintf(ret_what, size, "%s", what);
    return QK_ERR_CORRUPT;
}

enum qk_err store_check(const char *path, char *ret_what, size_t size)
{
    enum qk_err err;
    int ends[2];
    pid_t child;

    if (access(path, F_OK) != 0)
        return errno == ENOENT ? QK_OK : QK_ERR_IO;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return QK_ERR_IO;
    child = fork();
    if (child == 0)
        walk_child(path, ends[1]);
    (void)close(ends[1]);
    err = child < 0 ? QK_ERR_IO : walk_result(path, ends[0], child, ret_what, size);
    (void)close(ends[0]);
    return err;
}

enum qk_err store_set_aside(const char *path, uint64_t now_s, char *ret_aside, size_t size)
{
    char lock[SUFFIXED_BYTES];
    int len = snprintf(ret_aside, size, "%s.damaged-%llu", path, (unsigned long long)now_s);

    if (len < 0 || (size_t)len >= size)
        return QK_ERR_TOO_BIG;
    if (rename(path, ret_aside) != 0)
        return QK_ERR_IO;
    (void)snprintf(lock, sizeof lock, "%s-lock", path);
    (void)unlink(lock); /* it describes the file that is gone; LMDB makes it anew */
    return db_sync_folder(path);
}

enum qk_err store_recover(const char *path, uint64_t now_s, char *ret_aside, size_t size,
                          char *ret_what, size_t what_size)
{
    bool was_there;
    enum qk_err err;
    int fd;

    if (strlen(path) + 32 > DB_PATH_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    err = marker_open(path, &fd, &was_there);
    if (err != QK_OK)
        return err;
    if (was_there)
        err = store_check(path, ret_what, what_size);
    if (err == QK_ERR_CORRUPT) {
        enum qk_err moved = store_set_aside(path, now_s, ret_aside, size);

        err = moved == QK_OK ? QK_ERR_CORRUPT : moved;
    }
    marker_close(path, fd, err == QK_OK || err == QK_ERR_CORRUPT);
    return err;
}
