/* The store: the replicated records in LMDB, behind a table of what is applied but not yet synced.
 *
 * Threads: everything here is for the loop's thread unless it says otherwise. One writer thread of
 * the store's own commits batches to LMDB with a full sync, the applied index in the same
 * transaction: documents within 250 ms, all else within 50, or when there are 8 MiB. A restart
 * replays the log from store_applied().
 *
 * Borrowed values (store_get, store_local_get, cursors) live until the callback that asked for them
 * returns to the loop; a cursor's row also only until the next call on that cursor.
 *
 * Two stores that applied the same commands are equal, whenever each of them wrote to disk: apply
 * reads no clock, no randomness, no key and no local setting.
 *
 * The file is <path> (0600) with <path>-lock and <path>-open (present while open: found at a
 * start, the last end was unclean and the whole file is walked first). */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/bytes.h"
#include "base/key_uses.h"
#include "base/limits.h"
#include "wire/command.h"

struct uv_loop_s;
struct store;
struct store_cursor;

struct store_options {
    unsigned commit_ms;      /* of documents alone, 0: 250 */
    unsigned commit_soon_ms; /* of anything else that is among them, 0: 50 */
    size_t commit_bytes;     /* 0: 8 MiB */
    size_t map_bytes;        /* 0: 16 GiB of address space to begin with; it grows as needed */
    uint64_t reserve_bytes;  /* 0: 64 MiB must stay free on the disk, else QK_ERR_FULL */
    bool no_sync;            /* for tests of other modules only: commits are not synced */
};

struct store_callbacks {
    void *arg;
    /* The disk failed or the file is damaged under the writer: the process must end. */
    void (*fatal)(void *arg, enum qk_err err, const char *what);
    /* The disk became full (true) or has room again (false). Optional. */
    void (*full)(void *arg, bool full);
};

/* --- start and end ------------------------------------------------------------------------- */

/* Before store_open, before any thread exists: after an unclean end walks the whole file in a child
 * process. QK_OK: clean, new, or walked and sound. QK_ERR_CORRUPT: it was damaged, `ret_what` says
 * where, for people; it has been set aside as <path>.damaged-<now_s>, which is written to
 * `ret_aside`, and store_open will start an empty one (store_applied() 0) that needs a snapshot
 * from a peer. QK_ERR_BUSY: another process has it open. */
MUST_USE enum qk_err store_recover(const char *path, uint64_t now_s, char *ret_aside, size_t size,
                                   char *ret_what, size_t what_size);
/* The walk alone, in a child process; QK_ERR_CORRUPT and a line for people in `ret_what`. */
MUST_USE enum qk_err store_check(const char *path, char *ret_what, size_t size);
/* Renames a damaged file aside; used by store_recover and by whoever got QK_ERR_CORRUPT. */
MUST_USE enum qk_err store_set_aside(const char *path, uint64_t now_s, char *ret_aside,
                                     size_t size);

/* The file's path, as given. */
const char *store_path(const struct store *store);
/* Opens or makes the file and starts the writer. On failure a line for people is in `ret_what`
 * (which may be NULL). `callbacks.fatal` must not be NULL. */
MUST_USE enum qk_err store_open(struct uv_loop_s *loop, const char *path,
                                const struct store_options *options,
                                const struct store_callbacks *callbacks, struct store **ret_store,
                                char *ret_what, size_t size);
/* Writes out what is pending (unless the disk refuses), ends the thread and frees the store, then
 * calls `cb` once. Open cursors must have been closed. */
void store_close(struct store *store, void (*cb)(void *arg), void *arg);

/* --- writing ------------------------------------------------------------------------------- */

/* To be asked before a command is proposed. QK_ERR_BUSY: more than PENDING_BYTES_MAX wait for the
 * disk; QK_ERR_FULL: it has no room. Apply itself never refuses: the log has accepted. */
MUST_USE enum qk_err store_admit(const struct store *store);
size_t store_pending_bytes(const struct store *store);

/* Applies one committed command; skipped if index <= store_applied(). Several commands may share an
 * index (consensus coalesces them into one entry, see its `apply`): `last` is true at the last of
 * an index, and only then does store_applied() move and may a commit to the file include them. An
 * empty command only moves the index. Appends one wire_result a batch to `result` (may be NULL).
 * Malformed commands change nothing and append nothing. Not-OK must stop the node:
 * QK_ERR_UNSUPPORTED (kind or version not known here), QK_ERR_NOMEM, QK_ERR_CORRUPT (a record it
 * had to read). */
MUST_USE enum qk_err store_apply(struct store *store, uint64_t index, uint64_t term, bool last,
                                 struct bytes command, struct buf *result);

uint64_t store_applied(const struct store *store); /* highest index applied */
uint64_t store_applied_term(const struct store *store);
uint64_t store_synced(const struct store *store); /* highest index durable in the file */
/* Writes in the store's whole life, the same on every node at the same index. */
uint64_t store_stamp(const struct store *store);

typedef void (*store_cb)(void *arg, enum qk_err err);
/* Calls back, never from inside this call, once all that is applied now is durable in the file;
 * QK_ERR_CLOSED when the store closes first. While the disk is full it waits. */
void store_flush(struct store *store, store_cb cb, void *arg);
/* The same for who only wants to read the file: QK_ERR_FULL while the disk has no room. */
void store_flush_to_read(struct store *store, store_cb cb, void *arg);

/* --- reading ------------------------------------------------------------------------------- */

struct record {
    uint64_t version;
    uint64_t seq; /* of its database; 0 unless a document */
    uint8_t flags;
    struct bytes value; /* borrowed, see above */
    uint64_t stamp;     /* of the write that made it so: no two writes of a store share one */
};

/* QK_ERR_NOT_FOUND, or QK_ERR_CORRUPT (store_error names file and record). */
MUST_USE enum qk_err store_get(struct store *store, struct bytes key, struct record *ret_record);
/* The last damage met: "store.mdb: record …: checksum does not match". "" if none. */
const char *store_error(const struct store *store);

struct store_row {
    struct bytes key; /* database id ‖ name */
    struct record record;
};

/* Cursors read the file, not what is pending: flush first. All that is read in one turn of the loop
 * shares one read transaction, which ends with the turn, so that no reader pins the file; a cursor
 * kept over turns goes on behind its last key and sees later writes of what it has not reached.
 * Take some hundred rows a turn, not a million: the loop waits meanwhile. */

/* Records with from <= key < to in key order; an empty `to` is no bound. Descending starts at the
 * last key below `to`. Both are copied. */
MUST_USE enum qk_err store_cursor_open(struct store *store, struct bytes from, struct bytes to,
                                       bool descending, struct store_cursor **ret_cursor);
/* All records under a prefix. */
MUST_USE enum qk_err store_cursor_open_prefix(struct store *store, struct bytes prefix,
                                              bool descending, struct store_cursor **ret_cursor);
/* Documents of a database by sequence, `since` excluded; each document once, at its newest. */
MUST_USE enum qk_err store_changes_open(struct store *store,
                                        const uint8_t database[static DATABASE_ID_BYTES],
                                        uint64_t since, bool descending,
                                        struct store_cursor **ret_cursor);
/* QK_ERR_NOT_FOUND at the end. */
MUST_USE enum qk_err store_cursor_next(struct store_cursor *cursor, struct store_row *ret_row);
/* Of a cursor by sequence: passes over up to `rows_max` rows without reading them, so what is
 * damaged counts, too; `ret_n` is over how many. Fewer: the end. */
MUST_USE enum qk_err store_cursor_skip(struct store_cursor *cursor, size_t rows_max, size_t *ret_n);
void store_cursor_close(struct store_cursor *cursor); /* takes NULL */

struct store_stats {
    uint64_t seq;       /* of the newest document write */
    uint64_t doc_count; /* without tombstones */
    uint64_t del_count; /* tombstones */
    uint64_t bytes;     /* keys and values of both, and of chunks of attachments */
};

/* Kept at apply, exact, in memory; all zero for a database without documents. */
void store_database_stats(const struct store *store,
                          const uint8_t database[static DATABASE_ID_BYTES],
                          struct store_stats *ret_stats);

/* What stands under one version of a data key, or under all versions of it in one database. Kept at
 * apply from the lists of the values (base/key_uses.h), exact, in memory, in snapshots and backups;
 * a dropped database's share is gone in the same step. */
struct store_key_stats {
    uint64_t doc_count;    /* documents whose winner it is the key of, without tombstones */
    uint64_t del_count;    /* tombstones */
    uint64_t bodies;       /* all that is sealed under it, other revisions and records included */
    uint64_t bytes;        /* keys and values of the records that it is the first key of */
    uint64_t sealed;       /* bodies ever sealed under it, the deleted and replaced ones included */
    uint64_t sealed_bytes; /* and their plaintext */
};

/* Of one version, in all databases. */
void store_key_stats(const struct store *store, const uint8_t key_id[static KEY_USE_ID_BYTES],
                     uint32_t version, struct store_key_stats *ret_stats);
/* Of all versions of the key in that database; what was ever sealed is not known by database: 0. */
void store_database_key_stats(const struct store *store,
                              const uint8_t database[static DATABASE_ID_BYTES],
                              const uint8_t key_id[static KEY_USE_ID_BYTES],
                              struct store_key_stats *ret_stats);

/* --- watching ------------------------------------------------------------------------------ */

/* Calls `cb` from store_apply, after the whole command, once for each key under `prefix` that it
 * changed; `key` alone 16 bytes: the whole database went; `key` empty: anything may have changed
 * (a snapshot was swapped in). It may read the store but not apply or swap. */
typedef void (*store_watch_cb)(void *arg, struct bytes key);
MUST_USE enum qk_err store_watch(struct store *store, struct bytes prefix, store_watch_cb cb,
                                 void *arg);
/* Removes what was registered with exactly these; allowed from the callback. */
void store_unwatch(struct store *store, store_watch_cb cb, void *arg);

/* --- observing ----------------------------------------------------------------------------- */

struct store_position {
    uint64_t index, term, stamp;
};

/* One who follows every write, for a value that is a function of all records. It changes nothing:
 * apply is the same with and without. */
struct store_observer {
    void *arg;
    /* From store_apply, for each record that it changes, in the order of the writes: what was there
     * and what is there now (NULL: nothing), borrowed for the call. A key of 16 bytes with both
     * NULL: the whole database went. */
    void (*changed)(void *arg, uint64_t index, struct bytes key, const struct record *before,
                    const struct record *after);
    /* Another store was swapped in. */
    void (*swapped)(void *arg);
    /* All that was applied up to `at` is about to be written to the file: what is appended to `out`
     * becomes the node-local fact `fact` in the same transaction; nothing leaves it as it is. */
    void (*committing)(void *arg, const struct store_position *at, struct buf *out);
    const char *fact;
};

/* At most one; before anything is applied. Copied. */
void store_observe(struct store *store, const struct store_observer *observer);
/* What the file holds, as of this turn of the loop: what cursors read. */
MUST_USE enum qk_err store_file_position(struct store *store, struct store_position *ret_position);

/* --- node-local facts ---------------------------------------------------------------------- */

#define STORE_LOCAL_NAME_BYTES_MAX 128
#define STORE_LOCAL_VALUE_BYTES_MAX (64 * KIB)

/* Never replicated, not in snapshots, kept across a swap. A put is visible at once and durable when
 * `cb` (may be NULL) is called; an empty value removes. */
MUST_USE enum qk_err store_local_get(struct store *store, const char *name,
                                     struct bytes *ret_value);
MUST_USE enum qk_err store_local_put(struct store *store, const char *name, struct bytes value,
                                     store_cb cb, void *arg);

/* --- snapshots ----------------------------------------------------------------------------- */

/* A snapshot is one stream of bytes, a function of the replicated state alone: two equal stores
 * give the same bytes. It ends with a BLAKE2b-256 of all before. */
struct store_snapshot;
struct store_staging;

/* One read transaction over what is in the file (flush first to have all): the only reader that is
 * not renewed, so it pins the file's old pages while it is open. At most 4 are open. */
MUST_USE enum qk_err store_snapshot_open(struct store *store, struct store_snapshot **ret_snapshot);
/* The same as an increment for who holds a snapshot of stamp `since` (0: the whole): a stream that
 * only store/rows.h reads. QK_ERR_STALE: this store has not come so far. */
MUST_USE enum qk_err store_snapshot_open_since(struct store *store, uint64_t since,
                                               struct store_snapshot **ret_snapshot);
uint64_t store_snapshot_index(const struct store_snapshot *snapshot);
uint64_t store_snapshot_term(const struct store_snapshot *snapshot);
/* Counts the writes of the store's whole life; the same on every node at the same index. */
uint64_t store_snapshot_stamp(const struct store_snapshot *snapshot);
/* About how many bytes the stream will have, for progress. */
uint64_t store_snapshot_estimate(const struct store_snapshot *snapshot);
/* Appends up to `len` further bytes to `out`; QK_OK with nothing appended is the end. In constant
 * memory. Any one thread at a time. */
MUST_USE enum qk_err store_snapshot_read(struct store_snapshot *snapshot, size_t len,
                                         struct buf *out);
/* The other way to read one: its records in the order of keys, borrowed until it is closed;
 * QK_ERR_NOT_FOUND behind the last. Any one thread at a time. */
MUST_USE enum qk_err store_snapshot_next(struct store_snapshot *snapshot,
                                         struct store_row *ret_row);
/* Then the rows of the feeds of changes: *ret_right false: it names no document with its sequence,
 * and `ret_text` is that row. QK_ERR_NOT_FOUND behind the last. */
MUST_USE enum qk_err store_snapshot_next_change(struct store_snapshot *snapshot, bool *ret_right,
                                                char *ret_text, size_t size);
/* Documents met by store_snapshot_next: as many rows of changes there must be. */
uint64_t store_snapshot_documents(const struct store_snapshot *snapshot);
/* After QK_ERR_CORRUPT: which record of which file. "" before. */
const char *store_snapshot_error(const struct store_snapshot *snapshot);
void store_snapshot_close(struct store_snapshot *snapshot); /* takes NULL; the loop's thread */

/* The receiving end: a new file beside the store's, filled from the stream in constant memory. Any
 * one thread at a time, so that it can run on the pool; touches no running store. */
MUST_USE enum qk_err store_staging_begin(const char *path, struct store_staging **ret_staging);
MUST_USE enum qk_err store_staging_write(struct store_staging *staging, struct bytes chunk);
/* Verifies that the stream was whole and its hash right (QK_ERR_CORRUPT), syncs and closes. */
MUST_USE enum qk_err store_staging_finish(struct store_staging *staging);
uint64_t store_staging_index(const struct store_staging *staging);
uint64_t store_staging_term(const struct store_staging *staging);
/* Frees; the file is removed unless store_swap has taken it. Takes NULL. */
void store_staging_free(struct store_staging *staging);

/* Puts a finished staging file in the store's place, by rename: after a crash there is the old or
 * the new one. Node-local facts are carried over. Calls `cb`, never from inside this call; watchers
 * are told (empty key). Open cursors end with QK_ERR_CLOSED, open snapshots must have been closed
 * (QK_ERR_BUSY). The staging stays the caller's to free. */
void store_swap(struct store *store, struct store_staging *staging, store_cb cb, void *arg);

/* Copies the file without what is free in it and puts the copy in its place, so that nothing that
 * was deleted or written over there is left. What is only applied goes in afterwards, over what it
 * replaces: flush first. At once QK_ERR_BUSY (a snapshot is being read, or a compaction runs) or
 * QK_ERR_CLOSED; else `cb` fires, never from inside this call: also with QK_ERR_BUSY (a snapshot
 * began meanwhile) or QK_ERR_FULL, which leave the file as it was. Commits wait meanwhile, applying
 * goes on. Cursors go on in the new file. */
MUST_USE enum qk_err store_compact(struct store *store, store_cb cb, void *arg);

/* --- figures for status and metrics -------------------------------------------------------- */

struct store_figures {
    uint64_t file_bytes; /* used by records, not counting free pages */
    uint64_t map_bytes;  /* address space reserved */
    uint64_t pending_bytes;
    uint64_t commits;        /* since the start */
    uint64_t commit_last_us; /* duration of the last one */
    uint64_t ranges_freeing; /* dropped databases whose pages are still being freed */
    bool full;
};

void store_figures(const struct store *store, struct store_figures *ret_figures);

#endif
