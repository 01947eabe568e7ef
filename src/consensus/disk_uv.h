/* What consensus keeps on disk, in <data>/raft:
 *
 *   lock              held while the directory is open
 *   term              A/B file: term and vote
 *   snapshot          A/B file: epoch of the log and the newest snapshot's token
 *   log-<sequence>    segments, see segment.h; spare ones become log- when first written
 *
 * Term and vote are written by the caller's thread, at once. All else goes to one worker thread in
 * the order of the calls: everything queued while it was busy is one group, written and synced
 * together. Callbacks fire on the loop, never inside a call, but for `fatal`. */
#ifndef CONSENSUS_DISK_UV_H
#define CONSENSUS_DISK_UV_H

#include <uv.h>

#include "consensus/log.h"
#include "consensus/snapshot.h"

#define DISK_REASON_BYTES 512
#define DISK_SEGMENT_BYTES (8 * MIB)
/* Kept free in the segment for what the core appends by itself. */
#define DISK_RESERVE_BYTES (64 * KIB)

struct disk;

struct disk_callbacks {
    void *arg;
    /* All appended up to this entry is durable. */
    void (*stored)(void *arg, uint64_t index, uint64_t term);
    void (*installed)(void *arg);
    void (*fatal)(void *arg, const char *what);
    void (*closed)(void *arg);
};

/* What open found. */
struct disk_state {
    uint64_t term;
    uint64_t vote;
    bool has_snapshot;
    struct snapshot snapshot;
    struct entry_log log; /* the caller frees with entry_log_fini */
};

/* Creates or reads the directory. QK_ERR_CORRUPT, QK_ERR_IO, QK_ERR_FULL, QK_ERR_BUSY, QK_ERR_NOMEM
 * with the reason, naming file and offset, in `ret_reason` (DISK_REASON_BYTES). */
MUST_USE enum qk_err disk_open(uv_loop_t *loop, const char *dir,
                               const struct disk_callbacks *callbacks, char *ret_reason,
                               struct disk **ret_disk, struct disk_state *ret_state);
/* Finishes what is queued, then `closed`, after which the caller frees. */
void disk_close(struct disk *disk);
void disk_free(struct disk *disk);

/* Durable on return. On an error `fatal` was called. */
void disk_save_term(struct disk *disk, uint64_t term, uint64_t vote);
/* Makes the first entry durable, on return, before there is a term: bootstrap. */
MUST_USE enum qk_err disk_bootstrap(struct disk *disk, struct bytes payload);

/* Is there room for this many more bytes of payload in so many entries? QK_ERR_FULL if the disk has
 * none, QK_ERR_BUSY if no further file can be opened now. Has no effect on what is stored. */
MUST_USE enum qk_err disk_reserve(struct disk *disk, size_t payload_bytes, size_t entries_n);
void disk_append(struct disk *disk, const struct entry_log *log, uint64_t index, size_t n);
void disk_save_snapshot(struct disk *disk, struct bytes token);
/* After disk_save_snapshot of a snapshot at or past `index`. */
void disk_trim(struct disk *disk, uint64_t index);
/* Replaces the log by the snapshot `token`, in one step; then `installed`. */
void disk_install(struct disk *disk, struct bytes token);
/* Hands what is queued to the worker, now or as soon as it is free. */
void disk_flush(struct disk *disk);

uint64_t disk_syncs_n(const struct disk *disk);
uint64_t disk_bytes_n(const struct disk *disk);

#endif
