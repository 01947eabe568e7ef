#include "http/server.h"

#include <assert.h>
#include <time.h>

#include "http/routes.h"
#include "service/request.h"

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Tells the handler that waits for more of the body; false: none does, or nothing has come. */
static bool tell_more(struct exchange *exchange)
{
    void (*more)(void *arg) = exchange->body.more;

    if (more == NULL || !exchange_body_is_ready(exchange))
        return false;
    exchange->body.more = NULL;
    more(exchange->body.arg);
    return true;
}

static void on_later(struct later *later)
{
    struct http_exchange *hx =
        (struct http_exchange *)(void *)((char *)later - offsetof(struct http_exchange, later));
    void (*drained)(void *arg) = hx->drained;

    if (drained == NULL && tell_more(&hx->base))
        return;
    hx->drained = NULL;
    if (drained != NULL)
        drained(hx->drained_arg); /* and finds the client gone by itself */
    else if (hx->base.closed && hx->base.gone != NULL)
        hx->base.gone(hx->base.gone_arg);
}

void http_exchange_init(struct http_exchange *hx, struct http *http, const struct exchange_ops *ops)
{
    assert(hx->http == NULL);
    hx->http = http;
    hx->base.ops = ops;
    hx->base.began_ns = now_ns();
    hx->head = BUF_SECRET_INIT(HTTP_HEADER_BYTES_MAX);
    hx->decoded = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX);
    hx->body = BUF_SECRET_INIT(0);
    hx->later.run = on_later;
    http->exchanges_n++;
}

static void tell_refusal(const struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    bool denied = hx->status == 401 || hx->status == 403 || hx->status == 429;

    if (hooks->refused != NULL && ((denied && !hx->told) || (hx->call != 0 && hx->status >= 400)))
        hooks->refused(hooks->arg, &hx->base, hx->route, hx->status, hx->call);
}

void http_exchange_fini(struct http_exchange *hx)
{
    struct http *http = hx->http;

    assert(http->exchanges_n > 0 && http->bodies_bytes >= hx->counted);
    http_later_cancel(http, &hx->later);
    tell_refusal(hx);
    if (hx->status != 0)
        metrics_count(&http->metrics, hx->route == NULL ? ROUTE_CLASS_OTHER : hx->route->class,
                      hx->status, now_ns() - hx->base.began_ns);
    http->bodies_bytes -= hx->counted;
    buf_fini(&hx->head);
    buf_fini(&hx->decoded);
    buf_fini(&hx->body);
    http->exchanges_n--;
    hx->http = NULL;
    http_settle(http);
}

enum qk_err http_exchange_count_body(struct http_exchange *hx, size_t len)
{
    assert(len >= hx->counted);
    hx->http->bodies_bytes += len - hx->counted;
    hx->counted = len;
    return hx->http->bodies_bytes > hx->http->config.bodies_bytes_max ? QK_ERR_BUSY : QK_OK;
}

void http_exchange_wait(struct http_exchange *hx, bool ready, void (*drained)(void *arg), void *arg)
{
    assert(hx->drained == NULL && drained != NULL);
    hx->drained = drained;
    hx->drained_arg = arg;
    if (ready)
        http_later(hx->http, &hx->later);
}

void http_exchange_wake(struct http_exchange *hx)
{
    if (hx->drained != NULL || hx->base.body.more != NULL ||
        (hx->base.closed && hx->base.gone != NULL))
        http_later(hx->http, &hx->later);
}

bool http_body_streams(const struct http_exchange *hx, uint64_t length)
{
    if ((hx->route->flags & (ROUTE_STREAM | ROUTE_STREAM_PARTS)) == 0 || hx->zipped || hx->packed ||
        length <= HTTP_WHOLE_BYTES_MAX)
        return false;
    return (hx->route->flags & ROUTE_STREAM) != 0 ||
           request_has_type(&hx->base.request, "multipart/related");
}

enum qk_err http_body_begin(struct http_exchange *hx, uint64_t length, size_t more)
{
    struct exchange_body *body = &hx->base.body;

    buf_fini(&hx->body);
    hx->body = BUF_SECRET_INIT(EXCHANGE_BODY_WINDOW_BYTES + more);
    *body = (struct exchange_body){.streamed = true, .length = length, .bytes = &hx->body};
    return http_exchange_count_body(hx, EXCHANGE_BODY_WINDOW_BYTES + more);
}

void http_body_came(struct http_exchange *hx)
{
    if (hx->base.body.more != NULL && exchange_body_is_ready(&hx->base))
        http_later(hx->http, &hx->later);
}
