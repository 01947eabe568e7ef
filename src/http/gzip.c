#include "http/gzip.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "doc/gunzip.h"
#include "service/offload_uv.h"
#include "service/params.h"

#define RATIO 16 /* a small body may be a large one: as large it goes to the pool */

enum qk_err gzip_expand(struct bytes in, struct buf *out)
{
    struct gunzip *gunzip = NULL;
    enum qk_err err = in.len > UINT32_MAX ? QK_ERR_TOO_BIG : gunzip_new(&gunzip);

    if (err == QK_OK)
        err = gunzip_some(gunzip, &in, SIZE_MAX, out);
    if (err == QK_OK && !gunzip_is_whole(gunzip))
        err = QK_ERR_INVALID;
    gunzip_free(gunzip);
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
