#include "http/gzip.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "secret/secret.h"
#include "service/offload_uv.h"
#include "service/params.h"

#define GZIP_WINDOW_BITS (15 + 16) /* zlib: gzip's header and no other */
#define PIECE_BYTES (16 * KIB)
#define RATIO 16 /* a small body may be a large one: as large it goes to the pool */

struct gzip_block {
    size_t len;
    max_align_t data[];
};

/* What zlib keeps is plaintext: wiped when it is freed. */
static void *zlib_alloc(void *arg, unsigned n, unsigned size)
{
    size_t len = (size_t)n * size;
    struct gzip_block *block = malloc(sizeof(*block) + len);

    (void)arg;
    if (block == NULL)
        return NULL;
    block->len = len;
    return block->data;
}

static void zlib_free(void *arg, void *data)
{
    struct gzip_block *block =
        (struct gzip_block *)(void *)((char *)data - offsetof(struct gzip_block, data));

    (void)arg;
    secret_wipe(block, sizeof(*block) + block->len);
    free(block);
}

static enum qk_err expand_all(z_stream *stream, struct buf *out)
{
    uint8_t piece[PIECE_BYTES];
    int rc = Z_OK;

    while (rc == Z_OK && buf_error(out) == QK_OK) {
        stream->next_out = piece;
        stream->avail_out = sizeof(piece);
        rc = inflate(stream, Z_NO_FLUSH);
        buf_put(out, piece, sizeof(piece) - stream->avail_out);
    }
    secret_wipe(piece, sizeof(piece));
    if (buf_error(out) != QK_OK)
        return buf_error(out);
    if (rc == Z_MEM_ERROR)
        return QK_ERR_NOMEM;
    return rc == Z_STREAM_END && stream->avail_in == 0 ? QK_OK : QK_ERR_INVALID;
}

enum qk_err gzip_expand(struct bytes in, struct buf *out)
{
    z_stream stream = {.zalloc = zlib_alloc, .zfree = zlib_free};
    enum qk_err err;

    if (in.len > UINT32_MAX)
        return QK_ERR_TOO_BIG;
    stream.next_in = (uint8_t *)(uintptr_t)in.data; /* zlib does not write there */
    stream.avail_in = (uInt)in.len;
    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK)
        return QK_ERR_NOMEM;
    err = expand_all(&stream, out);
    (void)inflateEnd(&stream);
    return err;
}

bool gzip_is_coding(struct bytes content_coding)
{
    static const char *const NAMES[] = {"gzip", "x-gzip"};

    for (size_t i = 0; i < 2; i++) {
        if (content_coding.len == strlen(NAMES[i]) &&
            strncasecmp((const char *)content_coding.data, NAMES[i], content_coding.len) == 0)
            return true;
    }
    return false;
}

/* --- a request's body --- */

struct expansion {
    struct http_exchange *hx;
    void (*next)(struct http_exchange *hx);
    struct buf plain;
    enum qk_err err;
};

static void expansion_work(void *arg)
{
    struct expansion *expansion = arg;

    expansion->err = gzip_expand(buf_bytes(&expansion->hx->body), &expansion->plain);
}

static void expansion_done(void *arg, enum qk_err err)
{
    struct expansion *expansion = arg;
    struct http_exchange *hx = expansion->hx;
    void (*next)(struct http_exchange * hx) = expansion->next;

    if (err == QK_OK)
        err = expansion->err;
    if (err == QK_OK && expansion->plain.len > hx->counted)
        err = http_exchange_count_body(hx, expansion->plain.len);
    if (err == QK_OK) {
        buf_fini(&hx->body);
        hx->body = expansion->plain;
    } else {
        buf_fini(&expansion->plain);
    }
    free(expansion);
    if (err == QK_OK)
        next(hx);
    else if (err == QK_ERR_INVALID)
        exchange_reply_error(&hx->base, 400, "bad_request", "the request body is no whole gzip");
    else
        exchange_reply_err(&hx->base, err);
}

void gzip_take_body(struct http_exchange *hx, void (*next)(struct http_exchange *hx))
{
    struct expansion *expansion;

    if (hx->body.len == 0) {
        next(hx);
        return;
    }
    expansion = calloc(1, sizeof *expansion);
    if (expansion == NULL) {
        exchange_reply_err(&hx->base, QK_ERR_NOMEM);
        return;
    }
    *expansion = (struct expansion){
        .hx = hx, .next = next, .plain = BUF_SECRET_INIT(hx->route->body_bytes_max)};
    offload_run(hx->http->config.service, hx->body.len * RATIO, expansion_work, expansion_done,
                expansion);
}
