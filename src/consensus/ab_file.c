#include "consensus/ab_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define AB_MAGIC 0x514b4142u /* "QKAB" */

static bool all_zero(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

/* The sequence of a sound half, 0 if it is not sound. */
static uint64_t half_check(const uint8_t half[static AB_HALF_BYTES], struct bytes *ret_content)
{
    uint32_t len = get_u32(half + 16);

    if (get_u32(half) != AB_MAGIC || len > AB_CONTENT_BYTES_MAX ||
        get_u32(half + 4) != crc32(0, half + 8, (uInt)(AB_HEAD_BYTES - 8 + len)))
        return 0;
    *ret_content = bytes_of(half + AB_HEAD_BYTES, len);
    return get_u64(half + 8);
}

/* What lies past the end of the file reads as zeros. */
static enum qk_err half_read(int fd, uint8_t ret_half[static AB_HALF_BYTES], off_t from)
{
    size_t at = 0;

    memset(ret_half, 0, AB_HALF_BYTES);
    while (at < AB_HALF_BYTES) {
        ssize_t n = pread(fd, ret_half + at, AB_HALF_BYTES - at, from + (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return QK_ERR_IO;
        if (n == 0)
            break;
        at += (size_t)n;
    }
    return QK_OK;
}

static enum qk_err half_write(int fd, const uint8_t *half, size_t len, off_t from)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = pwrite(fd, half + at, len - at, from + (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return QK_ERR_IO;
        at += (size_t)n;
    }
    return fdatasync(fd) == 0 ? QK_OK : QK_ERR_IO;
}

static enum qk_err read_halves(struct ab_file *file, bool small, struct buf *content,
                               int *ret_bad_half)
{
    uint8_t halves[2][AB_HALF_BYTES];
    struct bytes found[2] = {BYTES_NONE, BYTES_NONE};
    uint64_t sequence[2];

    for (int i = 0; i < 2; i++) {
        if (half_read(file->fd, halves[i], (off_t)i * AB_HALF_BYTES) != QK_OK)
            return QK_ERR_IO;
        sequence[i] = half_check(halves[i], &found[i]);
        if (sequence[i] == 0 && small && !all_zero(halves[i], AB_HALF_BYTES)) {
            *ret_bad_half = i;
            return QK_ERR_CORRUPT;
        }
    }
    if (sequence[0] == 0 && sequence[1] == 0) {
        *ret_bad_half = 0;
        return all_zero(halves[0], AB_HALF_BYTES) && all_zero(halves[1], AB_HALF_BYTES)
                   ? QK_OK
                   : QK_ERR_CORRUPT;
    }
    if (sequence[0] > sequence[1]) {
        file->sequence = sequence[0];
        buf_put_bytes(content, found[0]);
    } else {
        file->sequence = sequence[1];
        buf_put_bytes(content, found[1]);
    }
    return buf_error(content);
}

/* The whole file exists from the start, so that a full disk cannot stop a vote. */
static enum qk_err allocate(int fd, int dir_fd)
{
    struct stat st;
    int rv;

    if (fstat(fd, &st) != 0)
        return QK_ERR_IO;
    if (st.st_size >= 2 * AB_HALF_BYTES)
        return QK_OK;
    rv = posix_fallocate(fd, 0, 2 * AB_HALF_BYTES);
    if (rv != 0)
        return rv == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;
    return fsync(fd) == 0 && fsync(dir_fd) == 0 ? QK_OK : QK_ERR_IO;
}

enum qk_err ab_file_open(int dir_fd, const char *name, bool small, struct ab_file *ret_file,
                         struct buf *content, int *ret_bad_half)
{
    struct ab_file file = {.fd = -1, .sequence = 0};
    enum qk_err err;

    file.fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file.fd < 0)
        return errno == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;
    err = allocate(file.fd, dir_fd);
    if (err == QK_OK)
        err = read_halves(&file, small, content, ret_bad_half);
    if (err != QK_OK)
        close(file.fd);
    else
        *ret_file = file;
    return err;
}

enum qk_err ab_file_write(struct ab_file *file, struct bytes content)
{
    uint8_t half[AB_HALF_BYTES] = {0};
    size_t len = AB_HEAD_BYTES + content.len;
    off_t at;

    assert(content.len <= AB_CONTENT_BYTES_MAX);
    file->sequence++;
    put_u32(half, AB_MAGIC);
    put_u64(half + 8, file->sequence);
    put_u32(half + 16, (uint32_t)content.len);
    memcpy(half + AB_HEAD_BYTES, content.data, content.len);
    put_u32(half + 4, (uint32_t)crc32(0, half + 8, (uInt)(len - 8)));
    at = (off_t)(file->sequence % 2) * AB_HALF_BYTES;
    return half_write(file->fd, half, len, at);
}

void ab_file_close(struct ab_file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}
