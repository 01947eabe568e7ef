#include "store/format.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "store/crc.h"

#define CRC_BYTES 4

const char *format_table_name(enum format_table table)
{
    static const char *const names[FORMAT_TABLES_N] = {"records", "changes", "stats", "keys",
                                                       "drops",   "meta",    "local"};

    assert(table < FORMAT_TABLES_N);
    return names[table];
}

/* A checksum that also binds the row to its key, so that a row under another's key is found. */
static uint32_t row_crc(struct bytes key, struct bytes row)
{
    return crc32c(crc32c(0, key), bytes_slice(row, CRC_BYTES, SIZE_MAX));
}

static void row_seal(struct bytes key, uint8_t *row, size_t len)
{
    put_u32(row, row_crc(key, bytes_of(row, len)));
}

/* A reader behind the checksum, which must be right. */
static enum qk_err row_open(struct bytes key, struct bytes row, size_t len_min,
                            struct reader *ret_reader)
{
    if (row.len < len_min || get_u32(row.data) != row_crc(key, row))
        return QK_ERR_CORRUPT;
    *ret_reader = reader_of(bytes_slice(row, CRC_BYTES, SIZE_MAX));
    return QK_OK;
}

struct record format_record_public(const struct format_record *record)
{
    return (struct record){.version = record->version,
                           .seq = record->seq,
                           .flags = record->flags,
                           .value = record->value,
                           .stamp = record->stamp};
}

void format_record_write(struct bytes key, const struct format_record *record, uint8_t *ret_out)
{
    put_u64(ret_out + 4, record->version);
    put_u64(ret_out + 12, record->seq);
    put_u64(ret_out + 20, record->stamp);
    ret_out[28] = record->flags;
    if (record->value.len > 0)
        memcpy(ret_out + FORMAT_RECORD_HEAD_BYTES, record->value.data, record->value.len);
    row_seal(key, ret_out, FORMAT_RECORD_HEAD_BYTES + record->value.len);
}

enum qk_err format_record_read(struct bytes key, struct bytes row, struct format_record *ret_record)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_RECORD_HEAD_BYTES, &reader);

    if (err != QK_OK)
        return err;
    ret_record->version = reader_u64(&reader);
    ret_record->seq = reader_u64(&reader);
    ret_record->stamp = reader_u64(&reader);
    ret_record->flags = reader_u8(&reader);
    ret_record->value = reader_rest(&reader);
    return reader_end(&reader);
}

void format_change_write(struct bytes key, uint64_t stamp, uint8_t flags, struct bytes name,
                         uint8_t *ret_out)
{
    put_u64(ret_out + 4, stamp);
    ret_out[12] = flags;
    if (name.len > 0)
        memcpy(ret_out + FORMAT_CHANGE_HEAD_BYTES, name.data, name.len);
    row_seal(key, ret_out, FORMAT_CHANGE_HEAD_BYTES + name.len);
}

enum qk_err format_change_read(struct bytes key, struct bytes row, uint64_t *ret_stamp,
                               struct bytes *ret_name)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_CHANGE_HEAD_BYTES, &reader);

    if (err != QK_OK || key.len != FORMAT_CHANGE_KEY_BYTES)
        return QK_ERR_CORRUPT;
    *ret_stamp = reader_u64(&reader);
    (void)reader_u8(&reader); /* the flags, which the record has too */
    *ret_name = reader_rest(&reader);
    if (ret_name->len > RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES)
        return QK_ERR_CORRUPT;
    return reader_end(&reader);
}

void format_stats_write(struct bytes key, const struct store_stats *stats,
                        uint8_t ret_out[static FORMAT_STATS_BYTES])
{
    put_u64(ret_out + 4, stats->seq);
    put_u64(ret_out + 12, stats->doc_count);
    put_u64(ret_out + 20, stats->del_count);
    put_u64(ret_out + 28, stats->bytes);
    row_seal(key, ret_out, FORMAT_STATS_BYTES);
}

enum qk_err format_stats_read(struct bytes key, struct bytes row, struct store_stats *ret_stats)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_STATS_BYTES, &reader);

    if (err != QK_OK || key.len != DATABASE_ID_BYTES || row.len != FORMAT_STATS_BYTES)
        return QK_ERR_CORRUPT;
    ret_stats->seq = reader_u64(&reader);
    ret_stats->doc_count = reader_u64(&reader);
    ret_stats->del_count = reader_u64(&reader);
    ret_stats->bytes = reader_u64(&reader);
    return reader_end(&reader);
}

void format_key_write(struct bytes key, const struct store_key_stats *stats,
                      uint8_t ret_out[static FORMAT_KEY_BYTES])
{
    put_u64(ret_out + 4, stats->doc_count);
    put_u64(ret_out + 12, stats->del_count);
    put_u64(ret_out + 20, stats->bodies);
    put_u64(ret_out + 28, stats->bytes);
    put_u64(ret_out + 36, stats->sealed);
    put_u64(ret_out + 44, stats->sealed_bytes);
    row_seal(key, ret_out, FORMAT_KEY_BYTES);
}

enum qk_err format_key_read(struct bytes key, struct bytes row, struct store_key_stats *ret_stats)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_KEY_BYTES, &reader);

    if (err != QK_OK || key.len != TALLY_ID_BYTES || row.len != FORMAT_KEY_BYTES)
        return QK_ERR_CORRUPT;
    ret_stats->doc_count = reader_u64(&reader);
    ret_stats->del_count = reader_u64(&reader);
    ret_stats->bodies = reader_u64(&reader);
    ret_stats->bytes = reader_u64(&reader);
    ret_stats->sealed = reader_u64(&reader);
    ret_stats->sealed_bytes = reader_u64(&reader);
    return reader_end(&reader);
}

void format_drop_write(struct bytes key, uint64_t stamp, uint8_t ret_out[static FORMAT_DROP_BYTES])
{
    put_u64(ret_out + 4, stamp);
    row_seal(key, ret_out, FORMAT_DROP_BYTES);
}

enum qk_err format_drop_read(struct bytes key, struct bytes row, uint64_t *ret_stamp)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_DROP_BYTES, &reader);

    if (err != QK_OK || key.len != DATABASE_ID_BYTES || row.len != FORMAT_DROP_BYTES)
        return QK_ERR_CORRUPT;
    *ret_stamp = reader_u64(&reader);
    return reader_end(&reader);
}

void format_state_write(const struct format_state *state,
                        uint8_t ret_out[static FORMAT_STATE_BYTES])
{
    put_u32(ret_out + 4, FORMAT_VERSION);
    put_u64(ret_out + 8, state->index);
    put_u64(ret_out + 16, state->term);
    put_u64(ret_out + 24, state->stamp);
    row_seal(bytes_str(FORMAT_STATE_KEY), ret_out, FORMAT_STATE_BYTES);
}

enum qk_err format_state_read(struct bytes row, struct format_state *ret_state)
{
    struct reader reader;
    enum qk_err err = row_open(bytes_str(FORMAT_STATE_KEY), row, FORMAT_STATE_BYTES, &reader);

    if (err != QK_OK)
        return err;
    if (reader_u32(&reader) != FORMAT_VERSION)
        return QK_ERR_UNSUPPORTED;
    ret_state->index = reader_u64(&reader);
    ret_state->term = reader_u64(&reader);
    ret_state->stamp = reader_u64(&reader);
    return reader_end(&reader) == QK_OK ? QK_OK : QK_ERR_CORRUPT;
}

void format_local_write(struct bytes key, struct bytes value, uint8_t *ret_out)
{
    if (value.len > 0)
        memcpy(ret_out + FORMAT_LOCAL_HEAD_BYTES, value.data, value.len);
    row_seal(key, ret_out, FORMAT_LOCAL_HEAD_BYTES + value.len);
}

enum qk_err format_local_read(struct bytes key, struct bytes row, struct bytes *ret_value)
{
    struct reader reader;
    enum qk_err err = row_open(key, row, FORMAT_LOCAL_HEAD_BYTES, &reader);

    if (err == QK_OK)
        *ret_value = reader_rest(&reader);
    return err;
}

enum qk_err format_row_check(enum format_table table, struct bytes key, struct bytes row)
{
    struct format_record record;
    struct store_stats stats;
    struct store_key_stats key_stats;
    struct format_state state;
    struct bytes value;
    uint64_t stamp;

    switch (table) {
    case FORMAT_RECORDS:
        if (key.len < DATABASE_ID_BYTES || key.len > RECORD_KEY_BYTES_MAX)
            return QK_ERR_CORRUPT;
        return format_record_read(key, row, &record);
    case FORMAT_CHANGES:
        return format_change_read(key, row, &stamp, &value);
    case FORMAT_STATS:
        return format_stats_read(key, row, &stats);
    case FORMAT_KEYS:
        return format_key_read(key, row, &key_stats);
    case FORMAT_DROPS:
        return format_drop_read(key, row, &stamp);
    case FORMAT_META:
        return format_state_read(row, &state);
    case FORMAT_LOCAL:
        return format_local_read(key, row, &value);
    case FORMAT_TABLES_N:
        break;
    }
    return QK_ERR_CORRUPT;
}

uint64_t format_row_stamp(enum format_table table, struct bytes row)
{
    switch (table) {
    case FORMAT_RECORDS:
        return get_u64(row.data + 20);
    case FORMAT_CHANGES:
        return get_u64(row.data + 4);
    case FORMAT_STATS:
    case FORMAT_KEYS:
    case FORMAT_DROPS:
    case FORMAT_META:
    case FORMAT_LOCAL:
    case FORMAT_TABLES_N:
        break;
    }
    return UINT64_MAX; /* a dropped database has no statistics any more */
}

void format_change_key(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                       uint8_t ret_key[static FORMAT_CHANGE_KEY_BYTES])
{
    memcpy(ret_key, database, DATABASE_ID_BYTES);
    put_u64(ret_key + DATABASE_ID_BYTES, seq);
}

void format_key_text(struct bytes key, char *ret_text, size_t size)
{
    struct buf out = BUF_INIT(4 * KIB);

    assert(size > 0);
    for (size_t i = 0; i < key.len; i++) {
        if (i == DATABASE_ID_BYTES)
            buf_put_str(&out, "/");
        if (i < DATABASE_ID_BYTES)
            buf_printf(&out, "%02x", key.data[i]);
        else if (key.data[i] > ' ' && key.data[i] < 0x7f)
            buf_printf(&out, "%c", key.data[i]);
        else
            buf_printf(&out, "\\x%02x", key.data[i]);
    }
    (void)snprintf(ret_text, size, "%.*s", (int)out.len,
                   out.data == NULL ? "" : (const char *)out.data);
    buf_fini(&out);
}
