/* The stream of a store's records in a backup, full or incremental, in pieces whose size the first
 * byte says. The rest is one stream, or, after a length (u32), a full one and an increment on top
 * of it. A full stream that is read to its end is written again as the same bytes. */
#include <string.h>

#include <sodium.h>

#include "fuzz.h"
#include "store/rows.h"

#define AGAIN_BYTES_MAX (32 * MIB)

struct source {
    struct bytes left;
    size_t piece;
};

static enum qk_err pull(void *arg, struct bytes *ret_bytes)
{
    struct source *source = arg;

    *ret_bytes = bytes_slice(source->left, 0, source->piece);
    source->left = bytes_slice(source->left, ret_bytes->len, SIZE_MAX);
    return QK_OK;
}

static void seed_stream(bool increment, struct buf *out)
{
    static const uint8_t head[32] = "QKSNAP01";
    uint8_t hash[32], end[9] = {0};
    crypto_generichash_state state;
    size_t at = out->len;

    buf_put(out, head, sizeof head);
    out->data[at + 15] = 7;
    out->data[at + 31] = 9;
    crypto_generichash_init(&state, NULL, 0, sizeof hash);
    crypto_generichash_update(&state, out->data + at, 32);
    if (increment) {
        memcpy(out->data + at, "QKDELTA1", 8);
        buf_put_u8(out, 18);
        buf_put_u16(out, 1);
        buf_put_u64(out, 3);
    }
    crypto_generichash_update(&state, end, sizeof end);
    crypto_generichash_final(&state, hash, sizeof hash);
    buf_put(out, end, sizeof end);
    buf_put(out, hash, sizeof hash);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= 3)
        return false;
    buf_put_u8(out, (uint8_t)(number * 60));
    buf_put_u32(out, number < 2 ? 0 : 32 + 41);
    seed_stream(number == 1, out);
    if (number == 2)
        seed_stream(true, out);
    return true;
}

static enum qk_err drain(struct rows *rows, struct buf *again)
{
    struct rows_moment moment = rows_moment(rows);
    struct rows_item item = {.kind = ROWS_ROW};
    enum qk_err err = QK_OK;

    rows_write_head(&moment, again);
    while (err == QK_OK && item.kind != ROWS_END) {
        err = rows_next(rows, &item);
        if (err != QK_OK)
            break;
        fuzz_touch(item.key);
        fuzz_touch(item.row);
        fuzz_touch(item.record.value);
        if (item.kind != ROWS_KEPT)
            rows_write_item(&item, again);
    }
    return err;
}

static void fuzz_streams(struct bytes base, struct bytes top, size_t piece)
{
    struct source sources[2] = {{base, piece}, {top, piece}};
    struct buf again = BUF_INIT(AGAIN_BYTES_MAX);
    struct rows *rows = NULL, *increment = NULL;
    bool full;

    if (rows_open(pull, &sources[0], &rows) != QK_OK)
        return;
    if (top.len > 0 && !rows_is_increment(rows) &&
        rows_open(pull, &sources[1], &increment) == QK_OK) {
        if (rows_is_increment(increment))
            fuzz_must(rows_merge(rows, increment, &rows));
        else
            rows_free(increment);
    }
    full = top.len == 0 && !rows_is_increment(rows);
    if (drain(rows, &again) == QK_OK && full)
        fuzz_require(bytes_equal(buf_bytes(&again), base));
    rows_free(rows);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader in = reader_of(bytes_of(data, len));
    size_t piece = (size_t)reader_u8(&in) + 1;
    size_t first = reader_u32(&in);
    struct bytes rest = reader_rest(&in);

    if (reader_error(&in) != QK_OK)
        return 0;
    if (first == 0)
        fuzz_streams(rest, BYTES_NONE, piece);
    else
        fuzz_streams(bytes_slice(rest, 0, first), bytes_slice(rest, first, SIZE_MAX), piece);
    return 0;
}
