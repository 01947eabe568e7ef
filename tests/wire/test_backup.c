#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "secret/crypto.h"
#include "wire/backup.h"

#define FILE_BYTES_MAX (4 * MIB)

static const struct backup_head HEAD = {.cluster = {1},
                                        .origin = {2},
                                        .id = {3},
                                        .base = {4},
                                        .base_stamp = 7,
                                        .index = 11,
                                        .term = 2,
                                        .stamp = 13,
                                        .mk_version = 5,
                                        .created_s = 1800000000};

/* A backup of the given chunks, with a MAC of bytes 0xaa. */
static struct buf make(const char *const *chunks, size_t chunks_n)
{
    struct buf out = BUF_INIT(FILE_BYTES_MAX);
    struct backup_writer writer;
    uint8_t mac[BACKUP_SUM_BYTES];

    memset(mac, 0xaa, sizeof mac);
    backup_write_head(&writer, &HEAD, &out);
    for (size_t i = 0; i < chunks_n; i++)
        backup_write_chunk(&writer, bytes_str(chunks[i]), &out);
    backup_write_end(&writer, &out);
    buf_put(&out, mac, sizeof mac);
    cr_assert_eq(buf_error(&out), QK_OK);
    return out;
}

static const char *const TWO[] = {"the first chunk", "the second"};

/* Reads all of `file` in pieces of `piece` bytes; the data of its chunks goes to `data`. */
static enum qk_err read_all(struct backup_reader *reader, struct bytes file, size_t piece,
                            struct buf *data)
{
    backup_reader_init(reader);
    for (size_t at = 0; at < file.len; at += piece) {
        struct bytes in = bytes_slice(file, at, piece), chunk;

        while (in.len > 0) {
            enum qk_err err = backup_reader_next(reader, &in, &chunk);

            if (err != QK_OK)
                return err;
            buf_put_bytes(data, chunk);
        }
    }
    return backup_reader_end(reader);
}

static enum qk_err check(struct bytes file)
{
    struct buf data = BUF_INIT(FILE_BYTES_MAX);
    struct backup_reader reader;
    enum qk_err err = read_all(&reader, file, 7, &data);

    backup_reader_fini(&reader);
    buf_fini(&data);
    return err;
}

Test(backup, what_is_written_is_read_in_pieces_of_any_size)
{
    struct buf file = make(TWO, 2);
    const size_t pieces[] = {1, 2, 3, 64, 1000000};

    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct buf data = BUF_INIT(FILE_BYTES_MAX);
        struct backup_reader reader;
        struct bytes parts[2];
        const uint8_t *mac;

        cr_assert_eq(read_all(&reader, buf_bytes(&file), pieces[i], &data), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&data), bytes_str("the first chunkthe second")));
        cr_assert_eq(memcmp(&reader.head, &HEAD, sizeof HEAD), 0);
        cr_assert_eq(reader.seen.chunks_n, 2);
        backup_reader_mac(&reader, parts, &mac);
        cr_assert_eq(parts[0].len, BACKUP_HEAD_BYTES);
        cr_assert_eq(mac[0], 0xaa);
        cr_assert_eq(mac[BACKUP_SUM_BYTES - 1], 0xaa);
        backup_reader_fini(&reader);
        buf_fini(&data);
    }
    cr_assert_not(backup_is_full(&HEAD));
    buf_fini(&file);
}

Test(backup, cut_at_any_byte_it_is_not_whole)
{
    struct buf file = make(TWO, 2);

    for (size_t len = 0; len < file.len; len++)
        cr_assert_eq(check(bytes_of(file.data, len)), QK_ERR_CORRUPT, "%zu", len);
    buf_put_u8(&file, 0);
    cr_assert_eq(check(buf_bytes(&file)), QK_ERR_CORRUPT, "one byte more");
    buf_fini(&file);
}

/* But for the MAC, which only the key can judge. */
Test(backup, any_byte_flipped_is_found_without_a_key)
{
    struct buf file = make(TWO, 2);

    for (size_t at = 0; at < file.len - BACKUP_SUM_BYTES; at++) {
        enum qk_err err;

        file.data[at] ^= 0x40;
        err = check(buf_bytes(&file));
        cr_assert(err == QK_ERR_CORRUPT || err == QK_ERR_UNSUPPORTED, "%zu", at);
        file.data[at] ^= 0x40;
    }
    cr_assert_eq(check(buf_bytes(&file)), QK_OK);
    buf_fini(&file);
}

Test(backup, a_wrong_chunk_is_named_with_its_offset)
{
    struct buf file = make(TWO, 2);
    struct buf data = BUF_INIT(FILE_BYTES_MAX);
    struct backup_reader reader;
    size_t second = BACKUP_HEAD_BYTES + 4 + strlen(TWO[0]) + BACKUP_SUM_BYTES;
    char text[200], expected[200];

    file.data[second + 5] ^= 1;
    cr_assert_eq(read_all(&reader, buf_bytes(&file), 10, &data), QK_ERR_CORRUPT);
    backup_reader_text(&reader, text, sizeof text);
    snprintf(expected, sizeof expected, "chunk 2 at offset %zu: its checksum does not match",
             second);
    cr_assert_str_eq(text, expected);
    backup_reader_fini(&reader);
    buf_fini(&data);
    buf_fini(&file);
}

Test(backup, chunks_that_are_swapped_doubled_or_left_out_are_found)
{
    const char *const same[] = {"aaaa", "bbbb", "cccc"};
    struct buf file = make(same, 3);
    size_t one = 4 + 4 + BACKUP_SUM_BYTES;
    uint8_t *chunks = file.data + BACKUP_HEAD_BYTES;
    uint8_t kept[4 + 4 + BACKUP_SUM_BYTES];

    memcpy(kept, chunks, one);
    memcpy(chunks, chunks + one, one);
    memcpy(chunks + one, kept, one);
    cr_assert_eq(check(buf_bytes(&file)), QK_ERR_CORRUPT, "swapped");
    memcpy(chunks + one, chunks, one);
    cr_assert_eq(check(buf_bytes(&file)), QK_ERR_CORRUPT, "doubled");
    buf_fini(&file);
    file = make(same, 3);
    memmove(file.data + BACKUP_HEAD_BYTES + 2 * one, file.data + BACKUP_HEAD_BYTES + 3 * one,
            BACKUP_END_BYTES);
    cr_assert_eq(check(bytes_of(file.data, file.len - one)), QK_ERR_CORRUPT, "left out");
    buf_fini(&file);
}

Test(backup, a_chunk_of_another_backup_is_foreign)
{
    struct buf file = make(TWO, 2), other = BUF_INIT(FILE_BYTES_MAX);
    struct backup_head head = HEAD;
    struct backup_writer writer;

    head.id[0] = 99;
    backup_write_head(&writer, &head, &other);
    buf_put_bytes(&other, bytes_slice(buf_bytes(&file), BACKUP_HEAD_BYTES, SIZE_MAX));
    cr_assert_eq(check(buf_bytes(&other)), QK_ERR_CORRUPT);
    buf_fini(&other);
    buf_fini(&file);
}

Test(backup, the_longest_chunk_fits_and_a_longer_one_is_refused)
{
    static uint8_t data[BACKUP_CHUNK_BYTES_MAX];
    struct buf file = BUF_INIT(FILE_BYTES_MAX);
    struct backup_writer writer;
    uint8_t mac[BACKUP_SUM_BYTES] = {0};

    backup_write_head(&writer, &HEAD, &file);
    backup_write_chunk(&writer, bytes_of(data, sizeof data), &file);
    backup_write_end(&writer, &file);
    buf_put(&file, mac, sizeof mac);
    cr_assert_eq(check(buf_bytes(&file)), QK_OK);
    put_u32(file.data + BACKUP_HEAD_BYTES, BACKUP_CHUNK_BYTES_MAX + 1);
    cr_assert_eq(check(buf_bytes(&file)), QK_ERR_CORRUPT);
    buf_fini(&file);
}

Test(backup, another_version_is_said_to_be_one)
{
    struct buf file = make(TWO, 2);

    file.data[9] = 2;
    cr_assert_eq(check(buf_bytes(&file)), QK_ERR_UNSUPPORTED);
    buf_fini(&file);
}
