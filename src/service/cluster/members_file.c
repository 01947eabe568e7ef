#include "service/cluster/members_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "secret/crypto.h"

#define FILE_VERSION 1

static const char magic[4] = {'Q', 'K', 'M', 'B'};

/* --- bytes ----------------------------------------------------------------------------------- */

void members_file_encode(const struct member_facts *facts, struct buf *out)
{
    uint8_t hash[HASH_BYTES];
    struct bytes all;

    assert(facts->n <= NODES_MAX);
    assert(out->len == 0);
    buf_put(out, magic, sizeof magic);
    buf_put_u8(out, FILE_VERSION);
    buf_put(out, facts->cluster_id, CLUSTER_ID_BYTES);
    buf_put_u8(out, (uint8_t)facts->n);
    for (unsigned i = 0; i < facts->n; i++) {
        struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

        system_member_encode(&facts->list[i].info, &value);
        buf_put(out, facts->list[i].node_id, NODE_ID_BYTES);
        buf_put_blob(out, buf_bytes(&value));
        buf_fini(&value);
    }
    all = buf_bytes(out);
    hash_compute(&all, 1, hash);
    buf_put(out, hash, sizeof hash);
}

static enum qk_err decode_facts(struct reader *reader, struct member_facts *facts)
{
    reader_copy(reader, facts->cluster_id, CLUSTER_ID_BYTES);
    facts->n = reader_u8(reader);
    if (reader_error(reader) != QK_OK || facts->n > NODES_MAX)
        return QK_ERR_CORRUPT;
    for (unsigned i = 0; i < facts->n; i++) {
        struct bytes value;

        reader_copy(reader, facts->list[i].node_id, NODE_ID_BYTES);
        value = reader_blob(reader, SYSTEM_VALUE_BYTES_MAX);
        if (reader_error(reader) != QK_OK ||
            system_member_decode(value, &facts->list[i].info) != QK_OK)
            return QK_ERR_CORRUPT;
    }
    return reader_end(reader) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err members_file_decode(struct bytes in, struct member_facts *ret_facts)
{
    uint8_t hash[HASH_BYTES], start[sizeof magic];
    struct reader reader;
    struct bytes all;

    memset(ret_facts, 0, sizeof *ret_facts);
    if (in.len < sizeof magic + 1 + HASH_BYTES)
        return QK_ERR_CORRUPT;
    all = bytes_of(in.data, in.len - HASH_BYTES);
    hash_compute(&all, 1, hash);
    if (memcmp(hash, in.data + all.len, sizeof hash) != 0)
        return QK_ERR_CORRUPT;
    reader = reader_of(all);
    reader_copy(&reader, start, sizeof start);
    if (memcmp(start, magic, sizeof magic) != 0)
        return QK_ERR_CORRUPT;
    if (reader_u8(&reader) != FILE_VERSION)
        return QK_ERR_UNSUPPORTED;
    return decode_facts(&reader, ret_facts);
}

/* --- the file -------------------------------------------------------------------------------- */

static int path_of(const char *data_dir, const char *name, char ret_path[static PATH_MAX])
{
    int len = snprintf(ret_path, PATH_MAX, "%s/%s", data_dir, name);

    return len > 0 && len < PATH_MAX ? 0 : -1;
}

static enum qk_err file_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    uint8_t part[4 * KIB];
    ssize_t n = 0;

    if (fd < 0)
        return errno == ENOENT ? QK_ERR_NOT_FOUND : QK_ERR_IO;
    while (buf_error(out) == QK_OK &&
           ((n = read(fd, part, sizeof part)) > 0 || (n < 0 && errno == EINTR)))
        if (n > 0)
            buf_put(out, part, (size_t)n);
    (void)close(fd);
    if (n < 0)
        return QK_ERR_IO;
    return buf_error(out) == QK_ERR_TOO_BIG ? QK_ERR_CORRUPT : buf_error(out);
}

static enum qk_err file_write(const char *path, struct bytes bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    enum qk_err err = QK_OK;
    size_t at = 0;

    if (fd < 0)
        return QK_ERR_IO;
    while (at < bytes.len && err == QK_OK) {
        ssize_t n = write(fd, bytes.data + at, bytes.len - at);

        if (n >= 0)
            at += (size_t)n;
        else if (errno != EINTR)
            err = errno == ENOSPC ? QK_ERR_FULL : QK_ERR_IO;
    }
    if (err == QK_OK && fsync(fd) != 0)
        err = QK_ERR_IO;
    (void)close(fd);
    return err;
}

static enum qk_err folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum qk_err err = fd >= 0 && fsync(fd) == 0 ? QK_OK : QK_ERR_IO;

    if (fd >= 0)
        (void)close(fd);
    return err;
}

static enum qk_err file_replace(const char *data_dir, const char *path, struct bytes bytes)
{
    char fresh[PATH_MAX];
    enum qk_err err;

    if (path_of(data_dir, "members.new", fresh) != 0)
        return QK_ERR_TOO_BIG;
    err = file_write(fresh, bytes);
    if (err == QK_OK && rename(fresh, path) != 0)
        err = QK_ERR_IO;
    if (err != QK_OK)
        (void)unlink(fresh);
    return err == QK_OK ? folder_sync(data_dir) : err;
}

enum qk_err members_file_save(const char *data_dir, const struct member_facts *facts)
{
    struct buf is = BUF_INIT(MEMBERS_FILE_BYTES_MAX), was = BUF_INIT(MEMBERS_FILE_BYTES_MAX);
    char path[PATH_MAX];
    enum qk_err err;

    members_file_encode(facts, &is);
    err = buf_error(&is);
    if (err == QK_OK && path_of(data_dir, "members", path) != 0)
        err = QK_ERR_TOO_BIG;
    if (err == QK_OK &&
        (file_read(path, &was) != QK_OK || !bytes_equal(buf_bytes(&is), buf_bytes(&was))))
        err = file_replace(data_dir, path, buf_bytes(&is));
    buf_fini(&is);
    buf_fini(&was);
    return err;
}

enum qk_err members_file_load(const char *data_dir, struct member_facts *ret_facts)
{
    struct buf in = BUF_INIT(MEMBERS_FILE_BYTES_MAX);
    char path[PATH_MAX];
    enum qk_err err = QK_ERR_TOO_BIG;

    if (path_of(data_dir, "members", path) == 0)
        err = file_read(path, &in);
    if (err == QK_OK)
        err = members_file_decode(buf_bytes(&in), ret_facts);
    buf_fini(&in);
    return err;
}
