/* A walk over the rows of one view on the disk. It remembers the place where it goes on and finds
 * the row there anew each time, so that nothing is held between two calls. */
#include "index/disk_cursor.h"

#include "index/disk_private.h"

/* Before all of the view's rows, or behind them. */
static void edge_put(const struct index *index, bool behind, struct buf *out)
{
    buf_put_u8(out, DISK_ROW_PREFIX);
    buf_put_u16(out, (uint16_t)(index->view + (behind ? 1 : 0)));
}

enum qk_err disk_cursor_open(struct index_cursor *cursor, const struct index_bound *from,
                             const struct index_bound *to)
{
    struct index_disk *disk = cursor->index->disk;
    size_t view = cursor->index->view;
    enum qk_err err = QK_OK;

    cursor->row = BUF_SECRET_INIT(2 * INDEX_ROW_BYTES_MAX);
    if (from != NULL)
        err = disk_place_put(disk, view, from, &cursor->at);
    else
        edge_put(cursor->index, cursor->descending, &cursor->at);
    if (err == QK_OK && to != NULL)
        err = disk_place_put(disk, view, to, &cursor->to);
    else
        edge_put(cursor->index, !cursor->descending, &cursor->to);
    cursor->begun = from != NULL;
    if (err == QK_OK)
        err = buf_error(&cursor->at);
    return err == QK_OK ? buf_error(&cursor->to) : err;
}

/* Of what disk.c's row_plain_put wrote; the sort key of a plain row stands in its place. */
static enum qk_err row_decode(const struct index_cursor *cursor, struct bytes text,
                              struct index_row *ret_row)
{
    struct reader in = reader_of(text);
    size_t sort_len;

    ret_row->key_id = cursor->row_place.data + cursor->row_place.len;
    ret_row->id = reader_bytes(&in, reader_u16(&in));
    sort_len = reader_u32(&in);
    ret_row->sort = cursor->index->disk->blind ? reader_bytes(&in, sort_len)
                                               : bytes_slice(cursor->row_place, 3, sort_len);
    ret_row->key = reader_blob(&in, INDEX_ROW_BYTES_MAX);
    ret_row->value = reader_rest(&in);
    return reader_error(&in) == QK_OK && ret_row->sort.len == sort_len ? QK_OK : QK_ERR_CORRUPT;
}

/* Where the next row lies, borrowed from the file; QK_ERR_NOT_FOUND behind the last. */
static enum qk_err row_find(struct index_cursor *cursor, struct bytes *ret_key,
                            struct bytes *ret_value)
{
    struct index_disk *disk = cursor->index->disk;
    struct bytes to = buf_bytes(&cursor->to);
    enum qk_err err;

    if (disk->file == NULL || !disk->loaded)
        return QK_ERR_BUSY;
    err =
        index_file_seek(disk->file, buf_bytes(&cursor->at), cursor->descending, ret_key, ret_value);
    if (err == QK_OK &&
        (cursor->descending ? bytes_compare(*ret_key, to) < 0 : bytes_compare(*ret_key, to) >= 0))
        err = QK_ERR_NOT_FOUND;
    return err;
}

/* Behind the row's text its place and data key, which must outlive the next write to the file. */
static enum qk_err row_open(struct index_cursor *cursor, struct bytes key, struct bytes value)
{
    struct disk_sealed sealed;
    size_t text_len;
    enum qk_err err = disk_sealed_parse(value, &sealed);

    buf_reset(&cursor->row);
    if (err == QK_OK)
        err = disk_row_open(cursor->index->disk, key, value, 0, &cursor->row);
    if (err != QK_OK)
        return err == QK_ERR_DESTROYED ? QK_ERR_CORRUPT : err;
    text_len = cursor->row.len;
    buf_put_bytes(&cursor->row, key);
    buf_put(&cursor->row, sealed.key_id, KEY_ID_BYTES);
    err = buf_error(&cursor->row);
    cursor->row_place = bytes_slice(buf_bytes(&cursor->row), text_len, key.len);
    return err == QK_OK ? row_decode(cursor, bytes_slice(buf_bytes(&cursor->row), 0, text_len),
                                     &cursor->shown)
                        : err;
}

enum qk_err disk_cursor_peek(struct index_cursor *cursor, struct index_row *ret_row)
{
    struct index *index = (struct index *)(uintptr_t)cursor->index; /* for a slot that is new */
    struct bytes key, value;
    enum qk_err err = QK_OK;

    if (!cursor->peeked || cursor->changes != index->changes) {
        cursor->peeked = false;
        err = row_find(cursor, &key, &value);
        if (err == QK_OK)
            err = row_open(cursor, key, value);
        if (err == QK_OK)
            err = rows_slot_of(index, cursor->shown.key_id, &cursor->shown.slot);
        cursor->changes = index->changes;
        cursor->peeked = err == QK_OK;
    }
    if (err == QK_OK)
        *ret_row = cursor->shown;
    return err;
}

/* On to the place behind the row that is shown. */
enum qk_err disk_cursor_next(struct index_cursor *cursor, struct index_row *ret_row)
{
    enum qk_err err = disk_cursor_peek(cursor, ret_row);

    if (err != QK_OK)
        return err;
    cursor->peeked = false;
    buf_reset(&cursor->at);
    buf_put_bytes(&cursor->at, cursor->row_place);
    if (!cursor->descending)
        buf_put_u8(&cursor->at, 0);
    return buf_error(&cursor->at);
}

enum qk_err disk_cursor_mark(struct index_cursor *cursor)
{
    buf_reset(&cursor->mark);
    buf_put_bytes(&cursor->mark, buf_bytes(&cursor->at));
    return buf_error(&cursor->mark);
}

enum qk_err disk_cursor_rewind(struct index_cursor *cursor)
{
    cursor->peeked = false;
    buf_reset(&cursor->at);
    buf_put_bytes(&cursor->at, buf_bytes(&cursor->mark));
    return buf_error(&cursor->at);
}
