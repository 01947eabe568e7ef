/* What disk_load.c and disk_uv.c share. */
#ifndef CONSENSUS_DISK_PRIVATE_H
#define CONSENSUS_DISK_PRIVATE_H

#include <limits.h>

#include "consensus/ab_file.h"
#include "consensus/disk_uv.h"
#include "consensus/segment.h"

#define DISK_NAME_BYTES 32

struct disk_segment {
    uint64_t sequence; /* given when it is put to use; no gaps */
    uint64_t spare;    /* the number in its name until then */
    int fd;
    size_t size;
    size_t used;        /* by the loop thread */
    uint64_t index_max; /* highest index in it */
    bool named;         /* it is log-<sequence> already, with a head; by the worker */
    struct disk_segment *next;
};

/* The files, as found by disk_load and used ever after. */
struct disk_files {
    int dir_fd;
    int lock_fd;
    struct ab_file term_file;
    struct ab_file snapshot_file;
    uint64_t epoch;
    struct disk_segment *first, *last; /* the last one is written to */
    uint64_t sequence_next;
    uint64_t group_next;
};

void disk_segment_name(uint64_t sequence, char ret_name[static DISK_NAME_BYTES]);
void disk_spare_name(uint64_t spare, char ret_name[static DISK_NAME_BYTES]);
/* A preallocated segment without a head. QK_ERR_FULL, QK_ERR_IO, QK_ERR_NOMEM. */
MUST_USE enum qk_err disk_segment_create(int dir_fd, uint64_t spare, size_t size,
                                         struct disk_segment **ret_segment);
/* Writes the head and gives it its name, durably. */
MUST_USE enum qk_err disk_segment_activate(int dir_fd, uint64_t epoch,
                                           struct disk_segment *segment);
void disk_segment_free(struct disk_segment *segment);
/* The content of the snapshot file. */
void disk_snapshot_encode(uint64_t epoch, struct bytes token, struct buf *out);
MUST_USE enum qk_err disk_write_all(int fd, const uint8_t *data, size_t len, uint64_t at);

/* Opens all files, recovers from a crash and reads the log. On an error everything is closed. */
MUST_USE enum qk_err disk_load(const char *dir, char *ret_reason, struct disk_files *ret_files,
                               struct disk_state *ret_state);
void disk_files_close(struct disk_files *files);

#endif
