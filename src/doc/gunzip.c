#include "doc/gunzip.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/limits.h"
#include "secret/secret.h"

#define WINDOW_BITS (15 + 16) /* zlib: gzip's header and no other */
#define PIECE_BYTES (16 * KIB)

struct gunzip {
    z_stream stream;
    bool whole;
};

struct gunzip_block {
    size_t len;
    max_align_t data[];
};

/* What zlib keeps is plaintext: wiped when it is freed. */
static void *zlib_alloc(void *arg, unsigned n, unsigned size)
{
    size_t len = (size_t)n * size;
    struct gunzip_block *block = malloc(sizeof(*block) + len);

    (void)arg;
    if (block == NULL)
        return NULL;
    block->len = len;
    return block->data;
}

static void zlib_free(void *arg, void *data)
{
    struct gunzip_block *block =
        (struct gunzip_block *)(void *)((char *)data - offsetof(struct gunzip_block, data));

    (void)arg;
    secret_wipe(block, sizeof(*block) + block->len);
    free(block);
}

enum qk_err gunzip_new(struct gunzip **ret_gunzip)
{
    struct gunzip *gunzip = calloc(1, sizeof(*gunzip));

    assert(ret_gunzip != NULL);
    if (gunzip == NULL)
        return QK_ERR_NOMEM;
    gunzip->stream.zalloc = zlib_alloc;
    gunzip->stream.zfree = zlib_free;
    if (inflateInit2(&gunzip->stream, WINDOW_BITS) != Z_OK) {
        free(gunzip);
        return QK_ERR_NOMEM;
    }
    *ret_gunzip = gunzip;
    return QK_OK;
}

void gunzip_free(struct gunzip *gunzip)
{
    if (gunzip == NULL)
        return;
    (void)inflateEnd(&gunzip->stream);
    secret_wipe(gunzip, sizeof(*gunzip));
    free(gunzip);
}

/* One piece; *ret_n of 0: there is no more for now. */
static enum qk_err inflate_piece(struct gunzip *gunzip, size_t max, struct buf *out, size_t *ret_n)
{
    uint8_t piece[PIECE_BYTES];
    size_t room = max < sizeof(piece) ? max : sizeof(piece);
    int rc;

    gunzip->stream.next_out = piece;
    gunzip->stream.avail_out = (uInt)room;
    rc = inflate(&gunzip->stream, Z_NO_FLUSH);
    *ret_n = room - gunzip->stream.avail_out;
    buf_put(out, piece, *ret_n);
    secret_wipe(piece, sizeof(piece));
    gunzip->whole = rc == Z_STREAM_END;
    if (rc == Z_MEM_ERROR)
        return QK_ERR_NOMEM;
    /* Z_BUF_ERROR: it can do nothing before more comes. */
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? buf_error(out) : QK_ERR_INVALID;
}

enum qk_err gunzip_some(struct gunzip *gunzip, struct bytes *in, size_t max, struct buf *out)
{
    size_t taken = in->len < UINT32_MAX ? in->len : UINT32_MAX, left = max, n = 1;
    enum qk_err err = QK_OK;

    assert(gunzip != NULL && max > 0);

    gunzip->stream.next_in = (uint8_t *)(uintptr_t)in->data; /* zlib does not write there */
    gunzip->stream.avail_in = (uInt)taken;
    while (err == QK_OK && n > 0 && left > 0 && !gunzip->whole) {
        err = inflate_piece(gunzip, left, out, &n);
        left -= n;
    }
    *in = bytes_slice(*in, taken - gunzip->stream.avail_in, SIZE_MAX);
    if (err == QK_OK && gunzip->whole && in->len > 0)
        err = QK_ERR_INVALID;
    return err;
}

bool gunzip_is_whole(const struct gunzip *gunzip)
{
    return gunzip->whole;
}
