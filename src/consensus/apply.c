#include "consensus/apply.h"

#include <assert.h>

#define FRAME_VERSION 1

void apply_frame_start(struct buf *out)
{
    assert(out->len == 0);
    buf_put_u8(out, FRAME_VERSION);
    buf_put_u32(out, 0);
}

void apply_frame_add(struct buf *out, struct bytes command)
{
    uint32_t n;

    assert(command.len > 0);
    buf_put_blob(out, command);
    if (buf_error(out) != QK_OK)
        return;
    n = get_u32(out->data + 1) + 1;
    assert(n <= APPLY_COMMANDS_MAX);
    put_u32(out->data + 1, n);
}

enum qk_err apply_cursor_open(struct bytes payload, struct apply_cursor *ret_cursor)
{
    struct reader reader = reader_of(payload);
    struct reader scan;
    uint8_t version = reader_u8(&reader);
    uint32_t n = reader_u32(&reader);

    if (reader_error(&reader) != QK_OK || version != FRAME_VERSION || n == 0 ||
        n > APPLY_COMMANDS_MAX)
        return QK_ERR_INVALID;
    scan = reader;
    for (uint32_t i = 0; i < n; i++) {
        if (reader_blob(&scan, COMMAND_BYTES_MAX).len == 0)
            return QK_ERR_INVALID;
    }
    if (reader_end(&scan) != QK_OK)
        return QK_ERR_INVALID;
    ret_cursor->reader = reader;
    ret_cursor->left = n;
    return QK_OK;
}

bool apply_cursor_next(struct apply_cursor *cursor, struct bytes *ret_command, bool *ret_last)
{
    if (cursor->left == 0)
        return false;
    cursor->left--;
    *ret_command = reader_blob(&cursor->reader, COMMAND_BYTES_MAX);
    *ret_last = cursor->left == 0;
    return true;
}
