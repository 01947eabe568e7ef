/* Segments of the log on disk. First byte even: the rest is a segment as it is. Odd: the rest
 * describes records, which are written, must read back as they were, and are read again after the
 * changes that its end describes. */
#include <string.h>

#include "consensus/segment.h"
#include "fuzz.h"

#define RECORDS_MAX 16
#define CHANGES_MAX 4

static void put_record(unsigned i, struct buf *out)
{
    struct record record = {.index = i + 1, .term = 1, .group = i / 2 + 1, .type = 1};

    record.payload = bytes_slice(bytes_str("some payload of a record"), 0, i * 7);
    record.flags = i % 2;
    record_encode(&record, out);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    const struct segment_head head = {1, 1, 4096};
    uint8_t raw[SEGMENT_HEAD_BYTES];

    if (number >= 2)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number == 0) {
        segment_head_encode(&head, raw);
        buf_put(out, raw, sizeof raw);
        for (unsigned i = 0; i < 4; i++)
            put_record(i, out);
    } else {
        for (unsigned i = 0; i < 40; i++)
            buf_put_u8(out, (uint8_t)(i * 5));
    }
    return true;
}

/* How many sound records stand in a row from `at`. */
static size_t walk(struct bytes file, size_t at)
{
    struct record record;
    size_t n = 0;

    while (at <= file.len) {
        enum record_state state = record_decode(file, at, &record);

        if (state != RECORD_SOUND) {
            fuzz_require(segment_later_group(file, at, 1) != 1);
            break;
        }
        fuzz_touch(record.payload);
        fuzz_require(record.bytes > 0 && record.bytes % RECORD_ALIGN == 0);
        at += record.bytes;
        n++;
    }
    return n;
}

static void fuzz_raw(struct bytes in)
{
    static uint8_t file[16 * KIB];
    struct segment_head head, again;
    size_t len = in.len < sizeof file ? in.len : sizeof file;

    memset(file, 0, SEGMENT_HEAD_BYTES);
    if (len > 0)
        memcpy(file, in.data, len);
    if (segment_head_decode(bytes_of(file, len), &head) == QK_OK) {
        uint8_t raw[SEGMENT_HEAD_BYTES];

        segment_head_encode(&head, raw);
        fuzz_must(segment_head_decode(bytes_of(raw, sizeof raw), &again));
        fuzz_require(memcmp(&head, &again, sizeof head) == 0);
    }
    if (len >= SEGMENT_HEAD_BYTES)
        (void)walk(bytes_of(file, len), SEGMENT_HEAD_BYTES);
}

static void fuzz_written(struct bytes in)
{
    struct reader reader = reader_of(in);
    struct buf file = BUF_INIT(64 * KIB);
    size_t n = reader_u8(&reader) % RECORDS_MAX, sound;

    for (size_t i = 0; i < n; i++) {
        struct record record = {.index = reader_u8(&reader), .term = reader_u8(&reader)};

        record.group = i / 3 + 1;
        record.type = reader_u8(&reader);
        record.payload = bytes_slice(in, reader.at, reader_u8(&reader));
        record_encode(&record, &file);
    }
    buf_put(&file, (uint8_t[64]){0}, 64);
    fuzz_must(buf_error(&file));
    fuzz_require(walk(buf_bytes(&file), 0) == n);
    for (unsigned i = 0; i < CHANGES_MAX; i++)
        file.data[reader_u16(&reader) % file.len] ^= reader_u8(&reader);
    sound = walk(buf_bytes(&file), 0);
    fuzz_require(sound <= n + 1);
    buf_fini(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_raw(in);
    else
        fuzz_written(in);
    return 0;
}
