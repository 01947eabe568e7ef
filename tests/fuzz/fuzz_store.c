/* Rows of the store's file and messages of the snapshot stream. By the first byte: below 7 a row of
 * that table, its checksum as it is; below 14 the same with a right checksum; else a message. Key
 * length u8, key, row. */
#include <string.h>

#include "fuzz.h"
#include "node/transfer_message.h"
#include "store/crc.h"
#include "store/format.h"

#define ROWS_N (2 * FORMAT_TABLES_N)

/* Lengths of a row of each table, and of its key. */
static const struct {
    uint8_t key, row;
} lengths[FORMAT_TABLES_N] = {
    [FORMAT_RECORDS] = {FORMAT_CHANGE_KEY_BYTES, 40},
    [FORMAT_CHANGES] = {FORMAT_CHANGE_KEY_BYTES, 40},
    [FORMAT_STATS] = {DATABASE_ID_BYTES, FORMAT_STATS_BYTES},
    [FORMAT_KEYS] = {TALLY_ID_BYTES, FORMAT_KEY_BYTES},
    [FORMAT_DROPS] = {DATABASE_ID_BYTES, FORMAT_DROP_BYTES},
    [FORMAT_META] = {DATABASE_ID_BYTES, FORMAT_STATE_BYTES},
    [FORMAT_LOCAL] = {DATABASE_ID_BYTES, 40},
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    static const uint8_t key[TALLY_ID_BYTES] = {1};
    static const uint8_t row[FORMAT_KEY_BYTES] = {0, 0, 0, 0, 0, 0, 0, FORMAT_VERSION};
    struct transfer_message message = {.type = TRANSFER_OFFER, .total = 1000};

    if (number >= ROWS_N + TRANSFER_ABORT)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number < ROWS_N) {
        buf_put_u8(out, lengths[number % FORMAT_TABLES_N].key);
        buf_put(out, key, lengths[number % FORMAT_TABLES_N].key);
        buf_put(out, row, lengths[number % FORMAT_TABLES_N].row);
        return true;
    }
    message.type = (enum transfer_type)(number - ROWS_N + 1);
    if (message.type == TRANSFER_OFFER || message.type == TRANSFER_CHUNK)
        message.body = bytes_str("body");
    transfer_message_write(&message, out);
    buf_put_bytes(out, message.body);
    return true;
}

static void write_again(struct bytes key, struct bytes row)
{
    struct format_record record;
    static uint8_t out[64 * KIB];

    if (format_record_read(key, row, &record) != QK_OK || row.len > sizeof out)
        return;
    format_record_write(key, &record, out);
    fuzz_require(bytes_equal(row, bytes_of(out, row.len)));
}

static void fuzz_row(enum format_table table, bool sealed, struct bytes in)
{
    struct reader reader = reader_of(in);
    struct bytes key = reader_bytes(&reader, reader_u8(&reader));
    struct bytes rest = reader_rest(&reader);
    struct bytes crc_key = table == FORMAT_META ? bytes_str(FORMAT_STATE_KEY) : key;
    static uint8_t row[64 * KIB];
    char text[64];

    if (reader_error(&reader) != QK_OK || rest.len > sizeof row || rest.len == 0)
        return;
    memcpy(row, rest.data, rest.len);
    if (sealed && rest.len >= 4)
        put_u32(row, crc32c(crc32c(0, crc_key), bytes_of(row + 4, rest.len - 4)));
    format_key_text(key, text, sizeof text);
    fuzz_require(strlen(text) < sizeof text);
    if (format_row_check(table, key, bytes_of(row, rest.len)) == QK_OK && table == FORMAT_RECORDS)
        write_again(key, bytes_of(row, rest.len));
}

static void fuzz_transfer(struct bytes in)
{
    struct transfer_message message;
    struct buf again = BUF_INIT(2 * MIB);

    if (transfer_message_read(in, &message) != QK_OK)
        return;
    transfer_message_write(&message, &again);
    buf_put_bytes(&again, message.body);
    fuzz_require(bytes_equal(in, buf_bytes(&again)));
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    if (len == 0)
        return 0;
    if (data[0] < ROWS_N)
        fuzz_row((enum format_table)(data[0] % FORMAT_TABLES_N), data[0] >= FORMAT_TABLES_N, in);
    else
        fuzz_transfer(in);
    return 0;
}
