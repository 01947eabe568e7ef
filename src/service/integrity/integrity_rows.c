#include "service/integrity/integrity_rows.h"

#include <assert.h>
#include <string.h>

void integrity_row_put(const struct integrity_row *row, struct buf *out)
{
    assert(row->name.len <= RECORD_KEY_BYTES_MAX);
    buf_put_u16(out, (uint16_t)row->name.len);
    buf_put_bytes(out, row->name);
    buf_put_u64(out, row->version);
    buf_put_u64(out, row->stamp);
    buf_put(out, row->digest, INTEGRITY_ROW_DIGEST_BYTES);
}

enum qk_err integrity_row_read(struct reader *reader, struct integrity_row *ret_row)
{
    struct integrity_row row;

    if (reader_error(reader) == QK_OK && reader->at == reader->in.len)
        return QK_ERR_NOT_FOUND;
    row.name = reader_bytes(reader, reader_u16(reader));
    row.version = reader_u64(reader);
    row.stamp = reader_u64(reader);
    reader_copy(reader, row.digest, INTEGRITY_ROW_DIGEST_BYTES);
    if (reader_error(reader) != QK_OK || row.name.len > RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES ||
        row.version == 0)
        return QK_ERR_INVALID;
    *ret_row = row;
    return QK_OK;
}

/* A stamp is of one write and of the same one on every node. */
enum integrity_verdict integrity_judge(const struct integrity_row *here,
                                       const struct integrity_row *there, uint64_t stamp)
{
    if (here == NULL)
        return INTEGRITY_ABSENT;
    if (here->stamp > stamp)
        return INTEGRITY_NEWER;
    if (here->stamp == there->stamp && here->version == there->version &&
        memcmp(here->digest, there->digest, INTEGRITY_ROW_DIGEST_BYTES) == 0)
        return INTEGRITY_SAME;
    return INTEGRITY_DIFFERENT;
}

enum integrity_harm integrity_harm(const struct integrity_row *wrong,
                                   const struct integrity_row *right)
{
    if (wrong->version == 0)
        return INTEGRITY_DELETED;
    if (right->version == 0)
        return INTEGRITY_INSERTED;
    return wrong->stamp < right->stamp ? INTEGRITY_ROLLED_BACK : INTEGRITY_CHANGED;
}

const char *integrity_harm_text(enum integrity_harm harm)
{
    switch (harm) {
    case INTEGRITY_ROLLED_BACK:
        return "rolled back";
    case INTEGRITY_DELETED:
        return "deleted";
    case INTEGRITY_INSERTED:
        return "inserted";
    case INTEGRITY_CHANGED:
        return "changed";
    }
    return "changed";
}
