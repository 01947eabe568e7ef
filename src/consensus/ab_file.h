/* A small file of two halves: each write goes to the older half, in place, with a sequence number
 * and a checksum, and is synced; so a crash leaves the old content or the new. */
#ifndef CONSENSUS_AB_FILE_H
#define CONSENSUS_AB_FILE_H

#include "base/bytes.h"

#define AB_HALF_BYTES 12288
#define AB_HEAD_BYTES                                                                              \
    24 /* magic u32, crc32 u32 (of all that follows), sequence u64, length u32, 0 */
#define AB_CONTENT_BYTES_MAX (AB_HALF_BYTES - AB_HEAD_BYTES)
/* Content this short lies in one sector, which a disk writes whole or not at all: a half of it that
 * fails its checksum is damage, not an interrupted write. */
#define AB_SECTOR_BYTES 512

struct ab_file {
    int fd;
    uint64_t sequence; /* of the newest half, 0: nothing was written yet */
};

/* Opens or creates `name` in `dir_fd` and appends the newest content to `content` (nothing if there
 * is none). `small`: content always fits a sector. QK_ERR_CORRUPT, with `ret_bad_half` 0 or 1;
 * QK_ERR_IO, QK_ERR_FULL. */
MUST_USE enum qk_err ab_file_open(int dir_fd, const char *name, bool small,
                                  struct ab_file *ret_file, struct buf *content, int *ret_bad_half);
/* Durable on return. QK_ERR_IO: the file's state is unknown, the process must end. */
MUST_USE enum qk_err ab_file_write(struct ab_file *file, struct bytes content);
void ab_file_close(struct ab_file *file);

#endif
