#include "http/server.h"

#include "http/forward.h"
#include "http/gzip.h"
#include "http/packed.h"

static void reply_no_leader(struct exchange *exchange)
{
    exchange_field(exchange, "Retry-After", "1");
    exchange_reply_error(
        exchange, 503, "no_leader",
        "no leader can be reached from this node; nothing was written: a majority of "
        "the voters must be there ('quorumkeep node list' shows who is away)");
}

/* Whoever administers the cluster sees an alarm without having asked for the status. */
static void tell_alarms(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    const size_t room = sizeof(hx->base.fields[0].value) - 1;
    struct buf text = BUF_INIT(NODES_MAX * KIB);

    if (hx->route->class != ROUTE_CLASS_ADMIN || hooks->alarms == NULL)
        return;
    hooks->alarms(hooks->arg, &text);
    if (text.len > 0)
        exchange_field(&hx->base, "X-Quorumkeep-Alarm", "%.*s",
                       (int)(text.len < room ? text.len : room), (const char *)text.data);
    buf_fini(&text);
}

static void dispatch_json(struct http_exchange *hx)
{
    hx->base.request.body = buf_bytes(&hx->body);
    if ((hx->route->flags & ROUTE_LOGIN) != 0 && !hx->base.request.forwarded)
        http_login(hx);
    else
        http_run(hx);
}

static void dispatch_plain(struct http_exchange *hx)
{
    if (hx->packed)
        packed_take_body(hx, dispatch_json);
    else
        dispatch_json(hx);
}

void http_dispatch(struct http_exchange *hx)
{
    tell_alarms(hx);
    if (hx->zipped)
        gzip_take_body(hx, dispatch_plain);
    else
        dispatch_plain(hx);
}

static bool record(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    enum qk_err err = QK_OK;

    if (hooks->record != NULL)
        err = hooks->record(hooks->arg, &hx->base, hx->route, &hx->call);
    if (err != QK_OK)
        exchange_reply_err(&hx->base, err);
    return err == QK_OK;
}

void http_run(struct http_exchange *hx)
{
    const struct http_hooks *hooks = &hx->http->config.hooks;
    uint8_t leader[NODE_ID_BYTES];

    if ((hx->route->flags & ROUTE_LEADER) == 0 || hooks->is_leader(hooks->arg)) {
        if (admit_authorized(hx) && record(hx))
            hx->route->handler(hx->http->config.service, &hx->base);
    } else if (hx->base.request.forwarded || !hooks->leader(hooks->arg, leader)) {
        reply_no_leader(&hx->base);
    } else {
        hx->told = true;
        forward_send(hx->http->forward, leader, hx);
    }
}
