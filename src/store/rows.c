#include "store/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/rows_private.h"

#define ROW_BYTES_MAX (FORMAT_RECORD_HEAD_BYTES + RECORD_VALUE_BYTES_MAX)
#define HAVE_BYTES_MAX (SNAPSHOT_ROW_HEAD_BYTES + RECORD_KEY_BYTES_MAX + ROW_BYTES_MAX)

_Static_assert(ROWS_HASH_BYTES == SNAPSHOT_HASH_BYTES, "one hash");

enum qk_err rows_failed(struct rows *rows, enum qk_err err, const char *fault)
{
    rows->failed = err;
    rows->fault = fault;
    return err;
}

/* --- writing, and the hash over what would be written ----------------------------------------- */

void rows_write_head(const struct rows_moment *moment, struct buf *out)
{
    buf_put_str(out, SNAPSHOT_MAGIC);
    buf_put_u64(out, moment->index);
    buf_put_u64(out, moment->term);
    buf_put_u64(out, moment->stamp);
}

static void put_row_head(const struct rows_item *item, uint8_t out[static SNAPSHOT_ROW_HEAD_BYTES])
{
    out[0] = (uint8_t)item->table;
    put_u16(out + 1, (uint16_t)item->key.len);
    put_u32(out + 3, (uint32_t)item->row.len);
}

void rows_write_item(const struct rows_item *item, struct buf *out)
{
    uint8_t head[SNAPSHOT_ROW_HEAD_BYTES];

    assert(item->kind != ROWS_KEPT);
    if (item->kind == ROWS_END) {
        buf_put_u8(out, 0);
        buf_put_u64(out, item->rows_n);
        buf_put(out, item->hash, sizeof item->hash);
        return;
    }
    put_row_head(item, head);
    buf_put(out, head, sizeof head);
    buf_put_bytes(out, item->key);
    buf_put_bytes(out, item->row);
}

void rows_hash_begin(struct rows *rows)
{
    struct buf head = BUF_INIT(SNAPSHOT_HEAD_BYTES);

    rows_write_head(&rows->moment, &head);
    crypto_generichash_init(&rows->hash, NULL, 0, ROWS_HASH_BYTES);
    crypto_generichash_update(&rows->hash, head.data, head.len);
    buf_fini(&head);
}

void rows_hash_item(struct rows *rows, const struct rows_item *item)
{
    uint8_t head[SNAPSHOT_ROW_HEAD_BYTES];

    put_row_head(item, head);
    crypto_generichash_update(&rows->hash, head, sizeof head);
    crypto_generichash_update(&rows->hash, item->key.data, item->key.len);
    crypto_generichash_update(&rows->hash, item->row.data, item->row.len);
    rows->rows_n++;
}

bool rows_hash_agrees(struct rows *rows, const struct rows_item *end)
{
    uint8_t tail[9] = {0}, hash[ROWS_HASH_BYTES];

    put_u64(tail + 1, rows->rows_n);
    crypto_generichash_update(&rows->hash, tail, sizeof tail);
    crypto_generichash_final(&rows->hash, hash, sizeof hash);
    return end->rows_n == rows->rows_n && memcmp(hash, end->hash, sizeof hash) == 0;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Fills `have` up to `len` bytes. */
static enum qk_err want(struct rows *rows, size_t len)
{
    while (rows->have.len < len) {
        struct bytes part;

        if (rows->chunk.len == 0) {
            enum qk_err err = rows->pull(rows->arg, &rows->chunk);

            if (err != QK_OK)
                return rows_failed(rows, err, NULL);
            if (rows->chunk.len == 0)
                return rows_failed(rows, QK_ERR_CORRUPT, "the records end too early");
        }
        part = bytes_slice(rows->chunk, 0, len - rows->have.len);
        buf_put_bytes(&rows->have, part);
        rows->chunk = bytes_slice(rows->chunk, part.len, SIZE_MAX);
        if (buf_error(&rows->have) != QK_OK)
            return rows_failed(rows, buf_error(&rows->have), NULL);
    }
    return QK_OK;
}

static enum qk_err read_head(struct rows *rows)
{
    enum qk_err err = want(rows, SNAPSHOT_HEAD_BYTES);
    struct reader in = reader_of(buf_bytes(&rows->have));
    struct bytes magic = reader_bytes(&in, SNAPSHOT_MAGIC_BYTES);

    if (err != QK_OK)
        return err;
    rows->increment = bytes_equal(magic, bytes_str(SNAPSHOT_DELTA_MAGIC));
    if (!rows->increment && !bytes_equal(magic, bytes_str(SNAPSHOT_MAGIC)))
        return rows_failed(rows, QK_ERR_CORRUPT, "the records are in no known form");
    rows->moment.index = reader_u64(&in);
    rows->moment.term = reader_u64(&in);
    rows->moment.stamp = reader_u64(&in);
    rows_hash_begin(rows);
    return QK_OK;
}

enum qk_err rows_open(rows_pull pull, void *arg, struct rows **ret_rows)
{
    struct rows *rows = calloc(1, sizeof *rows);
    enum qk_err err;

    if (rows == NULL)
        return QK_ERR_NOMEM;
    rows->pull = pull;
    rows->arg = arg;
    rows->have = BUF_INIT(HAVE_BYTES_MAX);
    rows->kept = BUF_INIT((size_t)8 * SNAPSHOT_KEPT_MAX);
    err = read_head(rows);
    if (err != QK_OK) {
        rows_free(rows);
        return err;
    }
    *ret_rows = rows;
    return QK_OK;
}

void rows_free(struct rows *rows)
{
    if (rows == NULL)
        return;
    rows_free(rows->base);
    rows_free(rows->top);
    buf_fini(&rows->have);
    buf_fini(&rows->kept);
    free(rows);
}

bool rows_is_increment(const struct rows *rows)
{
    return rows->increment;
}

struct rows_moment rows_moment(const struct rows *rows)
{
    return rows->moment;
}

enum qk_err rows_error(const struct rows *rows)
{
    return rows->failed;
}

const char *rows_fault(const struct rows *rows)
{
    return rows->fault != NULL ? rows->fault : qk_err_text(rows->failed);
}

static enum qk_err item_fill(struct rows_item *item)
{
    enum format_table table = snapshot_tables[item->table - 1];
    struct format_record record;
    enum qk_err err = format_row_check(table, item->key, item->row);

    if (err != QK_OK)
        return err;
    item->stamp = format_row_stamp(table, item->row);
    if (item->table == ROWS_STATS)
        return format_stats_read(item->key, item->row, &item->stats);
    if (item->table == ROWS_KEYS)
        return format_key_read(item->key, item->row, &item->key_stats);
    if (item->table != ROWS_RECORDS)
        return QK_OK;
    err = format_record_read(item->key, item->row, &record);
    if (err == QK_OK)
        item->record = format_record_public(&record);
    return err;
}

static bool in_order(struct rows *rows, const struct rows_item *item)
{
    bool good =
        rows->last_len == 0 || bytes_compare(item->key, bytes_of(rows->last, rows->last_len)) > 0;

    memcpy(rows->last, item->key.data, item->key.len);
    rows->last_len = item->key.len;
    return good;
}

static enum qk_err read_row(struct rows *rows, struct rows_item *item)
{
    enum qk_err err = want(rows, SNAPSHOT_ROW_HEAD_BYTES);
    size_t key_len, row_len;
    struct bytes all;

    if (err != QK_OK)
        return err;
    key_len = get_u16(rows->have.data + 1);
    row_len = get_u32(rows->have.data + 3);
    if (key_len < DATABASE_ID_BYTES || key_len > RECORD_KEY_BYTES_MAX || row_len > ROW_BYTES_MAX)
        return rows_failed(rows, QK_ERR_CORRUPT, "a record is longer or shorter than any may be");
    err = want(rows, SNAPSHOT_ROW_HEAD_BYTES + key_len + row_len);
    if (err != QK_OK)
        return err;
    all = buf_bytes(&rows->have);
    item->kind = ROWS_ROW;
    item->table = rows->table;
    item->key = bytes_slice(all, SNAPSHOT_ROW_HEAD_BYTES, key_len);
    item->row = bytes_slice(all, SNAPSHOT_ROW_HEAD_BYTES + key_len, row_len);
    if (item_fill(item) != QK_OK)
        return rows_failed(rows, QK_ERR_CORRUPT, "a record does not match its checksum");
    if (!in_order(rows, item))
        return rows_failed(rows, QK_ERR_CORRUPT, "the records are out of order");
    rows_hash_item(rows, item);
    return QK_OK;
}

static enum qk_err read_kept(struct rows *rows)
{
    enum qk_err err = want(rows, 3);
    size_t n = err == QK_OK ? get_u16(rows->have.data + 1) : 0;

    if (err == QK_OK && (n == 0 || n > SNAPSHOT_KEPT_MAX))
        return rows_failed(rows, QK_ERR_CORRUPT, "a list of kept records has a wrong length");
    if (err == QK_OK)
        err = want(rows, 3 + 8 * n);
    if (err != QK_OK)
        return err;
    buf_reset(&rows->kept);
    buf_put(&rows->kept, rows->have.data + 3, 8 * n);
    rows->kept_at = 0;
    return buf_error(&rows->kept);
}

static enum qk_err read_end(struct rows *rows, struct rows_item *item)
{
    enum qk_err err = want(rows, SNAPSHOT_END_BYTES);
    struct bytes more = rows->chunk;

    if (err != QK_OK)
        return err;
    item->kind = ROWS_END;
    item->rows_n = get_u64(rows->have.data + 1);
    memcpy(item->hash, rows->have.data + 9, ROWS_HASH_BYTES);
    if (more.len == 0)
        err = rows->pull(rows->arg, &more);
    if (err != QK_OK)
        return rows_failed(rows, err, NULL);
    if (more.len > 0)
        return rows_failed(rows, QK_ERR_CORRUPT, "something follows the last record");
    if (!rows->increment && !rows_hash_agrees(rows, item))
        return rows_failed(rows, QK_ERR_CORRUPT, "the hash over all records does not match");
    rows->done = true;
    return QK_OK;
}

/* The next kept stamp of the list at hand. */
static bool give_kept(struct rows *rows, struct rows_item *item)
{
    if (rows->kept_at == rows->kept.len)
        return false;
    item->kind = ROWS_KEPT;
    item->table = rows->table;
    item->stamp = get_u64(rows->kept.data + rows->kept_at);
    rows->kept_at += 8;
    return true;
}

static enum qk_err read_item(struct rows *rows, struct rows_item *item)
{
    unsigned number;
    enum qk_err err;
    bool kept;

    if (give_kept(rows, item))
        return QK_OK;
    buf_reset(&rows->have);
    err = want(rows, 1);
    if (err != QK_OK)
        return err;
    number = rows->have.data[0];
    if (number == 0)
        return read_end(rows, item);
    kept = number > SNAPSHOT_KEPT;
    if (kept)
        number -= SNAPSHOT_KEPT;
    if (number == 0 || number > SNAPSHOT_TABLES_N || number < (unsigned)rows->table ||
        (kept && (!rows->increment || number < ROWS_RECORDS)))
        return rows_failed(rows, QK_ERR_CORRUPT, "a record of an unknown kind");
    if (number != (unsigned)rows->table)
        rows->last_len = 0;
    rows->table = (enum rows_table)number;
    if (!kept)
        return read_row(rows, item);
    err = read_kept(rows);
    if (err == QK_OK)
        (void)give_kept(rows, item);
    return err;
}

enum qk_err rows_next(struct rows *rows, struct rows_item *ret_item)
{
    assert(!rows->done);

    if (rows->failed != QK_OK)
        return rows->failed;
    *ret_item = (struct rows_item){.kind = ROWS_END};
    return rows->base != NULL ? rows_merge_next(rows, ret_item) : read_item(rows, ret_item);
}
