#include "base/key_uses.h"

#include <assert.h>

void key_uses_put(const struct key_use *uses, unsigned n, struct buf *out)
{
    assert(n >= 1 && n <= KEY_USES_MAX);
    buf_put_u8(out, (uint8_t)n);
    for (unsigned i = 0; i < n; i++) {
        assert(uses[i].version > 0 && uses[i].bodies > 0 && uses[i].sealed <= uses[i].bodies);
        buf_put(out, uses[i].key_id, KEY_USE_ID_BYTES);
        buf_put_u32(out, uses[i].version);
        buf_put_u16(out, uses[i].bodies);
        buf_put_u16(out, uses[i].sealed);
        buf_put_u32(out, uses[i].sealed_bytes);
    }
}

bool key_uses_next(struct key_uses *uses, struct key_use *ret_use)
{
    if (uses->left == 0)
        return false;
    uses->left--;
    reader_copy(&uses->in, ret_use->key_id, KEY_USE_ID_BYTES);
    ret_use->version = reader_u32(&uses->in);
    ret_use->bodies = reader_u16(&uses->in);
    ret_use->sealed = reader_u16(&uses->in);
    ret_use->sealed_bytes = reader_u32(&uses->in);
    return reader_error(&uses->in) == QK_OK;
}

enum qk_err key_uses_open(struct bytes value, struct key_uses *ret_uses, struct bytes *ret_rest)
{
    struct reader in = reader_of(value);
    unsigned n = reader_u8(&in);
    struct bytes list = reader_bytes(&in, (size_t)n * KEY_USE_BYTES);
    struct key_uses uses = {reader_of(list), n}, check = uses;
    struct key_use use;

    if (reader_error(&in) != QK_OK || n == 0)
        return QK_ERR_INVALID;
    while (key_uses_next(&check, &use))
        if (use.version == 0 || use.bodies == 0 || use.sealed > use.bodies)
            return QK_ERR_INVALID;
    *ret_uses = uses;
    if (ret_rest != NULL)
        *ret_rest = reader_rest(&in);
    return QK_OK;
}
