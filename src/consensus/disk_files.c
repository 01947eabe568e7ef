#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "consensus/disk_private.h"

void disk_segment_name(uint64_t sequence, char ret_name[static DISK_NAME_BYTES])
{
    snprintf(ret_name, DISK_NAME_BYTES, "log-%016" PRIx64, sequence);
}

void disk_spare_name(uint64_t spare, char ret_name[static DISK_NAME_BYTES])
{
    snprintf(ret_name, DISK_NAME_BYTES, "spare-%016" PRIx64, spare);
}

static enum qk_err create_err(int rv)
{
    if (rv == ENOSPC || rv == EDQUOT || rv == EFBIG)
        return QK_ERR_FULL;
    /* What this process lacks for now says nothing of the disk. */
    return rv == EMFILE || rv == ENFILE || rv == ENOMEM ? QK_ERR_BUSY : QK_ERR_IO;
}

enum qk_err disk_segment_create(int dir_fd, uint64_t spare, size_t size,
                                struct disk_segment **ret_segment)
{
    struct disk_segment *segment = calloc(1, sizeof(*segment));
    char name[DISK_NAME_BYTES];
    int rv;

    if (segment == NULL)
        return QK_ERR_NOMEM;
    disk_spare_name(spare, name);
    segment->spare = spare;
    segment->size = size;
    segment->used = SEGMENT_HEAD_BYTES;
    segment->fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    rv = segment->fd < 0 ? errno : posix_fallocate(segment->fd, 0, (off_t)size);
    if (rv == 0) {
        *ret_segment = segment;
        return QK_OK;
    }
    if (segment->fd >= 0)
        (void)unlinkat(dir_fd, name, 0);
    disk_segment_free(segment);
    return create_err(rv);
}

enum qk_err disk_segment_activate(int dir_fd, uint64_t epoch, struct disk_segment *segment)
{
    struct segment_head head = {
        .epoch = epoch, .sequence = segment->sequence, .size = segment->size};
    uint8_t bytes[SEGMENT_HEAD_BYTES];
    char spare[DISK_NAME_BYTES], name[DISK_NAME_BYTES];

    segment_head_encode(&head, bytes);
    disk_spare_name(segment->spare, spare);
    disk_segment_name(segment->sequence, name);
    if (disk_write_all(segment->fd, bytes, sizeof(bytes), 0) != QK_OK || fsync(segment->fd) != 0 ||
        renameat(dir_fd, spare, dir_fd, name) != 0 || fsync(dir_fd) != 0)
        return QK_ERR_IO;
    segment->named = true;
    return QK_OK;
}

void disk_segment_free(struct disk_segment *segment)
{
    if (segment == NULL)
        return;
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment);
}

void disk_snapshot_encode(uint64_t epoch, struct bytes token, struct buf *out)
{
    buf_put_u64(out, epoch);
    buf_put_bytes(out, token);
}

enum qk_err disk_write_all(int fd, const uint8_t *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return QK_ERR_IO;
        data += n;
        at += (uint64_t)n;
        len -= (size_t)n;
    }
    return QK_OK;
}
