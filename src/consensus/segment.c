#include "consensus/segment.h"

#include <assert.h>
#include <string.h>
#include <zlib.h>

#include "consensus/apply.h"

#define SEGMENT_MAGIC "QKRAFTL1"
#define RECORD_MAGIC 0x514b5231u /* "QKR1" */
#define SECTOR_BYTES 512

/* Head of a record: magic u32, crc of bytes 8.. of the head u32, crc of the payload u32, payload
 * length u32, index u64, term u64, group u64, type u8, flags u8, six zeros. */

void segment_head_encode(const struct segment_head *head,
                         uint8_t ret_out[static SEGMENT_HEAD_BYTES])
{
    memset(ret_out, 0, SEGMENT_HEAD_BYTES);
    memcpy(ret_out, SEGMENT_MAGIC, 8);
    put_u64(ret_out + 16, head->epoch);
    put_u64(ret_out + 24, head->sequence);
    put_u64(ret_out + 32, head->size);
    put_u32(ret_out + 8, (uint32_t)crc32(0, ret_out + 16, SEGMENT_HEAD_BYTES - 16));
}

enum qk_err segment_head_decode(struct bytes file, struct segment_head *ret_head)
{
    if (file.len < SEGMENT_HEAD_BYTES || memcmp(file.data, SEGMENT_MAGIC, 8) != 0 ||
        get_u32(file.data + 12) != 0 ||
        get_u32(file.data + 8) != crc32(0, file.data + 16, SEGMENT_HEAD_BYTES - 16))
        return QK_ERR_CORRUPT;
    ret_head->epoch = get_u64(file.data + 16);
    ret_head->sequence = get_u64(file.data + 24);
    ret_head->size = get_u64(file.data + 32);
    return QK_OK;
}

size_t record_bytes(size_t payload_len)
{
    return (RECORD_HEAD_BYTES + payload_len + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

static uint32_t head_crc(const uint8_t *head)
{
    return (uint32_t)crc32(0, head + 8, RECORD_HEAD_BYTES - 8);
}

void record_encode(const struct record *record, struct buf *out)
{
    static const uint8_t zeros[RECORD_ALIGN] = {0};
    uint8_t head[RECORD_HEAD_BYTES] = {0};
    size_t bytes = record_bytes(record->payload.len);

    put_u32(head, RECORD_MAGIC);
    put_u32(head + 8, (uint32_t)crc32(0, record->payload.data, (uInt)record->payload.len));
    put_u32(head + 12, (uint32_t)record->payload.len);
    put_u64(head + 16, record->index);
    put_u64(head + 24, record->term);
    put_u64(head + 32, record->group);
    head[40] = record->type;
    head[41] = record->flags;
    put_u32(head + 4, head_crc(head));
    buf_put(out, head, sizeof(head));
    buf_put_bytes(out, record->payload);
    buf_put(out, zeros, bytes - RECORD_HEAD_BYTES - record->payload.len);
}

void record_mark_last(uint8_t *record)
{
    assert(get_u32(record) == RECORD_MAGIC);
    record[41] |= RECORD_FLAG_LAST;
    put_u32(record + 4, head_crc(record));
}

static bool all_zero(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] != 0)
            return false;
    }
    return true;
}

/* True if the part of [at, at + len) in some sector is all zero: that sector was never written. */
static bool has_absent_sector(struct bytes file, size_t at, size_t len)
{
    size_t end = at + len < file.len ? at + len : file.len;

    while (at < end) {
        size_t sector_end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        size_t part = (sector_end < end ? sector_end : end) - at;
        if (all_zero(file.data + at, part))
            return true;
        at += part;
    }
    return false;
}

/* True if a whole head is there. */
static bool decode_head(struct bytes file, size_t at, struct record *record, uint32_t *ret_crc)
{
    const uint8_t *head = file.data + at;

    if (file.len - at < RECORD_HEAD_BYTES || get_u32(head) != RECORD_MAGIC ||
        get_u32(head + 4) != head_crc(head))
        return false;
    *ret_crc = get_u32(head + 8);
    record->payload.len = get_u32(head + 12);
    record->index = get_u64(head + 16);
    record->term = get_u64(head + 24);
    record->group = get_u64(head + 32);
    record->type = head[40];
    record->flags = head[41];
    record->payload.data = head + RECORD_HEAD_BYTES;
    record->bytes = record_bytes(record->payload.len);
    return record->payload.len <= ENTRY_BYTES_MAX && record->bytes <= file.len - at;
}

enum record_state record_decode(struct bytes file, size_t at, struct record *ret_record)
{
    uint32_t crc;

    assert(at <= file.len);
    memset(ret_record, 0, sizeof(*ret_record));
    if (file.len - at < RECORD_HEAD_BYTES || all_zero(file.data + at, RECORD_HEAD_BYTES))
        return all_zero(file.data + at, file.len - at) ? RECORD_NONE : RECORD_ABSENT;
    if (!decode_head(file, at, ret_record, &crc))
        return has_absent_sector(file, at, RECORD_HEAD_BYTES) ? RECORD_ABSENT : RECORD_DAMAGED;
    if (crc == crc32(0, ret_record->payload.data, (uInt)ret_record->payload.len))
        return RECORD_SOUND;
    return has_absent_sector(file, at, RECORD_HEAD_BYTES + ret_record->payload.len)
               ? RECORD_ABSENT
               : RECORD_DAMAGED;
}

uint64_t segment_later_group(struct bytes file, size_t at, uint64_t group)
{
    struct record record;
    uint32_t crc;

    for (; at + RECORD_HEAD_BYTES <= file.len; at += RECORD_ALIGN) {
        if (get_u32(file.data + at) == RECORD_MAGIC && decode_head(file, at, &record, &crc) &&
            record.group > group)
            return record.group;
    }
    return 0;
}
