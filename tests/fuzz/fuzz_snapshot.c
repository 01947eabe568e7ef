/* A snapshot stream into a staging file. First byte even: the rest is the stream as it is, in
 * pieces of 1 to 128 bytes. Odd: the rest describes rows, which are given right checksums and the
 * right hash at the end. Each run makes an LMDB file (in memory), so this target is slower than
 * others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "store/crc.h"
#include "store/snapshot.h"
#include "store/store.h"

static const char *path_of(void)
{
    static char path[64];

    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "/dev/shm/qk-fuzz-snapshot-%ld", (long)getpid());
    return path;
}

/* Row: table u8, key length u8, value length u8, then both; keys shorter than an id are refused. */
static void make_stream(struct bytes in, struct buf *out)
{
    struct reader reader = reader_of(in);
    uint8_t hash[SNAPSHOT_HASH_BYTES];
    uint64_t rows_n = 0;

    buf_put_str(out, SNAPSHOT_MAGIC);
    buf_put_u64(out, 5);
    buf_put_u64(out, 2);
    buf_put_u64(out, 9);
    for (; reader.at < in.len && reader_error(&reader) == QK_OK; rows_n++) {
        uint8_t table = (uint8_t)(reader_u8(&reader) % 4 + 1);
        size_t key_len = reader_u8(&reader), value_len = reader_u8(&reader);
        struct bytes key = reader_bytes(&reader, key_len);
        struct bytes value = reader_bytes(&reader, value_len);

        buf_put_u8(out, table);
        buf_put_u16(out, (uint16_t)key.len);
        buf_put_u32(out, (uint32_t)value.len + 4);
        buf_put_bytes(out, key);
        buf_put_u32(out, crc32c(crc32c(0, key), value));
        buf_put_bytes(out, value);
    }
    buf_put_u8(out, 0);
    buf_put_u64(out, rows_n);
    crypto_generichash(hash, sizeof hash, out->data, out->len, NULL, 0);
    buf_put(out, hash, sizeof hash);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    static const uint8_t rows[] = {0, 16, 25, 1,  2,  3,  4,  5,  6, 7,
                                   8, 9,  10, 11, 12, 13, 14, 15, 16};
    struct buf described = BUF_INIT(1 * KIB);

    if (number >= 4)
        return false;
    buf_put(&described, rows, sizeof rows);
    buf_put(&described, (uint8_t[25]){1}, 25);
    if (number >= 2) {
        buf_put(&described, rows, sizeof rows);
        described.data[described.len - 1]++; /* a key that follows */
        buf_put(&described, (uint8_t[25]){2}, 25);
    }
    buf_put_u8(out, (uint8_t)(number % 2 == 0 ? 126 : 1));
    if (number % 2 == 0)
        make_stream(buf_bytes(&described), out);
    else
        buf_put_bytes(out, buf_bytes(&described));
    buf_fini(&described);
    return true;
}

static void stage(struct bytes stream, size_t step)
{
    struct store_staging *staging;
    enum qk_err err = QK_OK;

    fuzz_must(store_staging_begin(path_of(), &staging));
    for (size_t at = 0; at < stream.len && err == QK_OK; at += step)
        err = store_staging_write(staging, bytes_slice(stream, at, step));
    if (err == QK_OK && store_staging_finish(staging) == QK_OK)
        fuzz_require(store_staging_index(staging) > 0 || stream.len > 0);
    store_staging_free(staging);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    struct buf stream = BUF_INIT(1 * MIB);

    if (len == 0)
        return 0;
    if (data[0] % 2 == 0) {
        stage(in, data[0] / 2 + 1u);
    } else {
        make_stream(in, &stream);
        stage(buf_bytes(&stream), 4096);
    }
    buf_fini(&stream);
    return 0;
}
