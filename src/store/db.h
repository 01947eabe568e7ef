/* The LMDB file: opening, reading rows, committing a batch, freeing dropped databases in pieces.
 * One environment a file and process. The loop's thread reads, the writer's thread commits; a
 * change of the map's size needs the writer idle and no read transaction open. */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <lmdb.h>

#include "store/pending.h"
#include "store/spaces.h"

#define DB_PATH_BYTES_MAX 1024
#define DB_FREED_MAX 16
#define DB_READERS_MAX 64

struct db_freed {
    uint8_t id[DATABASE_ID_BYTES];
    uint64_t stamp;
};

/* What one commit came to. */
struct db_outcome {
    enum qk_err err;
    bool map_full;   /* err is QK_ERR_FULL because the map, not the disk, is too small */
    bool drops_left; /* another piece waits */
    struct db_freed freed[DB_FREED_MAX]; /* databases whose rows are all freed now */
    size_t freed_n;
    uint64_t duration_us;
};

struct db {
    char path[DB_PATH_BYTES_MAX];
    MDB_env *env;
    MDB_dbi tables[FORMAT_TABLES_N];
    /* Where the freeing of the first dropped database goes on; the writer's thread alone. */
    struct {
        struct db_freed what;
        enum format_table table;
        uint8_t key[RECORD_KEY_BYTES_MAX];
        size_t key_len;
    } freeing;
};

struct db_mode {
    size_t map_bytes;
    bool no_sync;
    bool no_lock;   /* nobody else opens it: a staging file */
    bool read_only; /* for the check in its own process; without a lock file */
};

/* Opens or makes the file (0600). QK_ERR_CORRUPT: it is no store. */
MUST_USE enum qk_err db_open(struct db *db, const char *path, const struct db_mode *mode);
/* Takes a db that was zeroed or whose opening failed. */
void db_close(struct db *db);

/* An error of LMDB or of the system as one of ours. */
enum qk_err db_err(int rc);

MUST_USE enum qk_err db_begin_read(const struct db *db, MDB_txn **ret_txn);
/* A row's bytes, borrowed from the transaction; QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err db_get(const struct db *db, MDB_txn *txn, enum format_table table,
                            struct bytes key, struct bytes *ret_row);
MUST_USE enum qk_err db_put(const struct db *db, MDB_txn *txn, enum format_table table,
                            struct bytes key, struct bytes row);
/* The state row; all zero in a new file. */
MUST_USE enum qk_err db_state(const struct db *db, MDB_txn *txn, struct format_state *ret_state);
/* Statistics and drops into memory. */
MUST_USE enum qk_err db_load_spaces(const struct db *db, MDB_txn *txn, struct spaces *spaces);
/* What stands under each version of each data key. */
MUST_USE enum qk_err db_load_tallies(const struct db *db, MDB_txn *txn, struct tallies *tallies);

/* Writes the batch (which may hold nothing) and frees a piece of what was dropped, in one synced
 * transaction: all or nothing. */
void db_commit(struct db *db, const struct pending_batch *batch, struct db_outcome *ret_outcome);

uint64_t db_file_bytes(const struct db *db);
uint64_t db_map_bytes(const struct db *db);
/* Doubles the map; see above for when. */
MUST_USE enum qk_err db_grow_map(struct db *db);

/* Syncs the folder that `path` lies in, so that a rename or a new file in it is durable. */
MUST_USE enum qk_err db_sync_folder(const char *path);

struct bytes db_bytes(MDB_val val);
MDB_val db_val(struct bytes bytes);

#endif
