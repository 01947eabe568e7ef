/* The file of a backup, in pieces whose size the first byte says. What is read to its end is
 * written again as the same bytes, but for the MAC. */
#include <string.h>

#include "fuzz.h"
#include "wire/backup.h"

static void seed_head(struct backup_writer *writer, struct buf *out)
{
    struct backup_head head = {.cluster = {1}, .index = 9, .stamp = 12, .mk_version = 1};

    backup_write_head(writer, &head, out);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    static const uint8_t mac[BACKUP_SUM_BYTES];
    struct backup_writer writer;

    if (number >= 3)
        return false;
    buf_put_u8(out, (uint8_t)(number * 40));
    seed_head(&writer, out);
    for (unsigned i = 0; i < number; i++)
        backup_write_chunk(&writer, bytes_str("chunk"), out);
    backup_write_end(&writer, out);
    buf_put(out, mac, sizeof mac);
    return true;
}

static void fuzz_again(const struct backup_reader *reader, struct bytes chunks, struct bytes file)
{
    struct buf again = BUF_INIT(16 * MIB);
    struct backup_writer writer;

    backup_write_head(&writer, &reader->head, &again);
    buf_put_bytes(&again, chunks);
    fuzz_must(buf_error(&again));
    fuzz_require(bytes_starts_with(file, buf_bytes(&again)));
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes file = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1), in = file;
    size_t piece = len == 0 ? 1 : (size_t)data[0] + 1;
    struct buf chunks = BUF_INIT(16 * MIB);
    struct backup_reader reader;
    enum qk_err err = QK_OK;
    char text[200];

    backup_reader_init(&reader);
    while (err == QK_OK && in.len > 0) {
        struct bytes part = bytes_slice(in, 0, piece), chunk;
        size_t before = part.len;

        err = backup_reader_next(&reader, &part, &chunk);
        in = bytes_slice(in, before - part.len, SIZE_MAX);
        fuzz_touch(chunk);
        if (chunk.len > 0 && err == QK_OK) {
            buf_put_blob(&chunks, chunk);
            buf_put(&chunks, reader.seen.sum, BACKUP_SUM_BYTES);
        }
    }
    if (err == QK_OK)
        err = backup_reader_end(&reader);
    if (err == QK_OK)
        fuzz_again(&reader, buf_bytes(&chunks), file);
    backup_reader_text(&reader, text, sizeof text);
    backup_reader_fini(&reader);
    buf_fini(&chunks);
    return 0;
}
