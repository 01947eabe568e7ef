/* The store's own parts, for its files only. */
#ifndef STORE_INTERNAL_H
#define STORE_INTERNAL_H

#include "store/db.h"
#include "store/pending.h"
#include "store/spaces.h"
#include "store/store.h"

#define STORE_ERROR_BYTES_MAX 1400

struct store_watch {
    store_watch_cb cb;
    void *arg;
    size_t prefix_len;
    uint8_t prefix[RECORD_KEY_BYTES_MAX];
};

/* Someone waits until batch `number` is in the file. */
struct store_waiter {
    struct store_waiter *next;
    uint64_t number;
    bool impatient; /* does not wait for room on the disk */
    store_cb cb;
    void *arg;
    enum qk_err err;
};

struct store_swap_request {
    struct store_staging *staging; /* NULL: none */
    store_cb cb;
    void *arg;
};

/* compact.c */
struct store_compact_request {
    store_cb cb; /* NULL: none */
    void *arg;
};

struct writer;

struct store {
    struct store_options options;
    struct store_callbacks callbacks;
    char path[DB_PATH_BYTES_MAX];
    int marker_fd; /* <path>-open, locked */
    struct db db;
    struct tallies tallies;
    struct spaces spaces;
    struct pending pending;
    struct pending_batch open;   /* being filled */
    struct pending_batch flying; /* with the writer; its head is NULL and dirty false if none */
    uint64_t batch_done;         /* number of the last batch in the file */
    struct format_state applied;
    uint64_t applying; /* the index of the command at hand */
    uint64_t synced;
    /* One read transaction serves everything that is read in one turn of the loop. */
    MDB_txn *turn;
    bool turn_live;
    uint64_t turn_number; /* cursors of an older turn seek again */
    uint64_t swaps;       /* cursors of before a swap are closed */
    uint64_t copies;      /* those of before a compaction seek again */
    unsigned snapshots_n;
    struct store_watch *watches;
    size_t watches_n, watches_cap;
    bool watches_holes;
    unsigned notifying;
    struct store_observer observer; /* changed NULL: there is none */
    struct store_waiter *waiters, **waiters_tail;
    struct store_swap_request swap;
    struct store_compact_request compact;
    bool full;
    bool no_room; /* the flying batch met the disk's end */
    bool partial; /* between the commands of one index */
    bool closing;
    bool failed; /* fatal was called */
    uint64_t commits, commit_last_us;
    struct writer *writer;
    char error[STORE_ERROR_BYTES_MAX];
};

/* --- store.c --- */
/* The read transaction of this turn. */
MUST_USE enum qk_err store_turn(struct store *store, MDB_txn **ret_txn);
/* What was borrowed in this turn dies here; the loop calls it before it sleeps. */
void store_turn_end(struct store *store);
/* Opens the file and loads what is kept in memory; used at start and after a swap. */
MUST_USE enum qk_err store_load(struct store *store);
void store_unload(struct store *store);
/* Remembers damage for store_error and returns QK_ERR_CORRUPT. */
enum qk_err store_damaged(struct store *store, enum format_table table, struct bytes key);
/* A record, pending or in the file, if it is visible; the pending one's `stamp` too. */
MUST_USE enum qk_err store_lookup(struct store *store, struct bytes key,
                                  struct format_record *ret_record);
/* Statistics that changed since the last batch go into this one. QK_ERR_NOMEM. */
MUST_USE enum qk_err store_batch_seal(struct store *store, struct pending_batch *batch);

/* --- watch.c --- */
void store_notify(struct store *store, struct bytes key);
MUST_USE enum qk_err store_wait(struct store *store, uint64_t number, bool impatient, store_cb cb,
                                void *arg);
/* Those whose batch is in the file and, with QK_ERR_FULL, those who do not wait for room; or, at
 * the end, all, with QK_ERR_CLOSED to the others. */
void store_tell_waiters(struct store *store, bool all);

/* --- apply_stats.c --- */
/* `before`: the record in whose place it comes; NULL: there is none. QK_ERR_NOMEM. */
MUST_USE enum qk_err apply_stats(struct store *store, const struct wire_op *op,
                                 const struct format_record *before, struct pending_entry *entry);

/* --- writer_uv.c --- */
MUST_USE enum qk_err writer_new(struct store *store, struct uv_loop_s *loop);
/* The open batch has something: it will be written in a while, or now if it is large. */
void writer_schedule(struct store *store);
/* As soon as possible: someone waits. */
void writer_hurry(struct store *store);
/* Calls back from the loop, soon: a waiter, a swap. */
void writer_wake(struct store *store);
/* A turn's transaction is open: end it before the loop sleeps. */
void writer_turn_begun(struct store *store);

/* --- swap.c --- */
/* The swap itself, while the writer is idle. What it returns goes to the swap's callback; a failure
 * after the rename calls fatal. */
MUST_USE enum qk_err store_swap_now(struct store *store, struct store_staging *staging);
/* --- compact.c --- */
/* The file that a copy of this store has. */
void compact_path_of(const char *path, char *ret_path, size_t size);
/* On the writer's thread: the copy, synced. */
MUST_USE enum qk_err compact_copy(const struct db *db);
/* The copy is made, or failed, or there will be none (QK_ERR_CLOSED): puts it in place, while the
 * writer is idle, and tells who asked. A failure after the rename calls fatal. */
void compact_end(struct store *store, enum qk_err err);
/* --- staging.c --- */
const char *staging_path(const struct store_staging *staging);
bool staging_finished(const struct store_staging *staging);
void staging_taken(struct store_staging *staging);
/* The file that a staging of this store has. */
void staging_path_of(const char *path, char *ret_path, size_t size);
/* --- check.c --- */
/* <path>-open, held locked; QK_ERR_BUSY when another process holds it. */
MUST_USE enum qk_err marker_open(const char *path, int *ret_fd, bool *ret_was_there);
void marker_close(const char *path, int fd, bool clean);

#endif
