#include "wire/backup.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "secret/crypto.h"

#define MAGIC "QKBACKUP"
#define MAGIC_BYTES 8
#define LEN_BYTES 4
#define MAC_BYTES BACKUP_SUM_BYTES

_Static_assert(BACKUP_SUM_BYTES == HASH_BYTES, "checksums are BLAKE2b-256");

bool backup_is_full(const struct backup_head *head)
{
    static const uint8_t none[BACKUP_ID_BYTES];

    return memcmp(head->base, none, sizeof none) == 0;
}

/* --- writing --------------------------------------------------------------------------------- */

/* Goes on from the checksum before; `first`: there is none. */
static void sum_next(struct backup_writer *writer, bool first, struct bytes part)
{
    struct bytes parts[2] = {first ? BYTES_NONE : bytes_of(writer->sum, BACKUP_SUM_BYTES), part};
    uint8_t sum[BACKUP_SUM_BYTES];

    hash_compute(parts, 2, sum);
    memcpy(writer->sum, sum, sizeof sum);
}

void backup_write_head(struct backup_writer *writer, const struct backup_head *head,
                       struct buf *out)
{
    size_t from = out->len;

    memset(writer, 0, sizeof *writer);
    buf_put(out, MAGIC, MAGIC_BYTES);
    buf_put_u16(out, BACKUP_VERSION);
    buf_put(out, head->cluster, CLUSTER_ID_BYTES);
    buf_put(out, head->origin, CLUSTER_ID_BYTES);
    buf_put(out, head->id, BACKUP_ID_BYTES);
    buf_put(out, head->base, BACKUP_ID_BYTES);
    buf_put_u64(out, head->base_stamp);
    buf_put_u64(out, head->index);
    buf_put_u64(out, head->term);
    buf_put_u64(out, head->stamp);
    buf_put_u32(out, head->mk_version);
    buf_put_u64(out, head->created_s);
    if (buf_error(out) != QK_OK)
        return;
    sum_next(writer, true, bytes_of(out->data + from, out->len - from));
    buf_put(out, writer->sum, BACKUP_SUM_BYTES);
}

void backup_write_chunk(struct backup_writer *writer, struct bytes data, struct buf *out)
{
    size_t from = out->len;

    assert(data.len > 0 && data.len <= BACKUP_CHUNK_BYTES_MAX);
    buf_put_blob(out, data);
    if (buf_error(out) != QK_OK)
        return;
    sum_next(writer, false, bytes_of(out->data + from, out->len - from));
    buf_put(out, writer->sum, BACKUP_SUM_BYTES);
    writer->chunks_n++;
    writer->bytes_n += data.len;
}

void backup_write_end(const struct backup_writer *writer, struct buf *out)
{
    buf_put_u32(out, 0);
    buf_put_u64(out, writer->chunks_n);
    buf_put_u64(out, writer->bytes_n);
    buf_put(out, writer->sum, BACKUP_SUM_BYTES);
}

/* --- reading --------------------------------------------------------------------------------- */

void backup_reader_init(struct backup_reader *reader)
{
    memset(reader, 0, sizeof *reader);
    reader->have = BUF_INIT(LEN_BYTES + BACKUP_CHUNK_BYTES_MAX + BACKUP_SUM_BYTES);
    reader->need = BACKUP_HEAD_BYTES;
}

void backup_reader_fini(struct backup_reader *reader)
{
    buf_fini(&reader->have);
}

static enum qk_err fault(struct backup_reader *reader, enum qk_err err, const char *what)
{
    reader->fault = what;
    return err;
}

static void part_begin(struct backup_reader *reader, enum backup_part part, size_t need)
{
    reader->offset += reader->have.len;
    reader->part = part;
    reader->need = need;
}

/* Does the part end in the checksum that follows from what came before? */
static bool sum_matches(struct backup_reader *reader)
{
    struct bytes have = buf_bytes(&reader->have);
    size_t at = have.len - BACKUP_SUM_BYTES;

    sum_next(&reader->seen, reader->part == BACKUP_AT_HEAD, bytes_slice(have, 0, at));
    return memcmp(reader->seen.sum, have.data + at, BACKUP_SUM_BYTES) == 0;
}

static enum qk_err take_head(struct backup_reader *reader)
{
    struct backup_head *head = &reader->head;
    struct reader in = reader_of(buf_bytes(&reader->have));

    if (!bytes_equal(reader_bytes(&in, MAGIC_BYTES), bytes_str(MAGIC)))
        return fault(reader, QK_ERR_CORRUPT, "this is no backup of Quorumkeep");
    if (reader_u16(&in) != BACKUP_VERSION)
        return fault(reader, QK_ERR_UNSUPPORTED, "it was made by another version of this program");
    if (!sum_matches(reader))
        return fault(reader, QK_ERR_CORRUPT, "its checksum does not match");
    reader_copy(&in, head->cluster, CLUSTER_ID_BYTES);
    reader_copy(&in, head->origin, CLUSTER_ID_BYTES);
    reader_copy(&in, head->id, BACKUP_ID_BYTES);
    reader_copy(&in, head->base, BACKUP_ID_BYTES);
    head->base_stamp = reader_u64(&in);
    head->index = reader_u64(&in);
    head->term = reader_u64(&in);
    head->stamp = reader_u64(&in);
    head->mk_version = reader_u32(&in);
    head->created_s = reader_u64(&in);
    if (head->index == 0 || head->mk_version == 0 || head->base_stamp > head->stamp)
        return fault(reader, QK_ERR_CORRUPT, "its numbers contradict each other");
    memcpy(reader->head_bytes, reader->have.data, BACKUP_HEAD_BYTES);
    part_begin(reader, BACKUP_AT_LEN, LEN_BYTES);
    buf_reset(&reader->have);
    return QK_OK;
}

/* The length alone tells how long the part is; its bytes stay, as the part's first. */
static enum qk_err take_len(struct backup_reader *reader)
{
    uint32_t len = get_u32(reader->have.data);

    if (len > BACKUP_CHUNK_BYTES_MAX)
        return fault(reader, QK_ERR_CORRUPT, "it says that it is longer than any may be");
    reader->part = len == 0 ? BACKUP_AT_END : BACKUP_AT_CHUNK;
    reader->need = len == 0 ? BACKUP_END_BYTES : LEN_BYTES + len + BACKUP_SUM_BYTES;
    return QK_OK;
}

static enum qk_err take_chunk(struct backup_reader *reader, struct bytes *ret_chunk)
{
    size_t len = reader->have.len - LEN_BYTES - BACKUP_SUM_BYTES;

    if (!sum_matches(reader))
        return fault(reader, QK_ERR_CORRUPT, "its checksum does not match");
    reader->seen.chunks_n++;
    reader->seen.bytes_n += len;
    *ret_chunk = bytes_slice(buf_bytes(&reader->have), LEN_BYTES, len);
    part_begin(reader, BACKUP_AT_LEN, LEN_BYTES);
    return QK_OK;
}

static enum qk_err take_end(struct backup_reader *reader)
{
    struct reader in = reader_of(buf_bytes(&reader->have));

    (void)reader_u32(&in);
    if (reader_u64(&in) != reader->seen.chunks_n || reader_u64(&in) != reader->seen.bytes_n)
        return fault(reader, QK_ERR_CORRUPT, "chunks are missing before it");
    if (!bytes_equal(reader_bytes(&in, BACKUP_SUM_BYTES),
                     bytes_of(reader->seen.sum, BACKUP_SUM_BYTES)))
        return fault(reader, QK_ERR_CORRUPT, "its checksum does not match");
    memcpy(reader->end_bytes, reader->have.data, BACKUP_END_BYTES);
    part_begin(reader, BACKUP_DONE, 0);
    return QK_OK;
}

static enum qk_err take_part(struct backup_reader *reader, struct bytes *ret_chunk)
{
    switch (reader->part) {
    case BACKUP_AT_HEAD:
        return take_head(reader);
    case BACKUP_AT_LEN:
        return take_len(reader);
    case BACKUP_AT_CHUNK:
        return take_chunk(reader, ret_chunk);
    case BACKUP_AT_END:
        return take_end(reader);
    case BACKUP_DONE:
        break;
    }
    return fault(reader, QK_ERR_CORRUPT, "bytes behind the end");
}

enum qk_err backup_reader_next(struct backup_reader *reader, struct bytes *in,
                               struct bytes *ret_chunk)
{
    enum qk_err err = reader->fault != NULL ? QK_ERR_CORRUPT : QK_OK;

    *ret_chunk = BYTES_NONE;
    /* A chunk that was handed out is let go now. */
    if (reader->part == BACKUP_AT_LEN && reader->have.len > LEN_BYTES)
        buf_reset(&reader->have);
    while (err == QK_OK && in->len > 0 && ret_chunk->len == 0) {
        struct bytes part = bytes_slice(*in, 0, reader->need - reader->have.len);

        if (reader->part == BACKUP_DONE)
            return take_part(reader, ret_chunk);
        buf_put_bytes(&reader->have, part);
        *in = bytes_slice(*in, part.len, SIZE_MAX);
        err = buf_error(&reader->have);
        if (err == QK_OK && reader->have.len == reader->need)
            err = take_part(reader, ret_chunk);
    }
    return err;
}

enum qk_err backup_reader_end(struct backup_reader *reader)
{
    if (reader->fault != NULL)
        return QK_ERR_CORRUPT;
    if (reader->part == BACKUP_DONE)
        return QK_OK;
    return fault(reader, QK_ERR_CORRUPT, "the file ends here, before the backup does");
}

void backup_reader_text(const struct backup_reader *reader, char *ret_text, size_t size)
{
    const char *what = reader->fault != NULL ? reader->fault : "sound so far";

    if (reader->part == BACKUP_AT_HEAD)
        (void)snprintf(ret_text, size, "head at offset 0: %s", what);
    else if (reader->part == BACKUP_AT_END || reader->part == BACKUP_DONE)
        (void)snprintf(ret_text, size, "end at offset %" PRIu64 ": %s", reader->offset, what);
    else
        (void)snprintf(ret_text, size, "chunk %" PRIu64 " at offset %" PRIu64 ": %s",
                       reader->seen.chunks_n + 1, reader->offset, what);
}

void backup_reader_mac(const struct backup_reader *reader, struct bytes ret_parts[static 2],
                       const uint8_t **ret_mac)
{
    assert(reader->part == BACKUP_DONE);

    ret_parts[0] = bytes_of(reader->head_bytes, BACKUP_HEAD_BYTES);
    ret_parts[1] = bytes_of(reader->end_bytes, BACKUP_END_BYTES - MAC_BYTES);
    *ret_mac = reader->end_bytes + BACKUP_END_BYTES - MAC_BYTES;
}
